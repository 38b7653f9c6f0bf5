//! Pods that nodes take, and pods that they do not.

use serde_json::{Value, json};

use super::*;

fn pod(spec: Value) -> Pod {
    let mut pod = json!({"metadata": {"name": "web"}, "spec": {"containers": [{"name": "c"}]}});
    pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    serde_json::from_value(pod).unwrap()
}

fn requesting(requests: Value) -> Value {
    json!({"containers": [{"name": "c", "resources": {"requests": requests}}]})
}

fn node() -> Node {
    let amounts = [("cpu", "1"), ("memory", "1Gi"), ("ephemeral-storage", "10Gi"), ("pods", "3"), ("a.com/gpu", "2")];
    Node {
        name: "n".to_owned(),
        labels: [("zone".to_owned(), "a".to_owned())].into(),
        allocatable: amounts.map(|(name, text)| (name.to_owned(), text.parse().unwrap())).into(),
        apparmor: true,
        strict_groups: true,
        ..Node::default()
    }
}

/// Checks against a node that has a pod which requests `used`.
fn check_on(node: &Node, spec: Value, used: Value, expected: Result<(), (&str, &str)>) {
    let other = pod(used);
    let found = match admit(&pod(spec.clone()), &[&other], node, false) {
        Decision::Admit => Ok(()),
        Decision::Reject(verdict) => Err((verdict.reason, verdict.message)),
        Decision::Preempt(places) => Err(("preempt".to_owned(), format!("{places:?}"))),
    };
    let found = found.as_ref().copied().map_err(|(reason, message)| (reason.as_str(), message.as_str()));
    assert_eq!(found, expected, "{spec}");
}

fn check(spec: Value, used: Value, expected: Result<(), (&str, &str)>) {
    check_on(&node(), spec, used, expected);
}

#[test]
fn there_has_to_be_room() {
    let lack = |numbers: &str| format!("Node didn't have enough resource: {numbers}");
    check(requesting(json!({"cpu": "900m"})), requesting(json!({"cpu": "100m"})), Ok(()));
    let message = lack("cpu, requested: 2000, used: 100, capacity: 1000");
    check(requesting(json!({"cpu": "2"})), requesting(json!({"cpu": "100m"})), Err(("OutOfcpu", &message)));
    let message = lack("memory, requested: 1073741824, used: 1, capacity: 1073741824");
    check(requesting(json!({"memory": "1Gi"})), requesting(json!({"memory": "1"})), Err(("OutOfmemory", &message)));
    let message = lack("ephemeral-storage, requested: 11811160064, used: 0, capacity: 10737418240");
    check(requesting(json!({"ephemeral-storage": "11Gi"})), json!({}), Err(("OutOfephemeral-storage", &message)));
    let message = lack("a.com/gpu, requested: 2, used: 1, capacity: 2");
    check(
        requesting(json!({"a.com/gpu": "2"})),
        requesting(json!({"a.com/gpu": "1"})),
        Err(("OutOfa.com/gpu", &message)),
    );
    check(requesting(json!({"elsewhere.com/license": "5"})), json!({}), Ok(()));
    let message = lack("hugepages-2Mi, requested: 2097152, used: 0, capacity: 0");
    check(requesting(json!({"hugepages-2Mi": "2Mi"})), json!({}), Err(("OutOfhugepages-2Mi", &message)));
    // What requests nothing fits, however much is requested already.
    check(json!({}), requesting(json!({"cpu": "9"})), Ok(()));
    let few = Node { allocatable: [("pods".to_owned(), "1".parse().unwrap())].into(), ..node() };
    let message = lack("pods, requested: 1, used: 1, capacity: 1");
    check_on(&few, json!({}), json!({}), Err(("OutOfpods", &message)));
}

#[test]
fn what_the_others_still_have_counts() {
    let status = json!({"containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": true, "restartCount": 0,
        "allocatedResources": {"cpu": "900m"}}]});
    let mut other = pod(requesting(json!({"cpu": "100m"})));
    other.status = serde_json::from_value(status).unwrap();
    let found = admit(&pod(requesting(json!({"cpu": "200m"}))), &[&other], &node(), false);
    assert_eq!(
        found,
        reject("OutOfcpu", "Node didn't have enough resource: cpu, requested: 200, used: 900, capacity: 1000")
    );
}

