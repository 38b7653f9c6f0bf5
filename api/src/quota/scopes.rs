//! Which pods and which volume claims a quota is about.

use crate::quantity::Quantity;
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, Pod, PodAffinityTerm, PodSpec, ResourceQuotaSpec, ResourceRequirements,
    ScopedResourceSelectorRequirement as Requirement,
};

use super::claims::attributes_classes;

/// What objects must meet, all of it. A scope that is only named must exist.
#[must_use]
pub fn requirements(spec: &ResourceQuotaSpec) -> Vec<Requirement> {
    let named = spec.scopes.iter().flatten().map(|scope| Requirement {
        scope_name: scope.clone(),
        operator: "Exists".to_owned(),
        values: None,
    });
    let selector = spec.scope_selector.as_ref().and_then(|selector| selector.match_expressions.as_ref());
    named.chain(selector.into_iter().flatten().cloned()).collect()
}

/// Whether a pod meets a requirement.
#[must_use]
pub fn covers_pod(requirement: &Requirement, pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    match requirement.scope_name.as_str() {
        "Terminating" => has_deadline(spec),
        "NotTerminating" => !has_deadline(spec),
        "BestEffort" => is_best_effort(pod, spec),
        "NotBestEffort" => !is_best_effort(pod, spec),
        "PriorityClass" => {
            let class = spec.priority_class_name.as_deref().filter(|name| !name.is_empty());
            selects(requirement, class.into_iter())
        }
        "CrossNamespacePodAffinity" => reaches_other_namespaces(spec),
        _ => false,
    }
}

/// Whether a volume claim meets a requirement.
#[must_use]
pub fn covers_claim(requirement: &Requirement, claim: &PersistentVolumeClaim) -> bool {
    requirement.scope_name == "VolumeAttributesClass" && selects(requirement, attributes_classes(claim).into_iter())
}

/// Whether a requirement selects an object that has these names: one of them, or, if it has none, that it has none.
fn selects<'a>(requirement: &Requirement, mut names: impl ExactSizeIterator<Item = &'a str>) -> bool {
    let among = |name: &str| requirement.values.iter().flatten().any(|value| value == name);
    match requirement.operator.as_str() {
        "In" => names.any(among),
        "NotIn" => names.len() == 0 || names.any(|name| !among(name)),
        "Exists" => names.len() > 0,
        "DoesNotExist" => names.len() == 0,
        _ => false,
    }
}

fn has_deadline(spec: &PodSpec) -> bool {
    spec.active_deadline_seconds.is_some_and(|seconds| seconds >= 0)
}

/// Whether a pod has neither requests nor limits of CPU or memory. The server has said so when the pod was created.
fn is_best_effort(pod: &Pod, spec: &PodSpec) -> bool {
    let stated = pod.status.as_ref().and_then(|status| status.qos_class.as_deref()).filter(|class| !class.is_empty());
    if let Some(class) = stated {
        return class == "BestEffort";
    }
    let has_some = |resources: &ResourceRequirements| {
        let lists = [&resources.requests, &resources.limits].into_iter().flatten().flatten();
        let positive = |quantity| Quantity::try_from(quantity).is_ok_and(|quantity| quantity.signum() > 0);
        lists.into_iter().any(|(name, quantity)| matches!(name.as_str(), "cpu" | "memory") && positive(quantity))
    };
    match &spec.resources {
        Some(resources) => !has_some(resources),
        None => {
            let mut containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
            !containers.any(|container| container.resources.as_ref().is_some_and(has_some))
        }
    }
}

/// Whether a pod is to be near or far from pods of namespaces that it names or selects.
fn reaches_other_namespaces(spec: &PodSpec) -> bool {
    let reaches = |term: &PodAffinityTerm| {
        term.namespaces.as_ref().is_some_and(|names| !names.is_empty()) || term.namespace_selector.is_some()
    };
    let Some(affinity) = &spec.affinity else { return false };
    let near = affinity.pod_affinity.iter().flat_map(|near| {
        let preferred = near.preferred_during_scheduling_ignored_during_execution.iter().flatten();
        let required = near.required_during_scheduling_ignored_during_execution.iter().flatten();
        required.chain(preferred.map(|term| &term.pod_affinity_term))
    });
    let far = affinity.pod_anti_affinity.iter().flat_map(|far| {
        let preferred = far.preferred_during_scheduling_ignored_during_execution.iter().flatten();
        let required = far.required_during_scheduling_ignored_during_execution.iter().flatten();
        required.chain(preferred.map(|term| &term.pod_affinity_term))
    });
    near.chain(far).any(reaches)
}
