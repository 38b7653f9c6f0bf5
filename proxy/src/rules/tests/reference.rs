//! What the documentation of Services says about a packet, read off the objects themselves: slowly, and packet by packet.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::{Endpoint as Listed, EndpointSlice};
use nft::{Endpoint, Prefix};

use super::interpret::{Outcome, Packet};
use crate::rules::Node;

/// All that there is.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    pub(super) node: Node,
    /// The addresses of the machine.
    pub(super) local: Vec<IpAddr>,
    /// By name; all in one namespace.
    pub(super) services: BTreeMap<String, (Service, Vec<EndpointSlice>)>,
}

/// How a packet came to a Service: the greater ones give way to the lesser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum By {
    ClusterIp,
    LoadBalancer,
    ExternalIp,
    NodePort,
}

/// The port of a Service that a packet is for.
struct Served<'a> {
    by: By,
    spec: &'a ServiceSpec,
    service: &'a Service,
    slices: &'a [EndpointSlice],
    port: &'a ServicePort,
    /// Whether it is about IPv4.
    four: bool,
}

fn ip(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

fn has(list: Option<&Vec<String>>, address: IpAddr) -> bool {
    list.into_iter().flatten().any(|text| ip(text) == Some(address))
}

fn protocol(name: Option<&str>) -> u8 {
    match name.unwrap_or("TCP") {
        "TCP" => 6,
        "UDP" => 17,
        "SCTP" => 132,
        other => panic!("{other}"),
    }
}

/// Whether this kind of proxy serves it, in this family.
fn is_served(service: &Service, four: bool) -> bool {
    let spec = service.spec.as_ref().unwrap();
    let labels = service.metadata.labels.clone().unwrap_or_default();
    spec.type_.as_deref() != Some("ExternalName")
        && !labels.contains_key("service.kubernetes.io/service-proxy-name")
        && !labels.contains_key("service.kubernetes.io/headless")
        && cluster_ip(spec, four).is_some()
}

fn cluster_ip(spec: &ServiceSpec, four: bool) -> Option<IpAddr> {
    spec.cluster_ips.iter().flatten().filter_map(|text| ip(text)).find(|ip| ip.is_ipv4() == four)
}

fn vips(service: &Service) -> Vec<IpAddr> {
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = status.and_then(|status| status.ingress.as_ref()).into_iter().flatten();
    ingress.filter(|one| one.ip_mode.as_deref() != Some("Proxy")).filter_map(|one| ip(one.ip.as_ref()?)).collect()
}

/// What is known of an endpoint, the most believable last: an endpoint that moves is in two slices for a while.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Known {
    local: bool,
    ready: bool,
    serving: bool,
    terminating: bool,
    zones: Vec<String>,
    nodes: Vec<String>,
}

impl World {
    /// What becomes of a packet: one of these, as chance has it.
    pub(super) fn expected(&self, packet: Packet) -> BTreeSet<Outcome> {
        if !packet.new {
            return [Outcome::Untouched].into();
        }
        let four = packet.destination.is_ipv4();
        let Some(served) = self.served(packet.destination, packet.protocol, packet.port) else {
            let lost = self.is_cluster_ip(packet.destination) && (packet.by_node || !self.is_local(packet.destination));
            return [if lost { Outcome::Rejected } else { Outcome::Untouched }].into();
        };
        if served.by == By::LoadBalancer && !self.may_ask(&served, packet.source) {
            return [Outcome::Dropped].into();
        }
        let all = self.endpoints(&served);
        let from_pod = self.node.pods.iter().any(|prefix| prefix.contains(packet.source));
        let external_local = served.spec.external_traffic_policy.as_deref() == Some("Local");
        let internal_local = served.spec.internal_traffic_policy.as_deref() == Some("Local");
        let (local_only, masquerade) = if served.by == By::ClusterIp {
            (internal_local, !from_pod)
        } else if external_local {
            // As if it went out to a load balancer and came back somewhere.
            let from_node = self.is_local(packet.source);
            let marked = !from_pod && from_node;
            (!from_pod && !from_node, marked)
        } else {
            (false, true)
        };
        // Whoever comes from outside to an address that is a cluster IP gets the node's address, whichever Service it is.
        let masquerade = masquerade || (!from_pod && self.is_cluster_ip(packet.destination));
        if usable(&all, |_| true).is_empty() {
            return [Outcome::Rejected].into();
        }
        let chosen = if local_only { usable(&all, |known| known.local) } else { self.near(&all) };
        if chosen.is_empty() {
            return [Outcome::Dropped].into();
        }
        let delivered = chosen.into_iter().map(|endpoint| {
            let itself = endpoint.address == packet.source;
            let arrived = !packet.by_node && self.is_local(endpoint.address);
            Outcome::Delivered(endpoint, (masquerade || itself) && !arrived)
        });
        assert!(four || !packet.source.is_ipv4());
        delivered.collect()
    }

    /// Whether whoever sends that is to stay with the endpoint that it gets.
    pub(super) fn stays(&self, packet: Packet) -> bool {
        let served = self.served(packet.destination, packet.protocol, packet.port);
        served.is_some_and(|served| served.spec.session_affinity.as_deref() == Some("ClientIP"))
    }

    /// Who serves at an address, for a protocol that has no connections.
    pub(super) fn serving(&self, address: IpAddr, port: u16) -> Option<BTreeSet<Endpoint>> {
        let served = self.served(address, 17, port)?;
        let all = self.endpoints(&served);
        Some(all.iter().filter(|(_, known)| known.serving).map(|(endpoint, _)| *endpoint).collect())
    }

    fn is_local(&self, address: IpAddr) -> bool {
        self.local.contains(&address)
    }

