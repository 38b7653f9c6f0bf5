//! Approves the requests of kubelets for the certificates that they show to those who call them, if their Node is known to
//! be where the certificate says.
//!
//! Upstream approves none of these by itself. It could not know which addresses a machine has; here a cluster is to work
//! without anybody's hands, so that a Node's own word counts, within these bounds:
//!
//! - a node asks for itself, and for nothing but the names and addresses in the status of its Node;
//! - a name is the Node's own, or one that is in nobody else's status, and never one by which the API server is known, or
//!   one of the domain of Services: the same authority issues the API server's certificate, and pods trust it;
//! - an address is one that no other Node states, no Service has and the API server does not listen at, and it is none that
//!   every machine has.
//!
//! Whatever is not approved is left to somebody to decide about, and looked at again when the Node or one of the others
//! changes.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use client::cache::Cache;
use client::resource::Key;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};
use k8s_openapi::api::core::v1::{Endpoints, Node, NodeAddress, Service};
use serde_json::json;

use super::request::Request;
use super::{APPROVED, DENIED, certificate, conditions, has_condition, rules, signer};
use crate::controller::{Controller, Moment, Watches};
use crate::plan::{Effect, Plan, Target};

const NODE_PREFIX: &str = "system:node:";
/// The name of the Service by which pods find the API server, and of its endpoints.
const KUBERNETES: &str = "kubernetes";
/// What the names of Services may end with, and what is a name of every machine.
const NEVER: [&str; 4] = ["svc", "cluster.local", "localhost", KUBERNETES];

/// The controller.
pub struct ServingApproval;

/// A request that nobody has decided about, and what is known of who asks and of the others.
pub struct Observed {
    object: Arc<CertificateSigningRequest>,
    node: Arc<Node>,
    /// What is somebody else's.
    taken: Taken,
}

/// Names and addresses that are somebody else's.
#[derive(Debug, Default)]
struct Taken {
    names: BTreeSet<String>,
    addresses: BTreeSet<IpAddr>,
}

impl Controller for ServingApproval {
    const NAME: &'static str = "kubelet-serving-approving-controller";
    type Observed = Observed;

    fn watches(&self) -> Watches {
        Watches::on::<CertificateSigningRequest>()
            .mapped::<Node>(|cache, pair| {
                let addresses = |node: &Arc<Node>| addresses(node).to_vec();
                let same = pair.old.as_ref().map(addresses) == pair.new.as_ref().map(addresses);
                // Nodes change often, and mostly in what is of no interest here.
                if same { Vec::new() } else { undecided(cache) }
            })
            .reading::<Service>()
            .reading::<Endpoints>()
    }

    fn observe(&self, cache: &Cache, key: &Key) -> Option<Observed> {
        let object = cache.get::<CertificateSigningRequest>("", &key.name).filter(|object| is_undecided(object))?;
        let name = object.spec.username.as_deref()?.strip_prefix(NODE_PREFIX)?;
        let node = cache.get::<Node>("", name)?;
        let taken = Taken::read(cache, name);
        Some(Observed { object, node, taken })
    }

    fn reconcile(&self, observed: &Observed, _: &Moment) -> Plan {
        let mut plan = Plan::new();
        let Observed { object, node, taken } = observed;
        let Some(request) = Request::from_pem(&object.spec.request.0) else { return plan };
        let usages = object.spec.usages.as_deref().unwrap_or_default();
        let asks_for_itself = object.spec.username.as_ref() == Some(&request.common_name);
        if !asks_for_itself || rules::kubelet_serving(&request, usages).is_err() || !is_where(&request, node, taken) {
            return plan;
        }
        let mut conditions = conditions(object).to_vec();
        // The server writes down when.
        conditions.push(CertificateSigningRequestCondition {
            type_: APPROVED.to_owned(),
            status: "True".to_owned(),
            reason: Some("AutoApproved".to_owned()),
            message: Some("Auto approving kubelet serving certificate for the addresses of its Node.".to_owned()),
            ..CertificateSigningRequestCondition::default()
        });
        let version = object.metadata.resource_version.clone().unwrap_or_default();
        let body = json!({"status": {"conditions": conditions}});
        plan.act(Target::of(&**object), Effect::Patch { subresource: Some("approval"), version, body });
        plan
    }
}

