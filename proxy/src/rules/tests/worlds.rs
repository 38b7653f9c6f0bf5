//! Arbitrary Services, slices and nodes, from few enough addresses and ports that they get in each other's way.

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use nft::Prefix;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use super::interpret::Packet;
use super::object;
use crate::rules::Node;

pub(super) const NAMES: [&str; 3] = ["a", "b", "c"];
const CLUSTER_IPS: [[&str; 2]; 3] = [["10.96.0.1", "fd96::1"], ["10.96.0.2", "fd96::2"], ["10.96.0.3", "fd96::3"]];
const VIPS: [&str; 4] = ["203.0.113.1", "203.0.113.2", "2001:db8::1", "2001:db8::2"];
/// One is a load balancer's, one the node's own, one a cluster IP.
const EXTERNAL_IPS: [&str; 7] =
    ["203.0.113.1", "203.0.113.9", "192.168.0.1", "10.96.0.2", "2001:db8::9", "2001:db8:1::1", "fd96::2"];
const RANGES: [&str; 6] =
    ["192.168.0.0/24", " 198.51.100.0/25", "198.51.0.0/16", "10.244.1.0/24", "2001:db8:1::/64", "::/0"];
const NODE_ADDRESSES: [&str; 4] = ["192.168.0.1", "127.0.0.1", "2001:db8:1::1", "::1"];
const PODS: [&str; 2] = ["10.244.1.0/24", "fd44:1::/64"];
/// Where endpoints are: on this node, on its own addresses, elsewhere.
const ENDPOINTS: [[(&str, &str); 6]; 2] = [
    [
        ("10.244.1.2", "here"),
        ("10.244.1.3", "here"),
        ("192.168.0.1", "here"),
        ("10.244.2.2", "there"),
        ("10.244.2.3", "there"),
        ("192.168.0.2", "there"),
    ],
    [
        ("fd44:1::2", "here"),
        ("fd44:1::3", "here"),
        ("2001:db8:1::1", "here"),
        ("fd44:2::2", "there"),
        ("fd44:2::3", "there"),
        ("2001:db8:1::2", "there"),
    ],
];

/// The node, and the addresses of its machine: those of load balancers may be among them.
pub(super) fn node() -> impl Strategy<Value = (Node, Vec<IpAddr>)> {
    let answered = subsequence(CLUSTER_IPS.concat(), 0..=1);
    let parts = (option::of(select(vec!["z1", "z2"])), subsequence(NODE_ADDRESSES.to_vec(), 1..=4), answered);
    (parts, subsequence(PODS.to_vec(), 1..=2), any::<bool>()).prop_map(|((zone, addresses, answered), pods, vip)| {
        let parsed = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let mut local = parsed(&NODE_ADDRESSES);
        if vip {
            local.extend(parsed(&[VIPS[0], VIPS[2]]));
        }
        let pods = pods.into_iter().map(|text| {
            let (address, length) = text.split_once('/').unwrap();
            Prefix::new(address.parse().unwrap(), length.parse().unwrap()).unwrap()
        });
        let node = Node {
            name: "here".to_owned(),
            zone: zone.map(str::to_owned),
            addresses: parsed(&addresses),
            pods: pods.collect(),
            answered: parsed(&answered).into_iter().collect::<BTreeSet<_>>(),
        };
        (node, local)
    })
}

fn ports() -> impl Strategy<Value = Vec<Value>> {
    let all = vec![
        json!({"name": "web", "protocol": "TCP", "port": 80, "nodePort": 30000}),
        json!({"name": "admin", "protocol": "TCP", "port": 81, "nodePort": 80}),
        json!({"name": "dns", "protocol": "UDP", "port": 53, "nodePort": 30001}),
        json!({"name": "dns-tcp", "protocol": "TCP", "port": 53, "nodePort": 30001}),
        json!({"protocol": "SCTP", "port": 80, "nodePort": 30000}),
    ];
    (subsequence(all, 2..=5), any::<bool>()).prop_map(|(mut ports, exposed)| {
        for port in ports.iter_mut().filter(|_| !exposed) {
            port.as_object_mut().unwrap().remove("nodePort");
        }
        ports
    })
}

