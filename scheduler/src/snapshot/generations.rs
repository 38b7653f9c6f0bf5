//! Numbers by which it is seen whether anything changed since something was found out.
//!
//! No number is given twice, in whichever snapshot: what is found out of a node holds wherever the node has the same
//! number.

use std::sync::atomic::{AtomicU64, Ordering};

use super::resources::NodeIndex;

/// The numbers of nodes, that of what they have in common, and that of budgets.
#[derive(Clone, Debug, Default)]
pub(super) struct Generations {
    of_node: Vec<u64>,
    epoch: u64,
    budgets: u64,
}

impl Generations {
    /// A number that the node has until anything of it or its pods changes. Not zero, if the node was ever raised.
    pub(super) fn of(&self, node: NodeIndex) -> u64 {
        self.of_node.get(node.get()).copied().unwrap_or_default()
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn budgets(&self) -> u64 {
        self.budgets
    }

    /// A budget changed.
    pub(super) fn raise_budgets(&mut self) {
        self.budgets = fresh();
    }

    /// The node or its pods changed.
    pub(super) fn raise(&mut self, node: NodeIndex) {
        if self.of_node.len() <= node.get() {
            self.of_node.resize(node.get() + 1, 0);
        }
        self.of_node[node.get()] = fresh();
    }

    /// What nodes have in common changed.
    pub(super) fn raise_epoch(&mut self) {
        self.epoch = fresh();
    }
}

fn fresh() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}
