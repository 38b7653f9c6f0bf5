//! Keeps EndpointSlices that say what Endpoints say that were made by hand, for those who read slices only.
//!
//! Endpoints are mirrored if their Service has no selector, and unless they say that they are not to be, or serve to elect a
//! leader. Each of their subsets becomes one slice a family of addresses, of at most [`MOST_ADDRESSES`] in all. Slices go when
//! what they mirror, or its Service, goes or is no longer to be mirrored.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::names::parse_ip_sloppy;
use client::cache::Cache;
use client::events::EventType;
use client::resource::Key;
use k8s_openapi::api::core::v1::{self, EndpointAddress, EndpointSubset, Endpoints, Namespace, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::endpoint_slice::endpoint::{Identity, PortSet, endpoints, is_same, sort_ports};
use super::endpoint_slice::packing::{MANAGED_BY, SERVICE_NAME, generated_from};
use super::endpoint_slice::pods::{self, TRIGGER_TIME};
use super::endpoint_slice::{origins_of_slice, slices_of};
use super::endpoints::subsets::repack;
use crate::controller::{Controller, Moment, Watches};
use crate::plan::{Plan, controller_reference};

/// The most addresses of a subset that are mirrored (upstream's default).
const MOST_ADDRESSES: usize = 1000;
/// Who writes these slices.
const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The controller.
pub struct EndpointSliceMirroring;

/// Endpoints, and the slices that mirror them.
pub struct Observed {
    /// The Endpoints, if they are to be mirrored.
    mirrored: Option<Arc<Endpoints>>,
    slices: Vec<Arc<EndpointSlice>>,
    /// Whether nothing can be made in the namespace any more.
    namespace_is_ending: bool,
}

impl Controller for EndpointSliceMirroring {
    const NAME: &'static str = "endpointslice-mirroring-controller";
    type Observed = Observed;

    fn watches(&self) -> Watches {
        Watches::on::<Endpoints>()
            .mapped::<Service>(|_, pair| {
                let service = pair.both().next().map(|service| &service.metadata);
                let key = service.and_then(|meta| Some((meta.namespace.as_deref()?, meta.name.as_deref()?)));
                key.map(|(namespace, name)| Key::of::<Endpoints>(namespace, name)).into_iter().collect()
            })
            .mapped::<EndpointSlice>(|_, pair| origins_of_slice::<Endpoints>(pair, MANAGER))
            .reading::<Namespace>()
    }

    fn observe(&self, cache: &Cache, key: &Key) -> Option<Observed> {
        let service = cache.get::<Service>(&key.namespace, &key.name);
        let has_selector = |service: &Service| {
            let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
            selector.is_some_and(|selector| !selector.is_empty())
        };
        let is_by_hand = service.is_some_and(|service| !has_selector(&service));
        let mirrored = cache.get::<Endpoints>(&key.namespace, &key.name);
        let mirrored = mirrored.filter(|endpoints| is_by_hand && may_be_mirrored(&endpoints.metadata));
        let slices = slices_of(cache, key, MANAGER);
        if mirrored.is_none() && slices.is_empty() {
            return None;
        }
        Some(Observed { mirrored, slices, namespace_is_ending: pods::is_ending(cache, &key.namespace) })
    }

    fn reconcile(&self, observed: &Observed, _: &Moment) -> Plan {
        let mut plan = Plan::new();
        let Some(mirrored) = &observed.mirrored else {
            observed.slices.iter().take(plan.room()).for_each(|slice| {
                plan.delete(&**slice);
            });
            return plan;
        };
        let images = Images::of(mirrored);
        let mut changes = Changes::of(mirrored, &images.groups, &observed.slices);
        changes.recycle();
        let may_create = mirrored.metadata.deletion_timestamp.is_none() && !observed.namespace_is_ending;
        for slice in changes.create.iter().filter(|_| may_create) {
            if plan.room() > 0 {
                plan.create(slice);
            }
        }
        for (old, new) in &changes.update {
            if plan.room() > 0 {
                plan.update(&**old, new);
            }
        }
        for slice in &changes.delete {
            if plan.room() > 0 {
                plan.delete(&**slice);
            }
        }
        // What was said when slices were written is not said again whenever the Endpoints are looked at.
        if !plan.is_empty() {
            images.tell(mirrored, &mut plan);
        }
        plan
    }
}

/// Whether Endpoints say nothing against being mirrored.
fn may_be_mirrored(meta: &ObjectMeta) -> bool {
    let is_skipped = meta.labels.as_ref().is_some_and(|labels| labels.get(SKIP).is_some_and(|skip| skip == "true"));
    let elects = meta.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(LEADER));
    !is_skipped && !elects
}

