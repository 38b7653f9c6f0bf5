//! What becomes of an owner that stays until its dependents are gone, or have forgotten it.

use std::collections::BTreeSet;

use client::cache::Cache;
use client::resource::{AnyObject, Resource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::json;

use super::{ORPHAN, version, waits};
use crate::plan::{Effect, Plan, Target};

/// How many objects that wait for each other are looked through for a circle.
const MOST_IN_CIRCLE: usize = 1000;

/// Whether nothing holds an owner any longer that waits for its dependents.
pub(super) fn is_released(cache: &Cache, uid: &str) -> bool {
    blocking(cache, uid).is_empty() || waits_for_itself(cache, uid)
}

/// The dependents that block the deletion of an owner.
fn blocking(cache: &Cache, owner: &str) -> Vec<AnyObject> {
    let blocks = |reference: &OwnerReference| reference.uid == owner && reference.block_owner_deletion == Some(true);
    let dependents = cache.dependents(owner).into_iter().map(|(_, object)| object);
    dependents.filter(|object| object.meta().owner_references.iter().flatten().any(blocks)).collect()
}

/// Whether an owner waits for nothing but objects that wait, too, and at last for itself: then none of them would ever go.
fn waits_for_itself(cache: &Cache, owner: &str) -> bool {
    let mut seen = BTreeSet::from([owner.to_owned()]);
    let mut rest = vec![owner.to_owned()];
    let mut comes_back = false;
    while let Some(uid) = rest.pop() {
        let blocking = blocking(cache, &uid);
        // One that nothing blocks goes by itself, and those behind it after it.
        if blocking.is_empty() || seen.len() > MOST_IN_CIRCLE {
            return false;
        }
        for dependent in blocking {
            let Some(uid) = dependent.meta().uid.clone().filter(|_| waits(dependent.meta())) else { return false };
            comes_back |= uid == owner;
            if seen.insert(uid.clone()) {
                rest.push(uid);
            }
        }
    }
    comes_back
}

/// Removes the references of all dependents to an owner, and then lets it go.
pub(super) fn orphan(plan: &mut Plan, owner: &Target, meta: &ObjectMeta, dependents: &[(Resource, AnyObject)]) {
    for (resource, dependent) in dependents {
        if plan.room() == 0 {
            return;
        }
        let references = dependent.meta().owner_references.iter().flatten();
        let rest = references.filter(|reference| reference.uid != owner.uid).cloned().collect();
        refer(plan, Target::meta(resource.clone(), dependent.meta()), dependent.meta(), rest);
    }
    if plan.room() > 0 {
        finalize(plan, owner, meta, ORPHAN);
    }
}

/// Replaces the references of an object, if it is still as it was.
pub(super) fn refer(plan: &mut Plan, target: Target, meta: &ObjectMeta, references: Vec<OwnerReference>) {
    let body = json!({"metadata": {"ownerReferences": references}});
    plan.act(target, Effect::Patch { subresource: None, version: version(meta), body });
}

/// Removes a finalizer, if the object is still as it was.
pub(super) fn finalize(plan: &mut Plan, target: &Target, meta: &ObjectMeta, finalizer: &str) {
    let rest: Vec<&String> = meta.finalizers.iter().flatten().filter(|known| *known != finalizer).collect();
    let body = json!({"metadata": {"finalizers": rest}});
    plan.act(target.clone(), Effect::Patch { subresource: None, version: version(meta), body });
}
