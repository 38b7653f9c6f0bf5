//! The order in which nodes are tried: zone by zone in turn, so that pods spread even if only the first nodes are tried.
//!
//! It is made when it is asked for, so that many nodes that come at once cost no more than one.

use std::sync::OnceLock;

use super::resources::NodeIndex;

/// Nodes by zone, and all of them in the order in which they are tried.
#[derive(Clone, Debug, Default)]
pub(super) struct Order {
    /// Zones in order of their first nodes' appearance, and their nodes in order of theirs.
    zones: Vec<(String, Vec<NodeIndex>)>,
    all: OnceLock<Vec<NodeIndex>>,
}

impl Order {
    /// All nodes. Takes time proportional to their number if any came or went.
    pub(super) fn all(&self) -> &[NodeIndex] {
        self.all.get_or_init(|| arrange(&self.zones))
    }

    /// Adds a node. Takes time proportional to the number of zones.
    pub(super) fn add(&mut self, node: NodeIndex, (region, zone): (&str, &str)) {
        let name = format!("{region}\0{zone}");
        match self.zones.iter_mut().find(|(known, _)| *known == name) {
            Some((_, nodes)) => nodes.push(node),
            None => self.zones.push((name, vec![node])),
        }
        self.all.take();
    }

    /// Removes a node. Takes time proportional to the number of nodes.
    pub(super) fn remove(&mut self, node: NodeIndex) {
        for (_, nodes) in &mut self.zones {
            nodes.retain(|other| *other != node);
        }
        self.zones.retain(|(_, nodes)| !nodes.is_empty());
        self.all.take();
    }
}

fn arrange(zones: &[(String, Vec<NodeIndex>)]) -> Vec<NodeIndex> {
    let mut all = Vec::with_capacity(zones.iter().map(|(_, nodes)| nodes.len()).sum());
    let longest = zones.iter().map(|(_, nodes)| nodes.len()).max().unwrap_or_default();
    for round in 0..longest {
        all.extend(zones.iter().filter_map(|(_, nodes)| nodes.get(round)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_take_turns() {
        let mut order = Order::default();
        for (i, zone) in ["a", "a", "a", "b", "c", "b"].into_iter().enumerate() {
            order.add(NodeIndex::new(i), ("", zone));
        }
        let check = |order: &Order, expected: &[u32]| {
            assert_eq!(order.all().iter().map(|node| node.0).collect::<Vec<_>>(), expected);
        };
        check(&order, &[0, 3, 4, 1, 5, 2]);
        order.remove(NodeIndex::new(4));
        order.remove(NodeIndex::new(0));
        check(&order, &[1, 3, 2, 5]);
    }
}
