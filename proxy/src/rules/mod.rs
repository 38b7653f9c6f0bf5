//! What the packet filter of a node is to do about Services. Pure: [`Rules`] is told of Services and endpoints, and is a
//! [`Table`] for each family at any time, whatever the order in which it was told.

use std::collections::BTreeSet;
use std::net::IpAddr;

use imbl::OrdMap;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use nft::{Family, Prefix, Table};

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

/// The rules of a node.
#[derive(Clone, Debug)]
pub struct Rules {
    tables: [Table; 2],
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
        drop(node);
        let table = |family| Table { family, name: "gantry".into(), sets: OrdMap::new(), chains: OrdMap::new() };
        Rules { tables: [table(Family::Ip), table(Family::Ip6)] }
    }

    /// Says what a Service and its endpoints are now. Without a Service there is none of that name.
    pub fn set(
        &mut self,
        namespace: &str,
        name: &str,
        service: Option<&Service>,
        slices: &[&EndpointSlice],
    ) -> Effects {
        let _ = (namespace, name, service, slices);
        Effects::default()
    }

    /// The table of a family.
    #[must_use]
    pub fn table(&self, family: Family) -> &Table {
        match family {
            Family::Ip => &self.tables[0],
            Family::Ip6 => &self.tables[1],
        }
    }
}
