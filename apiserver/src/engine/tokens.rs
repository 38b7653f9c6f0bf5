//! The subresource `token` of ServiceAccounts: a signed token, bound to an object if the client wants that.

use std::borrow::Cow;

use api::field::go_quote;
use api::status::{GroupKind, GroupResource, Status};
use http::StatusCode;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestStatus};
use k8s_openapi::api::core::v1::{Node, Pod, Secret, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use store::{At, Key};

use super::body::{self, Body};
use super::{Answer, Call, answer, metadata, not_served, read, read_failed};
use crate::admission;
use crate::authn::{Binding, Reference};
use crate::entry::ROOT;
use crate::object::Object;
use crate::request::WriteOptions;
use crate::resources::token_request;

const KIND: GroupKind =
    GroupKind { group: Cow::Borrowed("authentication.k8s.io"), kind: Cow::Borrowed("TokenRequest") };

/// Answers a request for a token.
pub(crate) async fn issue(call: &Call<'_>, body: &Body) -> Result<Answer, Status> {
    let options = WriteOptions::parse(call.query, "CreateOptions")?;
    let of = ("authentication.k8s.io", "v1", "TokenRequest");
    let mut request: TokenRequest = body::decode_other(call, body, of, options.field_validation)?;
    admission::create_through(call, "token", &mut request).await?;
    let tokens = call.engine.access().service_accounts.as_ref().ok_or_else(not_served)?;
    metadata::clear(call, &mut request)?;
    let name = call.target.name.as_str();
    let errors = token_request::validate_name(&request, name);
    if !errors.is_empty() {
        return Err(Status::invalid(&KIND, name, &errors));
    }
    let stored = read::current(call, name, At::Latest).await?;
    let account: ServiceAccount = serde_json::from_slice(stored.entry.bytes()).map_err(Status::internal_error)?;
    complete(call, &mut request, &account, tokens.issuer().url())?;
    let spec = request.spec.clone().unwrap_or_default();
    let errors = token_request::validate(&spec);
    if !errors.is_empty() {
        return Err(Status::invalid(&KIND, "", &errors));
    }
    let mut binding = Binding {
        namespace: call.namespace().to_owned(),
        service_account: Reference::to(&account.metadata),
        ..Binding::default()
    };
    if let Some(reference) = &spec.bound_object_ref {
        bind(call, reference, &mut binding).await?;
    }
    let seconds = spec.expiration_seconds.unwrap_or_default();
    let audiences = spec.audiences.clone().unwrap_or_default();
    let extended = token_request::extension(&spec, binding.pod.is_some(), tokens.issuer().url());
    let extended = extended.filter(|_| tokens.issuer().extends());
    let now = call.now.as_second();
    binding.warn_after = extended.map(|_| now + seconds);
    let id = call.engine.new_uid();
    let token = tokens.issue(binding, audiences, id, now, extended.unwrap_or(seconds));
    let token = token.map_err(|why| Status::internal_error(format!("failed to generate token: {why}")))?;
    request.status =
        Some(TokenRequestStatus { expiration_timestamp: Some(Time(after(call.now, seconds))), token: Some(token) });
    answer::other(call, StatusCode::CREATED, Object::to_json(&request).map_err(Status::internal_error)?)
}

fn after(now: Timestamp, seconds: i64) -> Timestamp {
    now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

/// States what the client left out, and what only the server may state.
fn complete(call: &Call<'_>, request: &mut TokenRequest, account: &ServiceAccount, issuer: &str) -> Result<(), Status> {
    token_request::default(request, issuer);
    let meta = &mut request.metadata;
    let (stated, actual) = (meta.uid.as_deref().unwrap_or_default(), account.metadata.uid.as_deref());
    if !stated.is_empty() && Some(stated) != actual {
        let why = format!(
            "the UID in the token request ({stated}) does not match the UID of the service account ({})",
            actual.unwrap_or_default()
        );
        let resource = GroupResource::new(KIND.group, KIND.kind);
        return Err(Status::conflict(&resource, &call.target.name, why));
    }
    meta.name.clone_from(&account.metadata.name);
    meta.uid.clone_from(&account.metadata.uid);
    meta.creation_timestamp = Some(Time(call.now));
    request.status = None;
    Ok(())
}

/// Looks up the object that a token is to be bound to.
async fn bind(call: &Call<'_>, reference: &BoundObjectReference, binding: &mut Binding) -> Result<(), Status> {
    let kind = reference.kind.as_deref().unwrap_or_default();
    let stated = reference.api_version.as_deref().unwrap_or_default();
    let (group, version) = stated.split_once('/').unwrap_or(("", stated));
    let name = reference.name.as_deref().unwrap_or_default();
    let namespace = call.namespace();
    let uid = match (group, kind) {
        ("", "Pod") => {
            let pod: Pod = object(call, "pods", namespace, name).await?;
            let spec = pod.spec.as_ref();
            if spec.and_then(|spec| spec.service_account_name.as_deref()) != Some(&call.target.name) {
                return Err(Status::bad_request(format!(
                    "cannot bind token for serviceaccount {} to pod running with different serviceaccount name.",
                    go_quote(&call.target.name)
                )));
            }
            if let Some(node) = spec.and_then(|spec| spec.node_name.as_deref()).filter(|node| !node.is_empty()) {
                binding.node = Some(match object::<Node>(call, "nodes", "", node).await {
                    Ok(node) => Reference::to(&node.metadata),
                    // Its name alone tells something too.
                    Err(status) if status.code == 404 => Reference { name: node.to_owned(), uid: String::new() },
                    Err(status) => return Err(Status::internal_error(status)),
                });
            }
            bound(&pod.metadata, &mut binding.pod)
        }
        ("", "Node") => bound(&object::<Node>(call, "nodes", "", name).await?.metadata, &mut binding.node),
        ("", "Secret") => {
            bound(&object::<Secret>(call, "secrets", namespace, name).await?.metadata, &mut binding.secret)
        }
        _ => {
            let gate = match (stated, kind) {
                (
                    "admissionregistration.k8s.io/v1",
                    "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration",
                ) => " (feature gate APIServerWebhookAuthenticationToken is disabled)",
                _ => "",
            };
            let message = format!("cannot bind token to object of type {group}/{version}, Kind={kind}{gate}");
            return Err(Status::bad_request(message));
        }
    };
    let stated = reference.uid.as_deref().unwrap_or_default();
    if !stated.is_empty() && stated != uid {
        let why = format!(
            "the UID in the bound object reference ({stated}) does not match the UID in record. The object might have \
             been deleted and then recreated"
        );
        return Err(Status::conflict(&GroupResource::new("", kind.to_owned()), name, why));
    }
    Ok(())
}

/// Notes what a token is bound to, and says which UID that has.
fn bound(meta: &ObjectMeta, place: &mut Option<Reference>) -> String {
    place.insert(Reference::to(meta)).uid.clone()
}

async fn object<T: DeserializeOwned>(
    call: &Call<'_>,
    resource: &'static str,
    namespace: &str,
    name: &str,
) -> Result<T, Status> {
    let missing = || Status::not_found(&GroupResource::new("", resource), name);
    if name.is_empty() || name.contains('/') {
        return Err(missing());
    }
    let place = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
    let key = Key::new(&format!("{ROOT}core/{resource}/{place}")).map_err(|_| missing())?;
    let stored = call.engine.store.get(&key, At::Latest).await.map_err(read_failed)?.ok_or_else(missing)?;
    serde_json::from_slice(stored.entry.bytes()).map_err(Status::internal_error)
}
