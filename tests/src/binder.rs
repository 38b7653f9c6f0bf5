//! Binds pods to nodes in turn: what stands for a scheduler as long as it is not what is tested.

use std::sync::Arc;
use std::time::{Duration, Instant};

use client::cache::{Cache, ListWatch};
use client::queue::{Backoff, WorkQueue};
use client::resource::{Key, Resource, as_kind};
use k8s_openapi::api::core::v1::{Binding, Node, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};
use parking_lot::Mutex;
use tokio::task::JoinSet;

/// Where pods go that nobody has bound.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(50), longest: Duration::from_secs(5) };

/// How many pods are bound at the same time.
const AT_ONCE: usize = 64;

/// How long each binding took.
#[derive(Clone, Debug, Default)]
pub struct Times(Arc<Mutex<Vec<Duration>>>);

impl Times {
    /// Those since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<Duration> {
        std::mem::take(&mut *self.0.lock())
    }
}

/// Binds pods until it is dropped.
pub async fn run(client: Client) {
    let cache = Cache::new();
    let mut tasks = JoinSet::new();
    let (pods, nodes) = (Resource::of::<Pod>(), Resource::of::<Node>());
    tasks.spawn(ListWatch::new(client.clone(), cache.clone(), pods).run::<Pod>());
    tasks.spawn(ListWatch::new(client.clone(), cache.clone(), nodes).run::<Node>());
    bind_from(client, cache, Times::default()).await;
}

/// Binds the pods that `cache` shows to the nodes that it shows, until it is dropped.
pub async fn bind_from(client: Client, cache: Cache, times: Times) {
    let nodes = Resource::of::<Node>();
    cache.synced(&nodes).await;
    let queue: WorkQueue<Key> = WorkQueue::new(BACKOFF);
    let added = queue.clone();
    let _pods = cache.subscribe(&Resource::of::<Pod>(), move |change| {
        let pod = change.new.as_ref().and_then(as_kind::<Pod>);
        if let Some(pod) = pod.filter(|pod| is_waiting(pod)) {
            added.add(Key::to(&*pod));
        }
    });
    let usable: Arc<Mutex<Usable>> = Arc::default();
    let seen = Arc::clone(&usable);
    let _nodes = cache.subscribe(&nodes, move |change| {
        let Some(name) = change.latest().and_then(|node| node.meta().name.clone()) else { return };
        let usable = change.new.as_ref().and_then(as_kind::<Node>).is_some_and(|node| is_usable(&node));
        seen.lock().set(name, usable);
    });
    let mut tasks = JoinSet::new();
    for _ in 0..AT_ONCE {
        tasks.spawn(work(client.clone(), cache.clone(), queue.clone(), Arc::clone(&usable), times.clone()));
    }
    tasks.join_all().await;
}

/// The nodes that take pods, of which each has its turn.
#[derive(Default)]
struct Usable {
    names: Vec<String>,
    turn: usize,
}

impl Usable {
    fn set(&mut self, name: String, usable: bool) {
        match self.names.binary_search(&name) {
            Ok(at) if !usable => drop(self.names.remove(at)),
            Err(at) if usable => self.names.insert(at, name),
            _ => {}
        }
    }

    fn next(&mut self) -> Option<String> {
        self.turn = self.turn.wrapping_add(1);
        self.names.get(self.turn % self.names.len().max(1)).cloned()
    }
}

async fn work(client: Client, cache: Cache, queue: WorkQueue<Key>, usable: Arc<Mutex<Usable>>, times: Times) {
    while let Some(work) = queue.next().await {
        let key = work.key().clone();
        let Some(pod) = cache.get::<Pod>(&key.namespace, &key.name).filter(|pod| is_waiting(pod)) else { continue };
        let begin = Instant::now();
        let node = usable.lock().next();
        let bound = match node {
            Some(node) => bind(&client, &pod, &node).await.is_ok(),
            None => false,
        };
        if bound {
            times.0.lock().push(begin.elapsed());
            queue.succeeded(&key);
        } else {
            queue.add_failed(key);
        }
    }
}

fn is_waiting(pod: &Pod) -> bool {
    let bound = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
    !bound && pod.metadata.deletion_timestamp.is_none()
}

/// Whether pods may be bound to a node.
#[must_use]
pub fn is_usable(node: &Node) -> bool {
    let spec = node.spec.as_ref();
    let tainted = spec.is_some_and(|spec| spec.taints.as_ref().is_some_and(|taints| !taints.is_empty()));
    !tainted && node.metadata.deletion_timestamp.is_none()
}

async fn bind(client: &Client, pod: &Pod, node: &str) -> Result<(), kube::Error> {
    let name = pod.metadata.name.clone().unwrap_or_default();
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let binding = Binding {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(namespace.clone()),
            uid: pod.metadata.uid.clone(),
            ..ObjectMeta::default()
        },
        target: ObjectReference {
            kind: Some("Node".to_owned()),
            name: Some(node.to_owned()),
            ..ObjectReference::default()
        },
    };
    let api: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let bound = api.create_subresource("binding", &name, &PostParams::default(), &binding).await;
    bound.map(|_: serde_json::Value| ())
}
