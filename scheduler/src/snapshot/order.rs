//! The order in which nodes are tried: zone by zone in turn, so that pods spread even if only the first nodes are tried.

use super::resources::NodeIndex;

/// Nodes by zone, and all of them in the order in which they are tried.
#[derive(Clone, Debug, Default)]
pub(super) struct Order {
    /// Zones in order of their first nodes' appearance, and their nodes in order of theirs.
    zones: Vec<(String, Vec<NodeIndex>)>,
    all: Vec<NodeIndex>,
}

impl Order {
    /// All nodes.
    pub(super) fn all(&self) -> &[NodeIndex] {
        &self.all
    }

    /// Adds a node. Takes time proportional to the number of nodes, as does removing one.
    pub(super) fn add(&mut self, node: NodeIndex, (region, zone): (&str, &str)) {
        let name = format!("{region}\0{zone}");
        match self.zones.iter_mut().find(|(known, _)| *known == name) {
            Some((_, nodes)) => nodes.push(node),
            None => self.zones.push((name, vec![node])),
        }
        self.arrange();
    }

    pub(super) fn remove(&mut self, node: NodeIndex) {
        for (_, nodes) in &mut self.zones {
            nodes.retain(|other| *other != node);
        }
        self.zones.retain(|(_, nodes)| !nodes.is_empty());
        self.arrange();
    }

    fn arrange(&mut self) {
        self.all.clear();
        let longest = self.zones.iter().map(|(_, nodes)| nodes.len()).max().unwrap_or_default();
        for round in 0..longest {
            self.all.extend(self.zones.iter().filter_map(|(_, nodes)| nodes.get(round)));
        }
    }
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
