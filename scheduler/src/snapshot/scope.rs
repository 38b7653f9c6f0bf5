//! Which nodes count when pods are spread.

use std::collections::{BTreeMap, BTreeSet};

use api::selector::node::Selector;

use super::node::NodeInfo;
use super::taints::Toleration;
use super::{PodInfo, SpreadConstraint};

/// Which nodes count: by default, all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scope {
    /// The labels that they have.
    keys: BTreeSet<String>,
    /// The labels that they have, with these values.
    labels: BTreeMap<String, String>,
    selector: Option<Selector>,
    /// What is tolerated, if nodes with other taints do not count.
    tolerations: Option<Vec<Toleration>>,
}

impl Scope {
    /// The nodes that count for one of a pod's constraints, beside others that have to be met with it.
    #[must_use]
    pub fn of<'a>(
        pod: &PodInfo,
        constraint: &SpreadConstraint,
        all: impl IntoIterator<Item = &'a SpreadConstraint>,
    ) -> Self {
        let mut scope = Self {
            keys: all.into_iter().map(|constraint| constraint.topology_key.clone()).collect(),
            tolerations: constraint.honors_taints.then(|| pod.tolerations.clone()),
            ..Self::default()
        };
        if constraint.honors_affinity {
            scope.labels = pod.node_selector.clone();
            scope.selector = pod.required_nodes.clone();
        }
        scope
    }

    /// Whether the node counts.
    #[must_use]
    pub fn contains(&self, node: &NodeInfo) -> bool {
        let tolerated = |tolerations: &Vec<Toleration>| {
            let mut taints = node.taints.iter().filter(|taint| taint.forbids());
            taints.all(|taint| tolerations.iter().any(|toleration| toleration.tolerates(taint)))
        };
        self.keys.iter().all(|key| node.labels.contains_key(key))
            && self.labels.iter().all(|(key, value)| node.labels.get(key) == Some(value))
            && self.selector.as_ref().is_none_or(|selector| selector.matches(&node.name, &node.labels))
            && self.tolerations.as_ref().is_none_or(tolerated)
    }
}
