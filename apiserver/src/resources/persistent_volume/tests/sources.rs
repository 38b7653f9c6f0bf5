//! What volumes are made of.

use super::*;

/// What is wrong with a volume of one source, in a PersistentVolume.
fn check(field: &str, source: Value, expected: &[&str]) {
    assert_eq!(messages(&PersistentVolumes.validate(&made_of(field, source))), expected, "{field}");
}

#[test]
fn sources_on_nodes_and_networks() {
    check("hostPath", json!({"path": "/a", "type": "Directory"}), &[]);
    check("hostPath", json!({"path": ""}), &["spec.hostPath.path: Required value"]);
    check(
        "hostPath",
        json!({"path": "/a/../b"}),
        &["spec.hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"],
    );
    check(
        "nfs",
        json!({"server": "", "path": "a"}),
        &["spec.nfs.server: Required value", "spec.nfs.path: Invalid value: \"a\": must be an absolute path"],
    );
    check(
        "fc",
        json!({"targetWWNs": ["w"]}),
        &["spec.fc.lun: Required value: lun is required if targetWWNs is specified"],
    );
    check(
        "flexVolume",
        json!({"driver": "", "options": {"k8s.io/a": "b"}}),
        &[
            "spec.flexVolume.driver: Required value",
            "spec.flexVolume.options[k8s.io/a]: Invalid value: \"k8s.io/a\": kubernetes.io and k8s.io namespaces are reserved",
        ],
    );
    check(
        "local",
        json!({"path": ""}),
        &["spec.local.path: Required value", "spec.nodeAffinity: Required value: Local volume requires node affinity"],
    );
    check(
        "local",
        json!({"path": "/mnt/../a"}),
        &[
            "spec.local.path: Invalid value: \"/mnt/../a\": must not contain '..'",
            "spec.nodeAffinity: Required value: Local volume requires node affinity",
        ],
    );
}

#[test]
fn iscsi() {
    let iscsi = |change: fn(&mut Value)| {
        let mut source = json!({"targetPortal": "10.0.0.1:3260", "iqn": "iqn.2026-01.com.example:disk", "lun": 0});
        change(&mut source);
        source
    };
    check("iscsi", iscsi(|_| {}), &[]);
    check(
        "iscsi",
        iscsi(|source| {
            *source = json!({"targetPortal": "", "iqn": "", "lun": 256, "chapAuthSession": true, "initiatorName": "x"});
        }),
        &[
            "spec.iscsi.targetPortal: Required value",
            "spec.iscsi.iqn: Required value",
            "spec.iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive",
            "spec.iscsi.secretRef: Required value",
            "spec.iscsi.initiatorname: Invalid value: \"x\": must be valid format",
        ],
    );
    check(
        "iscsi",
        iscsi(|source| source["iqn"] = json!("eui.1")),
        &["spec.iscsi.iqn: Invalid value: \"eui.1\": must be valid format"],
    );
    check("iscsi", iscsi(|source| source["secretRef"] = json!({})), &["spec.iscsi.secretRef.name: Required value"]);
    let portal = "p".repeat(61);
    let mut long = iscsi(|source| source["initiatorName"] = json!("iqn.2026-01.com.example:host"));
    long["targetPortal"] = json!(portal);
    check(
        "iscsi",
        long,
        &[&format!(
            "spec.iscsi.targetportal: Invalid value: \"{portal}\": Total length of <volume name>:<iscsi.targetPortal> must be \
         under 64 characters if iscsi.initiatorName is specified."
        )],
    );
}

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
                     and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
                     '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

#[test]
fn csi() {
    check(
        "csi",
        json!({"driver": "", "volumeHandle": ""}),
        &[
            "spec.csi.driver: Required value",
            &format!("spec.csi.driver: Invalid value: \"\": {SUBDOMAIN}"),
            "spec.csi.volumeHandle: Required value",
        ],
    );
    check(
        "csi",
        json!({"driver": "d".repeat(64), "volumeHandle": "v"}),
        &["spec.csi.driver: Too long: may not be more than 63 bytes"],
    );
    let secrets = json!({
        "driver": "d", "volumeHandle": "v", "nodeStageSecretRef": {}, "controllerPublishSecretRef": {},
        "nodeExpandSecretRef": {"name": "A_b", "namespace": "A_b"},
    });
    check(
        "csi",
        secrets,
        &[
            "spec.csi.controllerPublishSecretRef.name: Required value",
            "spec.csi.controllerPublishSecretRef.namespace: Required value",
            &format!("spec.csi.nodeExpandSecretRef.name: Invalid value: \"A_b\": {SUBDOMAIN}"),
            &format!("spec.csi.nodeExpandSecretRef.namespace: Invalid value: \"A_b\": {LABEL}"),
        ],
    );
}

