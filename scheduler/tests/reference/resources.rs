//! What pods take of nodes: NodePorts, NodeResourcesFit and NodeResourcesBalancedAllocation, and the images that
//! ImageLocality looks for.

use std::collections::BTreeSet;

use api::pod_resources::{self, List, Options};
use api::quantity::{Format, Quantity};
use k8s_openapi::api::core::v1::{Node, Pod};

use crate::cluster::{Cluster, Refusal, require, spec};

/// Protocol, port and address.
type Port = (String, i32, String);

pub(crate) fn ports(cluster: &Cluster, pod: &Pod, node: &Node) -> Result<(), Refusal> {
    let every = "0.0.0.0";
    let conflict = |(protocol, port, address): &Port, (other_protocol, other_port, other_address): &Port| {
        protocol == other_protocol
            && port == other_port
            && (address == other_address || address == every || other_address == every)
    };
    let wanted = host_ports(pod);
    let met = cluster.on(node).flat_map(host_ports).all(|taken| !wanted.iter().any(|port| conflict(port, &taken)));
    require(met, "NodePorts", "node(s) didn't have free ports for the requested pod ports", false)
}

fn host_ports(pod: &Pod) -> Vec<Port> {
    let sidecars = spec(pod).init_containers.iter().flatten();
    let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let ports = spec(pod).containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
    let ports = ports.filter(|port| port.host_port.is_some_and(|number| number > 0));
    let or = |text: &Option<String>, default: &str| match text.as_deref() {
        None | Some("") => default.to_owned(),
        Some(text) => text.to_owned(),
    };
    ports.map(|port| (or(&port.protocol, "TCP"), port.host_port.unwrap(), or(&port.host_ip, "0.0.0.0"))).collect()
}

/// An amount as it is compared: of cpu in thousandths, of others in units.
fn amount(list: &List, resource: &str) -> i64 {
    match list.get(resource) {
        None => 0,
        Some(quantity) if resource == "cpu" => quantity.milli_value(),
        Some(quantity) => quantity.value(),
    }
}

fn requested(pod: &Pod) -> List {
    pod_resources::requests(pod, Options { status: true, ..Options::default() })
}

/// What is requested if containers without a request of cpu or memory had a small one.
fn presumed(pod: &Pod) -> List {
    let missing = List::from([
        ("cpu".to_owned(), Quantity::from_milli(100, Format::DecimalSi)),
        ("memory".to_owned(), Quantity::new(200 * 1024 * 1024, Format::BinarySi)),
    ]);
    pod_resources::requests(pod, Options { status: true, missing: Some(&missing), ..Options::default() })
}

fn allocatable(node: &Node, resource: &str) -> i64 {
    let list = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
    amount(&pod_resources::read(list), resource)
}

pub(crate) fn fit(cluster: &Cluster, pod: &Pod, node: &Node) -> Result<(), Refusal> {
    let (mut reasons, mut unresolvable) = (BTreeSet::new(), false);
    let pods = i64::try_from(cluster.on(node).count()).unwrap();
    if pods + 1 > allocatable(node, "pods") {
        reasons.insert("Too many pods".to_owned());
    }
    let wanted = requested(pod);
    for resource in wanted.keys().filter(|resource| *resource != "pods") {
        let (wanted, all) = (amount(&wanted, resource), allocatable(node, resource));
        let taken: i64 = cluster.on(node).map(|other| amount(&requested(other), resource)).sum();
        if wanted > 0 && wanted > all - taken {
            reasons.insert(format!("Insufficient {resource}"));
            unresolvable |= wanted > all;
        }
    }
    let refusal = Refusal { plugin: "NodeResourcesFit", reasons, unresolvable };
    if refusal.reasons.is_empty() { Ok(()) } else { Err(refusal) }
}

/// LeastAllocated of cpu and memory.
pub(crate) fn least_allocated(cluster: &Cluster, pod: &Pod, node: &Node) -> i64 {
    let mut scores = Vec::new();
    for resource in ["cpu", "memory"] {
        let all = allocatable(node, resource);
        let taken: i64 = cluster.on(node).map(|other| amount(&presumed(other), resource)).sum();
        let used = taken + amount(&presumed(pod), resource);
        if all != 0 {
            scores.push(if used > all { 0 } else { (all - used) * 100 / all });
        }
    }
    match i64::try_from(scores.len()).unwrap() {
        0 => 0,
        count => scores.iter().sum::<i64>() / count,
    }
}

/// How much evener the use of cpu and memory becomes; nothing for pods that request neither.
pub(crate) fn balance(cluster: &Cluster, pod: &Pod, node: &Node) -> Option<i64> {
    let wanted = |resource| amount(&requested(pod), resource);
    if wanted("cpu") == 0 && wanted("memory") == 0 {
        return None;
    }
    let evenness = |with_pod: bool| -> i64 {
        let fraction = |resource| {
            let taken: i64 = cluster.on(node).map(|other| amount(&requested(other), resource)).sum();
            let used = taken + if with_pod { wanted(resource) } else { 0 };
            let all = allocatable(node, resource);
            (all != 0).then(|| (used as f64 / all as f64).min(1.0))
        };
        let deviation = match (fraction("cpu"), fraction("memory")) {
            (Some(cpu), Some(memory)) => ((cpu - memory) / 2.0).abs(),
            _ => 0.0,
        };
        ((1.0 - deviation) * 100.0) as i64
    };
    Some(50 + (50 + evenness(true) - evenness(false)) / 2)
}

/// How much of the pod's images, as far as many nodes have them, is on the node.
pub(crate) fn images(cluster: &Cluster, pod: &Pod, node: &Node) -> i64 {
    let megabyte = 1024 * 1024;
    let containers = spec(pod).init_containers.iter().flatten().chain(&spec(pod).containers);
    let names = containers.map(|container| tagged(container.image.as_deref().unwrap_or_default()));
    let volumes = spec(pod).volumes.iter().flatten().filter_map(|volume| volume.image.as_ref());
    let names = names.chain(volumes.map(|image| tagged(image.reference.as_deref().unwrap_or_default())));
    let names: Vec<String> = names.collect();
    let sum: i64 = names
        .iter()
        .filter_map(|name| {
            let having = cluster.nodes.values().filter(|node| size(node, name).is_some()).count();
            Some((size(node, name)? as f64 * (having as f64 / cluster.nodes.len() as f64)) as i64)
        })
        .sum();
    let (least, most) = (23 * megabyte, 1000 * megabyte * i64::try_from(names.len()).unwrap());
    100 * (sum.clamp(least, most) - least) / (most - least)
}

fn tagged(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or_default();
    if last.contains(':') { image.to_owned() } else { format!("{image}:latest") }
}

/// The size of the image, if the node has it.
fn size(node: &Node, name: &str) -> Option<i64> {
    let images = node.status.as_ref()?.images.as_ref()?;
    let image = images.iter().find(|image| image.names.iter().flatten().any(|known| known == name))?;
    Some(image.size_bytes.unwrap_or_default())
}
