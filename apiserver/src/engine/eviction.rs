//! `eviction`: ending a pod on behalf of somebody who wants it away from its node, if the PodDisruptionBudget that it is
//! under allows that.
//!
//! What the budget allows is taken from it before the pod is touched, and stays taken when the deletion fails; its controller
//! works it out anew. A pod that does not count, because it has not begun or is not ready, goes without the budget's leave, and
//! only as it was seen, so that it cannot come to count in between.

use api::status::{Reason, Status};
use http::{HeaderMap, StatusCode};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{Eviction, PodDisruptionBudget};
use serde_json::Value;
use store::At;

use super::body::{self, Body};
use super::pods::{change_pod, success};
use super::update::{self, Change, Changed, Current};
use super::{Answer, Call, answer, delete, read, read_failed};
use crate::admission;
use crate::object::Object;
use crate::request::{DeleteOptions, FieldValidation, Preconditions, Propagation, Query, Target, Verb, WriteOptions};
use crate::resources::disruption::{Verdict, being_processed, disrupt, judge, protects};
use crate::resources::pod::eviction;

/// How often what lost a race is tried again.
const MAX_ATTEMPTS: usize = 20;

const BUDGETS: (&str, &str, &str) = ("policy", "v1", "poddisruptionbudgets");

/// Answers the creation of an eviction.
pub(crate) async fn evict(call: &Call<'_>, body: &Body) -> Result<Answer, Status> {
    let options = WriteOptions::parse(call.query, "CreateOptions")?;
    let of = ("policy", "v1", "Eviction");
    let mut eviction: Eviction = body::decode_other(call, body, of, options.field_validation)?;
    admission::create_through(call, "eviction", &mut eviction).await?;
    let dry_run = eviction::check(&eviction, &call.target.name, options.dry_run)?;
    let wanted = deletion(eviction, dry_run)?;
    match evict_idle(call, &wanted).await? {
        None => {}
        Some(pod) => evict_guarded(call, &pod, &wanted).await?,
    }
    answer::other(call, StatusCode::CREATED, success()?)
}

/// Evicts a pod that no budget is to be asked about; returns any other.
async fn evict_idle(call: &Call<'_>, wanted: &DeleteOptions) -> Result<Option<Current>, Status> {
    let mut attempts = 0;
    loop {
        let stored = read::current(call, &call.target.name, At::Latest).await?;
        let current = Current::new(call, &call.key(&call.target.name)?, &stored)?;
        let pod = pod_of(&*current.object)?;
        if !eviction::can_evict_without_budget(pod) {
            return Ok(Some(current));
        }
        let wanted = if eviction::may_begin(pod) { as_seen(wanted, &current) } else { wanted.clone() };
        attempts += 1;
        match mark_and_delete(call, &wanted).await {
            Err(status) if retries(&status, &wanted, attempts) => {}
            outcome => return outcome.map(|()| None),
        }
    }
}

/// Evicts a pod that may be under a budget.
async fn evict_guarded(call: &Call<'_>, current: &Current, wanted: &DeleteOptions) -> Result<(), Status> {
    let pod = pod_of(&*current.object)?;
    let budgets = budgets_of(call, pod).await?;
    let budget = match budgets.as_slice() {
        [] => return mark_and_delete(call, wanted).await,
        [budget] => budget,
        _ => {
            let message =
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            let mut status = Status::of(Reason::Unknown, message);
            status.code = StatusCode::INTERNAL_SERVER_ERROR.as_u16();
            return Err(status);
        }
    };
    let name = budget.metadata.name.as_deref().unwrap_or_default();
    if judge(budget, pod) == Verdict::Guarded {
        take_disruption(call, name, wanted.dry_run).await?;
        return mark_and_delete(call, wanted).await;
    }
    match mark_and_delete(call, &as_seen(wanted, current)).await {
        // The pod has changed, and may count by now.
        Err(status) if status.code == 409 && wanted.preconditions.resource_version.is_none() => {
            Err(being_processed(name))
        }
        outcome => outcome,
    }
}

/// Whether a deletion that lost a race is worth another attempt: the client has not said which version it means.
fn retries(status: &Status, wanted: &DeleteOptions, attempts: usize) -> bool {
    status.code == 409 && wanted.preconditions.resource_version.is_none() && attempts < MAX_ATTEMPTS
}

/// The same deletion of nothing but this version, unless the client means another one.
fn as_seen(wanted: &DeleteOptions, current: &Current) -> DeleteOptions {
    let mut wanted = wanted.clone();
    wanted.preconditions.resource_version.get_or_insert_with(|| current.revision.to_string());
    wanted
}

