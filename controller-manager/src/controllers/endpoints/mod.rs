//! Keeps the Endpoints of Services that have a selector, for those who do not read EndpointSlices yet.
//!
//! Endpoints have the name of their Service, and of each pod that it selects one address, of the Service's first family.
//! There are at most 1000. When a Service goes, its Endpoints go, whoever made them; Endpoints that never had a Service are
//! left alone, unless this controller made them.

pub(super) mod subsets;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use client::cache::Cache;
use client::resource::{Key, Resource};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Namespace, Pod, Service, ServiceSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::endpoint_slice::pods::{self, HEADLESS};
use super::endpoint_slice::{annotate, target};
use crate::controller::{Controller, Moment, Pair, Watches};
use crate::plan::{Effect, Fact, Plan, Report, Target, reference};
use crate::pods::is_ready;

const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";

/// The controller.
pub struct EndpointsOfServices;

/// A Service, or one that was, and what its Endpoints are made of.
pub struct Observed {
    key: Key,
    service: Option<Arc<Service>>,
    /// The pods that it selects.
    pods: Vec<Arc<Pod>>,
    endpoints: Option<Arc<Endpoints>>,
    /// Whether nothing can be made in the namespace any more.
    namespace_is_ending: bool,
}

impl Controller for EndpointsOfServices {
    const NAME: &'static str = "endpoints-controller";
    type Observed = Observed;

    fn watches(&self) -> Watches {
        Watches::on::<Service>()
            .mapped::<Pod>(pods::services_of_change)
            .mapped::<Endpoints>(|_, pair| service_of_endpoints(pair).into_iter().collect())
            .reading::<Namespace>()
    }

    fn observe(&self, cache: &Cache, key: &Key) -> Option<Observed> {
        let service = cache.get::<Service>(&key.namespace, &key.name);
        let endpoints = cache.get::<Endpoints>(&key.namespace, &key.name);
        let pods = match &service {
            Some(service) => pods::selected(cache, service)?,
            None => Vec::new(),
        };
        let namespace_is_ending = pods::is_ending(cache, &key.namespace);
        Some(Observed { key: key.clone(), service, pods, endpoints, namespace_is_ending })
    }

    fn reconcile(&self, observed: &Observed, _: &Moment) -> Plan {
        let mut plan = Plan::new();
        match (&observed.service, &observed.endpoints) {
            (Some(service), old) => observed.write(service, old.as_deref(), &mut plan),
            (None, Some(old)) => {
                let (namespace, name) = (observed.key.namespace.to_string(), observed.key.name.to_string());
                let service = Target { resource: Resource::of::<Service>(), namespace, name, uid: String::new() };
                plan.act(service, Effect::Confirm(Fact::Gone));
                plan.delete(&**old);
            }
            (None, None) => {}
        }
        plan
    }
}

/// The Service that Endpoints are a reason to look at: if they went, or are there and are this controller's.
fn service_of_endpoints(pair: &Pair<Endpoints>) -> Option<Key> {
    let is_ours = |meta: &ObjectMeta| {
        let labels = meta.labels.as_ref();
        labels.and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|manager| manager == MANAGER)
    };
    let meta = match (&pair.old, &pair.new) {
        (Some(old), None) => &old.metadata,
        (None, Some(new)) if is_ours(&new.metadata) => &new.metadata,
        _ => return None,
    };
    Some(Key::of::<Service>(meta.namespace.as_deref()?, meta.name.as_deref()?))
}

