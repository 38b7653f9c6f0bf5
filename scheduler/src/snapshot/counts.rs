//! Pods counted by node, and nodes numbered by the values of their labels, both kept by event.
//!
//! What a pod wants to know of others (how many match a selector, on which nodes) is counted once, when such a pod is
//! first seen, and then kept: a pod that comes or goes costs one addition for each query that its group is in. A group is
//! compared with a query once. Queries are forgotten, all at once, when there are too many; then, as before they are
//! watched, counting costs time proportional to the number of pods.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::affinity::{AffinityTerm, Namespaces, PodAffinities, Query};
use super::node::NodeInfo;
use super::resources::NodeIndex;
use super::{PlacedPod, PodInfo};

/// How many queries are kept counted. Each takes four bytes a node.
const MOST_QUERIES: usize = 1024;

/// Nodes by the value of one of their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Domains {
    numbers: HashMap<String, u32>,
    of_node: Vec<Option<u32>>,
}

impl Domains {
    fn of(nodes: &[NodeInfo], key: &str) -> Self {
        let mut domains = Self::default();
        for (i, node) in nodes.iter().enumerate() {
            domains.set(NodeIndex::new(i), node, key);
        }
        domains
    }

    fn set(&mut self, index: NodeIndex, node: &NodeInfo, key: &str) {
        if self.of_node.len() <= index.get() {
            self.of_node.resize(index.get() + 1, None);
        }
        let value = node.labels.get(key).filter(|_| node.exists);
        self.of_node[index.get()] = value.map(|value| {
            if let Some(number) = self.numbers.get(value) {
                return *number;
            }
            let number = u32::try_from(self.numbers.len()).expect("there are fewer values than 2^32");
            self.numbers.insert(value.clone(), number);
            number
        });
    }

    /// The number of the node's domain, if it is in one.
    #[must_use]
    pub fn get(&self, node: NodeIndex) -> Option<usize> {
        self.of_node.get(node.get()).copied().flatten().map(|number| number as usize)
    }

    /// A number that is greater than every domain's.
    #[must_use]
    pub fn bound(&self) -> usize {
        self.numbers.len()
    }
}

/// A query and what it counts.
#[derive(Clone, Debug)]
struct Counted {
    query: Query,
    by_node: Vec<u32>,
}

/// How pods that are there want others near or far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Wish {
    /// They must be near.
    Required,
    /// They must not be near.
    Forbidden,
    /// They had better be near, or far, if this is negative.
    Preferred(i64),
}

/// All that is counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    domains: HashMap<String, Domains>,
    queries: Vec<Counted>,
    positions: HashMap<Query, usize>,
    /// The queries that each group of pods is in.
    groups: HashMap<Arc<PodInfo>, Vec<usize>>,
    /// On which nodes how many pods have which wish.
    wishes: HashMap<(Wish, AffinityTerm), BTreeMap<NodeIndex, u32>>,
}

impl Counts {
    /// Keeps counted from now on what the pod's constraints are about.
    pub(super) fn watch(&mut self, pod: &PodInfo, nodes: &[NodeInfo], namespaces: &Namespaces) {
        let keys = pod.spread.iter().map(|constraint| &constraint.topology_key).chain(pod.affinities.keys());
        for key in keys {
            if !self.domains.contains_key(key) {
                self.domains.insert(key.clone(), Domains::of(nodes, key));
            }
        }
        for query in pod.spread.iter().map(|constraint| constraint.query.clone()).chain(pod.affinities.queries()) {
            if self.positions.contains_key(&query) {
                continue;
            }
            if self.queries.len() == MOST_QUERIES {
                self.queries.clear();
                self.positions.clear();
                self.groups.values_mut().for_each(Vec::clear);
            }
            for (group, positions) in &mut self.groups {
                if query.contains(group, namespaces) {
                    positions.push(self.queries.len());
                }
            }
            self.positions.insert(query.clone(), self.queries.len());
            let by_node = count(&query, nodes, namespaces);
            self.queries.push(Counted { query, by_node });
        }
    }

