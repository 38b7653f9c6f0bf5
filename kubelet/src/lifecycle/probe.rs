//! One probe of one container, as a state machine without a clock: when to look, and what to say after looking.
//!
//! It holds to upstream's kubelet (`pkg/kubelet/prober/worker.go`):
//! - Nothing is probed before its `initialDelaySeconds`, counted from the container's start; nothing but the startup probe
//!   before that one has succeeded; and the startup probe no more after that.
//! - What is said changes only after as many equal results in a row as the threshold asks for. Before the first result a
//!   container is not ready, lives, and has not been found to have started.
//! - After a liveness or startup probe has failed, the container is left alone until there is another in its place.
//! - While a pod is being ended, liveness and startup are not probed: both are taken to be fine.
//! - An agent that starts again takes over what it said of a container in its last life.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Probe;

/// What a probe finds out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Whether the container has started, so that the other two make sense.
    Startup,
    /// Whether it lives: it is restarted if not.
    Liveness,
    /// Whether it takes traffic.
    Readiness,
}

impl Kind {
    /// Its name in Events and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Startup => "Startup",
            Kind::Liveness => "Liveness",
            Kind::Readiness => "Readiness",
        }
    }

    /// What is said of a container before its first result (`None`: nothing).
    fn at_first(self) -> Option<bool> {
        match self {
            Kind::Startup => None,
            Kind::Liveness => Some(true),
            Kind::Readiness => Some(false),
        }
    }
}

/// When a probe looks, with the API's defaults for what is not said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// How long after the container's start the first look is.
    pub initial_delay: Duration,
    /// How long after one look the next one is.
    pub period: Duration,
    /// How long a look may take.
    pub timeout: Duration,
    /// How many failures in a row count.
    pub failures: u32,
    /// How many successes in a row count.
    pub successes: u32,
}

impl Schedule {
    /// What a pod says of a probe. Zero is as if it had not been said.
    #[must_use]
    pub fn of(probe: &Probe) -> Schedule {
        let number = |value: Option<i32>, default: u32| {
            value.and_then(|value| u32::try_from(value).ok()).filter(|value| *value > 0).unwrap_or(default)
        };
        let seconds = |value, default| Duration::from_secs(number(value, default).into());
        Schedule {
            initial_delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, 10),
            timeout: seconds(probe.timeout_seconds, 1),
            failures: number(probe.failure_threshold, 3),
            successes: number(probe.success_threshold, 1),
        }
    }
}

/// How a container is when it is asked whether to look at it.
#[derive(Clone, Copy, Debug)]
pub struct Situation {
    /// Whether it runs.
    pub running: bool,
    /// When it was started.
    pub since: Option<Timestamp>,
    /// Whether its startup probe has succeeded, or it has none.
    pub started: bool,
    /// Whether its pod is being ended.
    pub ending: bool,
    /// The time.
    pub now: Timestamp,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Look, as soon as the last look is a period ago.
    Look,
    /// Look after this time, or later if the last look is not a period ago then.
    After(Duration),
    /// Nothing, until the situation changes.
    Nothing,
}

/// One probe of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prober {
    kind: Kind,
    schedule: Schedule,
    container: Option<String>,
    said: Option<bool>,
    last: bool,
    run: u32,
    on_hold: bool,
}

impl Prober {
    /// A probe that has not seen a container yet.
    #[must_use]
    pub fn new(kind: Kind, schedule: Schedule) -> Prober {
        Prober { kind, schedule, container: None, said: None, last: true, run: 0, on_hold: false }
    }

