//! Pods that have to leave their nodes, and pods that may stay.

use std::time::Duration;

use k8s_openapi::api::core::v1::{NodeSpec, PodSpec, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::*;
use crate::testing::{World, check_converges, nobody_else};

fn taint(key: &str) -> Taint {
    Taint { key: key.to_owned(), effect: "NoExecute".to_owned(), ..Taint::default() }
}

fn node(name: &str, taints: &[Taint]) -> Node {
    Node {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        spec: Some(NodeSpec { taints: Some(taints.to_vec()), ..NodeSpec::default() }),
        ..Node::default()
    }
}

fn pod(name: &str, node: &str, tolerated: &[(&str, Option<i64>)]) -> Pod {
    let toleration = |(key, seconds): &(&str, Option<i64>)| Toleration {
        key: Some((*key).to_owned()),
        operator: Some("Exists".to_owned()),
        toleration_seconds: *seconds,
        ..Toleration::default()
    };
    Pod {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some("shop".to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            node_name: Some(node.to_owned()),
            tolerations: Some(tolerated.iter().map(toleration).collect()),
            ..PodSpec::default()
        }),
        ..Pod::default()
    }
}

/// A node with the taint `gone` that does not say since when, one without taints, and pods on both.
fn setup() -> World<TaintEviction> {
    let mut world = World::new(TaintEviction);
    world.add(node("bad", &[taint("gone")]));
    world.add(node("good", &[]));
    world.add(pod("intolerant", "bad", &[]));
    world.add(pod("patient", "bad", &[("gone", Some(300))]));
    world.add(pod("stoic", "bad", &[("gone", None)]));
    world.add(pod("elsewhere", "good", &[]));
    world
}

fn going(world: &World<TaintEviction>) -> Vec<String> {
    let pods = world.list::<Pod>();
    let going = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_some());
    going.filter_map(|pod| pod.metadata.name.clone()).collect()
}

#[test]
fn pods_go_when_their_time_is_over() {
    let mut world = check_converges(setup, nobody_else);
    assert_eq!(going(&world), ["intolerant"]);
    let told = "Normal TaintManagerEviction Pod intolerant: Marking for deletion Pod shop/intolerant";
    assert_eq!(world.events, [told]);
    let pod = world.get::<Pod>("shop", "intolerant").unwrap();
    let condition = pods::condition(&pod, pod_conditions::DISRUPTION_TARGET).unwrap();
    assert_eq!(condition.reason.as_deref(), Some("DeletionByTaintManager"));
    assert_eq!(condition.message.as_deref(), Some("Taint manager: deleting due to NoExecute taint"));
    assert_eq!(condition.status, "True");

    let dated = world.get::<Node>("", "bad").unwrap();
    assert_eq!(no_execute(&dated).next().unwrap().time_added, Some(Time(world.now())));
    world.pass(Duration::from_secs(299));
    assert!(world.settle().is_empty());
    // Another process goes on counting.
    world.restart();
    world.settle_with(&nobody_else);
    world.pass(Duration::from_secs(1));
    world.settle();
    assert_eq!(going(&world), ["intolerant", "patient"]);
}

#[test]
fn pods_stay_if_the_taint_goes_in_time() {
    let mut world = setup();
    world.settle();
    world.pass(Duration::from_secs(200));
    world.change::<Node>("", "bad", |node| node.spec.as_mut().unwrap().taints = None);
    world.settle();
    world.pass(Duration::from_secs(200));
    assert!(world.settle().is_empty());
    assert_eq!(going(&world), ["intolerant"]);
}

#[test]
fn a_taint_on_a_node_drives_out_the_pods_that_are_there_and_that_come() {
    let mut world = setup();
    world.settle();
    world.change::<Node>("", "good", |node| node.spec.as_mut().unwrap().taints = Some(vec![taint("gone")]));
    world.settle();
    assert_eq!(going(&world), ["elsewhere", "intolerant"]);
    world.pass(Duration::from_secs(1000));
    world.add(pod("late", "good", &[("gone", Some(60))]));
    world.settle();
    assert!(!going(&world).contains(&"late".to_owned()), "time counts from when the pod came");
    world.pass(Duration::from_secs(60));
    world.settle();
    assert!(going(&world).contains(&"late".to_owned()));
}
