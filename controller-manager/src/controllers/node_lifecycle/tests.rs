//! Nodes that live, fall silent and come back, and what becomes of their pods.

use std::collections::BTreeSet;

use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::api::core::v1::{NodeCondition, NodeStatus, PodCondition, PodSpec, PodStatus, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time};

use proptest::prelude::*;

use super::*;
use crate::testing::{World, check_converges, nobody_else};

fn world() -> World<NodeLifecycle> {
    World::new(NodeLifecycle { settings: Settings::default(), since: Timestamp::UNIX_EPOCH })
}

fn node(world: &World<NodeLifecycle>, name: &str, zone: &str, ready: Option<&str>) -> Node {
    let condition = ready.map(|status| NodeCondition {
        type_: "Ready".to_owned(),
        status: status.to_owned(),
        reason: Some("KubeletReady".to_owned()),
        last_heartbeat_time: Some(Time(world.now())),
        last_transition_time: Some(Time(world.now())),
        ..NodeCondition::default()
    });
    let labels = [("topology.kubernetes.io/zone".to_owned(), zone.to_owned())];
    Node {
        metadata: ObjectMeta { name: Some(name.to_owned()), labels: Some(labels.into()), ..ObjectMeta::default() },
        status: Some(NodeStatus { conditions: condition.map(|it| vec![it]), ..NodeStatus::default() }),
        ..Node::default()
    }
}

fn pod(world: &World<NodeLifecycle>, name: &str, node: &str) -> Pod {
    let ready = PodCondition {
        type_: "Ready".to_owned(),
        status: "True".to_owned(),
        last_transition_time: Some(Time(world.now())),
        ..PodCondition::default()
    };
    Pod {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some("shop".to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec { node_name: Some(node.to_owned()), ..PodSpec::default() }),
        status: Some(PodStatus {
            phase: Some("Running".to_owned()),
            conditions: Some(vec![ready]),
            ..PodStatus::default()
        }),
    }
}

/// The node's kubelet says that it is ready or not, now.
fn say(world: &mut World<NodeLifecycle>, name: &str, ready: &str) {
    let now = Time(world.now());
    world.change::<Node>("", name, |node| {
        let conditions = node.status.as_mut().unwrap().conditions.as_mut().unwrap();
        let condition = conditions.iter_mut().find(|condition| condition.type_ == "Ready").unwrap();
        if condition.status != ready {
            condition.last_transition_time = Some(now.clone());
        }
        (condition.status, condition.last_heartbeat_time) = (ready.to_owned(), Some(now));
    });
}

/// Lets time pass, in steps, with some nodes saying each time that they are ready.
fn pass(world: &mut World<NodeLifecycle>, seconds: u64, alive: &[&str]) {
    for _ in 0..seconds / 5 {
        world.pass(Duration::from_secs(5));
        alive.iter().for_each(|name| say(world, name, "True"));
        world.settle();
    }
}

fn shown(world: &World<NodeLifecycle>, name: &str) -> String {
    let node = world.get::<Node>("", name).unwrap();
    let taints = taints::taints(&node).iter();
    let taint = |taint: &Taint| format!("{}:{}", taint.key.trim_start_matches("node.kubernetes.io/"), taint.effect);
    let mut taints: Vec<String> = taints.map(taint).collect();
    taints.sort();
    format!("{} {}", readiness(&node).unwrap_or("-"), taints.join(" ")).trim().to_owned()
}

fn check_all(world: &World<NodeLifecycle>, expected: &[(&str, &str)]) {
    let all: Vec<(&str, String)> = expected.iter().map(|(name, _)| (*name, shown(world, name))).collect();
    let expected: Vec<(&str, String)> = expected.iter().map(|(name, shown)| (*name, (*shown).to_owned())).collect();
    assert_eq!(all, expected);
}

const GONE: &str = "Unknown unreachable:NoExecute unreachable:NoSchedule";

/// The same, in what runs once with and once without an end of the process: until a time after the beginning.
fn live(until: u64, alive: &'static [&'static str]) -> impl Fn(&mut World<NodeLifecycle>) -> bool {
    let end = world().now() + Duration::from_secs(until);
    move |world| {
        if world.now() >= end {
            return false;
        }
        world.pass(Duration::from_secs(5));
        alive.iter().for_each(|name| say(world, name, "True"));
        true
    }
}

