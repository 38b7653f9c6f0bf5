//! The address that others in the cluster are told to find this server at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The address of this server for others, of IPv4 or of IPv6, when it listens at `listen`: the first of that family that was
/// `told`, or the one that it listens at, unless that is for this machine alone or for all of its addresses; then the one
/// that this machine uses by default to reach others, as upstream chooses it. `None` if there is none.
#[must_use]
pub fn advertised_address(listen: IpAddr, ipv4: bool, told: &[IpAddr]) -> Option<IpAddr> {
    let is_of_use = |ip: &IpAddr| ip.is_ipv4() == ipv4 && is_global(*ip);
    if let Some(told) = told.iter().copied().find(is_of_use) {
        return Some(told);
    }
    let is_particular = !listen.is_unspecified() && !listen.is_loopback();
    let chosen = if is_particular { Some(listen) } else { default_source(ipv4) };
    chosen.filter(is_of_use)
}

/// The address that the routing table would have a packet to far away come from. None is sent; the destination is a root
/// name server, which no machine has a route to but its default one.
fn default_source(ipv4: bool) -> Option<IpAddr> {
    let (any, far): (IpAddr, IpAddr) = if ipv4 {
        (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(198, 41, 0, 4).into())
    } else {
        (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0x503, 0xba3e, 0, 0, 0, 2, 0x30).into())
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(SocketAddr::new(far, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Whether endpoints may have the address: it means the same on every node.
fn is_global(ip: IpAddr) -> bool {
    let is_link_local = match ip {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some(),
    };
    !(is_link_local || ip.is_unspecified() || ip.is_loopback() || ip.is_multicast())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn particular_addresses_are_advertised_as_they_are() {
        let check = |listen: &str, ipv4: bool, expected: Option<&str>| {
            let expected = expected.map(|ip| ip.parse().unwrap());
            assert_eq!(advertised_address(listen.parse().unwrap(), ipv4, &[]), expected, "{listen}");
        };
        check("192.0.2.7", true, Some("192.0.2.7"));
        check("2001:db8::7", false, Some("2001:db8::7"));
        check("192.0.2.7", false, None);
        check("2001:db8::7", true, None);
        check("169.254.0.1", true, None);
        check("fe80::1", false, None);
        check("224.0.0.1", true, None);
    }

    #[test]
    fn what_is_told_goes_before_what_is_found() {
        let check = |listen: &str, ipv4: bool, told: &[&str], expected: &str| {
            let told: Vec<IpAddr> = told.iter().map(|ip| ip.parse().unwrap()).collect();
            let advertised = advertised_address(listen.parse().unwrap(), ipv4, &told);
            assert_eq!(advertised, Some(expected.parse().unwrap()), "{listen} {told:?}");
        };
        check("0.0.0.0", true, &["192.0.2.7"], "192.0.2.7");
        check("192.0.2.8", true, &["192.0.2.7"], "192.0.2.7");
        check("0.0.0.0", true, &["2001:db8::7", "127.0.0.1", "192.0.2.7"], "192.0.2.7");
        check("192.0.2.8", true, &["2001:db8::7"], "192.0.2.8");
        check("::", false, &["192.0.2.7", "2001:db8::7"], "2001:db8::7");
    }

    /// What this machine has is not known here; but it is nothing that endpoints may not have.
    #[test]
    fn others_are_replaced_by_what_is_good_for_endpoints() {
        for (listen, ipv4) in [("127.0.0.1", true), ("0.0.0.0", true), ("::1", false), ("::", false), ("::", true)] {
            let advertised = advertised_address(listen.parse().unwrap(), ipv4, &[]);
            assert!(advertised.is_none_or(|ip| ip.is_ipv4() == ipv4 && is_global(ip)), "{listen}: {advertised:?}");
        }
    }
}
