//! Which objects are to be looked at after a change.
//!
//! Whatever a decision depends on is named here, except what the server serves: a new object and one whose references
//! change; the dependents of one that goes, or begins to wait for them; the owners that wait for one that goes, or no longer
//! refers to them.

use std::sync::Arc;

use client::cache::{Cache, Change};
use client::resource::Key;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::{is_going, waits};

/// The keys of the objects that a change concerns.
pub(super) fn concerned(cache: &Cache, change: &Change) -> Vec<Key> {
    let old = change.old.as_ref().map(|object| object.meta());
    let new = change.new.as_ref().map(|object| object.meta());
    match (old, new) {
        (Some(old), Some(new)) if old.uid == new.uid => changed(cache, &change.resource, old, new),
        (old, new) => {
            let mut keys = old.map(|old| went(cache, old)).unwrap_or_default();
            keys.extend(new.into_iter().flat_map(|new| came(cache, &change.resource, new)));
            keys
        }
    }
}

fn came(cache: &Cache, resource: &Arc<str>, new: &ObjectMeta) -> Vec<Key> {
    let mut keys = Vec::new();
    if !references(new).is_empty() || is_going(new) {
        keys.push(Key::in_resource(resource, new));
    }
    // Only now can it be seen that references name it from where it cannot be seen.
    let elsewhere = |dependent: &ObjectMeta| new.namespace.is_some() && dependent.namespace != new.namespace;
    keys.extend(dependents(cache, new, |dependent| waits(new) || elsewhere(dependent)));
    keys
}

fn changed(cache: &Cache, resource: &Arc<str>, old: &ObjectMeta, new: &ObjectMeta) -> Vec<Key> {
    let mut keys = Vec::new();
    let refers_as_before = references(old) == references(new);
    let goes_as_before = is_going(old) == is_going(new) && old.finalizers == new.finalizers;
    if !refers_as_before || (is_going(new) && !goes_as_before) {
        keys.push(Key::in_resource(resource, new));
    }
    if !refers_as_before {
        keys.extend(waiting_owners(cache, references(old).iter().filter(|owner| !references(new).contains(owner))));
    }
    if waits(new) && !waits(old) {
        keys.extend(dependents(cache, new, |_| true));
    }
    keys
}

fn went(cache: &Cache, old: &ObjectMeta) -> Vec<Key> {
    let mut keys = dependents(cache, old, |_| true);
    keys.extend(waiting_owners(cache, references(old).iter()));
    keys
}

fn references(meta: &ObjectMeta) -> &[OwnerReference] {
    meta.owner_references.as_deref().unwrap_or_default()
}

fn dependents(cache: &Cache, owner: &ObjectMeta, concerns: impl Fn(&ObjectMeta) -> bool) -> Vec<Key> {
    let Some(uid) = owner.uid.as_deref() else { return Vec::new() };
    let dependents = cache.dependents(uid);
    let concerned = dependents.iter().filter(|(_, object)| concerns(object.meta()));
    concerned.map(|(resource, object)| Key::in_resource(&resource.name(), object.meta())).collect()
}

fn waiting_owners<'a>(cache: &Cache, references: impl Iterator<Item = &'a OwnerReference>) -> Vec<Key> {
    let owners = references.filter_map(|reference| cache.with_uid(&reference.uid));
    let waiting = owners.filter(|(_, owner)| waits(owner.meta()));
    waiting.map(|(resource, owner)| Key::in_resource(&resource.name(), owner.meta())).collect()
}
