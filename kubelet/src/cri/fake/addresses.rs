//! Which addresses the sandboxes of a runtime in memory get: the next free ones of a range, as the plugin `host-local`
//! hands them out. The first address of a range is the gateway's.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A range of addresses, and which of them are taken.
#[derive(Debug)]
pub(super) struct Pool {
    base: IpAddr,
    /// How many addresses there are, the one of the network included.
    size: u64,
    last: u64,
    taken: BTreeSet<u64>,
}

/// The most addresses of a pool: no node has more pods.
const MOST: u64 = 1 << 20;

impl Pool {
    /// From what is written as `10.1.2.0/24` or `fd00::/64`.
    pub(super) fn parse(range: &str) -> Option<Pool> {
        let (base, prefix) = range.split_once('/')?;
        let base: IpAddr = base.parse().ok()?;
        let bits: u32 = if base.is_ipv4() { 32 } else { 128 };
        let host = bits.checked_sub(prefix.parse().ok()?)?;
        let size = 1u64.checked_shl(host).unwrap_or(MOST).min(MOST);
        Some(Pool { base, size, last: 1, taken: BTreeSet::new() })
    }

    /// Takes the next free address. `None` if there is none left.
    pub(super) fn take(&mut self) -> Option<IpAddr> {
        // Neither the network's address nor the gateway's, nor, with IPv4, the one of everybody.
        let end = if self.base.is_ipv4() { self.size.saturating_sub(1) } else { self.size };
        let next = (self.last + 1..end).chain(2..end.min(self.last + 1)).find(|at| !self.taken.contains(at))?;
        self.taken.insert(next);
        self.last = next;
        Some(self.at(next))
    }

    /// Puts an address back. One of another range is none of our business.
    pub(super) fn put_back(&mut self, address: IpAddr) {
        let offset = match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => u32::from(address).checked_sub(base.into()).map(u64::from),
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                u128::from(address).checked_sub(base.into()).and_then(|offset| u64::try_from(offset).ok())
            }
            _ => None,
        };
        if let Some(offset) = offset {
            self.taken.remove(&offset);
        }
    }

    fn at(&self, offset: u64) -> IpAddr {
        match self.base {
            // A pool has at most 2^20 addresses.
            IpAddr::V4(base) => Ipv4Addr::from(u32::from(base).wrapping_add(offset as u32)).into(),
            IpAddr::V6(base) => Ipv6Addr::from(u128::from(base).wrapping_add(offset.into())).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_round_and_are_used_again_last() {
        let mut pool = Pool::parse("10.1.2.0/29").unwrap();
        let take = |pool: &mut Pool| pool.take().map(|address| address.to_string());
        let first: Vec<_> = (0..3).map(|_| take(&mut pool).unwrap()).collect();
        assert_eq!(first, ["10.1.2.2", "10.1.2.3", "10.1.2.4"]);
        pool.put_back("10.1.2.3".parse().unwrap());
        assert_eq!(take(&mut pool).as_deref(), Some("10.1.2.5"));
        assert_eq!(take(&mut pool).as_deref(), Some("10.1.2.6"));
        assert_eq!(take(&mut pool).as_deref(), Some("10.1.2.3"));
        assert_eq!(take(&mut pool), None);
        pool.put_back("fd00::2".parse().unwrap());
        assert_eq!(take(&mut pool), None);
    }

    #[test]
    fn ranges_are_read() {
        for (range, first) in [
            ("fd00:1::/64", Some("fd00:1::2")),
            ("10.0.0.0/8", Some("10.0.0.2")),
            ("10.0.0.0/31", None),
            ("10.0.0.0/32", None),
        ] {
            let first_of = Pool::parse(range).unwrap().take().map(|address| address.to_string());
            assert_eq!(first_of.as_deref(), first, "{range}");
        }
        for range in ["10.0.0.0", "10.0.0.0/33", "x/8", "10.0.0.0/y"] {
            assert!(Pool::parse(range).is_none(), "{range}");
        }
    }
}
