//! What a node's table has whatever Services there are: the chains that packets come into, and the maps that say what is
//! next. What a packet costs here does not depend on how many Services there are.
//!
//! - `filter-*` before addresses are translated: who may not ask a load balancer is dropped (`firewall`), and so is, or gets
//!   told, who asks where nobody answers (`no-endpoints`, `no-endpoints-nodeports`).
//! - `nat-prerouting` and `nat-output`: where Services lead (`service-ips`, `service-nodeports`). Whoever asks a cluster IP
//!   from outside gets the node's address, so that answers come back through here.
//! - `nat-postrouting`: what was marked so gets the node's address, and what a pod sends to itself by a Service: it would not
//!   take answers from itself.
//! - `filter-forward` and `filter-output-translated`: what is still for a cluster IP by then is for a port that it has not.
//!   It is rejected, and not sent to wherever other addresses are.
//!
//! The names of chains and sets of one Service have a `/`, those of these have none.

use std::net::IpAddr;
use std::sync::Arc;

use imbl::OrdMap;
use nft::{
    Act, Base, Chain, Datum, Family, Field, Hook, Kind, Match, Name, Rule, Set, Shape, Table, Type, Value, Verdict,
};

use super::{Node, TABLE};

/// The bit of a packet's mark that says that it is to get the node's address. It is upstream's, and as there it is gone by
/// the time the packet leaves.
pub(super) const MASQUERADE: u32 = 0x4000;

pub(super) const CLUSTER_IPS: &str = "cluster-ips";
pub(super) const FIREWALL: &str = "firewall";
pub(super) const HAIRPIN: &str = "hairpin";
pub(super) const NO_ENDPOINTS: &str = "no-endpoints";
pub(super) const NO_ENDPOINTS_NODEPORTS: &str = "no-endpoints-nodeports";
pub(super) const SERVICE_IPS: &str = "service-ips";
pub(super) const SERVICE_NODEPORTS: &str = "service-nodeports";
const NODEPORT_IPS: &str = "nodeport-ips";

/// Tells the sender that nobody is there.
pub(super) const REJECT: &str = "rejected";
/// Drops what comes from outside.
pub(super) const OUTSIDE_DROPPED: &str = "outside-dropped";
const CHECK: &str = "check";
const SERVICES: &str = "services";

/// The table of a node without Services.
pub(super) fn table(family: Family, node: &Node) -> Table {
    let chains = [
        ("filter-prerouting", base(false, Hook::Prerouting, -110), vec![jump(&[Match::New], CHECK)]),
        ("filter-output", base(false, Hook::Output, -110), vec![jump(&[Match::New], CHECK)]),
        ("nat-prerouting", base(true, Hook::Prerouting, -100), vec![jump(&[], SERVICES)]),
        ("nat-output", base(true, Hook::Output, -100), vec![jump(&[], SERVICES)]),
        ("filter-output-translated", base(false, Hook::Output, -90), vec![untranslated()]),
        ("filter-forward", base(false, Hook::Forward, -110), vec![untranslated()]),
        ("nat-postrouting", base(true, Hook::Postrouting, 100), masquerading()),
        (CHECK, None, check()),
        (SERVICES, None, services(family, node)),
        (REJECT, None, vec![rule(&[], &[Act::Reject])]),
        (OUTSIDE_DROPPED, None, outside_dropped(family, node)),
    ];
    let addresses = nodeport_ips(family, node).map(|address| (vec![Datum::Address(address)], Value::Nothing));
    let to = [Type::Address, Type::Protocol, Type::Port];
    let sets = [
        (CLUSTER_IPS, set(&[Type::Address], Kind::Nothing)),
        (FIREWALL, set(&to, Kind::Verdict)),
        (HAIRPIN, set(&[Type::Address, Type::Address], Kind::Nothing)),
        (NODEPORT_IPS, Set { elements: addresses.collect(), ..set(&[Type::Address], Kind::Nothing) }),
        (NO_ENDPOINTS, set(&to, Kind::Verdict)),
        (NO_ENDPOINTS_NODEPORTS, set(&to[1..], Kind::Verdict)),
        (SERVICE_IPS, set(&to, Kind::Verdict)),
        (SERVICE_NODEPORTS, set(&to[1..], Kind::Verdict)),
    ];
    Table {
        family,
        name: TABLE.into(),
        sets: sets.into_iter().map(|(name, set)| (Name::from(name), set)).collect(),
        chains: chains
            .into_iter()
            .map(|(name, base, rules)| (Arc::from(name), Arc::new(Chain { base, rules })))
            .collect(),
    }
}

