//! What scheduling sees of a node besides its resources, which stand in columns.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;

use super::PlacedPod;
use super::pod::amounts;
use super::ports::TakenPorts;
use super::taints::Taint;

/// A node and the pods on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeInfo {
    /// Its name.
    pub name: String,
    /// Whether there is such a node. If not, there are pods that say that they are on it.
    pub exists: bool,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// Whether no further pods shall come.
    pub unschedulable: bool,
    /// What its kubelet says that it can.
    pub declared_features: Vec<String>,
    /// The sizes of images that it has, by every name that they have.
    pub images: BTreeMap<String, i64>,
    /// The ports that its pods have taken.
    pub ports: TakenPorts,
    /// Its pods, in no order.
    pub pods: Vec<Arc<PlacedPod>>,
}

/// What the node has for pods, by the names of resources: cpu in thousandths, others in units.
pub(crate) fn allocatable(node: &Node) -> Vec<(String, i64)> {
    let status = node.status.as_ref();
    amounts(&api::pod_resources::read(status.and_then(|status| status.allocatable.as_ref())))
}

impl NodeInfo {
    /// Reads what a node says of itself.
    pub(super) fn describe(&mut self, node: &Node) {
        let spec = node.spec.as_ref();
        self.exists = true;
        self.labels = node.metadata.labels.clone().unwrap_or_default();
        self.taints = spec.and_then(|spec| spec.taints.as_ref()).into_iter().flatten().map(Taint::from).collect();
        self.unschedulable = spec.and_then(|spec| spec.unschedulable).unwrap_or_default();
        let declared = node.status.as_ref().and_then(|status| status.declared_features.as_ref());
        self.declared_features = declared.cloned().unwrap_or_default();
        let images = node.status.as_ref().and_then(|status| status.images.as_ref()).into_iter().flatten();
        let names = images.flat_map(|image| {
            let size = image.size_bytes.unwrap_or_default();
            image.names.iter().flatten().map(move |name| (name.clone(), size))
        });
        self.images = names.collect();
    }

    /// Forgets what the node said of itself; its pods stay until they are told of.
    pub(super) fn vanish(&mut self) {
        let (name, ports, pods) =
            (std::mem::take(&mut self.name), std::mem::take(&mut self.ports), std::mem::take(&mut self.pods));
        *self = Self { name, ports, pods, ..Self::default() };
    }

    /// Where failures are shared: nodes of one zone stand or fall together.
    pub(super) fn zone(&self) -> (&str, &str) {
        let label = |keys: [&str; 2]| {
            let found = keys.iter().find_map(|key| self.labels.get(*key));
            found.map_or("", String::as_str)
        };
        (
            label(["topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"]),
            label(["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"]),
        )
    }
}
