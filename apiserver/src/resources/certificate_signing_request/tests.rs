//! Requests, their conditions and certificates, valid and not.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::jiff::Timestamp;
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

use super::*;
use crate::authn::Identity;

fn encoded(text: &str) -> String {
    STANDARD.encode(text)
}

fn signing_request() -> String {
    let params = CertificateParams::new(vec!["web.example.com".to_owned()]).unwrap();
    params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
}

fn issued() -> String {
    let params = CertificateParams::new(vec!["web.example.com".to_owned()]).unwrap();
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

/// A valid request with these fields of its spec changed, or taken away by `null`, and this status.
fn request(changes: &Value, status: &Value) -> CertificateSigningRequest {
    let mut spec = json!({
        "request": encoded(&signing_request()),
        "signerName": "example.com/web",
        "usages": ["digital signature", "server auth"],
    });
    let fields = spec.as_object_mut().unwrap();
    fields.extend(changes.as_object().unwrap().clone());
    fields.retain(|_, value| !value.is_null());
    serde_json::from_value(json!({"metadata": {"name": "web"}, "spec": spec, "status": status})).unwrap()
}

fn condition(kind: &str, status: &str) -> Value {
    json!({"type": kind, "status": status, "lastTransitionTime": "2026-03-01T11:00:00Z"})
}

fn with_conditions(conditions: &[Value]) -> CertificateSigningRequest {
    request(&json!({}), &json!({"conditions": conditions}))
}

fn context<'a>(identity: Option<&'a Identity>) -> Context<'a> {
    Context { now: Timestamp::from_second(1_772_366_400).unwrap(), namespace: "", identity }
}

