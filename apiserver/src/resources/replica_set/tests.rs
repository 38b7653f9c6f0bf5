//! ReplicaSets: defaults, refusals, rows, scale.

use serde_json::json;

use super::*;

/// A valid ReplicaSet with `change` made to its JSON.
fn replica_set(change: impl FnOnce(&mut Value)) -> ReplicaSet {
    let mut value = json!({
        "metadata": {"name": "r", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "a"}},
            "template": {
                "metadata": {"labels": {"app": "a"}},
                "spec": {"containers": [{"name": "c", "image": "nginx:1"}]},
            },
        },
    });
    change(&mut value);
    let mut object = serde_json::from_value(value).unwrap();
    ReplicaSets.default(&mut object);
    object
}

fn messages(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn refusals() {
    let check = |change: fn(&mut Value), expected: &[&str]| {
        let object = replica_set(change);
        assert_eq!(messages(&ReplicaSets.validate(&object)), expected, "{object:?}");
    };
    check(|_| {}, &[]);
    check(
        |set| set["spec"]["replicas"] = json!(-1),
        &["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
    );
    check(
        |set| set["spec"]["minReadySeconds"] = json!(-2),
        &["spec.minReadySeconds: Invalid value: -2: must be greater than or equal to 0"],
    );
    check(
        |set| set["spec"]["selector"] = json!({}),
        &["spec.selector: Invalid value: {}: empty selector is invalid for deployment"],
    );
    check(
        |set| set["spec"]["selector"]["matchLabels"]["app"] = json!("b"),
        &["spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does not match template `labels`"],
    );
    check(
        |set| {
            set["spec"]["selector"]["matchExpressions"] = json!([{"key": "app", "operator": "Is"}]);
        },
        &[
            "spec.selector.matchExpressions[0].operator: Invalid value: \"Is\": not a valid selector operator",
            "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"a\"},\"matchExpressions\":[{\"key\":\"app\",\
             \"operator\":\"Is\"}]}: invalid label selector",
        ],
    );
    check(
        |set| set["spec"]["template"]["spec"]["restartPolicy"] = json!("Never"),
        &["spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""],
    );
    check(
        |set| set["spec"]["template"]["spec"]["activeDeadlineSeconds"] = json!(5),
        &["spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported"],
    );
}

#[test]
fn the_selector_stays() {
    let old = replica_set(|_| {});
    let new = replica_set(|set| {
        set["spec"]["selector"]["matchLabels"]["tier"] = json!("x");
        set["spec"]["template"]["metadata"]["labels"]["tier"] = json!("x");
    });
    let expected = "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"a\",\"tier\":\"x\"}}: field is immutable";
    assert_eq!(messages(&ReplicaSets.validate_update(&new, &old)), [expected]);
    assert_eq!(messages(&ReplicaSets.validate_update(&old, &old)), Vec::<String>::new());
}

#[test]
fn statuses_add_up() {
    let check = |status: Value, expected: &[&str]| {
        let new = replica_set(|set| set["status"] = status);
        let update = &ReplicaSets.updates()[0];
        assert_eq!(messages(&(update.validate)(&new, &new)), expected);
    };
    check(json!({"replicas": 3, "readyReplicas": 2, "availableReplicas": 1, "fullyLabeledReplicas": 3}), &[]);
    check(
        json!({"replicas": 1, "readyReplicas": 2, "availableReplicas": 1}),
        &["status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas"],
    );
    check(
        json!({"replicas": 2, "fullyLabeledReplicas": 3, "availableReplicas": 1}),
        &[
            "status.fullyLabeledReplicas: Invalid value: 3: cannot be greater than status.replicas",
            "status.availableReplicas: Invalid value: 1: cannot be greater than readyReplicas",
        ],
    );
    check(
        json!({"replicas": 0, "observedGeneration": -1}),
        &["status.observedGeneration: Invalid value: -1: must be greater than or equal to 0"],
    );
}

#[test]
fn rows_and_scale() {
    let now = "2026-01-01T00:05:00Z".parse().unwrap();
    let mut set = replica_set(|set| {
        set["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        set["spec"]["replicas"] = json!(3);
        set["spec"]["selector"]["matchExpressions"] = json!([{"key": "b", "operator": "In", "values": ["y", "x"]}]);
        set["status"] = json!({"replicas": 2, "readyReplicas": 1});
    });
    let expected = json!(["r", 3, 2, 1, "5m", "c", "nginx:1", "app=a,b in (x,y)"]);
    assert_eq!(Value::from(ReplicaSets.row(&set, now)), expected);
    assert_eq!(ReplicaSets.columns().len(), 8);
    let scale = ReplicaSets.scale().unwrap();
    assert_eq!(((scale.replicas)(&set), (scale.status_replicas)(&set)), (3, 2));
    assert_eq!((scale.selector)(&set), "app=a,b in (x,y)");
    (scale.set_replicas)(&mut set, 7);
    assert_eq!(set.spec.replicas, Some(7));
}

#[test]
fn defaults_and_generation() {
    let set = replica_set(|_| {});
    assert_eq!(set.spec.replicas, Some(1));
    let template = set.spec.template.clone().unwrap();
    assert_eq!(template.spec.unwrap().restart_policy.as_deref(), Some("Always"));
    let grows = ReplicaSets.generation().unwrap();
    assert!(!grows(&replica_set(|set| set["metadata"]["annotations"] = json!({"a": "b"})), &set));
    assert!(grows(&replica_set(|set| set["spec"]["replicas"] = json!(2)), &set));
}
