//! Between the two forms of autoscalers. What `autoscaling/v1` has no fields for, it keeps in annotations, as text: metrics
//! other than the utilization of CPU, what has been measured, conditions, and the behavior.
//!
//! An annotation that cannot be read is as good as none. Stored objects never have these annotations.

use k8s_openapi::api::autoscaling::{v1, v2};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::go_behavior::GoBehavior;
use super::metrics::cpu_utilization;
use super::older_metrics::{OlderCondition, OlderMetric, OlderStatus};
use super::{DEFAULT_CPU_UTILIZATION, behavior, metrics_of};
use crate::registry::Conversion;

/// Between the stored form and `autoscaling/v1`.
pub(crate) const CONVERSION: Conversion = Conversion { from_stored, to_stored };

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// What cannot be read as one form is returned as it is, and then refused as the other.
fn from_stored(value: Value) -> Value {
    convert(value, to_v1)
}

fn to_stored(value: Value) -> Value {
    convert(value, to_v2)
}

fn convert<A: DeserializeOwned, B: Serialize>(value: Value, convert: impl Fn(&A) -> B) -> Value {
    let converted = A::deserialize(&value).ok().and_then(|object| serde_json::to_value(convert(&object)).ok());
    converted.unwrap_or(value)
}

/// The older form.
pub(super) fn to_v1(object: &v2::HorizontalPodAutoscaler) -> v1::HorizontalPodAutoscaler {
    let (spec, status) = (&object.spec, object.status.clone().unwrap_or_default());
    let mut metadata = object.metadata.clone();
    take_annotations(&mut metadata);
    let others = metrics_of(spec).iter().filter(|metric| utilization(metric).is_none());
    annotate(&mut metadata, METRICS, &others.map(OlderMetric::from).collect::<Vec<_>>());
    let measured = status.current_metrics.as_deref().unwrap_or_default();
    annotate(&mut metadata, CURRENT_METRICS, &measured.iter().map(OlderStatus::from).collect::<Vec<_>>());
    let conditions = status.conditions.iter().flatten().map(OlderCondition::from);
    annotate(&mut metadata, CONDITIONS, &conditions.collect::<Vec<_>>());
    if let Some(behavior) = &spec.behavior {
        set(&mut metadata, BEHAVIOR, &GoBehavior::from(behavior));
    }
    let cpu = metrics_of(spec).iter().find(|metric| is_cpu(metric));
    let measured = measured.iter().rev().filter_map(|metric| {
        let resource = metric.resource.as_ref()?;
        (metric.type_ == "Resource" && resource.name == "cpu").then_some(resource.current.average_utilization)?
    });
    let target = &spec.scale_target_ref;
    v1::HorizontalPodAutoscaler {
        metadata,
        spec: v1::HorizontalPodAutoscalerSpec {
            max_replicas: spec.max_replicas,
            min_replicas: spec.min_replicas,
            scale_target_ref: v1::CrossVersionObjectReference {
                api_version: target.api_version.clone(),
                kind: target.kind.clone(),
                name: target.name.clone(),
            },
            target_cpu_utilization_percentage: cpu.and_then(utilization),
        },
        status: Some(v1::HorizontalPodAutoscalerStatus {
            current_cpu_utilization_percentage: measured.into_iter().next(),
            current_replicas: status.current_replicas.unwrap_or(0),
            desired_replicas: status.desired_replicas,
            last_scale_time: status.last_scale_time,
            observed_generation: status.observed_generation,
        }),
    }
}