fn shown(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn specs() {
    let check = |changes: Value, expected: &[&str]| {
        let errors = shown(&CertificateSigningRequests.validate(&request(&changes, &json!({}))));
        assert_eq!(errors, expected, "{changes}");
    };
    let label = "PEM block type must be CERTIFICATE REQUEST";
    check(json!({}), &[]);
    check(json!({"expirationSeconds": 600}), &[]);
    check(json!({"request": null}), &[&format!("spec.request: Invalid value: \"\": {label}")]);
    check(json!({"request": "eA=="}), &[&format!("spec.request: Invalid value: \"eA==\": {label}")]);
    let other = encoded(&signing_request().replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"));
    check(json!({"request": other}), &[&format!("spec.request: Invalid value: \"{other}\": {label}")]);
    let empty = encoded("-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n");
    let truncated = "asn1: syntax error: sequence truncated";
    check(json!({"request": empty}), &[&format!("spec.request: Invalid value: \"{empty}\": {truncated}")]);
    check(json!({"usages": null}), &["spec.usages: Required value"]);
    let duplicate = "spec.usages[1]: Duplicate value: \"any\"";
    check(json!({"usages": ["any", "any"]}), &[duplicate]);
    check(json!({"signerName": null}), &["spec.signerName: Required value"]);
    check(
        json!({"signerName": "kubernetes.io/legacy-unknown"}),
        &[
            "spec.signerName: Invalid value: \"kubernetes.io/legacy-unknown\": the legacy signerName is not allowed via this \
           API version",
        ],
    );
    check(
        json!({"signerName": "web"}),
        &["spec.signerName: Invalid value: \"web\": must be a fully qualified domain and path of the form \
           'example.com/signer-name'"],
    );
    check(
        json!({"expirationSeconds": 599}),
        &["spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)"],
    );
    let unknown = shown(&CertificateSigningRequests.validate(&request(&json!({"usages": ["spying"]}), &json!({}))));
    let start =
        "spec.usages[0]: Unsupported value: \"spying\": supported values: \"any\", \"cert sign\", \"client auth\"";
    assert!(unknown.len() == 1 && unknown[0].starts_with(start), "{unknown:?}");
}

#[test]
fn a_request_is_signed_by_its_own_key() {
    let pem = signing_request();
    let (block, _) = crate::resources::pem::decode(pem.as_bytes()).unwrap();
    let mut der = block.bytes;
    let at = der.windows(3).position(|window| window == b"web").unwrap();
    der[at] = b'x';
    let body = STANDARD.encode(&der);
    let forged = encoded(&format!("-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n"));
    let errors = shown(&CertificateSigningRequests.validate(&request(&json!({"request": forged}), &json!({}))));
    assert_eq!(errors, [format!("spec.request: Invalid value: \"{forged}\": x509: ECDSA verification failure")]);
}

#[test]
fn the_requester_is_who_asks() {
    let identity = Identity {
        user: "mina".to_owned(),
        uid: "7".to_owned(),
        groups: vec!["builders".to_owned()],
        extra: [("scope".to_owned(), vec!["a".to_owned()])].into(),
    };
    let claimed = json!({"username": "root", "uid": "0", "groups": ["system:masters"], "extra": {"a": ["b"]}});
    let mut object = request(&claimed, &json!({"conditions": [condition("Approved", "True")]}));
    CertificateSigningRequests.prepare_create(&mut object, context(Some(&identity)));
    let spec = serde_json::to_value(&object.spec).unwrap();
    assert_eq!(spec["username"], "mina");
    assert_eq!(spec["uid"], "7");
    assert_eq!(spec["groups"], json!(["builders"]));
    assert_eq!(spec["extra"], json!({"scope": ["a"]}));
    assert_eq!(object.status, Some(CertificateSigningRequestStatus::default()));

    let mut object = request(&claimed, &json!({}));
    CertificateSigningRequests.prepare_create(&mut object, context(None));
    let spec = &object.spec;
    assert_eq!((&spec.username, &spec.uid, &spec.groups, &spec.extra), (&None, &None, &None, &None));
}

#[test]
fn an_update_changes_neither_spec_nor_status() {
    let old = request(&json!({"username": "mina"}), &json!({"conditions": [condition("Approved", "True")]}));
    let mut new = request(&json!({"username": "root", "expirationSeconds": 700}), &json!({}));
    CertificateSigningRequests.prepare_update(&mut new, &old, context(None));
    assert_eq!(new, old);
    assert!(CertificateSigningRequests.validate_update(&new, &old).is_empty());
}

/// Sends `new` through a subresource; the result and what is wrong with it.
fn through(
    name: &str,
    mut new: CertificateSigningRequest,
    old: &CertificateSigningRequest,
) -> (CertificateSigningRequest, Vec<String>) {
    let updates = CertificateSigningRequests.updates();
    let update = updates.iter().find(|update| update.name == name).unwrap();
    (update.prepare)(&mut new, old, context(None));
    let errors = shown(&(update.validate)(&new, old));
    (new, errors)
}

#[test]
fn approval() {
    let (pending, approved) = (with_conditions(&[]), with_conditions(&[condition("Approved", "True")]));
    let check = |conditions: &[Value], old: &CertificateSigningRequest, expected: &[&str]| {
        assert_eq!(through("approval", with_conditions(conditions), old).1, expected, "{conditions:?}");
    };
    let exclusive = "Approved and Denied conditions are mutually exclusive";
    check(&[condition("Approved", "True")], &pending, &[]);
    check(&[condition("Denied", "True")], &pending, &[]);
    check(&[condition("Failed", "True"), condition("example.com/Seen", "False")], &pending, &[]);
    check(
        &[condition("Approved", "False")],
        &pending,
        &["status.conditions[0].status: Unsupported value: \"False\": supported values: \"True\""],
    );
    check(&[condition("Denied", "")], &pending, &["status.conditions[0].status: Required value"]);
    check(
        &[condition("Seen", "Maybe")],
        &pending,
        &[
            "status.conditions[0].status: Unsupported value: \"Maybe\": supported values: \"False\", \"True\", \"Unknown\"",
        ],
    );
    check(&[condition("", "True")], &pending, &["status.conditions[0].type: Required value"]);
    check(
        &[condition("Approved", "True"), condition("Denied", "True")],
        &pending,
        &[&format!("status.conditions[1].type: Invalid value: \"Denied\": {exclusive}")],
    );
    check(
        &[condition("Seen", "True"), condition("Seen", "True")],
        &pending,
        &["status.conditions[1].type: Duplicate value: \"Seen\""],
    );
    let removed = "status.conditions: Forbidden: updates may not remove a condition of type \"Approved\"";
    check(&[], &approved, &[removed]);
    check(&[condition("Denied", "True")], &approved, &[removed]);

    // Times are written down, and the certificate is the signer's.
    let mut new = with_conditions(&[json!({"type": "Approved", "status": "True"})]);
    new.status.as_mut().unwrap().certificate = Some(k8s_openapi::ByteString(issued().into_bytes()));
    let (stored, errors) = through("approval", new, &pending);
    assert_eq!(errors, [""; 0]);
    let status = serde_json::to_value(stored.status).unwrap();
    assert_eq!(
        status,
        json!({"conditions": [{
            "type": "Approved", "status": "True",
            "lastTransitionTime": "2026-03-01T12:00:00Z", "lastUpdateTime": "2026-03-01T12:00:00Z",
        }]})
    );
}

#[test]
fn status() {
    let approved = with_conditions(&[condition("Approved", "True")]);
    let with_certificate = |text: &str| {
        let conditions = json!([condition("Approved", "True")]);
        request(&json!({}), &json!({"conditions": conditions, "certificate": encoded(text)}))
    };
    let check = |new: CertificateSigningRequest, old: &CertificateSigningRequest, expected: &[&str]| {
        assert_eq!(through("status", new, old).1, expected);
    };
    let certificate = issued();
    let wrong = "status.certificate: Invalid value: \"<certificate data>\": ";
    check(with_certificate(&format!("Issued:\n{certificate}{certificate}")), &approved, &[]);
    check(with_conditions(&[condition("Approved", "True"), condition("Failed", "True")]), &approved, &[]);
    let none = format!("{wrong}must contain at least one CERTIFICATE PEM block");
    check(with_certificate("none"), &approved, &[&none]);
    let key = certificate.replace("CERTIFICATE", "PRIVATE KEY");
    let label = format!("{wrong}only CERTIFICATE PEM blocks are allowed, found \"PRIVATE KEY\"");
    check(with_certificate(&key), &approved, &[&label]);
    let headers = format!("{wrong}no PEM block headers are permitted");
    check(with_certificate(&certificate.replacen('\n', "\na: b\n\n", 1)), &approved, &[&headers]);
    let empty = format!("{wrong}found CERTIFICATE PEM block containing 0 certificates");
    check(with_certificate("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"), &approved, &[&empty]);
    let garbled = format!("{wrong}x509: malformed certificate");
    check(with_certificate("-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----"), &approved, &[&garbled]);
    check(
        with_certificate(&issued()),
        &with_certificate(&certificate),
        &["status.certificate: Forbidden: updates may not modify existing certificate content"],
    );
    check(
        with_conditions(&[condition("Approved", "True")]),
        &with_conditions(&[]),
        &["status.conditions: Forbidden: updates may not add a condition of type \"Approved\""],
    );
    check(
        with_conditions(&[]),
        &approved,
        &["status.conditions: Forbidden: updates may not remove a condition of type \"Approved\""],
    );
    // A signer's own version of the verdict is not taken.
    let mut other = condition("Approved", "True");
    other["message"] = "by the signer".into();
    let (stored, errors) = through("status", with_conditions(&[other]), &approved);
    assert_eq!(errors, [""; 0]);
    assert_eq!(conditions::all(&stored)[0].message, None);
}

#[test]
fn what_is_stored_may_stay() {
    let both =
        [condition("Approved", "True"), condition("Denied", "True"), condition("", "True"), condition("", "True")];
    let odd = json!({"usages": ["spying", "any", "any"], "signerName": "kubernetes.io/legacy-unknown"});
    let old = request(&odd, &json!({"conditions": both, "certificate": encoded("odd")}));
    assert_eq!(shown(&CertificateSigningRequests.validate_update(&old, &old)), [""; 0]);
    assert_eq!(CertificateSigningRequests.validate(&old).len(), 8);
}

#[test]
fn rows() {
    let row = |changes: Value, status: Value| {
        let row = CertificateSigningRequests.row(&request(&changes, &status), Timestamp::UNIX_EPOCH);
        row.iter().map(|cell| cell.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = json!({"username": "mina", "expirationSeconds": 86400});
    assert_eq!(row(all, json!({})), ["web", "<unknown>", "example.com/web", "mina", "24h", "Pending"]);
    let state = |status: Value| row(json!({"signerName": null}), status).pop().unwrap();
    let conditions = |kinds: &[&str]| kinds.iter().map(|kind| condition(kind, "True")).collect::<Vec<_>>();
    assert_eq!(state(json!({"conditions": conditions(&["Approved"])})), "Approved");
    assert_eq!(state(json!({"conditions": conditions(&["Approved", "Denied"])})), "Denied");
    assert_eq!(state(json!({"conditions": conditions(&["Approved", "Failed"])})), "Approved,Failed");
    assert_eq!(state(json!({"conditions": conditions(&["Approved"]), "certificate": "eA=="})), "Approved,Issued");
    assert_eq!(row(json!({"signerName": null}), json!({}))[2..5], ["<none>", "", "<none>"]);
}
