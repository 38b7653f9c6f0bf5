//! Claims as users, binders and drivers write them.

use serde_json::json;

use super::*;

/// A valid claim with `change` made to its JSON, with its defaults.
fn claim(change: impl FnOnce(&mut Value)) -> PersistentVolumeClaim {
    let mut value = json!({
        "metadata": {"name": "data", "namespace": "default"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}},
    });
    change(&mut value);
    let mut object = serde_json::from_value(value).unwrap();
    PersistentVolumeClaims.default(&mut object);
    object
}

/// The same, bound.
fn bound(change: impl FnOnce(&mut Value)) -> PersistentVolumeClaim {
    claim(|object| {
        object["spec"]["volumeName"] = json!("pv1");
        object["status"] = json!({"phase": "Bound", "capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOnce"]});
        change(object);
    })
}

fn messages(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn context() -> Context<'static> {
    Context { now: Timestamp::UNIX_EPOCH, namespace: "default", identity: None }
}

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
                         must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation \
                         is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

#[test]
fn defaults() {
    let once = claim(|object| {
        object["spec"]["resources"] = json!({"requests": {"storage": "0.5"}, "limits": {"storage": "1024Mi"}});
        object["status"] = json!({"capacity": {"storage": "0.0001"}, "allocatedResources": {"storage": "1000k"}});
    });
    let mut twice = once.clone();
    PersistentVolumeClaims.default(&mut twice);
    assert_eq!(once, twice);
    let value = serde_json::to_value(once).unwrap();
    assert_eq!(value["spec"]["volumeMode"], "Filesystem");
    assert_eq!(value["spec"]["resources"], json!({"requests": {"storage": "500m"}, "limits": {"storage": "1Gi"}}));
    let status = json!({"phase": "Pending", "capacity": {"storage": "1m"}, "allocatedResources": {"storage": "1M"}});
    assert_eq!(value["status"], status);
}

#[test]
fn a_new_claim_is_pending() {
    let mut object = bound(|_| {});
    PersistentVolumeClaims.prepare_create(&mut object, context());
    let value = serde_json::to_value(object).unwrap();
    assert_eq!(value["status"], json!({"phase": "Pending"}));
}

#[test]
fn data_sources_agree() {
    let check = |stated: Value, old: Option<Value>, expected: Value| {
        let with = |sources: &Value| {
            claim(|object| object["spec"].as_object_mut().unwrap().extend(sources.as_object().unwrap().clone()))
        };
        let mut object = with(&stated);
        match &old {
            None => PersistentVolumeClaims.prepare_create(&mut object, context()),
            Some(old) => PersistentVolumeClaims.prepare_update(&mut object, &with(old), context()),
        }
        let spec = serde_json::to_value(object.spec.unwrap()).unwrap();
        for field in ["dataSource", "dataSourceRef"] {
            assert_eq!(spec[field], expected[field], "{stated} after {old:?}");
        }
    };
    let source = |group: Option<&str>, kind: &str| match group {
        None => json!({"kind": kind, "name": "x"}),
        Some(group) => json!({"apiGroup": group, "kind": kind, "name": "x"}),
    };
    let (older, newer) =
        (|value: &Value| json!({"dataSource": value}), |value: &Value| json!({"dataSourceRef": value}));
    let both = |value: &Value| json!({"dataSource": value, "dataSourceRef": value});
    let pvc = source(None, "PersistentVolumeClaim");
    let snapshot = source(Some("snapshot.storage.k8s.io"), "VolumeSnapshot");
    let populator = source(Some("example.com"), "Populator");
    check(json!({}), None, json!({}));
    check(older(&pvc), None, both(&pvc));
    check(newer(&pvc), None, both(&pvc));
    check(older(&snapshot), None, both(&snapshot));
    // The older field has always ignored what it does not know.
    check(older(&populator), None, json!({}));
    check(newer(&populator), None, both(&populator));
    check(json!({"dataSource": populator, "dataSourceRef": pvc}), None, both(&pvc));
    // Other namespaces are behind a closed gate.
    let elsewhere = json!({"kind": "PersistentVolumeClaim", "name": "x", "namespace": "other"});
    check(newer(&elsewhere), None, json!({}));
    check(newer(&elsewhere), Some(newer(&elsewhere)), newer(&elsewhere));
    // What is stored stays, and older clients state half of it.
    check(older(&populator), Some(both(&populator)), both(&populator));
    check(newer(&populator), Some(both(&populator)), both(&populator));
}

