//! What each feature of Services makes of a table, as text: only what the Service adds to it.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use nft::{Endpoint, Family, Prefix, Table};
use serde_json::{Value, json};

use super::object;
use crate::rules::{Node, Rules, Stale};

fn node() -> Node {
    let prefix = |address: &str, length| Prefix::new(address.parse().unwrap(), length).unwrap();
    Node {
        name: "here".to_owned(),
        zone: Some("z1".to_owned()),
        addresses: ["192.168.0.1", "127.0.0.1", "2001:db8::1"].map(|text| text.parse().unwrap()).to_vec(),
        pods: vec![prefix("10.244.1.0", 24), prefix("fd44:1::", 64)],
        answered: ["10.96.0.10".parse::<IpAddr>().unwrap()].into(),
    }
}

/// A Service with these fields, more than it has anyway.
fn service(more: Value) -> Service {
    let mut all = json!({
        "type": "ClusterIP",
        "clusterIP": "10.96.0.1",
        "clusterIPs": ["10.96.0.1"],
        "ports": [{"name": "web", "protocol": "TCP", "port": 80}],
    });
    let mut labels = json!({});
    let mut status = json!({});
    for (key, value) in more.as_object().unwrap() {
        match key.as_str() {
            "labels" => labels = value.clone(),
            "loadBalancer" => status = json!({ key: value }),
            _ => all[key] = value.clone(),
        }
    }
    let created = "2026-01-01T00:00:00Z";
    object(json!({"metadata": {"creationTimestamp": created, "labels": labels}, "spec": all, "status": status}))
}

/// A slice with these endpoints: address, node, and what else there is.
fn slice(endpoints: &[(&str, &str, Value)]) -> EndpointSlice {
    let four = endpoints.iter().all(|(address, ..)| address.contains('.'));
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|(address, node, more)| {
            let mut all = json!({"addresses": [address], "nodeName": node});
            all.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
            all
        })
        .collect();
    object(json!({
        "metadata": {},
        "addressType": (if four { "IPv4" } else { "IPv6" }),
        "endpoints": endpoints,
        "ports": [
            {"name": "web", "protocol": "TCP", "port": 8080},
            {"name": "dns", "protocol": "UDP", "port": 5353},
            {"name": "sig", "protocol": "SCTP", "port": 3868},
        ],
    }))
}

fn both() -> EndpointSlice {
    slice(&[("10.244.1.2", "here", json!({})), ("10.244.2.2", "there", json!({}))])
}

fn away() -> EndpointSlice {
    slice(&[("10.244.2.2", "there", json!({}))])
}

fn state(ready: bool, serving: bool, terminating: bool) -> Value {
    json!({"conditions": {"ready": ready, "serving": serving, "terminating": terminating}})
}

/// What a table has that one without Services has not, and the other way round.
fn added(table: &Table, empty: &Table) -> String {
    let (all, before) = (table.to_string(), empty.to_string());
    let before: BTreeSet<&str> = before.lines().collect();
    let mut text = String::new();
    let mut headline = None;
    for line in all.lines() {
        let name = line.starts_with('\t') && !line.starts_with("\t\t") && line.ends_with('{');
        if name {
            headline = Some(line);
        }
        if before.contains(line) || matches!(line.trim(), "elements = {" | "}") {
            continue;
        }
        if let Some(line) = headline.take() {
            writeln!(text, "{}", line.trim().trim_end_matches(" {")).unwrap();
        }
        if !name {
            writeln!(text, "  {}", line.trim()).unwrap();
        }
    }
    text
}

fn text(services: &[(&str, &Service, &[&EndpointSlice])]) -> String {
    let empty = Rules::new(node());
    let mut rules = empty.clone();
    for (name, service, slices) in services {
        rules.set("shop", name, Some(service), slices);
    }
    let families = [Family::Ip, Family::Ip6].map(|family| (family, added(rules.table(family), empty.table(family))));
    let some = families.iter().filter(|(_, text)| !text.is_empty());
    some.map(|(family, text)| format!("-- {family}\n{text}")).collect()
}

