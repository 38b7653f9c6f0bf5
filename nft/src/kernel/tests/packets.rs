//! What becomes of packets.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use imbl::OrdMap;

use super::networks::{self, Networks, PORT, SERVERS, nft, talk};
use crate::{
    Act, Base, Chain, Datum, Endpoint, Family, Field, Hook, Kernel, Kind, Match, Prefix, Rule, Set, Shape, Table, Type,
    Value, Verdict,
};

const NAT: Base = Base { translates: true, hook: Hook::Prerouting, priority: -100 };
const FILTER: Base = Base { translates: false, hook: Hook::Forward, priority: 0 };
const LEAVING: Base = Base { translates: true, hook: Hook::Postrouting, priority: 100 };
const TCP: Datum = Datum::Protocol(6);

fn rule<const N: usize>(matches: [Match; N], act: Act) -> Rule {
    Rule { matches: matches.into(), acts: vec![act] }
}

fn chain(table: &mut Table, name: &str, base: Option<Base>, rules: Vec<Rule>) {
    table.chains.insert(name.into(), Arc::new(Chain { base, rules }));
}

fn set(table: &mut Table, name: &str, key: Vec<Type>, value: Kind, learned: Option<Duration>) {
    let shape = Arc::new(Shape { key, value, learned });
    table.sets.insert(name.into(), Set { shape, elements: OrdMap::new() });
}

fn element(table: &mut Table, set: &str, key: Vec<Datum>, value: Value) {
    table.sets.get_mut(set).unwrap().elements.insert(key, value);
}

/// What goes to the service goes to one of these.
fn to_service(networks: &Networks, endpoints: &[Endpoint], learned: Option<&str>) -> Rule {
    let service = Match::Is(Field::Destination, Datum::Address(networks.service().ip()), true);
    rule([service], Act::Balance(endpoints.into(), learned.map(Into::into)))
}

fn for_both(check: impl Fn(Networks)) {
    if networks::possible() {
        check(Networks::new(Family::Ip));
        check(Networks::new(Family::Ip6));
    }
}

fn all(networks: &Networks) -> Vec<Endpoint> {
    (0..SERVERS).map(|index| networks.server(index)).collect()
}

#[test]
fn connections_are_balanced() {
    for_both(|networks| {
        let (mut kernel, mut table) = (Kernel::default(), Table::new(networks.family, "t"));
        let client = networks.client(2);
        for count in [1, 2, usize::from(SERVERS)] {
            let rules = vec![to_service(&networks, &all(&networks)[..count], None)];
            chain(&mut table, "nat", Some(NAT), rules);
            kernel.apply(&table).unwrap();
            let expected: BTreeSet<u8> = (0..u8::try_from(count).unwrap()).collect();
            let udp = (0..100).map(|_| networks.udp(client, networks.service()).unwrap());
            assert_eq!(udp.collect::<BTreeSet<_>>(), expected.iter().map(|i| (*i, client)).collect());
            let tcp = (0..100).map(|_| networks.tcp(networks.service()).unwrap().0);
            assert_eq!(tcp.collect::<BTreeSet<u8>>(), expected);
        }
    });
}

/// The endpoint that the set has for each client.
fn known(family: Family) -> Vec<String> {
    let family = if family == Family::Ip { "ip" } else { "ip6" };
    let listing: serde_json::Value = serde_json::from_str(&nft(&format!("-j list map {family} t known"))).unwrap();
    let found = listing["nftables"].as_array().unwrap().iter().find(|item| item.get("map").is_some()).unwrap();
    let elements = found["map"]["elem"].as_array().cloned().unwrap_or_default();
    elements.iter().map(|element| element[1].to_string()).collect()
}

fn sticky(networks: &Networks, endpoints: &[Endpoint], time: Duration) -> Table {
    let mut table = Table::new(networks.family, "t");
    set(&mut table, "known", vec![Type::Address], Kind::Endpoint, Some(time));
    let service = Match::Is(Field::Destination, Datum::Address(networks.service().ip()), true);
    let stick = rule([service], Act::Stick("known".into(), endpoints.into()));
    chain(&mut table, "nat", Some(NAT), vec![stick, to_service(networks, endpoints, Some("known"))]);
    table
}

