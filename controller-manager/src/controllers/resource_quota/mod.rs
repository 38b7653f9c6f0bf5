//! Counts what is used of every ResourceQuota, into its status.
//!
//! What a client is refused is decided when it asks, by what the status says then; here it is counted again from all that
//! there is, when something changed and every five minutes. What nobody can count keeps the number that it has.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::pod_resources::{List, add, read};
use api::quota::devices::{self, Claims, Classes};
use api::quota::{claims, names, pods, scopes, services};
use client::cache::{Cache, Change};
use client::resource::{Key, Kind};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, Pod, ResourceQuota, ResourceQuotaSpec, ResourceQuotaStatus, Service,
};
use k8s_openapi::api::resource::v1::{DeviceClass, ResourceClaim};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::controller::{Controller, Moment, Pair, Watches};
use crate::plan::Plan;

/// How often everything is counted, changes or not.
const RECOUNT: Duration = Duration::from_mins(5);
/// When to look again for a resource that is to be counted, and that is being listed.
const NOT_LISTED: Duration = Duration::from_secs(1);
/// When to look again for a resource that is to be counted, and that nobody serves yet.
const NOT_SERVED: Duration = Duration::from_secs(30);

/// The controller.
pub struct ResourceQuotas;

/// A quota, and what there is in its namespace of that which it limits.
pub struct Observed {
    quota: Arc<ResourceQuota>,
    pods: Option<Vec<Arc<Pod>>>,
    services: Option<Vec<Arc<Service>>>,
    volumes: Option<Vec<Arc<PersistentVolumeClaim>>>,
    devices: Option<Claims>,
    classes: Classes,
    /// How many objects there are, by what the quota calls that number.
    counts: BTreeMap<String, usize>,
    /// Whether it limits objects of a resource that is about to be known.
    expected: bool,
    /// Whether it limits objects of a resource that is not known.
    unknown: bool,
}

impl Controller for ResourceQuotas {
    const NAME: &'static str = "resourcequota-controller";
    type Observed = Observed;

    fn watches(&self) -> Watches {
        Watches::on::<ResourceQuota>()
            .mapped::<Pod>(|cache, pair| {
                let changed = !is_only_changed(pair, pods::is_same);
                concerned(cache, pair, changed, |name| pods::measures(name) || devices::may_measure(name))
            })
            .mapped::<Service>(|cache, pair| {
                let changed = !is_only_changed(pair, |old, new| old.spec == new.spec);
                concerned(cache, pair, changed, services::measures)
            })
            .mapped::<PersistentVolumeClaim>(|cache, pair| {
                let annotations = |claim: &PersistentVolumeClaim| claim.metadata.annotations.clone();
                let changed = !is_only_changed(pair, |old, new| {
                    old.spec == new.spec && old.status == new.status && annotations(old) == annotations(new)
                });
                concerned(cache, pair, changed, claims::measures)
            })
            .mapped::<ResourceClaim>(|cache, pair| {
                let meta = |claim: &ResourceClaim| {
                    (claim.metadata.annotations.clone(), claim.metadata.owner_references.clone())
                };
                let changed = !is_only_changed(pair, |old, new| old.spec == new.spec && meta(old) == meta(new));
                concerned(cache, pair, changed, devices::may_measure)
            })
            .mapped::<DeviceClass>(|cache, pair| {
                let is_same = is_only_changed(pair, |old, new| old.spec == new.spec);
                if is_same { Vec::new() } else { limiting(cache, None, devices::may_measure) }
            })
            .and_everything(|cache, change| match come_or_gone(change) {
                Some(namespace) => {
                    limiting(cache, Some(namespace), |name| names::counted(name) == Some(&*change.resource))
                }
                None => Vec::new(),
            })
    }

    fn observe(&self, cache: &Cache, key: &Key) -> Option<Observed> {
        let quota = cache.get::<ResourceQuota>(&key.namespace, &key.name)?;
        let namespace = Some(&*key.namespace);
        let hard: Vec<&str> = limited(&quota).collect();
        let classes = if hard.iter().any(|name| devices::may_measure(name)) {
            Classes::new(cache.list::<DeviceClass>(None))
        } else {
            Classes::default()
        };
        let limits = |measures: &dyn Fn(&str) -> bool| hard.iter().any(|name| measures(name));
        let is_special = |name: &str| {
            pods::measures(name) || services::measures(name) || claims::measures(name) || classes.measures(name)
        };
        let (mut counts, mut expected, mut unknown) = (BTreeMap::new(), false, false);
        for (name, counted) in hard.iter().filter_map(|name| Some((*name, names::counted(name)?))) {
            match cache.resource(counted) {
                _ if is_special(name) => {}
                Some(resource) if !resource.namespaced => {}
                Some(resource) if cache.has_synced(&resource) => {
                    counts.insert(name.to_owned(), cache.list_any(counted, namespace).len());
                }
                // Of what has not been listed some objects may be known, and a number of them would be too small.
                Some(resource) if cache.expects(&resource) => expected = true,
                _ => unknown = true,
            }
        }
        Some(Observed {
            pods: limits(&pods::measures).then(|| cache.list(namespace)),
            services: limits(&services::measures).then(|| cache.list(namespace)),
            volumes: limits(&claims::measures).then(|| cache.list(namespace)),
            devices: limits(&|name| classes.measures(name))
                .then(|| Claims::new(cache.list(namespace), |name| cache.get(&key.namespace, name))),
            quota: Arc::clone(&quota),
            classes,
            counts,
            expected,
            unknown,
        })
    }

