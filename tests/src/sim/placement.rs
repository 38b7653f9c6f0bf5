//! What has to hold of the pods that the scheduler gives nodes, judged when they get them; and of those for which it makes
//! room, judged when it says so.
//!
//! A request to bind a pod may come to its end after the scheduler that sent it has crashed. The next one cannot know of
//! it: it may have listed the pods before, and have given the room to another. Upstream's has the same gap, since
//! nothing in a Binding says which scheduler sent it, and a Lease does not stop what is already with the server. Such a
//! pod is not judged, and does not count against what is sent by a scheduler that began before the pod got its node.

use std::collections::{BTreeMap, BTreeSet};

use api::quantity::Quantity;
use serde_json::Value;

/// Every pod and node as far as it matters here, and what was found to be wrong.
#[derive(Default)]
pub struct Placement {
    pods: BTreeMap<String, Placed>,
    /// What each node has of processors and of room for pods. It stays so, whether there is such a node or not.
    nodes: BTreeMap<String, [i64; 2]>,
    /// How many schedulers have begun, one after the other.
    schedulers: u64,
    /// Which of them asked for a pod to be bound to a node.
    asked: BTreeMap<(String, String), BTreeSet<u64>>,
    violations: Vec<String>,
    counts: Counts,
}

/// How often something happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pods got a node.
    pub bound: u64,
    /// Pods had to make room for others.
    pub victims: u64,
    /// Pods got a node that a scheduler asked for which had ended meanwhile.
    pub unknown: u64,
}

#[derive(Clone, Default)]
struct Placed {
    uid: String,
    namespace: String,
    labels: BTreeMap<String, String>,
    node: Option<String>,
    ended: bool,
    cpu: i64,
    ports: BTreeSet<(String, i64)>,
    /// Labels of pods that must not be on the same node.
    apart: Vec<BTreeMap<String, String>>,
    priority: i64,
    /// Whether it is being deleted to make room for another.
    victim: bool,
    /// The latest scheduler that may not know that the pod got its node; none if the one that asked for it was running.
    unknown_to: u64,
    /// The highest priority of any other pod that had no node at some time since this one was made.
    rival: Option<i64>,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> BTreeMap<String, String> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), text(value))).collect()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn milli(value: &Value) -> i64 {
    value.as_str().and_then(|text| Quantity::parse(text).ok()).map_or(0, |quantity| quantity.milli_value())
}

/// The labels that the pod's required anti-affinities name, all of which are by host.
fn apart(spec: &Value) -> Vec<BTreeMap<String, String>> {
    let terms = &spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    items(terms).map(|term| texts(&term["labelSelector"]["matchLabels"])).collect()
}

impl Placed {
    fn of(pod: &Value) -> Placed {
        let (meta, spec, status) = (&pod["metadata"], &pod["spec"], &pod["status"]);
        let ports = items(&spec["containers"]).flat_map(|container| items(&container["ports"]));
        let ports = ports.filter_map(|port| Some((text(&port["protocol"]), port["hostPort"].as_i64()?)));
        let cpu = items(&spec["containers"]).map(|container| milli(&container["resources"]["requests"]["cpu"])).sum();
        let victim = |condition: &Value| {
            condition["type"] == "DisruptionTarget" && condition["reason"] == "PreemptionByScheduler"
        };
        Placed {
            uid: text(&meta["uid"]),
            namespace: text(&meta["namespace"]),
            labels: texts(&meta["labels"]),
            node: spec["nodeName"].as_str().map(str::to_owned),
            ended: matches!(status["phase"].as_str(), Some("Succeeded" | "Failed")),
            cpu,
            ports: ports.collect(),
            apart: apart(spec),
            priority: spec["priority"].as_i64().unwrap_or(0),
            victim: items(&status["conditions"]).any(victim),
            unknown_to: 0,
            rival: None,
        }
    }

    fn keeps_from(&self, other: &Placed) -> bool {
        let matches = |labels: &BTreeMap<String, String>| labels.iter().all(|label| has(&other.labels, label));
        self.namespace == other.namespace && self.apart.iter().any(matches)
    }
}

fn has(labels: &BTreeMap<String, String>, (key, value): (&String, &String)) -> bool {
    labels.get(key) == Some(value)
}

