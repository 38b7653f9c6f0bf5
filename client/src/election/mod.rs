//! Which of several processes leads, by a Lease (`coordination.k8s.io/v1`) as upstream's components do it.
//!
//! Who holds the Lease renews it; who does not waits until it has seen the Lease unchanged for as long as it lasts, by its own
//! clock: clocks of different machines are never compared. A leader may act only for a part of the time after it *began*
//! its last renewal that the others wait for it ([`Timing`]). So a leader that was paused finds, when it wakes up, that its
//! time is over before it finds anything else, and what it had begun has ended before another may lead
//! ([`Leadership::remaining`] bounds its requests).

mod guard;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Api;
use kube::api::PostParams;
use parking_lot::Mutex;
use tokio::time::{Duration, Instant, sleep, sleep_until, timeout_at};

use crate::clock::{Clock, whole_seconds};

pub use guard::{NotLeading, guarded};

/// How long everything takes. Each is to be longer than the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long those who do not lead wait without a renewal.
    pub lease: Duration,
    /// How long after the beginning of its last renewal the leader may still act.
    pub renew: Duration,
    /// How often the leader renews, and the others look.
    pub retry: Duration,
}

impl Default for Timing {
    /// Upstream's.
    fn default() -> Self {
        Timing { lease: Duration::from_secs(15), renew: Duration::from_secs(10), retry: Duration::from_secs(2) }
    }
}

/// Why a Lease was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Somebody else changed or made it meanwhile.
    #[error("somebody else has changed the lease")]
    Conflict,
    /// The API server could not be asked, or refused.
    #[error("{0}")]
    Failed(String),
}

/// Where the Lease is.
pub trait LeaseApi: Send + Sync {
    /// The Lease, if there is one.
    fn get(&self) -> impl Future<Output = Result<Option<Lease>, LeaseError>> + Send;
    /// Makes it.
    fn create(&self, lease: &Lease) -> impl Future<Output = Result<Lease, LeaseError>> + Send;
    /// Changes it, unless it has changed since the resource version in `lease`.
    fn update(&self, lease: &Lease) -> impl Future<Output = Result<Lease, LeaseError>> + Send;
}

/// A Lease of a name in a namespace, through the API.
#[derive(Clone)]
pub struct NamedLease {
    api: Api<Lease>,
    name: String,
}

impl NamedLease {
    /// The Lease `name` in the namespace that `api` is about.
    #[must_use]
    pub fn new(api: Api<Lease>, name: &str) -> Self {
        NamedLease { api, name: name.to_owned() }
    }
}

impl From<kube::Error> for LeaseError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 409 => LeaseError::Conflict,
            error => LeaseError::Failed(error.to_string()),
        }
    }
}

impl LeaseApi for NamedLease {
    async fn get(&self) -> Result<Option<Lease>, LeaseError> {
        Ok(self.api.get_opt(&self.name).await?)
    }

    async fn create(&self, lease: &Lease) -> Result<Lease, LeaseError> {
        let metadata = ObjectMeta { name: Some(self.name.clone()), ..lease.metadata.clone() };
        let lease = Lease { metadata, ..lease.clone() };
        Ok(self.api.create(&PostParams::default(), &lease).await?)
    }

    async fn update(&self, lease: &Lease) -> Result<Lease, LeaseError> {
        Ok(self.api.replace(&self.name, &PostParams::default(), lease).await?)
    }
}

/// That this process leads, for as long as it says so.
#[derive(Clone, Debug)]
pub struct Leadership {
    until: Arc<Mutex<Instant>>,
}

impl Leadership {
    fn until(until: Instant) -> Leadership {
        Leadership { until: Arc::new(Mutex::new(until)) }
    }

    /// How long this process may still act without a further renewal; zero when it leads no longer. What it begins now has to
    /// end within this time.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.until.lock().saturating_duration_since(Instant::now())
    }

    fn extend(&self, until: Instant) {
        *self.until.lock() = until;
    }
}

/// One process that would lead.
pub struct Candidate<L> {
    lease: L,
    identity: String,
    timing: Timing,
    clock: Clock,
    /// The Lease as it was last seen, and when it was first seen so.
    seen: Option<(Lease, Instant)>,
}

impl<L: LeaseApi> Candidate<L> {
    /// `identity` is to be this process's own: a process that finds itself as the holder takes the Lease for its own.
    pub fn new(lease: L, identity: impl Into<String>, timing: Timing, clock: Clock) -> Self {
        Candidate { lease, identity: identity.into(), timing, clock, seen: None }
    }

