//! Which ReplicaSets are a Deployment's: those that name it as their controller and match its selector.
//!
//! One that matches and has no controller is adopted, and one that does not match any longer is released. A Deployment
//! that is being deleted does neither, and before it adopts anything the server is asked whether it still is.

use std::sync::Arc;

use api::selector::label::Selector;
use client::cache::Cache;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::revision;
use crate::plan::{Fact, Plan, controller_reference};

/// The ReplicaSets that a Deployment has to do with.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Its own, from the oldest to the newest.
    pub(super) own: Vec<Arc<ReplicaSet>>,
    /// Those that it is to adopt.
    orphans: Vec<Arc<ReplicaSet>>,
    /// Those that it is to release.
    strays: Vec<Arc<ReplicaSet>>,
}

impl Claims {
    pub(super) fn find(cache: &Cache, deployment: &Deployment, selector: &Selector) -> Claims {
        let meta = &deployment.metadata;
        let mut controlled = cache.controlled::<ReplicaSet>(meta.uid.as_deref().unwrap_or_default());
        controlled.retain(|set| set.metadata.namespace == meta.namespace);
        let matches = |set: &Arc<ReplicaSet>| selector.matches(&set.metadata.labels);
        let (mut own, mut strays): (Vec<_>, Vec<_>) = controlled.into_iter().partition(matches);
        own.sort_by(|a, b| revision::age(a).cmp(&revision::age(b)));
        if meta.deletion_timestamp.is_some() {
            strays.clear();
            return Claims { own, orphans: Vec::new(), strays };
        }
        let mut orphans = cache.uncontrolled::<ReplicaSet>(meta.namespace.as_deref().unwrap_or_default());
        orphans.retain(|set| matches(set) && set.metadata.deletion_timestamp.is_none());
        Claims { own, orphans, strays }
    }

    /// Adopts and releases. Nothing else is to be done before that is.
    pub(super) fn settle(&self, deployment: &Deployment, plan: &mut Plan) {
        if !self.orphans.is_empty() {
            plan.confirm(deployment, Fact::Alive);
        }
        let released = |owners: &mut Vec<OwnerReference>| {
            owners.retain(|owner| Some(&owner.uid) != deployment.metadata.uid.as_ref());
        };
        let adopted = |owners: &mut Vec<OwnerReference>| {
            released(owners);
            owners.push(controller_reference(deployment));
        };
        let adoptions = self.orphans.iter().map(|set| (set, with_owners(set, adopted)));
        let releases = self.strays.iter().map(|set| (set, with_owners(set, released)));
        for (old, new) in adoptions.chain(releases).take(plan.room()) {
            plan.update(&**old, &new);
        }
    }
}

fn with_owners(set: &ReplicaSet, change: impl Fn(&mut Vec<OwnerReference>)) -> ReplicaSet {
    let mut owners = set.metadata.owner_references.clone().unwrap_or_default();
    change(&mut owners);
    let owner_references = Some(owners).filter(|owners| !owners.is_empty());
    ReplicaSet { metadata: ObjectMeta { owner_references, ..set.metadata.clone() }, ..set.clone() }
}
