//! Cases of pods with what they need, after upstream's rules, and what holds of all pods.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const SPEC: Options<'static> = Options {
    status: false,
    without_overhead: false,
    without_pod_level: false,
    without_containers: false,
    missing: None,
};
const STATUS: Options<'static> = Options { status: true, ..SPEC };

fn pod(spec: &Value, status: &Value) -> Pod {
    serde_json::from_value(json!({"metadata": {}, "spec": spec, "status": status})).unwrap()
}

fn shown(list: &List) -> Value {
    list.iter().map(|(name, quantity)| (name.clone(), json!(quantity.to_string()))).collect()
}

/// A container that requests these resources.
fn asks(name: &str, requests: Value) -> Value {
    json!({"name": name, "resources": {"requests": requests}})
}

fn sidecar(name: &str, requests: Value) -> Value {
    json!({"name": name, "restartPolicy": "Always", "resources": {"requests": requests}})
}

#[test]
fn containers_together() {
    let check = |containers: Value, init: Value, expected: Value| {
        let spec = json!({"containers": containers, "initContainers": init});
        assert_eq!(shown(&requests(&pod(&spec, &json!({})), SPEC)), expected, "{spec}");
        // Limits are summed in the same way.
        let limited: Value = serde_json::from_str(&spec.to_string().replace("\"requests\"", "\"limits\"")).unwrap();
        assert_eq!(shown(&limits(&pod(&limited, &json!({})), SPEC)), expected, "{spec}");
    };
    let cpu = |cpu: &str| json!({"cpu": cpu});
    check(json!([{"name": "a"}]), json!([]), json!({}));
    check(json!([asks("a", cpu("1")), asks("b", cpu("500m"))]), json!([]), cpu("1500m"));
    check(
        json!([asks("a", cpu("1")), asks("b", json!({"memory": "1Gi"}))]),
        json!([]),
        json!({"cpu": "1", "memory": "1Gi"}),
    );
    // Init containers run one by one, and matter if one needs more than all others.
    check(json!([asks("a", cpu("1"))]), json!([asks("i", cpu("2")), asks("j", cpu("3"))]), cpu("3"));
    check(json!([asks("a", cpu("4"))]), json!([asks("i", cpu("2")), asks("j", cpu("3"))]), cpu("4"));
    check(json!([asks("a", cpu("1"))]), json!([asks("i", json!({"x.io/y": "2"}))]), json!({"cpu": "1", "x.io/y": "2"}));
    // Sidecars run beside the containers, and beside those init containers that come after them.
    check(json!([asks("a", cpu("1"))]), json!([sidecar("s", cpu("2"))]), cpu("3"));
    check(json!([asks("a", cpu("1"))]), json!([sidecar("s", cpu("2")), asks("i", cpu("5"))]), cpu("7"));
    check(json!([asks("a", cpu("1"))]), json!([asks("i", cpu("5")), sidecar("s", cpu("2"))]), cpu("5"));
    check(
        json!([asks("a", cpu("1"))]),
        json!([sidecar("s", cpu("1")), asks("i", cpu("2")), sidecar("t", cpu("1")), asks("j", cpu("2"))]),
        cpu("4"),
    );
    // What is no quantity does not count.
    check(json!([asks("a", json!({"cpu": "much", "memory": "1Mi"}))]), json!([]), json!({"memory": "1Mi"}));
}