/// The stored form. A behavior is completed, as it is where it is a field.
pub(super) fn to_v2(object: &v1::HorizontalPodAutoscaler) -> v2::HorizontalPodAutoscaler {
    let (spec, status) = (&object.spec, object.status.clone().unwrap_or_default());
    let mut metadata = object.metadata.clone();
    let kept = take_annotations(&mut metadata);
    let others: Vec<OlderMetric> = kept.read(METRICS).unwrap_or_default();
    let mut metrics: Vec<v2::MetricSpec> = others.iter().map(OlderMetric::newer).collect();
    metrics.extend(spec.target_cpu_utilization_percentage.map(cpu_utilization));
    if metrics.is_empty() {
        // Only with the annotations read is it known that nothing is stated.
        metrics.push(cpu_utilization(DEFAULT_CPU_UTILIZATION));
    }
    let measured = match kept.read::<Vec<OlderStatus>>(CURRENT_METRICS) {
        Some(measured) => measured.iter().map(OlderStatus::newer).collect(),
        None => status.current_cpu_utilization_percentage.map(measured_cpu).into_iter().collect(),
    };
    let stated = kept.read::<GoBehavior>(BEHAVIOR).map(GoBehavior::newer);
    let target = &spec.scale_target_ref;
    let mut spec = v2::HorizontalPodAutoscalerSpec {
        behavior: stated.filter(|behavior| *behavior != v2::HorizontalPodAutoscalerBehavior::default()),
        max_replicas: spec.max_replicas,
        metrics: Some(metrics),
        min_replicas: spec.min_replicas,
        scale_target_ref: v2::CrossVersionObjectReference {
            api_version: target.api_version.clone(),
            kind: target.kind.clone(),
            name: target.name.clone(),
        },
    };
    behavior::set_defaults(&mut spec);
    v2::HorizontalPodAutoscaler {
        metadata,
        spec,
        status: Some(v2::HorizontalPodAutoscalerStatus {
            conditions: kept.read::<Vec<_>>(CONDITIONS).filter(|conditions| !conditions.is_empty()),
            current_metrics: Some(measured).filter(|measured: &Vec<_>| !measured.is_empty()),
            current_replicas: Some(status.current_replicas).filter(|replicas| *replicas != 0),
            desired_replicas: status.desired_replicas,
            last_scale_time: status.last_scale_time,
            observed_generation: status.observed_generation,
        }),
    }
}

/// The annotations that stood for something.
struct Kept([Option<String>; 4]);

const KEPT: [&str; 4] = [METRICS, CURRENT_METRICS, CONDITIONS, BEHAVIOR];

impl Kept {
    fn read<T: DeserializeOwned>(&self, annotation: &str) -> Option<T> {
        let at = KEPT.iter().position(|name| *name == annotation)?;
        serde_json::from_str(self.0[at].as_deref()?).ok()
    }
}

fn take_annotations(metadata: &mut ObjectMeta) -> Kept {
    let kept = KEPT.map(|name| metadata.annotations.as_mut()?.remove(name));
    if metadata.annotations.as_ref().is_some_and(|annotations| annotations.is_empty()) {
        metadata.annotations = None;
    }
    Kept(kept)
}

fn annotate<T: Serialize>(metadata: &mut ObjectMeta, annotation: &str, values: &[T]) {
    if !values.is_empty() {
        set(metadata, annotation, values);
    }
}

fn set<T: Serialize + ?Sized>(metadata: &mut ObjectMeta, annotation: &str, value: &T) {
    let text = api::field::go_json(value);
    metadata.annotations.get_or_insert_default().insert(annotation.to_owned(), text);
}

fn is_cpu(metric: &v2::MetricSpec) -> bool {
    metric.type_ == "Resource" && metric.resource.as_ref().is_some_and(|resource| resource.name == "cpu")
}

/// The utilization of CPU that a metric aims at.
fn utilization(metric: &v2::MetricSpec) -> Option<i32> {
    if is_cpu(metric) { metric.resource.as_ref()?.target.average_utilization } else { None }
}

fn measured_cpu(percent: i32) -> v2::MetricStatus {
    let current = v2::MetricValueStatus { average_utilization: Some(percent), ..v2::MetricValueStatus::default() };
    v2::MetricStatus {
        type_: "Resource".to_owned(),
        resource: Some(v2::ResourceMetricStatus { name: "cpu".to_owned(), current }),
        ..v2::MetricStatus::default()
    }
}
