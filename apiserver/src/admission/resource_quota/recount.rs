//! Looks at what the controller has counted. What it goes by may be older than what is charged already, so that a count can be
//! lower than what there is; then it is refused as a conflict, and the controller counts again.

use std::sync::Arc;

use api::pod_resources::{List, add, read};
use api::quota::devices::{Claims, Classes};
use api::quota::{Subject, claims, devices, names, pods, scopes, services};
use api::status::Status;
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, ResourceQuota, ScopedResourceSelectorRequirement as Requirement, Service,
};
use k8s_openapi::api::resource::v1::ResourceClaim;
use store::At;

use super::{DEVICE_CLASSES, DEVICES, PODS, Review, SERVICES, VOLUMES, pods_by_name, prefix, typed};
use crate::engine::{MODIFIED, read_failed};
use crate::object::Object;

/// Refuses a status of a quota by which less is used than there is and is being made.
pub(super) async fn check(review: &Review<'_>, new: &dyn Object, old: Option<&dyn Object>) -> Result<(), Status> {
    let quota = |object: &dyn Object| typed::<ResourceQuota>(object).cloned();
    let (Some(new), Some(old)) = (quota(new), old.and_then(quota)) else { return Ok(()) };
    let used = |quota: &ResourceQuota| read(quota.status.as_ref().and_then(|status| status.used.as_ref()));
    let (mut after, before) = (used(&new), used(&old));
    after.retain(|name, amount| before.get(name).is_some_and(|before| *amount < *before));
    if after.is_empty() {
        return Ok(());
    }
    let name = new.metadata.name.as_deref().unwrap_or_default();
    // What ends in between counts twice, and not never.
    let mut least = review.call.engine.quotas().in_flight(&review.call.key(name)?);
    let requirements = new.spec.as_ref().map(scopes::requirements).unwrap_or_default();
    let lowered: Vec<&str> = after.keys().map(String::as_str).collect();
    add(&mut least, &count(review, &requirements, &lowered).await?);
    let is_too_low = after.iter().any(|(name, amount)| least.get(name).is_some_and(|least| *amount < *least));
    if is_too_low {
        return Err(Status::conflict(&review.call.group_resource(), name, MODIFIED));
    }
    Ok(())
}

/// What is used of `lowered` in the namespace.
async fn count(review: &Review<'_>, requirements: &[Requirement], lowered: &[&str]) -> Result<List, Status> {
    let (namespace, now) = (review.call.namespace(), review.call.now);
    let any = |measures: &dyn Fn(&str) -> bool| lowered.iter().any(|name| measures(name));
    let mut used = List::new();
    let mut take = |subject: Subject<'_>| {
        if subject.meets(requirements) {
            add(&mut used, &subject.usage(now));
        }
    };
    let of_devices = any(&devices::may_measure);
    let known = if any(&pods::measures) || of_devices { review.list(PODS, namespace).await? } else { Vec::new() };
    known.iter().for_each(|pod| take(Subject::Pod(pod)));
    if any(&services::measures) {
        let services: Vec<Service> = review.list(SERVICES, namespace).await?;
        services.iter().for_each(|service| take(Subject::Service(service)));
    }
    if any(&claims::measures) {
        let claims: Vec<PersistentVolumeClaim> = review.list(VOLUMES, namespace).await?;
        claims.iter().for_each(|claim| take(Subject::Volume(claim)));
    }
    if of_devices {
        let classes = Classes::new(review.list(DEVICE_CLASSES, "").await?.into_iter().map(Arc::new));
        let list: Vec<ResourceClaim> = review.list(DEVICES, namespace).await?;
        let list: Vec<Arc<ResourceClaim>> = list.into_iter().map(Arc::new).collect();
        let pods = pods_by_name(known);
        let claims = Claims::new(list.clone(), |name| pods.get(name).cloned());
        for claim in &list {
            take(Subject::Devices { claim, classes: &classes, charged: &claims.charged(claim, now) });
        }
    }
    let is_special = |name: &str| {
        pods::measures(name) || services::measures(name) || claims::measures(name) || name.starts_with(devices::COUNT)
    };
    for name in lowered.iter().filter(|name| !is_special(name)) {
        let Some(counted) = names::counted(name) else { continue };
        let objects = objects(review, counted).await?;
        let number = names::number(if requirements.is_empty() { objects } else { 0 });
        used.insert((*name).to_owned(), number);
    }
    Ok(used)
}

/// How many objects of a resource there are in the namespace.
async fn objects(review: &Review<'_>, counted: &str) -> Result<usize, Status> {
    let engine = review.call.engine;
    let resources = engine.registry.resources();
    let found = resources.iter().find(|resource| resource.kind.names().group_resource().to_string() == counted);
    let Some(found) = found.filter(|resource| resource.kind.names().namespaced) else { return Ok(0) };
    let prefix = prefix(&found.storage.path, review.call.namespace())?;
    let snapshot = engine.store().snapshot(&prefix, At::Known).await.map_err(read_failed)?;
    Ok(snapshot.range(&prefix, None).count())
}
