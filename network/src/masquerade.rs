//! Which packets of pods carry the node's address: those that leave the cluster's pods, where nobody knows how to answer a
//! pod.
//!
//! Addresses of the machine itself need no exception, as packets to them do not leave it. What goes to link-local addresses
//! is no exception: where a cloud answers there (169.254.169.254), it answers nodes alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use imbl::OrdMap;
use nft::{Act, Base, Chain, Datum, Family, Field, Hook, Kind, Match, Prefix, Rule, Set, Shape, Table, Type, Value};

use crate::TABLE;

/// The set of all pods' ranges.
const PODS: &str = "pods";
/// When source addresses are translated.
const PRIORITY: i32 = 100;

/// The table of a family: pods of `own` ranges are masked from all but those of the `all`, no two of which overlap.
pub(crate) fn table<'a>(family: Family, own: &[Prefix], all: impl Iterator<Item = &'a Prefix>) -> Table {
    let is_of = |range: &Prefix| Family::of(range.address) == family;
    let elements =
        all.filter(|range| is_of(range)).map(|range| (vec![Datum::Prefix(*range)], Value::Nothing)).collect();
    let shape = Arc::new(Shape { key: vec![Type::Prefix], value: Kind::Nothing, learned: None });
    let rule = |range: &Prefix| Rule {
        matches: vec![
            Match::Within(Field::Source, *range, true),
            Match::Within(Field::Destination, multicast(family), false),
            Match::In(vec![Field::Destination], PODS.into(), false),
        ],
        acts: vec![Act::Masquerade],
    };
    let chain = Chain {
        base: Some(Base { translates: true, hook: Hook::Postrouting, priority: PRIORITY }),
        rules: own.iter().filter(|range| is_of(range)).map(rule).collect(),
    };
    Table {
        family,
        name: TABLE.into(),
        sets: OrdMap::unit(PODS.into(), Set { shape, elements }),
        chains: OrdMap::unit("postrouting".into(), Arc::new(chain)),
    }
}

/// The addresses of many at once.
const fn multicast(family: Family) -> Prefix {
    match family {
        Family::Ip => Prefix { address: IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), length: 4 },
        Family::Ip6 => Prefix { address: IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)), length: 8 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::parse;

    #[test]
    fn pods_are_masked_from_all_but_pods() {
        let ranges = ["10.0.1.0/24", "10.0.2.0/24", "fd00:1::/64"].map(|range| parse(range).unwrap());
        let own = [ranges[0], ranges[2]];
        for (family, range, pods) in [(Family::Ip, ranges[0], 2), (Family::Ip6, ranges[2], 1)] {
            let table = table(family, &own, ranges.iter());
            assert_eq!(table.sets["pods"].elements.len(), pods);
            let chain = &table.chains["postrouting"];
            assert_eq!(chain.rules.len(), 1);
            assert_eq!(chain.rules[0].matches[0], Match::Within(Field::Source, range, true));
            assert_eq!(chain.rules[0].acts, [Act::Masquerade]);
        }
    }
}
