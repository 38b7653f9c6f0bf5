//! Tests of the kind as the engine uses it.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::Pods;
use crate::strategy::{Context, Strategy};

mod prepare;
mod status;
mod table;
mod update;

/// The time of all requests.
pub(super) fn now() -> Timestamp {
    "2026-01-02T03:04:05.678Z".parse().unwrap()
}

pub(super) fn context() -> Context<'static> {
    Context { now: now(), namespace: "default", identity: None }
}

pub(super) fn pod(value: Value) -> Pod {
    serde_json::from_value(value).unwrap()
}

/// A valid pod as it is stored, with `change` merged into it (RFC 7386).
pub(super) fn stored(change: Value) -> Pod {
    let mut value = json!({
        "metadata": {"name": "p", "namespace": "default", "uid": "u", "resourceVersion": "1"},
        "spec": {"containers": [{"name": "c", "image": "nginx:1"}]},
    });
    merge(&mut value, change);
    let mut pod = pod(value);
    let status = pod.status.take();
    Pods.default(&mut pod);
    Pods.prepare_create(&mut pod, context());
    if let Some(status) = status {
        let class = pod.status.and_then(|status| status.qos_class);
        pod.status = Some(k8s_openapi::api::core::v1::PodStatus { qos_class: class, ..status });
    }
    pod
}

/// `pod` with `change` merged into it.
pub(super) fn changed(pod: &Pod, change: Value) -> Pod {
    let mut value = serde_json::to_value(pod).unwrap();
    merge(&mut value, change);
    serde_json::from_value(value).unwrap()
}

/// The messages of a list, one an entry.
pub(super) fn messages(errors: &api::field::ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn merge(target: &mut Value, change: Value) {
    match (target, change) {
        (Value::Object(target), Value::Object(change)) => {
            for (key, value) in change {
                if value.is_null() {
                    target.remove(&key);
                } else {
                    merge(target.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (target, change) => *target = change,
    }
}

#[test]
fn new_pods_that_are_refused() {
    let check = |change: Value, expected: &[&str]| {
        let pod = stored(change);
        assert_eq!(messages(&Pods.validate(&pod)), expected, "{pod:?}");
    };
    check(json!({}), &[]);
    check(
        json!({"spec": {"containers": [{"name": "c", "image": " nginx"}]}}),
        &["spec.containers[0].image: Invalid value: \" nginx\": must not have leading or trailing whitespace"],
    );
    check(
        json!({"spec": {"nodeName": "n", "schedulingGates": [{"name": "example.com/g"}]}}),
        &["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"],
    );
    let debugger = json!({"name": "d", "image": "busybox", "imagePullPolicy": "Always",
        "terminationMessagePolicy": "File", "terminationMessagePath": "/dev/termination-log"});
    check(
        json!({"spec": {"ephemeralContainers": [debugger]}}),
        &["spec.ephemeralContainers: Forbidden: cannot be set on create"],
    );
    let token = json!({"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}});
    let projected = json!([{"name": "v", "projected": {"sources": [token], "defaultMode": 420}}]);
    check(
        json!({"spec": {"volumes": projected}}),
        &["spec.volumes[0].projected.sources[0].serviceAccountToken: Forbidden: must not be specified when \
           serviceAccountName is not set"],
    );
    check(
        json!({
            "metadata": {"annotations": {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}},
            "spec": {"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}},
        }),
        &["spec.securityContext.seccompProfile.type: Forbidden: seccomp type in annotation and field must match"],
    );
    check(
        json!({
            "metadata": {"annotations": {"container.seccomp.security.alpha.kubernetes.io/c": "localhost/a"}},
            "spec": {"containers": [{"name": "c", "image": "i", "securityContext": {
                "seccompProfile": {"type": "Localhost", "localhostProfile": "b"}}}]},
        }),
        &[
            "spec.containers[0].securityContext.seccompProfile.localhostProfile: Forbidden: seccomp profile in annotation \
           and field must match",
        ],
    );
    check(
        json!({
            "metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}},
            "spec": {"containers": [{"name": "c", "image": "i", "securityContext": {
                "appArmorProfile": {"type": "RuntimeDefault"}}}]},
        }),
        &[
            "spec.containers[0].securityContext.appArmorProfile.type: Forbidden: apparmor type in annotation and field must \
           match",
        ],
    );
}

#[test]
fn names_that_are_no_host_names_are_warned_of() {
    let warnings = Pods.warnings(&stored(json!({"metadata": {"name": "a.b"}})), None);
    let expected = "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS \
                    label is recommended: [must not contain dots]";
    assert_eq!(warnings, [expected]);
    assert_eq!(Pods.warnings(&stored(json!({})), None), Vec::<String>::new());
}
