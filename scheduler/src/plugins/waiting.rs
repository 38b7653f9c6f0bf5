//! Pods that plugins refused come back by what helps them, and by that alone.
//!
//! Plugins, queue and decisions are the real ones. What helps is not asserted, but decided: the pod has no node before,
//! and has one after.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::properties::a_pod;
use crate::cycle::{Candidate, Decision, Profile, schedule};
use crate::queue::{
    ActionType, ClusterEvent, Event, EventResource, Object, Place, Queue, Refusal, Settings, node_changes, pod_changes,
};
use crate::snapshot::{PodInfo, Snapshot};
use crate::testing::{self, requesting};

const WAITING: &str = "waiting";

/// Something that happens.
#[derive(Clone, Debug)]
enum Step {
    /// A node appears or changes.
    Node(Box<Node>),
    /// A node goes, and then the pods that were there.
    NodeGoes(String),
    /// A pod comes to its node, or changes there.
    Pod(Box<Pod>),
    /// A pod, if it is there, becomes one of this application.
    Label(String, String),
    PodGoes(String),
    /// The pod that waits changes.
    Change(Box<Pod>),
}

/// A cluster and a pod that waits there.
struct World {
    profile: Profile,
    snapshot: Snapshot,
    queue: Queue,
    nodes: BTreeMap<String, Arc<Node>>,
    pods: BTreeMap<String, Arc<Pod>>,
    waiting: Arc<Pod>,
    now: Duration,
}

impl World {
    fn new(nodes: Vec<Node>, pods: Vec<Pod>, mut waiting: Pod) -> World {
        let profile = Profile::default();
        let profiles = BTreeMap::from([(profile.name.clone(), (&profile).into())]);
        waiting.metadata.uid = Some(WAITING.to_owned());
        let mut world = World {
            queue: Queue::new(Settings::default(), profiles),
            profile,
            snapshot: Snapshot::default(),
            nodes: BTreeMap::new(),
            pods: BTreeMap::new(),
            waiting: Arc::new(waiting),
            now: Duration::from_secs(1),
        };
        nodes.into_iter().for_each(|node| world.happen(Step::Node(Box::new(node))));
        pods.into_iter().for_each(|pod| world.happen(Step::Pod(Box::new(pod))));
        world.queue.add(Arc::clone(&world.waiting), world.now);
        world
    }

    fn tell(&mut self, kinds: &[ClusterEvent], old: Option<Object>, new: Option<Object>) {
        for kind in kinds {
            self.queue.event(&Event { kind: *kind, old: old.clone(), new: new.clone() }, self.now);
        }
    }

    fn happen(&mut self, step: Step) {
        let one = |resource, action| vec![ClusterEvent::new(resource, action)];
        match step {
            Step::Node(node) => {
                self.snapshot.set_node(&node);
                let node = Arc::new(*node);
                let old = self.nodes.insert(node.metadata.name.clone().unwrap(), Arc::clone(&node));
                let added = || one(EventResource::Node, ActionType::ADD);
                let kinds = old.as_ref().map_or_else(added, |old| node_changes(old, &node));
                self.tell(&kinds, old.map(Object::Node), Some(Object::Node(node)));
            }
            Step::NodeGoes(name) => {
                let Some(node) = self.nodes.remove(&name) else { return };
                self.snapshot.remove_node(&name);
                self.tell(&one(EventResource::Node, ActionType::DELETE), Some(Object::Node(node)), None);
                let was_there = |pod: &Arc<Pod>| pod.spec.as_ref().unwrap().node_name.as_ref() == Some(&name);
                let pods: Vec<_> =
                    self.pods.iter().filter(|(_, pod)| was_there(pod)).map(|(uid, _)| uid.clone()).collect();
                pods.into_iter().for_each(|uid| self.happen(Step::PodGoes(uid)));
            }
            Step::Pod(pod) => {
                self.snapshot.set_pod(&pod);
                let pod = Arc::new(*pod);
                let old = self.pods.insert(pod.metadata.uid.clone().unwrap(), Arc::clone(&pod));
                let added = || one(EventResource::AssignedPod, ActionType::ADD);
                let kinds = old.as_ref().map_or_else(added, |old| pod_changes(old, &pod));
                self.tell(&kinds, old.map(Object::Pod), Some(Object::Pod(pod)));
            }
            Step::Label(uid, app) => {
                let Some(mut pod) = self.pods.get(&uid).map(|pod| Pod::clone(pod)) else { return };
                pod.metadata.labels = Some([("app".to_owned(), app)].into());
                self.happen(Step::Pod(Box::new(pod)));
            }
            Step::PodGoes(uid) => {
                let Some(pod) = self.pods.remove(&uid) else { return };
                self.snapshot.remove_pod(&uid);
                self.tell(&one(EventResource::AssignedPod, ActionType::DELETE), Some(Object::Pod(pod)), None);
            }
            Step::Change(mut pod) => {
                pod.metadata.uid = Some(WAITING.to_owned());
                self.waiting = Arc::new(*pod);
                self.queue.update(Arc::clone(&self.waiting), self.now);
            }
        }
    }

