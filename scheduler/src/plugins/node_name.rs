//! NodeName: a pod that names its node goes nowhere else. Costs a comparison of names a node, for such pods only.

use crate::config::ExtensionPoint;
use crate::cycle::{Filter, Plugin, PreFilter, Rejection};
use crate::queue::{ActionType, ClusterEvent, EventResource};
use crate::snapshot::{NodeIndex, PodInfo, Snapshot};

/// See the module.
pub struct NodeName;

impl Plugin for NodeName {
    fn name(&self) -> &'static str {
        "NodeName"
    }

    fn points(&self) -> &'static [ExtensionPoint] {
        &[ExtensionPoint::Filter]
    }

    fn is_node_local(&self) -> bool {
        true
    }

    fn events(&self) -> Vec<ClusterEvent> {
        vec![ClusterEvent::new(EventResource::Node, ActionType::ADD)]
    }

    fn pre_filter<'a>(&'a self, snapshot: &'a Snapshot, pod: &'a PodInfo) -> PreFilter<'a> {
        match &pod.node_name {
            Some(name) => PreFilter::Filter(Box::new(Named { node: snapshot.index(name) })),
            None => PreFilter::Skip,
        }
    }
}

struct Named {
    node: Option<NodeIndex>,
}

impl Filter for Named {
    fn filter(&self, node: NodeIndex) -> Result<(), Rejection> {
        if self.node == Some(node) { Ok(()) } else { Err(Rejection::unresolvable(0)) }
    }

    fn reason(&self, _number: u32) -> String {
        "node(s) didn't match the requested node name".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugins::testing::{Told, check_filter, check_node_hint};
    use crate::queue::Hint::{Queue, Skip};
    use crate::testing;

    #[test]
    fn pods_go_to_the_nodes_that_they_name() {
        let check = |spec, expected| {
            check_filter(&NodeName, &testing::node("n", json!({})), &[], &testing::pod("a", spec), expected);
        };
        check(json!({}), Told::Fits);
        check(json!({"nodeName": "n"}), Told::Fits);
        check(json!({"nodeName": "m"}), Told::Unresolvable(&["node(s) didn't match the requested node name"]));
    }

    #[test]
    fn refused_pods_wait_for_nodes() {
        let pod = testing::pod("p", json!({"nodeName": "n"}));
        let node = || testing::node("n", json!({}));
        check_node_hint(&NodeName, &pod, None, Some(node()), Queue);
        let labelled = testing::node("n", json!({"metadata": {"labels": {"a": "b"}}}));
        check_node_hint(&NodeName, &pod, Some(node()), Some(labelled), Skip);
    }
}
