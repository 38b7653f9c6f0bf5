//! CronJobs: defaults, refusals, what may stay, warnings, rows.

use serde_json::json;

use super::*;

/// A valid CronJob with `change` made to its JSON.
fn cron_job(change: impl FnOnce(&mut Value)) -> CronJob {
    let mut value = json!({
        "metadata": {"name": "c", "namespace": "default"},
        "spec": {
            "schedule": "*/5 * * * *",
            "jobTemplate": {"spec": {"template": {
                "spec": {"restartPolicy": "OnFailure", "containers": [{"name": "c", "image": "busybox:1"}]},
            }}},
        },
    });
    change(&mut value);
    let mut object = serde_json::from_value(value).unwrap();
    CronJobs.default(&mut object);
    object
}

fn messages(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn defaults() {
    let once = cron_job(|_| {});
    let mut twice = once.clone();
    CronJobs.default(&mut twice);
    assert_eq!(once, twice);
    let value = serde_json::to_value(once).unwrap();
    let spec = &value["spec"];
    assert_eq!(spec["concurrencyPolicy"], "Allow");
    assert_eq!(spec["suspend"], false);
    assert_eq!((&spec["successfulJobsHistoryLimit"], &spec["failedJobsHistoryLimit"]), (&json!(3), &json!(1)));
    let job = spec["jobTemplate"]["spec"].as_object().unwrap();
    // Those of a Job are set when one is made.
    assert_eq!(job.keys().collect::<Vec<_>>(), ["template"]);
    assert_eq!(job["template"]["spec"]["terminationGracePeriodSeconds"], 30);
}

#[test]
fn refusals() {
    let check = |change: fn(&mut Value), expected: &[&str]| {
        let object = cron_job(change);
        assert_eq!(messages(&CronJobs.validate(&object)), expected, "{object:?}");
    };
    check(|_| {}, &[]);
    check(|object| object["spec"]["timeZone"] = json!("Europe/Berlin"), &[]);
    check(|object| object["spec"]["schedule"] = json!("@every 1h"), &[]);
    check(|object| object["spec"]["schedule"] = json!(""), &["spec.schedule: Required value"]);
    check(
        |object| object["spec"]["schedule"] = json!("error"),
        &["spec.schedule: Invalid value: \"error\": expected exactly 5 fields, found 1: [error]"],
    );
    check(
        |object| object["spec"]["schedule"] = json!("TZ=UTC 0 * * * *"),
        &[
            "spec.schedule: Invalid value: \"TZ=UTC 0 * * * *\": cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
        ],
    );
    check(
        |object| object["spec"]["schedule"] = json!("CRON_TZ=Nowhere 0 * * * *"),
        &[
            "spec.schedule: Invalid value: \"CRON_TZ=Nowhere 0 * * * *\": provided bad location Nowhere: unknown time zone \
             Nowhere",
            "spec.schedule: Invalid value: \"CRON_TZ=Nowhere 0 * * * *\": cannot use TZ or CRON_TZ in schedule, use timeZone \
             field instead",
        ],
    );
    check(
        |object| object["spec"]["timeZone"] = json!(""),
        &["spec.timeZone: Invalid value: \"\": timeZone must be nil or non-empty string"],
    );
    check(
        |object| object["spec"]["timeZone"] = json!("Amerika/New_York"),
        &["spec.timeZone: Invalid value: \"Amerika/New_York\": unknown time zone Amerika/New_York"],
    );
    check(
        |object| object["spec"]["timeZone"] = json!("Local"),
        &["spec.timeZone: Invalid value: \"Local\": timeZone must be an explicit time zone as defined in \
           https://www.iana.org/time-zones"],
    );
    check(
        |object| object["spec"]["startingDeadlineSeconds"] = json!(-1),
        &["spec.startingDeadlineSeconds: Invalid value: -1: must be greater than or equal to 0"],
    );
    check(
        |object| object["spec"]["concurrencyPolicy"] = json!("Queue"),
        &["spec.concurrencyPolicy: Unsupported value: \"Queue\": supported values: \"Allow\", \"Forbid\", \"Replace\""],
    );
    check(
        |object| {
            object["spec"]["successfulJobsHistoryLimit"] = json!(-1);
            object["spec"]["failedJobsHistoryLimit"] = json!(-2);
        },
        &[
            "spec.successfulJobsHistoryLimit: Invalid value: -1: must be greater than or equal to 0",
            "spec.failedJobsHistoryLimit: Invalid value: -2: must be greater than or equal to 0",
        ],
    );
    check(
        |object| object["metadata"]["name"] = json!("n".repeat(53)),
        &[
            "metadata.name: Invalid value: \"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn\": must be no more than 52 \
           characters",
        ],
    );
}

#[test]
fn refusals_in_the_template() {
    let check = |change: fn(&mut Value), expected: &[&str]| {
        let object = cron_job(|object| change(&mut object["spec"]["jobTemplate"]["spec"]));
        assert_eq!(messages(&CronJobs.validate(&object)), expected, "{object:?}");
    };
    check(
        |job| job["template"]["spec"]["restartPolicy"] = json!("Always"),
        &["spec.jobTemplate.spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""],
    );
    check(
        |job| job["manualSelector"] = json!(true),
        &["spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: \"nil\", \"false\""],
    );
    check(
        |job| job["selector"] = json!({"matchLabels": {"a": "b"}}),
        &[
            "spec.jobTemplate.spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"b\"}}: `selector` will be auto-generated",
        ],
    );
    check(
        |job| job["ttlSecondsAfterFinished"] = json!(-1),
        &["spec.jobTemplate.spec.ttlSecondsAfterFinished: Invalid value: -1: must be greater than or equal to 0"],
    );
    check(
        |job| job["template"]["spec"]["containers"] = json!([]),
        &["spec.jobTemplate.spec.template.spec.containers: Required value"],
    );
}

#[test]
fn what_was_stored_may_stay() {
    let check = |old: fn(&mut Value), new: fn(&mut Value), expected: &[&str]| {
        let (old, new) = (cron_job(old), cron_job(new));
        assert_eq!(messages(&CronJobs.validate_update(&new, &old)), expected, "{new:?}");
    };
    let zoned: fn(&mut Value) = |object| object["spec"]["schedule"] = json!("TZ=UTC 0 * * * *");
    check(zoned, zoned, &[]);
    check(zoned, |object| object["spec"]["schedule"] = json!("CRON_TZ=UTC 1 * * * *"), &[]);
    check(
        zoned,
        |object| {
            object["spec"]["schedule"] = json!("TZ=UTC 0 * * * *");
            object["spec"]["timeZone"] = json!("UTC");
        },
        &[
            "spec.schedule: Invalid value: \"TZ=UTC 0 * * * *\": cannot use both timeZone field and TZ or CRON_TZ in schedule",
        ],
    );
    let unknown: fn(&mut Value) = |object| object["spec"]["timeZone"] = json!("Gone/Zone");
    check(unknown, unknown, &[]);
    check(|_| {}, unknown, &["spec.timeZone: Invalid value: \"Gone/Zone\": unknown time zone Gone/Zone"]);
    let long: fn(&mut Value) = |object| object["metadata"]["name"] = json!("n".repeat(60));
    check(long, long, &[]);
    // Everything else may change.
    check(|_| {}, |object| object["spec"]["jobTemplate"]["spec"]["completions"] = json!(3), &[]);
}

#[test]
fn warnings() {
    let check = |change: fn(&mut Value), old: Option<fn(&mut Value)>, expected: &[&str]| {
        let old = old.map(cron_job);
        assert_eq!(CronJobs.warnings(&cron_job(change), old.as_ref()), expected);
    };
    let zoned: fn(&mut Value) = |object| object["spec"]["schedule"] = json!("TZ=UTC 0 * * * *");
    check(|_| {}, None, &[]);
    check(
        zoned,
        Some(zoned),
        &["cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see \
           https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"],
    );
    check(
        |object| {
            let job = &mut object["spec"]["jobTemplate"]["spec"];
            (job["completionMode"], job["completions"], job["parallelism"]) =
                (json!("Indexed"), json!(100_001), json!(10_001));
        },
        None,
        &[
            "spec.jobTemplate.spec: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher \
           than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail",
        ],
    );
}

#[test]
fn rows() {
    let now = "2026-03-01T12:00:00Z".parse().unwrap();
    let check = |change: fn(&mut Value), expected: Value| {
        assert_eq!(Value::from(CronJobs.row(&cron_job(change), now)), expected);
    };
    check(|_| {}, json!(["c", "*/5 * * * *", "<none>", "False", 0, "<none>", "<unknown>", "c", "busybox:1", "<none>"]));
    check(
        |object| {
            object["metadata"]["creationTimestamp"] = json!("2026-03-01T11:00:00Z");
            object["spec"]["timeZone"] = json!("Etc/UTC");
            object["spec"]["suspend"] = json!(true);
            object["status"] = json!({"active": [{"name": "c-1"}], "lastScheduleTime": "2026-03-01T11:55:00Z"});
        },
        json!(["c", "*/5 * * * *", "Etc/UTC", "True", 1, "5m", "60m", "c", "busybox:1", "<none>"]),
    );
}
