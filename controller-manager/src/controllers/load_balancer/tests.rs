//! What Services of type LoadBalancer get, with and without a pool.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::testing::{World, check_converges, nobody_else};

fn service(name: &str, age: i64, spec: Value) -> Service {
    let created = Timestamp::from_second(1_700_000_000 - age).unwrap().to_string();
    let mut whole = json!({"type": "LoadBalancer", "ipFamilies": ["IPv4"], "ports": [{"port": 80, "protocol": "TCP"}]});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let meta = json!({"name": name, "namespace": "shop", "creationTimestamp": created});
    serde_json::from_value(json!({"metadata": meta, "spec": whole})).unwrap()
}

fn node(name: &str, addresses: &[&str]) -> Node {
    let addresses: Vec<_> = addresses.iter().map(|it| json!({"type": "InternalIP", "address": it})).collect();
    let status = json!({
        "addresses": addresses, "conditions": [{"type": "Ready", "status": "True"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
    });
    serde_json::from_value(json!({"metadata": {"name": name}, "status": status})).unwrap()
}

fn slice(service: &str, endpoints: &[(&str, bool)]) -> EndpointSlice {
    let endpoint = |(node, ready): &(&str, bool)| json!({"addresses": ["10.1.0.1"], "nodeName": node, "conditions": {"ready": ready}});
    let meta = json!({"name": format!("{service}-1"), "namespace": "shop", "labels": {OF_SERVICE: service}});
    let endpoints: Vec<_> = endpoints.iter().map(endpoint).collect();
    serde_json::from_value(json!({"metadata": meta, "addressType": "IPv4", "endpoints": endpoints})).unwrap()
}

fn world(pool: &str) -> World<LoadBalancers> {
    let pool = (!pool.is_empty()).then(|| pool.parse().unwrap());
    World::new(LoadBalancers { pool })
}

/// What a Service has: its addresses, and who announces them.
fn has(world: &World<LoadBalancers>, name: &str) -> String {
    let service = world.get::<Service>("shop", name).unwrap();
    let addresses = assign::ingress(&service).iter().filter_map(|ingress| ingress.ip.clone());
    let by = service.metadata.annotations.as_ref().and_then(|all| all.get(ANNOUNCED_BY).cloned());
    addresses.chain(by).collect::<Vec<_>>().join(" ")
}

#[test]
fn services_get_the_addresses_of_nodes_where_their_ports_are_free() {
    let setup = || {
        let mut world = world("");
        world.add(node("a", &["192.0.2.1", "fd00::1"]));
        world.add(node("b", &["192.0.2.2"]));
        world.add(service("old", 9, json!({})));
        world.add(service("new", 1, json!({})));
        world.add(service("other", 1, json!({"ports": [{"port": 81, "protocol": "TCP"}]})));
        world.add(service("udp", 1, json!({"ports": [{"port": 80, "protocol": "UDP"}]})));
        world.add(service("six", 1, json!({"ipFamilies": ["IPv6"]})));
        world.add(service("agent", 1, json!({"ports": [{"port": 10250, "protocol": "TCP"}]})));
        world.add(service("plain", 1, json!({"type": "ClusterIP"})));
        world.add(service("cloud", 1, json!({"loadBalancerClass": "example.com/cloud"})));
        world
    };
    let mut world = check_converges(setup, nobody_else);
    assert_eq!(has(&world, "old"), "192.0.2.1 192.0.2.2");
    assert_eq!(has(&world, "other"), "192.0.2.1 192.0.2.2");
    assert_eq!(has(&world, "udp"), "192.0.2.1 192.0.2.2");
    assert_eq!(has(&world, "six"), "fd00::1");
    for nothing in ["new", "agent", "plain", "cloud"] {
        assert_eq!(has(&world, nothing), "", "{nothing}");
    }
    let said = |world: &World<LoadBalancers>, text: &str| world.events.iter().any(|event| event.contains(text));
    assert!(said(&world, "Normal EnsuredLoadBalancer Service old: Ensured load balancer"), "{:#?}", world.events);
    let conflict = "Warning SyncLoadBalancerFailed Service new: Error syncing load balancer: port 80 (TCP) is taken by the \
                    Service shop/old on every node: choose another port";
    assert!(said(&world, conflict), "{:#?}", world.events);
    assert!(said(
        &world,
        "Service agent: Error syncing load balancer: port 10250 (TCP) is taken by the node's own agent"
    ));
    // Who waits gets it when it becomes free.
    world.remove::<Service>("shop", "old");
    world.settle();
    assert_eq!(has(&world, "new"), "192.0.2.1 192.0.2.2");
    // A node that is not ready, or is not to be reached, serves nobody.
    world.change::<Node>("", "a", |node| {
        node.metadata
            .labels
            .get_or_insert_default()
            .insert("node.kubernetes.io/exclude-from-external-load-balancers".to_owned(), String::new());
    });
    world.settle();
    assert_eq!(has(&world, "new"), "192.0.2.2");
    world.change::<Node>("", "b", |node| node.status.as_mut().unwrap().conditions = None);
    world.settle();
    assert_eq!(has(&world, "new"), "");
    assert!(said(&world, "Service new: Error syncing load balancer: no node is ready"), "{:#?}", world.events);
}

#[test]
fn what_the_api_server_listens_at_is_no_services() {
    let mut world = world("");
    world.add(node("a", &["192.0.2.1"]));
    world.add(node("b", &["192.0.2.2"]));
    let meta = json!({"name": "kubernetes", "namespace": "default", "labels": {OF_SERVICE: "kubernetes"}});
    let api = json!({"metadata": meta, "addressType": "IPv4", "endpoints": [{"addresses": ["192.0.2.1"]}],
        "ports": [{"port": 6443}]});
    world.add(serde_json::from_value::<EndpointSlice>(api).unwrap());
    world.add(service("web", 1, json!({"ports": [{"port": 6443, "protocol": "TCP"}]})));
    world.settle();
    assert_eq!(has(&world, "web"), "192.0.2.2");
}

#[test]
fn local_traffic_goes_where_pods_are() {
    for (pool, expected) in
        [("", ["192.0.2.2", "192.0.2.1 192.0.2.2", ""]), ("10.9.0.1", ["10.9.0.1 b", "10.9.0.1 b", "10.9.0.1"])]
    {
        let mut world = world(pool);
        world.add(node("a", &["192.0.2.1"]));
        world.add(node("b", &["192.0.2.2"]));
        world.add(service("web", 1, json!({"externalTrafficPolicy": "Local"})));
        world.add(slice("web", &[("a", false), ("b", true)]));
        world.settle();
        assert_eq!(has(&world, "web"), expected[0]);
        world.change::<EndpointSlice>("shop", "web-1", |it| {
            it.endpoints = slice("web", &[("a", true), ("b", true)]).endpoints
        });
        world.settle();
        assert_eq!(has(&world, "web"), expected[1]);
        world.change::<EndpointSlice>("shop", "web-1", |it| it.endpoints = None);
        world.settle();
        assert_eq!(has(&world, "web"), expected[2]);
    }
}

#[test]
fn a_pool_gives_each_its_own_and_nodes_announce_them() {
    let setup = || {
        let mut world = world("10.9.0.1-10.9.0.3,fd09::/127");
        world.add(node("a", &["192.0.2.1"]));
        world.add(node("b", &["192.0.2.2"]));
        world.add(service("asks", 1, json!({"loadBalancerIP": "10.9.0.2"})));
        world.add(service("asks-for-others", 1, json!({"loadBalancerIP": "10.1.0.2"})));
        world.add(service("first", 9, json!({})));
        world.add(service("second", 8, json!({"ipFamilies": ["IPv4", "IPv6"]})));
        world.add(service("too-late", 0, json!({})));
        world
    };
    let mut world = check_converges(setup, nobody_else);
    let address = |world: &World<LoadBalancers>, name| has(world, name).trim_end_matches([' ', 'a', 'b']).to_owned();
    // The oldest chooses first, and does not know what younger ones ask for.
    assert_eq!(address(&world, "first"), "10.9.0.1");
    assert_eq!(address(&world, "second"), "10.9.0.2 fd09::");
    for name in ["asks", "asks-for-others"] {
        assert_eq!(has(&world, name), "", "{name}");
    }
    assert_eq!(address(&world, "too-late"), "10.9.0.3");
    let said = |text: &str| world.events.iter().any(|event| event.contains(text));
    assert!(said(
        "Service asks: Error syncing load balancer: spec.loadBalancerIP: 10.9.0.2 is taken by the Service shop/second"
    ));
    assert!(said("spec.loadBalancerIP: 10.1.0.2 is none of --load-balancer-pool (10.9.0.1-10.9.0.3,fd09::/127)"));
    world.add(service("last", 0, json!({})));
    world.settle();
    let nothing = "Service last: Error syncing load balancer: every address of --load-balancer-pool";
    assert!(world.events.iter().any(|event| event.contains(nothing)), "{:#?}", world.events);
    // What a Service has it keeps, and so does who announces it, until that cannot be.
    let before = has(&world, "first");
    world.add(node("c", &["192.0.2.3"]));
    world.settle();
    assert_eq!(has(&world, "first"), before);
    let (_, by) = before.rsplit_once(' ').unwrap();
    let by = by.to_owned();
    world.change::<Node>("", &by, |node| node.status.as_mut().unwrap().conditions = None);
    world.settle();
    assert_eq!(address(&world, "first").trim_end_matches([' ', 'c']), "10.9.0.1");
    assert_ne!(has(&world, "first"), before);
}

#[test]
fn both_families_can_be_demanded() {
    let check = |policy: &str, expected: &str| {
        let mut world = world("10.9.0.1");
        world.add(service("web", 1, json!({"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": policy})));
        world.settle();
        assert_eq!(has(&world, "web"), expected);
    };
    check("PreferDualStack", "10.9.0.1");
    check("RequireDualStack", "");
}
