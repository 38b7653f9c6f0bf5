//! Which Service of type LoadBalancer gets which addresses. Pure, and a function of what there is: nothing is remembered
//! but what the Services' own status says.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;
use std::net::IpAddr;
use std::sync::Arc;

use client::resource::Key;
use k8s_openapi::api::core::v1::{LoadBalancerIngress, Node, Service, ServiceSpec};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::{ANNOUNCED_BY, OPTION, Observed, Pool};

/// The most addresses that a Service gets of nodes: more help nobody, and everything that watches Services is sent them.
const MOST_ADDRESSES: usize = 64;
/// A node that is not to be reached from outside, and one that is about to be removed.
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
const LEAVING: &str = "ToBeDeletedByClusterAutoscaler";

/// What a Service gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// These addresses, announced by this node, if they need to be.
    Given { addresses: Vec<IpAddr>, announcer: Option<String> },
    /// Nothing, and why.
    Refused(String),
}

/// What each Service gets, in their order.
pub(super) fn assign(pool: Option<&Pool>, observed: &Observed) -> Vec<Outcome> {
    let mut order: Vec<usize> = (0..observed.services.len()).collect();
    order.sort_by_key(|index| {
        let (service, _) = &observed.services[*index];
        let meta = &service.metadata;
        let age = meta.creation_timestamp.as_ref().map(|time| time.0);
        (ingress(service).is_empty(), age, meta.namespace.clone(), meta.name.clone())
    });
    let nodes: Vec<&Node> = observed.nodes.iter().map(|node| &**node).filter(|node| may_serve(node)).collect();
    let mut taken = match pool {
        Some(_) => Taken::default(),
        None => Taken::by_cluster(&nodes, &observed.api),
    };
    let mut outcomes = vec![None; order.len()];
    for index in order {
        let (service, slices) = &observed.services[index];
        let nodes = serving(&nodes, service, slices);
        let outcome = match pool {
            Some(pool) => of_pool(pool, service, &nodes, &mut taken),
            None => of_nodes(service, &nodes, &mut taken),
        };
        outcomes[index] = Some(outcome);
    }
    outcomes.into_iter().flatten().collect()
}

/// Whether a Service is served only by nodes that have pods of it.
pub(super) fn is_local(service: &Service) -> bool {
    service.spec.as_ref().is_some_and(|spec| spec.external_traffic_policy.as_deref() == Some("Local"))
}

/// Whether a node can take what comes for Services.
pub(super) fn may_serve(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let is_ready = conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let is_excluded = node.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(EXCLUDED));
    let mut taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    is_ready && !is_excluded && node.metadata.deletion_timestamp.is_none() && !taints.any(|taint| taint.key == LEAVING)
}

/// What the status of a Service says that it has.
pub(super) fn ingress(service: &Service) -> &[LoadBalancerIngress] {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default()
}

/// The nodes that serve a Service, in the order of their names.
fn serving<'a>(nodes: &[&'a Node], service: &Service, slices: &[Arc<EndpointSlice>]) -> Vec<&'a Node> {
    let mut nodes = nodes.to_vec();
    if is_local(service) {
        let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
        let is_ready = |ready: Option<bool>| ready.unwrap_or(true);
        let ready = endpoints.filter(|endpoint| is_ready(endpoint.conditions.as_ref().and_then(|all| all.ready)));
        let with_pods: BTreeSet<&str> = ready.filter_map(|endpoint| endpoint.node_name.as_deref()).collect();
        nodes.retain(|node| with_pods.contains(name(node)));
    }
    nodes.sort_by_key(|node| name(node));
    nodes
}

/// Who has which port of which address, and who has which address for itself alone.
#[derive(Default)]
struct Taken {
    ports: BTreeMap<(IpAddr, String, i32), String>,
    addresses: BTreeMap<IpAddr, String>,
}

