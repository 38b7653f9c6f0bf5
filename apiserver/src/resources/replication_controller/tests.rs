//! ReplicationControllers: defaults, refusals, rows, scale.

use serde_json::json;

use super::*;

/// A valid ReplicationController with `change` made to its JSON.
fn controller(change: impl FnOnce(&mut Value)) -> ReplicationController {
    let mut value = json!({
        "metadata": {"name": "r", "namespace": "default"},
        "spec": {
            "template": {
                "metadata": {"labels": {"app": "a"}},
                "spec": {"containers": [{"name": "c", "image": "nginx:1"}]},
            },
        },
    });
    change(&mut value);
    let mut object = serde_json::from_value(value).unwrap();
    ReplicationControllers.default(&mut object);
    object
}

fn messages(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn defaults() {
    let check = |change: fn(&mut Value), selector: Value, labels: Value| {
        let once = controller(change);
        let mut twice = once.clone();
        ReplicationControllers.default(&mut twice);
        assert_eq!(once, twice);
        let value = serde_json::to_value(once).unwrap();
        assert_eq!(value["spec"]["replicas"], json!(1));
        assert_eq!((&value["spec"]["selector"], &value["metadata"]["labels"]), (&selector, &labels));
    };
    check(|_| {}, json!({"app": "a"}), json!({"app": "a"}));
    check(|object| object["metadata"]["labels"] = json!({"x": "y"}), json!({"app": "a"}), json!({"x": "y"}));
    check(|object| object["spec"]["selector"] = json!({"x": "y"}), json!({"x": "y"}), json!({"app": "a"}));
    check(|object| object["spec"]["selector"] = json!({}), json!({"app": "a"}), json!({"app": "a"}));
    check(|object| object["spec"]["template"]["metadata"] = json!({"labels": {}}), Value::Null, Value::Null);
    check(|object| object["spec"] = json!({}), Value::Null, Value::Null);
    check(|object| object["spec"] = Value::Null, Value::Null, Value::Null);
}

#[test]
fn refusals() {
    let check = |change: fn(&mut Value), expected: &[&str]| {
        let object = controller(change);
        assert_eq!(messages(&ReplicationControllers.validate(&object)), expected, "{object:?}");
    };
    check(|_| {}, &[]);
    check(|object| object["spec"]["replicas"] = json!(0), &[]);
    check(|object| object["spec"] = Value::Null, &["spec.selector: Required value", "spec.template: Required value"]);
    check(
        |object| object["spec"]["replicas"] = json!(-1),
        &["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
    );
    check(
        |object| object["spec"]["minReadySeconds"] = json!(-2),
        &["spec.minReadySeconds: Invalid value: -2: must be greater than or equal to 0"],
    );
    check(
        |object| object["spec"]["selector"] = json!({"app": "b"}),
        &["spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does not match template `labels`"],
    );
    check(
        |object| {
            object["spec"]["selector"] = json!({"app": "b"});
            object["spec"]["template"]["metadata"] = json!({});
        },
        &["spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`"],
    );
    check(|object| object["spec"]["template"]["metadata"] = json!({}), &["spec.selector: Required value"]);
    check(
        |object| object["spec"]["template"]["spec"]["restartPolicy"] = json!("Never"),
        &["spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""],
    );
    check(
        |object| object["spec"]["template"]["spec"]["activeDeadlineSeconds"] = json!(5),
        &[
            "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicationController is not \
           Supported",
        ],
    );
    check(
        |object| object["spec"]["template"]["spec"]["containers"] = json!([]),
        &["spec.template.spec.containers: Required value"],
    );
    check(
        |object| object["spec"]["template"]["metadata"]["annotations"] = json!({"a b": "c"}),
        &[
            "spec.template.annotations: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' \
           or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', \
           regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        ],
    );
}

#[test]
fn the_selector_may_change_unless_it_cannot_be_stated() {
    let old = controller(|object| {
        object["metadata"]["annotations"] = json!({
            "non-convertible.kubernetes.io/spec.selector": "x",
            "non-convertible.kubernetes.io/spec.other": "y",
            "example.com/spec.other": "y",
        });
    });
    let new = controller(|object| {
        object["spec"]["selector"] = json!({"app": "b"});
        object["spec"]["template"]["metadata"]["labels"]["app"] = json!("b");
    });
    assert_eq!(messages(&ReplicationControllers.validate_update(&new, &controller(|_| {}))), Vec::<String>::new());
    let unknown = "spec.other: Not found: \"y\": unknown non-convertible field";
    assert_eq!(messages(&ReplicationControllers.validate_update(&old, &old)), [unknown]);
    let fixed = "spec.selector: Invalid value: {\"app\":\"b\"}: cannot update non-convertible selector";
    assert_eq!(messages(&ReplicationControllers.validate_update(&new, &old)), [unknown, fixed]);
}

#[test]
fn statuses() {
    let check = |status: Value, expected: &[&str]| {
        let new = controller(|object| object["status"] = status);
        assert_eq!(messages(&(ReplicationControllers.updates()[0].validate)(&new, &new)), expected);
    };
    check(json!({"replicas": 3, "readyReplicas": 2, "availableReplicas": 1, "fullyLabeledReplicas": 3}), &[]);
    check(
        json!({"replicas": 1, "readyReplicas": 3, "availableReplicas": 2, "fullyLabeledReplicas": 4}),
        &[
            "status.fullyLabeledReplicas: Invalid value: 4: cannot be greater than status.replicas",
            "status.readyReplicas: Invalid value: 3: cannot be greater than status.replicas",
            "status.availableReplicas: Invalid value: 2: cannot be greater than status.replicas",
        ],
    );
    check(
        json!({"replicas": 3, "readyReplicas": 1, "availableReplicas": 2, "observedGeneration": -1}),
        &[
            "status.observedGeneration: Invalid value: -1: must be greater than or equal to 0",
            "status.availableReplicas: Invalid value: 2: cannot be greater than readyReplicas",
        ],
    );
}

#[test]
fn rows_and_scale() {
    let now = "2026-01-01T00:05:00Z".parse().unwrap();
    let mut object = controller(|object| {
        object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        object["spec"]["replicas"] = json!(3);
        object["spec"]["selector"] = json!({"b": "y", "app": "a"});
        object["status"] = json!({"replicas": 2, "readyReplicas": 1});
    });
    let expected = json!(["r", 3, 2, 1, "5m", "c", "nginx:1", "app=a,b=y"]);
    assert_eq!(Value::from(ReplicationControllers.row(&object, now)), expected);
    assert_eq!(ReplicationControllers.columns().len(), 8);
    let scale = ReplicationControllers.scale().unwrap();
    assert_eq!(((scale.replicas)(&object), (scale.status_replicas)(&object)), (3, 2));
    assert_eq!((scale.selector)(&object), "app=a,b=y");
    (scale.set_replicas)(&mut object, 7);
    assert_eq!(object.spec.as_ref().and_then(|spec| spec.replicas), Some(7));
    let empty = controller(|object| object["spec"] = Value::Null);
    assert_eq!(
        Value::from(ReplicationControllers.row(&empty, now)),
        json!(["r", 1, 0, 0, "<unknown>", "", "", "<none>"])
    );
}

#[test]
fn generation_and_warnings() {
    let old = controller(|_| {});
    let grows = ReplicationControllers.generation().unwrap();
    assert!(grows(&controller(|object| object["spec"]["replicas"] = json!(2)), &old));
    assert!(!grows(&controller(|object| object["metadata"]["annotations"] = json!({"a": "b"})), &old));
    let dotted = controller(|object| object["metadata"]["name"] = json!("a.b"));
    let expected = "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS \
                    label is recommended: [must not contain dots]";
    assert_eq!(ReplicationControllers.warnings(&dotted, None), [expected]);
    assert_eq!(ReplicationControllers.warnings(&dotted, Some(&dotted)), Vec::<String>::new());
    let deprecated = controller(|object| {
        object["spec"]["template"]["spec"]["nodeSelector"] = json!({"beta.kubernetes.io/os": "linux"});
    });
    let expected = "spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \
                    \"kubernetes.io/os\" instead";
    assert_eq!(ReplicationControllers.warnings(&deprecated, None), [expected]);
    assert_eq!(ReplicationControllers.warnings(&old, Some(&deprecated)), [expected]);
    assert_eq!(ReplicationControllers.warnings(&deprecated, Some(&old)), Vec::<String>::new());
}
