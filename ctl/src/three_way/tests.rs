//! Patches, and what an API server makes of objects by them.

use api::patch::strategic;
use api::schema::Schema;
use serde_json::{Value, json};

use super::*;

fn map(value: Value) -> Fields {
    match value {
        Value::Object(fields) => fields,
        other => panic!("{other} is no object"),
    }
}

/// What becomes of a Deployment's pod spec.
fn specs(before: Value, wanted: Value, current: Value) -> (Value, Value) {
    let whole = |spec: Value| map(json!({"spec": {"template": {"spec": spec}}}));
    let of = Schema::of("apps", "v1", "Deployment").unwrap();
    let current = whole(current);
    let patch = patch(&whole(before), &whole(wanted), &current, Some(of)).unwrap();
    assert_eq!(patch.content_type, "application/strategic-merge-patch+json");
    let after = strategic::apply(&current, patch.fields.clone(), of).unwrap();
    (Value::Object(patch.fields), after["spec"]["template"]["spec"].clone())
}

#[test]
fn others_fields_stay_and_what_is_no_longer_said_goes() {
    let check = |before: Value, wanted: Value, current: Value, expected: Value| {
        assert_eq!(specs(before, wanted, current).1, expected);
    };
    // A container of somebody else's, and a field that the server has set.
    check(
        json!({"containers": [{"name": "a", "image": "1", "tty": true}]}),
        json!({"containers": [{"name": "a", "image": "2"}]}),
        json!({"containers": [{"name": "a", "image": "1", "tty": true, "imagePullPolicy": "Always"}, {"name": "s"}]}),
        json!({"containers": [{"name": "a", "image": "2", "imagePullPolicy": "Always"}, {"name": "s"}]}),
    );
    // One of two is gone, and another one is new and first.
    check(
        json!({"containers": [{"name": "a"}, {"name": "b"}]}),
        json!({"containers": [{"name": "c"}, {"name": "a"}]}),
        json!({"containers": [{"name": "a", "image": "1"}, {"name": "b"}]}),
        json!({"containers": [{"name": "c"}, {"name": "a", "image": "1"}]}),
    );
    // A list of scalars that does not merge is replaced.
    check(
        json!({"containers": [{"name": "a", "args": ["1"]}]}),
        json!({"containers": [{"name": "a", "args": ["2"]}]}),
        json!({"containers": [{"name": "a", "args": ["1", "3"]}]}),
        json!({"containers": [{"name": "a", "args": ["2"]}]}),
    );
    // A source of a volume takes the place of another one.
    check(
        json!({"volumes": [{"name": "v", "emptyDir": {}}]}),
        json!({"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]}),
        json!({"volumes": [{"name": "v", "emptyDir": {"medium": ""}}]}),
        json!({"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]}),
    );
}

#[test]
fn nothing_to_do_is_an_empty_patch() {
    let spec = json!({"containers": [{"name": "a", "image": "1"}], "nodeSelector": {"a": "b"}});
    let current =
        json!({"containers": [{"name": "a", "image": "1", "tty": false}], "nodeSelector": {"a": "b", "c": "d"}});
    assert_eq!(specs(spec.clone(), spec, current).0, json!({}));
}

#[test]
fn finalizers_are_a_set() {
    let of = Schema::of("", "v1", "Pod").unwrap();
    let whole = |finalizers: Value| map(json!({"metadata": {"finalizers": finalizers}}));
    let current = whole(json!(["a/a", "b/b", "x/x"]));
    let patch = patch(&whole(json!(["a/a", "b/b"])), &whole(json!(["b/b", "c/c"])), &current, Some(of)).unwrap();
    let mut after = strategic::apply(&current, patch.fields, of).unwrap();
    let finalizers = after["metadata"]["finalizers"].as_array_mut().unwrap();
    finalizers.sort_by_key(Value::to_string);
    assert_eq!(json!(finalizers), json!(["b/b", "c/c", "x/x"]));
}

#[test]
fn elements_must_say_which_they_are() {
    let of = Schema::of("", "v1", "Pod").unwrap();
    let whole = |containers: Value| map(json!({"spec": {"containers": containers}}));
    let none = Fields::new();
    let error = patch(&none, &whole(json!([{"image": "a"}])), &whole(json!([{"name": "a"}])), Some(of)).unwrap_err();
    assert_eq!(error, Error::NoMergeKey { list: "containers".to_owned(), key: "name" });
}

#[test]
fn other_kinds_have_merge_patches() {
    let check = |before: Value, wanted: Value, current: Value, expected: Value| {
        let patch = patch(&map(before), &map(wanted), &map(current), None).unwrap();
        assert_eq!(patch.content_type, "application/merge-patch+json");
        assert_eq!(Value::Object(patch.fields), expected);
    };
    check(
        json!({"spec": {"a": 1, "b": 2, "l": [1]}}),
        json!({"spec": {"a": 2, "l": [1, 2]}}),
        json!({"spec": {"a": 1, "b": 2, "c": 3, "l": [1]}, "status": {}}),
        json!({"spec": {"a": 2, "b": null, "l": [1, 2]}}),
    );
    check(json!({"spec": {}}), json!({"spec": {}}), json!({"spec": {"c": 3}}), json!({}));
    check(json!({}), json!({"spec": {"x": {}}}), json!({}), json!({"spec": {"x": {}}}));
}
