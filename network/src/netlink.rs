//! Asking the kernel about the machine's network, and telling it: by netlink, in the network namespace of the thread that
//! connects.

use std::io;
use std::net::IpAddr;

use futures::{StreamExt, TryStreamExt};
use nft::Prefix;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{InfoData, InfoVxlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteType,
};
use rtnetlink::{AddressMessageBuilder, Handle, LinkMessageBuilder, LinkUnspec, LinkVxlan, RouteMessageBuilder};
use tokio::task::AbortHandle;

use crate::difference::{LAST_RESORT, Step};
use crate::members::text;
use crate::observed::{Address, Link, Reach, Seen, SeenRoute, Vxlan};
use crate::plan::{Device, Route, Way};
use crate::{DEVICES, Error, PORT, PROTOCOL, VNI};

/// No such process, file or address: what was to be removed is not there.
const GONE: [i32; 4] = [2, 3, 19, 99];
/// `EEXIST`.
const EXISTS: i32 = 17;
/// `EOPNOTSUPP`: of a device, that there is no such kind.
const NOT_SUPPORTED: i32 = 95;

/// A connection to the kernel.
pub(crate) struct Netlink {
    handle: Handle,
    connection: AbortHandle,
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Netlink {
    /// Connects.
    pub(crate) fn connect() -> Result<Netlink, Error> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(Error::Socket)?;
        let connection = tokio::spawn(connection).abort_handle();
        Ok(Netlink { handle, connection })
    }

