//! StatefulSets: defaults, refusals, what stays, warnings, rows, scale.

use serde_json::json;

use super::*;

/// A valid StatefulSet with `change` made to its JSON.
fn stateful_set(change: impl FnOnce(&mut Value)) -> StatefulSet {
    let mut value = json!({
        "metadata": {"name": "s", "namespace": "default"},
        "spec": {
            "serviceName": "s",
            "selector": {"matchLabels": {"app": "a"}},
            "template": {
                "metadata": {"labels": {"app": "a"}},
                "spec": {"containers": [
                    {"name": "c", "image": "nginx:1", "volumeMounts": [{"name": "data", "mountPath": "/data"}]},
                ]},
            },
            "volumeClaimTemplates": [claim("data", "1Gi")],
        },
    });
    change(&mut value);
    let mut object = serde_json::from_value(value).unwrap();
    StatefulSets.default(&mut object);
    object
}

fn claim(name: &str, size: &str) -> Value {
    let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}});
    json!({"metadata": {"name": name}, "spec": spec})
}

fn messages(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn defaults() {
    let check = |change: fn(&mut Value), strategy: Value| {
        let once = stateful_set(change);
        let mut twice = once.clone();
        StatefulSets.default(&mut twice);
        assert_eq!(once, twice);
        let spec = serde_json::to_value(once).unwrap()["spec"].take();
        assert_eq!(spec["updateStrategy"], strategy);
        assert_eq!(spec["replicas"], json!(1));
        assert_eq!(spec["revisionHistoryLimit"], json!(10));
        assert_eq!(spec["podManagementPolicy"], json!("OrderedReady"));
        let retention = json!({"whenDeleted": "Retain", "whenScaled": "Delete"});
        assert_eq!(spec["persistentVolumeClaimRetentionPolicy"], retention);
        assert_eq!(spec["template"]["spec"]["restartPolicy"], json!("Always"));
        let claim = &spec["volumeClaimTemplates"][0];
        assert_eq!((&claim["apiVersion"], &claim["kind"]), (&json!("v1"), &json!("PersistentVolumeClaim")));
        assert_eq!(
            (&claim["spec"]["volumeMode"], &claim["status"]["phase"]),
            (&json!("Filesystem"), &json!("Pending"))
        );
    };
    let whole = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "partition": 0}});
    let retention =
        |set: &mut Value| set["spec"]["persistentVolumeClaimRetentionPolicy"] = json!({"whenScaled": "Delete"});
    macro_rules! with {
        ($strategy:tt) => {
            |set: &mut Value| {
                set["spec"]["persistentVolumeClaimRetentionPolicy"] = json!({"whenScaled": "Delete"});
                set["spec"]["updateStrategy"] = json!($strategy);
            }
        };
    }
    check(retention, whole.clone());
    check(with!({}), whole.clone());
    check(with!({"type": "RollingUpdate", "rollingUpdate": {}}), whole);
    check(with!({"type": "RollingUpdate"}), json!({"type": "RollingUpdate"}));
    check(with!({"type": "OnDelete"}), json!({"type": "OnDelete"}));
    let bare = stateful_set(|set| {
        set["spec"]["serviceName"] = Value::Null;
        set["spec"]["ordinals"] = json!({});
    });
    assert_eq!(bare.spec.service_name.as_deref(), Some(""));
    assert_eq!(bare.spec.ordinals.and_then(|ordinals| ordinals.start), Some(0));
    let chosen = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "20%", "partition": 2}});
    check(with!({"rollingUpdate": {"maxUnavailable": "20%", "partition": 2}}), chosen);
}

fn check_refusal(change: fn(&mut Value), expected: &[&str]) {
    let object = stateful_set(change);
    assert_eq!(messages(&StatefulSets.validate(&object)), expected, "{object:?}");
}

