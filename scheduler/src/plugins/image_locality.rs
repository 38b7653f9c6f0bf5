//! ImageLocality: pods rather go to nodes that have their images, large ones above all, and such as many nodes have, lest
//! all pods go to the few that do.
//!
//! Costs, a node, two look-ups for each of the pod's images.

use crate::config::ExtensionPoint;
use crate::cycle::{MAX_SCORE, Plugin, Score};
use crate::snapshot::{NodeIndex, PodInfo, Snapshot};

const MEGABYTE: i64 = 1 << 20;
/// What is smaller is of no matter.
const MIN_SIZE: i64 = 23 * MEGABYTE;
/// What is greater, for each image of a pod, is of no further matter.
const MAX_SIZE: i64 = 1000 * MEGABYTE;

/// See the module.
pub struct ImageLocality;

impl Plugin for ImageLocality {
    fn name(&self) -> &'static str {
        "ImageLocality"
    }

    fn points(&self) -> &'static [ExtensionPoint] {
        &[ExtensionPoint::Score]
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
        let spread = |name: &'a String| {
            let share = f64::from(snapshot.nodes_with_image(name)) / snapshot.order().len() as f64;
            (name.as_str(), share)
        };
        Some(Box::new(Present { snapshot, images: pod.images.iter().map(spread).collect() }))
    }
}

struct Present<'a> {
    snapshot: &'a Snapshot,
    /// Images, and on which share of all nodes they are.
    images: Vec<(&'a str, f64)>,
}

impl Score for Present<'_> {
    fn score(&self, node: NodeIndex) -> i64 {
        let there = &self.snapshot.node(node).images;
        let sizes = self.images.iter().filter_map(|(name, share)| Some((*there.get(*name)? as f64 * share) as i64));
        let most = MAX_SIZE * i64::try_from(self.images.len().max(1)).unwrap_or(i64::MAX / MAX_SIZE);
        MAX_SCORE * (sizes.sum::<i64>().clamp(MIN_SIZE, most) - MIN_SIZE) / (most - MIN_SIZE)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plugins::testing::check_scores;
    use crate::testing;

    #[test]
    fn nodes_with_images_are_better() {
        let node = |name: &str, images: &[(&str, i64)]| {
            let images = images.iter();
            let images = images.map(|(name, size)| json!({"names": [name], "sizeBytes": size * MEGABYTE}));
            testing::node(name, json!({"status": {"images": images.collect::<Value>()}}))
        };
        let nodes = [
            node("n1", &[("a:1", 511), ("small:1", 20)]),
            node("n2", &[("a:1", 511), ("b:latest", 4000)]),
            node("n3", &[]),
        ];
        let check = |images: &[&str], expected: &[i64]| {
            let images = images.iter().enumerate().map(|(i, image)| json!({"name": i.to_string(), "image": image}));
            let pod = testing::pod("a", json!({"containers": images.collect::<Value>()}));
            check_scores(&ImageLocality, &nodes, &[], &pod, Some(expected));
        };
        check(&["c"], &[0, 0, 0]);
        check(&["small:1"], &[0, 0, 0]);
        check(&["a:1"], &[32, 32, 0]);
        check(&["b"], &[0, 100, 0]);
        check(&["a:1", "b"], &[16, 83, 0]);
    }
}
