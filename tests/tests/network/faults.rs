//! The network goes on while parts of it fail, is as it was when they are back, and leaves nothing behind.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Value, json};
use tests::asking;
use tests::host::Host;
use tests::site::Site;

use crate::probe::on_every_node;
use crate::stage::{Stage, are_answered, at, is_echoed};
use crate::{is_possible, plan};

/// How long a node may be silent here. It speaks every ten seconds.
const SILENCE: &str = "--node-monitor-grace-period=20s";

/// A Service of two servers, on the second and the third node.
struct Web<'a> {
    stage: &'a Stage<'a>,
    ip: String,
    port: u16,
}

impl<'a> Web<'a> {
    fn of(stage: &'a Stage<'a>) -> Web<'a> {
        stage.serve("web", &[("a", 2), ("b", 3)]);
        let ip = stage.service("web", "web", json!({"type": "NodePort"}));
        let port = stage.node_port("web", "http");
        Web { stage, ip, port }
    }

    /// Waits until it is answered by these, asked from the nodes with these numbers (from 1), their pods, and outside by way of
    /// them.
    fn is_answered(&self, by: &[&str], nodes: &[usize]) {
        for number in nodes {
            let probe = &self.stage.probes[number - 1];
            are_answered(probe, &at(&self.ip, 80), by);
            is_echoed(probe, &at(&self.ip, 81));
            are_answered(&self.stage.site.hosts()[number - 1], &at(&self.ip, 80), by);
            are_answered(self.stage.site.outside(), &at(&self.stage.node(*number), self.port), by);
        }
    }
}

#[test]
fn the_network_outlives_its_parts() {
    if !is_possible() {
        return;
    }
    let site = Site::up(tests::site::Plan { up: vec![SILENCE.to_owned()], ..plan(3) });
    let probes = on_every_node(&site);
    let stage = Stage::new(&site, "faults", &probes);
    let web = Web::of(&stage);
    web.is_answered(&["a", "b"], &[1, 2, 3]);
    comes_back_after_a_flush(&web);
    outlives_an_agent(&web);
    outlives_the_api(&web);
    leads_past_a_node_that_is_cut_off(&web);
    leaves_nothing(&site, 2);
}

/// What somebody removed by hand is put back.
fn comes_back_after_a_flush(web: &Web<'_>) {
    let host = &web.stage.site.hosts()[1];
    let before = rules(host);
    assert!(!before.is_empty(), "there are no rules");
    let flushed = host.run("nft", &["flush", "ruleset"]);
    assert!(flushed.status.success());
    are_as_before(host, &before);
    web.is_answered(&["a", "b"], &[2]);
}

/// A node whose agent is killed goes on, and the next agent changes nothing.
fn outlives_an_agent(web: &Web<'_>) {
    let site = web.stage.site;
    let host = &site.hosts()[1];
    let before = rules(host);
    host.kill();
    web.is_answered(&["a", "b"], &[2]);
    are_as_before(host, &before);
    site.start(1);
    are_as_before(host, &before);
    web.is_answered(&["a", "b"], &[2]);
    // It goes on to follow what changes.
    let ip = web.stage.service("later", "web", json!({}));
    are_answered(&web.stage.probes[1], &at(&ip, 80), &["a", "b"]);
    web.stage.user.ok("delete service later");
}

/// Without the API server, and all else that runs on its node, there are the same Services and names.
fn outlives_the_api(web: &Web<'_>) {
    let site = web.stage.site;
    let before = rules(&site.hosts()[0]);
    site.hosts()[0].kill();
    web.is_answered(&["a", "b"], &[1, 2, 3]);
    for probe in &web.stage.probes[1..] {
        assert_eq!(probe.resolve("web.faults", "A"), Ok(vec![web.ip.clone()]));
    }
    // An agent that starts again meanwhile has nobody to ask, and leaves things as they are.
    site.start(0);
    are_as_before(&site.hosts()[0], &before);
    web.stage.user.ok("get nodes");
    let ip = web.stage.service("later", "web", json!({}));
    for probe in web.stage.probes {
        are_answered(probe, &at(&ip, 80), &["a", "b"]);
    }
    web.stage.user.ok("delete service later");
}

/// Nobody is led to a node that is not heard of, until it is again.
fn leads_past_a_node_that_is_cut_off(web: &Web<'_>) {
    let (user, site) = (&web.stage.user, web.stage.site);
    site.cut_off(2);
    user.wait("node/node-3", "condition=Ready=Unknown");
    web.is_answered(&["a"], &[1, 2]);
    site.join_again(2);
    user.wait("node/node-3", "condition=Ready");
    web.is_answered(&["a", "b"], &[1, 2, 3]);
}

/// After `gantry reset` the machine has the tables, routes, devices and addresses that it had before it was a node.
fn leaves_nothing(site: &Site, index: usize) {
    let host = &site.hosts()[index];
    host.kill();
    asking::wait_until("gantry is gone", || host.machine().processes("gantry"), Vec::is_empty);
    let cgroup = format!("/{}", host.machine().cgroup());
    let output = host.gantry(&["reset", "--cgroup-root", &cgroup]).output().expect("gantry runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let is_as_before = |left: &String| left == site.untouched(index);
    asking::wait_until(&format!("it is as {}", site.untouched(index)), || host.network(), is_as_before);
    let address: IpAddr = host.addresses()[0];
    assert!(host.network().contains(&address.to_string()), "what is compared tells of addresses");
}

/// Waits until a machine's packet filter is as it was.
fn are_as_before(host: &Host, before: &BTreeSet<String>) {
    let difference = || {
        let now = rules(host);
        let [gone, new] = [before.difference(&now), now.difference(before)].map(|parts| parts.cloned().collect());
        Difference { gone, new }
    };
    asking::wait_until(&format!("the rules of {} are as before", host.name()), difference, Difference::is_none);
}

/// In what a packet filter differs from what it was.
#[derive(Debug)]
struct Difference {
    gone: Vec<String>,
    new: Vec<String>,
}

impl Difference {
    fn is_none(&self) -> bool {
        self.gone.is_empty() && self.new.is_empty()
    }
}

/// All that a machine's packet filter is told, each part of it by itself, without its number.
fn rules(host: &Host) -> BTreeSet<String> {
    let output = host.run("nft", &["--json", "--stateless", "list", "ruleset"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut all: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let parts = all["nftables"].as_array_mut().expect("the parts of all tables");
    parts.retain(|part| part.get("metainfo").is_none());
    parts.iter_mut().for_each(settle);
    parts.iter().map(Value::to_string).collect()
}

/// Takes away what differs from one making of a table to the next: numbers, and the order of what has none.
fn settle(value: &mut Value) {
    match value {
        Value::Array(parts) => {
            parts.iter_mut().for_each(settle);
            parts.sort_by_cached_key(Value::to_string);
        }
        Value::Object(fields) => {
            fields.remove("handle");
            fields.values_mut().for_each(settle);
        }
        _ => {}
    }
}
