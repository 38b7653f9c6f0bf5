//! Removes pods that nobody else will: those that are left on nodes that are gone, those that are deleted and on no node
//! or on one that is out of service, and the oldest of those that have ended, when there are too many.
//!
//! A pod whose node is gone gets 40 seconds in which the node may come back, since a kubelet that registers its node anew
//! goes on with its pods. Nothing is remembered, so the pod itself says since when it waits: it gets the condition
//! `DisruptionTarget` at once, with the time in `lastProbeTime`, and loses it if the node comes back. Caches of nodes may
//! lag behind; so the server is asked each time.
//!
//! How many pods have ended is looked at every 20 seconds, and only if there are enough pods at all. That look has a key
//! of its own, which the first namespace brings about.

use std::sync::Arc;
use std::time::Duration;

use client::cache::Cache;
use client::resource::{Key, Resource};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::pod_conditions::{self, DISRUPTION_TARGET};
use crate::controller::{Controller, Moment, Watches};
use crate::plan::{Deletion, Effect, Fact, Plan, Target};
use crate::pods::{self, is_terminal, phase};

/// How long a node may be gone before its pods are.
const QUARANTINE: Duration = Duration::from_secs(40);
/// How often ended pods are counted.
const PERIOD: Duration = Duration::from_secs(20);
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";
const REASON: &str = "DeletionByPodGC";

/// The controller.
pub struct PodGc {
    /// How many ended pods may be there (`--terminated-pod-gc-threshold`); any number, if it is 0.
    pub threshold: usize,
}

impl Default for PodGc {
    fn default() -> PodGc {
        PodGc { threshold: 12_500 }
    }
}

/// What is looked at.
pub enum Observed {
    /// A pod.
    Pod {
        /// The pod.
        pod: Arc<Pod>,
        /// The node that it is on, if there is such.
        node: Option<Arc<Node>>,
    },
    /// All pods that have ended.
    Ended(Vec<Arc<Pod>>),
}

impl Controller for PodGc {
    const NAME: &'static str = "pod-garbage-collector-controller";
    type Observed = Observed;

    fn watches(&self) -> Watches {
        Watches::on::<Pod>()
            .mapped::<Node>(|cache, pair| {
                let concern = |node: &Arc<Node>| is_out_of_service(node);
                if pair.old.as_ref().map(concern) == pair.new.as_ref().map(concern) {
                    return Vec::new();
                }
                let names = pair.both().filter_map(|node| node.metadata.name.as_deref()).next();
                names.iter().flat_map(|name| cache.pods_on(name)).map(|pod| Key::to(&*pod)).collect()
            })
            .mapped::<Namespace>(|_, pair| if pair.old.is_none() { vec![all_pods()] } else { Vec::new() })
    }

    fn observe(&self, cache: &Cache, key: &Key) -> Option<Observed> {
        if *key == all_pods() {
            let ended = |pods: Vec<Arc<Pod>>| pods.into_iter().filter(|pod| is_terminal(pod)).collect();
            let enough = self.threshold > 0 && cache.count(&key.resource) > self.threshold;
            return Some(Observed::Ended(if enough { ended(cache.list(None)) } else { Vec::new() }));
        }
        let pod = cache.get::<Pod>(&key.namespace, &key.name)?;
        let node = pods::node(&pod).and_then(|name| cache.get("", name));
        Some(Observed::Pod { pod, node })
    }

    fn reconcile(&self, observed: &Observed, moment: &Moment) -> Plan {
        let mut plan = Plan::new();
        match observed {
            Observed::Ended(pods) => {
                let mut excess: Vec<&Pod> = excess(pods, self.threshold).collect();
                // Who cannot be deleted is no obstacle to those behind.
                let failed = |pod: &&Pod| moment.failure.as_ref().is_some_and(|it| it.target == Target::of(*pod));
                let begin = excess.iter().position(failed).map_or(0, |at| at + 1);
                excess.rotate_left(begin);
                for pod in excess.into_iter().take(plan.room()) {
                    delete(&mut plan, pod);
                }
                if self.threshold > 0 {
                    plan.look_again(PERIOD);
                }
            }
            Observed::Pod { pod, node: Some(node) } => {
                if pod.metadata.deletion_timestamp.is_some() && is_out_of_service(node) {
                    fail_and_delete(&mut plan, pod, None, moment.now);
                } else if marked(pod).is_some() && !is_terminal(pod) {
                    let mut unmarked = Pod::clone(pod);
                    pod_conditions::remove(&mut unmarked, DISRUPTION_TARGET);
                    plan.update_status(&**pod, &unmarked);
                }
            }
            Observed::Pod { pod, node: None } => match pods::node(pod) {
                Some(node) => orphan(&mut plan, pod, node, moment.now),
                None if pod.metadata.deletion_timestamp.is_some() => {
                    fail_and_delete(&mut plan, pod, None, moment.now);
                }
                None => {}
            },
        }
        plan
    }
}

