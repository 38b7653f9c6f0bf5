//! Gives the pods of a node addresses: each its own, from the ranges that the node was given, and none again soon.

use std::collections::BTreeSet;
use std::net::IpAddr;

use api::names::{Cidr, parse_cidr_sloppy};

/// What is between the network's own address and the first of a pod: the gateway.
const FIRST: u128 = 2;

/// The addresses of the pods of one node.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// One of each family.
    ranges: Vec<Cidr>,
    /// The first addresses of pods, which are different as all of them are.
    used: BTreeSet<IpAddr>,
    /// Where to look for the next.
    next: u128,
}

impl Addresses {
    /// From now on gives addresses of these ranges. What was given out stays.
    pub(super) fn set_ranges<'a>(&mut self, ranges: impl IntoIterator<Item = &'a str>) {
        self.ranges = ranges.into_iter().filter_map(parse_cidr_sloppy).collect();
    }

    /// Addresses for a pod, one of each family. Empty if all are given out.
    pub(super) fn take(&mut self) -> Vec<IpAddr> {
        let count = self.ranges.iter().map(count).min().unwrap_or(0);
        // One of so many is free, if any is.
        let tries = u128::try_from(self.used.len()).unwrap_or(u128::MAX).saturating_add(1).min(count);
        for place in (0..tries).map(|step| (self.next + step) % count) {
            let addresses: Vec<IpAddr> = self.ranges.iter().map(|range| nth(range, place)).collect();
            if addresses.first().is_some_and(|first| self.used.insert(*first)) {
                self.next = (place + 1) % count;
                return addresses;
            }
        }
        Vec::new()
    }

    /// Notes that a pod has these addresses.
    pub(super) fn reserve(&mut self, addresses: &[IpAddr]) {
        self.used.extend(addresses.first());
    }

    /// Takes the addresses of a pod back.
    pub(super) fn release(&mut self, addresses: &[IpAddr]) {
        if let Some(first) = addresses.first() {
            self.used.remove(first);
        }
    }
}

/// How many addresses of a range pods may have. The last is left free, as the broadcast address.
fn count(range: &Cidr) -> u128 {
    let bits: u8 = if range.address.is_ipv4() { 32 } else { 128 };
    let size = 1_u128.checked_shl(u32::from(bits.saturating_sub(range.prefix_length))).unwrap_or(u128::MAX);
    size.saturating_sub(FIRST + 1)
}

fn nth(range: &Cidr, place: u128) -> IpAddr {
    match range.network() {
        // No place is beyond the range.
        IpAddr::V4(network) => {
            let offset = u32::try_from(place + FIRST).unwrap_or_default();
            IpAddr::V4((u32::from(network).wrapping_add(offset)).into())
        }
        IpAddr::V6(network) => IpAddr::V6((u128::from(network).wrapping_add(place + FIRST)).into()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn addresses(ranges: &[&str]) -> Addresses {
        let mut addresses = Addresses::default();
        addresses.set_ranges(ranges.iter().copied());
        addresses
    }

    fn text(addresses: &[IpAddr]) -> String {
        addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn pods_get_one_of_each_family() {
        let mut addresses = addresses(&["10.244.3.0/24", "fd00:3::/64"]);
        assert_eq!(text(&addresses.take()), "10.244.3.2 fd00:3::2");
        assert_eq!(text(&addresses.take()), "10.244.3.3 fd00:3::3");
    }

    #[test]
    fn none_is_given_again_while_there_are_others() {
        let mut addresses = addresses(&["10.0.0.0/29"]);
        let first = addresses.take();
        addresses.release(&first);
        let rest: Vec<String> = (0..5).map(|_| text(&addresses.take())).collect();
        assert_eq!(rest, ["10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.2"]);
        assert_eq!(text(&addresses.take()), "", "all are given out");
        addresses.release(&["10.0.0.4".parse().unwrap()]);
        assert_eq!(text(&addresses.take()), "10.0.0.4");
    }

    #[test]
    fn ranges_too_small_and_no_ranges_give_nothing() {
        for ranges in [&[][..], &["10.0.0.0/31"], &["10.0.0.0/32"], &["nonsense"]] {
            assert_eq!(text(&addresses(ranges).take()), "", "{ranges:?}");
        }
        assert_eq!(text(&addresses(&["::/0"]).take()), "::2");
    }

    proptest! {
        #[test]
        fn no_two_pods_have_the_same(steps in prop::collection::vec((any::<bool>(), 0_usize..8), 0..60)) {
            let mut addresses = addresses(&["10.0.0.0/28"]);
            addresses.reserve(&["10.0.0.5".parse().unwrap()]);
            let mut held: Vec<Vec<IpAddr>> = vec![vec!["10.0.0.5".parse().unwrap()]];
            for (take, which) in steps {
                if take {
                    let taken = addresses.take();
                    prop_assert_eq!(taken.is_empty(), held.len() == 13);
                    prop_assert!(taken.is_empty() || !held.contains(&taken));
                    held.extend(Some(taken).filter(|taken| !taken.is_empty()));
                } else if !held.is_empty() {
                    addresses.release(&held.remove(which % held.len()));
                }
            }
        }
    }
}
