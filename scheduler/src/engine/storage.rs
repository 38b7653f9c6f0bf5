//! What changes of storage, as the snapshot and the queue are to know it.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::Engine;
use crate::queue::{ActionType, ClusterEvent, Event, EventResource, Object};
use crate::snapshot::Snapshot;

impl Engine {
    /// A volume, a claim, a class, an attachment, or what a driver says, appeared, changed, or is gone: the object before
    /// and after. Objects of other kinds are told by methods of their own, and change nothing here.
    pub fn storage(&mut self, old: Option<Object>, new: Option<Object>, now: Duration) {
        let Some(resource) = new.as_ref().or(old.as_ref()).and_then(resource) else { return };
        let action = match (&old, &new) {
            (None, Some(_)) => ActionType::ADD,
            (Some(_), Some(_)) => ActionType::UPDATE,
            (_, None) => ActionType::DELETE,
        };
        match (&old, &new) {
            (_, Some(new)) => set(&mut self.snapshot, new),
            (Some(old), None) => remove(&mut self.snapshot, old),
            (None, None) => {}
        }
        // Bindings wait for claims.
        self.look_again = true;
        self.queue.event(&Event { kind: ClusterEvent::new(resource, action), old, new }, now);
    }
}

/// The kind of the object, if it is of storage.
fn resource(object: &Object) -> Option<EventResource> {
    match object {
        Object::PersistentVolume(_) => Some(EventResource::PersistentVolume),
        Object::PersistentVolumeClaim(_) => Some(EventResource::PersistentVolumeClaim),
        Object::CsiNode(_) => Some(EventResource::CsiNode),
        Object::CsiDriver(_) => Some(EventResource::CsiDriver),
        Object::CsiStorageCapacity(_) => Some(EventResource::CsiStorageCapacity),
        Object::StorageClass(_) => Some(EventResource::StorageClass),
        Object::VolumeAttachment(_) => Some(EventResource::VolumeAttachment),
        _ => None,
    }
}

fn set(snapshot: &mut Snapshot, object: &Object) {
    match object {
        Object::PersistentVolume(volume) => snapshot.set_persistent_volume(volume),
        Object::PersistentVolumeClaim(claim) => snapshot.set_persistent_volume_claim(claim),
        Object::CsiNode(node) => snapshot.set_csi_node(node),
        Object::CsiDriver(driver) => snapshot.set_csi_driver(driver),
        Object::CsiStorageCapacity(capacity) => snapshot.set_csi_storage_capacity(capacity),
        Object::StorageClass(class) => snapshot.set_storage_class(class),
        Object::VolumeAttachment(attachment) => snapshot.set_volume_attachment(attachment),
        _ => {}
    }
}