#[test]
fn a_node_without_services() {
    let rules = Rules::new(node());
    insta::assert_snapshot!(format!("{}{}", rules.table(Family::Ip), rules.table(Family::Ip6)));
}

macro_rules! shown {
    ($($name:ident: $service:expr, [$($slice:expr),*];)*) => {$(
        #[test]
        fn $name() {
            insta::assert_snapshot!(text(&[("cart", &service($service), &[$(&$slice),*])]));
        }
    )*};
}

shown! {
    a_cluster_ip: json!({}), [both()];
    a_cluster_ip_without_endpoints: json!({}), [];
    an_unnamed_port_of_three_protocols: json!({"ports": [
        {"port": 80}, {"name": "dns", "protocol": "UDP", "port": 53}, {"name": "sig", "protocol": "SCTP", "port": 80},
    ]}), [both(), object(json!({
        "metadata": {}, "addressType": "IPv4", "ports": [{"port": 81}, {"name": "dns"}],
        "endpoints": [{"addresses": ["10.244.1.9", "10.244.1.10"]}],
    }))];
    two_families: json!({"clusterIPs": ["10.96.0.1", "fd96::1"], "ipFamilies": ["IPv4", "IPv6"]}), [
        both(), slice(&[("fd44:1::2", "here", json!({}))]),
        object(json!({"metadata": {}, "addressType": "FQDN", "endpoints": [{"addresses": ["a.example"]}], "ports": []}))
    ];
    a_node_port: json!({"type": "NodePort", "ports": [{"name": "web", "port": 80, "nodePort": 30080}]}), [both()];
    a_node_port_without_endpoints: json!({
        "type": "NodePort", "ports": [{"name": "web", "port": 80, "nodePort": 30080}],
    }), [];
    external_traffic_stays: json!({
        "type": "NodePort", "externalTrafficPolicy": "Local",
        "ports": [{"name": "web", "port": 80, "nodePort": 30080}],
    }), [both()];
    external_traffic_would_stay_but_nobody_is_here: json!({
        "type": "NodePort", "externalTrafficPolicy": "Local",
        "ports": [{"name": "web", "port": 80, "nodePort": 30080}],
    }), [away()];
    internal_traffic_stays: json!({"internalTrafficPolicy": "Local"}), [both()];
    internal_traffic_would_stay_but_nobody_is_here: json!({"internalTrafficPolicy": "Local"}), [away()];
    load_balancers: json!({"type": "LoadBalancer", "loadBalancer": {"ingress": [
        {"ip": "203.0.113.1"}, {"ip": "203.0.113.2", "ipMode": "VIP"}, {"ip": "203.0.113.3", "ipMode": "Proxy"},
        {"hostname": "lb.example"},
    ]}}), [both()];
    load_balancers_for_some: json!({
        "type": "LoadBalancer",
        "loadBalancerSourceRanges": ["198.51.100.0/24 ", "198.51.100.128/25", "192.168.0.0/16", "2001:db8::/32"],
        "loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]},
    }), [both()];
    external_ips: json!({"externalIPs": ["203.0.113.9", "192.168.0.1"]}), [both()];
    clients_stay: json!({
        "type": "NodePort", "externalTrafficPolicy": "Local", "sessionAffinity": "ClientIP",
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}},
        "ports": [{"name": "web", "port": 80, "nodePort": 30080}],
    }), [both()];
    clients_stay_three_hours_by_default: json!({"sessionAffinity": "ClientIP"}), [away()];
    those_of_the_zone: json!({}), [slice(&[
        ("10.244.1.2", "here", json!({"hints": {"forZones": [{"name": "z1"}]}})),
        ("10.244.2.2", "there", json!({"hints": {"forZones": [{"name": "z2"}]}})),
    ])];
    those_of_the_node: json!({}), [slice(&[
        ("10.244.1.2", "here", json!({"hints": {"forNodes": [{"name": "here"}], "forZones": [{"name": "z2"}]}})),
        ("10.244.2.2", "there", json!({"hints": {"forNodes": [{"name": "there"}], "forZones": [{"name": "z1"}]}})),
    ])];
    all_if_one_has_no_hint: json!({}), [slice(&[
        ("10.244.1.2", "here", json!({"hints": {"forZones": [{"name": "z1"}]}})),
        ("10.244.2.2", "there", json!({})),
    ])];
    all_if_no_hint_is_for_here: json!({}), [slice(&[
        ("10.244.1.2", "here", json!({"hints": {"forZones": [{"name": "z3"}]}})),
        ("10.244.2.2", "there", json!({"hints": {"forZones": [{"name": "z2"}]}})),
    ])];
    ready_ones_before_draining_ones: json!({}), [slice(&[
        ("10.244.1.2", "here", state(false, true, true)), ("10.244.2.2", "there", state(true, true, false)),
        ("10.244.2.3", "there", state(false, false, false)),
    ])];
    draining_ones_if_none_is_ready: json!({}), [slice(&[
        ("10.244.1.2", "here", state(false, true, true)), ("10.244.2.2", "there", state(false, false, true)),
        ("10.244.2.3", "there", state(false, true, false)),
    ])];
    one_that_is_ready_in_one_of_two_slices: json!({}), [
        slice(&[("10.244.1.2", "here", state(false, true, true))]),
        slice(&[("10.244.1.2", "here", state(true, true, false))])
    ];
    what_the_node_answers_is_left_out: json!({
        "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10", "fd96::10"],
    }), [both()];
}

