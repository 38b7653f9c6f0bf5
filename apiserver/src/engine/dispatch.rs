//! From a verb and a target to what answers it.

use api::status::{GenericResponse, GroupResource, Status, StatusDetails};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::body::Body;
use super::{Answer, Call, create, delete, eviction, list, patch, pods, read, scale, tokens, unstored, update, watch};
use crate::request::{ListOptions, Target, Verb};

/// Answers a request for a resource that is served.
///
/// Boxed, because the compiler does not see through all that is awaited below that it may be sent between threads.
pub fn dispatch<'a>(call: &'a Call<'a>, body: &'a Body) -> BoxFuture<'a, Result<Answer, Status>> {
    choose(call, body).boxed()
}

async fn choose(call: &Call<'_>, body: &Body) -> Result<Answer, Status> {
    let kind = call.kind();
    let subresource = call.target.subresource.as_str();
    if is_astray(call) {
        return Err(not_served());
    }
    if is_deprecated(call) {
        call.annotate("k8s.io/deprecated", "true");
    }
    if !kind.is_stored() {
        return unstored::dispatch(call, body).await;
    }
    if subresource.is_empty() {
        return on_object(call, body).await;
    }
    if subresource == "scale" && kind.has_scale() {
        return match call.target.verb {
            Verb::Get => scale::get(call).await,
            Verb::Update => scale::update(call, body).await,
            Verb::Patch => scale::patch(call, body).await,
            _ => Err(not_allowed()),
        };
    }
    if kind.update_subresources().contains(&subresource) {
        return match call.target.verb {
            Verb::Get => read::get(call).await,
            Verb::Update => update::update(call, body, Some(subresource)).await,
            Verb::Patch => patch::patch(call, body, Some(subresource)).await,
            _ => Err(not_allowed()),
        };
    }
    let stated = crate::discovery::subresource(kind, subresource);
    match (call.names().group.as_ref(), call.names().plural.as_ref(), subresource) {
        ("", "pods", "binding") if call.target.verb == Verb::Create => pods::bind(call, body).await,
        ("", "pods", "eviction") if call.target.verb == Verb::Create => eviction::evict(call, body).await,
        ("", "serviceaccounts", "token") if call.target.verb == Verb::Create => tokens::issue(call, body).await,
        _ if stated.is_some() => Err(not_allowed()),
        _ => Err(not_served()),
    }
}

/// Whether the path goes through a namespace to something that is in none. Rights in that namespace are not rights to it.
/// A Namespace itself is in its own, and in no other.
fn is_astray(call: &Call<'_>) -> bool {
    let Target { namespace, resource, name, .. } = call.target;
    !call.names().namespaced && !namespace.is_empty() && (resource != "namespaces" || namespace != name)
}

/// Whether upstream means to serve this no longer some day. Whoever audits requests can tell who still asks for it.
fn is_deprecated(call: &Call<'_>) -> bool {
    let names = call.names();
    names.group.is_empty() && matches!(names.plural.as_ref(), "componentstatuses" | "endpoints")
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
        _ => Err(not_allowed()),
    }
}

/// The path is served, and not with this method.
pub(crate) fn not_allowed() -> Status {
    no_route(405)
}

/// There is nothing at the path. The client knows what it asked for, and upstream's router does not repeat it.
pub(crate) fn not_served() -> Status {
    no_route(404)
}

fn no_route(code: u16) -> Status {
    let resource = GroupResource::new("", "");
    let response =
        GenericResponse { code, verb: "", resource, name: "", message: "", retry_after_seconds: 0, unexpected: false };
    Status::generic_server_response(&response).with_details(StatusDetails::default())
}
