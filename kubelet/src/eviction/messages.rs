//! What is said of evictions, in upstream's words. Pure.

use std::collections::BTreeMap;
use std::fmt::Write;

use api::pod_resources::read;
use api::quantity::{Format, Quantity};
use k8s_openapi::api::core::v1::{Container, Pod};

use super::observations::whole;
use super::{Observation, Signal, Threshold};
use crate::stats::{ContainerFigures, PodFigures};

/// Why a pod has to go that a node has too little of something for.
pub(super) fn low(
    resource: &str,
    pod: &Pod,
    figures: Option<&PodFigures>,
    due: &[Threshold],
    observed: &BTreeMap<Signal, Observation>,
) -> String {
    let mut message = format!("The node was low on resource: {resource}. ");
    let about = due.iter().filter(|threshold| threshold.signal.resource() == resource);
    if let Some((threshold, observation)) =
        about.filter_map(|threshold| Some((threshold, observed.get(&threshold.signal)?))).next()
    {
        let quantity = threshold.less_than.of(observation.capacity);
        // Nothing can go wrong when a string is written to.
        let _ = write!(message, "Threshold quantity: {quantity}, available: {}. ", observation.available);
    }
    let Some(figures) = figures else { return message };
    if let Some(said) = of_pod(resource, pod, figures) {
        message.push_str(&said);
    }
    for container in &figures.containers {
        let spec = containers(pod).find(|spec| spec.name == container.name);
        if let Some(said) = spec.and_then(|spec| of_container(resource, spec, container)) {
            message.push_str(&said);
        }
    }
    message
}

/// That a pod as a whole requests memory, and uses some.
fn of_pod(resource: &str, pod: &Pod, figures: &PodFigures) -> Option<String> {
    let requests = read(pod.spec.as_ref()?.resources.as_ref()?.requests.as_ref());
    let request = requests.get(resource).filter(|_| resource == "memory")?;
    let used = Quantity::new(whole(figures.memory?.working_set), Format::BinarySi);
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    Some(format!("Pod {name} was using {used}, request is {request}, has larger consumption of {resource}. "))
}

/// That a container uses more than it requests.
fn of_container(resource: &str, container: &Container, figures: &ContainerFigures) -> Option<String> {
    let used = match resource {
        "memory" => figures.memory?.working_set,
        "ephemeral-storage" => figures.root?.used.saturating_add(figures.logs?.used),
        _ => return None,
    };
    let used = Quantity::new(whole(used), Format::BinarySi);
    let requests = read(container.resources.as_ref().and_then(|resources| resources.requests.as_ref()));
    let request = requests.get(resource).cloned().unwrap_or_default();
    let name = &container.name;
    let said =
        || format!("Container {name} was using {used}, request is {request}, has larger consumption of {resource}. ");
    (used > request).then(said)
}

/// The containers that can request anything.
fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    let spec = pod.spec.iter();
    spec.flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()))
}