#[track_caller]
fn check(change: &dyn Fn(&mut Value), expected: &[&str]) {
    assert_eq!(messages(&PersistentVolumeClaims.validate(&claim(change))), expected);
}

fn spec(field: &'static str, value: Value) -> impl Fn(&mut Value) {
    move |object| object["spec"][field] = value.clone()
}

#[test]
fn refusals() {
    check(&|_| {}, &[]);
    check(&spec("volumeMode", json!("Block")), &[]);
    check(&spec("storageClassName", json!("")), &[]);
    check(&spec("volumeAttributesClassName", json!("")), &[]);
    check(&spec("accessModes", json!(["ReadWriteOncePod"])), &[]);
    check(&spec("accessModes", json!([])), &["spec.accessModes: Required value: at least 1 access mode is required"]);
    check(
        &spec("accessModes", json!(["ReadWriteOncePod", "ReadWriteMany"])),
        &["spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"],
    );
    check(
        &spec("accessModes", json!(["Any"])),
        &["spec.accessModes: Unsupported value: \"Any\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \
         \"ReadWriteOnce\", \"ReadWriteOncePod\""],
    );
    check(&spec("resources", json!({})), &["spec.resources[storage]: Required value"]);
    for (size, shown) in [("0", "0"), ("-1Gi", "-1Gi")] {
        let expected = format!("spec.resources[storage]: Invalid value: \"{shown}\": must be greater than zero");
        check(&spec("resources", json!({"requests": {"storage": size}})), &[&expected]);
    }
    check(
        &spec("storageClassName", json!("A_b")),
        &[&format!("spec.storageClassName: Invalid value: \"A_b\": {SUBDOMAIN}")],
    );
    check(
        &spec("volumeAttributesClassName", json!("A_b")),
        &[&format!("spec.volumeAttributesClassName: Invalid value: \"A_b\": {SUBDOMAIN}")],
    );
    check(
        &spec("volumeMode", json!("Tape")),
        &["spec.volumeMode: Unsupported value: \"Tape\": supported values: \"Block\", \"Filesystem\""],
    );
    check(
        &spec("selector", json!({"matchExpressions": [{"key": "a", "operator": "In"}]})),
        &[
            "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
        ],
    );
}

#[test]
fn refused_sources() {
    check(
        &spec("dataSource", json!({"kind": "", "name": ""})),
        &[
            "spec.dataSource.name: Required value",
            "spec.dataSource.kind: Required value",
            "spec.dataSource: Invalid value: \"\": must be 'PersistentVolumeClaim' when referencing the default apiGroup",
        ],
    );
    check(
        &spec("dataSourceRef", json!({"apiGroup": "A_b", "kind": "K", "name": "x"})),
        &[&format!("spec.dataSourceRef.apiGroup: Invalid value: \"A_b\": {SUBDOMAIN}")],
    );
    let pvc = json!({"kind": "PersistentVolumeClaim", "name": "x"});
    check(
        &|object| {
            object["spec"]["dataSource"] = pvc.clone();
            object["spec"]["dataSourceRef"] = json!({"kind": "PersistentVolumeClaim", "name": "y"});
        },
        &["spec: Invalid value: {}: must match dataSourceRef"],
    );
    check(
        &|object| {
            object["spec"]["dataSource"] = pvc.clone();
            object["spec"]["dataSourceRef"] = json!({"kind": "PersistentVolumeClaim", "name": "x", "namespace": "n"});
        },
        &["spec: Invalid value: {}: may not be specified when dataSourceRef.namespace is specified"],
    );
}

const CHANGED: &str = "spec: Forbidden: spec is immutable after creation except resources.requests and \
                       volumeAttributesClassName for bound claims\n";

