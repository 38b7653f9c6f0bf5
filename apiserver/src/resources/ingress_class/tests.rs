//! IngressClasses: defaults, refusals, immutability, rows.

use serde_json::json;

use super::*;

/// A class with this spec, and defaults.
fn class(spec: Value) -> IngressClass {
    let mut class = serde_json::from_value(json!({"metadata": {"name": "c"}, "spec": spec})).unwrap();
    IngressClasses.default(&mut class);
    class
}

fn lines(errors: &ErrorList) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_scope_defaults_to_the_cluster() {
    let check = |spec: Value, expected: Value| {
        let once = class(spec);
        let mut twice = once.clone();
        IngressClasses.default(&mut twice);
        assert_eq!(once, twice);
        assert_eq!(serde_json::to_value(&once.spec).unwrap(), expected);
    };
    check(json!({"controller": "a.io/b"}), json!({"controller": "a.io/b"}));
    let cluster = json!({"parameters": {"kind": "K", "name": "n", "scope": "Cluster"}});
    check(json!({"parameters": {"kind": "K", "name": "n"}}), cluster.clone());
    check(cluster.clone(), cluster);
    let namespaced = json!({"parameters": {"kind": "K", "name": "n", "namespace": "a", "scope": "Namespace"}});
    check(namespaced.clone(), namespaced);
}

#[test]
fn refusals() {
    let check = |spec: Value, expected: &[&str]| {
        assert_eq!(lines(&IngressClasses.validate(&class(spec.clone()))), expected.join("\n"), "{spec}");
    };
    let subdomain = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
                     start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
                     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    let label = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end \
                 with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
                 '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
    let path = "must be a domain-prefixed path (such as \"acme.io/foo\")";
    let controller = |name: &str| json!({"controller": name});
    let parameters = |parameters: Value| json!({"controller": "a.io/b", "parameters": parameters});
    check(controller("a.io/b/c"), &[]);
    check(parameters(json!({"apiGroup": "a.io", "kind": "K", "name": "n"})), &[]);
    check(parameters(json!({"kind": "K", "name": "n", "scope": "Namespace", "namespace": "a"})), &[]);
    check(json!({}), &["spec.controller: Required value"]);
    check(controller("a.io"), &[&format!("spec.controller: Invalid value: \"a.io\": {path}")]);
    check(controller("/b"), &[&format!("spec.controller: Invalid value: \"/b\": {path}")]);
    check(controller("A/b"), &[&format!("spec.controller: Invalid value: \"A\": {subdomain}")]);
    let too_long = "spec.controller: Too long: may not be more than 250 bytes";
    check(controller(&format!("a.io/{}", "b".repeat(246))), &[too_long]);
    check(
        parameters(json!({"apiGroup": "", "kind": "", "name": ""})),
        &[
            &format!("spec.parameters.apiGroup: Invalid value: \"\": {subdomain}"),
            "spec.parameters.kind: Required value",
            "spec.parameters.name: Required value",
        ],
    );
    check(
        parameters(json!({"kind": "a/b", "name": "c%d"})),
        &[
            "spec.parameters.kind: Invalid value: \"a/b\": may not contain '/'",
            "spec.parameters.name: Invalid value: \"c%d\": may not contain '%'",
        ],
    );
    let scope = "spec.parameters.scope: Unsupported value: \"Node\": supported values: \"Cluster\", \"Namespace\"";
    check(parameters(json!({"kind": "K", "name": "n", "scope": "Node"})), &[scope]);
    let with_scope = |scope: &str, namespace: Option<&str>| {
        parameters(json!({"kind": "K", "name": "n", "scope": scope, "namespace": namespace}))
    };
    check(
        with_scope("Namespace", None),
        &["spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"],
    );
    check(with_scope("Namespace", Some("A")), &[&format!("spec.parameters.namespace: Invalid value: \"A\": {label}")]);
    check(
        with_scope("Cluster", Some("a")),
        &["spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'"],
    );
}

#[test]
fn the_controller_stays() {
    let old = class(json!({"controller": "a.io/b"}));
    let check = |spec: Value, expected: &str| {
        assert_eq!(lines(&IngressClasses.validate_update(&class(spec), &old)), expected);
    };
    check(json!({"controller": "a.io/b", "parameters": {"kind": "K", "name": "n"}}), "");
    check(json!({"controller": "a.io/c"}), "spec.controller: Invalid value: \"a.io/c\": field is immutable");
    check(json!({}), "spec.controller: Invalid value: \"\": field is immutable\nspec.controller: Required value");
    let grows = IngressClasses.generation().unwrap();
    assert!(grows(&class(json!({"controller": "a.io/b", "parameters": {"kind": "K", "name": "n"}})), &old));
    assert!(!grows(&class(json!({"controller": "a.io/b"})), &old));
}

#[test]
fn rows() {
    let now = Timestamp::new(3 * 86_400, 0).unwrap();
    let check = |parameters: Value, expected: &str| {
        let mut class = class(json!({"controller": "a.io/b", "parameters": parameters}));
        class.metadata.creation_timestamp = serde_json::from_value(json!("1970-01-01T00:00:00Z")).unwrap();
        assert_eq!(IngressClasses.row(&class, now), ["c", "a.io/b", expected, "3d"].map(Value::from));
    };
    check(Value::Null, "<none>");
    check(json!({"kind": "K", "name": "n"}), "K/n");
    check(json!({"apiGroup": "a.io", "kind": "K", "name": "n"}), "K.a.io/n");
    let names = IngressClasses.columns().iter().map(|column| column.name).collect::<Vec<_>>();
    assert_eq!(names, ["Name", "Controller", "Parameters", "Age"]);
}
