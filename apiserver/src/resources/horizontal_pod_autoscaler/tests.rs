//! HorizontalPodAutoscalers: defaults, refusals, rows, and the two forms.

use k8s_openapi::api::autoscaling::v1;
use serde_json::json;

use super::conversion::{to_v1, to_v2};
use super::*;
use crate::resources::horizontal_pod_autoscaler::v1::AutoscalersV1 as Older;

/// A valid autoscaler with `change` made to its JSON.
fn autoscaler(change: impl FnOnce(&mut Value)) -> HorizontalPodAutoscaler {
    let mut value = json!({
        "metadata": {"name": "h", "namespace": "default"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}, "maxReplicas": 5},
    });
    change(&mut value);
    let mut object = serde_json::from_value(value).unwrap();
    HorizontalPodAutoscalers.default(&mut object);
    object
}

fn messages(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn external() -> Value {
    json!({"type": "External", "external": {"metric": {"name": "q"}, "target": {"type": "Value", "value": "9"}}})
}

#[test]
fn defaults() {
    let check = |change: fn(&mut Value), expected: Value| {
        let once = autoscaler(change);
        let mut twice = once.clone();
        HorizontalPodAutoscalers.default(&mut twice);
        assert_eq!(once, twice);
        let mut spec = serde_json::to_value(once.spec).unwrap();
        spec.as_object_mut().unwrap().remove("scaleTargetRef");
        assert_eq!(spec, expected);
    };
    let cpu = json!([{
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
    }]);
    check(|_| {}, json!({"minReplicas": 1, "maxReplicas": 5, "metrics": cpu}));
    check(
        |object| {
            object["spec"]["metrics"] = json!([external()]);
            object["spec"]["behavior"] = json!({"scaleUp": {"selectPolicy": "Min"}});
        },
        json!({
            "minReplicas": 1, "maxReplicas": 5, "metrics": [external()],
            "behavior": {
                "scaleUp": {
                    "stabilizationWindowSeconds": 0, "selectPolicy": "Min",
                    "policies": [
                        {"type": "Pods", "value": 4, "periodSeconds": 15},
                        {"type": "Percent", "value": 100, "periodSeconds": 15},
                    ],
                },
                "scaleDown": {
                    "selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
                },
            },
        }),
    );
}

fn check(change: impl FnOnce(&mut Value), expected: &[&str]) {
    let object = autoscaler(change);
    assert_eq!(messages(&HorizontalPodAutoscalers.validate(&object)), expected, "{object:?}");
}

#[test]
fn refused_numbers_and_references() {
    check(|_| {}, &[]);
    check(
        |object| (object["spec"]["minReplicas"], object["spec"]["maxReplicas"]) = (json!(0), json!(-1)),
        &[
            "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
            "spec.maxReplicas: Invalid value: -1: must be greater than 0",
            "spec.maxReplicas: Invalid value: -1: must be greater than or equal to `minReplicas`",
            "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas",
        ],
    );
    check(
        |object| object["spec"]["scaleTargetRef"] = json!({"apiVersion": "v1"}),
        &[
            "spec.scaleTargetRef.kind: Required value",
            "spec.scaleTargetRef.name: Required value",
            "spec.scaleTargetRef.apiVersion: Invalid value: \"v1\": apiVersion must specify API group",
        ],
    );
    let target = |api_version: &str, kind: &str| json!({"apiVersion": api_version, "kind": kind, "name": "n"});
    check(|object| object["spec"]["scaleTargetRef"] = target("v1", "ReplicationController"), &[]);
    check(|object| object["spec"]["scaleTargetRef"] = target("", "ReplicationController"), &[]);
    check(
        |object| object["spec"]["scaleTargetRef"] = target("a/b/c", "Thing"),
        &["spec.scaleTargetRef.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c"],
    );
    check(
        |object| object["spec"]["scaleTargetRef"] = target("apps/v1", "a/b"),
        &["spec.scaleTargetRef.kind: Invalid value: \"a/b\": may not contain '/'"],
    );
}

fn check_metric(metric: Value, expected: &[&str]) {
    check(|object| object["spec"]["metrics"] = json!([metric]), expected);
}

#[test]
fn refused_metrics() {
    let types = "supported values: \"ContainerResource\", \"External\", \"Object\", \"Pods\", \"Resource\"";
    let unsupported = format!("spec.metrics[0].type: Unsupported value: \"Moon\": {types}");
    check_metric(json!({"type": "Moon"}), &[unsupported.as_str(), unsupported.as_str()]);
    check_metric(
        json!({"type": "Resource"}),
        &["spec.metrics[0].resource: Required value: must populate information for the given metric source"],
    );
    let resource = |target: Value| json!({"type": "Resource", "resource": {"name": "cpu", "target": target}});
    check_metric(
        resource(json!({"type": "Utilization"})),
        &[
            "spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw value or a target \
           utilization",
        ],
    );
    check_metric(
        resource(json!({"type": "Utilization", "averageUtilization": 0, "averageValue": "-1"})),
        &[
            "spec.metrics[0].resource.target.averageValue: Invalid value: \"-1\": must be positive",
            "spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be greater than 0",
            "spec.metrics[0].resource.target.averageValue: Forbidden: may not set both a target raw value and a target \
             utilization",
        ],
    );
    check_metric(
        resource(json!({"type": "Most", "averageValue": "1"})),
        &[
            "spec.metrics[0].resource.target.type: Invalid value: \"Most\": must be either Utilization, Value, or AverageValue",
        ],
    );
}

#[test]
fn refused_metrics_of_other_kinds() {
    check_metric(
        json!({
            "type": "ContainerResource",
            "containerResource": {"name": "a b", "container": "C", "target": {"type": "AverageValue", "averageValue": "1"}},
        }),
        &[
            "spec.metrics[0].containerResource.name: Invalid value: \"a b\": name part must consist of alphanumeric characters, \
             '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or \
             '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            "spec.metrics[0].containerResource.name: Invalid value: \"a b\": must be a standard resource for containers",
            "spec.metrics[0].containerResource.container: Invalid value: \"C\": a lowercase RFC 1123 label must consist of \
             lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  \
             or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
        ],
    );
    check_metric(
        json!({"type": "Pods", "pods": {"metric": {}, "target": {"type": "AverageValue"}}}),
        &[
            "spec.metrics[0].pods.metric.name: Required value: must specify a metric name",
            "spec.metrics[0].pods.target.averageValue: Required value: must specify a positive target averageValue",
        ],
    );
    check_metric(
        json!({"type": "Object", "object": {
            "describedObject": {"kind": "K", "name": "n", "apiVersion": "a/b/c"}, "metric": {"name": "a/b"},
            "target": {"type": "Value"},
        }}),
        &[
            "spec.metrics[0].object.describedObject.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
            "spec.metrics[0].object.metric.name: Invalid value: \"a/b\": may not contain '/'",
            "spec.metrics[0].object.target.averageValue: Required value: must set either a target value or averageValue",
        ],
    );
    check_metric(
        json!({"type": "External", "external": {
            "metric": {"name": "q"}, "target": {"type": "Value", "value": "1", "averageValue": "1"},
        }}),
        &[
            "spec.metrics[0].external.target.value: Forbidden: may not set both a target value for metric and a per-pod target",
        ],
    );
    let mut both = external();
    both["pods"] = json!({"metric": {"name": "p"}, "target": {"type": "AverageValue", "averageValue": "1"}});
    check_metric(both, &["spec.metrics[0].pods: Forbidden: must populate the given metric source only"]);
}

#[test]
fn refused_behavior() {
    let check = |rules: Value, expected: &[&str]| {
        check(|object| object["spec"]["behavior"] = json!({"scaleDown": rules}), expected);
    };
    check(
        json!({"stabilizationWindowSeconds": -1, "selectPolicy": "Mean", "policies": [], "tolerance": "-1m"}),
        &[
            "spec.behavior.scaleDown.stabilizationWindowSeconds: Invalid value: -1: must be greater than or equal to zero",
            "spec.behavior.scaleDown.selectPolicy: Unsupported value: \"Mean\": supported values: \"Disabled\", \"Max\", \"Min\"",
            "spec.behavior.scaleDown.policies: Required value: must specify at least one Policy",
            "spec.behavior.scaleDown.tolerance: Invalid value: \"-1m\": must be greater than or equal to 0",
        ],
    );
    check(
        json!({"stabilizationWindowSeconds": 3601, "policies": [{"type": "Share", "value": 0, "periodSeconds": 1801}]}),
        &[
            "spec.behavior.scaleDown.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600",
            "spec.behavior.scaleDown.policies[0].type: Unsupported value: \"Share\": supported values: \"Percent\", \"Pods\"",
            "spec.behavior.scaleDown.policies[0].value: Invalid value: 0: must be greater than zero",
            "spec.behavior.scaleDown.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800",
        ],
    );
    check(
        json!({"policies": [{"type": "Pods", "value": 1, "periodSeconds": 0}]}),
        &["spec.behavior.scaleDown.policies[0].periodSeconds: Invalid value: 0: must be greater than zero"],
    );
}

#[test]
fn what_was_stored_may_stay() {
    let check = |old: fn(&mut Value), new: fn(&mut Value), expected: usize| {
        let (old, new) = (autoscaler(old), autoscaler(new));
        assert_eq!(HorizontalPodAutoscalers.validate_update(&new, &old).len(), expected, "{new:?}");
    };
    let groupless: fn(&mut Value) = |object| object["spec"]["scaleTargetRef"]["apiVersion"] = json!("v1");
    check(groupless, groupless, 0);
    check(|_| {}, groupless, 1);
    let asleep: fn(&mut Value) = |object| {
        object["spec"]["minReplicas"] = json!(0);
        object["spec"]["metrics"] = json!([external()]);
    };
    check(asleep, asleep, 0);
    check(|_| {}, asleep, 1);
    let described: fn(&mut Value) = |object| {
        object["spec"]["metrics"] = json!([{"type": "Object", "object": {
            "describedObject": {"kind": "K", "name": "n", "apiVersion": "a/b/c"}, "metric": {"name": "m"},
            "target": {"type": "Value", "value": "1"},
        }}]);
    };
    check(described, described, 0);
    check(|_| {}, described, 1);
}

#[test]
fn generations_count_changes_of_value() {
    let changed = HorizontalPodAutoscalers.generation().unwrap();
    let with = |value: &str| {
        autoscaler(|object| {
            let target = json!({"type": "Value", "value": value});
            object["spec"]["metrics"] =
                json!([{"type": "External", "external": {"metric": {"name": "q"}, "target": target}}]);
        })
    };
    assert!(!changed(&with("1Ki"), &with("1024")));
    assert!(changed(&with("1Ki"), &with("1k")));
}

#[test]
fn statuses() {
    let object = autoscaler(|object| object["status"] = json!({"currentReplicas": -1, "desiredReplicas": -2}));
    let expected = [
        "status.currentReplicas: Invalid value: -1: must be greater than or equal to 0",
        "status.desiredReplicas: Invalid value: -2: must be greater than or equal to 0",
    ];
    assert_eq!(messages(&(HorizontalPodAutoscalers.updates()[0].validate)(&object, &object)), expected);
    let older = to_v1(&object);
    assert_eq!(messages(&(Older.updates()[0].validate)(&older, &older)), expected);
}

#[test]
fn rows() {
    let now = "2026-03-01T12:00:00Z".parse().unwrap();
    let check = |change: fn(&mut Value), targets: &str| {
        let object = autoscaler(change);
        let row = Value::from(HorizontalPodAutoscalers.row(&object, now));
        assert_eq!(row[2], targets);
        assert_eq!(Value::from(Older.row(&to_v1(&object), now))[1], row[1]);
    };
    let row = Value::from(HorizontalPodAutoscalers.row(&autoscaler(|_| {}), now));
    assert_eq!(row, json!(["h", "Deployment/d", "cpu: <unknown>/80%", "1", 5, 0, "<unknown>"]));
    check(
        |object| {
            let target = json!({"type": "AverageValue", "averageValue": "2"});
            object["spec"]["metrics"] = json!([
                {"type": "Pods", "pods": {"metric": {"name": "p"}, "target": target}},
                {"type": "External", "external": {"metric": {"name": "q"}, "target": target}},
            ]);
            object["status"] = json!({"desiredReplicas": 1, "currentMetrics": [
                {"type": "Pods", "pods": {"metric": {"name": "p"}, "current": {"averageValue": "1500m"}}},
                {"type": "External", "external": {"metric": {"name": "q"}, "current": {"averageValue": "3"}}},
            ]});
        },
        "1500m/2, 3/2 (avg)",
    );
    check(
        |object| {
            let object_target = json!({"type": "Value", "value": "7"});
            let described = json!({"kind": "K", "name": "n"});
            object["spec"]["metrics"] = json!([
                external(),
                {"type": "Object", "object":
                    {"describedObject": described, "metric": {"name": "m"}, "target": object_target}},
                external(),
                external(),
            ]);
        },
        "<unknown>/9, <unknown>/7 + 2 more...",
    );
    check(
        |object| {
            let memory = json!({"type": "AverageValue", "averageValue": "1Gi"});
            let cpu = json!({"type": "Utilization", "averageUtilization": 50});
            object["spec"]["metrics"] = json!([
                {"type": "Resource", "resource": {"name": "memory", "target": memory}},
                {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "c", "target": cpu}},
            ]);
            object["status"] = json!({"desiredReplicas": 1, "currentMetrics": [
                {"type": "Resource", "resource": {"name": "memory", "current": {"averageValue": "900Mi"}}},
                {"type": "ContainerResource", "containerResource":
                    {"name": "cpu", "container": "c", "current": {"averageUtilization": 40, "averageValue": "400m"}}},
            ]});
        },
        "memory: 900Mi/1Gi, cpu: 40%/50%",
    );
}

