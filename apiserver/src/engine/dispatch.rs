//! From a verb and a target to what answers it.

use api::status::{GenericResponse, Status};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::body::Body;
use super::{Answer, Call, create, delete, list, patch, pods, read, scale, update, watch};
use crate::request::{ListOptions, Verb};

/// Answers a request for a resource that is served.
///
/// Boxed, because the compiler does not see through all that is awaited below that it may be sent between threads.
pub fn dispatch<'a>(call: &'a Call<'a>, body: &'a Body) -> BoxFuture<'a, Result<Answer, Status>> {
    choose(call, body).boxed()
}

async fn choose(call: &Call<'_>, body: &Body) -> Result<Answer, Status> {
    let kind = call.kind();
    let subresource = call.target.subresource.as_str();
    if !call.names().namespaced && !call.target.namespace.is_empty() && call.target.resource != "namespaces" {
        return Err(not_served(call));
    }
    if subresource.is_empty() {
        return on_object(call, body).await;
    }
    if subresource == "scale" && kind.has_scale() {
        return match call.target.verb {
            Verb::Get => scale::get(call).await,
            Verb::Update => scale::update(call, body).await,
            Verb::Patch => scale::patch(call, body).await,
            verb => Err(not_allowed(call, verb)),
        };
    }
    if kind.update_subresources().contains(&subresource) {
        return match call.target.verb {
            Verb::Get => read::get(call).await,
            Verb::Update => update::update(call, body, Some(subresource)).await,
            Verb::Patch => patch::patch(call, body, Some(subresource)).await,
            verb => Err(not_allowed(call, verb)),
        };
    }
    let stated = crate::discovery::subresource(kind, subresource);
    match (call.names().group.as_ref(), call.names().plural.as_ref(), subresource) {
        ("", "pods", "binding") if call.target.verb == Verb::Create => pods::bind(call, body).await,
        ("", "pods", "eviction") if call.target.verb == Verb::Create => pods::evict(call, body).await,
        _ if stated.is_some() => Err(not_allowed(call, call.target.verb)),
        _ => Err(not_served(call)),
    }
}

async fn on_object(call: &Call<'_>, body: &Body) -> Result<Answer, Status> {
    let named = !call.target.name.is_empty();
    match call.target.verb {
        Verb::Get => read::get(call).await,
        Verb::List => list::list(call, ListOptions::parse(call.query, false)?).await,
        Verb::Watch => watch::watch(call, ListOptions::parse(call.query, true)?).await,
        Verb::Create if !named => create::create(call, body).await,
        Verb::Update if named => update::update(call, body, None).await,
        Verb::Patch if named => patch::patch(call, body, None).await,
        Verb::Delete => delete::delete(call, body).await,
        // A collection across all namespaces is not to be deleted by one request.
        Verb::DeleteCollection if !call.names().namespaced || !call.namespace().is_empty() => {
            delete::delete_collection(call, body).await
        }
        verb => Err(not_allowed(call, verb)),
    }
}

/// The resource is served, and not in this way.
pub(crate) fn not_allowed(call: &Call<'_>, verb: Verb) -> Status {
    Status::method_not_supported(&call.group_resource(), verb.as_str())
}

/// There is no such subresource.
pub(crate) fn not_served(call: &Call<'_>) -> Status {
    Status::generic_server_response(&GenericResponse {
        code: 404,
        verb: "",
        resource: call.group_resource(),
        name: &call.target.name,
        message: "the server could not find the requested resource",
        retry_after_seconds: 0,
        unexpected: false,
    })
}
