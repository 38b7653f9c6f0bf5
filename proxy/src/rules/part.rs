//! What one Service has of a table: its own chains and sets, and what it lays claim to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use nft::{Act, Chain, Datum, Endpoint, Family, Field, Key, Kind, Match, Name, Rule, Set, Shape, Type, Value, Verdict};
use sha2::{Digest, Sha256};

use super::Node;
use super::claims::{Claim, Front, Lead, Means, Rank};
use super::endpoints::{Endpoints, Targets};
use super::frame::{self, CLUSTER_IPS, HAIRPIN, MASQUERADE, OUTSIDE_DROPPED, REJECT, rule, set};
use super::service::{Frontend, Port, Protocol};

/// The longest name of a chain or a set.
const LONGEST: usize = 255;

/// What one Service has of the table of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) chains: BTreeMap<Name, Arc<Chain>>,
    pub(super) sets: BTreeMap<Name, Set>,
    pub(super) claims: BTreeMap<Front, Claim>,
    /// Elements of sets that others may have as well.
    pub(super) members: BTreeSet<(&'static str, Key)>,
}

/// Whose part it is.
struct Owner<'a> {
    family: Family,
    node: &'a Node,
    namespace: &'a str,
    name: &'a str,
    created: i64,
    frontend: Frontend,
}

impl Part {
    /// What a Service has of the table of a family, if it is served there at all.
    pub(super) fn new(
        family: Family,
        node: &Node,
        (namespace, name): (&str, &str),
        service: &Service,
        slices: &[&EndpointSlice],
    ) -> Option<Part> {
        let frontend = Frontend::new(family, service)?;
        let created = service.metadata.creation_timestamp.as_ref().map_or(i64::MAX, |time| time.0.as_second());
        let endpoints = Endpoints::new(family, slices, node);
        let owner = Owner { family, node, namespace, name, created, frontend };
        let mut part = Part::default();
        if !node.answered.contains(&owner.frontend.cluster_ip) {
            part.members.insert((CLUSTER_IPS, vec![Datum::Address(owner.frontend.cluster_ip)]));
        }
        let firewall = owner.add_firewall(&mut part);
        for port in &owner.frontend.ports {
            owner.add_port(&mut part, port, &endpoints.targets(&owner.frontend, port, node), firewall.as_ref());
        }
        Some(part)
    }

    fn add_chain(&mut self, name: Name, rules: Vec<Rule>) -> Verdict {
        self.chains.insert(name.clone(), Arc::new(Chain { base: None, rules }));
        Verdict::Goto(name)
    }
}

/// What happens to packets by what they came by.
struct Ways {
    internal: Lead,
    external: Lead,
}

