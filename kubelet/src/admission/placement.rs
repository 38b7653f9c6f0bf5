//! Whether a pod may be on a node: the node's name and labels, its taints, and ports of the host that others have.

use api::selector::node::Selector;
use api::taints::tolerates;
use k8s_openapi::api::core::v1::{ContainerPort, Pod};

use super::Node;
use crate::containers::priority;
use crate::pod_plan::Verdict;

/// Why a pod may not be on a node. What is `taken` already stays there whatever the labels and taints say by now.
pub(super) fn problems(pod: &Pod, others: &[&Pod], node: &Node, taken: bool) -> Option<Verdict> {
    let problem = if !taken && !is_selected(pod, node) {
        ("NodeAffinity", "node(s) didn't match Pod's node affinity/selector")
    } else if !is_named(pod, node) {
        ("NodeName", "node(s) didn't match the requested node name")
    } else if !has_free_ports(pod, others) {
        ("NodePorts", "node(s) didn't have free ports for the requested pod ports")
    } else if !taken && !priority::is_static(pod) && !tolerates_all(pod, node) {
        ("TaintToleration", "node(s) had taints that the pod didn't tolerate")
    } else {
        return None;
    };
    let (predicate, problem) = problem;
    Some(Verdict { reason: predicate.to_owned(), message: format!("Predicate {predicate} failed: {problem}") })
}

fn is_selected(pod: &Pod, node: &Node) -> bool {
    let Some(spec) = &pod.spec else { return true };
    let mut labels = spec.node_selector.iter().flatten();
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    labels.all(|(key, value)| node.labels.get(key) == Some(value))
        && required.is_none_or(|required| Selector::from_api(required).matches(&node.name, &node.labels))
}

fn is_named(pod: &Pod, node: &Node) -> bool {
    let name = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
    name.is_empty() || name == node.name
}

/// Only taints that end pods too are looked at; others are for schedulers.
fn tolerates_all(pod: &Pod, node: &Node) -> bool {
    let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
    let mut taints = node.taints.iter().filter(|taint| taint.effect == "NoExecute");
    taints.all(|taint| tolerations.iter().any(|toleration| tolerates(toleration, taint)))
}

fn has_free_ports(pod: &Pod, others: &[&Pod]) -> bool {
    let is_taken = |port: &ContainerPort| others.iter().any(|other| host_ports(other).any(|used| clash(port, used)));
    !host_ports(pod).any(is_taken)
}

/// The ports of the host that a pod has as long as it runs.
fn host_ports(pod: &Pod) -> impl Iterator<Item = &ContainerPort> {
    let init = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    let sidecars = init.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers).chain(sidecars);
    containers.flat_map(|container| container.ports.iter().flatten()).filter(|port| port.host_port.unwrap_or(0) > 0)
}

/// Two clash if they are the same, where all addresses are as good as any.
fn clash(one: &ContainerPort, other: &ContainerPort) -> bool {
    fn protocol(port: &ContainerPort) -> &str {
        port.protocol.as_deref().filter(|protocol| !protocol.is_empty()).unwrap_or("TCP")
    }
    fn address(port: &ContainerPort) -> &str {
        port.host_ip.as_deref().filter(|address| !address.is_empty()).unwrap_or("0.0.0.0")
    }
    let is_any = |port| address(port) == "0.0.0.0";
    one.host_port == other.host_port
        && protocol(one) == protocol(other)
        && (is_any(one) || is_any(other) || address(one) == address(other))
}
