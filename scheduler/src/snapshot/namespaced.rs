//! Positions of things that are about pods, by the namespaces of these: most are about pods of one namespace.

use std::collections::HashMap;

use super::affinity::PodSet;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Namespaced {
    named: HashMap<String, Vec<usize>>,
    /// What is about pods of namespaces that are not named.
    anywhere: Vec<usize>,
}

impl Namespaced {
    pub(super) fn add(&mut self, pods: &PodSet, position: usize) {
        match pods.named_namespaces() {
            Some(names) => {
                names.iter().for_each(|name| self.named.entry(name.clone()).or_default().push(position));
            }
            None => self.anywhere.push(position),
        }
    }

    pub(super) fn remove(&mut self, pods: &PodSet, position: usize) {
        let Some(names) = pods.named_namespaces() else { return self.anywhere.retain(|known| *known != position) };
        for name in names {
            if let Some(positions) = self.named.get_mut(name) {
                positions.retain(|known| *known != position);
                if positions.is_empty() {
                    self.named.remove(name);
                }
            }
        }
    }

    /// What may be about pods of the namespace.
    pub(super) fn about(&self, namespace: &str) -> impl Iterator<Item = usize> {
        self.named.get(namespace).into_iter().flatten().chain(&self.anywhere).copied()
    }
}
