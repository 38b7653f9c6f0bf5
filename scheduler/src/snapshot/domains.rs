//! Nodes numbered by the values of their labels, and sums by these numbers, all kept by event.

use std::collections::{BTreeMap, HashMap};

use super::node::NodeInfo;
use super::resources::NodeIndex;
use super::scope::Scope;

/// Instead of the number of a domain, for nodes that are in none.
const NONE: u32 = u32::MAX;

/// Domains by the labels that they are of.
pub(super) type AllDomains = HashMap<String, Domains>;

/// Nodes by the value of one of their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Domains {
    numbers: HashMap<String, u32>,
    of_node: Vec<u32>,
}

impl Domains {
    pub(super) fn of(nodes: &[NodeInfo], key: &str) -> Self {
        let mut domains = Self::default();
        for (i, node) in nodes.iter().enumerate() {
            domains.set(NodeIndex::new(i), node, key);
        }
        domains
    }

    pub(super) fn set(&mut self, index: NodeIndex, node: &NodeInfo, key: &str) {
        if self.of_node.len() <= index.get() {
            self.of_node.resize(index.get() + 1, NONE);
        }
        let value = node.labels.get(key).filter(|_| node.exists);
        self.of_node[index.get()] = value.map_or(NONE, |value| {
            if let Some(number) = self.numbers.get(value) {
                return *number;
            }
            let number = u32::try_from(self.numbers.len()).expect("there are fewer values than 2^32");
            self.numbers.insert(value.clone(), number);
            number
        });
    }

    /// The number of the node's domain, if it is in one.
    #[must_use]
    pub fn get(&self, node: NodeIndex) -> Option<usize> {
        self.of_node.get(node.get()).filter(|number| **number != NONE).map(|number| *number as usize)
    }

    /// A number that is greater than every domain's.
    #[must_use]
    pub fn bound(&self) -> usize {
        self.numbers.len()
    }

    /// Whether there are many more numbers than nodes that could have them.
    pub(super) fn is_worn(&self, nodes: usize) -> bool {
        self.numbers.len() > 2 * nodes + 16
    }
}

/// How many pods there are in each domain, on nodes that count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    sums: Vec<u32>,
    /// How many nodes that count each domain has.
    nodes: Vec<u32>,
    /// How many domains that have such nodes have which sum.
    levels: BTreeMap<u32, u32>,
    domains: usize,
    total: i64,
}

impl Tally {
    /// Adds up what is counted by node, on the nodes of the scope.
    pub(super) fn of(by_node: &[u32], domains: &Domains, scope: &Scope, nodes: &[NodeInfo]) -> Self {
        let mut tally = Self::default();
        for (i, node) in nodes.iter().enumerate() {
            if let Some(domain) = domains.get(NodeIndex::new(i)).filter(|_| scope.contains(node)) {
                tally.enter(domain, by_node.get(i).copied().unwrap_or_default());
            }
        }
        tally
    }

    /// How many pods there are in the domain.
    #[must_use]
    pub fn get(&self, domain: usize) -> i64 {
        self.sums.get(domain).copied().unwrap_or_default().into()
    }

    /// How many pods there are in all domains.
    #[must_use]
    pub fn total(&self) -> i64 {
        self.total
    }

    /// How many domains there are that have nodes that count.
    #[must_use]
    pub fn domains(&self) -> usize {
        self.domains
    }

    /// The least number of pods in such a domain, if there were so many more (or fewer) in some of them, each named once;
    /// zero if there are no domains.
    #[must_use]
    pub fn least(&self, supposed: &[(usize, i64)]) -> i64 {
        let others = self.levels.iter().find(|(sum, count)| {
            let elsewhere = supposed.iter().filter(|(domain, _)| self.get(*domain) == i64::from(**sum)).count();
            **count as usize > elsewhere
        });
        let others = others.map(|(sum, _)| i64::from(*sum));
        let supposed = supposed.iter().map(|(domain, more)| self.get(*domain) + more);
        supposed.chain(others).min().unwrap_or_default()
    }

    /// A node that counts is in the domain, with so many pods.
    pub(super) fn enter(&mut self, domain: usize, pods: u32) {
        if self.sums.len() <= domain {
            self.sums.resize(domain + 1, 0);
            self.nodes.resize(domain + 1, 0);
        }
        self.nodes[domain] += 1;
        if self.nodes[domain] == 1 {
            self.domains += 1;
            *self.levels.entry(self.sums[domain]).or_default() += 1;
        }
        self.add(domain, pods.into());
    }

    /// It no longer is.
    pub(super) fn leave(&mut self, domain: usize, pods: u32) {
        self.add(domain, -i64::from(pods));
        self.nodes[domain] -= 1;
        if self.nodes[domain] == 0 {
            self.domains -= 1;
            self.lower_level(self.sums[domain]);
        }
    }

    /// So many more pods are on a node that counts in the domain.
    pub(super) fn add(&mut self, domain: usize, more: i64) {
        if more == 0 {
            return;
        }
        let before = self.sums[domain];
        let after = u32::try_from(i64::from(before) + more).unwrap_or_default();
        self.sums[domain] = after;
        self.total += i64::from(after) - i64::from(before);
        self.lower_level(before);
        *self.levels.entry(after).or_default() += 1;
    }

    fn lower_level(&mut self, sum: u32) {
        if let Some(count) = self.levels.get_mut(&sum) {
            *count -= 1;
            if *count == 0 {
                self.levels.remove(&sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_domains_is_known() {
        let mut tally = Tally::default();
        let check = |tally: &Tally, supposed: &[(usize, i64)], domains, least, total| {
            assert_eq!((tally.domains(), tally.least(supposed), tally.total()), (domains, least, total));
        };
        check(&tally, &[], 0, 0, 0);
        tally.enter(1, 3);
        check(&tally, &[], 1, 3, 3);
        tally.enter(0, 5);
        tally.enter(0, 1);
        check(&tally, &[], 2, 3, 9);
        check(&tally, &[(1, 4)], 2, 6, 9);
        check(&tally, &[(1, 4), (0, -1)], 2, 5, 9);
        tally.add(1, 4);
        check(&tally, &[], 2, 6, 13);
        tally.leave(0, 5);
        check(&tally, &[], 2, 1, 8);
        tally.leave(0, 1);
        check(&tally, &[], 1, 7, 7);
        check(&tally, &[(1, -7)], 1, 0, 7);
    }
}
