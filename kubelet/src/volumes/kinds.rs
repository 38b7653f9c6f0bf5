//! What kinds of volumes there are, by the names that users write. Pure.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{PersistentVolumeSpec, Pod, PodSpec, Volume};

/// The kind of a volume, as its field in the pod is called.
pub(super) fn of(volume: &Volume) -> String {
    first_key(serde_json::to_value(volume), &["name"])
}

/// The kind of a persistent volume.
pub(super) fn of_persistent(spec: &PersistentVolumeSpec) -> String {
    let others = [
        "accessModes",
        "capacity",
        "claimRef",
        "mountOptions",
        "nodeAffinity",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "volumeAttributesClassName",
        "volumeMode",
    ];
    first_key(serde_json::to_value(spec), &others)
}

/// The first field that says of what kind something is: a source is the only field that is not one of `others`.
fn first_key(object: serde_json::Result<serde_json::Value>, others: &[&str]) -> String {
    let object = object.ok();
    let mut keys = object.as_ref().and_then(|object| object.as_object()).into_iter().flat_map(|object| object.keys());
    keys.find(|key| !others.contains(&key.as_str())).map_or_else(|| "unknown".to_owned(), Clone::clone)
}

/// The names of the volumes that containers mount, and of those that they use as devices. What nobody uses is not mounted.
pub(super) fn used(pod: &Pod) -> (BTreeSet<&str>, BTreeSet<&str>) {
    let (mut mounted, mut devices) = (BTreeSet::new(), BTreeSet::new());
    let Some(spec) = &pod.spec else { return (mounted, devices) };
    let PodSpec { containers, init_containers, ephemeral_containers, .. } = spec;
    for container in containers.iter().chain(init_containers.iter().flatten()) {
        mounted.extend(container.volume_mounts.iter().flatten().map(|mount| mount.name.as_str()));
        devices.extend(container.volume_devices.iter().flatten().map(|device| device.name.as_str()));
    }
    for container in ephemeral_containers.iter().flatten() {
        mounted.extend(container.volume_mounts.iter().flatten().map(|mount| mount.name.as_str()));
        devices.extend(container.volume_devices.iter().flatten().map(|device| device.name.as_str()));
    }
    (mounted, devices)
}

/// Whether a volume's content goes with the pod and is on the node's disk (upstream's `IsLocalEphemeralVolume`).
pub(super) fn is_local_ephemeral(volume: &Volume) -> bool {
    let is_disk = |medium: &Option<String>| medium.as_deref().unwrap_or_default().is_empty();
    volume.git_repo.is_some()
        || volume.config_map.is_some()
        || volume.empty_dir.as_ref().is_some_and(|empty| is_disk(&empty.medium))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn kinds_are_named_as_users_write_them() {
        let check = |source: Value, expected: &str, is_ephemeral: bool| {
            let mut volume = source;
            volume["name"] = json!("v");
            let volume: Volume = serde_json::from_value(volume).unwrap();
            assert_eq!(of(&volume), expected);
            assert_eq!(is_local_ephemeral(&volume), is_ephemeral, "{expected}");
        };
        check(json!({"nfs": {"path": "/", "server": "s"}}), "nfs", false);
        check(json!({"csi": {"driver": "d"}}), "csi", false);
        check(json!({"emptyDir": {}}), "emptyDir", true);
        check(json!({"emptyDir": {"medium": "Memory"}}), "emptyDir", false);
        check(json!({"configMap": {"name": "m"}}), "configMap", true);
        check(json!({"secret": {}}), "secret", false);
        check(json!({}), "unknown", false);
        let spec = json!({"capacity": {"storage": "1"}, "iscsi": {"iqn": "", "lun": 0, "targetPortal": ""}});
        assert_eq!(of_persistent(&serde_json::from_value(spec).unwrap()), "iscsi");
    }

    #[test]
    fn volumes_are_used_by_any_container() {
        let uses = |mount: &str, device: &str| {
            json!({"name": "c",
                "volumeMounts": [{"name": mount, "mountPath": "/m"}],
                "volumeDevices": [{"name": device, "devicePath": "/dev/x"}]})
        };
        let pod: Pod = serde_json::from_value(json!({"spec": {
            "containers": [uses("a", "x"), {"name": "d"}], "initContainers": [uses("b", "y")],
            "ephemeralContainers": [uses("c", "x")],
        }}))
        .unwrap();
        let (mounted, devices) = used(&pod);
        assert!(mounted.into_iter().eq(["a", "b", "c"]) && devices.into_iter().eq(["x", "y"]));
    }
}