impl Owner<'_> {
    /// What keeps others than those who may from asking load balancers. For better or for worse, as upstream says, node
    /// ports are not subject to that.
    fn add_firewall(&self, part: &mut Part) -> Option<Verdict> {
        let allowed = self.frontend.allowed(self.node)?;
        let sources = self.named("sources", None);
        let mut ranges = set(&[Type::Prefix], Kind::Nothing);
        ranges.elements = allowed.into_iter().map(|prefix| (vec![Datum::Prefix(prefix)], Value::Nothing)).collect();
        part.sets.insert(sources.clone(), ranges);
        let others = Match::In(vec![Field::Source], sources, false);
        let name = self.named("firewall", None);
        part.add_chain(name.clone(), vec![rule(&[others], &[Act::Verdict(Verdict::Drop)])]);
        Some(Verdict::Jump(name))
    }

    fn add_port(&self, part: &mut Part, port: &Port, targets: &Targets, firewall: Option<&Verdict>) {
        if self.node.answered.contains(&self.frontend.cluster_ip) && !self.frontend.is_external(port) {
            return;
        }
        let Ways { internal, external } = self.add_chains(part, port, targets);
        let pods = targets.here.iter().map(|endpoint| Datum::Address(endpoint.address));
        part.members.extend(pods.map(|ip| (HAIRPIN, vec![ip, ip])));

        self.claim(part, Means::ClusterIp, self.frontend.cluster_ip, port, internal);
        for ip in &self.frontend.load_balancers {
            self.claim(part, Means::LoadBalancer, *ip, port, Lead { firewall: firewall.cloned(), ..external.clone() });
        }
        for ip in &self.frontend.external_ips {
            self.claim(part, Means::ExternalIp, *ip, port, external.clone());
        }
        if let Some(number) = port.node_port {
            let front = Front::NodePort(port.protocol.number(), number);
            self.add_claim(part, front, Means::NodePort, port, external);
        }
    }

    fn claim(&self, part: &mut Part, means: Means, ip: IpAddr, port: &Port, mut lead: Lead) {
        if self.node.answered.contains(&ip) {
            return;
        }
        // Where a Service is, a node port of the same number is not, even if nobody would answer it there.
        if lead.checked.is_none() && self.node.addresses.contains(&ip) {
            lead.checked = Some(Verdict::Return);
        }
        self.add_claim(part, Front::Address(ip, port.protocol.number(), port.port), means, port, lead);
    }

    fn add_claim(&self, part: &mut Part, front: Front, means: Means, port: &Port, lead: Lead) {
        let owner = (self.namespace.into(), self.name.into(), port.name.as_str().into());
        let claim = Claim { rank: Rank { means, created: self.created, owner }, lead: Arc::new(lead) };
        let best = part.claims.entry(front).or_insert_with(|| claim.clone());
        if claim.rank < best.rank {
            *best = claim;
        }
    }

    /// Adds the chains of a port, and says where they lead.
    fn add_chains(&self, part: &mut Part, port: &Port, targets: &Targets) -> Ways {
        let frontend = &self.frontend;
        let learned =
            frontend.sticky.filter(|_| !targets.cluster.is_empty() || !targets.local.is_empty()).map(|time| {
                // A set of another time is another set, and so has another name.
                let name = self.named(&format!("affinity-{}", time.as_secs()), Some(port));
                let shape = Shape { key: vec![Type::Address], value: Kind::Endpoint, learned: Some(time) };
                part.sets.insert(name.clone(), Set { shape: Arc::new(shape), elements: imbl::OrdMap::new() });
                name
            });
        let mut policy = |kind: &str, endpoints: &[Endpoint]| {
            let rules = balance(endpoints, learned.as_ref())?;
            Some(part.add_chain(self.named(kind, Some(port)), rules))
        };
        let cluster = policy("service", &targets.cluster);
        let local = policy("local", &targets.local);

        let nobody = Verdict::Goto(REJECT.into());
        // Only UDP's connections have to be ended by us.
        let udp = port.protocol == Protocol::Udp;
        let serving = Arc::new(if udp { targets.serving.clone() } else { BTreeSet::new() });
        let lead =
            |target: Option<Verdict>, checked| Lead { target, checked, firewall: None, serving: serving.clone() };
        let internal = if frontend.internal_local { local.clone() } else { cluster.clone() };
        let internal = match internal {
            None if targets.any => lead(None, Some(Verdict::Drop)),
            None => lead(None, Some(nobody.clone())),
            some => lead(some, None),
        };
        if !targets.any || !frontend.is_external(port) {
            return Ways { internal, external: lead(None, Some(nobody)) };
        }
        let checked = (frontend.external_local && local.is_none()).then(|| Verdict::Goto(OUTSIDE_DROPPED.into()));
        let rules = self.external(cluster, local);
        let external = lead(Some(part.add_chain(self.named("external", Some(port)), rules)), checked);
        Ways { internal, external }
    }

    /// What happens to what came by a node port, a load balancer or an external IP. If it can end on another node, it gets
    /// this one's address, so that answers come back through here. If it stays here, it keeps its own.
    ///
    /// The node and its pods are served as if they had gone to a load balancer outside and come back where somebody is.
    fn external(&self, cluster: Option<Verdict>, local: Option<Verdict>) -> Vec<Rule> {
        let marked = |matches: &[Match], to: Verdict| rule(matches, &[Act::Mark(MASQUERADE), Act::Verdict(to)]);
        if !self.frontend.external_local {
            return cluster.into_iter().map(|cluster| marked(&[], cluster)).collect();
        }
        let mut rules = Vec::new();
        if let Some(cluster) = cluster {
            rules = frame::from_pods(self.family, self.node, &cluster);
            rules.push(marked(&[Match::Local(Field::Source, true)], cluster));
        }
        rules.extend(local.map(|local| rule(&[], &[Act::Verdict(local)])));
        rules
    }

    /// The name of a chain or a set. No part of it has a `/`, so no two have the same name. If it is too long, there is a hash
    /// in the place of what is behind its kind.
    fn named(&self, kind: &str, port: Option<&Port>) -> Name {
        let mut rest = format!("{}/{}", self.namespace, self.name);
        if let Some(port) = port {
            rest = format!("{rest}/{}", port.protocol.name());
            if !port.name.is_empty() {
                rest = format!("{rest}/{}", port.name);
            }
        }
        if kind.len() + 1 + rest.len() > LONGEST {
            rest = Sha256::digest(&rest).iter().fold(String::new(), |mut text, byte| {
                // Writing to a string does not fail.
                let _ = write!(text, "{byte:02x}");
                text
            });
        }
        format!("{kind}/{rest}").into()
    }
}

/// To one of these. A client that is known goes where it went before.
fn balance(endpoints: &[Endpoint], learned: Option<&Name>) -> Option<Vec<Rule>> {
    if endpoints.is_empty() {
        return None;
    }
    let endpoints: Arc<[Endpoint]> = endpoints.into();
    let stick = learned.map(|set| rule(&[], &[Act::Stick(set.clone(), endpoints.clone())]));
    let balance = rule(&[], &[Act::Balance(endpoints.clone(), learned.cloned())]);
    Some(stick.into_iter().chain([balance]).collect())
}
