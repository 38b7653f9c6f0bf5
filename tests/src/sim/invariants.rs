//! What has to hold at every moment, judged at each change that is committed; and what has to hold in the end.

use std::collections::{BTreeMap, BTreeSet};

use api::int_or_string::{Round, scaled_value};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Deserialize;
use serde_json::Value;

use super::pending;
use super::placement::Placement;

/// The label of Deployments of which nobody takes pods away but their rollouts.
pub const CALM: &str = "sim.gantry.io/calm";

/// Every object as it was committed last, and what was found to be wrong.
#[derive(Default)]
pub struct Invariants {
    objects: BTreeMap<String, Value>,
    deployments: BTreeMap<String, Deployment>,
    sets: BTreeMap<String, Set>,
    pods: BTreeMap<String, Seen>,
    /// Calm Deployments that have had all of their pods available.
    complete: BTreeSet<String>,
    /// The most pods that a Deployment may want, by the generation of its spec.
    allowed: BTreeMap<String, BTreeMap<i64, i64>>,
    violations: Vec<String>,
    /// What holds of pods on nodes.
    pub placement: Placement,
}

/// A ReplicaSet, as far as it matters here.
#[derive(Clone)]
struct Set {
    name: String,
    uid: String,
    owner: String,
    wanted: i64,
}

/// A pod, as far as it matters here.
#[derive(Clone)]
struct Seen {
    uid: String,
    owner: String,
    node: Option<String>,
    available: bool,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The uid of an object's controller; empty if it has none.
fn controller(object: &Value) -> String {
    let owners = object["metadata"]["ownerReferences"].as_array();
    let mut owners = owners.into_iter().flatten();
    owners.find(|owner| owner["controller"] == true).map(|owner| text(&owner["uid"])).unwrap_or_default()
}

impl Set {
    fn of(object: &Value) -> Set {
        let meta = &object["metadata"];
        let wanted = object["spec"]["replicas"].as_i64().unwrap_or(1);
        Set { name: text(&meta["name"]), uid: text(&meta["uid"]), owner: controller(object), wanted }
    }
}

impl Seen {
    fn of(object: &Value) -> Seen {
        let conditions = object["status"]["conditions"].as_array();
        let ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
        let available = conditions.into_iter().flatten().any(ready) && is_staying(object);
        let node = object["spec"]["nodeName"].as_str().map(str::to_owned);
        Seen { uid: text(&object["metadata"]["uid"]), owner: controller(object), node, available }
    }
}

/// Whether an object is not being deleted.
fn is_staying(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_null()
}

fn uid(deployment: &Deployment) -> &str {
    deployment.metadata.uid.as_deref().unwrap_or_default()
}

fn name(deployment: &Deployment) -> &str {
    deployment.metadata.name.as_deref().unwrap_or_default()
}

/// How many pods more and less than wanted a Deployment may have during a rollout.
fn budget(deployment: &Deployment) -> (i64, i64, i64) {
    let spec = &deployment.spec;
    let replicas = i64::from(spec.replicas.unwrap_or(1));
    let rolling = spec.strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
    let number = |value: Option<&IntOrString>, round| scaled_value(value, replicas, round).unwrap_or(0);
    let surge = rolling.map_or(0, |rolling| number(rolling.max_surge.as_ref(), Round::Up));
    let unavailable = rolling.map_or(replicas, |rolling| number(rolling.max_unavailable.as_ref(), Round::Down));
    // As the controller has it: one of them must be more than nothing.
    let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
    (replicas, surge, unavailable)
}

impl Invariants {
    /// Takes a committed change in.
    pub fn committed(&mut self, key: &str, value: Option<&[u8]>) {
        let old = self.objects.remove(key);
        let new: Option<Value> = value.and_then(|bytes| serde_json::from_slice(bytes).ok());
        let kind = |value: &Option<Value>| value.as_ref().map(|value| text(&value["kind"]));
        match kind(&new).or_else(|| kind(&old)).as_deref() {
            Some("Deployment") => self.deployment(key, new.as_ref()),
            Some("ReplicaSet") => self.set(key, new.as_ref()),
            Some("Pod") => {
                self.pod(key, new.as_ref());
                self.placement.pod(key, new.as_ref());
            }
            Some("Node") => new.iter().for_each(|node| self.placement.node(node)),
            _ => {}
        }
        if let Some(new) = new {
            self.objects.insert(key.to_owned(), new);
        }
    }

    fn deployment(&mut self, key: &str, new: Option<&Value>) {
        self.deployments.remove(key);
        let Some(deployment) = new.and_then(|new| Deployment::deserialize(new).ok()) else { return };
        let (replicas, surge, _) = budget(&deployment);
        let allowed = self.allowed.entry(uid(&deployment).to_owned()).or_default();
        allowed.insert(deployment.metadata.generation.unwrap_or(0), replicas + surge);
        let observed = deployment.status.as_ref().and_then(|status| status.observed_generation).unwrap_or(0);
        // The controller has seen that generation, and will not go by an earlier one again.
        allowed.retain(|generation, _| *generation >= observed);
        self.deployments.insert(key.to_owned(), deployment);
    }

    /// ReplicaSets together never want more than the rollout may have.
    fn set(&mut self, key: &str, new: Option<&Value>) {
        let old = self.sets.remove(key);
        let Some(set) = new.map(Set::of) else { return };
        self.sets.insert(key.to_owned(), set.clone());
        if set.owner.is_empty() || old.is_some_and(|old| old.wanted >= set.wanted) {
            return;
        }
        let siblings = self.sets.values().filter(|other| other.owner == set.owner);
        let sum: i64 = siblings.map(|set| set.wanted).sum();
        let most = self.allowed.get(&set.owner).and_then(|allowed| allowed.values().max().copied());
        if most.is_some_and(|most| sum > most) {
            self.violations.push(format!("{} makes {sum} pods wanted, and {most:?} are allowed", set.name));
        }
    }