    /// Looks at all of it, and how these addresses are reached.
    pub(crate) async fn look(&self, addresses: impl Iterator<Item = IpAddr>) -> Result<Seen, Error> {
        let mut seen = Seen::default();
        let asked = |error| refused("asking for the machine's network", error);
        let mut links = std::pin::pin!(self.handle.link().get().execute());
        while let Some(message) = links.try_next().await.map_err(asked)? {
            seen.links.insert(message.header.index, link(&message));
        }
        let mut all = std::pin::pin!(self.handle.address().get().execute());
        while let Some(message) = all.try_next().await.map_err(asked)? {
            seen.addresses.extend(address(&message));
        }
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            let mut routes = std::pin::pin!(self.handle.route().get(message).execute());
            while let Some(message) = routes.try_next().await.map_err(asked)? {
                seen.routes.extend(route(&message));
            }
        }
        self.look_behind(&mut seen).await?;
        for address in addresses {
            let reach = self.reach(address, &seen).await?;
            seen.reach.insert(address, reach);
        }
        Ok(seen)
    }

    /// Looks what our devices know.
    async fn look_behind(&self, seen: &mut Seen) -> Result<(), Error> {
        let devices: Vec<u32> = DEVICES.iter().filter_map(|name| seen.index(name)).collect();
        if devices.is_empty() {
            return Ok(());
        }
        for family in [AddressFamily::Inet, AddressFamily::Inet6, AddressFamily::Bridge] {
            let request = self.handle.neighbours().get().set_address_family(family);
            let mut neighbours = std::pin::pin!(request.execute());
            let asked = |error| refused("asking for neighbours", error);
            while let Some(message) = neighbours.try_next().await.map_err(asked)? {
                let device = message.header.ifindex;
                let is_kept = message.header.state == NeighbourState::Permanent;
                let Some((address, hardware_address)) = neighbour(&message) else { continue };
                // The kernel's own entries, for addresses of many at once, have other states.
                if !devices.contains(&device) || !is_kept {
                    continue;
                }
                if family == AddressFamily::Bridge {
                    seen.forwards.insert((device, hardware_address, address));
                } else {
                    seen.neighbours.insert((device, address, hardware_address));
                }
            }
        }
        Ok(())
    }

    /// How an address is reached, by the kernel's own word.
    async fn reach(&self, address: IpAddr, seen: &Seen) -> Result<Reach, Error> {
        let length = if address.is_ipv4() { 32 } else { 128 };
        let message = RouteMessageBuilder::<IpAddr>::new().destination_prefix(address, length);
        let Ok(message) = message.map(RouteMessageBuilder::build) else { return Ok(Reach::Nowhere) };
        let mut message = message;
        // A question has neither.
        (message.header.protocol, message.header.table) = (RouteProtocol::Unspec, RouteHeader::RT_TABLE_UNSPEC);
        let mut answers = std::pin::pin!(self.handle.route().get(message).execute());
        // An error is the kernel's way to say that there is no route.
        let Some(Ok(answer)) = answers.next().await else { return Ok(Reach::Nowhere) };
        let mut reach = Reach::Nowhere;
        match answer.header.kind {
            RouteType::Local => return Ok(Reach::Own),
            RouteType::Unicast => {}
            _ => return Ok(reach),
        }
        for attribute in &answer.attributes {
            match attribute {
                RouteAttribute::Gateway(_) | RouteAttribute::Via(_) => return Ok(Reach::Beyond),
                RouteAttribute::Oif(link) => reach = Reach::OnLink(*link),
                _ => {}
            }
        }
        let delivers = |link: &u32| {
            seen.links.get(link).is_some_and(|link| link.delivers && !DEVICES.contains(&link.name.as_str()))
        };
        Ok(match reach {
            Reach::OnLink(link) if !delivers(&link) => Reach::Beyond,
            reach => reach,
        })
    }

    /// Does one thing. That it is done already is no error.
    pub(crate) async fn take(&self, step: &Step) -> Result<(), Error> {
        let result = match step {
            Step::MakeDevice(device) => return self.make(device).await,
            Step::SetDevice(index, device) => {
                let message = LinkUnspec::new_with_index(*index).mtu(device.mtu);
                let message = message.address(device.hardware_address.to_vec()).up().build();
                self.handle.link().change(message).execute().await
            }
            Step::RemoveDevice(index) => gone(self.handle.link().del(*index).execute().await),
            Step::AddAddress(index, address) => {
                let length = if address.is_ipv4() { 32 } else { 128 };
                present(self.handle.address().add(*index, *address, length).execute().await)
            }
            Step::RemoveAddress(index, address, length) => {
                let message = match address {
                    IpAddr::V4(address) => AddressMessageBuilder::<std::net::Ipv4Addr>::new()
                        .index(*index)
                        .address(*address, *length)
                        .build(),
                    IpAddr::V6(address) => AddressMessageBuilder::<std::net::Ipv6Addr>::new()
                        .index(*index)
                        .address(*address, *length)
                        .build(),
                };
                gone(self.handle.address().del(message).execute().await)
            }
            Step::SetRoute(route, link, replaces) => {
                let request = self.handle.route().add(route_message(route, *link)?);
                let request = if *replaces { request.replace() } else { request };
                request.execute().await
            }
            Step::RemoveRoute(route) => gone(self.handle.route().del(seen_message(route)?).execute().await),
            Step::SetNeighbour(index, address, to) => {
                self.handle.neighbours().add(*index, *address).link_layer_address(to).replace().execute().await
            }
            Step::RemoveNeighbour(index, address, _) => {
                let mut request = self.handle.neighbours().add(*index, *address);
                gone(self.handle.neighbours().del(request.message_mut().clone()).execute().await)
            }
            Step::SetForward(index, hardware_address, node) => {
                let request = self.handle.neighbours().add_bridge(*index, hardware_address).destination(*node);
                request.flags(NeighbourFlags::Own).replace().execute().await
            }
            Step::RemoveForward(index, hardware_address, node) => {
                let request = self.handle.neighbours().add_bridge(*index, hardware_address).destination(*node);
                let mut request = request.flags(NeighbourFlags::Own);
                gone(self.handle.neighbours().del(request.message_mut().clone()).execute().await)
            }
        };
        result.map_err(|error| refused(&describe(step), error))
    }

    async fn make(&self, device: &Device) -> Result<(), Error> {
        let message = LinkVxlan::new(device.name, VNI).port(PORT).learning(false);
        let message = match device.local {
            IpAddr::V4(local) => message.local(local),
            IpAddr::V6(local) => message.local6(local),
        };
        let message: LinkMessageBuilder<LinkVxlan> = message.mtu(device.mtu).address(device.hardware_address.to_vec());
        let made = self.handle.link().add(message.up().build()).execute().await;
        match made {
            Err(error) if code(&error) == Some(NOT_SUPPORTED) => Err(Error::NoVxlan),
            Err(error) if code(&error) == Some(EXISTS) => Err(Error::Taken(device.name)),
            made => made.map_err(|error| refused(&describe(&Step::MakeDevice(device.clone())), error)),
        }
    }
}

