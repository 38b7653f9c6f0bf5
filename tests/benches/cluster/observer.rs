//! Sees how far the cluster has come, from one watch of each kind.

use std::sync::Arc;
use std::time::Duration;

use client::cache::{Cache, Change, ListWatch, Subscription};
use client::resource::{Kind, Resource, as_kind};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The namespace that everything happens in.
pub(crate) const NAMESPACE: &str = "bench";

/// What there is now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Pods, those on their way out with them.
    pub(crate) pods: usize,
    /// Pods that have not been told to end.
    pub(crate) living: usize,
    /// Of those, the ones that have a node.
    pub(crate) bound: usize,
    /// Of those, the ones that are ready.
    pub(crate) ready: usize,
    /// Of the ready ones, those of the second version of their template.
    pub(crate) updated: usize,
    /// Pods that their Deployments say are available.
    pub(crate) available: usize,
    /// Namespaces to measure in.
    pub(crate) namespaces: usize,
    /// Nodes that take pods.
    pub(crate) nodes: usize,
}

impl Tally {
    fn each(&mut self) -> [&mut usize; 8] {
        let Tally { pods, living, bound, ready, updated, available, namespaces, nodes } = self;
        [pods, living, bound, ready, updated, available, namespaces, nodes]
    }

    fn add(&mut self, mut part: Tally) {
        self.each().into_iter().zip(part.each()).for_each(|(sum, part)| *sum += *part);
    }

    fn subtract(&mut self, mut part: Tally) {
        self.each().into_iter().zip(part.each()).for_each(|(sum, part)| *sum -= *part);
    }
}

/// What an object counts for.
trait Counted: Kind {
    fn counts(&self) -> Tally;
}

impl Counted for Pod {
    fn counts(&self) -> Tally {
        let is_ours = self.metadata.namespace.as_deref() == Some(NAMESPACE);
        if !is_ours || self.metadata.deletion_timestamp.is_some() {
            return Tally { pods: usize::from(is_ours), ..Tally::default() };
        }
        let bound = self.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
        let mut conditions = self.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let ready = bound && conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True");
        let image = self.spec.as_ref().and_then(|spec| spec.containers.first()?.image.as_deref());
        let updated = ready && image.is_some_and(|image| image.ends_with(":2"));
        let [bound, ready, updated] = [bound, ready, updated].map(usize::from);
        Tally { pods: 1, living: 1, bound, ready, updated, ..Tally::default() }
    }
}

impl Counted for Deployment {
    fn counts(&self) -> Tally {
        let available = self.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0);
        Tally { available: usize::try_from(available).unwrap_or(0), ..Tally::default() }
    }
}

impl Counted for Namespace {
    fn counts(&self) -> Tally {
        let is_ours = self.metadata.name.as_deref() == Some(NAMESPACE);
        Tally { namespaces: usize::from(is_ours), ..Tally::default() }
    }
}

impl Counted for Node {
    fn counts(&self) -> Tally {
        Tally { nodes: usize::from(is_usable(self)), ..Tally::default() }
    }
}

/// Whether pods may go to a node.
fn is_usable(node: &Node) -> bool {
    let spec = node.spec.as_ref();
    let tainted = spec.is_some_and(|spec| spec.taints.as_ref().is_some_and(|taints| !taints.is_empty()));
    !tainted && node.metadata.deletion_timestamp.is_none()
}

/// Watches until it is dropped.
pub(crate) struct Observer {
    tally: Arc<watch::Sender<Tally>>,
    _subscriptions: Vec<Subscription>,
    _tasks: JoinSet<()>,
}

impl Observer {
    /// Begins, and waits until everything that there is has been seen.
    pub(crate) async fn start(client: &Client) -> Observer {
        let cache = Cache::new();
        let tally = Arc::new(watch::Sender::new(Tally::default()));
        let mut tasks = JoinSet::new();
        let subscriptions = vec![
            observe::<Pod>(&cache, &tally, client, &mut tasks),
            observe::<Deployment>(&cache, &tally, client, &mut tasks),
            observe::<Namespace>(&cache, &tally, client, &mut tasks),
            observe::<Node>(&cache, &tally, client, &mut tasks),
        ];
        for resource in cache.resources() {
            cache.synced(&resource).await;
        }
        Observer { tally, _subscriptions: subscriptions, _tasks: tasks }
    }

    /// Waits until the cluster has come so far. Says whether it has, in that time.
    pub(crate) async fn reaches(&self, within: Duration, far_enough: impl FnMut(&Tally) -> bool) -> bool {
        let mut tally = self.tally.subscribe();
        timeout(within, tally.wait_for(far_enough)).await.is_ok()
    }

    /// What there is now.
    pub(crate) fn now(&self) -> Tally {
        *self.tally.borrow()
    }
}

fn observe<K: Counted>(
    cache: &Cache,
    tally: &Arc<watch::Sender<Tally>>,
    client: &Client,
    tasks: &mut JoinSet<()>,
) -> Subscription {
    let resource = Resource::of::<K>();
    let tally = Arc::clone(tally);
    let subscription = cache.subscribe(&resource, move |Change { old, new, .. }| {
        let of = |object: &Option<_>| object.as_ref().and_then(as_kind::<K>).map(|object| object.counts());
        tally.send_modify(|tally| {
            tally.add(of(new).unwrap_or_default());
            tally.subtract(of(old).unwrap_or_default());
        });
    });
    tasks.spawn(ListWatch::new(client.clone(), cache.clone(), resource).run::<K>());
    subscription
}
