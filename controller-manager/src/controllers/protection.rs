//! The finalizer by which an object is kept from those who delete it while others use it. The API server gives it to new ones
//! (admission/storage_protection.rs); those from before, or to whom somebody denied it, get it here.

use client::resource::Kind;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

use crate::plan::Plan;

fn has(meta: &ObjectMeta, finalizer: &str) -> bool {
    meta.finalizers.iter().flatten().any(|known| known == finalizer)
}

/// Whether an object is there for as long as it has its finalizer.
pub(super) fn is_held(meta: &ObjectMeta, finalizer: &str) -> bool {
    meta.deletion_timestamp.is_some() && has(meta, finalizer)
}

/// Whether an object has to get its finalizer. One that is being deleted can get none any more.
pub(super) fn is_bare(meta: &ObjectMeta, finalizer: &str) -> bool {
    meta.deletion_timestamp.is_none() && !has(meta, finalizer)
}

/// Gives an object its finalizer.
pub(super) fn hold<K: Kind + Serialize>(plan: &mut Plan, object: &K, finalizer: &str) {
    let mut held = object.clone();
    held.metadata_mut().finalizers.get_or_insert_default().push(finalizer.to_owned());
    plan.update(object, &held);
}

/// Takes its finalizer off an object.
pub(super) fn release<K: Kind + Serialize>(plan: &mut Plan, object: &K, finalizer: &str) {
    let mut released = object.clone();
    let finalizers = released.metadata().finalizers.iter().flatten();
    let others: Vec<String> = finalizers.filter(|known| *known != finalizer).cloned().collect();
    released.metadata_mut().finalizers = Some(others).filter(|others| !others.is_empty());
    plan.update(object, &released);
}
