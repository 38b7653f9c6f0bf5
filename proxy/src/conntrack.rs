//! Has the kernel forget connections of UDP that lead to where nobody is any more, or past where somebody is now. A flow of
//! UDP that goes on is one connection to the kernel, which asks no rules about its later packets.
//!
//! The kernel's table of connections is read once, whatever the number of those to be forgotten, and what is deleted is
//! named by its tuple and its number, so that a connection that is new since then stays.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::net::IpAddr;

use nft::{Endpoint, Family};
use rustix::net::netlink::NETFILTER;

use crate::addresses;
use crate::netlink::{Message, Socket, attribute, put};
use crate::rules::Stale;

// Types of requests, of the subsystem of connections.
const GET: u16 = 0x101;
const DELETE: u16 = 0x102;
/// What precedes the attributes: family, version, and a number that is of no use here.
const HEADER: usize = 4;

// Attributes of a connection.
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const ID: u16 = 12;
const ZONE: u16 = 18;
// Of a tuple.
const TUPLE_ADDRESSES: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
// Of a tuple's addresses: where from and where to, of IPv4 and of IPv6.
const V4_SOURCE: u16 = 1;
const V4_DESTINATION: u16 = 2;
const V6_SOURCE: u16 = 3;
const V6_DESTINATION: u16 = 4;
// Of a tuple's protocol.
const NUMBER: u16 = 1;
const SOURCE_PORT: u16 = 2;
const DESTINATION_PORT: u16 = 3;

const UDP: u8 = 17;

/// From how many of them on the answers of single endpoints of a Service are no longer told apart: all connections to the
/// Service are forgotten then. Those that led to where somebody is begin anew.
const MANY: usize = 16 * 1024;

/// Connections that are to be forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgetting {
    to: HashSet<(IpAddr, u16)>,
    answered: HashSet<(IpAddr, u16, Endpoint)>,
    node_ports: BTreeSet<(Family, u16)>,
}

/// A connection, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Flow {
    /// Where it was to go.
    destination: (IpAddr, u16),
    /// Whose answers it gets.
    answered: (IpAddr, u16),
}

impl Forgetting {
    /// Nothing but this.
    #[must_use]
    pub fn of(stale: impl IntoIterator<Item = Stale>) -> Forgetting {
        let mut all = Forgetting::default();
        stale.into_iter().for_each(|stale| all.add(stale));
        all
    }

    /// This, too.
    pub fn add(&mut self, stale: Stale) {
        match stale {
            Stale::To(address, port) => drop(self.to.insert((address, port))),
            Stale::AnsweredBy(address, port, endpoint) => drop(self.answered.insert((address, port, endpoint))),
            Stale::NodePort(family, port) => drop(self.node_ports.insert((family, port))),
        }
        if self.answered.len() > MANY {
            self.to.extend(self.answered.drain().map(|(address, port, _)| (address, port)));
        }
    }

    /// Those of the other, too.
    pub fn extend(&mut self, other: Forgetting) {
        let Forgetting { to, answered, node_ports } = other;
        self.to.extend(to);
        self.node_ports.extend(node_ports);
        answered.into_iter().for_each(|(address, port, endpoint)| self.add(Stale::AnsweredBy(address, port, endpoint)));
    }

    /// Whether there is nothing to be forgotten.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.to.is_empty() && self.answered.is_empty() && self.node_ports.is_empty()
    }

    /// Takes out what is of this family.
    #[must_use]
    pub fn take(&mut self, family: Family) -> Forgetting {
        let is_of = |address: &IpAddr| Family::of(*address) == family;
        Forgetting {
            to: self.to.extract_if(|(address, _)| is_of(address)).collect(),
            answered: self.answered.extract_if(|(address, ..)| is_of(address)).collect(),
            node_ports: {
                let (taken, left) = std::mem::take(&mut self.node_ports).into_iter().partition(|(of, _)| *of == family);
                self.node_ports = left;
                taken
            },
        }
    }

    /// Whether this connection is among them. `local` are the machine's own addresses.
    fn has(&self, flow: &Flow, local: &[IpAddr]) -> bool {
        let (address, port) = flow.destination;
        let endpoint = Endpoint { address: flow.answered.0, port: flow.answered.1 };
        self.to.contains(&flow.destination)
            || self.answered.contains(&(address, port, endpoint))
            || self.node_ports.contains(&(Family::of(address), port)) && local.contains(&address)
    }
}

/// Has the kernel forget these connections, and returns how many there were.
///
/// # Errors
/// The kernel cannot be asked, or refused to forget one. The others are forgotten all the same.
pub fn forget(forgetting: &Forgetting) -> io::Result<usize> {
    if forgetting.is_empty() {
        return Ok(0);
    }
    let local = if forgetting.node_ports.is_empty() { Vec::new() } else { addresses::of_machine()? };
    let mut socket = Socket::open(Some(NETFILTER))?;
    let connections = socket.dump(&Message { kind: GET, body: vec![0; HEADER] })?;
    let is_meant = |body: &&Vec<u8>| flow(body).is_some_and(|flow| forgetting.has(&flow, &local));
    let requests: Vec<Message> = connections.iter().filter(is_meant).filter_map(|body| deletion(body)).collect();
    let mut forgotten = 0;
    let mut problem = None;
    for outcome in socket.ask(&requests)? {
        match outcome {
            Ok(()) => forgotten += 1,
            // It ended by itself.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => problem = Some(error),
        }
    }
    problem.map_or(Ok(forgotten), Err)
}

/// What the kernel told of a connection; `None` if it is not of UDP.
fn flow(body: &[u8]) -> Option<Flow> {
    let attributes = body.get(HEADER..)?;
    let original = attribute(attributes, ORIGINAL)?;
    let protocol = attribute(attribute(original, TUPLE_PROTOCOL)?, NUMBER)?;
    if protocol != [UDP] {
        return None;
    }
    let destination = end(original, [V4_DESTINATION, V6_DESTINATION], DESTINATION_PORT)?;
    let answered = end(attribute(attributes, REPLY)?, [V4_SOURCE, V6_SOURCE], SOURCE_PORT)?;
    Some(Flow { destination, answered })
}

/// An end of a tuple.
fn end(tuple: &[u8], [v4, v6]: [u16; 2], port: u16) -> Option<(IpAddr, u16)> {
    let addresses = attribute(tuple, TUPLE_ADDRESSES)?;
    let address = attribute(addresses, v4).or_else(|| attribute(addresses, v6))?;
    let port = attribute(attribute(tuple, TUPLE_PROTOCOL)?, port)?;
    Some((addresses::parse(address)?, u16::from_be_bytes(port.try_into().ok()?)))
}

/// The request to forget a connection that the kernel told of. Without a tuple it would be about all connections there are.
fn deletion(body: &[u8]) -> Option<Message> {
    let (header, attributes) = body.split_at_checked(HEADER)?;
    let mut bytes = vec![*header.first()?, 0, 0, 0];
    put(&mut bytes, ORIGINAL, attribute(attributes, ORIGINAL).filter(|tuple| !tuple.is_empty())?, true);
    for kind in [ID, ZONE] {
        if let Some(value) = attribute(attributes, kind) {
            put(&mut bytes, kind, value, false);
        }
    }
    Some(Message { kind: DELETE, body: bytes })
}

#[cfg(test)]
mod tests;
