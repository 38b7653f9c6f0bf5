//! How an autoscaler is shown in a table.

use k8s_openapi::api::autoscaling::v2::{
    HorizontalPodAutoscaler, MetricSpec, MetricStatus, MetricTarget, MetricValueStatus,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::metrics_of;
use crate::strategy::{AGE_COLUMN, Column, NAME_COLUMN};

const MAX_SHOWN: usize = 2;
const UNKNOWN: &str = "<unknown>";

pub(super) const COLUMNS: &[Column] = &[
    NAME_COLUMN,
    Column::new(
        "Reference",
        "scaleTargetRef points to the target resource to scale, and is used to the pods for which metrics should be \
         collected, as well as to actually change the replica count.",
    ),
    Column::new(
        "Targets",
        "metrics contains the specifications for which to use to calculate the desired replica count (the maximum replica \
         count across all metrics will be used).  The desired replica count is calculated multiplying the ratio between the \
         target value and the current value by the current number of pods.  Ergo, metrics used must decrease as the pod \
         count is increased, and vice-versa.  See the individual metric source types for more information about how each \
         type of metric must respond. If not set, the default metric will be set to 80% average CPU utilization.",
    ),
    Column::new(
        "MinPods",
        "minReplicas is the lower limit for the number of replicas to which the autoscaler can scale down.  It defaults to 1 \
         pod.  minReplicas is allowed to be 0 if the alpha feature gate HPAScaleToZero is enabled and at least one Object or \
         External metric is configured.  Scaling is active as long as at least one metric value is available.",
    ),
    Column::new(
        "MaxPods",
        "maxReplicas is the upper limit for the number of replicas to which the autoscaler can scale up. It cannot be less \
         that minReplicas.",
    ),
    Column::new(
        "Replicas",
        "currentReplicas is current number of replicas of pods managed by this autoscaler, as last seen by the autoscaler.",
    ),
    AGE_COLUMN,
];

pub(super) fn row(object: &HorizontalPodAutoscaler, now: Timestamp) -> Vec<Value> {
    let (spec, target) = (&object.spec, &object.spec.scale_target_ref);
    let status = object.status.clone().unwrap_or_default();
    let min = spec.min_replicas.map_or("<unset>".to_owned(), |min| min.to_string());
    vec![
        object.metadata.name.clone().into(),
        format!("{}/{}", target.kind, target.name).into(),
        shown_metrics(metrics_of(spec), status.current_metrics.as_deref().unwrap_or_default()).into(),
        min.into(),
        spec.max_replicas.into(),
        status.current_replicas.unwrap_or(0).into(),
        api::duration::age(object.metadata.creation_timestamp.as_ref(), now).into(),
    ]
}

fn shown_metrics(metrics: &[MetricSpec], current: &[MetricStatus]) -> String {
    if metrics.is_empty() {
        return "<none>".to_owned();
    }
    let shown = metrics.iter().enumerate().take(MAX_SHOWN).map(|(i, metric)| shown_metric(metric, current.get(i)));
    let shown = shown.collect::<Vec<_>>().join(", ");
    match metrics.len().checked_sub(MAX_SHOWN) {
        Some(more) if more > 0 => format!("{shown} + {more} more..."),
        _ => shown,
    }
}

fn shown_metric(metric: &MetricSpec, current: Option<&MetricStatus>) -> String {
    let shown = match metric.type_.as_str() {
        "External" => metric.external.as_ref().map(|source| {
            let current = current.and_then(|current| current.external.as_ref());
            value_or_average(&source.target, current.map(|current| &current.current))
        }),
        "Object" => metric.object.as_ref().map(|source| {
            let current = current.and_then(|current| current.object.as_ref());
            value_or_average(&source.target, current.map(|current| &current.current))
        }),
        "Pods" => metric.pods.as_ref().map(|source| {
            let current = current.and_then(|current| current.pods.as_ref());
            let current = current.map_or(UNKNOWN, |current| quantity(current.current.average_value.as_ref()));
            format!("{current}/{}", quantity(source.target.average_value.as_ref()))
        }),
        "Resource" => metric.resource.as_ref().map(|source| {
            let current = current.and_then(|current| current.resource.as_ref());
            format!("{}: {}", source.name, usage(&source.target, current.map(|current| &current.current)))
        }),
        "ContainerResource" => metric.container_resource.as_ref().map(|source| {
            let current = current.and_then(|current| current.container_resource.as_ref());
            format!("{}: {}", source.name, usage(&source.target, current.map(|current| &current.current)))
        }),
        _ => None,
    };
    shown.unwrap_or_else(|| "<unknown type>".to_owned())
}

fn value_or_average(target: &MetricTarget, current: Option<&MetricValueStatus>) -> String {
    match &target.average_value {
        Some(average) => {
            let current = current.and_then(|current| current.average_value.as_ref());
            format!("{}/{} (avg)", current.map_or(UNKNOWN, |current| &current.0), average.0)
        }
        None => {
            let current = current.map_or(UNKNOWN, |current| quantity(current.value.as_ref()));
            format!("{current}/{}", quantity(target.value.as_ref()))
        }
    }
}

fn usage(target: &MetricTarget, current: Option<&MetricValueStatus>) -> String {
    if let Some(average) = &target.average_value {
        let current = current.map_or(UNKNOWN, |current| quantity(current.average_value.as_ref()));
        return format!("{current}/{}", average.0);
    }
    let percent =
        |percent: Option<i32>, otherwise: &str| percent.map_or(otherwise.to_owned(), |percent| format!("{percent}%"));
    let current = percent(current.and_then(|current| current.average_utilization), UNKNOWN);
    format!("{current}/{}", percent(target.average_utilization, "<auto>"))
}

/// Go shows a quantity that is not there as such.
fn quantity(quantity: Option<&Quantity>) -> &str {
    quantity.map_or("<nil>", |quantity| &quantity.0)
}
