//! Deployments: defaults, refusals, rows, scale.

use serde_json::json;

use super::*;

/// A valid Deployment with `change` made to its JSON.
fn deployment(change: impl FnOnce(&mut Value)) -> Deployment {
    let mut value = json!({
        "metadata": {"name": "d", "namespace": "default"},
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
    Deployments.default(&mut object);
    object
}

fn messages(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn defaults() {
    let check = |change: fn(&mut Value), strategy: Value| {
        let once = deployment(change);
        let mut twice = once.clone();
        Deployments.default(&mut twice);
        assert_eq!(once, twice);
        let value = serde_json::to_value(once).unwrap();
        assert_eq!(value["spec"]["strategy"], strategy);
        assert_eq!(value["spec"]["replicas"], json!(1));
        assert_eq!(value["spec"]["revisionHistoryLimit"], json!(10));
        assert_eq!(value["spec"]["progressDeadlineSeconds"], json!(600));
        assert_eq!(value["spec"]["template"]["spec"]["terminationGracePeriodSeconds"], json!(30));
    };
    let rolling =
        |surge: &str| json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": "25%"}});
    check(|_| {}, rolling("25%"));
    check(|object| object["spec"]["strategy"] = json!({"rollingUpdate": {"maxSurge": "50%"}}), rolling("50%"));
    check(|object| object["spec"]["strategy"] = json!({"type": "Recreate"}), json!({"type": "Recreate"}));
}

#[test]
fn refusals() {
    let check = |change: fn(&mut Value), expected: &[&str]| {
        let object = deployment(change);
        assert_eq!(messages(&Deployments.validate(&object)), expected, "{object:?}");
    };
    check(|_| {}, &[]);
    check(
        |object| object["spec"]["replicas"] = json!(-1),
        &["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
    );
    check(
        |object| object["spec"]["selector"] = json!({"matchLabels": {}}),
        &["spec.selector: Invalid value: {}: empty selector is invalid for deployment"],
    );
    check(
        |object| object["spec"]["template"]["metadata"] = json!({}),
        &["spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`"],
    );
    check(
        |object| object["spec"]["template"]["spec"]["restartPolicy"] = json!("OnFailure"),
        &["spec.template.spec.restartPolicy: Unsupported value: \"OnFailure\": supported values: \"Always\""],
    );
    check(
        |object| object["spec"]["strategy"] = json!({"type": "Recreate", "rollingUpdate": {}}),
        &["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"],
    );
    check(
        |object| object["spec"]["strategy"] = json!({"type": "Sudden"}),
        &["spec.strategy: Unsupported value: {\"Type\":\"Sudden\",\"RollingUpdate\":null}: supported values: \
           \"Recreate\", \"RollingUpdate\""],
    );
    check(
        |object| object["spec"]["strategy"] = json!({"type": "Sudden", "rollingUpdate": {"maxSurge": "5%"}}),
        &["spec.strategy: Unsupported value: {\"Type\":\"Sudden\",\"RollingUpdate\":{\"MaxUnavailable\":0,\
           \"MaxSurge\":\"5%\"}}: supported values: \"Recreate\", \"RollingUpdate\""],
    );
    check(
        |object| object["spec"]["strategy"] = json!({"rollingUpdate": {"maxSurge": "0%", "maxUnavailable": 0}}),
        &["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"],
    );
    check(
        |object| object["spec"]["strategy"] = json!({"rollingUpdate": {"maxUnavailable": "101%"}}),
        &["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%"],
    );
    check(
        |object| object["spec"]["strategy"] = json!({"rollingUpdate": {"maxSurge": -1}}),
        &["spec.strategy.rollingUpdate.maxSurge: Invalid value: -1: must be greater than or equal to 0"],
    );
    check(
        |object| object["spec"]["strategy"] = json!({"rollingUpdate": {"maxSurge": "many"}}),
        &[
            "spec.strategy.rollingUpdate.maxSurge: Invalid value: \"many\": a valid percent string must be a numeric string \
           followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
        ],
    );
    check(
        |object| object["spec"]["revisionHistoryLimit"] = json!(-1),
        &["spec.revisionHistoryLimit: Invalid value: -1: must be greater than or equal to 0"],
    );
    check(
        |object| object["spec"]["minReadySeconds"] = json!(600),
        &["spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds"],
    );
}

#[test]
fn updates() {
    let old = deployment(|_| {});
    let new = deployment(|object| {
        object["spec"]["selector"] = json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]});
    });
    let expected = "spec.selector: Invalid value: {\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"Exists\"}]}: \
                    field is immutable";
    assert_eq!(messages(&Deployments.validate_update(&new, &old)), [expected]);
    let grows = Deployments.generation().unwrap();
    assert!(grows(&deployment(|object| object["metadata"]["annotations"] = json!({"a": "b"})), &old));
    assert!(grows(&deployment(|object| object["spec"]["paused"] = json!(true)), &old));
    assert!(!grows(&deployment(|object| object["metadata"]["labels"] = json!({"a": "b"})), &old));
    assert!(!grows(&deployment(|object| object["spec"]["paused"] = json!(false)), &old));
}

#[test]
fn statuses() {
    let check = |old: Value, new: Value, expected: &[&str]| {
        let with = |status: Value| deployment(|object| object["status"] = status);
        let update = &Deployments.updates()[0];
        assert_eq!(messages(&(update.validate)(&with(new), &with(old))), expected);
    };
    check(json!({}), json!({"replicas": 3, "readyReplicas": 2, "availableReplicas": 2, "updatedReplicas": 3}), &[]);
    check(
        json!({}),
        json!({"replicas": 1, "updatedReplicas": 2}),
        &["status.updatedReplicas: Invalid value: 2: cannot be greater than status.replicas"],
    );
    check(
        json!({}),
        json!({"replicas": 2, "readyReplicas": 1, "availableReplicas": 2}),
        &["status.availableReplicas: Invalid value: 2: cannot be greater than readyReplicas"],
    );
    check(
        json!({"collisionCount": 2}),
        json!({"collisionCount": 1}),
        &["status.collisionCount: Invalid value: 1: cannot be decremented"],
    );
    check(
        json!({"collisionCount": 2}),
        json!({"unavailableReplicas": -1}),
        &[
            "status.unavailableReplicas: Invalid value: -1: must be greater than or equal to 0",
            "status.collisionCount: Invalid value: 0: cannot be decremented",
        ],
    );
}

#[test]
fn a_status_keeps_spec_and_labels() {
    let old = deployment(|object| object["metadata"]["labels"] = json!({"a": "1"}));
    let mut new = deployment(|object| {
        object["metadata"]["labels"] = json!({"a": "2"});
        object["spec"]["replicas"] = json!(9);
        object["status"] = json!({"replicas": 1});
    });
    let context = Context { now: Timestamp::UNIX_EPOCH, namespace: "default", identity: None };
    (Deployments.updates()[0].prepare)(&mut new, &old, context);
    assert_eq!((&new.spec, &new.metadata), (&old.spec, &old.metadata));
    assert_eq!(new.status.unwrap().replicas, Some(1));
}

#[test]
fn rows_and_scale() {
    let now = "2026-01-01T00:05:00Z".parse().unwrap();
    let mut object = deployment(|object| {
        object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        object["spec"]["replicas"] = json!(3);
        object["spec"]["template"]["spec"]["containers"] =
            json!([{"name": "c", "image": "nginx:1"}, {"name": "d", "image": "redis"}]);
        object["status"] = json!({"replicas": 4, "readyReplicas": 2, "updatedReplicas": 1, "availableReplicas": 2});
    });
    let expected = json!(["d", "2/3", 1, 2, "5m", "c,d", "nginx:1,redis", "app=a"]);
    assert_eq!(Value::from(Deployments.row(&object, now)), expected);
    assert_eq!(Deployments.columns().len(), 8);
    let scale = Deployments.scale().unwrap();
    assert_eq!(((scale.replicas)(&object), (scale.status_replicas)(&object)), (3, 4));
    assert_eq!((scale.selector)(&object), "app=a");
    (scale.set_replicas)(&mut object, 7);
    assert_eq!(object.spec.replicas, Some(7));
}

#[test]
fn dotted_names_are_warned_of() {
    let warnings = Deployments.warnings(&deployment(|object| object["metadata"]["name"] = json!("a.b")), None);
    let expected = "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS \
                    label is recommended: [must not contain dots]";
    assert_eq!(warnings, [expected]);
}
