//! The addresses that the machine has, as its kernel knows them now.

use std::io;
use std::net::IpAddr;

use crate::netlink::{Message, Socket, attribute};

/// The type of a request for addresses.
const GET_ADDRESS: u16 = 22;
/// What precedes the attributes of an address: family, length of the prefix, flags, scope, and the interface's number.
const HEADER: usize = 8;
// Attributes of an address. On a link between two, the first is that of the other end.
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;

/// Every address of every interface.
///
/// # Errors
/// The kernel does not say.
pub fn of_machine() -> io::Result<Vec<IpAddr>> {
    // Of whatever family.
    let request = Message { kind: GET_ADDRESS, body: vec![0; HEADER] };
    let found = Socket::open(None)?.dump(&request)?;
    Ok(found.iter().filter_map(|body| address(body)).collect())
}

fn address(body: &[u8]) -> Option<IpAddr> {
    let attributes = body.get(HEADER..)?;
    parse(attribute(attributes, LOCAL).or_else(|| attribute(attributes, ADDRESS))?)
}

/// An address as the kernel writes it.
pub(crate) fn parse(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(bytes));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::put;

    #[test]
    fn a_machine_has_addresses() {
        // Every network has a loopback interface; it has an address if it is up, as it is wherever tests run.
        let found = of_machine().unwrap();
        assert!(found.iter().any(IpAddr::is_loopback), "{found:?}");
    }

    #[test]
    fn the_own_end_of_a_link_counts() {
        let mut body = vec![0; HEADER];
        put(&mut body, ADDRESS, &[10, 0, 0, 2], false);
        assert_eq!(address(&body), Some("10.0.0.2".parse().unwrap()));
        put(&mut body, LOCAL, &[10, 0, 0, 1], false);
        assert_eq!(address(&body), Some("10.0.0.1".parse().unwrap()));
        assert_eq!(address(&body[..HEADER]), None);
        assert_eq!(parse(&[1, 2, 3]), None);
    }
}