#[test]
fn refusals_of_the_spec() {
    let check = check_refusal;
    check(|_| {}, &[]);
    check(|set| set["spec"]["podManagementPolicy"] = json!("Parallel"), &[]);
    check(
        |set| set["spec"]["podManagementPolicy"] = json!("Sudden"),
        &["spec.podManagementPolicy: Invalid value: \"Sudden\": must be 'OrderedReady' or 'Parallel'"],
    );
    check(
        |set| set["spec"]["updateStrategy"] = json!({"type": "Sudden"}),
        &[
            "spec.updateStrategy: Invalid value: {\"Type\":\"Sudden\",\"RollingUpdate\":null}: must be 'RollingUpdate' or \
           'OnDelete'",
        ],
    );
    check(
        |set| set["spec"]["updateStrategy"] = json!({"type": "OnDelete", "rollingUpdate": {"partition": 1}}),
        &[
            "spec.updateStrategy.rollingUpdate: Invalid value: {\"Partition\":1,\"MaxUnavailable\":null}: only allowed for \
           updateStrategy 'RollingUpdate'",
        ],
    );
    check(
        |set| set["spec"]["updateStrategy"] = json!({"rollingUpdate": {"partition": -1, "maxUnavailable": 0}}),
        &[
            "spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0",
            "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0",
        ],
    );
    check(
        |set| set["spec"]["updateStrategy"] = json!({"rollingUpdate": {"maxUnavailable": "101%"}}),
        &["spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%"],
    );
    check(
        |set| set["spec"]["persistentVolumeClaimRetentionPolicy"] = json!({"whenDeleted": "Keep"}),
        &["spec.persistentVolumeClaimRetentionPolicy.whenDeleted: Unsupported value: \"Keep\": supported values: \
           \"Retain\", \"Delete\""],
    );
    check(
        |set| {
            set["spec"]["replicas"] = json!(-1);
            set["spec"]["minReadySeconds"] = json!(-2);
            set["spec"]["ordinals"] = json!({"start": -3});
        },
        &[
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            "spec.minReadySeconds: Invalid value: -2: must be greater than or equal to 0",
            "spec.ordinals.start: Invalid value: -3: must be greater than or equal to 0",
        ],
    );
    check(
        |set| set["spec"]["serviceName"] = json!("a.b"),
        &["spec.serviceName: Invalid value: \"a.b\": must not contain dots"],
    );
}

#[test]
fn refusals_of_the_template() {
    let check = check_refusal;
    check(
        |set| set["spec"]["selector"] = json!({}),
        &["spec.selector: Invalid value: {}: empty selector is invalid for statefulset"],
    );
    check(
        |set| set["spec"]["selector"] = json!({"matchExpressions": [{"key": "app", "operator": "Is"}]}),
        &[
            "spec.selector.matchExpressions[0].operator: Invalid value: \"Is\": not a valid selector operator",
            "spec.selector: Invalid value: {\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"Is\"}]}",
        ],
    );
    check(
        |set| set["spec"]["selector"]["matchLabels"]["app"] = json!("b"),
        &["spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does not match template `labels`"],
    );
    check(
        |set| {
            set["spec"]["template"]["spec"]["restartPolicy"] = json!("Never");
            set["spec"]["template"]["spec"]["activeDeadlineSeconds"] = json!(5);
        },
        &[
            "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
            "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in StatefulSet is not Supported",
        ],
    );
    check(
        |set| set["spec"]["volumeClaimTemplates"] = json!([]),
        &["spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"data\""],
    );
    check(
        |set| set["spec"]["volumeClaimTemplates"][0]["spec"] = json!({}),
        &[
            "spec.volumeClaimTemplates[0].spec.accessModes: Required value: at least 1 access mode is required",
            "spec.volumeClaimTemplates[0].spec.resources[storage]: Required value",
        ],
    );
}

#[test]
fn claims_are_volumes_of_the_template() {
    let check = |change: fn(&mut Value), expected: &[&str]| {
        let set = stateful_set(change);
        assert_eq!(messages(&StatefulSets.validate(&set)), Vec::<String>::new());
        let volumes = claims::with_volumes(&set.spec).spec.unwrap().volumes.unwrap();
        let claims = volumes.iter().filter(|volume| volume.persistent_volume_claim.is_some()).count();
        assert_eq!(claims, 1);
        assert_eq!(volumes.iter().map(|volume| &*volume.name).collect::<Vec<_>>(), expected);
    };
    check(|_| {}, &["data"]);
    check(|set| set["spec"]["volumeClaimTemplates"] = json!([claim("data", "1Gi"), claim("data", "2Gi")]), &["data"]);
    check(
        |set| {
            let volumes = json!([{"name": "other", "emptyDir": {}}, {"name": "data", "emptyDir": {}}]);
            set["spec"]["template"]["spec"]["volumes"] = volumes;
        },
        &["data", "other"],
    );
}

