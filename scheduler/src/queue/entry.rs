//! A pod in the queue: what is known of its attempts, when its turn is, and how long it backs off.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

/// Numbers the pods in the order in which they came, so that ties are decided alike in each run.
pub(super) type Id = u64;

/// How long pods wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a pod backs off after its first failure; twice as long after each further one.
    pub initial_backoff: Duration,
    /// The longest that a pod backs off.
    pub max_backoff: Duration,
    /// How long a pod is unschedulable at most before it is tried again although nothing has happened.
    pub max_unschedulable: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            initial_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(10),
            max_unschedulable: Duration::from_secs(5 * 60),
        }
    }
}

impl Settings {
    /// How long a pod backs off that has failed so often.
    #[must_use]
    pub fn backoff(&self, failures: u32) -> Duration {
        match failures {
            0 => Duration::ZERO,
            1 => self.initial_backoff,
            _ => {
                let factor = 1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
                self.initial_backoff.saturating_mul(factor).min(self.max_backoff)
            }
        }
    }
}

/// A pod, and what has become of it in the queue. Times are counted from when the queue began.
#[derive(Clone, Debug, PartialEq)]
pub struct QueuedPod {
    /// The pod.
    pub pod: Arc<Pod>,
    /// When it came into the queue, the last time.
    pub since: Duration,
    /// When it first could be tried.
    pub initial_attempt: Option<Duration>,
    /// How often it was tried.
    pub attempts: u32,
    /// How often it was refused by plugins.
    pub unschedulable_count: u32,
    /// How often in a row it failed by an error.
    pub consecutive_errors: u32,
    /// The plugins that refused it, and the one that does not admit it.
    pub unschedulable_plugins: BTreeSet<&'static str>,
    /// The plugins that refused it while they wait for something that they have started.
    pub pending_plugins: BTreeSet<&'static str>,
    /// The plugin that does not admit it.
    pub gated_by: Option<&'static str>,
}

impl QueuedPod {
    pub(super) fn new(pod: Arc<Pod>, now: Duration) -> QueuedPod {
        QueuedPod {
            pod,
            since: now,
            initial_attempt: None,
            attempts: 0,
            unschedulable_count: 0,
            consecutive_errors: 0,
            unschedulable_plugins: BTreeSet::new(),
            pending_plugins: BTreeSet::new(),
            gated_by: None,
        }
    }

    /// Its priority.
    #[must_use]
    pub fn priority(&self) -> i32 {
        self.pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or(0)
    }

    /// Its unique identifier.
    #[must_use]
    pub fn uid(&self) -> &str {
        self.pod.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Whether no plugin refused it.
    pub(super) fn is_unrefused(&self) -> bool {
        self.unschedulable_plugins.is_empty() && self.pending_plugins.is_empty()
    }

    /// The second in which it stops backing off: it may be tried from the next on. Pods of one second are tried in the
    /// order of their priorities. Nothing if it need not back off.
    pub(super) fn backs_off_until(&self, settings: &Settings) -> Option<u64> {
        let failures = if self.consecutive_errors > 0 { self.consecutive_errors } else { self.unschedulable_count };
        (failures > 0).then(|| self.since.saturating_add(settings.backoff(failures)).as_secs())
    }
}

/// Why an attempt failed. If no plugin refused the pod, it was an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// The plugins that refused it.
    pub unschedulable_plugins: BTreeSet<&'static str>,
    /// The plugins that refused it while they wait for something that they have started: when one of these says that it
    /// has happened, the pod is tried without backing off.
    pub pending_plugins: BTreeSet<&'static str>,
}

/// Where a pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It can be tried.
    Active,
    /// It was refused and can be tried later, or when nothing else can.
    Backoff,
    /// It failed by an error and can be tried later.
    ErrorBackoff,
    /// It waits for something to happen.
    Unschedulable,
    /// A plugin does not admit it.
    Gated,
    /// It is being tried.
    InFlight,
}

/// How many pods are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// In [`Place::Active`].
    pub active: usize,
    /// In [`Place::Backoff`] and [`Place::ErrorBackoff`].
    pub backoff: usize,
    /// In [`Place::Unschedulable`].
    pub unschedulable: usize,
    /// In [`Place::Gated`].
    pub gated: usize,
    /// In [`Place::InFlight`].
    pub in_flight: usize,
    /// Events that are kept for the pods in flight.
    pub in_flight_events: usize,
}

/// When a pod's turn is: by priority, then by the time since when it has waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    priority: Reverse<i32>,
    since: Duration,
    pub(super) id: Id,
}

/// Where the queue has put a pod, with all that it takes to find it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spot {
    Nowhere,
    Active,
    Backoff(u64),
    ErrorBackoff(u64),
    Unschedulable,
    /// In flight; `true` if the pod has been deleted since.
    InFlight(bool),
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) queued: QueuedPod,
    pub(super) profile: usize,
    pub(super) spot: Spot,
}

impl Entry {
    pub(super) fn turn(&self, id: Id) -> Turn {
        Turn { priority: Reverse(self.queued.priority()), since: self.queued.since, id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_bound() {
        let settings = Settings::default();
        let seconds: Vec<u64> = (0..7).map(|failures| settings.backoff(failures).as_secs()).collect();
        assert_eq!(seconds, [0, 1, 2, 4, 8, 10, 10]);
        assert_eq!(settings.backoff(u32::MAX), Duration::from_secs(10));
    }
}