impl Taken {
    /// What nodes and the API server listen at themselves.
    fn by_cluster(nodes: &[&Node], api: &[Arc<EndpointSlice>]) -> Taken {
        let mut taken = Taken::default();
        let mut take = |address: IpAddr, port: i32, by: String| {
            taken.ports.insert((address, "TCP".to_owned(), port), by);
        };
        for node in nodes {
            let endpoints = node.status.as_ref().and_then(|status| status.daemon_endpoints.as_ref());
            let Some(port) = endpoints.and_then(|endpoints| endpoints.kubelet_endpoint.as_ref()) else { continue };
            every_address(node).for_each(|address| take(address, port.port, "the node's own agent".to_owned()));
        }
        for slice in api {
            let ports = slice.ports.iter().flatten().filter_map(|port| port.port);
            for port in ports {
                let addresses = slice.endpoints.iter().flatten().flat_map(|endpoint| &endpoint.addresses);
                let addresses = addresses.filter_map(|address| address.parse().ok());
                addresses.for_each(|address| take(address, port, "the API server".to_owned()));
            }
        }
        taken
    }
}

/// Addresses of nodes on which nobody else has the Service's ports.
fn of_nodes(service: &Service, nodes: &[&Node], taken: &mut Taken) -> Outcome {
    let Some(spec) = &service.spec else { return Outcome::Refused("it has no spec".to_owned()) };
    let ports: Vec<(String, i32)> = ports(spec).collect();
    let mut addresses = Vec::new();
    let mut conflict = None;
    for node in nodes {
        let of_node: Vec<IpAddr> = families(spec).filter_map(|v6| address(node, v6)).collect();
        let key = |address: IpAddr, (protocol, port): &(String, i32)| (address, protocol.clone(), *port);
        let keys = of_node.iter().flat_map(|address| ports.iter().map(|port| key(*address, port)));
        let keys: Vec<_> = keys.collect();
        if let Some((wanted, by)) = keys.iter().find_map(|key| Some((key, taken.ports.get(key)?))) {
            conflict.get_or_insert_with(|| format!("port {} ({}) is taken by {by}", wanted.2, wanted.1));
            continue;
        }
        let own = format!("the Service {}", display(service));
        taken.ports.extend(keys.into_iter().map(|key| (key, own.clone())));
        addresses.extend(of_node);
        if addresses.len() >= MOST_ADDRESSES {
            break;
        }
    }
    match conflict {
        _ if !addresses.is_empty() => Outcome::Given { addresses, announcer: None },
        Some(conflict) => Outcome::Refused(format!("{conflict} on every node: choose another port")),
        None if nodes.is_empty() && is_local(service) => Outcome::Refused(
            "no node that is ready has a pod of it that is (externalTrafficPolicy is Local)".to_owned(),
        ),
        None if nodes.is_empty() => Outcome::Refused("no node is ready".to_owned()),
        None => Outcome::Refused("no node has an address of its families (spec.ipFamilies)".to_owned()),
    }
}

/// An address of each family that nobody else has, and a node that announces them.
fn of_pool(pool: &Pool, service: &Service, nodes: &[&Node], taken: &mut Taken) -> Outcome {
    let Some(spec) = &service.spec else { return Outcome::Refused("it has no spec".to_owned()) };
    let asked = spec.load_balancer_ip.as_deref().filter(|text| !text.is_empty());
    let asked: Option<IpAddr> = match asked.map(str::parse).transpose() {
        Ok(asked) => asked,
        Err(_) => return Outcome::Refused("spec.loadBalancerIP is no address".to_owned()),
    };
    let mut addresses = Vec::new();
    for v6 in families(spec) {
        let asked = asked.filter(|address| address.is_ipv6() == v6);
        match choose(pool, service, v6, asked, taken) {
            Ok(Some(address)) => addresses.push(address),
            Ok(None) => {}
            Err(why) => return Outcome::Refused(why),
        }
    }
    if addresses.is_empty() {
        return Outcome::Refused(format!("{OPTION} has no address of its families (spec.ipFamilies)"));
    }
    let own = format!("the Service {}", display(service));
    taken.addresses.extend(addresses.iter().map(|address| (*address, own.clone())));
    let had = service.metadata.annotations.as_ref().and_then(|all| all.get(ANNOUNCED_BY));
    let kept = nodes.iter().find(|node| Some(name(node)) == had.map(String::as_str));
    let chosen = kept.or_else(|| nodes.iter().max_by_key(|node| weight(name(node), service)));
    Outcome::Given { addresses, announcer: chosen.map(|node| name(node).to_owned()) }
}

