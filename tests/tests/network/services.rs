//! Services lead to those who answer for them, from wherever one asks.

use serde_json::json;
use tests::asking;

use crate::probe::{Asks, Probe};
use crate::stage::{Stage, answering, are_answered, at, is_echoed, is_in_vain, seen_from};

/// Addresses of nobody's, for documentation, which lead to nodes.
const EXTERNAL: &str = "198.51.100.10";
const BALANCER: &str = "198.51.100.20";

/// The address of a Service, from every pod and every node. Who answers a pod sees the pod.
pub(crate) fn cluster_ips(stage: &Stage<'_>) {
    stage.serve("web", &[("a", 2), ("b", 3)]);
    let ip = stage.service("web", "web", json!({}));
    for who in stage.inside() {
        are_answered(who, &at(&ip, 80), &["a", "b"]);
        is_echoed(who, &at(&ip, 81));
    }
    for probe in stage.probes {
        assert_eq!(seen_from(probe, &at(&ip, 80)), probe.ip(), "{}", probe.called());
    }
    // What nobody serves of that address is refused, and not passed on to whoever is on the way.
    is_in_vain(&stage.probes[0], &at(&ip, 82), "refused");
    // Who is not ready is not asked, and who is gone is not.
    let b = Probe::of(&stage.user, "b", &stage.site.hosts()[2]);
    b.told("/do?ready=false");
    are_answered(&stage.probes[0], &at(&ip, 80), &["a"]);
    b.told("/do?ready=true");
    are_answered(&stage.probes[0], &at(&ip, 80), &["a", "b"]);
    stage.user.ok("delete pod a");
    are_answered(&stage.probes[0], &at(&ip, 80), &["b"]);
    is_echoed(&stage.probes[0], &at(&ip, 81));
    stage.user.ok("delete service web");
    let gone = || stage.probes[0].get(&at(&ip, 80), "/name");
    asking::wait_until("a Service that is gone is not answered", gone, Result::is_err);
}

/// A port of every node, from outside, from pods, and from the nodes themselves.
pub(crate) fn node_ports(stage: &Stage<'_>) {
    stage.serve("web", &[("a", 1), ("b", 2)]);
    stage.service("web", "web", json!({"type": "NodePort"}));
    let (http, echo) = (stage.node_port("web", "http"), stage.node_port("web", "echo"));
    for number in 1..=stage.site.hosts().len() {
        let node = stage.node(number);
        are_answered(stage.site.outside(), &at(&node, http), &["a", "b"]);
        is_echoed(stage.site.outside(), &at(&node, echo));
        for who in stage.inside() {
            are_answered(who, &at(&node, http), &["a", "b"]);
            is_echoed(who, &at(&node, echo));
        }
    }
}

/// Addresses that a user says are the Service's, at whichever node what is sent to them comes in.
pub(crate) fn external_ips(stage: &Stage<'_>) {
    stage.serve("web", &[("a", 1), ("b", 3)]);
    stage.service("web", "web", json!({"externalIPs": [EXTERNAL]}));
    stage.site.outside().run(&format!("ip route add {EXTERNAL}/32 via {}", stage.node(2)));
    are_answered(stage.site.outside(), &at(EXTERNAL, 80), &["a", "b"]);
    is_echoed(stage.site.outside(), &at(EXTERNAL, 81));
    for who in stage.inside() {
        are_answered(who, &at(EXTERNAL, 80), &["a", "b"]);
    }
}