#[test]
fn sources_with_namespaces() {
    check(
        "glusterfs",
        json!({"endpoints": "", "path": "", "endpointsNamespace": ""}),
        &[
            "spec.glusterfs.endpoints: Required value",
            "spec.glusterfs.path: Required value",
            "spec.glusterfs.endpointsNamespace: Invalid value: \"\": if the endpointnamespace is set, it must be a valid \
         namespace name",
        ],
    );
    check(
        "glusterfs",
        json!({"endpoints": "e", "path": "p", "endpointsNamespace": "A_b"}),
        &[&format!("spec.glusterfs.endpointsNamespace: Invalid value: \"A_b\": {LABEL}")],
    );
    check(
        "cinder",
        json!({"volumeID": "", "secretRef": {}}),
        &[
            "spec.cinder.volumeID: Required value",
            "spec.cinder.secretRef.name: Required value",
            "spec.cinder.secretRef.namespace: Required value",
        ],
    );
    check(
        "azureFile",
        json!({"secretName": "", "shareName": "", "secretNamespace": ""}),
        &[
            "spec.azureFile.secretName: Required value",
            "spec.azureFile.shareName: Required value",
            "spec.azureFile.secretNamespace: Required value",
        ],
    );
    check(
        "storageos",
        json!({"volumeNamespace": "A_b", "secretRef": {}}),
        &[
            "spec.storageos.volumeName: Required value",
            &format!("spec.storageos.volumeNamespace: Invalid value: \"A_b\": {LABEL}"),
            "spec.storageos.secretRef.name: Required value",
            "spec.storageos.secretRef.namespace: Required value",
        ],
    );
    check(
        "storageos",
        json!({"volumeName": "A_b"}),
        &[&format!("spec.storageos.volumeName: Invalid value: \"A_b\": {LABEL}")],
    );
}

#[test]
fn sources_of_other_drivers() {
    check(
        "rbd",
        json!({"monitors": [], "image": ""}),
        &["spec.rbd.monitors: Required value", "spec.rbd.image: Required value"],
    );
    check("cephfs", json!({"monitors": []}), &["spec.cephfs.monitors: Required value"]);
    check(
        "scaleIO",
        json!({"gateway": "", "system": "", "secretRef": {}}),
        &[
            "spec.scaleIO.gateway: Required value",
            "spec.scaleIO.system: Required value",
            "spec.scaleIO.volumeName: Required value",
        ],
    );
    check("gcePersistentDisk", json!({"pdName": ""}), &["spec.persistentDisk.pdName: Required value"]);
    check("awsElasticBlockStore", json!({"volumeID": ""}), &["spec.awsElasticBlockStore.volumeID: Required value"]);
    check("vsphereVolume", json!({"volumePath": ""}), &["spec.vsphereVolume.volumePath: Required value"]);
    check("photonPersistentDisk", json!({"pdID": ""}), &["spec.photonPersistentDisk.pdID: Required value"]);
    check("portworxVolume", json!({"volumeID": ""}), &["spec.portworxVolume.volumeID: Required value"]);
    check("azureDisk", json!({"diskName": "", "diskURI": "https://d"}), &["spec.azureDisk.diskName: Required value"]);
    check("flocker", json!({}), &["spec.flocker: Required value: one of datasetName and datasetUUID is required"]);
    check("quobyte", json!({"registry": "a:1", "volume": ""}), &["spec.quobyte.volume: Required value"]);
}

#[test]
fn exactly_one_source() {
    let check = |change: fn(&mut Value), expected: &[&str]| {
        assert_eq!(messages(&PersistentVolumes.validate(&volume(change))), expected);
    };
    check(|object| object["spec"]["csi"] = Value::Null, &["spec: Required value: must specify a volume type"]);
    check(
        |object| {
            object["spec"]["cephfs"] = json!({"monitors": ["m"]});
            object["spec"]["local"] = json!({"path": "/a"});
            object["spec"]["nfs"] = json!({"server": "s", "path": "/a"});
        },
        &[
            "spec.cephFS: Forbidden: may not specify more than 1 volume type",
            "spec.local: Forbidden: may not specify more than 1 volume type",
            "spec.csi: Forbidden: may not specify more than 1 volume type",
        ],
    );
    check(
        |object| {
            object["spec"]["nfs"] = json!({"server": "s", "path": "/a"});
            object["spec"]["csi"] = Value::Null;
            object["spec"]["flexVolume"] = json!({"driver": "d"});
        },
        &[],
    );
}

#[test]
fn inline_volumes() {
    let check = |change: fn(&mut Value), expected: &[&str]| {
        let mut value = json!({"accessModes": ["ReadWriteOnce"], "csi": {"driver": "d", "volumeHandle": "v"}});
        change(&mut value);
        let spec = serde_json::from_value(value).unwrap();
        assert_eq!(messages(&validate_inline(&spec, &Path::new("i"))), expected);
    };
    check(|_| {}, &[]);
    check(|spec| spec["persistentVolumeReclaimPolicy"] = json!("Retain"), &[]);
    let elsewhere = "Forbidden: may not be specified in the context of inline volumes";
    check(
        |spec| {
            *spec = json!({
                "claimRef": {}, "capacity": {"storage": "1"}, "nodeAffinity": {}, "storageClassName": "a",
                "persistentVolumeReclaimPolicy": "Delete", "volumeMode": "Block",
                "nfs": {"server": "s", "path": "/a"},
            });
        },
        &[
            &format!("i.claimRef: {elsewhere}"),
            &format!("i.capacity: {elsewhere}"),
            "i.csi: Required value: has to be specified in the context of inline volumes",
            "i.accessModes: Required value",
            "i.persistentVolumeReclaimPolicy: Forbidden: may only be Retain in the context of inline volumes",
            &format!("i.nodeAffinity: {elsewhere}"),
            &format!("i.storageClassName: {elsewhere}"),
            "i.volumeMode: Forbidden: may not specify volumeMode other than Filesystem in the context of inline volumes",
        ],
    );
}
