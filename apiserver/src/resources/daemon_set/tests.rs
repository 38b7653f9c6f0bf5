//! DaemonSets: defaults, refusals, the generation of the template, rows.

use serde_json::json;

use super::*;

/// A valid DaemonSet with `change` made to its JSON.
fn daemon_set(change: impl FnOnce(&mut Value)) -> DaemonSet {
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
    DaemonSets.default(&mut object);
    object
}

fn messages(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

const CONTEXT: Context<'_> = Context { now: Timestamp::UNIX_EPOCH, namespace: "default", identity: None };

#[test]
fn defaults() {
    let check = |strategy: Value, expected: Value| {
        let once = daemon_set(|set| set["spec"]["updateStrategy"] = strategy);
        let mut twice = once.clone();
        DaemonSets.default(&mut twice);
        assert_eq!(once, twice);
        let spec = serde_json::to_value(once).unwrap()["spec"].take();
        assert_eq!(spec["updateStrategy"], expected);
        assert_eq!(spec["revisionHistoryLimit"], json!(10));
        assert_eq!(spec["template"]["spec"]["dnsPolicy"], json!("ClusterFirst"));
    };
    let rolling = |unavailable: Value, surge: Value| {
        let rolling = json!({"maxSurge": surge, "maxUnavailable": unavailable});
        json!({"type": "RollingUpdate", "rollingUpdate": rolling})
    };
    check(Value::Null, rolling(json!(1), json!(0)));
    check(json!({"type": ""}), rolling(json!(1), json!(0)));
    check(json!({"rollingUpdate": {"maxUnavailable": "10%"}}), rolling(json!("10%"), json!(0)));
    check(json!({"type": "OnDelete"}), json!({"type": "OnDelete"}));
}

#[test]
fn refusals() {
    let check = |change: fn(&mut Value), expected: &[&str]| {
        let object = daemon_set(change);
        assert_eq!(messages(&DaemonSets.validate(&object)), expected, "{object:?}");
    };
    check(|_| {}, &[]);
    check(
        |set| set["spec"]["selector"] = json!({}),
        &["spec.selector: Invalid value: {}: empty selector is invalid for daemonset"],
    );
    check(
        |set| set["spec"]["selector"]["matchExpressions"] = json!([{"key": "app", "operator": "Is"}]),
        &["spec.selector.matchExpressions[0].operator: Invalid value: \"Is\": not a valid selector operator"],
    );
    check(
        |set| set["spec"]["template"]["metadata"] = json!({}),
        &["spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`"],
    );
    check(
        |set| {
            set["spec"]["template"]["spec"]["restartPolicy"] = json!("OnFailure");
            set["spec"]["template"]["spec"]["activeDeadlineSeconds"] = json!(5);
            set["spec"]["minReadySeconds"] = json!(-1);
            set["spec"]["revisionHistoryLimit"] = json!(-2);
        },
        &[
            "spec.template.spec.restartPolicy: Unsupported value: \"OnFailure\": supported values: \"Always\"",
            "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in DaemonSet is not Supported",
            "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0",
            "spec.revisionHistoryLimit: Invalid value: -2: must be greater than or equal to 0",
        ],
    );
    check(
        |set| set["metadata"]["annotations"] = json!({TEMPLATE_GENERATION: "two"}),
        &["metadata.annotations[deprecated.daemonset.template.generation]: Invalid value: \"two\": strconv.ParseInt: \
           parsing \"two\": invalid syntax"],
    );
    check(
        |set| set["metadata"]["annotations"] = json!({TEMPLATE_GENERATION: "-99999999999999999999"}),
        &["metadata.annotations[deprecated.daemonset.template.generation]: Invalid value: \"-99999999999999999999\": \
           strconv.ParseInt: parsing \"-99999999999999999999\": value out of range"],
    );
}

#[test]
fn refusals_of_the_strategy() {
    let check = |strategy: Value, expected: &[&str]| {
        let object = daemon_set(|set| set["spec"]["updateStrategy"] = strategy);
        let prefixed: Vec<String> = expected.iter().map(|message| format!("spec.updateStrategy{message}")).collect();
        assert_eq!(messages(&DaemonSets.validate(&object)), prefixed);
    };
    let rolling =
        |unavailable: Value, surge: Value| json!({"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}});
    check(json!({"type": "OnDelete"}), &[]);
    check(rolling(json!(0), json!("100%")), &[]);
    check(
        json!({"type": "Sudden"}),
        &[": Unsupported value: {\"Type\":\"Sudden\",\"RollingUpdate\":null}: supported values: \"RollingUpdate\", \
           \"OnDelete\""],
    );
    check(
        json!({"type": "Sudden", "rollingUpdate": {"maxSurge": "5%"}}),
        &[": Unsupported value: {\"Type\":\"Sudden\",\"RollingUpdate\":{\"MaxUnavailable\":0,\"MaxSurge\":\"5%\"}}: \
           supported values: \"RollingUpdate\", \"OnDelete\""],
    );
    check(
        rolling(json!(1), json!(1)),
        &[".rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero"],
    );
    check(
        rolling(json!("0%"), json!(0)),
        &[".rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"],
    );
    check(
        rolling(json!("101%"), json!(0)),
        &[".rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%"],
    );
    check(
        rolling(json!(0), json!("200%")),
        &[".rollingUpdate.maxSurge: Invalid value: \"200%\": must not be greater than 100%"],
    );
    check(
        rolling(json!(-1), json!(0)),
        &[".rollingUpdate.maxUnavailable: Invalid value: -1: must be greater than or equal to 0"],
    );
    check(
        rolling(json!("many"), json!(1)),
        &[".rollingUpdate.maxUnavailable: Invalid value: \"many\": a valid percent string must be a numeric string \
           followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"],
    );
}

#[test]
fn the_selector_stays() {
    let old = daemon_set(|_| {});
    let new = daemon_set(|set| {
        set["spec"]["selector"] = json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]});
    });
    let expected = "spec.selector: Invalid value: {\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"Exists\"}]}: \
                    field is immutable";
    assert_eq!(messages(&DaemonSets.validate_update(&new, &old)), [expected]);
    assert_eq!(messages(&DaemonSets.validate_update(&old, &old)), Vec::<String>::new());
}

