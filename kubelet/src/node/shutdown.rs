//! Ending pods in an orderly way while the machine shuts down: those that matter least first, a group of priorities at a
//! time.
//!
//! Which pods go together and how long they have is decided purely ([`groups`]); [`end`] has them go. Who learns that the
//! machine is about to shut down, and holds that up meanwhile, is not this module's business. The rules, words and numbers
//! are upstream's.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

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

/// How long pods have when the machine shuts down, by the least priority that a time is for. Without any they have none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Periods(BTreeMap<i32, Duration>);

/// Why these are no times to shut down by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeriodsError {
    /// Critical pods are given more than all pods together.
    #[error(
        "--shutdown-grace-period-critical-pods ({critical:?}) is part of --shutdown-grace-period ({all:?}) and cannot be \
         longer"
    )]
    CriticalExceedsAll {
        /// What critical pods are given.
        critical: Duration,
        /// What all pods are given.
        all: Duration,
    },
    /// Less than a second is given, which is no time for a container.
    #[error("--shutdown-grace-period{0}: must be zero or at least one second")]
    TooShort(&'static str),
}

impl Periods {
    /// So long in all, of which so long is for critical pods (`shutdownGracePeriod`, `shutdownGracePeriodCriticalPods`).
    pub fn new(all: Duration, critical: Duration) -> Result<Periods, PeriodsError> {
        let too_short = |period: Duration| !period.is_zero() && period < Duration::from_secs(1);
        if too_short(all) {
            return Err(PeriodsError::TooShort(""));
        }
        if too_short(critical) {
            return Err(PeriodsError::TooShort("-critical-pods"));
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
