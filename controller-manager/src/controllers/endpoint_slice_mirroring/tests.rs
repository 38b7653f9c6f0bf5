//! What is mirrored, how, and until when.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::testing::{World, check_converges, nobody_else};

type Mirror = World<EndpointSliceMirroring>;

fn service(spec: Value) -> Service {
    serde_json::from_value(json!({"metadata": {"name": "db", "namespace": "shop"}, "spec": spec})).unwrap()
}

fn by_hand(subsets: Value) -> Endpoints {
    let meta = json!({"name": "db", "namespace": "shop", "uid": "by-hand", "labels": {"team": "a"}, "annotations":
        {"note": "mine", TRIGGER_TIME: "2026-03-01T11:00:00Z", LAST_APPLIED: "{}"}});
    serde_json::from_value(json!({"metadata": meta, "subsets": subsets})).unwrap()
}

fn addresses(ips: &[&str]) -> Value {
    ips.iter().map(|ip| json!({"ip": ip})).collect()
}

fn ports(numbers: &[i32]) -> Value {
    numbers.iter().map(|number| json!({"name": format!("p{number}"), "port": number, "protocol": "TCP"})).collect()
}

fn world(subsets: &Value) -> Mirror {
    let mut world = World::new(EndpointSliceMirroring);
    world.add(service(json!({})));
    world.add(by_hand(subsets.clone()));
    world
}

/// Each slice as its family, its ports, and its addresses, those that are not ready in parentheses.
fn told(world: &Mirror) -> Vec<String> {
    let endpoint = |endpoint: &Endpoint| {
        let address = endpoint.addresses[0].clone();
        if endpoint.conditions.as_ref().unwrap().ready == Some(true) { address } else { format!("({address})") }
    };
    let line = |slice: &Arc<EndpointSlice>| {
        let ports: BTreeSet<i32> = slice.ports.iter().flatten().filter_map(|port| port.port).collect();
        let endpoints: Vec<String> = endpoints(slice).iter().map(endpoint).collect();
        format!("{} {ports:?} {}", slice.address_type, endpoints.join(","))
    };
    let mut told: Vec<String> = world.list::<EndpointSlice>().iter().map(line).collect();
    told.sort();
    told
}

fn simple() -> Value {
    json!([{"addresses": addresses(&["10.1.0.1"]), "ports": ports(&[80])}])
}

#[test]
fn a_slice_has_what_upstream_writes() {
    let target = json!({"kind": "Pod", "namespace": "shop", "name": "a"});
    let address = json!({"ip": "10.1.0.1", "hostname": "first", "nodeName": "n1", "targetRef": target});
    let subsets = json!([{"addresses": [address], "ports": ports(&[80])}]);
    let world = check_converges(|| world(&subsets), nobody_else);
    let slices = world.list::<EndpointSlice>();
    let mut json = serde_json::to_value(&*slices[0]).unwrap();
    for field in ["name", "uid", "resourceVersion", "creationTimestamp", "generation"] {
        json["metadata"].as_object_mut().unwrap().remove(field);
    }
    insta::assert_json_snapshot!(json);
}

#[test]
fn subsets_become_slices_by_family_and_ports() {
    let check = |subsets: Value, expected: &[&str]| {
        let world = check_converges(|| world(&subsets), nobody_else);
        assert_eq!(told(&world), expected);
    };
    check(json!([]), &[]);
    check(json!([{"ports": ports(&[80])}]), &[]);
    check(simple(), &["IPv4 {80} 10.1.0.1"]);
    check(
        json!([{"addresses": addresses(&["10.1.0.1", "fd00:0::1"]), "notReadyAddresses": addresses(&["10.1.0.2"]),
            "ports": ports(&[80, 81])}]),
        &["IPv4 {80, 81} 10.1.0.1,(10.1.0.2)", "IPv6 {80, 81} fd00::1"],
    );
    check(
        json!([{"addresses": addresses(&["10.1.0.1"]), "ports": ports(&[80])},
            {"addresses": addresses(&["10.1.0.2"]), "ports": ports(&[80])},
            {"addresses": addresses(&["10.1.0.3"]), "ports": ports(&[81])}]),
        &["IPv4 {80} 10.1.0.1,10.1.0.2", "IPv4 {81} 10.1.0.3"],
    );
    check(json!([{"addresses": addresses(&["10.1.0.1"])}]), &["IPv4 {} 10.1.0.1"]);
}