/// Says in the pod why it goes, and deletes it.
async fn mark_and_delete(call: &Call<'_>, wanted: &DeleteOptions) -> Result<(), Status> {
    let mut wanted = wanted.clone();
    if !wanted.dry_run {
        let options = WriteOptions { dry_run: false, field_validation: FieldValidation::Ignore };
        let changed = update::change(call, &MarkEvicted(&wanted), Some("eviction"), &options).await?;
        if let Some(version) = &mut wanted.preconditions.resource_version {
            // Marking it has changed its version.
            let (Changed::Created(json) | Changed::Updated(json)) = changed;
            let pod: Value = serde_json::from_slice(&json).map_err(Status::internal_error)?;
            *version = pod["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        }
    }
    delete::delete_one(call, &call.target.name, &wanted).await.map(drop)
}

struct MarkEvicted<'a>(&'a DeleteOptions);

impl Change for MarkEvicted<'_> {
    fn apply(&self, call: &Call<'_>, old: Option<&Current>) -> Result<Box<dyn Object>, Status> {
        if let Some(old) = old {
            delete::check_preconditions(call, self.0, old)?;
        }
        change_pod(call, old, |pod| {
            eviction::mark_evicted(pod, call.now);
            Ok(())
        })
    }
}

/// The budgets of the pod's namespace that are about it.
async fn budgets_of(call: &Call<'_>, pod: &Pod) -> Result<Vec<PodDisruptionBudget>, Status> {
    let (group, version, plural) = BUDGETS;
    let resources = call.engine.registry.resources();
    let Some(resource) = resources.find(group, version, plural) else { return Ok(Vec::new()) };
    let (target, query, headers) = (target(call, ""), Query::default(), HeaderMap::new());
    let budgets = Call::new(call.engine, &target, resource, &query, &headers);
    let prefix = budgets.prefix(budgets.namespace())?;
    let snapshot = call.engine.store.snapshot(&prefix, At::Latest).await.map_err(read_failed)?;
    let mut found = Vec::new();
    for (_, stored) in snapshot.range(&prefix, None) {
        let budget: PodDisruptionBudget =
            serde_json::from_slice(stored.entry.bytes()).map_err(Status::internal_error)?;
        if protects(&budget, pod) {
            found.push(budget);
        }
    }
    Ok(found)
}

/// Takes the disruption of the pod from what the budget allows, as often as somebody else is quicker.
async fn take_disruption(call: &Call<'_>, budget: &str, dry_run: bool) -> Result<(), Status> {
    let (group, version, plural) = BUDGETS;
    let resources = call.engine.registry.resources();
    let resource = resources.find(group, version, plural);
    let resource = resource.ok_or_else(|| Status::internal_error("budgets are no longer served"))?;
    let (target, query, headers) = (target(call, budget), Query::default(), HeaderMap::new());
    let budgets = Call::new(call.engine, &target, resource, &query, &headers);
    let options = WriteOptions { dry_run, field_validation: FieldValidation::Ignore };
    let change = TakeDisruption { pod: &call.target.name };
    let mut attempts = 0;
    loop {
        attempts += 1;
        match update::change(&budgets, &change, Some("status"), &options).await {
            Err(status) if status.code == 409 && attempts < MAX_ATTEMPTS => {}
            outcome => return outcome.map(drop),
        }
    }
}

struct TakeDisruption<'a> {
    pod: &'a str,
}

impl Change for TakeDisruption<'_> {
    fn apply(&self, call: &Call<'_>, old: Option<&Current>) -> Result<Box<dyn Object>, Status> {
        let old = old.ok_or_else(|| Status::not_found(&call.group_resource(), &call.target.name))?;
        let mut object = old.object.copy();
        let budget = object.as_any_mut().downcast_mut::<PodDisruptionBudget>();
        disrupt(budget.ok_or_else(|| Status::internal_error("not a budget"))?, self.pod, call.now)?;
        Ok(object)
    }
}

/// The budgets of the pod's namespace, or one of them.
fn target(call: &Call<'_>, name: &str) -> Target {
    let (group, version, plural) = BUDGETS;
    Target {
        verb: Verb::Update,
        group: group.to_owned(),
        version: version.to_owned(),
        namespace: call.namespace().to_owned(),
        resource: plural.to_owned(),
        name: name.to_owned(),
        subresource: String::new(),
    }
}

fn pod_of(object: &dyn Object) -> Result<&Pod, Status> {
    object.as_any().downcast_ref().ok_or_else(|| Status::internal_error("not a pod"))
}

/// How the pod is to be deleted.
fn deletion(eviction: Eviction, dry_run: bool) -> Result<DeleteOptions, Status> {
    let Some(stated) = eviction.delete_options else {
        return Ok(DeleteOptions { dry_run, ..DeleteOptions::default() });
    };
    let propagation = match stated.propagation_policy.as_deref() {
        None | Some("") => None,
        Some("Orphan") => Some(Propagation::Orphan),
        Some("Background") => Some(Propagation::Background),
        Some("Foreground") => Some(Propagation::Foreground),
        Some(other) => return Err(Status::bad_request(format!("propagationPolicy: Unsupported value: {other:?}"))),
    };
    let preconditions = stated.preconditions.map_or_else(Preconditions::default, |stated| Preconditions {
        uid: stated.uid,
        resource_version: stated.resource_version,
    });
    Ok(DeleteOptions {
        grace_period_seconds: stated.grace_period_seconds,
        propagation,
        orphan_dependents: stated.orphan_dependents,
        preconditions,
        dry_run,
        ignore_read_error: false,
    })
}
