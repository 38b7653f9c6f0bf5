//! Tables for tests, each of which a kernel accepts.
//!
//! A table is made of things (sets and chains) of which each has a number: what the thing is like, as everything else about
//! it is random, and depends on that number and on which other things there are. So two tables whose numbers are the same
//! but for a few differ by a few things, and those that use them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::{
    Act, Base, Chain, Datum, Endpoint, Family, Field, Hook, Kind, Match, Prefix, Rule, Set, Shape, Table, Type, Value,
    Verdict,
};

/// How many things there are.
const THINGS: usize = 16;

/// Chains of which each can jump to those behind it. Only chains of the same kind jump to each other, as some acts are only
/// for some places.
const KINDS: [(&str, usize); 3] = [("nat", 4), ("leave", 2), ("filter", 3)];

/// A table by its numbers. A thing whose number is 0 is not there.
pub(crate) fn build(family: Family, numbers: &[u8]) -> Table {
    let mut table = Table::new(family, "random");
    let mut numbers = numbers.iter().copied();
    let mut next = || numbers.next().unwrap_or(0);
    let chains: Vec<(String, &str, u8)> = KINDS
        .iter()
        .flat_map(|(kind, count)| (0..*count).map(move |index| (format!("{kind}{index}"), *kind)))
        .map(|(name, kind)| (name, kind, next()))
        .filter(|(.., number)| *number > 0)
        .collect();
    for name in ["sources", "destinations", "prefixes", "known"] {
        let number = next();
        if number > 0 {
            table.sets.insert(name.into(), plain_set(family, name, number));
        }
    }
    for kind in ["nat", "filter"] {
        let number = next();
        if number > 0 {
            let of_kind = chains.iter().filter(|(_, other, _)| *other == kind).skip(1);
            let targets: Vec<&str> = of_kind.filter(|chain| !is_base(chain)).map(|(name, ..)| &**name).collect();
            table.sets.insert(format!("{kind}-map").into(), verdicts(family, &targets, number));
        }
    }
    for (index, chain) in chains.iter().enumerate() {
        let (name, kind, _) = chain;
        let later: Vec<&str> = chains[index + 1..]
            .iter()
            .filter(|other| other.1 == *kind && !is_base(other))
            .map(|(name, ..)| &**name)
            .collect();
        let first = chains.iter().position(|(_, other, _)| other == kind) == Some(index);
        table.chains.insert((&**name).into(), Arc::new(random_chain(&table, chain, &later, first)));
    }
    table
}

/// Numbers of a table, and of one that differs by some of them.
pub(crate) fn pair() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let numbers = || proptest::collection::vec(prop_oneof![1 => Just(0_u8), 5 => any::<u8>()], THINGS);
    let kept = proptest::collection::vec(prop::bool::weighted(0.6), THINGS);
    (numbers(), numbers(), kept).prop_map(|(before, other, kept)| {
        let after = before.iter().zip(other).zip(kept).map(|((old, new), kept)| if kept { *old } else { new });
        let after = after.collect();
        (before, after)
    })
}

/// Chains whose name ends in 0 always are, and some others.
fn is_base((name, _, number): &(String, &str, u8)) -> bool {
    name.ends_with('0') || number % 4 == 1
}

fn address(family: Family, random: &mut SmallRng) -> IpAddr {
    let last = random.random_range(1..9);
    match family {
        Family::Ip => Ipv4Addr::new(10, 0, 0, last).into(),
        Family::Ip6 => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last.into()).into(),
    }
}

fn endpoints(family: Family, random: &mut SmallRng) -> Arc<[Endpoint]> {
    let count = random.random_range(1..4);
    (0..count).map(|_| Endpoint { address: address(family, random), port: random.random_range(1..4) }).collect()
}

fn plain_set(family: Family, name: &str, number: u8) -> Set {
    let mut random = SmallRng::seed_from_u64(number.into());
    let (key, value, learned) = match name {
        "sources" => (vec![Type::Address], Kind::Nothing, None),
        "destinations" if number.is_multiple_of(3) => (vec![Type::Address], Kind::Nothing, None),
        "destinations" => (vec![Type::Address, Type::Protocol, Type::Port], Kind::Nothing, None),
        "prefixes" => (vec![Type::Prefix], Kind::Nothing, None),
        _ => (vec![Type::Address], Kind::Endpoint, Some(Duration::from_secs(u64::from(number % 3) + 60))),
    };
    let mut set = Set { shape: Arc::new(Shape { key, value, learned }), elements: imbl::OrdMap::new() };
    if name == "prefixes" {
        for prefix in prefixes(family, &mut random) {
            set.elements.insert(vec![Datum::Prefix(prefix)], Value::Nothing);
        }
    } else if learned.is_none() {
        for _ in 0..random.random_range(0..5) {
            let key = [
                Datum::Address(address(family, &mut random)),
                Datum::Protocol(*[6, 17].choose(&mut random).unwrap()),
                Datum::Port(random.random_range(1..4)),
            ];
            set.elements.insert(key[..set.shape.key.len()].to_vec(), Value::Nothing);
        }
    }
    set
}

