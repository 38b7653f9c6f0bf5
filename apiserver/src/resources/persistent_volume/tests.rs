//! Volumes as administrators, binders and provisioners write them.

use serde_json::json;

use super::*;

mod sources;

/// A valid volume with `change` made to its JSON, with its defaults.
fn volume(change: impl FnOnce(&mut Value)) -> PersistentVolume {
    let mut value = json!({
        "metadata": {"name": "pv1"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "10Gi"},
            "csi": {"driver": "disk.example.com", "volumeHandle": "v1"},
        },
    });
    change(&mut value);
    let mut object = serde_json::from_value(value).unwrap();
    PersistentVolumes.default(&mut object);
    object
}

/// The same, of another source.
fn made_of(field: &str, source: Value) -> PersistentVolume {
    volume(|object| {
        let spec = object["spec"].as_object_mut().unwrap();
        spec.remove("csi");
        spec.insert(field.to_owned(), source);
    })
}

fn messages(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn context() -> Context<'static> {
    Context { now: "2026-01-01T00:00:00Z".parse().unwrap(), namespace: "", identity: None }
}

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
                         must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation \
                         is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/// Requirements for nodes whose `key` is one of `values`.
fn nodes(key: &str, values: &[&str]) -> Value {
    let expression = json!({"key": key, "operator": "In", "values": values});
    json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}})
}

#[test]
fn defaults() {
    let once = volume(|object| object["spec"]["capacity"] = json!({"storage": "0.0001"}));
    let mut twice = once.clone();
    PersistentVolumes.default(&mut twice);
    assert_eq!(once, twice);
    let value = serde_json::to_value(once).unwrap();
    assert_eq!(value["status"], json!({"phase": "Pending"}));
    assert_eq!(value["spec"]["persistentVolumeReclaimPolicy"], "Retain");
    assert_eq!(value["spec"]["volumeMode"], "Filesystem");
    assert_eq!(value["spec"]["capacity"]["storage"], "1m");
    let check = |field: &str, stated: Value, expected: Value| {
        let spec = serde_json::to_value(made_of(field, stated)).unwrap();
        assert_eq!(spec["spec"][field], expected);
    };
    check("hostPath", json!({"path": "/a"}), json!({"path": "/a", "type": ""}));
    check(
        "rbd",
        json!({"monitors": ["m"], "image": "i"}),
        json!({"monitors": ["m"], "image": "i", "pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"}),
    );
    check(
        "iscsi",
        json!({"targetPortal": "p", "iqn": "i", "lun": 0}),
        json!({"targetPortal": "p", "iqn": "i", "lun": 0, "iscsiInterface": "default"}),
    );
    check(
        "azureDisk",
        json!({"diskName": "d", "diskURI": "https://d"}),
        json!({"diskName": "d", "diskURI": "https://d", "cachingMode": "ReadWrite", "kind": "Shared", "fsType": "ext4",
            "readOnly": false}),
    );
    check(
        "scaleIO",
        json!({"gateway": "g", "system": "s", "secretRef": {}}),
        json!({"gateway": "g", "system": "s", "secretRef": {}, "storageMode": "ThinProvisioned", "fsType": "xfs"}),
    );
}

#[test]
fn a_new_volume_is_pending() {
    let mut object = volume(|object| object["status"] = json!({"phase": "Bound", "reason": "Mine"}));
    PersistentVolumes.prepare_create(&mut object, context());
    let value = serde_json::to_value(object).unwrap();
    assert_eq!(value["status"], json!({"phase": "Pending", "lastPhaseTransitionTime": "2026-01-01T00:00:00Z"}));
}

