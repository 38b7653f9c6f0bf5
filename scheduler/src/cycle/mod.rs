//! One cycle: which node a pod goes to, or why it goes to none.
//!
//! A decision follows from the snapshot, the pod, where the search starts and the random numbers alone. It costs, for
//! each node that is tried, one call of each filter that has a say, until one rejects; then one call of each score for
//! each feasible node. Nodes are tried until enough are feasible, each search beginning where the last one ended.

mod framework;
mod profile;
mod verdicts;

use rand::Rng;

pub use framework::{Filter, MAX_SCORE, Plugin, PreFilter, Rejection, Score, normalize};
pub use profile::{Profile, Weighted};
pub use verdicts::{NO_NODES, Verdict, Verdicts};

use crate::snapshot::{NodeIndex, PlacedPod, PodInfo, Snapshot};
use verdicts::Reasons;

/// A pod that is to be scheduled.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Its identity.
    pub uid: &'a str,
    /// What scheduling sees of it.
    pub info: &'a PodInfo,
    /// The node on which room was made for it.
    pub nominated_node: Option<&'a str>,
}

/// Where a pod goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The node, if there is one for it.
    pub node: Option<NodeIndex>,
    /// How many nodes were tried.
    pub evaluated: usize,
    /// How many of them were feasible.
    pub feasible: usize,
    /// Where the next search starts.
    pub next_start: usize,
    /// Why the others were not.
    pub verdicts: Verdicts,
}

/// A filter and its plugin's position.
struct Active<'a> {
    plugin: usize,
    filter: Box<dyn Filter + 'a>,
}

/// Decides where the pod goes. The search starts at the node of number `start`.
pub fn schedule(
    snapshot: &Snapshot,
    profile: &Profile,
    pod: &Candidate<'_>,
    start: usize,
    random: &mut impl Rng,
) -> Decision {
    let all = snapshot.order();
    let mut search = Search { snapshot, pod, filters: Vec::new(), feasible: Vec::new(), verdicts: Verdicts::default() };
    search.verdicts.nodes = all.len();
    let only = search.prepare(profile);
    let mut next_start = start;
    if search.verdicts.rejected.is_none() && !search.on_nominated_node() {
        let nodes = only.as_deref().unwrap_or(all);
        search.run(nodes, start, profile.enough(nodes.len()));
        let tried = search.feasible.len() + search.verdicts.rejections.len();
        next_start = (start + tried).checked_rem(all.len()).unwrap_or_default();
    }
    search.name_reasons(profile);
    let Search { feasible, verdicts, .. } = search;
    let node = match feasible.as_slice() {
        [] => None,
        [only] => Some(*only),
        several => Some(best(several, &totals(snapshot, profile, pod.info, several), random)),
    };
    let evaluated = feasible.len() + verdicts.rejections.len();
    Decision { node, evaluated, feasible: feasible.len(), next_start, verdicts }
}

struct Search<'a> {
    snapshot: &'a Snapshot,
    pod: &'a Candidate<'a>,
    filters: Vec<Active<'a>>,
    feasible: Vec<NodeIndex>,
    verdicts: Verdicts,
}

impl<'a> Search<'a> {
    /// Asks the plugins about the pod; returns the only nodes that can be for it, if plugins know them.
    fn prepare(&mut self, profile: &'a Profile) -> Option<Vec<NodeIndex>> {
        let mut only: Option<Vec<NodeIndex>> = None;
        for (plugin, Weighted { plugin: asked, .. }) in profile.plugins.iter().enumerate() {
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
            self.filters.push(Active { plugin, filter });
        }
        self.verdicts.narrowed.sort_unstable();
        only
    }

    /// Whether the node on which room was made for the pod is feasible. If so it is the only one.
    fn on_nominated_node(&mut self) -> bool {
        let Some(node) = self.pod.nominated_node.and_then(|name| self.snapshot.index(name)) else { return false };
        let fits = self.judge(node).is_ok();
        if fits {
            self.feasible.push(node);
            self.verdicts.narrowed.clear();
        }
        fits
    }

    /// Tries nodes until enough are feasible.
    fn run(&mut self, nodes: &[NodeIndex], start: usize, enough: usize) {
        let first = start.checked_rem(nodes.len()).unwrap_or_default();
        let (before, after) = nodes.split_at(first);
        for node in after.iter().chain(before) {
            match self.judge(*node) {
                Ok(()) => self.feasible.push(*node),
                Err(verdict) => self.verdicts.rejections.push((*node, verdict)),
            }
            if self.feasible.len() == enough {
                break;
            }
        }
    }

    /// Whether the node is for the pod, both with and without the pods for which room was made there, and which are no
    /// less important: those may come there, but need not.
    fn judge(&mut self, node: NodeIndex) -> Result<(), Verdict> {
        let nominated = self.snapshot.nominated(node);
        if !nominated.is_empty() {
            let first = |pod: &PlacedPod| pod.info.priority >= self.pod.info.priority && pod.uid != self.pod.uid;
            let nominated: Vec<_> = nominated.iter().filter(|pod| first(pod)).collect();
            for active in &mut self.filters {
                nominated.iter().for_each(|pod| active.filter.add(pod));
            }
            let verdict = ask(&self.filters, node);
            for active in &mut self.filters {
                nominated.iter().for_each(|pod| active.filter.remove(pod));
            }
            verdict?;
        }
        ask(&self.filters, node)
    }

    /// Writes down what the reasons mean that were given.
    fn name_reasons(&mut self, profile: &Profile) {
        for active in &self.filters {
            let own = self.verdicts.rejections.iter().filter(|(_, verdict)| verdict.plugin == active.plugin);
            let given = own.fold(0, |given, (_, verdict)| given | verdict.rejection.reasons);
            if given != 0 {
                let numbers = (0..u64::BITS).filter(|number| given & (1 << number) != 0);
                let texts = numbers.map(|number| (number, active.filter.reason(number))).collect();
                let name = profile.plugins[active.plugin].plugin.name();
                self.verdicts.reasons.insert(active.plugin, Reasons { name, texts });
            }
        }
    }
}

fn ask(filters: &[Active<'_>], node: NodeIndex) -> Result<(), Verdict> {
    for Active { plugin, filter } in filters {
        filter.filter(node).map_err(|rejection| Verdict { plugin: *plugin, rejection })?;
    }
    Ok(())
}

/// The sum of all plugins' weighted scores for each node.
fn totals(snapshot: &Snapshot, profile: &Profile, pod: &PodInfo, nodes: &[NodeIndex]) -> Vec<i64> {
    let mut totals = vec![0; nodes.len()];
    let mut scores = vec![0; nodes.len()];
    for Weighted { plugin, weight } in &profile.plugins {
        let Some(judge) = plugin.pre_score(snapshot, pod, nodes) else { continue };
        for (score, node) in scores.iter_mut().zip(nodes) {
            *score = judge.score(*node);
        }
        judge.normalize(&mut scores);
        for (total, score) in totals.iter_mut().zip(&scores) {
            *total += weight * score;
        }
    }
    totals
}

/// One of the nodes with the greatest total, each as likely as any other.
fn best(nodes: &[NodeIndex], totals: &[i64], random: &mut impl Rng) -> NodeIndex {
    let (mut best, mut greatest, mut ties) = (nodes[0], totals[0], 1u32);
    for (node, total) in nodes.iter().zip(totals).skip(1) {
        if *total > greatest {
            (best, greatest, ties) = (*node, *total, 1);
        } else if *total == greatest {
            ties += 1;
            if random.random_range(0..ties) == 0 {
                best = *node;
            }
        }
    }
    best
}

#[cfg(test)]
mod tests;