#[test]
fn the_place_has_to_be_right() {
    let failed = |predicate: &str, problem: &str| format!("Predicate {predicate} failed: {problem}");
    let affinity = failed("NodeAffinity", "node(s) didn't match Pod's node affinity/selector");
    check(json!({"nodeSelector": {"zone": "a"}}), json!({}), Ok(()));
    check(json!({"nodeSelector": {"zone": "b"}}), json!({}), Err(("NodeAffinity", &affinity)));
    let required = |zone: &str| {
        let terms = json!([{"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]}]);
        let required = json!({"nodeSelectorTerms": terms});
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}})
    };
    check(required("a"), json!({}), Ok(()));
    check(required("b"), json!({}), Err(("NodeAffinity", &affinity)));
    let name = failed("NodeName", "node(s) didn't match the requested node name");
    check(json!({"nodeName": "m"}), json!({}), Err(("NodeName", &name)));
    // Where nothing else is wrong either, the lack of room is named first.
    let both =
        json!({"nodeSelector": {"zone": "b"}, "containers": [{"name": "c", "resources": {"requests": {"cpu": "2"}}}]});
    let message = "Node didn't have enough resource: cpu, requested: 2000, used: 0, capacity: 1000";
    check(both, json!({}), Err(("OutOfcpu", message)));
}

#[test]
fn ports_have_to_be_free() {
    let port = |port: Value| json!({"containers": [{"name": "c", "ports": [port]}]});
    let used = port(json!({"containerPort": 1, "hostPort": 80, "hostIP": "10.0.0.1"}));
    let message = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
    let clash = Err(("NodePorts", message));
    check(port(json!({"containerPort": 2, "hostPort": 80, "hostIP": "10.0.0.1"})), used.clone(), clash);
    check(port(json!({"containerPort": 2, "hostPort": 80, "protocol": "TCP"})), used.clone(), clash);
    check(port(json!({"containerPort": 2, "hostPort": 80, "hostIP": "10.0.0.2"})), used.clone(), Ok(()));
    check(port(json!({"containerPort": 2, "hostPort": 80, "protocol": "UDP"})), used.clone(), Ok(()));
    check(port(json!({"containerPort": 80})), used.clone(), Ok(()));
    let sidecar = json!({"initContainers": [{"name": "s", "restartPolicy": "Always",
        "ports": [{"containerPort": 1, "hostPort": 80}]}]});
    check(sidecar, used, clash);
}

#[test]
fn taints_that_end_pods_have_to_be_tolerated() {
    let taint = |effect: &str| serde_json::from_value(json!({"key": "k", "effect": effect})).unwrap();
    let tainted = Node { taints: vec![taint("NoExecute")], ..node() };
    let message = "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate";
    check_on(&tainted, json!({}), json!({}), Err(("TaintToleration", message)));
    check_on(&tainted, json!({"tolerations": [{"key": "k", "operator": "Exists"}]}), json!({}), Ok(()));
    check_on(&Node { taints: vec![taint("NoSchedule")], ..node() }, json!({}), json!({}), Ok(()));
    assert_eq!(admit(&pod(json!({})), &[], &tainted, true), Decision::Admit);
    let labelled = pod(json!({"nodeSelector": {"zone": "b"}}));
    assert_eq!(admit(&labelled, &[], &node(), true), Decision::Admit);
}