/// A Service. Only now and then two have the same cluster IP.
pub(super) fn service() -> impl Strategy<Value = Service> {
    let mode = select(vec![None, Some("VIP"), Some("VIP"), Some("Proxy")]);
    let ingress = proptest::collection::vec((select(VIPS.to_vec()), mode), 0..3);
    let outside = (subsequence(EXTERNAL_IPS.to_vec(), 0..=3), ingress, subsequence(RANGES.to_vec(), 0..=3));
    let policy = || select(vec!["Cluster", "Local"]);
    let kind = prop_oneof![4 => Just("LoadBalancer"), 2 => Just("NodePort"), 2 => Just("ClusterIP"), 1 => Just("ExternalName")];
    let label = prop_oneof![
        8 => Just(""),
        1 => Just("service.kubernetes.io/service-proxy-name"),
        1 => Just("service.kubernetes.io/headless"),
    ];
    let inside = (select(CLUSTER_IPS.to_vec()), select(vec![0..2usize, 0..1, 1..2, 0..2, 0..0]), 0..3i64);
    (kind, label, ports(), outside, policy(), policy(), option::of(1..3), inside).prop_map(
        |(kind, label, ports, (external, ingress, ranges), inner, outer, sticky, (ips, families, age))| {
            let ips = &ips[families];
            let ingress: Vec<Value> = ingress.iter().map(|(ip, mode)| json!({"ip": ip, "ipMode": mode})).collect();
            let labels = if label.is_empty() { json!({}) } else { json!({ label: "" }) };
            let mut spec = json!({
                "type": kind,
                "clusterIP": ips.first().unwrap_or(&"None"),
                "clusterIPs": if ips.is_empty() { &["None"] } else { ips },
                "ports": ports,
                "externalIPs": external,
                "loadBalancerSourceRanges": ranges,
                "internalTrafficPolicy": inner,
            });
            if kind != "ClusterIP" || !external.is_empty() {
                spec["externalTrafficPolicy"] = json!(outer);
            }
            if let Some(seconds) = sticky {
                spec["sessionAffinity"] = json!("ClientIP");
                spec["sessionAffinityConfig"] = json!({"clientIP": {"timeoutSeconds": seconds}});
            }
            object(json!({
                "metadata": {"creationTimestamp": format!("2026-01-01T00:00:0{age}Z"), "labels": labels},
                "spec": spec,
                "status": {"loadBalancer": {"ingress": ingress}},
            }))
        },
    )
}

/// Some of these, so often, or nothing is said of it.
fn hints(of: &'static [&'static str], often: u32) -> impl Strategy<Value = Value> {
    let named = |names: Vec<&str>| json!(names.into_iter().map(|name| json!({ "name": name })).collect::<Vec<_>>());
    prop_oneof![1 => Just(Value::Null), often => subsequence(of.to_vec(), 1..=2).prop_map(named)]
}

fn endpoint(family: usize) -> impl Strategy<Value = Value> {
    let condition = |of: Vec<Option<bool>>| select(of);
    let conditions = (
        condition(vec![None, Some(true), Some(true), Some(false), Some(false)]),
        condition(vec![None, Some(true), Some(false)]),
        condition(vec![None, Some(true), Some(false)]),
    );
    (select(ENDPOINTS[family].to_vec()), conditions).prop_flat_map(|((address, node), conditions)| {
        (hints(&["z1", "z2"], 7), hints(&["here", "there"], 1)).prop_map(move |(zones, nodes)| {
            let (ready, serving, terminating) = conditions;
            json!({
                "addresses": [address],
                "nodeName": node,
                "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
                "hints": {"forZones": zones, "forNodes": nodes},
            })
        })
    })
}

fn slice() -> impl Strategy<Value = EndpointSlice> {
    let all = vec![
        json!({"name": "web", "protocol": "TCP", "port": 8080}),
        json!({"name": "web", "protocol": "TCP", "port": 8081}),
        json!({"name": "admin", "protocol": "TCP", "port": 8081}),
        json!({"name": "dns", "protocol": "UDP", "port": 53}),
        json!({"name": "dns-tcp", "port": 53}),
        json!({"protocol": "SCTP", "port": 80}),
        json!({"name": "web", "protocol": "TCP"}),
    ];
    (0..2usize, subsequence(all, 5..=7)).prop_flat_map(|(family, ports)| {
        proptest::collection::vec(endpoint(family), 0..4).prop_map(move |endpoints| {
            object(json!({
                "metadata": {},
                "addressType": (["IPv4", "IPv6"][family]),
                "endpoints": endpoints,
                "ports": ports,
            }))
        })
    })
}

/// What a Service and its slices are now.
pub(super) type Change = (String, Option<(Service, Vec<EndpointSlice>)>);

pub(super) fn change() -> impl Strategy<Value = Change> {
    let now = prop_oneof![
        1 => Just(None),
        6 => (service(), proptest::collection::vec(slice(), 0..4)).prop_map(Some),
    ];
    (select(NAMES.to_vec()).prop_map(str::to_owned), now)
}

/// All addresses that packets may be for.
pub(super) fn destinations() -> BTreeSet<IpAddr> {
    let all =
        [&CLUSTER_IPS.concat()[..], &VIPS, &EXTERNAL_IPS, &NODE_ADDRESSES, &["10.244.2.2", "fd44:2::2", "192.0.2.1"]];
    all.concat().iter().map(|text| text.parse().unwrap()).collect()
}

/// Every packet that may matter, with the addresses that are the machine's own.
pub(super) fn packets(local: &[IpAddr]) -> Vec<Packet> {
    let sources = [
        "10.244.1.2",
        "10.244.1.9",
        "192.168.0.1",
        "203.0.113.1",
        "198.51.100.1",
        "10.244.2.2",
        "fd44:1::2",
        "2001:db8:1::1",
        "2001:db8:1::7",
        "2001:db8::1",
        "fd44:2::2",
    ];
    let mut packets = Vec::new();
    for source in sources.map(|text| text.parse::<IpAddr>().unwrap()) {
        for destination in destinations().into_iter().filter(|to| to.is_ipv4() == source.is_ipv4()) {
            for (protocol, port) in [
                (6, 80),
                (6, 81),
                (6, 53),
                (6, 30000),
                (6, 30001),
                (17, 53),
                (17, 80),
                (17, 30001),
                (132, 80),
                (132, 30000),
            ] {
                let by_node = local.contains(&source);
                packets.push(Packet { source, destination, protocol, port, by_node, new: true });
            }
        }
    }
    packets
}
