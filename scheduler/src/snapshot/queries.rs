//! What pods want to know of others, counted by node, and kept counted by event.
//!
//! A pod that comes or goes costs one addition for each query that its group is in. A new group is compared only with the
//! queries that require one of its labels, or none. There are so many queries at most; then the one that nobody asked
//! for the longest goes, and counts anew when it is asked for again.

use std::collections::HashMap;

use super::PodInfo;
use super::affinity::{Namespaces, PodSet, Query};
use super::groups::Groups;
use super::resources::NodeIndex;

/// How many queries are kept counted. Each takes four bytes a node.
pub(super) const MOST_QUERIES: usize = 1024;

/// A query and what it counts.
#[derive(Clone, Debug)]
struct Counted {
    query: Query,
    by_node: Vec<u32>,
    /// When it was asked for.
    turn: u64,
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
        let counted = Counted { query: query.clone(), by_node, turn: self.turn };
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

    /// A pod that is in these queries came to a node, or left it.
    pub(super) fn place(&mut self, positions: &[usize], node: NodeIndex, is_terminating: bool, there: bool) {
        for position in positions {
            let counted = &mut self.all[*position];
            if counted.query.living && is_terminating {
                continue;
            }
            if counted.by_node.len() <= node.get() {
                counted.by_node.resize(node.get() + 1, 0);
            }
            let count = &mut counted.by_node[node.get()];
            *count = if there { *count + 1 } else { count.saturating_sub(1) };
        }
    }

    /// There are so many nodes.
    pub(super) fn resize(&mut self, nodes: usize) {
        for counted in &mut self.all {
            counted.by_node.resize(nodes, 0);
        }
    }

    /// The labels of namespaces changed.
    pub(super) fn recount(&mut self, groups: &mut Groups, namespaces: &Namespaces, nodes: usize) {
        for (position, counted) in self.all.iter_mut().enumerate() {
            if !counted.query.sets.iter().any(PodSet::asks_namespaces) {
                continue;
            }
            groups.leave(position);
            let numbers = groups.of(&counted.query, namespaces);
            counted.by_node = groups.count(&numbers, counted.query.living, nodes);
            for number in numbers {
                if let Some(group) = groups.get_mut(number) {
                    group.queries.push(position);
                }
            }
        }
    }
}