    /// A pod stays on its node; and calm Deployments keep the pods that they must have.
    fn pod(&mut self, key: &str, new: Option<&Value>) {
        let old = self.pods.remove(key);
        let new = new.map(Seen::of);
        if let (Some(old), Some(new)) = (&old, &new)
            && old.uid == new.uid
            && old.node.is_some()
            && old.node != new.node
        {
            self.violations.push(format!("{key} moved from {:?} to {:?}", old.node, new.node));
        }
        if let Some(new) = &new {
            self.pods.insert(key.to_owned(), new.clone());
        }
        let Some(pod) = new.or(old) else { return };
        let Some(set) = self.sets.values().find(|set| set.uid == pod.owner) else { return };
        let Some(deployment) = self.deployments.values().find(|deployment| uid(deployment) == set.owner) else {
            return;
        };
        let calm = deployment.metadata.labels.iter().flatten().any(|(key, _)| key == CALM);
        if !calm || deployment.metadata.deletion_timestamp.is_some() || self.is_ending(&deployment.metadata) {
            return;
        }
        let (replicas, _, unavailable) = budget(deployment);
        let ours: BTreeSet<&str> =
            self.sets.values().filter(|other| other.owner == set.owner).map(|set| set.uid.as_str()).collect();
        let available =
            self.pods.values().filter(|pod| pod.available && ours.contains(pod.owner.as_str())).count() as i64;
        if available >= replicas {
            self.complete.insert(set.owner.clone());
        }
        if self.complete.contains(&set.owner) && available < replicas - unavailable {
            let name = name(deployment);
            self.violations.push(format!("{name} has {available} available of {replicas}, less {unavailable} at most"));
        }
    }

    /// Whether the namespace of an object is being deleted.
    fn is_ending(&self, meta: &ObjectMeta) -> bool {
        let namespace = format!("/registry/core/namespaces/{}", meta.namespace.as_deref().unwrap_or_default());
        self.objects.get(&namespace).is_none_or(|namespace| namespace["metadata"]["deletionTimestamp"].is_string())
    }

    /// What was found to be wrong so far.
    #[must_use]
    pub fn violations(&self) -> Vec<&String> {
        self.violations.iter().chain(self.placement.violations()).collect()
    }

    /// The pods that have no node and could have one, each with what there is for it.
    #[must_use]
    pub fn neglected(&self) -> Vec<(String, String)> {
        pending::neglected(self.objects.iter())
    }

    /// What is not as it has to be when everything has come to rest.
    #[must_use]
    pub fn unrest(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let uids: BTreeSet<&str> =
            self.objects.values().filter_map(|value| value["metadata"]["uid"].as_str()).collect();
        let namespaces: BTreeSet<&str> = self
            .objects
            .values()
            .filter(|value| value["kind"] == "Namespace")
            .filter_map(|value| value["metadata"]["name"].as_str())
            .collect();
        for (key, value) in &self.objects {
            let meta = &value["metadata"];
            let owners = meta["ownerReferences"].as_array();
            let owner_uids = owners.into_iter().flatten().filter_map(|owner| owner["uid"].as_str());
            let owner_uids: Vec<&str> = owner_uids.collect();
            if !owner_uids.is_empty() && !owner_uids.iter().any(|uid| uids.contains(uid)) {
                wrong.push(format!("{key} has no owner any more"));
            }
            if meta["namespace"].as_str().is_some_and(|namespace| !namespaces.contains(namespace)) {
                wrong.push(format!("{key} has no namespace any more"));
            }
            if meta["deletionTimestamp"].is_string() {
                wrong.push(format!("{key} is still being deleted"));
            }
        }
        wrong.extend(self.deployments.values().filter_map(unfinished));
        wrong.extend(self.sets.values().filter_map(|set| self.unmatched(set)));
        wrong
    }

    /// The namespaces and names of all objects of a kind.
    #[must_use]
    pub fn names(&self, kind: &str) -> Vec<(String, String)> {
        let of_kind = self.objects.values().filter(|value| value["kind"] == kind);
        of_kind.map(|value| (text(&value["metadata"]["namespace"]), text(&value["metadata"]["name"]))).collect()
    }

    /// The value of a ConfigMap's `value`, if there is such a ConfigMap.
    #[must_use]
    pub fn ledger(&self, name: &str) -> Option<u64> {
        let maps = self.objects.values().filter(|value| value["kind"] == "ConfigMap");
        let map = maps.into_iter().find(|value| value["metadata"]["name"] == name)?;
        map["data"]["value"].as_str()?.parse().ok()
    }

    fn unmatched(&self, set: &Set) -> Option<String> {
        let ready = self.pods.values().filter(|pod| pod.owner == set.uid && pod.available).count() as i64;
        (ready != set.wanted).then(|| format!("replica set {} has {ready} pods of {}", set.name, set.wanted))
    }
}

fn unfinished(deployment: &Deployment) -> Option<String> {
    let (spec, status) = (&deployment.spec, deployment.status.clone().unwrap_or_default());
    let wanted = spec.replicas.unwrap_or(1);
    let name = name(deployment);
    let seen = status.observed_generation == deployment.metadata.generation;
    let updated = spec.paused == Some(true) || status.updated_replicas.unwrap_or(0) == wanted;
    let all = [status.replicas, status.available_replicas, status.ready_replicas];
    let done = seen && updated && all.iter().all(|count| count.unwrap_or(0) == wanted);
    (!done).then(|| format!("deployment {name} wants {wanted} and has {status:?}"))
}