#[test]
fn services_that_are_not_ours() {
    let slices = [both()];
    let slices: Vec<&EndpointSlice> = slices.iter().collect();
    for more in [
        json!({"clusterIP": "None", "clusterIPs": ["None"]}),
        json!({"clusterIP": "", "clusterIPs": null}),
        json!({"type": "ExternalName", "externalName": "a.example"}),
        json!({"labels": {"service.kubernetes.io/service-proxy-name": "other"}}),
        json!({"labels": {"service.kubernetes.io/headless": ""}}),
    ] {
        assert_eq!(text(&[("cart", &service(more), &slices)]), "");
    }
    let mut headless = both();
    headless.metadata.labels = Some([("service.kubernetes.io/headless".to_owned(), String::new())].into());
    assert_eq!(text(&[("cart", &service(json!({})), &[&headless])]), text(&[("cart", &service(json!({})), &[])]));
}

#[test]
fn what_several_want_is_one_s() {
    let cluster = service(json!({"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"]}));
    let thief = service(json!({"externalIPs": ["10.96.0.7", "203.0.113.1"]}));
    let balanced = service(json!({
        "type": "LoadBalancer", "clusterIP": "10.96.0.8", "clusterIPs": ["10.96.0.8"],
        "loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]},
    }));
    let slices = [away()];
    let slices: Vec<&EndpointSlice> = slices.iter().collect();
    insta::assert_snapshot!(text(&[("z", &cluster, &[]), ("a", &thief, &slices), ("b", &balanced, &slices)]));
}

#[test]
fn the_elder_of_two_has_a_node_port_until_it_goes() {
    let make = |created: &str, ip: &str| {
        let ports = json!([{"name": "web", "port": 80, "nodePort": 30080}]);
        let mut made = service(json!({"type": "NodePort", "clusterIP": ip, "clusterIPs": [ip], "ports": ports}));
        made.metadata.creation_timestamp = Some(object(json!(created)));
        made
    };
    let (elder, younger) = (make("2026-01-01T00:00:00Z", "10.96.0.1"), make("2026-01-02T00:00:00Z", "10.96.0.2"));
    let mut rules = Rules::new(node());
    let whose = |rules: &Rules| {
        let text = rules.table(Family::Ip).to_string();
        text.lines().find_map(|line| line.trim().strip_prefix("tcp . 30080 : goto ").map(str::to_owned))
    };
    rules.set("shop", "a", Some(&younger), &[&away()]);
    assert_eq!(whose(&rules).as_deref(), Some("external/shop/a/tcp/web,"));
    rules.set("shop", "z", Some(&elder), &[&away()]);
    assert_eq!(whose(&rules).as_deref(), Some("external/shop/z/tcp/web,"));
    rules.set("shop", "z", None, &[]);
    assert_eq!(whose(&rules).as_deref(), Some("external/shop/a/tcp/web,"));
    rules.set("shop", "a", None, &[]);
    assert_eq!(whose(&rules), None);
}

