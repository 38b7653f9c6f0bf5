//! Which nodes get which ranges.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::NodeSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use super::*;
use crate::plan::MOST_ACTIONS;
use crate::testing::{World, check_converges, nobody_else};

fn node(name: &str, ranges: &[&str]) -> Node {
    let ranges: Vec<String> = ranges.iter().map(|range| (*range).to_owned()).collect();
    let spec = NodeSpec {
        pod_cidr: ranges.first().cloned(),
        pod_cidrs: Some(ranges).filter(|ranges| !ranges.is_empty()),
        ..NodeSpec::default()
    };
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    Node { metadata, spec: Some(spec), ..Node::default() }
}

fn world(cluster: &str, services: &str) -> World<NodeIpam> {
    let options = Options {
        cluster_cidr: cluster.to_owned(),
        service_cluster_ip_range: services.to_owned(),
        ..Options::default()
    };
    World::new(NodeIpam::new(&options).unwrap())
}

fn ranges(world: &World<NodeIpam>) -> Vec<String> {
    world
        .list::<Node>()
        .iter()
        .map(|node| node.spec.as_ref().unwrap().pod_cidrs.clone().unwrap_or_default().join(","))
        .collect()
}

#[test]
fn every_node_gets_a_range_that_is_free() {
    let check = |cluster: &str, services: &str, nodes: &[(&str, &[&str])], expected: &[&str]| {
        let setup = || {
            let mut world = world(cluster, services);
            nodes.iter().for_each(|(name, ranges)| {
                world.add(node(name, ranges));
            });
            world
        };
        let world = check_converges(setup, nobody_else);
        assert_eq!(ranges(&world), expected, "of {cluster} without {services}");
        let first = |node: &Arc<Node>| node.spec.as_ref().unwrap().pod_cidr.clone();
        let firsts: Vec<_> = world.list::<Node>().iter().filter_map(first).collect();
        let expected: Vec<_> = expected.iter().map(|ranges| ranges.split(',').next().unwrap()).collect();
        assert_eq!(firsts, expected);
        assert!(world.events.is_empty());
    };
    let (a, b, c) = (("a", &[][..]), ("b", &[][..]), ("c", &[][..]));
    check("10.0.0.0/16", "", &[a, b], &["10.0.0.0/24", "10.0.1.0/24"]);
    check("10.0.0.0/16", "10.0.0.0/23", &[a, b], &["10.0.2.0/24", "10.0.3.0/24"]);
    check("10.0.0.0/16", "10.96.0.0/12", &[a, ("b", &["10.0.0.0/24"])], &["10.0.1.0/24", "10.0.0.0/24"]);
    check("10.0.0.0/16", "", &[a, ("b", &["10.0.0.0/20"]), c], &["10.0.16.0/24", "10.0.0.0/20", "10.0.17.0/24"]);
    check("10.0.0.0/16", "", &[a, ("b", &["elsewhere"])], &["10.0.0.0/24", "elsewhere"]);
    check("10.0.0.0/16,fd00::/48", "", &[a, b], &["10.0.0.0/24,fd00::/64", "10.0.1.0/24,fd00:0:0:1::/64"]);
    check("fd00::/48", "fd00::/112", &[a], &["fd00:0:0:1::/64"]);
    let mixed = ("b", &["fd00::/64", "10.0.0.0/24"][..]);
    let expected = ["10.0.1.0/24,fd00:0:0:1::/64", "fd00::/64,10.0.0.0/24"];
    check("10.0.0.0/16,fd00::/48", "", &[a, mixed], &expected);
}

#[test]
fn nodes_for_which_nothing_is_left_wait() {
    let mut world = world("10.0.0.0/23", "");
    for (name, age) in [("a", 10), ("b", 30), ("c", 20)] {
        let mut node = node(name, &[]);
        node.metadata.creation_timestamp = Some(Time(world.now() - jiff::SignedDuration::from_secs(age)));
        world.add(node);
    }
    world.settle();
    assert_eq!(ranges(&world), ["", "10.0.0.0/24", "10.0.1.0/24"]);
    let told: BTreeSet<&str> = world.events.iter().map(String::as_str).collect();
    let expected = "Warning CIDRNotAvailable Node a: Node a status is now: CIDRNotAvailable";
    assert_eq!(told, [expected].into());
    world.remove::<Node>("", "b");
    world.settle();
    assert_eq!(ranges(&world), ["10.0.0.0/24", "10.0.1.0/24"]);
}

#[test]
fn nodes_that_are_going_keep_what_they_have_and_get_nothing() {
    let mut world = world("10.0.0.0/23", "");
    for (name, ranges) in [("a", &["10.0.0.0/24"][..]), ("b", &[])] {
        let mut node = node(name, ranges);
        node.metadata.finalizers = Some(vec!["example.com/hold".to_owned()]);
        world.add(node);
        world.delete::<Node>("", name);
    }
    world.add(node("c", &[]));
    world.settle();
    assert_eq!(ranges(&world), ["10.0.0.0/24", "", "10.0.1.0/24"]);
}

#[test]
fn a_change_of_something_else_is_no_reason_to_look_at_all_nodes() {
    let mut world = world("10.0.0.0/16", "");
    world.add(node("a", &[]));
    world.settle();
    let (cache, key) = (world.cache.clone(), Key::of::<Node>("", "a"));
    let controller = NodeIpam::new(&Options { cluster_cidr: "10.0.0.0/24".to_owned(), ..Options::default() }).unwrap();
    assert!(controller.observe(&cache, &key).is_none());
    assert!(controller.observe(&cache, &all_nodes()).is_none());
}

#[test]
fn many_nodes_take_many_plans() {
    let mut world = world("10.0.0.0/8", "10.0.0.0/16");
    for i in 0..800 {
        world.add(node(&format!("n{i}"), &[]));
    }
    let plans = world.settle();
    assert_eq!(plans.iter().map(|(_, plan)| plan.actions.len()).collect::<Vec<_>>(), [MOST_ACTIONS, 300]);
    let ranges = ranges(&world);
    assert!(ranges.iter().all(|range| range.starts_with("10.") && !range.starts_with("10.0.")));
    assert_eq!(ranges.into_iter().collect::<BTreeSet<_>>().len(), 800);
}
