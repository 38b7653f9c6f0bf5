//! IPAddresses: names, refusals, immutability, rows.

use serde_json::json;

use super::*;

fn address(parent: Value) -> IPAddress {
    serde_json::from_value(json!({"metadata": {"name": "10.0.0.1"}, "spec": {"parentRef": parent}})).unwrap()
}

fn lines(errors: &ErrorList) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn names_are_canonical_addresses() {
    let check = |name: &str, expected: &[&str]| assert_eq!(IPAddresses.validate_name(name, false), expected, "{name}");
    let rule = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
    check("10.0.0.1", &[]);
    check("2001:db8::1", &[]);
    check("web", &[rule]);
    check("10.0.0.0/24", &[rule]);
    check("10.0.0.01", &["must not have leading 0s"]);
    check("::ffff:10.0.0.1", &["must not be an IPv4-mapped IPv6 address"]);
    check("2001:DB8::1", &["must be in canonical form (\"2001:db8::1\")"]);
    check("2001:db8:0::1", &["must be in canonical form (\"2001:db8::1\")"]);

    // What the engine has added to make it unique is taken off again.
    let context = Context { now: Timestamp::UNIX_EPOCH, namespace: "", identity: None };
    for (stated, expected) in [("10.0.0.1x4k2z", "10.0.0.1"), ("10.0.0.1", "10.0.0.1"), ("web", "web")] {
        let mut object = address(json!({}));
        object.metadata.generate_name = Some("10.0.0.1".to_owned());
        object.metadata.name = Some(stated.to_owned());
        IPAddresses.prepare_create(&mut object, context);
        assert_eq!(object.metadata.name.as_deref(), Some(expected));
    }
}

#[test]
fn refusals() {
    let check = |parent: Value, expected: &[&str]| {
        let expected: Vec<String> = expected.iter().map(|what| format!("spec.parentRef{what}")).collect();
        assert_eq!(lines(&IPAddresses.validate(&address(parent.clone()))), expected.join("\n"), "{parent}");
    };
    let subdomain = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
                     start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
                     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    check(json!({"resource": "services", "namespace": "default", "name": "web"}), &[]);
    check(json!({"group": "example.com", "resource": "gateways", "name": "edge"}), &[]);
    check(json!({}), &[": Required value"]);
    check(json!({"group": "", "namespace": ""}), &[": Required value"]);
    check(json!({"name": "web"}), &[".resource: Required value"]);
    check(json!({"resource": "services"}), &[".name: Required value"]);
    check(json!({"namespace": "default"}), &[".resource: Required value", ".name: Required value"]);
    check(
        json!({"group": "A", "name": "web"}),
        &[&format!(".group: Invalid value: \"A\": {subdomain}"), ".resource: Required value"],
    );
    check(
        json!({"resource": "a/b", "name": "c%d", "namespace": ".."}),
        &[
            ".resource: Invalid value: \"a/b\": may not contain '/'",
            ".name: Invalid value: \"c%d\": may not contain '%'",
            ".namespace: Invalid value: \"..\": may not be '..'",
        ],
    );
    check(
        json!({"resource": ".", "name": "a/%"}),
        &[
            ".resource: Invalid value: \".\": may not be '.'",
            ".name: Invalid value: \"a/%\": may not contain '/'",
            ".name: Invalid value: \"a/%\": may not contain '%'",
        ],
    );
}

#[test]
fn the_parent_stays() {
    let old = address(json!({"resource": "services", "namespace": "default", "name": "web"}));
    let check = |parent: Value, expected: &str| {
        assert_eq!(lines(&IPAddresses.validate_update(&address(parent), &old)), expected);
    };
    check(json!({"group": "", "resource": "services", "namespace": "default", "name": "web"}), "");
    check(
        json!({"resource": "services", "namespace": "default", "name": "other"}),
        "spec.parentRef: Invalid value: {\"resource\":\"services\",\"namespace\":\"default\",\"name\":\"other\"}: field is \
         immutable",
    );
    check(
        json!({"group": "example.com", "resource": "services", "name": "a/b"}),
        "spec.parentRef.name: Invalid value: \"a/b\": may not contain '/'\n\
         spec.parentRef: Invalid value: {\"group\":\"example.com\",\"resource\":\"services\",\"name\":\"a/b\"}: field is \
         immutable",
    );
    check(json!({}), "spec.parentRef: Invalid value: {}: field is immutable");
}

#[test]
fn rows() {
    let check = |parent: Value, expected: &str| {
        assert_eq!(IPAddresses.row(&address(parent), Timestamp::UNIX_EPOCH), ["10.0.0.1", expected].map(Value::from));
    };
    check(json!({"resource": "services", "namespace": "default", "name": "web"}), "services/default/web");
    check(json!({"group": "Example.com", "resource": "Gateways", "name": "Edge"}), "gateways.example.com/Edge");
    let names = IPAddresses.columns().iter().map(|column| column.name).collect::<Vec<_>>();
    assert_eq!(names, ["Name", "ParentRef"]);
}
