//! Pods counted by node and by domain, and what they wish, both kept by event.
//!
//! What a pod wants to know of others (how many match a selector, on which nodes, in which domains) is counted once, when
//! such a pod is first seen, and then kept.

use std::borrow::Cow;

use super::affinity::{AffinityTerm, Namespaces, PodAffinities, Query, SpreadConstraint};
use super::domains::{AllDomains, Domains, Tally};
use super::groups::Groups;
use super::node::NodeInfo;
use super::queries::Queries;
use super::resources::NodeIndex;
use super::scope::Scope;
use super::wishes::{Wish, Wished, Wishes};
use super::{PlacedPod, PodInfo};

/// All that is counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    domains: AllDomains,
    queries: Queries,
    groups: Groups,
    wishes: Wishes,
}

impl Counts {
    /// Keeps counted from now on what the pod's constraints are about.
    pub(super) fn watch(&mut self, pod: &PodInfo, nodes: &[NodeInfo], namespaces: &Namespaces) {
        self.wishes.watch(pod, namespaces);
        for constraint in &pod.spread {
            self.watch_query(&constraint.query, nodes, namespaces);
            let alike = pod.spread.iter().filter(|other| other.required == constraint.required);
            self.watch_spread(pod, constraint, &constraint.query, alike, nodes);
        }
        let everywhere = Scope::default();
        for (query, key) in pod.affinities.queries() {
            self.watch_query(&query, nodes, namespaces);
            self.watch_domains(key, nodes);
            self.queries.tally(&query, key, &everywhere, &self.domains, nodes);
        }
    }

    /// Keeps tallied from now on what the query counts for one of a pod's constraints, beside others that have to be met
    /// with it.
    pub(super) fn watch_spread<'a>(
        &mut self,
        pod: &PodInfo,
        constraint: &SpreadConstraint,
        query: &Query,
        all: impl IntoIterator<Item = &'a SpreadConstraint>,
        nodes: &[NodeInfo],
    ) {
        self.watch_domains(&constraint.topology_key, nodes);
        if constraint.is_tallied() {
            let scope = Scope::of(pod, constraint, all);
            self.queries.tally(query, &constraint.topology_key, &scope, &self.domains, nodes);
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

    pub(super) fn tally<'a>(
        &'a self,
        query: &Query,
        key: &str,
        scope: &Scope,
        nodes: &[NodeInfo],
        namespaces: &Namespaces,
    ) -> Cow<'a, Tally> {
        let anew = || Tally::of(&self.count(query, nodes, namespaces), &self.domains(key, nodes), scope, nodes);
        self.queries.tallied(query, key, scope).map_or_else(|| Cow::Owned(anew()), Cow::Borrowed)
    }

    pub(super) fn wishes(&self) -> impl Iterator<Item = &Wished> {
        self.wishes.all()
    }

    pub(super) fn wishes_about(&self, pod: &PodInfo, namespaces: &Namespaces) -> impl Iterator<Item = &Wished> {
        self.wishes.about(pod, namespaces)
    }

    /// A node is about to appear, to change or to vanish.
    pub(super) fn leave(&mut self, index: NodeIndex, nodes: &[NodeInfo]) {
        self.queries.leave(index, &self.domains, nodes);
    }

    /// It did.
    pub(super) fn enter(&mut self, index: NodeIndex, nodes: &[NodeInfo]) {
        let mut are_worn = false;
        for (key, domains) in &mut self.domains {
            let from = domains.get(index);
            domains.set(index, &nodes[index.get()], key);
            if from != domains.get(index) {
                self.wishes.move_node(key, index, from, domains.get(index));
            }
            are_worn |= domains.is_worn(nodes.len());
        }
        self.queries.enter(index, &self.domains, nodes);
        if are_worn {
            self.renumber(nodes);
        }
    }

    /// Forgets values of labels that no node has any more.
    fn renumber(&mut self, nodes: &[NodeInfo]) {
        for (key, domains) in self.domains.iter_mut().filter(|(_, domains)| domains.is_worn(nodes.len())) {
            *domains = Domains::of(nodes, key);
            self.wishes.renumber(key, domains);
        }
        self.queries.renumber(&self.domains, nodes);
    }

    /// A pod came to its node, or left it.
    pub(super) fn set_pod(&mut self, pod: &PlacedPod, there: bool, nodes: &[NodeInfo], namespaces: &Namespaces) {
        let number = self.groups.number(&pod.info).unwrap_or_else(|| {
            let queries = self.queries.of(&pod.info, namespaces);
            let wishes = self.wishes.join(&pod.info, namespaces);
            self.groups.add(&pod.info, queries, wishes)
        });
        for term in pod.info.affinities.terms() {
            self.watch_domains(&term.topology_key, nodes);
        }
        self.groups.place(number, pod.node, pod.terminating, there);
        if let Some(group) = self.groups.get(number) {
            self.queries.place(&group.queries, pod, there, &self.domains, nodes);
            for position in &group.wishes {
                let domain = self.domains[self.wishes.key(*position)].get(pod.node);
                self.wishes.set_pod(*position, pod.node, domain, there);
            }
        }
    }

    /// No pod is of the group any more.
    pub(super) fn forget(&mut self, group: &PodInfo) {
        let wishes = self.groups.remove(group);
        self.wishes.part(&wishes);
    }

    /// The labels of namespaces changed.
    pub(super) fn recount(&mut self, nodes: &[NodeInfo], namespaces: &Namespaces) {
        self.wishes.forget_asked();
        self.queries.recount(&mut self.groups, namespaces, &self.domains, nodes);
    }
}

impl PodAffinities {
    fn terms(&self) -> impl Iterator<Item = &AffinityTerm> {
        self.required.iter().chain(&self.forbidden).chain(self.preferred.iter().map(|(_, term)| term))
    }

    /// What is to be counted, and by which labels' domains.
    fn queries(&self) -> impl Iterator<Item = (Query, &str)> {
        let single = self.forbidden.iter().chain(self.preferred.iter().map(|(_, term)| term));
        let single = single.map(|term| (term.query(), term.topology_key.as_str()));
        let required = self.required.iter().map(|term| (self.required_query(), term.topology_key.as_str()));
        single.chain(required)
    }

    pub(super) fn wishes(&self) -> impl Iterator<Item = (Wish, AffinityTerm)> {
        let required = self.required.iter().map(|term| (Wish::Required, term.clone()));
        let forbidden = self.forbidden.iter().map(|term| (Wish::Forbidden, term.clone()));
        let preferred = self.preferred.iter().map(|(weight, term)| (Wish::Preferred(*weight), term.clone()));
        required.chain(forbidden).chain(preferred)
    }
}