fn check_update(new: &PersistentVolumeClaim, old: &PersistentVolumeClaim, expected: &[&str]) {
    let found = messages(&PersistentVolumeClaims.validate_update(new, old));
    let shortened: Vec<&str> =
        found.iter().map(|text| if text.starts_with(CHANGED) { CHANGED } else { text }).collect();
    assert_eq!(shortened, expected);
}

#[test]
fn a_spec_changes_little() {
    let set = |field: &'static str, value: Value| claim(move |object| object["spec"][field] = value);
    check_update(&set("volumeName", json!("pv1")), &claim(|_| {}), &[]);
    check_update(&claim(|object| object["metadata"]["labels"] = json!({"a": "b"})), &claim(|_| {}), &[]);
    check_update(&set("volumeName", json!("pv2")), &set("volumeName", json!("pv1")), &[CHANGED]);
    check_update(&set("accessModes", json!(["ReadWriteMany"])), &claim(|_| {}), &[CHANGED]);
    check_update(&set("resources", json!({"requests": {"storage": "10240Mi"}})), &claim(|_| {}), &[]);
    check_update(&set("resources", json!({"requests": {"storage": "11Gi"}})), &claim(|_| {}), &[CHANGED]);
    check_update(
        &set("volumeMode", json!("Block")),
        &claim(|_| {}),
        &[CHANGED, "volumeMode: Invalid value: \"Block\": field is immutable"],
    );
    // What is wrong is said twice.
    let wrong = "spec.accessModes: Required value: at least 1 access mode is required";
    check_update(&set("accessModes", json!([])), &set("accessModes", json!([])), &[wrong, wrong]);
    // Groups and selectors that were stored are not looked at again.
    let odd = |mode: &'static str| {
        claim(move |object| {
            object["spec"]["dataSourceRef"] = json!({"apiGroup": "A_b", "kind": "K", "name": "x"});
            object["spec"]["selector"] =
                json!({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b c"]}]});
            object["metadata"]["labels"] = json!({"mode": mode});
        })
    };
    let mut new = odd("new");
    PersistentVolumeClaims.prepare_update(&mut new, &odd("old"), context());
    check_update(&new, &odd("old"), &[]);
}

#[test]
fn the_difference_is_shown() {
    let (old, new) = (claim(|_| {}), claim(|object| object["spec"]["accessModes"] = json!(["ReadOnlyMany"])));
    let expected = format!(
        "{CHANGED}  core.PersistentVolumeClaimSpec{{
  \tAccessModes: {{
- \t\t\"ReadWriteOnce\",
+ \t\t\"ReadOnlyMany\",
  \t}},
  \t... // 2 identical fields
  }}
"
    );
    assert_eq!(messages(&PersistentVolumeClaims.validate_update(&new, &old)), [expected]);
}

#[test]
fn a_class_is_given_once() {
    const ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
    let immutable =
        |value: &str| format!("metadata.annotations.{ANNOTATION}: Invalid value: \"{value}\": field is immutable");
    let with = |annotation: Option<&str>, field: Option<&str>| {
        claim(|object| {
            object["spec"]["storageClassName"] = json!(field);
            if let Some(annotation) = annotation {
                object["metadata"]["annotations"] = json!({ANNOTATION: annotation});
            }
        })
    };
    check_update(&with(None, Some("fast")), &with(None, None), &[]);
    check_update(&with(None, Some("")), &with(None, None), &[]);
    check_update(&with(None, Some("slow")), &with(None, Some("fast")), &[CHANGED]);
    check_update(&with(None, None), &with(None, Some("fast")), &[CHANGED]);
    check_update(&with(None, Some("")), &with(None, Some("fast")), &[CHANGED]);
    // From the annotation into the field, with or without the annotation.
    check_update(&with(None, Some("fast")), &with(Some("fast"), None), &[]);
    check_update(&with(Some("fast"), Some("fast")), &with(Some("fast"), None), &[]);
    check_update(&with(Some("fast"), Some("slow")), &with(Some("fast"), None), &[CHANGED]);
    check_update(&with(Some("slow"), None), &with(Some("fast"), None), &[&immutable("slow")]);
    check_update(&with(None, None), &with(Some("fast"), None), &[&immutable("")]);
    check_update(&with(Some("slow"), Some("fast")), &with(Some("fast"), None), &[&immutable("slow")]);
    check_update(&with(Some("fast"), None), &with(None, None), &[&immutable("fast")]);
}

