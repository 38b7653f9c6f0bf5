//! Pods for which room is being made, each on one node.

use std::collections::HashMap;
use std::sync::Arc;

use super::PlacedPod;
use super::resources::NodeIndex;

/// Such pods, by node and by identity.
#[derive(Clone, Debug, Default)]
pub(super) struct Nominated {
    on_node: Vec<Vec<Arc<PlacedPod>>>,
    node_of: HashMap<String, NodeIndex>,
}

impl Nominated {
    pub(super) fn is_empty(&self) -> bool {
        self.node_of.is_empty()
    }

    pub(super) fn on(&self, node: NodeIndex) -> &[Arc<PlacedPod>] {
        self.on_node.get(node.get()).map_or(&[], Vec::as_slice)
    }

    /// Adds a pod, which is on no node yet.
    pub(super) fn add(&mut self, pod: Arc<PlacedPod>) {
        if self.on_node.len() <= pod.node.get() {
            self.on_node.resize_with(pod.node.get() + 1, Vec::new);
        }
        self.node_of.insert(pod.uid.clone(), pod.node);
        self.on_node[pod.node.get()].push(pod);
    }

    pub(super) fn remove(&mut self, uid: &str) {
        if let Some(node) = self.node_of.remove(uid) {
            self.on_node[node.get()].retain(|pod| pod.uid != uid);
        }
    }

    /// Removes all that are on the node.
    pub(super) fn clear(&mut self, node: NodeIndex) {
        if let Some(pods) = self.on_node.get_mut(node.get()) {
            for pod in pods.drain(..) {
                self.node_of.remove(&pod.uid);
            }
        }
    }
}
