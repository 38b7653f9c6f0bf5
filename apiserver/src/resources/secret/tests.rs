//! Secrets of every type.

use serde_json::json;

use super::*;

/// A secret as a client wrote it, with its defaults.
fn secret(extra: Value) -> Secret {
    let mut value = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "default"}});
    value.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let mut secret = serde_json::from_value(value).unwrap();
    Secrets.default(&mut secret);
    secret
}

fn shown(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn defaults() {
    let check = |written: Value, expected: Value| {
        let mut object = secret(written);
        let mut expected = expected;
        let meta = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "default"}});
        expected.as_object_mut().unwrap().extend(meta.as_object().unwrap().clone());
        assert_eq!(serde_json::to_value(&object).unwrap(), expected);
        Secrets.default(&mut object);
        assert_eq!(serde_json::to_value(&object).unwrap(), expected);
    };
    check(json!({}), json!({"type": "Opaque"}));
    check(json!({"type": ""}), json!({"type": "Opaque"}));
    check(json!({"type": "example.com/mine", "stringData": {}}), json!({"type": "example.com/mine"}));
    check(
        json!({"data": {"a": "YQ==", "b": "Yg=="}, "stringData": {"b": "new", "c": "é"}}),
        json!({"type": "Opaque", "data": {"a": "YQ==", "b": "bmV3", "c": "w6k="}}),
    );
}

#[test]
fn validation() {
    let required = |path: &str| format!("{path}: Required value");
    let redacted = "Invalid value: \"<secret contents redacted>\"";
    let key = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or \
               'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
    let token = "kubernetes.io/service-account-token";
    let annotated = json!({"name": "s", "annotations": {"kubernetes.io/service-account.name": "a"}});
    let long = "x".repeat(1024 * 1024 + 1);
    let cases = [
        (json!({}), vec![]),
        (json!({"type": "example.com/any", "stringData": {"k": "v"}}), vec![]),
        (json!({"stringData": {"a b": "v"}}), vec![format!("data[a b]: Invalid value: \"a b\": {key}")]),
        (json!({"stringData": {"..": "v"}}), vec!["data[..]: Invalid value: \"..\": must not be '..'".to_owned()]),
        (json!({"stringData": {"k": long}}), vec!["data: Too long: may not be more than 1048576 bytes".to_owned()]),
        (json!({"stringData": {"k": "x".repeat(1024 * 1024)}}), vec![]),
        (json!({"type": token}), vec![required("metadata.annotations[kubernetes.io/service-account.name]")]),
        (json!({"type": token, "metadata": annotated}), vec![]),
        (json!({"type": "kubernetes.io/dockercfg"}), vec![required("data[.dockercfg]")]),
        (
            json!({"type": "kubernetes.io/dockercfg", "stringData": {".dockercfg": "x"}}),
            vec![format!("data[.dockercfg]: {redacted}: invalid character 'x' looking for beginning of value")],
        ),
        (json!({"type": "kubernetes.io/dockercfg", "stringData": {".dockercfg": "{}"}}), vec![]),
        (json!({"type": "kubernetes.io/dockerconfigjson"}), vec![required("data[.dockerconfigjson]")]),
        (
            json!({"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": ""}}),
            vec![format!("data[.dockerconfigjson]: {redacted}: unexpected end of JSON input")],
        ),
        (json!({"type": "kubernetes.io/basic-auth"}), vec![required("data[username]"), required("data[password]")]),
        (json!({"type": "kubernetes.io/basic-auth", "stringData": {"password": ""}}), vec![]),
        (json!({"type": "kubernetes.io/ssh-auth"}), vec![required("data[ssh-privatekey]")]),
        (
            json!({"type": "kubernetes.io/ssh-auth", "stringData": {"ssh-privatekey": ""}}),
            vec![required("data[ssh-privatekey]")],
        ),
        (json!({"type": "kubernetes.io/tls"}), vec![required("data[tls.crt]"), required("data[tls.key]")]),
        (json!({"type": "kubernetes.io/tls", "stringData": {"tls.crt": ""}}), vec![required("data[tls.key]")]),
        (json!({"type": "kubernetes.io/tls", "stringData": {"tls.crt": "", "tls.key": ""}}), vec![]),
        (json!({"type": "bootstrap.kubernetes.io/token"}), vec![]),
    ];
    for (written, expected) in cases {
        let object = secret(written);
        assert_eq!(shown(&Secrets.validate(&object)), expected);
        assert_eq!(shown(&Secrets.validate_update(&object, &object)), expected);
    }
}

#[test]
fn immutability() {
    let fixed = "field is immutable when `immutable` is set";
    let old = json!({"immutable": true, "stringData": {"k": "v"}});
    let cases = [
        (json!({}), json!({"stringData": {"k": "v"}, "immutable": true}), vec![]),
        (old.clone(), old.clone(), vec![]),
        (json!({"immutable": true}), json!({"immutable": true, "data": {}}), vec![]),
        (old.clone(), json!({"stringData": {"k": "v"}}), vec![format!("immutable: Forbidden: {fixed}")]),
        (
            old.clone(),
            json!({"immutable": false}),
            vec![format!("immutable: Forbidden: {fixed}"), format!("data: Forbidden: {fixed}")],
        ),
        (old, json!({"immutable": true, "stringData": {"k": "w"}}), vec![format!("data: Forbidden: {fixed}")]),
        (
            json!({}),
            json!({"type": "kubernetes.io/ssh-auth"}),
            vec![
                "type: Invalid value: \"kubernetes.io/ssh-auth\": field is immutable".to_owned(),
                "data[ssh-privatekey]: Required value".to_owned(),
            ],
        ),
    ];
    for (old, new, expected) in cases {
        assert_eq!(shown(&Secrets.validate_update(&secret(new), &secret(old))), expected);
    }
}

#[test]
fn rows() {
    let object = secret(json!({"stringData": {"a": "1", "b": "2"}}));
    assert_eq!(
        Secrets.row(&object, Timestamp::UNIX_EPOCH),
        [json!("s"), json!("Opaque"), json!(2), json!("<unknown>")]
    );
    let names = Secrets.columns().iter().map(|column| column.name).collect::<Vec<_>>();
    assert_eq!(names, ["Name", "Type", "Data", "Age"]);
}