#[test]
fn a_bound_claim_is_resized() {
    let sized =
        |size: &'static str| bound(move |object| object["spec"]["resources"]["requests"]["storage"] = json!(size));
    let less = "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity";
    check_update(&sized("20Gi"), &sized("10Gi"), &[]);
    check_update(&sized("15Gi"), &sized("20Gi"), &[]);
    check_update(&sized("10Gi"), &sized("20Gi"), &[less]);
    check_update(&sized("5Gi"), &sized("10Gi"), &[less]);
    check_update(
        &bound(|object| object["spec"]["resources"]["limits"] = json!({"storage": "20Gi"})),
        &sized("10Gi"),
        &[CHANGED],
    );
    let small = |phase: &'static str, size: &'static str| {
        claim(move |object| {
            object["spec"]["resources"]["requests"]["storage"] = json!(size);
            object["status"] = json!({"phase": phase});
        })
    };
    check_update(&small("Pending", "5Gi"), &small("Pending", "10Gi"), &[CHANGED]);
    check_update(&small("Bound", "5Gi"), &small("Bound", "10Gi"), &[]);
}

#[test]
fn a_class_of_attributes_is_replaced() {
    let with = |class: Option<&'static str>, current: Option<&'static str>| {
        bound(move |object| {
            object["spec"]["volumeAttributesClassName"] = json!(class);
            object["status"]["currentVolumeAttributesClassName"] = json!(current);
        })
    };
    let forbidden = |what: &str| {
        format!(
            "spec.volumeAttributesClassName: Forbidden: update to {what} is forbidden when \
             status.currentVolumeAttributesClassName is not nil"
        )
    };
    check_update(&with(Some("gold"), None), &with(None, None), &[]);
    check_update(&with(Some("gold"), None), &with(Some("silver"), None), &[]);
    check_update(&with(Some("gold"), Some("silver")), &with(Some("silver"), Some("silver")), &[]);
    // What has not been applied is taken back.
    check_update(&with(None, None), &with(Some("gold"), None), &[]);
    check_update(&with(Some(""), None), &with(Some("gold"), None), &[]);
    check_update(&with(None, Some("gold")), &with(Some("gold"), Some("gold")), &[&forbidden("nil")]);
    check_update(&with(Some(""), Some("gold")), &with(Some("gold"), Some("gold")), &[&forbidden("empty string")]);
    let pending = |class: &'static str| claim(move |object| object["spec"]["volumeAttributesClassName"] = json!(class));
    check_update(&pending("gold"), &pending("silver"), &[CHANGED]);
}

