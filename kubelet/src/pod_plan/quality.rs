//! A pod's class of service quality (upstream's `ComputePodQOS`). The API server has set it on its pods; those that a node
//! finds in its own files get it here.

use std::collections::BTreeMap;

use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use super::spec::{init, regular};

/// The resources that count.
const RESOURCES: [&str; 2] = ["cpu", "memory"];

/// `Guaranteed`, `Burstable` or `BestEffort`.
pub(super) fn of(pod: &Pod) -> &'static str {
    let of_pod = pod.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let stated: Vec<Option<&ResourceRequirements>> = match of_pod {
        Some(resources) => vec![Some(resources)],
        None => init(pod).chain(regular(pod)).map(|container| container.resources.as_ref()).collect(),
    };
    let amount = |list: Option<&BTreeMap<String, ApiQuantity>>, name: &str| {
        let quantity = list?.get(name).and_then(|quantity| Quantity::parse(&quantity.0).ok());
        quantity.filter(|quantity| !quantity.is_zero())
    };
    let requests = |it: &ResourceRequirements, name| amount(it.requests.as_ref(), name);
    let limits = |it: &ResourceRequirements, name| amount(it.limits.as_ref(), name);
    let any = stated
        .iter()
        .flatten()
        .any(|it| RESOURCES.iter().any(|name| requests(it, name).is_some() || limits(it, name).is_some()));
    if !any {
        return "BestEffort";
    }
    let guaranteed = |it: &Option<&ResourceRequirements>| {
        let Some(it) = it else { return false };
        RESOURCES.iter().all(|name| {
            let limit = limits(it, name);
            limit.is_some() && requests(it, name).is_none_or(|request| Some(request) == limit)
        })
    };
    if stated.iter().all(guaranteed) { "Guaranteed" } else { "Burstable" }
}
