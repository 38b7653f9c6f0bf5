//! Rows, among them those of upstream's own tests.

use super::*;

/// The cells from the second on, without the wide ones and the age.
fn cells(spec: Value, status: Value, meta: Value) -> [String; 3] {
    let mut value = json!({"metadata": meta, "spec": spec, "status": status});
    value["metadata"]["name"] = json!("p");
    let row = Pods.row(&pod(value), now());
    assert_eq!(row.len(), Pods.columns().len());
    [1, 2, 3].map(|i| row[i].as_str().unwrap().to_owned())
}

fn containers(count: usize) -> Value {
    (0..count).map(|i| json!({"name": format!("c{i}")})).collect()
}

fn status(restarts: i32, ready: bool, state: Value, last: &str) -> Value {
    let last = if last.is_empty() { json!({}) } else { json!({"terminated": {"exitCode": 0, "finishedAt": last}}) };
    json!({
        "name": "x", "image": "", "imageID": "", "ready": ready, "restartCount": restarts, "state": state,
        "lastState": last,
    })
}

const TEN_SECONDS_AGO: &str = "2026-01-02T03:03:55Z";
const FIVE_DAYS_AGO: &str = "2025-12-28T03:04:05Z";
const TWENTY_DAYS_AGO: &str = "2025-12-13T03:04:05Z";

#[test]
fn containers_give_the_status() {
    let check = |count: usize, status: Value, expected: [&str; 3]| {
        let shown = status.to_string();
        assert_eq!(cells(json!({"containers": containers(count)}), status, json!({})), expected, "{shown}");
    };
    let running = || json!({"running": {}});
    let waiting = |reason: &str| json!({"waiting": {"reason": reason}});
    let ended = |reason: &str, code: i32, signal: i32| json!({"terminated": {"reason": reason, "exitCode": code, "signal": signal}});
    check(2, json!({"phase": "podPhase"}), ["0/2", "podPhase", "0"]);
    check(1, json!({"phase": "Failed", "reason": "Evicted"}), ["0/1", "Evicted", "0"]);
    check(
        2,
        json!({"phase": "Running", "containerStatuses": [status(3, true, running(), ""), status(0, false, json!({}), "")]}),
        ["1/2", "Running", "3"],
    );
    check(
        2,
        json!({"phase": "Running", "containerStatuses": [
            status(6, true, running(), FIVE_DAYS_AGO), status(3, true, running(), TWENTY_DAYS_AGO)]}),
        ["2/2", "Running", "9 (5d ago)"],
    );
    check(
        1,
        json!({"phase": "Running", "containerStatuses": [status(4, false, waiting("CrashLoopBackOff"), TEN_SECONDS_AGO)]}),
        ["0/1", "CrashLoopBackOff", "4 (10s ago)"],
    );
    check(
        1,
        json!({"phase": "Pending", "containerStatuses": [status(0, false, waiting("PodInitializing"), "")]}),
        ["0/1", "PodInitializing", "0"],
    );
    check(
        1,
        json!({"phase": "Succeeded", "containerStatuses": [status(0, false, ended("Completed", 0, 0), "")]}),
        ["0/1", "Completed", "0"],
    );
    check(
        1,
        json!({"phase": "Failed", "containerStatuses": [status(0, false, ended("", 0, 9), "")]}),
        ["0/1", "Signal:9", "0"],
    );
    check(
        1,
        json!({"phase": "Failed", "containerStatuses": [status(0, false, ended("", 3, 0), "")]}),
        ["0/1", "ExitCode:3", "0"],
    );
    let half = |ready: &str| {
        json!({
            "phase": "Running", "conditions": [{"type": "Ready", "status": ready}],
            "containerStatuses": [status(0, false, ended("Completed", 0, 0), ""), status(0, true, running(), "")],
        })
    };
    check(2, half("True"), ["1/2", "Running", "0"]);
    check(2, half("False"), ["1/2", "NotReady", "0"]);
    let gated = json!({"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"});
    check(2, json!({"phase": "Pending", "conditions": [gated]}), ["0/2", "SchedulingGated", "0"]);
}