#[test]
fn connections_of_udp_are_forgotten_if_they_lead_nowhere() {
    let service = service(json!({
        "type": "NodePort", "externalIPs": ["203.0.113.9"],
        "ports": [{"name": "dns", "protocol": "UDP", "port": 53, "nodePort": 30053}, {"name": "web", "port": 80}],
    }));
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let fronts = [("10.96.0.1", 53), ("203.0.113.9", 53), ("192.168.0.1", 30053)].map(|(text, port)| (ip(text), port));
    let gone = |address: &str| {
        let endpoint = Endpoint { address: ip(address), port: 5353 };
        fronts.map(|(ip, port)| Stale::AnsweredBy(ip, port, endpoint)).to_vec()
    };
    let mut rules = Rules::new(node());
    let mut set = |slices: &[&EndpointSlice]| rules.set("shop", "dns", Some(&service), slices).stale;
    assert_eq!(set(&[]), vec![]);
    let first = [Stale::To(fronts[0].0, 53), Stale::To(fronts[1].0, 53), Stale::NodePort(Family::Ip, 30053)];
    assert_eq!(set(&[&both()]), first, "they were let pass while nobody was there");
    assert_eq!(set(&[&both()]), vec![]);
    assert_eq!(set(&[&away()]), gone("10.244.1.2"));
    // Whoever drains goes on with whom it has, even if nobody new comes.
    let draining = [("10.244.2.2", "there", state(false, true, true)), ("10.244.2.3", "there", json!({}))];
    assert_eq!(set(&[&slice(&draining)]), vec![]);
    assert_eq!(set(&[&slice(&draining[1..])]), gone("10.244.2.2"));
    assert_eq!(set(&[]), gone("10.244.2.3"));
}

#[test]
fn names_are_neither_too_long_nor_the_same() {
    let long = "x".repeat(253);
    let mut rules = Rules::new(node());
    for (namespace, name) in [(&*long, "a"), (&*long, "b"), ("a", &*long)] {
        let ip = format!("10.96.1.{}", name.len() % 200 + usize::from(name.as_bytes()[0]));
        let service = service(json!({"clusterIP": ip, "clusterIPs": [ip], "sessionAffinity": "ClientIP"}));
        rules.set(namespace, name, Some(&service), &[&both()]);
    }
    let table = rules.table(Family::Ip);
    super::interpret::validate(table);
    let chains = table.chains.keys().filter(|name| name.starts_with("service/")).count();
    let sets = table.sets.keys().filter(|name| name.starts_with("affinity-10800/")).count();
    assert_eq!((chains, sets), (3, 3));
}

#[test]
fn what_did_not_change_is_shared() {
    let service =
        service(json!({"ports": [{"name": "web", "port": 80}, {"name": "dns", "protocol": "UDP", "port": 53}]}));
    let mut rules = Rules::new(node());
    rules.set("shop", "cart", Some(&service), &[&both()]);
    let before = rules.table(Family::Ip).clone();
    rules.set("shop", "cart", Some(&service), &[&both()]);
    let after = rules.table(Family::Ip);
    for (name, chain) in &before.chains {
        assert!(std::sync::Arc::ptr_eq(chain, &after.chains[name]), "{name}");
    }
    for (name, set) in &before.sets {
        assert!(set.elements.ptr_eq(&after.sets[name].elements), "{name}");
    }
}
