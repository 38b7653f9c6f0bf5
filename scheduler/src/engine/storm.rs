//! Storms: whatever can happen to a cluster and to what is written to it, in any order and as late as it likes. Whatever
//! happens, no node takes more than it has, no pod is bound twice, and none is forgotten.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::json;

use super::{Effect, Engine, uid};
use crate::config::Configuration;
use crate::cycle::{Candidate, Profile, schedule};
use crate::snapshot::{PodInfo, Snapshot};
use crate::testing::{self, requesting};

/// Something that happens. Pods, nodes and what is to be done are numbers; those of which there are none are ignored.
#[derive(Clone, Debug)]
enum Step {
    Create {
        cpu: u8,
        priority: i32,
        node: Option<usize>,
        apart: bool,
    },
    Delete {
        pod: usize,
    },
    End {
        pod: usize,
    },
    AddNode {
        node: usize,
    },
    RemoveNode {
        node: usize,
    },
    Cordon {
        node: usize,
        cordoned: bool,
    },
    /// The engine hears of so much of what has happened.
    Hear {
        changes: usize,
    },
    Turn,
    /// What is to be done is done, or fails.
    Do {
        which: usize,
        fails: bool,
    },
    Wait {
        milliseconds: u64,
    },
}

const NODES: usize = 3;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (1..5_u8, 0..3_i32, prop::option::weighted(0.2, 0..NODES), prop::bool::weighted(0.2))
            .prop_map(|(cpu, priority, node, apart)| Step::Create { cpu, priority, node, apart }),
        2 => (0..20_usize).prop_map(|pod| Step::Delete { pod }),
        1 => (0..20_usize).prop_map(|pod| Step::End { pod }),
        2 => (0..NODES).prop_map(|node| Step::AddNode { node }),
        1 => (0..NODES).prop_map(|node| Step::RemoveNode { node }),
        1 => (0..NODES, any::<bool>()).prop_map(|(node, cordoned)| Step::Cordon { node, cordoned }),
        6 => (1..6_usize).prop_map(|changes| Step::Hear { changes }),
        6 => Just(Step::Turn),
        6 => (0..6_usize, prop::bool::weighted(0.2)).prop_map(|(which, fails)| Step::Do { which, fails }),
        2 => (0..3000_u64).prop_map(|milliseconds| Step::Wait { milliseconds }),
    ]
}

/// A change that the engine has not heard of yet.
enum Change {
    Pod(Option<Arc<Pod>>, Option<Arc<Pod>>),
    Node(Option<Arc<Node>>, Option<Arc<Node>>),
}

/// What the API has.
struct World {
    engine: Engine,
    nodes: BTreeMap<String, Arc<Node>>,
    pods: BTreeMap<String, Arc<Pod>>,
    unheard: VecDeque<Change>,
    undone: Vec<Effect>,
    now: Duration,
    created: usize,
}

impl World {
    fn new() -> World {
        World {
            engine: Engine::new(&Configuration::default(), 0).unwrap(),
            nodes: BTreeMap::new(),
            pods: BTreeMap::new(),
            unheard: VecDeque::new(),
            undone: Vec::new(),
            now: Duration::ZERO,
            created: 0,
        }
    }

    fn set_pod(&mut self, uid: &str, new: Option<Arc<Pod>>) {
        let old = match &new {
            Some(new) => self.pods.insert(uid.to_owned(), Arc::clone(new)),
            None => self.pods.remove(uid),
        };
        self.unheard.push_back(Change::Pod(old, new));
    }

    fn set_node(&mut self, name: &str, new: Option<Node>) {
        let new = new.map(Arc::new);
        let old = match &new {
            Some(new) => self.nodes.insert(name.to_owned(), Arc::clone(new)),
            None => self.nodes.remove(name),
        };
        self.unheard.push_back(Change::Node(old, new));
    }

