//! Ending pods in an orderly way while the machine shuts down: those that matter least first, a group of priorities at a
//! time.
//!
//! Which pods go together and how long they have is decided purely ([`groups`]); [`end`] has them go. Whoever learns that the
//! machine is about to shut down says so by [`News`], and holds that up until the [`Hold`] is dropped
//! ([`logind`](super::logind) does). The rules, words and numbers are upstream's.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use api::cron::duration;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::Pod;

use crate::pod_plan::{Condemned, Verdict};

/// The least priority of pods that the cluster cannot do without.
const CRITICAL: i32 = 2_000_000_000;
/// What pods are told that are ended, and those that come meanwhile.
const ENDED: (&str, &str) = ("Terminated", "Pod was terminated in response to imminent node shutdown.");
const REJECTED: (&str, &str) = ("NodeShutdown", "Pod was rejected as the node is shutting down.");
/// What keeps the node from being ready meanwhile.
pub const NOT_READY: &str = "node is shutting down";

/// The options.
const ALL: &str = "shutdown-grace-period";
const CRITICAL_PODS: &str = "shutdown-grace-period-critical-pods";
const BY_PRIORITY: &str = "shutdown-grace-period-by-pod-priority";

/// What is heard of the machine.
#[derive(Debug)]
pub enum News {
    /// It goes on: nothing is under way, or what was has been called off.
    GoesOn,
    /// It is about to shut down, and waits for this to be let go of; not for longer than was agreed on.
    ShutsDown(Hold),
}

/// Keeps the machine from shutting down until it is dropped.
pub struct Hold {
    _held: Box<dyn Send + Sync>,
}

impl Hold {
    /// What keeps the machine from shutting down as long as it is there.
    #[must_use]
    pub fn new(held: impl Send + Sync + 'static) -> Hold {
        Hold { _held: Box::new(held) }
    }
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hold")
    }
}

/// How long pods have when the machine shuts down, by the least priority that a time is for. Without any they have none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Periods(BTreeMap<i32, Duration>);

/// How long pods have, as options say it: durations as Go writes them.
#[derive(Clone, Copy, Debug)]
pub struct Written<'a> {
    /// `--shutdown-grace-period`.
    pub all: &'a str,
    /// `--shutdown-grace-period-critical-pods`.
    pub critical: &'a str,
    /// `--shutdown-grace-period-by-pod-priority`: `priority=duration`, with commas in between.
    pub by_priority: &'a str,
}

/// Why these are no times to shut down by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeriodsError {
    /// It is no duration.
    #[error("--{option} {text}: {why}")]
    Duration {
        /// The option.
        option: &'static str,
        /// What it says.
        text: String,
        /// What is wrong with that.
        why: String,
    },
    /// It is not what each priority has.
    #[error("--{BY_PRIORITY} {0}: it is priority=duration with commas in between, such as 0=20s,1000=10s")]
    Form(String),
    /// A priority is there twice.
    #[error("--{BY_PRIORITY}: the priority {0} is there twice")]
    Twice(i32),
    /// Times are given in both ways.
    #[error("--{BY_PRIORITY} cannot be used together with --{ALL} or --{CRITICAL_PODS}")]
    Both,
    /// Critical pods are given more than all pods together.
    #[error("--{CRITICAL_PODS} ({critical:?}) is part of --{ALL} ({all:?}) and cannot be longer")]
    CriticalExceedsAll {
        /// What critical pods are given.
        critical: Duration,
        /// What all pods are given.
        all: Duration,
    },
    /// Less than a second is given, which is no time for a container.
    #[error("--{0}: must be zero or at least one second")]
    TooShort(&'static str),
}

/// A period as an option says it.
fn period(option: &'static str, text: &str) -> Result<Duration, PeriodsError> {
    let wrong = |why: String| PeriodsError::Duration { option, text: text.to_owned(), why };
    let nanoseconds = duration::parse(text).map_err(wrong)?;
    u64::try_from(nanoseconds).map(Duration::from_nanos).map_err(|_| wrong("it is less than nothing".to_owned()))
}

/// Less than a second is no time for a container.
fn is_too_short(period: Duration) -> bool {
    !period.is_zero() && period < Duration::from_secs(1)
}

impl Periods {
    /// What options say.
    pub fn parse(written: &Written<'_>) -> Result<Periods, PeriodsError> {
        let (all, critical) = (period(ALL, written.all)?, period(CRITICAL_PODS, written.critical)?);
        if written.by_priority.is_empty() {
            return Periods::new(all, critical);
        }
        if !all.is_zero() || !critical.is_zero() {
            return Err(PeriodsError::Both);
        }
        let mut periods = BTreeMap::new();
        for part in written.by_priority.split(',').map(str::trim) {
            let form = || PeriodsError::Form(part.to_owned());
            let (priority, text) = part.split_once('=').ok_or_else(form)?;
            let priority: i32 = priority.trim().parse().map_err(|_| form())?;
            let within = period(BY_PRIORITY, text.trim())?;
            if is_too_short(within) {
                return Err(PeriodsError::TooShort(BY_PRIORITY));
            }
            if periods.insert(priority, within).is_some() {
                return Err(PeriodsError::Twice(priority));
            }
        }
        Ok(Periods(periods))
    }

