//! What to do about the pods of an object, and what its status is to say.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use super::status::{Failing, Tally, count};
use super::{Observed, Replicated, is_deleted, wanted};
use crate::controller::Moment;
use crate::plan::{Attempt, Fact, Plan, Report, reference};
use crate::pods::{adopted, from_template, node, released, sort_by_deletion};

const FAILED_CREATE: &str = "FailedCreate";
const FAILED_DELETE: &str = "FailedDelete";

/// Decides.
pub(super) fn decide<K: Replicated>(observed: &Observed<K>, moment: &Moment) -> Plan {
    let owner = &*observed.owner;
    let mut plan = Plan::new();
    if !claim(observed, &mut plan) {
        return plan;
    }
    let tally = count(owner, pods(observed).map(|pod| &**pod), observed.terminating, moment.now);
    let failing = failing(observed, &tally, moment);
    let has_failed = failing.is_some();
    let status = owner.counted(&tally, failing);
    let updated = (owner.status() != Some(&status)).then(|| owner.with_status(status));
    let update = |plan: &mut Plan| {
        if let Some(updated) = &updated {
            plan.update_status(owner, updated);
        }
    };
    // What failed will probably fail again, and end the plan.
    if has_failed {
        update(&mut plan);
    }
    let room = plan.room() - usize::from(updated.is_some() && !has_failed);
    manage(observed, moment, room, &mut plan);
    if !has_failed {
        update(&mut plan);
    }
    if let Some(next) = tally.next {
        plan.look_again(next);
    }
    plan
}

/// The pods that count, or will when they are adopted.
fn pods<K>(observed: &Observed<K>) -> impl Iterator<Item = &Arc<Pod>> {
    observed.active.iter().chain(&observed.orphans)
}

/// Lets go and adopts pods. Returns whether nothing is left to claim.
fn claim<K: Replicated>(observed: &Observed<K>, plan: &mut Plan) -> bool {
    let owner = &*observed.owner;
    if is_deleted(owner) {
        return true;
    }
    let uid = owner.metadata().uid.as_deref().unwrap_or_default();
    // One action is to demand that the owner be alive, another may be to write the status.
    let most = plan.room() - 2;
    for pod in observed.strays.iter().take(most) {
        plan.update(&**pod, &released(&**pod, uid));
    }
    let left = most.saturating_sub(observed.strays.len());
    let adoptable = &observed.orphans[..observed.orphans.len().min(left)];
    if !adoptable.is_empty() {
        plan.confirm(owner, Fact::Alive);
    }
    for pod in adoptable {
        plan.update(&**pod, &adopted(&**pod, owner));
    }
    observed.strays.len() + observed.orphans.len() <= most
}

/// Creates the pods that are missing, or deletes those that are too many, by at most `room` actions.
fn manage<K: Replicated>(observed: &Observed<K>, moment: &Moment, room: usize, plan: &mut Plan) {
    let owner = &*observed.owner;
    if is_deleted(owner) {
        return;
    }
    let (present, wanted) = (observed.active.len() + observed.orphans.len(), wanted(owner));
    if present < wanted {
        create(observed, (wanted - present).min(room), plan);
    } else if present > wanted {
        let mut pods: Vec<Arc<Pod>> = pods(observed).cloned().collect();
        if wanted > 0 {
            let crowd = |pod: &Pod| node(pod).and_then(|node| observed.crowds.get(node)).copied().unwrap_or(0);
            sort_by_deletion(&mut pods, crowd, moment.now);
        }
        for pod in pods.iter().take((present - wanted).min(room)) {
            plan.delete(&**pod).reporting(Report {
                regarding: reference(owner),
                done: Some(("SuccessfulDelete", "Deleted pod: {name}".to_owned())),
                failed: Some((FAILED_DELETE, "Error deleting: {error}".to_owned())),
            });
        }
    }
}

fn create<K: Replicated>(observed: &Observed<K>, number: usize, plan: &mut Plan) {
    let owner = &*observed.owner;
    let Some(template) = owner.template().filter(|_| observed.can_create) else { return };
    let pod = from_template(template, owner);
    for _ in 0..number {
        plan.create(&pod).reporting(Report {
            regarding: reference(owner),
            done: Some(("SuccessfulCreate", "Created pod: {name}".to_owned())),
            failed: Some((FAILED_CREATE, "Error creating: {error}".to_owned())),
        });
    }
}

/// What the status is to say about the last attempt, if that failed and there is still reason for another.
fn failing<K: Replicated>(observed: &Observed<K>, tally: &Tally, moment: &Moment) -> Option<Failing> {
    let owner = &*observed.owner;
    let failure = moment.failure.as_ref().filter(|_| !is_deleted(owner))?;
    let (present, wanted) = (usize::try_from(tally.replicas).unwrap_or(0), wanted(owner));
    let (reason, message) = match failure.attempt {
        Attempt::Create if present < wanted && observed.can_create && !failure.is_of_ending_namespace() => {
            (FAILED_CREATE, failure.message.clone())
        }
        // That a pod is gone already is no failure to delete it.
        Attempt::Delete if present > wanted && !matches!(failure.reason.as_str(), "Conflict" | "NotFound") => {
            (FAILED_DELETE, format!("unable to delete pods: {}", failure.message))
        }
        _ => return None,
    };
    Some(Failing { reason, message, since: moment.now })
}