    fn is_cluster_ip(&self, address: IpAddr) -> bool {
        let four = address.is_ipv4();
        !self.node.answered.contains(&address)
            && self.services.values().any(|(service, _)| {
                is_served(service, four) && cluster_ip(service.spec.as_ref().unwrap(), four) == Some(address)
            })
    }

    fn served(&self, address: IpAddr, number: u8, wanted: u16) -> Option<Served<'_>> {
        let four = address.is_ipv4();
        let mut found = Vec::new();
        for (name, (service, slices)) in &self.services {
            if !is_served(service, four) {
                continue;
            }
            let spec = service.spec.as_ref().unwrap();
            for port in spec.ports.iter().flatten().filter(|port| protocol(port.protocol.as_deref()) == number) {
                let mut add = |by| {
                    let created = service.metadata.creation_timestamp.as_ref().unwrap().0;
                    let rank = (by, created, name, port.name.clone());
                    found.push((rank, Served { by, spec, service, slices, port, four }));
                };
                let here = port.port == i32::from(wanted) && !self.node.answered.contains(&address);
                if here && cluster_ip(spec, four) == Some(address) {
                    add(By::ClusterIp);
                }
                if here && vips(service).contains(&address) {
                    add(By::LoadBalancer);
                }
                if here && has(spec.external_ips.as_ref(), address) {
                    add(By::ExternalIp);
                }
                let at_node = self.node.addresses.contains(&address) && !address.is_loopback();
                if at_node && port.node_port == Some(wanted.into()) {
                    add(By::NodePort);
                }
            }
        }
        found.into_iter().min_by(|(one, _), (other, _)| one.cmp(other)).map(|(_, served)| served)
    }

    fn may_ask(&self, served: &Served<'_>, source: IpAddr) -> bool {
        let texts = served.spec.load_balancer_source_ranges.iter().flatten();
        let ranges: Vec<Prefix> = texts
            .filter_map(|text| {
                let (address, length) = text.trim().split_once('/').unwrap();
                Prefix::new(ip(address).unwrap(), length.parse().unwrap())
            })
            .filter(|prefix| prefix.address.is_ipv4() == served.four)
            .collect();
        let within = |address: IpAddr| ranges.iter().any(|range| range.contains(address));
        let node_may = self.node.addresses.iter().any(|address| within(*address));
        ranges.is_empty() || within(source) || (node_may && vips(served.service).contains(&source))
    }

    fn endpoints(&self, served: &Served<'_>) -> BTreeMap<Endpoint, Known> {
        let kind = if served.four { "IPv4" } else { "IPv6" };
        let mut all: BTreeMap<Endpoint, Known> = BTreeMap::new();
        for slice in served.slices.iter().filter(|slice| slice.address_type == kind) {
            for port in slice.ports.iter().flatten() {
                let same = port.name.clone().unwrap_or_default() == served.port.name.clone().unwrap_or_default()
                    && protocol(port.protocol.as_deref()) == protocol(served.port.protocol.as_deref());
                let (true, Some(number)) = (same, port.port) else { continue };
                for listed in slice.endpoints.iter().flatten() {
                    let address = ip(&listed.addresses[0]).unwrap();
                    let known = self.known(listed);
                    let endpoint = Endpoint { address, port: u16::try_from(number).unwrap() };
                    let best = all.get(&endpoint).is_none_or(|before| *before < known);
                    if best {
                        all.insert(endpoint, known);
                    }
                }
            }
        }
        all
    }

    fn known(&self, listed: &Listed) -> Known {
        let conditions = listed.conditions.clone().unwrap_or_default();
        let hints = listed.hints.clone().unwrap_or_default();
        Known {
            local: listed.node_name.as_ref() == Some(&self.node.name),
            ready: conditions.ready != Some(false),
            serving: conditions.serving != Some(false),
            terminating: conditions.terminating == Some(true),
            zones: hints.for_zones.into_iter().flatten().map(|zone| zone.name).collect(),
            nodes: hints.for_nodes.into_iter().flatten().map(|node| node.name).collect(),
        }
    }

    /// With the policy `Cluster`: the ready ones that the hints want for this node, or for its zone, or all.
    fn near(&self, all: &BTreeMap<Endpoint, Known>) -> Vec<Endpoint> {
        let ready: Vec<(&Endpoint, &Known)> = all.iter().filter(|(_, known)| known.ready).collect();
        if ready.iter().all(|(_, known)| !known.nodes.is_empty()) {
            let mine: Vec<_> = ready.iter().filter(|(_, known)| known.nodes.contains(&self.node.name)).collect();
            if !mine.is_empty() {
                return mine.into_iter().map(|(endpoint, _)| **endpoint).collect();
            }
        }
        if let Some(zone) = &self.node.zone
            && ready.iter().all(|(_, known)| !known.zones.is_empty())
        {
            let mine: Vec<_> = ready.iter().filter(|(_, known)| known.zones.contains(zone)).collect();
            if !mine.is_empty() {
                return mine.into_iter().map(|(endpoint, _)| **endpoint).collect();
            }
        }
        usable(all, |_| true)
    }
}

/// The ready ones of some, or those that drain if none is.
fn usable(all: &BTreeMap<Endpoint, Known>, some: impl Fn(&Known) -> bool) -> Vec<Endpoint> {
    let those = |wanted: &dyn Fn(&Known) -> bool| -> Vec<Endpoint> {
        all.iter().filter(|(_, known)| some(known) && wanted(known)).map(|(endpoint, _)| *endpoint).collect()
    };
    let ready = those(&|known| known.ready);
    if ready.is_empty() { those(&|known| known.serving && known.terminating) } else { ready }
}
