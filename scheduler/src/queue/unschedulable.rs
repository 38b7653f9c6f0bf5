//! The pods that wait for something to happen, found by the plugins that refused them.
//!
//! An event so costs only as much as there are pods that it may concern.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::entry::{Entry, Id};

/// The index. A pod that a plugin does not admit is only found by that plugin, and does not come back by time.
#[derive(Debug, Default)]
pub(super) struct Unschedulable {
    by_plugin: BTreeMap<(usize, &'static str), BTreeSet<Id>>,
    by_time: BTreeSet<(Duration, Id)>,
    gated: usize,
}

impl Unschedulable {
    pub(super) fn insert(&mut self, id: Id, entry: &Entry) {
        for plugin in plugins(entry) {
            self.by_plugin.entry((entry.profile, plugin)).or_default().insert(id);
        }
        match entry.queued.gated_by {
            Some(_) => self.gated += 1,
            None => {
                self.by_time.insert((entry.queued.since, id));
            }
        }
    }

    pub(super) fn remove(&mut self, id: Id, entry: &Entry) {
        for plugin in plugins(entry) {
            if let Some(ids) = self.by_plugin.get_mut(&(entry.profile, plugin)) {
                ids.remove(&id);
            }
        }
        match entry.queued.gated_by {
            Some(_) => self.gated -= 1,
            None => {
                self.by_time.remove(&(entry.queued.since, id));
            }
        }
    }

    /// The pods that were refused by a plugin that is `wanted`, of a profile, each once and in order.
    pub(super) fn refused_by(&self, wanted: impl Fn(usize, &'static str) -> bool) -> Vec<Id> {
        let found = self.by_plugin.iter().filter(|((profile, plugin), _)| wanted(*profile, plugin));
        let mut ids: Vec<Id> = found.flat_map(|(_, ids)| ids.iter().copied()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The pods that are not gated.
    pub(super) fn ungated(&self) -> Vec<Id> {
        self.by_time.iter().map(|(_, id)| *id).collect()
    }

    /// The pod that has waited for the longest time, and since when.
    pub(super) fn oldest(&self) -> Option<(Duration, Id)> {
        self.by_time.first().copied()
    }

    /// How many pods are not gated, and how many are.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.by_time.len(), self.gated)
    }
}

fn plugins(entry: &Entry) -> impl Iterator<Item = &'static str> {
    let queued = &entry.queued;
    let refused = queued.unschedulable_plugins.union(&queued.pending_plugins).copied();
    let refused = queued.gated_by.is_none().then_some(refused);
    queued.gated_by.into_iter().chain(refused.into_iter().flatten())
}