#[test]
fn init_containers_come_first() {
    let check = |count: usize, init: Value, expected: [&str; 3]| {
        let spec = json!({"containers": containers(1), "initContainers": containers(count)});
        let statuses = [status(0, false, json!({"waiting": {}}), "")];
        let shown = init.to_string();
        let status = json!({"phase": "Pending", "initContainerStatuses": init, "containerStatuses": statuses});
        assert_eq!(cells(spec, status, json!({})), expected, "{shown}");
    };
    let done = || status(2, false, json!({"terminated": {"exitCode": 0}}), "2026-01-02T03:02:05Z");
    let running = || status(3, false, json!({"running": {}}), TEN_SECONDS_AGO);
    check(2, json!([running(), status(0, false, json!({"waiting": {}}), "")]), ["0/1", "Init:0/2", "3 (10s ago)"]);
    check(2, json!([done(), running()]), ["0/1", "Init:1/2", "5 (10s ago)"]);
    check(1, json!([done()]), ["0/1", "Pending", "0"]);
    let waiting = |reason: &str| status(0, false, json!({"waiting": {"reason": reason}}), "");
    check(1, json!([waiting("PodInitializing")]), ["0/1", "Init:0/1", "0"]);
    check(1, json!([waiting("ImagePullBackOff")]), ["0/1", "Init:ImagePullBackOff", "0"]);
    let failed = |terminated: Value| status(0, false, json!({"terminated": terminated}), "");
    check(1, json!([failed(json!({"exitCode": 1, "reason": "Error"}))]), ["0/1", "Init:Error", "0"]);
    check(1, json!([failed(json!({"exitCode": 1, "signal": 9}))]), ["0/1", "Init:Signal:9", "0"]);
    check(1, json!([failed(json!({"exitCode": 1}))]), ["0/1", "Init:ExitCode:1", "0"]);
}

#[test]
fn sidecars_count_among_the_containers() {
    let sidecar = |name: &str| json!({"name": name, "restartPolicy": "Always"});
    let spec = json!({"containers": containers(1), "initContainers": [sidecar("a"), sidecar("b")]});
    let init = |name: &str, restarts: i32, ready: bool, started: bool, last: &str| {
        let mut status = status(restarts, ready, json!({"running": {}}), last);
        status["name"] = json!(name);
        status["started"] = json!(started);
        status
    };
    let check = |initialized: &str, init: Value, statuses: Value, expected: [&str; 3]| {
        let status = json!({
            "phase": "Running", "initContainerStatuses": init, "containerStatuses": statuses,
            "conditions": [{"type": "Initialized", "status": initialized}],
        });
        assert_eq!(cells(spec.clone(), status, json!({})), expected);
    };
    check(
        "False",
        json!([init("a", 3, false, true, TEN_SECONDS_AGO), init("b", 0, false, false, "")]),
        json!([status(0, false, json!({"waiting": {}}), "")]),
        ["0/3", "Init:1/2", "3 (10s ago)"],
    );
    check(
        "True",
        json!([init("a", 3, true, true, TEN_SECONDS_AGO), init("b", 0, false, true, "")]),
        json!([status(4, true, json!({"running": {}}), FIVE_DAYS_AGO)]),
        ["2/3", "Running", "7 (10s ago)"],
    );
}

#[test]
fn deleted_pods_are_terminating() {
    let deleted = || json!({"deletionTimestamp": "2026-01-02T03:04:00Z"});
    let check = |status: Value, expected: &str| {
        let cells = cells(json!({"containers": containers(1)}), status, deleted());
        assert_eq!(cells[1], expected);
    };
    check(json!({"phase": "Running"}), "Terminating");
    check(json!({"phase": "Running", "reason": "NodeLost"}), "Unknown");
    check(json!({"phase": "Succeeded"}), "Succeeded");
}

#[test]
fn wide_cells_and_conditions() {
    let row = |pod: &Pod| Pods.row(pod, now())[4..].to_vec();
    let none = json!("<none>");
    assert_eq!(row(&stored(json!({}))), [&json!("<unknown>"), &none, &none, &none, &none].map(Clone::clone));
    let full = pod(json!({
        "metadata": {"name": "p", "creationTimestamp": "2026-01-02T01:04:05Z"},
        "spec": {
            "containers": [], "nodeName": "n1",
            "readinessGates": [{"conditionType": "a/x"}, {"conditionType": "a/y"}],
        },
        "status": {
            "phase": "Failed", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd::1"}],
            "nominatedNodeName": "n2", "conditions": [{"type": "a/y", "status": "True"}],
        },
    }));
    assert_eq!(row(&full), [json!("120m"), json!("10.0.0.1"), json!("n1"), json!("n2"), json!("1/2")]);
    let condition = &Pods.row_conditions(&full)[0];
    assert_eq!((&*condition.kind, &*condition.reason, &*condition.message), ("Completed", "Failed", "The pod failed."));
    assert!(Pods.row_conditions(&stored(json!({}))).is_empty());
}