    pub(super) fn domains<'a>(&'a self, key: &str, nodes: &[NodeInfo]) -> Cow<'a, Domains> {
        self.domains.get(key).map_or_else(|| Cow::Owned(Domains::of(nodes, key)), Cow::Borrowed)
    }

    pub(super) fn count<'a>(&'a self, query: &Query, nodes: &[NodeInfo], namespaces: &Namespaces) -> Cow<'a, [u32]> {
        let kept = self.positions.get(query).map(|position| self.queries[*position].by_node.as_slice());
        kept.map_or_else(|| Cow::Owned(count(query, nodes, namespaces)), Cow::Borrowed)
    }

    pub(super) fn wishes(&self) -> impl Iterator<Item = (Wish, &AffinityTerm, &BTreeMap<NodeIndex, u32>)> {
        self.wishes.iter().map(|((wish, term), nodes)| (*wish, term, nodes))
    }

    /// A node appeared, changed or vanished.
    pub(super) fn set_node(&mut self, index: NodeIndex, nodes: &[NodeInfo]) {
        for (key, domains) in &mut self.domains {
            domains.set(index, &nodes[index.get()], key);
            // Values that no node has any more are forgotten from time to time.
            if domains.numbers.len() > 2 * nodes.len() + 16 {
                *domains = Domains::of(nodes, key);
            }
        }
        for counted in &mut self.queries {
            counted.by_node.resize(nodes.len(), 0);
        }
    }

    /// A pod came to its node, or left it.
    pub(super) fn set_pod(&mut self, pod: &PlacedPod, there: bool, namespaces: &Namespaces) {
        let change = |count: &mut u32| *count = if there { *count + 1 } else { count.saturating_sub(1) };
        if !self.groups.contains_key(&pod.info) {
            let positions = self.queries.iter().enumerate();
            let positions = positions.filter(|(_, counted)| counted.query.contains(&pod.info, namespaces));
            let positions = positions.map(|(position, _)| position).collect();
            self.groups.insert(Arc::clone(&pod.info), positions);
        }
        for position in &self.groups[&pod.info] {
            let counted = &mut self.queries[*position];
            if !(counted.query.living && pod.terminating) {
                if counted.by_node.len() <= pod.node.get() {
                    counted.by_node.resize(pod.node.get() + 1, 0);
                }
                change(&mut counted.by_node[pod.node.get()]);
            }
        }
        for wish in pod.info.affinities.wishes() {
            let nodes = self.wishes.entry(wish.clone()).or_default();
            let count = nodes.entry(pod.node).or_default();
            change(count);
            if *count == 0 {
                nodes.remove(&pod.node);
            }
            if nodes.is_empty() {
                self.wishes.remove(&wish);
            }
        }
    }

    /// No pod is of the group any more.
    pub(super) fn forget(&mut self, group: &PodInfo) {
        self.groups.remove(group);
    }

    /// The labels of namespaces changed.
    pub(super) fn recount(&mut self, nodes: &[NodeInfo], namespaces: &Namespaces) {
        for (position, counted) in self.queries.iter_mut().enumerate() {
            if counted.query.sets.iter().any(super::affinity::PodSet::asks_namespaces) {
                counted.by_node = count(&counted.query, nodes, namespaces);
                for (group, positions) in &mut self.groups {
                    positions.retain(|known| *known != position);
                    if counted.query.contains(group, namespaces) {
                        positions.push(position);
                    }
                }
            }
        }
    }
}

fn count(query: &Query, nodes: &[NodeInfo], namespaces: &Namespaces) -> Vec<u32> {
    let on_node = |node: &NodeInfo| node.pods.iter().filter(|pod| query.counts(pod, namespaces)).map(|_| 1).sum();
    nodes.iter().map(on_node).collect()
}

impl PodAffinities {
    fn keys(&self) -> impl Iterator<Item = &String> {
        let all = self.required.iter().chain(&self.forbidden).chain(self.preferred.iter().map(|(_, term)| term));
        all.map(|term| &term.topology_key)
    }

    fn queries(&self) -> impl Iterator<Item = Query> {
        let single = self.forbidden.iter().chain(self.preferred.iter().map(|(_, term)| term));
        let required = Some(self.required_query()).filter(|query| !query.sets.is_empty());
        single.map(AffinityTerm::query).chain(required)
    }

    fn wishes(&self) -> impl Iterator<Item = (Wish, AffinityTerm)> {
        let required = self.required.iter().map(|term| (Wish::Required, term.clone()));
        let forbidden = self.forbidden.iter().map(|term| (Wish::Forbidden, term.clone()));
        let preferred = self.preferred.iter().map(|(weight, term)| (Wish::Preferred(*weight), term.clone()));
        required.chain(forbidden).chain(preferred)
    }
}
