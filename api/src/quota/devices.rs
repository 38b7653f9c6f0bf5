//! What a ResourceClaim takes of a quota: devices of each class, and the extended resources for which such devices stand.
//!
//! For a claim that a scheduler made of a pod's extended resources, what the pod is charged for already is not charged again.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::pod_resources::List;
use crate::quantity::{Format, Quantity};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::resource::v1::{DeviceClass, ResourceClaim};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::names::{REQUESTS, is_extended_request, number};
use super::pods;

/// The number of claims.
pub const COUNT: &str = "count/resourceclaims.resource.k8s.io";
/// After the name of a device class, for the devices of it.
const OF_CLASS: &str = ".deviceclass.resource.k8s.io/devices";
/// Before the name of a device class, for the extended resource that every class stands for.
pub const IMPLICIT: &str = "deviceclass.resource.kubernetes.io/";
/// Says of a claim that it was made of a pod's extended resources.
const ANNOTATION: &str = "resource.kubernetes.io/extended-resource-claim";
/// The most devices that one request can get (`AllocationResultsMaxSize`).
const MOST_DEVICES: i64 = 32;

/// The claims of a namespace.
pub struct Claims {
    claims: Vec<Arc<ResourceClaim>>,
    /// The pods that own claims which were made of extended resources, by uid.
    owners: BTreeMap<String, Arc<Pod>>,
}

/// The extended resources that device classes are stated to stand for, by the name of the class.
#[derive(Default)]
pub struct Classes(BTreeMap<String, String>);

impl Classes {
    /// What these classes state.
    #[must_use]
    pub fn new(classes: impl IntoIterator<Item = Arc<DeviceClass>>) -> Classes {
        let stated = |class: Arc<DeviceClass>| {
            let resource = class.spec.as_ref()?.extended_resource_name.clone()?;
            Some((class.metadata.name.clone().unwrap_or_default(), resource))
        };
        Classes(classes.into_iter().filter_map(stated).collect())
    }

    /// Whether claims take what the name says.
    #[must_use]
    pub fn measures(&self, name: &str) -> bool {
        let request = name.strip_prefix(REQUESTS).unwrap_or_default();
        let class = request.strip_prefix(IMPLICIT).unwrap_or_default();
        name == COUNT
            || name.ends_with(OF_CLASS)
            || self.0.get(class).is_some_and(|resource| !resource.is_empty())
            || (is_extended_request(name) && self.0.values().any(|resource| resource == request))
    }
}

/// Whether claims may take what the name says, depending on the device classes.
#[must_use]
pub fn may_measure(name: &str) -> bool {
    name == COUNT || name.ends_with(OF_CLASS) || (name.starts_with(REQUESTS) && name.contains('/'))
}

impl Claims {
    /// These claims, in whose namespace `pod` finds pods by name.
    pub fn new(claims: Vec<Arc<ResourceClaim>>, pod: impl Fn(&str) -> Option<Arc<Pod>>) -> Claims {
        let references = claims.iter().filter_map(|claim| pod_reference(claim));
        let owner = |reference: &OwnerReference| {
            let pod = pod(&reference.name)?;
            (pod.metadata.uid.as_ref() == Some(&reference.uid)).then(|| (reference.uid.clone(), pod))
        };
        let owners = references.filter_map(owner).collect();
        Claims { claims, owners }
    }

    /// What all of them take.
    pub fn usages<'a>(&'a self, classes: &'a Classes, now: Timestamp) -> impl Iterator<Item = List> + 'a {
        self.claims.iter().map(move |claim| usage(claim, classes, &self.charged(claim, now)))
    }

    /// What a pod is charged for already, of that which a claim takes.
    #[must_use]
    pub fn charged(&self, claim: &ResourceClaim, now: Timestamp) -> List {
        self.owner(claim).map(|pod| pods::usage(pod, now)).unwrap_or_default()
    }

    /// The pod of whose extended resources the claim was made, unless another claim was.
    fn owner(&self, claim: &ResourceClaim) -> Option<&Pod> {
        let pod = &**self.owners.get(&pod_reference(claim)?.uid)?;
        let stated = pod.status.as_ref().and_then(|status| status.extended_resource_claim_status.as_ref());
        let is_it = match stated {
            Some(stated) => Some(&stated.resource_claim_name) == claim.metadata.name.as_ref(),
            None => !self.claims.iter().any(|other| is_of_same_pod(other, claim) && age(other) < age(claim)),
        };
        is_it.then_some(pod)
    }
}

fn is_of_same_pod(a: &ResourceClaim, b: &ResourceClaim) -> bool {
    pod_reference(a).map(|reference| &reference.uid) == pod_reference(b).map(|reference| &reference.uid)
}

fn age(claim: &ResourceClaim) -> (Option<Timestamp>, Option<&str>) {
    (claim.metadata.creation_timestamp.as_ref().map(|time| time.0), claim.metadata.name.as_deref())
}

/// The reference to the pod of whose extended resources a claim was made.
fn pod_reference(claim: &ResourceClaim) -> Option<&OwnerReference> {
    let annotated = claim.metadata.annotations.as_ref().and_then(|annotations| annotations.get(ANNOTATION));
    annotated.filter(|value| *value == "true")?;
    let controller = controller_of(&claim.metadata)?;
    (controller.kind == "Pod" && controller.api_version == "v1").then_some(controller)
}

fn controller_of(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// What a claim takes, beside what its pod is charged for already.
#[must_use]
pub fn usage(claim: &ResourceClaim, classes: &Classes, charged: &List) -> List {
    let mut devices: BTreeMap<&str, i64> = BTreeMap::new();
    let spec = claim.spec.as_ref().and_then(|spec| spec.devices.as_ref());
    for request in spec.into_iter().flat_map(|spec| spec.requests.iter().flatten()) {
        // Of alternatives, the one that takes most of a class counts for that class.
        let mut most: BTreeMap<&str, i64> = BTreeMap::new();
        for choice in request.first_available.iter().flatten() {
            let count = amount(choice.allocation_mode.as_deref(), choice.count);
            let known = most.entry(&choice.device_class_name).or_default();
            *known = count.max(*known);
        }
        if let Some(exactly) = request.exactly.as_ref().filter(|_| most.is_empty()) {
            most.insert(&exactly.device_class_name, amount(exactly.allocation_mode.as_deref(), exactly.count));
        }
        for (class, count) in most {
            let known = devices.entry(class).or_default();
            *known = known.saturating_add(count);
        }
    }
    let mut usage = List::from([(COUNT.to_owned(), number(1))]);
    for (class, count) in devices {
        let count = Quantity::new(count, Format::DecimalSi);
        let implicit = (!class.is_empty()).then(|| format!("{REQUESTS}{IMPLICIT}{class}"));
        let stated = classes.0.get(class).filter(|resource| !resource.is_empty() && !class.is_empty());
        for name in implicit.into_iter().chain(stated.map(|resource| format!("{REQUESTS}{resource}"))) {
            let mut left = count.clone();
            if let Some(charged) = charged.get(&name) {
                left.sub(charged);
            }
            if left.signum() > 0 {
                usage.insert(name, left);
            }
        }
        usage.insert(format!("{class}{OF_CLASS}"), count);
    }
    usage
}

/// How many devices a request may get. Ways of allocating that are not known count nothing.
fn amount(mode: Option<&str>, count: Option<i64>) -> i64 {
    match mode.unwrap_or("ExactCount") {
        "ExactCount" => count.unwrap_or(1),
        "All" => MOST_DEVICES,
        _ => 0,
    }
}