#[test]
fn overhead_and_what_is_left_out() {
    let check = |options: Options<'_>, expected_requests: Value, expected_limits: Value| {
        let resources = json!({"requests": {"cpu": "1"}, "limits": {"cpu": "2", "memory": "0"}});
        let whole = json!({"requests": {"memory": "8Gi"}});
        let overhead = json!({"cpu": "250m", "memory": "64Mi"});
        let containers = json!([{"name": "a", "resources": resources}, {"name": "b"}]);
        let pod = pod(&json!({"containers": containers, "resources": whole, "overhead": overhead}), &json!({}));
        assert_eq!(shown(&requests(&pod, options)), expected_requests, "{options:?}");
        assert_eq!(shown(&limits(&pod, options)), expected_limits, "{options:?}");
    };
    let limited = json!({"cpu": "2250m", "memory": "0"});
    check(SPEC, json!({"cpu": "1250m", "memory": "8256Mi"}), limited.clone());
    check(
        Options { without_overhead: true, ..SPEC },
        json!({"cpu": "1", "memory": "8Gi"}),
        json!({"cpu": "2", "memory": "0"}),
    );
    check(Options { without_pod_level: true, ..SPEC }, json!({"cpu": "1250m", "memory": "64Mi"}), limited.clone());
    check(Options { without_containers: true, ..SPEC }, json!({"cpu": "250m", "memory": "8256Mi"}), limited.clone());
    // Each of the two containers without a request for memory, and the one without a request for CPU, gets one.
    let missing = List::from([("cpu".to_owned(), Quantity::parse("100m").unwrap())]);
    let options = Options { missing: Some(&missing), ..SPEC };
    check(options, json!({"cpu": "1350m", "memory": "8256Mi"}), limited);
}

#[test]
fn the_pod_as_a_whole() {
    let check = |whole: Value, expected_requests: Value, expected_limits: Value| {
        let resources = json!({
            "requests": {"cpu": "1", "memory": "1Gi", "x.io/y": "1"}, "limits": {"cpu": "2", "memory": "2Gi", "x.io/y": "1"},
        });
        let pod = pod(&json!({"containers": [{"name": "a", "resources": resources}], "resources": whole}), &json!({}));
        assert_eq!(shown(&requests(&pod, SPEC)), expected_requests, "{whole}");
        assert_eq!(shown(&limits(&pod, SPEC)), expected_limits, "{whole}");
    };
    let (own_requests, own_limits) =
        (json!({"cpu": "1", "memory": "1Gi", "x.io/y": "1"}), json!({"cpu": "2", "memory": "2Gi", "x.io/y": "1"}));
    check(json!({}), own_requests.clone(), own_limits.clone());
    // Only CPU, memory and huge pages can be stated of a pod as a whole.
    check(json!({"requests": {"x.io/y": "7"}, "limits": {"x.io/y": "7"}}), own_requests, own_limits.clone());
    check(json!({"requests": {"cpu": "3"}}), json!({"cpu": "3", "memory": "1Gi", "x.io/y": "1"}), own_limits);
    check(
        json!({"requests": {"memory": "3Gi", "hugepages-2Mi": "4Mi"}, "limits": {"cpu": "5", "hugepages-2Mi": "4Mi"}}),
        json!({"cpu": "1", "hugepages-2Mi": "4Mi", "memory": "3Gi", "x.io/y": "1"}),
        json!({"cpu": "5", "hugepages-2Mi": "4Mi", "memory": "2Gi", "x.io/y": "1"}),
    );
}

#[test]
fn containers_that_are_being_resized() {
    let check = |wanted: &str, given: Value, had: Value, reason: &str, expected: &str, limit: &str| {
        let containers = json!([{"name": "a", "resources": {"requests": {"cpu": wanted}, "limits": {"cpu": wanted}}}]);
        let status = json!({"name": "a", "allocatedResources": given, "resources": had, "ready": true,
            "image": "", "imageID": "", "restartCount": 0});
        let condition = json!({"type": "PodResizePending", "status": "True", "reason": reason});
        let status = json!({"containerStatuses": [status], "conditions": [condition]});
        let pod = pod(&json!({"containers": containers}), &status);
        let cpu = |list: List| list.get("cpu").map(ToString::to_string).unwrap_or_default();
        assert_eq!(cpu(requests(&pod, STATUS)), expected, "{pod:?}");
        assert_eq!(cpu(limits(&pod, STATUS)), limit, "{pod:?}");
        assert_eq!(cpu(requests(&pod, SPEC)), wanted);
    };
    let none = || json!(null);
    let cpu = |cpu: &str| json!({"cpu": cpu});
    let has = |cpu: &str| json!({"requests": {"cpu": cpu}, "limits": {"cpu": cpu}});
    check("1", none(), none(), "", "1", "1");
    check("1", cpu("2"), none(), "", "2", "1");
    check("1", cpu("2"), has("3"), "", "3", "3");
    check("4", cpu("2"), has("3"), "Deferred", "4", "4");
    // What can never be is not wanted in earnest.
    check("4", cpu("2"), has("3"), "Infeasible", "3", "3");
    check("4", cpu("2"), none(), "Infeasible", "2", "");
    check("4", none(), none(), "Infeasible", "", "");
    check("4", none(), has("1"), "Infeasible", "1", "1");
}

