//! What has to hold at every moment, judged at each change that is committed; and what has to hold in the end.

use std::collections::{BTreeMap, BTreeSet};

use api::int_or_string::{Round, scaled_value};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

/// The label of Deployments of which nobody takes pods away but their rollouts.
pub const CALM: &str = "sim.gantry.io/calm";

/// Every object as it was committed last, and what was found to be wrong.
#[derive(Default)]
pub struct Invariants {
    objects: BTreeMap<String, Value>,
    /// Calm Deployments that have had all of their pods available.
    complete: BTreeSet<String>,
    /// The most pods that a Deployment may want, by the generation of its spec.
    allowed: BTreeMap<String, BTreeMap<i64, i64>>,
    violations: Vec<String>,
}

fn typed<K: serde::de::DeserializeOwned>(value: &Value) -> Option<K> {
    serde_json::from_value(value.clone()).ok()
}

fn uid(meta: &ObjectMeta) -> &str {
    meta.uid.as_deref().unwrap_or_default()
}

fn controller(meta: &ObjectMeta) -> Option<&str> {
    let owners = meta.owner_references.iter().flatten();
    owners.into_iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.as_str())
}

fn is_available(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ready = conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    ready && pod.metadata.deletion_timestamp.is_none()
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
        if let Some(new) = &new {
            self.objects.insert(key.to_owned(), new.clone());
        }
        let kind = |value: &Option<Value>| value.as_ref().and_then(|value| value["kind"].as_str().map(str::to_owned));
        match kind(&new).or_else(|| kind(&old)).as_deref() {
            Some("Deployment") => self.deployment(key),
            Some("ReplicaSet") => self.replica_set(old.as_ref(), new.as_ref()),
            Some("Pod") => self.pod(key, old.as_ref(), new.as_ref()),
            _ => {}
        }
    }

    fn all<K: serde::de::DeserializeOwned>(&self, kind: &str) -> Vec<K> {
        let of_kind = self.objects.values().filter(|value| value["kind"] == kind);
        of_kind.filter_map(typed).collect()
    }

    fn deployment(&mut self, key: &str) {
        let Some(deployment) = self.objects.get(key).and_then(typed::<Deployment>) else { return };
        let (replicas, surge, _) = budget(&deployment);
        let allowed = self.allowed.entry(uid(&deployment.metadata).to_owned()).or_default();
        allowed.insert(deployment.metadata.generation.unwrap_or(0), replicas + surge);
        let observed = deployment.status.as_ref().and_then(|status| status.observed_generation).unwrap_or(0);
        // The controller has seen that generation, and will not go by an earlier one again.
        allowed.retain(|generation, _| *generation >= observed);
    }

    /// ReplicaSets together never want more than the rollout may have.
    fn replica_set(&mut self, old: Option<&Value>, new: Option<&Value>) {
        let wanted = |value: Option<&Value>| value.and_then(|value| value["spec"]["replicas"].as_i64()).unwrap_or(0);
        let Some(set) = new.and_then(typed::<ReplicaSet>) else { return };
        if wanted(new) <= wanted(old) {
            return;
        }
        let Some(owner) = controller(&set.metadata) else { return };
        let sets = self.all::<ReplicaSet>("ReplicaSet");
        let siblings = sets.iter().filter(|other| controller(&other.metadata) == Some(owner));
        let sum: i64 = siblings.map(|set| i64::from(set.spec.replicas.unwrap_or(1))).sum();
        let most = self.allowed.get(owner).and_then(|allowed| allowed.values().max().copied());
        if most.is_some_and(|most| sum > most) {
            let name = set.metadata.name.as_deref().unwrap_or_default();
            self.violations.push(format!("{name} makes {sum} pods wanted, and {most:?} are allowed"));
        }
    }

    /// A pod stays on its node; and calm Deployments keep the pods that they must have.
    fn pod(&mut self, key: &str, old: Option<&Value>, new: Option<&Value>) {
        let node =
            |value: Option<&Value>| value.and_then(|value| value["spec"]["nodeName"].as_str().map(str::to_owned));
        let same = old.zip(new).is_some_and(|(old, new)| old["metadata"]["uid"] == new["metadata"]["uid"]);
        if same && node(old).is_some() && node(old) != node(new) {
            self.violations.push(format!("{key} moved from {:?} to {:?}", node(old), node(new)));
        }
        let Some(pod) = new.or(old).and_then(typed::<Pod>) else { return };
        let Some(set) = controller(&pod.metadata) else { return };
        let sets = self.all::<ReplicaSet>("ReplicaSet");
        let set = sets.iter().find(|candidate| uid(&candidate.metadata) == set);
        let Some(owner) = set.and_then(|set| controller(&set.metadata)) else { return };
        let deployments = self.all::<Deployment>("Deployment");
        let Some(deployment) = deployments.iter().find(|candidate| uid(&candidate.metadata) == owner) else { return };
        let calm = deployment.metadata.labels.iter().flatten().any(|(key, _)| key == CALM);
        if !calm || deployment.metadata.deletion_timestamp.is_some() || self.is_ending(&deployment.metadata) {
            return;
        }
        let (replicas, _, unavailable) = budget(deployment);
        let ours: BTreeSet<&str> = sets
            .iter()
            .filter(|candidate| controller(&candidate.metadata) == Some(owner))
            .map(|set| uid(&set.metadata))
            .collect();
        let pods = self.all::<Pod>("Pod");
        let of_ours = |pod: &&Pod| controller(&pod.metadata).is_some_and(|owner| ours.contains(owner));
        let available = pods.iter().filter(of_ours).filter(|pod| is_available(pod)).count() as i64;
        if available >= replicas {
            self.complete.insert(owner.to_owned());
        }
        if self.complete.contains(owner) && available < replicas - unavailable {
            let name = deployment.metadata.name.as_deref().unwrap_or_default();
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
    pub fn violations(&self) -> &[String] {
        &self.violations
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
        wrong.extend(self.all::<Deployment>("Deployment").iter().filter_map(unfinished));
        wrong.extend(self.all::<ReplicaSet>("ReplicaSet").iter().filter_map(|set| self.unmatched(set)));
        wrong
    }

    /// The namespaces and names of all objects of a kind.
    #[must_use]
    pub fn names(&self, kind: &str) -> Vec<(String, String)> {
        let of_kind = self.objects.values().filter(|value| value["kind"] == kind);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        of_kind.map(|value| (text(&value["metadata"]["namespace"]), text(&value["metadata"]["name"]))).collect()
    }

    /// The value of a ConfigMap's `value`, if there is such a ConfigMap.
    #[must_use]
    pub fn ledger(&self, name: &str) -> Option<u64> {
        let maps = self.objects.values().filter(|value| value["kind"] == "ConfigMap");
        let map = maps.into_iter().find(|value| value["metadata"]["name"] == name)?;
        map["data"]["value"].as_str()?.parse().ok()
    }

    fn unmatched(&self, set: &ReplicaSet) -> Option<String> {
        let wanted = i64::from(set.spec.replicas.unwrap_or(1));
        let pods = self.all::<Pod>("Pod");
        let ours = pods.iter().filter(|pod| controller(&pod.metadata) == Some(uid(&set.metadata)));
        let ready = ours.filter(|pod| is_available(pod)).count() as i64;
        let name = set.metadata.name.as_deref().unwrap_or_default();
        (ready != wanted).then(|| format!("replica set {name} has {ready} pods of {wanted}"))
    }
}

fn unfinished(deployment: &Deployment) -> Option<String> {
    let (spec, status) = (&deployment.spec, deployment.status.clone().unwrap_or_default());
    let wanted = spec.replicas.unwrap_or(1);
    let name = deployment.metadata.name.as_deref().unwrap_or_default();
    let seen = status.observed_generation == deployment.metadata.generation;
    let updated = spec.paused == Some(true) || status.updated_replicas.unwrap_or(0) == wanted;
    let all = [status.replicas, status.available_replicas, status.ready_replicas];
    let done = seen && updated && all.iter().all(|count| count.unwrap_or(0) == wanted);
    (!done).then(|| format!("deployment {name} wants {wanted} and has {status:?}"))
}