#[test]
fn the_time_of_a_phase_is_kept() {
    let check = |old: Value, new: Value, expected: Value| {
        let with = |status: Value| volume(|object| object["status"] = status);
        let mut object = with(new);
        object.spec.as_mut().unwrap().storage_class_name = Some("other".to_owned());
        (PersistentVolumes.updates()[0].prepare)(&mut object, &with(old), context());
        assert_eq!(serde_json::to_value(&object.status).unwrap(), expected);
        assert_eq!(object.spec, volume(|_| {}).spec);
    };
    let at = |phase: &str, hour: &str| json!({"phase": phase, "lastPhaseTransitionTime": format!("2025-01-01T{hour}:00:00Z")});
    let now = |phase: &str| json!({"phase": phase, "lastPhaseTransitionTime": "2026-01-01T00:00:00Z"});
    let plain = |phase: &str| json!({"phase": phase});
    check(at("Available", "01"), plain("Available"), at("Available", "01"));
    check(at("Available", "01"), at("Available", "02"), at("Available", "02"));
    check(at("Available", "01"), plain("Bound"), now("Bound"));
    check(at("Available", "01"), at("Bound", "01"), now("Bound"));
    check(at("Available", "01"), at("Bound", "02"), at("Bound", "02"));
    check(plain("Available"), plain("Available"), plain("Available"));
}

#[track_caller]
fn check(change: &dyn Fn(&mut Value), expected: &[&str]) {
    assert_eq!(messages(&PersistentVolumes.validate(&volume(change))), expected);
}

fn spec(field: &'static str, value: Value) -> impl Fn(&mut Value) {
    move |object| object["spec"][field] = value.clone()
}

#[test]
fn refusals() {
    check(&|_| {}, &[]);
    check(&spec("persistentVolumeReclaimPolicy", json!("Delete")), &[]);
    check(&spec("nodeAffinity", nodes("zone", &["a", "b"])), &[]);
    check(&spec("volumeAttributesClassName", json!("gold")), &[]);
    check(&spec("accessModes", json!([])), &["spec.accessModes: Required value"]);
    check(
        &spec("accessModes", json!(["ReadWriteOncePod", "ReadWriteMany"])),
        &["spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"],
    );
    check(
        &spec("capacity", Value::Null),
        &["spec.capacity: Required value", "spec.capacity: Unsupported value: null: supported values: \"storage\""],
    );
    check(
        &spec("capacity", json!({"storage": "1Gi", "cpu": "1"})),
        &["spec.capacity: Unsupported value: {\"cpu\":\"1\",\"storage\":\"1Gi\"}: supported values: \"storage\""],
    );
    check(
        &spec("capacity", json!({"storage": "0"})),
        &["spec.capacity[storage]: Invalid value: \"0\": must be greater than zero"],
    );
    check(
        &spec("capacity", json!({"storage": "-10"})),
        &[
            "spec.capacity[storage]: Invalid value: -10: must be a valid resource quantity",
            "spec.capacity[storage]: Invalid value: \"-10\": must be greater than zero",
        ],
    );
    check(
        &spec("persistentVolumeReclaimPolicy", json!("Burn")),
        &[
            "spec.persistentVolumeReclaimPolicy: Unsupported value: \"Burn\": supported values: \"Delete\", \"Recycle\", \
         \"Retain\"",
        ],
    );
}

#[test]
fn refused_nodes_and_classes() {
    check(
        &spec("nodeAffinity", json!({})),
        &["spec.nodeAffinity.required: Required value: must specify required node constraints"],
    );
    check(
        &spec("nodeAffinity", json!({"required": {"nodeSelectorTerms": []}})),
        &["spec.nodeAffinity.required.nodeSelectorTerms: Required value: must have at least one node selector term"],
    );
    let path = "spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0]";
    check(
        &spec("nodeAffinity", nodes("zone", &[])),
        &[&format!("{path}.values: Required value: must be specified when `operator` is 'In' or 'NotIn'")],
    );
    check(
        &spec("storageClassName", json!("A_b")),
        &[&format!("spec.storageClassName: Invalid value: \"A_b\": {SUBDOMAIN}")],
    );
    check(
        &spec("volumeMode", json!("Tape")),
        &["spec.volumeMode: Unsupported value: \"Tape\": supported values: \"Block\", \"Filesystem\""],
    );
    check(
        &spec("volumeAttributesClassName", json!("")),
        &["spec.volumeAttributesClassName: Required value: an empty string is disallowed"],
    );
    check(
        &|object| {
            let spec = object["spec"].as_object_mut().unwrap();
            spec.remove("csi");
            spec.insert("nfs".to_owned(), json!({"server": "s", "path": "/a"}));
            spec.insert("volumeAttributesClassName".to_owned(), json!("A_b"));
        },
        &[
            &format!("spec.volumeAttributesClassName: Invalid value: \"A_b\": {SUBDOMAIN}"),
            "spec.csi: Required value: has to be specified when using volumeAttributesClassName",
        ],
    );
    check(
        &|object| object["metadata"]["annotations"] = json!({MOUNT_OPTIONS: "ro"}),
        &[
            "metadata.annotations.volume.beta.kubernetes.io/mount-options: Forbidden: may not specify mount options for this \
         volume type",
        ],
    );
}