#[test]
fn a_node_that_falls_silent_is_unknown_and_so_are_its_pods() {
    let setup = || {
        let mut world = world();
        for name in ["a", "b", "c"] {
            world.add(node(&world, name, "z", Some("True")));
            world.add(pod(&world, name, name));
        }
        world
    };
    let mut world = check_converges(setup, live(100, &["a", "b"]));
    check_all(&world, &[("a", "True"), ("b", "True"), ("c", GONE)]);
    let expected = [
        "Normal NodeNotReady Node c: Node c status is now: NodeNotReady",
        "Warning NodeNotReady Pod c: Node is not ready",
    ];
    assert_eq!(world.events, expected);
    let silent = world.get::<Node>("", "c").unwrap();
    let check = |type_: &str, reason: &str, message: &str| {
        let condition = health::condition(&silent, type_).unwrap();
        let said = (condition.reason.as_deref(), condition.message.as_deref());
        assert_eq!(said, (Some(reason), Some(message)));
    };
    check("Ready", "NodeStatusUnknown", "Kubelet stopped posting node status.");
    check("PIDPressure", "NodeStatusNeverUpdated", "Kubelet never posted node status.");
    let status = |world: &World<NodeLifecycle>, name: &str| {
        crate::pods::condition(&world.get::<Pod>("shop", name).unwrap(), "Ready").unwrap().status.clone()
    };
    assert_eq!((status(&world, "a"), status(&world, "c")), ("True".to_owned(), "False".to_owned()));

    // Whoever makes the pod ready after that is right.
    world.pass(Duration::from_secs(5));
    let now = Time(world.now());
    world.change::<Pod>("shop", "c", |pod| {
        let conditions = pod.status.as_mut().unwrap().conditions.as_mut().unwrap();
        (conditions[0].status, conditions[0].last_transition_time) = ("True".to_owned(), Some(now));
    });
    world.change::<Node>("", "c", |node| node.metadata.annotations = Some([("a".to_owned(), "b".to_owned())].into()));
    world.settle();
    assert_eq!(status(&world, "c"), "True");
    say(&mut world, "c", "True");
    world.settle();
    check_all(&world, &[("c", "True")]);
}

#[test]
fn a_lease_is_a_sign_of_life_and_its_renewal_is_no_work() {
    let mut world = world();
    world.add(node(&world, "a", "z", Some("True")));
    let spec = LeaseSpec { renew_time: Some(MicroTime(world.now())), ..LeaseSpec::default() };
    let metadata =
        ObjectMeta { name: Some("a".to_owned()), namespace: Some(LEASES.to_owned()), ..ObjectMeta::default() };
    world.add(Lease { metadata, spec: Some(spec) });
    for _ in 0..30 {
        world.pass(Duration::from_secs(10));
        let now = MicroTime(world.now());
        world.change::<Lease>(LEASES, "a", |lease| lease.spec.as_mut().unwrap().renew_time = Some(now));
        assert!(world.settle().is_empty());
    }
    world.pass(Duration::from_secs(50));
    assert!(world.settle().is_empty());
    world.pass(Duration::from_secs(1));
    world.settle();
    check_all(&world, &[("a", "Unknown unreachable:NoSchedule")]);
}

#[test]
fn a_node_that_never_speaks_is_unknown_after_a_minute() {
    let mut world = world();
    world.add(node(&world, "a", "z", None));
    world.add(node(&world, "b", "z", Some("True")));
    world.settle();
    pass(&mut world, 60, &["b"]);
    check_all(&world, &[("a", "-")]);
    pass(&mut world, 5, &["b"]);
    check_all(&world, &[("a", "Unknown unreachable:NoSchedule")]);
    pass(&mut world, 5, &["b"]);
    check_all(&world, &[("a", GONE)]);
    assert!(world.events.is_empty());
}

#[test]
fn silence_while_nobody_looked_does_not_count() {
    let noon = world().now();
    let mut world = World::new(NodeLifecycle { settings: Settings::default(), since: noon });
    let mut old = node(&world, "a", "z", Some("True"));
    let conditions = old.status.as_mut().unwrap().conditions.as_mut().unwrap();
    conditions[0].last_heartbeat_time = Some(Time(noon - jiff::SignedDuration::from_hours(1)));
    world.add(old);
    assert!(world.settle().is_empty());
    world.pass(Duration::from_secs(51));
    world.settle();
    check_all(&world, &[("a", "Unknown unreachable:NoSchedule")]);
}

