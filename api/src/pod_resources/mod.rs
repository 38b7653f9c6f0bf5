//! What a pod requests and what it is limited to, as a whole: what schedulers compare with nodes and quotas count.
//!
//! The rules are those of `PodRequests` and `PodLimits` of `k8s.io/component-helpers/resource`, which are part of the API.
//! Ordinary containers and sidecars run at the same time; other init containers run one by one, each beside the sidecars
//! that were started before it; a pod needs the greater of the two. Resources of the pod as a whole replace those of its
//! containers. While a pod is being resized, it needs the greatest of what it wants, what it was given and what it has.

pub mod qos;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodSpec, PodStatus, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use crate::quantity::Quantity;

/// Quantities by the names of resources.
pub type List = BTreeMap<String, Quantity>;
/// Quantities as objects hold them.
type ApiList = BTreeMap<String, ApiQuantity>;

/// What is taken into account.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// What the status says of resizes, besides the spec.
    pub status: bool,
    /// The pod's overhead is left out.
    pub without_overhead: bool,
    /// The resources of the pod as a whole are left out.
    pub without_pod_level: bool,
    /// The resources of the containers are left out.
    pub without_containers: bool,
    /// What every container requests of the resources of which it requests nothing, not even zero.
    pub missing: Option<&'a List>,
}

/// The quantities that can be read. Others, which no server accepts, count as absent.
#[must_use]
pub fn read(list: Option<&ApiList>) -> List {
    let quantities = list.into_iter().flatten();
    quantities.filter_map(|(name, quantity)| Some((name.clone(), Quantity::try_from(quantity).ok()?))).collect()
}

/// Adds quantities to those of the same names.
pub fn add(sums: &mut List, more: &List) {
    for (name, quantity) in more {
        match sums.entry(name.clone()) {
            Entry::Occupied(mut entry) => entry.get_mut().add(quantity),
            Entry::Vacant(entry) => {
                entry.insert(quantity.clone());
            }
        }
    }
}

/// Makes each quantity at least that of the same name among others.
pub fn raise(greatest: &mut List, others: &List) {
    for (name, quantity) in others {
        if greatest.get(name).is_none_or(|known| known < quantity) {
            greatest.insert(name.clone(), quantity.clone());
        }
    }
}

/// Whether a pod can have the resource as a whole, besides what its containers have.
#[must_use]
pub fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("hugepages-")
}

/// Whether a pod as a whole requests resources.
#[must_use]
pub fn has_pod_level_requests(pod: &Pod) -> bool {
    pod_level(pod).is_some_and(|resources| has_pod_level(resources.requests.as_ref()))
}

/// Whether a pod as a whole requests resources, or is limited to some.
#[must_use]
pub fn has_pod_level_resources(pod: &Pod) -> bool {
    has_pod_level_requests(pod) || pod_level(pod).is_some_and(|resources| has_pod_level(resources.limits.as_ref()))
}

/// Whether a node has said that it can never give a pod what it wants by now.
#[must_use]
pub fn is_resize_infeasible(pod: &Pod) -> bool {
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let pending = conditions.find(|condition| condition.type_ == "PodResizePending");
    pending.is_some_and(|pending| pending.reason.as_deref() == Some("Infeasible"))
}

/// What a pod requests.
#[must_use]
pub fn requests(pod: &Pod, options: Options<'_>) -> List {
    let mut requests = List::new();
    if !options.without_containers {
        requests = container_requests(pod, options);
    }
    if !options.without_pod_level && has_pod_level_requests(pod) {
        let wanted = pod_level(pod).and_then(|resources| resources.requests.as_ref());
        let status = pod.status.as_ref().filter(|_| options.status);
        let had = status.and_then(|status| status.resources.as_ref());
        let given = status.and_then(|status| status.allocated_resources.as_ref());
        let now = match had {
            None if given.is_none() => read(wanted),
            _ => resized(pod, wanted, &[had.and_then(|had| had.requests.as_ref()), given]),
        };
        replace(&mut requests, now);
    }
    if !options.without_overhead {
        add(&mut requests, &overhead(pod));
    }
    requests
}

/// What a pod is limited to. What is not limited stays so, whatever the overhead.
#[must_use]
pub fn limits(pod: &Pod, options: Options<'_>) -> List {
    let mut limits = container_limits(pod, options);
    if !options.without_pod_level && has_pod_level_resources(pod) {
        let wanted = pod_level(pod).and_then(|resources| resources.limits.as_ref());
        let status = pod.status.as_ref().filter(|_| options.status);
        let now = match status.and_then(|status| status.resources.as_ref()) {
            None => read(wanted),
            Some(had) => resized(pod, wanted, &[had.limits.as_ref()]),
        };
        replace(&mut limits, now);
    }
    if !options.without_overhead {
        for (name, quantity) in &overhead(pod) {
            if let Some(limit) = limits.get_mut(name).filter(|limit| !limit.is_zero()) {
                limit.add(quantity);
            }
        }
    }
    limits
}

fn pod_level(pod: &Pod) -> Option<&ResourceRequirements> {
    pod.spec.as_ref()?.resources.as_ref()
}

