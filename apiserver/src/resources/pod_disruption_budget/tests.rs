//! PodDisruptionBudgets: refusals, status, rows, and what they mean for a pod.

use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::disruption::{Verdict, being_processed, disrupt, judge, protects};
use super::*;

/// A valid budget with `change` made to its JSON.
fn budget(change: impl FnOnce(&mut Value)) -> PodDisruptionBudget {
    let mut value = json!({
        "metadata": {"name": "b", "namespace": "default"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}},
    });
    change(&mut value);
    let mut object = serde_json::from_value(value).unwrap();
    PodDisruptionBudgets.default(&mut object);
    object
}

fn messages(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn counts_are_always_written() {
    let status = json!({"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0});
    assert_eq!(serde_json::to_value(budget(|_| {}).status).unwrap(), status);
    let context = Context { now: Timestamp::UNIX_EPOCH, namespace: "default", identity: None };
    let mut new = budget(|object| object["status"] = json!({"disruptionsAllowed": 9, "observedGeneration": 9}));
    PodDisruptionBudgets.prepare_create(&mut new, context);
    assert_eq!(new, budget(|_| {}));
}

#[test]
fn refusals() {
    let check = |spec: Value, expected: &[&str]| {
        let object = budget(|object| object["spec"] = spec);
        assert_eq!(messages(&PodDisruptionBudgets.validate(&object)), expected, "{object:?}");
    };
    check(json!({}), &[]);
    check(json!({"maxUnavailable": "25%", "selector": {}, "unhealthyPodEvictionPolicy": "IfHealthyBudget"}), &[]);
    check(json!({"minAvailable": "100%"}), &[]);
    check(
        json!({"minAvailable": 1, "maxUnavailable": "1%", "selector": {"matchLabels": {"app": "a"}}}),
        &[
            "spec: Invalid value: {\"MinAvailable\":1,\"Selector\":{\"matchLabels\":{\"app\":\"a\"}},\"MaxUnavailable\":\"1%\",\
           \"UnhealthyPodEvictionPolicy\":null}: minAvailable and maxUnavailable cannot be both set",
        ],
    );
    check(
        json!({"minAvailable": 1, "maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow"}),
        &["spec: Invalid value: {\"MinAvailable\":1,\"Selector\":null,\"MaxUnavailable\":1,\
           \"UnhealthyPodEvictionPolicy\":\"AlwaysAllow\"}: minAvailable and maxUnavailable cannot be both set"],
    );
    check(json!({"minAvailable": -1}), &["spec.minAvailable: Invalid value: -1: must be greater than or equal to 0"]);
    check(
        json!({"maxUnavailable": -1}),
        &["spec.maxUnavailable: Invalid value: -1: must be greater than or equal to 0"],
    );
    let percent = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used \
                   for validation is '[0-9]+%')";
    check(
        json!({"minAvailable": "half"}),
        &[format!("spec.minAvailable: Invalid value: \"half\": {percent}").as_str()],
    );
    check(
        json!({"maxUnavailable": "-1%"}),
        &[format!("spec.maxUnavailable: Invalid value: \"-1%\": {percent}").as_str()],
    );
    check(
        json!({"minAvailable": "101%"}),
        &["spec.minAvailable: Invalid value: \"101%\": must not be greater than 100%"],
    );
    check(
        json!({"maxUnavailable": "200%"}),
        &["spec.maxUnavailable: Invalid value: \"200%\": must not be greater than 100%"],
    );
    check(
        json!({"selector": {"matchExpressions": [{"key": "a", "operator": "Is"}]}}),
        &["spec.selector.matchExpressions[0].operator: Invalid value: \"Is\": not a valid selector operator"],
    );
    check(
        json!({"unhealthyPodEvictionPolicy": "Never"}),
        &["spec.unhealthyPodEvictionPolicy: Unsupported value: \"Never\": supported values: \"AlwaysAllow\", \
           \"IfHealthyBudget\""],
    );
}

#[test]
fn specs_may_change() {
    let invalid = |object: &mut Value| {
        object["spec"]["selector"] = json!({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b c"]}]});
    };
    let check = |new: &PodDisruptionBudget, old: &PodDisruptionBudget, expected: usize| {
        assert_eq!(PodDisruptionBudgets.validate_update(new, old).len(), expected, "{new:?}");
    };
    check(&budget(|object| object["spec"] = json!({"maxUnavailable": 2})), &budget(|_| {}), 0);
    check(&budget(invalid), &budget(|_| {}), 1);
    check(&budget(invalid), &budget(invalid), 0);
}

#[test]
fn statuses() {
    let check = |status: Value, expected: &[&str]| {
        let object = budget(|object| object["status"] = status);
        let updates = PodDisruptionBudgets.updates();
        assert_eq!(messages(&(updates[0].validate)(&object, &object)), expected, "{object:?}");
    };
    check(json!({"currentHealthy": 3, "desiredHealthy": 2, "disruptionsAllowed": 1, "expectedPods": 3}), &[]);
    check(
        json!({"currentHealthy": -1, "desiredHealthy": -2, "disruptionsAllowed": -3, "expectedPods": -4}),
        &[
            "status.disruptionsAllowed: Invalid value: -3: must be greater than or equal to 0",
            "status.currentHealthy: Invalid value: -1: must be greater than or equal to 0",
            "status.desiredHealthy: Invalid value: -2: must be greater than or equal to 0",
            "status.expectedPods: Invalid value: -4: must be greater than or equal to 0",
        ],
    );
    check(
        json!({"conditions": [{"type": "DisruptionAllowed", "status": "Yes", "lastTransitionTime": "2026-03-01T12:00:00Z"}]}),
        &[
            "status.conditions[0].status: Unsupported value: \"Yes\": supported values: \"False\", \"True\", \"Unknown\"",
            "status.conditions[0].reason: Required value: must be set",
        ],
    );
}

#[test]
fn rows() {
    let now = "2026-03-01T12:00:00Z".parse().unwrap();
    let check = |change: fn(&mut Value), expected: Value| {
        assert_eq!(Value::from(PodDisruptionBudgets.row(&budget(change), now)), expected);
    };
    check(|_| {}, json!(["b", "1", "N/A", 0, "<unknown>"]));
    check(
        |object| {
            object["metadata"]["creationTimestamp"] = json!("2026-03-01T11:59:00Z");
            object["spec"] = json!({"maxUnavailable": "30%"});
            object["status"] = json!({"disruptionsAllowed": 2});
        },
        json!(["b", "N/A", "30%", 2, "60s"]),
    );
}

fn pod(labels: Value, ready: Option<&str>) -> Pod {
    let conditions: Value = ready.iter().map(|status| json!({"type": "Ready", "status": status})).collect();
    serde_json::from_value(json!({"metadata": {"labels": labels}, "status": {"conditions": conditions}})).unwrap()
}

#[test]
fn selectors_say_which_pods_are_protected() {
    let check = |selector: Value, labels: Value, expected: bool| {
        let budget = budget(|object| object["spec"]["selector"] = selector.clone());
        assert_eq!(protects(&budget, &pod(labels.clone(), None)), expected, "{selector} {labels}");
    };
    check(json!({"matchLabels": {"app": "a"}}), json!({"app": "a", "x": "y"}), true);
    check(json!({"matchLabels": {"app": "a"}}), json!({"app": "b"}), false);
    check(json!({}), json!({}), true);
    check(json!(null), json!({"app": "a"}), false);
    check(json!({"matchExpressions": [{"key": "a b", "operator": "Exists"}]}), json!({"app": "a"}), false);
}

#[test]
fn pods_that_are_not_ready_may_not_count() {
    let check = |policy: Value, healthy: i32, desired: i32, ready: Option<&str>, expected: Verdict| {
        let budget = budget(|object| {
            object["spec"]["unhealthyPodEvictionPolicy"] = policy.clone();
            object["status"] = json!({"currentHealthy": healthy, "desiredHealthy": desired});
        });
        assert_eq!(judge(&budget, &pod(json!({}), ready)), expected, "{policy} {healthy} {desired} {ready:?}");
    };
    let if_healthy = || json!("IfHealthyBudget");
    check(json!(null), 3, 3, Some("True"), Verdict::Guarded);
    check(json!(null), 3, 3, Some("False"), Verdict::Unguarded);
    check(if_healthy(), 3, 3, None, Verdict::Unguarded);
    check(if_healthy(), 2, 3, None, Verdict::Guarded);
    check(if_healthy(), 0, 0, None, Verdict::Guarded);
    check(json!("AlwaysAllow"), 0, 3, None, Verdict::Unguarded);
    check(json!("AlwaysAllow"), 0, 3, Some("True"), Verdict::Guarded);
}

#[test]
fn disruptions_are_counted() {
    let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    let mut budget = budget(|object| {
        object["metadata"]["generation"] = json!(2);
        object["status"] = json!({
            "observedGeneration": 2, "disruptionsAllowed": 2, "currentHealthy": 4, "desiredHealthy": 2,
            "conditions": [{
                "type": "DisruptionAllowed", "status": "True", "reason": "SufficientPods",
                "lastTransitionTime": "2026-03-01T10:00:00Z",
            }],
        });
    });
    disrupt(&mut budget, "p", now).unwrap();
    let status = budget.status.clone().unwrap();
    assert_eq!(status.disruptions_allowed, Some(1));
    assert_eq!(status.conditions.unwrap()[0].status, "True");
    disrupt(&mut budget, "q", now).unwrap();
    let status = serde_json::to_value(&budget.status).unwrap();
    assert_eq!(status["disruptionsAllowed"], 0);
    assert_eq!(status["disruptedPods"], json!({"p": "2026-03-01T12:00:00Z", "q": "2026-03-01T12:00:00Z"}));
    let condition = json!([{
        "type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": "", "observedGeneration": 2,
        "lastTransitionTime": "2026-03-01T12:00:00Z",
    }]);
    assert_eq!(status["conditions"], condition);
    let refused = disrupt(&mut budget, "r", now).unwrap_err();
    let cause = refused.cause("DisruptionBudget").unwrap();
    assert_eq!(cause.message, "The disruption budget b does not allow evicting pods currently");
}

#[test]
fn disruptions_are_refused() {
    let check = |generation: i64, status: Value, code: u16, retry: i32, message: &str| {
        let mut budget = budget(|object| {
            object["metadata"]["generation"] = json!(generation);
            object["status"] = status;
        });
        let before = budget.clone();
        let refused = disrupt(&mut budget, "p", Timestamp::UNIX_EPOCH).unwrap_err();
        let cause = refused.cause("DisruptionBudget").map(|cause| cause.message.clone());
        assert_eq!((refused.code, cause.as_ref().unwrap_or(&refused.message).as_str()), (code, message));
        assert_eq!(refused.details.as_ref().map_or(0, |details| details.retry_after_seconds), retry, "{message}");
        assert_eq!(budget, before);
    };
    let processed = "The disruption budget b is still being processed by the server.";
    check(2, json!({"observedGeneration": 1, "disruptionsAllowed": 1}), 429, 10, processed);
    assert_eq!(being_processed("b").message, "Cannot evict pod as it would violate the pod's disruption budget.");
    check(
        1,
        json!({"observedGeneration": 1, "currentHealthy": 2, "desiredHealthy": 3}),
        429,
        0,
        "The disruption budget b needs 3 healthy pods and has 2 currently",
    );
    let with = |reason: &str| {
        let condition = json!({
            "type": "DisruptionAllowed", "status": "False", "reason": reason, "message": "why",
            "lastTransitionTime": "2026-03-01T10:00:00Z",
        });
        json!({"observedGeneration": 1, "currentHealthy": 4, "desiredHealthy": 3, "conditions": [condition]})
    };
    let failed = "The disruption budget b does not allow evicting pods currently because it failed sync: why";
    check(1, with("SyncFailed"), 429, 0, failed);
    check(1, with("Other"), 429, 0, "The disruption budget b does not allow evicting pods currently (Other): why");
    check(
        1,
        json!({"observedGeneration": 1, "disruptionsAllowed": -1}),
        403,
        0,
        "poddisruptionbudget.policy \"b\" is forbidden: pdb disruptions allowed is negative",
    );
    let pods: Value =
        (0..2001).map(|i| (format!("p{i}"), json!("2026-03-01T12:00:00Z"))).collect::<serde_json::Map<_, _>>().into();
    check(
        1,
        json!({"observedGeneration": 1, "disruptionsAllowed": 1, "disruptedPods": pods}),
        403,
        0,
        "poddisruptionbudget.policy \"b\" is forbidden: DisruptedPods map too big - too many evictions not confirmed by PDB \
         controller",
    );
}
