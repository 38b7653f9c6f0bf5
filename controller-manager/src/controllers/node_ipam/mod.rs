//! Gives every Node ranges of addresses for its pods: one of each range that the cluster has.
//!
//! No two nodes get a range with an address in common, and none gets one that is for services. All nodes are decided on
//! together, under one key: the next decision is made when the cache shows what came of the last, and so two nodes never
//! get the same. A node that already has ranges keeps them, whatever they are, and they are taken as long as it exists. The
//! first that is free is given first, to the oldest node.
//!
//! Besides, each node has its own key, for the Event that says that there is no range left for it.

mod options;
mod ranges;

use std::sync::Arc;

use api::names::{Cidr, parse_cidr_sloppy};
use client::cache::Cache;
use client::events::EventType;
use client::resource::Key;
use k8s_openapi::api::core::v1::Node;
use serde_json::json;

use crate::controller::{Controller, Moment, Watches};
use crate::plan::{Effect, Plan, Report, Target, reference};
pub use options::{Options, OptionsError};
use ranges::{Free, Pool};

/// There is no range left.
const NOT_AVAILABLE: &str = "CIDRNotAvailable";
/// The server did not take what a node was given.
const NOT_ASSIGNED: &str = "CIDRAssignmentFailed";

/// The controller.
#[derive(Clone, Debug)]
pub struct NodeIpam {
    pools: Vec<Pool>,
    services: Vec<Cidr>,
    /// As many nodes surely get a range, if none has more than one of a kind.
    enough_for: usize,
}

impl NodeIpam {
    /// The controller that gives what the options say.
    ///
    /// # Errors
    ///
    /// If the options make no sense.
    pub fn new(options: &Options) -> Result<NodeIpam, OptionsError> {
        let (pools, services) = options.read()?;
        let left = |pool: &Pool| {
            let taken = services.iter().filter_map(|service| pool.overlap(service));
            pool.size().saturating_sub(taken.map(|(first, last)| last - first + 1).sum())
        };
        let enough_for = pools.iter().map(left).min().unwrap_or(0);
        let enough_for = usize::try_from(enough_for).unwrap_or(usize::MAX);
        Ok(NodeIpam { pools, services, enough_for })
    }

    /// The ranges that are left, of each of the cluster's, without those that these nodes have.
    fn free(&self, nodes: &[Arc<Node>]) -> Vec<Free> {
        let mut taken: Vec<Cidr> = nodes.iter().flat_map(|node| taken(node)).filter_map(parse_cidr_sloppy).collect();
        taken.extend(&self.services);
        self.pools.iter().map(|pool| pool.free(&taken)).collect()
    }
}

/// What is looked at.
pub enum Observed {
    /// All nodes, of which some wait for ranges.
    All(Vec<Arc<Node>>),
    /// A node that waits, and all nodes, which may have taken everything.
    One(Arc<Node>, Vec<Arc<Node>>),
}

impl Controller for NodeIpam {
    const NAME: &'static str = "node-ipam-controller";
    const COMPONENT: &'static str = "cidrAllocator";
    type Observed = Observed;

    fn watches(&self) -> Watches {
        Watches::on::<Node>().mapped::<Node>(|_, pair| {
            let ranges = |node: &Arc<Node>| (taken(node).map(str::to_owned).collect::<Vec<_>>(), waits(node));
            let is_same = pair.old.as_ref().map(ranges) == pair.new.as_ref().map(ranges);
            if is_same { Vec::new() } else { vec![all_nodes()] }
        })
    }

    fn observe(&self, cache: &Cache, key: &Key) -> Option<Observed> {
        if *key == all_nodes() {
            let nodes = cache.list::<Node>(None);
            return nodes.iter().any(|node| waits(node)).then_some(Observed::All(nodes));
        }
        let node = cache.get::<Node>("", &key.name).filter(|node| waits(node))?;
        (cache.count(&key.resource) > self.enough_for).then(|| Observed::One(node, cache.list(None)))
    }

    fn reconcile(&self, observed: &Observed, _: &Moment) -> Plan {
        let mut plan = Plan::new();
        match observed {
            Observed::All(nodes) => {
                let mut waiting: Vec<&Node> = nodes.iter().map(|node| &**node).filter(|node| waits(node)).collect();
                let age = |node: &Node| node.metadata.creation_timestamp.as_ref().map(|time| time.0);
                waiting.sort_by_key(|node| age(node));
                let mut free = self.free(nodes);
                for node in waiting.into_iter().take(plan.room()) {
                    let Some(ranges) = next_of_each(&mut free) else { break };
                    assign(&mut plan, node, &ranges);
                }
            }
            Observed::One(node, nodes) => {
                if next_of_each(&mut self.free(nodes)).is_none() {
                    plan.event(&**node, EventType::Warning, NOT_AVAILABLE, status_is(node, NOT_AVAILABLE));
                }
            }
        }
        plan
    }
}

/// The key of all nodes together.
fn all_nodes() -> Key {
    Key::of::<Node>("", "")
}

/// The ranges that a node has.
fn taken(node: &Node) -> impl Iterator<Item = &str> {
    let spec = node.spec.iter();
    spec.flat_map(|spec| spec.pod_cidrs.iter().flatten().chain(&spec.pod_cidr).map(String::as_str))
        .filter(|text| !text.is_empty())
}

/// Whether a node should get ranges.
fn waits(node: &Node) -> bool {
    node.metadata.deletion_timestamp.is_none() && taken(node).next().is_none()
}

fn next_of_each(free: &mut [Free]) -> Option<Vec<String>> {
    free.iter_mut().map(Iterator::next).collect()
}

/// A node's ranges can be set once, and never be changed, so that it does not matter what else of it has changed.
fn assign(plan: &mut Plan, node: &Node, ranges: &[String]) {
    let body = json!({"spec": {"podCIDR": ranges.first(), "podCIDRs": ranges}});
    let patch = Effect::Patch { subresource: None, version: String::new(), body };
    let failed = Some((NOT_ASSIGNED, status_is(node, NOT_ASSIGNED)));
    plan.act(Target::of(node), patch).reporting(Report { regarding: reference(node), done: None, failed });
}

fn status_is(node: &Node, reason: &str) -> String {
    format!("Node {} status is now: {reason}", node.metadata.name.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests;