#[test]
fn sidecars_that_are_being_resized() {
    let containers = json!([asks("a", json!({"cpu": "1"}))]);
    let init = json!([sidecar("s", json!({"cpu": "1"}))]);
    let running = json!({"name": "s", "allocatedResources": {"cpu": "3"}, "ready": true, "image": "", "imageID": "",
        "restartCount": 0});
    let pod =
        pod(&json!({"containers": containers, "initContainers": init}), &json!({"initContainerStatuses": [running]}));
    assert_eq!(shown(&requests(&pod, STATUS)), json!({"cpu": "4"}));
    assert_eq!(shown(&requests(&pod, SPEC)), json!({"cpu": "2"}));
}

#[test]
fn pods_that_are_being_resized_as_a_whole() {
    let check = |wanted: Value, status: Value, expected: &str, limit: &str| {
        let containers = json!([{"name": "a", "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "1"}}}]);
        let spec = json!({"containers": containers, "resources": wanted, "overhead": {"cpu": "1"}});
        let pod = pod(&spec, &status);
        assert_eq!(shown(&requests(&pod, STATUS)), json!({"cpu": expected}), "{status}");
        assert_eq!(shown(&limits(&pod, STATUS)), json!({"cpu": limit}), "{status}");
    };
    let wanted = json!({"requests": {"cpu": "4"}, "limits": {"cpu": "6"}});
    check(wanted.clone(), json!({}), "5", "7");
    // The status includes the overhead of one.
    let status =
        json!({"allocatedResources": {"cpu": "8"}, "resources": {"requests": {"cpu": "5"}, "limits": {"cpu": "9"}}});
    check(wanted.clone(), status, "8", "9");
    check(wanted.clone(), json!({"resources": {"requests": {"cpu": "6"}}}), "6", "7");
    check(wanted.clone(), json!({"allocatedResources": {"cpu": "500m"}}), "5", "7");
    let condition = json!({"type": "PodResizePending", "status": "True", "reason": "Infeasible"});
    let status = json!({"conditions": [condition], "allocatedResources": {"cpu": "3"},
        "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "4"}}});
    check(wanted, status, "3", "4");
    // Without resources of its own as a whole, the status stands for all containers.
    let status =
        json!({"allocatedResources": {"cpu": "3"}, "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "4"}}});
    check(json!(null), status, "4", "5");
}

fn container() -> impl Strategy<Value = (bool, i64)> {
    (any::<bool>(), 0_i64..100)
}

proptest! {
    #[test]
    fn a_pod_needs_what_is_needed_at_the_worst_moment(
        ordinary in proptest::collection::vec(0_i64..100, 1..4), init in proptest::collection::vec(container(), 0..5),
    ) {
        let asks = |cpu: i64| json!({"requests": {"cpu": cpu.to_string()}});
        let containers: Vec<Value> = ordinary.iter().map(|cpu| json!({"name": "c", "resources": asks(*cpu)})).collect();
        let inits: Vec<Value> = init.iter().map(|(stays, cpu)| {
            json!({"name": "i", "restartPolicy": stays.then_some("Always"), "resources": asks(*cpu)})
        }).collect();
        let mut moments = Vec::new();
        let mut sidecars = 0;
        for (stays, cpu) in &init {
            moments.push(sidecars + cpu);
            sidecars += if *stays { *cpu } else { 0 };
        }
        moments.push(sidecars + ordinary.iter().sum::<i64>());
        let pod = pod(&json!({"containers": containers, "initContainers": inits}), &json!({}));
        let needed = requests(&pod, SPEC)["cpu"].as_i64();
        prop_assert_eq!(needed, moments.into_iter().max());
    }
}
