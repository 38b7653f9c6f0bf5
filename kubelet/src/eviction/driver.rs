//! Looks every ten seconds whether pods have to go, and has them go.
//!
//! What is reclaimed and ended is the [`Grounds`]' to do. After a pod was told to go, the next look waits until it has
//! gone, but not for longer than half a minute; then it comes at once, for one pod may not have been enough.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use client::clock::Clock;
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Conditions, Eviction, Low, Settings, State, decide, suffices};
use crate::stats::Figures;

/// How often it looks (upstream's number).
const LOOK: Duration = Duration::from_secs(10);
/// How long it waits until evicted pods are gone, and how often it asks (upstream's numbers).
const GONE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(1));

/// What pods are evicted from.
pub trait Grounds: Send + Sync + 'static {
    /// What is used, read anew; `None` if that cannot be found out.
    fn figures(&self) -> impl Future<Output = Option<Arc<Figures>>> + Send;
    /// The pods that have something running, and have not been told to go.
    fn pods(&self) -> Vec<Arc<Pod>>;
    /// Has a pod go, and says so in an Event about it.
    fn evict(&self, eviction: &Eviction) -> impl Future<Output = ()> + Send;
    /// Whether nothing of a pod is left on the node.
    fn is_gone(&self, uid: &str) -> bool;
    /// Removes containers that have ended and images that nobody uses.
    fn reclaim(&self) -> impl Future<Output = ()> + Send;
    /// Says in an Event about the node (`EvictionThresholdMet`) that it reclaims something:
    /// `Attempting to reclaim memory`.
    fn is_low(&self, resource: &str);
}

/// Looks until it is told to stop. The node's conditions are told through `conditions`, when they change.
pub async fn run(
    grounds: impl Grounds,
    settings: Settings,
    clock: Clock,
    conditions: watch::Sender<Conditions>,
    stop: CancellationToken,
) {
    let mut state = State::default();
    let looks = async {
        loop {
            let evicted = look(&grounds, &settings, &clock, &mut state, &conditions).await;
            if evicted.is_empty() {
                tokio::time::sleep(LOOK).await;
            } else {
                until_gone(&grounds, &evicted).await;
            }
        }
    };
    tokio::select! {
        () = looks => {}
        () = stop.cancelled() => {}
    }
}

/// Looks once, does what is to be done, and gives the uids of the pods that go.
async fn look(
    grounds: &impl Grounds,
    settings: &Settings,
    clock: &Clock,
    state: &mut State,
    conditions: &watch::Sender<Conditions>,
) -> Vec<String> {
    // Before the figures: a pod that starts meanwhile has none.
    let pods = grounds.pods();
    let Some(figures) = grounds.figures().await else {
        tracing::warn!("nobody knows what the node uses: no pod is evicted");
        return Vec::new();
    };
    let decision = decide(&figures, &pods, state, settings, clock.now());
    *state = decision.state;
    conditions.send_if_modified(|known| std::mem::replace(known, decision.conditions) != decision.conditions);
    let mut go = decision.over_limits;
    if let Some(low) = decision.low {
        go.extend(make_room(grounds, settings, low).await);
    }
    for eviction in &go {
        tracing::info!(pod = eviction.uid, why = eviction.condemned.why.message, "evicts a pod");
        grounds.evict(eviction).await;
    }
    go.into_iter().map(|eviction| eviction.uid).collect()
}

/// Reclaims what can be had without ending a pod, and gives the pod that goes if that is not enough.
async fn make_room(grounds: &impl Grounds, settings: &Settings, low: Low) -> Option<Eviction> {
    grounds.is_low(low.resource);
    if low.reclaim {
        grounds.reclaim().await;
        if grounds.figures().await.is_some_and(|figures| suffices(&figures, settings)) {
            return None;
        }
    }
    if low.evict.is_none() {
        tracing::warn!(resource = low.resource, "the node runs out of it, and there is no pod that may be evicted");
    }
    low.evict
}

