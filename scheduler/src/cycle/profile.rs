//! Which plugins decide, in which order, and how much each score counts.

use super::framework::Plugin;
use crate::plugins::image_locality::ImageLocality;
use crate::plugins::inter_pod_affinity::InterPodAffinity;
use crate::plugins::node_affinity::NodeAffinity;
use crate::plugins::node_name::NodeName;
use crate::plugins::node_ports::NodePorts;
use crate::plugins::node_resources_balanced_allocation::NodeResourcesBalancedAllocation;
use crate::plugins::node_resources_fit::NodeResourcesFit;
use crate::plugins::node_unschedulable::NodeUnschedulable;
use crate::plugins::pod_topology_spread::PodTopologySpread;
use crate::plugins::scheduling_gates::SchedulingGates;
use crate::plugins::taint_toleration::TaintToleration;

/// Fewer feasible nodes than this are never enough, if there are more.
const MIN_FEASIBLE_NODES: usize = 100;
/// The least percentage of nodes that is chosen for large clusters.
const MIN_PERCENTAGE: usize = 5;

/// A plugin and its weight.
pub struct Weighted {
    /// The plugin.
    pub plugin: Box<dyn Plugin + Send + Sync>,
    /// What its score is multiplied by.
    pub weight: i64,
}

/// How pods of one scheduler name are scheduled.
pub struct Profile {
    /// The plugins, in the order in which they are asked. Of those that reject a node, the first is told of.
    pub plugins: Vec<Weighted>,
    /// Of how many percent of all nodes it has to be known that they are feasible; none to choose by their number.
    pub percentage_of_nodes_to_score: Option<u8>,
}

impl Default for Profile {
    /// Upstream's default plugins, in its order and with its weights.
    fn default() -> Self {
        fn weighted(weight: i64, plugin: impl Plugin + Send + Sync + 'static) -> Weighted {
            Weighted { plugin: Box::new(plugin), weight }
        }
        let plugins = vec![
            weighted(0, SchedulingGates),
            weighted(0, NodeUnschedulable),
            weighted(0, NodeName),
            weighted(3, TaintToleration),
            weighted(2, NodeAffinity::default()),
            weighted(0, NodePorts),
            weighted(1, NodeResourcesFit::default()),
            weighted(2, PodTopologySpread),
            weighted(2, InterPodAffinity::default()),
            weighted(1, NodeResourcesBalancedAllocation::default()),
            weighted(1, ImageLocality),
        ];
        Self { plugins, percentage_of_nodes_to_score: None }
    }
}

impl Profile {
    /// How many feasible nodes of so many are enough to choose the best from.
    #[must_use]
    pub fn enough(&self, nodes: usize) -> usize {
        if nodes < MIN_FEASIBLE_NODES {
            return nodes;
        }
        let percentage = match self.percentage_of_nodes_to_score {
            Some(percentage @ 1..) => usize::from(percentage),
            _ => 50usize.saturating_sub(nodes / 125).max(MIN_PERCENTAGE),
        };
        (nodes * percentage / 100).max(MIN_FEASIBLE_NODES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_clusters_need_not_be_searched_whole() {
        let check = |percentage, nodes, expected| {
            let profile = Profile { percentage_of_nodes_to_score: percentage, ..Profile::default() };
            assert_eq!(profile.enough(nodes), expected, "{percentage:?} of {nodes}");
        };
        check(None, 0, 0);
        check(None, 99, 99);
        check(None, 100, 100);
        check(None, 1000, 420);
        check(None, 5000, 500);
        check(None, 6000, 300);
        check(Some(0), 1000, 420);
        check(Some(40), 1000, 400);
        check(Some(5), 1000, 100);
        check(Some(100), 1000, 1000);
    }
}
