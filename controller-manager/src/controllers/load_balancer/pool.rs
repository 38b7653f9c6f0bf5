//! The addresses that Services of type LoadBalancer are given, as the option of the process says it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use api::names::parse_cidr_sloppy;

/// The option that says it.
pub const OPTION: &str = "--load-balancer-pool";

/// Ranges of addresses, in the order in which they are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    text: String,
    ranges: Vec<Range>,
}

/// Addresses from the first to the last, both of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: IpAddr,
    last: IpAddr,
}

/// Why a text is no pool.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// A part of it is no range.
    #[error("{0:?} is no range of addresses: write it as 192.0.2.0/28, 192.0.2.10-192.0.2.20 or 192.0.2.10")]
    NotARange(String),
    /// A range ends before it begins, or in another family.
    #[error("{0:?} does not lead from an address to a later one")]
    Backwards(String),
    /// Two ranges have addresses in common.
    #[error("{0} and {1} have addresses in common")]
    Overlap(String, String),
}

impl Pool {
    /// The families of which it has addresses, IPv4 first.
    pub(super) fn has(&self, v6: bool) -> bool {
        self.ranges.iter().any(|range| range.first.is_ipv6() == v6)
    }

    /// Whether an address is one of them.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        self.ranges.iter().any(|range| range.contains(address))
    }

    /// The first address of a family that is not taken.
    pub(super) fn free(&self, v6: bool, is_taken: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
        let mut ranges = self.ranges.iter().filter(|range| range.first.is_ipv6() == v6);
        ranges.find_map(|range| {
            let mut address = range.first;
            loop {
                if !is_taken(address) {
                    return Some(address);
                }
                if address == range.last {
                    return None;
                }
                address = next(address);
            }
        })
    }

    /// The first of these ranges that has an address in common with one of the pool.
    #[must_use]
    pub fn overlapping<'a>(&self, others: impl IntoIterator<Item = &'a str>) -> Option<(String, &'a str)> {
        others.into_iter().find_map(|text| {
            let other = Range::from_str(text).ok()?;
            let mine = self.ranges.iter().find(|range| range.overlaps(&other))?;
            Some((mine.to_string(), text))
        })
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl FromStr for Pool {
    type Err = PoolError;

    fn from_str(text: &str) -> Result<Pool, PoolError> {
        let mut ranges: Vec<Range> = Vec::new();
        for part in text.split(',').map(str::trim) {
            let range = Range::from_str(part)?;
            if let Some(other) = ranges.iter().find(|other| other.overlaps(&range)) {
                return Err(PoolError::Overlap(other.to_string(), range.to_string()));
            }
            ranges.push(range);
        }
        Ok(Pool { text: text.to_owned(), ranges })
    }
}

impl Range {
    fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && self.first <= address && address <= self.last
    }

    fn overlaps(&self, other: &Range) -> bool {
        self.contains(other.first) || other.contains(self.first)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.first, self.last)
    }
}

impl FromStr for Range {
    type Err = PoolError;

    fn from_str(text: &str) -> Result<Range, PoolError> {
        let not_a_range = || PoolError::NotARange(text.to_owned());
        if let Some((first, last)) = text.split_once('-') {
            let address = |text: &str| text.trim().parse::<IpAddr>().map_err(|_| not_a_range());
            let (first, last) = (address(first)?, address(last)?);
            if first.is_ipv4() != last.is_ipv4() || first > last {
                return Err(PoolError::Backwards(text.to_owned()));
            }
            return Ok(Range { first, last });
        }
        if let Ok(address) = text.parse() {
            return Ok(Range { first: address, last: address });
        }
        let cidr = parse_cidr_sloppy(text).ok_or_else(not_a_range)?;
        let (first, last) = match cidr.network() {
            IpAddr::V4(first) => {
                let behind = u32::MAX.checked_shr(cidr.prefix_length.into()).unwrap_or(0);
                (IpAddr::V4(first), IpAddr::V4((first.to_bits() | behind).into()))
            }
            IpAddr::V6(first) => {
                let behind = u128::MAX.checked_shr(cidr.prefix_length.into()).unwrap_or(0);
                (IpAddr::V6(first), IpAddr::V6((first.to_bits() | behind).into()))
            }
        };
        Ok(Range { first, last })
    }
}

/// The address behind this one. Only asked for where there is one.
fn next(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::V4(address.to_bits().wrapping_add(1).into()),
        IpAddr::V6(address) => IpAddr::V6(address.to_bits().wrapping_add(1).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_in_three_ways() {
        let pool: Pool = "192.0.2.8/30, 192.0.2.20-192.0.2.21,fd00::1".parse().unwrap();
        let all = |v6: bool| {
            let mut taken = Vec::new();
            while let Some(address) = pool.free(v6, |address| taken.contains(&address)) {
                taken.push(address);
            }
            taken.iter().map(IpAddr::to_string).collect::<Vec<_>>()
        };
        let expected = ["192.0.2.8", "192.0.2.9", "192.0.2.10", "192.0.2.11", "192.0.2.20", "192.0.2.21"];
        assert_eq!(all(false), expected);
        assert_eq!(all(true), ["fd00::1"]);
        assert!(pool.contains("192.0.2.11".parse().unwrap()) && !pool.contains("192.0.2.12".parse().unwrap()));
        assert_eq!(pool.overlapping(["10.0.0.0/8", "192.0.2.16/28"]).unwrap().1, "192.0.2.16/28");
        assert_eq!(pool.overlapping(["10.0.0.0/8", "192.0.2.12/30"]), None);
        assert!("0.0.0.0/0".parse::<Pool>().unwrap().contains("255.255.255.255".parse().unwrap()));
    }

    #[test]
    fn what_is_no_pool_is_refused() {
        let check = |text: &str, expected: &str| {
            let error = text.parse::<Pool>().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("", "\"\" is no range");
        check("192.0.2.0/33", "is no range");
        check("192.0.2.0-", "is no range");
        check("192.0.2.2-192.0.2.1", "does not lead");
        check("192.0.2.2-fd00::1", "does not lead");
        check("192.0.2.0/24,192.0.2.255", "have addresses in common");
    }
}