/// The endpoints of one slice, and their ports.
#[derive(Default)]
struct Group {
    ports: Vec<EndpointPort>,
    endpoints: BTreeMap<Identity, Endpoint>,
}

type Groups = BTreeMap<(&'static str, PortSet), Group>;

/// What Endpoints look like as slices.
#[derive(Default)]
struct Images {
    groups: Groups,
    /// How many addresses are none.
    invalid: usize,
    /// How many addresses are left out, for that or because there are too many.
    skipped: usize,
}

impl Images {
    fn of(mirrored: &Endpoints) -> Images {
        let mut images = Images::default();
        for subset in repack(mirrored.subsets.as_deref().unwrap_or_default()) {
            images.add(&subset);
        }
        images
    }

    fn add(&mut self, subset: &EndpointSubset) {
        let mut ports: Vec<EndpointPort> = subset.ports.iter().flatten().map(image_of_port).collect();
        sort_ports(&mut ports);
        let key = PortSet::of(Some(&ports));
        let ready = subset.addresses.iter().flatten().map(|address| (address, true));
        let all = ready.chain(subset.not_ready_addresses.iter().flatten().map(|address| (address, false)));
        let (mut count, mut added) = (0, 0);
        for (address, ready) in all {
            count += 1;
            if added == MOST_ADDRESSES {
                continue;
            }
            let Some((family, endpoint)) = image_of_address(address, ready) else {
                self.invalid += 1;
                continue;
            };
            added += 1;
            let group = self.groups.entry((family, key.clone())).or_default();
            group.ports.clone_from(&ports);
            group.endpoints.insert(Identity::of(&endpoint), endpoint);
        }
        self.skipped += count - added;
    }

    fn tell(&self, mirrored: &Endpoints, plan: &mut Plan) {
        let mut warn = |reason: &'static str, message: String| {
            if plan.room() > 0 {
                plan.event(mirrored, EventType::Warning, reason, message);
            }
        };
        if self.invalid > 0 {
            let count = self.invalid;
            let message = format!("Skipped {count} invalid IP addresses when mirroring to EndpointSlices");
            warn("InvalidIPAddress", message);
        }
        if self.skipped > self.invalid {
            let skipped = self.skipped;
            let message = format!(
                "A max of {MOST_ADDRESSES} addresses can be mirrored to EndpointSlices per Endpoints subset. {skipped} \
                 addresses were skipped"
            );
            warn("TooManyAddressesToMirror", message);
        }
    }
}

fn image_of_port(port: &v1::EndpointPort) -> EndpointPort {
    EndpointPort {
        app_protocol: port.app_protocol.clone(),
        name: Some(port.name.clone().unwrap_or_default()),
        port: Some(port.port),
        protocol: port.protocol.clone(),
    }
}

/// The family of an address, and the address as an endpoint.
fn image_of_address(address: &EndpointAddress, ready: bool) -> Option<(&'static str, Endpoint)> {
    let endpoint = Endpoint {
        addresses: vec![parse_ip_sloppy(&address.ip)?.to_string()],
        conditions: Some(EndpointConditions { ready: Some(ready), ..EndpointConditions::default() }),
        hostname: address.hostname.clone().filter(|hostname| !hostname.is_empty()),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    };
    Some((pods::family(&address.ip)?, endpoint))
}

