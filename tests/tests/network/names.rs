//! Names: of Services, of pods behind them, and of what is elsewhere, as pods look them up.

use serde_json::json;
use tests::asking;

use crate::outside;
use crate::probe::{Asks, Probe};
use crate::stage::{Stage, at, name};

/// Where the cluster's names are asked for: the tenth address of Services, as everywhere.
const SERVER: &str = "10.96.0.10";

/// Waits until a name stands for exactly this: of a record of the kind SRV, for a port and a name. What else it says is for
/// whoever chooses among several, of which there is nothing to choose.
fn stands_for(probe: &Probe<'_>, name: &str, record: &str, expected: &[&str]) {
    let mut expected: Vec<String> = expected.iter().map(|text| (*text).to_owned()).collect();
    expected.sort();
    let what = format!("{name} ({record}) stands for {expected:?}");
    let resolve = || {
        let found = probe.resolve(name, record)?;
        let plain = |text: &String| text.splitn(3, ' ').last().unwrap_or_default().to_owned();
        Ok::<Vec<String>, String>(if record == "SRV" { found.iter().map(plain).collect() } else { found })
    };
    asking::wait_until(&what, resolve, |found| found.as_ref() == Ok(&expected));
}

/// Waits until there is no such name.
fn stands_for_nothing(probe: &Probe<'_>, name: &str) {
    let none =
        |found: &Result<Vec<String>, String>| found.as_ref().is_err_and(|it| it.contains("there is no such name"));
    asking::wait_until(&format!("there is no {name}"), || probe.resolve(name, "A"), none);
}

/// The name of an address, backwards.
fn backwards(ip: &str) -> String {
    let parts: Vec<&str> = ip.split('.').rev().collect();
    format!("{}.in-addr.arpa.", parts.join("."))
}

/// Services by name, from their own namespace and from others; their ports; and the name of an address.
pub(crate) fn services(stage: &Stage<'_>) {
    stage.serve("web", &[("a", 2)]);
    let ip = stage.service("web", "web", json!({}));
    let inside = Probe::of(&stage.user, "a", &stage.site.hosts()[1]);
    let resolver = inside.file("/etc/resolv.conf");
    assert!(resolver.contains("search names.svc.cluster.local svc.cluster.local cluster.local"), "{resolver}");
    assert!(resolver.contains(&format!("nameserver {SERVER}\n")), "{resolver}");
    assert!(resolver.contains("options ndots:5"), "{resolver}");
    for short in ["web", "web.names", "web.names.svc", "web.names.svc.cluster.local", "WEB.names.svc.cluster.local."] {
        stands_for(&inside, short, "A", &[&ip]);
    }
    for probe in stage.probes {
        stands_for(probe, "web.names", "A", &[&ip]);
        stands_for_nothing(probe, "web");
        stands_for_nothing(probe, "none.names.svc.cluster.local.");
        stands_for(probe, &backwards(&ip), "PTR", &["web.names.svc.cluster.local"]);
        asking::wait_until(
            "a Service is reached by name",
            || name(probe, "web.names:80"),
            |it| it.as_deref() == Ok("a"),
        );
    }
    let (full, probe) = ("web.names.svc.cluster.local", &stage.probes[0]);
    stands_for(probe, &format!("_http._tcp.{full}."), "SRV", &[&format!("80 {full}")]);
    stands_for(probe, &format!("_echo._udp.{full}."), "SRV", &[&format!("81 {full}")]);
    // A Service that comes is found, and one that goes is not.
    let late = stage.service("late", "web", json!({}));
    stands_for(probe, "late.names", "A", &[&late]);
    stage.user.ok("delete service late");
    stands_for_nothing(probe, "late.names.svc.cluster.local.");
    // The API server is a Service like others.
    stands_for(probe, "kubernetes.default", "A", &["10.96.0.1"]);
}

/// Pods behind a Service without an address, each by its own name.
pub(crate) fn groups(stage: &Stage<'_>) {
    for (member, node) in [("one", 1), ("two", 2)] {
        let mut pod = crate::stage::server(member, "group", node);
        pod["spec"]["hostname"] = format!("host-{member}").into();
        pod["spec"]["subdomain"] = "group".into();
        stage.user.apply(&pod);
    }
    stage.user.wait("pod --all", "condition=Ready");
    stage.user.apply(&crate::stage::service("group", "group", json!({"clusterIP": "None"})));
    let ip = |pod: &str| stage.user.get(&format!("pod/{pod}"), ".status.podIP");
    let (one, two) = (ip("one"), ip("two"));
    let (full, probe) = ("group.groups.svc.cluster.local", &stage.probes[2]);
    stands_for(probe, "group.groups", "A", &[&one, &two]);
    stands_for(probe, &format!("host-one.{full}."), "A", &[&one]);
    stands_for(probe, &format!("host-two.{full}."), "A", &[&two]);
    stands_for_nothing(probe, &format!("host-three.{full}."));
    stands_for(probe, &backwards(&one), "PTR", &[&format!("host-one.{full}")]);
    let members = ["one", "two"].map(|member| format!("8080 host-{member}.{full}"));
    stands_for(probe, &format!("_http._tcp.{full}."), "SRV", &[&members[0], &members[1]]);
    // Who is not ready is not named, unless the Service says so.
    let first = Probe::of(&stage.user, "one", &stage.site.hosts()[0]);
    first.told("/do?ready=false");
    stands_for(probe, "group.groups", "A", &[&two]);
    stage.user.ok("patch service group --type=merge -p '{\"spec\": {\"publishNotReadyAddresses\": true}}'");
    stands_for(probe, "group.groups", "A", &[&one, &two]);
}

/// Names of what is elsewhere: by themselves, and under a name of the cluster's.
pub(crate) fn foreign(stage: &Stage<'_>) {
    let spec = json!({"type": "ExternalName", "externalName": outside::NAME});
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "away"}, "spec": spec});
    stage.user.apply(&service);
    let address = outside::ADDRESS.map(|part| part.to_string()).join(".");
    for probe in stage.probes {
        stands_for(probe, outside::NAME, "A", &[&address]);
        stands_for(probe, "away.foreign-names", "CNAME", &[outside::NAME]);
        stands_for(probe, "away.foreign-names", "A", &[&address]);
        stands_for_nothing(probe, "none.outside.test.");
    }
    // Who is not to use the cluster's names asks whom the node asks.
    let mut pod = crate::stage::server("plain", "plain", 3);
    pod["spec"]["dnsPolicy"] = "Default".into();
    stage.user.apply(&pod);
    stage.user.wait("pod/plain", "condition=Ready");
    let plain = Probe::of(&stage.user, "plain", &stage.site.hosts()[2]);
    let resolver = plain.file("/etc/resolv.conf");
    assert!(resolver.contains(&format!("nameserver {}\n", tests::site::OUTSIDE)), "{resolver}");
    stands_for(&plain, outside::NAME, "A", &[&address]);
    stands_for_nothing(&plain, "kubernetes.default.svc.cluster.local.");
    assert!(plain.get(&at(tests::site::OUTSIDE, 8080), "/").is_ok());
}