    /// So long in all, of which so long is for critical pods (`shutdownGracePeriod`, `shutdownGracePeriodCriticalPods`).
    pub fn new(all: Duration, critical: Duration) -> Result<Periods, PeriodsError> {
        if is_too_short(all) {
            return Err(PeriodsError::TooShort(ALL));
        }
        if is_too_short(critical) {
            return Err(PeriodsError::TooShort(CRITICAL_PODS));
        }
        let others = all.checked_sub(critical).ok_or(PeriodsError::CriticalExceedsAll { critical, all })?;
        if all.is_zero() {
            return Ok(Periods::default());
        }
        Ok(Periods([(0, others), (CRITICAL, critical)].into()))
    }

    /// So long for each priority and those above it, up to the next (`shutdownGracePeriodByPodPriority`).
    #[must_use]
    pub fn by_priority(periods: impl IntoIterator<Item = (i32, Duration)>) -> Periods {
        Periods(periods.into_iter().collect())
    }

    /// Each priority from which on pods have another time, with that time.
    pub fn by(&self) -> impl Iterator<Item = (i32, Duration)> {
        self.0.iter().map(|(priority, within)| (*priority, *within))
    }

    /// How long all of it takes at most: for so long the shutdown has to be held up.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.0.values().sum()
    }

    /// Whether pods are ended in an orderly way at all.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        !self.total().is_zero()
    }

    /// The period that a priority falls into: the one below it, or the lowest one.
    fn of(&self, priority: i32) -> Option<i32> {
        let below = self.0.range(..=priority).next_back();
        below.or_else(|| self.0.first_key_value()).map(|(from, _)| *from)
    }
}

/// Pods that are ended at the same time.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// After how long the next group's turn comes, whether these have gone or not.
    pub within: Duration,
    /// The pods' uids, and how they go.
    pub pods: Vec<(String, Condemned)>,
}

/// The pods in groups, in the order in which they go. Groups without pods are left out.
#[must_use]
pub fn groups(pods: &[Arc<Pod>], periods: &Periods) -> Vec<Group> {
    let mut by_period: BTreeMap<i32, Vec<&Arc<Pod>>> = BTreeMap::new();
    for pod in pods {
        let priority = pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or_default();
        if let Some(period) = periods.of(priority) {
            by_period.entry(period).or_default().push(pod);
        }
    }
    let group = |(period, pods): (i32, Vec<&Arc<Pod>>)| {
        let within = periods.0.get(&period).copied().unwrap_or_default();
        let condemned =
            pods.into_iter().map(|pod| (pod.metadata.uid.clone().unwrap_or_default(), condemned(pod, within)));
        Group { within, pods: condemned.collect() }
    };
    by_period.into_iter().map(group).collect()
}

/// How a pod goes that has so long at most.
fn condemned(pod: &Pod, within: Duration) -> Condemned {
    let own = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
    let own = own.map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or_default()));
    Condemned {
        why: Verdict { reason: ENDED.0.to_owned(), message: ENDED.1.to_owned() },
        grace: Some(own.map_or(within, |own| own.min(within))),
        disruption: Some("TerminationByKubelet".to_owned()),
    }
}

/// Why no pod is taken any more.
#[must_use]
pub fn rejected() -> Verdict {
    Verdict { reason: REJECTED.0.to_owned(), message: REJECTED.1.to_owned() }
}