/// One of each kind of metric, measured, with a behavior and a condition.
fn rich() -> HorizontalPodAutoscaler {
    autoscaler(|object| {
        let target = |type_: &str, field: &str, value: Value| json!({"type": type_, field: value});
        let cpu = target("Utilization", "averageUtilization", json!(60));
        let described = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "i"});
        let metric = json!({"name": "m", "selector": {"matchLabels": {"a": "b"}}});
        object["metadata"]["annotations"] = json!({"own": "x"});
        object["spec"]["metrics"] = json!([
            {"type": "Resource", "resource": {"name": "memory", "target": target("AverageValue", "averageValue", json!("1Gi"))}},
            {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "c", "target": cpu}},
            {"type": "Pods", "pods": {"metric": metric, "target": target("AverageValue", "averageValue", json!("1k"))}},
            {"type": "Object", "object": {
                "describedObject": described, "metric": metric, "target": target("AverageValue", "averageValue", json!("5")),
            }},
            {"type": "External", "external": {"metric": metric, "target": target("Value", "value", json!("9"))}},
            {"type": "Resource", "resource": {"name": "cpu", "target": cpu}},
        ]);
        object["spec"]["behavior"] = json!({"scaleDown": {"tolerance": "50m", "selectPolicy": "Min"}});
        object["status"] = json!({
            "currentReplicas": 2, "desiredReplicas": 3, "observedGeneration": 4, "lastScaleTime": "2026-03-01T10:00:00Z",
            "conditions": [{"type": "AbleToScale", "status": "True", "lastTransitionTime": "2026-03-01T10:00:00Z"}],
            "currentMetrics": [
                {"type": "Resource", "resource":
                    {"name": "cpu", "current": {"averageUtilization": 55, "averageValue": "550m"}}},
                {"type": "ContainerResource", "containerResource":
                    {"name": "cpu", "container": "c", "current": {"averageUtilization": 5, "averageValue": "5m"}}},
                {"type": "Pods", "pods": {"metric": metric, "current": {"averageValue": "3"}}},
                {"type": "Object", "object":
                    {"describedObject": described, "metric": metric, "current": {"value": "3", "averageValue": "1"}}},
                {"type": "External", "external": {"metric": metric, "current": {"value": "3"}}},
            ],
        });
    })
}

