//! What each plugin said of each node, and the message that users get of it.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::framework::Rejection;
use crate::snapshot::NodeIndex;

/// What is said when there are no nodes.
pub const NO_NODES: &str = "no nodes available to schedule pods";

/// A rejection and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The plugin's position in its profile.
    pub plugin: usize,
    /// Why.
    pub rejection: Rejection,
}

/// Nodes that were rejected, in the order in which they were tried, and why. Many nodes are rejected for few reasons: it
/// takes eight bytes a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejections {
    /// With the position of the verdict.
    nodes: Vec<(NodeIndex, u32)>,
    /// Different verdicts, and how often each was given.
    verdicts: Vec<(Verdict, usize)>,
}

impl Rejections {
    pub(super) fn push(&mut self, node: NodeIndex, verdict: Verdict) {
        let known = self.verdicts.iter().position(|(known, _)| *known == verdict);
        let position = known.unwrap_or_else(|| {
            self.verdicts.push((verdict, 0));
            self.verdicts.len() - 1
        });
        self.verdicts[position].1 += 1;
        self.nodes.push((node, u32::try_from(position).expect("there are fewer verdicts than 2^32")));
    }

    /// How many nodes were rejected.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether no node was rejected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The nodes and why they were rejected.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&NodeIndex, &Verdict)> {
        self.nodes.iter().map(|(node, position)| (node, &self.verdicts[*position as usize].0))
    }

    /// Different verdicts, and of how many nodes each is.
    pub fn counts(&self) -> impl Iterator<Item = (&Verdict, usize)> {
        self.verdicts.iter().map(|(verdict, count)| (verdict, *count))
    }
}

/// What a plugin's reasons mean, as far as it gave them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reasons {
    pub(super) name: &'static str,
    pub(super) texts: BTreeMap<u32, String>,
}

/// What plugins said of the nodes that were tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// How many nodes there are.
    pub nodes: usize,
    /// The plugin that rejected the pod before any node was tried, and its reason.
    pub rejected: Option<(&'static str, String)>,
    /// The plugins that left only some nodes to be tried.
    pub narrowed: Vec<&'static str>,
    /// The nodes that were rejected, in the order in which they were tried.
    pub rejections: Rejections,
    /// By the plugin's position.
    pub(super) reasons: BTreeMap<usize, Reasons>,
}

impl Verdicts {
    /// The plugins on whose account the pod is not scheduled, in alphabetical order, each once.
    #[must_use]
    pub fn plugins(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.reasons.values().map(|reasons| reasons.name).collect();
        names.extend(&self.narrowed);
        names.extend(self.rejected.as_ref().map(|(name, _)| name));
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The plugin of a verdict, and its reasons.
    pub fn explain(&self, verdict: &Verdict) -> (&'static str, impl Iterator<Item = &str> + use<'_>) {
        let reasons = self.reasons.get(&verdict.plugin);
        let bits = verdict.rejection.reasons;
        let texts = reasons.into_iter().flat_map(|reasons| &reasons.texts);
        let texts = texts.filter(move |(number, _)| bits & (1 << **number) != 0).map(|(_, text)| text.as_str());
        (reasons.map_or("", |reasons| reasons.name), texts)
    }

    /// The nodes from which it may help to remove pods.
    pub fn resolvable(&self) -> impl Iterator<Item = NodeIndex> {
        let resolvable = self.rejections.iter().filter(|(_, verdict)| !verdict.rejection.unresolvable);
        resolvable.map(|(node, _)| *node)
    }

    /// Why the pod is not scheduled, in upstream's words. `post_filter` is what was tried in vain to make room.
    #[must_use]
    pub fn message(&self, post_filter: &str) -> String {
        if self.nodes == 0 {
            return NO_NODES.to_owned();
        }
        let told = match &self.rejected {
            Some((_, reason)) => reason.clone(),
            None => self.histogram(),
        };
        let mut message = unavailable(self.nodes, &told);
        if !post_filter.is_empty() {
            let _ = write!(message, " {post_filter}");
        }
        message
    }

    fn histogram(&self) -> String {
        let mut counts = BTreeMap::<&str, usize>::new();
        for (verdict, count) in self.rejections.counts() {
            for reason in self.explain(verdict).1 {
                *counts.entry(reason).or_default() += count;
            }
        }
        let untried = format!("node(s) didn't satisfy plugin(s) [{}]", self.narrowed.join(" "));
        if !self.narrowed.is_empty() && self.rejections.len() < self.nodes {
            *counts.entry(&untried).or_default() += self.nodes - self.rejections.len();
        }
        lines(&counts)
    }
}

fn unavailable(nodes: usize, told: &str) -> String {
    let stop = if told.is_empty() { String::new() } else { format!(" {told}.") };
    format!("0/{nodes} nodes are available:{stop}")
}

/// Reasons and of how many nodes they were given, in upstream's order.
fn lines(counts: &BTreeMap<&str, usize>) -> String {
    let mut lines: Vec<String> = counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    lines.sort_unstable();
    lines.join(", ")
}

/// That none of the nodes is available, for these reasons, by the number of nodes.
pub(crate) fn tell(nodes: usize, counts: &BTreeMap<&str, usize>) -> String {
    unavailable(nodes, &lines(counts))
}