/// Addresses that whoever balances says are the Service's, and who may ask at them.
pub(crate) fn load_balancers(stage: &Stage<'_>) {
    stage.serve("web", &[("a", 1), ("b", 2)]);
    // Of a class that nobody here gives addresses to but the test.
    stage.service("web", "web", json!({"type": "LoadBalancer", "loadBalancerClass": "example.com/test"}));
    stage.site.outside().run(&format!("ip route add {BALANCER}/32 via {}", stage.node(3)));
    let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": BALANCER}]}}});
    stage.user.ok(&format!("patch service web --subresource=status --type=merge -p '{status}'"));
    let outside = stage.site.outside();
    are_answered(outside, &at(BALANCER, 80), &["a", "b"]);
    is_echoed(outside, &at(BALANCER, 81));
    for who in stage.inside() {
        are_answered(who, &at(BALANCER, 80), &["a", "b"]);
    }
    let allow = |range: &str| {
        let spec = json!({"spec": {"loadBalancerSourceRanges": [range]}});
        stage.user.ok(&format!("patch service web --type=merge -p '{spec}'"));
    };
    allow("203.0.113.0/24");
    asking::wait_until("others may not ask", || outside.get(&at(BALANCER, 80), "/name"), Result::is_err);
    allow("192.168.77.200/32");
    are_answered(outside, &at(BALANCER, 80), &["a", "b"]);
    // At node ports they may, as ever.
    are_answered(outside, &at(&stage.node(3), stage.node_port("web", "http")), &["a", "b"]);
}

/// The addresses that Services of type LoadBalancer get, on the link of the nodes.
pub(crate) const POOL: &str = "192.168.77.240-192.168.77.247";

/// A Service gets an address of its own, at which whoever is on the link finds it, until it is gone.
pub(crate) fn pool(stage: &Stage<'_>) {
    stage.serve("web", &[("a", 1), ("b", 2)]);
    stage.service("web", "web", json!({"type": "LoadBalancer"}));
    let get = "get service/web -o jsonpath={.status.loadBalancer.ingress[*].ip}";
    let address = stage.user.until(get, |said| !said.is_empty());
    assert!(address.starts_with("192.168.77.24"), "{address} is not of the pool");
    let outside = stage.site.outside();
    are_answered(outside, &at(&address, 80), &["a", "b"]);
    is_echoed(outside, &at(&address, 81));
    for who in stage.inside() {
        are_answered(who, &at(&address, 80), &["a", "b"]);
    }
    let announcer = stage.user.get("service/web", ".metadata.annotations.gantry\\.io/announced-by");
    let having = || {
        let has = |host: &&tests::host::Host| {
            let shown = host.run("ip", &["-o", "address", "show", "dev", "eth0"]);
            String::from_utf8_lossy(&shown.stdout).contains(&format!(" {address}/32 "))
        };
        stage.site.hosts().iter().filter(has).map(|host| host.name().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(having(), [announcer]);
    stage.user.ok("delete service web");
    asking::wait_until("nobody has the address", having, Vec::is_empty);
}

/// A pod reaches itself by way of its Service.
pub(crate) fn hairpin(stage: &Stage<'_>) {
    stage.serve("web", &[("alone", 2)]);
    let ip = stage.service("web", "web", json!({"type": "NodePort"}));
    let alone = Probe::of(&stage.user, "alone", &stage.site.hosts()[1]);
    are_answered(&alone, &at(&ip, 80), &["alone"]);
    is_echoed(&alone, &at(&ip, 81));
    for number in 1..=stage.site.hosts().len() {
        are_answered(&alone, &at(&stage.node(number), stage.node_port("web", "http")), &["alone"]);
    }
}

/// A Service that nobody answers for says so at once.
pub(crate) fn refusal(stage: &Stage<'_>) {
    let ip = stage.service("empty", "nobody", json!({"type": "NodePort"}));
    let port = stage.node_port("empty", "http");
    for who in stage.inside() {
        is_in_vain(who, &at(&ip, 80), "refused");
    }
    for number in 1..=stage.site.hosts().len() {
        is_in_vain(stage.site.outside(), &at(&stage.node(number), port), "refused");
    }
    let probe = &stage.probes[0];
    let refused = |answer: &Result<String, String>| answer.as_ref().is_err_and(|error| error.contains("refused"));
    asking::wait_until("a datagram is refused", || probe.send(&at(&ip, 81), "hello"), refused);
    stage.serve("nobody", &[("somebody", 3)]);
    for who in stage.inside() {
        are_answered(who, &at(&ip, 80), &["somebody"]);
    }
    // Datagrams that were in vain do not keep the way for those that are not.
    is_echoed(probe, &at(&ip, 81));
    stage.user.ok("delete pod somebody");
    is_in_vain(probe, &at(&ip, 80), "refused");
    assert!(answering(probe, &at(&ip, 80)).is_err());
}