/// Some of these, that do not overlap: both ends of all addresses, neighbours, and single ones.
fn prefixes(family: Family, random: &mut SmallRng) -> Vec<Prefix> {
    let all = match family {
        Family::Ip => ["0.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9", "11.0.0.1/32", "192.168.0.0/16", "224.0.0.0/3"],
        Family::Ip6 => ["::/16", "fd00::/65", "fd00:0:0:0:8000::/65", "fd01::1/128", "fd02::/16", "ff00::/8"],
    };
    let parsed = all.iter().map(|text| {
        let (address, length) = text.split_once('/').unwrap();
        Prefix::new(address.parse().unwrap(), length.parse().unwrap()).unwrap()
    });
    parsed.filter(|_| random.random()).collect()
}

fn verdicts(family: Family, targets: &[&str], number: u8) -> Set {
    let mut random = SmallRng::seed_from_u64(number.into());
    let shape = Shape { key: vec![Type::Address, Type::Port], value: Kind::Verdict, learned: None };
    let mut set = Set { shape: Arc::new(shape), elements: imbl::OrdMap::new() };
    for _ in 0..random.random_range(0..6) {
        let key = vec![Datum::Address(address(family, &mut random)), Datum::Port(random.random_range(1..4))];
        set.elements.insert(key, Value::Verdict(some_verdict(targets, &mut random)));
    }
    set
}

fn some_verdict(targets: &[&str], random: &mut SmallRng) -> Verdict {
    match (random.random_range(0..5), targets.choose(random)) {
        (0 | 1, Some(chain)) => Verdict::Jump((*chain).into()),
        (2, Some(chain)) => Verdict::Goto((*chain).into()),
        (3, _) => Verdict::Return,
        (4, _) => Verdict::Drop,
        _ => Verdict::Accept,
    }
}

fn random_chain(table: &Table, chain: &(String, &str, u8), later: &[&str], first: bool) -> Chain {
    let (_, kind, number) = chain;
    let mut random = SmallRng::seed_from_u64(number.wrapping_mul(7).into());
    let base = is_base(chain).then(|| match *kind {
        "nat" => Base { translates: true, hook: Hook::Prerouting, priority: -100 },
        "leave" => Base { translates: true, hook: Hook::Postrouting, priority: 100 },
        _ => Base { translates: false, hook: Hook::Forward, priority: i32::from(number % 3) - 1 },
    });
    let rules = (0..random.random_range(0..5)).map(|_| random_rule(table, kind, later, first, &mut random));
    Chain { base, rules: rules.collect() }
}

fn random_rule(table: &Table, kind: &str, later: &[&str], first: bool, random: &mut SmallRng) -> Rule {
    let count = random.random_range(0..3);
    let matches = (0..count).filter_map(|_| random_match(table, random)).collect();
    let known = || table.sets.contains_key("known").then(|| "known".into());
    let map = format!("{kind}-map");
    let act = match (random.random_range(0..5), kind) {
        (0, "nat") => match known() {
            Some(known) => Act::Stick(known, endpoints(table.family, random)),
            None => Act::Balance(endpoints(table.family, random), None),
        },
        (1 | 2, "nat") => Act::Balance(endpoints(table.family, random), known().filter(|_| random.random())),
        (0 | 1, "leave") => Act::Masquerade,
        (0, "filter") => Act::Reject,
        // Only the first one, so that nothing comes back to where it was.
        (3, _) if first && table.sets.contains_key(&*map) => {
            Act::Dispatch(vec![Field::Destination, Field::DestinationPort], map.into())
        }
        _ => Act::Verdict(some_verdict(later, random)),
    };
    let marks = match random.random_range(0..4) {
        0 => vec![Act::Mark(0x4000)],
        1 => vec![Act::Unmark(0x4000)],
        _ => Vec::new(),
    };
    let mut acts = marks;
    if matches!(act, Act::Stick(..) | Act::Balance(_, Some(_))) {
        acts.clear();
    }
    acts.push(act);
    Rule { matches, acts }
}

fn random_match(table: &Table, random: &mut SmallRng) -> Option<Match> {
    let yes = random.random();
    let side = if random.random() { Field::Source } else { Field::Destination };
    let shape = |name: &str| table.sets.get(name).map(|set| set.shape.clone());
    Some(match random.random_range(0..10) {
        0 => Match::Is(side, Datum::Address(address(table.family, random)), yes),
        1 => Match::Is(Field::Protocol, Datum::Protocol(6), yes),
        2 => Match::Is(Field::DestinationPort, Datum::Port(80), yes),
        3 => Match::Within(side, Prefix::new(address(table.family, random), random.random_range(0..33))?, yes),
        4 => Match::Local(side, yes),
        5 => Match::Marked(0x4000, yes),
        6 => Match::New,
        7 => Match::In(vec![side], shape("sources").map(|_| "sources".into())?, yes),
        8 => Match::In(vec![side], shape("prefixes").map(|_| "prefixes".into())?, yes),
        _ => {
            let fields = [Field::Destination, Field::Protocol, Field::DestinationPort];
            let count = shape("destinations")?.key.len();
            Match::In(fields[..count].to_vec(), "destinations".into(), yes)
        }
    })
}
