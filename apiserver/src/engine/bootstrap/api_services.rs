//! APIServices of what this server serves itself: one for each version of a built-in group, made at start.
//!
//! Those that somebody else made, or took the label from, stay as they are, and so does one of metrics.k8s.io that leads to a
//! service. Those that a server made of a version which is
//! no longer served are removed.

use std::collections::BTreeSet;

use api::status::Status;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use serde_json::{Value, json};
use store::{At, Prefix};

use super::ask::{Place, unless_conflict};
use crate::discovery::order;
use crate::engine::{Engine, read_failed};
use crate::entry::ROOT;
use crate::request::Verb;

const GROUP: &str = "apiregistration.k8s.io";
const SERVICES: Place = Place::of(GROUP, "v1", "apiservices");
const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
const ON_START: &str = "onstart";
/// The group that upstream has an add-on for.
const YIELDING: &str = crate::usage::types::GROUP;

/// Priorities of versions within their group (`VersionPriority`), where they differ from [`VERSION_PRIORITY`].
const VERSION_PRIORITIES: [(&str, &str, i32); 4] = [
    ("", "v1", 1),
    ("autoscaling", "v2", 30),
    ("flowcontrol.apiserver.k8s.io", "v1", 21),
    ("metrics.k8s.io", "v1beta1", 100),
];
const VERSION_PRIORITY: i32 = 15;

impl Engine {
    /// Makes the APIServices that are missing, corrects those that were made before, and removes what is not served.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn register_api_services(&self) -> Result<(), Status> {
        let resources = self.registry.resources();
        if resources.find(GROUP, "v1", "apiservices").is_none() {
            return Ok(());
        }
        let existing = self.managed_api_services().await?;
        let mut served = BTreeSet::new();
        for group in order::groups(&resources) {
            // Upstream's aggregator does not list itself.
            if group.name == GROUP {
                continue;
            }
            for version in &group.versions {
                let name = format!("{}.{}", version.name, group.name);
                let wanted = api_service(&name, group.name, version.name);
                let found = existing.iter().find(|service| service.metadata.name.as_ref() == Some(&name));
                self.settle_api_service(&name, wanted, found).await?;
                served.insert(name);
            }
        }
        for name in existing.iter().filter_map(|service| service.metadata.name.as_ref()) {
            if !served.contains(name) {
                self.ask(SERVICES, Verb::Delete, name, None).await?;
            }
        }
        Ok(())
    }

    /// Makes an APIService, or corrects the one that a server made before.
    async fn settle_api_service(&self, name: &str, wanted: Value, found: Option<&APIService>) -> Result<(), Status> {
        // Somebody else may make it at the same time.
        let Some(found) = found else {
            return unless_conflict(self.ask(SERVICES, Verb::Create, "", Some(&wanted)).await);
        };
        let mut changed = serde_json::to_value(found).map_err(Status::internal_error)?;
        // What is built in here, and an add-on elsewhere, yields to the add-on, whose manifest keeps the label.
        if wanted["spec"]["group"] == YIELDING && !changed["spec"]["service"].is_null() {
            return Ok(());
        }
        if changed["spec"] == wanted["spec"] {
            return Ok(());
        }
        changed["spec"] = wanted["spec"].clone();
        unless_conflict(self.ask(SERVICES, Verb::Update, name, Some(&changed)).await)
    }

    async fn managed_api_services(&self) -> Result<Vec<APIService>, Status> {
        let prefix = Prefix::new(&format!("{ROOT}{GROUP}/apiservices/")).map_err(Status::internal_error)?;
        let snapshot = self.store.snapshot(&prefix, At::Latest).await.map_err(read_failed)?;
        let services = snapshot.range(&prefix, None);
        let services =
            services.filter_map(|(_, stored)| serde_json::from_slice::<APIService>(stored.entry.bytes()).ok());
        let is_managed = |service: &APIService| {
            let labels = service.metadata.labels.as_ref();
            labels.and_then(|labels| labels.get(MANAGED)).is_some_and(|value| value == ON_START)
        };
        Ok(services.filter(is_managed).collect())
    }
}

fn api_service(name: &str, group: &str, version: &str) -> Value {
    let is = |(of, named, _): &&(&str, &str, i32)| (*of, *named) == (group, version);
    let version_priority = VERSION_PRIORITIES.iter().find(is).map_or(VERSION_PRIORITY, |(_, _, priority)| *priority);
    let mut spec = json!({
        "version": version,
        "groupPriorityMinimum": order::priority(group),
        "versionPriority": version_priority,
    });
    if !group.is_empty() {
        spec["group"] = group.into();
    }
    json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": "APIService",
        "metadata": {"name": name, "labels": {MANAGED: ON_START}},
        "spec": spec,
    })
}
