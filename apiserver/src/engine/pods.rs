//! `binding`, and what it has in common with `eviction`: subresources of pods that are not a part of the pod.

use api::status::{GroupKind, Status};
use futures::FutureExt;
use futures::future::BoxFuture;
use http::StatusCode;
use k8s_openapi::api::core::v1::{Binding, Pod};

use super::body::{self, Body};
use super::update::{self, Change, Current};
use super::{Answer, Call, answer};
use crate::object::Object;
use crate::request::{Target, WriteOptions};
use crate::resources::pod::binding;

/// Assigns the pod to a node.
pub(crate) async fn bind(call: &Call<'_>, body: &Body) -> Result<Answer, Status> {
    let options = WriteOptions::parse(call.query, "CreateOptions")?;
    let binding: Binding = body::decode_other(call, body, ("", "v1", "Binding"), options.field_validation)?;
    assign(call, binding, &options).await?;
    answer::other(call, StatusCode::CREATED, success()?)
}

/// Assigns the pod that `call` is about as `binding` says.
async fn assign(call: &Call<'_>, binding: Binding, options: &WriteOptions) -> Result<(), Status> {
    let name = &call.target.name;
    if binding.metadata.name.as_deref().unwrap_or_default() != name {
        return Err(Status::bad_request("name in URL does not match name in Binding object"));
    }
    let errors = binding::validate(&binding);
    if !errors.is_empty() {
        return Err(Status::invalid(&GroupKind::new("", "Binding"), name, &errors));
    }
    update::change(call, &Bind(binding), Some("binding"), options).await?;
    Ok(())
}

/// Answers a Binding that was created beside the pod that it names, as it was before pods had the subresource.
pub(crate) fn bind_named<'a>(
    binding: Binding,
    call: &'a Call<'a>,
    options: &'a WriteOptions,
) -> BoxFuture<'a, Result<Vec<u8>, Status>> {
    async move {
        let resources = call.engine.registry.resources();
        let pods = resources.find("", "v1", "pods").ok_or_else(super::not_served)?;
        let target = Target {
            resource: "pods".to_owned(),
            name: binding.metadata.name.clone().unwrap_or_default(),
            subresource: "binding".to_owned(),
            ..call.target.clone()
        };
        let inner = Call::new(call.engine, &target, pods, call.query, call.headers).by(call.identity);
        assign(&inner, binding, options).await?;
        inner.take_warnings().into_iter().for_each(|warning| call.warn(warning));
        inner.take_annotations().into_iter().for_each(|(key, value)| call.annotate(key, value));
        success()
    }
    .boxed()
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

/// What upstream answers when it has done what was asked.
pub(super) fn success() -> Result<Vec<u8>, Status> {
    let mut status = Status::success(None);
    status.code = StatusCode::CREATED.as_u16();
    serde_json::to_vec(&status).map_err(Status::internal_error)
}
