//! Pods counted by node, and nodes numbered by the values of their labels, both kept by event.
//!
//! What a pod wants to know of others (how many match a selector, on which nodes) is counted once, when such a pod is
//! first seen, and then kept.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use super::affinity::{AffinityTerm, Namespaces, PodAffinities, Query};
use super::groups::Groups;
use super::node::NodeInfo;
use super::queries::Queries;
use super::resources::NodeIndex;
use super::{PlacedPod, PodInfo};

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
    queries: Queries,
    groups: Groups,
    /// On which nodes how many pods have which wish.
    wishes: HashMap<(Wish, AffinityTerm), BTreeMap<NodeIndex, u32>>,
}

impl Counts {
    /// Keeps counted from now on what the pod's constraints are about.
    pub(super) fn watch(&mut self, pod: &PodInfo, nodes: &[NodeInfo], namespaces: &Namespaces) {
        let keys = pod.spread.iter().map(|constraint| &constraint.topology_key).chain(pod.affinities.keys());
        keys.for_each(|key| self.watch_domains(key, nodes));
        for constraint in &pod.spread {
            self.watch_query(&constraint.query, nodes, namespaces);
        }
        for query in pod.affinities.queries() {
            self.watch_query(&query, nodes, namespaces);
        }
    }

    /// Keeps nodes numbered from now on by their values of a label.
    pub(super) fn watch_domains(&mut self, key: &str, nodes: &[NodeInfo]) {
        if !self.domains.contains_key(key) {
            self.domains.insert(key.to_owned(), Domains::of(nodes, key));
        }
    }

    /// Keeps the query counted from now on.
    pub(super) fn watch_query(&mut self, query: &Query, nodes: &[NodeInfo], namespaces: &Namespaces) {
        self.queries.watch(query, &mut self.groups, namespaces, nodes.len());
    }

    pub(super) fn domains<'a>(&'a self, key: &str, nodes: &[NodeInfo]) -> Cow<'a, Domains> {
        self.domains.get(key).map_or_else(|| Cow::Owned(Domains::of(nodes, key)), Cow::Borrowed)
    }

    pub(super) fn count<'a>(&'a self, query: &Query, nodes: &[NodeInfo], namespaces: &Namespaces) -> Cow<'a, [u32]> {
        let anew = || self.groups.count(&self.groups.of(query, namespaces), query.living, nodes.len());
        self.queries.get(query).map_or_else(|| Cow::Owned(anew()), Cow::Borrowed)
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
        self.queries.resize(nodes.len());
    }

    /// A pod came to its node, or left it.
    pub(super) fn set_pod(&mut self, pod: &PlacedPod, there: bool, namespaces: &Namespaces) {
        let number = self.groups.number(&pod.info).unwrap_or_else(|| {
            let queries = self.queries.of(&pod.info, namespaces);
            self.groups.add(&pod.info, queries)
        });
        self.groups.place(number, pod.node, pod.terminating, there);
        if let Some(group) = self.groups.get(number) {
            self.queries.place(&group.queries, pod.node, pod.terminating, there);
        }
        let change = |count: &mut u32| *count = if there { *count + 1 } else { count.saturating_sub(1) };
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
        self.queries.recount(&mut self.groups, namespaces, nodes.len());
    }
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
