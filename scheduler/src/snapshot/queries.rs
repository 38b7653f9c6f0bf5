//! What pods want to know of others, counted by node and by domain, and kept counted by event.
//!
//! A pod that comes or goes costs one addition for each query that its group is in, and for each tally of it. A new group is compared only with the
//! queries that require one of its labels, or none. There are so many queries at most; then the one that nobody asked
//! for the longest goes, and counts anew when it is asked for again.

use std::collections::HashMap;

use super::affinity::{Namespaces, PodSet, Query};
use super::domains::{AllDomains, Tally};
use super::groups::Groups;
use super::node::NodeInfo;
use super::resources::NodeIndex;
use super::scope::Scope;
use super::{PlacedPod, PodInfo};

/// How many queries are kept counted. Each takes four bytes a node.
pub(super) const MOST_QUERIES: usize = 1024;
/// In how many ways each of them is tallied. Each takes up to eight bytes a domain.
const MOST_TALLIES: usize = 4;

/// What a query counts by the domains of a label, on the nodes of a scope.
#[derive(Clone, Debug)]
struct Kept {
    key: String,
    scope: Scope,
    tally: Tally,
}

/// A query and what it counts.
#[derive(Clone, Debug)]
struct Counted {
    query: Query,
    by_node: Vec<u32>,
    /// The newest ways in which it is tallied.
    tallies: Vec<Kept>,
    /// When it was asked for.
    turn: u64,
}

impl Counted {
    fn tally(&self, key: &str, scope: &Scope) -> Option<&Tally> {
        let kept = self.tallies.iter().find(|kept| kept.key == key && kept.scope == *scope);
        kept.map(|kept| &kept.tally)
    }

    /// Adds everything up again.
    fn tally_anew(&mut self, domains: &AllDomains, nodes: &[NodeInfo]) {
        for Kept { key, scope, tally } in &mut self.tallies {
            *tally = Tally::of(&self.by_node, &domains[key], scope, nodes);
        }
    }
}

/// The queries that are kept counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Queries {
    all: Vec<Counted>,
    positions: HashMap<Query, usize>,
    /// Those that require a label, by one that they require.
    by_label: HashMap<String, HashMap<String, Vec<usize>>>,
    /// The others.
    unfiled: Vec<usize>,
    turn: u64,
}

impl Queries {
    /// Keeps the query counted from now on.
    pub(super) fn watch(&mut self, query: &Query, groups: &mut Groups, namespaces: &Namespaces, nodes: usize) {
        self.turn += 1;
        if let Some(position) = self.positions.get(query) {
            self.all[*position].turn = self.turn;
            return;
        }
        let numbers = groups.of(query, namespaces);
        let by_node = groups.count(&numbers, query.living, nodes);
        let counted = Counted { query: query.clone(), by_node, tallies: Vec::new(), turn: self.turn };
        let position = if self.all.len() < MOST_QUERIES {
            self.all.push(counted);
            self.all.len() - 1
        } else {
            let oldest = self.all.iter().enumerate().min_by_key(|(_, counted)| counted.turn);
            let position = oldest.map_or(0, |(position, _)| position);
            self.forget(position, groups, namespaces);
            self.all[position] = counted;
            position
        };
        for number in numbers {
            if let Some(group) = groups.get_mut(number) {
                group.queries.push(position);
            }
        }
        self.positions.insert(query.clone(), position);
        match query.exact_labels().next() {
            Some((key, value)) => {
                let by_value = self.by_label.entry(key.to_owned()).or_default();
                by_value.entry(value.to_owned()).or_default().push(position);
            }
            None => self.unfiled.push(position),
        }
    }

    fn forget(&mut self, position: usize, groups: &mut Groups, namespaces: &Namespaces) {
        let query = self.all[position].query.clone();
        for number in groups.of(&query, namespaces) {
            if let Some(group) = groups.get_mut(number) {
                group.queries.retain(|known| *known != position);
            }
        }
        self.positions.remove(&query);
        let Some((key, value)) = query.exact_labels().next() else {
            self.unfiled.retain(|known| *known != position);
            return;
        };
        let Some(by_value) = self.by_label.get_mut(key) else { return };
        if let Some(positions) = by_value.get_mut(value) {
            positions.retain(|known| *known != position);
            if positions.is_empty() {
                by_value.remove(value);
            }
        }
        if by_value.is_empty() {
            self.by_label.remove(key);
        }
    }

