//! What may be created and updated, and what is said of the rest.

use serde_json::{Value, json};

use super::*;
use crate::names::{object_dns_label, object_dns_subdomain};

fn meta(value: Value) -> ObjectMeta {
    serde_json::from_value(value).unwrap()
}

fn base(extra: Value) -> ObjectMeta {
    let mut value = json!({"name": "test", "namespace": "ns", "resourceVersion": "1"});
    value.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    meta(value)
}

#[track_caller]
fn check_lines(errors: &ErrorList, expected: &[&str]) {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(lines, expected);
}

#[track_caller]
fn on_create(value: Value, expected: &[&str]) {
    check_lines(&validate_object_meta(&base(value), true, object_dns_subdomain, &Path::new("metadata")), expected);
}

#[track_caller]
fn on_update(new: Value, old: Value, expected: &[&str]) {
    check_lines(&validate_object_meta_update(&base(new), &base(old), &Path::new("metadata")), expected);
}

#[test]
fn names_and_namespaces() {
    let check = |value: Value, namespaced, expected: &[&str]| {
        let errors = validate_object_meta(&meta(value), namespaced, object_dns_label, &Path::new("metadata"));
        check_lines(&errors, expected);
    };
    check(json!({"name": "a", "namespace": "b"}), true, &[]);
    check(json!({"name": "a"}), false, &[]);
    check(json!({"name": "a-b", "generateName": "a-", "namespace": "b"}), true, &[]);
    check(
        json!({}),
        true,
        &["metadata.name: Required value: name or generateName is required", "metadata.namespace: Required value"],
    );
    check(json!({"name": "a", "namespace": "b"}), false, &["metadata.namespace: Forbidden: not allowed on this type"]);
    check(
        json!({"name": "a.b", "generateName": "a.b", "namespace": "c.d"}),
        true,
        &[
            "metadata.generateName: Invalid value: \"a.b\": must not contain dots",
            "metadata.name: Invalid value: \"a.b\": must not contain dots",
            "metadata.namespace: Invalid value: \"c.d\": must not contain dots",
        ],
    );
}