#[test]
fn nobody_recycles_the_host() {
    let check = |path: &str, refused: bool| {
        let mut object = made_of("hostPath", json!({"path": path}));
        object.spec.as_mut().unwrap().persistent_volume_reclaim_policy = Some("Recycle".to_owned());
        let detail = "spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'";
        let found = messages(&PersistentVolumes.validate(&object));
        assert_eq!(found.iter().any(|message| message == detail), refused, "{path}: {found:?}");
    };
    for path in ["/", "//", "/./", "/a/..", "/.."] {
        check(path, true);
    }
    for path in ["/data", "/a/../b", "data"] {
        check(path, false);
    }
}

const CHANGED: &str =
    "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation\n";

fn check_update(new: &PersistentVolume, old: &PersistentVolume, expected: &[&str]) {
    let found = messages(&PersistentVolumes.validate_update(new, old));
    let shortened: Vec<&str> =
        found.iter().map(|text| if text.starts_with(CHANGED) { CHANGED } else { text }).collect();
    assert_eq!(shortened, expected);
}

#[test]
fn a_source_does_not_change() {
    let set = |field: &'static str, value: Value| volume(move |object| object["spec"][field] = value);
    let csi = |field: &'static str, value: Value| volume(move |object| object["spec"]["csi"][field] = value);
    let secret = || json!({"name": "s", "namespace": "n"});
    check_update(&set("capacity", json!({"storage": "20Gi"})), &volume(|_| {}), &[]);
    check_update(&set("claimRef", json!({"name": "c", "namespace": "n"})), &volume(|_| {}), &[]);
    check_update(&set("persistentVolumeReclaimPolicy", json!("Delete")), &volume(|_| {}), &[]);
    check_update(&csi("readOnly", json!(false)), &volume(|_| {}), &[]);
    check_update(&csi("volumeHandle", json!("v2")), &volume(|_| {}), &[CHANGED]);
    check_update(&csi("controllerExpandSecretRef", secret()), &volume(|_| {}), &[]);
    check_update(&volume(|_| {}), &csi("controllerExpandSecretRef", secret()), &[CHANGED]);
    check_update(&csi("nodeExpandSecretRef", secret()), &volume(|_| {}), &[CHANGED]);
    check_update(&made_of("nfs", json!({"server": "s", "path": "/a"})), &volume(|_| {}), &[CHANGED]);
    check_update(
        &set("volumeMode", json!("Block")),
        &volume(|_| {}),
        &["volumeMode: Invalid value: \"Block\": field is immutable"],
    );
    let class = |name: &'static str| set("volumeAttributesClassName", json!(name));
    check_update(&class("gold"), &class("silver"), &[]);
    check_update(&class("gold"), &volume(|_| {}), &[]);
    check_update(
        &volume(|_| {}),
        &class("gold"),
        &["spec.volumeAttributesClassName: Forbidden: update from non-nil value to nil is forbidden"],
    );
    // What is wrong is said twice.
    let wrong = "spec.accessModes: Required value";
    check_update(&set("accessModes", json!([])), &volume(|_| {}), &[wrong, wrong]);
    let expected = format!(
        "{CHANGED}  core.PersistentVolumeSource{{
  \tCsi: {{
  \t\t... // 1 identical field
- \t\tVolumeHandle: \"v1\",
+ \t\tVolumeHandle: \"v2\",
  \t}},
  }}