#[test]
fn the_generation_of_the_template_is_the_servers() {
    let stating = |text: Option<&str>, hostname: &str| {
        daemon_set(|set| {
            set["spec"]["template"]["spec"]["hostname"] = json!(hostname);
            if let Some(text) = text {
                set["metadata"]["annotations"] = json!({TEMPLATE_GENERATION: text, "a": "b"});
            }
        })
    };
    let stated = |set: &DaemonSet| set.metadata.annotations.as_ref().unwrap()[TEMPLATE_GENERATION].clone();
    for (text, expected) in [(None, "1"), (Some("0"), "1"), (Some("-5"), "1"), (Some("+7"), "7"), (Some("x"), "x")] {
        let mut created = stating(text, "h");
        DaemonSets.prepare_create(&mut created, CONTEXT);
        assert_eq!(stated(&created), expected, "{text:?}");
    }
    let old = stating(Some("4"), "h");
    for (text, hostname, expected) in
        [(None, "h", "4"), (Some("9"), "h", "4"), (Some("4"), "i", "5"), (None, "i", "5"), (Some("x"), "i", "x")]
    {
        let mut new = stating(text, hostname);
        DaemonSets.prepare_update(&mut new, &old, CONTEXT);
        assert_eq!(stated(&new), expected, "{text:?} {hostname}");
    }
    let mut new = stating(None, "i");
    (DaemonSets.updates()[0].prepare)(&mut new, &old, CONTEXT);
    assert_eq!((stated(&new).as_str(), &new.spec), ("4", &old.spec));
    let grows = DaemonSets.generation().unwrap();
    assert!(grows(&stating(None, "i"), &old));
    assert!(grows(&daemon_set(|set| set["spec"]["minReadySeconds"] = json!(1)), &daemon_set(|_| {})));
    assert!(!grows(&stating(Some("9"), "h"), &old));
}

#[test]
fn statuses() {
    let check = |old: Value, new: Value, expected: &[&str]| {
        let with = |status: Value| daemon_set(|set| set["status"] = status);
        assert_eq!(messages(&(DaemonSets.updates()[0].validate)(&with(new), &with(old))), expected);
    };
    let status = |field: &str, value: i64| {
        let mut status = json!({
            "currentNumberScheduled": 1, "numberMisscheduled": 0, "desiredNumberScheduled": 2, "numberReady": 1,
        });
        status[field] = json!(value);
        status
    };
    check(json!({}), status("numberReady", 5), &[]);
    for field in [
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
        "collisionCount",
    ] {
        let expected = format!("status.{field}: Invalid value: -1: must be greater than or equal to 0");
        check(json!({}), status(field, -1), &[&expected]);
    }
    check(
        status("collisionCount", 2),
        status("collisionCount", 1),
        &["status.collisionCount: Invalid value: 1: cannot be decremented"],
    );
}

#[test]
fn rows_and_warnings() {
    let now = "2026-01-01T00:05:00Z".parse().unwrap();
    let set = daemon_set(|set| {
        set["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        set["spec"]["template"]["spec"]["nodeSelector"] = json!({"a": "x", "a-b": "y"});
        set["status"] = json!({
            "currentNumberScheduled": 2, "numberMisscheduled": 0, "desiredNumberScheduled": 3, "numberReady": 1,
            "updatedNumberScheduled": 2, "numberAvailable": 1,
        });
    });
    let expected = json!(["d", 3, 2, 1, 2, 1, "a-b=y,a=x", "5m", "c", "nginx:1", "app=a"]);
    assert_eq!(Value::from(DaemonSets.row(&set, now)), expected);
    let expected = json!(["d", 0, 0, 0, 0, 0, "<none>", "<unknown>", "c", "nginx:1", "app=a"]);
    assert_eq!(Value::from(DaemonSets.row(&daemon_set(|_| {}), now)), expected);
    assert_eq!(DaemonSets.columns().len(), 11);

    let deprecated = daemon_set(|set| {
        set["metadata"]["name"] = json!("a.b");
        set["spec"]["template"]["spec"]["nodeSelector"] = json!({"beta.kubernetes.io/os": "linux"});
    });
    let expected = "spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \
                    \"kubernetes.io/os\" instead";
    assert_eq!(DaemonSets.warnings(&deprecated, None), [expected]);
    assert_eq!(DaemonSets.warnings(&deprecated, Some(&deprecated)), Vec::<String>::new());
}
