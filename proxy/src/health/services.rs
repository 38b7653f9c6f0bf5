//! Tells load balancers whether the node has endpoints of a Service whose traffic from outside stays on the node it comes to
//! (`externalTrafficPolicy: Local`): at the Service's `healthCheckNodePort`, in upstream's words.
//!
//! A port that somebody else has is said once, in an Event of the Service and in the log, and tried again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use client::events::{EventType, Recorder};
use client::told::Told;
use http::{HeaderValue, StatusCode};
use k8s_openapi::api::core::v1::{ObjectReference, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Duration, sleep};

use super::Health;
use crate::http::{Answer, Answers, json, serve};

/// When a port that was not to be had is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// What load balancers may weigh nodes by.
const WEIGHT: &str = "x-load-balancing-endpoint-weight";

/// The namespace and the name of a Service.
type Name = (String, String);

/// What is told about a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// At which port.
    pub port: u16,
    /// How many endpoints there are on the node that take connections.
    pub endpoints: usize,
    /// Which Service it is, for Events.
    pub uid: Option<String>,
}

/// What is to be told about a Service on the node of this name, if anything.
#[must_use]
pub fn check_of(service: &Service, slices: &[&EndpointSlice], node: &str) -> Option<Check> {
    let spec = service.spec.as_ref()?;
    let is_local = spec.external_traffic_policy.as_deref() == Some("Local");
    if spec.type_.as_deref() != Some("LoadBalancer") || !is_local {
        return None;
    }
    let port = u16::try_from(spec.health_check_node_port?).ok().filter(|port| *port != 0)?;
    // A pod has an endpoint in each family, and counts once.
    let family = spec.ip_families.iter().flatten().next();
    let slices = slices.iter().filter(|slice| family.is_none_or(|family| slice.address_type == *family));
    let endpoints = slices.flat_map(|slice| slice.endpoints.iter().flatten());
    let is_ready_here = |endpoint: &&k8s_openapi::api::discovery::v1::Endpoint| {
        let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready);
        endpoint.node_name.as_deref() == Some(node) && ready != Some(false)
    };
    let addresses: BTreeSet<&String> =
        endpoints.filter(is_ready_here).filter_map(|endpoint| endpoint.addresses.first()).collect();
    Some(Check { port, endpoints: addresses.len(), uid: service.metadata.uid.clone() })
}

/// What is to be told about all Services. Cloning gives another handle to the same.
#[derive(Clone, Default)]
pub struct Checks(Arc<Told<Wanted>>);

#[derive(Default)]
struct Wanted {
    checks: BTreeMap<Name, Check>,
    /// At which addresses of the node.
    addresses: Vec<IpAddr>,
    /// Counts what makes a difference to who listens where.
    version: u64,
}

/// A Service's port that is listened at.
struct Open {
    at: Vec<SocketAddr>,
    tasks: Vec<JoinHandle<()>>,
}

impl Checks {
    /// What is to be told about a Service from now on.
    pub fn set(&self, namespace: &str, name: &str, check: Option<Check>) {
        let key = (namespace.to_owned(), name.to_owned());
        let is_same = self.0.look(|wanted| wanted.checks.get(&key) == check.as_ref());
        if is_same {
            return;
        }
        self.0.change(|wanted| {
            let port = |check: Option<&Check>| check.map(|check| check.port);
            if port(wanted.checks.get(&key)) != port(check.as_ref()) {
                wanted.version += 1;
            }
            match check {
                Some(check) => drop(wanted.checks.insert(key, check)),
                None => drop(wanted.checks.remove(&key)),
            }
        });
    }

    /// Where it is told from now on.
    pub fn listen_at(&self, addresses: &[IpAddr]) {
        if self.0.look(|wanted| wanted.addresses != addresses) {
            self.0.change(|wanted| {
                wanted.addresses = addresses.to_vec();
                wanted.version += 1;
            });
        }
    }