/// What a step does, for people.
fn describe(step: &Step) -> String {
    match step {
        Step::MakeDevice(device) => format!("making device {} (VXLAN {VNI}, port {PORT} of UDP)", device.name),
        Step::SetDevice(_, device) => format!("setting up device {}", device.name),
        Step::RemoveDevice(_) => "removing a device".to_owned(),
        Step::AddAddress(_, address) => format!("adding address {address} to a tunnel's device"),
        Step::RemoveAddress(_, address, _) => format!("removing address {address} from a tunnel's device"),
        Step::SetRoute(route, _, _) => format!("making a route to {}", text(&route.to)),
        Step::RemoveRoute(route) => format!("removing the route to {}", text(&route.to)),
        Step::SetNeighbour(_, address, _) | Step::RemoveNeighbour(_, address, _) => {
            format!("saying who has address {address}")
        }
        Step::SetForward(_, _, node) | Step::RemoveForward(_, _, node) => {
            format!("saying what the node with address {node} is sent")
        }
    }
}

/// The number of the kernel's error.
fn code(error: &rtnetlink::Error) -> Option<i32> {
    match error {
        rtnetlink::Error::NetlinkError(message) => Some(message.raw_code().abs()),
        _ => None,
    }
}

fn refused(what: &str, error: rtnetlink::Error) -> Error {
    let source = code(&error).map_or_else(|| io::Error::other(error.to_string()), io::Error::from_raw_os_error);
    Error::Refused { what: what.to_owned(), source }
}

fn gone(result: Result<(), rtnetlink::Error>) -> Result<(), rtnetlink::Error> {
    match result {
        Err(error) if code(&error).is_some_and(|code| GONE.contains(&code)) => Ok(()),
        result => result,
    }
}

fn present(result: Result<(), rtnetlink::Error>) -> Result<(), rtnetlink::Error> {
    match result {
        Err(error) if code(&error) == Some(EXISTS) => Ok(()),
        result => result,
    }
}

fn link(message: &LinkMessage) -> Link {
    let flags = message.header.flags;
    let mut link = Link {
        up: flags.contains(LinkFlags::Up),
        delivers: !flags.intersects(LinkFlags::Noarp | LinkFlags::Pointopoint | LinkFlags::Loopback),
        ..Link::default()
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Address(address) => link.hardware_address.clone_from(address),
            LinkAttribute::LinkInfo(infos) => link.vxlan = infos.iter().find_map(vxlan),
            _ => {}
        }
    }
    link
}

fn vxlan(info: &LinkInfo) -> Option<Vxlan> {
    let LinkInfo::Data(InfoData::Vxlan(infos)) = info else { return None };
    let mut vxlan = Vxlan::default();
    for info in infos {
        match info {
            InfoVxlan::Id(vni) => vxlan.vni = *vni,
            InfoVxlan::Port(port) => vxlan.port = *port,
            InfoVxlan::Local(local) => vxlan.local = Some((*local).into()),
            InfoVxlan::Local6(local) => vxlan.local = Some((*local).into()),
            InfoVxlan::Learning(learning) => vxlan.learning = *learning,
            _ => {}
        }
    }
    Some(vxlan)
}

