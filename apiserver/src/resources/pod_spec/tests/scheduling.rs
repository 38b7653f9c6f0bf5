//! What the scheduler is told, where it is refused.

use serde_json::json;

use super::check;

#[test]
fn affinity() {
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
    check(
        &json!({"affinity": {"nodeAffinity": {required: {"nodeSelectorTerms": []}}}}),
        &[&format!(
            "spec.affinity.nodeAffinity.{required}.nodeSelectorTerms: Required value: must have at least one node \
             selector term"
        )],
    );
    check(
        &json!({"affinity": {"nodeAffinity": {required: {"nodeSelectorTerms": [{
            "matchExpressions": [{"key": "a", "operator": "In"}, {"key": "a", "operator": "Near", "values": ["x"]}],
            "matchFields": [{"key": "metadata.uid", "operator": "In", "values": ["a", "b"]}]}]}}}}),
        &[
            &format!(
                "spec.affinity.nodeAffinity.{required}.nodeSelectorTerms[0].matchExpressions[0].values: Required value: \
                 must be specified when `operator` is 'In' or 'NotIn'"
            ),
            &format!(
                "spec.affinity.nodeAffinity.{required}.nodeSelectorTerms[0].matchExpressions[1].operator: Invalid value: \
                 \"Near\": not a valid selector operator"
            ),
            &format!(
                "spec.affinity.nodeAffinity.{required}.nodeSelectorTerms[0].matchFields[0].values: Required value: must \
                 be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            ),
            &format!(
                "spec.affinity.nodeAffinity.{required}.nodeSelectorTerms[0].matchFields[0].key: Invalid value: \
                 \"metadata.uid\": not a valid field selector key"
            ),
        ],
    );
    check(
        &json!({"affinity": {"podAntiAffinity": {preferred: [
            {"weight": 101, "podAffinityTerm": {"topologyKey": "zone", "matchLabelKeys": ["a"]}}]}}}),
        &[
            &format!(
                "spec.affinity.podAntiAffinity.{preferred}[0].weight: Invalid value: 101: must be in the range 1-100"
            ),
            &format!(
                "spec.affinity.podAntiAffinity.{preferred}[0].podAffinityTerm.matchLabelKeys: Forbidden: must not be \
                 specified when labelSelector is not set"
            ),
        ],
    );
    check(
        &json!({"affinity": {"podAffinity": {required: [{"topologyKey": "zone", "matchLabelKeys": ["a"],
            "mismatchLabelKeys": ["a"], "labelSelector": {"matchLabels": {"x": "y"}}}]}}}),
        &[&format!(
            "spec.affinity.podAffinity.{required}[0].matchLabelKeys[0]: Invalid value: \"a\": exists in both \
             matchLabelKeys and mismatchLabelKeys"
        )],
    );
}

#[test]
fn scheduling() {
    check(
        &json!({"tolerations": [{"operator": "Equal"}, {"key": "a", "operator": "Exists", "value": "b"},
            {"key": "a", "operator": "Lt", "value": "1"}, {"key": "a", "tolerationSeconds": 1, "effect": "NoSchedule"},
            {"key": "a", "effect": "Kill"}]}),
        &[
            "spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, which \
             means \"match all values and all keys\"",
            "spec.tolerations[1].operator: Invalid value: \"b\": value must be empty when `operator` is 'Exists'",
            "spec.tolerations[2].operator: Unsupported value: \"Lt\": supported values: \"Equal\", \"Exists\", \"Lt\", \
             \"Gt\"",
            "spec.tolerations[3].effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute' when \
             `tolerationSeconds` is set",
            "spec.tolerations[4].effect: Unsupported value: \"Kill\": supported values: \"NoSchedule\", \
             \"PreferNoSchedule\", \"NoExecute\"",
        ],
    );
    let spread = |max_skew: i32| {
        json!({"maxSkew": max_skew, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway",
        "minDomains": max_skew})
    };
    check(
        &json!({"topologySpreadConstraints": [spread(0), spread(1)]}),
        &[
            "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
            "spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: \"{zone, \
             ScheduleAnyway}\"",
            "spec.topologySpreadConstraints[0].minDomains: Invalid value: 0: must be greater than zero",
            "spec.topologySpreadConstraints[0].minDomains: Invalid value: 0: can only use minDomains if \
             whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway",
            "spec.topologySpreadConstraints[1].minDomains: Invalid value: 1: can only use minDomains if \
             whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway",
        ],
    );
    check(
        &json!({"nodeName": "n", "schedulingGates": [{"name": "example.com/a"}, {"name": "example.com/a"}]}),
        &[
            "spec.schedulingGates[1]: Duplicate value: \"example.com/a\"",
            "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared",
        ],
    );
}
