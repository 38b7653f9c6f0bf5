//! What a table of the packet filter is made of.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use imbl::OrdMap;

/// The name of a table, a chain or a set: at most 255 bytes.
pub type Name = Arc<str>;

/// All that we say about packets of one family.
///
/// Copying it costs nothing, and two tables of which one came from the other are compared in a time that depends on what
/// differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Which packets it is about.
    pub family: Family,
    /// Its name. Nobody else may have a table of that name.
    pub name: Name,
    /// Sets and maps by name.
    pub sets: OrdMap<Name, Set>,
    /// Chains by name.
    pub chains: OrdMap<Name, Arc<Chain>>,
}

impl Table {
    /// A table with nothing in it.
    #[must_use]
    pub fn new(family: Family, name: impl Into<Name>) -> Table {
        Table { family, name: name.into(), sets: OrdMap::new(), chains: OrdMap::new() }
    }
}

/// A family of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Family {
        if address.is_ipv4() { Family::Ip } else { Family::Ip6 }
    }
}

/// A named set, or a map if it has values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// What its elements are like.
    pub shape: Arc<Shape>,
    /// The elements, with their values if it is a map. Those that the kernel learns by itself are none of them.
    pub elements: OrdMap<Key, Value>,
}

/// What the elements of a set are like. A set whose shape changes is another set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// What a key is made of.
    pub key: Vec<Type>,
    /// What it leads to.
    pub value: Kind,
    /// For a set whose elements the kernel learns from packets: how long each is kept after the last packet.
    pub learned: Option<Duration>,
}

/// What the elements of a set lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: it is a set.
    Nothing,
    /// What happens to the packet.
    Verdict,
    /// An address and a port: for sets that learn, whom a client is with ([`Act::Stick`]).
    Endpoint,
}

/// What a field of a packet is. Keys of several are compared one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Type {
    /// An address of the table's family.
    Address,
    /// Addresses of the table's family that begin alike. Only a set with this one field has it, and such a set has no
    /// elements that overlap.
    Prefix,
    /// The number of a protocol above IP.
    Protocol,
    /// A port of TCP, UDP or SCTP.
    Port,
}

/// The key of an element: as many as its set's shape has, of these types.
pub type Key = Vec<Datum>;

/// A value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Datum {
    /// An address.
    Address(IpAddr),
    /// Addresses that begin alike.
    Prefix(Prefix),
    /// The number of a protocol: 6 is TCP, 17 is UDP, 132 is SCTP.
    Protocol(u8),
    /// A port.
    Port(u16),
}

/// Addresses that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    /// The first one: all bits behind the prefix are zero.
    pub address: IpAddr,
    /// How many bits they have in common.
    pub length: u8,
}

impl Prefix {
    /// The addresses that have so many bits in common with this one. `None` if it has not as many.
    #[must_use]
    pub fn new(address: IpAddr, length: u8) -> Option<Prefix> {
        let address = match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32_u32.checked_sub(length.into())?).unwrap_or(0);
                IpAddr::V4((address.to_bits() & mask).into())
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128_u32.checked_sub(length.into())?).unwrap_or(0);
                IpAddr::V6((address.to_bits() & mask).into())
            }
        };
        Some(Prefix { address, length })
    }

    /// Whether an address is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        Prefix::new(address, self.length) == Some(*self) && address.is_ipv4() == self.address.is_ipv4()
    }
}

/// What an element of a set leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing: the set is no map.
    Nothing,
    /// What happens to the packet.
    Verdict(Verdict),
}

/// What happens to a packet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// This base chain lets it pass.
    Accept,
    /// It is gone.
    Drop,
    /// Back to whence this chain was jumped to.
    Return,
    /// Through that chain, and then on behind this rule.
    Jump(Name),
    /// Through that chain, and not back here.
    Goto(Name),
}

/// Rules, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// What has packets pass through it. Other chains are jumped to.
    pub base: Option<Base>,
    /// The rules.
    pub rules: Vec<Rule>,
}

/// Where packets come into a chain. All of them pass that nobody drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base {
    /// Whether it is about connections' first packets, and may change addresses (`nat`), or about all (`filter`).
    pub translates: bool,
    /// Where on a packet's way.
    pub hook: Hook,
    /// When among the chains there. Addresses of destinations are translated at -100, those of sources at 100.
    pub priority: i32,
}

/// A place on a packet's way through the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// It came in, and nobody knows yet where to.
    Prerouting,
    /// It is for the machine itself.
    Input,
    /// It is for others.
    Forward,
    /// It is by the machine itself.
    Output,
    /// It is about to leave.
    Postrouting,
}

/// If all matches hold, all acts are done. The first match that does not hold ends the rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// What must hold.
    pub matches: Vec<Match>,
    /// What is done then, in this order.
    pub acts: Vec<Act>,
}

/// Something of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Where it is from.
    Source,
    /// Where it is to go.
    Destination,
    /// The protocol above IP.
    Protocol,
    /// The port that it is to go to.
    DestinationPort,
}

/// What must hold of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// A field is this, or is not.
    Is(Field, Datum, bool),
    /// An address is one of these, or is not.
    Within(Field, Prefix, bool),
    /// Fields together are in a named set, or are not.
    In(Vec<Field>, Name, bool),
    /// An address is the machine's own, or is not.
    Local(Field, bool),
    /// It has this bit in its mark, or has not.
    Marked(u32, bool),
    /// It is the first of a connection, as far as anybody knows.
    New,
}

/// What is done with a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// This happens to it.
    Verdict(Verdict),
    /// What a map of verdicts says of these fields. If it says nothing, the next rule is up.
    Dispatch(Vec<Field>, Name),
    /// A bit of its mark is set.
    Mark(u32),
    /// A bit of its mark is cleared.
    Unmark(u32),
    /// The connection goes to one of these instead, each as likely; there is at least one. If a set is named (of clients,
    /// learned, leading to endpoints), it is written down there who got whom.
    Balance(Arc<[Endpoint]>, Option<Name>),
    /// If the set knows whom the client is with, and that is one of these, the connection goes there and that is written down
    /// anew. Otherwise the next rule is up.
    Stick(Name, Arc<[Endpoint]>),
    /// What the connection sends is from the machine itself (from a port that is chosen at random).
    Masquerade,
    /// Who sent it is told that nobody is there (ICMP: port unreachable).
    Reject,
}

/// Where a connection can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// An address of the table's family.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_begins_with_zeros_behind_it() {
        let check = |address: &str, length: u8, expected: Option<&str>| {
            let prefix = Prefix::new(address.parse().unwrap(), length);
            assert_eq!(prefix.map(|prefix| prefix.address), expected.map(|text| text.parse().unwrap()), "{address}");
        };
        check("10.1.2.3", 8, Some("10.0.0.0"));
        check("10.1.2.3", 32, Some("10.1.2.3"));
        check("10.1.2.3", 0, Some("0.0.0.0"));
        check("10.1.2.3", 33, None);
        check("fd00::1", 64, Some("fd00::"));
        check("fd00::1", 0, Some("::"));
        check("fd00::1", 129, None);
        let prefix = Prefix::new("10.1.0.0".parse().unwrap(), 16).unwrap();
        assert!(prefix.contains("10.1.2.3".parse().unwrap()));
        assert!(!prefix.contains("10.2.2.3".parse().unwrap()));
        let all = Prefix::new("0.0.0.0".parse().unwrap(), 0).unwrap();
        assert!(!all.contains("::".parse().unwrap()));
    }
}
