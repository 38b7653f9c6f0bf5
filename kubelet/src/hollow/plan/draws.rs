//! What is random about a pod, drawn in one fixed order, and the course of its start that follows from it.
//!
//! The same generator gives the same draws, whatever the pod's status is meanwhile: so a pod that is looked at again, or by
//! a process that was started anew, goes on as it began.

use k8s_openapi::api::core::v1::{Container, Pod, Probe};
use rand::Rng;
use std::time::Duration;

use crate::hollow::options::{Between, Delays};
use crate::pod_plan::spec::is_sidecar;

/// How many of a hundred containers end well when they are told to stop. The others die of the signal.
const WELL_BEHAVED: u32 = 70;
/// Exit code of a process that SIGTERM ended.
const TERMINATED: i32 = 143;

/// What is random about a pod.
pub(super) struct Draws {
    sandbox: Duration,
    /// Of each init container, how long it takes to start and to work.
    init: Vec<(Duration, Duration)>,
    /// How long each container takes to start.
    containers: Vec<Duration>,
    /// How long the containers take to stop.
    pub(super) stop: Duration,
    /// With what each container exits when it is stopped: the init containers first.
    exits: Vec<i32>,
}

/// When everything happens, counted from when the pod was accepted.
pub(super) struct Course {
    /// When each init container runs, and when the next may.
    pub(super) init: Vec<(Duration, Duration)>,
    /// When each container runs.
    pub(super) containers: Vec<Duration>,
    /// When all of them do.
    pub(super) total: Duration,
}

impl Draws {
    pub(super) fn new(pod: &Pod, delays: &Delays, random: &mut impl Rng) -> Draws {
        let count = |containers: Option<&Vec<Container>>| containers.map_or(0, Vec::len);
        let spec = pod.spec.as_ref();
        let inits = count(spec.and_then(|spec| spec.init_containers.as_ref()));
        let containers = count(spec.map(|spec| &spec.containers));
        let sandbox = between(delays.sandbox, random);
        let stop = between(delays.stop, random);
        let init = (0..inits).map(|_| (between(delays.start, random), between(delays.init, random))).collect();
        let starts = (0..containers).map(|_| between(delays.start, random)).collect();
        let exit = |_| if random.random_range(0..100) < WELL_BEHAVED { 0 } else { TERMINATED };
        let exits = (0..inits + containers).map(exit).collect();
        Draws { sandbox, init, containers: starts, stop, exits }
    }

    /// With what the container of this name exits when it is stopped.
    pub(super) fn exit(&self, pod: &Pod, name: &str) -> i32 {
        let spec = pod.spec.iter();
        let mut all = spec.flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers));
        let place = all.position(|container| container.name == name);
        place.and_then(|place| self.exits.get(place)).copied().unwrap_or(0)
    }

    /// The course of a pod's start.
    pub(super) fn course(&self, pod: &Pod) -> Course {
        let mut at = self.sandbox;
        let inits = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
        let init = inits.zip(&self.init).map(|(container, (start, work))| {
            at = at.saturating_add(*start);
            let runs = at;
            at = at.saturating_add(if is_sidecar(container) { started_after(container) } else { *work });
            (runs, at)
        });
        let init = init.collect();
        let containers = self.containers.iter().map(|start| {
            at = at.saturating_add(*start);
            at
        });
        let containers = containers.collect();
        Course { init, containers, total: at }
    }
}

fn between(bounds: Between, random: &mut impl Rng) -> Duration {
    let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let (least, most) = (nanos(bounds.least), nanos(bounds.most));
    Duration::from_nanos(random.random_range(least..=most.max(least)))
}

/// How long after its start a container counts as started: when its startup probe has succeeded.
pub(super) fn started_after(container: &Container) -> Duration {
    container.startup_probe.as_ref().map_or(Duration::ZERO, |probe| succeeds_after(probe, Duration::ZERO))
}

/// How long after its start a container is ready: when its readiness probe has succeeded.
pub(super) fn ready_after(container: &Container) -> Duration {
    let started = started_after(container);
    container.readiness_probe.as_ref().map_or(started, |probe| succeeds_after(probe, started))
}

/// Probes are made at every multiple of the period from the first that is late enough, and all succeed here.
fn succeeds_after(probe: &Probe, not_before: Duration) -> Duration {
    let seconds = |value: Option<i32>, default: u64| value.map_or(default, |value| u64::try_from(value).unwrap_or(0));
    let period = seconds(probe.period_seconds, 10).max(1);
    let first = Duration::from_secs(seconds(probe.initial_delay_seconds, 0)).max(not_before);
    let first = first.as_secs() + u64::from(first.subsec_nanos() > 0);
    let further = seconds(probe.success_threshold, 1).saturating_sub(1);
    Duration::from_secs((first.div_ceil(period) + further).saturating_mul(period))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_succeed_at_a_multiple_of_their_period() {
        let check = |initial, period, threshold, not_before, expected| {
            let probe = Probe {
                initial_delay_seconds: initial,
                period_seconds: period,
                success_threshold: threshold,
                ..Probe::default()
            };
            assert_eq!(succeeds_after(&probe, Duration::from_millis(not_before)), Duration::from_secs(expected));
        };
        check(None, None, None, 0, 0);
        check(Some(5), None, None, 0, 10);
        check(Some(5), Some(5), None, 0, 5);
        check(Some(5), Some(2), Some(3), 0, 10);
        check(Some(5), Some(1), None, 7_200, 8);
        check(Some(-5), Some(-1), Some(-1), 0, 0);
        check(Some(i32::MAX), Some(1), Some(i32::MAX), 0, 2 * u64::from(i32::MAX.unsigned_abs()) - 1);
    }
}
