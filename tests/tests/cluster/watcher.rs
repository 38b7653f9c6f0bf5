//! Sees every moment of the pods of a Deployment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use client::cache::{Cache, ListWatch};
use client::resource::{Resource, as_kind};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tests::cluster::Cluster;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::timeout;

/// A pod as it matters here.
#[derive(Clone, PartialEq)]
struct Seen {
    available: bool,
    node: String,
}

/// What is seen now, and the extremes of what was seen.
#[derive(Default)]
struct Moments {
    pods: BTreeMap<String, Seen>,
    /// How many pods each ReplicaSet wants.
    sets: BTreeMap<String, usize>,
    fewest: usize,
    most: usize,
}

impl Moments {
    fn available(&self) -> usize {
        self.pods.values().filter(|pod| pod.available).count()
    }

    fn wanted(&self) -> usize {
        self.sets.values().sum()
    }
}

/// Watches until it is dropped.
pub(crate) struct Watcher {
    runtime: Runtime,
    moments: Arc<watch::Sender<Moments>>,
}

impl Watcher {
    /// Begins to watch.
    pub(crate) fn start(cluster: &Cluster) -> Watcher {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let moments = Arc::new(watch::Sender::new(Moments::default()));
        let client = runtime.block_on(cluster.client());
        let cache = Cache::new();
        let pods = Resource::of::<Pod>();
        let seen = Arc::clone(&moments);
        let subscription = cache.subscribe(&pods, move |change| {
            let Some(name) = change.latest().and_then(|pod| pod.meta().name.clone()) else { return };
            let new = change.new.as_ref().and_then(as_kind::<Pod>).filter(|pod| is_counted(pod));
            seen.send_modify(|moments| {
                match new {
                    Some(pod) => drop(moments.pods.insert(name, look_at(&pod))),
                    None => drop(moments.pods.remove(&name)),
                }
                moments.fewest = moments.fewest.min(moments.available());
            });
        });
        let sets = Resource::of::<ReplicaSet>();
        let seen = Arc::clone(&moments);
        let of_sets = cache.subscribe(&sets, move |change| {
            let Some(name) = change.latest().and_then(|set| set.meta().name.clone()) else { return };
            let new = change.new.as_ref().and_then(as_kind::<ReplicaSet>).filter(|set| is_ours(&set.metadata));
            let wanted = new.and_then(|set| set.spec.replicas).and_then(|wanted| usize::try_from(wanted).ok());
            seen.send_modify(|moments| {
                moments.sets.insert(name, wanted.unwrap_or(0));
                moments.most = moments.most.max(moments.wanted());
            });
        });
        runtime.spawn(async move {
            let _subscriptions = (subscription, of_sets);
            let sets = ListWatch::new(client.clone(), cache.clone(), sets).run::<ReplicaSet>();
            tokio::join!(ListWatch::new(client, cache, pods).run::<Pod>(), sets);
        });
        Watcher { runtime, moments }
    }

    fn wait(&self, within: Duration, what: &str, until: impl FnMut(&Moments) -> bool) {
        let mut moments = self.moments.subscribe();
        let waited = self.runtime.block_on(async { timeout(within, moments.wait_for(until)).await.map(drop) });
        assert!(waited.is_ok(), "{what}, not within {within:?}");
    }

    /// Waits until so many pods are there, all of them available.
    pub(crate) fn available(&self, pods: usize, within: Duration) {
        let all = |moments: &Moments| moments.pods.len() == pods && moments.available() == pods;
        self.wait(within, &format!("{pods} pods"), all);
    }

    /// Waits until no pod is on a node.
    pub(crate) fn nothing_on(&self, node: &str, within: Duration) {
        self.wait(within, &format!("nothing on {node}"), |moments| moments.pods.values().all(|pod| pod.node != node));
    }

    /// Begins to keep the extremes.
    pub(crate) fn begin(&self) {
        self.moments.send_modify(|moments| {
            moments.fewest = moments.available();
            moments.most = moments.wanted();
        });
    }

    /// The fewest pods that were available at any moment since, and the most that the ReplicaSets wanted.
    pub(crate) fn end(&self) -> (usize, usize) {
        let moments = self.moments.borrow();
        (moments.fewest, moments.most)
    }
}

/// Whether it is one of the Deployment's that has not been told to end.
fn is_counted(pod: &Pod) -> bool {
    is_ours(&pod.metadata) && pod.metadata.deletion_timestamp.is_none()
}

fn is_ours(meta: &ObjectMeta) -> bool {
    meta.labels.iter().flatten().any(|(key, value)| key == "app" && value == "web")
}

fn look_at(pod: &Pod) -> Seen {
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let available = conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
    Seen { available, node }
}
