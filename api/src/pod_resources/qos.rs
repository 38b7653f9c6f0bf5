//! The quality-of-service class of a pod, from which the kubelet derives whom it evicts first.

use std::collections::BTreeMap;

use crate::quantity::Quantity;
use k8s_openapi::api::core::v1::{Pod, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

/// All CPU and memory that the pod requests is also its limit, and every container has both.
pub const GUARANTEED: &str = "Guaranteed";
/// Some CPU or memory is requested or limited.
pub const BURSTABLE: &str = "Burstable";
/// No CPU or memory is requested or limited.
pub const BEST_EFFORT: &str = "BestEffort";

/// The resources that decide the class.
const DECISIVE: &[&str] = &["cpu", "memory"];

/// The class that a pod was given when it was created, or else the one that its spec results in.
#[must_use]
pub fn class_of(pod: &Pod) -> String {
    let given = pod.status.as_ref().and_then(|status| status.qos_class.clone()).filter(|class| !class.is_empty());
    given.unwrap_or_else(|| pod.spec.as_ref().map_or(BEST_EFFORT, compute).to_owned())
}

/// The class that a spec results in (`ComputePodQOS`). Resources of the pod as a whole, when there are any, decide alone.
#[must_use]
pub fn compute(spec: &PodSpec) -> &'static str {
    let mut totals = Totals { guaranteed: true, ..Totals::default() };
    match &spec.resources {
        Some(resources) => {
            let limited = resources.limits.as_ref().is_some_and(|limits| !limits.is_empty());
            totals.add(resources, limited);
        }
        None => {
            for container in spec.containers.iter().chain(spec.init_containers.iter().flatten()) {
                match &container.resources {
                    Some(resources) => totals.add(resources, true),
                    None => totals.guaranteed = false,
                }
            }
        }
    }
    totals.class()
}

#[derive(Default)]
struct Totals<'a> {
    requests: BTreeMap<&'a str, Quantity>,
    limits: BTreeMap<&'a str, Quantity>,
    guaranteed: bool,
}

impl<'a> Totals<'a> {
    fn add(&mut self, resources: &'a ResourceRequirements, needs_limits: bool) {
        add_decisive(&mut self.requests, resources.requests.as_ref());
        let limited = add_decisive(&mut self.limits, resources.limits.as_ref());
        self.guaranteed &= !needs_limits || limited == DECISIVE.len();
    }

    fn class(&self) -> &'static str {
        if self.requests.is_empty() && self.limits.is_empty() {
            BEST_EFFORT
        } else if self.guaranteed && self.requests == self.limits {
            GUARANTEED
        } else {
            BURSTABLE
        }
    }
}

/// Adds what is greater than zero, and says how many of the decisive resources that were.
fn add_decisive<'a>(
    totals: &mut BTreeMap<&'a str, Quantity>,
    list: Option<&'a BTreeMap<String, ApiQuantity>>,
) -> usize {
    let mut count = 0;
    for (name, quantity) in list.into_iter().flatten().filter(|(name, _)| DECISIVE.contains(&name.as_str())) {
        // What cannot be read is for validation to refuse.
        if let Ok(quantity) = Quantity::try_from(quantity)
            && quantity.signum() > 0
        {
            totals.entry(name).or_default().add(&quantity);
            count += 1;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn classes_as_upstream() {
        let check = |containers: Value, pod: Value, expected: &str| {
            let spec = json!({"containers": containers, "resources": pod});
            let spec: PodSpec = serde_json::from_value(spec.clone()).unwrap();
            assert_eq!(compute(&spec), expected, "{spec:?}");
        };
        let container = |requests: Value, limits: Value| json!({"name": "c", "resources": {"requests": requests, "limits": limits}});
        let full = json!({"cpu": "100m", "memory": "1Gi"});
        check(json!([{"name": "c"}]), json!(null), BEST_EFFORT);
        check(json!([container(json!({"cpu": "0"}), json!({}))]), json!(null), BEST_EFFORT);
        check(
            json!([container(json!({"example.com/gpu": "1"}), json!({"example.com/gpu": "1"}))]),
            json!(null),
            BEST_EFFORT,
        );
        check(json!([container(full.clone(), full.clone())]), json!(null), GUARANTEED);
        check(json!([container(json!({"cpu": "0.1", "memory": "1024Mi"}), full.clone())]), json!(null), GUARANTEED);
        check(json!([container(full.clone(), full.clone()), {"name": "d"}]), json!(null), BURSTABLE);
        check(json!([container(json!({"cpu": "50m", "memory": "1Gi"}), full.clone())]), json!(null), BURSTABLE);
        check(json!([container(json!({"cpu": "50m"}), json!({"cpu": "50m"}))]), json!(null), BURSTABLE);
        check(json!([{"name": "c"}]), json!({"requests": full, "limits": full}), GUARANTEED);
        check(json!([container(full.clone(), full.clone())]), json!({"requests": {"cpu": "1"}}), BURSTABLE);
        check(json!([{"name": "c"}]), json!({"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}), BURSTABLE);
    }
}
