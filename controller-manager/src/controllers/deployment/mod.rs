//! Deployments: keeps a ReplicaSet for the template of each, and moves its pods there from the ReplicaSets of former
//! templates, all at once or within the budget of a rolling update.
//!
//! One plan is one step: it changes sizes so far as what is seen allows, and says in the status how far things are. At
//! every moment the ReplicaSets want no more pods in sum than the budget has, unless the user has just made it smaller,
//! and no pod that is available goes while it is needed.

mod budget;
mod claim;
mod proportional;
mod revision;
mod rollback;
mod rollout;
mod status;
mod template;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use api::selector::label::{self, Selector};
use client::cache::Cache;
use client::events::EventType;
use client::resource::Key;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;

use crate::controller::{Controller, Moment, Pair, Watches};
use crate::plan::Plan;
use crate::pods::{controller_of, is_terminal};
use claim::Claims;
use rollout::Rollout;

/// The controller.
pub struct Deployments;

/// A Deployment and its ReplicaSets.
pub struct Observed {
    deployment: Arc<Deployment>,
    /// Whether it selects every pod there is.
    selects_everything: bool,
    claims: Claims,
    /// Which of its own ReplicaSets has its template: of several the oldest.
    new: Option<usize>,
    /// Whether there are pods that have to be gone before there are new ones.
    waits: bool,
    /// What the ReplicaSet for its template is called, if there is none and it is time for one.
    next: Option<Next>,
}

/// The name of a ReplicaSet that is to be.
struct Next {
    hash: String,
    name: String,
    /// Whether there is another of this name.
    is_taken: bool,
}

impl Controller for Deployments {
    const NAME: &'static str = "deployment-controller";
    type Observed = Observed;

    fn watches(&self) -> Watches {
        Watches::on::<Deployment>().owned::<ReplicaSet>().mapped::<ReplicaSet>(adopters).mapped::<Pod>(waiting)
    }

    fn observe(&self, cache: &Cache, key: &Key) -> Option<Observed> {
        let deployment = cache.get::<Deployment>(&key.namespace, &key.name)?;
        let selector = label::from_api(Some(&deployment.spec.selector)).ok()?;
        let mut observed = Observed {
            deployment,
            selects_everything: selector.is_everything(),
            claims: Claims::default(),
            new: None,
            waits: false,
            next: None,
        };
        if observed.selects_everything {
            return Some(observed);
        }
        observed.claims = Claims::find(cache, &observed.deployment, &selector);
        let spec = &observed.deployment.spec;
        let own = &observed.claims.own;
        let template = |set: &ReplicaSet| {
            set.spec.template.as_ref().is_some_and(|template| template::is_same(template, &spec.template))
        };
        observed.new = own.iter().position(|set| template(set));
        if !budget::is_rolling(spec) {
            let old = own.iter().enumerate().filter(|(i, _)| Some(*i) != observed.new);
            observed.waits = old.into_iter().any(|(_, set)| has_pods(cache, set));
        }
        let is_still = spec.paused == Some(true) || observed.deployment.metadata.deletion_timestamp.is_some();
        if observed.new.is_none() && !observed.waits && !is_still {
            observed.next = Some(next(cache, &observed.deployment));
        }
        Some(observed)
    }

    fn reconcile(&self, observed: &Observed, moment: &Moment) -> Plan {
        let deployment = &*observed.deployment;
        let mut plan = Plan::new();
        if observed.selects_everything {
            refuse(deployment, &mut plan);
            return plan;
        }
        observed.claims.settle(deployment, &mut plan);
        if !plan.is_empty() {
            return plan;
        }
        Rollout::new(observed, moment).plan(moment.failure.as_ref())
    }
}

/// Whether a ReplicaSet wants or has pods, or there are pods of it that have not ended.
fn has_pods(cache: &Cache, set: &ReplicaSet) -> bool {
    let pods = || cache.controlled::<Pod>(set.metadata.uid.as_deref().unwrap_or_default());
    budget::wanted(set) > 0
        || set.status.as_ref().is_some_and(|status| status.replicas > 0)
        || pods().iter().any(|pod| !is_terminal(pod))
}

fn next(cache: &Cache, deployment: &Deployment) -> Next {
    let collisions = deployment.status.as_ref().and_then(|status| status.collision_count);
    let hash = template::hash(&deployment.spec.template, collisions);
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let name = template::replica_set_name(&text(&deployment.metadata.name), &hash);
    let is_taken = cache.get::<ReplicaSet>(&text(&deployment.metadata.namespace), &name).is_some();
    Next { hash, name, is_taken }
}

/// Says once of each generation that nothing is done about it.
fn refuse(deployment: &Deployment, plan: &mut Plan) {
    let status = deployment.status.clone().unwrap_or_default();
    let generation = deployment.metadata.generation;
    if status.observed_generation.unwrap_or(0) >= generation.unwrap_or(0) {
        return;
    }
    let message = "This deployment is selecting all pods. A non-empty selector is required.";
    plan.event(deployment, EventType::Warning, "SelectingAll", message);
    let mut new = deployment.clone();
    new.status.get_or_insert_default().observed_generation = generation;
    plan.update_status(deployment, &new);
}

/// The Deployments that may want to adopt a ReplicaSet.
fn adopters(cache: &Cache, pair: &Pair<ReplicaSet>) -> Vec<Key> {
    let Some(new) = pair.new.as_deref().filter(|set| controller_of(&set.metadata).is_none()) else {
        return Vec::new();
    };
    if let Some(old) = pair.old.as_deref()
        && controller_of(&old.metadata).is_none()
        && old.metadata.labels == new.metadata.labels
    {
        return Vec::new();
    }
    let selects = |deployment: &Arc<Deployment>| {
        let selector = label::from_api(Some(&deployment.spec.selector)).unwrap_or(Selector::Nothing);
        !selector.is_everything() && selector.matches(&new.metadata.labels)
    };
    let deployments = cache.list::<Deployment>(Some(new.metadata.namespace.as_deref().unwrap_or_default()));
    deployments.iter().filter(|deployment| selects(deployment)).map(|deployment| Key::to(&**deployment)).collect()
}

/// The Deployment that may have waited for a pod to be gone.
fn waiting(cache: &Cache, pair: &Pair<Pod>) -> Vec<Key> {
    let ended = |pod: &Option<Arc<Pod>>| pod.as_ref().is_none_or(|pod| is_terminal(pod));
    let Some(pod) = pair.old.as_deref().filter(|pod| !is_terminal(pod) && ended(&pair.new)) else { return Vec::new() };
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let deployment = || {
        let owner = controller_of(&pod.metadata).filter(|owner| owner.kind == "ReplicaSet")?;
        let set = cache.get::<ReplicaSet>(namespace, &owner.name)?;
        let owner = controller_of(&set.metadata).filter(|owner| owner.kind == "Deployment")?;
        cache.get::<Deployment>(namespace, &owner.name)
    };
    let waits = deployment().filter(|deployment| !budget::is_rolling(&deployment.spec));
    waits.iter().map(|deployment| Key::to(&**deployment)).collect()
}
