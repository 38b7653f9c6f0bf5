//! How a server asks itself for what a cluster is to have: as a client would, through the engine and all its rules.

use api::status::Status;
use http::HeaderMap;
use serde_json::Value;

use crate::engine::{Body, Call, Engine, Payload, dispatch};
use crate::request::{Query, Target, Verb};

/// Where objects are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    /// Empty for resources without namespaces.
    pub(super) namespace: &'static str,
    pub(super) resource: &'static str,
    /// Empty for the object itself.
    pub(super) subresource: &'static str,
}

impl Place {
    /// A resource without namespaces.
    pub(super) const fn of(group: &'static str, version: &'static str, resource: &'static str) -> Place {
        Place { group, version, namespace: "", resource, subresource: "" }
    }

    /// In a namespace.
    pub(super) const fn within(self, namespace: &'static str) -> Place {
        Place { namespace, ..self }
    }

    /// A subresource of its objects.
    pub(super) const fn part(self, subresource: &'static str) -> Place {
        Place { subresource, ..self }
    }
}

impl Engine {
    /// Answers what this server asks itself; `name` is empty for a list, and for what is to be created.
    pub(super) async fn ask(
        &self,
        place: Place,
        verb: Verb,
        name: &str,
        body: Option<&Value>,
    ) -> Result<Value, Status> {
        let Place { group, version, namespace, resource, subresource } = place;
        let resources = self.registry.resources();
        let served = resources.find(group, version, resource);
        let served = served.ok_or_else(|| Status::internal_error(format!("{resource}.{group} are not served")))?;
        let target = Target {
            verb,
            group: group.to_owned(),
            version: version.to_owned(),
            namespace: namespace.to_owned(),
            resource: resource.to_owned(),
            name: name.to_owned(),
            subresource: subresource.to_owned(),
        };
        let (query, headers) = (Query::default(), HeaderMap::new());
        let call = Call::new(self, &target, served, &query, &headers);
        let body = body.map(Value::to_string).unwrap_or_default();
        let bytes = match dispatch(&call, &Body::new(&headers, body.into())).await?.payload {
            Payload::Whole(bytes) => bytes,
            Payload::Pieces(pieces) => pieces.concat().into(),
            Payload::Stream(_) => return Err(Status::internal_error("no watch was asked for")),
        };
        serde_json::from_slice(&bytes).map_err(Status::internal_error)
    }
}

/// Another server may do the same at the same time.
pub(super) fn unless_conflict(outcome: Result<Value, Status>) -> Result<(), Status> {
    match outcome {
        Ok(_) => Ok(()),
        Err(status) if status.code == 409 => Ok(()),
        Err(status) => Err(status),
    }
}

/// What is not there is null, and what another server has deleted is deleted.
pub(super) fn unless_missing(outcome: Result<Value, Status>) -> Result<Value, Status> {
    match outcome {
        Err(status) if status.code == 404 => Ok(Value::Null),
        outcome => outcome,
    }
}

/// The name of an object.
pub(super) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}