/// The key of all pods together.
fn all_pods() -> Key {
    Key::of::<Pod>("", "")
}

/// Whether somebody said that what is on the node does not run any longer, and the node does not say otherwise.
fn is_out_of_service(node: &Node) -> bool {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    taints.iter().any(|taint| taint.key == OUT_OF_SERVICE)
        && !conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The condition that says that the pod waits for its node to come back.
fn marked(pod: &Pod) -> Option<&PodCondition> {
    pods::condition(pod, DISRUPTION_TARGET)
        .filter(|condition| condition.status == "True" && condition.reason.as_deref() == Some(REASON))
}

/// The ended pods that are too many: evicted ones first, since those that controllers made tell more, then the oldest.
fn excess(pods: &[Arc<Pod>], threshold: usize) -> impl Iterator<Item = &Pod> {
    let mut pods: Vec<&Pod> = pods.iter().map(|pod| &**pod).collect();
    let evicted = |pod: &Pod| {
        let reason = pod.status.as_ref().and_then(|status| status.reason.as_deref());
        phase(pod) == "Failed" && reason == Some("Evicted")
    };
    pods.sort_by_cached_key(|pod| {
        let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (!evicted(pod), created, pod.metadata.name.clone(), pod.metadata.namespace.clone())
    });
    let excess = pods.len().saturating_sub(threshold);
    pods.into_iter().take(excess).filter(|pod| !is_deleted_by_force(pod))
}

/// Whether only finalizers hold the pod.
fn is_deleted_by_force(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some() && pod.metadata.deletion_grace_period_seconds == Some(0)
}

/// What becomes of a pod whose node is gone, as far as is known.
fn orphan(plan: &mut Plan, pod: &Pod, node: &str, now: Timestamp) {
    let condition = pod_conditions::disrupted(REASON, "PodGC: node no longer exists");
    let is_gone = |plan: &mut Plan| {
        let (resource, name) = (Resource::of::<Node>(), node.to_owned());
        let target = Target { resource, namespace: String::new(), name, uid: String::new() };
        plan.act(target, Effect::Confirm(Fact::Gone));
    };
    if is_terminal(pod) {
        if !is_deleted_by_force(pod) {
            is_gone(plan);
            delete(plan, pod);
        }
        return;
    }
    let Some(since) = marked(pod).and_then(|condition| condition.last_probe_time.as_ref()) else {
        is_gone(plan);
        let mut waiting = pod.clone();
        pod_conditions::set(&mut waiting, PodCondition { last_probe_time: Some(Time(now)), ..condition }, now);
        plan.update_status(pod, &waiting);
        return;
    };
    let waited = Duration::try_from(now.duration_since(since.0)).unwrap_or_default();
    if waited < QUARANTINE {
        plan.look_again(QUARANTINE.saturating_sub(waited));
        return;
    }
    is_gone(plan);
    fail_and_delete(plan, pod, Some(condition), now);
}

/// Makes the pod one that has failed, since there is no kubelet that would, and removes it.
fn fail_and_delete(plan: &mut Plan, pod: &Pod, condition: Option<PodCondition>, now: Timestamp) {
    if !is_terminal(pod) {
        let mut failed = pod.clone();
        let status = failed.status.get_or_insert_default();
        status.phase = Some("Failed".to_owned());
        status.observed_generation = pod.metadata.generation;
        if let Some(condition) = condition {
            pod_conditions::set(&mut failed, condition, now);
        }
        plan.update_status(pod, &failed);
    }
    if !is_deleted_by_force(pod) {
        delete(plan, pod);
    }
}

fn delete(plan: &mut Plan, pod: &Pod) {
    plan.act(Target::of(pod), Effect::Delete(Deletion { grace_seconds: Some(0), ..Deletion::default() }));
}

#[cfg(test)]
mod tests;
