//! What clients are warned of.

use api::field::Path;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use super::{meta, spec};
use crate::resources::pod_spec::{set_pod_defaults, warnings};

#[track_caller]
fn check_at(path: &Path, patch: &Value, meta: &ObjectMeta, expected: &[&str]) {
    let mut spec = spec(patch);
    set_pod_defaults(&mut spec);
    assert_eq!(warnings(path, &spec, meta, None), expected);
}

#[track_caller]
fn check(patch: &Value, expected: &[&str]) {
    check_at(&Path::nil(), patch, &meta(), expected);
}

#[test]
fn of_what_is_deprecated() {
    check(&json!({}), &[]);
    check(
        &json!({"nodeSelector": {"beta.kubernetes.io/os": "linux"}, "volumes": [{"name": "g", "gitRepo": {"repository": "r"}}]}),
        &[
            "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead",
            "spec.volumes[0].gitRepo: deprecated in v1.11",
        ],
    );
    let meta: ObjectMeta = serde_json::from_value(json!({"annotations": {
        "container.apparmor.security.beta.kubernetes.io/app": "unconfined",
        "seccomp.security.alpha.kubernetes.io/pod": "runtime/default"}}))
    .unwrap();
    check_at(
        &Path::new("spec").child("template"),
        &json!({}),
        &meta,
        &[
            "spec.template.metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: non-functional in v1.27+; use \
             the \"seccompProfile\" field instead",
            "spec.template.metadata.annotations[container.apparmor.security.beta.kubernetes.io/app]: deprecated since \
             v1.30; use the \"appArmorProfile\" field instead",
        ],
    );
}

#[test]
fn of_what_is_hardly_meant() {
    check(
        &json!({"terminationGracePeriodSeconds": -1, "hostAliases": [{"ip": "1.1.1.1"}, {"ip": "1.1.1.1"}, {"ip": "::01"}],
            "imagePullSecrets": [{"name": "a"}, {"name": "a"}, {"name": ""}]}),
        &[
            "spec.hostAliases[1].ip: duplicate ip \"1.1.1.1\"",
            "spec.hostAliases[2].ip: IPv6 address \"::01\" should be in RFC 5952 canonical format (\"::1\")",
            "spec.imagePullSecrets[1].name: duplicate name \"a\"",
            "spec.imagePullSecrets[2].name: invalid empty name \"\"",
            "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
        ],
    );
    check(
        &json!({"containers": [{"name": "a", "image": "a", "ports": [{"containerPort": 80}, {"containerPort": 80}],
            "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"}, {"name": "A", "value": "3"}],
            "resources": {"limits": {"memory": "100m"}}}]}),
        &[
            "spec.containers[0].resources.limits[memory]: fractional byte value \"100m\" is invalid, must be an integer",
            "spec.containers[0].resources.requests[memory]: fractional byte value \"100m\" is invalid, must be an integer",
            "spec.containers[0].env[2]: hides previous definition of \"A\", which may be dropped when using apply",
            "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
        ],
    );
    check(
        &json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]}),
        &["spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod"],
    );
    check(
        &json!({"serviceAccountName": "s", "volumes": [
            {"name": "c", "configMap": {"name": "m", "items": [{"key": "a", "path": "x"}, {"key": "b", "path": "x/y"},
                {"key": "c", "path": "xy"}]}},
            {"name": "p", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}, {},
                {"secret": {"name": "s", "items": [{"key": "k", "path": "t"}]}}]}}]}),
        &[
            "volume \"c\" (ConfigMap \"m\"): overlapping paths: \"x/y\" with \"x\"",
            "volume \"p\" (Projected) has no sources provided",
            "volume \"p\" (Projected Secret \"s\"): overlapping paths: \"t\" with \"t\"",
        ],
    );
}
