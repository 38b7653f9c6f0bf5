//! What pods that are on nodes want of others, each different wish once.
//!
//! Which wishes are about a pod is found out once for pods of the same labels, when the first of them is watched.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use super::PodInfo;
use super::affinity::{AffinityTerm, Namespaces};
use super::domains::Domains;
use super::namespaced::Namespaced;
use super::resources::NodeIndex;

/// Of how many different pods it is kept which wishes are about them.
const MOST_ASKED: usize = 4096;

/// How pods that are there want others near or far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Wish {
    /// They must be near.
    Required,
    /// They must not be near.
    Forbidden,
    /// They had better be near, or far, if this is negative.
    Preferred(i64),
}

/// Mixes numbers of domains, which nobody chooses to collide.
#[derive(Clone, Default)]
pub(super) struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32((*byte).into()));
    }

    fn write_u32(&mut self, number: u32) {
        let mixed = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

/// A wish, and where pods are that have it.
#[derive(Clone, Debug)]
pub struct Wished {
    /// How they want it.
    pub wish: Wish,
    /// Which pods it is about.
    pub term: AffinityTerm,
    /// How many pods have it on which nodes.
    pub by_node: BTreeMap<NodeIndex, u32>,
    by_domain: HashMap<u32, i64, BuildHasherDefault<Mixer>>,
    total: i64,
    /// How many groups of pods have it.
    groups: usize,
}

impl Wished {
    /// How many pods in the domain have it.
    #[must_use]
    pub fn get(&self, domain: usize) -> i64 {
        u32::try_from(domain).ok().and_then(|domain| self.by_domain.get(&domain)).copied().unwrap_or_default()
    }

    /// How many pods in all domains have it.
    #[must_use]
    pub fn total(&self) -> i64 {
        self.total
    }

    fn add(&mut self, domain: Option<usize>, more: i64) {
        let Some(domain) = domain.and_then(|domain| u32::try_from(domain).ok()) else { return };
        let sum = self.by_domain.entry(domain).or_default();
        *sum += more;
        if *sum == 0 {
            self.by_domain.remove(&domain);
        }
        self.total += more;
    }
}

/// By namespaces and labels of pods, the positions of the wishes that are about them.
type Asked = HashMap<String, HashMap<BTreeMap<String, String>, Vec<usize>>>;

/// All wishes.
#[derive(Clone, Debug, Default)]
pub(super) struct Wishes {
    /// None where one was that nobody has any more.
    known: Vec<Option<Wished>>,
    positions: HashMap<(Wish, AffinityTerm), usize>,
    free: Vec<usize>,
    /// By the pods that they are about.
    by_namespace: Namespaced,
    asked: Asked,
    asked_count: usize,
}

impl Wishes {
    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Wished> {
        self.known.iter().flatten().filter(|wished| !wished.by_node.is_empty())
    }

    /// Those that are about the pod.
    pub(super) fn about(&self, pod: &PodInfo, namespaces: &Namespaces) -> impl Iterator<Item = &Wished> {
        let kept = self.asked.get(&pod.namespace).and_then(|asked| asked.get(&pod.labels));
        let positions =
            kept.map_or_else(|| Cow::Owned(self.find(pod, namespaces)), |kept| Cow::Borrowed(kept.as_slice()));
        let wished = (0..positions.len()).filter_map(move |i| self.known[positions[i]].as_ref());
        wished.filter(|wished| !wished.by_node.is_empty())
    }

    fn find(&self, pod: &PodInfo, namespaces: &Namespaces) -> Vec<usize> {
        let about = |wished: &Wished| wished.term.pods.contains(pod, namespaces);
        let may_be = self.by_namespace.about(&pod.namespace);
        may_be.filter(|position| self.known[*position].as_ref().is_some_and(about)).collect()
    }

    /// Keeps from now on which wishes are about the pod.
    pub(super) fn watch(&mut self, pod: &PodInfo, namespaces: &Namespaces) {
        if self.asked.get(&pod.namespace).is_some_and(|asked| asked.contains_key(&pod.labels)) {
            return;
        }
        if self.asked_count == MOST_ASKED {
            self.forget_asked();
        }
        let found = self.find(pod, namespaces);
        self.asked.entry(pod.namespace.clone()).or_default().insert(pod.labels.clone(), found);
        self.asked_count += 1;
    }

    /// Which wishes are about which pods may have changed.
    pub(super) fn forget_asked(&mut self) {
        self.asked.clear();
        self.asked_count = 0;
    }

    /// The positions of what a new group of pods wishes.
    pub(super) fn join(&mut self, pod: &PodInfo, namespaces: &Namespaces) -> Vec<usize> {
        pod.affinities.wishes().map(|wish| self.position(wish, namespaces)).collect()
    }

    fn position(&mut self, wish: (Wish, AffinityTerm), namespaces: &Namespaces) -> usize {
        if let Some(known) = self.positions.get(&wish) {
            self.known[*known].iter_mut().for_each(|wished| wished.groups += 1);
            return *known;
        }
        let position = self.free.pop().unwrap_or_else(|| {
            self.known.push(None);
            self.known.len() - 1
        });
        let (kind, term) = wish.clone();
        self.positions.insert(wish, position);
        self.by_namespace.add(&term.pods, position);
        for (namespace, asked) in &mut self.asked {
            if term.pods.named_namespaces().is_some_and(|named| !named.contains(namespace)) {
                continue;
            }
            for (labels, about) in asked {
                if term.pods.contains_labelled(namespace, labels, namespaces) {
                    about.push(position);
                }
            }
        }
        let (by_node, by_domain) = (BTreeMap::new(), HashMap::default());
        self.known[position] = Some(Wished { wish: kind, term, by_node, by_domain, total: 0, groups: 1 });
        position
    }

    /// A group of pods with these wishes is gone.
    pub(super) fn part(&mut self, positions: &[usize]) {
        for position in positions {
            let Some(wished) = &mut self.known[*position] else { continue };
            wished.groups -= 1;
            if wished.groups == 0 {
                self.by_namespace.remove(&wished.term.pods, *position);
                self.positions.remove(&(wished.wish, wished.term.clone()));
                self.known[*position] = None;
                self.free.push(*position);
                for about in self.asked.values_mut().flat_map(HashMap::values_mut) {
                    about.retain(|known| known != position);
                }
            }
        }
    }

    /// The label whose domains the wish is about.
    pub(super) fn key(&self, position: usize) -> &str {
        self.known[position].as_ref().map_or("", |wished| &wished.term.topology_key)
    }

    /// A pod with the wish came to the node, or left it.
    pub(super) fn set_pod(&mut self, position: usize, node: NodeIndex, domain: Option<usize>, there: bool) {
        let Some(wished) = &mut self.known[position] else { return };
        let count = wished.by_node.entry(node).or_default();
        *count = if there { *count + 1 } else { count.saturating_sub(1) };
        if *count == 0 {
            wished.by_node.remove(&node);
        }
        wished.add(domain, if there { 1 } else { -1 });
    }

    /// The node goes from one domain of the label to another.
    pub(super) fn move_node(&mut self, key: &str, node: NodeIndex, from: Option<usize>, to: Option<usize>) {
        for wished in self.known.iter_mut().flatten().filter(|wished| wished.term.topology_key == key) {
            if let Some(count) = wished.by_node.get(&node).copied() {
                wished.add(from, -i64::from(count));
                wished.add(to, count.into());
            }
        }
    }

    /// The domains of the label are numbered anew.
    pub(super) fn renumber(&mut self, key: &str, domains: &Domains) {
        for wished in self.known.iter_mut().flatten().filter(|wished| wished.term.topology_key == key) {
            wished.by_domain.clear();
            wished.total = 0;
            for (node, count) in std::mem::take(&mut wished.by_node) {
                wished.add(domains.get(node), count.into());
                wished.by_node.insert(node, count);
            }
        }
    }
}
