//! What leads from what the kernel has to what it should have. Pure. Nothing is done twice, and nothing is touched that is
//! not ours.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use nft::Prefix;

use crate::observed::{Link, Seen, SeenRoute, Vxlan};
use crate::plan::{Device, Route, Wanted, Way, Ways};
use crate::{DEVICES, PORT, PROTOCOL, VNI};

/// How little routes to nowhere are preferred: whoever has another route to our own range wins, such as a bridge that pods
/// are on.
pub(crate) const LAST_RESORT: u32 = 8192;
/// What the kernel takes for an IPv6 route whose metric is not said.
const IPV6_METRIC: u32 = 1024;

/// One thing to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A device is removed.
    RemoveDevice(u32),
    /// A device is made.
    MakeDevice(Device),
    /// A device gets its size and hardware address, and is up.
    SetDevice(u32, Device),
    /// A device gets an address.
    AddAddress(u32, IpAddr),
    /// A device loses an address.
    RemoveAddress(u32, IpAddr, u8),
    /// A route is there; `true` if another one of ours is in its place.
    SetRoute(Route, Option<u32>, bool),
    /// A route is gone.
    RemoveRoute(SeenRoute),
    /// A device knows the hardware address of an address.
    SetNeighbour(u32, IpAddr, [u8; 6]),
    /// It no longer does.
    RemoveNeighbour(u32, IpAddr, [u8; 6]),
    /// A device knows which node has a hardware address.
    SetForward(u32, [u8; 6], IpAddr),
    /// It no longer does.
    RemoveForward(u32, [u8; 6], IpAddr),
}

/// All that is to be done once the devices are there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// For this node itself.
    pub(crate) own: Vec<Step>,
    /// For each other node, in an order in which no packet goes where it should not.
    pub(crate) others: BTreeMap<String, Vec<Step>>,
    /// For nodes that are gone.
    pub(crate) stale: Vec<Step>,
}

/// What leads to the devices that should be there, for each by its name. Their addresses come later.
pub(crate) fn devices(wanted: &[Device], seen: &Seen) -> Vec<(&'static str, Vec<Step>)> {
    DEVICES.into_iter().map(|name| (name, device(name, wanted, seen))).collect()
}

fn device(name: &'static str, wanted: &[Device], seen: &Seen) -> Vec<Step> {
    let there = seen.index(name).and_then(|index| Some((index, seen.links.get(&index)?)));
    let wanted = wanted.iter().find(|device| device.name == name);
    match (there, wanted) {
        (None, None) => Vec::new(),
        (None, Some(device)) => vec![Step::MakeDevice(device.clone())],
        // Another kind of device by that name is not ours.
        (Some((_, link)), None) if link.vxlan.is_none() => Vec::new(),
        (Some((index, _)), None) => vec![Step::RemoveDevice(index)],
        (Some((index, link)), Some(device)) if is_end(link, device) => {
            let is_well = link.mtu == device.mtu && link.up && link.hardware_address == device.hardware_address;
            if is_well { Vec::new() } else { vec![Step::SetDevice(index, device.clone())] }
        }
        // If it is none of ours, making it fails, which says so.
        (Some((_, link)), Some(device)) if link.vxlan.is_none() => vec![Step::MakeDevice(device.clone())],
        (Some((index, _)), Some(device)) => vec![Step::RemoveDevice(index), Step::MakeDevice(device.clone())],
    }
}

/// Whether a device is the end of tunnels that it should be, but for what can be changed.
fn is_end(link: &Link, device: &Device) -> bool {
    let expected = Vxlan { vni: VNI, port: PORT, local: Some(device.local), learning: false };
    link.vxlan.as_ref() == Some(&expected)
}

/// What leads to the rest.
pub(crate) fn changes(wanted: &Wanted, seen: &Seen) -> Changes {
    let mut changes = Changes::default();
    addresses(&wanted.devices, seen, &mut changes);
    let ours = || seen.routes.iter().filter(|route| route.protocol == PROTOCOL);
    let there: BTreeMap<Place, &SeenRoute> = ours().map(|route| ((route.to, route.metric), route)).collect();
    let mut kept: BTreeSet<Place> = BTreeSet::new();
    let mut route = |route: &Route| -> Option<Step> {
        kept.insert(place(route));
        let old = there.get(&place(route));
        if old.is_some_and(|old| way(old, seen) == Some(route.way)) {
            return None;
        }
        Some(Step::SetRoute(*route, interface(route, seen), old.is_some()))
    };
    changes.own.extend(wanted.own.iter().filter_map(&mut route));
    let (mut neighbours, mut forwards) = (BTreeSet::new(), BTreeSet::new());
    for (name, ways) in &wanted.others {
        let mut steps = behind(ways, seen, &mut neighbours, &mut forwards);
        steps.extend(ways.routes.iter().filter_map(&mut route));
        if !steps.is_empty() {
            changes.others.insert(name.clone(), steps);
        }
    }
    let gone = ours().filter(|route| !kept.contains(&(route.to, route.metric)));
    changes.stale.extend(gone.cloned().map(Step::RemoveRoute));
    let gone =
        seen.neighbours.difference(&neighbours).map(|(link, address, to)| Step::RemoveNeighbour(*link, *address, *to));
    changes.stale.extend(gone);
    // A node that moved: setting where its hardware address is has replaced where it was.
    let moved = |link: u32, to: [u8; 6]| forwards.iter().any(|forward| (forward.0, forward.1) == (link, to));
    let gone = seen.forwards.difference(&forwards).filter(|forward| !moved(forward.0, forward.1));
    changes.stale.extend(gone.map(|(link, to, node)| Step::RemoveForward(*link, *to, *node)));
    changes
}

