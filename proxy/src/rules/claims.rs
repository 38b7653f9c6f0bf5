//! Who is served where, if several Services lay claim to the same address and port: the outcome depends on what they are,
//! and not on who came first, and when the winner goes the next one takes over.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use nft::{Datum, Endpoint, Family, Key, Name, Table, Value, Verdict};

use super::frame::{FIREWALL, NO_ENDPOINTS, NO_ENDPOINTS_NODEPORTS, SERVICE_IPS, SERVICE_NODEPORTS, nodeport_ips};
use super::part::Part;
use super::service::Protocol;
use super::{Node, Stale};

/// What a Service is reached at: the number of a protocol, and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Front {
    Address(IpAddr, u8, u16),
    NodePort(u8, u16),
}

impl Front {
    fn key(self) -> Key {
        match self {
            Front::Address(ip, protocol, port) => {
                vec![Datum::Address(ip), Datum::Protocol(protocol), Datum::Port(port)]
            }
            Front::NodePort(protocol, port) => vec![Datum::Protocol(protocol), Datum::Port(port)],
        }
    }

    const fn protocol(self) -> u8 {
        match self {
            Front::Address(_, protocol, _) | Front::NodePort(protocol, _) => protocol,
        }
    }
}

/// What makes an address a Service's. The API server gives out cluster IPs, so they are surely its; anybody may write
/// any address into external IPs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Means {
    ClusterIp,
    LoadBalancer,
    ExternalIp,
    NodePort,
}

/// Whose claim is the better: the least one's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) means: Means,
    /// In seconds, as objects have it.
    pub(super) created: i64,
    /// Namespace, name and port.
    pub(super) owner: (Name, Name, Name),
}

/// What happens to packets there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lead {
    /// Where they go.
    pub(super) target: Option<Verdict>,
    /// What is done about them before.
    pub(super) checked: Option<Verdict>,
    /// Who lets only some of them pass.
    pub(super) firewall: Option<Verdict>,
    /// For UDP: who serves.
    pub(super) serving: Arc<BTreeSet<Endpoint>>,
}

/// What a Service wants to happen there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) rank: Rank,
    pub(super) lead: Arc<Lead>,
}

/// The rules of one family.
#[derive(Clone, Debug)]
pub(super) struct FamilyRules {
    pub(super) table: Table,
    claims: OrdMap<Front, OrdMap<Rank, Arc<Lead>>>,
    /// Who has an element of a set. It is there as long as anybody has it.
    members: OrdMap<(&'static str, Key), OrdSet<(Name, Name)>>,
}

impl FamilyRules {
    /// The rules of a node without Services.
    pub(super) fn new(table: Table) -> FamilyRules {
        FamilyRules { table, claims: OrdMap::new(), members: OrdMap::new() }
    }

    /// Puts what a Service has now in the place of what it had. What stays is not touched.
    pub(super) fn replace(&mut self, owner: &(Name, Name), old: &Part, new: &Part, node: &Node) -> Vec<Stale> {
        for name in old.chains.keys().filter(|name| !new.chains.contains_key(*name)) {
            self.table.chains.remove(name);
        }
        for (name, chain) in new.chains.iter().filter(|(name, chain)| old.chains.get(*name) != Some(chain)) {
            self.table.chains.insert(name.clone(), chain.clone());
        }
        for name in old.sets.keys().filter(|name| !new.sets.contains_key(*name)) {
            self.table.sets.remove(name);
        }
        for (name, set) in new.sets.iter().filter(|(name, set)| old.sets.get(*name) != Some(set)) {
            self.table.sets.insert(name.clone(), set.clone());
        }
        for member in old.members.difference(&new.members) {
            self.leave(owner, member);
        }
        for member in new.members.difference(&old.members) {
            self.join(owner, member);
        }
        let fronts: BTreeSet<Front> = old.claims.keys().chain(new.claims.keys()).copied().collect();
        let mut stale = Vec::new();
        for front in fronts {
            let (old, new) = (old.claims.get(&front), new.claims.get(&front));
            if old != new {
                self.settle(front, old, new, node, &mut stale);
            }
        }
        stale
    }

