//! Where a node is found: its host name, and the addresses that it was told or that its routes lead from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use k8s_openapi::api::core::v1::NodeAddress;

use super::machine::{MachineError, Roots};

/// Addresses that are documented to be nobody's. Nothing is sent to them: they stand for the rest of the world.
const ELSEWHERE: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

/// What a Node says of where it is found: the addresses in their order, and the host name.
#[must_use]
pub fn of_node(addresses: &[IpAddr], host_name: &str) -> Vec<NodeAddress> {
    let address = |kind: &str, address: String| NodeAddress { type_: kind.to_owned(), address };
    let mut said: Vec<_> = addresses.iter().map(|ip| address("InternalIP", ip.to_string())).collect();
    said.push(address("Hostname", host_name.to_owned()));
    said
}

/// The addresses at which the machine is found, at most one of each family: those that were `told` (`--node-ip`), or those
/// from which its routes lead elsewhere, or else, where no route does, the first that it has.
pub fn find(roots: &Roots, told: &[IpAddr]) -> Result<Vec<IpAddr>, MachineError> {
    if !told.is_empty() {
        return Ok(one_of_each(told.iter().copied()));
    }
    let routed = one_of_each(ELSEWHERE.iter().filter_map(|elsewhere| source_towards(*elsewhere)));
    if !routed.is_empty() {
        return Ok(routed);
    }
    let own = one_of_each(configured(roots));
    if own.is_empty() { Err(MachineError::NoAddress) } else { Ok(own) }
}

/// The first address of each family, the family of the first one first.
fn one_of_each(addresses: impl IntoIterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    for address in addresses {
        if found.iter().all(|other| other.is_ipv4() != address.is_ipv4()) {
            found.push(address);
        }
    }
    found
}

/// From which address the machine would send something. Connecting a datagram's socket sends nothing.
fn source_towards(elsewhere: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = if elsewhere.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(SocketAddr::new(elsewhere, 9)).ok()?;
    socket.local_addr().ok().map(|local| local.ip()).filter(is_of_use)
}

/// The addresses that the kernel has, without those that lead nowhere.
fn configured(roots: &Roots) -> Vec<IpAddr> {
    let v4 = roots.text("proc/net/fib_trie").map(|text| of_fib_trie(&text)).unwrap_or_default();
    let v6 = roots.text("proc/net/if_inet6").map(|text| of_if_inet6(&text)).unwrap_or_default();
    v4.into_iter().map(IpAddr::from).chain(v6.into_iter().map(IpAddr::from)).filter(is_of_use).collect()
}

fn is_of_use(address: &IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !address.is_loopback() && !address.is_unspecified() && !address.is_multicast() && !is_link_local
}

/// The machine's own addresses among its routes: `|-- 10.0.0.5` with `/32 host LOCAL` below it.
fn of_fib_trie(text: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut last = None;
    for line in text.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
        } else if line.starts_with("/32 host LOCAL")
            && let Some(address) = last.take().filter(|address| !found.contains(address))
        {
            found.push(address);
        }
    }
    found
}

/// The machine's addresses of global scope: 32 digits, the interface, the prefix, the scope.
fn of_if_inet6(text: &str) -> Vec<Ipv6Addr> {
    let parse = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [digits, _, _, "00", ..] = words[..] else { return None };
        u128::from_str_radix(digits, 16).ok().map(Ipv6Addr::from_bits)
    };
    text.lines().filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIB_TRIE: &str = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 192.168.7.0\n        \
        /24 link UNICAST\nLocal:\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 192.168.7.5\n        /32 host LOCAL\n     \
        |-- 192.168.7.255\n        /32 link BROADCAST\n     |-- 192.168.7.5\n        /32 host LOCAL\n     |-- 172.17.0.1\n        /32 host LOCAL\n";
    const IF_INET6: &str = "00000000000000000000000000000001 01 80 10 80 lo\n\
        fe80000000000000021122fffe334455 02 40 20 80 eth0\nfd000000000000000000000000000007 02 40 00 80 eth0\n";

    #[test]
    fn addresses_are_found_without_routes() {
        let directory = tempfile::tempdir().unwrap();
        let roots = Roots { root: directory.path().into(), storage: directory.path().into() };
        assert!(configured(&roots).is_empty());
        std::fs::create_dir_all(directory.path().join("proc/net")).unwrap();
        std::fs::write(directory.path().join("proc/net/fib_trie"), FIB_TRIE).unwrap();
        std::fs::write(directory.path().join("proc/net/if_inet6"), IF_INET6).unwrap();
        let expected: Vec<IpAddr> =
            ["192.168.7.5", "172.17.0.1", "fd00::7"].iter().map(|address| address.parse().unwrap()).collect();
        assert_eq!(configured(&roots), expected);
        assert_eq!(one_of_each(configured(&roots)), [expected[0], expected[2]]);
    }

    #[test]
    fn what_was_told_goes_before_what_is_found() {
        let roots = Roots { root: "/nonexistent".into(), storage: "/nonexistent".into() };
        let told: Vec<IpAddr> = ["fd00::1", "10.0.0.1", "10.0.0.2"].iter().map(|ip| ip.parse().unwrap()).collect();
        let found = find(&roots, &told).unwrap();
        assert_eq!(found, told[..2]);
        let said = of_node(&found, "web");
        let said: Vec<_> = said.iter().map(|said| (said.type_.as_str(), said.address.as_str())).collect();
        assert_eq!(said, [("InternalIP", "fd00::1"), ("InternalIP", "10.0.0.1"), ("Hostname", "web")]);
    }
}
