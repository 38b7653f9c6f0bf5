//! One cycle: which node a pod goes to, or why it goes to none.
//!
//! A decision follows from the snapshot, the pod, where the search starts and the random numbers alone. It costs, for
//! each node that is tried, one call of each filter that has a say, until one rejects; then one call of each score for
//! each feasible node. Nodes are tried until enough are feasible, each search beginning where the last one ended.

mod framework;
mod profile;
mod search;
mod verdicts;

use rand::Rng;

pub use framework::{
    Attempt, Filter, MAX_SCORE, Permit, Plugin, PostFilter, PreBind, PreFilter, Ready, Rejection, Score, Write,
    normalize,
};
pub use profile::{Judge, Profile};
pub use verdicts::{NO_NODES, Verdict, Verdicts};

pub(crate) use search::Search;
pub(crate) use verdicts::tell;

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
    let all = snapshot.order();
    let mut search = Search::new(snapshot, pod);
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

/// The sum of all plugins' weighted scores for each node.
fn totals(snapshot: &Snapshot, profile: &Profile, pod: &PodInfo, nodes: &[NodeIndex]) -> Vec<i64> {
    let mut totals = vec![0; nodes.len()];
    let mut scores = vec![0; nodes.len()];
    for (plugin, weight) in profile.scores() {
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
