//! Keeps the Node and its Lease in the API: registers, renews, and reports.
//!
//! What the Node says is reported at once when it changes, and now and then if it does not, so that a Node that somebody
//! else changed is set right. A node that is deleted from the API does not register again, as upstream's: should somebody
//! make the Node anew, its Lease tells.

use std::time::Duration;

use client::clock::Clock;
use client::queue::Backoff;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use parking_lot::Mutex;
use rand::Rng;
use rand::rngs::StdRng;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::lease::{LEASES, lease, renewed};
use super::report::report;
use crate::request::{Failure, ask};

/// The waits after failures (upstream's bounds).
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(200), longest: Duration::from_secs(7) };
/// By how much an interval is longer at times, so that nodes do not come to renew their Leases at the same time.
const JITTER: f64 = 0.04;

/// What there is to be said of a node.
pub(crate) trait Describes: Send + Sync {
    /// The Node as it is now.
    fn node(&self, now: Timestamp) -> Node;
    /// Is told what the API made of it.
    fn learn(&self, node: &Node);
}

/// How often what is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Intervals {
    /// How long a Lease lasts.
    pub(crate) lease: Duration,
    /// How often it is renewed.
    pub(crate) renew: Duration,
    /// How often the Node is reported if nothing changes.
    pub(crate) report: Duration,
    /// How often it is looked whether something has changed, if by nobody saying so.
    pub(crate) check: Option<Duration>,
}

/// Keeps a Node and its Lease.
pub(crate) struct Keeper<D> {
    client: Client,
    clock: Clock,
    name: String,
    intervals: Intervals,
    describes: D,
    /// That the Node is to be reported at once.
    stale: Notify,
    random: Mutex<StdRng>,
    /// What was reported last, without the time at which it was.
    reported: Mutex<Option<Node>>,
}

impl<D: Describes> Keeper<D> {
    pub(crate) fn new(
        client: Client,
        clock: Clock,
        name: &str,
        intervals: Intervals,
        describes: D,
        random: StdRng,
    ) -> Keeper<D> {
        let (stale, random, reported) = (Notify::new(), Mutex::new(random), Mutex::default());
        Keeper { client, clock, name: name.to_owned(), intervals, describes, stale, random, reported }
    }

    /// Has the Node reported at once.
    pub(crate) fn changed(&self) {
        self.stale.notify_one();
    }

    fn nodes(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), LEASES)
    }

    /// A part of an interval, from nothing to all of it.
    fn part_of(&self, interval: Duration) -> Duration {
        interval.mul_f64(self.random.lock().random::<f64>())
    }

    /// Makes the Node, or makes it say what it has to, however long that takes.
    pub(crate) async fn register(&self) {
        let mut failures = 0_u32;
        while let Err(error) = self.try_to_register().await {
            if error.is_for_good() {
                tracing::warn!(node = self.name, %error, "the node is not registered");
            } else {
                tracing::debug!(node = self.name, %error, "the node is not registered yet");
            }
            failures += 1;
            sleep(BACKOFF.after(failures)).await;
        }
    }

    async fn try_to_register(&self) -> Result<(), Failure> {
        let node = self.describes.node(self.clock.now());
        let answer = ask(self.nodes().create(&PostParams::default(), &node)).await;
        let made = match answer {
            Err(failure) if failure.is(409) => return self.report().await,
            answer => answer?,
        };
        *self.reported.lock() = Some(timeless(node));
        self.describes.learn(&made);
        Ok(())
    }

    /// Makes the Node say what it has to.
    async fn report(&self) -> Result<(), Failure> {
        let known = ask(self.nodes().get(&self.name)).await?;
        let node = self.describes.node(self.clock.now());
        let patch = Patch::Strategic(report(&known, &node));
        let written = ask(self.nodes().patch_status(&self.name, &PatchParams::default(), &patch)).await?;
        *self.reported.lock() = Some(timeless(node));
        self.describes.learn(&written);
        Ok(())
    }

    /// Waits until the Node is to be reported.
    async fn is_due(&self, wait: Duration) {
        let until = Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            tokio::select! {
                biased;
                () = self.stale.notified() => return,
                () = sleep(self.intervals.check.map_or(left, |check| check.min(left))) => {}
            }
            let changed = || Some(timeless(self.describes.node(self.clock.now()))) != *self.reported.lock();
            if Instant::now() >= until || changed() {
                return;
            }
        }
    }

    /// Reports now and then, and at once when something has changed or the API may think that the node is gone.
    pub(crate) async fn keep_reporting(&self) {
        let interval = self.intervals.report;
        let mut wait = self.part_of(interval);
        loop {
            self.is_due(wait).await;
            let mut failures = 0_u32;
            while let Err(error) = self.report().await {
                tracing::debug!(node = self.name, %error, "no status reported");
                if error.is(404) {
                    break;
                }
                failures += 1;
                sleep(BACKOFF.after(failures)).await;
            }
            wait = interval;
        }
    }

    /// Renews the Lease.
    pub(crate) async fn keep_lease(&self) {
        let interval = self.intervals.renew;
        let (mut held, mut failures) = (None, 0_u32);
        let mut renewed = Instant::now();
        let mut wait = self.part_of(interval);
        loop {
            match self.renew(held.take()).await {
                Ok((lease, made)) => {
                    // After so long a silence, or sooner if it is so configured, the node may count as gone.
                    if renewed.elapsed() > interval * 2 || (made && failures > 0) {
                        self.stale.notify_one();
                    }
                    (held, failures, renewed) = (Some(lease), 0, Instant::now());
                    sleep(wait).await;
                    wait = interval + self.part_of(interval.mul_f64(JITTER));
                }
                Err(error) => {
                    tracing::debug!(node = self.name, %error, "the lease is not renewed");
                    failures += 1;
                    sleep(BACKOFF.after(failures)).await;
                }
            }
        }
    }

    /// Renews the Lease, and says whether it had to be made.
    async fn renew(&self, held: Option<Lease>) -> Result<(Lease, bool), Failure> {
        let leases = self.leases();
        let held = match held {
            Some(held) => Some(held),
            None => ask(leases.get_opt(&self.name)).await?,
        };
        let (now, lasts) = (self.clock.now(), self.intervals.lease);
        match held {
            Some(held) => {
                let lease = renewed(held, &self.name, lasts, now);
                Ok((ask(leases.replace(&self.name, &PostParams::default(), &lease)).await?, false))
            }
            None => {
                // It goes with the Node, so that there is none without one.
                let node = ask(self.nodes().get(&self.name)).await?;
                let lease = lease(&node, lasts, now);
                Ok((ask(leases.create(&PostParams::default(), &lease)).await?, true))
            }
        }
    }

    /// Is told what the API made of the Node.
    pub(crate) fn learn(&self, node: &Node) {
        self.describes.learn(node);
    }

    /// The Node, from the API.
    pub(crate) async fn get(&self) -> Result<Node, Failure> {
        ask(self.nodes().get(&self.name)).await
    }
}

/// A Node without the times at which its conditions were looked at: those alone are no change.
fn timeless(mut node: Node) -> Node {
    for condition in node.status.iter_mut().flat_map(|status| status.conditions.iter_mut().flatten()) {
        (condition.last_heartbeat_time, condition.last_transition_time) = (None, None);
    }
    node
}
