//! Gives Services of type LoadBalancer addresses, where there is no cloud that would.
//!
//! Without a pool of addresses a Service gets those of the nodes, where nobody else has its ports; with one it gets an address of
//! its own, which one of the nodes announces on its link. Which node does is decided here, once for all of them, and
//! written into the annotation [`ANNOUNCED_BY`], which that node obeys. A Service that names a class (`loadBalancerClass`) is
//! somebody else's.
//!
//! All Services are decided on together, under one key, as no two may have the same. What one has it keeps as long as it may;
//! besides, the oldest comes first. Each Service has its own key, too, for the Event that says why it gets nothing.

mod assign;
mod pool;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::selector::label::Selector;
use client::cache::Cache;
use client::events::EventType;
use client::resource::Key;
use k8s_openapi::api::core::v1::{LoadBalancerIngress, Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Map, Value, json};

use crate::controller::{Controller, Moment, Pair, Watches};
use crate::plan::{Effect, Plan, Report, Target, reference};
use assign::{Outcome, assign};
pub use pool::{OPTION, Pool, PoolError};

/// Which node announces the addresses of a Service, if one does.
pub const ANNOUNCED_BY: &str = "gantry.io/announced-by";
/// What slices carry, and what they carry that is not made of pods.
const OF_SERVICE: &str = "kubernetes.io/service-name";

/// The controller.
#[derive(Clone, Debug, Default)]
pub struct LoadBalancers {
    /// From where Services get addresses; of the nodes, if there is none.
    pub pool: Option<Pool>,
}

/// What is looked at.
pub struct Observed {
    /// The Service that something is said of; none if something is to be done for all.
    about: Option<Key>,
    /// All Services that are to have a load balancer, with the slices of those for which it matters where pods are.
    services: Vec<(Arc<Service>, Vec<Arc<EndpointSlice>>)>,
    nodes: Vec<Arc<Node>>,
    /// Where the API server is, as it says itself.
    api: Vec<Arc<EndpointSlice>>,
}

impl Controller for LoadBalancers {
    const NAME: &'static str = "service-lb-controller";
    const COMPONENT: &'static str = "service-controller";
    type Observed = Observed;

    fn watches(&self) -> Watches {
        Watches::on::<Service>()
            .mapped::<Service>(|_, pair| if pair.both().any(|service| is_ours(service)) { all() } else { Vec::new() })
            .mapped::<Node>(|_, pair| if says_something_new(pair) { all() } else { Vec::new() })
            .mapped::<EndpointSlice>(|cache, pair| {
                let concerns = |slice: &Arc<EndpointSlice>| {
                    let meta = &slice.metadata;
                    let namespace = meta.namespace.as_deref().unwrap_or_default();
                    let name = meta.labels.as_ref().and_then(|labels| labels.get(OF_SERVICE));
                    let service = name.and_then(|name| cache.get::<Service>(namespace, name));
                    service.is_some_and(|service| is_ours(&service) && assign::is_local(&service)) || is_api(slice)
                };
                if pair.both().any(concerns) { all() } else { Vec::new() }
            })
    }

    fn observe(&self, cache: &Cache, key: &Key) -> Option<Observed> {
        let about = (Some(key) != all().first()).then(|| key.clone());
        if let Some(key) = &about {
            cache.get::<Service>(&key.namespace, &key.name).filter(|service| is_ours(service))?;
        }
        let ours = cache.list::<Service>(None).into_iter().filter(|service| is_ours(service));
        let with_slices = |service: Arc<Service>| {
            let slices = if assign::is_local(&service) { slices(cache, &service) } else { Vec::new() };
            (service, slices)
        };
        Some(Observed {
            about,
            services: ours.map(with_slices).collect(),
            nodes: cache.list::<Node>(None),
            api: cache.list::<EndpointSlice>(Some("default")).into_iter().filter(|slice| is_api(slice)).collect(),
        })
    }