/// The addresses of the node at which node ports are. Loopback is not among them: what comes from there cannot go elsewhere.
pub(super) fn nodeport_ips(family: Family, node: &Node) -> impl Iterator<Item = IpAddr> {
    node.addresses.iter().copied().filter(move |address| Family::of(*address) == family && !address.is_loopback())
}

/// A rule for each range of the node's pods: what comes from there has this happen to it.
pub(super) fn from_pods(family: Family, node: &Node, verdict: &Verdict) -> Vec<Rule> {
    let pods = node.pods.iter().filter(|prefix| Family::of(prefix.address) == family);
    pods.map(|prefix| rule(&[Match::Within(Field::Source, *prefix, true)], &[Act::Verdict(verdict.clone())])).collect()
}

pub(super) fn rule(matches: &[Match], acts: &[Act]) -> Rule {
    Rule { matches: matches.to_vec(), acts: acts.to_vec() }
}

pub(super) fn set(key: &[Type], value: Kind) -> Set {
    Set { shape: Arc::new(Shape { key: key.to_vec(), value, learned: None }), elements: OrdMap::new() }
}

fn jump(matches: &[Match], chain: &str) -> Rule {
    rule(matches, &[Act::Verdict(Verdict::Jump(chain.into()))])
}

const fn base(translates: bool, hook: Hook, priority: i32) -> Option<Base> {
    Some(Base { translates, hook, priority })
}

fn to() -> Vec<Field> {
    vec![Field::Destination, Field::Protocol, Field::DestinationPort]
}

fn at_node() -> Match {
    Match::In(vec![Field::Destination], NODEPORT_IPS.into(), true)
}

fn to_cluster_ip() -> Match {
    Match::In(vec![Field::Destination], CLUSTER_IPS.into(), true)
}

/// Who may not ask, and who asks in vain. A firewall's chain is jumped to, and not gone to: whom it lets pass may still ask
/// in vain.
fn check() -> Vec<Rule> {
    vec![
        rule(&[], &[Act::Dispatch(to(), FIREWALL.into())]),
        rule(&[], &[Act::Dispatch(to(), NO_ENDPOINTS.into())]),
        rule(&[at_node()], &[Act::Dispatch(to()[1..].to_vec(), NO_ENDPOINTS_NODEPORTS.into())]),
    ]
}

fn services(family: Family, node: &Node) -> Vec<Rule> {
    let pods = node.pods.iter().filter(|prefix| Family::of(prefix.address) == family);
    let mut from_outside = vec![to_cluster_ip()];
    from_outside.extend(pods.map(|prefix| Match::Within(Field::Source, *prefix, false)));
    vec![
        rule(&from_outside, &[Act::Mark(MASQUERADE)]),
        rule(&[], &[Act::Dispatch(to(), SERVICE_IPS.into())]),
        rule(&[at_node()], &[Act::Dispatch(to()[1..].to_vec(), SERVICE_NODEPORTS.into())]),
    ]
}

fn untranslated() -> Rule {
    rule(&[Match::New, to_cluster_ip()], &[Act::Reject])
}

/// The node can talk to itself without that, by Services or not.
fn masquerading() -> Vec<Rule> {
    let itself = Match::In(vec![Field::Source, Field::Destination], HAIRPIN.into(), true);
    vec![
        rule(&[Match::Marked(MASQUERADE, true)], &[Act::Unmark(MASQUERADE), Act::Masquerade]),
        rule(&[itself, Match::Local(Field::Source, false)], &[Act::Masquerade]),
    ]
}

fn outside_dropped(family: Family, node: &Node) -> Vec<Rule> {
    let mut rules = from_pods(family, node, &Verdict::Return);
    rules.push(rule(&[Match::Local(Field::Source, true)], &[Act::Verdict(Verdict::Return)]));
    rules.push(rule(&[], &[Act::Verdict(Verdict::Drop)]));
    rules
}
