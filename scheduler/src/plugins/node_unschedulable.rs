//! NodeUnschedulable: cordoned nodes are only for pods that tolerate that. Costs a look at a flag a node.

use k8s_openapi::api::core::v1::{Node, Pod};

use crate::config::ExtensionPoint;
use crate::cycle::{Filter, Plugin, PreFilter, Rejection};
use crate::queue::{ActionType, Change, ClusterEvent, Event, EventResource, Hint};
use crate::snapshot::{NodeIndex, PodInfo, Snapshot, Taint, Toleration, same, tolerations};

/// See the module.
pub struct NodeUnschedulable;

impl Plugin for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }

    fn points(&self) -> &'static [ExtensionPoint] {
        &[ExtensionPoint::Filter]
    }

    fn is_node_local(&self) -> bool {
        true
    }

    fn events(&self) -> Vec<ClusterEvent> {
        vec![
            ClusterEvent::new(EventResource::Node, ActionType::ADD | ActionType::UPDATE_NODE_TAINT),
            ClusterEvent::new(EventResource::Pod, ActionType::UPDATE_POD_TOLERATION),
        ]
    }

    fn hint(&self, pod: &Pod, event: &Event) -> Hint {
        match event.change() {
            Change::Node(None, Some(node)) => Hint::when(!is_cordoned(node)),
            Change::Node(Some(old), Some(new)) => Hint::when(is_cordoned(old) && !is_cordoned(new)),
            Change::Pod(_, Some(new)) => Hint::when(same(pod, new) && is_tolerated(&tolerations(new))),
            _ => Hint::Queue,
        }
    }

    fn pre_filter<'a>(&'a self, snapshot: &'a Snapshot, pod: &'a PodInfo) -> PreFilter<'a> {
        if is_tolerated(&pod.tolerations) {
            return PreFilter::Skip;
        }
        PreFilter::Filter(Box::new(Schedulable { snapshot }))
    }
}

fn is_cordoned(node: &Node) -> bool {
    node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true))
}

fn is_tolerated(tolerations: &[Toleration]) -> bool {
    let taint = Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        value: String::new(),
        effect: "NoSchedule".to_owned(),
    };
    tolerations.iter().any(|toleration| toleration.tolerates(&taint))
}

struct Schedulable<'a> {
    snapshot: &'a Snapshot,
}

impl Filter for Schedulable<'_> {
    fn filter(&self, node: NodeIndex) -> Result<(), Rejection> {
        if self.snapshot.node(node).unschedulable { Err(Rejection::unresolvable(0)) } else { Ok(()) }
    }

    fn reason(&self, _number: u32) -> String {
        "node(s) were unschedulable".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugins::testing::{Told, check_filter, check_node_hint, check_pod_hint};
    use crate::queue::Hint::{Queue, Skip};
    use crate::testing;

    #[test]
    fn cordoned_nodes_are_for_pods_that_tolerate_it() {
        let check = |cordoned: bool, tolerations, expected| {
            let node = testing::node("n", json!({"spec": {"unschedulable": cordoned}}));
            let pod = testing::pod("a", json!({ "tolerations": tolerations }));
            check_filter(&NodeUnschedulable, &node, &[], &pod, expected);
        };
        check(false, json!([]), Told::Fits);
        check(true, json!([]), Told::Unresolvable(&["node(s) were unschedulable"]));
        let key = "node.kubernetes.io/unschedulable";
        check(true, json!([{"key": key, "operator": "Exists", "effect": "NoSchedule"}]), Told::Fits);
        check(
            true,
            json!([{"key": key, "operator": "Exists", "effect": "NoExecute"}]),
            Told::Unresolvable(&["node(s) were unschedulable"]),
        );
    }

    #[test]
    fn refused_pods_wait_for_nodes_that_are_open() {
        let node = |cordoned: bool, name: &str| {
            testing::node("n", json!({"metadata": {"labels": {"a": name}}, "spec": {"unschedulable": cordoned}}))
        };
        let check = |old: Option<Node>, new: Node, expected| {
            check_node_hint(&NodeUnschedulable, &testing::pod("p", json!({})), old, Some(new), expected);
        };
        check(None, node(true, ""), Skip);
        check(None, node(false, ""), Queue);
        check(Some(node(true, "")), node(true, "b"), Skip);
        check(Some(node(true, "")), node(false, ""), Queue);
        check(Some(node(false, "")), node(false, "b"), Skip);
    }

    #[test]
    fn refused_pods_wait_to_tolerate_closed_nodes() {
        let check = |name: &str, key: &str, expected| {
            let tolerating = json!({"tolerations": [{"key": key, "operator": "Exists", "effect": "NoSchedule"}]});
            let (old, new) = (testing::pod(name, json!({})), testing::pod(name, tolerating));
            let pod = if name == "p" { new.clone() } else { testing::pod("p", json!({})) };
            check_pod_hint(&NodeUnschedulable, &pod, Some(old), Some(new), expected);
        };
        check("p", "node.kubernetes.io/unschedulable", Queue);
        check("p", "other", Skip);
        check("q", "node.kubernetes.io/unschedulable", Skip);
    }
}
