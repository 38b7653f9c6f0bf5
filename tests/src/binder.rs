//! Binds pods to nodes in turn: what stands for a scheduler as long as it is not what is tested.

use std::time::Duration;

use client::cache::{Cache, ListWatch};
use client::queue::{Backoff, WorkQueue};
use client::resource::{Key, Resource, as_kind};
use k8s_openapi::api::core::v1::{Binding, Node, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::task::JoinSet;

/// Where pods go that nobody has bound.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(50), longest: Duration::from_secs(5) };

/// Binds pods until it is dropped.
pub async fn run(client: Client) {
    let cache = Cache::new();
    let queue: WorkQueue<Key> = WorkQueue::new(BACKOFF);
    let mut tasks = JoinSet::new();
    let (pods, nodes) = (Resource::of::<Pod>(), Resource::of::<Node>());
    tasks.spawn(ListWatch::new(client.clone(), cache.clone(), pods.clone()).run::<Pod>());
    tasks.spawn(ListWatch::new(client.clone(), cache.clone(), nodes.clone()).run::<Node>());
    cache.synced(&nodes).await;
    let added = queue.clone();
    let _subscription = cache.subscribe(&pods, move |change| {
        let pod = change.new.as_ref().and_then(as_kind::<Pod>);
        if let Some(pod) = pod.filter(|pod| is_waiting(pod)) {
            added.add(Key::to(&*pod));
        }
    });
    let mut turn = 0_usize;
    while let Some(work) = queue.next().await {
        let key = work.key().clone();
        let Some(pod) = cache.get::<Pod>(&key.namespace, &key.name).filter(|pod| is_waiting(pod)) else { continue };
        let nodes: Vec<_> = cache.list::<Node>(None).into_iter().filter(|node| is_usable(node)).collect();
        turn += 1;
        let bound = match nodes.get(turn % nodes.len().max(1)) {
            Some(node) => bind(&client, &pod, node.metadata.name.as_deref().unwrap_or_default()).await.is_ok(),
            None => false,
        };
        if bound {
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

fn is_usable(node: &Node) -> bool {
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
