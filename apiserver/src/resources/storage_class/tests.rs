//! Storage classes as administrators write them.

use serde_json::json;

use super::*;

/// A valid class with `change` made to its JSON, with its defaults.
fn class(change: impl FnOnce(&mut Value)) -> StorageClass {
    let mut value = json!({"metadata": {"name": "fast"}, "provisioner": "disk.example.com"});
    change(&mut value);
    let mut object = serde_json::from_value(value).unwrap();
    StorageClasses.default(&mut object);
    object
}

fn messages(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

const NAME: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric \
                    character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

#[test]
fn defaults() {
    let once = class(|_| {});
    let mut twice = once.clone();
    StorageClasses.default(&mut twice);
    assert_eq!(once, twice);
    assert_eq!((text(&once.reclaim_policy), text(&once.volume_binding_mode)), ("Delete", "Immediate"));
    let stated = class(|object| object["reclaimPolicy"] = json!(""));
    assert_eq!(text(&stated.reclaim_policy), "");
}

#[test]
fn refusals() {
    let check = |field: &str, value: Value, expected: &[&str]| {
        let object = class(|object| object[field] = value);
        assert_eq!(messages(&StorageClasses.validate(&object)), expected);
    };
    check("provisioner", json!("kubernetes.io/no-provisioner"), &[]);
    check("reclaimPolicy", json!("Retain"), &[]);
    check("reclaimPolicy", json!(""), &[]);
    check("volumeBindingMode", json!("WaitForFirstConsumer"), &[]);
    check("parameters", json!({}), &[]);
    check("parameters", json!({"type": ""}), &[]);
    check("provisioner", json!(""), &["provisioner: Required value"]);
    check("provisioner", json!("A_"), &[&format!("provisioner: Invalid value: \"a_\": name part {NAME}")]);
    check("parameters", json!({"": "v"}), &["parameters: Invalid value: \"\": field can not be empty."]);
    let many = |count: usize, value: &str| -> Value {
        (0..count).map(|i| (format!("k{i}"), json!(value))).collect::<serde_json::Map<_, _>>().into()
    };
    check("parameters", many(513, ""), &["parameters: Too long: may not be more than 512 bytes"]);
    check("parameters", many(512, &"v".repeat(512)), &["parameters: Too long: may not be more than 262144 bytes"]);
    check(
        "reclaimPolicy",
        json!("Recycle"),
        &["reclaimPolicy: Unsupported value: \"Recycle\": supported values: \"Delete\", \"Retain\""],
    );
    check(
        "volumeBindingMode",
        json!("Late"),
        &["volumeBindingMode: Unsupported value: \"Late\": supported values: \"Immediate\", \"WaitForFirstConsumer\""],
    );
    check(
        "volumeBindingMode",
        json!(""),
        &["volumeBindingMode: Unsupported value: \"\": supported values: \"Immediate\", \"WaitForFirstConsumer\""],
    );
}

#[test]
fn topologies() {
    let check = |topologies: Value, expected: &[&str]| {
        let object = class(|object| object["allowedTopologies"] = topologies);
        assert_eq!(messages(&StorageClasses.validate(&object)), expected);
    };
    let term = |expressions: &[(&str, &[&str])]| {
        let expressions = expressions.iter().map(|(key, values)| json!({"key": key, "values": values}));
        json!({"matchLabelExpressions": expressions.collect::<Vec<_>>()})
    };
    let path = "allowedTopologies[0].matchLabelExpressions[0]";
    check(json!([]), &[]);
    check(json!([term(&[("zone", &["a", "b"]), ("rack", &["1"])]), term(&[("zone", &["a"])])]), &[]);
    check(json!([term(&[("zone", &[])])]), &[&format!("{path}.values: Required value")]);
    check(json!([term(&[("zone", &["a", "a"])])]), &[&format!("{path}.values[1]: Duplicate value: \"a\"")]);
    check(json!([term(&[("a b", &["a"])])]), &[&format!("{path}.key: Invalid value: \"a b\": name part {NAME}")]);
    check(
        json!([term(&[("zone", &["a"]), ("zone", &["b"])])]),
        &["allowedTopologies[0].matchLabelExpressions[1].key: Duplicate value: \"zone\""],
    );
    check(
        json!([term(&[("zone", &["a", "b"])]), term(&[("zone", &["b", "a"])])]),
        &["allowedTopologies[1].matchLabelExpressions: Duplicate value: \"\""],
    );
    check(json!([term(&[])]), &["allowedTopologies[0].matchLabelExpressions: Duplicate value: \"\""]);
}

#[test]
fn what_volumes_were_made_by_does_not_change() {
    let check = |field: &str, value: Value, expected: &[&str]| {
        let new = class(|object| object[field] = value);
        assert_eq!(messages(&StorageClasses.validate_update(&new, &class(|_| {}))), expected);
    };
    check("allowVolumeExpansion", json!(true), &[]);
    check("mountOptions", json!(["ro"]), &[]);
    check("allowedTopologies", json!([{"matchLabelExpressions": [{"key": "zone", "values": ["a"]}]}]), &[]);
    check("parameters", json!({}), &[]);
    check("parameters", json!({"type": "ssd"}), &["parameters: Forbidden: updates to parameters are forbidden."]);
    check("provisioner", json!("other"), &["provisioner: Forbidden: updates to provisioner are forbidden."]);
    check("reclaimPolicy", json!("Retain"), &["reclaimPolicy: Forbidden: updates to reclaimPolicy are forbidden."]);
    check(
        "volumeBindingMode",
        json!("WaitForFirstConsumer"),
        &["volumeBindingMode: Invalid value: \"WaitForFirstConsumer\": field is immutable"],
    );
}

#[test]
fn old_labels_of_nodes_are_warned_of() {
    let object = class(|object| {
        let expressions = json!([{"key": "failure-domain.beta.kubernetes.io/zone", "values": ["a"]}]);
        object["allowedTopologies"] = json!([{"matchLabelExpressions": expressions}]);
    });
    let expected = "allowedTopologies[0].matchLabelExpressions[0].key: deprecated since v1.17; use \
                    \"topology.kubernetes.io/zone\" instead";
    assert_eq!(StorageClasses.warnings(&object, None), [expected]);
}

#[test]
fn rows() {
    let check = |change: fn(&mut Value), expected: Value| {
        let object = class(|object| {
            object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
            change(object);
        });
        let now = "2026-01-01T00:05:00Z".parse().unwrap();
        assert_eq!(Value::from(StorageClasses.row(&object, now)), expected);
    };
    check(|_| {}, json!(["fast", "disk.example.com", "Delete", "Immediate", false, "5m"]));
    check(
        |object| {
            let annotations = json!({"storageclass.kubernetes.io/is-default-class": "true"});
            object["metadata"]["annotations"] = annotations;
            object["allowVolumeExpansion"] = json!(true);
            object["reclaimPolicy"] = json!("Retain");
            object["volumeBindingMode"] = json!("WaitForFirstConsumer");
        },
        json!(["fast (default)", "disk.example.com", "Retain", "WaitForFirstConsumer", true, "5m"]),
    );
    check(
        |object| {
            object["metadata"]["annotations"] = json!({
                "storageclass.kubernetes.io/is-default-class": "yes",
                "storageclass.beta.kubernetes.io/is-default-class": "true",
            });
        },
        json!(["fast (default)", "disk.example.com", "Delete", "Immediate", false, "5m"]),
    );
    assert_eq!(StorageClasses.columns().len(), 6);
}