    fn decide(&self) -> Decision {
        let info = PodInfo::new(&self.waiting);
        let candidate = Candidate { uid: WAITING, info: &info, nominated_node: None };
        schedule(&self.snapshot, &self.profile, &candidate, 0, &mut StdRng::seed_from_u64(0))
    }

    fn pop(&mut self) {
        assert!(self.queue.pop(self.now).is_some_and(|popped| popped.uid() == WAITING), "it can be tried");
    }

    fn fail(&mut self, decision: &Decision) -> Option<Place> {
        let plugins = decision.verdicts.plugins().into_iter().collect::<BTreeSet<_>>();
        let refusal = Refusal { unschedulable_plugins: plugins, ..Refusal::default() };
        self.queue.failed(WAITING, refusal, self.now)
    }

    fn place(&self) -> Option<Place> {
        self.queue.place(WAITING)
    }
}

/// A pod is refused by this plugin alone. It does not come back by `in_vain`, which does not help, and does by `helping`,
/// whether that happens while it waits or while it is being tried.
fn check(plugin: &str, nodes: &[Node], pods: &[Pod], waiting: &Pod, in_vain: &Step, helping: &Step) {
    for is_late in [false, true] {
        let mut world = World::new(nodes.to_vec(), pods.to_vec(), waiting.clone());
        world.pop();
        let decision = world.decide();
        assert_eq!((decision.node, decision.verdicts.plugins()), (None, vec![plugin]), "{waiting:?}");
        if is_late {
            world.happen(helping.clone());
            assert_eq!(world.fail(&decision), Some(Place::Backoff), "of {plugin}, meanwhile: {helping:?}");
        } else {
            assert_eq!(world.fail(&decision), Some(Place::Unschedulable), "of {plugin}");
            world.happen(in_vain.clone());
            assert!(world.decide().node.is_none(), "of {plugin}: {in_vain:?}");
            assert_eq!(world.place(), Some(Place::Unschedulable), "of {plugin}: {in_vain:?}");
            world.happen(helping.clone());
            assert_eq!(world.place(), Some(Place::Backoff), "of {plugin}: {helping:?}");
        }
        world.now += Duration::from_secs(5);
        world.pop();
        assert!(world.decide().node.is_some(), "of {plugin}: {helping:?}");
        world.queue.done(WAITING);
        assert_eq!(world.place(), None);
    }
}

fn node(name: &str, over: Value) -> Node {
    testing::node(name, over)
}

fn sets(name: &str, over: Value) -> Step {
    Step::Node(Box::new(node(name, over)))
}

fn on(name: &str, app: &str, node: &str, mut spec: Value) -> Pod {
    spec["nodeName"] = json!(node);
    let mut pod = testing::pod(name, spec);
    pod.metadata.labels = Some([("app".to_owned(), app.to_owned())].into());
    pod
}

fn goes(pod: &str) -> Step {
    Step::PodGoes(pod.to_owned())
}

fn comes(name: &str, app: &str, node: &str) -> Step {
    Step::Pod(Box::new(on(name, app, node, json!({}))))
}