    /// Tells it to whoever asks, on the node of this name. Runs until it is dropped.
    pub async fn run(self, health: Health, recorder: Recorder, node: String) {
        let mut open: BTreeMap<Name, Open> = BTreeMap::new();
        let mut said: BTreeMap<Name, String> = BTreeMap::new();
        loop {
            let (version, wanted) = self.0.look(|wanted| (wanted.version, wanted.places()));
            // First all that is closed: another Service may have the port now.
            let closed: Vec<Name> =
                open.iter().filter(|(name, open)| wanted.get(*name) != Some(&open.at)).map(|it| it.0.clone()).collect();
            for name in closed {
                if let Some(open) = open.remove(&name) {
                    open.close().await;
                }
            }
            said.retain(|name, _| wanted.contains_key(name));
            for (name, at) in wanted.iter().filter(|(name, _)| !open.contains_key(*name)).collect::<Vec<_>>() {
                match Open::all(at, &self.answers(name, &health)).await {
                    Ok(opened) => {
                        said.remove(name);
                        open.insert(name.clone(), opened);
                    }
                    Err(error) => self.say(name, at, &error.to_string(), &mut said, &recorder, &node),
                }
            }
            let changed = self.0.wait(|wanted| (wanted.version != version).then_some(()));
            if said.is_empty() {
                changed.await;
            } else {
                tokio::select! { () = changed => {}, () = sleep(RETRY) => {} }
            }
        }
    }

    /// What is told about a Service.
    fn answers(&self, name: &Name, health: &Health) -> Answers {
        let (told, name, health) = (Arc::clone(&self.0), name.clone(), health.clone());
        Arc::new(move |_| {
            let endpoints = told.look(|wanted| wanted.checks.get(&name).map_or(0, |check| check.endpoints));
            answer(&name, endpoints, health.is_healthy())
        })
    }

    fn say(
        &self,
        name: &Name,
        at: &[SocketAddr],
        error: &str,
        said: &mut BTreeMap<Name, String>,
        recorder: &Recorder,
        node: &str,
    ) {
        if said.get(name).is_some_and(|said| said == error) {
            return;
        }
        said.insert(name.clone(), error.to_owned());
        let port = at.first().map_or(0, SocketAddr::port);
        let message =
            format!("node {node} failed to start healthcheck \"{}/{}\" on port {port}: {error}", name.0, name.1);
        tracing::warn!(namespace = name.0, service = name.1, port, error, "a health check cannot be listened at");
        let regarding = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Service".to_owned()),
            namespace: Some(name.0.clone()),
            name: Some(name.1.clone()),
            uid: self.0.look(|wanted| wanted.checks.get(name).and_then(|check| check.uid.clone())),
            ..ObjectReference::default()
        };
        recorder.event(regarding, EventType::Warning, "FailedToStartServiceHealthcheck", message);
    }
}

impl Wanted {
    /// Where each Service is to be told about.
    fn places(&self) -> BTreeMap<Name, Vec<SocketAddr>> {
        let at = |check: &Check| self.addresses.iter().map(|ip| SocketAddr::new(*ip, check.port)).collect();
        self.checks.iter().map(|(name, check)| (name.clone(), at(check))).collect()
    }
}

impl Open {
    /// Listens at all of these, or at none.
    async fn all(at: &[SocketAddr], answers: &Answers) -> io::Result<Open> {
        let mut listeners = Vec::new();
        for address in at {
            listeners.push(TcpListener::bind(address).await?);
        }
        let tasks = listeners.into_iter().map(|listener| tokio::spawn(serve(listener, Arc::clone(answers)))).collect();
        Ok(Open { at: at.to_vec(), tasks })
    }

    /// Ends, and waits until the ports are free.
    async fn close(mut self) {
        for task in std::mem::take(&mut self.tasks) {
            task.abort();
            // It was ended.
            let _ = task.await;
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn answer((namespace, name): &Name, endpoints: usize, healthy: bool) -> Answer {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let body = format!(
        "{{\n\t\"service\": {{\n\t\t\"namespace\": {},\n\t\t\"name\": {}\n\t}},\n\t\"localEndpoints\": {endpoints},\n\t\
         \"serviceProxyHealthy\": {healthy}\n}}",
        quoted(namespace),
        quoted(name),
    );
    let is_well = endpoints != 0 && healthy;
    let mut answer = json(if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, body);
    answer.headers_mut().insert(WEIGHT, HeaderValue::from(endpoints));
    answer
}

#[cfg(test)]
mod tests;
