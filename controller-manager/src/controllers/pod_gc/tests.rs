//! What is removed, what is not, and when.

use k8s_openapi::api::core::v1::{NodeCondition, NodeSpec, NodeStatus, PodSpec, PodStatus, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use proptest::prelude::*;

use super::*;
use crate::plan::{Failure, Refused};
use crate::testing::{World, check_converges, nobody_else};

fn node(name: &str, ready: &str, taint: Option<&str>) -> Node {
    let condition = NodeCondition { type_: "Ready".to_owned(), status: ready.to_owned(), ..NodeCondition::default() };
    let taint = taint.map(|key| Taint { key: key.to_owned(), effect: "NoExecute".to_owned(), ..Taint::default() });
    Node {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        spec: Some(NodeSpec { taints: taint.map(|taint| vec![taint]), ..NodeSpec::default() }),
        status: Some(NodeStatus { conditions: Some(vec![condition]), ..NodeStatus::default() }),
    }
}

fn pod(name: &str, node: Option<&str>, phase: &str) -> Pod {
    Pod {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some("shop".to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec { node_name: node.map(str::to_owned), ..PodSpec::default() }),
        status: Some(PodStatus { phase: Some(phase.to_owned()), ..PodStatus::default() }),
    }
}

/// A pod that a user deleted, held by a finalizer.
fn deleted(pod: Pod) -> Pod {
    let mut pod = pod;
    pod.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    pod.metadata.deletion_grace_period_seconds = Some(30);
    pod.metadata.finalizers = Some(vec!["batch.kubernetes.io/job-tracking".to_owned()]);
    pod
}

fn names(world: &World<PodGc>) -> Vec<String> {
    world.list::<Pod>().iter().filter_map(|pod| pod.metadata.name.clone()).collect()
}

fn phase_of(world: &World<PodGc>, name: &str) -> String {
    phase(&world.get::<Pod>("shop", name).unwrap()).to_owned()
}

fn orphans() -> World<PodGc> {
    let mut world = World::new(PodGc::default());
    world.add(node("here", "True", None));
    world.add(pod("at-home", Some("here"), "Running"));
    world.add(pod("orphan", Some("gone"), "Running"));
    world.add(pod("ended", Some("gone"), "Succeeded"));
    world.add(pod("waiting", None, "Pending"));
    let mut held = pod("held", Some("gone"), "Running");
    held.metadata.finalizers = Some(vec!["batch.kubernetes.io/job-tracking".to_owned()]);
    world.add(held);
    world
}

#[test]
fn pods_of_nodes_that_are_gone_go_after_a_while() {
    // Time passes until the orphans are gone.
    let time = |world: &mut World<PodGc>| {
        let waiting = world.list::<Pod>().iter().any(|pod| marked(pod).is_some() && !is_terminal(pod));
        world.pass(Duration::from_secs(20));
        waiting
    };
    let world = check_converges(orphans, time);
    assert_eq!(names(&world), ["at-home", "held", "waiting"]);
    let held = world.get::<Pod>("shop", "held").unwrap();
    assert_eq!(phase(&held), "Failed");
    assert!(is_deleted_by_force(&held));
    let condition = pods::condition(&held, DISRUPTION_TARGET).unwrap();
    assert_eq!(condition.reason.as_deref(), Some("DeletionByPodGC"));
    assert_eq!(condition.message.as_deref(), Some("PodGC: node no longer exists"));
    assert_eq!(condition.last_probe_time, None);
}

#[test]
fn a_node_that_comes_back_in_time_has_its_pods() {
    let mut world = orphans();
    world.settle();
    world.pass(Duration::from_secs(39));
    world.settle();
    assert!(marked(&world.get::<Pod>("shop", "orphan").unwrap()).is_some());
    world.add(node("gone", "True", None));
    world.settle();
    let orphan = world.get::<Pod>("shop", "orphan").unwrap();
    assert_eq!(pods::condition(&orphan, DISRUPTION_TARGET), None);
    world.pass(Duration::from_secs(100));
    assert!(world.settle().is_empty());

    world.remove::<Node>("", "gone");
    world.settle();
    world.pass(Duration::from_secs(39));
    world.settle();
    assert_eq!(phase_of(&world, "orphan"), "Running");
    world.pass(Duration::from_secs(1));
    world.settle();
    assert_eq!(names(&world), ["at-home", "held", "waiting"]);
}

#[test]
fn nothing_happens_to_pods_whose_node_the_server_knows() {
    let mut world = orphans();
    let lagging = node("gone", "True", None);
    world.add(lagging.clone());
    // The cache does not show the node yet.
    world.cache.remove(&Resource::of::<Node>(), &lagging.metadata);
    world.settle();
    assert!(marked(&world.get::<Pod>("shop", "orphan").unwrap()).is_none());
    assert!(names(&world).contains(&"ended".to_owned()));
}

#[test]
fn deleted_pods_that_nobody_stops_are_removed() {
    let setup = || {
        let mut world = World::new(PodGc::default());
        world.add(node("dead", "Unknown", Some(OUT_OF_SERVICE)));
        world.add(node("lives", "True", Some(OUT_OF_SERVICE)));
        world.add(node("silent", "Unknown", None));
        for node in ["dead", "lives", "silent"] {
            world.add(pod(&format!("stays-{node}"), Some(node), "Running"));
            world.add(deleted(pod(&format!("goes-{node}"), Some(node), "Running")));
        }
        world.add(deleted(pod("goes-nowhere", None, "Pending")));
        world
    };
    let mut world = check_converges(setup, nobody_else);
    let mut removed = |expected: &[&str]| {
        world.settle();
        let pods = world.list::<Pod>();
        let removed = pods.iter().filter(|pod| is_deleted_by_force(pod) && phase(pod) == "Failed");
        let removed: Vec<String> = removed.filter_map(|pod| pod.metadata.name.clone()).collect();
        assert_eq!(removed, expected);
        world.change::<Node>("", "silent", |node| {
            let taint = Taint { key: OUT_OF_SERVICE.to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() };
            node.spec.as_mut().unwrap().taints = Some(vec![taint]);
        });
    };
    removed(&["goes-dead", "goes-nowhere"]);
    removed(&["goes-dead", "goes-nowhere", "goes-silent"]);
}

#[test]
fn the_oldest_of_too_many_ended_pods_go() {
    let setup = || {
        let mut world = World::new(PodGc { threshold: 3 });
        let metadata = ObjectMeta { name: Some("default".to_owned()), ..ObjectMeta::default() };
        world.add(Namespace { metadata, ..Namespace::default() });
        for (name, phase, age) in [
            ("a", "Succeeded", 10),
            ("b", "Failed", 30),
            ("c", "Succeeded", 20),
            ("d", "Running", 90),
            ("e", "Failed", 5),
            ("f", "Failed", 1),
        ] {
            let mut pod = pod(name, None, phase);
            let created = world.now() - jiff::SignedDuration::from_secs(age);
            pod.metadata.creation_timestamp = Some(Time(created));
            if name == "f" {
                pod.status.as_mut().unwrap().reason = Some("Evicted".to_owned());
            }
            world.add(pod);
        }
        world
    };
    let mut world = check_converges(setup, nobody_else);
    assert_eq!(names(&world), ["a", "c", "d", "e"]);
    world.add(pod("g", None, "Succeeded"));
    assert!(world.settle().is_empty());
    world.pass(PERIOD);
    world.settle();
    assert_eq!(names(&world), ["a", "d", "e", "g"]);
}

#[test]
fn a_pod_that_cannot_be_deleted_is_no_obstacle() {
    let pods: Vec<Arc<Pod>> = ["a", "b", "c", "d"].iter().map(|name| Arc::new(pod(name, None, "Failed"))).collect();
    let check = |failed: Option<&str>, expected: &[&str]| {
        let failure = failed.map(|name| {
            let mut plan = Plan::new();
            let action = plan.delete(&pod(name, None, "Failed"));
            Failure::of(action, Refused::new("Forbidden", "a webhook says no"))
        });
        let moment = Moment { now: Timestamp::UNIX_EPOCH, failure };
        let plan = PodGc { threshold: 1 }.reconcile(&Observed::Ended(pods.clone()), &moment);
        let names: Vec<&str> = plan.actions.iter().map(|action| action.target.name.as_str()).collect();
        assert_eq!(names, expected, "after {failed:?}");
    };
    check(None, &["a", "b", "c"]);
    check(Some("a"), &["b", "c", "a"]);
    check(Some("b"), &["c", "a", "b"]);
    check(Some("c"), &["a", "b", "c"]);
    check(Some("x"), &["a", "b", "c"]);
}

proptest! {
    #[test]
    fn whatever_is_kept_is_not_older_than_what_goes(
        pods in proptest::collection::vec((0i64..5, any::<bool>()), 0..30),
        threshold in 1usize..10,
    ) {
        let pods: Vec<Arc<Pod>> = pods.iter().enumerate().map(|(i, (created, evicted))| {
            let mut pod = pod(&format!("p{i}"), None, "Failed");
            pod.metadata.creation_timestamp = Some(Time(Timestamp::from_second(*created).unwrap()));
            pod.status.as_mut().unwrap().reason = evicted.then(|| "Evicted".to_owned());
            Arc::new(pod)
        }).collect();
        let rank = |pod: &Pod| {
            let evicted = pod.status.as_ref().unwrap().reason.is_some();
            (!evicted, pod.metadata.creation_timestamp.clone().unwrap().0)
        };
        let gone: Vec<&Pod> = excess(&pods, threshold).collect();
        prop_assert_eq!(gone.len(), pods.len().saturating_sub(threshold));
        let is_gone = |pod: &Pod| gone.iter().any(|gone| gone.metadata.name == pod.metadata.name);
        let kept = pods.iter().filter(|pod| !is_gone(pod)).map(|pod| rank(pod)).min();
        let last = gone.iter().map(|pod| rank(pod)).max();
        prop_assert!(last.is_none() || kept.is_none() || last <= kept);
    }
}
