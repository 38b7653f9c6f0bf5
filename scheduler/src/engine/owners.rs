//! Services and controllers, among whose pods those are spread that do not say how.

use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{ReplicationController, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::Engine;
use crate::snapshot::ControllerKind;

impl Engine {
    /// A Service appeared, changed, or is gone.
    pub fn service(&mut self, old: Option<&Service>, new: Option<&Service>) {
        match (old, new) {
            (_, Some(new)) => self.snapshot.set_service(new),
            (Some(old), None) => {
                let (namespace, name) = identity(&old.metadata);
                self.snapshot.remove_service(namespace, name);
            }
            (None, None) => {}
        }
    }

    /// A ReplicationController appeared, changed, or is gone.
    pub fn replication_controller(&mut self, old: Option<&ReplicationController>, new: Option<&ReplicationController>) {
        match new {
            Some(new) => self.snapshot.set_replication_controller(new),
            None => self.controller_gone(ControllerKind::ReplicationController, old.map(|old| &old.metadata)),
        }
    }

    /// A ReplicaSet appeared, changed, or is gone.
    pub fn replica_set(&mut self, old: Option<&ReplicaSet>, new: Option<&ReplicaSet>) {
        match new {
            Some(new) => self.snapshot.set_replica_set(new),
            None => self.controller_gone(ControllerKind::ReplicaSet, old.map(|old| &old.metadata)),
        }
    }

    /// A StatefulSet appeared, changed, or is gone.
    pub fn stateful_set(&mut self, old: Option<&StatefulSet>, new: Option<&StatefulSet>) {
        match new {
            Some(new) => self.snapshot.set_stateful_set(new),
            None => self.controller_gone(ControllerKind::StatefulSet, old.map(|old| &old.metadata)),
        }
    }

    fn controller_gone(&mut self, kind: ControllerKind, meta: Option<&ObjectMeta>) {
        if let Some(meta) = meta {
            let (namespace, name) = identity(meta);
            self.snapshot.remove_controller(kind, namespace, name);
        }
    }
}

fn identity(meta: &ObjectMeta) -> (&str, &str) {
    (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
}