#[test]
fn what_identifies_pods_stays() {
    let old = stateful_set(|_| {});
    let check = |change: fn(&mut Value), allowed: bool| {
        let forbidden = format!("spec: Forbidden: {}", super::validation::FIXED);
        let new = stateful_set(change);
        let expected = if allowed { vec![] } else { vec![forbidden] };
        assert_eq!(messages(&StatefulSets.validate_update(&new, &old)), expected, "{new:?}");
    };
    check(|_| {}, true);
    check(|set| set["spec"]["replicas"] = json!(3), true);
    check(|set| set["spec"]["ordinals"] = json!({"start": 1}), true);
    check(|set| set["spec"]["template"]["spec"]["hostname"] = json!("h"), true);
    check(|set| set["spec"]["updateStrategy"] = json!({"type": "OnDelete"}), true);
    check(|set| set["spec"]["revisionHistoryLimit"] = json!(2), true);
    check(|set| set["spec"]["persistentVolumeClaimRetentionPolicy"] = json!({"whenScaled": "Delete"}), true);
    check(|set| set["spec"]["minReadySeconds"] = json!(5), true);
    check(|set| set["spec"]["volumeClaimTemplates"] = json!([claim("data", "1024Mi")]), true);
    check(|set| set["spec"]["serviceName"] = json!("t"), false);
    check(|set| set["spec"]["podManagementPolicy"] = json!("Parallel"), false);
    check(|set| set["spec"]["volumeClaimTemplates"] = json!([claim("data", "2Gi")]), false);
    check(|set| set["spec"]["volumeClaimTemplates"] = json!([claim("data", "1Gi"), claim("more", "1Gi")]), false);
    check(
        |set| {
            set["spec"]["selector"]["matchLabels"]["tier"] = json!("x");
            set["spec"]["template"]["metadata"]["labels"]["tier"] = json!("x");
        },
        false,
    );
}

#[test]
fn what_was_stored_wrong_may_stay_wrong() {
    let negative = "spec.replicas: Invalid value: -1: must be greater than or equal to 0";
    let check = |old: fn(&mut Value), new: fn(&mut Value), expected: &[&str]| {
        let (old, new) = (stateful_set(old), stateful_set(new));
        assert_eq!(messages(&StatefulSets.validate_update(&new, &old)), expected);
    };
    check(|set| set["spec"]["serviceName"] = json!("A_b"), |set| set["spec"]["serviceName"] = json!("A_b"), &[]);
    let no_mode = |set: &mut Value| set["spec"]["volumeClaimTemplates"][0]["spec"]["accessModes"] = json!([]);
    check(no_mode, no_mode, &[]);
    let no_containers = |set: &mut Value| set["spec"]["template"]["spec"]["containers"] = json!([]);
    check(no_containers, no_containers, &[]);
    check(|_| {}, no_containers, &["spec.template.spec.containers: Required value"]);
    check(|_| {}, |set| set["spec"]["replicas"] = json!(-1), &[negative]);
}

#[test]
fn statuses() {
    let check = |old: Value, new: Value, expected: &[&str]| {
        let with = |status: Value| stateful_set(|set| set["status"] = status);
        assert_eq!(messages(&(StatefulSets.updates()[0].validate)(&with(new), &with(old))), expected);
    };
    let natural = "must be greater than or equal to 0";
    check(json!({}), json!({"replicas": 3, "readyReplicas": 2, "availableReplicas": 1, "updatedReplicas": 3}), &[]);
    check(
        json!({}),
        json!({"replicas": 1, "readyReplicas": 2, "currentReplicas": 3, "updatedReplicas": 4, "availableReplicas": 5}),
        &[
            "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
            "status.currentReplicas: Invalid value: 3: cannot be greater than status.replicas",
            "status.updatedReplicas: Invalid value: 4: cannot be greater than status.replicas",
            "status.availableReplicas: Invalid value: 5: cannot be greater than status.replicas",
            "status.availableReplicas: Invalid value: 5: cannot be greater than status.readyReplicas",
        ],
    );
    check(
        json!({"collisionCount": 2}),
        json!({"replicas": 0, "observedGeneration": -1, "collisionCount": 1}),
        &[
            &format!("status.observedGeneration: Invalid value: -1: {natural}"),
            "status.collisionCount: Invalid value: 1: cannot be decremented",
        ],
    );
}