impl Observed {
    fn write(&self, service: &Service, old: Option<&Endpoints>, plan: &mut Plan) {
        let name = format!("{}/{}", self.key.namespace, self.key.name);
        let Some(new) = self.wanted(service, old) else { return };
        let report = |reason: &'static str, what: &str| {
            let failed = Some((reason, format!("{what} {name}: {{error}}")));
            Report { regarding: reference(&new), done: None, failed }
        };
        match old {
            Some(old) => {
                if let Some(action) = plan.update(old, &new) {
                    action.reporting(report("FailedToUpdateEndpoint", "Failed to update endpoint"));
                }
            }
            None if self.namespace_is_ending => {}
            None => {
                let report = report("FailedToCreateEndpoint", "Failed to create endpoint for service");
                plan.create(&new).reporting(report);
            }
        }
    }

    /// The Endpoints that there are to be; `None` if those that there are will do.
    fn wanted(&self, service: &Service, old: Option<&Endpoints>) -> Option<Endpoints> {
        let mut subsets = self.subsets(service);
        let over_capacity = subsets::truncate(&mut subsets);
        let labels = labels(service);
        let mut new = old.cloned().unwrap_or_default();
        if let Some(old) = old {
            let is_marked = old.metadata.annotations.as_ref().is_some_and(|annotations| {
                annotations.get(OVER_CAPACITY).map(String::as_str) == over_capacity.then_some("truncated")
            });
            let is_unmarked = !over_capacity && old.metadata.annotations.is_none();
            let same_labels = without_headless(old.metadata.labels.as_ref()) == without_headless(Some(&labels));
            if same_labels && (is_marked || is_unmarked) && is_same(old, &subsets) {
                return None;
            }
        }
        let trigger = self.trigger(service, old, &subsets);
        new.subsets = Some(subsets);
        new.metadata.name = Some(self.key.name.to_string());
        new.metadata.namespace = Some(self.key.namespace.to_string());
        new.metadata.labels = Some(labels);
        annotate(&mut new.metadata, trigger);
        if over_capacity {
            let annotations = new.metadata.annotations.get_or_insert_default();
            annotations.insert(OVER_CAPACITY.to_owned(), "truncated".to_owned());
        } else if let Some(annotations) = &mut new.metadata.annotations {
            annotations.remove(OVER_CAPACITY);
        }
        Some(new)
    }

    fn subsets(&self, service: &Service) -> Vec<EndpointSubset> {
        let publishes = pods::publishes_not_ready(service);
        let mut subsets = Vec::new();
        for pod in self.pods.iter().filter(|pod| pods::is_endpoint(pod, publishes)) {
            let Some(address) = address(service, pod) else { continue };
            let mut add = |ports: Option<Vec<EndpointPort>>| {
                let addresses = Some(vec![address.clone()]);
                subsets.push(if publishes || is_ready(pod) {
                    EndpointSubset { addresses, not_ready_addresses: None, ports }
                } else {
                    EndpointSubset { addresses: None, not_ready_addresses: addresses, ports }
                });
            };
            let ports = pods::ports(service);
            if ports.is_empty() && pods::is_headless(service) {
                add(None);
            }
            for port in ports {
                let Some(number) = pods::port_of(pod, port) else { continue };
                add(Some(vec![EndpointPort {
                    app_protocol: port.app_protocol.clone(),
                    name: port.name.clone().filter(|name| !name.is_empty()),
                    port: number,
                    protocol: Some(pods::protocol(port.protocol.as_ref()).to_owned()),
                }]));
            }
        }
        subsets::repack(&subsets)
    }

    /// When that happened on account of which the Endpoints are written: a pod became ready or not ready, or the Service
    /// was made.
    fn trigger(&self, service: &Service, old: Option<&Endpoints>, subsets: &[EndpointSubset]) -> Option<Timestamp> {
        let before = readiness(old.and_then(|old| old.subsets.as_deref()).unwrap_or_default());
        let now = readiness(subsets);
        let turned: BTreeSet<&str> = now.difference(&before).map(|(name, ..)| *name).collect();
        let has_turned = |pod: &&Arc<Pod>| pod.metadata.name.as_deref().is_some_and(|name| turned.contains(name));
        let first = self.pods.iter().filter(has_turned).filter_map(|pod| pods::ready_changed(pod)).min();
        let made = service.metadata.creation_timestamp.as_ref().map(|time| time.0);
        if first.is_some() { first.max(made) } else { made.filter(|_| old.is_none()) }
    }
}

/// The names of the pods behind addresses, the addresses, and whether they are ready.
fn readiness(subsets: &[EndpointSubset]) -> BTreeSet<(&str, &str, bool)> {
    fn told(address: &EndpointAddress, ready: bool) -> (&str, &str, bool) {
        let target = address.target_ref.as_ref().and_then(|target| target.name.as_deref());
        (target.unwrap_or_default(), &address.ip, ready)
    }
    let mut all = BTreeSet::new();
    for subset in subsets {
        all.extend(subset.addresses.iter().flatten().map(|address| told(address, true)));
        all.extend(subset.not_ready_addresses.iter().flatten().map(|address| told(address, false)));
    }
    all
}

/// Whether the subsets of Endpoints are these, but for what has no meaning.
fn is_same(old: &Endpoints, subsets: &[EndpointSubset]) -> bool {
    fn full<T>(list: &Option<Vec<T>>) -> Option<Vec<T>>
    where
        T: Clone,
    {
        list.clone().filter(|list| !list.is_empty())
    }
    let normal = |subset: &EndpointSubset| {
        let mut subset = EndpointSubset {
            addresses: full(&subset.addresses),
            not_ready_addresses: full(&subset.not_ready_addresses),
            ports: full(&subset.ports),
        };
        let addresses = subset.addresses.iter_mut().chain(&mut subset.not_ready_addresses).flatten();
        for target in addresses.filter_map(|address| address.target_ref.as_mut()) {
            target.resource_version = None;
        }
        subset
    };
    old.subsets.iter().flatten().map(normal).eq(subsets.iter().map(normal))
}

/// The Service's labels, and the controller's own.
fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    if pods::has_no_address(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    } else {
        labels.remove(HEADLESS);
    }
    labels
}

/// Labels without the one that alone is no reason to write.
fn without_headless(labels: Option<&BTreeMap<String, String>>) -> BTreeMap<&String, &String> {
    labels.into_iter().flatten().filter(|(label, _)| *label != HEADLESS).collect()
}

/// The address of a pod that is of the Service's first family.
fn address(service: &Service, pod: &Pod) -> Option<EndpointAddress> {
    let stated = |spec: &ServiceSpec| spec.ip_families.as_ref()?.first().cloned();
    let family = service.spec.as_ref().and_then(stated).or_else(|| {
        let primary = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref());
        let inferred = pods::families(service).first().copied();
        inferred.or_else(|| primary.and_then(pods::family)).map(str::to_owned)
    });
    let family = family.unwrap_or_else(|| "IPv4".to_owned());
    let ip = pods::addresses(pod).find(|ip| pods::family(ip) == Some(family.as_str()))?;
    Some(EndpointAddress {
        hostname: pods::hostname_in(pod, service).cloned(),
        ip: ip.to_owned(),
        node_name: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        target_ref: Some(target(pod)),
    })
}

#[cfg(test)]
mod tests;
