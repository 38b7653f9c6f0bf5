//! How many pods the controller of a pod wants: the whole of which percentages and `maxUnavailable` are parts.
//!
//! Built-in controllers are read from the cache. The scale of any other is a subresource that only the server can show, so
//! that it is not known here, and budgets that would need it allow nothing.

use client::cache::Cache;
use client::resource::Kind;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::ReplicationController;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use crate::pods::controller_of;

/// How many pods a controller wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scale {
    /// Which controller: it counts once, however many of its pods are covered.
    pub(super) uid: String,
    /// How many.
    pub(super) replicas: i32,
}

/// A built-in kind that wants a number of pods.
pub(super) trait Scaled: Kind {
    /// How many it wants.
    fn replicas(&self) -> i32;

    /// How many it wants, and who it is.
    fn scale(&self) -> Scale {
        Scale { uid: self.metadata().uid.clone().unwrap_or_default(), replicas: self.replicas() }
    }
}

/// What is not stated is one, for all of these kinds.
fn or_one(replicas: Option<i32>) -> i32 {
    replicas.unwrap_or(1)
}

impl Scaled for Deployment {
    fn replicas(&self) -> i32 {
        or_one(self.spec.replicas)
    }
}

impl Scaled for ReplicaSet {
    fn replicas(&self) -> i32 {
        or_one(self.spec.replicas)
    }
}

impl Scaled for ReplicationController {
    fn replicas(&self) -> i32 {
        or_one(self.spec.as_ref().and_then(|spec| spec.replicas))
    }
}

impl Scaled for StatefulSet {
    fn replicas(&self) -> i32 {
        or_one(self.spec.replicas)
    }
}

/// The scale of a pod's controller, or of what stands behind that; `None` if there is no such controller.
///
/// # Errors
/// Why the scale of such controllers is not to be had, in upstream's words where it has some.
pub(super) fn scale_of(cache: &Cache, namespace: &str, controller: &OwnerReference) -> Result<Option<Scale>, String> {
    let group = group_of(controller);
    let scale = match (controller.kind.as_str(), group) {
        ("ReplicationController", "") => found::<ReplicationController>(cache, namespace, controller),
        ("ReplicaSet", "apps" | "extensions") => return Ok(replica_set(cache, namespace, controller)),
        ("StatefulSet", "apps") => found::<StatefulSet>(cache, namespace, controller),
        ("Deployment", "apps") => found::<Deployment>(cache, namespace, controller),
        _ => return Err(without_scale(cache, controller, group)),
    };
    Ok(scale)
}

/// A Deployment's scale, and not its ReplicaSets', is what is to be available during a rollout, too.
fn replica_set(cache: &Cache, namespace: &str, controller: &OwnerReference) -> Option<Scale> {
    let set = cache.get::<ReplicaSet>(namespace, &controller.name);
    let set = set.filter(|set| set.metadata.uid.as_ref() == Some(&controller.uid))?;
    let behind = controller_of(&set.metadata)
        .filter(|behind| behind.kind == "Deployment" && matches!(group_of(behind), "apps" | "extensions"));
    behind.and_then(|behind| found::<Deployment>(cache, namespace, behind)).or_else(|| Some(set.scale()))
}

fn found<K: Scaled>(cache: &Cache, namespace: &str, reference: &OwnerReference) -> Option<Scale> {
    let object = cache.get::<K>(namespace, &reference.name)?;
    (object.metadata().uid.as_ref() == Some(&reference.uid)).then(|| object.scale())
}

fn group_of(reference: &OwnerReference) -> &str {
    reference.api_version.split_once('/').map_or("", |(group, _)| group)
}

fn without_scale(cache: &Cache, controller: &OwnerReference, group: &str) -> String {
    let OwnerReference { kind, api_version, .. } = controller;
    let served = cache.served();
    let resource = served.iter().map(|served| &served.resource);
    match resource.into_iter().find(|resource| resource.kind == *kind && resource.group == group) {
        None => format!("no matches for kind \"{kind}\" in version \"{api_version}\""),
        // The groups of Kubernetes itself that have no dot are the only ones whose kinds with a scale are all known above.
        Some(resource) if !group.contains('.') => format!("{resource} does not implement the scale subresource"),
        Some(resource) => format!("the scale of {resource} \"{}\" is not known", controller.name),
    }
}
