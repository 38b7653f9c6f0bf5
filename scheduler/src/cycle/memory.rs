//! What plugins said of nodes for pods that need the same of them, so that they need not be asked again.
//!
//! What a node-local plugin says of a node holds until the node changes. It is kept, with the number that the node had
//! then, for the needs of which pods came last. A pod that needs what another needed before costs one comparison of
//! numbers for each node that is tried.

use std::cmp::Reverse;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use jiff::Timestamp;

use super::framework::Plugin;
use super::profile::Profile;
use super::verdicts::Verdict;
use crate::snapshot::{NodeIndex, PodInfo, Snapshot};

/// For how many priorities of pods that need the same it is kept what making room for them takes.
const MOST_PRIORITIES: usize = 4;

/// Of how many different needs what was said is kept. For each it takes about a hundred bytes a node.
const MOST_NEEDS: usize = 32;

/// What plugins said of nodes. It can be used with any snapshots and profiles.
#[derive(Default)]
pub struct Memory {
    /// Those used last come last.
    known: Vec<Said>,
}

impl Memory {
    /// What was said of nodes to pods that need what this one needs.
    pub(crate) fn recall(&mut self, snapshot: &Snapshot, profile: &Profile, pod: &PodInfo) -> &mut Said {
        let mut hasher = DefaultHasher::new();
        pod.needs().hash(&mut hasher);
        let hash = hasher.finish();
        let mut known = self.known.iter();
        let known = known.rposition(|said| said.hash == hash && said.is_to(profile, pod));
        let mut said = match known {
            Some(position) => self.known.remove(position),
            None => {
                if self.known.len() == MOST_NEEDS {
                    self.known.remove(0);
                }
                Said::new(hash, profile, pod)
            }
        };
        said.forget_if_outdated(snapshot);
        self.known.push(said);
        self.known.last_mut().expect("one was added just now")
    }
}

/// Whether a node is for a pod, and when that was so.
#[derive(Clone, Copy)]
struct Judgement {
    generation: u64,
    verdict: Result<(), Verdict>,
}

/// What it takes to make room on a node: the less, the better. In this order: how many pods go that budgets protect, the
/// highest priority of those that go, the sum of their priorities, how many they are, and when the first started of those
/// of the highest priority.
pub(crate) type Cost = (usize, i32, i64, usize, Reverse<Timestamp>);

/// What comes of making room on a node.
#[derive(Clone, Copy)]
pub(crate) enum Outlook {
    /// It takes this.
    Room(Cost),
    /// Nobody can go.
    NoVictims,
    /// It does not help.
    Rejected(Verdict),
}

/// What comes of making room for pods of a priority, and when that was so.
struct Outlooks {
    priority: i32,
    /// What number budgets had.
    budgets: u64,
    by_node: Vec<(u64, Outlook)>,
}

/// What plugins said of nodes to pods that need the same.
pub(crate) struct Said {
    hash: u64,
    plugins: Arc<[Arc<dyn Plugin>]>,
    /// One of the pods.
    pod: Arc<PodInfo>,
    epoch: u64,
    judgements: Vec<Judgement>,
    /// How many scores each node has.
    width: usize,
    /// When what the scores are was so.
    scored: Vec<u64>,
    scores: Vec<i64>,
    outlooks: Vec<Outlooks>,
}

impl Said {
    fn new(hash: u64, profile: &Profile, pod: &PodInfo) -> Self {
        let (plugins, pod) = (Arc::clone(profile.shared_plugins()), Arc::new(pod.clone()));
        let (judgements, scored, scores) = (Vec::new(), Vec::new(), Vec::new());
        Self { hash, plugins, pod, epoch: 0, judgements, width: 0, scored, scores, outlooks: Vec::new() }
    }

    fn is_to(&self, profile: &Profile, pod: &PodInfo) -> bool {
        Arc::ptr_eq(&self.plugins, profile.shared_plugins()) && self.pod.needs() == pod.needs()
    }

    fn forget_if_outdated(&mut self, snapshot: &Snapshot) {
        if self.epoch != snapshot.epoch() {
            self.epoch = snapshot.epoch();
            self.judgements.clear();
            self.scored.clear();
            self.scores.clear();
            self.outlooks.clear();
        }
        let bound = snapshot.bound();
        if self.judgements.len() < bound {
            self.judgements.resize(bound, Judgement { generation: 0, verdict: Ok(()) });
        }
    }

    /// What all node-local plugins together say of the node; they are asked if they were not yet, since it changed.
    pub(super) fn judge(
        &mut self,
        snapshot: &Snapshot,
        node: NodeIndex,
        ask: impl FnOnce() -> Result<(), Verdict>,
    ) -> Result<(), Verdict> {
        let generation = snapshot.generation(node);
        let known = &mut self.judgements[node.get()];
        if known.generation != generation {
            *known = Judgement { generation, verdict: ask() };
        }
        known.verdict
    }

    /// The scores that so many node-local plugins give the node; they are asked if they were not yet, since it changed.
    pub(super) fn score(
        &mut self,
        snapshot: &Snapshot,
        node: NodeIndex,
        width: usize,
        ask: impl FnOnce(&mut [i64]),
    ) -> &[i64] {
        if self.width != width || self.scored.len() < snapshot.bound() {
            self.width = width;
            self.scored.clear();
            self.scored.resize(snapshot.bound(), 0);
            self.scores.resize(snapshot.bound() * width, 0);
        }
        let generation = snapshot.generation(node);
        let scores = &mut self.scores[node.get() * width..][..width];
        if self.scored[node.get()] != generation {
            self.scored[node.get()] = generation;
            ask(scores);
        }
        scores
    }

    /// What comes of making room on nodes for a pod of this priority, as far as it is known, by the nodes' indices, each
    /// with the number that the node had then.
    pub(crate) fn outlooks(&mut self, snapshot: &Snapshot, priority: i32) -> &mut [(u64, Outlook)] {
        let budgets = snapshot.budgets_generation();
        let known = self.outlooks.iter().position(|known| known.priority == priority && known.budgets == budgets);
        let mut outlooks = match known {
            Some(position) => self.outlooks.remove(position),
            None => {
                self.outlooks.retain(|known| known.budgets == budgets);
                if self.outlooks.len() == MOST_PRIORITIES {
                    self.outlooks.remove(0);
                }
                Outlooks { priority, budgets, by_node: Vec::new() }
            }
        };
        if outlooks.by_node.len() < snapshot.bound() {
            outlooks.by_node.resize(snapshot.bound(), (0, Outlook::NoVictims));
        }
        self.outlooks.push(outlooks);
        &mut self.outlooks.last_mut().expect("one was added just now").by_node
    }
}