#[test]
fn statuses() {
    let status = &PersistentVolumeClaims.updates()[0];
    let check = |stated: Value, expected: &[&str]| {
        let new = bound(|object| object["status"] = stated);
        assert_eq!(messages(&(status.validate)(&new, &bound(|_| {}))), expected);
    };
    let name = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    let states = "supported values: \"ControllerResizeInProgress\", \"ControllerResizeInfeasible\", \
                  \"NodeResizeInProgress\", \"NodeResizeInfeasible\", \"NodeResizePending\"";
    check(json!({}), &[]);
    check(
        json!({
            "phase": "Bound", "capacity": {"storage": "10Gi", "anything": "1"},
            "allocatedResources": {"storage": "20Gi", "example.com/iops": "5"},
            "allocatedResourceStatuses": {"storage": "NodeResizePending", "example.com/iops": "NodeResizeInProgress"},
            "modifyVolumeStatus": {"status": "InProgress", "targetVolumeAttributesClassName": "gold"},
            "conditions": [{"type": "Resizing", "status": "True"}],
        }),
        &[],
    );
    check(
        json!({"capacity": {"storage": "-1Gi"}}),
        &["status.capacity[storage]: Invalid value: -1073741824: must be a valid resource quantity"],
    );
    check(
        json!({"allocatedResources": {"storage": "-1"}}),
        &["status.allocatedResources[storage]: Invalid value: -1: must be a valid resource quantity"],
    );
    check(
        json!({"allocatedResources": {"cpu": "-1"}}),
        &["status.allocatedResources: Unsupported value: \"cpu\": supported values: \"storage\""],
    );
    check(
        json!({"allocatedResources": {"a b": "1"}}),
        &[&format!("status.allocatedResources: Invalid value: \"a b\": {name}")],
    );
    check(
        json!({"allocatedResourceStatuses": {"storage": "Stuck"}}),
        &[&format!("status.allocatedResourceStatus: Unsupported value: \"storage\": {states}")],
    );
    check(
        json!({"allocatedResourceStatuses": {"kubernetes.io/size": ""}}),
        &[
            "status.allocatedResourceStatus: Unsupported value: \"kubernetes.io/size\": supported values: \"storage\"",
            &format!("status.allocatedResourceStatus: Unsupported value: \"kubernetes.io/size\": {states}"),
        ],
    );
    let mut without_modes = bound(|_| {});
    without_modes.spec.as_mut().unwrap().access_modes = None;
    assert_eq!(messages(&(status.validate)(&without_modes, &bound(|_| {}))), ["Spec.accessModes: Required value"]);

    let mut new = bound(|object| {
        object["spec"]["volumeName"] = json!("pv9");
        object["metadata"]["labels"] = json!({"a": "b"});
        object["status"] = json!({"phase": "Lost", "healthStatus": {"healthConditions": []}});
    });
    (status.prepare)(&mut new, &bound(|_| {}), context());
    assert_eq!(new.spec, bound(|_| {}).spec);
    assert!(new.metadata.labels.is_some());
    assert_eq!(serde_json::to_value(new.status).unwrap(), json!({"phase": "Lost"}));
}

#[test]
fn warnings() {
    let object = claim(|object| {
        object["metadata"]["annotations"] = json!({"volume.beta.kubernetes.io/storage-class": "fast"});
        object["spec"]["resources"] = json!({"requests": {"storage": "1500m"}, "limits": {"storage": "2500m"}});
    });
    assert_eq!(
        PersistentVolumeClaims.warnings(&object, None),
        [
            "metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use \
             \"storageClassName\" attribute instead",
            "spec.resources.requests[storage]: fractional byte value \"1500m\" is invalid, must be an integer",
            "spec.resources.limits[storage]: fractional byte value \"2500m\" is invalid, must be an integer",
        ]
    );
    assert_eq!(PersistentVolumeClaims.warnings(&claim(|_| {}), None), [] as [&str; 0]);
}

#[test]
fn rows() {
    let check = |object: &PersistentVolumeClaim, expected: [&str; 9]| {
        let now = "2026-01-01T00:05:00Z".parse().unwrap();
        assert_eq!(PersistentVolumeClaims.row(object, now), expected.map(Value::from));
    };
    let created = |object: &mut Value| object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    check(&claim(created), ["data", "Pending", "", "", "", "", "<unset>", "5m", "Filesystem"]);
    let full = bound(|object| {
        created(object);
        object["spec"]["storageClassName"] = json!("fast");
        object["spec"]["volumeAttributesClassName"] = json!("gold");
        object["status"]["accessModes"] = json!(["ReadWriteMany", "ReadWriteOnce"]);
    });
    check(&full, ["data", "Bound", "pv1", "10Gi", "RWO,RWX", "fast", "gold", "5m", "Filesystem"]);
    let ending = bound(|object| {
        created(object);
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:01:00Z");
        object["metadata"]["annotations"] = json!({"volume.beta.kubernetes.io/storage-class": "slow"});
        object["spec"]["storageClassName"] = json!("fast");
        object["spec"]["volumeMode"] = json!("Block");
        object["status"] = json!({"phase": "Bound"});
    });
    check(&ending, ["data", "Terminating", "pv1", "0", "", "slow", "<unset>", "5m", "Block"]);
    assert_eq!(PersistentVolumeClaims.columns().len(), 9);
}