    /// What it finds out.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// When it looks.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        self.schedule
    }

    /// The container that it is about now, by the runtime's ID.
    #[must_use]
    pub fn container(&self) -> Option<&str> {
        self.container.as_deref()
    }

    /// What it says of the container; `None` before it was found out.
    #[must_use]
    pub fn says(&self) -> Option<bool> {
        self.said
    }

    /// Tells it which container it is about. `before` is what was said of this very container in a former life of the
    /// agent. Whether it is another one than before.
    pub fn is_about(&mut self, container: &str, before: Option<bool>) -> bool {
        if self.container.as_deref() == Some(container) {
            return false;
        }
        self.container = Some(container.to_owned());
        self.said = before.or(self.kind.at_first());
        self.run = 0;
        self.on_hold = false;
        true
    }

    /// What to do, and whether what it says has changed by the situation alone.
    pub fn next(&mut self, situation: &Situation) -> (Next, bool) {
        if self.container.is_none() {
            return (Next::Nothing, false);
        }
        if !situation.running {
            // A container that has ended is not ready, whatever it was. Whether it lived is of no interest any more.
            let changed = self.kind == Kind::Readiness && self.says_now(false);
            return (Next::Nothing, changed);
        }
        if situation.ending && self.kind != Kind::Readiness {
            return (Next::Nothing, self.says_now(true));
        }
        let waits = match self.kind {
            Kind::Startup => situation.started,
            Kind::Liveness | Kind::Readiness => !situation.started,
        };
        if self.on_hold || waits {
            return (Next::Nothing, false);
        }
        let age = situation.since.map(|since| situation.now.duration_since(since));
        let age = age.and_then(|age| Duration::try_from(age).ok()).unwrap_or(Duration::ZERO);
        match self.schedule.initial_delay.checked_sub(age) {
            Some(rest) if !rest.is_zero() => (Next::After(rest), false),
            _ => (Next::Look, false),
        }
    }

    /// Takes what a look has found. Whether it changes what is said.
    pub fn found(&mut self, good: bool) -> bool {
        self.run = if self.run > 0 && self.last == good { self.run.saturating_add(1) } else { 1 };
        self.last = good;
        let threshold = if good { self.schedule.successes } else { self.schedule.failures };
        if self.run < threshold {
            return false;
        }
        let changed = self.says_now(good);
        if self.kind != Kind::Readiness && !good {
            self.on_hold = true;
            self.run = 0;
        }
        changed
    }

    fn says_now(&mut self, good: bool) -> bool {
        self.said.replace(good) != Some(good)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(failures: u32, successes: u32) -> Schedule {
        let (period, timeout) = (Duration::from_secs(10), Duration::from_secs(1));
        Schedule { initial_delay: Duration::from_secs(5), period, timeout, failures, successes }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_772_366_400 + seconds).unwrap()
    }

    fn running(age: i64) -> Situation {
        Situation { running: true, since: Some(at(0)), started: true, ending: false, now: at(age) }
    }

    #[test]
    fn what_is_not_said_has_the_apis_defaults() {
        let zero = Probe { period_seconds: Some(0), failure_threshold: Some(-1), ..Probe::default() };
        for probe in [Probe::default(), zero] {
            let expected = Schedule {
                initial_delay: Duration::ZERO,
                period: Duration::from_secs(10),
                timeout: Duration::from_secs(1),
                failures: 3,
                successes: 1,
            };
            assert_eq!(Schedule::of(&probe), expected);
        }
    }

    /// Feeds results (`+` good, `-` bad), and says after each what is said (`t`, `f`, or `?` for nothing).
    fn check(kind: Kind, failures: u32, successes: u32, results: &str, expected: &str) {
        let mut prober = Prober::new(kind, schedule(failures, successes));
        prober.is_about("a", None);
        let mut before = prober.says();
        let mut said = String::new();
        for result in results.chars() {
            let changed = prober.found(result == '+');
            assert_eq!(changed, before != prober.says(), "{kind:?} {results}");
            before = prober.says();
            said.push(before.map_or('?', |good| if good { 't' } else { 'f' }));
        }
        assert_eq!(said, expected, "{kind:?} {results}");
    }

    #[test]
    fn only_results_in_a_row_count() {
        check(Kind::Readiness, 3, 1, "+--+---+", "ttttttft");
        check(Kind::Readiness, 1, 3, "++-+++-", "ffffftf");
        check(Kind::Liveness, 3, 1, "--+--", "ttttt");
        check(Kind::Liveness, 2, 1, "-+--", "tttf");
        check(Kind::Startup, 3, 1, "--+", "??t");
        check(Kind::Startup, 2, 1, "--", "?f");
    }

    #[test]
    fn after_a_failure_nothing_is_probed_until_there_is_another_container() {
        for kind in [Kind::Liveness, Kind::Startup] {
            let mut prober = Prober::new(kind, schedule(1, 1));
            prober.is_about("a", None);
            assert!(prober.found(false));
            let situation = Situation { started: kind == Kind::Liveness, ..running(60) };
            assert_eq!(prober.next(&situation), (Next::Nothing, false));
            assert!(!prober.is_about("a", None), "the same container");
            assert_eq!(prober.next(&situation), (Next::Nothing, false));
            assert!(prober.is_about("b", None));
            assert_eq!(prober.says(), kind.at_first());
            assert_eq!(prober.next(&situation), (Next::Look, false));
        }
        let mut readiness = Prober::new(Kind::Readiness, schedule(1, 1));
        readiness.is_about("a", Some(true));
        assert!(readiness.found(false));
        assert_eq!(readiness.next(&running(60)), (Next::Look, false), "readiness goes on");
    }

    #[test]
    fn it_looks_when_its_time_has_come() {
        let next = |kind, situation: Situation| {
            let mut prober = Prober::new(kind, schedule(3, 1));
            prober.is_about("a", None);
            prober.next(&situation).0
        };
        for kind in [Kind::Liveness, Kind::Readiness] {
            assert_eq!(next(kind, running(2)), Next::After(Duration::from_secs(3)));
            assert_eq!(next(kind, running(5)), Next::Look);
            assert_eq!(next(kind, Situation { started: false, ..running(9) }), Next::Nothing);
            assert_eq!(next(kind, Situation { running: false, ..running(9) }), Next::Nothing);
        }
        assert_eq!(next(Kind::Startup, running(9)), Next::Nothing, "it has started already");
        assert_eq!(next(Kind::Startup, Situation { started: false, ..running(9) }), Next::Look);
        // A clock that was set back makes nobody wait for longer than the delay.
        assert_eq!(next(Kind::Readiness, running(-100)), Next::After(Duration::from_secs(5)));
    }

    #[test]
    fn ends_are_quiet() {
        let ending = Situation { ending: true, ..running(60) };
        for (kind, before) in [(Kind::Liveness, false), (Kind::Startup, false)] {
            let mut prober = Prober::new(kind, schedule(1, 1));
            prober.is_about("a", None);
            prober.found(before);
            assert_eq!(prober.next(&ending), (Next::Nothing, true));
            assert_eq!(prober.says(), Some(true));
        }
        let mut readiness = Prober::new(Kind::Readiness, schedule(1, 1));
        readiness.is_about("a", Some(true));
        assert_eq!(readiness.next(&ending), (Next::Look, false));
        assert_eq!(readiness.next(&Situation { running: false, ..ending }), (Next::Nothing, true));
        assert_eq!(readiness.says(), Some(false));
    }

    #[test]
    fn a_former_life_is_taken_over() {
        let mut prober = Prober::new(Kind::Readiness, schedule(3, 1));
        prober.is_about("a", Some(true));
        assert_eq!(prober.says(), Some(true));
        assert!(!prober.found(false));
        assert!(!prober.found(false));
        assert!(prober.found(false));
    }
}