"
    );
    let found = PersistentVolumes.validate_update(&csi("volumeHandle", json!("v2")), &volume(|_| {}));
    assert_eq!(messages(&found), [expected]);
}

#[test]
fn nodes_stay_but_for_new_names_of_labels() {
    let with = |affinity: Value| volume(|object| object["spec"]["nodeAffinity"] = affinity);
    let immutable = "field is immutable, except for updating from beta label to GA";
    let beta = || with(nodes("failure-domain.beta.kubernetes.io/zone", &["a"]));
    check_update(&with(nodes("zone", &["a"])), &volume(|_| {}), &[]);
    check_update(&beta(), &beta(), &[]);
    check_update(&with(nodes("topology.kubernetes.io/zone", &["a"])), &beta(), &[]);
    check_update(
        &beta(),
        &with(nodes("topology.kubernetes.io/zone", &["a"])),
        &[&format!(
            "nodeAffinity: Invalid value: {{\"Required\":{{\"NodeSelectorTerms\":[{{\"MatchExpressions\":[{{\"Key\":\
             \"failure-domain.beta.kubernetes.io/zone\",\"Operator\":\"In\",\"Values\":[\"a\"]}}],\"MatchFields\":null}}]\
             }}}}: {immutable}"
        )],
    );
    check_update(&volume(|_| {}), &beta(), &[&format!("nodeAffinity: Invalid value: null: {immutable}")]);
    // Values that were stored are not looked at again.
    let odd = || with(nodes("zone", &["a b"]));
    check_update(&odd(), &odd(), &[]);
}

#[test]
fn warnings() {
    let object = volume(|object| {
        object["metadata"]["annotations"] =
            json!({"volume.beta.kubernetes.io/storage-class": "x", MOUNT_OPTIONS: "ro"});
        object["spec"]["persistentVolumeReclaimPolicy"] = json!("Recycle");
        object["spec"]["nodeAffinity"] = nodes("beta.kubernetes.io/os", &["linux"]);
        object["spec"]["rbd"] = json!({"monitors": ["m"], "image": "i"});
        object["spec"]["storageos"] = json!({"volumeName": "v"});
    });
    assert_eq!(
        PersistentVolumes.warnings(&object, None),
        [
            "metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use \
             \"storageClassName\" attribute instead",
            "metadata.annotations[volume.beta.kubernetes.io/mount-options]: deprecated since v1.31; use \"mountOptions\" \
             attribute instead",
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended \
             approach is to use dynamic provisioning.",
            "spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key: beta.kubernetes.io/os is deprecated \
             since v1.14; use \"kubernetes.io/os\" instead",
            "spec.storageOS: deprecated in v1.22, non-functional in v1.25+",
            "spec.rbd: deprecated in v1.28, non-functional in v1.31+",
        ]
    );
}

#[test]
fn rows() {
    let check = |object: &PersistentVolume, expected: [&str; 11]| {
        let now = "2026-01-01T00:05:00Z".parse().unwrap();
        assert_eq!(PersistentVolumes.row(object, now), expected.map(Value::from));
    };
    let created = |object: &mut Value| object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    let unset = "<unset>";
    check(&volume(created), ["pv1", "10Gi", "RWO", "Retain", "Pending", "", "", unset, "", "5m", "Filesystem"]);
    let full = volume(|object| {
        created(object);
        object["spec"]["claimRef"] = json!({"namespace": "shop", "name": "data"});
        object["spec"]["storageClassName"] = json!("fast");
        object["spec"]["volumeAttributesClassName"] = json!("gold");
        object["status"] = json!({"phase": "Failed", "reason": "Gone"});
    });
    let cells = ["pv1", "10Gi", "RWO", "Retain", "Failed", "shop/data", "fast", "gold", "Gone", "5m", "Filesystem"];
    check(&full, cells);
    let ending = volume(|object| {
        created(object);
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:01:00Z");
        object["spec"]["capacity"] = json!({});
    });
    check(&ending, ["pv1", "0", "RWO", "Retain", "Terminating", "", "", unset, "", "5m", "Filesystem"]);
    assert_eq!(PersistentVolumes.columns().len(), 11);
}
