//! Which endpoint goes into which EndpointSlice.
//!
//! A slice has endpoints of one set of ports, at most [`MOST_ENDPOINTS`]. Endpoints stay where they are. New ones go into
//! slices that are written in any case, the fullest first; then, if one slice has room for all that is left, into the slice
//! that they fill best; then into new slices. So a change is few writes, rather than few slices.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::names::object_dns_subdomain;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::endpoint::{Identity, PortSet, endpoints, is_same};
use super::pods::{HEADLESS, has_no_address};
use crate::plan::controller_reference;

/// The most endpoints in a slice (upstream's default).
pub(super) const MOST_ENDPOINTS: usize = 100;
/// The label that names the Service of a slice.
pub(in crate::controllers) const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The label that says who writes a slice.
pub(in crate::controllers) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// Who writes these slices.
pub(super) const MANAGER: &str = "endpointslice-controller.k8s.io";

type Labels = BTreeMap<String, String>;

/// What all slices of a Service that have addresses of one family have in common.
#[derive(Clone, Copy)]
pub(super) struct Family<'a> {
    pub(super) service: &'a Service,
    pub(super) address_type: &'a str,
}

/// The endpoints that are wanted at one set of ports.
#[derive(Default)]
pub(super) struct Wanted {
    pub(super) ports: Vec<EndpointPort>,
    pub(super) endpoints: BTreeMap<Identity, Endpoint>,
}

/// A slice that is to be written, and what it is now.
pub(super) struct Revision {
    pub(super) old: Arc<EndpointSlice>,
    pub(super) new: EndpointSlice,
}

/// What becomes of the slices of a family.
#[derive(Default)]
pub(super) struct Layout {
    pub(super) create: Vec<EndpointSlice>,
    pub(super) update: Vec<Revision>,
    pub(super) delete: Vec<Arc<EndpointSlice>>,
    pub(super) unchanged: Vec<Arc<EndpointSlice>>,
    /// The endpoints that are new, or began or ceased to serve.
    pub(super) turned: Vec<Identity>,
}

impl Revision {
    pub(super) fn of(old: Arc<EndpointSlice>) -> Revision {
        let new = EndpointSlice::clone(&old);
        Revision { old, new }
    }
}

impl Family<'_> {
    fn new_slice(&self, ports: Vec<EndpointPort>) -> EndpointSlice {
        let meta = &self.service.metadata;
        let name = meta.name.as_deref().unwrap_or_default();
        EndpointSlice {
            address_type: self.address_type.to_owned(),
            endpoints: Some(Vec::new()),
            metadata: ObjectMeta {
                namespace: meta.namespace.clone(),
                generate_name: Some(generated_from(name)),
                labels: Some(self.labels()),
                owner_references: Some(vec![controller_reference(self.service)]),
                ..ObjectMeta::default()
            },
            ports: Some(ports),
        }
    }

    /// The Service's labels, and those by which a slice is found.
    fn labels(&self) -> Labels {
        let mut labels = unreserved(self.service.metadata.labels.as_ref());
        if has_no_address(self.service) {
            labels.insert(HEADLESS.to_owned(), String::new());
        }
        labels.insert(SERVICE_NAME.to_owned(), self.service.metadata.name.clone().unwrap_or_default());
        labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
        labels
    }

    /// Whether the slice is of this very Service, and not of an earlier one of the same name.
    fn owns(&self, slice: &EndpointSlice) -> bool {
        let uid = self.service.metadata.uid.as_deref().unwrap_or_default();
        let mut owners = slice.metadata.owner_references.iter().flatten();
        owners.any(|owner| owner.uid == uid && owner.kind == "Service" && owner.api_version == "v1")
    }

    /// Whether the slice is what stands for a Service that has no endpoints.
    fn is_placeholder(&self, slice: &EndpointSlice) -> bool {
        let labels = slice.metadata.labels.as_ref() == Some(&self.labels());
        labels && endpoints(slice).is_empty() && slice.ports.as_ref().is_none_or(Vec::is_empty)
    }
}

/// How generated names of what belongs to an object begin: with a dash in between, unless that makes no name.
pub(in crate::controllers) fn generated_from(name: &str) -> String {
    let prefix = format!("{name}-");
    if object_dns_subdomain(&prefix, true).is_empty() { prefix } else { name.to_owned() }
}

/// Labels without those that are the slices' own.
fn unreserved(labels: Option<&Labels>) -> Labels {
    let is_reserved = |label: &str| [SERVICE_NAME, MANAGED_BY, HEADLESS].contains(&label);
    let labels = labels.into_iter().flatten().filter(|(label, _)| !is_reserved(label));
    labels.map(|(label, value)| (label.clone(), value.clone())).collect()
}

