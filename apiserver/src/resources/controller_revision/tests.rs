//! ControllerRevisions: refusals, immutability, rows.

use serde_json::json;

use super::*;

fn revision(data: Value, revision: i64) -> ControllerRevision {
    let metadata = json!({"name": "r", "namespace": "default", "creationTimestamp": "2026-01-01T00:00:00Z"});
    serde_json::from_value(json!({"metadata": metadata, "data": data, "revision": revision})).unwrap()
}

fn messages(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn refusals() {
    let check = |data: Value, number: i64, expected: &[&str]| {
        let object = revision(data, number);
        assert_eq!(messages(&ControllerRevisions.validate(&object)), expected, "{object:?}");
        assert_eq!(messages(&ControllerRevisions.validate_update(&object, &object)), expected, "{object:?}");
    };
    let (mandatory, object) =
        ("data: Required value: data is mandatory", "data: Required value: data must be a valid JSON object");
    let negative = "revision: Invalid value: -1: must be greater than or equal to 0";
    let smallest = "revision: Invalid value: -9223372036854775808: must be greater than or equal to 0";
    check(json!({}), 0, &[]);
    check(json!({"spec": {"template": {}}}), i64::MAX, &[]);
    check(Value::Null, 1, &[mandatory]);
    check(Value::Null, -1, &[mandatory, negative]);
    check(json!([]), 1, &[object]);
    check(json!([{}]), 1, &[object]);
    check(json!("{}"), 1, &[object]);
    check(json!(""), 1, &[object]);
    check(json!(true), 1, &[object]);
    check(json!(0), 1, &[object]);
    check(json!(0.5), -1, &[object, negative]);
    check(json!({"a": 1}), -1, &[negative]);
    check(json!({"a": 1}), i64::MIN, &[smallest]);
    let mut absent = ControllerRevision::default();
    ControllerRevisions.default(&mut absent);
    assert_eq!(absent.revision, Some(0));
    assert_eq!(messages(&ControllerRevisions.validate(&absent)), [mandatory]);
}

#[test]
fn the_data_stays() {
    let old = revision(json!({"b": 1, "a": [1, 2]}), 1);
    let check = |data: Value, number: i64, expected: &[&str]| {
        assert_eq!(messages(&ControllerRevisions.validate_update(&revision(data, number), &old)), expected);
    };
    check(json!({"b": 1, "a": [1, 2]}), 7, &[]);
    check(json!({"b": 2}), 1, &["data: Invalid value: {\"b\":2}: field is immutable"]);
    check(json!({"a": [2, 1], "b": 1}), 1, &["data: Invalid value: {\"a\":[2,1],\"b\":1}: field is immutable"]);
    check(
        Value::Null,
        1,
        &["data: Required value: data is mandatory", "data: Invalid value: null: field is immutable"],
    );
}

#[test]
fn rows() {
    let now = "2026-01-01T00:05:00Z".parse().unwrap();
    let owner = |api_version: &str, kind: &str, controller: Value| {
        let mut owner = json!({"apiVersion": api_version, "kind": kind, "name": "web", "uid": "u"});
        owner["controller"] = controller;
        owner
    };
    let check = |owners: Value, expected: &str| {
        let mut object = revision(json!({}), 3);
        object.metadata.owner_references = serde_json::from_value(owners).unwrap();
        assert_eq!(Value::from(ControllerRevisions.row(&object, now)), json!(["r", expected, 3, "5m"]));
    };
    check(json!([]), "<none>");
    check(json!([owner("apps/v1", "StatefulSet", Value::Null)]), "<none>");
    check(json!([owner("apps/v1", "StatefulSet", json!(true))]), "statefulset.apps/web");
    check(json!([owner("v1", "Node", json!(false)), owner("v1", "Pod", json!(true))]), "pod/web");
    assert_eq!(ControllerRevisions.columns().len(), 4);
}
