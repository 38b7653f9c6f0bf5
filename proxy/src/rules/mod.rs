//! What the packet filter of a node is to do about Services. Pure: [`Rules`] is told of Services and endpoints, and is a
//! [`Table`] for each family at any time, whatever the order in which it was told.
//!
//! - [`service`]: what matters of a Service. [`endpoints`]: where its packets may go.
//! - [`frame`]: what a table has without Services, and the way of a packet through it.
//! - [`part`]: what one Service adds. [`claims`]: who is served if several want the same.
//!
//! What a packet costs depends neither on the number of Services nor on that of endpoints: a map leads from an address, a
//! protocol and a port to a chain, and that to one of its endpoints. What a change costs depends on that Service alone.

mod claims;
mod endpoints;
mod frame;
mod part;
mod service;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use imbl::OrdMap;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use nft::{Family, Name, Prefix, Table};

use claims::FamilyRules;
use part::Part;

/// The name of the tables.
pub const TABLE: &str = "gantry";

/// What is to be known of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// The zone that it is in (`topology.kubernetes.io/zone`).
    pub zone: Option<String>,
    /// Its addresses at which node ports are.
    pub addresses: Vec<IpAddr>,
    /// The addresses of its own pods. What comes from elsewhere comes from outside.
    pub pods: Vec<Prefix>,
    /// Cluster IPs that the node answers itself, without the packet filter.
    pub answered: BTreeSet<IpAddr>,
}

/// The rules of a node. Copies cost nothing.
#[derive(Clone, Debug)]
pub struct Rules {
    node: Arc<Node>,
    families: [FamilyRules; 2],
    /// What each Service has of the tables, by namespace and name.
    parts: OrdMap<(Name, Name), [Arc<Part>; 2]>,
}

/// What else has to be done when a Service or its endpoints have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Connections that the kernel is to forget, as they lead to where nobody is any more, or past where somebody is now.
    pub stale: Vec<Stale>,
}

/// Connections of a protocol without connections (UDP) that the kernel still knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stale {
    /// To this address and port, as they came in, by whomever they were to be answered.
    To(IpAddr, u16),
    /// To this address and port, and answered by this one.
    AnsweredBy(IpAddr, u16, nft::Endpoint),
    /// To this port of whatever address of the machine.
    NodePort(Family, u16),
}

impl Rules {
    /// The rules of a node without Services.
    #[must_use]
    pub fn new(node: Node) -> Rules {
        let families = [Family::Ip, Family::Ip6].map(|family| FamilyRules::new(frame::table(family, &node)));
        Rules { node: Arc::new(node), families, parts: OrdMap::new() }
    }

    /// Says what a Service and its endpoints are now. Without a Service there is none of that name.
    pub fn set(
        &mut self,
        namespace: &str,
        name: &str,
        service: Option<&Service>,
        slices: &[&EndpointSlice],
    ) -> Effects {
        let owner: (Name, Name) = (namespace.into(), name.into());
        let old = self.parts.remove(&owner).unwrap_or_default();
        let mut new = <[Arc<Part>; 2]>::default();
        let mut stale = Vec::new();
        for ((rules, old), new) in self.families.iter_mut().zip(&old).zip(&mut new) {
            let part = service
                .and_then(|service| Part::new(rules.table.family, &self.node, (namespace, name), service, slices));
            *new = Arc::new(part.unwrap_or_default());
            stale.extend(rules.replace(&owner, old, new, &self.node));
        }
        if new.iter().any(|part| **part != Part::default()) {
            self.parts.insert(owner, new);
        }
        Effects { stale }
    }

    /// The table of a family.
    #[must_use]
    pub fn table(&self, family: Family) -> &Table {
        match family {
            Family::Ip => &self.families[0].table,
            Family::Ip6 => &self.families[1].table,
        }
    }
}
