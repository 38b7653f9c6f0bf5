//! ResourceQuotas: what a write takes is charged to the quotas of its namespace before it is done, and a write that would take
//! more than there is left is refused.
//!
//! A charge is a conditional write of a quota's status. So however many servers share a store, no two of them give away the same
//! remainder. Where a write fails that was charged for, the charge is given back, if it is certain that nobody has counted
//! again since; otherwise the controller's next count finds out. As upstream, limits hold from when the controller has first
//! counted, and are those that the status states.
//!
//! What the controller counts may be older than charges that are in the quota already. So a count that is lower than what is
//! known here is refused as a conflict, and comes again.

mod charges;
mod judge;
mod recount;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use api::quota::devices::{Claims, Classes};
use api::quota::{Subject, claims};
use api::status::{GroupResource, Status};
use futures::FutureExt;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, ResourceQuota, Service};
use k8s_openapi::api::resource::v1::ResourceClaim;
use store::{At, Prefix};

use super::{Operation, Review, typed};
use crate::engine::read_failed;
use crate::entry::ROOT;
use crate::object::Object;
use crate::reservation::Reservation;
pub(crate) use charges::Quotas;
use charges::{Charge, Refusal};
use judge::Demand;

/// Where quotas are stored.
const QUOTAS: &str = "core/resourcequotas";
const PODS: &str = "core/pods";
const SERVICES: &str = "core/services";
const VOLUMES: &str = "core/persistentvolumeclaims";
const DEVICES: &str = "resource.k8s.io/resourceclaims";
const DEVICE_CLASSES: &str = "resource.k8s.io/deviceclasses";

/// Charges a write to the quotas of its namespace, or refuses it. This comes after all that may refuse it for other reasons.
pub(crate) async fn charge(
    review: &Review<'_>,
    new: &dyn Object,
    old: Option<&dyn Object>,
    dry_run: bool,
) -> Result<Reservation, Status> {
    let namespace = review.call.namespace();
    if namespace.is_empty() {
        return Ok(Reservation::none());
    }
    if &*review.call.resource.storage.path == QUOTAS && review.subresource == "status" {
        recount::check(review, new, old).await?;
        return Ok(Reservation::none());
    }
    if !is_measured(review, new, old) || !has_quotas(review, namespace).await? {
        return Ok(Reservation::none());
    }
    let (classes, charged) = devices(review, new).await?;
    let demand = Demand {
        new: new.copy(),
        old: old.map(Object::copy),
        resource: review.call.group_resource().to_string(),
        classes,
        charged,
        is_limited: review.subresource != "status",
        dry_run,
        now: review.call.now,
    };
    let engine = review.call.engine;
    let charges = charges::submit(engine, namespace, demand).await.map_err(|refusal| match refusal {
        Refusal::Forbidden(why) => review.forbidden(new, why),
        Refusal::Failed(status) => status,
        Refusal::Changed(quota) => {
            Status::conflict(&GroupResource::new("", "resourcequotas"), &quota, crate::engine::MODIFIED)
        }
    })?;
    if charges.is_empty() {
        return Ok(Reservation::none());
    }
    Ok(reservation(engine, namespace, charges))
}

/// Keeps charges if the write succeeds, and gives them back if not.
fn reservation(engine: &crate::engine::Engine, namespace: &str, charges: Vec<Charge>) -> Reservation {
    // Whichever of the two runs has them.
    let charges = Arc::new(parking_lot::Mutex::new(charges));
    let (kept, given_back) = (Arc::clone(&charges), charges);
    let (engine, namespace) = (engine.clone(), namespace.to_owned());
    let commit = async move { kept.lock().clear() };
    let roll_back = async move {
        let charges = std::mem::take(&mut *given_back.lock());
        charges::give_back(&engine, &namespace, charges).await;
    };
    Reservation::new(commit.boxed(), roll_back.boxed())
}