#[test]
fn nodes_under_pressure_take_little() {
    let pressed =
        |pressures: &[&str]| Node { pressures: pressures.iter().map(|text| (*text).to_owned()).collect(), ..node() };
    let memory = Err(("Evicted", "The node had condition: [MemoryPressure]. "));
    check_on(&pressed(&["MemoryPressure"]), json!({}), json!({}), memory);
    check_on(&pressed(&["MemoryPressure"]), requesting(json!({"cpu": "1m"})), json!({}), Ok(()));
    let tolerating = json!({"tolerations": [{"key": "node.kubernetes.io/memory-pressure", "operator": "Exists"}]});
    check_on(&pressed(&["MemoryPressure"]), tolerating, json!({}), Ok(()));
    check_on(&pressed(&["DiskPressure"]), json!({"priority": 2_000_000_000}), json!({}), Ok(()));
    let both = Err(("Evicted", "The node had condition: [MemoryPressure DiskPressure]. "));
    check_on(&pressed(&["MemoryPressure", "DiskPressure"]), requesting(json!({"cpu": "1m"})), json!({}), both);
}

#[test]
fn what_the_node_cannot_do_is_named() {
    check(
        json!({"os": {"name": "windows"}}),
        json!({}),
        Err(("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")),
    );
    check(json!({"os": {"name": "linux"}}), json!({}), Ok(()));
    let sysctl = json!({"securityContext": {"sysctls": [{"name": "kernel.sem", "value": "1"}]}});
    check(sysctl, json!({}), Err(("SysctlForbidden", "forbidden sysctl: \"kernel.sem\" not allowlisted")));
    let strict = json!({"securityContext": {"supplementalGroupsPolicy": "Strict"}});
    check(strict.clone(), json!({}), Ok(()));
    let message = "SupplementalGroupsPolicy=Strict is not supported in this node";
    let plain = Node { strict_groups: false, apparmor: false, ..node() };
    check_on(&plain, strict, json!({}), Err(("SupplementalGroupsPolicyNotSupported", message)));
    let confined = json!({"securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}});
    let message = "Cannot enforce AppArmor: AppArmor is not enabled on the host";
    check_on(&plain, confined, json!({}), Err(("AppArmor", message)));
    let down = Node { shutting_down: true, ..node() };
    check_on(&down, json!({}), json!({}), Err(("NodeShutdown", "Pod was rejected as the node is shutting down.")));
}

#[test]
fn others_end_for_what_cannot_be_done_without() {
    let mut critical = requesting(json!({"cpu": "1"}));
    critical["priority"] = json!(2_000_000_000);
    check(critical.clone(), requesting(json!({"cpu": "100m"})), Err(("preempt", "[0]")));
    let mut equal = requesting(json!({"cpu": "100m"}));
    equal["priority"] = json!(2_000_000_000);
    let message = "Unexpected error while attempting to recover from admission failure: preemption: error finding a set \
        of pods to preempt: no set of running pods found to reclaim resources: [(res: cpu, q: 100), ]";
    check(critical.clone(), equal, Err(("UnexpectedAdmissionError", message)));
    critical["nodeSelector"] = json!({"zone": "b"});
    let message = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
    check(critical, requesting(json!({"cpu": "100m"})), Err(("NodeAffinity", message)));
}

#[test]
fn resizes_wait_or_never_come() {
    let check = |wanted: Value, used: Value, expected: Resize| {
        let other = pod(requesting(used));
        assert_eq!(resize(&pod(requesting(wanted)), &[&other], &node()), expected);
    };
    check(json!({"cpu": "600m"}), json!({"cpu": "400m"}), Resize::Possible);
    let message = "Node didn't have enough resource: cpu, requested: 700, used: 400, capacity: 1000";
    check(json!({"cpu": "700m"}), json!({"cpu": "400m"}), Resize::Deferred(message.to_owned()));
    let message = "Node didn't have enough capacity: cpu, requested: 1100, capacity: 1000";
    check(json!({"cpu": "1100m"}), json!({}), Resize::Infeasible(message.to_owned()));
    let message = "Node didn't have enough capacity: memory, requested: 2147483648, capacity: 1073741824";
    check(json!({"cpu": "2", "memory": "2Gi"}), json!({}), Resize::Infeasible(message.to_owned()));
    let mut of_file = pod(requesting(json!({"cpu": "1m"})));
    of_file.metadata.annotations = Some([("kubernetes.io/config.source".to_owned(), "file".to_owned())].into());
    let message = "In-place resize of static-pods is not supported".to_owned();
    assert_eq!(resize(&of_file, &[], &node()), Resize::Infeasible(message));
}
