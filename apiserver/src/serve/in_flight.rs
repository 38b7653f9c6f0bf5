//! How many requests are under way, and how many that have no end may be. What others wait for is
//! [`flow control`](super::flow_control)'s.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Limits;
use crate::metrics::{InFlight, Metrics, RequestKind};

/// Counts requests under way, per kind, and long-running ones against their limit.
pub(super) struct InFlightLimits {
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
        InFlightLimits { long_running: semaphore(limits.long_running), metrics }
    }

    /// Counts a request that is over when the slot is dropped.
    pub(super) fn count(&self, kind: RequestKind) -> Slot {
        Slot { _permit: None, _counted: Some(self.metrics.in_flight(kind)) }
    }

    /// Lets a long-running request in that is over when the slot is dropped, unless too many are under way. Whoever is
    /// `exempt` is let in nevertheless.
    pub(super) fn admit_long_running(&self, exempt: bool) -> Option<Slot> {
        let permit = match &self.long_running {
            None => None,
            Some(semaphore) => match Arc::clone(semaphore).try_acquire_owned() {
                Ok(permit) => Some(permit),
                Err(_) if exempt => None,
                Err(_) => return None,
            },
        };
        Some(Slot { _permit: permit, _counted: None })
    }
}
