//! What the kernel should have so that pods of this node reach those of the others. Pure: from Nodes and from what the kernel
//! says of the machine.
//!
//! A node that cannot be reached as it should be gets nothing at all, and a reason: half a network is harder to understand
//! than none. Of nodes that claim the same addresses the oldest has them, as it has pods already; all nodes see it so.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use nft::{Family, Prefix, Table};

use crate::masquerade;
use crate::members::{Member, overlap, text};
use crate::observed::{Reach, Seen};
use crate::{DEVICES, Mode, PROTOCOL};

/// What a tunnel takes of a packet: the outer addresses, UDP, VXLAN and the inner Ethernet.
const OVERHEAD: [u32; 2] = [50, 70];
/// What is assumed of a link of which nothing is known.
const ETHERNET: u32 = 1500;

/// What the kernel should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The most bytes of a packet of a pod.
    pub mtu: u32,
    /// The ends of tunnels.
    pub devices: Vec<Device>,
    /// Routes by which packets for pods that are not there go nowhere, rather than to and fro between nodes and routers.
    pub own: Vec<Route>,
    /// How each other node is reached.
    pub others: BTreeMap<String, Ways>,
    /// Why some are not.
    pub problems: BTreeMap<String, Problem>,
    /// The packet filter's tables.
    pub tables: Vec<Table>,
}

/// One end of tunnels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name.
    pub name: &'static str,
    /// The node's address that it sends from.
    pub local: IpAddr,
    /// Its hardware address.
    pub hardware_address: [u8; 6],
    /// The most bytes of a packet.
    pub mtu: u32,
    /// Its addresses: what the node itself sends through tunnels is from them, so that answers come by tunnels, too.
    pub addresses: Vec<IpAddr>,
}

/// How one node is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    /// A route for each of its ranges.
    pub routes: Vec<Route>,
    /// What the gateways of tunnels are behind: device, gateway, hardware address.
    pub neighbours: Vec<(&'static str, IpAddr, [u8; 6])>,
    /// Where that hardware address is: device, hardware address, the node's address.
    pub forward: Option<(&'static str, [u8; 6], IpAddr)>,
}

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Where to.
    pub to: Prefix,
    /// Which way.
    pub way: Way,
}

/// Which way packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// To this node, on this link.
    Straight {
        /// The node's address.
        gateway: IpAddr,
        /// The link.
        link: u32,
    },
    /// By a tunnel.
    Tunnel {
        /// An address that stands for the node.
        gateway: IpAddr,
        /// The end of the tunnel.
        device: &'static str,
    },
    /// Nowhere.
    Nowhere,
}

/// Why a node is not reached, or this one cannot be part of the network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A range is none.
    #[error("{0:?} in its spec.podCIDRs is no range of addresses")]
    Nonsense(String),
    /// It has no address.
    #[error("it has no address of type InternalIP in its status")]
    NoAddress,
    /// Somebody else has the range.
    #[error("its range {range} overlaps with {theirs} of node {node}, which is older")]
    Claimed {
        /// The range.
        range: String,
        /// The other's range.
        theirs: String,
        /// The other.
        node: String,
    },
    /// The range is on a link.
    #[error("its range {range} overlaps with {subnet}, which {link} of this machine is in")]
    Link {
        /// The range.
        range: String,
        /// The link's subnet.
        subnet: String,
        /// The link.
        link: String,
    },
    /// A node would be one of its own pods.
    #[error("its address {address} is in its own range {range}")]
    Inside {
        /// The address.
        address: IpAddr,
        /// The range.
        range: String,
    },
    /// Somebody else has a route.
    #[error(
        "there is a route to {route} by {by} already, which is none of ours: remove it, or give the node another range than {range}"
    )]
    Route {
        /// The range.
        range: String,
        /// The route.
        route: String,
        /// What it leads to.
        by: String,
    },
    /// Two machines with one address.
    #[error("its address {0} is one of this machine as well")]
    SameAddress(IpAddr),
    /// It cannot be reached.
    #[error("there is no route to its address {0}")]
    Nowhere(IpAddr),
    /// It is too far away.
    #[error(
        "it is not on a link of this machine with an address of each of its ranges' families: --pod-network direct does not reach it"
    )]
    NotOnLink,
    /// They cannot talk to each other.
    #[error("it has no address of a family that this node has one of")]
    NoFamily,
}

