//! Jobs: defaults, generated labels and selectors, warnings, rows. Refusals are in files of their own.

mod refusals;
mod status;
mod update;

use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use super::*;

const UID: &str = "3a1b";

/// A Job as it is posted, with `change` made to its JSON.
fn posted(change: impl FnOnce(&mut Value)) -> Job {
    let mut value = json!({
        "metadata": {"name": "j", "namespace": "default", "uid": UID},
        "spec": {"template": {
            "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox:1"}]},
        }},
    });
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

/// The same with defaults.
fn defaulted(change: impl FnOnce(&mut Value)) -> Job {
    let mut job = posted(change);
    Jobs.default(&mut job);
    job
}

/// The same as it would be stored.
fn job(change: impl FnOnce(&mut Value)) -> Job {
    let mut job = defaulted(change);
    Jobs.prepare_create(&mut job, Context { now: Timestamp::UNIX_EPOCH, namespace: "default", identity: None });
    job
}

/// A stored Job with `change` made to its JSON.
fn changed(job: &Job, change: impl FnOnce(&mut Value)) -> Job {
    let mut value = serde_json::to_value(job).unwrap();
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

fn indexed(object: &mut Value) {
    object["spec"]["completionMode"] = json!("Indexed");
    object["spec"]["completions"] = json!(10);
}

fn messages(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn defaults() {
    let check = |change: fn(&mut Value), expected: Value| {
        let once = defaulted(change);
        let mut twice = once.clone();
        Jobs.default(&mut twice);
        assert_eq!(once, twice);
        let mut spec = serde_json::to_value(once).unwrap()["spec"].take();
        let template = spec.as_object_mut().unwrap().remove("template").unwrap();
        assert_eq!(template["spec"]["terminationGracePeriodSeconds"], 30);
        assert_eq!(spec, expected);
    };
    check(
        |_| {},
        json!({
            "backoffLimit": 6, "completionMode": "NonIndexed", "completions": 1, "manualSelector": false, "parallelism": 1,
            "podReplacementPolicy": "TerminatingOrFailed", "suspend": false,
        }),
    );
    check(
        |object| {
            let pattern = json!({"type": "DisruptionTarget"});
            let rules = json!([{"action": "Ignore", "onPodConditions": [pattern]}]);
            (object["spec"]["parallelism"], object["spec"]["podFailurePolicy"]) = (json!(2), json!({"rules": rules}));
            object["spec"]["backoffLimitPerIndex"] = json!(1);
        },
        json!({
            "backoffLimit": i32::MAX, "backoffLimitPerIndex": 1, "completionMode": "NonIndexed", "manualSelector": false,
            "parallelism": 2, "podReplacementPolicy": "Failed", "suspend": false,
            "podFailurePolicy": {
                "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}],
            },
        }),
    );
}

#[test]
fn labels_and_selector_are_generated() {
    let check = |change: fn(&mut Value), labels: Value, template: Value, selector: Value| {
        let object = serde_json::to_value(job(change)).unwrap();
        assert_eq!(object["metadata"]["labels"], labels);
        assert_eq!(object["spec"]["template"]["metadata"]["labels"], template);
        assert_eq!(object["spec"]["selector"], selector);
    };
    let generated = json!({
        "batch.kubernetes.io/controller-uid": UID, "batch.kubernetes.io/job-name": "j", "controller-uid": UID,
        "job-name": "j",
    });
    let selector = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": UID}});
    check(|_| {}, generated.clone(), generated.clone(), selector.clone());
    let mut with_own = generated;
    with_own["app"] = json!("a");
    let own: fn(&mut Value) = |object| object["spec"]["template"]["metadata"] = json!({"labels": {"app": "a"}});
    check(own, with_own.clone(), with_own.clone(), selector.clone());
    check(
        |object| {
            object["metadata"]["labels"] = json!({"tier": "batch"});
            object["spec"]["template"]["metadata"] = json!({"labels": {"app": "a"}});
        },
        json!({"tier": "batch"}),
        with_own,
        selector,
    );
    check(
        |object| {
            object["spec"]["manualSelector"] = json!(true);
            object["spec"]["selector"] = json!({"matchLabels": {"app": "a"}});
            object["spec"]["template"]["metadata"] = json!({"labels": {"app": "a"}});
        },
        json!({"app": "a"}),
        json!({"app": "a"}),
        json!({"matchLabels": {"app": "a"}}),
    );
}

#[test]
fn what_is_behind_closed_gates_is_dropped() {
    let scheduling: fn(&mut Value) = |object| object["spec"]["scheduling"] = json!({});
    assert_eq!(job(scheduling), job(|_| {}));
    let (mut new, old) = (changed(&job(|_| {}), scheduling), job(|_| {}));
    Jobs.prepare_update(&mut new, &old, Context { now: Timestamp::UNIX_EPOCH, namespace: "default", identity: None });
    assert_eq!(new, old);
}

#[test]
fn warnings() {
    let check = |change: fn(&mut Value), expected: &[&str]| {
        let job = job(change);
        assert_eq!(Jobs.warnings(&job, None), expected);
        assert!(Jobs.warnings(&job, Some(&job)).is_empty());
    };
    check(|_| {}, &[]);
    check(
        |object| object["metadata"]["name"] = json!("j.j"),
        &[
            "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is \
           recommended: [must not contain dots]",
        ],
    );
    check(
        |object| {
            indexed(object);
            (object["spec"]["completions"], object["spec"]["parallelism"]) = (json!(100_001), json!(10_001));
        },
        &["spec: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, \
           Kubernetes might not be able to track completedIndexes when a big number of indexes fail"],
    );
}

#[test]
fn rows() {
    let now = "2026-03-01T12:00:00Z".parse().unwrap();
    let row = |change: fn(&mut Value)| Value::from(Jobs.row(&changed(&job(|_| {}), change), now));
    assert_eq!(
        row(|_| {}),
        json!(["j", "Running", "0/1", "", "<unknown>", "c", "busybox:1", "batch.kubernetes.io/controller-uid=3a1b"])
    );
    let check = |change: fn(&mut Value), state: &str, completions: &str, duration: &str| {
        let row = row(change);
        assert_eq!((&row[1], &row[2], &row[3]), (&json!(state), &json!(completions), &json!(duration)), "{row}");
    };
    fn with(object: &mut Value, conditions: &[&str]) {
        let conditions = conditions.iter().map(|name| json!({"type": name, "status": "True"}));
        object["status"]["conditions"] = conditions.collect();
    }
    check(
        |object| {
            with(object, &["SuccessCriteriaMet", "Complete"]);
            object["status"]["succeeded"] = json!(1);
            object["status"]["startTime"] = json!("2026-03-01T11:00:00Z");
            object["status"]["completionTime"] = json!("2026-03-01T11:01:30Z");
        },
        "Complete",
        "1/1",
        "90s",
    );
    check(|object| with(object, &["FailureTarget", "Failed"]), "Failed", "0/1", "");
    check(|object| object["metadata"]["deletionTimestamp"] = json!("2026-03-01T12:00:00Z"), "Terminating", "0/1", "");
    check(|object| with(object, &["Suspended"]), "Suspended", "0/1", "");
    check(|object| with(object, &["FailureTarget"]), "FailureTarget", "0/1", "");
    check(|object| with(object, &["SuccessCriteriaMet"]), "SuccessCriteriaMet", "0/1", "");
    check(
        |object| {
            (object["spec"]["completions"], object["spec"]["parallelism"]) = (Value::Null, json!(3));
            object["status"]["startTime"] = json!("2026-03-01T11:59:00Z");
        },
        "Running",
        "0/1 of 3",
        "60s",
    );
    check(|object| object["spec"]["completions"] = Value::Null, "Running", "0/1", "");
}

/// The messages of writing `new` through the status subresource.
fn status_errors(new: &Job, old: &Job) -> Vec<String> {
    let updates = Jobs.updates();
    messages(&(updates[0].validate)(new, old))
}
