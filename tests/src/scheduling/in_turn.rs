//! What stands in a scheduler's place when everything else is to be measured: it binds each pod to the next node.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use client::cache::{Cache, ListWatch};
use client::queue::{Backoff, WorkQueue};
use client::resource::{Key, Resource, as_kind};
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::PostParams;
use kube::{Api, Client};
use parking_lot::RwLock;
use serde::de::IgnoredAny;
use serde_json::json;
use tokio::task::JoinSet;

/// When a pod is tried again that could not be bound.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(50), longest: Duration::from_secs(5) };
/// How many pods are bound at the same time.
const AT_ONCE: usize = 64;

/// The names of the nodes, in the order in which they came.
type Nodes = Arc<RwLock<Vec<String>>>;

/// No scheduler: binds each pod to the next node. What is left is what everything else costs.
#[must_use]
pub fn in_turn(client: Client, cache: Cache) -> BoxFuture<'static, JoinSet<()>> {
    async move {
        let (pods, nodes) = (Resource::of::<Pod>(), Resource::of::<Node>());
        let mut tasks = JoinSet::new();
        tasks.spawn(ListWatch::new(client.clone(), cache.clone(), pods.clone()).run::<Pod>());
        tasks.spawn(ListWatch::new(client.clone(), cache.clone(), nodes.clone()).run::<Node>());
        cache.synced(&pods).await;
        cache.synced(&nodes).await;
        tasks.spawn(bind_all(client, cache));
        tasks
    }
    .boxed()
}

/// Binds the pods that the cache shows until it is dropped.
async fn bind_all(client: Client, cache: Cache) {
    let (queue, names, turn) = (WorkQueue::new(BACKOFF), Nodes::default(), Arc::new(AtomicUsize::new(0)));
    let known = Arc::clone(&names);
    let _nodes = cache.subscribe(&Resource::of::<Node>(), move |change| {
        if let (None, Some(node)) = (&change.old, &change.new) {
            known.write().extend(node.meta().name.clone());
        }
    });
    let added = queue.clone();
    let _pods = cache.subscribe(&Resource::of::<Pod>(), move |change| {
        if let Some(pod) = change.new.as_ref().and_then(as_kind::<Pod>).filter(|pod| is_waiting(pod)) {
            added.add(Key::to(&*pod));
        }
    });
    let mut tasks = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (client, cache, queue) = (client.clone(), cache.clone(), queue.clone());
        let (names, turn) = (Arc::clone(&names), Arc::clone(&turn));
        tasks.spawn(async move {
            while let Some(work) = queue.next().await {
                let key = work.key().clone();
                let pod = cache.get::<Pod>(&key.namespace, &key.name);
                let Some(pod) = pod.filter(|pod| is_waiting(pod)) else { continue };
                let next = turn.fetch_add(1, Ordering::Relaxed);
                let node = {
                    let names = names.read();
                    names.get(next % names.len().max(1)).cloned()
                };
                let bound = match node {
                    Some(node) => bind(&client, &pod, &node).await.is_ok(),
                    None => false,
                };
                if bound {
                    queue.succeeded(&key);
                } else {
                    queue.add_failed(key);
                }
            }
        });
    }
    tasks.join_all().await;
}

fn is_waiting(pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    let is_free = spec.is_some_and(|spec| spec.node_name.is_none() && spec.scheduling_gates.is_none());
    is_free && pod.metadata.deletion_timestamp.is_none()
}

async fn bind(client: &Client, pod: &Pod, node: &str) -> Result<(), kube::Error> {
    let meta = &pod.metadata;
    let (name, namespace) = (meta.name.as_deref().unwrap_or_default(), meta.namespace.as_deref().unwrap_or_default());
    let binding = json!({
        "metadata": {"name": name, "namespace": namespace, "uid": meta.uid},
        "target": {"kind": "Node", "name": node},
    });
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let bound = api.create_subresource("binding", name, &PostParams::default(), &binding).await;
    bound.map(|_: IgnoredAny| ())
}
