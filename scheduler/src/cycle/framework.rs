//! The points at which plugins take part in deciding where a pod goes.
//!
//! A plugin looks at a pod once and returns what judges nodes for it, or nothing if it has no say. Judging a node
//! allocates nothing: a rejection is a set of bits, and what they mean is asked once, when it is told.

use std::collections::BTreeSet;

use crate::snapshot::{NodeIndex, PlacedPod, PodInfo, Snapshot};

/// The best score that a plugin gives, before its weight. The worst is zero.
pub const MAX_SCORE: i64 = 100;

/// Why a node is not for a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The plugin's reasons, by their numbers.
    pub reasons: u64,
    /// Whether removing pods from the node would not help.
    pub unresolvable: bool,
}

impl Rejection {
    /// For the reason of this number, and whatever pods are on the node.
    pub const fn unresolvable(reason: u32) -> Self {
        Self { reasons: 1 << reason, unresolvable: true }
    }

    /// For the reason of this number, which other pods on the node may have caused.
    pub const fn resolvable(reason: u32) -> Self {
        Self { reasons: 1 << reason, unresolvable: false }
    }
}

/// Says which nodes are for a pod.
pub trait Filter {
    /// Whether the node is.
    ///
    /// # Errors
    /// Why it is not.
    fn filter(&self, node: NodeIndex) -> Result<(), Rejection>;

    /// The reason of this number, in upstream's words.
    fn reason(&self, number: u32) -> String;

    /// From now on, judge as if this pod were on its node too.
    fn add(&mut self, _pod: &PlacedPod) {}

    /// From now on, judge as if this pod, which is on its node or was added, were not.
    fn remove(&mut self, _pod: &PlacedPod) {}
}

/// Says how good nodes are for a pod.
pub trait Score {
    /// How good the node is, on a scale of the plugin's own.
    fn score(&self, node: NodeIndex) -> i64;

    /// Brings the scores of all nodes to a scale from zero to [`MAX_SCORE`].
    fn normalize(&self, _scores: &mut [i64]) {}
}

/// What a plugin finds when it first looks at a pod.
pub enum PreFilter<'a> {
    /// All nodes are for it.
    Skip,
    /// No node is, for this reason, which lies in the pod itself.
    Reject(&'static str),
    /// This tells.
    Filter(Box<dyn Filter + 'a>),
    /// Only nodes of these names can be, and this tells which of them are.
    Only(BTreeSet<&'a str>, Box<dyn Filter + 'a>),
}

/// A part of deciding where a pod goes.
pub trait Plugin {
    /// Upstream's name.
    fn name(&self) -> &'static str;

    /// Whether the pod can be tried at all.
    ///
    /// # Errors
    /// What it waits for, in upstream's words.
    fn pre_enqueue(&self, _pod: &PodInfo) -> Result<(), String> {
        Ok(())
    }

    /// What judges which nodes are for the pod.
    fn pre_filter<'a>(&'a self, _snapshot: &'a Snapshot, _pod: &'a PodInfo) -> PreFilter<'a> {
        PreFilter::Skip
    }

    /// What judges how good the feasible nodes are for the pod, if that is of any matter.
    fn pre_score<'a>(
        &'a self,
        _snapshot: &'a Snapshot,
        _pod: &'a PodInfo,
        _feasible: &[NodeIndex],
    ) -> Option<Box<dyn Score + 'a>> {
        None
    }
}

/// Scales scores so that the greatest is [`MAX_SCORE`], or, if less is better, so that zero becomes it.
pub fn normalize(scores: &mut [i64], less_is_better: bool) {
    let greatest = scores.iter().copied().max().unwrap_or_default();
    for score in scores {
        let scaled = if greatest == 0 { 0 } else { MAX_SCORE * *score / greatest };
        *score = if less_is_better { MAX_SCORE - scaled } else { scaled };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_scaled() {
        let check = |less_is_better, mut scores: Vec<i64>, expected: &[i64]| {
            normalize(&mut scores, less_is_better);
            assert_eq!(scores, expected);
        };
        check(false, vec![0, 1, 3], &[0, 33, 100]);
        check(true, vec![0, 1, 3], &[100, 67, 0]);
        check(false, vec![0, 0], &[0, 0]);
        check(true, vec![0, 0], &[100, 100]);
        check(true, vec![], &[]);
    }
}
