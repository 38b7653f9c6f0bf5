//! Keeps the EndpointSlices of Services that have a selector.
//!
//! For each family of addresses of a Service, its slices together have exactly the pods that it selects and that have an
//! address of the family, each once, grouped by the ports that the Service's ports stand for in the pod. A pod that is being
//! deleted has its place until it is gone; one that has ended has none, nor has one whose node is not known, unless the
//! Service publishes what is not ready. A family without endpoints has one empty slice. Slices that others manage are not
//! touched, nor are those of a Service that has lost its selector.

pub(super) mod endpoint;
mod hints;
pub(super) mod packing;
pub(super) mod pods;
mod topology;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::names::parse_ip_sloppy;
use api::selector::label::Selector;
use client::cache::Cache;
use client::events::EventType;
use client::resource::{Key, Kind};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Node, ObjectReference, Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::controller::{Controller, Moment, Pair, Watches};
use crate::plan::{Plan, Report, reference};
use crate::pods::is_ready;
use endpoint::{Identity, PortSet};
use hints::Distribution;
use packing::{Family, Layout, Wanted};
use topology::Notice;

/// The controller.
pub struct EndpointSlices;

/// A Service, and what its endpoints are made of.
pub struct Observed {
    service: Arc<Service>,
    /// The pods that it selects.
    pods: Vec<Arc<Pod>>,
    /// The slices that are this controller's, without those that are being deleted.
    slices: Vec<Arc<EndpointSlice>>,
    /// The zones of those nodes of the pods that are known; an empty one if the node does not say.
    zones: BTreeMap<String, String>,
    /// What share of the processors is in which zone, if that is asked for and known.
    shares: Option<BTreeMap<String, f64>>,
    /// Whether nothing can be made in the namespace any more.
    namespace_is_ending: bool,
}

impl Controller for EndpointSlices {
    const NAME: &'static str = "endpointslice-controller";
    type Observed = Observed;

    fn watches(&self) -> Watches {
        Watches::on::<Service>()
            .mapped::<Pod>(pods::services_of_change)
            .mapped::<EndpointSlice>(|_, pair| origins_of_slice::<Service>(pair, packing::MANAGER))
            .mapped::<Node>(services_of_node)
            .reading::<Namespace>()
    }

    fn observe(&self, cache: &Cache, key: &Key) -> Option<Observed> {
        let service = cache.get::<Service>(&key.namespace, &key.name)?;
        let pods = pods::selected(cache, &service)?;
        let mut zones = BTreeMap::new();
        for name in pods.iter().map(|pod| node_of(pod)) {
            if !zones.contains_key(name)
                && let Some(node) = cache.get::<Node>("", name)
            {
                zones.insert(name.to_owned(), pods::zone_of(&node).to_owned());
            }
        }
        let proportional = hints::asked(&service) == Distribution::Proportional;
        let shares = proportional.then(|| topology::shares(&cache.list::<Node>(None))).flatten();
        let slices = slices_of(cache, key, packing::MANAGER);
        let namespace_is_ending = pods::is_ending(cache, &key.namespace);
        Some(Observed { service, pods, slices, zones, shares, namespace_is_ending })
    }

    fn reconcile(&self, observed: &Observed, _: &Moment) -> Plan {
        let (mut plan, mut notices) = (Plan::new(), Vec::new());
        let families = match pods::families(&observed.service) {
            // A headless Service that does not say has whatever its pods have.
            families if families.is_empty() => vec!["IPv4", "IPv6"],
            families => families,
        };
        for address_type in &families {
            notices.extend(observed.plan_family(address_type, &mut plan));
        }
        for slice in observed.slices.iter().filter(|slice| !families.contains(&slice.address_type.as_str())) {
            observed.delete(&mut plan, slice, "error deleting {slice} EndpointSlice");
        }
        // What was said when slices were written is not said again whenever the Service is looked at.
        if plan.is_empty() {
            return plan;
        }
        notices.extend(observed.left_out());
        for Notice { event_type, reason, message } in notices.into_iter().take(plan.room()) {
            plan.event(&*observed.service, event_type, reason, message);
        }
        plan
    }
}

/// The slices of a Service that are managed by `manager`, by name, without those that are being deleted.
pub(super) fn slices_of(cache: &Cache, service: &Key, manager: &str) -> Vec<Arc<EndpointSlice>> {
    let labels = [(packing::SERVICE_NAME, &*service.name), (packing::MANAGED_BY, manager)];
    let labels: BTreeMap<String, String> =
        labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let slices = cache.select::<EndpointSlice>(&service.namespace, &Selector::from_labels(&labels));
    slices.into_iter().filter(|slice| slice.metadata.deletion_timestamp.is_none()).collect()
}

