//! What makes this server a part of the cluster's network: the ServiceCIDR `kubernetes`, which says what ranges Services
//! have, and the Service `default/kubernetes`, by which pods find this server, with its endpoints.
//!
//! The ServiceCIDR and the Service are made if there are none and are left alone otherwise, but for a second range that
//! has been configured since. The endpoints are made to say where this server is. Where several servers share a store
//! that is the one that was started last; upstream's servers keep leases to tell each other, which we have not. A server
//! that has no address that others could use has the Service without endpoints. What somebody deletes comes back.

use api::status::Status;
use serde_json::{Value, json};

use super::ask::Place;
use crate::engine::Engine;
use crate::request::Verb;
use crate::resources::service::Config;

/// The name of all of these objects.
const NAME: &str = "kubernetes";
/// The port by which pods reach the API, whichever the server listens at.
const SERVICE_PORT: u16 = 443;
const PORT_NAME: &str = "https";

// Where they are.
const RANGES: Place = Place::of("networking.k8s.io", "v1", "servicecidrs");
const SERVICES: Place = Place::of("", "v1", "services").within("default");
const ENDPOINTS: Place = Place::of("", "v1", "endpoints").within("default");
const SLICES: Place = Place::of("discovery.k8s.io", "v1", "endpointslices").within("default");

/// Where a server is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The address that others in the cluster reach it at, if there is one.
    pub ip: Option<std::net::IpAddr>,
    /// The port that it listens at.
    pub port: u16,
}

impl Engine {
    /// Makes the default ServiceCIDR, the Service of the API, and its endpoints. Claims of Services must have been
    /// repaired before.
    ///
    /// # Errors
    /// What the store answered. What the rules refuse, such as an address that another Service has, is only logged: the
    /// server serves all the same.
    pub async fn bootstrap_kubernetes_service(&self, config: &Config, location: Location) -> Result<(), Status> {
        keep_going("ServiceCIDR", self.bootstrap_ranges(config).await)?;
        keep_going("Service", self.bootstrap_service(config, location.port).await)?;
        if let Some(ip) = location.ip {
            keep_going("Endpoints", self.bootstrap_endpoints(&ip.to_string(), location.port).await)?;
            keep_going("EndpointSlice", self.bootstrap_slice(ip, location.port).await)?;
        } else {
            tracing::warn!("this server has no address that pods could reach: the Service {NAME} has no endpoints");
        }
        Ok(())
    }

    /// Makes again what is no longer there. A server that is `alone` makes its endpoints true, too; others might just
    /// have made them true of themselves.
    ///
    /// # Errors
    /// As [`bootstrap_kubernetes_service`](Engine::bootstrap_kubernetes_service).
    pub async fn keep_kubernetes_service(
        &self,
        config: &Config,
        location: Location,
        alone: bool,
    ) -> Result<(), Status> {
        if self.find(RANGES).await?.is_none() {
            keep_going("ServiceCIDR", self.bootstrap_ranges(config).await)?;
        }
        keep_going("Service", self.bootstrap_service(config, location.port).await)?;
        let Some(ip) = location.ip else { return Ok(()) };
        if alone || self.find(ENDPOINTS).await?.is_none() {
            keep_going("Endpoints", self.bootstrap_endpoints(&ip.to_string(), location.port).await)?;
        }
        if alone || self.find(SLICES).await?.is_none() {
            keep_going("EndpointSlice", self.bootstrap_slice(ip, location.port).await)?;
        }
        Ok(())
    }

    async fn bootstrap_ranges(&self, config: &Config) -> Result<(), Status> {
        let wanted = json!(config.ranges());
        let mut object = match self.find(RANGES).await? {
            Some(object) => object,
            None => {
                let object = json!({
                    "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
                    "metadata": {"name": NAME}, "spec": {"cidrs": wanted},
                });
                self.ask(RANGES, Verb::Create, "", Some(&object)).await?
            }
        };
        let present = object["spec"]["cidrs"].clone();
        if present.as_array().is_some_and(|ranges| ranges.len() == 1)
            && config.ranges().len() == 2
            && present[0] == wanted[0]
        {
            object["spec"]["cidrs"] = wanted.clone();
            object = self.ask(RANGES, Verb::Update, NAME, Some(&object)).await?;
        }
        if object["spec"]["cidrs"] != wanted {
            tracing::warn!(%present, %wanted, "the ServiceCIDR {NAME} says other ranges than the server is configured with");
            return Ok(());
        }
        self.make_ready(object).await
    }