impl Layout {
    /// Spreads the wanted endpoints over slices, of which some are there.
    pub(super) fn pack(
        family: &Family<'_>,
        existing: &[Arc<EndpointSlice>],
        wanted: BTreeMap<PortSet, Wanted>,
    ) -> Layout {
        let mut layout = Layout::default();
        let mut by_ports: BTreeMap<PortSet, Vec<Arc<EndpointSlice>>> = BTreeMap::new();
        for slice in existing {
            if family.owns(slice) {
                by_ports.entry(PortSet::of_slice(slice)).or_default().push(Arc::clone(slice));
            } else {
                layout.delete.push(Arc::clone(slice));
            }
        }
        for (ports, wanted) in wanted {
            let existing = by_ports.remove(&ports).unwrap_or_default();
            layout.pack_ports(family, existing, wanted);
        }
        layout.delete.extend(by_ports.into_values().flatten());
        layout.keep_one(family, existing.len());
        layout
    }

    /// Every family has a slice, even if there is nothing to put into it.
    fn keep_one(&mut self, family: &Family<'_>, existing: usize) {
        if self.delete.len() != existing || !self.create.is_empty() {
            return;
        }
        match self.delete.as_slice() {
            [only] if family.is_placeholder(only) => self.unchanged.append(&mut self.delete),
            _ => self.create.push(family.new_slice(Vec::new())),
        }
    }

    fn pack_ports(&mut self, family: &Family<'_>, existing: Vec<Arc<EndpointSlice>>, wanted: Wanted) {
        let mut left = wanted.endpoints;
        let (mut revised, mut unchanged) = (Vec::new(), Vec::new());
        for slice in existing {
            let (kept, said_otherwise) = self.keep_wanted(&slice, &mut left);
            let of_service = unreserved(family.service.metadata.labels.as_ref());
            if said_otherwise || kept.len() != endpoints(&slice).len() {
                if kept.is_empty() {
                    self.delete.push(slice);
                    continue;
                }
                let mut revision = Revision::of(slice);
                revision.new.endpoints = Some(kept);
                revision.new.metadata.labels = Some(family.labels());
                revised.push(revision);
            } else if unreserved(slice.metadata.labels.as_ref()) != of_service {
                let mut revision = Revision::of(slice);
                revision.new.metadata.labels = Some(family.labels());
                revised.push(revision);
            } else {
                unchanged.push(slice);
            }
        }
        self.turned.extend(left.keys().cloned());
        revised.sort_by_key(|revision| Reverse(endpoints(&revision.new).len()));
        for revision in &mut revised {
            fill(&mut revision.new, &mut left);
        }
        while !left.is_empty() {
            if let Some(best) = best_to_fill(&unchanged, left.len()) {
                let mut revision = Revision::of(unchanged.remove(best));
                fill(&mut revision.new, &mut left);
                revised.push(revision);
            } else {
                let mut slice = family.new_slice(wanted.ports.clone());
                fill(&mut slice, &mut left);
                self.create.push(slice);
            }
        }
        self.update.append(&mut revised);
        self.unchanged.append(&mut unchanged);
    }

    /// The endpoints of a slice that are still wanted, as they are wanted, and whether one of them says something else than
    /// it did. Takes them from what is left to place.
    fn keep_wanted(&mut self, slice: &EndpointSlice, left: &mut BTreeMap<Identity, Endpoint>) -> (Vec<Endpoint>, bool) {
        let (mut kept, mut said_otherwise) = (Vec::new(), false);
        for old in endpoints(slice) {
            let identity = Identity::of(old);
            let Some(new) = left.remove(&identity) else { continue };
            said_otherwise |= !is_same(old, &new);
            let serves = |endpoint: &Endpoint| endpoint.conditions.as_ref().and_then(|conditions| conditions.serving);
            if serves(old) != serves(&new) {
                self.turned.push(identity);
            }
            kept.push(new);
        }
        (kept, said_otherwise)
    }

    /// Writes what is to be created over what is to be deleted, as far as there is both.
    pub(super) fn recycle(&mut self, family: &Family<'_>) {
        let mut kept = Vec::new();
        for old in std::mem::take(&mut self.delete) {
            if !family.owns(&old) {
                kept.push(old);
                continue;
            }
            let Some(fresh) = self.create.pop() else {
                kept.push(old);
                continue;
            };
            let mut revision = Revision::of(old);
            revision.new.endpoints = fresh.endpoints;
            revision.new.ports = fresh.ports;
            revision.new.metadata.labels = fresh.metadata.labels;
            revision.new.metadata.annotations = None;
            revision.new.metadata.owner_references = fresh.metadata.owner_references;
            self.update.push(revision);
        }
        self.delete = kept;
    }