    fn join(&mut self, owner: &(Name, Name), member: &(&'static str, Key)) {
        self.members.entry(member.clone()).or_default().insert(owner.clone());
        write(&mut self.table, member.0, &member.1, Some(Value::Nothing));
    }

    fn leave(&mut self, owner: &(Name, Name), member: &(&'static str, Key)) {
        let Some(owners) = self.members.get_mut(member) else { return };
        owners.remove(owner);
        if owners.is_empty() {
            self.members.remove(member);
            write(&mut self.table, member.0, &member.1, None);
        }
    }

    /// Takes a claim away and adds another one, and has the table say whose it is then.
    fn settle(&mut self, front: Front, old: Option<&Claim>, new: Option<&Claim>, node: &Node, stale: &mut Vec<Stale>) {
        let mut claims = self.claims.get(&front).cloned().unwrap_or_default();
        let winner = |claims: &OrdMap<Rank, Arc<Lead>>| claims.get_min().map(|(_, lead)| lead.clone());
        let before = winner(&claims);
        if let Some(old) = old {
            claims.remove(&old.rank);
        }
        if let Some(new) = new {
            claims.insert(new.rank.clone(), new.lead.clone());
        }
        let after = winner(&claims);
        if claims.is_empty() {
            self.claims.remove(&front);
        } else {
            self.claims.insert(front, claims);
        }
        if before == after {
            return;
        }
        if front.protocol() == Protocol::Udp.number() {
            let nobody = Arc::default();
            let serving =
                |lead: &Option<Arc<Lead>>| lead.as_ref().map_or(Arc::clone(&nobody), |lead| lead.serving.clone());
            self.forget(front, &serving(&before), &serving(&after), after.is_some(), node, stale);
        }
        let after = after.as_deref();
        let says = |verdict: Option<&Verdict>| verdict.cloned().map(Value::Verdict);
        let target = says(after.and_then(|lead| lead.target.as_ref()));
        let checked = says(after.and_then(|lead| lead.checked.as_ref()));
        let key = front.key();
        match front {
            Front::Address(..) => {
                write(&mut self.table, SERVICE_IPS, &key, target);
                write(&mut self.table, NO_ENDPOINTS, &key, checked);
                write(&mut self.table, FIREWALL, &key, says(after.and_then(|lead| lead.firewall.as_ref())));
            }
            Front::NodePort(..) => {
                write(&mut self.table, SERVICE_NODEPORTS, &key, target);
                write(&mut self.table, NO_ENDPOINTS_NODEPORTS, &key, checked);
            }
        }
    }

    /// Says which connections lead nowhere any more. Without connections of its own, UDP would have clients wait for ever:
    /// the kernel knows theirs as long as they try.
    ///
    /// That of a Service which is gone goes on, as TCP's does. Who serves counts, and not who gets new connections.
    fn forget(
        &self,
        front: Front,
        before: &BTreeSet<Endpoint>,
        after: &BTreeSet<Endpoint>,
        claimed: bool,
        node: &Node,
        stale: &mut Vec<Stale>,
    ) {
        let family: Family = self.table.family;
        if !claimed {
            return;
        }
        if before.is_empty() && !after.is_empty() {
            // They were let pass to where nobody was.
            stale.push(match front {
                Front::Address(ip, _, port) => Stale::To(ip, port),
                Front::NodePort(_, port) => Stale::NodePort(family, port),
            });
        }
        for endpoint in before.difference(after) {
            match front {
                Front::Address(ip, _, port) => stale.push(Stale::AnsweredBy(ip, port, *endpoint)),
                Front::NodePort(_, port) => {
                    stale.extend(nodeport_ips(family, node).map(|ip| Stale::AnsweredBy(ip, port, *endpoint)));
                }
            }
        }
    }
}

/// Has a set say that of a key.
fn write(table: &mut Table, set: &str, key: &Key, value: Option<Value>) {
    let Some(set) = table.sets.get_mut(set) else { return };
    match value {
        Some(value) => set.elements.insert(key.clone(), value),
        None => set.elements.remove(key),
    };
}
