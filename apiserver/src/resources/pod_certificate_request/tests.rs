//! Requests, how they end, and what is issued.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::jiff::Timestamp;
use rcgen::{CertificateParams, KeyPair, SanType};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::*;

const NOT_BEFORE: i64 = 1_772_366_400;

struct Pod {
    key: KeyPair,
}

impl Pod {
    fn new() -> Pod {
        Pod { key: KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap() }
    }

    fn stub(&self) -> String {
        let params = CertificateParams::new(Vec::new()).unwrap();
        STANDARD.encode(params.serialize_request(&self.key).unwrap().der())
    }

    /// A valid request with these fields of its spec changed, or taken away by `null`, and this status.
    fn request(&self, changes: &Value, status: &Value) -> PodCertificateRequest {
        let mut spec = json!({
            "signerName": "example.com/web", "podName": "web-0", "podUID": "p", "serviceAccountName": "web",
            "serviceAccountUID": "s", "nodeName": "node-1", "nodeUID": "n", "maxExpirationSeconds": 7200,
            "stubPKCS10Request": self.stub(),
        });
        let fields = spec.as_object_mut().unwrap();
        fields.extend(changes.as_object().unwrap().clone());
        fields.retain(|_, value| !value.is_null());
        serde_json::from_value(json!({"metadata": {"name": "web"}, "spec": spec, "status": status})).unwrap()
    }

    /// A certificate for so many seconds.
    fn certificate(&self, seconds: i64, names: &[&str]) -> String {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let name = |name: &&str| {
            let text = (*name).try_into().unwrap();
            if name.contains('@') { SanType::Rfc822Name(text) } else { SanType::DnsName(text) }
        };
        params.subject_alt_names = names.iter().map(name).collect();
        params.not_before = OffsetDateTime::from_unix_timestamp(NOT_BEFORE).unwrap();
        params.not_after = OffsetDateTime::from_unix_timestamp(NOT_BEFORE + seconds).unwrap();
        params.self_signed(&self.key).unwrap().pem()
    }
}

fn at(seconds: i64) -> String {
    Timestamp::from_second(NOT_BEFORE + seconds).unwrap().to_string()
}

fn condition(kind: &str) -> Value {
    json!({"type": kind, "status": "True", "reason": "Test", "message": "", "lastTransitionTime": "2026-03-01T12:00:00Z"})
}

