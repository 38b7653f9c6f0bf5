//! The return to an old template that the API had once: clients of `apps/v1` change the template themselves, but the
//! annotation that stands for the old field is still heeded.

use client::events::EventType;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;

use super::revision::{Annotations, ROLLBACK_TO, is_own};
use super::template::{self, HASH_LABEL};
use crate::plan::{Plan, Report, reference};

const NOT_FOUND: &str = "DeploymentRollbackRevisionNotFound";
const UNCHANGED: &str = "DeploymentRollbackTemplateUnchanged";
const DONE: &str = "DeploymentRollback";

/// The revision to which the Deployment is to return; 0 is the last but the present one.
pub(super) fn target(deployment: &Deployment) -> Option<i64> {
    deployment.metadata.annotations.as_ref()?.get(ROLLBACK_TO)?.parse().ok()
}

/// Returns to `target`, if there is a ReplicaSet of that revision, and takes the request away in any case. `sets` are all
/// ReplicaSets with their revisions, and `has_new` says whether one of them has the present template.
pub(super) fn plan(deployment: &Deployment, target: i64, sets: &[(Option<i64>, &ReplicaSet)], has_new: bool) -> Plan {
    let mut plan = Plan::new();
    let mut new = deployment.clone();
    new.metadata.annotations.get_or_insert_default().remove(ROLLBACK_TO);
    let target = if target == 0 { last(sets, has_new) } else { Some(target) };
    let Some(target) = target else {
        plan.update(deployment, &new);
        plan.event(deployment, EventType::Warning, NOT_FOUND, "Unable to find last revision.");
        return plan;
    };
    let name = deployment.metadata.name.as_deref().unwrap_or_default();
    let found = sets.iter().find(|(revision, _)| *revision == Some(target));
    let template = found.and_then(|(_, set)| set.spec.template.as_ref());
    match (found, template) {
        (Some((_, set)), Some(template)) if !template::is_same(template, &deployment.spec.template) => {
            new.spec.template = without_hash(template);
            new.metadata.annotations = Some(annotations(&new, set));
            let message = format!("Rolled back deployment \"{name}\" to revision {target}");
            let report = Report { regarding: reference(deployment), done: Some((DONE, message)), failed: None };
            if let Some(action) = plan.update(deployment, &new) {
                action.reporting(report);
            }
        }
        (Some(_), _) => {
            let message = format!("The rollback revision contains the same template as current deployment \"{name}\"");
            plan.update(deployment, &new);
            plan.event(deployment, EventType::Warning, UNCHANGED, message);
        }
        (None, _) => {
            plan.update(deployment, &new);
            plan.event(deployment, EventType::Warning, NOT_FOUND, "Unable to find the revision to rollback to.");
        }
    }
    plan
}

/// The highest revision but that of the present template.
fn last(sets: &[(Option<i64>, &ReplicaSet)], has_new: bool) -> Option<i64> {
    let mut revisions: Vec<i64> = sets.iter().filter_map(|(revision, _)| *revision).collect();
    revisions.sort_unstable();
    let last = revisions.len().checked_sub(if has_new { 2 } else { 1 })?;
    Some(revisions[last]).filter(|revision| *revision > 0)
}

fn without_hash(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut template = template.clone();
    if let Some(labels) = template.metadata.as_mut().and_then(|meta| meta.labels.as_mut()) {
        labels.remove(HASH_LABEL);
    }
    template
}

/// The Deployment's own annotations, and those that it had when the ReplicaSet was new.
fn annotations(deployment: &Deployment, set: &ReplicaSet) -> Annotations {
    let kept = deployment.metadata.annotations.iter().flatten().filter(|(key, _)| is_own(key));
    let returned = set.metadata.annotations.iter().flatten().filter(|(key, _)| !is_own(key));
    kept.chain(returned).map(|(key, value)| (key.clone(), value.clone())).collect()
}