/// What the kernel should have, if `me` is this node. The reason if it cannot be part of the network. `None` as long as it
/// has no ranges.
pub fn plan(me: &Member, others: &[Member], mode: Mode, seen: &Seen) -> Result<Option<Wanted>, Problem> {
    if me.ranges.is_empty() && me.nonsense.is_none() {
        return Ok(None);
    }
    let mut claims = Claims::of(me, others);
    if let Some(problem) = claims.refused.remove(&me.name) {
        return Err(problem);
    }
    suits(me, seen, Whose::Own)?;
    let mut wanted = Wanted {
        mtu: 0,
        devices: Vec::new(),
        own: me.ranges.iter().map(|range| Route { to: *range, way: Way::Nowhere }).collect(),
        others: BTreeMap::new(),
        problems: claims.refused,
        tables: Vec::new(),
    };
    let mut underlays = BTreeSet::new();
    for other in others.iter().filter(|other| other.name != me.name && !other.ranges.is_empty()) {
        if wanted.problems.contains_key(&other.name) {
            continue;
        }
        underlays.extend(underlay(me, other));
        match suits(other, seen, Whose::Others).and_then(|()| ways(me, other, mode, seen)) {
            Ok(ways) => drop(wanted.others.insert(other.name.clone(), ways)),
            Err(problem) => drop(wanted.problems.insert(other.name.clone(), problem)),
        }
    }
    let mtu = smallest(me, seen);
    if mode != Mode::Direct {
        wanted.devices = underlays.iter().filter_map(|underlay| device(me, *underlay, mtu)).collect();
    }
    wanted.mtu = mtu.saturating_sub(overhead(me, &underlays, mode));
    let families = [Family::Ip, Family::Ip6].into_iter();
    let families = families.filter(|family| me.ranges.iter().any(|range| Family::of(range.address) == *family));
    wanted.tables = families.map(|family| masquerade::table(family, &me.ranges, claims.ranges.keys())).collect();
    Ok(Some(wanted))
}

/// Who has which addresses. No two ranges overlap.
struct Claims {
    ranges: BTreeMap<Prefix, String>,
    refused: BTreeMap<String, Problem>,
}

impl Claims {
    fn of(me: &Member, others: &[Member]) -> Claims {
        let mut all: Vec<&Member> = others.iter().filter(|other| other.name != me.name).chain([me]).collect();
        // One whose age is not known yet is new.
        all.sort_by_key(|member| (member.since.is_none(), member.since, member.name.clone()));
        let mut claims = Claims { ranges: BTreeMap::new(), refused: BTreeMap::new() };
        for member in all {
            let problem = member.nonsense.clone().map(Problem::Nonsense);
            let problem = problem.or_else(|| member.ranges.iter().find_map(|range| claims.taken(range)));
            if let Some(problem) = problem {
                claims.refused.insert(member.name.clone(), problem);
            } else {
                claims.ranges.extend(member.ranges.iter().map(|range| (*range, member.name.clone())));
            }
        }
        claims
    }

    /// Who has addresses of the range. As no two that are there overlap, only the one before and the one behind can.
    fn taken(&self, range: &Prefix) -> Option<Problem> {
        let before = self.ranges.range(..=range).next_back();
        let behind = self.ranges.range(range..).next();
        let mut near = before.into_iter().chain(behind);
        let (theirs, node) = near.find(|(theirs, _)| overlap(theirs, range))?;
        Some(Problem::Claimed { range: text(range), theirs: text(theirs), node: node.clone() })
    }
}

/// Whose ranges are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Own,
    Others,
}

/// Whether a node's ranges can be where the machine's other addresses and routes are.
fn suits(member: &Member, seen: &Seen, whose: Whose) -> Result<(), Problem> {
    for range in &member.ranges {
        if let Some(address) = member.addresses.iter().find(|address| range.contains(**address)) {
            return Err(Problem::Inside { address: *address, range: text(range) });
        }
        for address in &seen.addresses {
            let Some(subnet) = Prefix::new(address.address, address.length) else { continue };
            // The node's ends of its pods' links have addresses of its own range, and a bridge may have all of it.
            let is_of_pods = whose == Whose::Own && range.contains(address.address) && address.length >= range.length;
            let name = seen.name(address.link);
            if overlap(&subnet, range) && !is_of_pods && !DEVICES.contains(&name) {
                return Err(Problem::Link { range: text(range), subnet: text(&subnet), link: name.to_owned() });
            }
        }
        let within = |to: &Prefix| to.length >= range.length && range.contains(to.address);
        let mut foreign = seen.routes.iter().filter(|route| route.protocol != PROTOCOL && within(&route.to));
        if let Some(route) = foreign.next().filter(|_| whose == Whose::Others) {
            let gateway = route.gateway.map(|gateway| gateway.to_string());
            let by = gateway.or_else(|| route.link.map(|link| seen.name(link).to_owned()));
            let by = by.unwrap_or_else(|| "no link".to_owned());
            return Err(Problem::Route { range: text(range), route: text(&route.to), by });
        }
    }
    Ok(())
}

