//! NodeAffinity: pods go to nodes that their node selector and required affinity match, and rather to those that their
//! preferred affinity matches.
//!
//! Costs, a node, the pod's requirements, each a look-up of a label; nothing for pods without any. Pods that name their
//! nodes, as those of DaemonSets do, are tried on these alone.

use std::collections::BTreeMap;

use api::selector::label::Labels;
use api::selector::node::Selector;
use k8s_openapi::api::core::v1::{Node, Pod};

use crate::config::ExtensionPoint;
use crate::cycle::{Filter, Plugin, PreFilter, Rejection, Score, normalize};
use crate::queue::{ActionType, Change, ClusterEvent, Event, EventResource, Hint};
use crate::snapshot::{NodeIndex, NodeInfo, PodInfo, PreferredNodes, Snapshot, required_nodes};

const POD: u32 = 0;
const ENFORCED: u32 = 1;

/// See the module. The affinity that it holds is added to that of every pod.
#[derive(Default)]
pub struct NodeAffinity {
    /// Which nodes are for pods at all.
    pub required: Option<Selector>,
    /// Which are better.
    pub preferred: Vec<PreferredNodes>,
}

impl Plugin for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn points(&self) -> &'static [ExtensionPoint] {
        &[ExtensionPoint::PreFilter, ExtensionPoint::Filter, ExtensionPoint::PreScore, ExtensionPoint::Score]
    }

    fn is_node_local(&self) -> bool {
        true
    }

    fn events(&self) -> Vec<ClusterEvent> {
        vec![ClusterEvent::new(EventResource::Node, ActionType::ADD | ActionType::UPDATE_NODE_LABEL)]
    }

    fn hint(&self, pod: &Pod, event: &Event) -> Hint {
        let Change::Node(old, Some(new)) = event.change() else { return Hint::Queue };
        let required = required_nodes(pod);
        let admits = |node: &Node| {
            let (name, labels) = (node.metadata.name.as_deref().unwrap_or_default(), &node.metadata.labels);
            let selector = pod.spec.as_ref().and_then(|spec| spec.node_selector.as_ref());
            self.required.as_ref().is_none_or(|added| added.matches(name, labels))
                && selector.is_none_or(|selector| has(labels, selector))
                && required.as_ref().is_none_or(|required| required.matches(name, labels))
        };
        Hint::when(admits(new) && !old.is_some_and(admits))
    }

    fn pre_filter<'a>(&'a self, snapshot: &'a Snapshot, pod: &'a PodInfo) -> PreFilter<'a> {
        if self.required.is_none() && pod.required_nodes.is_none() && pod.node_selector.is_empty() {
            return PreFilter::Skip;
        }
        let filter = Box::new(Affine { added: self, snapshot, pod });
        match pod.required_nodes.as_ref().and_then(Selector::names) {
            Some(names) if names.is_empty() => PreFilter::Reject("pod affinity terms conflict".to_owned()),
            Some(names) => PreFilter::Only(names, filter),
            None => PreFilter::Filter(filter),
        }
    }

    fn pre_score<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        pod: &'a PodInfo,
        _feasible: &[NodeIndex],
    ) -> Option<Box<dyn Score + 'a>> {
        if self.preferred.is_empty() && pod.preferred_nodes.is_empty() {
            return None;
        }
        Some(Box::new(Affine { added: self, snapshot, pod }))
    }
}

/// Whether the pod's node selector and required affinity match the node.
#[must_use]
pub fn matches(pod: &PodInfo, node: &NodeInfo) -> bool {
    has(&node.labels, &pod.node_selector)
        && pod.required_nodes.as_ref().is_none_or(|required| required.matches(&node.name, &node.labels))
}

fn has(labels: &impl Labels, selector: &BTreeMap<String, String>) -> bool {
    selector.iter().all(|(key, value)| labels.label(key) == Some(value.as_str()))
}

struct Affine<'a> {
    added: &'a NodeAffinity,
    snapshot: &'a Snapshot,
    pod: &'a PodInfo,
}

impl Filter for Affine<'_> {
    fn filter(&self, node: NodeIndex) -> Result<(), Rejection> {
        let node = self.snapshot.node(node);
        if self.added.required.as_ref().is_some_and(|added| !added.matches(&node.name, &node.labels)) {
            return Err(Rejection::unresolvable(ENFORCED));
        }
        if matches(self.pod, node) { Ok(()) } else { Err(Rejection::unresolvable(POD)) }
    }

    fn reason(&self, number: u32) -> String {
        let reason = match number {
            ENFORCED => "node(s) didn't match scheduler-enforced node affinity",
            _ => "node(s) didn't match Pod's node affinity/selector",
        };
        reason.to_owned()
    }
}