/// What becomes of the slices of Endpoints.
#[derive(Default)]
struct Changes {
    create: Vec<EndpointSlice>,
    update: Vec<(Arc<EndpointSlice>, EndpointSlice)>,
    delete: Vec<Arc<EndpointSlice>>,
}

impl Changes {
    fn of(mirrored: &Endpoints, groups: &Groups, existing: &[Arc<EndpointSlice>]) -> Changes {
        let mut changes = Changes::default();
        let mut by_group: BTreeMap<(&str, PortSet), Vec<&Arc<EndpointSlice>>> = BTreeMap::new();
        for slice in existing {
            by_group.entry((slice.address_type.as_str(), PortSet::of_slice(slice))).or_default().push(slice);
        }
        for ((family, ports), group) in groups {
            let mut slices = by_group.remove(&(*family, ports.clone())).unwrap_or_default().into_iter();
            let wanted = slice(mirrored, family, group);
            match slices.next() {
                None => changes.create.push(wanted),
                Some(old) => {
                    if !shows(old, group, &wanted) {
                        changes.update.push((Arc::clone(old), rewritten(old, wanted)));
                    }
                }
            }
            changes.delete.extend(slices.map(Arc::clone));
        }
        changes.delete.extend(by_group.into_values().flatten().map(Arc::clone));
        changes
    }

    /// Writes what is to be created over what is to be deleted, as far as there is both of a family.
    fn recycle(&mut self) {
        let mut kept = Vec::new();
        for old in std::mem::take(&mut self.delete) {
            match self.create.iter().position(|fresh| fresh.address_type == old.address_type) {
                Some(index) => {
                    let new = rewritten(&old, self.create.remove(index));
                    self.update.push((old, new));
                }
                None => kept.push(old),
            }
        }
        self.delete = kept;
    }
}

/// A slice with these endpoints.
fn slice(mirrored: &Endpoints, family: &str, group: &Group) -> EndpointSlice {
    let meta = &mirrored.metadata;
    let name = meta.name.clone().unwrap_or_default();
    let mut labels = meta.labels.clone().unwrap_or_default();
    labels.insert(SERVICE_NAME.to_owned(), name.clone());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    let mut annotations = meta.annotations.clone().unwrap_or_default();
    annotations.retain(|key, _| key != TRIGGER_TIME && key != LAST_APPLIED);
    EndpointSlice {
        address_type: family.to_owned(),
        endpoints: Some(group.endpoints.values().cloned().collect()),
        metadata: ObjectMeta {
            namespace: meta.namespace.clone(),
            generate_name: Some(generated_from(&name)),
            labels: Some(labels),
            annotations: Some(annotations).filter(|annotations| !annotations.is_empty()),
            owner_references: Some(vec![controller_reference(mirrored)]),
            ..ObjectMeta::default()
        },
        ports: Some(group.ports.clone()),
    }
}

/// Whether a slice has just these endpoints, and the labels and annotations that are wanted.
fn shows(slice: &EndpointSlice, group: &Group, wanted: &EndpointSlice) -> bool {
    let has = |old: &Endpoint| group.endpoints.get(&Identity::of(old)).is_some_and(|new| is_same(old, new));
    let (is, to_be) = (&slice.metadata, &wanted.metadata);
    endpoints(slice).len() == group.endpoints.len()
        && endpoints(slice).iter().all(has)
        && is.labels == to_be.labels
        && is.annotations.clone().unwrap_or_default() == to_be.annotations.clone().unwrap_or_default()
}

/// A slice that is there, with what another was to have.
fn rewritten(old: &EndpointSlice, wanted: EndpointSlice) -> EndpointSlice {
    let mut new = EndpointSlice { endpoints: wanted.endpoints, ports: wanted.ports, ..old.clone() };
    new.metadata.labels = wanted.metadata.labels;
    new.metadata.annotations = wanted.metadata.annotations;
    new.metadata.owner_references = wanted.metadata.owner_references;
    new
}

#[cfg(test)]
mod tests;