    /// Waits until this process leads, and does `work` until it is done or this process leads no longer. Then `work` is dropped
    /// where it stands, and the answer is `None`.
    pub async fn lead<T, W: Future<Output = T>>(&mut self, work: impl FnOnce(Leadership) -> W) -> Option<T> {
        let until = loop {
            let began = Instant::now();
            match self.acquire().await {
                // An answer that took too long is worth nothing: the others have waited all the while.
                Ok(true) if began + self.timing.renew > Instant::now() => break began + self.timing.renew,
                Ok(_) => {}
                Err(error) => tracing::debug!(identity = self.identity, %error, "the lease was not acquired"),
            }
            sleep(self.timing.retry).await;
        };
        tracing::info!(identity = self.identity, "leading");
        let leadership = Leadership::until(until);
        let work = work(leadership.clone());
        tokio::select! {
            // The work is not looked at again when the time is over.
            biased;
            () = self.renew(&leadership) => {
                tracing::warn!(identity = self.identity, "leading no longer");
                None
            }
            done = work => {
                leadership.extend(Instant::now());
                self.release().await;
                Some(done)
            }
        }
    }

    /// Renews until that has failed for too long.
    async fn renew(&mut self, leadership: &Leadership) {
        let mut until = Instant::now() + leadership.remaining();
        loop {
            let next = (Instant::now() + self.timing.retry).min(until);
            sleep_until(next).await;
            if Instant::now() >= until {
                return;
            }
            let began = Instant::now();
            match timeout_at(until, self.acquire()).await {
                Ok(Ok(true)) if began + self.timing.renew > Instant::now() => {
                    until = began + self.timing.renew;
                    leadership.extend(until);
                }
                Ok(Ok(true)) => return,
                Ok(Ok(false)) => {
                    // Somebody else has it.
                    leadership.extend(Instant::now());
                    return;
                }
                Ok(Err(error)) => tracing::debug!(identity = self.identity, %error, "the lease was not renewed"),
                Err(_) => return,
            }
        }
    }

    /// Makes the Lease this process's, or renews it. `false` if it is somebody else's.
    async fn acquire(&mut self) -> Result<bool, LeaseError> {
        let found = self.lease.get().await?;
        let Some(found) = found else {
            let lease = Lease { metadata: ObjectMeta::default(), spec: Some(self.claim(None)) };
            let made = self.lease.create(&lease).await?;
            self.see(made);
            return Ok(true);
        };
        self.see(found.clone());
        let spec = found.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        if !holder.is_empty() && holder != self.identity && !self.has_expired(&spec) {
            return Ok(false);
        }
        let lease = Lease { spec: Some(self.claim(Some(&spec))), ..found };
        let written = self.lease.update(&lease).await?;
        self.see(written);
        Ok(true)
    }

    fn see(&mut self, lease: Lease) {
        if self.seen.as_ref().is_none_or(|(seen, _)| seen.spec != lease.spec) {
            self.seen = Some((lease, Instant::now()));
        }
    }

    /// Whether the Lease has been as it is for as long as it lasts, which its holder states.
    fn has_expired(&self, spec: &LeaseSpec) -> bool {
        let stated = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let lasts = stated.map_or(self.timing.lease, Duration::from_secs);
        self.seen.as_ref().is_some_and(|(_, since)| since.elapsed() >= lasts)
    }

    /// What the Lease says when this process holds it.
    fn claim(&self, old: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(self.clock.now());
        let mine = old.is_some_and(|old| old.holder_identity.as_deref() == Some(&self.identity));
        let transitions = old.map(|old| old.lease_transitions.unwrap_or(0));
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(whole_seconds(self.timing.lease)),
            acquire_time: old.filter(|_| mine).and_then(|old| old.acquire_time.clone()).or(Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(transitions.map_or(0, |count| if mine { count } else { count.saturating_add(1) })),
            ..LeaseSpec::default()
        }
    }

    /// Lets another lead at once. If that fails, it waits as if this process had crashed.
    async fn release(&mut self) {
        let Some((seen, _)) = self.seen.clone() else { return };
        let spec = seen.spec.unwrap_or_default();
        let now = MicroTime(self.clock.now());
        let spec = LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            renew_time: Some(now.clone()),
            acquire_time: Some(now),
            lease_transitions: spec.lease_transitions,
            ..LeaseSpec::default()
        };
        let result = tokio::time::timeout(self.timing.retry, async {
            let found = self.lease.get().await?;
            match found {
                Some(found) if holds(&found, &self.identity) => {
                    self.lease.update(&Lease { spec: Some(spec), ..found }).await.map(|_| ())
                }
                _ => Ok(()),
            }
        });
        if let Ok(Err(error)) = result.await {
            tracing::debug!(identity = self.identity, %error, "the lease was not given back");
        }
    }
}

fn holds(lease: &Lease, identity: &str) -> bool {
    lease.spec.as_ref().is_some_and(|spec| spec.holder_identity.as_deref() == Some(identity))
}
