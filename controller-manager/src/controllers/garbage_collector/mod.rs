//! Deletes objects whose owners are all gone, and lets owners go as their deletion asks for.
//!
//! An owner is the object that a reference names: by group and kind, by name in the dependent's own namespace (in none, if
//! its kind is in none), and by uid. What holds:
//!
//! - An object with a solid owner, one that is there and does not wait for its dependents, is never deleted. References
//!   to others are removed from it.
//! - An object without one is deleted, if it has references at all: after each absent owner was confirmed to be absent at
//!   the server, and only if the object is still as it was when that was decided.
//! - An owner with the finalizer `foregroundDeletion` keeps it until no dependent blocks its deletion, and one with
//!   `orphan` until no dependent refers to it.
//! - What cannot be judged stays: references to kinds that are not served, and references from objects that are in no
//!   namespace to objects that are in one.

mod changes;
mod owners;
#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;
mod waiting;

use std::time::Duration;

use client::cache::{Cache, Served};
use client::resource::{AnyObject, Key, Resource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::controller::{Controller, Moment, Watches};
use crate::plan::{Plan, Target};
use owners::Owned;

/// By which an owner is kept until its dependents do not refer to it any longer.
const ORPHAN: &str = "orphan";
/// By which an owner is kept until the dependents are gone that block its deletion.
const FOREGROUND: &str = "foregroundDeletion";
/// Events own nothing and are owned by nothing, and there are many.
const IGNORED: [&str; 2] = ["events", "events.events.k8s.io"];
/// When to look again at what depends on what the server serves, as often as that is asked for.
const DISCOVERY: Duration = Duration::from_secs(30);
/// When to look again at what depends on what is about to be known.
const SOON: Duration = Duration::from_secs(1);

/// The controller.
pub struct GarbageCollector;

/// An object with something to decide about it.
pub struct Observed {
    target: Target,
    object: AnyObject,
    state: State,
}

/// What there is to decide.
enum State {
    /// Too little is known yet: what the server serves, or what there is of it.
    Unseen,
    /// It goes, and its dependents stay: these.
    Orphaning(Vec<(Resource, AnyObject)>),
    /// It goes after its dependents, and no dependent holds it any longer.
    Released,
    /// It stays if its owners do.
    Owned(Owned),
}

impl Controller for GarbageCollector {
    const NAME: &'static str = "garbage-collector-controller";
    // As many as upstream has.
    const WORKERS: usize = 20;
    type Observed = Observed;

    fn watches(&self) -> Watches {
        Watches::on_everything(changes::concerned)
    }

    fn observe(&self, cache: &Cache, key: &Key) -> Option<Observed> {
        if IGNORED.contains(&&*key.resource) {
            return None;
        }
        let object = cache.any(key)?;
        let resource = cache.resource(&key.resource)?;
        let state = state(cache, &key.resource, object.meta())?;
        Some(Observed { target: Target::meta(resource, object.meta()), object, state })
    }

    fn reconcile(&self, observed: &Observed, _: &Moment) -> Plan {
        let mut plan = Plan::new();
        let Observed { target, object, state } = observed;
        match state {
            State::Unseen => plan.look_again(SOON),
            State::Orphaning(dependents) => waiting::orphan(&mut plan, target, object.meta(), dependents),
            State::Released => waiting::finalize(&mut plan, target, object.meta(), FOREGROUND),
            State::Owned(owned) => owned.judge(&mut plan, target, object.meta()),
        }
        plan
    }
}

/// What there is to decide about an object, if anything.
fn state(cache: &Cache, resource: &str, meta: &ObjectMeta) -> Option<State> {
    let uid = meta.uid.as_deref()?;
    let served = cache.served();
    if served.is_empty() {
        return Some(State::Unseen);
    }
    let known = served.iter().find(|served| *served.resource.name() == *resource)?;
    if !known.can("delete") {
        return None;
    }
    if (orphans(meta) || waits(meta)) && served.iter().any(|served| is_expected(cache, served)) {
        return Some(State::Unseen);
    }
    if orphans(meta) {
        return Some(State::Orphaning(cache.dependents(uid)));
    }
    if waits(meta) {
        return waiting::is_released(cache, uid).then_some(State::Released);
    }
    if is_going(meta) {
        return None;
    }
    Owned::of(cache, &served, meta).map(State::Owned)
}

/// Whether there may be dependents of this resource that cannot be seen yet.
fn is_expected(cache: &Cache, served: &Served) -> bool {
    let verbs = ["delete", "list", "watch"];
    let is_kept = verbs.iter().all(|verb| served.can(verb)) && !IGNORED.contains(&&*served.resource.name());
    is_kept && cache.expects(&served.resource)
}

/// Whether an object is on its way out, from where there is no return.
fn is_going(meta: &ObjectMeta) -> bool {
    meta.deletion_timestamp.is_some()
}

/// Whether an object is deleted as soon as its dependents have forgotten it.
fn orphans(meta: &ObjectMeta) -> bool {
    is_going(meta) && has_finalizer(meta, ORPHAN)
}

/// Whether an object is deleted as soon as no dependent blocks that.
fn waits(meta: &ObjectMeta) -> bool {
    is_going(meta) && has_finalizer(meta, FOREGROUND)
}

fn has_finalizer(meta: &ObjectMeta, finalizer: &str) -> bool {
    meta.finalizers.iter().flatten().any(|known| known == finalizer)
}

/// The version that an object must still have when it is written.
fn version(meta: &ObjectMeta) -> String {
    meta.resource_version.clone().unwrap_or_default()
}