fn shown(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn specs() {
    let pod = Pod::new();
    let check = |changes: Value, expected: &[&str]| {
        let errors = shown(&PodCertificateRequests.validate(&pod.request(&changes, &json!({}))));
        assert_eq!(errors.len(), expected.len(), "{changes}: {errors:?}");
        assert!(errors.iter().zip(expected).all(|(shown, start)| shown.starts_with(start)), "{changes}: {errors:?}");
    };
    check(json!({}), &[]);
    check(json!({"maxExpirationSeconds": 7_862_400, "unverifiedUserAnnotations": {"Example.com/a": "b"}}), &[]);
    check(json!({"signerName": null}), &["spec.signerName: Required value"]);
    for field in ["podName", "serviceAccountName", "nodeName"] {
        check(json!({field: "A"}), &[&format!("spec.{field}: Invalid value: \"A\": a lowercase RFC 1123 subdomain")]);
    }
    for field in ["podUID", "serviceAccountUID", "nodeUID"] {
        check(json!({field: null}), &[&format!("spec.{field}: Invalid value: \"\": must not be empty")]);
        let long = "u".repeat(129);
        check(json!({field: long}), &[&format!("spec.{field}: Too long: may not be more than 128 bytes")]);
    }
    check(
        json!({"maxExpirationSeconds": null, "stubPKCS10Request": null}),
        &["spec.maxExpirationSeconds: Required value: \
        must be set"],
    );
    let range = |seconds: i32, max: i32| {
        format!("spec.maxExpirationSeconds: Invalid value: {seconds}: must be in the range [3600, {max}]")
    };
    check(json!({"maxExpirationSeconds": 3599}), &[&range(3599, 7_862_400)]);
    check(json!({"maxExpirationSeconds": 7_862_401}), &[&range(7_862_401, 7_862_400)]);
    let own = json!({"maxExpirationSeconds": 86401, "signerName": "kubernetes.io/kube-apiserver-client-pod"});
    check(own, &[&range(86401, 86400)]);
    check(
        json!({"unverifiedUserAnnotations": {"A": "b"}}),
        &[
            "spec.unverifiedUserAnnotations: Invalid value: \"a\": must be a domain-prefixed key (such as \"acme.io/foo\")",
        ],
    );
    check(
        json!({"unverifiedUserAnnotations": {"a.b/c": "d".repeat(256 * 1024)}}),
        &["spec.unverifiedUserAnnotations: Too long: may not be more than 262144 bytes"],
    );
    let path = "spec.stubPKCS10Request";
    check(json!({"stubPKCS10Request": null}), &[&format!("{path}: Required value: must be set")]);
    check(json!({"stubPKCS10Request": "eA=="}), &[&format!("{path}: Invalid value: must be a valid PKCS#10")]);
    let long = STANDARD.encode([0; 10 * 1024 + 1]);
    check(json!({"stubPKCS10Request": long}), &[&format!("{path}: Too long: may not be more than 10240 bytes")]);
    let mut forged = STANDARD.decode(pod.stub()).unwrap();
    *forged.last_mut().unwrap() ^= 1;
    let forged = STANDARD.encode(forged);
    check(json!({"stubPKCS10Request": forged}), &[&format!("{path}: Invalid value: signature is not valid")]);
}

#[test]
fn defaults_and_immutability() {
    let pod = Pod::new();
    let mut object = pod.request(&json!({"maxExpirationSeconds": null}), &json!({}));
    PodCertificateRequests.default(&mut object);
    assert_eq!(object.spec.max_expiration_seconds, Some(86400));
    let old = pod.request(&json!({}), &json!({}));
    assert!(PodCertificateRequests.validate_update(&old, &old).is_empty());
    let errors = shown(&PodCertificateRequests.validate_update(&object, &old));
    assert!(
        errors.len() == 1
            && errors[0].starts_with("spec: Invalid value: {")
            && errors[0].ends_with(": field is immutable")
    );
}

/// Sends a status; what is wrong with it.
fn send(new: &Value, old: &Value, pod: &Pod) -> Vec<String> {
    let updates = PodCertificateRequests.updates();
    let (mut new, old) = (pod.request(&json!({"podName": "other"}), new), pod.request(&json!({}), old));
    let context = Context { now: Timestamp::UNIX_EPOCH, namespace: "default", identity: None };
    (updates[0].prepare)(&mut new, &old, context);
    assert_eq!(new.spec, old.spec);
    shown(&(updates[0].validate)(&new, &old))
}

#[test]
fn a_request_ends_once() {
    let pod = Pod::new();
    let check = |new: Value, old: Value, expected: &[&str]| assert_eq!(send(&new, &old, &pod), expected, "{new}");
    let denied = json!({"conditions": [condition("Denied")]});
    check(json!({}), json!({}), &[]);
    check(denied.clone(), json!({}), &[]);
    check(denied.clone(), denied.clone(), &[]);
    check(json!({"conditions": [condition("Failed")]}), json!({}), &[]);
    let ended = "status: Invalid value: immutable after PodCertificateRequest is issued, denied, or failed";
    check(json!({}), denied.clone(), &[ended]);
    check(json!({"conditions": [condition("Failed")]}), denied, &[ended]);
    check(
        json!({"conditions": [condition("Denied")], "certificateChain": "x"}),
        json!({}),
        &["status: Invalid value: non-condition status fields must be empty when denying or failing the \
           PodCertificateRequest"],
    );
    check(
        json!({"certificateChain": "x"}),
        json!({}),
        &["status: Invalid value: status is immutable unless transitioning to \"Issued\", \"Denied\", or \"Failed\""],
    );
    check(
        json!({"conditions": [condition("Ready")]}),
        json!({}),
        &[
            "status.conditions.[0].type: Unsupported value: \"Ready\": supported values: \"Issued\", \"Denied\", \"Failed\"",
        ],
    );
    check(
        json!({"conditions": [condition("Denied"), condition("Failed")]}),
        json!({}),
        &[
            "status.conditions.[1].type: Invalid value: \"Failed\": There may be at most one condition with type \"Issued\", \
           \"Denied\", or \"Failed\"",
        ],
    );
    let mut unsure = condition("Denied");
    unsure["status"] = "Unknown".into();
    check(
        json!({"conditions": [unsure]}),
        json!({}),
        &["status.conditions.[0].status: Unsupported value: \"Unknown\": supported values: \"True\""],
    );
}

#[test]
fn what_is_issued_is_what_was_asked_for() {
    let pod = Pod::new();
    let check = |chain: &str, times: Value, expected: &[&str]| {
        let mut status = json!({
            "conditions": [condition("Issued")], "certificateChain": chain,
            "notBefore": at(0), "notAfter": at(7200), "beginRefreshAt": at(3600),
        });
        let fields = status.as_object_mut().unwrap();
        fields.extend(times.as_object().unwrap().clone());
        fields.retain(|_, value| !value.is_null());
        let errors = send(&status, &json!({}), &pod);
        let details: Vec<&str> =
            errors.iter().map(|error| error.rsplit_once("\": ").map_or(&**error, |it| it.1)).collect();
        assert_eq!(details, expected, "{times}");
    };
    let good = pod.certificate(7200, &["web.example.com", "web@example.com"]);
    check(&good, json!({}), &[]);
    check(&format!("{good}{}", Pod::new().certificate(1, &[])), json!({}), &[]);
    check("", json!({}), &["issued certificate chain must contain at least one certificate"]);
    check(
        &good.replace("CERTIFICATE", "KEY"),
        json!({}),
        &["issued certificate chain must consist entirely of CERTIFICATE PEM blocks"],
    );
    let garbled = "-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n";
    check(garbled, json!({}), &["leaf certificate does not parse as valid X.509"]);
    check(&format!("{good}{garbled}"), json!({}), &["intermediate certificate does not parse as valid X.509"]);
    check(
        &format!("{good}{}", good.replace("CERTIFICATE", "KEY")),
        json!({}),
        &["issued certificate chain must consist entirely of CERTFICATE PEM blocks"],
    );
    let other = Pod::new().certificate(7200, &[]);
    check(&other, json!({}), &["leaf certificate was not issued to the requested public key"]);
    check(
        &pod.certificate(7200, &["", "a..b", ".a", "@"]),
        json!({}),
        &[
            "leaf certificate should not contain empty DNSName",
            "leaf certificate's DNSName should not contain '..'",
            "leaf certificate's DNSName should not start or end with '.'",
            "leaf certificate should not contain invalid EmailAddress",
        ],
    );
    check(
        &good,
        json!({"notBefore": null, "notAfter": null, "beginRefreshAt": null}),
        &[
            "status.notBefore: Required value: must be present and consistent with the issued certificate",
            "status.notAfter: Required value: must be present and consistent with the issued certificate",
            "status.beginRefreshAt: Required value: must be present and in the range [notbefore+10min, notafter-10min]",
        ],
    );
    check(&good, json!({"notBefore": at(1)}), &["must be set to the NotBefore time encoded in the leaf certificate"]);
    check(&good, json!({"notAfter": at(1)}), &["must be set to the NotAfter time encoded in the leaf certificate"]);
    check(&good, json!({"beginRefreshAt": at(599)}), &["must be at least 10 minutes after status.notBefore"]);
    check(&good, json!({"beginRefreshAt": at(6601)}), &["must be at least 10 minutes before status.notAfter"]);
    let chain = "status.certificateChain: Invalid value:";
    check(
        &pod.certificate(3599, &[]),
        json!({"notAfter": at(3599)}),
        &[&format!("{chain} 3599000000000: leaf certificate lifetime must be >= 1 hour")],
    );
    check(
        &pod.certificate(7201, &[]),
        json!({"notAfter": at(7201)}),
        &[&format!("{chain} 7201000000000: leaf certificate lifetime must be <= spec.maxExpirationSeconds (7200)")],
    );
}

#[test]
fn rows() {
    let pod = Pod::new();
    let row = |status: Value| PodCertificateRequests.row(&pod.request(&json!({}), &status), Timestamp::UNIX_EPOCH);
    let expected = |state: &str| ["web", "web-0", "web", "node-1", "example.com/web", state].map(Value::from);
    assert_eq!(row(json!({})), expected("Pending"));
    assert_eq!(row(json!({"conditions": [condition("Issued")]})), expected("Issued"));
    assert_eq!(row(json!({"conditions": [condition("Failed")]})), expected("Failed"));
}