#[test]
fn clients_stay_with_their_endpoint_until_it_goes() {
    for_both(|networks| {
        let mut kernel = Kernel::default();
        let mut endpoints = all(&networks);
        let hour = Duration::from_secs(3600);
        let who = |client: u8| {
            let seen = (0..40).map(|_| networks.udp(networks.client(client), networks.service()).unwrap().0);
            let seen: BTreeSet<u8> = seen.collect();
            assert_eq!(seen.len(), 1, "{seen:?}");
            seen.into_iter().next().unwrap()
        };
        while endpoints.len() > 1 {
            kernel.apply(&sticky(&networks, &endpoints, hour)).unwrap();
            let with: Vec<u8> = (2..6).map(who).collect();
            assert_eq!(known(networks.family).len(), 4);
            // TCP and UDP are alike here.
            assert_eq!(networks.tcp(networks.service()).unwrap().0, with[0]);
            endpoints.retain(|endpoint| *endpoint != networks.server(with[0]));
            kernel.apply(&sticky(&networks, &endpoints, hour)).unwrap();
            assert_ne!(who(2), with[0]);
            let stayed =
                (3..6).zip(&with[1..]).filter(|(_, with_whom)| endpoints.contains(&networks.server(**with_whom)));
            for (client, with_whom) in stayed {
                assert_eq!(who(client), *with_whom);
            }
        }
    });
}

#[test]
fn clients_are_forgotten_after_a_while_and_chosen_for_anew() {
    for_both(|networks| {
        let mut kernel = Kernel::default();
        kernel.apply(&sticky(&networks, &all(&networks), Duration::from_secs(1))).unwrap();
        let mut seen = BTreeSet::new();
        while seen.len() < 2 {
            seen.insert(networks.udp(networks.client(2), networks.service()).unwrap().0);
            while !known(networks.family).is_empty() {
                std::thread::yield_now();
            }
        }
    });
}

#[test]
fn connections_go_somewhere_when_no_more_clients_can_be_written_down() {
    if !networks::possible() {
        return;
    }
    let networks = Networks::new(Family::Ip);
    let mut kernel = Kernel::default();
    kernel.apply(&sticky(&networks, &all(&networks), Duration::from_secs(3600))).unwrap();
    let elements: Vec<String> =
        (0..65_535_u32).map(|n| format!("11.0.{}.{} : 10.2.0.11 . 80", n / 256, n % 256)).collect();
    let file = std::env::temp_dir().join(format!("gantry-nft-{}", std::process::id()));
    std::fs::write(&file, format!("add element ip t known {{ {} }}", elements.join(", "))).unwrap();
    let added = std::panic::catch_unwind(|| nft(&format!("-f {}", file.display())));
    std::fs::remove_file(&file).unwrap();
    added.unwrap();
    let seen: BTreeSet<u8> =
        (0..100).map(|_| networks.udp(networks.client(2), networks.service()).unwrap().0).collect();
    assert_eq!(seen.len(), usize::from(SERVERS));
}

#[test]
fn masqueraded_connections_are_from_the_node() {
    for_both(|networks| {
        let (mut kernel, mut table) = (Kernel::default(), Table::new(networks.family, "t"));
        chain(&mut table, "nat", Some(NAT), vec![to_service(&networks, &[networks.server(1)], None)]);
        let within = Prefix::new(networks.client(2), if networks.family == Family::Ip { 31 } else { 127 }).unwrap();
        let rules = vec![rule([Match::Within(Field::Source, within, true)], Act::Masquerade)];
        chain(&mut table, "leaving", Some(LEAVING), rules);
        kernel.apply(&table).unwrap();
        for (client, expected) in [(2, networks.node(2)), (3, networks.node(2)), (4, networks.client(4))] {
            assert_eq!(networks.udp(networks.client(client), networks.service()).unwrap(), (1, expected));
        }
        assert_eq!(networks.tcp(networks.service()).unwrap().1[1].peer_addr().unwrap().ip(), networks.node(2));
    });
}

#[test]
fn pairs_of_addresses_are_known() {
    for_both(|networks| {
        let (mut kernel, mut table) = (Kernel::default(), Table::new(networks.family, "t"));
        set(&mut table, "pairs", vec![Type::Address, Type::Address], Kind::Nothing, None);
        for (client, server) in [(2, 0), (3, 1)] {
            let pair = [networks.client(client), networks.server(server).address].map(Datum::Address);
            element(&mut table, "pairs", pair.into(), Value::Nothing);
        }
        let pair = Match::In(vec![Field::Source, Field::Destination], "pairs".into(), true);
        let marked = Rule { matches: vec![pair], acts: vec![Act::Mark(0x4000)] };
        chain(&mut table, "marking", Some(FILTER), vec![marked]);
        let matches = vec![Match::Marked(0x4000, true), Match::Local(Field::Source, false)];
        let rules = vec![Rule { matches, acts: vec![Act::Unmark(0x4000), Act::Masquerade] }];
        chain(&mut table, "leaving", Some(LEAVING), rules);
        kernel.apply(&table).unwrap();
        for (client, server, masqueraded) in [(2, 0, true), (2, 1, false), (3, 1, true), (3, 0, false), (4, 0, false)] {
            let expected = if masqueraded { networks.node(2) } else { networks.client(client) };
            let to = SocketAddr::from((networks.server(server).address, PORT));
            assert_eq!(networks.udp(networks.client(client), to).unwrap(), (server, expected));
        }
    });
}