fn address(message: &AddressMessage) -> Option<Address> {
    let (mut own, mut other) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => own = Some(*address),
            AddressAttribute::Address(address) => other = Some(*address),
            _ => {}
        }
    }
    // Of a link between two, the second one is the other's.
    Some(Address { link: message.header.index, address: own.or(other)?, length: message.header.prefix_len })
}

/// A route of the main table.
fn route(message: &RouteMessage) -> Option<SeenRoute> {
    let is_ipv4 = message.header.address_family == AddressFamily::Inet;
    let nothing: IpAddr =
        if is_ipv4 { std::net::Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
    let mut table = u32::from(message.header.table);
    let mut to = nothing;
    let (mut metric, mut gateway, mut link) = (0, None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Destination(address) => to = ip(address)?,
            RouteAttribute::Priority(number) => metric = *number,
            RouteAttribute::Gateway(address) => gateway = ip(address),
            RouteAttribute::Oif(number) => link = Some(*number),
            _ => {}
        }
    }
    (table == u32::from(RouteHeader::RT_TABLE_MAIN)).then_some(())?;
    let unreachable = message.header.kind == RouteType::Unreachable;
    let protocol = message.header.protocol.into();
    let to = Prefix::new(to, message.header.destination_prefix_length)?;
    // What leads nowhere has the loopback device for IPv6.
    Some(SeenRoute { to, protocol, metric, unreachable, gateway, link: link.filter(|_| !unreachable) })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

fn neighbour(message: &NeighbourMessage) -> Option<(IpAddr, [u8; 6])> {
    let (mut address, mut hardware_address) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(to)) => address = Some(IpAddr::from(*to)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(to)) => address = Some(IpAddr::from(*to)),
            NeighbourAttribute::Destination(NeighbourAddress::Other(bytes)) => address = raw(bytes),
            NeighbourAttribute::LinkLayerAddress(bytes) => hardware_address = bytes.as_slice().try_into().ok(),
            _ => {}
        }
    }
    Some((address?, hardware_address?))
}

/// An address as it is on the wire.
fn raw(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn to(range: &Prefix) -> Result<RouteMessageBuilder<IpAddr>, Error> {
    let builder = RouteMessageBuilder::<IpAddr>::new().destination_prefix(range.address, range.length);
    let wrong = |error| Error::Refused { what: format!("a route to {}", text(range)), source: io::Error::other(error) };
    Ok(builder.map_err(wrong)?.protocol(RouteProtocol::Other(PROTOCOL)))
}

fn route_message(route: &Route, link: Option<u32>) -> Result<RouteMessage, Error> {
    let builder = to(&route.to)?;
    let wrong =
        |error| Error::Refused { what: format!("a route to {}", text(&route.to)), source: io::Error::other(error) };
    let gateway = match route.way {
        Way::Nowhere => return Ok(builder.kind(RouteType::Unreachable).priority(LAST_RESORT).build()),
        Way::Straight { gateway, .. } | Way::Tunnel { gateway, .. } => gateway,
    };
    let builder = builder.gateway(gateway).map_err(wrong)?;
    let builder = if matches!(route.way, Way::Tunnel { .. }) { builder.onlink() } else { builder };
    let builder = link.map_or(builder.clone(), |link| builder.output_interface(link));
    Ok(builder.build())
}

fn seen_message(route: &SeenRoute) -> Result<RouteMessage, Error> {
    let builder = to(&route.to)?.priority(route.metric);
    let kind = if route.unreachable { RouteType::Unreachable } else { RouteType::Unicast };
    let builder = builder.kind(kind);
    let builder = route.link.map_or(builder.clone(), |link| builder.output_interface(link));
    Ok(builder.build())
}
