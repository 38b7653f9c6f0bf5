//! What is planned, as data: for cases that are hard, and for clusters at random.

use proptest::prelude::*;

use super::*;
use crate::difference::{Step, changes, devices};
use crate::members::parse;
use crate::observed::{Address, Link, SeenRoute};

const LINK: u32 = 2;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn member(name: &str, age: i64, ranges: &[&str], addresses: &[&str]) -> Member {
    Member {
        name: name.to_owned(),
        since: Some(jiff::Timestamp::from_second(1_000_000 - age).unwrap()),
        ranges: ranges.iter().map(|range| parse(range).unwrap()).collect(),
        addresses: addresses.iter().map(|address| ip(address)).collect(),
        nonsense: None,
    }
}

/// A machine with one link, of 1500 bytes.
fn machine(addresses: &[(&str, u8)], reach: &[(&str, Reach)]) -> Seen {
    let eth0 = Link { name: "eth0".to_owned(), mtu: 1500, up: true, delivers: true, ..Link::default() };
    let address = |(address, length): &(&str, u8)| Address { link: LINK, address: ip(address), length: *length };
    Seen {
        links: [(LINK, eth0)].into(),
        addresses: addresses.iter().map(address).collect(),
        reach: reach.iter().map(|(address, reach)| (ip(address), *reach)).collect(),
        ..Seen::default()
    }
}

fn me() -> Member {
    member("a", 100, &["10.0.1.0/24", "fd00:1::/64"], &["192.168.1.1"])
}

fn b() -> Member {
    member("b", 50, &["10.0.2.0/24", "fd00:2::/64"], &["192.168.1.2"])
}

fn here(reach: Reach) -> Seen {
    machine(&[("192.168.1.1", 24)], &[("192.168.1.2", reach)])
}

fn routes(wanted: &Wanted, node: &str) -> Vec<String> {
    let ways = wanted.others.get(node).cloned().unwrap_or_default();
    let text = |route: &Route| match route.way {
        Way::Straight { gateway, link } => format!("{} via {gateway} on {link}", text(&route.to)),
        Way::Tunnel { gateway, device } => format!("{} via {gateway} by {device}", text(&route.to)),
        Way::Nowhere => format!("{} nowhere", text(&route.to)),
    };
    ways.routes.iter().map(text).collect()
}

#[test]
fn each_family_goes_its_way() {
    let check = |mode: Mode, reach: Reach, expected: &[&str]| {
        let wanted = plan(&me(), &[b()], mode, &here(reach)).unwrap().unwrap();
        assert_eq!(routes(&wanted, "b"), expected, "{mode:?} {reach:?}");
        assert_eq!(wanted.problems.is_empty(), !expected.is_empty());
        wanted
    };
    let straight = "10.0.2.0/24 via 192.168.1.2 on 2";
    let (four, six) = ("10.0.2.0/24 via 10.0.2.0 by gantry.vxlan", "fd00:2::/64 via fd00:2:: by gantry.vxlan");
    // IPv6 has no address to go straight to.
    let mixed = check(Mode::Auto, Reach::OnLink(LINK), &[straight, six]);
    assert_eq!(mixed.others["b"].neighbours, [("gantry.vxlan", ip("fd00:2::"), b().hardware_address())]);
    assert_eq!(mixed.others["b"].forward, Some(("gantry.vxlan", b().hardware_address(), ip("192.168.1.2"))));
    let tunnels = check(Mode::Auto, Reach::Beyond, &[four, six]);
    assert_eq!(tunnels.devices[0].addresses, [ip("10.0.1.0"), ip("fd00:1::")]);
    assert_eq!((tunnels.mtu, tunnels.devices[0].mtu), (1450, 1450));
    assert_eq!(check(Mode::Vxlan, Reach::OnLink(LINK), &[four, six]), tunnels);
    assert_eq!(check(Mode::Auto, Reach::Nowhere, &[]).problems["b"], Problem::Nowhere(ip("192.168.1.2")));
    assert_eq!(check(Mode::Direct, Reach::OnLink(LINK), &[]).problems["b"], Problem::NotOnLink);
    assert_eq!(check(Mode::Auto, Reach::Own, &[]).problems["b"], Problem::SameAddress(ip("192.168.1.2")));
}

