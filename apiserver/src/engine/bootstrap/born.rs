//! The objects that every cluster is born with, besides its namespaces. What is missing is made at every start.

use api::status::Status;
use http::HeaderMap;
use serde_json::{Value, json};

use super::super::{Body, Call, Engine, Payload, dispatch};
use crate::request::{Query, Target, Verb};
use crate::resources::system_priority_classes;

/// The group, version and plural of a resource without namespaces.
pub(super) type ResourceName = [&'static str; 3];

const CLASSES: ResourceName = ["scheduling.k8s.io", "v1", "priorityclasses"];

impl Engine {
    /// Makes what every cluster has besides namespaces and this one lacks.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn bootstrap_born(&self) -> Result<(), Status> {
        for class in system_priority_classes() {
            let class = json!(class);
            match self.ask(CLASSES, Verb::Get, name(&class), None).await {
                Err(status) if status.code == 404 => {
                    unless_conflict(self.ask(CLASSES, Verb::Create, "", Some(&class)).await)?;
                }
                outcome => drop(outcome?),
            }
        }
        self.bootstrap_flow_control().await
    }

    /// Asks what a client would ask.
    pub(super) async fn ask(
        &self,
        [group, version, resource]: ResourceName,
        verb: Verb,
        name: &str,
        body: Option<&Value>,
    ) -> Result<Value, Status> {
        let target = Target {
            verb,
            group: group.to_owned(),
            version: version.to_owned(),
            namespace: String::new(),
            resource: resource.to_owned(),
            name: name.to_owned(),
            subresource: String::new(),
        };
        let resources = self.registry.resources();
        let served = resources.find(group, version, resource);
        let served = served.ok_or_else(|| Status::internal_error(format!("{resource}.{group} are not served")))?;
        let (query, headers) = (Query::default(), HeaderMap::new());
        let call = Call::new(self, &target, served, &query, &headers);
        let body = body.map(Value::to_string).unwrap_or_default();
        let answer = dispatch(&call, &Body::new(&headers, body.into())).await?;
        let bytes = match answer.payload {
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

pub(super) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}
