//! `binding`, and what it has in common with `eviction`: subresources of pods that are not a part of the pod.

use api::schema::{self, Schema};
use api::status::{GroupKind, Status};
use http::StatusCode;
use k8s_openapi::api::core::v1::{Binding, Pod};
use serde::de::DeserializeOwned;

use super::body::Body;
use super::update::{self, Change, Current};
use super::{Answer, Call, answer};
use crate::object::Object;
use crate::request::WriteOptions;
use crate::resources::pod::binding;

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

/// The pod with a change made to it.
pub(super) fn change_pod(
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

/// The body as what it should be.
pub(super) fn decode<T: DeserializeOwned>(body: &Body, of: (&str, &str, &str)) -> Result<T, Status> {
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
pub(super) fn success(call: &Call<'_>) -> Result<Answer, Status> {
    let mut status = Status::success(None);
    status.code = StatusCode::CREATED.as_u16();
    answer::other(call, StatusCode::CREATED, serde_json::to_vec(&status).map_err(Status::internal_error)?)
}