async fn until_gone(grounds: &impl Grounds, uids: &[String]) {
    let deadline = Instant::now() + GONE.0;
    while Instant::now() < deadline {
        tokio::time::sleep(GONE.1).await;
        if uids.iter().all(|uid| grounds.is_gone(uid)) {
            return;
        }
    }
    tracing::warn!(?uids, "evicted pods take long to go");
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use parking_lot::Mutex;

    use super::*;
    use crate::stats::{Filesystem, NodeFigures};

    /// A node whose disk is full of images and pods.
    struct Node {
        clock: Clock,
        used: Mutex<Used>,
        did: Mutex<Vec<String>>,
    }

    /// Hundredths of the disk.
    struct Used {
        images: u64,
        pods: Vec<(String, u64)>,
    }

    impl Grounds for Arc<Node> {
        async fn figures(&self) -> Option<Arc<Figures>> {
            let used = self.used.lock();
            let taken = used.images + used.pods.iter().map(|(_, used)| used).sum::<u64>();
            let disk =
                Filesystem { at: self.clock.now(), available: 100 - taken, capacity: 100, ..Filesystem::default() };
            Some(Arc::new(Figures {
                node: NodeFigures { filesystem: Some(disk), ..NodeFigures::default() },
                ..Figures::default()
            }))
        }

        fn pods(&self) -> Vec<Arc<Pod>> {
            let pod = |uid: &String| {
                let metadata = ObjectMeta { uid: Some(uid.clone()), ..ObjectMeta::default() };
                Arc::new(Pod { metadata, ..Pod::default() })
            };
            self.used.lock().pods.iter().map(|(uid, _)| pod(uid)).collect()
        }

        async fn evict(&self, eviction: &Eviction) {
            self.did.lock().push(format!("evict {}", eviction.uid));
            self.used.lock().pods.retain(|(uid, _)| *uid != eviction.uid);
        }

        fn is_gone(&self, uid: &str) -> bool {
            self.used.lock().pods.iter().all(|(other, _)| other != uid)
        }

        async fn reclaim(&self) {
            self.did.lock().push("reclaim".to_owned());
            self.used.lock().images = 0;
        }

        fn is_low(&self, resource: &str) {
            self.did.lock().push(format!("low on {resource}"));
        }
    }

    /// What is done about a disk in 15 seconds.
    async fn done(images: u64, pods: &[(&str, u64)]) -> (Vec<String>, Conditions) {
        let clock = Clock::simulated(Timestamp::from_second(1_772_366_400).unwrap());
        let pods = pods.iter().map(|(uid, used)| ((*uid).to_owned(), *used)).collect();
        let used = Mutex::new(Used { images, pods });
        let node = Arc::new(Node { clock, used, did: Mutex::default() });
        let (told, conditions) = watch::channel(Conditions::default());
        let looks = run(node.clone(), Settings::default(), clock, told, CancellationToken::new());
        assert!(tokio::time::timeout(Duration::from_secs(15), looks).await.is_err(), "it goes on until it is stopped");
        let did = node.did.lock().clone();
        (did, *conditions.borrow())
    }

    #[tokio::test(start_paused = true)]
    async fn pods_go_one_by_one_until_there_is_room() {
        let (did, conditions) = done(0, &[("a", 40), ("b", 40), ("c", 15)]).await;
        assert_eq!(did, ["low on ephemeral-storage", "reclaim", "evict a"]);
        assert_eq!(conditions, Conditions { disk: true, ..Conditions::default() });
        let (did, _) = done(0, &[("a", 1), ("b", 1), ("c", 93)]).await;
        assert_eq!(did.iter().filter(|did| did.starts_with("evict")).count(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn no_pod_goes_if_images_are_enough() {
        let (did, conditions) = done(50, &[("a", 45)]).await;
        assert_eq!(did, ["low on ephemeral-storage", "reclaim"]);
        // Only just.
        assert!(conditions.disk);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_done_while_there_is_enough() {
        assert_eq!(done(50, &[("a", 40)]).await, (Vec::new(), Conditions::default()));
    }
}
