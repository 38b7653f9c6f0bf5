//! The subresources of pods that are not a part of the pod: `binding` and `eviction`.

use api::schema::{self, Schema};
use api::status::{GroupKind, Status};
use http::StatusCode;
use k8s_openapi::api::core::v1::{Binding, Pod};
use k8s_openapi::api::policy::v1::Eviction;
use serde::de::DeserializeOwned;
use store::At;

use super::body::Body;
use super::update::{self, Change, Current};
use super::{Answer, Call, answer, delete, read};
use crate::object::Object;
use crate::request::{DeleteOptions, FieldValidation, Preconditions, Propagation, WriteOptions};
use crate::resources::pod::{binding, eviction};

/// Assigns the pod to a node.
pub(crate) async fn bind(call: &Call<'_>, body: &Body) -> Result<Answer, Status> {
    let options = WriteOptions::parse(call.query, "CreateOptions")?;
    let binding: Binding = decode(body, ("", "v1", "Binding"))?;
    let name = &call.target.name;
    if binding.metadata.name.as_deref().unwrap_or_default() != name {
        return Err(Status::bad_request("name in URL does not match name in Binding object"));
    }
    let errors = binding::validate(&binding);
    if !errors.is_empty() {
        return Err(Status::invalid(&GroupKind::new("", "Binding"), name, &errors));
    }
    update::change(call, &Bind(binding), Some("binding"), &options).await?;
    success(call)
}

struct Bind(Binding);

impl Change for Bind {
    fn apply(&self, call: &Call<'_>, old: Option<&Current>) -> Result<Box<dyn Object>, Status> {
        change_pod(call, old, |pod| binding::bind(pod, &self.0, call.now))
    }
}

/// Ends the pod on behalf of somebody who wants it away from its node.
pub(crate) async fn evict(call: &Call<'_>, body: &Body) -> Result<Answer, Status> {
    let options = WriteOptions::parse(call.query, "CreateOptions")?;
    let eviction: Eviction = decode(body, ("policy", "v1", "Eviction"))?;
    let dry_run = eviction::check(&eviction, &call.target.name, options.dry_run)?;
    let wanted = deletion(eviction, dry_run)?;
    let stored = read::current(call, &call.target.name, At::Latest).await?;
    delete::check_preconditions(call, &wanted, &Current::new(call, &stored)?)?;
    let options = WriteOptions { dry_run, field_validation: FieldValidation::Ignore };
    update::change(call, &MarkEvicted, Some("eviction"), &options).await?;
    // Marking it has changed its version; which version the client meant has been checked.
    let preconditions = Preconditions { resource_version: None, ..wanted.preconditions };
    delete::delete_one(call, &call.target.name, &DeleteOptions { preconditions, ..wanted }).await?;
    success(call)
}

struct MarkEvicted;

impl Change for MarkEvicted {
    fn apply(&self, call: &Call<'_>, old: Option<&Current>) -> Result<Box<dyn Object>, Status> {
        change_pod(call, old, |pod| {
            eviction::mark_evicted(pod, call.now);
            Ok(())
        })
    }
}

fn change_pod(
    call: &Call<'_>,
    old: Option<&Current>,
    change: impl FnOnce(&mut Pod) -> Result<(), Status>,
) -> Result<Box<dyn Object>, Status> {
    let old = old.ok_or_else(|| Status::not_found(&call.group_resource(), &call.target.name))?;
    let mut object = old.object.copy();
    let pod = object.as_any_mut().downcast_mut::<Pod>().ok_or_else(|| Status::internal_error("not a pod"))?;
    change(pod)?;
    Ok(object)
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
    })
}

fn decode<T: DeserializeOwned>(body: &Body, of: (&str, &str, &str)) -> Result<T, Status> {
    let (group, version, kind) = of;
    let failed = |error: &dyn std::fmt::Display| {
        Status::bad_request(format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {error}"))
    };
    let json = body.json()?;
    let value = match Schema::of(group, version, kind) {
        Some(of) => schema::decode(&json, of).map_err(|error| failed(&error))?.0,
        None => serde_json::from_slice(&json).map_err(|error| failed(&error))?,
    };
    serde_json::from_value(value).map_err(|error| failed(&error))
}

/// What upstream answers when it has done what was asked.
fn success(call: &Call<'_>) -> Result<Answer, Status> {
    let mut status = Status::success(None);
    status.code = StatusCode::CREATED.as_u16();
    answer::other(call, StatusCode::CREATED, serde_json::to_vec(&status).map_err(Status::internal_error)?)
}
