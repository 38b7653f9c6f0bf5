//! What must hold for all Services, however they came to be as they are.

use std::collections::BTreeSet;
use std::net::IpAddr;

use nft::{Endpoint, Family, Table};
use proptest::prelude::*;

use super::interpret::{Machine, Outcome, Packet, validate};
use super::reference::World;
use super::worlds::{self, Change, NAMES};
use crate::rules::{Node, Rules, Stale};

/// As many as a Service can have endpoints at most here, twelve being a number that many divide.
const CHOICES: usize = 12;

fn apply(rules: &mut Rules, (name, now): &Change) -> Vec<Stale> {
    let (service, slices) = now.as_ref().map_or((None, &[][..]), |(service, slices)| (Some(service), slices));
    rules.set("ns", name, service, &slices.iter().collect::<Vec<_>>()).stale
}

fn tables(rules: &Rules) -> [&Table; 2] {
    [Family::Ip, Family::Ip6].map(|family| rules.table(family))
}

/// All that may become of a packet.
fn outcomes(table: &Table, machine: &Machine, packet: Packet) -> BTreeSet<Outcome> {
    let mut all = BTreeSet::new();
    for choice in 0..CHOICES {
        let outcome = machine.clone().pass(table, packet, choice);
        all.insert(outcome);
        if !matches!(outcome, Outcome::Delivered(..)) {
            break;
        }
    }
    all
}

/// More worlds are better than more packets in each: a quarter of them is enough at a time.
fn check_packets(rules: &Rules, world: &World, quarter: usize) -> Result<(), TestCaseError> {
    let mut machine = Machine { local: world.local.clone(), ..Machine::default() };
    for packet in worlds::packets(&world.local).into_iter().skip(quarter).step_by(4) {
        let table = rules.table(Family::of(packet.destination));
        let expected = world.expected(packet);
        prop_assert_eq!(&outcomes(table, &machine, packet), &expected, "{:?}\n{}", packet, table);
        let later = Packet { new: false, ..packet };
        prop_assert_eq!(machine.clone().pass(table, later, 0), Outcome::Untouched, "{:?}", later);
        check_stays(table, &mut machine, packet, world.stays(packet))?;
        machine.learned.clear();
    }
    Ok(())
}

/// A client goes where it went, if the Service wants that.
fn check_stays(table: &Table, machine: &mut Machine, packet: Packet, stays: bool) -> Result<(), TestCaseError> {
    let first = machine.pass(table, packet, 1);
    let learned = machine.learned.clone();
    prop_assert_eq!(!learned.is_empty(), stays && matches!(first, Outcome::Delivered(..)), "{:?}", packet);
    if stays {
        for choice in 0..CHOICES {
            prop_assert_eq!(machine.pass(table, packet, choice), first, "{:?}\n{}", packet, table);
        }
        prop_assert_eq!(&machine.learned, &learned);
    }
    Ok(())
}

/// What is to be forgotten after a change is what led to endpoints that serve no more, and to where nobody was.
fn check_stale(before: &World, after: &World, stale: &[Stale]) -> Result<(), TestCaseError> {
    let is_stale = |ip: IpAddr, port: u16, endpoint: Endpoint| {
        stale.iter().any(|stale| match stale {
            Stale::To(to, at) => (*to, *at) == (ip, port),
            Stale::AnsweredBy(to, at, by) => (*to, *at, *by) == (ip, port, endpoint),
            Stale::NodePort(family, at) => {
                *at == port && Family::of(ip) == *family && after.node.addresses.contains(&ip)
            }
        })
    };
    let nowhere: Endpoint = Endpoint { address: "192.0.2.1".parse().unwrap(), port: 1 };
    // At loopback no node port is, so nothing that it led to is known.
    for ip in worlds::destinations().into_iter().filter(|ip| !ip.is_loopback()) {
        for port in [53, 30001] {
            // Those of a Service that is gone go on.
            let new = after.serving(ip, port);
            let old = before.serving(ip, port).filter(|_| new.is_some()).unwrap_or_default();
            let new = new.unwrap_or_default();
            for endpoint in old.difference(&new) {
                prop_assert!(is_stale(ip, port, *endpoint), "{ip} {port} {endpoint} {stale:?}");
            }
            for endpoint in old.intersection(&new) {
                prop_assert!(!is_stale(ip, port, *endpoint), "{ip} {port} {endpoint} {stale:?}");
            }
            prop_assert_eq!(
                is_stale(ip, port, nowhere),
                old.is_empty() && !new.is_empty(),
                "{} {} {:?}",
                ip,
                port,
                stale
            );
        }
    }
    Ok(())
}

fn check(node: &Node, local: &[IpAddr], changes: &[Change], quarter: usize) -> Result<(), TestCaseError> {
    let mut rules = Rules::new(node.clone());
    let empty = rules.clone();
    let mut world = World { node: node.clone(), local: local.to_vec(), ..World::default() };
    for change in changes {
        let before = world.clone();
        let stale = apply(&mut rules, change);
        match &change.1 {
            Some(now) => world.services.insert(change.0.clone(), now.clone()),
            None => world.services.remove(&change.0),
        };
        check_stale(&before, &world, &stale)?;
    }
    tables(&rules).into_iter().for_each(validate);
    check_packets(&rules, &world, quarter)?;

    // The way does not matter.
    for names in [NAMES, [NAMES[2], NAMES[0], NAMES[1]]] {
        let mut anew = Rules::new(node.clone());
        for name in names {
            apply(&mut anew, &(name.to_owned(), world.services.get(name).cloned()));
        }
        prop_assert_eq!(tables(&anew), tables(&rules));
    }
    // Saying the same again changes nothing. Nothing stays of what is gone.
    for name in NAMES {
        let same = (name.to_owned(), world.services.get(name).cloned());
        let mut again = rules.clone();
        prop_assert_eq!(apply(&mut again, &same), vec![]);
        prop_assert_eq!(tables(&again), tables(&rules));
    }
    for name in NAMES {
        apply(&mut rules, &(name.to_owned(), None));
    }
    prop_assert_eq!(tables(&rules), tables(&empty));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn packets_go_where_the_documentation_says(
        (node, local) in worlds::node(),
        changes in proptest::collection::vec(worlds::change(), 1..9),
        quarter in 0..4usize,
    ) {
        check(&node, &local, &changes, quarter)?;
    }
}