/// By which family two nodes have a tunnel: both say the same, so that each has the end that the other sends to. IPv4 takes
/// less of a packet.
fn underlay(me: &Member, other: &Member) -> Option<bool> {
    let both = |is_ipv4: &bool| me.address(*is_ipv4).is_some() && other.address(*is_ipv4).is_some();
    // False, which is to say IPv6, would be sorted first.
    [true, false].into_iter().find(both)
}

/// How the ranges of another node are reached.
fn ways(me: &Member, other: &Member, mode: Mode, seen: &Seen) -> Result<Ways, Problem> {
    if other.addresses.is_empty() {
        return Err(Problem::NoAddress);
    }
    let reach = |address: IpAddr| seen.reach.get(&address).copied().unwrap_or(Reach::Nowhere);
    if let Some(address) = other.addresses.iter().find(|address| reach(**address) == Reach::Own) {
        return Err(Problem::SameAddress(*address));
    }
    let mut ways = Ways::default();
    for range in &other.ranges {
        let is_ipv4 = range.address.is_ipv4();
        let straight = other.address(is_ipv4).and_then(|gateway| match reach(gateway) {
            Reach::OnLink(link) if mode != Mode::Vxlan => Some(Way::Straight { gateway, link }),
            _ => None,
        });
        let way = match straight {
            Some(way) => way,
            None if mode == Mode::Direct => return Err(Problem::NotOnLink),
            None => tunnel(me, other, range, reach, &mut ways)?,
        };
        ways.routes.push(Route { to: *range, way });
    }
    Ok(ways)
}

fn tunnel(
    me: &Member,
    other: &Member,
    range: &Prefix,
    reach: impl Fn(IpAddr) -> Reach,
    ways: &mut Ways,
) -> Result<Way, Problem> {
    let is_ipv4 = underlay(me, other).ok_or(Problem::NoFamily)?;
    let node = other.address(is_ipv4).ok_or(Problem::NoFamily)?;
    if reach(node) == Reach::Nowhere {
        return Err(Problem::Nowhere(node));
    }
    let device = DEVICES[usize::from(!is_ipv4)];
    let hardware_address = other.hardware_address();
    ways.neighbours.push((device, range.address, hardware_address));
    ways.forward = Some((device, hardware_address, node));
    Ok(Way::Tunnel { gateway: range.address, device })
}

/// The most bytes that all links take that the node's addresses are on.
fn smallest(me: &Member, seen: &Seen) -> u32 {
    let mtu = |links: BTreeSet<u32>| links.iter().filter_map(|link| seen.links.get(link)).map(|link| link.mtu).min();
    let known = mtu(seen.carriers(&me.addresses));
    // A node may be known by an address that somebody translates.
    let any = || {
        let of_pod = |address: IpAddr| me.ranges.iter().any(|range| range.contains(address));
        let others = seen.addresses.iter().filter(|other| !other.address.is_loopback() && !of_pod(other.address));
        mtu(others.map(|other| other.link).collect())
    };
    known.or_else(any).unwrap_or(ETHERNET)
}

/// What tunnels take of pods' packets, even if there are none yet: a node may come that needs one.
fn overhead(me: &Member, underlays: &BTreeSet<bool>, mode: Mode) -> u32 {
    if mode == Mode::Direct {
        return 0;
    }
    let by_ipv6 = underlays.contains(&false) || me.address(true).is_none();
    OVERHEAD[usize::from(by_ipv6)]
}

fn device(me: &Member, is_ipv4: bool, mtu: u32) -> Option<Device> {
    let which = usize::from(!is_ipv4);
    Some(Device {
        name: DEVICES[which],
        local: me.address(is_ipv4)?,
        hardware_address: me.hardware_address(),
        mtu: mtu.saturating_sub(OVERHEAD[which]),
        addresses: me.ranges.iter().map(|range| range.address).collect(),
    })
}

#[cfg(test)]
mod tests;