/// Whether a write can take anything of a quota. Pods take no more once they are there, unless they are resized.
fn is_measured(review: &Review<'_>, new: &dyn Object, old: Option<&dyn Object>) -> bool {
    let part = review.subresource;
    match (&*review.call.resource.storage.path, review.operation) {
        ("core/events", _) => false,
        (_, Operation::Create) => part.is_empty(),
        (PODS, Operation::Update) => part == "resize",
        (SERVICES | DEVICES, Operation::Update) => part.is_empty(),
        (VOLUMES, Operation::Update) => part.is_empty() || (part == "status" && is_replenished(new, old)),
        (_, Operation::Update | Operation::Delete) => false,
    }
}

/// Whether the status of a volume claim says something new of what quotas measure.
fn is_replenished(new: &dyn Object, old: Option<&dyn Object>) -> bool {
    let claim = |object: &dyn Object| typed::<PersistentVolumeClaim>(object).cloned();
    let (Some(new), Some(old)) = (claim(new), old.and_then(claim)) else { return false };
    let allocated = |claim: &PersistentVolumeClaim| claim.status.as_ref().and_then(|it| it.allocated_resources.clone());
    allocated(&new) != allocated(&old) || claims::attributes_classes(&new) != claims::attributes_classes(&old)
}

fn prefix(path: &str, namespace: &str) -> Result<Prefix, Status> {
    let within = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
    Prefix::new(&format!("{ROOT}{path}/{within}")).map_err(Status::internal_error)
}

async fn has_quotas(review: &Review<'_>, namespace: &str) -> Result<bool, Status> {
    let prefix = prefix(QUOTAS, namespace)?;
    let snapshot = review.call.engine.store().snapshot(&prefix, At::Known).await.map_err(read_failed)?;
    Ok(snapshot.range(&prefix, None).next().is_some())
}

/// What is to be known besides of a claim of devices.
async fn devices(review: &Review<'_>, new: &dyn Object) -> Result<(Classes, api::pod_resources::List), Status> {
    let Some(claim) = typed::<ResourceClaim>(new) else {
        return Ok((Classes::default(), api::pod_resources::List::new()));
    };
    let namespace = review.call.namespace();
    let classes = review.list(DEVICE_CLASSES, "").await?;
    let classes = Classes::new(classes.into_iter().map(Arc::new));
    let claims: Vec<ResourceClaim> = review.list(DEVICES, namespace).await?;
    let known = claims.into_iter().filter(|known| known.metadata.name != claim.metadata.name).map(Arc::new);
    let claims: Vec<Arc<ResourceClaim>> = known.chain([Arc::new(claim.clone())]).collect();
    let pods = pods_by_name(review.list(PODS, namespace).await?);
    let claims = Claims::new(claims, |name| pods.get(name).cloned());
    Ok((classes, claims.charged(claim, review.call.now)))
}

fn pods_by_name(pods: Vec<Pod>) -> std::collections::BTreeMap<String, Arc<Pod>> {
    pods.into_iter().map(|pod| (pod.metadata.name.clone().unwrap_or_default(), Arc::new(pod))).collect()
}

/// What an object is to quotas.
fn subject<'a>(object: &'a dyn Object, demand: &'a Demand) -> Subject<'a> {
    if let Some(pod) = typed::<Pod>(object) {
        Subject::Pod(pod)
    } else if let Some(service) = typed::<Service>(object) {
        Subject::Service(service)
    } else if let Some(claim) = typed::<PersistentVolumeClaim>(object) {
        Subject::Volume(claim)
    } else if let Some(claim) = typed::<ResourceClaim>(object) {
        Subject::Devices { claim, classes: &demand.classes, charged: &demand.charged }
    } else {
        Subject::Other(&demand.resource)
    }
}

/// A quota, as it is stored.
fn read(bytes: &[u8]) -> Result<ResourceQuota, Status> {
    serde_json::from_slice(bytes).map_err(Status::internal_error)
}
