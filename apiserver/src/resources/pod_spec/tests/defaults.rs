//! What is filled in.

use serde_json::{Value, json};

use super::spec;
use crate::resources::pod_spec::defaults::{set_defaults, set_pod_defaults};

#[track_caller]
fn check(defaults: fn(&mut k8s_openapi::api::core::v1::PodSpec), input: &Value, expected: &Value) {
    let mut spec = spec(input);
    defaults(&mut spec);
    assert_eq!(serde_json::to_value(&spec).unwrap(), *expected);
    let once = spec.clone();
    defaults(&mut spec);
    assert_eq!(spec, once, "applied twice");
}

#[test]
fn of_a_template() {
    check(
        set_defaults,
        &json!({
            "serviceAccount": "builder",
            "hostNetwork": true,
            "schedulingGroup": {"podGroupName": "g"},
            "containers": [{
                "name": "app", "image": "app",
                "ports": [{"containerPort": 80}],
                "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "B", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}],
                "livenessProbe": {"httpGet": {"port": 80}},
                "readinessProbe": {"grpc": {"port": 1}, "periodSeconds": 5},
                "lifecycle": {"preStop": {"httpGet": {"port": 80}}, "stopSignal": "SIGINT"},
                "resources": {"limits": {"cpu": "0.5", "memory": "100.5"}, "requests": {"cpu": "0.0001"}},
            }],
            "volumes": [{"name": "none"}, {"name": "s", "secret": {"secretName": "s"}}, {"name": "h", "hostPath": {"path": "/"}},
                {"name": "i", "image": {"reference": "a:1"}}, {"name": "e", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
                {"name": "p", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}, {"downwardAPI": {"items": [
                    {"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}}]}}],
        }),
        &json!({
            "dnsPolicy": "ClusterFirst",
            "hostNetwork": true,
            "restartPolicy": "Always",
            "schedulerName": "default-scheduler",
            "securityContext": {},
            "serviceAccount": "builder",
            "serviceAccountName": "builder",
            "terminationGracePeriodSeconds": 30,
            "containers": [{
                "name": "app", "image": "app", "imagePullPolicy": "Always",
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "env": [{"name": "A", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
                    {"name": "B", "valueFrom": {"resourceFieldRef": {"divisor": "0", "resource": "limits.cpu"}}}],
                "livenessProbe": {"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}, "timeoutSeconds": 1,
                    "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
                "readinessProbe": {"grpc": {"port": 1, "service": ""}, "timeoutSeconds": 1, "periodSeconds": 5,
                    "successThreshold": 1, "failureThreshold": 3},
                "lifecycle": {"preStop": {"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}}},
                "resources": {"limits": {"cpu": "500m", "memory": "100500m"}, "requests": {"cpu": "1m"}},
            }],
            "volumes": [
                {"name": "none", "emptyDir": {}},
                {"name": "s", "secret": {"defaultMode": 420, "secretName": "s"}},
                {"name": "h", "hostPath": {"path": "/", "type": ""}},
                {"name": "i", "image": {"pullPolicy": "IfNotPresent", "reference": "a:1"}},
                {"name": "e", "ephemeral": {"volumeClaimTemplate": {"spec": {"resources": {}, "volumeMode": "Filesystem"}}}},
                {"name": "p", "projected": {"defaultMode": 420, "sources": [
                    {"serviceAccountToken": {"expirationSeconds": 3600, "path": "t"}},
                    {"downwardAPI": {"items": [{"path": "n", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}]}}]}},
            ],
        }),
    );
}

#[test]
fn of_a_pod() {
    check(
        set_pod_defaults,
        &json!({
            "hostNetwork": true,
            "resources": {"limits": {"cpu": "4", "memory": "1Gi"}},
            "containers": [{"name": "a", "image": "a:1", "ports": [{"containerPort": 80}],
                "resources": {"limits": {"cpu": "1"}}}],
            "initContainers": [
                {"name": "s", "image": "a:1", "restartPolicy": "Always", "resources": {"requests": {"cpu": "500m"}}},
                {"name": "i", "image": "a:1", "resources": {"requests": {"cpu": "2"}}}],
        }),
        &json!({
            "dnsPolicy": "ClusterFirst",
            "enableServiceLinks": true,
            "hostNetwork": true,
            "resources": {"limits": {"cpu": "4", "memory": "1Gi"}, "requests": {"cpu": "2500m", "memory": "1Gi"}},
            "restartPolicy": "Always",
            "schedulerName": "default-scheduler",
            "securityContext": {},
            "terminationGracePeriodSeconds": 30,
            "containers": [{"name": "a", "image": "a:1", "imagePullPolicy": "IfNotPresent",
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                "ports": [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}],
                "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}}],
            "initContainers": [
                {"name": "s", "image": "a:1", "imagePullPolicy": "IfNotPresent", "restartPolicy": "Always",
                    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                    "resources": {"requests": {"cpu": "500m"}}},
                {"name": "i", "image": "a:1", "imagePullPolicy": "IfNotPresent",
                    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                    "resources": {"requests": {"cpu": "2"}}}],
        }),
    );
}

#[test]
fn of_the_resources_of_a_pod() {
    let check = |pod: Value, container: Value, expected: Value| {
        let mut spec = spec(&json!({"resources": pod,
            "containers": [{"name": "a", "image": "a", "resources": container}]}));
        set_pod_defaults(&mut spec);
        assert_eq!(serde_json::to_value(&spec.resources).unwrap(), expected);
    };
    check(json!(null), json!({"limits": {"cpu": "1"}}), json!(null));
    check(
        json!({"requests": {"cpu": "1"}}),
        json!({"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}),
        json!({"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}),
    );
    check(
        json!({"limits": {"cpu": "1"}}),
        json!({"limits": {"hugepages-2Mi": "4Mi"}}),
        json!({"requests": {"cpu": "1", "hugepages-2Mi": "4Mi"}, "limits": {"cpu": "1", "hugepages-2Mi": "4Mi"}}),
    );
}
