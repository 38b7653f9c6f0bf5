//! `metav1.Status`: the one shape in which the API reports failure, and success that has no object to show.
//!
//! Reasons, codes, messages and JSON field order are those of `k8s.io/apimachinery/pkg/api/errors`, because clients
//! match on all of them.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::field::{ErrorList, go_quote};
use crate::partial::ListMeta;

mod reason;
pub use reason::Reason;

/// Cause reason of a response that no API server made.
pub const CAUSE_UNEXPECTED_SERVER_RESPONSE: &str = "UnexpectedServerResponse";
/// Cause reason of a server-side apply that would take fields from another manager.
pub const CAUSE_FIELD_MANAGER_CONFLICT: &str = "FieldManagerConflict";
/// Cause reason of a read at a revision that the server has not reached.
pub const CAUSE_RESOURCE_VERSION_TOO_LARGE: &str = "ResourceVersionTooLarge";
/// Cause reason of a create in a namespace that is being deleted.
pub const CAUSE_NAMESPACE_TERMINATING: &str = "NamespaceTerminating";

/// A resource of a group, such as `deployments` of `apps`. Displays as `deployments.apps`, or `pods` in the core group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupResource {
    /// The group, empty for the core group.
    pub group: Cow<'static, str>,
    /// The resource in the plural, as in a URL.
    pub resource: Cow<'static, str>,
}

/// A kind of a group, such as `Deployment` of `apps`. Displays as `Deployment.apps`, or `Pod` in the core group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupKind {
    /// The group, empty for the core group.
    pub group: Cow<'static, str>,
    /// The kind.
    pub kind: Cow<'static, str>,
}

impl GroupResource {
    /// `resource` of `group`.
    pub fn new(group: impl Into<Cow<'static, str>>, resource: impl Into<Cow<'static, str>>) -> Self {
        Self { group: group.into(), resource: resource.into() }
    }

    fn is_empty(&self) -> bool {
        self.group.is_empty() && self.resource.is_empty()
    }
}

impl GroupKind {
    /// `kind` of `group`.
    pub fn new(group: impl Into<Cow<'static, str>>, kind: impl Into<Cow<'static, str>>) -> Self {
        Self { group: group.into(), kind: kind.into() }
    }
}

impl fmt::Display for GroupResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        qualified(f, &self.resource, &self.group)
    }
}

impl fmt::Display for GroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        qualified(f, &self.kind, &self.group)
    }
}

fn qualified(f: &mut fmt::Formatter<'_>, name: &str, group: &str) -> fmt::Result {
    if group.is_empty() { f.write_str(name) } else { write!(f, "{name}.{group}") }
}

/// The outcome of a request, as an error type and as the body of a response. Displays as its message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    #[serde(rename = "kind", default)]
    kind: KindStatus,
    #[serde(rename = "apiVersion", default)]
    api_version: VersionV1,
    /// Set only by an expired list, whose `continue` tells how to go on.
    #[serde(default)]
    pub metadata: Box<ListMeta>,
    /// Whether the request succeeded.
    #[serde(default, skip_serializing_if = "Outcome::is_unset")]
    pub status: Outcome,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// For machines.
    #[serde(default, skip_serializing_if = "Reason::is_unknown")]
    pub reason: Reason,
    /// What the request was about, and what exactly was wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<StatusDetails>>,
    /// The HTTP status code, 0 when unset.
    #[serde(default, skip_serializing_if = "is_zero_code")]
    pub code: u16,
}

/// Whether a request succeeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It did.
    Success,
    /// It did not.
    Failure,
    /// The response does not say.
    #[default]
    #[serde(rename = "", other)]
    Unset,
}

impl Outcome {
    fn is_unset(&self) -> bool {
        *self == Self::Unset
    }
}

/// What a request was about, and what exactly was wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatusDetails {
    /// Name of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Group of the resource.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The resource in the plural; for an invalid object, its kind.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Identity of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// The single faults.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<StatusCause>,
    /// Seconds that a client should wait before it tries again; 0 is unset.
    #[serde(skip_serializing_if = "is_zero_seconds")]
    pub retry_after_seconds: i32,
}