/// What leads to nothing of ours.
pub(crate) fn removal(seen: &Seen) -> Vec<Step> {
    let routes = seen.routes.iter().filter(|route| route.protocol == PROTOCOL).cloned().map(Step::RemoveRoute);
    let devices = devices(&[], seen).into_iter().flat_map(|(_, steps)| steps);
    routes.chain(devices).collect()
}

/// What leads to nothing of one node's routes.
pub(crate) fn withdrawal(ways: &Ways, seen: &Seen) -> Vec<Step> {
    let is_of = |to: Prefix| ways.routes.iter().any(|route| route.to == to);
    let routes = seen.routes.iter().filter(|route| route.protocol == PROTOCOL && is_of(route.to));
    routes.cloned().map(Step::RemoveRoute).collect()
}

/// The addresses of the devices.
fn addresses(devices: &[Device], seen: &Seen, changes: &mut Changes) {
    for device in devices {
        let Some(index) = seen.index(device.name) else { continue };
        let there = || seen.addresses.iter().filter(|address| address.link == index);
        let whole = |address: IpAddr| if address.is_ipv4() { 32 } else { 128 };
        let lacks =
            |wanted: &&IpAddr| !there().any(|there| (there.address, there.length) == (**wanted, whole(**wanted)));
        changes.own.extend(device.addresses.iter().filter(lacks).map(|address| Step::AddAddress(index, *address)));
        // What the kernel gives itself is link-local.
        let is_other = |there: &&crate::Address| {
            let is_local = matches!(there.address, IpAddr::V6(address) if address.is_unicast_link_local());
            !is_local && !device.addresses.contains(&there.address)
        };
        let others = there().filter(is_other);
        changes.stale.extend(others.map(|there| Step::RemoveAddress(index, there.address, there.length)));
    }
}

/// What has to be known of a node behind a tunnel before there is a route to it.
fn behind(
    ways: &Ways,
    seen: &Seen,
    neighbours: &mut BTreeSet<(u32, IpAddr, [u8; 6])>,
    forwards: &mut BTreeSet<(u32, [u8; 6], IpAddr)>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    if let Some((device, hardware_address, node)) = ways.forward
        && let Some(index) = seen.index(device)
    {
        forwards.insert((index, hardware_address, node));
        if !seen.forwards.contains(&(index, hardware_address, node)) {
            steps.push(Step::SetForward(index, hardware_address, node));
        }
    }
    for (device, address, hardware_address) in &ways.neighbours {
        let Some(index) = seen.index(device) else { continue };
        neighbours.insert((index, *address, *hardware_address));
        if !seen.neighbours.contains(&(index, *address, *hardware_address)) {
            steps.push(Step::SetNeighbour(index, *address, *hardware_address));
        }
    }
    steps
}

/// What there is one route of: where to, and the metric.
type Place = (Prefix, u32);

fn place(route: &Route) -> Place {
    let metric = match (route.way, route.to.address) {
        (Way::Nowhere, _) => LAST_RESORT,
        (_, IpAddr::V4(_)) => 0,
        (_, IpAddr::V6(_)) => IPV6_METRIC,
    };
    (route.to, metric)
}

/// Which way a route of ours leads, if it is one that we would make.
fn way(route: &SeenRoute, seen: &Seen) -> Option<Way> {
    if route.unreachable {
        return Some(Way::Nowhere);
    }
    let (gateway, link) = (route.gateway?, route.link?);
    let name = &seen.links.get(&link)?.name;
    let device = DEVICES.into_iter().find(|device| device == name);
    Some(device.map_or(Way::Straight { gateway, link }, |device| Way::Tunnel { gateway, device }))
}

/// The interface of a route; none if it is not there, or the route leads nowhere.
fn interface(route: &Route, seen: &Seen) -> Option<u32> {
    match route.way {
        Way::Straight { link, .. } => Some(link),
        Way::Tunnel { device, .. } => seen.index(device),
        Way::Nowhere => None,
    }
}