#[test]
fn generation_labels_and_annotations() {
    on_create(json!({"labels": {"a.b/c": "d"}, "annotations": {"1.2.3.4/5678": "x", "UpperCase.io/X": ""}}), &[]);
    on_create(
        json!({"generation": -1}),
        &["metadata.generation: Invalid value: -1: must be greater than or equal to 0"],
    );
    on_create(
        json!({"labels": {"a/": "b", "c": "-"}}),
        &[
            "metadata.labels: Invalid value: \"a/\": name part must be non-empty",
            "metadata.labels: Invalid value: \"a/\": name part must consist of alphanumeric characters, '-', '_' or \
             '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or \
             '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            "metadata.labels: Invalid value: \"-\": a valid label must be an empty string or consist of \
             alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. \
             'MyValue',  or 'my_value',  or '12345', regex used for validation is \
             '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        ],
    );
    on_create(json!({"annotations": {"a": "b".repeat(256 * 1024 - 1)}}), &[]);
    on_create(
        json!({"annotations": {"a": "b".repeat(256 * 1024)}}),
        &["metadata.annotations: Too long: may not be more than 262144 bytes"],
    );
    on_create(
        json!({"annotations": {"A/": "x"}}),
        &[
            "metadata.annotations: Invalid value: \"A/\": name part must be non-empty",
            "metadata.annotations: Invalid value: \"A/\": name part must consist of alphanumeric characters, '-', \
             '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or \
             '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        ],
    );
}

#[test]
fn owners() {
    let owner = |kind: &str, controller: Option<bool>| {
        let mut owner = json!({"apiVersion": "g/v1", "kind": kind, "name": "n", "uid": "u"});
        owner["controller"] = json!(controller);
        owner
    };
    on_create(json!({"ownerReferences": [owner("A", None), owner("B", Some(false)), owner("C", Some(true))]}), &[]);
    on_create(
        json!({"ownerReferences": [owner("A", Some(true)), owner("B", Some(true))]}),
        &[concat!(
            r#"metadata.ownerReferences: Invalid value: [{"apiVersion":"g/v1","kind":"A","#,
            r#""name":"n","uid":"u","controller":true},{"apiVersion":"g/v1","kind":"B","name":"n","#,
            r#""uid":"u","controller":true}]: Only one reference can have Controller set to true. "#,
            r#"Found "true" in references for A/n and B/n"#,
        )],
    );
    on_create(
        json!({"ownerReferences": [{"apiVersion": "v1", "kind": "Event", "name": "n", "uid": "u"}]}),
        &[concat!(
            r#"metadata.ownerReferences: Invalid value: {"apiVersion":"v1","kind":"Event","#,
            r#""name":"n","uid":"u"}: /v1, Kind=Event is disallowed from being an owner"#,
        )],
    );
    on_create(json!({"ownerReferences": [{"apiVersion": "g/v1", "kind": "Event", "name": "n", "uid": "u"}]}), &[]);
    on_create(
        json!({"ownerReferences": [{"apiVersion": "g/", "kind": "", "name": "", "uid": ""}]}),
        &[
            "metadata.ownerReferences.apiVersion: Invalid value: \"g/\": version must not be empty",
            "metadata.ownerReferences.kind: Invalid value: \"\": must not be empty",
            "metadata.ownerReferences.name: Invalid value: \"\": must not be empty",
            "metadata.ownerReferences.uid: Invalid value: \"\": must not be empty",
        ],
    );
}

#[test]
fn finalizers() {
    on_create(json!({"finalizers": ["a.io/b", "orphan"]}), &[]);
    on_create(
        json!({"finalizers": ["orphan", "foregroundDeletion"]}),
        &["metadata.finalizers: Invalid value: [\"orphan\",\"foregroundDeletion\"]: finalizer orphan and \
             foregroundDeletion cannot be both set"],
    );
    on_create(
        json!({"finalizers": ["A.io/b"]}),
        &["metadata.finalizers: Invalid value: \"A.io/b\": prefix part a lowercase RFC 1123 subdomain must \
             consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric \
             character (e.g. 'example.com', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"],
    );
    let deleted = "2020-01-01T00:00:00Z";
    on_update(json!({"finalizers": ["y/b", "x/a"]}), json!({}), &[]);
    on_update(
        json!({"finalizers": ["x/a"], "deletionTimestamp": deleted}),
        json!({"finalizers": ["x/a", "y/b"], "deletionTimestamp": deleted}),
        &[],
    );
    on_update(
        json!({"finalizers": ["z/c", "x/a", "y/b"], "deletionTimestamp": deleted}),
        json!({"finalizers": ["x/a"], "deletionTimestamp": deleted}),
        &["metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found \
             new finalizers []string{\"y/b\", \"z/c\"}"],
    );
}

#[test]
fn managed_fields() {
    on_create(
        json!({"managedFields": [
            {"operation": "Apply", "fieldsType": "FieldsV1", "manager": "kubectl"},
            {"operation": "Update"},
        ]}),
        &[],
    );
    on_create(
        json!({"managedFields": [
            {"operation": "RandomVerb", "fieldsType": "V2", "manager": "a\u{1}b", "subresource": "s".repeat(257)},
        ]}),
        &[
            "metadata.managedFields[0].operation: Invalid value: \"RandomVerb\": must be `Apply` or `Update`",
            "metadata.managedFields[0].fieldsType: Invalid value: \"V2\": must be `FieldsV1`",
            "metadata.managedFields[0].manager: Invalid value: \"a\\x01b\": invalid character U+0001 (at position 1)",
            "metadata.managedFields[0].subresource: Too long: may not be more than 256 bytes",
        ],
    );
    on_create(
        json!({"managedFields": [{"operation": "Update", "manager": "m".repeat(129)}]}),
        &["metadata.managedFields[0].manager: Too long: may not be more than 128 bytes"],
    );
}

#[test]
fn updates_leave_identity_alone() {
    let old = json!({
        "uid": "u", "generation": 2, "creationTimestamp": "2020-01-01T00:00:00Z",
        "deletionTimestamp": "2020-01-02T00:00:00Z", "deletionGracePeriodSeconds": 30,
    });
    on_update(old.clone(), old.clone(), &[]);
    on_update(
        json!({
            "name": "other", "namespace": "elsewhere", "uid": "v", "generation": 1, "resourceVersion": "",
            "creationTimestamp": "2020-01-01T00:00:01Z",
        }),
        old,
        &[
            "metadata.resourceVersion: Invalid value: \"\": must be specified for an update",
            "metadata.generation: Invalid value: 1: must not be decremented",
            "metadata.name: Invalid value: \"other\": field is immutable",
            "metadata.namespace: Invalid value: \"elsewhere\": field is immutable",
            "metadata.uid: Invalid value: \"v\": field is immutable",
            "metadata.creationTimestamp: Invalid value: \"2020-01-01T00:00:01Z\": field is immutable",
            "metadata.deletionTimestamp: Invalid value: null: field is immutable",
            "metadata.deletionGracePeriodSeconds: Invalid value: null: field is immutable",
        ],
    );
    on_update(
        json!({"deletionGracePeriodSeconds": 5}),
        json!({}),
        &["metadata.deletionGracePeriodSeconds: Invalid value: 5: field is immutable"],
    );
    on_update(json!({"generation": 3}), json!({"generation": 2}), &[]);
}