#[test]
fn what_is_refused_for_nodes_comes_back_by_nodes() {
    let plain = |name: &str| node(name, json!({}));
    let pod = testing::pod(WAITING, json!({}));
    let cordoned = |value: bool| json!({"spec": {"unschedulable": value}});
    let closed = [node("n", cordoned(true))];
    check("NodeUnschedulable", &closed, &[], &pod, &sets("m", cordoned(true)), &sets("n", cordoned(false)));
    check("NodeUnschedulable", &closed, &[], &pod, &goes("none"), &sets("m", json!({})));
    let tainted = |key: &str| json!({"spec": {"taints": [{"key": key, "effect": "NoSchedule"}]}});
    let refusing = [node("n", tainted("a"))];
    check("TaintToleration", &refusing, &[], &pod, &sets("n", tainted("b")), &sets("n", json!({})));
    let tolerating = testing::pod(WAITING, json!({"tolerations": [{"key": "a", "operator": "Exists"}]}));
    let change = Step::Change(Box::new(tolerating));
    check("TaintToleration", &refusing, &[], &pod, &sets("m", tainted("b")), &change);
    let named = testing::pod(WAITING, json!({"nodeName": "m"}));
    let labelled = |value: &str| json!({"metadata": {"labels": {"disk": value}}});
    check("NodeName", &[plain("n")], &[], &named, &sets("n", labelled("ssd")), &sets("m", json!({})));
    let wanting = testing::pod(WAITING, json!({"nodeSelector": {"disk": "ssd"}}));
    let helping = sets("n", labelled("ssd"));
    check("NodeAffinity", &[plain("n")], &[], &wanting, &sets("n", labelled("hdd")), &helping);
    let large = testing::pod(WAITING, requesting(json!({"cpu": "6"})));
    let cpu = |cpu: &str| json!({"status": {"allocatable": {"cpu": cpu}}});
    check("NodeResourcesFit", &[plain("n")], &[], &large, &sets("n", cpu("5")), &sets("n", cpu("6")));
    check("NodeResourcesFit", &[plain("n")], &[], &large, &sets("m", cpu("5")), &sets("m", cpu("6")));
}

#[test]
fn what_is_refused_for_pods_comes_back_by_pods() {
    let zoned = |name: &str, zone: &str| node(name, json!({"metadata": {"labels": {"zone": zone}}}));
    let nodes = [zoned("n", "1")];
    let cpu = |cpu: &str| requesting(json!({"cpu": cpu}));
    let large = testing::pod(WAITING, cpu("3"));
    let full = [on("a", "a", "n", cpu("2")), on("b", "b", "n", json!({}))];
    check("NodeResourcesFit", &nodes, &full, &large, &comes("c", "c", "n"), &goes("a"));
    let smaller = Step::Pod(Box::new(on("a", "a", "n", cpu("1"))));
    check("NodeResourcesFit", &nodes, &full, &large, &comes("c", "c", "n"), &smaller);
    let port = |port: u16| json!({"containers": [{"name": "main", "image": "main", "ports": [{"containerPort": 1, "hostPort": port}]}]});
    let taken = [on("a", "a", "n", port(80)), on("b", "b", "n", port(81))];
    check("NodePorts", &nodes, &taken, &testing::pod(WAITING, port(80)), &goes("b"), &goes("a"));
    let term = |app: &str| json!({"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": app}}});
    let near = |app: &str| json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term(app)]}}});
    let far = |app: &str| json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term(app)]}}});
    let name = "InterPodAffinity";
    let wanting = testing::pod(WAITING, near("db"));
    check(name, &nodes, &[], &wanting, &comes("a", "a", "n"), &comes("b", "db", "n"));
    let others = [on("a", "db", "n", json!({})), on("b", "other", "n", json!({}))];
    check(name, &nodes, &others, &testing::pod(WAITING, far("db")), &goes("b"), &goes("a"));
    check(name, &nodes, &others, &testing::pod(WAITING, far("db")), &goes("b"), &comes("a", "a", "n"));
    let hostile = [on("a", "a", "n", far("waiting")), on("b", "b", "n", far("other"))];
    let mut hated = testing::pod(WAITING, json!({}));
    hated.metadata.labels = Some([("app".to_owned(), WAITING.to_owned())].into());
    check(name, &nodes, &hostile, &hated, &goes("b"), &goes("a"));
    check(name, &nodes, &hostile, &hated, &goes("b"), &Step::Node(Box::new(zoned("m", "2"))));
    let mut changed = hated.clone();
    changed.metadata.labels = None;
    check(name, &nodes, &hostile, &hated, &goes("b"), &Step::Change(Box::new(changed)));
    let spread = json!({"topologySpreadConstraints": [{
        "topologyKey": "zone", "maxSkew": 1, "minDomains": 3, "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": WAITING}},
    }]});
    let mut even = testing::pod(WAITING, spread);
    even.metadata.labels.clone_from(&hated.metadata.labels);
    let nodes = [zoned("n", "1"), zoned("m", "2")];
    let placed = |name: &str, app: &str, node: &str| on(name, app, node, json!({}));
    let uneven = [placed("a", WAITING, "n"), placed("b", WAITING, "m"), placed("c", "c", "m")];
    let name = "PodTopologySpread";
    check(name, &nodes, &uneven, &even, &goes("c"), &goes("a"));
    check(name, &nodes, &uneven, &even, &sets("o", json!({})), &Step::Node(Box::new(zoned("o", "3"))));
    check(name, &nodes, &uneven, &even, &comes("d", "d", "n"), &comes("b", "b", "m"));
}