    /// Says that Services can have addresses of the range, unless somebody has said something of that.
    async fn make_ready(&self, mut object: Value) -> Result<(), Status> {
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let (ready, mut conditions): (Vec<Value>, Vec<Value>) =
            conditions.into_iter().partition(|condition| condition["type"] == "Ready");
        let is_ending = object["metadata"]["deletionTimestamp"].is_string();
        if is_ending || ready.iter().any(|condition| condition["status"] != "Unknown") {
            return Ok(());
        }
        conditions.push(json!({
            "type": "Ready", "status": "True", "reason": "", "message": "Kubernetes default Service CIDR is ready",
            "lastTransitionTime": self.now().to_string(),
        }));
        object["status"] = json!({"conditions": conditions});
        self.ask(RANGES.part("status"), Verb::Update, NAME, Some(&object)).await.map(drop)
    }

    async fn bootstrap_service(&self, config: &Config, port: u16) -> Result<(), Status> {
        if self.find(SERVICES).await?.is_some() {
            return Ok(());
        }
        let service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": NAME, "labels": {"component": "apiserver", "provider": "kubernetes"}},
            "spec": {
                "type": "ClusterIP", "clusterIP": config.first_address(), "clusterIPs": [config.first_address()],
                "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None",
                "ports": [{"name": PORT_NAME, "port": SERVICE_PORT, "protocol": "TCP", "targetPort": port}],
            },
        });
        self.ask(SERVICES, Verb::Create, "", Some(&service)).await.map(drop)
    }

    async fn bootstrap_endpoints(&self, ip: &str, port: u16) -> Result<(), Status> {
        // The slice is made here, too: nobody is to make another one of this.
        let labels = json!({"endpointslice.kubernetes.io/skip-mirror": "true"});
        let ports = json!([{"name": PORT_NAME, "port": port, "protocol": "TCP"}]);
        let subsets = json!([{"addresses": [{"ip": ip}], "ports": ports}]);
        let object = json!({"apiVersion": "v1", "kind": "Endpoints", "subsets": subsets});
        self.make_true(ENDPOINTS, object, labels).await
    }

    async fn bootstrap_slice(&self, ip: std::net::IpAddr, port: u16) -> Result<(), Status> {
        let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
        // What addresses are of cannot be changed.
        if self.find(SLICES).await?.is_some_and(|present| present["addressType"] != family) {
            self.ask(SLICES, Verb::Delete, NAME, None).await?;
        }
        let object = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
            "endpoints": [{"addresses": [ip.to_string()], "conditions": {"ready": true}}],
            "ports": [{"name": PORT_NAME, "port": port, "protocol": "TCP"}],
        });
        self.make_true(SLICES, object, json!({"kubernetes.io/service-name": NAME})).await
    }

    /// Makes an object, or makes the one that there is say what `object` says and have no labels but `labels`.
    async fn make_true(&self, place: Place, mut object: Value, labels: Value) -> Result<(), Status> {
        let present = self.find(place).await?;
        let (verb, name) = if present.is_some() { (Verb::Update, NAME) } else { (Verb::Create, "") };
        object["metadata"] = present.map_or_else(|| json!({"name": NAME}), |present| present["metadata"].clone());
        object["metadata"]["labels"] = labels;
        self.ask(place, verb, name, Some(&object)).await.map(drop)
    }

    async fn find(&self, place: Place) -> Result<Option<Value>, Status> {
        match self.ask(place, Verb::Get, NAME, None).await {
            Ok(object) => Ok(Some(object)),
            Err(status) if status.code == 404 => Ok(None),
            Err(status) => Err(status),
        }
    }
}

/// Logs what the rules refuse.
fn keep_going(kind: &str, outcome: Result<(), Status>) -> Result<(), Status> {
    match outcome {
        Err(status) if status.code < 500 => {
            tracing::warn!(kind, name = NAME, why = status.message, "what the cluster needs is not as it should be");
            Ok(())
        }
        outcome => outcome,
    }
}