impl Score for Affine<'_> {
    fn score(&self, node: NodeIndex) -> i64 {
        let node = self.snapshot.node(node);
        let preferred = self.added.preferred.iter().chain(&self.pod.preferred_nodes);
        let matching = preferred.filter(|preferred| preferred.term.matches(&node.name, &node.labels));
        matching.map(|preferred| i64::from(preferred.weight)).sum()
    }

    fn normalize(&self, scores: &mut [i64]) {
        normalize(scores, false);
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Node;
    use serde_json::{Value, json};

    use super::*;
    use crate::plugins::testing::{Told, check_filter, check_node_hint, check_scores};
    use crate::queue::Hint::{Queue, Skip};
    use crate::testing;

    fn node(name: &str, zone: &str) -> Node {
        testing::node(name, json!({"metadata": {"labels": {"zone": zone}}}))
    }

    fn required(term: Value) -> Value {
        json!({"affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]},
        }}})
    }

    #[test]
    fn pods_go_where_their_affinity_is() {
        let check = |spec, expected| {
            check_filter(&NodeAffinity::default(), &node("n", "a"), &[], &testing::pod("a", spec), expected);
        };
        const OTHER: Told = Told::Unresolvable(&["node(s) didn't match Pod's node affinity/selector"]);
        check(json!({}), Told::Fits);
        check(json!({"nodeSelector": {"zone": "a"}}), Told::Fits);
        check(json!({"nodeSelector": {"zone": "b"}}), OTHER);
        let zone = |zone: &str| json!([{"key": "zone", "operator": "In", "values": [zone]}]);
        check(required(json!({"matchExpressions": zone("a")})), Told::Fits);
        check(required(json!({"matchExpressions": zone("b")})), OTHER);
        check(required(json!({})), OTHER);
        let name = |name: &str| json!({"key": "metadata.name", "operator": "In", "values": [name]});
        check(required(json!({"matchFields": [name("n")]})), Told::Fits);
        check(required(json!({"matchFields": [name("n")], "matchExpressions": zone("b")})), OTHER);
        check(required(json!({"matchFields": [name("n"), name("m")]})), Told::Rejected("pod affinity terms conflict"));
    }

    #[test]
    fn a_scheduler_may_enforce_affinity() {
        let zone = json!([{"key": "zone", "operator": "In", "values": ["b"]}]);
        let selector = testing::object(json!({"nodeSelectorTerms": [{"matchExpressions": zone}]}));
        let plugin = NodeAffinity { required: Some(Selector::from_api(&selector)), preferred: Vec::new() };
        let pod = testing::pod("a", json!({}));
        check_filter(&plugin, &node("n", "b"), &[], &pod, Told::Fits);
        let told = Told::Unresolvable(&["node(s) didn't match scheduler-enforced node affinity"]);
        check_filter(&plugin, &node("n", "a"), &[], &pod, told);
    }

    #[test]
    fn preferred_terms_add_their_weights() {
        let term = |weight: i32, zones: &[&str]| {
            let zones = json!([{"key": "zone", "operator": "In", "values": zones}]);
            json!({"weight": weight, "preference": {"matchExpressions": zones}})
        };
        let nodes = [node("n1", "a"), node("n2", "b"), node("n3", "c")];
        let check = |terms: Value, expected: Option<&[i64]>| {
            let affinity = json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": terms}});
            let pod = testing::pod("a", json!({ "affinity": affinity }));
            check_scores(&NodeAffinity::default(), &nodes, &[], &pod, expected);
        };
        check(json!([]), None);
        check(json!([term(1, &["a"]), term(2, &["a", "b"])]), Some(&[100, 66, 0]));
        check(json!([term(1, &["d"])]), Some(&[0, 0, 0]));
        check(json!([{"weight": 5, "preference": {}}]), None);
    }

    #[test]
    fn refused_pods_wait_for_nodes_that_match() {
        let zone = |zone: &str| json!([{"key": "zone", "operator": "In", "values": [zone]}]);
        let selector = |zone_: &str| testing::object(json!({"nodeSelectorTerms": [{"matchExpressions": zone(zone_)}]}));
        let enforcing =
            |zone: &str| NodeAffinity { required: Some(Selector::from_api(&selector(zone))), preferred: Vec::new() };
        let check = |plugin: &NodeAffinity, spec: Value, old: Option<&str>, new: &str, expected| {
            let pod = testing::pod("p", spec);
            check_node_hint(plugin, &pod, old.map(|zone| node("n", zone)), Some(node("n", new)), expected);
        };
        let plain = NodeAffinity::default();
        let wanting = || required(json!({"matchExpressions": zone("a")}));
        check(&plain, wanting(), None, "b", Skip);
        check(&plain, wanting(), None, "a", Queue);
        check(&plain, wanting(), Some("b"), "b", Skip);
        check(&plain, wanting(), Some("b"), "c", Skip);
        check(&plain, wanting(), Some("a"), "b", Skip);
        check(&plain, wanting(), Some("b"), "a", Queue);
        check(&plain, json!({"nodeSelector": {"zone": "a"}}), Some("b"), "a", Queue);
        check(&plain, json!({"nodeSelector": {"zone": "a"}}), Some("b"), "c", Skip);
        check(&enforcing("a"), wanting(), None, "b", Skip);
        check(&enforcing("a"), wanting(), None, "a", Queue);
        // What the scheduler enforces may be all that kept the pod from the node.
        check(&enforcing("a"), json!({}), Some("b"), "a", Queue);
        check(&enforcing("a"), json!({}), Some("a"), "b", Skip);
    }
}