#[test]
fn packets_leave_room_for_what_may_come() {
    let four = member("a", 9, &["10.0.1.0/24"], &["192.168.1.1"]);
    let six = member("a", 9, &["10.0.1.0/24"], &["fd01::1"]);
    let both = member("a", 9, &["10.0.1.0/24"], &["192.168.1.1", "fd01::1"]);
    let other = member("b", 8, &["10.0.2.0/24"], &["fd01::2"]);
    let seen = machine(&[("192.168.1.1", 24), ("fd01::1", 64)], &[("fd01::2", Reach::Beyond)]);
    let check = |me: &Member, others: &[Member], mode: Mode, mtu: u32, devices: &[&str]| {
        let wanted = plan(me, others, mode, &seen).unwrap().unwrap();
        let names: Vec<&str> = wanted.devices.iter().map(|device| device.name).collect();
        assert_eq!((wanted.mtu, names.as_slice()), (mtu, devices), "{me:?} {mode:?}");
    };
    check(&four, &[], Mode::Auto, 1450, &[]);
    check(&four, &[], Mode::Direct, 1500, &[]);
    check(&six, &[], Mode::Auto, 1430, &[]);
    check(&both, &[], Mode::Vxlan, 1450, &[]);
    check(&both, std::slice::from_ref(&other), Mode::Auto, 1430, &["gantry.vxlan6"]);
    check(&both, std::slice::from_ref(&other), Mode::Direct, 1500, &[]);
    let wanted = plan(&four, &[other], Mode::Auto, &seen).unwrap().unwrap();
    assert_eq!(wanted.problems["b"], Problem::NoFamily);
}

#[test]
fn conflicts_leave_nothing_half_done() {
    let check = |other: &Member, seen: &Seen, expected: &str| {
        let wanted = plan(&me(), std::slice::from_ref(other), Mode::Auto, seen).unwrap().unwrap();
        assert_eq!(wanted.others.len(), 0, "{expected}");
        let problem = wanted.problems[&other.name].to_string();
        assert!(problem.contains(expected), "{problem}");
    };
    let seen = here(Reach::OnLink(LINK));
    let with = |ranges: &[&str]| Member { ranges: ranges.iter().map(|range| parse(range).unwrap()).collect(), ..b() };
    check(&with(&["10.0.2.0/24", "fd00:1::/48"]), &seen, "overlaps with fd00:1::/64 of node a");
    check(&with(&["192.168.0.0/16"]), &seen, "its address 192.168.1.2 is in its own range");
    check(&with(&["192.168.1.64/26"]), &seen, "192.168.1.0/24, which eth0");
    check(&Member { nonsense: Some("x".to_owned()), ..b() }, &seen, "\"x\" in its spec.podCIDRs");
    check(&Member { addresses: Vec::new(), ..b() }, &seen, "InternalIP");
    for to in ["10.0.2.0/24", "10.0.2.7/32"] {
        let route = SeenRoute {
            to: parse(to).unwrap(),
            protocol: 4,
            metric: 100,
            unreachable: false,
            gateway: Some(ip("192.168.1.9")),
            link: Some(LINK),
        };
        check(&b(), &Seen { routes: vec![route.clone()], ..seen.clone() }, &format!("{to} by 192.168.1.9"));
        let ours = SeenRoute { protocol: PROTOCOL, ..route };
        let wanted = plan(&me(), &[b()], Mode::Auto, &Seen { routes: vec![ours], ..seen.clone() });
        assert_eq!(wanted.unwrap().unwrap().problems.len(), 0);
    }
}

#[test]
fn this_node_has_no_network_if_its_own_range_is_taken() {
    let older = Member { since: Some(jiff::Timestamp::UNIX_EPOCH), ranges: me().ranges, ..b() };
    let seen = here(Reach::OnLink(LINK));
    let problem = plan(&me(), &[older], Mode::Auto, &seen).unwrap_err();
    assert!(problem.to_string().contains("of node b, which is older"), "{problem}");
    let wide = machine(&[("192.168.1.1", 24), ("10.0.0.1", 16)], &[]);
    let problem = plan(&me(), &[], Mode::Auto, &wide).unwrap_err();
    assert!(problem.to_string().contains("10.0.0.0/16, which eth0"), "{problem}");
    // The gateway that pods' links have, and the bridge of all of them.
    let pods = machine(&[("192.168.1.1", 24), ("10.0.1.1", 32), ("10.0.1.1", 24)], &[]);
    assert!(plan(&me(), &[], Mode::Auto, &pods).unwrap().is_some());
    assert_eq!(plan(&member("a", 1, &[], &[]), &[b()], Mode::Auto, &seen), Ok(None));
}

