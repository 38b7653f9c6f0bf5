//! The subresource `resize`, by which CPU and memory of a running pod change (KEP-1287), of its containers or of the pod as
//! a whole (KEP-5419).

use std::collections::BTreeMap;

use api::field::{Error, ErrorList, Path};
use api::pod_resources::qos;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::validation;
use super::validation::is_sidecar;
use crate::resources::semantic;

type Quantities = Option<BTreeMap<String, Quantity>>;

const ONLY_CPU_AND_MEMORY: &str = "only cpu and memory resources are mutable";

/// What is wrong with a resize (`ValidatePodResize`).
pub(super) fn validate(new: &Pod, old: &Pod) -> ErrorList {
    let whole = |detail: &str| ErrorList::from(Error::forbidden(&Path::new(""), detail));
    let (new_spec, old_spec) = (validation::spec_of(new), validation::spec_of(old));
    if validation::is_mirror(&old.metadata) {
        return whole("static pods cannot be resized");
    }
    if old_spec.os.as_ref().is_some_and(|os| os.name == "windows") {
        return whole("windows pods cannot be resized");
    }
    let mut errors = validation::validate_changed(new, old);
    let path = Path::new("spec");
    if qos::class_of(old) != qos::compute(&new_spec) {
        let shown = new.status.as_ref().and_then(|status| status.qos_class.clone()).unwrap_or_default();
        errors.push(Error::invalid(&path, shown, "Pod QOS Class may not change as a result of resizing"));
    }
    if !node_supports_resize(old) {
        errors.push(Error::forbidden(&path, "Pod running on node without support for resize"));
    }
    errors.extend(validate_pod_level(&new_spec, &old_spec, &path));
    let claims = old.status.as_ref().and_then(|status| status.node_allocatable_resource_claim_statuses.as_ref());
    if claims.is_some_and(|claims| !claims.is_empty()) {
        errors.push(Error::forbidden(&path, "pods with node allocatable resource claims cannot be resized"));
    }
    let moved = validate_order(&new_spec, &old_spec, &path);
    if !moved.is_empty() {
        errors.extend(moved);
        return errors;
    }
    errors.extend(validate_containers(&new_spec, &old_spec, &path));
    if errors.is_empty() && !semantic::equal(&without_cpu_and_memory(&new_spec, &old_spec), &*old_spec) {
        errors.push(Error::forbidden(&path, ONLY_CPU_AND_MEMORY));
    }
    errors
}

/// A kubelet that reports the resources of running containers can change them. Without a running container that cannot be
/// told, and is assumed.
fn node_supports_resize(pod: &Pod) -> bool {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let mut running = statuses.filter(|status| status.state.as_ref().is_some_and(|state| state.running.is_some()));
    running.next().is_none_or(|status| status.resources.is_some())
}

fn validate_pod_level(new: &PodSpec, old: &PodSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let is_set = |spec: &PodSpec| {
        let lists = spec.resources.iter().flat_map(|resources| [&resources.requests, &resources.limits]);
        lists.flatten().any(|list| !list.is_empty())
    };
    if !is_set(new) && !is_set(old) {
        return errors;
    }
    let resources = path.child("resources");
    match (&new.resources, &old.resources) {
        (None, Some(_)) => errors.push(Error::forbidden(&resources, "pod-level resources cannot be removed")),
        (Some(new), Some(old)) => {
            if lacks_some(&new.requests, &old.requests) {
                let detail = "pod-level resource requests cannot be removed";
                errors.push(Error::forbidden(&resources.child("requests"), detail));
            }
            if lacks_some(&new.limits, &old.limits) {
                let detail = "pod-level resource limits cannot be removed";
                errors.push(Error::forbidden(&resources.child("limits"), detail));
            }
        }
        _ => {}
    }
    if errors.is_empty() && !semantic::equal(&pod_level_without(new, old), &old.resources) {
        errors.push(Error::forbidden(path, "only cpu and memory resources are mutable at pod-level"));
    }
    errors
}

fn validate_order(new: &PodSpec, old: &PodSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (new, old, field) in [
        (new.containers.as_slice(), old.containers.as_slice(), "containers"),
        (initial(new), initial(old), "initContainers"),
    ] {
        let path = path.child(field);
        if new.len() != old.len() {
            errors.push(Error::forbidden(&path, format!("{field} may not be added or removed on resize")));
            continue;
        }
        for (i, _) in new.iter().zip(old).enumerate().filter(|(_, (new, old))| new.name != old.name) {
            let detail = format!("{field} may not be renamed or reordered on resize");
            errors.push(Error::forbidden(&path.index(i).child("name"), detail));
        }
    }
    errors
}