fn remove(snapshot: &mut Snapshot, object: &Object) {
    let name = |meta: &ObjectMeta| meta.name.clone().unwrap_or_default();
    let namespace = |meta: &ObjectMeta| meta.namespace.clone().unwrap_or_default();
    match object {
        Object::PersistentVolume(volume) => snapshot.remove_persistent_volume(&name(&volume.metadata)),
        Object::PersistentVolumeClaim(claim) => {
            snapshot.remove_persistent_volume_claim(&namespace(&claim.metadata), &name(&claim.metadata));
        }
        Object::CsiNode(node) => snapshot.remove_csi_node(&name(&node.metadata)),
        Object::CsiDriver(driver) => snapshot.remove_csi_driver(&name(&driver.metadata)),
        Object::CsiStorageCapacity(capacity) => {
            snapshot.remove_csi_storage_capacity(&namespace(&capacity.metadata), &name(&capacity.metadata));
        }
        Object::StorageClass(class) => snapshot.remove_storage_class(&name(&class.metadata)),
        Object::VolumeAttachment(attachment) => snapshot.remove_volume_attachment(&name(&attachment.metadata)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::config::Configuration;
    use crate::cycle::Write;
    use crate::engine::Effect;
    use crate::testing::{self, object};

    const START: Duration = Duration::from_secs(10);

    /// Volume `v`, which only node `n2` reaches.
    fn volume(version: u8, claim: bool) -> Object {
        let affinity = json!({"required": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["n2"]}]},
        ]}});
        let reference = json!({"namespace": "default", "name": "c", "uid": "c"});
        Object::PersistentVolume(Arc::new(object(json!({
            "metadata": {"name": "v", "resourceVersion": version.to_string()},
            "spec": {
                "capacity": {"storage": "1Gi"}, "storageClassName": "local", "nodeAffinity": affinity,
                "claimRef": claim.then_some(reference),
            },
            "status": {"phase": "Available"},
        }))))
    }

    /// Claim `c`, which may be bound to it.
    fn claim(version: u8, bound: bool) -> Object {
        let annotations = if bound { json!({"pv.kubernetes.io/bind-completed": "yes"}) } else { Value::Null };
        Object::PersistentVolumeClaim(Arc::new(object(json!({
            "metadata": {
                "namespace": "default", "name": "c", "uid": "c", "resourceVersion": version.to_string(),
                "annotations": annotations,
            },
            "spec": {
                "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "local",
                "volumeName": bound.then_some("v"),
            },
        }))))
    }

    fn class() -> Object {
        Object::StorageClass(Arc::new(object(json!({
            "metadata": {"name": "local"}, "provisioner": "kubernetes.io/no-provisioner",
            "volumeBindingMode": "WaitForFirstConsumer",
        }))))
    }

    /// An engine that knows of nodes `n1` and `n2`, of a pod with the claim, and of what else there is.
    fn engine(there: &[Object]) -> Engine {
        let mut engine = Engine::new(&Configuration::default(), 0).unwrap();
        for name in ["n1", "n2"] {
            engine.node(None, Some(&Arc::new(testing::node(name, json!({})))), START);
        }
        there.iter().for_each(|object| engine.storage(None, Some(object.clone()), START));
        let volumes = json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]});
        engine.pod(None, Some(&Arc::new(testing::pod("p", volumes))), START);
        engine
    }

    /// What is written before pods are bound.
    fn prepared(effects: &[Effect]) -> Vec<&Write> {
        let writes = effects.iter().filter_map(|effect| match effect {
            Effect::Prepare { writes, .. } => Some(writes),
            _ => None,
        });
        writes.flatten().collect()
    }

    fn is_free(engine: &Engine) -> bool {
        engine.snapshot().storage().volume("v").unwrap().claim.is_none()
    }

    #[test]
    fn pods_are_bound_when_their_volumes_are() {
        let mut engine = engine(&[class(), volume(1, false), claim(1, false)]);
        let effects = engine.step(9, START);
        let writes = prepared(&effects);
        assert!(matches!(writes.as_slice(), [Write::PersistentVolume(_)]), "{effects:?}");
        assert!(!is_free(&engine));
        engine.prepared("p", Ok(()), START);
        assert_eq!(engine.step(9, START), [], "nothing has happened yet");
        engine.storage(Some(volume(1, false)), Some(volume(2, true)), START);
        assert_eq!(engine.step(9, START), [], "the claim is not bound yet");
        engine.storage(Some(claim(1, false)), Some(claim(2, true)), START);
        let effects = engine.step(9, START);
        assert!(matches!(effects.as_slice(), [Effect::Bind { node, .. }] if node == "n2"), "{effects:?}");
    }

    #[test]
    fn volumes_that_cannot_be_bound_are_free_again() {
        let check = |fail: &dyn Fn(&mut Engine) -> Duration, expected: &str| {
            let mut engine = engine(&[class(), volume(1, false), claim(1, false)]);
            assert_eq!(prepared(&engine.step(9, START)).len(), 1);
            let now = fail(&mut engine);
            let effects = engine.step(0, now);
            let refused = effects.iter().find_map(|effect| match effect {
                Effect::Refused { message, .. } => Some(message.as_str()),
                _ => None,
            });
            assert_eq!(refused, Some(format!("running PreBind plugin \"VolumeBinding\": {expected}").as_str()));
            assert!(is_free(&engine));
        };
        let refuse = |engine: &mut Engine| {
            engine.prepared("p", Err("conflict".to_owned()), START);
            START
        };
        check(&refuse, "conflict");
        let wait = |engine: &mut Engine| {
            engine.prepared("p", Ok(()), START);
            START + Duration::from_secs(600)
        };
        check(&wait, "timed out waiting for the condition");
        let unbind = |engine: &mut Engine| {
            engine.prepared("p", Ok(()), START);
            engine.storage(Some(volume(1, false)), Some(volume(3, false)), START);
            START
        };
        check(&unbind, "binding volumes: ClaimRef got reset for pv \"v\"");
    }

    #[test]
    fn pods_are_tried_again_when_what_they_lack_appears() {
        let all = [class(), volume(1, false), claim(1, false)];
        for late in &all {
            let early: Vec<Object> = all.iter().filter(|object| *object != late).cloned().collect();
            let mut engine = engine(&early);
            assert!(prepared(&engine.step(9, START)).is_empty());
            let later = START + Duration::from_secs(30);
            assert_eq!(engine.step(9, later), [], "it waits");
            engine.storage(None, Some(late.clone()), later);
            assert_eq!(prepared(&engine.step(9, later)).len(), 1, "{late:?}");
        }
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let mut engine = engine(&[class(), volume(1, false), claim(1, false)]);
        let others = [
            Object::CsiNode(Arc::new(object(json!({"metadata": {"name": "n1"}, "spec": {"drivers": []}})))),
            Object::CsiDriver(Arc::new(object(json!({"metadata": {"name": "d"}, "spec": {}})))),
            Object::CsiStorageCapacity(Arc::new(object(json!({
                "metadata": {"namespace": "default", "name": "r"}, "storageClassName": "local",
            })))),
            Object::VolumeAttachment(Arc::new(object(json!({
                "metadata": {"name": "a"},
                "spec": {"nodeName": "n1", "attacher": "d", "source": {"persistentVolumeName": "v"}},
            })))),
        ];
        let before = engine.snapshot().storage().clone();
        for object in &others {
            engine.storage(None, Some(object.clone()), START);
            assert_ne!(engine.snapshot().storage(), &before, "{object:?}");
            engine.storage(Some(object.clone()), None, START);
            assert_eq!(engine.snapshot().storage(), &before, "{object:?}");
        }
        for object in [class(), volume(1, false), claim(1, false)] {
            engine.storage(Some(object), None, START);
        }
        assert_eq!(engine.snapshot().storage(), Snapshot::default().storage());
    }
}
