//! What the agent knows of the cluster besides its pods: Services, RuntimeClasses, its own Node; and of the machine, what is
//! the same for every pod.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use client::cache::{Cache, ListWatch};
use client::resource::Resource;
use k8s_openapi::api::core::v1::{Node as ApiNode, Pod, Service};
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::Client;
use parking_lot::RwLock;
use tokio::time::timeout;

use crate::containers::Node;

/// How long it is waited for what the API has, if it was not known before.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is known.
pub(super) struct Known {
    client: Client,
    cache: Cache,
    node_name: String,
    machine: RwLock<Machine>,
}

#[derive(Default)]
struct Machine {
    node: Node,
    addresses: Vec<IpAddr>,
}

impl Known {
    pub(super) fn new(client: Client, node_name: &str) -> Known {
        Known { client, cache: Cache::new(), node_name: node_name.to_owned(), machine: RwLock::default() }
    }

    /// Says what the machine is.
    pub(super) fn set_machine(&self, node: Node, addresses: Vec<IpAddr>) {
        *self.machine.write() = Machine { node, addresses };
    }

    /// What is the same for every pod.
    pub(super) fn node(&self) -> Node {
        self.machine.read().node.clone()
    }

    /// The node's addresses, the first of each family.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        self.machine.read().addresses.clone()
    }

    /// All Services.
    pub(super) fn services(&self) -> Vec<Arc<Service>> {
        self.cache.list(None)
    }

    /// The Node as the API has it, if that is known.
    pub(super) fn api_node(&self) -> Option<Arc<ApiNode>> {
        self.cache.get("", &self.node_name)
    }

    /// Waits until the Node is known, but not for long if the API is away.
    pub(super) async fn node_known(&self) {
        let _ = timeout(PATIENCE, self.cache.synced(&Resource::of::<ApiNode>())).await;
    }

    /// Waits until the Services are known, but not for long if the API is away.
    pub(super) async fn services_known(&self) {
        let _ = timeout(PATIENCE, self.cache.synced(&Resource::of::<Service>())).await;
    }

    /// What the runtime is to run a pod with: the handler of its RuntimeClass. Fails with what is to be said of it.
    pub(super) async fn runtime_handler(&self, pod: &Pod) -> Result<String, String> {
        let class = pod.spec.as_ref().and_then(|spec| spec.runtime_class_name.as_deref());
        let Some(class) = class.filter(|class| !class.is_empty()) else { return Ok(String::new()) };
        let _ = timeout(PATIENCE, self.cache.synced(&Resource::of::<RuntimeClass>())).await;
        let found: Option<Arc<RuntimeClass>> = self.cache.get("", class);
        let found = found.ok_or_else(|| {
            format!("failed to get sandbox runtime: RuntimeClass {class:?} not found: runtimeclass.node.k8s.io {class:?} not found")
        })?;
        Ok(found.handler.clone())
    }

    /// Keeps all of it, until it is dropped.
    pub(super) async fn keep(&self) {
        let watch = |resource| ListWatch::new(self.client.clone(), self.cache.clone(), resource);
        let node = watch(Resource::of::<ApiNode>()).selecting(format!("metadata.name={}", self.node_name));
        tokio::join!(
            watch(Resource::of::<Service>()).run::<Service>(),
            watch(Resource::of::<RuntimeClass>()).run::<RuntimeClass>(),
            node.run::<ApiNode>(),
        );
    }
}
