//! The network of pods: each has an address at which all others reach it, wherever they are.

use tests::asking;

use crate::outside;
use crate::probe::Asks;
use crate::stage::{Stage, at, is_echoed, name, seen_from};

/// More than a packet of the wires, so that datagrams come in pieces.
const LARGE: usize = 4000;
/// As much as is passed on in one answer.
const MUCH: usize = 1_000_000;

/// Every pod reaches every pod, and is seen by it as what it is; and every node every pod.
pub(crate) fn reach(stage: &Stage<'_>) {
    for to in stage.probes {
        let server = at(to.ip(), 8080);
        for from in stage.probes {
            assert_eq!(seen_from(from, &server), from.ip(), "{} to {}", from.called(), to.called());
            is_echoed(from, &at(to.ip(), 8081));
        }
        for host in stage.site.hosts() {
            asking::wait_until("a node reaches a pod", || name(host, &server), Result::is_ok);
            is_echoed(host, &at(to.ip(), 8081));
        }
    }
    // No two of them have the same, and each is of its node's range.
    for (probe, number) in stage.probes.iter().zip(1..) {
        let range = stage.user.get(&format!("node/node-{number}"), ".spec.podCIDR");
        let network = range.rsplit_once('.').expect("a range of IPv4").0;
        assert!(probe.ip().starts_with(network), "{} has {}, of {range}", probe.called(), probe.ip());
    }
}

/// However large what is sent is, all of it comes.
pub(crate) fn sizes(stage: &Stage<'_>) {
    let text = "x".repeat(LARGE);
    for (from, to) in stage.probes.iter().zip(stage.probes.iter().cycle().skip(1)) {
        let server = at(to.ip(), 8080);
        asking::wait_until("a pod reaches a pod", || name(from, &server), Result::is_ok);
        let answer = from.get(&server, &format!("/bytes?count={MUCH}")).expect("all of it");
        assert_eq!((answer.status, answer.body.len()), (200, MUCH), "{} from {}", from.called(), to.called());
        let echo = at(to.ip(), 8081);
        asking::wait_until(
            "a large datagram comes back",
            || from.send(&echo, &text),
            |back| back.as_ref() == Ok(&text),
        );
    }
}

/// Pods reach what is outside, which sees their node; and what is on nodes.
pub(crate) fn elsewhere(stage: &Stage<'_>) {
    for (probe, host) in stage.probes.iter().zip(stage.site.hosts()) {
        let ask = || probe.get(&outside::server(), "/");
        let seen = asking::until("a pod reaches the outside", ask, Result::is_ok).expect("it was waited for").body;
        assert_eq!(seen, host.addresses()[0].to_string(), "{}", probe.called());
    }
    // A server on the node itself, of the network of the node.
    let mut own = crate::stage::server("own", "own", 1);
    own["spec"]["hostNetwork"] = true.into();
    own["spec"]["containers"][0]["args"] = serde_json::json!(["listen=18080"]);
    own["spec"]["containers"][0]["ports"] = serde_json::json!([{"name": "http", "containerPort": 18080}]);
    stage.user.apply(&own);
    stage.user.wait("pod/own", "condition=Ready");
    for probe in stage.probes {
        asking::wait_until("a pod reaches a node", || name(probe, &at(&stage.node(1), 18080)), Result::is_ok);
    }
}
