//! One cycle: which node a pod goes to, or why it goes to none.
//!
//! A decision follows from the snapshot, the pod, where the search starts and the random numbers alone. It costs, for
//! each node that is tried, one call of each filter that has a say, until one rejects; then one call of each score for
//! each feasible node. Nodes are tried until enough are feasible, each search beginning where the last one ended. Whoever
//! decides again and again keeps a [`Memory`], with which plugins are asked of a node only after it changed; decisions are
//! the same.

mod framework;
mod memory;
mod profile;
mod search;
mod verdicts;

use rand::Rng;

pub use framework::{
    Attempt, Filter, MAX_SCORE, Permit, Plugin, PostFilter, PreBind, PreFilter, Ready, Rejection, Score, Write,
    normalize,
};
pub use memory::Memory;
pub(crate) use memory::{Cost, Outlook};
pub use profile::{Judge, Profile};
pub use verdicts::{NO_NODES, Rejections, Verdict, Verdicts};

pub(crate) use search::Search;
pub(crate) use verdicts::tell;

use memory::Said;

use crate::snapshot::{NodeIndex, PodInfo, Snapshot};

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

/// Decides where the pod goes. The search starts at the node of number `start`.
pub fn schedule(
    snapshot: &Snapshot,
    profile: &Profile,
    pod: &Candidate<'_>,
    start: usize,
    random: &mut impl Rng,
) -> Decision {
    decide(None, snapshot, profile, pod, start, random)
}

/// The same decision, made with what is remembered of earlier ones.
pub fn schedule_with(
    memory: &mut Memory,
    snapshot: &Snapshot,
    profile: &Profile,
    pod: &Candidate<'_>,
    start: usize,
    random: &mut impl Rng,
) -> Decision {
    decide(Some(memory), snapshot, profile, pod, start, random)
}

fn decide(
    memory: Option<&mut Memory>,
    snapshot: &Snapshot,
    profile: &Profile,
    pod: &Candidate<'_>,
    start: usize,
    random: &mut impl Rng,
) -> Decision {
    let all = snapshot.order();
    let mut search = Search::new(snapshot, pod);
    let only = search.prepare(profile);
    let mut next_start = start;
    if search.verdicts.rejected.is_none() && !search.on_nominated_node() {
        // To remember a few nodes alone is not worth forgetting what was said of many.
        if let Some(memory) = memory.filter(|_| only.is_none()) {
            search.remember(memory.recall(snapshot, profile, pod.info));
        }
        let nodes = only.as_deref().unwrap_or(all);
        search.run(nodes, start, profile.enough(nodes.len()));
        let tried = search.feasible.len() + search.verdicts.rejections.len();
        next_start = (start + tried).checked_rem(all.len()).unwrap_or_default();
    }
    search.name_reasons(profile);
    let said = search.said();
    let Search { feasible, verdicts, .. } = search;
    let node = match feasible.as_slice() {
        [] => None,
        [only] => Some(*only),
        several => Some(best(several, &totals(said, snapshot, profile, pod.info, several), random)),
    };
    let evaluated = feasible.len() + verdicts.rejections.len();
    Decision { node, evaluated, feasible: feasible.len(), next_start, verdicts }
}

/// A score that has a say.
struct Judging<'a> {
    judge: Box<dyn Score + 'a>,
    weight: i64,
    node_local: bool,
}

/// The sum of all plugins' weighted scores for each node.
fn totals(
    mut said: Option<&mut Said>,
    snapshot: &Snapshot,
    profile: &Profile,
    pod: &PodInfo,
    nodes: &[NodeIndex],
) -> Vec<i64> {
    let judging = profile.scores().filter_map(|(plugin, weight)| {
        let judge = plugin.pre_score(snapshot, pod, nodes)?;
        Some(Judging { judge, weight, node_local: plugin.is_node_local() })
    });
    let judging: Vec<Judging<'_>> = judging.collect();
    let local = || judging.iter().filter(|judging| judging.node_local).enumerate();
    let width = local().count();
    let mut columns = vec![vec![0; nodes.len()]; if said.is_some() { width } else { 0 }];
    if let Some(said) = &mut said {
        for (position, node) in nodes.iter().enumerate() {
            let scores = said.score(snapshot, *node, width, |scores| {
                local().for_each(|(column, judging)| scores[column] = judging.judge.score(*node));
            });
            columns.iter_mut().zip(scores).for_each(|(column, score)| column[position] = *score);
        }
    }
    let mut remembered = columns.into_iter();
    let mut totals = vec![0; nodes.len()];
    for Judging { judge, weight, node_local } in &judging {
        let known = if *node_local { remembered.next() } else { None };
        let mut scores = known.unwrap_or_else(|| nodes.iter().map(|node| judge.score(*node)).collect());
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
mod properties;
#[cfg(test)]
mod tests;