impl Taken {
    /// What is not of the node `own`.
    fn read(cache: &Cache, own: &str) -> Taken {
        let mut taken = Taken::default();
        for node in cache.list::<Node>(None) {
            let name = node.metadata.name.as_deref().unwrap_or_default();
            if name == own {
                continue;
            }
            taken.names.insert(name.to_owned());
            for address in addresses(&node) {
                taken.add(&address.address);
            }
        }
        for service in cache.list::<Service>(None) {
            let ips = service.spec.as_ref().and_then(|spec| spec.cluster_ips.as_deref()).unwrap_or_default();
            ips.iter().for_each(|ip| taken.add(ip));
        }
        let servers = cache.get::<Endpoints>("default", KUBERNETES);
        for subset in servers.iter().filter_map(|servers| servers.subsets.as_deref()).flatten() {
            subset.addresses.iter().flatten().for_each(|address| taken.add(&address.ip));
        }
        taken
    }

    fn add(&mut self, text: &str) {
        match text.parse::<IpAddr>() {
            Ok(ip) => _ = self.addresses.insert(ip.to_canonical()),
            Err(_) => _ = self.names.insert(text.to_ascii_lowercase()),
        }
    }
}

/// Whether the Node is where the request says, and nobody else is.
fn is_where(request: &Request, node: &Node, taken: &Taken) -> bool {
    let stated = addresses(node);
    let own_name = node.metadata.name.as_deref().unwrap_or_default();
    let may_have_name = |name: &String| {
        let name = name.to_ascii_lowercase();
        let stated =
            stated.iter().any(|known| !known.type_.ends_with("IP") && known.address.eq_ignore_ascii_case(&name));
        (name == own_name || stated) && !taken.names.contains(&name) && !is_of_everybody(&name)
    };
    let may_have_address = |bytes: &Vec<u8>| {
        let Some(ip) = address(bytes) else { return false };
        let stated = stated.iter().any(|known| known.type_.ends_with("IP") && known.address.parse() == Ok(ip));
        stated && !taken.addresses.contains(&ip.to_canonical()) && !is_everywhere(ip)
    };
    request.names.dns.iter().all(may_have_name) && request.names.addresses.iter().all(may_have_address)
}

fn addresses(node: &Node) -> &[NodeAddress] {
    node.status.as_ref().and_then(|status| status.addresses.as_deref()).unwrap_or_default()
}

