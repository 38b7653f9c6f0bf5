//! Deletes pods from nodes that have taints of effect NoExecute which the pods do not tolerate, or no longer.
//!
//! How long a pod tolerates a taint counts from the time that the taint itself says that it was added, or from when the
//! pod came to the node if that was later. So it goes on counting when the process ends and another begins, and a taint
//! that is gone before then has no consequence, without anything to cancel. A taint that does not say when it was added
//! is given the time as soon as it matters to a pod.
//!
//! Since nothing is remembered, nobody is told of a deletion that was due and no longer is.

mod tolerations;

use std::sync::Arc;

use client::cache::Cache;
use client::events::EventType;
use client::resource::Key;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::pod_conditions;
use crate::controller::{Controller, Moment, Watches};
use crate::plan::Plan;
use crate::pods;
use tolerations::{Stay, stay, time_until};

/// The controller.
pub struct TaintEviction;

/// A pod and the node that it is on, which has taints of effect NoExecute.
pub struct Observed {
    pod: Arc<Pod>,
    node: Arc<Node>,
}

impl Controller for TaintEviction {
    const NAME: &'static str = "taint-eviction-controller";
    const WORKERS: usize = 8;
    type Observed = Observed;

    fn watches(&self) -> Watches {
        Watches::on::<Pod>().mapped::<Node>(|cache, pair| {
            let taints = |node: &Option<Arc<Node>>| -> Vec<Taint> {
                node.iter().flat_map(|node| no_execute(node)).cloned().collect()
            };
            if taints(&pair.old) == taints(&pair.new) {
                return Vec::new();
            }
            let name = pair.new.as_ref().and_then(|node| node.metadata.name.as_deref()).unwrap_or_default();
            cache.pods_on(name).iter().map(|pod| Key::to(&**pod)).collect()
        })
    }

    fn observe(&self, cache: &Cache, key: &Key) -> Option<Observed> {
        let pod = cache.get::<Pod>(&key.namespace, &key.name)?;
        let node = cache.get::<Node>("", pods::node(&pod)?)?;
        no_execute(&node).next()?;
        Some(Observed { pod, node })
    }

    fn reconcile(&self, observed: &Observed, moment: &Moment) -> Plan {
        let mut plan = Plan::new();
        let (pod, node) = (&*observed.pod, &*observed.node);
        if pod.metadata.deletion_timestamp.is_some() {
            return plan;
        }
        let taints: Vec<&Taint> = no_execute(node).collect();
        match stay(pod, &taints) {
            Stay::Forever => {}
            Stay::Undated => {
                plan.update(node, &dated(node, moment.now));
            }
            Stay::Until(end) => match time_until(end, moment.now) {
                Some(left) => plan.look_again(left),
                None => evict(&mut plan, pod, moment.now),
            },
            Stay::Over => evict(&mut plan, pod, moment.now),
        }
        plan
    }
}

/// The taints because of which pods have to go.
fn no_execute(node: &Node) -> impl Iterator<Item = &Taint> {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    taints.iter().filter(|taint| taint.effect == "NoExecute")
}

/// The node, with the time in the taints that lack it.
fn dated(node: &Node, now: Timestamp) -> Node {
    let mut node = node.clone();
    let taints = node.spec.as_mut().and_then(|spec| spec.taints.as_mut());
    for taint in taints.into_iter().flatten().filter(|taint| taint.effect == "NoExecute") {
        taint.time_added.get_or_insert(Time(now));
    }
    node
}

fn evict(plan: &mut Plan, pod: &Pod, now: Timestamp) {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let name = format!("{}/{}", text(&pod.metadata.namespace), text(&pod.metadata.name));
    let mut marked = pod.clone();
    let message = "Taint manager: deleting due to NoExecute taint";
    pod_conditions::set(&mut marked, pod_conditions::disrupted("DeletionByTaintManager", message), now);
    plan.update_status(pod, &marked);
    // Not before: the pod may have changed, and then all of this is decided again.
    plan.event(pod, EventType::Normal, "TaintManagerEviction", format!("Marking for deletion Pod {name}"));
    plan.delete(pod);
}

#[cfg(test)]
mod tests;