#[test]
fn nothing_is_lost_between_the_forms() {
    for object in [rich(), autoscaler(|_| {})] {
        let older = to_v1(&object);
        let mut again = to_v2(&older);
        again.status = again
            .status
            .filter(|status| object.status.is_some() || *status != HorizontalPodAutoscalerStatus::default());
        assert_eq!(again, object);
        assert_eq!(to_v1(&to_v2(&older)), older);
    }
}

#[test]
fn the_older_form_is_as_upstream_writes_it() {
    let older = serde_json::to_value(to_v1(&rich())).unwrap();
    assert_eq!(older["spec"]["targetCPUUtilizationPercentage"], 60);
    assert_eq!(older["status"]["currentCPUUtilizationPercentage"], 55);
    assert_eq!((&older["status"]["currentReplicas"], &older["status"]["desiredReplicas"]), (&json!(2), &json!(3)));
    let annotations = older["metadata"]["annotations"].as_object().unwrap();
    assert_eq!(annotations["own"], "x");
    let text = |name: &str| annotations[&format!("autoscaling.alpha.kubernetes.io/{name}")].as_str().unwrap();
    let selector = r#""selector":{"matchLabels":{"a":"b"}}"#;
    assert_eq!(
        text("metrics"),
        format!(
            "[{},{},{},{},{}]",
            r#"{"type":"Resource","resource":{"name":"memory","targetAverageValue":"1Gi"}}"#,
            r#"{"type":"ContainerResource","containerResource":{"name":"cpu","targetAverageUtilization":60,"container":"c"}}"#,
            format_args!(r#"{{"type":"Pods","pods":{{"metricName":"m","targetAverageValue":"1k",{selector}}}}}"#),
            format_args!(
                r#"{{"type":"Object","object":{{"target":{{"kind":"Ingress","name":"i","apiVersion":"networking.k8s.io/v1"}},"metricName":"m","targetValue":"0",{selector},"averageValue":"5"}}}}"#
            ),
            r#"{"type":"External","external":{"metricName":"m","metricSelector":{"matchLabels":{"a":"b"}},"targetValue":"9"}}"#,
        )
    );
    assert_eq!(
        text("behavior"),
        "{\"ScaleUp\":{\"StabilizationWindowSeconds\":0,\"SelectPolicy\":\"Max\",\"Policies\":[{\"Type\":\"Pods\",\"Value\":4,\
         \"PeriodSeconds\":15},{\"Type\":\"Percent\",\"Value\":100,\"PeriodSeconds\":15}],\"Tolerance\":null},\"ScaleDown\":{\
         \"StabilizationWindowSeconds\":null,\"SelectPolicy\":\"Min\",\"Policies\":[{\"Type\":\"Percent\",\"Value\":100,\
         \"PeriodSeconds\":15}],\"Tolerance\":\"50m\"}}"
    );
    assert!(text("current-metrics").starts_with(
        r#"[{"type":"Resource","resource":{"name":"cpu","currentAverageUtilization":55,"currentAverageValue":"550m"}}"#
    ));
    assert_eq!(
        text("conditions"),
        r#"[{"type":"AbleToScale","status":"True","lastTransitionTime":"2026-03-01T10:00:00Z"}]"#
    );
}

#[test]
fn the_older_form_means_what_it_states() {
    let newer = |value: Value| {
        let older: v1::HorizontalPodAutoscaler = serde_json::from_value(value).unwrap();
        serde_json::to_value(to_v2(&older)).unwrap()
    };
    let older = |annotations: Value, percent: Option<i32>| {
        json!({"metadata": {"annotations": annotations}, "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": "d"}, "maxReplicas": 3,
            "targetCPUUtilizationPercentage": percent,
        }})
    };
    let cpu = |percent: i32| {
        let target = json!({"type": "Utilization", "averageUtilization": percent});
        json!({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    };
    assert_eq!(newer(older(json!({}), None))["spec"]["metrics"], json!([cpu(80)]));
    assert_eq!(newer(older(json!({}), Some(40)))["spec"]["metrics"], json!([cpu(40)]));
    let annotation = |text: &str| json!({"autoscaling.alpha.kubernetes.io/metrics": text});
    let metrics = r#"[{"type":"External","external":{"metricName":"q","targetValue":"9"}}]"#;
    assert_eq!(newer(older(annotation(metrics), None))["spec"]["metrics"], json!([external()]));
    assert_eq!(newer(older(annotation(metrics), Some(40)))["spec"]["metrics"], json!([external(), cpu(40)]));
    let behavior = json!({"autoscaling.alpha.kubernetes.io/behavior": "{\"ScaleUp\":{\"SelectPolicy\":\"Min\"}}"});
    let behavior = newer(older(behavior, None))["spec"]["behavior"].clone();
    assert_eq!(
        (&behavior["scaleUp"]["selectPolicy"], &behavior["scaleDown"]["selectPolicy"]),
        (&json!("Min"), &json!("Max"))
    );
    // What cannot be read is as good as none, and does not stay.
    let odd = newer(older(annotation("{"), Some(40)));
    assert_eq!(odd["spec"]["metrics"], json!([cpu(40)]));
    assert_eq!(odd["metadata"].get("annotations"), None);
}

#[test]
fn an_update_of_the_older_form_leaves_the_status_alone() {
    let context = Context { now: Timestamp::UNIX_EPOCH, namespace: "default", identity: None };
    let old = to_v1(&rich());
    let mut new = old.clone();
    let annotations = new.metadata.annotations.as_mut().unwrap();
    annotations.retain(|name, _| name.ends_with("/metrics") || name.ends_with("/behavior"));
    new.status = None;
    new.spec.max_replicas = 9;
    Older.prepare_update(&mut new, &old, context);
    assert_eq!(to_v2(&new).status, to_v2(&old).status);
    assert_eq!(new.spec.max_replicas, 9);

    let mut new = old.clone();
    new.spec.max_replicas = 9;
    new.metadata.annotations = None;
    (Older.updates()[0].prepare)(&mut new, &old, context);
    assert_eq!(to_v2(&new).spec, to_v2(&old).spec);

    let mut new = old.clone();
    Older.prepare_create(&mut new, context);
    let created = to_v2(&new);
    assert_eq!(created.status, Some(HorizontalPodAutoscalerStatus::default()));
    assert_eq!(created.spec, to_v2(&old).spec);
}
