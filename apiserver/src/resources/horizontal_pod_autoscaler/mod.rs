//! HorizontalPodAutoscalers: how many replicas something is to have, by what is measured of it.
//!
//! The two API versions, `v2` and `v1`, are two forms of the same stored objects. The newer one is stored; what the older
//! one has no fields for stands in its annotations.

mod behavior;
mod conversion;
mod go_behavior;
mod metrics;
mod older_metrics;
mod spec;
mod table;
mod v1;

use api::field::{ErrorList, Path};
use k8s_openapi::api::autoscaling::v2::{
    HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, HorizontalPodAutoscalerStatus,
};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::replica_template::validate_non_negative;
use crate::strategy::{Column, Context, Names, Strategy, UpdateSubresource};

pub(crate) use conversion::CONVERSION;
pub(crate) use v1::AutoscalersV1;

/// Where autoscalers of both versions are stored.
pub(crate) const STORED: &str = "autoscaling/horizontalpodautoscalers";

/// What CPU utilization is aimed at when nothing is stated, in percent.
const DEFAULT_CPU_UTILIZATION: i32 = 80;

pub(crate) struct HorizontalPodAutoscalers;

fn names<T: k8s_openapi::Resource>() -> Names {
    Names::of::<T>("horizontalpodautoscaler", true).short(&["hpa"]).within(&["all"])
}

impl Strategy for HorizontalPodAutoscalers {
    type Object = HorizontalPodAutoscaler;

    fn names(&self) -> Names {
        names::<HorizontalPodAutoscaler>()
    }

    fn default(&self, object: &mut HorizontalPodAutoscaler) {
        let spec = &mut object.spec;
        spec.min_replicas.get_or_insert(1);
        if spec.metrics.as_ref().is_none_or(Vec::is_empty) {
            spec.metrics = Some(vec![metrics::cpu_utilization(DEFAULT_CPU_UTILIZATION)]);
        }
        behavior::set_defaults(spec);
    }

    fn prepare_create(&self, object: &mut HorizontalPodAutoscaler, _: Context<'_>) {
        object.status = Some(HorizontalPodAutoscalerStatus::default());
    }

    fn prepare_update(&self, new: &mut HorizontalPodAutoscaler, old: &HorizontalPodAutoscaler, _: Context<'_>) {
        new.status = old.status.clone();
    }

    fn generation(&self) -> Option<fn(new: &HorizontalPodAutoscaler, old: &HorizontalPodAutoscaler) -> bool> {
        Some(|new, old| spec::differ(&new.spec, &old.spec))
    }

    fn validate(&self, object: &HorizontalPodAutoscaler) -> ErrorList {
        spec::validate(&object.spec, None)
    }

    fn validate_update(&self, new: &HorizontalPodAutoscaler, old: &HorizontalPodAutoscaler) -> ErrorList {
        spec::validate(&new.spec, Some(&old.spec))
    }

    fn columns(&self) -> &'static [Column] {
        table::COLUMNS
    }

    fn row(&self, object: &HorizontalPodAutoscaler, now: Timestamp) -> Vec<Value> {
        table::row(object, now)
    }

    fn updates(&self) -> Vec<UpdateSubresource<HorizontalPodAutoscaler>> {
        vec![UpdateSubresource {
            name: "status",
            prepare: |new, old, _| new.spec = old.spec.clone(),
            validate: |new, _| validate_status(new.status.as_ref()),
        }]
    }
}

fn validate_status(status: Option<&HorizontalPodAutoscalerStatus>) -> ErrorList {
    let path = Path::new("status");
    let current = status.and_then(|status| status.current_replicas).unwrap_or(0);
    let desired = status.map_or(0, |status| status.desired_replicas);
    let counts = [(current, "currentReplicas"), (desired, "desiredReplicas")];
    counts.iter().filter_map(|(count, field)| validate_non_negative((*count).into(), &path.child(field))).collect()
}

/// The metrics of a spec.
fn metrics_of(spec: &HorizontalPodAutoscalerSpec) -> &[k8s_openapi::api::autoscaling::v2::MetricSpec] {
    spec.metrics.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests;