#[test]
fn a_new_node_loses_its_taint_when_it_is_ready() {
    let setup = || {
        let mut world = world();
        let mut new = node(&world, "a", "z", Some("False"));
        let taint = Taint { key: taints::NOT_READY.to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() };
        new.spec.get_or_insert_default().taints = Some(vec![taint]);
        new.spec.get_or_insert_default().unschedulable = Some(true);
        new.metadata.labels.get_or_insert_default().insert("kubernetes.io/os".to_owned(), "linux".to_owned());
        world.add(new);
        world
    };
    let mut world = check_converges(setup, nobody_else);
    check_all(&world, &[("a", "False not-ready:NoSchedule unschedulable:NoSchedule")]);
    assert_eq!(world.get::<Node>("", "a").unwrap().metadata.labels.as_ref().unwrap()["beta.kubernetes.io/os"], "linux");
    let expected = "Normal RegisteredNode Node a: Node a event: Registered Node a in Controller";
    for _ in 0..2 {
        say(&mut world, "a", "True");
        world.settle();
        check_all(&world, &[("a", "True unschedulable:NoSchedule")]);
        assert_eq!(world.events, [expected]);
        say(&mut world, "a", "False");
        world.settle();
    }
}

#[test]
fn the_end_of_a_node_is_told() {
    let mut world = world();
    world.add(node(&world, "a", "z", Some("True")));
    world.settle();
    world.remove::<Node>("", "a");
    world.settle();
    assert_eq!(world.events, ["Normal RemovingNode Node a: Node a event: Removing Node a from Controller"]);
}

#[test]
fn nodes_of_a_zone_are_emptied_one_after_the_other() {
    let mut world = world();
    for name in ["a", "b", "c", "d", "e"] {
        world.add(node(&world, name, "z", Some("True")));
    }
    world.settle();
    pass(&mut world, 10, &[]);
    say(&mut world, "d", "False");
    world.settle();
    pass(&mut world, 5, &["a", "b", "c"]);
    say(&mut world, "e", "False");
    pass(&mut world, 5, &["a", "b", "c"]);
    let (waits, driven) = ("False not-ready:NoSchedule", "False not-ready:NoExecute not-ready:NoSchedule");
    check_all(&world, &[("a", "True"), ("d", driven), ("e", waits)]);
    world.pass(Duration::from_secs(4));
    world.settle();
    check_all(&world, &[("d", driven), ("e", waits)]);
    world.restart();
    world.settle();
    world.pass(Duration::from_secs(1));
    world.settle();
    check_all(&world, &[("d", driven), ("e", driven)]);

    // A node that was not ready and falls silent has its taint replaced at once, with the time that it had.
    let added = |world: &World<NodeLifecycle>, key: &str| {
        taints::no_execute(&world.get::<Node>("", "e").unwrap(), key).unwrap().time_added.clone()
    };
    let before = added(&world, taints::NOT_READY);
    pass(&mut world, 60, &["a", "b", "c"]);
    check_all(&world, &[("a", "True"), ("d", GONE), ("e", GONE)]);
    assert_eq!(added(&world, taints::UNREACHABLE), before);
}

#[test]
fn nothing_is_driven_out_if_too_much_is_silent() {
    let mut world = world();
    for (name, zone) in [("a", "y"), ("b", "y"), ("c", "z"), ("d", "z"), ("e", "z"), ("f", "z")] {
        world.add(node(&world, name, zone, Some("True")));
    }
    world.settle();
    // Three of four nodes of a small zone.
    pass(&mut world, 200, &["a", "b", "c"]);
    let waits = "Unknown unreachable:NoSchedule";
    check_all(&world, &[("a", "True"), ("c", "True"), ("d", waits), ("e", waits), ("f", waits)]);
    // The whole zone, but not the other.
    pass(&mut world, 200, &["a", "b"]);
    check_all(&world, &[("a", "True"), ("c", GONE), ("d", GONE), ("e", GONE), ("f", GONE)]);
    // Everything: the taints are taken back.
    pass(&mut world, 200, &[]);
    check_all(&world, &[("a", waits), ("b", waits), ("c", waits), ("d", waits), ("e", waits), ("f", waits)]);
    // The first that is back says that it is not all.
    pass(&mut world, 5, &["a"]);
    check_all(&world, &[("a", "True"), ("b", GONE)]);
}

