//! Keeps as many pods of one template alive as a ReplicaSet or a ReplicationController wants.
//!
//! A pod counts if it has the object as its controller, matches its selector, and has neither ended nor been told to.
//! Pods without a controller that match are adopted, pods that no longer match are let go; then what is missing is created
//! and what is too much is deleted, and the status says how many there are. An object whose selector makes no sense, or
//! selects everything, is left alone.
//!
//! Both kinds are treated alike. What differs is in a file for each.

mod decision;
mod replica_set;
mod replication_controller;
mod status;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::marker::PhantomData;
use std::sync::Arc;

use api::selector::label::Selector;
use client::cache::Cache;
use client::resource::{Key, Kind};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Namespace, Pod, PodTemplateSpec, ReplicationController};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

use crate::controller::{Controller, Moment, Pair, Watches};
use crate::plan::Plan;
use crate::pods::{controller_of, is_active, is_terminating, node};
use status::{Failing, Tally};

/// The controller of ReplicaSets.
pub type ReplicaSets = Replicas<ReplicaSet>;

/// The controller of ReplicationControllers.
pub type ReplicationControllers = Replicas<ReplicationController>;

/// A kind of object that wants a number of alike pods.
pub trait Replicated: Kind + Serialize {
    /// The name of its controller.
    const CONTROLLER: &'static str;
    /// The component that Events are from.
    const COMPONENT: &'static str;
    /// Its status.
    type Status: PartialEq;

    /// How many pods it wants.
    fn wanted(&self) -> Option<i32>;
    /// How long a pod has to be ready until it is available.
    fn min_ready_seconds(&self) -> Option<i32>;
    /// What pods are made of.
    fn template(&self) -> Option<&PodTemplateSpec>;
    /// Labels that pods have to have; there may be further demands.
    fn match_labels(&self) -> Option<&BTreeMap<String, String>>;
    /// Which pods are its, as far as that makes sense.
    fn selector(&self) -> Option<Selector>;
    /// Its status as it is.
    fn status(&self) -> Option<&Self::Status>;
    /// Its status as it should be.
    fn counted(&self, tally: &Tally, failing: Option<Failing>) -> Self::Status;
    /// The same object with another status.
    #[must_use]
    fn with_status(&self, status: Self::Status) -> Self;
}

/// The controller of the objects of a kind that want a number of alike pods.
pub struct Replicas<K>(PhantomData<fn() -> K>);

impl<K> Replicas<K> {
    /// The controller.
    #[must_use]
    pub const fn new() -> Replicas<K> {
        Replicas(PhantomData)
    }
}

impl<K> Default for Replicas<K> {
    fn default() -> Replicas<K> {
        Replicas::new()
    }
}

/// An object and the pods that concern it.
pub struct Observed<K> {
    owner: Arc<K>,
    /// Its pods that count.
    active: Vec<Arc<Pod>>,
    /// Pods to be adopted: as the others, but without a controller.
    orphans: Vec<Arc<Pod>>,
    /// Pods to be let go: as the others, but not selected.
    strays: Vec<Arc<Pod>>,
    /// How many of its pods have been told to end and have not yet.
    terminating: usize,
    /// On each node, the active pods of all objects that have the same controller as this one; empty if no pod is to go.
    crowds: HashMap<String, usize>,
    /// Whether pods can be made of the template that will be the object's own.
    can_create: bool,
}

impl<K: Replicated> Controller for Replicas<K> {
    const NAME: &'static str = K::CONTROLLER;
    const COMPONENT: &'static str = K::COMPONENT;
    type Observed = Observed<K>;

    fn watches(&self) -> Watches {
        Watches::on::<K>().owned::<Pod>().mapped::<Pod>(adopters::<K>).reading::<Namespace>()
    }

