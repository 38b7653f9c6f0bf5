//! NodeUnschedulable: cordoned nodes are only for pods that tolerate that. Costs a look at a flag a node.

use crate::config::ExtensionPoint;
use crate::cycle::{Filter, Plugin, PreFilter, Rejection};
use crate::snapshot::{NodeIndex, PodInfo, Snapshot, Taint};

/// See the module.
pub struct NodeUnschedulable;

impl Plugin for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }

    fn points(&self) -> &'static [ExtensionPoint] {
        &[ExtensionPoint::Filter]
    }

    fn pre_filter<'a>(&'a self, snapshot: &'a Snapshot, pod: &'a PodInfo) -> PreFilter<'a> {
        let taint = Taint {
            key: "node.kubernetes.io/unschedulable".to_owned(),
            value: String::new(),
            effect: "NoSchedule".to_owned(),
        };
        if pod.tolerations.iter().any(|toleration| toleration.tolerates(&taint)) {
            return PreFilter::Skip;
        }
        PreFilter::Filter(Box::new(Schedulable { snapshot }))
    }
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
    use crate::plugins::testing::{Told, check_filter};
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
}