/// What a slice is and was of, a Service or the Endpoints of its name, as far as it is and was managed by `manager`.
pub(super) fn origins_of_slice<K: Kind>(pair: &Pair<EndpointSlice>, manager: &str) -> Vec<Key> {
    let origin = |meta: &ObjectMeta| {
        let labels = meta.labels.as_ref()?;
        let name = labels.get(packing::SERVICE_NAME).filter(|name| !name.is_empty())?;
        let is_managed = labels.get(packing::MANAGED_BY).is_some_and(|by| by == manager);
        is_managed.then(|| Key::of::<K>(meta.namespace.as_deref().unwrap_or_default(), name))
    };
    pair.both().filter_map(|slice| origin(&slice.metadata)).collect()
}

/// The Services that have pods on a node whose zone changed, and those that want hints in proportion to processors if the
/// node began or ceased to count.
fn services_of_node(cache: &Cache, pair: &Pair<Node>) -> Vec<Key> {
    let mut keys = pods::services_on_changed_node(cache, pair);
    let matters = |node: &Option<Arc<Node>>| node.as_ref().map(|node| topology::matters(node));
    if matters(&pair.old) != matters(&pair.new) {
        let services = cache.list::<Service>(None);
        let wanting = services.iter().filter(|service| hints::asked(service) == Distribution::Proportional);
        keys.extend(wanting.map(|service| Key::to(&**service)));
    }
    keys
}

impl Observed {
    fn plan_family(&self, address_type: &str, plan: &mut Plan) -> Vec<Notice> {
        let family = Family { service: &self.service, address_type };
        let existing: Vec<_> =
            self.slices.iter().filter(|slice| slice.address_type == address_type).map(Arc::clone).collect();
        let mut layout = Layout::pack(&family, &existing, self.wanted(address_type));
        let mut notices = Vec::new();
        match hints::asked(&self.service) {
            Distribution::Anywhere => hints::clear(&mut layout),
            Distribution::SameZone => hints::prefer_close(&mut layout, false),
            Distribution::SameNode => hints::prefer_close(&mut layout, true),
            Distribution::Proportional => {
                notices = topology::hint(&mut layout, self.shares.as_ref(), address_type);
            }
        }
        layout.recycle(&family);
        layout.drop_what_is_as_it_was();
        let trigger = self.trigger(&layout, existing.is_empty());
        self.write(plan, layout, trigger);
        notices
    }

    /// The endpoints that the slices of a family are to have.
    fn wanted(&self, address_type: &str) -> BTreeMap<PortSet, Wanted> {
        let mut wanted: BTreeMap<PortSet, Wanted> = BTreeMap::new();
        for pod in self.pods.iter().filter(|pod| pods::is_endpoint(pod, true)) {
            let ports = ports(&self.service, pod);
            let group = wanted.entry(PortSet::of(Some(&ports))).or_default();
            group.ports = ports;
            if !self.is_placed(pod) {
                continue;
            }
            let zone = self.zones.get(node_of(pod)).filter(|zone| !zone.is_empty());
            let endpoint = endpoint(&self.service, pod, zone, address_type);
            if !endpoint.addresses.is_empty() {
                group.endpoints.insert(Identity::of(&endpoint), endpoint);
            }
        }
        wanted.values_mut().for_each(|group| endpoint::sort_ports(&mut group.ports));
        wanted
    }

    /// Whether the pod's node is known, or need not be.
    fn is_placed(&self, pod: &Pod) -> bool {
        self.zones.contains_key(node_of(pod)) || pods::publishes_not_ready(&self.service)
    }

