//! Watches over the nodes: says of those that have fallen silent that nothing is known of them, keeps pods away from nodes
//! that are not fit for them by taints, and drives out pods from nodes that are not ready.
//!
//! A node gives signs of life by renewing its lease in the namespace `kube-node-lease` and by its status. Upstream remembers
//! when it saw the last. Here nothing is remembered, so that a restart changes nothing: the times that count are that of the
//! lease, as the node's clock has it, that of the last heartbeat in the status, and that at which the server wrote the lease,
//! if it keeps `managedFields`. If it does not, a node whose clock is slower than ours by the grace period counts as silent.
//! Whoever starts the controller says since when it looks: silence before that is not held against a node, since the server
//! may have been away.
//!
//! A lease that is renewed is no reason to look at anything. Rather a node is looked at when its time would be over, and
//! again when the time would be over that it has by then: about every 40 seconds. What all nodes of a zone have to do with
//! is decided under a key of its own ([`zones`]), at which is looked only when a node becomes ready or ceases to be.
//!
//! That a node is registered is told when it is ready for the first time, and not again when a process begins.

mod health;
mod pods;
mod settings;
mod taints;
mod zones;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use client::cache::Cache;
use client::events::EventType;
use client::resource::{Key, Resource};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};

use crate::controller::{Controller, Moment, Watches};
use crate::plan::{Effect, Plan, Says, Target};
use health::{alive_until, readiness, silent};
pub use settings::Settings;
use zones::Zone;

/// The namespace of the leases of nodes.
const LEASES: &str = "kube-node-lease";

/// The controller.
pub struct NodeLifecycle {
    /// How patient it is.
    pub settings: Settings,
    /// Since when it looks.
    pub since: Timestamp,
}

/// What is looked at.
pub struct Observed(Subject);

enum Subject {
    /// A node, its lease, and, if nothing is known of the node, the pods that are on it.
    Node { node: Arc<Node>, lease: Option<Arc<Lease>>, pods: Vec<Arc<Pod>> },
    /// A node that is gone, by its name.
    Gone(Arc<str>),
    /// All zones.
    Zones(BTreeMap<String, Zone>),
}

impl Controller for NodeLifecycle {
    const NAME: &'static str = "node-lifecycle-controller";
    const COMPONENT: &'static str = "node-controller";
    const WORKERS: usize = 8;
    type Observed = Observed;

    fn watches(&self) -> Watches {
        Watches::on::<Node>()
            .mapped::<Node>(|_, pair| {
                let is_same = pair.old.as_ref().map(zones::concern) == pair.new.as_ref().map(zones::concern);
                if is_same { Vec::new() } else { vec![all_nodes()] }
            })
            .reading::<Lease>()
            .reading::<Pod>()
    }

    fn observe(&self, cache: &Cache, key: &Key) -> Option<Observed> {
        if *key == all_nodes() {
            return Some(Observed(Subject::Zones(zones::zones(cache.list(None)))));
        }
        let Some(node) = cache.get::<Node>("", &key.name) else {
            return Some(Observed(Subject::Gone(Arc::clone(&key.name))));
        };
        let lease = cache.get(LEASES, &key.name);
        let pods = if readiness(&node) == Some("Unknown") { cache.pods_on(&key.name) } else { Vec::new() };
        Some(Observed(Subject::Node { node, lease, pods }))
    }

    fn reconcile(&self, observed: &Observed, moment: &Moment) -> Plan {
        match &observed.0 {
            Subject::Gone(name) => removed(name),
            Subject::Zones(zones) => zones::plan(zones, &self.settings, moment.now),
            Subject::Node { node, lease, pods } => self.watch_over(node, lease.as_deref(), pods, moment.now),
        }
    }
}

impl NodeLifecycle {
    fn watch_over(&self, node: &Node, lease: Option<&Lease>, pods: &[Arc<Pod>], now: Timestamp) -> Plan {
        let mut plan = Plan::new();
        if readiness(node) != Some("Unknown") {
            let until = alive_until(node, lease, &self.settings, self.since);
            match Duration::try_from(until.duration_since(now)) {
                // At that time it still is alive, and right after it no longer.
                Ok(left) => plan.look_again(left.saturating_add(Duration::from_millis(1))),
                Err(_) => fall_silent(&mut plan, node, now),
            }
        }
        if plan.is_empty() {
            let new = taints::reconciled(node, now);
            let registered = taints::is_new(node) && !taints::is_new(&new);
            if new != *node && plan.update(node, &new).is_some() && registered {
                let name = node.metadata.name.as_deref().unwrap_or_default();
                let message = format!("Node {name} event: Registered Node {name} in Controller");
                plan.event(node, EventType::Normal, "RegisteredNode", message);
            }
        }
        pods::mark_not_ready(&mut plan, node, pods, now);
        plan
    }
}

/// The key of all nodes together.
fn all_nodes() -> Key {
    Key::of::<Node>("", "")
}

/// Says that a node is no longer watched over.
fn removed(name: &str) -> Plan {
    let mut plan = Plan::new();
    let resource = Resource::of::<Node>();
    let target = Target { resource, namespace: String::new(), name: name.to_owned(), uid: String::new() };
    let message = format!("Node {name} event: Removing Node {name} from Controller");
    plan.act(target, Effect::Event(Says { event_type: EventType::Normal, reason: "RemovingNode", message }));
    plan
}

/// Says that nothing is known of a node.
fn fall_silent(plan: &mut Plan, node: &Node, now: Timestamp) {
    let Some(silent) = silent(node, now) else { return };
    plan.update_status(node, &silent);
    if readiness(node) == Some("True") {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let message = format!("Node {name} status is now: NodeNotReady");
        plan.event(node, EventType::Normal, "NodeNotReady", message);
    }
}

#[cfg(test)]
mod tests;