    fn pod_at(&self, position: usize) -> Option<String> {
        self.pods.keys().nth(position).cloned()
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Create { cpu, priority, node, apart } => self.create(*cpu, *priority, *node, *apart),
            Step::Delete { pod } => {
                if let Some(uid) = self.pod_at(*pod) {
                    self.set_pod(&uid, None);
                }
            }
            Step::End { pod } => {
                let Some(uid) = self.pod_at(*pod).filter(|uid| node_of(&self.pods[uid]).is_some()) else { return };
                let mut pod = Pod::clone(&self.pods[&uid]);
                pod.status.get_or_insert_default().phase = Some("Succeeded".to_owned());
                self.set_pod(&uid, Some(Arc::new(pod)));
            }
            Step::AddNode { node } => self.set_node(&format!("n{node}"), Some(a_node(*node, false))),
            Step::RemoveNode { node } => {
                let name = format!("n{node}");
                if self.nodes.contains_key(&name) {
                    self.set_node(&name, None);
                }
            }
            Step::Cordon { node, cordoned } => {
                let name = format!("n{node}");
                if self.nodes.contains_key(&name) {
                    self.set_node(&name, Some(a_node(*node, *cordoned)));
                }
            }
            Step::Hear { changes } => (0..*changes).for_each(|_| self.hear()),
            Step::Turn => {
                let effects = self.engine.step(3, self.now);
                self.undone.extend(effects);
            }
            Step::Do { which, fails } => {
                if *which < self.undone.len() {
                    let effect = self.undone.remove(*which);
                    self.perform(&effect, *fails);
                }
            }
            Step::Wait { milliseconds } => self.now += Duration::from_millis(*milliseconds),
        }
    }

    fn create(&mut self, cpu: u8, priority: i32, node: Option<usize>, apart: bool) {
        let name = format!("p{:04}", self.created);
        self.created += 1;
        let mut spec = requesting(json!({"cpu": cpu.to_string()}));
        spec["priority"] = json!(priority);
        if let Some(node) = node {
            spec["nodeSelector"] = json!({"kubernetes.io/hostname": format!("n{node}")});
        }
        if apart {
            let term =
                json!({"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"apart": "a"}}});
            let required = "requiredDuringSchedulingIgnoredDuringExecution";
            spec["affinity"] = json!({"podAntiAffinity": {required: [term]}});
        }
        let mut pod = testing::pod(&name, spec);
        pod.metadata.labels = Some([("apart".to_owned(), if apart { "a" } else { "b" }.to_owned())].into());
        self.set_pod(&name, Some(Arc::new(pod)));
    }

    fn hear(&mut self) {
        match self.unheard.pop_front() {
            Some(Change::Pod(old, new)) => self.engine.pod(old.as_ref(), new.as_ref(), self.now),
            Some(Change::Node(old, new)) => self.engine.node(old.as_ref(), new.as_ref(), self.now),
            None => {}
        }
    }

    fn perform(&mut self, effect: &Effect, fails: bool) {
        match effect {
            Effect::Bind { pod, node, .. } => {
                let uid = uid(pod);
                let there = self.pods.get(uid).cloned();
                let outcome = match there {
                    Some(pod) if !fails => {
                        assert_eq!(node_of(&pod), None, "{uid} is bound twice");
                        let mut bound = Pod::clone(&pod);
                        bound.spec.as_mut().unwrap().node_name = Some(node.clone());
                        self.set_pod(uid, Some(Arc::new(bound)));
                        self.check_capacity(node);
                        Ok(())
                    }
                    _ => Err("no".to_owned()),
                };
                self.engine.bound(uid, outcome, self.now);
            }
            Effect::Preempt { pod, victims, .. } => {
                if !fails {
                    for victim in victims {
                        let lesser = victim.info.priority < pod.spec.as_ref().and_then(|spec| spec.priority).unwrap();
                        assert!(lesser, "{} has to go for one that is not more important", victim.uid);
                        if self.pods.contains_key(&victim.uid) {
                            self.set_pod(&victim.uid, None);
                        }
                    }
                }
                let outcome = if fails { Err("no".to_owned()) } else { Ok(()) };
                self.engine.preempted(uid(pod), outcome, self.now);
            }
            Effect::Prepare { .. } => panic!("no pod has volumes"),
            Effect::Refused { .. } | Effect::Skipped { .. } => {}
        }
    }

    /// A node that was away may have come back with less room than what is on it takes; but all are of one size.
    fn check_capacity(&self, node: &str) {
        let on_node = self.pods.values().filter(|pod| node_of(pod) == Some(node) && !has_ended(pod));
        let requested: i64 = on_node.map(|pod| PodInfo::new(pod).requested("cpu")).sum();
        assert!(requested <= 4000, "{requested} are requested of {node}");
    }

    /// Lets everything happen that is under way, and some time pass.
    fn settle(&mut self) {
        for _ in 0..40 {
            while !self.unheard.is_empty() {
                self.hear();
            }
            let effects = self.engine.step(100, self.now);
            self.undone.extend(effects);
            for effect in std::mem::take(&mut self.undone) {
                self.perform(&effect, false);
            }
            if self.unheard.is_empty() {
                self.now += Duration::from_secs(1);
            }
        }
    }

    fn waiting(&self) -> Vec<&Arc<Pod>> {
        self.pods.values().filter(|pod| node_of(pod).is_none()).collect()
    }

    /// No pod waits that has a place.
    fn check_places(&self) {
        let mut snapshot = Snapshot::default();
        self.nodes.values().for_each(|node| snapshot.set_node(node));
        self.pods.values().for_each(|pod| snapshot.set_pod(pod));
        for pod in self.waiting() {
            let info = PodInfo::new(pod);
            let candidate = Candidate { uid: uid(pod), info: &info, nominated_node: None };
            let random = &mut StdRng::seed_from_u64(0);
            let decision = schedule(&snapshot, &Profile::default(), &candidate, 0, random);
            assert_eq!(decision.node, None, "{} waits, and need not", uid(pod));
        }
    }
}

fn a_node(number: usize, cordoned: bool) -> Node {
    testing::node(&format!("n{number}"), json!({"spec": {"unschedulable": cordoned}}))
}

fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref())
}

fn has_ended(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Succeeded")
}

proptest! {
    #[test]
    fn no_pod_is_forgotten(steps in proptest::collection::vec(step(), 0..120)) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.step(step));
        world.settle();
        world.check_places();
        // The selectors that name nodes still count, and so does that some want to be alone.
        for number in 0..NODES {
            world.set_node(&format!("n{number}"), Some(a_node(number, false)));
        }
        world.settle();
        world.check_places();
        let counts = world.engine.counts();
        prop_assert_eq!((counts.in_flight, counts.active, counts.backoff), (0, 0, 0));
        prop_assert_eq!(counts.unschedulable, world.waiting().len());
    }
}
