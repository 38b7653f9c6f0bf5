//! What each write takes from the client, what from the stored pod, and what the server sets.

use super::*;
use crate::strategy::Grace;

fn update(name: &str, new: &Pod, old: &Pod) -> Value {
    let mut new = new.clone();
    let update = Pods.updates().into_iter().find(|update| update.name == name).unwrap();
    (update.prepare)(&mut new, old, context());
    serde_json::to_value(new).unwrap()
}

#[test]
fn a_new_pod_is_pending() {
    let pod = stored(json!({"spec": {"schedulingGates": [{"name": "example.com/g"}]}}));
    let expected = json!({
        "phase": "Pending",
        "qosClass": "BestEffort",
        "conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        }],
    });
    assert_eq!(serde_json::to_value(pod.status).unwrap(), expected);
}

#[test]
fn label_keys_become_requirements() {
    let constraint = |keys: Value| {
        json!({
            "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "matchLabelKeys": keys,
            "labelSelector": {"matchLabels": {"app": "a"}},
        })
    };
    let term = json!({
        "topologyKey": "zone", "labelSelector": {}, "matchLabelKeys": ["app", "absent"], "mismatchLabelKeys": ["rev"],
    });
    let pod = stored(json!({
        "metadata": {"labels": {"app": "a", "rev": "1"}},
        "spec": {
            "topologySpreadConstraints": [constraint(json!(["rev"]))],
            "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}},
        },
    }));
    let spec = serde_json::to_value(pod.spec).unwrap();
    assert_eq!(
        spec["topologySpreadConstraints"][0]["labelSelector"]["matchExpressions"],
        json!([{"key": "rev", "operator": "In", "values": ["1"]}])
    );
    let terms = &spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    assert_eq!(
        terms[0]["labelSelector"]["matchExpressions"],
        json!([
            {"key": "app", "operator": "In", "values": ["a"]},
            {"key": "rev", "operator": "NotIn", "values": ["1"]},
        ])
    );
}

#[test]
fn app_armor_annotations_become_fields() {
    let check = |annotation: &str, expected: Value| {
        let key = "container.apparmor.security.beta.kubernetes.io/c";
        let pod = stored(json!({"metadata": {"annotations": {key: annotation}}}));
        let spec = serde_json::to_value(pod.spec).unwrap();
        assert_eq!(spec["containers"][0]["securityContext"]["appArmorProfile"], expected, "{annotation}");
    };
    check("unconfined", json!({"type": "Unconfined"}));
    check("runtime/default", json!({"type": "RuntimeDefault"}));
    check("localhost/mine", json!({"type": "Localhost", "localhostProfile": "mine"}));
    check("localhost/", Value::Null);
    check("other", Value::Null);
}

#[test]
fn a_status_changes_nothing_else() {
    let old = stored(json!({"status": {"observedGeneration": 3, "conditions": [
        {"type": "Ready", "status": "True", "observedGeneration": 2},
    ]}}));
    let new = changed(
        &old,
        json!({
            "metadata": {"labels": {"a": "b"}, "ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "x", "uid": "y"}]},
            "spec": {"nodeName": "stolen"},
            "status": {
                "qosClass": "", "podIP": "10.0.0.2", "podIPs": [{"ip": "10.0.0.1"}], "observedGeneration": null,
                "conditions": [{"type": "Ready", "status": "False"}],
            },
        }),
    );
    let written = update("status", &new, &old);
    assert_eq!(written["spec"], serde_json::to_value(&old.spec).unwrap());
    assert_eq!(written["metadata"]["ownerReferences"], Value::Null);
    assert_eq!(written["metadata"]["labels"], json!({"a": "b"}));
    let expected = json!({
        "qosClass": "BestEffort", "podIP": "10.0.0.2", "podIPs": [{"ip": "10.0.0.2"}], "observedGeneration": 3,
        "conditions": [{"type": "Ready", "status": "False", "observedGeneration": 2}],
    });
    assert_eq!(written["status"], expected);
}

#[test]
fn a_subresource_changes_its_part_only() {
    let old = stored(json!({"metadata": {"labels": {"a": "1"}}, "status": {"phase": "Running"}}));
    let resources = json!({"requests": {"cpu": "1"}});
    let new = changed(
        &old,
        json!({
            "metadata": {"labels": {"a": "2"}},
            "spec": {
                "nodeName": "n",
                "containers": [{"name": "c", "image": "other", "resources": resources}],
                "ephemeralContainers": [{"name": "d"}],
            },
            "status": {"phase": "Failed"},
        }),
    );
    let resized = update("resize", &new, &old);
    assert_eq!(resized["metadata"]["labels"], json!({"a": "1"}));
    assert_eq!(resized["status"]["phase"], json!("Running"));
    assert_eq!(resized["spec"]["containers"][0]["image"], json!("nginx:1"));
    assert_eq!(resized["spec"]["containers"][0]["resources"], resources);
    assert_eq!((&resized["spec"]["nodeName"], &resized["spec"]["ephemeralContainers"]), (&Value::Null, &Value::Null));
    let debugged = update("ephemeralcontainers", &new, &old);
    assert_eq!(debugged["spec"]["ephemeralContainers"], json!([{"name": "d"}]));
    assert_eq!(debugged["spec"]["containers"], serde_json::to_value(&old.spec.unwrap().containers).unwrap());
}

#[test]
fn deletion_waits_for_what_runs() {
    let check = |change: Value, requested: Option<i64>, expected: Grace| {
        let pod = stored(change);
        assert_eq!(Pods.grace(&pod, requested), expected, "{pod:?}");
    };
    let scheduled = json!({"spec": {"nodeName": "n"}, "status": {"phase": "Running"}});
    check(json!({}), Some(9), Grace::Immediate);
    check(scheduled.clone(), None, Grace::Seconds(30));
    check(scheduled.clone(), Some(9), Grace::Seconds(9));
    check(scheduled.clone(), Some(0), Grace::Immediate);
    check(scheduled, Some(-1), Grace::Seconds(1));
    check(json!({"spec": {"nodeName": "n"}, "status": {"phase": "Failed"}}), Some(9), Grace::Immediate);
}