    fn reconcile(&self, observed: &Observed, moment: &Moment) -> Plan {
        let mut plan = Plan::new();
        plan.look_again(match observed {
            Observed { expected: true, .. } => NOT_LISTED,
            Observed { unknown: true, .. } => NOT_SERVED,
            _ => RECOUNT,
        });
        let soonest = observed.pods.iter().flatten().filter_map(|pod| pods::until_gone(pod, moment.now)).min();
        soonest.into_iter().for_each(|left| plan.look_again(Duration::try_from(left).unwrap_or_default()));
        let quota = &*observed.quota;
        let old = quota.status.clone().unwrap_or_default();
        let hard = quota.spec.as_ref().and_then(|spec| spec.hard.clone()).unwrap_or_default();
        let mut used = old.used.clone().unwrap_or_default();
        used.extend(observed.count(moment.now).iter().map(|(name, quantity)| (name.clone(), quantity.into())));
        used.retain(|name, _| hard.contains_key(name));
        if is_equal(Some(&hard), old.hard.as_ref()) && is_equal(Some(&used), old.used.as_ref()) {
            return plan;
        }
        let some = |list: BTreeMap<String, ApiQuantity>| Some(list).filter(|list| !list.is_empty());
        let status = ResourceQuotaStatus { hard: some(hard), used: some(used) };
        plan.update_status(quota, &ResourceQuota { status: Some(status), ..quota.clone() });
        plan
    }
}

impl Observed {
    /// What is used of all that can be counted.
    fn count(&self, now: Timestamp) -> List {
        let spec = self.quota.spec.clone().unwrap_or_default();
        let requirements = scopes::requirements(&spec);
        let mut count = Count { spec: &spec, used: List::new(), measured: BTreeSet::new() };
        if let Some(pods) = &self.pods {
            let covered = |pod: &&Arc<Pod>| requirements.iter().all(|it| scopes::covers_pod(it, pod));
            count.add(pods::measures, pods.iter().filter(covered).map(|pod| pods::usage(pod, now)));
        }
        if let Some(volumes) = &self.volumes {
            let covered =
                |claim: &&Arc<PersistentVolumeClaim>| requirements.iter().all(|it| scopes::covers_claim(it, claim));
            count.add(claims::measures, volumes.iter().filter(covered).map(|claim| claims::usage(claim)));
        }
        // Scopes are about pods and volume claims, and nothing else is ever in them.
        let unscoped = requirements.is_empty();
        if let Some(services) = &self.services {
            let services = services.iter().filter(|_| unscoped);
            count.add(services::measures, services.map(|service| services::usage(service)));
        }
        if let Some(claims) = &self.devices {
            let usages = claims.usages(&self.classes, now).filter(|_| unscoped);
            count.add(|name| self.classes.measures(name), usages);
        }
        for (name, objects) in &self.counts {
            let usage = List::from([(name.clone(), names::number(if unscoped { *objects } else { 0 }))]);
            count.add(|other| other == name, std::iter::once(usage));
        }
        count.used.retain(|name, _| count.measured.contains(name));
        count.used
    }
}

/// A count in the making.
struct Count<'a> {
    spec: &'a ResourceQuotaSpec,
    used: List,
    /// The names in the quota that something is measured by.
    measured: BTreeSet<String>,
}

impl Count<'_> {
    /// Adds what objects use, of which the names that `measures` says are measured.
    fn add(&mut self, measures: impl Fn(&str) -> bool, usages: impl Iterator<Item = List>) {
        for name in self.spec.hard.iter().flatten().map(|(name, _)| name).filter(|name| measures(name)) {
            self.measured.insert(name.clone());
            self.used.entry(name.clone()).or_default();
        }
        usages.for_each(|usage| add(&mut self.used, &usage));
    }
}

/// The names that a quota limits.
fn limited(quota: &ResourceQuota) -> impl Iterator<Item = &str> {
    quota.spec.iter().flat_map(|spec| spec.hard.iter().flatten()).map(|(name, _)| name.as_str())
}

/// The quotas of a namespace, or of all, that limit something of this kind.
fn limiting(cache: &Cache, namespace: Option<&str>, measures: impl Fn(&str) -> bool) -> Vec<Key> {
    let quotas = cache.list::<ResourceQuota>(namespace);
    quotas.iter().filter(|quota| limited(quota).any(&measures)).map(|quota| Key::to(&**quota)).collect()
}

/// The quotas that a changed object is a reason to count.
fn concerned<K: Kind>(cache: &Cache, pair: &Pair<K>, changed: bool, measures: impl Fn(&str) -> bool) -> Vec<Key> {
    let namespace = pair.both().next().and_then(|object| object.metadata().namespace.as_deref());
    if changed { limiting(cache, namespace, measures) } else { Vec::new() }
}

/// Whether an object was there and is there, and is the same as far as `is_same` tells.
fn is_only_changed<K: Kind>(pair: &Pair<K>, is_same: impl Fn(&K, &K) -> bool) -> bool {
    match (&pair.old, &pair.new) {
        (Some(old), Some(new)) => is_same(old, new),
        _ => false,
    }
}

/// The namespace of an object that has come or gone.
fn come_or_gone(change: &Change) -> Option<&str> {
    let meta: &ObjectMeta = match (&change.old, &change.new) {
        (Some(object), None) | (None, Some(object)) => object.meta(),
        _ => return None,
    };
    meta.namespace.as_deref().filter(|namespace| !namespace.is_empty())
}

/// Whether two lists have the same names and, however they are written, the same quantities.
fn is_equal(a: Option<&BTreeMap<String, ApiQuantity>>, b: Option<&BTreeMap<String, ApiQuantity>>) -> bool {
    let names = |list: Option<&BTreeMap<String, ApiQuantity>>| -> Vec<String> {
        list.into_iter().flatten().map(|(name, _)| name.clone()).collect()
    };
    names(a) == names(b) && read(a) == read(b)
}
