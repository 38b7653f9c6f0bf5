//! What the rules have to know of the node that they are of, from its Node.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::str::FromStr;

use api::names::{Cidr, parse_cidr_sloppy, parse_ip_sloppy};
use k8s_openapi::api::core::v1::Node;
use nft::{Family, Prefix};

use crate::rules;

/// The label of a node that says in which zone it is.
const ZONE: &str = "topology.kubernetes.io/zone";
/// The taint of a node that is about to be removed, by which the cluster autoscaler says so.
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

/// At which of the machine's addresses node ports are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NodePorts {
    /// At those that the node is known by: the first of each family.
    #[default]
    Primary,
    /// At those of the machine that are among these, but for its loopback addresses.
    Within(Vec<Prefix>),
}

impl FromStr for NodePorts {
    type Err = String;

    /// `primary`, or ranges of addresses with commas in between.
    fn from_str(text: &str) -> Result<NodePorts, String> {
        if text == "primary" {
            return Ok(NodePorts::Primary);
        }
        let range = |text: &str| {
            let range = parse_cidr_sloppy(text).and_then(|cidr| prefix(&cidr));
            range.ok_or_else(|| format!("{text:?} is neither \"primary\" nor a range of addresses"))
        };
        text.split(',').map(range).collect::<Result<_, _>>().map(NodePorts::Within)
    }
}

fn prefix(cidr: &Cidr) -> Option<Prefix> {
    Prefix::new(cidr.network(), cidr.prefix_length)
}

/// What the rules are to know of a node. `machine` are all of the machine's addresses.
#[must_use]
pub fn facts(node: &Node, at: &NodePorts, machine: &[IpAddr], answered: &BTreeSet<IpAddr>) -> rules::Node {
    let labels = node.metadata.labels.as_ref();
    let spec = node.spec.as_ref();
    let ranges = spec.map(|spec| spec.pod_cidrs.clone().unwrap_or_else(|| spec.pod_cidr.iter().cloned().collect()));
    let pods = ranges.into_iter().flatten().filter_map(|range| prefix(&parse_cidr_sloppy(&range)?)).collect();
    let mut addresses = match at {
        NodePorts::Primary => primary(node),
        NodePorts::Within(ranges) => {
            let is_meant = |address: &&IpAddr| ranges.iter().any(|range| range.contains(**address));
            machine.iter().filter(|address| !address.is_loopback()).filter(is_meant).copied().collect()
        }
    };
    addresses.sort_unstable();
    addresses.dedup();
    rules::Node {
        name: node.metadata.name.clone().unwrap_or_default(),
        zone: labels.and_then(|labels| labels.get(ZONE)).filter(|zone| !zone.is_empty()).cloned(),
        addresses,
        pods,
        answered: answered.clone(),
    }
}

/// The first address of each family, those within the cluster before those without.
fn primary(node: &Node) -> Vec<IpAddr> {
    let stated = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    let of_type = |kind: &'static str| stated.clone().filter(move |address| address.type_ == kind);
    let mut found: Vec<IpAddr> = Vec::new();
    for address in of_type("InternalIP").chain(of_type("ExternalIP")) {
        let Some(address) = parse_ip_sloppy(&address.address) else { continue };
        if !address.is_loopback() && found.iter().all(|other| Family::of(*other) != Family::of(address)) {
            found.push(address);
        }
    }
    found
}

/// Whether load balancers may send something to the node: it is not about to go.
#[must_use]
pub fn is_eligible(node: &Node) -> bool {
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    node.metadata.deletion_timestamp.is_none() && taints.into_iter().all(|taint| taint.key != TO_BE_DELETED)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(json: Value) -> Node {
        serde_json::from_value(json).unwrap()
    }

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn node_ports_are_read() {
        let range = |text: &str, length| Prefix::new(text.parse().unwrap(), length).unwrap();
        assert_eq!("primary".parse(), Ok(NodePorts::Primary));
        let both = NodePorts::Within(vec![range("10.0.0.0", 8), range("fd00::", 64)]);
        assert_eq!("10.1.0.0/8,fd00::/64".parse(), Ok(both));
        for wrong in ["", "all", "10.0.0.1", "10.0.0.0/33", "10.0.0.0/8,primary"] {
            let error = wrong.parse::<NodePorts>().unwrap_err();
            assert!(error.contains("is neither \"primary\" nor a range"), "{error}");
        }
    }

    #[test]
    fn facts_are_taken_from_the_node() {
        let answered = BTreeSet::from(["10.96.0.10".parse().unwrap()]);
        let given = node(json!({
            "metadata": {"name": "n", "labels": {"topology.kubernetes.io/zone": "z"}},
            "spec": {"podCIDR": "10.128.1.0/24", "podCIDRs": ["10.128.1.0/24", "fd01::/64"]},
            "status": {"addresses": [
                {"type": "Hostname", "address": "n"},
                {"type": "ExternalIP", "address": "203.0.113.1"},
                {"type": "ExternalIP", "address": "2001:db8::1"},
                {"type": "InternalIP", "address": "192.0.2.1"},
                {"type": "InternalIP", "address": "192.0.2.2"},
            ]},
        }));
        let facts = facts(&given, &NodePorts::Primary, &[], &answered);
        let range = |text: &str, length| Prefix::new(text.parse().unwrap(), length).unwrap();
        let expected = rules::Node {
            name: "n".to_owned(),
            zone: Some("z".to_owned()),
            addresses: addresses(&["192.0.2.1", "2001:db8::1"]),
            pods: vec![range("10.128.1.0", 24), range("fd01::", 64)],
            answered,
        };
        assert_eq!(facts, expected);
    }

    #[test]
    fn node_ports_are_where_they_are_wanted() {
        let bare = node(json!({"metadata": {"name": "n"}, "spec": {"podCIDR": "10.128.1.0/24"}}));
        let machine = addresses(&["127.0.0.1", "192.0.2.1", "198.51.100.1", "fd00::1", "::1"]);
        let check = |at: &str, expected: &[&str]| {
            let facts = facts(&bare, &at.parse().unwrap(), &machine, &BTreeSet::new());
            assert_eq!(facts.addresses, addresses(expected), "{at}");
            assert_eq!((facts.zone, facts.pods.len()), (None, 1));
        };
        check("primary", &[]);
        check("192.0.2.0/24", &["192.0.2.1"]);
        check("0.0.0.0/0", &["192.0.2.1", "198.51.100.1"]);
        check("0.0.0.0/0,::/0", &["192.0.2.1", "198.51.100.1", "fd00::1"]);
        check("203.0.113.0/24", &[]);
    }

    #[test]
    fn nodes_that_are_about_to_go_are_not_eligible() {
        let check = |json: Value, expected: bool| assert_eq!(is_eligible(&node(json)), expected);
        check(json!({"metadata": {}}), true);
        check(json!({"metadata": {}, "spec": {"taints": [{"key": "other", "effect": "NoSchedule"}]}}), true);
        check(json!({"metadata": {}, "spec": {"taints": [{"key": TO_BE_DELETED, "effect": "NoSchedule"}]}}), false);
        check(json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}), false);
    }
}