/// One fault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusCause {
    /// For machines.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub reason: Cow<'static, str>,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Path of the field in the request's body.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum KindStatus {
    #[default]
    #[serde(rename = "Status")]
    Status,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum VersionV1 {
    #[default]
    #[serde(rename = "v1", alias = "meta.k8s.io/v1")]
    V1,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

/// Constructors, one for each way of failing.
impl Status {
    /// 200: done, with nothing to show but what it was done to.
    pub fn success(details: Option<StatusDetails>) -> Self {
        Self { status: Outcome::Success, code: 200, details: details.map(Box::new), ..Self::empty() }
    }

    /// 404: no such object.
    pub fn not_found(resource: &GroupResource, name: &str) -> Self {
        Self::about(Reason::NotFound, resource, name, format!("{resource} {} not found", go_quote(name)))
    }

    /// 409: the name is taken.
    pub fn already_exists(resource: &GroupResource, name: &str) -> Self {
        Self::about(Reason::AlreadyExists, resource, name, format!("{resource} {} already exists", go_quote(name)))
    }

    /// 409: every name that was generated is taken.
    pub fn generate_name_conflict(resource: &GroupResource, name: &str, retry_after_seconds: i32) -> Self {
        let message = format!(
            "{resource} {} already exists, the server was not able to generate a unique name for the object",
            go_quote(name)
        );
        Self::about(Reason::AlreadyExists, resource, name, message).with_retry_after(retry_after_seconds)
    }

    /// 401: who is asking is not known. An empty `message` becomes `not authorized`; the API server itself answers
    /// `Unauthorized`.
    pub fn unauthorized(message: &str) -> Self {
        Self::of(Reason::Unauthorized, if message.is_empty() { "not authorized" } else { message })
    }

    /// 403: who is asking may not, or nobody may.
    pub fn forbidden(resource: &GroupResource, name: &str, why: impl fmt::Display) -> Self {
        let message = if resource.is_empty() {
            format!("forbidden: {why}")
        } else if name.is_empty() {
            format!("{resource} is forbidden: {why}")
        } else {
            format!("{resource} {} is forbidden: {why}", go_quote(name))
        };
        Self::about(Reason::Forbidden, resource, name, message)
    }

    /// 409: the object is not in the state that the request presumes.
    pub fn conflict(resource: &GroupResource, name: &str, why: impl fmt::Display) -> Self {
        let message = format!("Operation cannot be fulfilled on {resource} {}: {why}", go_quote(name));
        Self::about(Reason::Conflict, resource, name, message)
    }

    /// 409: a server-side apply would take fields from other managers.
    pub fn apply_conflict(causes: Vec<StatusCause>, message: impl Into<String>) -> Self {
        Self::of(Reason::Conflict, message).with_details(StatusDetails { causes, ..Default::default() })
    }

    /// 410: what was asked for is gone for good.
    pub fn gone(message: impl Into<String>) -> Self {
        Self::of(Reason::Gone, message)
    }

    /// 410: the resource version is older than the history.
    pub fn resource_expired(message: impl Into<String>) -> Self {
        Self::of(Reason::Expired, message)
    }

    /// 422: the object breaks the rules of its kind.
    pub fn invalid(kind: &GroupKind, name: &str, errors: &ErrorList) -> Self {
        let mut message = format!("{kind} {} is invalid", go_quote(name));
        if !errors.is_empty() {
            message.push_str(&format!(": {errors}"));
        }
        Self::of(Reason::Invalid, message).with_details(StatusDetails {
            name: name.to_owned(),
            group: kind.group.to_string(),
            kind: kind.kind.to_string(),
            causes: errors.causes(),
            ..Default::default()
        })
    }

    /// 400: the request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::of(Reason::BadRequest, message)
    }

    /// 429: not now; `message` says why, in full.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: i32) -> Self {
        Self::of(Reason::TooManyRequests, message).with_retry_after(retry_after_seconds)
    }

    /// 503: the server cannot answer at all for the time being.
    pub fn service_unavailable(message: impl Into<String>) -> Self {
        Self::of(Reason::ServiceUnavailable, message)
    }

    /// 405: the resource exists, but not with this verb.
    pub fn method_not_supported(resource: &GroupResource, action: &str) -> Self {
        let message = format!("{action} is not supported on resources of kind {}", go_quote(&resource.to_string()));
        Self::about(Reason::MethodNotAllowed, resource, "", message)
    }

    /// 500: a passing fault; the same request may succeed later.
    pub fn server_timeout(resource: &GroupResource, operation: &str, retry_after_seconds: i32) -> Self {
        let message = format!(
            "The {operation} operation against {resource} could not be completed at this time, please try again."
        );
        Self::about(Reason::ServerTimeout, resource, operation, message).with_retry_after(retry_after_seconds)
    }

    /// 500: a fault of the server's.
    pub fn internal_error(why: impl fmt::Display) -> Self {
        let cause = StatusCause { message: why.to_string(), ..Default::default() };
        Self::of(Reason::InternalError, format!("Internal error occurred: {why}"))
            .with_details(StatusDetails { causes: vec![cause], ..Default::default() })
    }

    /// 504: no answer in time; the operation may still complete.
    pub fn timeout(message: &str, retry_after_seconds: i32) -> Self {
        Self::of(Reason::Timeout, format!("Timeout: {message}")).with_retry_after(retry_after_seconds)
    }

    /// 413: the body exceeds a bound.
    pub fn request_entity_too_large(message: &str) -> Self {
        Self::of(Reason::RequestEntityTooLarge, format!("Request entity too large: {message}"))
    }

    /// 406: none of the media types that the client takes is among `accepted`.
    pub fn not_acceptable(accepted: &[&str]) -> Self {
        let message = format!("only the following media types are accepted: {}", accepted.join(", "));
        Self::of(Reason::NotAcceptable, message)
    }

    /// 415: the body's media type is none of `accepted`.
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::of(Reason::UnsupportedMediaType, message)
    }

    /// What a client makes of a response with an HTTP code and no usable Status in its body; also what a server answers
    /// for a path that it does not know.
    pub fn generic_server_response(response: &GenericResponse<'_>) -> Self {
        let (reason, mut message) = reason::of_response(response);
        let verb = response.verb.to_lowercase();
        let GenericResponse { resource, name, .. } = response;
        match (resource.is_empty(), name.is_empty()) {
            (false, false) => message.push_str(&format!(" ({verb} {resource} {name})")),
            (false, true) => message.push_str(&format!(" ({verb} {resource})")),
            (true, _) => {}
        }
        let mut status = Self::about(reason, resource, name, message).with_retry_after(response.retry_after_seconds);
        status.code = response.code;
        if response.unexpected {
            let cause = StatusCause {
                reason: CAUSE_UNEXPECTED_SERVER_RESPONSE.into(),
                message: response.message.to_owned(),
                ..Default::default()
            };
            status.details_mut().causes.push(cause);
        }
        status
    }

    /// A failure with `reason`, the code that goes with it and no details.
    pub fn of(reason: Reason, message: impl Into<String>) -> Self {
        Self { status: Outcome::Failure, message: message.into(), code: reason.code(), reason, ..Self::empty() }
    }

    /// The same with other details.
    #[must_use]
    pub fn with_details(mut self, details: StatusDetails) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    /// The same with advice on when to try again.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: i32) -> Self {
        self.details_mut().retry_after_seconds = seconds;
        self
    }

    /// The same with one more cause.
    #[must_use]
    pub fn with_cause(mut self, cause: StatusCause) -> Self {
        self.details_mut().causes.push(cause);
        self
    }

    fn about(reason: Reason, resource: &GroupResource, name: &str, message: String) -> Self {
        Self::of(reason, message).with_details(StatusDetails {
            name: name.to_owned(),
            group: resource.group.to_string(),
            kind: resource.resource.to_string(),
            ..Default::default()
        })
    }

    fn details_mut(&mut self) -> &mut StatusDetails {
        self.details.get_or_insert_default()
    }

    fn empty() -> Self {
        Self {
            kind: KindStatus::Status,
            api_version: VersionV1::V1,
            metadata: Box::default(),
            status: Outcome::Unset,
            message: String::new(),
            reason: Reason::Unknown,
            details: None,
            code: 0,
        }
    }
}

