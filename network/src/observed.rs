//! What the kernel says of the machine's network.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use nft::Prefix;

/// All that the network needs to know of it, at about one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Interfaces by their numbers.
    pub links: BTreeMap<u32, Link>,
    /// Their addresses.
    pub addresses: Vec<Address>,
    /// The main table of routes.
    pub routes: Vec<SeenRoute>,
    /// Which hardware address an address behind one of our devices has: device, address, hardware address.
    pub neighbours: BTreeSet<(u32, IpAddr, [u8; 6])>,
    /// Where our devices send what is for a hardware address: device, hardware address, node.
    pub forwards: BTreeSet<(u32, [u8; 6], IpAddr)>,
    /// How other nodes' addresses are reached, as far as that was asked.
    pub reach: BTreeMap<IpAddr, Reach>,
}

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// The most bytes of a packet.
    pub mtu: u32,
    /// Whether it is up.
    pub up: bool,
    /// Whether the gateway of a route decides who gets a packet: not so behind a link without hardware addresses.
    pub delivers: bool,
    /// Its hardware address.
    pub hardware_address: Vec<u8>,
    /// What it is, if it is a VXLAN device.
    pub vxlan: Option<Vxlan>,
}

/// A VXLAN device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vxlan {
    /// The number of its network.
    pub vni: u32,
    /// Its port of UDP.
    pub port: u16,
    /// The address that it sends from.
    pub local: Option<IpAddr>,
    /// Whether it learns from packets where to send others.
    pub learning: bool,
}

/// An address of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The interface that has it.
    pub link: u32,
    /// The address.
    pub address: IpAddr,
    /// How many bits those have in common with it who are on the same link.
    pub length: u8,
}

/// A route, of whomever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenRoute {
    /// Where to.
    pub to: Prefix,
    /// Whose it is.
    pub protocol: u8,
    /// What it is preferred by: less is better.
    pub metric: u32,
    /// Whether it leads nowhere, and says so.
    pub unreachable: bool,
    /// To whom packets are given.
    pub gateway: Option<IpAddr>,
    /// The interface.
    pub link: Option<u32>,
}

/// How an address is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It is on this link.
    OnLink(u32),
    /// By a gateway.
    Beyond,
    /// It is the machine's own.
    Own,
    /// Not at all.
    Nowhere,
}

impl Seen {
    /// The number of the interface of this name.
    pub(crate) fn index(&self, name: &str) -> Option<u32> {
        self.links.iter().find(|(_, link)| link.name == name).map(|(index, _)| *index)
    }

    /// The name of an interface.
    pub(crate) fn name(&self, index: u32) -> &str {
        self.links.get(&index).map_or("an interface that is gone", |link| &link.name)
    }

    /// The interfaces that have one of these addresses.
    pub(crate) fn carriers(&self, addresses: &[IpAddr]) -> BTreeSet<u32> {
        let carriers = self.addresses.iter().filter(|address| addresses.contains(&address.address));
        carriers.map(|address| address.link).collect()
    }
}
