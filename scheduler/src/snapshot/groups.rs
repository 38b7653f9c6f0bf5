//! Groups of pods of which scheduling sees the same, and on which nodes how many of them are.
//!
//! Groups are filed by their labels and namespaces, so that what a query counts is found without looking at others: a
//! query that requires a label costs as much as there are groups with the rarest of the labels that it requires.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::PodInfo;
use super::affinity::{Namespaces, Query};
use super::resources::NodeIndex;

/// A group.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) info: Arc<PodInfo>,
    /// How many of its pods are on which nodes: those that live, and those that are being deleted.
    by_node: HashMap<NodeIndex, [u32; 2]>,
    /// The queries that it is in, by their positions.
    pub(super) queries: Vec<usize>,
    /// What its pods wish, by the positions of these wishes.
    pub(super) wishes: Vec<usize>,
}

/// All groups, each with a number for as long as it exists.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    numbers: HashMap<Arc<PodInfo>, usize>,
    all: Vec<Option<Group>>,
    /// Numbers that no group has.
    free: Vec<usize>,
    by_label: HashMap<String, HashMap<String, BTreeSet<usize>>>,
    by_namespace: HashMap<String, BTreeSet<usize>>,
}

impl Groups {
    /// The number of a group, if there is such a group.
    pub(super) fn number(&self, info: &PodInfo) -> Option<usize> {
        self.numbers.get(info).copied()
    }

    pub(super) fn get(&self, number: usize) -> Option<&Group> {
        self.all.get(number)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: usize) -> Option<&mut Group> {
        self.all.get_mut(number)?.as_mut()
    }

    /// A new group, which is in these queries, and has these wishes.
    pub(super) fn add(&mut self, info: &Arc<PodInfo>, queries: Vec<usize>, wishes: Vec<usize>) -> usize {
        let number = self.free.pop().unwrap_or_else(|| {
            self.all.push(None);
            self.all.len() - 1
        });
        self.all[number] = Some(Group { info: Arc::clone(info), by_node: HashMap::new(), queries, wishes });
        self.numbers.insert(Arc::clone(info), number);
        self.by_namespace.entry(info.namespace.clone()).or_default().insert(number);
        for (key, value) in &info.labels {
            let by_value = self.by_label.entry(key.clone()).or_default();
            by_value.entry(value.clone()).or_default().insert(number);
        }
        number
    }

    /// There is no such pod any more. Gives what such pods wished.
    pub(super) fn remove(&mut self, info: &PodInfo) -> Vec<usize> {
        let Some(number) = self.numbers.remove(info) else { return Vec::new() };
        let group = self.all[number].take();
        self.free.push(number);
        take(&mut self.by_namespace, &info.namespace, number);
        for (key, value) in &info.labels {
            let Some(by_value) = self.by_label.get_mut(key) else { continue };
            take(by_value, value, number);
            if by_value.is_empty() {
                self.by_label.remove(key);
            }
        }
        group.map_or_else(Vec::new, |group| group.wishes)
    }

    /// No group is in the query of this position any more.
    pub(super) fn leave(&mut self, query: usize) {
        self.all.iter_mut().flatten().for_each(|group| group.queries.retain(|known| *known != query));
    }

    /// A pod of the group came to a node, or left it.
    pub(super) fn place(&mut self, number: usize, node: NodeIndex, is_terminating: bool, there: bool) {
        let Some(group) = self.get_mut(number) else { return };
        let counts = group.by_node.entry(node).or_default();
        let count = &mut counts[usize::from(is_terminating)];
        *count = if there { *count + 1 } else { count.saturating_sub(1) };
        if *counts == [0, 0] {
            group.by_node.remove(&node);
        }
    }

    /// The groups that the query contains.
    pub(super) fn of(&self, query: &Query, namespaces: &Namespaces) -> Vec<usize> {
        let contains = |number: &usize| self.get(*number).is_some_and(|group| query.contains(&group.info, namespaces));
        let labels = query.exact_labels();
        let filed = labels.map(|(key, value)| self.by_label.get(key).and_then(|by_value| by_value.get(value)));
        if let Some(rarest) = filed.min_by_key(|numbers| numbers.map_or(0, BTreeSet::len)) {
            return rarest.into_iter().flatten().copied().filter(contains).collect();
        }
        match query.only_namespaces() {
            Some(names) => {
                let numbers = names.iter().filter_map(|name| self.by_namespace.get(name)).flatten();
                numbers.copied().filter(contains).collect()
            }
            None => (0..self.all.len()).filter(contains).collect(),
        }
    }

    /// How many pods of these groups are on each of so many nodes; only those that live, if so.
    pub(super) fn count(&self, numbers: &[usize], living: bool, nodes: usize) -> Vec<u32> {
        let mut by_node = vec![0; nodes];
        let groups = numbers.iter().filter_map(|number| self.get(*number));
        for (node, [lives, ends]) in groups.flat_map(|group| &group.by_node) {
            if by_node.len() <= node.get() {
                by_node.resize(node.get() + 1, 0);
            }
            by_node[node.get()] += lives + if living { 0 } else { *ends };
        }
        by_node
    }
}

fn take(filed: &mut HashMap<String, BTreeSet<usize>>, name: &str, number: usize) {
    if let Some(numbers) = filed.get_mut(name) {
        numbers.remove(&number);
        if numbers.is_empty() {
            filed.remove(name);
        }
    }
}
