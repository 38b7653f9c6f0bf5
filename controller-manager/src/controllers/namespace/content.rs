//! What is in a namespace, by resource.

use std::collections::BTreeMap;

use client::cache::{Cache, Served};
use client::resource::Resource;

use crate::plan::{Deletion, Effect, Fact, Failure, MOST_ACTIONS, Plan, Propagation, Target};

/// The objects of one resource in a namespace.
pub(super) struct Content {
    pub(super) resource: Resource,
    /// Whether the cache shows the resource.
    pub(super) is_kept: bool,
    /// Whether all objects can be deleted at once.
    at_once: bool,
    can_list: bool,
    /// How many objects are not being deleted yet.
    pub(super) living: usize,
    /// Which those are, at least the first, if they have to be deleted one by one.
    one_by_one: Vec<Target>,
    /// How many objects there are, whether they are being deleted or not.
    pub(super) remaining: usize,
    /// How many of them each finalizer holds.
    pub(super) finalizers: BTreeMap<String, usize>,
}

/// What can be in a namespace and can be deleted; pods first.
pub(super) fn of(cache: &Cache, namespace: &str) -> Vec<Content> {
    let served = cache.served();
    let deletable = served.iter().filter(|served| served.resource.namespaced && served.can("delete"));
    let mut contents: Vec<Content> = deletable.map(|served| Content::of(cache, served, namespace)).collect();
    contents.sort_by_key(|content| !content.is_of_pods());
    contents
}

impl Content {
    fn of(cache: &Cache, served: &Served, namespace: &str) -> Content {
        let Served { resource, .. } = served;
        let objects = cache.list_any(&resource.name(), Some(namespace));
        let living = || objects.iter().filter(|object| object.meta().deletion_timestamp.is_none());
        let at_once = served.can("deletecollection");
        let target = |meta| Target::meta(resource.clone(), meta);
        let one_by_one = living().take(if at_once { 0 } else { MOST_ACTIONS }).map(|object| target(object.meta()));
        let mut finalizers = BTreeMap::new();
        for finalizer in objects.iter().flat_map(|object| object.meta().finalizers.iter().flatten()) {
            *finalizers.entry(finalizer.clone()).or_default() += 1;
        }
        Content {
            resource: resource.clone(),
            is_kept: cache.has_synced(resource),
            at_once,
            can_list: served.can("list"),
            living: living().count(),
            one_by_one: one_by_one.collect(),
            remaining: objects.len(),
            finalizers,
        }
    }

    pub(super) fn is_of_pods(&self) -> bool {
        self.resource.group.is_empty() && self.resource.plural == "pods"
    }

    /// Whether it is what an action failed on.
    pub(super) fn is_target(&self, failure: &Failure) -> bool {
        failure.target.resource == self.resource
    }

    fn all(&self, namespace: &str) -> Target {
        let (namespace, name, uid) = (namespace.to_owned(), String::new(), String::new());
        Target { resource: self.resource.clone(), namespace, name, uid }
    }

    /// Deletes all objects, as far as there is room in the plan.
    pub(super) fn delete(&self, plan: &mut Plan, namespace: &str) {
        if self.at_once && plan.room() > 0 {
            plan.act(self.all(namespace), Effect::DeleteAll);
        }
        for target in self.one_by_one.iter().take(plan.room()) {
            let deletion = Deletion { propagation: Some(Propagation::Background), ..Deletion::default() };
            plan.act(target.clone(), Effect::Delete(deletion));
        }
    }

    /// Demands that there are no objects, as far as that can be asked for.
    pub(super) fn confirm(&self, plan: &mut Plan, namespace: &str) {
        if self.can_list {
            plan.act(self.all(namespace), Effect::Confirm(Fact::Empty));
        }
    }
}