#[test]
fn what_has_no_ports_is_mirrored_unless_the_same_addresses_have_some() {
    // That is how upstream packs subsets, before it mirrors them.
    let check = |without: &[&str], expected: &[&str]| {
        let subsets = json!([{"addresses": addresses(&["10.1.0.1", "fd00::1"]), "ports": ports(&[80])},
            {"addresses": addresses(without)}]);
        assert_eq!(told(&check_converges(|| world(&subsets), nobody_else)), expected);
    };
    check(&["10.1.0.1", "fd00::1"], &["IPv4 {80} 10.1.0.1", "IPv6 {80} fd00::1"]);
    check(&["10.1.0.1"], &["IPv4 {80} 10.1.0.1", "IPv4 {} 10.1.0.1", "IPv6 {80} fd00::1"]);
}

#[test]
fn what_is_left_out_is_told() {
    let mut world = world(&json!([{"addresses": addresses(&["10.1.0.1", "nowhere"]), "ports": ports(&[80])}]));
    world.settle();
    let said = "Warning InvalidIPAddress Endpoints db: Skipped 1 invalid IP addresses when mirroring to EndpointSlices";
    assert_eq!(world.events, [said]);
    let many: Vec<Value> =
        (0..1002).map(|index| json!({"ip": format!("10.1.{}.{}", index / 200, index % 200)})).collect();
    let subsets = json!([{"addresses": many, "notReadyAddresses": addresses(&["10.9.0.1"]), "ports": ports(&[80])}]);
    world.events.clear();
    world.change::<Endpoints>("shop", "db", |endpoints| endpoints.subsets = serde_json::from_value(subsets).unwrap());
    world.settle();
    let said = "Warning TooManyAddressesToMirror Endpoints db: A max of 1000 addresses can be mirrored to EndpointSlices \
                per Endpoints subset. 3 addresses were skipped";
    assert_eq!(world.events, [said]);
    assert_eq!(endpoints(&world.list::<EndpointSlice>()[0]).len(), 1000);
}

#[test]
fn slices_go_when_there_is_nothing_to_mirror() {
    type Ending = fn(&mut Mirror);
    let endings: [(&str, Ending); 5] = [
        ("the Endpoints went", |world| world.remove::<Endpoints>("shop", "db")),
        ("the Service went", |world| world.remove::<Service>("shop", "db")),
        ("the Service has a selector", |world| {
            world.change::<Service>("shop", "db", |service| {
                *service = self::service(json!({"selector": {"app": "db"}}))
            });
        }),
        ("the label says so", |world| {
            world.change::<Endpoints>("shop", "db", |endpoints| {
                endpoints.metadata.labels.as_mut().unwrap().insert(SKIP.to_owned(), "true".to_owned());
            });
        }),
        ("it is about an election", |world| {
            world.change::<Endpoints>("shop", "db", |endpoints| {
                endpoints.metadata.annotations.as_mut().unwrap().insert(LEADER.to_owned(), String::new());
            });
        }),
    ];
    for (why, ending) in endings {
        let setup = || {
            let subsets = json!([{"addresses": addresses(&["10.1.0.1", "fd00::1"]), "ports": ports(&[80])}]);
            let mut world = world(&subsets);
            world.settle();
            assert_eq!(world.list::<EndpointSlice>().len(), 2);
            ending(&mut world);
            world
        };
        let world = check_converges(setup, nobody_else);
        assert!(world.list::<EndpointSlice>().is_empty(), "{why}");
    }
}

#[test]
fn what_is_not_to_be_mirrored_is_not() {
    let mut alone: Mirror = World::new(EndpointSliceMirroring);
    alone.add(by_hand(simple()));
    assert!(alone.settle().is_empty());
    // Its Service may come later, and a selector of nothing is none.
    alone.add(service(json!({"selector": {}})));
    alone.settle();
    assert_eq!(told(&alone), ["IPv4 {80} 10.1.0.1"]);

    let mut ending: Mirror = World::new(EndpointSliceMirroring);
    let json = json!({"metadata": {"name": "shop", "deletionTimestamp": "2026-03-01T12:00:00Z"}});
    ending.add::<Namespace>(serde_json::from_value(json).unwrap());
    ending.add(service(json!({})));
    ending.add(by_hand(simple()));
    assert!(ending.settle().is_empty());
}