fn validate_containers(new: &PodSpec, old: &PodSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let init_path = path.child("initContainers");
    let container_path = path.child("containers");
    let init = || initial(new).iter().zip(initial(old)).enumerate();
    let regular = || new.containers.iter().zip(&old.containers).enumerate();
    for (i, (new, old)) in init() {
        errors.extend(validate_nothing_removed(new, old, &init_path.index(i).child("resources")));
    }
    for (i, (new, old)) in regular() {
        errors.extend(validate_nothing_removed(new, old, &container_path.index(i).child("resources")));
    }
    for (_, (new, old)) in regular() {
        if !semantic::equal(&container_without(new, old), old) {
            errors.push(Error::forbidden(path, ONLY_CPU_AND_MEMORY));
        }
    }
    for (i, (new, old)) in init() {
        let path = init_path.index(i);
        if !semantic::equal(&container_without(new, old), old) {
            let detail = "only cpu and memory resources for init or sidecar containers are mutable";
            errors.push(Error::forbidden(&path, detail));
        }
        let mut policies = new.resize_policy.iter().flatten();
        let restarts = policies.any(|policy| policy.restart_policy == "RestartContainer");
        if restarts && !is_sidecar(new) && !semantic::equal(new, old) {
            let detail = "non-sidecar init containers with a resize policy of RestartContainer cannot be resized";
            errors.push(Error::forbidden(&path, detail));
        }
    }
    errors
}

fn validate_nothing_removed(new: &Container, old: &Container, path: &Path) -> ErrorList {
    let none = ResourceRequirements::default();
    let (new, old) = (new.resources.as_ref().unwrap_or(&none), old.resources.as_ref().unwrap_or(&none));
    let mut errors = ErrorList::new();
    if lacks_some(&new.requests, &old.requests) {
        errors.push(Error::forbidden(&path.child("requests"), "resource requests cannot be removed"));
    }
    if lacks_some(&new.limits, &old.limits) {
        errors.push(Error::forbidden(&path.child("limits"), "resource limits cannot be removed"));
    }
    errors
}

fn lacks_some(new: &Quantities, old: &Quantities) -> bool {
    let has = |name: &String| new.as_ref().is_some_and(|list| list.contains_key(name));
    old.iter().flatten().any(|(name, _)| !has(name))
}

/// The new spec with the old amounts of CPU and memory.
fn without_cpu_and_memory(new: &PodSpec, old: &PodSpec) -> PodSpec {
    let pairs = |new: &[Container], old: &[Container]| -> Vec<Container> {
        new.iter().zip(old).map(|(new, old)| container_without(new, old)).collect()
    };
    PodSpec {
        resources: pod_level_without(new, old),
        containers: pairs(&new.containers, &old.containers),
        init_containers: Some(pairs(initial(new), initial(old))),
        ..new.clone()
    }
}

fn pod_level_without(new: &PodSpec, old: &PodSpec) -> Option<ResourceRequirements> {
    let none = ResourceRequirements::default();
    let rest = resources_without(new.resources.as_ref()?, old.resources.as_ref().unwrap_or(&none));
    // Where there were none, what is left of CPU and memory alone is none.
    let is_empty = |list: &Quantities| list.as_ref().is_none_or(BTreeMap::is_empty);
    let nothing = is_empty(&rest.requests) && is_empty(&rest.limits) && rest.claims.iter().flatten().next().is_none();
    (old.resources.is_some() || !nothing).then_some(rest)
}

fn container_without(new: &Container, old: &Container) -> Container {
    let none = ResourceRequirements::default();
    let resources = resources_without(new.resources.as_ref().unwrap_or(&none), old.resources.as_ref().unwrap_or(&none));
    Container { resources: Some(resources), ..new.clone() }
}

fn resources_without(new: &ResourceRequirements, old: &ResourceRequirements) -> ResourceRequirements {
    let rest = |new: &Quantities, old: &Quantities| -> Quantities {
        let mut list = new.clone().unwrap_or_default();
        for name in ["cpu", "memory"] {
            list.remove(name);
            if let Some((name, quantity)) = old.as_ref().and_then(|list| list.get_key_value(name)) {
                list.insert(name.clone(), quantity.clone());
            }
        }
        Some(list).filter(|list| !list.is_empty())
    };
    ResourceRequirements {
        claims: new.claims.clone(),
        limits: rest(&new.limits, &old.limits),
        requests: rest(&new.requests, &old.requests),
    }
}

fn initial(spec: &PodSpec) -> &[Container] {
    spec.init_containers.as_deref().unwrap_or_default()
}
