//! TaintToleration: pods go to nodes whose taints they tolerate, and rather to those whose mild taints they tolerate too.
//!
//! Costs, a node, its taints times the pod's tolerations.

use k8s_openapi::api::core::v1::{Node, Pod};

use crate::config::ExtensionPoint;
use crate::cycle::{Filter, Plugin, PreFilter, Rejection, Score, normalize};
use crate::queue::{ActionType, Change, ClusterEvent, Event, EventResource, Hint};
use crate::snapshot::{NodeIndex, PodInfo, Snapshot, Taint, Toleration, same, tolerations};

/// See the module.
pub struct TaintToleration;

impl Plugin for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn points(&self) -> &'static [ExtensionPoint] {
        &[ExtensionPoint::Filter, ExtensionPoint::PreScore, ExtensionPoint::Score]
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
            Change::Node(old, Some(new)) => {
                let tolerations = tolerations(pod);
                let was_forbidden = old.is_none_or(|old| is_forbidden(old, &tolerations));
                Hint::when(was_forbidden && !is_forbidden(new, &tolerations))
            }
            Change::Pod(_, Some(new)) => Hint::when(same(pod, new)),
            _ => Hint::Queue,
        }
    }

    fn pre_filter<'a>(&'a self, snapshot: &'a Snapshot, pod: &'a PodInfo) -> PreFilter<'a> {
        PreFilter::Filter(Box::new(Tolerated { snapshot, pod }))
    }

    fn pre_score<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        pod: &'a PodInfo,
        _feasible: &[NodeIndex],
    ) -> Option<Box<dyn Score + 'a>> {
        Some(Box::new(Tolerated { snapshot, pod }))
    }
}

/// Whether the node has a taint that is not tolerated.
fn is_forbidden(node: &Node, tolerations: &[Toleration]) -> bool {
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten()).map(Taint::from);
    let mut taints = taints.filter(Taint::forbids);
    taints.any(|taint| !tolerations.iter().any(|toleration| toleration.tolerates(&taint)))
}

struct Tolerated<'a> {
    snapshot: &'a Snapshot,
    pod: &'a PodInfo,
}

impl Tolerated<'_> {
    fn tolerates(&self, taint: &Taint) -> bool {
        self.pod.tolerations.iter().any(|toleration| toleration.tolerates(taint))
    }
}

impl Filter for Tolerated<'_> {
    fn filter(&self, node: NodeIndex) -> Result<(), Rejection> {
        let mut taints = self.snapshot.node(node).taints.iter().filter(|taint| taint.forbids());
        if taints.all(|taint| self.tolerates(taint)) { Ok(()) } else { Err(Rejection::unresolvable(0)) }
    }

    fn reason(&self, _number: u32) -> String {
        "node(s) had untolerated taint(s)".to_owned()
    }
}

impl Score for Tolerated<'_> {
    fn score(&self, node: NodeIndex) -> i64 {
        let taints = self.snapshot.node(node).taints.iter().filter(|taint| taint.discourages());
        taints.filter(|taint| !self.tolerates(taint)).map(|_| 1).sum()
    }

    fn normalize(&self, scores: &mut [i64]) {
        normalize(scores, true);
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Node;
    use serde_json::{Value, json};

    use super::*;
    use crate::plugins::testing::{Told, check_filter, check_node_hint, check_pod_hint, check_scores};
    use crate::queue::Hint::{Queue, Skip};
    use crate::testing;

    fn node(name: &str, taints: Value) -> Node {
        testing::node(name, json!({"spec": {"taints": taints}}))
    }

    #[test]
    fn taints_that_are_not_tolerated_forbid() {
        let check = |taints, tolerations, expected| {
            let pod = testing::pod("a", json!({ "tolerations": tolerations }));
            check_filter(&TaintToleration, &node("n", taints), &[], &pod, expected);
        };
        const TAINTED: Told = Told::Unresolvable(&["node(s) had untolerated taint(s)"]);
        let a = json!([{"key": "a", "value": "1", "effect": "NoSchedule"}]);
        check(json!([]), json!([]), Told::Fits);
        check(a.clone(), json!([]), TAINTED);
        check(a.clone(), json!([{"key": "a", "value": "1"}]), Told::Fits);
        check(a.clone(), json!([{"key": "a", "value": "2"}]), TAINTED);
        check(a, json!([{"operator": "Exists"}]), Told::Fits);
        check(json!([{"key": "a", "effect": "NoExecute"}]), json!([]), TAINTED);
        check(json!([{"key": "a", "effect": "PreferNoSchedule"}]), json!([]), Told::Fits);
    }

    #[test]
    fn mild_taints_discourage() {
        let mild =
            |keys: &[&str]| keys.iter().map(|key| json!({"key": key, "effect": "PreferNoSchedule"})).collect::<Value>();
        let nodes = [node("n1", mild(&[])), node("n2", mild(&["a"])), node("n3", mild(&["a", "b", "c"]))];
        let check = |tolerations, expected: &[i64]| {
            let pod = testing::pod("a", json!({ "tolerations": tolerations }));
            check_scores(&TaintToleration, &nodes, &[], &pod, Some(expected));
        };
        check(json!([]), &[100, 67, 0]);
        check(json!([{"key": "a", "operator": "Exists"}]), &[100, 100, 0]);
        check(json!([{"key": "a", "operator": "Exists", "effect": "NoSchedule"}]), &[100, 67, 0]);
        check(json!([{"operator": "Exists"}]), &[100, 100, 100]);
    }

    #[test]
    fn refused_pods_wait_for_nodes_whose_taints_they_tolerate() {
        let taint = |key: &str| json!([{"key": key, "effect": "NoSchedule"}]);
        let node = |taints| node("n", taints);
        let check = |old: Option<Node>, new: Node, expected| {
            let pod = testing::pod("p", json!({"tolerations": [{"key": "a", "operator": "Exists"}]}));
            check_node_hint(&TaintToleration, &pod, old, Some(new), expected);
        };
        check(None, node(taint("a")), Queue);
        check(None, node(taint("b")), Skip);
        check(None, node(json!([])), Queue);
        check(None, node(json!([{"key": "b", "effect": "PreferNoSchedule"}])), Queue);
        check(Some(node(taint("b"))), node(taint("c")), Skip);
        check(Some(node(taint("b"))), node(taint("a")), Queue);
        check(Some(node(json!([]))), node(taint("a")), Skip);
        check(Some(node(taint("a"))), node(taint("b")), Skip);
    }

    #[test]
    fn refused_pods_wait_to_tolerate_taints() {
        let check = |name: &str, expected| {
            let tolerating = testing::pod(name, json!({"tolerations": [{"key": "a", "operator": "Exists"}]}));
            let (pod, old) = (testing::pod("p", json!({})), testing::pod(name, json!({})));
            check_pod_hint(&TaintToleration, &pod, Some(old), Some(tolerating), expected);
        };
        check("p", Queue);
        check("q", Skip);
    }
}