#[test]
fn slices_are_written_over() {
    let mut world = world(&simple());
    world.settle();
    let name = |world: &Mirror| world.list::<EndpointSlice>()[0].metadata.name.clone();
    let first = name(&world);
    let mut change = |change: &dyn Fn(&mut Endpoints), expected: &[&str]| {
        world.change::<Endpoints>("shop", "db", change);
        let writes: usize = world.settle().iter().map(|(_, plan)| plan.actions.len()).sum();
        assert_eq!(
            (told(&world), name(&world), writes),
            (expected.iter().map(|it| (*it).to_owned()).collect(), first.clone(), 1)
        );
        world.list::<EndpointSlice>()[0].metadata.clone()
    };
    let subsets = |json: Value| {
        move |endpoints: &mut Endpoints| {
            endpoints.subsets = serde_json::from_value(json.clone()).unwrap();
        }
    };
    let more = json!([{"addresses": addresses(&["10.1.0.1", "10.1.0.2"]), "ports": ports(&[80])}]);
    change(&subsets(more), &["IPv4 {80} 10.1.0.1,10.1.0.2"]);
    change(&subsets(json!([{"addresses": addresses(&["10.1.0.3"]), "ports": ports(&[90])}])), &["IPv4 {90} 10.1.0.3"]);
    let meta = change(&|endpoints| endpoints.metadata.labels = None, &["IPv4 {90} 10.1.0.3"]);
    assert!(!meta.labels.unwrap().contains_key("team"));
    let meta = change(&|endpoints| endpoints.metadata.annotations = None, &["IPv4 {90} 10.1.0.3"]);
    assert_eq!(meta.annotations, None);
    // What a user takes away is there again.
    world.remove::<EndpointSlice>("shop", &first.unwrap());
    world.settle();
    assert_eq!(told(&world), ["IPv4 {90} 10.1.0.3"]);
}

/// Which addresses are to be mirrored at which ports, or at none, and which of them are ready, if these are the address,
/// readiness and ports of each subset.
fn mirrored(subsets: &[(usize, bool, Vec<i32>)]) -> BTreeMap<(Option<i32>, usize), bool> {
    let mut by_port: BTreeMap<Option<i32>, BTreeMap<usize, bool>> = BTreeMap::new();
    for (number, ready, ports) in subsets {
        let ports: Vec<Option<i32>> = ports.iter().copied().map(Some).collect();
        for port in if ports.is_empty() { vec![None] } else { ports } {
            // What is not ready at a port in one place is not ready at it.
            *by_port.entry(port).or_default().entry(*number).or_insert(true) &= *ready;
        }
    }
    if let Some(without) = by_port.remove(&None)
        && !by_port.values().any(|addresses| *addresses == without)
    {
        by_port.insert(None, without);
    }
    let spread = |(port, addresses): (Option<i32>, BTreeMap<usize, bool>)| {
        addresses.into_iter().map(move |(number, ready)| ((port, number), ready))
    };
    by_port.into_iter().flat_map(spread).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn slices_say_what_endpoints_say(
        changes in prop::collection::vec(
            prop::collection::vec((0..12_usize, any::<bool>(), prop::collection::vec(1..4_i32, 0..3)), 0..8),
            1..6,
        ),
    ) {
        let mut world = world(&json!([]));
        for subsets in changes {
            let subset = |(number, ready, numbers): &(usize, bool, Vec<i32>)| {
                let ip = if number % 3 == 0 { format!("fd00::{number}") } else { format!("10.1.0.{number}") };
                let list = if *ready { "addresses" } else { "notReadyAddresses" };
                json!({list: addresses(&[&ip]), "ports": ports(numbers)})
            };
            let json: Value = subsets.iter().map(subset).collect();
            world.change::<Endpoints>("shop", "db", |endpoints| {
                endpoints.subsets = serde_json::from_value(json).unwrap();
            });
            world.settle();
            let mut found = BTreeMap::new();
            for slice in world.list::<EndpointSlice>() {
                for endpoint in endpoints(&slice) {
                    let number: usize = endpoint.addresses[0].rsplit(['.', ':']).next().unwrap().parse().unwrap_or(0);
                    let ready = endpoint.conditions.as_ref().unwrap().ready.unwrap();
                    let ports: Vec<Option<i32>> = slice.ports.iter().flatten().map(|port| port.port).collect();
                    for port in if ports.is_empty() { vec![None] } else { ports } {
                        prop_assert!(found.insert((port, number), ready).is_none());
                    }
                }
            }
            prop_assert_eq!(found, mirrored(&subsets));
        }
    }
}
