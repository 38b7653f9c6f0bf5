//! Two families of addresses, and nodes that do not share a link: everything is reached by both, wherever it is.

use serde_json::json;
use tests::asking;
use tests::site::{OUTSIDE, OUTSIDE_IPV6, Plan, Site};

use crate::is_possible;
use crate::outside::{self, Outside};
use crate::probe::{Asks, Probe, on_every_node};
use crate::stage::{Stage, are_answered, at, is_echoed, name, seen_from};

/// The ranges of both families.
const PODS: &str = "10.128.0.0/9,fd10:128::/56";
const SERVICES: &str = "10.96.0.0/12,fd10:96::/112";
/// As much as is passed on in one answer.
const MUCH: usize = 1_000_000;

#[test]
fn both_families_lead_to_nodes_of_other_links() {
    if !is_possible() {
        return;
    }
    let options = ["--cluster-cidr", PODS, "--service-cluster-ip-range", SERVICES];
    let (up, images) = (options.map(str::to_owned).to_vec(), vec!["test-1.tar"]);
    let site = Site::up(Plan { near: 1, far: 1, dual: true, up, images, ..Plan::default() });
    let _outside = Outside::open(&site);
    let probes = on_every_node(&site);
    let stage = Stage::new(&site, "families", &probes);
    pods(&probes);
    elsewhere(&stage);
    services(&stage);
}

/// Pods have an address of each family, and reach each other by each, however much they send.
fn pods(probes: &[Probe<'_>]) {
    for probe in probes {
        let families: Vec<bool> = probe.ips.iter().map(|ip| ip.contains(':')).collect();
        assert_eq!(families, [false, true], "{:?}", probe.ips);
    }
    for (from, to) in [(&probes[0], &probes[1]), (&probes[1], &probes[0])] {
        for (own, other) in from.ips.iter().zip(&to.ips) {
            let server = at(other, 8080);
            assert_eq!(&seen_from(from, &server), own, "{} to {other}", from.called());
            is_echoed(from, &at(other, 8081));
            let answer = from.get(&server, &format!("/bytes?count={MUCH}")).expect("all of it");
            assert_eq!((answer.status, answer.body.len()), (200, MUCH), "{} from {other}", from.called());
            let text = "x".repeat(4000);
            let back = || from.send(&at(other, 8081), &text);
            asking::wait_until("a large datagram comes back", back, |back| back.as_ref() == Ok(&text));
        }
    }
}

/// Pods reach the outside, which sees their nodes.
fn elsewhere(stage: &Stage<'_>) {
    for (probe, host) in stage.probes.iter().zip(stage.site.hosts()) {
        let ask = || probe.get(&outside::server(), "/");
        let seen = asking::until("a pod reaches the outside", ask, Result::is_ok).expect("it was waited for").body;
        assert_eq!(seen, host.addresses()[0].to_string(), "{}", probe.called());
    }
}

/// Services with an address of each family lead to pods of each, from pods, nodes and outside, and are found by name.
fn services(stage: &Stage<'_>) {
    stage.serve("web", &[("a", 1), ("b", 2)]);
    stage.service("web", "web", json!({"type": "NodePort", "ipFamilyPolicy": "RequireDualStack"}));
    let ips = stage.user.get("service/web", ".spec.clusterIPs[*]");
    let ips: Vec<&str> = ips.split_whitespace().collect();
    assert!(ips.len() == 2 && ips[0].starts_with("10.") && ips[1].starts_with("fd10:96::"), "{ips:?}");
    let port = stage.node_port("web", "http");
    for ip in &ips {
        for who in stage.inside() {
            are_answered(who, &at(ip, 80), &["a", "b"]);
            is_echoed(who, &at(ip, 81));
        }
    }
    for host in stage.site.hosts() {
        for address in host.addresses() {
            are_answered(stage.site.outside(), &at(&address.to_string(), port), &["a", "b"]);
        }
    }
    for probe in stage.probes {
        for (record, ip) in [("A", ips[0]), ("AAAA", ips[1])] {
            let find = || probe.resolve("web.families", record);
            asking::wait_until("a Service has a name", find, |found| found.as_ref() == Ok(&vec![ip.to_owned()]));
        }
        asking::wait_until("a Service is reached by name", || name(probe, "web.families:80"), Result::is_ok);
    }
    // Who keeps the addresses of clients does so in both families.
    stage.service(
        "kept",
        "web",
        json!({
            "type": "NodePort", "ipFamilyPolicy": "RequireDualStack", "externalTrafficPolicy": "Local",
        }),
    );
    let port = stage.node_port("kept", "http");
    for (address, own) in stage.site.hosts()[0].addresses().iter().zip([OUTSIDE, OUTSIDE_IPV6]) {
        assert_eq!(seen_from(stage.site.outside(), &at(&address.to_string(), port)), own);
    }
}
