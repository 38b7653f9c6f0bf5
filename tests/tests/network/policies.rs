//! Whom a Service leads whom to, where its users have a say: clients that stay with a server, and servers that are near.

use std::collections::BTreeSet;

use serde_json::json;
use tests::asking;

use crate::probe::Asks;
use crate::stage::{Stage, answering, are_answered, at, is_in_vain, name, seen_from};

/// A client stays with its server, until it has not asked for a while.
pub(crate) fn affinity(stage: &Stage<'_>) {
    stage.serve("web", &[("a", 1), ("b", 2), ("c", 3)]);
    let ip = stage.service("long", "web", json!({"sessionAffinity": "ClientIP"}));
    let everybody = ["a", "b", "c"];
    let ready = "{.items[*].endpoints[*].addresses[0]}";
    let slices = format!("get endpointslices -l kubernetes.io/service-name=long -o jsonpath='{ready}'");
    stage.user.until(&slices, |ips| ips.split_whitespace().collect::<BTreeSet<_>>().len() == everybody.len());
    for who in stage.inside() {
        let one = |found: &Result<BTreeSet<String>, String>| found.as_ref().is_ok_and(|found| found.len() == 1);
        let what = format!("{} stays with one", who.called());
        let chosen = asking::until(&what, || answering(who, &at(&ip, 80)), one);
        assert_eq!(answering(who, &at(&ip, 80)), chosen, "{}", who.called());
    }
    let spec = json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 1}}});
    let ip = stage.service("short", "web", spec);
    let probe = &stage.probes[0];
    asking::wait_until("the Service is there", || name(probe, &at(&ip, 80)), Result::is_ok);
    // It is somebody else at last, as a third of the time it is the same.
    let mut found = BTreeSet::new();
    for _ in 0..20 {
        found.insert(name(probe, &at(&ip, 80)).expect("an answer"));
        if found.len() > 1 {
            return;
        }
        // It is the pod that lets the time go by.
        assert_eq!(probe.told("/sleep?seconds=2").status, 200);
    }
    panic!("the client stays with {found:?}");
}

/// What comes from within goes to servers of the same node, or nowhere.
pub(crate) fn internal_local(stage: &Stage<'_>) {
    stage.serve("web", &[("a", 1), ("b", 2)]);
    let ip = stage.service("web", "web", json!({"internalTrafficPolicy": "Local"}));
    for (name, number) in [("a", 0), ("b", 1)] {
        are_answered(&stage.probes[number], &at(&ip, 80), &[name]);
        are_answered(&stage.site.hosts()[number], &at(&ip, 80), &[name]);
    }
    is_in_vain(&stage.probes[2], &at(&ip, 80), "timed out");
}

/// What comes from outside goes to servers of the node where it came in, which see from whom it is.
pub(crate) fn external_local(stage: &Stage<'_>) {
    stage.serve("web", &[("a", 1), ("b", 1), ("c", 2)]);
    let ip = stage.service("web", "web", json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local"}));
    let outside = stage.site.outside();
    let port = stage.node_port("web", "http");
    are_answered(outside, &at(&stage.node(1), port), &["a", "b"]);
    are_answered(outside, &at(&stage.node(2), port), &["c"]);
    for number in [1, 2] {
        assert_eq!(seen_from(outside, &at(&stage.node(number), port)), tests::site::OUTSIDE);
    }
    let nowhere = || outside.get(&at(&stage.node(3), port), "/name");
    asking::wait_until("a node without servers does not answer", nowhere, Result::is_err);
    // From within it is as ever.
    for who in stage.inside() {
        are_answered(who, &at(&ip, 80), &["a", "b", "c"]);
    }
    // Whoever balances asks each node whether it has servers.
    let health: u16 = stage.user.get("service/web", ".spec.healthCheckNodePort").parse().expect("a port");
    let check = |number: usize, status: u16, servers: u64| {
        let ask = || outside.get(&at(&stage.node(number), health), "/healthz");
        let is_so = |answer: &Result<asking::Answer, String>| {
            let Ok(answer) = answer else { return false };
            let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
            answer.status == status && body["localEndpoints"] == servers
        };
        let answer = asking::until("a node says how many servers it has", ask, is_so).expect("it was waited for");
        let body: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(body["service"], json!({"namespace": "external-local", "name": "web"}));
    };
    check(1, 200, 2);
    check(2, 200, 1);
    check(3, 503, 0);
}

/// Servers of the same node are preferred, and others do where there are none.
pub(crate) fn same_node(stage: &Stage<'_>) {
    stage.serve("web", &[("a", 1), ("b", 2)]);
    let ip = stage.service("web", "web", json!({"trafficDistribution": "PreferSameNode"}));
    are_answered(&stage.probes[0], &at(&ip, 80), &["a"]);
    are_answered(&stage.probes[1], &at(&ip, 80), &["b"]);
    are_answered(&stage.probes[2], &at(&ip, 80), &["a", "b"]);
    stage.user.ok("delete pod a");
    are_answered(&stage.probes[0], &at(&ip, 80), &["b"]);
}