    fn reconcile(&self, observed: &Observed, _: &Moment) -> Plan {
        let outcomes = assign(self.pool.as_ref(), observed);
        let mut plan = Plan::new();
        for ((service, _), outcome) in observed.services.iter().zip(outcomes) {
            match (&observed.about, outcome) {
                (None, outcome) if plan.room() > 0 => write(&mut plan, service, &outcome),
                (Some(key), Outcome::Refused(why)) if *key == Key::to(&**service) => {
                    let message = format!("Error syncing load balancer: {why}");
                    plan.event(&**service, EventType::Warning, "SyncLoadBalancerFailed", message);
                }
                _ => {}
            }
        }
        plan
    }
}

/// The key of all Services together.
fn all() -> Vec<Key> {
    vec![Key::of::<Service>("", "")]
}

/// Whether a Service is to have a load balancer, and no class of others'.
fn is_ours(service: &Service) -> bool {
    let spec = service.spec.as_ref();
    service.metadata.deletion_timestamp.is_none()
        && spec.is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer") && spec.load_balancer_class.is_none())
}

/// Whether a slice says where the API server is.
fn is_api(slice: &EndpointSlice) -> bool {
    let meta = &slice.metadata;
    let service = meta.labels.as_ref().and_then(|labels| labels.get(OF_SERVICE)).map(String::as_str);
    meta.namespace.as_deref() == Some("default") && service == Some("kubernetes")
}

fn slices(cache: &Cache, service: &Service) -> Vec<Arc<EndpointSlice>> {
    let name = service.metadata.name.clone().unwrap_or_default();
    let labels = BTreeMap::from([(OF_SERVICE.to_owned(), name)]);
    cache.select(service.metadata.namespace.as_deref().unwrap_or_default(), &Selector::from_labels(&labels))
}

/// Whether a node differs in what matters here. It says twice a minute that it is still there.
fn says_something_new(pair: &Pair<Node>) -> bool {
    let facts = |node: &Arc<Node>| {
        let status = node.status.as_ref();
        let addresses = status.and_then(|status| status.addresses.clone());
        let port = status.and_then(|status| status.daemon_endpoints.clone());
        (assign::may_serve(node), addresses, port)
    };
    pair.old.as_ref().map(facts) != pair.new.as_ref().map(facts)
}

/// Writes what a Service gets, if it has not got it.
fn write(plan: &mut Plan, service: &Service, outcome: &Outcome) {
    let (addresses, announcer) = match outcome {
        Outcome::Given { addresses, announcer } => (addresses.as_slice(), announcer.as_deref()),
        Outcome::Refused(_) => (&[][..], None),
    };
    let ingress = |address: &std::net::IpAddr| LoadBalancerIngress {
        ip: Some(address.to_string()),
        ip_mode: Some("VIP".to_owned()),
        ..LoadBalancerIngress::default()
    };
    let ingress: Vec<LoadBalancerIngress> = addresses.iter().map(ingress).collect();
    let mut body = Map::new();
    if assign::ingress(service) != ingress {
        body.insert("status".to_owned(), json!({"loadBalancer": {"ingress": ingress}}));
    }
    let had = service.metadata.annotations.as_ref().and_then(|all| all.get(ANNOUNCED_BY)).map(String::as_str);
    if had != announcer {
        body.insert("metadata".to_owned(), json!({"annotations": {ANNOUNCED_BY: announcer}}));
    }
    if body.is_empty() {
        return;
    }
    let version = service.metadata.resource_version.clone().unwrap_or_default();
    let patch = Effect::Patch { subresource: Some("status"), version, body: Value::Object(body) };
    let done = (!ingress.is_empty()).then(|| ("EnsuredLoadBalancer", "Ensured load balancer".to_owned()));
    let failed = Some(("SyncLoadBalancerFailed", "Error syncing load balancer: {error}".to_owned()));
    plan.act(Target::of(service), patch).reporting(Report { regarding: reference(service), done, failed });
}

#[cfg(test)]
mod tests;
