//! How many requests may be under way at a time.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Limits;
use crate::metrics::{InFlight, Metrics, RequestKind};

/// Counts requests under way, per kind, against the limits.
pub(super) struct InFlightLimits {
    read_only: Option<Arc<Semaphore>>,
    mutating: Option<Arc<Semaphore>>,
    long_running: Option<Arc<Semaphore>>,
    metrics: Metrics,
}

/// A request that is under way.
#[derive(Debug)]
pub(super) struct Slot {
    _permit: Option<OwnedSemaphorePermit>,
    _counted: Option<InFlight>,
}

impl InFlightLimits {
    pub(super) fn new(limits: &Limits, metrics: Metrics) -> Self {
        let semaphore = |limit: usize| (limit > 0).then(|| Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))));
        InFlightLimits {
            read_only: semaphore(limits.read_only_in_flight),
            mutating: semaphore(limits.mutating_in_flight),
            long_running: semaphore(limits.long_running),
            metrics,
        }
    }

    /// Lets a request in that is over when the slot is dropped, unless too many of its kind are under way. Whoever is
    /// `exempt` is let in nevertheless, and counted.
    pub(super) fn admit(&self, kind: RequestKind, exempt: bool) -> Option<Slot> {
        let semaphore = match kind {
            RequestKind::ReadOnly => &self.read_only,
            RequestKind::Mutating => &self.mutating,
        };
        let permit = take(semaphore);
        if permit.is_none() && !exempt {
            self.metrics.dropped_request(kind);
            return None;
        }
        Some(Slot { _permit: permit.flatten(), _counted: Some(self.metrics.in_flight(kind)) })
    }

    /// Lets a long-running request in, in the same way. It counts against a limit of its own only.
    pub(super) fn admit_long_running(&self, kind: RequestKind, exempt: bool) -> Option<Slot> {
        let permit = take(&self.long_running);
        if permit.is_none() && !exempt {
            self.metrics.dropped_request(kind);
            return None;
        }
        Some(Slot { _permit: permit.flatten(), _counted: None })
    }
}

/// `None` if there is no room, `Some(None)` if there is no limit.
fn take(semaphore: &Option<Arc<Semaphore>>) -> Option<Option<OwnedSemaphorePermit>> {
    match semaphore {
        None => Some(None),
        Some(semaphore) => Arc::clone(semaphore).try_acquire_owned().ok().map(Some),
    }
}
