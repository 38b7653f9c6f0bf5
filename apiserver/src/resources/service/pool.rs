//! What is given to Services one by one: the addresses of a range, or ports.
//!
//! The lower part of a pool is left to those who ask for an item by name, as long as there is anything else (KEP-3070,
//! KEP-3682). Which item comes next is not decided here but by a random number that comes in.

use std::collections::HashSet;
use std::net::IpAddr;
use std::ops::{Range, RangeInclusive};

use api::names::parse_ip_sloppy;

/// The name of the ledger's pool of addresses, of both families.
pub(super) const CLUSTER_IPS: &str = "cluster-ips";
/// The name of the ledger's pool of node ports, health check ports included.
pub(super) const NODE_PORTS: &str = "node-ports";

/// Items that are numbered from 0.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    first: First,
    size: u64,
    reserved: u64,
}

#[derive(Clone, Copy, Debug)]
enum First {
    Address(IpAddr),
    Port(u16),
}

impl Pool {
    /// `size` addresses from `first` on, of a range that has `total`.
    pub(super) fn addresses(first: IpAddr, size: u64, total: u64) -> Pool {
        Pool { first: First::Address(first), size, reserved: reserved(total, 16, 16, 256) }
    }

    pub(super) fn ports(range: RangeInclusive<u16>) -> Pool {
        let size = u64::from(range.end() - range.start()) + 1;
        Pool { first: First::Port(*range.start()), size, reserved: reserved(size, 16, 32, 128) }
    }

    /// What the ledger calls it.
    pub(super) fn name(&self) -> &'static str {
        match self.first {
            First::Address(_) => CLUSTER_IPS,
            First::Port(_) => NODE_PORTS,
        }
    }

    pub(super) fn is_ipv4(&self) -> bool {
        matches!(self.first, First::Address(IpAddr::V4(_)))
    }

    /// The numbers that are given away before the others, and the others.
    pub(super) fn bands(&self) -> [Range<u64>; 2] {
        [self.reserved..self.size, 0..self.reserved]
    }

    /// Item `index` as the ledger and the Service state it.
    pub(super) fn item(&self, index: u64) -> String {
        match self.first {
            First::Address(IpAddr::V4(first)) => {
                let bits = u64::from(first.to_bits()) + index;
                IpAddr::V4(u32::try_from(bits).unwrap_or(u32::MAX).into()).to_string()
            }
            First::Address(IpAddr::V6(first)) => IpAddr::V6((first.to_bits() + u128::from(index)).into()).to_string(),
            First::Port(first) => (u64::from(first) + index).to_string(),
        }
    }

    /// The number of an item, if it is one of this pool.
    pub(super) fn index(&self, item: &str) -> Option<u64> {
        let index = match self.first {
            First::Address(IpAddr::V4(first)) => match parse_ip_sloppy(item)? {
                IpAddr::V4(ip) => u64::from(ip.to_bits().checked_sub(first.to_bits())?),
                IpAddr::V6(_) => return None,
            },
            First::Address(IpAddr::V6(first)) => match parse_ip_sloppy(item)? {
                IpAddr::V6(ip) => u64::try_from(ip.to_bits().checked_sub(first.to_bits())?).ok()?,
                IpAddr::V4(_) => return None,
            },
            First::Port(first) => item.parse::<u64>().ok()?.checked_sub(first.into())?,
        };
        (index < self.size).then_some(index)
    }

    /// Why an item is none of this pool, in upstream's words.
    pub(super) fn not_in_range(&self) -> String {
        match self.first {
            First::Address(_) => "the provided network does not match the current range".to_owned(),
            First::Port(first) => {
                let last = u64::from(first) + self.size - 1;
                format!("provided port is not in the valid range. The range of valid ports is {first}-{last}")
            }
        }
    }

    /// Every number that is not in `taken`: the upper band from `start` on, going round, and then the lower likewise.
    pub(super) fn free<'a>(&self, start: u64, taken: &'a HashSet<u64>) -> impl Iterator<Item = u64> + 'a {
        let bands = self.bands().into_iter().filter(|band| !band.is_empty());
        let from = bands.flat_map(move |band| {
            let at = band.start + start % (band.end - band.start);
            (at..band.end).chain(band.start..at)
        });
        from.filter(|index| !taken.contains(index))
    }
}