impl Placement {
    /// What was found to be wrong so far.
    #[must_use]
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// How often what happened.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// A scheduler begins, and gets its number. Those before it have ended.
    pub fn begin(&mut self) -> u64 {
        self.schedulers += 1;
        self.schedulers
    }

    /// A scheduler asks for a pod to be bound to a node.
    pub fn ask(&mut self, scheduler: u64, uid: &str, node: &str) {
        self.asked.entry((uid.to_owned(), node.to_owned())).or_default().insert(scheduler);
    }

    /// Takes in a Node as it was committed.
    pub fn node(&mut self, node: &Value) {
        let of = |name: &str| milli(&node["status"]["allocatable"][name]);
        let room = [of("cpu"), of("pods") / 1000];
        if room[0] > 0 {
            self.nodes.insert(text(&node["metadata"]["name"]), room);
        }
    }

    /// Takes in a Pod as it was committed, or that there is none any more.
    pub fn pod(&mut self, key: &str, new: Option<&Value>) {
        let old = self.pods.remove(key);
        let Some(value) = new else { return };
        let mut new = Placed::of(value);
        let old = old.filter(|old| old.uid == new.uid);
        let was_bound = old.as_ref().is_some_and(|old| old.node.is_some());
        let was_victim = old.as_ref().is_some_and(|old| old.victim);
        if let Some(old) = old {
            (new.unknown_to, new.rival) = (old.unknown_to, old.rival);
        } else {
            let pending = self.pods.values().filter(|pod| pod.node.is_none() && !pod.ended);
            new.rival = pending.map(|pod| pod.priority).max();
        }
        match new.node.clone() {
            None if !new.ended => {
                self.pods.values_mut().for_each(|pod| pod.rival = pod.rival.max(Some(new.priority)));
            }
            Some(node) if !was_bound => {
                self.bound(key, &mut new, &node);
            }
            _ => {}
        }
        if new.victim && !was_victim {
            self.victim(key, &new);
        }
        let reason = value["status"]["reason"].as_str().unwrap_or_default();
        if reason.starts_with("OutOf") && !self.is_unknown_on(new.node.as_deref()) {
            self.violations.push(format!("{key} is refused by its node: {}", value["status"]["message"]));
        }
        self.pods.insert(key.to_owned(), new);
    }

    /// The node has room for a pod that got it, and no pod that it must not be with.
    fn bound(&mut self, key: &str, pod: &mut Placed, node: &str) {
        self.counts.bound += 1;
        let asked = self.asked.get(&(pod.uid.clone(), node.to_owned()));
        let Some(last) = asked.and_then(|asked| asked.last().copied()) else {
            self.violations.push(format!("{key} is on {node}, and no scheduler asked for that"));
            return;
        };
        if last < self.schedulers {
            pod.unknown_to = self.schedulers;
            self.counts.unknown += 1;
            return;
        }
        let others = self.pods.iter().filter(|(_, other)| {
            other.node.as_deref() == Some(node) && !other.ended && other.unknown_to < self.schedulers
        });
        let mut wrong = Vec::new();
        let (mut cpu, mut count) = (pod.cpu, 1);
        for (name, other) in others {
            (cpu, count) = (cpu + other.cpu, count + 1);
            if !pod.ports.is_disjoint(&other.ports) {
                wrong.push(format!("{key} and {name} want the same port of {node}"));
            }
            if pod.keeps_from(other) || other.keeps_from(pod) {
                wrong.push(format!("{key} and {name} must not be both on {node}"));
            }
        }
        let has = self.nodes.get(node).copied().unwrap_or_default();
        if cpu > has[0] || count > has[1] {
            wrong.push(format!("{key} makes it {count} pods that request {cpu} on {node}, which has {has:?}"));
        }
        self.violations.append(&mut wrong);
    }

    /// A pod that has to go makes room for one that is more important.
    fn victim(&mut self, key: &str, pod: &Placed) {
        self.counts.victims += 1;
        if pod.rival.is_none_or(|rival| rival <= pod.priority) {
            let (own, rival) = (pod.priority, pod.rival);
            self.violations.push(format!("{key}, of priority {own}, has to make room; others had {rival:?} at most"));
        }
    }

    /// Whether there are pods on a node that the running scheduler may not know of.
    fn is_unknown_on(&self, node: Option<&str>) -> bool {
        self.pods.values().any(|pod| pod.node.as_deref() == node && pod.unknown_to > 0)
    }
}
