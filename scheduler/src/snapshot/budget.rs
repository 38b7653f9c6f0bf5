//! How many of which pods may be disrupted.

use std::collections::BTreeSet;

use api::selector::label::{self, Selector};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use super::PlacedPod;

/// How many pods may be disrupted.
#[derive(Clone, Debug)]
pub struct Budget {
    namespace: String,
    selector: Selector,
    /// How many.
    pub(crate) allowed: i64,
    /// Pods of which it was counted already.
    disrupted: BTreeSet<String>,
}

impl From<&PodDisruptionBudget> for Budget {
    /// A budget that selects all pods, as one that selects none or whose selector is not valid, protects none here.
    fn from(budget: &PodDisruptionBudget) -> Self {
        let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        let selector = label::from_api(selector).ok().filter(|selector| !selector.is_everything());
        let status = budget.status.as_ref();
        let disrupted = status.and_then(|status| status.disrupted_pods.as_ref());
        Self {
            namespace: budget.metadata.namespace.clone().unwrap_or_default(),
            selector: selector.unwrap_or(Selector::Nothing),
            allowed: status.and_then(|status| status.disruptions_allowed).map_or(0, i64::from),
            disrupted: disrupted.into_iter().flat_map(|pods| pods.keys().cloned()).collect(),
        }
    }
}

impl Budget {
    /// Whether it protects the pod.
    pub(crate) fn protects(&self, pod: &PlacedPod) -> bool {
        let info = &pod.info;
        self.namespace == info.namespace
            && !info.labels.is_empty()
            && self.selector.matches(&info.labels)
            && !self.disrupted.contains(&pod.name)
    }
}