/// How many items are left to those who ask for them: `min(max(least, total / step), most)`, or none if there are hardly
/// more than the least.
fn reserved(total: u64, least: u64, step: u64, most: u64) -> u64 {
    if total <= least { 0 } else { (total / step).clamp(least, most) }
}

#[cfg(test)]
mod tests {
    use super::super::config::Config;
    use super::*;

    fn addresses(cidr: &str) -> Pool {
        let config = Config::new(cidr, None, 30_000..=32_767).unwrap();
        let family = config.families().primary;
        config.addresses(family).unwrap().clone()
    }

    #[test]
    fn bands_as_upstream() {
        let cases = [
            ("10.0.0.0/28", 14, 0),
            ("10.0.0.0/27", 30, 16),
            ("10.0.0.0/24", 254, 16),
            ("10.0.0.0/20", 4094, 256),
            ("10.96.0.0/12", 1_048_574, 256),
            ("0.0.0.0/0", (1 << 32) - 2, 256),
            ("fd00::/124", 15, 0),
            ("fd00::/112", 65_535, 256),
            ("fd00::/64", u64::MAX, 256),
        ];
        for (cidr, size, reserved) in cases {
            let pool = addresses(cidr);
            assert_eq!((pool.size, pool.reserved), (size, reserved), "{cidr}");
        }
        for (ports, size, reserved) in [
            (30_000..=32_767, 2768, 86),
            (30_000..=30_015, 16, 0),
            (30_000..=30_100, 101, 16),
            (1..=65_535, 65_535, 128),
        ] {
            let pool = Pool::ports(ports);
            assert_eq!((pool.size, pool.reserved), (size, reserved));
        }
    }

    #[test]
    fn items_and_numbers_belong_together() {
        let cases = [
            (addresses("10.0.0.0/24"), "10.0.0.1", "10.0.0.254", ["10.0.0.0", "10.0.0.255", "10.0.1.1", "::1", "x"]),
            (addresses("fd00::/112"), "fd00::1", "fd00::ffff", ["fd00::", "fd00::1:0", "fc00::1", "10.0.0.1", ""]),
            (Pool::ports(30_000..=32_767), "30000", "32767", ["29999", "32768", "-1", "0", "99999999999999999999"]),
        ];
        for (pool, first, last, outside) in cases {
            assert_eq!((pool.item(0).as_str(), pool.item(pool.size - 1).as_str()), (first, last));
            assert_eq!((pool.index(first), pool.index(last)), (Some(0), Some(pool.size - 1)));
            for item in outside {
                assert_eq!(pool.index(item), None, "{item}");
            }
        }
    }

    #[test]
    fn free_items_come_from_the_upper_band_first() {
        let pool = Pool::ports(1..=20);
        let free = |start, taken: &[u64]| pool.free(start, &taken.iter().copied().collect()).collect::<Vec<_>>();
        assert_eq!(free(0, &[])[..5], [16, 17, 18, 19, 0]);
        assert_eq!(free(6, &[])[..5], [18, 19, 16, 17, 6]);
        assert_eq!(free(2, &[16, 17, 18, 19])[..3], [2, 3, 4]);
        assert_eq!(free(3, &[]).len(), 20);
        assert_eq!(free(0, &(0..20).collect::<Vec<_>>()), [0; 0]);
        assert_eq!(
            addresses("fd00::/64").free(u64::MAX, &HashSet::new()).next(),
            Some(256 + u64::MAX % (u64::MAX - 256))
        );
    }
}
