//! The objects that every cluster is born with, besides its namespaces. What is missing is made at every start.

use api::status::Status;
use serde_json::json;

use super::ask::{Place, name, unless_conflict};
use crate::engine::Engine;
use crate::request::Verb;
use crate::resources::system_priority_classes;

const CLASSES: Place = Place::of("scheduling.k8s.io", "v1", "priorityclasses");

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
        self.bootstrap_roles().await?;
        self.bootstrap_flow_control().await
    }
}