#[test]
fn rejected_and_dropped_packets_do_not_arrive() {
    for_both(|networks| {
        let (mut kernel, mut table) = (Kernel::default(), Table::new(networks.family, "t"));
        let to = |index: u8| Match::Is(Field::Destination, Datum::Address(networks.server(index).address), true);
        let rules = vec![rule([to(0)], Act::Reject), rule([to(1)], Act::Verdict(Verdict::Drop))];
        chain(&mut table, "filter", Some(FILTER), rules);
        kernel.apply(&table).unwrap();
        let address = |index: u8| SocketAddr::from((networks.server(index).address, PORT));
        let refused = io::ErrorKind::ConnectionRefused;
        assert_eq!(networks.tcp(address(0)).unwrap_err().kind(), refused);
        assert_eq!(networks.udp(networks.client(2), address(0)).unwrap_err().kind(), refused);
        // What is sent later is the first to arrive.
        networks.udp_send(networks.client(2), address(1)).unwrap();
        assert_eq!(networks.udp(networks.client(2), address(2)).unwrap().0, 2);
    });
}

#[test]
fn prefixes_hold_all_that_begin_so_and_no_others() {
    for_both(|networks| {
        let (mut kernel, mut table) = (Kernel::default(), Table::new(networks.family, "t"));
        set(&mut table, "prefixes", vec![Type::Prefix], Kind::Nothing, None);
        let within = Match::In(vec![Field::Source], "prefixes".into(), true);
        let first = rule([within], Act::Balance([networks.server(0)].into(), None));
        chain(&mut table, "nat", Some(NAT), vec![first, to_service(&networks, &[networks.server(1)], None)]);
        let cases: &[(&[&str], &[u8])] = match networks.family {
            Family::Ip => &[
                (&[], &[]),
                (&["0.0.0.0/0"], &[2, 3, 4, 5, 6, 7, 8, 9]),
                (&["0.0.0.0/1"], &[2, 3, 4, 5, 6, 7, 8, 9]),
                (&["128.0.0.0/1"], &[]),
                (&["0.0.0.0/8", "255.255.255.255/32"], &[]),
                (&["0.0.0.0/8", "10.1.0.4/31", "255.255.255.255/32"], &[4, 5]),
                (&["10.1.0.2/32", "10.1.0.3/32", "10.1.0.4/30"], &[2, 3, 4, 5, 6, 7]),
                (&["10.1.0.9/32", "10.1.0.2/32"], &[2, 9]),
            ],
            Family::Ip6 => &[
                (&[], &[]),
                (&["::/0"], &[2, 3, 4, 5, 6, 7, 8, 9]),
                (&["::/1"], &[]),
                (&["8000::/1"], &[2, 3, 4, 5, 6, 7, 8, 9]),
                (&["fd00:1::4/127", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"], &[4, 5]),
                (&["fd00:1::2/128", "fd00:1::3/128", "fd00:1::4/126"], &[2, 3, 4, 5, 6, 7]),
            ],
        };
        for (prefixes, expected) in cases {
            table.sets.get_mut("prefixes").unwrap().elements.clear();
            for prefix in *prefixes {
                let (address, length) = prefix.split_once('/').unwrap();
                let prefix = Prefix::new(address.parse().unwrap(), length.parse().unwrap()).unwrap();
                element(&mut table, "prefixes", vec![Datum::Prefix(prefix)], Value::Nothing);
            }
            kernel.apply(&table).unwrap();
            let inside = |last: &u8| networks.udp(networks.client(*last), networks.service()).unwrap().0 == 0;
            assert_eq!((2..=9).filter(inside).collect::<Vec<u8>>(), *expected, "{prefixes:?}");
        }
    });
}

#[test]
fn maps_send_packets_through_chains() {
    for_both(|networks| {
        let (mut kernel, mut table) = (Kernel::default(), Table::new(networks.family, "t"));
        let address = networks.service().ip();
        let fields = vec![Field::Destination, Field::Protocol, Field::DestinationPort];
        set(&mut table, "map", vec![Type::Address, Type::Protocol, Type::Port], Kind::Verdict, None);
        for (port, protocol, name, server) in [(1, 17, "a", 0), (2, 17, "b", 1), (2, 6, "c", 2)] {
            let key = vec![Datum::Address(address), Datum::Protocol(protocol), Datum::Port(port)];
            element(&mut table, "map", key, Value::Verdict(Verdict::Goto(name.into())));
            chain(&mut table, name, None, vec![rule([], Act::Balance([networks.server(server)].into(), None))]);
        }
        let others = to_service(&networks, &[networks.server(2)], None);
        chain(&mut table, "nat", Some(NAT), vec![rule([], Act::Dispatch(fields, "map".into())), others]);
        kernel.apply(&table).unwrap();
        for (port, expected) in [(1, 0), (2, 1), (3, 2)] {
            assert_eq!(networks.udp(networks.client(2), (address, port).into()).unwrap().0, expected, "{port}");
            assert_eq!(networks.tcp((address, port).into()).unwrap().0, 2, "{port}");
        }
    });
}

#[test]
fn what_is_for_the_machine_itself_is_told_from_what_is_not() {
    for_both(|networks| {
        let (mut kernel, mut table) = (Kernel::default(), Table::new(networks.family, "t"));
        let balance = |server| Act::Balance([networks.server(server)].into(), None);
        let rules = vec![
            rule(
                [Match::Local(Field::Destination, true), Match::Is(Field::DestinationPort, Datum::Port(3000), true)],
                balance(0),
            ),
            rule([Match::Local(Field::Destination, false), Match::Is(Field::Protocol, TCP, false)], balance(1)),
        ];
        chain(&mut table, "nat", Some(NAT), rules);
        kernel.apply(&table).unwrap();
        for (address, expected) in [(networks.node(1), 0), (networks.node(2), 0), (networks.service().ip(), 1)] {
            assert_eq!(networks.udp(networks.client(2), (address, 3000).into()).unwrap().0, expected, "{address}");
        }
    });
}

#[test]
fn marks_are_set_and_cleared_bit_by_bit() {
    for_both(|networks| {
        let (mut kernel, mut table) = (Kernel::default(), Table::new(networks.family, "t"));
        let port = |port| Match::Is(Field::DestinationPort, Datum::Port(port), true);
        let marks = |number, acts: Vec<Act>| Rule { matches: vec![port(number)], acts };
        let rules = vec![
            marks(1, vec![Act::Mark(0x1)]),
            marks(2, vec![Act::Mark(0x1), Act::Mark(0x8000_0000)]),
            marks(3, vec![Act::Mark(0x1), Act::Mark(0x8000_0000), Act::Unmark(0x1)]),
            Rule {
                matches: vec![Match::Marked(0x1, true), Match::Marked(0x8000_0000, false)],
                acts: vec![Act::Balance([networks.server(0)].into(), None)],
            },
            Rule {
                matches: vec![Match::Marked(0x1, true)],
                acts: vec![Act::Balance([networks.server(1)].into(), None)],
            },
            rule([], Act::Balance([networks.server(2)].into(), None)),
        ];
        chain(&mut table, "nat", Some(NAT), rules);
        kernel.apply(&table).unwrap();
        for (port, expected) in [(1, 0), (2, 1), (3, 2), (4, 2)] {
            let to = (networks.service().ip(), port).into();
            assert_eq!(networks.udp(networks.client(2), to).unwrap().0, expected, "{port}");
        }
    });
}

#[test]
fn only_what_is_new_is_new() {
    for_both(|networks| {
        let (mut kernel, mut table) = (Kernel::default(), Table::new(networks.family, "t"));
        chain(&mut table, "nat", Some(NAT), vec![to_service(&networks, &all(&networks), None)]);
        kernel.apply(&table).unwrap();
        let (_, [mut client, mut server]) = networks.tcp(networks.service()).unwrap();
        chain(
            &mut table,
            "filter",
            Some(FILTER),
            vec![rule([Match::New, Match::Is(Field::Protocol, TCP, true)], Act::Reject)],
        );
        kernel.apply(&table).unwrap();
        assert_eq!(networks.tcp(networks.service()).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        talk(&mut client, &mut server);
    });
}
