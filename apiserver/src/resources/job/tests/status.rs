//! What may be written into the status of a Job.

use super::*;

/// A Job that runs, for `base` to begin with.
fn check(base: fn(&mut Value), old: Value, new: Value, expected: &[&str]) {
    let job = job(base);
    let with = |status: &Value| changed(&job, |object| object["status"] = status.clone());
    let errors = super::status_errors(&with(&new), &with(&old));
    assert_eq!(errors, expected, "{old} -> {new}");
}

fn conditions(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"type": name, "status": "True"})).collect()
}

fn complete(more: Value) -> Value {
    let mut status = json!({
        "startTime": "2026-03-01T10:00:00Z", "completionTime": "2026-03-01T11:00:00Z",
        "conditions": conditions(&["SuccessCriteriaMet", "Complete"]),
    });
    status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    status
}

#[test]
fn counts() {
    check(|_| {}, json!({}), json!({"active": 2, "ready": 1, "failed": 1}), &[]);
    check(
        |_| {},
        json!({}),
        json!({"active": -1, "succeeded": -2, "failed": -3, "ready": -4, "terminating": -5}),
        &[
            "status.active: Invalid value: -1: must be greater than or equal to 0",
            "status.succeeded: Invalid value: -2: must be greater than or equal to 0",
            "status.failed: Invalid value: -3: must be greater than or equal to 0",
            "status.ready: Invalid value: -4: must be greater than or equal to 0",
            "status.terminating: Invalid value: -5: must be greater than or equal to 0",
            "status.failed: Invalid value: -3: cannot decrease the failed counter",
            "status.succeeded: Invalid value: -2: cannot decrease the succeeded counter",
        ],
    );
    check(
        |_| {},
        json!({}),
        json!({"active": 1, "ready": 2}),
        &["status.ready: Invalid value: 2: cannot set more ready pods than active"],
    );
    check(
        |_| {},
        json!({}),
        json!({"uncountedTerminatedPods": {"succeeded": ["a", ""], "failed": ["b", "a"]}}),
        &[
            "status.uncountedTerminatedPods.succeeded[1]: Invalid value: \"\": must not be empty",
            "status.uncountedTerminatedPods.failed[1]: Duplicate value: \"a\"",
        ],
    );
    let scaled: fn(&mut Value) = |object| {
        indexed(object);
        object["spec"]["parallelism"] = json!(10);
    };
    check(scaled, json!({"succeeded": 4}), json!({"succeeded": 2}), &[]);
}

#[test]
fn conditions_that_end_a_job() {
    check(|_| {}, json!({}), complete(json!({})), &[]);
    check(
        |_| {},
        json!({}),
        complete(json!({"conditions": conditions(&["Complete", "Failed", "FailureTarget"])})),
        &[
            "status.conditions: Invalid value: cannot set Complete=True and Failed=true conditions",
            "status.conditions: Invalid value: cannot set Complete=True and FailureTarget=true conditions",
            "status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
        ],
    );
    check(
        |_| {},
        json!({"startTime": "2026-03-01T10:00:00Z"}),
        json!({"startTime": "2026-03-01T10:00:00Z", "conditions": conditions(&["Failed"])}),
        &[
            "status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition",
        ],
    );
    check(
        |_| {},
        json!({}),
        json!({"startTime": "2026-03-01T10:00:00Z", "conditions": conditions(&["SuccessCriteriaMet", "Failed", "FailureTarget"])}),
        &[
            "status.conditions: Invalid value: cannot set SuccessCriteriaMet=True and Failed=true conditions",
            "status.conditions: Invalid value: cannot set SuccessCriteriaMet=True and FailureTarget=true conditions",
        ],
    );
    check(
        |_| {},
        complete(json!({})),
        json!({"startTime": "2026-03-01T10:00:00Z"}),
        &[
            "status.conditions: Invalid value: cannot disable the terminal Complete=True condition",
            "status.conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition",
        ],
    );
    check(
        |_| {},
        complete(json!({"conditions": conditions(&["Complete"])})),
        complete(json!({})),
        &[
            "status.conditions: Invalid value: cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions",
        ],
    );
    check(
        |object| {
            indexed(object);
            object["spec"]["successPolicy"] = json!({"rules": [{"succeededCount": 1}]});
        },
        complete(json!({"conditions": conditions(&["Complete"])})),
        complete(json!({"conditions": conditions(&["Complete"])})),
        &["status.conditions: Invalid value: cannot set Complete=True for Job with SuccessPolicy unless \
           SuccessCriteriaMet=True"],
    );
}