/// What is known of a response that carries no usable Status.
#[derive(Clone, Debug, Default)]
pub struct GenericResponse<'a> {
    /// The HTTP status code.
    pub code: u16,
    /// The request's HTTP method.
    pub verb: &'a str,
    /// What the request was about; empty when that is not known.
    pub resource: GroupResource,
    /// The object's name, or empty.
    pub name: &'a str,
    /// The response's body.
    pub message: &'a str,
    /// The response's `Retry-After`, or 0.
    pub retry_after_seconds: i32,
    /// Whether the body should have been a Status and was not.
    pub unexpected: bool,
}

/// Predicates.
impl Status {
    /// Whether this failure is `reason`: it says so, or it gives no known reason and the code that goes with `reason`.
    pub fn is(&self, reason: &Reason) -> bool {
        if self.reason == *reason {
            return true;
        }
        match reason {
            // No code is theirs alone.
            Reason::AlreadyExists | Reason::Expired | Reason::ServerTimeout | Reason::StoreReadError => false,
            Reason::TooManyRequests | Reason::RequestEntityTooLarge => self.code == reason.code(),
            _ => !self.reason.is_known() && self.code == reason.code() && self.code != 0,
        }
    }

    /// The first cause with this reason.
    pub fn cause(&self, reason: &str) -> Option<&StatusCause> {
        self.details.as_ref()?.causes.iter().find(|cause| cause.reason == reason)
    }

    /// How many seconds a client should wait, where the failure says so.
    pub fn suggests_client_delay(&self) -> Option<i32> {
        let seconds = self.details.as_ref()?.retry_after_seconds;
        (self.reason == Reason::ServerTimeout || seconds > 0).then_some(seconds)
    }
}

// serde passes a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
const fn is_zero_code(code: &u16) -> bool {
    *code == 0
}

#[allow(clippy::trivially_copy_pass_by_ref)]
const fn is_zero_seconds(seconds: &i32) -> bool {
    *seconds == 0
}

#[cfg(test)]
mod tests;
