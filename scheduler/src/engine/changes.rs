//! What changes in the cluster, as the snapshot and the queue are to know it.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use super::{Engine, uid};
use crate::queue::{ActionType, ClusterEvent, Event, EventResource, Object, Place, node_changes, pod_changes};

const POD_GONE: ClusterEvent = ClusterEvent::new(EventResource::AssignedPod, ActionType::DELETE);
const POD_THERE: ClusterEvent = ClusterEvent::new(EventResource::AssignedPod, ActionType::ADD);

impl Engine {
    /// A pod appeared, changed, or is gone.
    pub fn pod(&mut self, old: Option<&Arc<Pod>>, new: Option<&Arc<Pod>>, now: Duration) {
        match (old, new) {
            (Some(old), Some(new)) if uid(old) != uid(new) => {
                self.pod_gone(old, now);
                self.pod(None, Some(new), now);
            }
            (old, Some(new)) if has_ended(new) => self.pod_gone(old.unwrap_or(new), now),
            (old, Some(new)) if node_of(new).is_some() => {
                let old = old.filter(|old| node_of(old).is_some() && !has_ended(old));
                self.pod_with_node(old, new, now);
            }
            (old, Some(new)) => self.pod_without_node(old, new, now),
            (Some(old), None) => self.pod_gone(old, now),
            (None, None) => {}
        }
    }

    fn pod_with_node(&mut self, old: Option<&Arc<Pod>>, new: &Arc<Pod>, now: Duration) {
        let uid = uid(new);
        if self.snapshot.pod(uid).is_some_and(|known| known.assumed) && node_of(new) != self.known_node(uid) {
            self.cancel_binding(uid);
        }
        self.queue.delete(uid);
        self.nominations.remove(&mut self.snapshot, uid);
        self.snapshot.set_pod(new);
        let Some(old) = old else { return self.tell(POD_THERE, None, Some(Object::Pod(Arc::clone(new))), now) };
        for kind in pod_changes(old, new) {
            self.tell(kind, Some(Object::Pod(Arc::clone(old))), Some(Object::Pod(Arc::clone(new))), now);
        }
    }

    fn known_node(&self, uid: &str) -> Option<&str> {
        self.snapshot.pod(uid).map(|placed| self.snapshot.node(placed.node).name.as_str())
    }

    fn pod_without_node(&mut self, old: Option<&Arc<Pod>>, new: &Arc<Pod>, now: Duration) {
        let uid = uid(new);
        if !self.queue.is_responsible(new) {
            return;
        }
        let assumed = self.snapshot.pod(uid).is_some();
        if assumed && self.queue.place(uid) != Some(Place::InFlight) {
            // It has been bound, which is not shown yet.
            return;
        }
        let before = self.nominations.of(uid).map(str::to_owned);
        if !assumed {
            self.nominations.seen(&mut self.snapshot, old.map(|old| &**old), new);
        }
        self.queue.update(Arc::clone(new), now);
        if let Some(before) = before.filter(|before| self.nominations.of(uid) != Some(before)) {
            self.tell_freed(new, &before, now);
        }
    }

    fn pod_gone(&mut self, old: &Arc<Pod>, now: Duration) {
        let uid = uid(old);
        let freed = self.known_node(uid).or_else(|| self.nominations.of(uid)).map(str::to_owned);
        self.cancel_binding(uid);
        self.queue.delete(uid);
        self.nominations.remove(&mut self.snapshot, uid);
        self.snapshot.remove_pod(uid);
        self.decisions.forget(uid);
        if let Some(node) = freed {
            self.tell_freed(old, &node, now);
        }
    }

    /// No room is made any more for a pod that waits: others may take it.
    pub(super) fn withdraw(&mut self, uid: &str, now: Duration) {
        let node = self.nominations.remove(&mut self.snapshot, uid);
        let pod = self.queue.get(uid).map(|queued| Arc::clone(&queued.pod));
        if let (Some(node), Some(pod)) = (node, pod) {
            self.tell_freed(&pod, &node, now);
        }
    }

    /// What the pod took of its node, or would have taken, is there for others.
    pub(super) fn tell_freed(&mut self, pod: &Arc<Pod>, node: &str, now: Duration) {
        let mut pod = Arc::clone(pod);
        if node_of(&pod).is_none() {
            Arc::make_mut(&mut pod).spec.get_or_insert_default().node_name = Some(node.to_owned());
        }
        self.tell(POD_GONE, Some(Object::Pod(pod)), None, now);
    }

    /// A node appeared, changed, or is gone.
    pub fn node(&mut self, old: Option<&Arc<Node>>, new: Option<&Arc<Node>>, now: Duration) {
        self.look_again = true;
        let object = |node: &Arc<Node>| Some(Object::Node(Arc::clone(node)));
        match (old, new) {
            (None, Some(new)) => {
                self.snapshot.set_node(new);
                self.tell(ClusterEvent::new(EventResource::Node, ActionType::ADD), None, object(new), now);
            }
            (Some(old), Some(new)) => {
                self.snapshot.set_node(new);
                for kind in node_changes(old, new) {
                    self.tell(kind, object(old), object(new), now);
                }
            }
            (Some(old), None) => {
                self.snapshot.remove_node(old.metadata.name.as_deref().unwrap_or_default());
                self.tell(ClusterEvent::new(EventResource::Node, ActionType::DELETE), object(old), None, now);
            }
            (None, None) => {}
        }
    }

    /// A namespace appeared, changed, or is gone.
    pub fn namespace(&mut self, old: Option<&Namespace>, new: Option<&Namespace>) {
        let name = |namespace: &Namespace| namespace.metadata.name.clone().unwrap_or_default();
        match (old, new) {
            (_, Some(new)) => self.snapshot.set_namespace(&name(new), new.metadata.labels.clone().unwrap_or_default()),
            (Some(old), None) => self.snapshot.remove_namespace(&name(old)),
            (None, None) => {}
        }
    }

    /// A budget appeared, changed, or is gone.
    pub fn budget(&mut self, old: Option<&PodDisruptionBudget>, new: Option<&PodDisruptionBudget>) {
        match (old, new) {
            (_, Some(new)) => self.snapshot.set_budget(new),
            (Some(old), None) => {
                let meta = &old.metadata;
                let (namespace, name) = (meta.namespace.as_deref(), meta.name.as_deref());
                self.snapshot.remove_budget(namespace.unwrap_or_default(), name.unwrap_or_default());
            }
            (None, None) => {}
        }
    }

    /// Tells the queue.
    pub(super) fn tell(&mut self, kind: ClusterEvent, old: Option<Object>, new: Option<Object>, now: Duration) {
        self.queue.event(&Event { kind, old, new }, now);
    }
}

fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).filter(|name| !name.is_empty())
}

/// Whether it will never run again, so that it takes nothing of its node.
fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}
