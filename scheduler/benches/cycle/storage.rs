//! What storage pods need, as upstream's workloads of volumes have it.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use scheduler::snapshot::Snapshot;
use serde_json::{Value, json};

use crate::templates::object;

/// Where the volume of a pod's only claim comes from.
#[derive(Clone, Copy)]
pub(crate) enum Storage {
    /// A driver attaches it, and the claim is bound to it already.
    Csi,
    /// The same, of a plugin that was migrated to the driver.
    Migrated,
    /// Every node has one, and the claim gets that of the pod's node.
    Local,
}

const DRIVER: &str = "ebs.csi.aws.com";
const HOSTNAME: &str = "kubernetes.io/hostname";

/// The volume of a pod with a claim.
pub(crate) fn claimed() -> Value {
    json!({"volumes": [{"name": "vol", "ephemeral": {}}]})
}

/// What there is of storage with a node.
pub(crate) fn add_node(snapshot: &mut Snapshot, storage: Storage, node: &Node) {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    if let Storage::Local = storage {
        let wait = json!({"metadata": {"name": "local"}, "provisioner": "kubernetes.io/no-provisioner",
            "volumeBindingMode": "WaitForFirstConsumer"});
        snapshot.set_storage_class(&object(wait));
        let here = json!({"matchExpressions": [{"key": HOSTNAME, "operator": "In", "values": [name]}]});
        snapshot.set_persistent_volume(&Arc::new(object::<PersistentVolume>(json!({
            "metadata": {"name": format!("local-{name}"), "resourceVersion": "1"},
            "spec": {
                "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "local",
                "nodeAffinity": {"required": {"nodeSelectorTerms": [here]}},
            },
            "status": {"phase": "Available"},
        }))));
        return;
    }
    let migrated = json!({"storage.alpha.kubernetes.io/migrated-plugins": "kubernetes.io/aws-ebs"});
    snapshot.set_csi_node(&object(json!({
        "metadata": {"name": name, "annotations": migrated},
        "spec": {"drivers": [{"name": DRIVER, "nodeID": name, "allocatable": {"count": 39}}]},
    })));
}

/// What there is of storage with a pod that has not come yet.
pub(crate) fn add_pod(snapshot: &mut Snapshot, storage: Storage, pod: &Pod) {
    let (meta, text) = (&pod.metadata, |text: &Option<String>| text.clone().unwrap_or_default());
    let (namespace, claim) = (text(&meta.namespace), format!("{}-vol", text(&meta.name)));
    let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": meta.name, "uid": meta.uid, "controller": true});
    let mut said = json!({
        "metadata": {"namespace": namespace, "name": claim, "uid": claim, "resourceVersion": "1", "ownerReferences": [owner]},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    let volume = format!("{namespace}-{claim}");
    let source = match storage {
        Storage::Local => None,
        Storage::Csi => Some(("csi", json!({"driver": DRIVER, "volumeHandle": volume}))),
        Storage::Migrated => Some(("awsElasticBlockStore", json!({ "volumeID": volume }))),
    };
    match source {
        None => said["spec"]["storageClassName"] = json!("local"),
        Some((kind, source)) => {
            said["metadata"]["annotations"] = json!({"pv.kubernetes.io/bind-completed": "yes"});
            said["spec"]["volumeName"] = json!(volume);
            let reference = json!({"namespace": namespace, "name": claim, "uid": claim});
            let mut spec =
                json!({"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "claimRef": reference});
            spec[kind] = source;
            let object = object::<PersistentVolume>(json!({"metadata": {"name": volume}, "spec": spec}));
            snapshot.set_persistent_volume(&Arc::new(object));
        }
    }
    snapshot.set_persistent_volume_claim(&Arc::new(object::<PersistentVolumeClaim>(said)));
}