#[test]
fn times() {
    let started = json!({"startTime": "2026-03-01T10:00:00Z"});
    check(
        |_| {},
        started.clone(),
        json!({"startTime": "2026-03-01T10:00:00Z", "completionTime": "2026-03-01T09:00:00Z"}),
        &[
            "status.completionTime: Invalid value: \"2026-03-01T09:00:00Z\": cannot set completionTime when there is no \
             Complete=True condition",
            "status.completionTime: Invalid value: \"2026-03-01T09:00:00Z\": completionTime cannot be set before startTime",
        ],
    );
    check(
        |_| {},
        json!({}),
        json!({"conditions": conditions(&["SuccessCriteriaMet", "Complete"])}),
        &[
            "status.completionTime: Required value: completionTime is required for Complete jobs",
            "status.startTime: Required value: startTime is required for finished job",
        ],
    );
    check(
        |_| {},
        complete(json!({})),
        complete(json!({"completionTime": "2026-03-01T11:00:01Z"})),
        &["status.completionTime: Invalid value: \"2026-03-01T11:00:01Z\": completionTime cannot be mutated"],
    );
    check(
        |_| {},
        started.clone(),
        json!({}),
        &["status.startTime: Required value: startTime cannot be removed for unsuspended job"],
    );
    check(|object| object["spec"]["suspend"] = json!(true), started, json!({}), &[]);
}

#[test]
fn a_finished_job_has_no_pods() {
    check(
        |_| {},
        complete(json!({})),
        complete(json!({"active": 1, "terminating": 1, "uncountedTerminatedPods": {"succeeded": ["a"]}})),
        &[
            "status.active: Invalid value: 1: active>0 is invalid for finished job",
            "status.uncountedTerminatedPods: Invalid value: {\"Succeeded\":[\"a\"],\"Failed\":null}: uncountedTerminatedPods \
             needs to be empty for finished job",
            "status.terminating: Invalid value: 1: terminating>0 is invalid for finished job",
        ],
    );
    // What was wrong before is let alone.
    let odd = complete(json!({"active": 1, "terminating": 1}));
    check(|_| {}, odd.clone(), odd, &[]);
}

#[test]
fn indexes_fit_the_completions() {
    check(
        |_| {},
        json!({}),
        json!({"completedIndexes": "0", "failedIndexes": ""}),
        &[
            "status.completedIndexes: Invalid value: \"0\": cannot set non-empty completedIndexes when non-indexed completion \
             mode",
            "status.failedIndexes: Invalid value: \"\": cannot set non-null failedIndexes when backoffLimitPerIndex is null",
        ],
    );
    let limited: fn(&mut Value) = |object| {
        indexed(object);
        object["spec"]["backoffLimitPerIndex"] = json!(1);
    };
    check(limited, json!({}), json!({"completedIndexes": "0-3", "failedIndexes": "4,9"}), &[]);
    check(
        limited,
        json!({}),
        json!({"completedIndexes": "0-3,10", "failedIndexes": "x,2"}),
        &[
            "status.completedIndexes: Invalid value: \"0-3,10\": error parsing completedIndexes: too large index: \"10\"",
            "status.failedIndexes: Invalid value: \"x,2\": error parsing failedIndexes: cannot convert string to integer for \
             index: \"x\"",
            "status.failedIndexes: Invalid value: \"x,2\": failedIndexes and completedIndexes overlap at index: 2",
        ],
    );
    let scaled_down = json!({"completedIndexes": "0-20"});
    check(limited, scaled_down.clone(), scaled_down, &[]);
}
