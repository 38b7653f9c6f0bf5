//! What the status says, for either kind.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::Replicated;
use crate::pods::{available_in, is_ready};

/// The condition that says that pods could not be created or deleted.
pub(super) const REPLICA_FAILURE: &str = "ReplicaFailure";

/// The pods that count, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All.
    pub replicas: i32,
    /// Those that have all labels of the template.
    pub fully_labeled: i32,
    /// Those that are ready.
    pub ready: i32,
    /// Those that have been ready for long enough.
    pub available: i32,
    /// Those, not among all, that have been told to end.
    pub terminating: i32,
    /// When the next becomes available by time alone.
    pub next: Option<Duration>,
}

/// That pods could not be created or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    /// Which.
    pub reason: &'static str,
    /// Why, as the server says.
    pub message: String,
    /// Since when.
    pub since: Timestamp,
}

/// Counts pods.
pub(super) fn count<'a, K: Replicated>(
    owner: &K,
    pods: impl Iterator<Item = &'a Pod>,
    terminating: usize,
    now: Timestamp,
) -> Tally {
    let wanted = owner.template().and_then(|template| template.metadata.as_ref()?.labels.as_ref());
    let is_labeled = |pod: &Pod| {
        let has = |(key, value)| pod.metadata.labels.as_ref().is_some_and(|labels| labels.get(key) == Some(value));
        wanted.into_iter().flatten().all(has)
    };
    let min_ready = owner.min_ready_seconds().unwrap_or(0);
    let mut tally = Tally { terminating: i32::try_from(terminating).unwrap_or(i32::MAX), ..Tally::default() };
    for pod in pods {
        tally.replicas += 1;
        tally.fully_labeled += i32::from(is_labeled(pod));
        tally.ready += i32::from(is_ready(pod));
        match available_in(pod, min_ready, now) {
            Some(Duration::ZERO) => tally.available += 1,
            Some(left) => tally.next = Some(tally.next.map_or(left, |next| next.min(left))),
            None => {}
        }
    }
    tally
}

/// A count as objects state it: not at all, if it is zero.
pub(super) fn stated(count: i32) -> Option<i32> {
    (count != 0).then_some(count)
}

/// The conditions of a status: those there are, with or without the one about failure. If that is there already, it stays
/// as it is.
pub(super) fn conditions<C: Clone>(
    present: Option<&Vec<C>>,
    condition_type: impl Fn(&C) -> &str,
    failing: Option<C>,
) -> Option<Vec<C>> {
    let is_failure = |condition: &C| condition_type(condition) == REPLICA_FAILURE;
    let mut conditions = present.cloned().unwrap_or_default();
    match failing {
        Some(failing) if !conditions.iter().any(is_failure) => conditions.push(failing),
        Some(_) => {}
        None => conditions.retain(|condition| !is_failure(condition)),
    }
    (!conditions.is_empty()).then_some(conditions)
}
