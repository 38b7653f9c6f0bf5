//! Which node has to do with which objects.
//!
//! What always holds: an object counts as a node's only while something that is stored makes it so; what an object makes of
//! nodes ends with it. All questions are answered from two maps, so that they cost the same however large the cluster is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The kinds of objects that nodes are given one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    Attachment,
    CertificateRequest,
    Claim,
    ConfigMap,
    Pod,
    ResourceClaim,
    Secret,
    ServiceAccount,
    Slice,
    Volume,
}

/// An object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) kind: Kind,
    /// Namespace and name, which no name can be mistaken for: neither has a slash.
    path: Arc<str>,
}

impl Place {
    /// The namespace is empty for kinds without.
    pub(super) fn new(kind: Kind, namespace: &str, name: &str) -> Place {
        Place { kind, path: format!("{namespace}/{name}").into() }
    }
}

/// What makes objects a node's: a pod, and whatever else names its node.
#[derive(Debug)]
struct Holder {
    node: Arc<str>,
    objects: Vec<Place>,
}

/// A volume makes its Secrets the nodes' that its claim is of.
#[derive(Debug)]
struct Bound {
    claim: Place,
    secrets: Vec<Place>,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Graph {
    holders: HashMap<Place, Holder>,
    /// By how many holders an object is a node's.
    held: HashMap<Place, BTreeMap<Arc<str>, u32>>,
    volumes: HashMap<Place, Bound>,
    /// The volumes that a Secret is mounted with.
    mounts: HashMap<Place, BTreeSet<Place>>,
}

impl Graph {
    /// Makes `objects` those of a node for as long as `holder` is there.
    pub(super) fn hold(&mut self, holder: Place, node: &str, objects: Vec<Place>) {
        self.release(&holder);
        if node.is_empty() {
            return;
        }
        // Many hold for one node; each has the node's name once.
        let node: Arc<str> = node.into();
        for object in &objects {
            *self.held.entry(object.clone()).or_default().entry(Arc::clone(&node)).or_default() += 1;
        }
        self.holders.insert(holder, Holder { node, objects });
    }

    /// Ends what `holder` made a node's.
    pub(super) fn release(&mut self, holder: &Place) {
        let Some(Holder { node, objects }) = self.holders.remove(holder) else { return };
        for object in &objects {
            let Some(nodes) = self.held.get_mut(object) else { continue };
            if let Some(count) = nodes.get_mut(&node) {
                *count -= 1;
                if *count == 0 {
                    nodes.remove(&node);
                }
            }
            if nodes.is_empty() {
                self.held.remove(object);
            }
        }
    }

    /// Takes in what a volume is bound to and needs; `None` if nothing.
    pub(super) fn bind(&mut self, volume: &Place, bound: Option<(Place, Vec<Place>)>) {
        if let Some(Bound { secrets, .. }) = self.volumes.remove(volume) {
            for secret in &secrets {
                let Some(mounts) = self.mounts.get_mut(secret) else { continue };
                mounts.remove(volume);
                if mounts.is_empty() {
                    self.mounts.remove(secret);
                }
            }
        }
        let Some((claim, secrets)) = bound else { return };
        for secret in &secrets {
            self.mounts.entry(secret.clone()).or_default().insert(volume.clone());
        }
        self.volumes.insert(volume.clone(), Bound { claim, secrets });
    }

    /// Ends what all objects of a kind made nodes'.
    pub(super) fn forget(&mut self, kind: Kind) {
        if kind == Kind::Volume {
            self.volumes.clear();
            self.mounts.clear();
            return;
        }
        let holders: Vec<Place> = self.holders.keys().filter(|holder| holder.kind == kind).cloned().collect();
        holders.iter().for_each(|holder| self.release(holder));
    }

    /// Whether an object is a node's.
    pub(super) fn is_of(&self, object: &Place, node: &str) -> bool {
        let held = |object: &Place| self.held.get(object).is_some_and(|nodes| nodes.contains_key(node));
        let mounted = |volume: &Place| self.volumes.get(volume).is_some_and(|bound| held(&bound.claim));
        match object.kind {
            Kind::Volume => mounted(object),
            Kind::Secret => held(object) || self.mounts.get(object).is_some_and(|volumes| volumes.iter().any(mounted)),
            _ => held(object),
        }
    }

    /// Whether nothing is left, for tests of what must not stay behind.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.holders.is_empty() && self.held.is_empty() && self.volumes.is_empty() && self.mounts.is_empty()
    }
}