    /// Forgets revisions that change nothing.
    pub(super) fn drop_what_is_as_it_was(&mut self) {
        self.update.retain(|revision| revision.new != *revision.old);
    }

    /// The names of the pods whose endpoints are new, or began or ceased to serve.
    pub(super) fn turned_pods(&self) -> BTreeSet<&str> {
        self.turned.iter().map(Identity::target).collect()
    }
}

/// Moves endpoints into a slice until it is full.
fn fill(slice: &mut EndpointSlice, left: &mut BTreeMap<Identity, Endpoint>) {
    let room = MOST_ENDPOINTS.saturating_sub(endpoints(slice).len());
    let moved = std::iter::from_fn(|| left.pop_first()).take(room).map(|(_, endpoint)| endpoint);
    slice.endpoints.get_or_insert_default().extend(moved);
}

/// The slice that has room for this many more endpoints, and the least room beyond that.
fn best_to_fill(slices: &[Arc<EndpointSlice>], more: usize) -> Option<usize> {
    let room = |slice: &EndpointSlice| MOST_ENDPOINTS.checked_sub(endpoints(slice).len() + more);
    let fitting = slices.iter().enumerate().filter_map(|(index, slice)| Some((room(slice)?, index)));
    fitting.min().map(|(_, index)| index)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn endpoint(address: String) -> Endpoint {
        Endpoint { addresses: vec![address], ..Endpoint::default() }
    }

    /// Checks what becomes of slices of which each had so many endpoints and keeps so many of them, when so many endpoints
    /// are new.
    fn check(existing: &[(usize, usize)], new: usize, expected: &[&str]) {
        let service: Service = serde_json::from_value(json!({"metadata": {"name": "web", "uid": "web"}})).unwrap();
        let family = Family { service: &service, address_type: "IPv4" };
        let slice = |(number, (size, _)): (usize, &(usize, usize))| {
            let mut slice = family.new_slice(Vec::new());
            slice.metadata.name = Some(format!("s{number}"));
            slice.endpoints = Some((0..*size).map(|index| endpoint(format!("{number}-{index}"))).collect());
            Arc::new(slice)
        };
        let slices: Vec<Arc<EndpointSlice>> = existing.iter().enumerate().map(slice).collect();
        let kept = slices.iter().zip(existing).flat_map(|(slice, (_, kept))| endpoints(slice)[..*kept].to_vec());
        let new = (0..new).map(|index| endpoint(format!("new-{index}")));
        let endpoints_wanted = kept.chain(new).map(|endpoint| (Identity::of(&endpoint), endpoint)).collect();
        let wanted = Wanted { ports: Vec::new(), endpoints: endpoints_wanted };
        let mut layout = Layout::pack(&family, &slices, [(PortSet::of(None), wanted)].into());
        layout.recycle(&family);
        let name = |slice: &EndpointSlice| slice.metadata.name.clone().unwrap();
        let created = layout.create.iter().map(|slice| format!("create {}", endpoints(slice).len()));
        let updated = layout.update.iter();
        let updated = updated.map(|revision| format!("{} {}", name(&revision.old), endpoints(&revision.new).len()));
        let deleted = layout.delete.iter().map(|slice| format!("delete {}", name(slice)));
        assert_eq!(created.chain(updated).chain(deleted).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn few_slices_are_written() {
        check(&[], 0, &["create 0"]);
        check(&[], 250, &["create 100", "create 100", "create 50"]);
        check(&[(100, 100), (90, 90)], 0, &[]);
        // Into the one slice that has room, or the one that is filled best.
        check(&[(100, 100), (90, 90)], 5, &["s1 95"]);
        check(&[(50, 50), (90, 90), (70, 70)], 10, &["s1 100"]);
        check(&[(50, 50), (90, 90), (70, 70)], 11, &["s2 81"]);
        // Into a new one rather than into two that are there.
        check(&[(50, 50), (60, 60)], 60, &["create 60"]);
        check(&[(50, 50), (60, 60)], 140, &["create 100", "s1 100"]);
        // Into those that are written in any case, the fullest first.
        check(&[(40, 30), (60, 60)], 70, &["s0 100"]);
        check(&[(40, 30), (60, 60)], 80, &["s0 100", "s1 70"]);
        check(&[(40, 30), (60, 50), (70, 70)], 60, &["s1 100", "s0 40"]);
        // Slices that nothing is left of go, unless one is needed.
        check(&[(10, 0), (20, 20)], 0, &["delete s0"]);
        check(&[(10, 0), (99, 99)], 2, &["s0 2"]);
        check(&[(10, 0)], 0, &["s0 0"]);
        check(&[(10, 0), (10, 0)], 0, &["s0 0", "delete s1"]);
    }
}