#[test]
fn warnings() {
    let set = stateful_set(|set| {
        set["spec"]["volumeClaimTemplates"] = json!([claim("data", "1500m")]);
        set["spec"]["revisionHistoryLimit"] = json!(-1);
    });
    let fraction = |path: &str| {
        format!("{path}.resources.requests[storage]: fractional byte value \"1500m\" is invalid, must be an integer")
    };
    let limit =
        "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended";
    let expected = [fraction("spec.volumeClaimTemplates[0]"), limit.to_owned()];
    assert_eq!(StatefulSets.warnings(&set, None), expected);
    let expected = [fraction("spec.volumeClaimTemplates[0].Spec"), limit.to_owned()];
    assert_eq!(StatefulSets.warnings(&set, Some(&set)), expected);
    let deprecated = stateful_set(|set| {
        set["spec"]["template"]["spec"]["nodeSelector"] = json!({"beta.kubernetes.io/os": "linux"});
    });
    let expected = "spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \
                    \"kubernetes.io/os\" instead";
    assert_eq!(StatefulSets.warnings(&deprecated, None), [expected]);
    assert_eq!(StatefulSets.warnings(&deprecated, Some(&deprecated)), Vec::<String>::new());
}

#[test]
fn rows_scale_and_names() {
    let now = "2026-01-01T00:05:00Z".parse().unwrap();
    let mut set = stateful_set(|set| {
        set["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        set["spec"]["replicas"] = json!(3);
        set["status"] = json!({"replicas": 2, "readyReplicas": 1});
    });
    assert_eq!(Value::from(StatefulSets.row(&set, now)), json!(["s", "1/3", "5m", "c", "nginx:1"]));
    assert_eq!(StatefulSets.columns().len(), 5);
    let scale = StatefulSets.scale().unwrap();
    assert_eq!(((scale.replicas)(&set), (scale.status_replicas)(&set)), (3, 2));
    assert_eq!((scale.selector)(&set), "app=a");
    (scale.set_replicas)(&mut set, 7);
    assert_eq!(set.spec.replicas, Some(7));
    assert_eq!(StatefulSets.validate_name("a.b", false), ["must not contain dots"]);
    assert!(StatefulSets.validate_name("a-", true).is_empty());
}

#[test]
fn a_status_keeps_the_spec() {
    let old = stateful_set(|_| {});
    let mut new = stateful_set(|set| {
        set["metadata"]["labels"] = json!({"a": "2"});
        set["spec"]["replicas"] = json!(9);
        set["status"] = json!({"replicas": 1});
    });
    let context = Context { now: Timestamp::UNIX_EPOCH, namespace: "default", identity: None };
    (StatefulSets.updates()[0].prepare)(&mut new, &old, context);
    assert_eq!(new.spec, old.spec);
    assert_eq!(new.metadata.labels.as_ref().map(|labels| labels.len()), Some(1));
    assert_eq!(new.status.as_ref().map(|status| status.replicas), Some(1));
    StatefulSets.prepare_update(&mut new, &old, context);
    assert_eq!(new.status, old.status);
    StatefulSets.prepare_create(&mut new, context);
    assert_eq!(serde_json::to_value(&new.status).unwrap(), json!({"replicas": 0, "availableReplicas": 0}));
    let grows = StatefulSets.generation().unwrap();
    assert!(grows(&stateful_set(|set| set["spec"]["replicas"] = json!(2)), &old));
    assert!(!grows(&stateful_set(|set| set["metadata"]["annotations"] = json!({"a": "b"})), &old));
}