fn has_pod_level(list: Option<&ApiList>) -> bool {
    list.is_some_and(|list| list.keys().any(|name| is_pod_level(name)))
}

fn overhead(pod: &Pod) -> List {
    read(pod.spec.as_ref().and_then(|spec| spec.overhead.as_ref()))
}

/// The greatest of what the spec wants of the pod as a whole, unless that cannot be, and of what the status says. The status
/// includes the overhead, which is added later.
fn resized(pod: &Pod, wanted: Option<&ApiList>, statuses: &[Option<&ApiList>]) -> List {
    let mut greatest = if is_resize_infeasible(pod) { List::new() } else { read(wanted) };
    let overhead = overhead(pod);
    for status in statuses {
        let mut list = read(*status);
        for (name, quantity) in &mut list {
            let Some(overhead) = overhead.get(name) else { continue };
            quantity.sub(overhead);
            if quantity.signum() < 0 {
                *quantity = Quantity::new(0, quantity.format());
            }
        }
        raise(&mut greatest, &list);
    }
    greatest
}

fn replace(list: &mut List, by: List) {
    list.extend(by.into_iter().filter(|(name, _)| is_pod_level(name)));
}

/// What the containers request together.
fn container_requests(pod: &Pod, options: Options<'_>) -> List {
    let wanted = together(pod, options.missing, |container| read(requested(container)));
    let Some(status) = pod.status.as_ref().filter(|_| options.status) else { return wanted };
    let infeasible = is_resize_infeasible(pod);
    let mut needed = if infeasible { List::new() } else { wanted };
    // A node that says what the pod has as a whole says it of all containers together, and of the overhead, which upstream
    // then adds once more.
    let whole = status.resources.as_ref().and_then(|had| had.requests.as_ref());
    if let (Some(given), Some(whole)) = (&status.allocated_resources, whole) {
        raise(&mut needed, &read(Some(given)));
        raise(&mut needed, &read(Some(whole)));
        return needed;
    }
    let given_together = together(pod, options.missing, |container| {
        read(given(status, container).or_else(|| requested(container).filter(|_| !infeasible)))
    });
    let had_together = together(pod, options.missing, |container| {
        let had = had(status, container).and_then(|had| had.requests.as_ref());
        let had = had.or_else(|| given(status, container));
        read(had.or_else(|| requested(container).filter(|_| !infeasible)))
    });
    raise(&mut needed, &given_together);
    raise(&mut needed, &had_together);
    needed
}

/// What the containers are limited to together.
fn container_limits(pod: &Pod, options: Options<'_>) -> List {
    let wanted = together(pod, None, |container| read(limited(container)));
    let Some(status) = pod.status.as_ref().filter(|_| options.status) else { return wanted };
    let infeasible = is_resize_infeasible(pod);
    let mut needed = if infeasible { List::new() } else { wanted };
    if let Some(had) = status.resources.as_ref().and_then(|had| had.limits.as_ref()) {
        raise(&mut needed, &read(Some(had)));
        return needed;
    }
    let had_together = together(pod, None, |container| {
        let had = had(status, container).and_then(|had| had.limits.as_ref());
        read(had.or_else(|| limited(container).filter(|_| !infeasible)))
    });
    raise(&mut needed, &had_together);
    needed
}

fn requested(container: &Container) -> Option<&ApiList> {
    container.resources.as_ref()?.requests.as_ref()
}

fn limited(container: &Container) -> Option<&ApiList> {
    container.resources.as_ref()?.limits.as_ref()
}

fn status_of<'a>(status: &'a PodStatus, container: &Container) -> Option<&'a ContainerStatus> {
    let mut statuses = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    statuses.find(|status| status.name == container.name)
}

/// What a container was given.
fn given<'a>(status: &'a PodStatus, container: &Container) -> Option<&'a ApiList> {
    status_of(status, container)?.allocated_resources.as_ref()
}

/// What a container has.
fn had<'a>(status: &'a PodStatus, container: &Container) -> Option<&'a ResourceRequirements> {
    status_of(status, container)?.resources.as_ref()
}

fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// What the containers of a pod need together, if each needs what `of` says, and of what it says nothing, what is `missing`.
fn together(pod: &Pod, missing: Option<&List>, of: impl Fn(&Container) -> List) -> List {
    let Some(spec) = &pod.spec else { return List::new() };
    let of = |container: &Container| {
        let mut own = of(container);
        for (name, quantity) in missing.into_iter().flatten() {
            own.entry(name.clone()).or_insert_with(|| quantity.clone());
        }
        own
    };
    let mut running = List::new();
    for container in &spec.containers {
        add(&mut running, &of(container));
    }
    let (mut sidecars, mut starting) = (List::new(), List::new());
    for container in init_containers(spec) {
        let mut own = of(container);
        if is_sidecar(container) {
            add(&mut running, &own);
            add(&mut sidecars, &own);
            raise(&mut starting, &sidecars);
        } else {
            add(&mut own, &sidecars);
            raise(&mut starting, &own);
        }
    }
    raise(&mut running, &starting);
    running
}

fn init_containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.init_containers.iter().flatten()
}

#[cfg(test)]
mod tests;
