//! The search for nodes that are feasible for a pod.

use super::Candidate;
use super::framework::{Filter, PreFilter};
use super::memory::Said;
use super::profile::{Judge, Profile};
use super::verdicts::{Reasons, Verdict, Verdicts};
use crate::snapshot::{NodeIndex, PlacedPod, Snapshot};

/// A filter and its plugin's position.
struct Active<'a> {
    plugin: usize,
    node_local: bool,
    filter: Box<dyn Filter + 'a>,
}

/// What is known so far of where a pod can go.
pub(crate) struct Search<'a> {
    snapshot: &'a Snapshot,
    pod: &'a Candidate<'a>,
    filters: Vec<Active<'a>>,
    /// What node-local filters said before, if that is of use.
    said: Option<&'a mut Said>,
    pub(super) feasible: Vec<NodeIndex>,
    pub(super) verdicts: Verdicts,
}

impl<'a> Search<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot, pod: &'a Candidate<'a>) -> Self {
        let verdicts = Verdicts { nodes: snapshot.order().len(), ..Verdicts::default() };
        Self { snapshot, pod, filters: Vec::new(), said: None, feasible: Vec::new(), verdicts }
    }

    /// From now on, ask no node-local filter twice. None must have been told to suppose anything.
    pub(super) fn remember(&mut self, said: &'a mut Said) {
        self.said = Some(said);
    }

    /// What was remembered.
    pub(super) fn said(&mut self) -> Option<&'a mut Said> {
        self.said.take()
    }

    /// From now on, judge as if the pod were on its node too.
    pub(crate) fn add(&mut self, pod: &PlacedPod) {
        self.filters.iter_mut().for_each(|active| active.filter.add(pod));
    }

    /// From now on, judge as if the pod, which is on its node or was added, were not.
    pub(crate) fn remove(&mut self, pod: &PlacedPod) {
        self.filters.iter_mut().for_each(|active| active.filter.remove(pod));
    }

    /// What a verdict's reasons mean.
    pub(crate) fn reasons(&self, verdict: &Verdict) -> Vec<String> {
        let numbers = (0..u64::BITS).filter(|number| verdict.rejection.reasons & (1 << number) != 0);
        let active = self.filters.iter().find(|active| active.plugin == verdict.plugin);
        active.map_or_else(Vec::new, |active| numbers.map(|number| active.filter.reason(number)).collect())
    }

    /// Whether what is judged of a node follows from that node, the pod's needs and its priority alone.
    pub(crate) fn is_node_local(&self, node: NodeIndex) -> bool {
        self.filters.iter().all(|active| active.node_local) && self.snapshot.nominated(node).is_empty()
    }

    /// Asks the plugins about the pod; returns the only nodes that can be for it, if plugins know them.
    pub(crate) fn prepare(&mut self, profile: &'a Profile) -> Option<Vec<NodeIndex>> {
        let mut only: Option<Vec<NodeIndex>> = None;
        for Judge { position: plugin, plugin: asked, filters } in profile.judges() {
            let filter = match asked.pre_filter(self.snapshot, self.pod.info) {
                PreFilter::Skip => continue,
                PreFilter::Reject(reason) => {
                    self.verdicts.rejected = Some((asked.name(), reason));
                    return None;
                }
                PreFilter::Filter(filter) => filter,
                PreFilter::Only(names, filter) => {
                    self.verdicts.narrowed.push(asked.name());
                    let named = names.into_iter().filter_map(|name| self.snapshot.index(name));
                    let named = named.filter(|node| only.as_ref().is_none_or(|only| only.contains(node)));
                    only = Some(named.collect());
                    filter
                }
            };
            if filters {
                self.filters.push(Active { plugin, node_local: asked.is_node_local(), filter });
            }
        }
        self.verdicts.narrowed.sort_unstable();
        only
    }

    /// Whether the node on which room was made for the pod is feasible. If so it is the only one.
    pub(super) fn on_nominated_node(&mut self) -> bool {
        let Some(node) = self.pod.nominated_node.and_then(|name| self.snapshot.index(name)) else { return false };
        let fits = self.judge(node).is_ok();
        if fits {
            self.feasible.push(node);
            self.verdicts.narrowed.clear();
        }
        fits
    }

    /// Tries nodes until enough are feasible.
    pub(super) fn run(&mut self, nodes: &[NodeIndex], start: usize, enough: usize) {
        let first = start.checked_rem(nodes.len()).unwrap_or_default();
        let (before, after) = nodes.split_at(first);
        for node in after.iter().chain(before) {
            match self.judge(*node) {
                Ok(()) => self.feasible.push(*node),
                Err(verdict) => self.verdicts.rejections.push(*node, verdict),
            }
            if self.feasible.len() == enough {
                break;
            }
        }
    }

    /// Whether the node is for the pod, both with and without the pods for which room was made there, and which are no
    /// less important: those may come there, but need not.
    pub(crate) fn judge(&mut self, node: NodeIndex) -> Result<(), Verdict> {
        let nominated = self.snapshot.nominated(node);
        if !nominated.is_empty() {
            let first = |pod: &PlacedPod| pod.info.priority >= self.pod.info.priority && pod.uid != self.pod.uid;
            let nominated: Vec<_> = nominated.iter().filter(|pod| first(pod)).collect();
            if !nominated.is_empty() {
                nominated.iter().for_each(|pod| self.add(pod));
                let verdict = ask(&self.filters, node);
                nominated.iter().for_each(|pod| self.remove(pod));
                verdict?;
            }
        }
        let Some(said) = &mut self.said else { return ask(&self.filters, node) };
        let local = || ask(self.filters.iter().filter(|active| active.node_local), node);
        let said = said.judge(self.snapshot, node, local);
        // Filters that come before the one that rejected the node may reject it too.
        let before = |active: &&Active<'_>| said.is_ok() || said.is_err_and(|verdict| verdict.plugin != active.plugin);
        ask(self.filters.iter().take_while(before).filter(|active| !active.node_local), node)?;
        said
    }

    /// Writes down what the reasons mean that were given.
    pub(super) fn name_reasons(&mut self, profile: &Profile) {
        let mut given = vec![0; profile.plugins().len()];
        for (verdict, _) in self.verdicts.rejections.counts() {
            given[verdict.plugin] |= verdict.rejection.reasons;
        }
        for Active { plugin, filter, .. } in &self.filters {
            if given[*plugin] != 0 {
                let numbers = (0..u64::BITS).filter(|number| given[*plugin] & (1 << number) != 0);
                let texts = numbers.map(|number| (number, filter.reason(number))).collect();
                let name = profile.plugin(*plugin).name();
                self.verdicts.reasons.insert(*plugin, Reasons { name, texts });
            }
        }
    }
}

fn ask<'b, 'a: 'b>(filters: impl IntoIterator<Item = &'b Active<'a>>, node: NodeIndex) -> Result<(), Verdict> {
    for Active { plugin, filter, .. } in filters {
        filter.filter(node).map_err(|rejection| Verdict { plugin: *plugin, rejection })?;
    }
    Ok(())
}
