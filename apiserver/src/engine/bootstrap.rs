//! What a server makes sure of before it serves: the namespaces that every cluster has, and the claims of Services.

mod api_services;
mod ask;
mod born;
mod cluster_dns;
mod flow_control;
mod kubernetes_service;
mod roles;

use api::status::Status;
use k8s_openapi::api::core::v1::Service;
use serde_json::json;
use store::{At, Prefix};

use self::ask::{Place, unless_conflict};
use super::{Engine, read_failed};
use crate::entry::ROOT;
use crate::request::Verb;
use crate::resources::service::{Orphans, Report, repair};

pub use self::kubernetes_service::Location;
#[cfg(test)]
pub(crate) use self::roles::{born_rbac, born_roles};

const PLACE: Place = Place::of("", "v1", "namespaces");

/// The namespaces that every cluster has.
const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

impl Engine {
    /// Makes what every cluster has and this one lacks.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn bootstrap(&self) -> Result<(), Status> {
        for name in NAMESPACES {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            // Mostly it is there already.
            unless_conflict(self.ask(PLACE, Verb::Create, "", Some(&namespace)).await)?;
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
