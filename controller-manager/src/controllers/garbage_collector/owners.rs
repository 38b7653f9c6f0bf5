//! What becomes of an object, by what there is of its owners.

use client::cache::{Cache, Served};
use client::events::EventType;
use client::resource::{Key, Resource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::waiting::refer;
use super::{DISCOVERY, FOREGROUND, IGNORED, ORPHAN, SOON, has_finalizer, version, waits};
use crate::plan::{Deletion, Effect, Fact, Plan, Propagation, Says, Target};

/// How many absent owners are confirmed to be absent in one plan.
const MOST_CONFIRMED: usize = 400;

/// What a reference refers to, as far as the cache tells.
enum Owner {
    /// An object that is there.
    Solid,
    /// An object that waits for its dependents to go.
    Waiting,
    /// An object that is not there, and would be here.
    Absent(Target),
    /// It cannot be known: the kind is not served, or not watched.
    Unknown,
    /// It is not known yet: the kind has not been listed.
    Unlisted,
    /// An object that cannot be an owner, since it would be in a namespace and its dependent is in none.
    Invalid,
}

/// The owners of an object that stays only as long as one of them does.
pub(super) struct Owned {
    /// Each reference, and what there is of it.
    owners: Vec<(OwnerReference, Owner)>,
    /// The first reference to an object that is in another namespace.
    misplaced: Option<OwnerReference>,
    /// Whether objects refer to this one, too. Not known if no owner waits.
    has_dependents: bool,
}

impl Owned {
    /// The owners of an object, if it has references.
    pub(super) fn of(cache: &Cache, served: &[Served], meta: &ObjectMeta) -> Option<Owned> {
        let references = meta.owner_references.as_deref().filter(|references| !references.is_empty())?;
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        let find = |reference: &OwnerReference| find(cache, served, namespace, reference);
        let owners: Vec<_> = references.iter().map(|reference| (reference.clone(), find(reference))).collect();
        let misplaced = owners.iter().filter(|(_, owner)| matches!(owner, Owner::Absent(_) | Owner::Invalid));
        let misplaced = misplaced.map(|(reference, _)| reference).find(|reference| {
            let known = cache.with_uid(&reference.uid);
            known.is_some_and(|(resource, owner)| resource.namespaced && owner.meta().namespace != meta.namespace)
        });
        let misplaced = misplaced.cloned();
        let has_dependents = owners.iter().any(|(_, owner)| matches!(owner, Owner::Waiting))
            && !cache.dependents(meta.uid.as_deref()?).is_empty();
        Some(Owned { owners, misplaced, has_dependents })
    }

    /// Decides what becomes of the object.
    pub(super) fn judge(&self, plan: &mut Plan, target: &Target, meta: &ObjectMeta) {
        if self.has(|owner| matches!(owner, Owner::Invalid)) {
            self.say_misplaced(plan, target);
            return;
        }
        if self.has(|owner| matches!(owner, Owner::Unknown)) {
            plan.look_again(DISCOVERY);
            return;
        }
        if self.has(|owner| matches!(owner, Owner::Unlisted)) {
            plan.look_again(SOON);
            return;
        }
        let is_solid = self.has(|owner| matches!(owner, Owner::Solid));
        let is_awaited = self.has(|owner| matches!(owner, Owner::Waiting));
        let absent: Vec<&Target> = self.owners.iter().filter_map(|(_, owner)| owner.absent()).collect();
        let in_part = absent.len() > MOST_CONFIRMED;
        if is_solid && absent.is_empty() && !is_awaited {
            return;
        }
        for owner in absent.iter().take(MOST_CONFIRMED) {
            plan.act((*owner).clone(), Effect::Confirm(Fact::Gone));
        }
        if in_part {
            // What is left is judged with the rest of the references.
            refer(plan, target.clone(), meta, self.without_absent(MOST_CONFIRMED));
        } else if is_solid {
            refer(plan, target.clone(), meta, self.solid());
        } else {
            let propagation = if is_awaited && self.has_dependents { Propagation::Foreground } else { asked_for(meta) };
            let deletion = Deletion { propagation: Some(propagation), grace_seconds: None, version: version(meta) };
            plan.act(target.clone(), Effect::Delete(deletion));
        }
        self.say_misplaced(plan, target);
    }

    fn has(&self, what: impl Fn(&Owner) -> bool) -> bool {
        self.owners.iter().any(|(_, owner)| what(owner))
    }

    /// The references to solid owners.
    fn solid(&self) -> Vec<OwnerReference> {
        let solid = self.owners.iter().filter(|(_, owner)| matches!(owner, Owner::Solid));
        solid.map(|(reference, _)| reference.clone()).collect()
    }

    /// The references without the first `count` to absent owners.
    fn without_absent(&self, count: usize) -> Vec<OwnerReference> {
        let mut left = count;
        let mut stays = |owner: &Owner| {
            let goes = owner.absent().is_some() && left > 0;
            left -= usize::from(goes);
            !goes
        };
        self.owners.iter().filter(|(_, owner)| stays(owner)).map(|(reference, _)| reference.clone()).collect()
    }

    /// Warns of a reference to an object in another namespace, in upstream's words.
    fn say_misplaced(&self, plan: &mut Plan, target: &Target) {
        let Some(OwnerReference { api_version, kind, name, uid, .. }) = &self.misplaced else { return };
        let namespace = &target.namespace;
        let message = format!(
            "ownerRef [{api_version}/{kind}, namespace: {namespace}, name: {name}, uid: {uid}] does not exist in \
             namespace {namespace:?}"
        );
        let says = Says { event_type: EventType::Warning, reason: "OwnerRefInvalidNamespace", message };
        plan.act(target.clone(), Effect::Event(says));
    }
}

impl Owner {
    fn absent(&self) -> Option<&Target> {
        match self {
            Owner::Absent(target) => Some(target),
            _ => None,
        }
    }
}

/// What there is of an owner of an object in this namespace.
fn find(cache: &Cache, served: &[Served], namespace: &str, reference: &OwnerReference) -> Owner {
    let Some(resource) = resource_of(served, reference) else { return Owner::Unknown };
    if resource.namespaced && namespace.is_empty() {
        return Owner::Invalid;
    }
    let namespace = if resource.namespaced { namespace } else { "" };
    let key = Key { resource: resource.name(), namespace: namespace.into(), name: reference.name.as_str().into() };
    match cache.any(&key).filter(|owner| owner.meta().uid.as_deref() == Some(&reference.uid)) {
        Some(owner) if waits(owner.meta()) => Owner::Waiting,
        Some(_) => Owner::Solid,
        None if !cache.has_synced(resource) => Owner::Unlisted,
        None => Owner::Absent(Target {
            resource: resource.clone(),
            namespace: namespace.to_owned(),
            name: reference.name.clone(),
            uid: reference.uid.clone(),
        }),
    }
}

/// The resource of an owner, if it can be known whether there are such objects. References state some version that was
/// served once; which one makes no difference to whether the object is there.
fn resource_of<'a>(served: &'a [Served], reference: &OwnerReference) -> Option<&'a Resource> {
    let group = reference.api_version.split_once('/').map_or("", |(group, _)| group);
    let known = served.iter().find(|known| known.resource.kind == reference.kind && known.resource.group == group)?;
    let is_watched = known.can("list") && known.can("watch") && !IGNORED.contains(&&*known.resource.name());
    is_watched.then_some(&known.resource)
}

/// How an object asks to be deleted, by the finalizers that it has.
fn asked_for(meta: &ObjectMeta) -> Propagation {
    if has_finalizer(meta, ORPHAN) {
        Propagation::Orphan
    } else if has_finalizer(meta, FOREGROUND) {
        Propagation::Foreground
    } else {
        Propagation::Background
    }
}
