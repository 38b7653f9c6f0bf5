//! NodePorts: a pod goes where the ports of the node that it wants are free. Costs a search among the node's taken ports
//! a node, for pods that want any.

use k8s_openapi::api::core::v1::Pod;

use crate::config::ExtensionPoint;
use crate::cycle::{Filter, Plugin, PreFilter, Rejection};
use crate::queue::{ActionType, Change, ClusterEvent, Event, EventResource, Hint};
use crate::snapshot::{HostPort, NodeIndex, PlacedPod, PodInfo, Snapshot, TakenPorts, is_placed, ports_of_pod};

/// See the module.
pub struct NodePorts;

impl Plugin for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
    }

    fn points(&self) -> &'static [ExtensionPoint] {
        &[ExtensionPoint::PreFilter, ExtensionPoint::Filter]
    }

    fn is_node_local(&self) -> bool {
        true
    }

    fn events(&self) -> Vec<ClusterEvent> {
        vec![
            ClusterEvent::new(EventResource::Pod, ActionType::DELETE),
            ClusterEvent::new(EventResource::Node, ActionType::ADD),
        ]
    }

    fn hint(&self, pod: &Pod, event: &Event) -> Hint {
        let Change::Pod(Some(gone), None) = event.change() else { return Hint::Queue };
        let ports = |pod: &Pod| pod.spec.as_ref().map(ports_of_pod).unwrap_or_default();
        let mut freed = TakenPorts::default();
        freed.take(&ports(gone));
        Hint::when(is_placed(gone) && freed.conflict(&ports(pod)))
    }

    fn pre_filter<'a>(&'a self, snapshot: &'a Snapshot, pod: &'a PodInfo) -> PreFilter<'a> {
        if pod.host_ports.is_empty() {
            return PreFilter::Skip;
        }
        PreFilter::Filter(Box::new(Free { snapshot, wanted: &pod.host_ports, supposed: Vec::new() }))
    }
}

struct Free<'a> {
    snapshot: &'a Snapshot,
    wanted: &'a [HostPort],
    /// Nodes whose taken ports are supposed to be others than they are.
    supposed: Vec<(NodeIndex, TakenPorts)>,
}

impl Free<'_> {
    fn taken(&self, node: NodeIndex) -> &TakenPorts {
        let supposed = self.supposed.iter().find(|(other, _)| *other == node);
        supposed.map_or_else(|| &self.snapshot.node(node).ports, |(_, ports)| ports)
    }

    fn suppose(&mut self, pod: &PlacedPod, change: impl Fn(&mut TakenPorts, &[HostPort])) {
        if pod.info.host_ports.is_empty() {
            return;
        }
        let mut ports = self.taken(pod.node).clone();
        change(&mut ports, &pod.info.host_ports);
        self.supposed.retain(|(node, _)| *node != pod.node);
        if ports != self.snapshot.node(pod.node).ports {
            self.supposed.push((pod.node, ports));
        }
    }
}

impl Filter for Free<'_> {
    fn filter(&self, node: NodeIndex) -> Result<(), Rejection> {
        if self.taken(node).conflict(self.wanted) { Err(Rejection::resolvable(0)) } else { Ok(()) }
    }

    fn reason(&self, _number: u32) -> String {
        "node(s) didn't have free ports for the requested pod ports".to_owned()
    }

    fn add(&mut self, pod: &PlacedPod) {
        self.suppose(pod, TakenPorts::take);
    }

    fn remove(&mut self, pod: &PlacedPod) {
        self.suppose(pod, TakenPorts::release);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plugins::testing::{Told, check_filter, check_node_hint, check_pod_hint};
    use crate::queue::Hint::{Queue, Skip};
    use crate::testing;

    #[test]
    fn ports_of_nodes_are_taken_once() {
        let spec = |port: Value| json!({"containers": [{"name": "main", "image": "main", "ports": [port]}]});
        let check = |taken: Value, wanted: Value, expected| {
            let taken = testing::pod("a", spec(taken));
            check_filter(
                &NodePorts,
                &testing::node("n", json!({})),
                &[taken],
                &testing::pod("b", spec(wanted)),
                expected,
            );
        };
        const TAKEN: Told = Told::Resolvable(&["node(s) didn't have free ports for the requested pod ports"]);
        let port = |number: u16| json!({"containerPort": 1, "hostPort": number});
        let at = |number: u16, address: &str| json!({"containerPort": 1, "hostPort": number, "hostIP": address});
        check(port(80), port(81), Told::Fits);
        check(port(80), port(80), TAKEN);
        check(json!({"containerPort": 80}), port(80), Told::Fits);
        check(port(80), json!({"containerPort": 1, "hostPort": 80, "protocol": "UDP"}), Told::Fits);
        check(at(80, "10.0.0.1"), at(80, "10.0.0.2"), Told::Fits);
        check(at(80, "10.0.0.1"), at(80, "10.0.0.1"), TAKEN);
        check(at(80, "10.0.0.1"), port(80), TAKEN);
        check(port(80), at(80, "10.0.0.1"), TAKEN);
    }

    #[test]
    fn refused_pods_wait_for_ports_that_are_freed() {
        let pod = |name: &str, ports: Value, node: &str| {
            let containers = json!([{"name": "main", "image": "main", "ports": ports}]);
            testing::pod(name, json!({"containers": containers, "nodeName": node}))
        };
        let port = |number: u16| json!([{"containerPort": 1, "hostPort": number}]);
        let check =
            |gone: Pod, expected| check_pod_hint(&NodePorts, &pod("p", port(80), ""), Some(gone), None, expected);
        check(pod("q", port(80), ""), Skip);
        check(pod("q", json!([]), "n"), Skip);
        check(pod("q", port(8080), "n"), Skip);
        check(pod("q", port(80), "n"), Queue);
        let mut nominated = pod("q", port(80), "");
        nominated.status.get_or_insert_default().nominated_node_name = Some("n".to_owned());
        check(nominated, Queue);
        check_node_hint(&NodePorts, &pod("p", port(80), ""), None, Some(testing::node("n", json!({}))), Queue);
    }
}
