//! What a server makes sure of before it serves: the namespaces that every cluster has, and the claims of Services.

mod api_services;
mod born;
mod flow_control;
mod kubernetes_service;

use api::status::Status;
use http::HeaderMap;
use k8s_openapi::api::core::v1::Service;
use serde_json::json;
use store::{At, Prefix};

use super::{Body, Call, Engine, dispatch, read_failed};
use crate::entry::ROOT;
use crate::request::{Query, Target, Verb};
use crate::resources::service::{Orphans, Report, repair};

pub use self::kubernetes_service::Location;

/// The namespaces that every cluster has.
const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

impl Engine {
    /// Makes what every cluster has and this one lacks.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn bootstrap(&self) -> Result<(), Status> {
        let resources = self.registry.resources();
        let Some(namespaces) = resources.find("", "v1", "namespaces") else { return Ok(()) };
        for name in NAMESPACES {
            let target = Target {
                verb: Verb::Create,
                group: String::new(),
                version: "v1".to_owned(),
                namespace: String::new(),
                resource: "namespaces".to_owned(),
                name: String::new(),
                subresource: String::new(),
            };
            let (query, headers) = (Query::default(), HeaderMap::new());
            let call = Call::new(self, &target, namespaces, &query, &headers);
            let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}).to_string();
            match dispatch(&call, &Body::new(&headers, body.into())).await {
                Ok(_) => {}
                // It is there already.
                Err(status) if status.code == 409 => {}
                Err(status) => return Err(status),
            }
        }
        Ok(())
    }

    /// Compares the claims of Services with the Services, gives back what nobody has, and restores what is missing.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn repair_claims(&self, orphans: Orphans<'_>) -> Result<Report, Status> {
        let prefix = Prefix::new(&format!("{ROOT}core/services/")).map_err(Status::internal_error)?;
        let snapshot = self.store.snapshot(&prefix, At::Latest).await.map_err(read_failed)?;
        let services = snapshot.range(&prefix, None);
        let services = services.filter_map(|(_, stored)| serde_json::from_slice::<Service>(stored.entry.bytes()).ok());
        let services: Vec<Service> = services.collect();
        let random = || self.random();
        repair(&self.ledger, services.into_iter(), orphans, random).await.map_err(Status::internal_error)
    }
}