/// The address of a family; none if the Service can be without.
fn choose(
    pool: &Pool,
    service: &Service,
    v6: bool,
    asked: Option<IpAddr>,
    taken: &Taken,
) -> Result<Option<IpAddr>, String> {
    if let Some(asked) = asked {
        if !pool.contains(asked) {
            return Err(format!("spec.loadBalancerIP: {asked} is none of {OPTION} ({pool})"));
        }
        return match taken.addresses.get(&asked) {
            Some(by) => Err(format!("spec.loadBalancerIP: {asked} is taken by {by}")),
            None => Ok(Some(asked)),
        };
    }
    let has = ingress(service).iter().filter_map(|ingress| ingress.ip.as_deref()?.parse::<IpAddr>().ok());
    let mut has = has.filter(|address| address.is_ipv6() == v6 && pool.contains(*address));
    if let Some(address) = has.find(|address| !taken.addresses.contains_key(address)) {
        return Ok(Some(address));
    }
    let needs_both =
        service.spec.as_ref().is_some_and(|spec| spec.ip_family_policy.as_deref() == Some("RequireDualStack"));
    match pool.free(v6, |address| taken.addresses.contains_key(&address)) {
        Some(address) => Ok(Some(address)),
        None if pool.has(v6) => Err(format!("every address of {OPTION} ({pool}) is taken")),
        None if needs_both => Err(format!("{OPTION} ({pool}) has no {} address", if v6 { "IPv6" } else { "IPv4" })),
        None => Ok(None),
    }
}

/// How much a node is for a Service: other Services weigh nodes otherwise, so that they spread.
fn weight(node: &str, service: &Service) -> u64 {
    // FNV, as the answer must be the same in every process.
    struct Fnv(u64);
    impl Hasher for Fnv {
        fn finish(&self) -> u64 {
            self.0
        }
        fn write(&mut self, bytes: &[u8]) {
            for byte in bytes {
                self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    hasher.write(display(service).as_bytes());
    hasher.write(b" ");
    hasher.write(node.as_bytes());
    hasher.finish()
}

fn ports(spec: &ServiceSpec) -> impl Iterator<Item = (String, i32)> {
    let protocol = |protocol: &Option<String>| protocol.clone().unwrap_or_else(|| "TCP".to_owned());
    spec.ports.iter().flatten().map(move |port| (protocol(&port.protocol), port.port))
}

/// The families of a Service, as whether they are IPv6.
fn families(spec: &ServiceSpec) -> impl Iterator<Item = bool> {
    spec.ip_families.iter().flatten().map(|family| family == "IPv6")
}

/// The address of a node by which it is reached from outside: an external one if it has any.
fn address(node: &Node, v6: bool) -> Option<IpAddr> {
    let of_type = |type_: &str| {
        let addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
        let addresses = addresses.filter(move |address| address.type_ == type_);
        addresses.filter_map(|address| address.address.parse::<IpAddr>().ok()).find(|address| address.is_ipv6() == v6)
    };
    of_type("ExternalIP").or_else(|| of_type("InternalIP"))
}

fn every_address(node: &Node) -> impl Iterator<Item = IpAddr> {
    let addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    addresses.filter_map(|address| address.address.parse().ok())
}

fn name(node: &Node) -> &str {
    node.metadata.name.as_deref().unwrap_or_default()
}

fn display(service: &Service) -> String {
    let key = Key::to(service);
    format!("{}/{}", key.namespace, key.name)
}