#[test]
fn gated_pods_are_not_tried() {
    let gated = |gates: &[&str]| {
        let gates: Vec<Value> = gates.iter().map(|name| json!({ "name": name })).collect();
        testing::pod(WAITING, json!({ "schedulingGates": gates }))
    };
    let mut world = World::new(vec![node("n", json!({}))], Vec::new(), gated(&["a", "b"]));
    for (step, expected) in [
        (sets("m", json!({})), Place::Gated),
        (Step::Change(Box::new(gated(&["b"]))), Place::Gated),
        (Step::Change(Box::new(gated(&[]))), Place::Active),
    ] {
        world.happen(step);
        assert_eq!(world.place(), Some(expected));
    }
}

fn a_node() -> impl Strategy<Value = Node> {
    (0..4u8, 0..3u8, 0..4u8, 0..4u8).prop_map(|(name, zone, cpu, closed)| {
        let labels = if zone == 2 { json!({}) } else { json!({"zone": zone.to_string()}) };
        let taints = if closed == 0 { json!([{"key": "a", "effect": "NoSchedule"}]) } else { json!([]) };
        let over = json!({
            "metadata": {"labels": labels},
            "spec": {"unschedulable": closed == 1, "taints": taints},
            "status": {"allocatable": {"cpu": cpu.to_string(), "pods": "3"}},
        });
        testing::node(&format!("n{name}"), over)
    })
}

fn a_placed_pod() -> impl Strategy<Value = Pod> {
    (a_pod(), 0..6u8, 0..4u8).prop_map(|(mut pod, name, node)| {
        pod.metadata.uid = Some(name.to_string());
        pod.spec.as_mut().unwrap().node_name = Some(format!("n{node}"));
        pod
    })
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => a_node().prop_map(|node| Step::Node(Box::new(node))),
        1 => (0..4u8).prop_map(|name| Step::NodeGoes(format!("n{name}"))),
        3 => a_placed_pod().prop_map(|pod| Step::Pod(Box::new(pod))),
        2 => (0..6u8, 0..2u8).prop_map(|(name, app)| Step::Label(name.to_string(), app.to_string())),
        3 => (0..6u8).prop_map(|name| Step::PodGoes(name.to_string())),
    ]
}

proptest! {
    #[test]
    fn whoever_can_be_placed_is_tried(
        nodes in proptest::collection::vec(a_node(), 1..6),
        pods in proptest::collection::vec(a_placed_pod(), 0..8),
        waiting in a_pod(),
        steps in proptest::collection::vec(a_step(), 1..12),
    ) {
        let mut world = World::new(nodes, Vec::new(), waiting);
        for pod in pods {
            world.happen(Step::Pod(Box::new(pod)));
        }
        world.pop();
        let mut decision = world.decide();
        for step in steps {
            if decision.node.is_some() {
                return Ok(());
            }
            world.fail(&decision);
            // Nothing but its labels and requests can change of a pod that is there.
            if matches!(&step, Step::Pod(pod) if world.pods.contains_key(pod.metadata.uid.as_deref().unwrap())) {
                continue;
            }
            world.happen(step.clone());
            decision = world.decide();
            let place = world.place();
            // If there were no nodes at all, nobody refused it, and it is tried again anyway.
            let comes_back = matches!(place, Some(Place::Backoff | Place::ErrorBackoff));
            prop_assert!(decision.node.is_none() || comes_back, "{:?} after {:?}", place, step);
            if comes_back {
                world.now += Duration::from_secs(20);
                world.pop();
            }
        }
    }
}