    fn observe(&self, cache: &Cache, key: &Key) -> Option<Observed<K>> {
        let owner = cache.get::<K>(&key.namespace, &key.name)?;
        let selector = owner.selector()?;
        let uid = owner.metadata().uid.as_deref()?;
        let selects = |pod: &Arc<Pod>| selector.matches(&pod.metadata.labels);
        let (mut active, mut strays, mut orphans, mut terminating) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for pod in cache.controlled::<Pod>(uid) {
            if pod.metadata.namespace != owner.metadata().namespace {
                continue;
            }
            match (is_active(&pod), selects(&pod)) {
                (true, true) => active.push(pod),
                (true, false) => strays.push(pod),
                (false, true) if is_terminating(&pod) => terminating += 1,
                (false, _) => {}
            }
        }
        if !is_deleted(&*owner) {
            orphans = cache.uncontrolled::<Pod>(&key.namespace);
            orphans.retain(|pod| is_active(pod) && selects(pod));
        }
        let has_surplus = active.len() + orphans.len() > wanted(&*owner);
        let crowds = if has_surplus { crowds(cache, &*owner) } else { HashMap::new() };
        let can_create = !is_ending(cache, &key.namespace) && makes_own(&*owner, &selector);
        Some(Observed { owner, active, orphans, strays, terminating, crowds, can_create })
    }

    fn reconcile(&self, observed: &Observed<K>, moment: &Moment) -> Plan {
        decision::decide(observed, moment)
    }
}

fn is_deleted<K: Kind>(object: &K) -> bool {
    object.metadata().deletion_timestamp.is_some()
}

/// How many pods an object wants. It says so unless it was never defaulted.
fn wanted<K: Replicated>(owner: &K) -> usize {
    usize::try_from(owner.wanted().unwrap_or(1)).unwrap_or(0)
}

/// The selector, unless it selects everything or nothing, which validation does not let anybody store.
fn sensible(selector: Selector) -> Option<Selector> {
    (!selector.is_everything() && !selector.is_nothing()).then_some(selector)
}

/// Whether the namespace is ending, so that nothing can be created in it and nobody has to be told.
fn is_ending(cache: &Cache, namespace: &str) -> bool {
    let namespace = cache.get::<Namespace>("", namespace);
    namespace.is_some_and(|namespace| is_deleted(&*namespace))
}

/// Whether the object's pods are its own when they are made. Else there would be no end to them.
fn makes_own<K: Replicated>(owner: &K, selector: &Selector) -> bool {
    let labels = owner.template().and_then(|template| template.metadata.as_ref()?.labels.as_ref());
    labels.is_some_and(|labels| !labels.is_empty() && selector.matches(labels))
}

/// On each node, the active pods of all objects that have the same controller as this one.
fn crowds<K: Replicated>(cache: &Cache, owner: &K) -> HashMap<String, usize> {
    let mut crowds = HashMap::new();
    let controller = controller_of(owner.metadata()).map(|reference| reference.uid.as_str());
    let related = controller.map(|uid| cache.controlled::<K>(uid)).unwrap_or_default();
    for related in related.iter().filter_map(|related| related.metadata().uid.as_deref()) {
        for pod in cache.controlled::<Pod>(related).iter().filter(|pod| is_active(pod)) {
            if let Some(node) = node(pod) {
                *crowds.entry(node.to_owned()).or_insert(0) += 1;
            }
        }
    }
    crowds
}

/// The objects that may want to adopt a pod that has been created without a controller, has lost it, or has other labels.
fn adopters<K: Replicated>(cache: &Cache, pair: &Pair<Pod>) -> Vec<Key> {
    if let (Some(old), Some(new)) = (&pair.old, &pair.new)
        && old.metadata.labels == new.metadata.labels
        && controller_of(&old.metadata) == controller_of(&new.metadata)
    {
        return Vec::new();
    }
    let orphans = pair.both().filter(|pod| controller_of(&pod.metadata).is_none() && is_active(pod));
    let selecting = |orphan: &Arc<Pod>| -> Vec<Key> {
        let owners = cache.list::<K>(orphan.metadata.namespace.as_deref());
        owners.iter().filter(|owner| selects(&***owner, &orphan.metadata)).map(|owner| Key::to(&**owner)).collect()
    };
    orphans.flat_map(selecting).collect()
}

/// Whether an object selects the pod with this metadata.
fn selects<K: Replicated>(owner: &K, pod: &ObjectMeta) -> bool {
    // There are many objects, and a selector has to be made for each; most are out of question without.
    let has =
        |(key, value): (&String, &String)| pod.labels.as_ref().is_some_and(|labels| labels.get(key) == Some(value));
    owner.match_labels().into_iter().flatten().all(has)
        && owner.selector().is_some_and(|selector| selector.matches(&pod.labels))
}