    /// What is to be said of pods that have no place among the endpoints because their node is not known.
    fn left_out(&self) -> Option<Notice> {
        let service = self.name();
        let left_out = self.pods.iter().filter(|pod| pods::is_endpoint(pod, true) && !self.is_placed(pod));
        let skipped: Vec<String> = left_out
            .map(|pod| {
                let (name, node) = (pod.metadata.name.as_deref().unwrap_or_default(), node_of(pod));
                format!("skipping Pod {name} for Service {service}: Node {node} Not Found")
            })
            .collect();
        let skipped = match skipped.as_slice() {
            [] => return None,
            [only] => only.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        let message = format!("Error updating Endpoint Slices for Service {service}: {skipped}");
        Some(Notice { event_type: EventType::Warning, reason: "FailedToUpdateEndpointSlices", message })
    }

    /// The Service, as messages name it.
    fn name(&self) -> String {
        let meta = &self.service.metadata;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        format!("{}/{}", text(&meta.namespace), text(&meta.name))
    }

    /// When that happened on account of which slices are written: a pod became ready or not ready, or the Service was made.
    fn trigger(&self, layout: &Layout, is_new: bool) -> Option<Timestamp> {
        let turned = layout.turned_pods();
        let name = |pod: &Arc<Pod>| pod.metadata.name.clone().unwrap_or_default();
        let turned = self.pods.iter().filter(|pod| turned.contains(name(pod).as_str()));
        let first = turned.filter_map(|pod| pods::ready_changed(pod)).min();
        let made = self.service.metadata.creation_timestamp.as_ref().map(|time| time.0);
        if first.is_some() { first.max(made) } else { made.filter(|_| is_new) }
    }

    fn write(&self, plan: &mut Plan, layout: Layout, trigger: Option<Timestamp>) {
        // What is made while the Service or the namespace goes would be left behind, or refused.
        let may_create = self.service.metadata.deletion_timestamp.is_none() && !self.namespace_is_ending;
        for mut slice in layout.create.into_iter().filter(|_| may_create) {
            if plan.room() == 0 {
                return;
            }
            annotate(&mut slice.metadata, trigger);
            plan.create(&slice).reporting(self.report("failed to create EndpointSlice"));
        }
        for mut revision in layout.update {
            if plan.room() == 0 {
                return;
            }
            annotate(&mut revision.new.metadata, trigger);
            let name = revision.old.metadata.name.as_deref().unwrap_or_default();
            let report = self.report(&format!("failed to update {name} EndpointSlice"));
            if let Some(action) = plan.update(&*revision.old, &revision.new) {
                action.reporting(report);
            }
        }
        for slice in &layout.delete {
            self.delete(plan, slice, "failed to delete {slice} EndpointSlice");
        }
    }

    fn delete(&self, plan: &mut Plan, slice: &EndpointSlice, what: &str) {
        if plan.room() > 0 {
            let name = slice.metadata.name.as_deref().unwrap_or_default();
            plan.delete(slice).reporting(self.report(&what.replace("{slice}", name)));
        }
    }

    fn report(&self, what: &str) -> Report {
        let service = self.name();
        let message =
            format!("Error updating Endpoint Slices for Service {service}: {what} for Service {service}: {{error}}");
        let failed = Some(("FailedToUpdateEndpointSlices", message));
        Report { regarding: reference(&*self.service), done: None, failed }
    }
}

/// Says when that happened on account of which something is written, or that this is not known.
pub(super) fn annotate(meta: &mut ObjectMeta, trigger: Option<Timestamp>) {
    let key = pods::TRIGGER_TIME;
    if let Some(trigger) = trigger {
        meta.annotations.get_or_insert_default().insert(key.to_owned(), trigger.to_string());
    } else if let Some(annotations) = &mut meta.annotations {
        annotations.remove(key);
    }
}

/// The name of the node that a pod is on; empty if it is on none.
fn node_of(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

/// The ports of a pod that the ports of the Service stand for, as far as the pod has them.
fn ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let ports = pods::ports(service).iter().filter_map(|port| {
        Some(EndpointPort {
            app_protocol: port.app_protocol.clone(),
            name: Some(port.name.clone().unwrap_or_default()),
            port: Some(pods::port_of(pod, port)?),
            protocol: Some(pods::protocol(port.protocol.as_ref()).to_owned()),
        })
    });
    ports.collect()
}

/// A pod as an endpoint, with its addresses of one family.
fn endpoint(service: &Service, pod: &Pod, zone: Option<&String>, address_type: &str) -> Endpoint {
    let (serving, terminating) = (is_ready(pod), pod.metadata.deletion_timestamp.is_some());
    let ready = pods::publishes_not_ready(service) || (serving && !terminating);
    let of_family = pods::addresses(pod).filter(|address| pods::family(address) == Some(address_type));
    let mut addresses: Vec<String> = of_family.filter_map(parse_ip_sloppy).map(|ip| ip.to_string()).collect();
    addresses.sort_unstable();
    Endpoint {
        addresses,
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: pods::hostname_in(pod, service).cloned(),
        node_name: Some(node_of(pod).to_owned()).filter(|node| !node.is_empty()),
        target_ref: Some(target(pod)),
        zone: zone.cloned(),
        ..Endpoint::default()
    }
}

/// What an endpoint says of the pod behind it.
pub(super) fn target(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".to_owned()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests;