/// Whether a name is one of those that never are a node's: of Services, of every machine, or with a wildcard in it.
fn is_of_everybody(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    let ends = |end: &&str| name.strip_suffix(*end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    name.is_empty() || name.contains('*') || name.starts_with("kubernetes.") || NEVER.iter().any(ends)
}

/// Whether an address is one that means another machine wherever it is called.
fn is_everywhere(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    ip.is_loopback() || ip.is_unspecified() || ip.is_multicast()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

fn is_undecided(object: &CertificateSigningRequest) -> bool {
    let decided = has_condition(object, APPROVED) || has_condition(object, DENIED);
    object.spec.signer_name == signer::KUBELET_SERVING && !decided && certificate(object).is_none()
}

fn undecided(cache: &Cache) -> Vec<Key> {
    let objects = cache.list::<CertificateSigningRequest>(None);
    let undecided = objects.iter().filter(|object| is_undecided(object));
    let names = undecided.filter_map(|object| object.metadata.name.as_deref());
    names.map(|name| Key::of::<CertificateSigningRequest>("", name)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::controllers::certificates::samples::{names, object, pem, with_condition};
    use crate::testing::{World, check_converges, nobody_else};

    const USAGES: [&str; 2] = ["digital signature", "server auth"];

    fn node(name: &str, addresses: &[(&str, &str)]) -> Node {
        let addresses: Vec<Value> =
            addresses.iter().map(|(kind, address)| json!({"type": kind, "address": address})).collect();
        serde_json::from_value(json!({"metadata": {"name": name}, "status": {"addresses": addresses}})).unwrap()
    }

    fn n1() -> Node {
        node(
            "n1",
            &[
                ("Hostname", "box"),
                ("InternalDNS", "box.lan"),
                ("InternalIP", "10.0.0.1"),
                ("InternalIP", "fd00::1"),
                ("ExternalDNS", "kubernetes.default.svc"),
                ("Hostname", "localhost"),
                ("InternalIP", "127.0.0.1"),
                ("InternalIP", "10.0.0.2"),
                ("InternalIP", "10.96.0.1"),
                ("InternalIP", "10.0.0.9"),
                ("InternalDNS", "shared"),
            ],
        )
    }

    /// A world with the node `n1`, another one, the API server's Service and its address.
    fn world() -> World<ServingApproval> {
        let mut world = World::new(ServingApproval);
        world.add(n1());
        world.add(node("n2", &[("InternalIP", "10.0.0.2"), ("InternalDNS", "shared")]));
        let service = json!({
            "metadata": {"name": "kubernetes", "namespace": "default"},
            "spec": {"clusterIPs": ["10.96.0.1"]},
        });
        world.add(serde_json::from_value::<Service>(service).unwrap());
        let endpoints = json!({
            "metadata": {"name": "kubernetes", "namespace": "default"},
            "subsets": [{"addresses": [{"ip": "10.0.0.9"}]}],
        });
        world.add(serde_json::from_value::<Endpoints>(endpoints).unwrap());
        world
    }

    fn request(user: &str, node: &str, dns: &[&str], ips: &[&str]) -> CertificateSigningRequest {
        let names = names(dns, &[], ips, &[]);
        let pem = pem(&format!("system:node:{node}"), &["system:nodes"], &names);
        let mut object = object("r", signer::KUBELET_SERVING, &pem, &USAGES);
        object.spec.username = Some(user.to_owned());
        object
    }

    fn is_approved(world: &World<ServingApproval>) -> bool {
        let objects = world.list::<CertificateSigningRequest>();
        objects.iter().any(|object| has_condition(object, APPROVED))
    }

    #[test]
    fn a_node_gets_a_certificate_for_where_it_is() {
        let check = |dns: &[&str], ips: &[&str], expected: bool| {
            let request = request("system:node:n1", "n1", dns, ips);
            let setup = || {
                let mut world = world();
                world.add(request.clone());
                world
            };
            assert_eq!(is_approved(&check_converges(setup, nobody_else)), expected, "{dns:?} {ips:?}");
        };
        check(&["n1"], &[], true);
        check(&["box", "BOX.lan"], &["10.0.0.1", "fd00::1"], true);
        check(&[], &["10.0.0.1"], true);
        // What it does not state.
        check(&["other"], &["10.0.0.1"], false);
        check(&["box"], &["10.0.0.7"], false);
        check(&["10.0.0.1"], &[], false);
        // What it states, and is somebody else's.
        check(&["kubernetes.default.svc"], &[], false);
        check(&["localhost"], &[], false);
        check(&["shared"], &[], false);
        check(&["n2"], &[], false);
        for address in ["127.0.0.1", "10.0.0.2", "10.96.0.1", "10.0.0.9"] {
            check(&["n1"], &[address], false);
        }
    }

    #[test]
    fn names_of_everybody_are_nobodys() {
        let check = |name: &str, expected: bool| assert_eq!(is_of_everybody(name), expected, "{name}");
        for name in
            ["kubernetes", "kubernetes.default", "a.b.svc", "svc", "x.svc.cluster.local", "localhost", "*", "*.a", ""]
        {
            check(name, true);
        }
        for name in ["box", "kubernetes-1", "mysvc", "box.lan", "local"] {
            check(name, false);
        }
    }

    #[test]
    fn who_asks_for_another_or_for_something_else_is_left_alone() {
        let check = |object: CertificateSigningRequest| {
            let mut world = world();
            world.add(object);
            assert!(world.settle().is_empty());
        };
        check(request("system:node:n2", "n1", &["n1"], &[]));
        check(request("eve", "n1", &["n1"], &[]));
        check(request("system:node:none", "none", &["none"], &[]));
        let good = request("system:node:n1", "n1", &["n1"], &[]);
        check(with_condition(good.clone(), DENIED, None));
        check(with_condition(good.clone(), APPROVED, None));
        let change = |change: fn(&mut CertificateSigningRequest)| {
            let mut object = good.clone();
            change(&mut object);
            object
        };
        check(change(|object| object.spec.usages = Some(vec!["client auth".to_owned()])));
        check(change(|object| object.spec.signer_name = signer::KUBELET_CLIENT.to_owned()));
        check(change(|object| object.spec.request.0 = b"garbage".to_vec()));
    }

    #[test]
    fn a_request_is_looked_at_again_when_its_node_says_where_it_is() {
        let mut world = World::new(ServingApproval);
        world.add(request("system:node:n1", "n1", &[], &["10.0.0.1"]));
        world.settle();
        assert!(!is_approved(&world));
        world.add(node("n1", &[]));
        world.settle();
        assert!(!is_approved(&world));
        world.change::<Node>("", "n1", |known| known.status = n1().status);
        world.settle();
        assert!(is_approved(&world));
    }
}