#[test]
fn what_is_there_is_left_alone() {
    let mut seen = here(Reach::OnLink(LINK));
    let wanted = plan(&me(), &[b()], Mode::Direct, &seen).unwrap().unwrap();
    assert_eq!(changes(&wanted, &seen).own.len(), 2);
    let nowhere = |range: &str| SeenRoute {
        to: parse(range).unwrap(),
        protocol: PROTOCOL,
        metric: crate::difference::LAST_RESORT,
        unreachable: true,
        gateway: None,
        link: None,
    };
    let foreign = SeenRoute { protocol: 4, ..nowhere("10.9.9.0/24") };
    let stale = nowhere("10.0.9.0/24");
    seen.routes = vec![nowhere("10.0.1.0/24"), nowhere("fd00:1::/64"), foreign, stale.clone()];
    let after = changes(&wanted, &seen);
    assert_eq!((after.own.len(), after.stale), (0, vec![Step::RemoveRoute(stale)]));
}

#[test]
fn devices_are_made_anew_only_if_they_cannot_be_changed() {
    let seen = here(Reach::Beyond);
    let wanted = plan(&me(), &[b()], Mode::Auto, &seen).unwrap().unwrap();
    let device = wanted.devices[0].clone();
    let with = |port: u16, mtu: u32| {
        let vxlan = crate::observed::Vxlan { vni: 1, port, local: Some(device.local), learning: false };
        let link = Link {
            name: device.name.to_owned(),
            mtu,
            up: true,
            delivers: true,
            hardware_address: device.hardware_address.to_vec(),
            vxlan: Some(vxlan),
        };
        let mut seen = seen.clone();
        seen.links.insert(9, link);
        devices(&wanted.devices, &seen)[0].1.clone()
    };
    assert_eq!(devices(&wanted.devices, &seen)[0].1, [Step::MakeDevice(device.clone())]);
    assert_eq!(with(crate::PORT, 1450), []);
    assert_eq!(with(crate::PORT, 1400), [Step::SetDevice(9, device.clone())]);
    assert_eq!(with(4789, 1450), [Step::RemoveDevice(9), Step::MakeDevice(device.clone())]);
}

/// A cluster: of each node its number, which ranges it has, and how it is reached.
fn clusters() -> impl Strategy<Value = Vec<(u8, u8, bool)>> {
    prop::collection::btree_map(1..=250_u8, (1..=3_u8, any::<bool>()), 1..30)
        .prop_map(|nodes| nodes.into_iter().map(|(number, (families, near))| (number, families, near)).collect())
}

proptest! {
    #[test]
    fn routes_lead_to_exactly_the_ranges_of_others(nodes in clusters(), mode in 0..2_u8) {
        let mode = if mode == 0 { Mode::Auto } else { Mode::Vxlan };
        let members: Vec<Member> = nodes.iter().map(|(number, families, _)| {
            let four = (families & 1 != 0).then(|| format!("10.0.{number}.0/24"));
            let six = (families & 2 != 0).then(|| format!("fd00:{number:x}::/64"));
            let ranges: Vec<String> = four.into_iter().chain(six).collect();
            let ranges: Vec<&str> = ranges.iter().map(String::as_str).collect();
            let addresses = [format!("192.168.1.{number}"), format!("fd01::{number:x}")];
            member(&format!("n{number}"), i64::from(*number), &ranges, &[&addresses[0], &addresses[1]])
        }).collect();
        let (me, others) = members.split_first().unwrap();
        let mut seen = machine(&[], &[]);
        for (member, (_, _, near)) in members.iter().zip(&nodes) {
            let reach = if *near { Reach::OnLink(LINK) } else { Reach::Beyond };
            seen.reach.extend(member.addresses.iter().map(|address| (*address, reach)));
        }
        let wanted = plan(me, others, mode, &seen).unwrap().unwrap();
        let mut there: Vec<Prefix> =
            wanted.others.values().flat_map(|ways| ways.routes.iter().map(|route| route.to)).collect();
        let mut expected: Vec<Prefix> = others.iter().flat_map(|other| other.ranges.clone()).collect();
        there.sort();
        expected.sort();
        prop_assert_eq!(there, expected);
        for ways in wanted.others.values() {
            for route in &ways.routes {
                if let Way::Tunnel { gateway, device } = route.way {
                    prop_assert!(ways.neighbours.iter().any(|known| (known.0, known.1) == (device, gateway)));
                    prop_assert!(wanted.devices.iter().any(|known| known.name == device));
                    prop_assert!(ways.forward.is_some());
                }
            }
        }
    }
}
