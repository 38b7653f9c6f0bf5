//! Ranges of addresses of equal size, out of a larger one.

use std::iter::Peekable;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::vec::IntoIter;

use api::names::Cidr;

/// A range of the cluster's, cut into ranges for nodes, which are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pool {
    v6: bool,
    first: u128,
    prefix: u8,
    mask: u8,
}

/// How many bits the addresses have that a range is of.
pub(super) fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The first and the last address of a range.
fn ends(cidr: &Cidr) -> (u128, u128) {
    let first = bits(cidr.network());
    let free = u32::from(width(cidr.address).saturating_sub(cidr.prefix_length));
    (first, first | 1u128.checked_shl(free).map_or(u128::MAX, |size| size - 1))
}

impl Pool {
    /// The ranges with a prefix of `mask` bits in `cidr`. There are such if its own is not longer, and `mask` not longer than
    /// an address.
    pub(super) fn new(cidr: &Cidr, mask: u8) -> Pool {
        Pool { v6: cidr.address.is_ipv6(), first: bits(cidr.network()), prefix: cidr.prefix_length, mask }
    }

    /// How many there are.
    pub(super) fn size(&self) -> u128 {
        1u128.checked_shl(u32::from(self.mask.saturating_sub(self.prefix))).unwrap_or(u128::MAX)
    }

    /// By how much addresses are shifted to number the ranges.
    fn shift(&self) -> u32 {
        self.bits() - u32::from(self.mask)
    }

    fn bits(&self) -> u32 {
        if self.v6 { 128 } else { 32 }
    }

    /// The numbers of the first and the last range that have addresses in common with `cidr`.
    pub(super) fn overlap(&self, cidr: &Cidr) -> Option<(u128, u128)> {
        let (first, last) = ends(cidr);
        let end =
            self.first | 1u128.checked_shl(self.bits() - u32::from(self.prefix)).map_or(u128::MAX, |size| size - 1);
        if cidr.address.is_ipv6() != self.v6 || first > end || last < self.first {
            return None;
        }
        let number = |address: u128| (address - self.first).checked_shr(self.shift()).unwrap_or(0);
        Some((number(first.max(self.first)), number(last.min(end))))
    }

    /// A range, by its number.
    fn range(&self, number: u128) -> String {
        let address = self.first | number.checked_shl(self.shift()).unwrap_or(0);
        let address: IpAddr = if self.v6 {
            Ipv6Addr::from_bits(address).into()
        } else {
            // The pool is in the IPv4 addresses, and so is what is in it.
            Ipv4Addr::from_bits(u32::try_from(address).unwrap_or(u32::MAX)).into()
        };
        format!("{address}/{}", self.mask)
    }

    /// The ranges that have no address in common with what is taken, from the first on. It costs as much as is taken, not as
    /// much as there is.
    pub(super) fn free(&self, taken: &[Cidr]) -> Free {
        let mut taken: Vec<(u128, u128)> = taken.iter().filter_map(|cidr| self.overlap(cidr)).collect();
        taken.sort_unstable();
        Free { pool: *self, taken: taken.into_iter().peekable(), next: 0 }
    }
}

/// The free ranges of a pool.
pub(super) struct Free {
    pool: Pool,
    /// The first and the last of those that are taken, in order.
    taken: Peekable<IntoIter<(u128, u128)>>,
    next: u128,
}

impl Iterator for Free {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        while let Some((_, last)) = self.taken.next_if(|(first, _)| *first <= self.next) {
            self.next = self.next.max(last.saturating_add(1));
        }
        if self.next >= self.pool.size() {
            return None;
        }
        self.next += 1;
        Some(self.pool.range(self.next - 1))
    }
}

#[cfg(test)]
mod tests {
    use api::names::parse_cidr_sloppy;
    use proptest::prelude::*;

    use super::*;

    fn cidr(text: &str) -> Cidr {
        parse_cidr_sloppy(text).unwrap()
    }

    #[test]
    fn ranges_are_free_unless_taken() {
        let check = |pool: &str, mask: u8, taken: &[&str], expected: &[&str]| {
            let taken: Vec<Cidr> = taken.iter().map(|text| cidr(text)).collect();
            let free: Vec<String> = Pool::new(&cidr(pool), mask).free(&taken).take(3).collect();
            assert_eq!(free, expected, "of {pool} without {taken:?}");
        };
        check("10.0.0.0/16", 24, &[], &["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"]);
        check("10.0.0.0/16", 24, &["10.0.1.0/24", "10.0.0.7/32"], &["10.0.2.0/24", "10.0.3.0/24", "10.0.4.0/24"]);
        check("10.0.0.0/16", 24, &["10.0.0.0/17"], &["10.0.128.0/24", "10.0.129.0/24", "10.0.130.0/24"]);
        check("10.0.0.0/23", 24, &["10.0.0.0/24"], &["10.0.1.0/24"]);
        check("10.0.0.0/24", 24, &[], &["10.0.0.0/24"]);
        check("10.0.0.0/24", 24, &["10.0.0.0/8"], &[]);
        check("10.0.0.0/23", 24, &["11.0.0.0/24", "fd00::/8"], &["10.0.0.0/24", "10.0.1.0/24"]);
        check("255.255.254.0/23", 24, &[], &["255.255.254.0/24", "255.255.255.0/24"]);
        check("0.0.0.0/0", 32, &["0.0.0.0/1"], &["128.0.0.0/32", "128.0.0.1/32", "128.0.0.2/32"]);
        check("fd00:1::/48", 64, &["fd00:1::/64"], &["fd00:1:0:1::/64", "fd00:1:0:2::/64", "fd00:1:0:3::/64"]);
        check("fd00::/120", 128, &["fd00::/127"], &["fd00::2/128", "fd00::3/128", "fd00::4/128"]);
        check("::/0", 0, &[], &["::/0"]);
        check("ffff::/16", 16, &["ffff::/16"], &[]);
    }

    proptest! {
        #[test]
        fn no_free_range_has_an_address_that_is_taken(
            mask in 20u8..=28,
            taken in proptest::collection::vec((any::<u16>(), 16u8..=32), 0..12),
        ) {
            let pool = Pool::new(&cidr("10.1.0.0/20"), mask);
            let taken: Vec<Cidr> = taken.iter()
                .map(|(low, prefix)| cidr(&format!("10.1.{}.{}/{prefix}", low >> 8, low & 255)))
                .collect();
            let free: Vec<String> = pool.free(&taken).collect();
            let meets = |a: &Cidr, b: &Cidr| ends(a).0 <= ends(b).1 && ends(b).0 <= ends(a).1;
            let all: Vec<String> = pool.free(&[]).collect();
            let expected: Vec<String> =
                all.into_iter().filter(|range| !taken.iter().any(|taken| meets(taken, &cidr(range)))).collect();
            prop_assert_eq!(free, expected);
        }
    }
}
