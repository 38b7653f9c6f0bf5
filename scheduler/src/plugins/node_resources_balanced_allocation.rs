//! NodeResourcesBalancedAllocation: pods rather go to where they make the use of resources more even.
//!
//! Costs, a node, two numbers for each resource that is looked at. Pods that request none of these have no say, lest many
//! of them go to the same node.

use super::resource_scoring::{Looked, Usage, WeightedResource, default_resources};
use crate::config::ExtensionPoint;
use crate::cycle::{MAX_SCORE, Plugin, Score};
use crate::snapshot::{NodeIndex, PodInfo, Snapshot};

/// See the module.
#[derive(Clone, Debug)]
pub struct NodeResourcesBalancedAllocation {
    /// The resources that are looked at. Their weights are of no matter.
    pub resources: Vec<WeightedResource>,
}

impl Default for NodeResourcesBalancedAllocation {
    fn default() -> Self {
        Self { resources: default_resources() }
    }
}

impl Plugin for NodeResourcesBalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }

    fn points(&self) -> &'static [ExtensionPoint] {
        &[ExtensionPoint::PreScore, ExtensionPoint::Score]
    }

    fn is_node_local(&self) -> bool {
        true
    }

    fn pre_score<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        pod: &'a PodInfo,
        _feasible: &[NodeIndex],
    ) -> Option<Box<dyn Score + 'a>> {
        let looked = Looked::at(snapshot, pod, &self.resources, false);
        if looked.requests_nothing() { None } else { Some(Box::new(Balance { looked })) }
    }
}

struct Balance<'a> {
    looked: Looked<'a>,
}

impl Balance<'_> {
    /// How even the use of resources is: half of [`MAX_SCORE`] at worst.
    fn evenness(&self, node: NodeIndex, used: impl Fn(&Usage) -> i64) -> i64 {
        let fractions = || {
            let fraction = |usage: Usage| (used(&usage) as f64 / usage.allocatable as f64).min(1.0);
            self.looked.usages(node).map(fraction)
        };
        let mut first = fractions();
        let deviation = match (first.next(), first.next(), first.next()) {
            // Upstream's short cut for two, of which there are most often.
            (Some(one), Some(other), None) => ((one - other) / 2.0).abs(),
            (_, None, _) | (None, ..) => 0.0,
            _ => {
                let count = fractions().count() as f64;
                let mean = fractions().sum::<f64>() / count;
                (fractions().map(|fraction| (fraction - mean).powi(2)).sum::<f64>() / count).sqrt()
            }
        };
        ((1.0 - deviation) * MAX_SCORE as f64) as i64
    }
}

impl Score for Balance<'_> {
    fn score(&self, node: NodeIndex) -> i64 {
        let with = self.evenness(node, |usage| usage.requested);
        let without = self.evenness(node, |usage| usage.before);
        MAX_SCORE / 2 + (MAX_SCORE / 2 + with - without) / 2
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugins::testing::check_scores;
    use crate::testing::{self, requesting};

    #[test]
    fn pods_make_the_use_of_resources_even() {
        let node = |name: &str| {
            let allocatable = json!({"cpu": "10", "memory": "10Gi", "example.com/gpu": "10"});
            testing::node(name, json!({"status": {"allocatable": allocatable}}))
        };
        let nodes = [node("n1"), node("n2"), node("n3")];
        let check = |names: &[&str], wanted, expected: Option<&[i64]>| {
            let resources = names.iter().map(|name| WeightedResource { name: (*name).to_owned(), weight: 1 });
            let plugin = NodeResourcesBalancedAllocation { resources: resources.collect() };
            let taken = |name, requests| testing::pod(name, requesting(requests));
            let pods = [("n2", taken("a", json!({"cpu": "4"}))), ("n3", taken("b", json!({"memory": "4Gi"})))];
            check_scores(&plugin, &nodes, &pods, &testing::pod("c", requesting(wanted)), expected);
        };
        let both = ["cpu", "memory"];
        check(&both, json!({}), None);
        check(&both, json!({"example.com/gpu": "1"}), None);
        check(&both, json!({"cpu": "4", "memory": "4Gi"}), Some(&[75, 75, 75]));
        check(&both, json!({"memory": "4Gi"}), Some(&[65, 85, 65]));
        check(&both, json!({"cpu": "4"}), Some(&[65, 65, 85]));
        check(&["cpu"], json!({"cpu": "4"}), Some(&[75, 75, 75]));
        let all = ["cpu", "memory", "example.com/gpu"];
        check(&all, json!({"cpu": "4", "memory": "4Gi"}), Some(&[75, 75, 75]));
        check(&all, json!({"cpu": "3", "memory": "3Gi", "example.com/gpu": "3"}), Some(&[75, 75, 75]));
    }

    #[test]
    fn deviations_are_upstreams_to_the_last_bit() {
        let check = |wanted, expected: i64| {
            let node = testing::node("n", json!({"status": {"allocatable": {"cpu": "1", "memory": "100Mi"}}}));
            let pod = testing::pod("a", requesting(wanted));
            check_scores(&NodeResourcesBalancedAllocation::default(), &[node], &[], &pod, Some(&[expected]));
        };
        // By way of the mean, the deviation would be a little greater, and the score one less.
        check(json!({"cpu": "50m", "memory": "73Mi"}), 58);
        check(json!({"cpu": "200m", "memory": "88Mi"}), 58);
        check(json!({"cpu": "800m", "memory": "4Mi"}), 56);
    }
}
