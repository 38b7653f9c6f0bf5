//! The defaults that only pods get (`SetDefaults_Pod`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use crate::resources::pod_spec::absent::{is_true, list, number};
use crate::resources::pod_spec::aggregate;
use crate::resources::pod_spec::resources::{is_huge_pages, is_overcommittable, is_pod_level};

/// Fills in the defaults of a pod's spec: those of templates, requests where there are only limits, the resources of
/// the pod as a whole where they are stated in part, and ports of the host for pods in its network.
pub(crate) fn set_pod_defaults(spec: &mut PodSpec) {
    super::set_defaults(spec);
    spec.containers.iter_mut().for_each(set_requests);
    spec.init_containers.iter_mut().flatten().for_each(set_requests);
    set_pod_huge_page_limits(spec);
    set_pod_requests(spec);
    set_pod_limits(spec);
    spec.enable_service_links.get_or_insert(true);
    if is_true(spec.host_network) {
        spec.containers.iter_mut().for_each(set_host_ports);
        spec.init_containers.iter_mut().flatten().for_each(set_host_ports);
    }
}

/// What is limited and not requested is requested up to its limit.
fn set_requests(container: &mut Container) {
    let Some(resources) = &mut container.resources else { return };
    let limits = resources.limits.iter().flatten().map(|(name, limit)| (name.clone(), limit.clone()));
    fill_in(&mut resources.requests, limits.collect());
}

/// The pod's limit of huge pages is what its containers may use together.
fn set_pod_huge_page_limits(spec: &mut PodSpec) {
    let mut sums = aggregate::limits(spec);
    let Some(resources) = &mut spec.resources else { return };
    if is_empty(&resources.limits) && is_empty(&resources.requests) {
        return;
    }
    let requests = resources.requests.as_ref();
    sums.retain(|name, _| is_huge_pages(name) && requests.is_none_or(|requests| !requests.contains_key(name)));
    fill_in(&mut resources.limits, to_api(&sums));
}

/// A limited pod requests what its containers request together, and of what they do not, its limit.
fn set_pod_requests(spec: &mut PodSpec) {
    let mut sums = aggregate::requests(spec);
    let Some(resources) = &mut spec.resources else { return };
    if is_empty(&resources.limits) {
        return;
    }
    sums.retain(|name, _| is_pod_level(name) && is_overcommittable(name));
    fill_in(&mut resources.requests, to_api(&sums));
    let mut limits = resources.limits.clone().unwrap_or_default();
    limits.retain(|name, _| is_pod_level(name));
    fill_in(&mut resources.requests, limits);
}

/// A pod with requests and no limits is limited to what its containers are, where all of them are.
fn set_pod_limits(spec: &mut PodSpec) {
    let mut sums = aggregate::limits(spec);
    let states = |quantities: &Option<BTreeMap<String, ApiQuantity>>| {
        quantities.as_ref().is_some_and(|quantities| quantities.keys().any(|name| is_pod_level(name)))
    };
    let all_limit = |name: &str| {
        spec.containers.iter().chain(list(&spec.init_containers)).all(|container| {
            let limits = container.resources.as_ref().and_then(|resources| resources.limits.as_ref());
            limits.is_some_and(|limits| limits.contains_key(name))
        })
    };
    sums.retain(|name, _| is_pod_level(name) && is_overcommittable(name) && all_limit(name));
    let Some(resources) = &mut spec.resources else { return };
    if states(&resources.requests) && !states(&resources.limits) {
        fill_in(&mut resources.limits, to_api(&sums));
    }
}

fn set_host_ports(container: &mut Container) {
    for port in container.ports.iter_mut().flatten().filter(|port| number(port.host_port) == 0) {
        port.host_port = Some(port.container_port);
    }
}

fn is_empty(quantities: &Option<BTreeMap<String, ApiQuantity>>) -> bool {
    quantities.as_ref().is_none_or(BTreeMap::is_empty)
}

fn to_api(sums: &aggregate::List) -> BTreeMap<String, ApiQuantity> {
    sums.iter().map(|(name, quantity)| (name.clone(), ApiQuantity::from(quantity))).collect()
}

fn fill_in(field: &mut Option<BTreeMap<String, ApiQuantity>>, values: BTreeMap<String, ApiQuantity>) {
    if values.is_empty() {
        return;
    }
    let field = field.get_or_insert_default();
    for (name, quantity) in values {
        field.entry(name).or_insert(quantity);
    }
}