/// Has the pods go, group after group: `ending` has one go and returns when nothing of it runs any more. Returns when all
/// are gone or had their time, and gives the uids of those that are still there then.
pub async fn end<F, E>(groups: Vec<Group>, ending: F) -> Vec<String>
where
    F: Fn(String, Condemned) -> E,
    E: Future<Output = ()>,
{
    // What does not go in its time goes on going in that of others.
    let mut going = FuturesUnordered::new();
    let mut left = Vec::new();
    for group in groups {
        tracing::info!(pods = group.pods.len(), within = ?group.within, "ends pods, as the machine shuts down");
        for (uid, condemned) in group.pods {
            left.push(uid.clone());
            let gone = ending(uid.clone(), condemned);
            going.push(async move {
                gone.await;
                uid
            });
        }
        let all = async {
            while let Some(uid) = going.next().await {
                left.retain(|other| *other != uid);
            }
        };
        if tokio::time::timeout(group.within, all).await.is_err() {
            tracing::warn!(pods = ?left, "pods did not end in the time that they had");
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::PodSpec;
    use parking_lot::Mutex;
    use tokio::time::Instant;

    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn pod(uid: &str, priority: i32, grace: Option<i64>) -> Arc<Pod> {
        let spec = PodSpec { priority: Some(priority), termination_grace_period_seconds: grace, ..PodSpec::default() };
        let mut pod = Pod { spec: Some(spec), ..Pod::default() };
        pod.metadata.uid = Some(uid.to_owned());
        Arc::new(pod)
    }

    #[test]
    fn periods_are_checked() {
        let periods = Periods::new(seconds(30), seconds(10)).unwrap();
        assert_eq!(periods, Periods::by_priority([(0, seconds(20)), (CRITICAL, seconds(10))]));
        assert_eq!(periods.total(), seconds(30));
        assert!(!Periods::new(Duration::ZERO, Duration::ZERO).unwrap().is_enabled());
        for (all, critical, said) in [
            (seconds(10), seconds(11), "--shutdown-grace-period-critical-pods (11s)"),
            (Duration::from_millis(1), Duration::ZERO, "--shutdown-grace-period: "),
            (seconds(10), Duration::from_millis(1), "--shutdown-grace-period-critical-pods: "),
        ] {
            let error = Periods::new(all, critical).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }

    #[test]
    fn periods_are_read_as_options_say_them() {
        let parse = |all, critical, by_priority| Periods::parse(&Written { all, critical, by_priority });
        assert_eq!(parse("30s", "10s", ""), Periods::new(seconds(30), seconds(10)));
        assert_eq!(parse("1m30s", "0", "").unwrap().total(), seconds(90));
        assert!(!parse("0s", "0s", "").unwrap().is_enabled());
        let by_priority = Periods::by_priority([(-5, seconds(0)), (0, seconds(60)), (1000, seconds(5))]);
        assert_eq!(parse("0s", "0s", "1000=5s, -5=0s,0=1m"), Ok(by_priority));
        for (all, critical, by_priority, said) in [
            ("30", "0s", "", "--shutdown-grace-period 30: "),
            ("-1s", "0s", "", "--shutdown-grace-period -1s: "),
            ("30s", "x", "", "--shutdown-grace-period-critical-pods x: "),
            ("1s", "2s", "", "--shutdown-grace-period-critical-pods (2s)"),
            ("30s", "0s", "0=1s", "--shutdown-grace-period-by-pod-priority cannot be used together"),
            ("0s", "0s", "0=1s,", "--shutdown-grace-period-by-pod-priority : it is "),
            ("0s", "0s", "a=1s", "--shutdown-grace-period-by-pod-priority a=1s: it is "),
            ("0s", "0s", "0=1", "--shutdown-grace-period-by-pod-priority 1: "),
            ("0s", "0s", "0=1ms", "--shutdown-grace-period-by-pod-priority: must be"),
            ("0s", "0s", "0=1s,0=2s", "--shutdown-grace-period-by-pod-priority: the priority 0 is there twice"),
        ] {
            let error = parse(all, critical, by_priority).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }

    #[test]
    fn pods_go_with_those_of_their_priority() {
        let periods = Periods::by_priority([(10, seconds(1)), (100, seconds(2)), (1000, seconds(3))]);
        for (priority, within) in [(-5, 1), (9, 1), (10, 1), (99, 1), (100, 2), (999, 2), (1000, 3), (i32::MAX, 3)] {
            let groups = groups(&[pod("p", priority, None)], &periods);
            assert_eq!(groups.iter().map(|group| group.within).collect::<Vec<_>>(), [seconds(within)], "{priority}");
        }
        let pods = [pod("last", CRITICAL, Some(1)), pod("first", 0, Some(60)), pod("second", 100, None)];
        let all = groups(&pods, &periods);
        let order: Vec<_> = all
            .iter()
            .flat_map(|group| &group.pods)
            .map(|(uid, condemned)| (uid.as_str(), condemned.grace.unwrap()))
            .collect();
        assert_eq!(order, [("first", seconds(1)), ("second", seconds(2)), ("last", seconds(1))]);
        let (_, condemned) = &all[0].pods[0];
        assert_eq!(condemned.why.reason, "Terminated");
        assert_eq!(groups(&pods, &Periods::default()), []);
    }

    #[tokio::test(start_paused = true)]
    async fn groups_go_one_after_the_other() {
        let pods = [pod("quick", 0, None), pod("slow", 0, None), pod("critical", CRITICAL, None)];
        let periods = Periods::new(seconds(30), seconds(10)).unwrap();
        let began = Instant::now();
        let log = Mutex::new(Vec::new());
        let ending = |uid: String, _: Condemned| {
            log.lock().push((uid.clone(), began.elapsed().as_secs()));
            let takes = if uid == "slow" { seconds(25) } else { seconds(2) };
            tokio::time::sleep(takes)
        };
        let left = end(groups(&pods, &periods), ending).await;
        // The slow one ends in the time of the critical ones, which is over as soon as all have gone.
        assert_eq!((left, began.elapsed()), (Vec::new(), seconds(25)));
        let expected = [("quick", 0), ("slow", 0), ("critical", 20)];
        assert_eq!(*log.lock(), expected.map(|(uid, at)| (uid.to_owned(), at)));

        let never = |_, _| std::future::pending();
        let began = Instant::now();
        assert_eq!(end(groups(&pods, &periods), never).await, ["quick", "slow", "critical"]);
        assert_eq!(began.elapsed(), seconds(30));
    }
}
