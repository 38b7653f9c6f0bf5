//! The points at which plugins take part in deciding where a pod goes.
//!
//! A plugin looks at a pod once and returns what judges nodes for it, or nothing if it has no say. Judging a node
//! allocates nothing: a rejection is a set of bits, and what they mean is asked once, when it is told.
//!
//! Plugins write nothing. What is to be written before a pod is bound, and the binding itself, they say as values.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use rand::RngCore;

use super::{Candidate, Memory, Profile, Verdicts};
use crate::config::ExtensionPoint;
use crate::queue::{ClusterEvent, Event, Hint};
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
    Reject(String),
    /// This tells.
    Filter(Box<dyn Filter + 'a>),
    /// Only nodes of these names can be, and this tells which of them are.
    Only(BTreeSet<&'a str>, Box<dyn Filter + 'a>),
}

/// A pod for which no node was found.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// Nodes, and pods on nodes.
    pub snapshot: &'a Snapshot,
    /// How the pod is scheduled.
    pub profile: &'a Profile,
    /// The pod.
    pub pod: &'a Candidate<'a>,
    /// Why there is no node.
    pub verdicts: &'a Verdicts,
}

/// What can be done for a pod for which no node is feasible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostFilter {
    /// Room can be made on a node.
    Room {
        /// The node.
        node: NodeIndex,
        /// The pods that have to go, the most important first.
        victims: Vec<Arc<PlacedPod>>,
        /// How many of them budgets protect.
        violations: usize,
        /// Less important pods for which room is being made on the node, which have to look elsewhere.
        displaced: Vec<Arc<PlacedPod>>,
    },
    /// Nothing helps.
    Unhelpful {
        /// Why, in upstream's words.
        message: String,
        /// Whether room is still being made for the pod where it was nominated.
        keeps_nomination: bool,
    },
}

/// Whether a pod may go to the node that was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permit {
    /// It may.
    Approve,
    /// Not yet: it is refused if nobody has let it go there in that time.
    Wait(Duration),
    /// It may not, for this reason.
    Reject(String),
}

/// Something that is written to the API.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// The pod gets the node of this name.
    Bind(String),
    /// A volume, as it is to be if nobody has changed it meanwhile.
    PersistentVolume(Box<PersistentVolume>),
    /// A claim, as it is to be if nobody has changed it meanwhile.
    PersistentVolumeClaim(Box<PersistentVolumeClaim>),
}

/// Whether what a pod waits for before it is bound has happened.
pub type Ready = Arc<dyn Fn(&Snapshot) -> Result<bool, String> + Send + Sync>;

/// What has to be done before a pod is bound.
#[derive(Clone)]
pub struct PreBind {
    /// What is written, in this order.
    pub writes: Vec<Write>,
    /// Whether what then has to happen has happened; an error if it no longer can, so that the pod is to be tried again.
    pub ready: Ready,
    /// How long is waited for that.
    pub timeout: Duration,
}

/// A part of deciding where a pod goes. A plugin that refuses pods says by [`Plugin::events`] and [`Plugin::hint`] what
/// may change its mind.
pub trait Plugin: Send + Sync {
    /// Upstream's name.
    fn name(&self) -> &'static str;

    /// Where it has something to do.
    fn points(&self) -> &'static [ExtensionPoint];

    /// Whether what its filter and its score say of a node (before it is normalized) follow from that node and its pods,
    /// from what [`PodInfo::needs`] tells of the pod, and from what [`Snapshot::epoch`] is about, and whether it has a
    /// say follows from the latter two. Then it need not be asked again while these stay the same.
    fn is_node_local(&self) -> bool {
        false
    }

    /// The events that may let it change its mind: any, if it does not say. They never change.
    fn events(&self) -> Vec<ClusterEvent> {
        vec![ClusterEvent::WILD_CARD]
    }

    /// Whether an event, of a kind that it named, may let it change its mind on a pod that it refused. A plugin that
    /// cannot tell says [`Hint::Queue`].
    fn hint(&self, _pod: &Pod, _event: &Event) -> Hint {
        Hint::Queue
    }

    /// Has what the plugin asks of every pod kept in the snapshot. Decisions are the same without, but slower.
    fn prepare(&self, _snapshot: &mut Snapshot) {}

    /// Whether the pod can be tried at all.
    ///
    /// # Errors
    /// What it waits for, in upstream's words.
    fn pre_enqueue(&self, _pod: &Pod) -> Result<(), String> {
        Ok(())
    }

    /// What judges which nodes are for the pod.
    fn pre_filter<'a>(&'a self, _snapshot: &'a Snapshot, _pod: &'a PodInfo) -> PreFilter<'a> {
        PreFilter::Skip
    }

    /// What can be done for a pod for which there is no node, if the plugin knows anything.
    fn post_filter(&self, _attempt: &Attempt<'_>, _random: &mut dyn RngCore) -> Option<PostFilter> {
        None
    }

    /// The same, found with what is remembered of earlier attempts.
    fn post_filter_with(
        &self,
        _memory: &mut Memory,
        attempt: &Attempt<'_>,
        random: &mut dyn RngCore,
    ) -> Option<PostFilter> {
        self.post_filter(attempt, random)
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

    /// Notes in the snapshot what the pod takes besides the node, which was just chosen.
    ///
    /// # Errors
    /// Why it cannot have it.
    fn reserve(&self, _snapshot: &mut Snapshot, _pod: &Candidate<'_>, _node: NodeIndex) -> Result<(), String> {
        Ok(())
    }

    /// Takes back what was reserved, if anything was: the pod does not go there.
    fn unreserve(&self, _snapshot: &mut Snapshot, _pod: &Candidate<'_>, _node: NodeIndex) {}

    /// Whether the pod may go to the node that was chosen.
    fn permit(&self, _snapshot: &Snapshot, _pod: &Candidate<'_>, _node: NodeIndex) -> Permit {
        Permit::Approve
    }

    /// What has to be done before the pod is bound.
    fn pre_bind(&self, _snapshot: &Snapshot, _pod: &Candidate<'_>, _node: NodeIndex) -> Option<PreBind> {
        None
    }

    /// What binds the pod to the node of that name, if the plugin does that.
    fn bind(&self, _pod: &Pod, _node: &str) -> Option<Write> {
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