#[test]
fn whatever_happens_to_zones_happens_after_a_restart_too() {
    let setup = || {
        let mut world = world();
        for (name, zone) in [("a", "y"), ("b", "y"), ("c", "z"), ("d", "z"), ("e", "z"), ("f", "z")] {
            world.add(node(&world, name, zone, Some("True")));
        }
        world
    };
    let world = check_converges(setup, live(120, &["a", "b", "c", "d"]));
    check_all(&world, &[("d", "True"), ("e", GONE), ("f", GONE)]);
    let world = check_converges(setup, live(120, &["a"]));
    check_all(&world, &[("a", "True"), ("b", GONE), ("c", GONE), ("d", GONE), ("e", GONE), ("f", GONE)]);
    let world = check_converges(setup, live(120, &[]));
    check_all(&world, &[("a", "Unknown unreachable:NoSchedule"), ("f", "Unknown unreachable:NoSchedule")]);
}

#[test]
fn a_heartbeat_is_no_reason_to_look_at_all_nodes() {
    let world = world();
    let old = Arc::new(node(&world, "a", "z", Some("True")));
    let mut new = Node::clone(&old);
    new.status.as_mut().unwrap().conditions.as_mut().unwrap()[0].last_heartbeat_time = Some(Time(Timestamp::MAX));
    assert!(zones::concern(&old) == zones::concern(&Arc::new(new)));
    assert!(zones::concern(&old) != zones::concern(&Arc::new(node(&world, "a", "z", Some("False")))));
}

#[test]
fn a_node_may_have_more_pods_than_a_plan_has_actions() {
    let mut world = world();
    let mut silent = node(&world, "a", "z", Some("True"));
    let conditions = silent.status.as_mut().unwrap().conditions.as_mut().unwrap();
    conditions[0].last_heartbeat_time = Some(Time(Timestamp::UNIX_EPOCH));
    world.add(silent);
    for i in 0..400 {
        world.add(pod(&world, &format!("p{i}"), "a"));
    }
    let plans = world.settle();
    let is_marked = |pod: &Arc<Pod>| crate::pods::condition(pod, "Ready").is_some_and(|ready| ready.status == "False");
    assert!(world.list::<Pod>().iter().all(is_marked));
    assert!(plans.len() >= 3);
    let told = world.events.iter().filter(|event| event.starts_with("Warning NodeNotReady Pod"));
    assert_eq!(told.count(), 400);
}

/// The times of the taints that drive out pods, of the nodes with these names.
fn driven(world: &World<NodeLifecycle>, names: &[&str]) -> Vec<Timestamp> {
    let mut times: Vec<Timestamp> = names
        .iter()
        .filter_map(|name| world.get::<Node>("", name))
        .flat_map(|node| taints::times(&node).collect::<Vec<_>>())
        .collect();
    times.sort_unstable();
    times
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_nodes_do_the_pace_is_kept(
        steps in proptest::collection::vec((1u64..40, proptest::collection::vec(0u8..4, 6), any::<bool>()), 1..15),
    ) {
        let zones = [["a", "b", "c"], ["d", "e", "f"]];
        let mut world = world();
        for (zone, names) in zones.iter().enumerate() {
            for name in names {
                world.add(node(&world, name, &zone.to_string(), Some("True")));
            }
        }
        for (seconds, does, restarts) in steps {
            world.pass(Duration::from_secs(seconds));
            for (name, what) in zones.iter().flatten().zip(does) {
                match what {
                    0 => say(&mut world, name, "True"),
                    1 => say(&mut world, name, "False"),
                    _ => {}
                }
            }
            if restarts {
                world.restart();
            }
            world.settle();
            let ready: BTreeSet<&str> =
                zones.iter().flatten().copied().filter(|name| shown(&world, name).starts_with("True")).collect();
            for names in zones {
                let times = driven(&world, &names);
                let pause = jiff::SignedDuration::from_secs(10);
                prop_assert!(times.windows(2).all(|pair| pair[1].duration_since(pair[0]) >= pause), "{:?}", times);
                prop_assert!(!ready.is_empty() || times.is_empty());
            }
            prop_assert!(ready.iter().all(|name| shown(&world, name) == "True"));
        }
    }
}
