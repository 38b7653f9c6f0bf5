//! What is said to everybody on a link about an address that is here now: a gratuitous ARP request (RFC 5227, 3) for IPv4, an
//! unsolicited neighbour advertisement (RFC 4861, 7.2.6) for IPv6.

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::sockopt::{set_ipv6_multicast_hops, set_ipv6_unicast_hops};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, ipproto, sendto, socket_with};

use super::links::Link;

/// The length of a hardware address of Ethernet.
const HARDWARE: usize = 6;
/// IPv4's number in Ethernet, and ARP's.
const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;

/// Tells everybody on the link.
pub(super) fn tell(address: IpAddr, link: &Link) -> io::Result<()> {
    // Links without such addresses, such as tunnels, have no neighbours that could be told.
    let Ok(hardware) = <[u8; HARDWARE]>::try_from(link.hardware.as_slice()) else { return Ok(()) };
    match address {
        IpAddr::V4(address) => send_arp(link.index, &arp(address, hardware)),
        IpAddr::V6(address) => send_advertisement(address, link.index, &advertisement(address, hardware)),
    }
}

/// A request for one's own address by its owner.
fn arp(address: Ipv4Addr, hardware: [u8; HARDWARE]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(28);
    packet.extend(1_u16.to_be_bytes());
    packet.extend(IPV4.to_be_bytes());
    packet.extend([6, 4]);
    packet.extend(1_u16.to_be_bytes());
    packet.extend(hardware);
    packet.extend(address.octets());
    packet.extend([0; HARDWARE]);
    packet.extend(address.octets());
    packet
}

/// An advertisement that nobody asked for, and that overrides what others know. The kernel adds the checksum.
fn advertisement(address: Ipv6Addr, hardware: [u8; HARDWARE]) -> Vec<u8> {
    let mut packet = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
    packet.extend(address.octets());
    packet.extend([2, 1]);
    packet.extend(hardware);
    packet
}

fn send_arp(link: u32, packet: &[u8]) -> io::Result<()> {
    let socket = socket_with(AddressFamily::PACKET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: of this structure of numbers, all zeros are a value.
    let mut to: libc::sockaddr_ll = unsafe { mem::zeroed() };
    to.sll_family = u16::try_from(libc::AF_PACKET).unwrap_or_default();
    to.sll_protocol = ARP.to_be();
    to.sll_ifindex = i32::try_from(link).map_err(io::Error::other)?;
    to.sll_halen = 6;
    to.sll_addr = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0];
    let length = libc::socklen_t::try_from(mem::size_of_val(&to)).map_err(io::Error::other)?;
    // SAFETY: both pointers are to memory of the lengths beside them, which outlives the call.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            packet.as_ptr().cast(),
            packet.len(),
            0,
            (&raw const to).cast::<libc::sockaddr>(),
            length,
        )
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn send_advertisement(from: Ipv6Addr, link: u32, packet: &[u8]) -> io::Result<()> {
    let socket: OwnedFd =
        socket_with(AddressFamily::INET6, SocketType::RAW, SocketFlags::CLOEXEC, Some(ipproto::ICMPV6))?;
    // What came over a router is not believed: it has lost a hop.
    set_ipv6_multicast_hops(&socket, 255)?;
    set_ipv6_unicast_hops(&socket, Some(255))?;
    rustix::net::bind(&socket, &SocketAddrV6::new(from, 0, 0, link))?;
    let everybody = SocketAddrV6::new(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), 0, 0, link);
    sendto(&socket, packet, SendFlags::empty(), &everybody)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_as_the_standards_have_them() {
        let hardware = [2, 0, 0, 0, 0, 1];
        let arp = arp(Ipv4Addr::new(192, 0, 2, 9), hardware);
        let expected = [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 192, 0, 2, 9, 0, 0, 0, 0, 0, 0, 192, 0, 2, 9];
        assert_eq!(arp, expected);
        let advertisement = advertisement("fd00::9".parse().unwrap(), hardware);
        assert_eq!(advertisement[..8], [136, 0, 0, 0, 0x20, 0, 0, 0]);
        assert_eq!(advertisement[8..24], "fd00::9".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!(advertisement[24..], [2, 1, 2, 0, 0, 0, 0, 1]);
    }
}
