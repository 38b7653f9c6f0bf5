//! NodeDeclaredFeatures: a pod that needs a feature of the kubelet goes to nodes that declare it. Costs, a node, a search
//! for each feature that the pod needs; nothing for pods that need none.

use k8s_openapi::api::core::v1::{Node, Pod};

use crate::config::ExtensionPoint;
use crate::cycle::{Filter, Plugin, PreFilter, Rejection};
use crate::queue::{ActionType, Change, ClusterEvent, Event, EventResource, Hint};
use crate::snapshot::{NodeIndex, PodInfo, Snapshot, required_features, same};

/// See the module.
pub struct NodeDeclaredFeatures;

impl Plugin for NodeDeclaredFeatures {
    fn name(&self) -> &'static str {
        "NodeDeclaredFeatures"
    }

    fn points(&self) -> &'static [ExtensionPoint] {
        &[ExtensionPoint::PreFilter, ExtensionPoint::Filter]
    }

    fn is_node_local(&self) -> bool {
        true
    }

    fn events(&self) -> Vec<ClusterEvent> {
        vec![
            ClusterEvent::new(EventResource::Node, ActionType::ADD | ActionType::UPDATE_NODE_DECLARED_FEATURE),
            ClusterEvent::new(EventResource::Pod, ActionType::UPDATE),
        ]
    }

    fn hint(&self, pod: &Pod, event: &Event) -> Hint {
        let declared =
            |node: &Node| node.status.as_ref().and_then(|status| status.declared_features.clone()).unwrap_or_default();
        match event.change() {
            Change::Node(Some(old), Some(new)) => Hint::when(declared(old) != declared(new)),
            Change::Pod(Some(old), Some(new)) => {
                Hint::when(same(pod, new) && required_features(old) != required_features(new))
            }
            _ => Hint::Queue,
        }
    }

    fn pre_filter<'a>(&'a self, snapshot: &'a Snapshot, pod: &'a PodInfo) -> PreFilter<'a> {
        let required = pod.required_features.as_slice();
        if required.is_empty() { PreFilter::Skip } else { PreFilter::Filter(Box::new(Declared { snapshot, required })) }
    }
}

struct Declared<'a> {
    snapshot: &'a Snapshot,
    /// In order, and few.
    required: &'a [&'static str],
}

impl Filter for Declared<'_> {
    fn filter(&self, node: NodeIndex) -> Result<(), Rejection> {
        let declared = &self.snapshot.node(node).declared_features;
        let missing = self.required.iter().enumerate().filter(|(_, feature)| !declared.iter().any(|d| d == *feature));
        // Which features are missing is one reason.
        match missing.fold(0, |missing, (position, _)| missing | 1 << position) {
            0 => Ok(()),
            missing => Err(Rejection::unresolvable(missing)),
        }
    }

    fn reason(&self, number: u32) -> String {
        let missing = self.required.iter().enumerate().filter(|(position, _)| number & (1 << position) != 0);
        let missing: Vec<&str> = missing.map(|(_, feature)| *feature).collect();
        format!("node declared features check failed - unsatisfied requirements: {}", missing.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plugins::testing::{Told, check_filter, check_node_hint, check_pod_hint};
    use crate::queue::Hint::{Queue, Skip};
    use crate::testing;

    const RESTART: &str = "RestartAllContainersOnContainerExits";
    const HOST: &str = "UserNamespacesHostNetworkSupport";

    fn declaring(features: &[&str]) -> Node {
        testing::node("n", json!({"status": {"declaredFeatures": features}}))
    }

    fn restarting() -> Value {
        let rule = json!({"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [1]}});
        json!({"containers": [{"name": "main", "image": "main", "restartPolicyRules": [rule]}]})
    }

    fn of_host() -> Value {
        json!({"hostNetwork": true, "hostUsers": false})
    }

    #[test]
    fn nodes_must_declare_what_pods_need() {
        let check = |spec: Value, features: &[&str], expected| {
            let pod = testing::pod("p", spec);
            check_filter(&NodeDeclaredFeatures, &declaring(features), &[], &pod, expected);
        };
        const NO_RESTART: Told = Told::Unresolvable(&[
            "node declared features check failed - unsatisfied requirements: RestartAllContainersOnContainerExits",
        ]);
        const NO_HOST: Told = Told::Unresolvable(&[
            "node declared features check failed - unsatisfied requirements: UserNamespacesHostNetworkSupport",
        ]);
        const NEITHER: Told = Told::Unresolvable(&["node declared features check failed - unsatisfied requirements: \
             RestartAllContainersOnContainerExits, UserNamespacesHostNetworkSupport"]);
        check(json!({}), &[], Told::Fits);
        check(restarting(), &[], NO_RESTART);
        check(restarting(), &[HOST], NO_RESTART);
        check(restarting(), &[RESTART, HOST], Told::Fits);
        let mut starting = restarting();
        starting["initContainers"] = starting["containers"].take();
        starting["containers"] = json!([{"name": "other", "image": "main"}]);
        check(starting, &[], NO_RESTART);
        let restart_one = json!({"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}});
        let one = json!({"containers": [{"name": "main", "image": "main", "restartPolicyRules": [restart_one]}]});
        check(one, &[], Told::Fits);
        check(of_host(), &[RESTART], NO_HOST);
        check(of_host(), &[HOST], Told::Fits);
        check(json!({"hostNetwork": true}), &[], Told::Fits);
        check(json!({"hostNetwork": true, "hostUsers": true}), &[], Told::Fits);
        check(json!({"hostUsers": false}), &[], Told::Fits);
        let mut both = restarting();
        both.as_object_mut().unwrap().extend(of_host().as_object().unwrap().clone());
        check(both.clone(), &[], NEITHER);
        check(both, &[RESTART], NO_HOST);
    }

    #[test]
    fn refused_pods_wait_for_nodes_that_declare_more() {
        let pod = testing::pod("p", restarting());
        let check = |old: Option<Node>, new: Node, expected| {
            check_node_hint(&NodeDeclaredFeatures, &pod, old, Some(new), expected);
        };
        check(None, declaring(&[]), Queue);
        check(Some(declaring(&[])), declaring(&[RESTART]), Queue);
        let mut labelled = declaring(&[]);
        labelled.metadata.labels = None;
        check(Some(declaring(&[])), labelled, Skip);
    }

    #[test]
    fn refused_pods_wait_to_need_less() {
        let check = |name: &str, old: Value, new: Value, expected| {
            let (old, new) = (testing::pod(name, old), testing::pod(name, new));
            let pod = testing::pod("p", restarting());
            check_pod_hint(&NodeDeclaredFeatures, &pod, Some(old), Some(new), expected);
        };
        check("p", restarting(), json!({}), Queue);
        check("p", restarting(), restarting(), Skip);
        check("q", restarting(), json!({}), Skip);
    }
}
