//! What the proxy needs of a Service, per family and port. Fields that make no sense are left out, as the API server does
//! not let them pass.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{LoadBalancerIngress, Service, ServicePort, ServiceSpec};
use nft::{Family, Prefix};

use super::Node;

/// Services and EndpointSlices with one of these labels are others' to serve.
const LEFT_OUT: [&str; 2] = ["service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"];

/// How long a client stays with an endpoint if the Service does not say.
const STICKY: u64 = 10_800;

/// A Service as one family sees it.
#[derive(Clone, Debug)]
pub(super) struct Frontend {
    pub(super) cluster_ip: IpAddr,
    /// Of its load balancers, those whose packets come here with that destination.
    pub(super) load_balancers: BTreeSet<IpAddr>,
    pub(super) external_ips: BTreeSet<IpAddr>,
    /// Whence load balancers are reachable. Empty: from everywhere.
    pub(super) sources: BTreeSet<Prefix>,
    pub(super) internal_local: bool,
    pub(super) external_local: bool,
    /// How long a client stays with an endpoint.
    pub(super) sticky: Option<Duration>,
    pub(super) ports: Vec<Port>,
}

/// A port of a Service.
#[derive(Clone, Debug)]
pub(super) struct Port {
    pub(super) name: String,
    pub(super) protocol: Protocol,
    pub(super) port: u16,
    pub(super) node_port: Option<u16>,
}

/// A protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// The protocol that the API calls so, TCP if it says nothing.
    pub(super) fn new(name: Option<&str>) -> Option<Protocol> {
        match name {
            None | Some("" | "TCP") => Some(Protocol::Tcp),
            Some("UDP") => Some(Protocol::Udp),
            Some("SCTP") => Some(Protocol::Sctp),
            Some(_) => None,
        }
    }

    pub(super) const fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }
}

/// Whether an object with these labels is left to others.
pub(super) fn left_out(labels: Option<&std::collections::BTreeMap<String, String>>) -> bool {
    labels.is_some_and(|labels| LEFT_OUT.iter().any(|label| labels.contains_key(*label)))
}

/// An address, if it is one of this family. An IPv4 address in IPv6's clothes is an IPv4 address, as for upstream.
pub(super) fn address(family: Family, text: &str) -> Option<IpAddr> {
    let address = text.parse::<IpAddr>().ok()?.to_canonical();
    (Family::of(address) == family).then_some(address)
}

impl Frontend {
    /// What a family sees of a Service. `None` if there is nothing to be served: it is headless, a mere name, not of that
    /// family, or left to others.
    pub(super) fn new(family: Family, service: &Service) -> Option<Frontend> {
        let spec = service.spec.as_ref()?;
        if left_out(service.metadata.labels.as_ref()) || spec.type_.as_deref() == Some("ExternalName") {
            return None;
        }
        let first = spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty() && *ip != "None")?;
        let cluster_ip = match spec.cluster_ips.as_deref() {
            None | Some([]) => address(family, first)?,
            Some(all) => all.iter().find_map(|ip| address(family, ip))?,
        };
        let ingress = service.status.as_ref().and_then(|status| status.load_balancer.as_ref()?.ingress.as_deref());
        let sources = spec.load_balancer_source_ranges.iter().flatten();
        let external_ips = spec.external_ips.iter().flatten().filter_map(|ip| address(family, ip)).collect();
        Some(Frontend {
            cluster_ip,
            load_balancers: ingress.unwrap_or_default().iter().filter_map(|entry| virtual_ip(family, entry)).collect(),
            external_ips,
            sources: distinct(sources.filter_map(|range| prefix(family, range)).collect()),
            internal_local: spec.internal_traffic_policy.as_deref() == Some("Local"),
            external_local: spec.external_traffic_policy.as_deref() == Some("Local") && may_be_external(spec),
            sticky: sticky(spec),
            ports: ports(spec),
        })
    }

    /// Whence its load balancers are reachable, if not from everywhere.
    ///
    /// A node that has a load balancer's address (as load balancers of that mode often have it) asks from that very
    /// address. So if the node is among those who may ask, the addresses of the load balancers are as well.
    pub(super) fn allowed(&self, node: &Node) -> Option<BTreeSet<Prefix>> {
        if self.sources.is_empty() || self.load_balancers.is_empty() {
            return None;
        }
        let mut allowed = self.sources.clone();
        if node.addresses.iter().any(|address| self.sources.iter().any(|prefix| prefix.contains(*address))) {
            allowed.extend(self.load_balancers.iter().filter_map(|ip| {
                let bits = if ip.is_ipv4() { 32 } else { 128 };
                Prefix::new(*ip, bits)
            }));
        }
        Some(distinct(allowed))
    }

    /// Whether a port of it is reachable by anything but the cluster IP.
    pub(super) fn is_external(&self, port: &Port) -> bool {
        port.node_port.is_some() || !self.load_balancers.is_empty() || !self.external_ips.is_empty()
    }
}

/// Whether its type lets others than the cluster reach it; only then its policy for external traffic counts.
fn may_be_external(spec: &ServiceSpec) -> bool {
    match spec.type_.as_deref() {
        Some("NodePort" | "LoadBalancer") => true,
        None | Some("" | "ClusterIP") => spec.external_ips.as_ref().is_some_and(|ips| !ips.is_empty()),
        Some(_) => false,
    }
}

fn virtual_ip(family: Family, ingress: &LoadBalancerIngress) -> Option<IpAddr> {
    let virtual_ip = matches!(ingress.ip_mode.as_deref(), None | Some("" | "VIP"));
    ingress.ip.as_deref().filter(|_| virtual_ip).and_then(|ip| address(family, ip))
}

/// A range of addresses. The API server lets spaces around it pass.
fn prefix(family: Family, text: &str) -> Option<Prefix> {
    let (first, length) = text.trim().split_once('/')?;
    let first = first.parse::<IpAddr>().ok().filter(|first| Family::of(*first) == family)?;
    Prefix::new(first, length.parse().ok()?)
}

/// The same addresses without those that are within others: sets of ranges have none that overlap.
fn distinct(prefixes: BTreeSet<Prefix>) -> BTreeSet<Prefix> {
    let within = |one: &Prefix| prefixes.iter().any(|other| other.length < one.length && other.contains(one.address));
    prefixes.iter().filter(|one| !within(one)).copied().collect()
}

fn sticky(spec: &ServiceSpec) -> Option<Duration> {
    if spec.session_affinity.as_deref() != Some("ClientIP") {
        return None;
    }
    let config = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
    let seconds = config.and_then(|config| u64::try_from(config.timeout_seconds?).ok()).filter(|seconds| *seconds > 0);
    Some(Duration::from_secs(seconds.unwrap_or(STICKY)))
}

/// Its ports. No two have the same name and protocol.
fn ports(spec: &ServiceSpec) -> Vec<Port> {
    let mut seen = BTreeSet::new();
    let mut ports = Vec::new();
    for port in spec.ports.iter().flatten().filter_map(Port::new) {
        if seen.insert((port.name.clone(), port.protocol)) {
            ports.push(port);
        }
    }
    ports
}

impl Port {
    fn new(port: &ServicePort) -> Option<Port> {
        Some(Port {
            name: port.name.clone().unwrap_or_default(),
            protocol: Protocol::new(port.protocol.as_deref())?,
            port: number(port.port)?,
            node_port: port.node_port.and_then(number),
        })
    }
}

/// The number of a port. Zero stands for none.
pub(super) fn number(port: i32) -> Option<u16> {
    u16::try_from(port).ok().filter(|port| *port != 0)
}
