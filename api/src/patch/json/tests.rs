//! Cases of RFC 6902's appendix and of upstream's library, and the `json-patch` crate as a second opinion.

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Any small document: an object of scalars, lists and objects.
pub(crate) fn document() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-5i64..5).prop_map(Value::from),
        "[a-c/~]{0,2}".prop_map(Value::from),
    ];
    let value = scalar.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c/~]{0,2}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    prop::collection::btree_map("[a-c/~]{0,2}", value, 0..5).prop_map(|map| Value::Object(map.into_iter().collect()))
}

fn apply(document: &Value, patch: Value) -> Result<Value, Error> {
    Patch::new(patch)?.apply(document)
}

#[test]
fn applies_to_objects() {
    for (document, patch, expected) in [
        // RFC 6902, appendix A.
        (
            json!({"foo": "bar"}),
            json!([{"op": "add", "path": "/baz", "value": "qux"}]),
            json!({"baz": "qux", "foo": "bar"}),
        ),
        (
            json!({"foo": ["bar", "baz"]}),
            json!([{"op": "add", "path": "/foo/1", "value": "qux"}]),
            json!({"foo": ["bar", "qux", "baz"]}),
        ),
        (json!({"baz": "qux", "foo": "bar"}), json!([{"op": "remove", "path": "/baz"}]), json!({"foo": "bar"})),
        (
            json!({"foo": ["bar", "qux", "baz"]}),
            json!([{"op": "remove", "path": "/foo/1"}]),
            json!({"foo": ["bar", "baz"]}),
        ),
        (
            json!({"baz": "qux", "foo": "bar"}),
            json!([{"op": "replace", "path": "/baz", "value": "boo"}]),
            json!({"baz": "boo", "foo": "bar"}),
        ),
        (
            json!({"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}}),
            json!([{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}]),
            json!({"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}}),
        ),
        (
            json!({"foo": ["all", "grass", "cows", "eat"]}),
            json!([{"op": "move", "from": "/foo/1", "path": "/foo/3"}]),
            json!({"foo": ["all", "cows", "eat", "grass"]}),
        ),
        (
            json!({"baz": "qux", "foo": ["a", 2, "c"]}),
            json!([{"op": "test", "path": "/baz", "value": "qux"}, {"op": "test", "path": "/foo/1", "value": 2}]),
            json!({"baz": "qux", "foo": ["a", 2, "c"]}),
        ),
    ] {
        assert_eq!(apply(&document, patch.clone()), Ok(expected), "{document} patched with {patch}");
    }
}

#[test]
fn applies_to_lists() {
    for (document, patch, expected) in [
        (
            json!({"foo": "bar"}),
            json!([{"op": "add", "path": "/child", "value": {"grandchild": {}}}]),
            json!({"foo": "bar", "child": {"grandchild": {}}}),
        ),
        (
            json!({"foo": "bar"}),
            json!([{"op": "add", "path": "/baz", "value": "qux", "xyz": 123}]),
            json!({"foo": "bar", "baz": "qux"}),
        ),
        (json!({"/": 9, "~1": 10}), json!([{"op": "test", "path": "/~01", "value": 10}]), json!({"/": 9, "~1": 10})),
        (
            json!({"foo": ["bar"]}),
            json!([{"op": "add", "path": "/foo/-", "value": ["abc", "def"]}]),
            json!({"foo": ["bar", ["abc", "def"]]}),
        ),
        (
            json!({"a": {"b": 1}}),
            json!([{"op": "copy", "from": "/a", "path": "/c"}]),
            json!({"a": {"b": 1}, "c": {"b": 1}}),
        ),
        // What upstream's library does beside the RFC.
        (json!({"a": [1, 2, 3]}), json!([{"op": "remove", "path": "/a/-1"}]), json!({"a": [1, 2]})),
        (json!({"a": [1, 2, 3]}), json!([{"op": "add", "path": "/a/-1", "value": 4}]), json!({"a": [1, 2, 3, 4]})),
        (json!({"a": [1, 2, 3]}), json!([{"op": "replace", "path": "/a/-3", "value": 4}]), json!({"a": [4, 2, 3]})),
        (json!({}), json!([{"op": "replace", "path": "/a", "value": 1}]), json!({"a": 1})),
        (json!({}), json!([{"op": "test", "path": "/a", "value": null}]), json!({})),
        (json!({}), json!([{"op": "test", "path": "/a"}]), json!({})),
        (json!({}), json!([{"op": "add", "path": "/a"}]), json!({"a": null})),
        (json!({}), json!([{"op": "copy", "from": "/a", "path": "/b"}]), json!({"b": null})),
        (json!({"a": 1}), json!([{"op": "add", "path": "ignored/b", "value": 2}]), json!({"a": 1, "b": 2})),
        (json!({"a": 1}), json!([{"op": "replace", "path": "", "value": {"b": 2}}]), json!({"b": 2})),
        (json!({"a": 1}), json!([{"op": "test", "path": "", "value": {"a": 1}}]), json!({"a": 1})),
        (json!({"a": 1}), json!([]), json!({"a": 1})),
        (json!({"a": 1}), json!(null), json!({"a": 1})),
        (json!({"": 1}), json!([{"op": "replace", "path": "/", "value": 2}]), json!({"": 2})),
    ] {
        assert_eq!(apply(&document, patch.clone()), Ok(expected), "{document} patched with {patch}");
    }
}

#[test]
fn says_what_is_malformed() {
    for (document, patch, code, message) in [
        (json!({}), json!({}), 400, "json: cannot unmarshal object into Go value of type jsonpatch.Patch"),
        (json!({}), json!(["x"]), 400, "json: cannot unmarshal string into Go value of type jsonpatch.Operation"),
        (json!({}), json!([{}]), 422, "Unexpected kind: unknown"),
        (json!({}), json!([{"op": "spam"}]), 422, "Unexpected kind: spam"),
        (json!({}), json!([{"op": "add"}]), 422, "add operation failed to decode path: missing value"),
        (
            json!({}),
            json!([{"op": "test", "path": 1}]),
            422,
            "test operation failed to decode path: json: cannot unmarshal number into Go value of type string",
        ),
        (
            json!({}),
            json!([{"op": "replace"}]),
            422,
            "replace operation failed to decode path: operation missing path field: missing value",
        ),
        (
            json!({}),
            json!([{"op": "copy", "path": "/a"}]),
            422,
            "copy operation failed to decode from: operation, missing from field: missing value",
        ),
        (
            json!({}),
            json!([{"op": "add", "path": "", "value": 1}]),
            422,
            "add operation does not apply: doc is missing path: \"\": missing value",
        ),
        (
            json!({}),
            json!([{"op": "add", "path": "/a/b", "value": 1}]),
            422,
            "add operation does not apply: doc is missing path: \"/a/b\": missing value",
        ),
        (
            json!({"a": 1}),
            json!([{"op": "add", "path": "/a/b", "value": 1}]),
            422,
            "add operation does not apply: doc is missing path: \"/a/b\": missing value",
        ),
        (
            json!({}),
            json!([{"op": "remove", "path": "/a/b"}]),
            422,
            "remove operation does not apply: doc is missing path: \"/a/b\": missing value",
        ),
    ] {
        let error = apply(&document, patch.clone()).expect_err("does not apply");
        assert_eq!((error.code(), error.to_string().as_str()), (code, message), "{document} patched with {patch}");
    }
}

#[test]
fn says_what_is_missing() {
    for (document, patch, code, message) in [
        (
            json!({}),
            json!([{"op": "remove", "path": "/a"}]),
            422,
            "error in remove for path: '/a': Unable to remove nonexistent key: a: missing value",
        ),
        (
            json!({"a": [1]}),
            json!([{"op": "remove", "path": "/a/1"}]),
            422,
            "error in remove for path: '/a/1': Unable to access invalid index: 1: invalid index referenced",
        ),
        (
            json!({"a": [1]}),
            json!([{"op": "remove", "path": "/a/-2"}]),
            422,
            "error in remove for path: '/a/-2': Unable to access invalid index: -2: invalid index referenced",
        ),
        (
            json!({"a": [1]}),
            json!([{"op": "add", "path": "/a/x", "value": 1}]),
            422,
            "error in add for path: '/a/x': value was not a proper array index: 'x': strconv.Atoi: parsing \"x\": invalid syntax",
        ),
        (
            json!({"a": [1]}),
            json!([{"op": "add", "path": "/a/3", "value": 1}]),
            422,
            "error in add for path: '/a/3': Unable to access invalid index: 3: invalid index referenced",
        ),
        (
            json!({"a": [1]}),
            json!([{"op": "replace", "path": "/a/1", "value": 1}]),
            422,
            "replace operation does not apply: doc is missing key: /a/1: missing value",
        ),
        (
            json!({}),
            json!([{"op": "replace", "path": "/a/b", "value": 1}]),
            422,
            "replace operation does not apply: doc is missing path: /a/b: missing value",
        ),
    ] {
        let error = apply(&document, patch.clone()).expect_err("does not apply");
        assert_eq!((error.code(), error.to_string().as_str()), (code, message), "{document} patched with {patch}");
    }
}

#[test]
fn says_what_does_not_apply() {
    for (document, patch, code, message) in [
        (
            json!({}),
            json!([{"op": "move", "from": "/a", "path": "/b"}]),
            422,
            "error in move for path: 'a': Unable to remove nonexistent key: a: missing value",
        ),
        (
            json!({"a": 1}),
            json!([{"op": "move", "from": "/a", "path": "/b/c"}]),
            422,
            "move operation does not apply: doc is missing destination path: /b/c: missing value",
        ),
        (
            json!({}),
            json!([{"op": "copy", "from": "/a/b", "path": "/c"}]),
            422,
            "copy operation does not apply: doc is missing from path: /a/b: missing value",
        ),
        (
            json!({"a": [1]}),
            json!([{"op": "test", "path": "/a/-", "value": 1}]),
            422,
            "error in test for path: '/a/-': strconv.Atoi: parsing \"-\": invalid syntax",
        ),
        (
            json!({"a": [1]}),
            json!([{"op": "test", "path": "/a/99999999999999999999", "value": 1}]),
            422,
            "error in test for path: '/a/99999999999999999999': strconv.Atoi: parsing \"99999999999999999999\": value out of range",
        ),
        (
            json!({}),
            json!([{"op": "test", "path": "/a/b", "value": 1}]),
            422,
            "test operation does not apply: is missing path: /a/b: missing value",
        ),
        (
            json!({"a": 1}),
            json!([{"op": "test", "path": "/a", "value": 2}]),
            422,
            "testing value /a failed: test failed",
        ),
        (json!({"a": 1}), json!([{"op": "test", "path": "/a"}]), 422, "testing value /a failed: test failed"),
        (json!({"a": 1}), json!([{"op": "test", "path": "", "value": {}}]), 422, "testing value  failed: test failed"),
    ] {
        let error = apply(&document, patch.clone()).expect_err("does not apply");
        assert_eq!((error.code(), error.to_string().as_str()), (code, message), "{document} patched with {patch}");
    }
}

#[test]
fn reads_strictly() {
    for (text, expected) in [
        (r#"[{"op": "add", "path": "/a", "value": 1}]"#, vec![]),
        (r#"[{"op": "add"}, {"op": "add", "foo": {"a": 1, "a": 2}}]"#, vec![r#"unknown field "[1].foo""#]),
        (
            r#"[{"op": "add", "op": "remove", "foo": 1, "foo": 2}]"#,
            vec![r#"duplicate field "[0].op""#, r#"unknown field "[0].foo""#],
        ),
        (r#"[{"value": {"a": 1, "a": 2}}]"#, vec![r#"duplicate field "[0].value.a""#]),
    ] {
        let (_, faults) = Patch::decode(text.as_bytes()).unwrap();
        assert_eq!(faults.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{text}");
    }
    let error = Patch::decode(b"[").expect_err("not JSON");
    assert_eq!((error.code(), error.to_string().as_str()), (400, "unexpected end of JSON input"));
}

#[test]
fn bounds_what_a_patch_may_cost() {
    let many = vec![json!({"op": "test", "path": "/a"}); MAX_OPERATIONS + 1];
    let error = Patch::new(Value::Array(many)).expect_err("too many");
    assert_eq!(error.code(), 413);
    assert_eq!(error.to_string(), "The allowed maximum operations in a JSON patch is 10000, got 10001");

    // Doubling a list again and again.
    let doubling = vec![json!({"op": "copy", "from": "/a", "path": "/a/-"}); 100];
    let error = apply(&json!({"a": ["x".repeat(100_000)]}), Value::Array(doubling)).expect_err("too large");
    assert_eq!(error.code(), 422);
    let message = error.to_string();
    assert!(message.starts_with("Unable to complete the copy, the accumulated size increase of copy is "), "{message}");
    assert!(message.ends_with(", exceeding the limit 3145728"), "{message}");

    // Nesting a small object in itself again and again.
    let nesting = vec![json!({"op": "copy", "from": "/a", "path": "/a/a"}); 200];
    let error = apply(&json!({"a": {}}), Value::Array(nesting)).expect_err("too deep");
    assert_eq!(error.to_string(), "exceeded max depth");
}

proptest! {
    #[test]
    fn applies_what_the_json_patch_crate_computes(before in document(), after in document()) {
        let patch = serde_json::to_value(json_patch::diff(&before, &after)).unwrap();
        prop_assert_eq!(apply(&before, patch), Ok(after));
    }

    #[test]
    fn agrees_with_the_json_patch_crate_where_both_apply(
        before in document(),
        operations in prop::collection::vec((0..6usize, "(/[a-c]|/[0-2]|/~0|/~1){1,3}", "(/[a-c]|/[0-2]){1,2}", 0i64..3), 1..4),
    ) {
        let kinds = ["add", "remove", "replace", "move", "copy", "test"];
        let patch: Value = operations
            .into_iter()
            .map(|(kind, path, from, value)| json!({"op": kinds[kind], "path": path, "from": from, "value": value}))
            .collect();
        let theirs: json_patch::Patch = serde_json::from_value(patch.clone()).unwrap();
        let mut expected = before.clone();
        // Not `json_patch::patch`, which panics where it cannot undo what it did before a failure.
        if json_patch::patch_unsafe(&mut expected, &theirs).is_ok() {
            prop_assert_eq!(apply(&before, patch), Ok(expected));
        }
    }
}
