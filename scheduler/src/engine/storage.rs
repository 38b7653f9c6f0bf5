//! What changes of volumes and of those who provide them.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::Metadata;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::{CSIDriver, CSINode, CSIStorageCapacity, StorageClass, VolumeAttachment};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::Engine;
use crate::queue::{ActionType, ClusterEvent, EventResource, Object};
use crate::snapshot::Snapshot;

/// An object as it was, or as it is.
type Seen<'a, K> = Option<&'a Arc<K>>;

/// How a kind of object is known.
struct Known<K> {
    resource: EventResource,
    wrap: fn(Arc<K>) -> Object,
    set: fn(&mut Snapshot, &Arc<K>),
    /// Told the namespace and the name.
    remove: fn(&mut Snapshot, &str, &str),
}

impl Engine {
    /// A volume appeared, changed, or is gone.
    pub fn persistent_volume(&mut self, old: Seen<PersistentVolume>, new: Seen<PersistentVolume>, now: Duration) {
        let known = Known {
            resource: EventResource::PersistentVolume,
            wrap: Object::PersistentVolume,
            set: Snapshot::set_persistent_volume,
            remove: |snapshot, _, name| snapshot.remove_persistent_volume(name),
        };
        self.storage(&known, old, new, now);
    }

    /// A claim appeared, changed, or is gone.
    pub fn persistent_volume_claim(
        &mut self,
        old: Seen<PersistentVolumeClaim>,
        new: Seen<PersistentVolumeClaim>,
        now: Duration,
    ) {
        let known = Known {
            resource: EventResource::PersistentVolumeClaim,
            wrap: Object::PersistentVolumeClaim,
            set: Snapshot::set_persistent_volume_claim,
            remove: Snapshot::remove_persistent_volume_claim,
        };
        self.storage(&known, old, new, now);
    }

    /// A class of volumes appeared, changed, or is gone.
    pub fn storage_class(&mut self, old: Seen<StorageClass>, new: Seen<StorageClass>, now: Duration) {
        let known = Known {
            resource: EventResource::StorageClass,
            wrap: Object::StorageClass,
            set: |snapshot, class| snapshot.set_storage_class(class),
            remove: |snapshot, _, name| snapshot.remove_storage_class(name),
        };
        self.storage(&known, old, new, now);
    }

    /// What drivers say of a node appeared, changed, or is gone.
    pub fn csi_node(&mut self, old: Seen<CSINode>, new: Seen<CSINode>, now: Duration) {
        let known = Known {
            resource: EventResource::CsiNode,
            wrap: Object::CsiNode,
            set: |snapshot, node| snapshot.set_csi_node(node),
            remove: |snapshot, _, name| snapshot.remove_csi_node(name),
        };
        self.storage(&known, old, new, now);
    }

    /// A driver appeared, changed, or is gone.
    pub fn csi_driver(&mut self, old: Seen<CSIDriver>, new: Seen<CSIDriver>, now: Duration) {
        let known = Known {
            resource: EventResource::CsiDriver,
            wrap: Object::CsiDriver,
            set: |snapshot, driver| snapshot.set_csi_driver(driver),
            remove: |snapshot, _, name| snapshot.remove_csi_driver(name),
        };
        self.storage(&known, old, new, now);
    }

    /// How much room there is for volumes changed.
    pub fn csi_storage_capacity(
        &mut self,
        old: Seen<CSIStorageCapacity>,
        new: Seen<CSIStorageCapacity>,
        now: Duration,
    ) {
        let known = Known {
            resource: EventResource::CsiStorageCapacity,
            wrap: Object::CsiStorageCapacity,
            set: |snapshot, capacity| snapshot.set_csi_storage_capacity(capacity),
            remove: Snapshot::remove_csi_storage_capacity,
        };
        self.storage(&known, old, new, now);
    }

    /// A volume is attached to a node, or is no longer.
    pub fn volume_attachment(&mut self, old: Seen<VolumeAttachment>, new: Seen<VolumeAttachment>, now: Duration) {
        let known = Known {
            resource: EventResource::VolumeAttachment,
            wrap: Object::VolumeAttachment,
            set: |snapshot, attachment| snapshot.set_volume_attachment(attachment),
            remove: |snapshot, _, name| snapshot.remove_volume_attachment(name),
        };
        self.storage(&known, old, new, now);
    }

    fn storage<K: Metadata<Ty = ObjectMeta>>(&mut self, known: &Known<K>, old: Seen<K>, new: Seen<K>, now: Duration) {
        let action = match (old, new) {
            (None, Some(_)) => ActionType::ADD,
            (Some(_), Some(_)) => ActionType::UPDATE,
            (Some(_), None) => ActionType::DELETE,
            (None, None) => return,
        };
        match (old, new) {
            (_, Some(new)) => (known.set)(&mut self.snapshot, new),
            (Some(old), None) => {
                let meta = old.metadata();
                let (namespace, name) = (meta.namespace.as_deref(), meta.name.as_deref());
                (known.remove)(&mut self.snapshot, namespace.unwrap_or_default(), name.unwrap_or_default());
            }
            (None, None) => {}
        }
        self.look_again = true;
        let object = |seen: Seen<K>| seen.map(|object| (known.wrap)(Arc::clone(object)));
        self.tell(ClusterEvent::new(known.resource, action), object(old), object(new), now);
    }
}
