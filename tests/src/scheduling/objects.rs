//! The objects of the loads, as upstream's templates have them.
//!
//! Two things differ. A node has its name in the label `kubernetes.io/hostname`, as every kubelet sees to, so that terms
//! by host name mean something; and a pod with a priority names a class of it.

use serde_json::{Value, json};

/// Makes the object of a number.
pub(super) type Make = fn(usize) -> Value;

/// The node that pods of one node are for.
pub(super) const NAMED_NODE: &str = "scheduler-perf-node";
/// The class of the pods that may displace others.
const HIGH: &str = "high";
const ZONE: &str = "topology.kubernetes.io/zone";
const HOST: &str = "kubernetes.io/hostname";
const IMAGE: &str = "registry.k8s.io/pause:3.10.1";

fn node_with(name: &str, labels: Value, capacity: &[(&str, &str)]) -> Value {
    let mut node = json!({
        "metadata": {"name": name, "labels": {HOST: name}},
        "status": {"conditions": [{"type": "Ready", "status": "True"}], "phase": "Running"},
    });
    merge(&mut node["metadata"]["labels"], labels);
    let capacity: serde_json::Map<String, Value> =
        capacity.iter().map(|(resource, quantity)| ((*resource).to_owned(), json!(quantity))).collect();
    node["status"]["capacity"] = capacity.clone().into();
    node["status"]["allocatable"] = capacity.into();
    node
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

const CAPACITY: [(&str, &str); 3] = [("cpu", "4"), ("memory", "32Gi"), ("pods", "110")];

pub(super) fn node(index: usize) -> Value {
    node_with(&format!("scheduler-perf-{index}"), json!({}), &CAPACITY)
}

pub(super) fn node_in_zone1(index: usize) -> Value {
    node_with(&format!("scheduler-perf-{index}"), json!({ZONE: "zone1"}), &CAPACITY)
}

pub(super) fn node_in_three_zones(index: usize) -> Value {
    let zone = format!("moon-{}", index % 3 + 1);
    node_with(&format!("scheduler-perf-{index}"), json!({ZONE: zone}), &CAPACITY)
}

pub(super) fn node_with_taint(index: usize) -> Value {
    let mut node = node_with(&format!("taint-node-{index}"), json!({}), &CAPACITY);
    node["spec"] = json!({"taints": [{"key": "foo", "effect": "NoSchedule"}]});
    node
}

pub(super) fn node_with_extended_resource(index: usize) -> Value {
    let resource = format!("foo.com/bar-{index}");
    let mut capacity = CAPACITY.to_vec();
    capacity.push((&resource, "1"));
    let labels = json!({"node-with-extended-resource": "true"});
    node_with(&format!("scheduler-perf-extended-resource-{index}"), labels, &capacity)
}

pub(super) fn named_node(_: usize) -> Value {
    node_with(NAMED_NODE, json!({}), &[("cpu", "4"), ("memory", "32Gi"), ("pods", "90000")])
}

/// A node that no pod has room on.
pub(super) fn passing_node(index: usize) -> Value {
    node_with(&format!("node-churn-{index}"), json!({}), &[("pods", "0")])
}

pub(super) fn passing_service(_: usize) -> Value {
    let ports = json!([{"protocol": "TCP", "port": 8080, "targetPort": 8080}]);
    json!({"metadata": {"generateName": "service-churn-"}, "spec": {"selector": {"app": "foo"}, "ports": ports}})
}

pub(super) fn service(_: usize) -> Value {
    let ports = json!([{"protocol": "TCP", "port": 80, "targetPort": 8000}]);
    json!({"metadata": {"generateName": "service-"}, "spec": {"selector": {"app": "scheduler-perf"}, "ports": ports}})
}

pub(super) fn priority_class() -> Value {
    json!({"metadata": {"name": HIGH}, "value": 10})
}

/// A pod that asks for no resources.
fn bare_pod(prefix: &str) -> Value {
    json!({
        "metadata": {"generateName": prefix},
        "spec": {"containers": [{"name": "pause", "image": IMAGE}]},
    })
}

fn pod_of(prefix: &str, labels: Value, cpu: &str) -> Value {
    let mut pod = bare_pod(prefix);
    let resources = json!({"cpu": cpu, "memory": "500Mi"});
    let container = &mut pod["spec"]["containers"][0];
    container["ports"] = json!([{"containerPort": 80}]);
    container["resources"] = json!({"requests": resources, "limits": resources});
    if labels.as_object().is_some_and(|labels| !labels.is_empty()) {
        pod["metadata"]["labels"] = labels;
    }
    pod
}

pub(super) fn pod(_: usize) -> Value {
    pod_of("pod-", json!({}), "100m")
}

pub(super) fn light_pod(_: usize) -> Value {
    let mut pod = bare_pod("light-pod-");
    pod["spec"]["terminationGracePeriodSeconds"] = json!(0);
    pod
}

pub(super) fn labelled_pod(_: usize) -> Value {
    let mut pod = bare_pod("pod-");
    pod["metadata"]["labels"] = json!({"app": "scheduler-perf"});
    pod
}

pub(super) fn gated_pod(_: usize) -> Value {
    let mut pod = bare_pod("gated-pod-");
    pod["spec"]["schedulingGates"] = json!([{"name": "test.k8s.io/hold"}]);
    pod
}

pub(super) fn gated_pod_with_affinity(index: usize) -> Value {
    let mut pod = gated_pod(index);
    pod["metadata"]["labels"] = json!({"app": "scheduler-perf"});
    let term = json!({"labelSelector": {"matchLabels": {"app": "scheduler-perf"}}, "topologyKey": HOST});
    pod["spec"]["affinity"] = json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
    pod
}

pub(super) fn daemon_pod(_: usize) -> Value {
    let mut pod = bare_pod("daemonset-");
    let field = json!({"key": "metadata.name", "operator": "In", "values": [NAMED_NODE]});
    let terms = json!({"nodeSelectorTerms": [{"matchFields": [field]}]});
    pod["spec"]["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}});
    pod
}

pub(super) fn low_priority_pod(_: usize) -> Value {
    let mut pod = pod_of("pod-", json!({}), "900m");
    pod["spec"]["terminationGracePeriodSeconds"] = json!(0);
    pod
}

pub(super) fn high_priority_pod(_: usize) -> Value {
    important(pod_of("pod-", json!({}), "3"))
}

pub(super) fn high_priority_pod_too_large(_: usize) -> Value {
    important(pod_of("pod-h-", json!({}), "9"))
}

fn important(mut pod: Value) -> Value {
    pod["spec"]["priority"] = json!(10);
    pod["spec"]["priorityClassName"] = json!(HIGH);
    pod
}

pub(super) fn pod_with_extended_resource(index: usize) -> Value {
    let mut pod = bare_pod("test-extended-resource-");
    let resources = json!({format!("foo.com/bar-{index}"): "1"});
    pod["spec"]["containers"][0]["resources"] = json!({"requests": resources, "limits": resources});
    pod
}

pub(super) fn pod_with_node_affinity(_: usize) -> Value {
    let mut pod = pod_of("node-affinity-", json!({}), "100m");
    let zones = json!({"key": ZONE, "operator": "In", "values": ["zone1", "zone2"]});
    let terms = json!({"nodeSelectorTerms": [{"matchExpressions": [zones]}]});
    pod["spec"]["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}});
    pod
}

/// What pods a term is about, by namespace: as the fields of the term.
fn in_two_namespaces() -> Value {
    json!({"namespaces": ["sched-1", "sched-0"]})
}

fn in_namespaces_of_devops() -> Value {
    json!({"namespaceSelector": {"matchLabels": {"team": "devops"}}})
}

/// A pod of a colour, and its wish to be near to or far from its like.
fn coloured_pod(colour: &str, kind: &str, required: bool, topology: &str, namespaces: Value) -> Value {
    let mut pod = pod_of(&format!("{colour}-pod-"), json!({"color": colour}), "100m");
    let mut term = json!({"labelSelector": {"matchLabels": {"color": colour}}, "topologyKey": topology});
    merge(&mut term, namespaces);
    pod["spec"]["affinity"] = if required {
        json!({kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}})
    } else {
        let weighted = json!({"weight": 1, "podAffinityTerm": term});
        json!({kind: {"preferredDuringSchedulingIgnoredDuringExecution": [weighted]}})
    };
    pod
}

pub(super) fn pod_with_affinity(_: usize) -> Value {
    coloured_pod("blue", "podAffinity", true, ZONE, in_two_namespaces())
}

pub(super) fn pod_with_anti_affinity(_: usize) -> Value {
    coloured_pod("green", "podAntiAffinity", true, HOST, in_two_namespaces())
}

pub(super) fn pod_with_preferred_affinity(_: usize) -> Value {
    coloured_pod("red", "podAffinity", false, HOST, in_two_namespaces())
}

pub(super) fn pod_with_preferred_anti_affinity(_: usize) -> Value {
    coloured_pod("yellow", "podAntiAffinity", false, HOST, in_two_namespaces())
}

/// A pod that pods of [`pod_with_anti_affinity`] keep away from.
pub(super) fn green_pod(_: usize) -> Value {
    pod_of("green-pod-", json!({"color": "green"}), "100m")
}

pub(super) fn pod_with_affinity_by_namespace(_: usize) -> Value {
    coloured_pod("blue", "podAffinity", true, ZONE, in_namespaces_of_devops())
}

pub(super) fn pod_with_anti_affinity_by_namespace(_: usize) -> Value {
    coloured_pod("green", "podAntiAffinity", true, HOST, in_namespaces_of_devops())
}

pub(super) fn pod_with_preferred_affinity_by_namespace(_: usize) -> Value {
    coloured_pod("red", "podAffinity", false, HOST, in_namespaces_of_devops())
}

pub(super) fn pod_with_preferred_anti_affinity_by_namespace(_: usize) -> Value {
    coloured_pod("green", "podAntiAffinity", false, HOST, in_namespaces_of_devops())
}

fn spread_over_zones(when_unsatisfiable: &str) -> Value {
    let mut pod = pod_of("spreading-pod-", json!({"color": "blue"}), "100m");
    pod["spec"]["topologySpreadConstraints"] = json!([{
        "maxSkew": 5,
        "topologyKey": ZONE,
        "whenUnsatisfiable": when_unsatisfiable,
        "labelSelector": {"matchLabels": {"color": "blue"}},
    }]);
    pod
}

pub(super) fn spread_pod(_: usize) -> Value {
    spread_over_zones("DoNotSchedule")
}

pub(super) fn pod_with_preferred_spreading(_: usize) -> Value {
    spread_over_zones("ScheduleAnyway")
}

/// A pod of which there is at most one on each node that takes any.
pub(super) fn pod_with_node_inclusion_policy(_: usize) -> Value {
    let mut pod = pod_of("spreading-pod-", json!({"foo": "bar"}), "100m");
    pod["spec"]["topologySpreadConstraints"] = json!([{
        "maxSkew": 1,
        "topologyKey": HOST,
        "whenUnsatisfiable": "DoNotSchedule",
        "nodeAffinityPolicy": "Honor",
        "nodeTaintsPolicy": "Honor",
        "labelSelector": {"matchLabels": {"foo": "bar"}},
    }]);
    pod
}

/// As which pods run; the controller that makes it elsewhere is not a part of what is measured.
pub(super) fn account() -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})
}

pub(super) fn namespace(name: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"team": "devops"}}})
}
