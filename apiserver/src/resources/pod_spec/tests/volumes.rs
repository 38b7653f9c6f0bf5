//! Volumes and mounts that are refused.

use serde_json::{Value, json};

use super::{check, check_container};

#[track_caller]
fn check_volume(source: &Value, expected: &[&str]) {
    let mut volume = json!({"name": "v"});
    super::merge(&mut volume, source);
    check(&json!({"volumes": [volume]}), expected);
}

/// The messages are given without the path of the volume.
#[track_caller]
fn check_source((source, expected): (Value, Vec<&str>)) {
    let expected: Vec<String> = expected.into_iter().map(|message| format!("spec.volumes[0].{message}")).collect();
    check_volume(&source, &expected.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn names_and_numbers_of_sources() {
    check(&json!({"volumes": [{"name": "v"}, {"name": "v"}]}), &["spec.volumes[1].name: Duplicate value: \"v\""]);
    check(&json!({"volumes": [{"name": ""}]}), &["spec.volumes[0].name: Required value"]);
    check_volume(
        &json!({"emptyDir": {}, "hostPath": {"path": "/x"}, "cephfs": {"monitors": ["a"]}}),
        &[
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
            "spec.volumes[0].cephFS: Forbidden: may not specify more than 1 volume type",
        ],
    );
}

#[test]
fn sources() {
    let iqn = "iqn.2001-04.com.example:storage";
    let cases = [
        (
            json!({"emptyDir": {"sizeLimit": "-1"}}),
            vec!["emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity"],
        ),
        (json!({"hostPath": {"path": ""}}), vec!["hostPath.path: Required value"]),
        (
            json!({"hostPath": {"path": "/a/../b", "type": "Dir"}}),
            vec![
                "hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
                "hostPath.type: Unsupported value: \"Dir\": supported values: \"\", \"BlockDevice\", \"CharDevice\", \
                 \"Directory\", \"DirectoryOrCreate\", \"File\", \"FileOrCreate\", \"Socket\"",
            ],
        ),
        (
            json!({"nfs": {"server": "s", "path": "a"}}),
            vec!["nfs.path: Invalid value: \"a\": must be an absolute path"],
        ),
        (json!({"iscsi": {"targetPortal": "p", "iqn": iqn, "lun": 1}}), vec![]),
        (
            json!({"iscsi": {"targetPortal": "p", "iqn": "iqn.200-04.com:x", "lun": 256, "chapAuthSession": true}}),
            vec![
                "iscsi.iqn: Invalid value: \"iqn.200-04.com:x\": must be valid format",
                "iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive",
                "iscsi.secretRef: Required value",
            ],
        ),
        (
            json!({"secret": {"defaultMode": 512, "items": [{"key": "", "path": "/a"}]}}),
            vec![
                "secret.secretName: Required value",
                "secret.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
                "secret.items[0].key: Required value",
                "secret.items[0].path: Invalid value: \"/a\": must be a relative path",
            ],
        ),
        (
            json!({"configMap": {"items": [{"key": "a", "path": "..a"}]}}),
            vec![
                "configMap.name: Required value",
                "configMap.items[0].path: Invalid value: \"..a\": must not start with '..'",
            ],
        ),
        (
            json!({"downwardAPI": {"items": [{"path": "a"}, {"path": "b", "resourceFieldRef": {"resource": "limits.cpu"}},
                {"path": "c", "fieldRef": {"fieldPath": "spec.nodeName"}}]}}),
            vec![
                "downwardAPI: Required value: one of fieldRef and resourceFieldRef is required",
                "downwardAPI.resourceFieldRef.containerName: Required value",
                "downwardAPI.fieldRef.fieldPath: Unsupported value: \"spec.nodeName\": supported values: \
                 \"metadata.annotations\", \"metadata.labels\", \"metadata.name\", \"metadata.namespace\", \
                 \"metadata.uid\"",
            ],
        ),
    ];
    cases.into_iter().for_each(check_source);
}

#[test]
fn sources_elsewhere() {
    let cases = [
        (json!({"persistentVolumeClaim": {"claimName": ""}}), vec!["persistentVolumeClaim.claimName: Required value"]),
        (json!({"image": {}}), vec!["image.reference: Required value"]),
        (
            json!({"flexVolume": {"driver": "d", "options": {"a.k8s.io/x": "y"}}}),
            vec![
                "flexVolume.options[a.k8s.io/x]: Invalid value: \"a.k8s.io/x\": kubernetes.io and k8s.io namespaces are reserved",
            ],
        ),
        (json!({"gcePersistentDisk": {"pdName": ""}}), vec!["persistentDisk.pdName: Required value"]),
        (
            json!({"azureDisk": {"diskName": "d", "diskURI": "x", "kind": "Managed"}}),
            vec![
                "azureDisk.diskURI: Unsupported value: \"x\": supported values: \"/subscriptions/{sub-id}/resourcegroups/\
             {group-name}/providers/microsoft.compute/disks/{disk-id}\"",
            ],
        ),
        (
            json!({"quobyte": {"registry": "a,b:1", "volume": "v"}}),
            vec![
                "quobyte.registry: Invalid value: \"a,b:1\": must be a host:port pair or multiple pairs separated by commas",
            ],
        ),
        (
            json!({"fc": {"targetWWNs": ["a"]}}),
            vec!["fc.lun: Required value: lun is required if targetWWNs is specified"],
        ),
        (json!({"ephemeral": {}}), vec!["ephemeral.volumeClaimTemplate: Required value"]),
        (
            json!({"ephemeral": {"volumeClaimTemplate": {"metadata": {"name": "x"}, "spec": {
                "accessModes": ["ReadWriteOnce", "ReadWriteOncePod", "Any"],
                "dataSource": {"kind": "VolumeSnapshot", "name": "s"}}}}}),
            vec![
                "ephemeral.volumeClaimTemplate.metadata.name: Forbidden: cannot be set",
                "ephemeral.volumeClaimTemplate.spec.accessModes: Unsupported value: \"Any\": supported values: \
                 \"ReadOnlyMany\", \"ReadWriteMany\", \"ReadWriteOnce\", \"ReadWriteOncePod\"",
                "ephemeral.volumeClaimTemplate.spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access \
                 modes",
                "ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value",
                "ephemeral.volumeClaimTemplate.spec.dataSource: Invalid value: \"VolumeSnapshot\": must be \
                 'PersistentVolumeClaim' when referencing the default apiGroup",
            ],
        ),
    ];
    cases.into_iter().for_each(check_source);
}

#[test]
fn projections() {
    check_volume(
        &json!({"projected": {"sources": [
            {"secret": {"name": "s", "items": [{"key": "k", "path": "p"}]}},
            {"configMap": {"name": "c", "items": [{"key": "k", "path": "p"}]}, "secret": {"name": "s"}},
            {"serviceAccountToken": {"path": "", "expirationSeconds": 1}}]}}),
        &[
            "spec.volumes[0].projected: Invalid value: \"c\": conflicting duplicate paths",
            "spec.volumes[0].projected.sources[1]: Forbidden: may not specify more than 1 volume type per source",
            "spec.volumes[0].projected.sources[2].serviceAccountToken.expirationSeconds: Invalid value: 1: may not \
             specify a duration less than 10 minutes",
            "spec.volumes[0].projected.path: Required value",
            "spec.volumes[0].projected.sources[2].serviceAccountToken: Forbidden: must not be specified when \
             serviceAccountName is not set",
        ],
    );
}

#[test]
fn claims_made_for_a_pod() {
    let template = json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    check(
        &json!({"volumes": [{"name": "data", "ephemeral": {"volumeClaimTemplate": template}},
            {"name": "other", "persistentVolumeClaim": {"claimName": "pod-data"}}]}),
        &[
            "spec.volumes[1].persistentVolumeClaim.claimName: Invalid value: \"pod-data\": must not reference a PVC that \
             gets created for an ephemeral volume",
        ],
    );
}

#[test]
fn mounts() {
    let at = "spec.containers[0].volumeMounts";
    check_container(
        &json!({"volumeMounts": [{"name": "v", "mountPath": ""}]}),
        &[&format!("{at}[0].name: Not found: \"v\""), &format!("{at}[0].mountPath: Required value")],
    );
    let with = |mounts: Value, devices: Value| {
        json!({"volumes": [{"name": "v", "emptyDir": {}}],
            "containers": [{"name": "a", "image": "a", "volumeMounts": mounts, "volumeDevices": devices}]})
    };
    check(
        &with(
            json!([{"name": "v", "mountPath": "/a", "subPath": "/x", "subPathExpr": "../y"}, {"name": "v", "mountPath": "/a",
                "mountPropagation": "Bidirectional", "recursiveReadOnly": "Enabled"}]),
            json!([]),
        ),
        &[
            &format!("{at}.subPath: Invalid value: \"/x\": must be a relative path"),
            &format!("{at}[0].subPathExpr: Invalid value: \"../y\": subPathExpr and subPath are mutually exclusive"),
            &format!("{at}.subPathExpr: Invalid value: \"../y\": must not contain '..'"),
            &format!("{at}[1].mountPath: Invalid value: \"/a\": must be unique"),
            &format!(
                "{at}.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged \
                 containers"
            ),
            &format!("{at}.recursiveReadOnly: Forbidden: may only be specified when readOnly is true"),
            &format!(
                "{at}.recursiveReadOnly: Forbidden: may only be specified when mountPropagation is None or not specified"
            ),
        ],
    );
    check(
        &with(json!([]), json!([{"name": "v", "devicePath": "/dev/../x"}, {"name": "w", "devicePath": ""}])),
        &[
            "spec.containers[0].volumeDevices[0].name: Invalid value: \"v\": can only use volume source type of \
             PersistentVolumeClaim or Ephemeral for block mode",
            "spec.containers[0].volumeDevices[0].devicePath: Invalid value: \"/dev/../x\": can not contain backsteps \
             ('..')",
            "spec.containers[0].volumeDevices[1].name: Not found: \"w\"",
            "spec.containers[0].volumeDevices[1].devicePath: Required value",
        ],
    );
}