    /// What the query counts on each node, if it is kept counted.
    pub(super) fn get(&self, query: &Query) -> Option<&[u32]> {
        self.positions.get(query).map(|position| self.all[*position].by_node.as_slice())
    }

    /// The queries that a group is in.
    pub(super) fn of(&self, group: &PodInfo, namespaces: &Namespaces) -> Vec<usize> {
        let filed = group.labels.iter().filter_map(|(key, value)| self.by_label.get(key)?.get(value)).flatten();
        let contains = |position: &usize| self.all[*position].query.contains(group, namespaces);
        filed.chain(&self.unfiled).copied().filter(contains).collect()
    }

    /// Keeps the query tallied from now on, if it is kept counted.
    pub(super) fn tally(&mut self, query: &Query, key: &str, scope: &Scope, domains: &AllDomains, nodes: &[NodeInfo]) {
        let Some(position) = self.positions.get(query) else { return };
        let counted = &mut self.all[*position];
        if counted.tally(key, scope).is_some() {
            return;
        }
        if counted.tallies.len() == MOST_TALLIES {
            counted.tallies.remove(0);
        }
        let tally = Tally::of(&counted.by_node, &domains[key], scope, nodes);
        counted.tallies.push(Kept { key: key.to_owned(), scope: scope.clone(), tally });
    }

    /// What the query counts by domain, if it is kept tallied.
    pub(super) fn tallied(&self, query: &Query, key: &str, scope: &Scope) -> Option<&Tally> {
        self.all[*self.positions.get(query)?].tally(key, scope)
    }

    /// A pod that is in these queries came to a node, or left it.
    pub(super) fn place(
        &mut self,
        positions: &[usize],
        pod: &PlacedPod,
        there: bool,
        domains: &AllDomains,
        nodes: &[NodeInfo],
    ) {
        let node = pod.node.get();
        for position in positions {
            let Counted { query, by_node, tallies, .. } = &mut self.all[*position];
            if query.living && pod.terminating {
                continue;
            }
            if by_node.len() <= node {
                by_node.resize(node + 1, 0);
            }
            by_node[node] = if there { by_node[node] + 1 } else { by_node[node].saturating_sub(1) };
            for Kept { key, scope, tally } in tallies {
                if let Some(domain) = domains[key].get(pod.node).filter(|_| scope.contains(&nodes[node])) {
                    tally.add(domain, if there { 1 } else { -1 });
                }
            }
        }
    }

    /// A node is to change: it counts in tallies no longer.
    pub(super) fn leave(&mut self, index: NodeIndex, domains: &AllDomains, nodes: &[NodeInfo]) {
        for Counted { by_node, tallies, .. } in &mut self.all {
            let pods = by_node.get(index.get()).copied().unwrap_or_default();
            for Kept { key, scope, tally } in tallies {
                if let Some(domain) = domains[key].get(index).filter(|_| scope.contains(&nodes[index.get()])) {
                    tally.leave(domain, pods);
                }
            }
        }
    }

    /// It has changed: it counts as it now is.
    pub(super) fn enter(&mut self, index: NodeIndex, domains: &AllDomains, nodes: &[NodeInfo]) {
        for Counted { by_node, tallies, .. } in &mut self.all {
            by_node.resize(nodes.len(), 0);
            for Kept { key, scope, tally } in tallies {
                if let Some(domain) = domains[key].get(index).filter(|_| scope.contains(&nodes[index.get()])) {
                    tally.enter(domain, by_node[index.get()]);
                }
            }
        }
    }

    /// Domains are numbered anew.
    pub(super) fn renumber(&mut self, domains: &AllDomains, nodes: &[NodeInfo]) {
        self.all.iter_mut().for_each(|counted| counted.tally_anew(domains, nodes));
    }

    /// The labels of namespaces changed.
    pub(super) fn recount(
        &mut self,
        groups: &mut Groups,
        namespaces: &Namespaces,
        domains: &AllDomains,
        nodes: &[NodeInfo],
    ) {
        for (position, counted) in self.all.iter_mut().enumerate() {
            if !counted.query.sets.iter().any(PodSet::asks_namespaces) {
                continue;
            }
            groups.leave(position);
            let numbers = groups.of(&counted.query, namespaces);
            counted.by_node = groups.count(&numbers, counted.query.living, nodes.len());
            counted.tally_anew(domains, nodes);
            for number in numbers {
                if let Some(group) = groups.get_mut(number) {
                    group.queries.push(position);
                }
            }
        }
    }
}
