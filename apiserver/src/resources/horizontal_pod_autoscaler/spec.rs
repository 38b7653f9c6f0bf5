//! The rules of an autoscaler's spec, and whether two mean the same.

use api::field::{Error, ErrorList, Path};
use api::names;
use api::quantity::{Format, Quantity};
use k8s_openapi::api::autoscaling::v2::{CrossVersionObjectReference, HorizontalPodAutoscalerSpec, MetricTarget};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use super::{behavior, metrics, metrics_of};
use crate::resources::semantic;

/// What the API version of a reference may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ApiVersion {
    /// Of a group.
    OfGroup,
    /// Of a group, or of the core group, or none.
    Any,
    /// Anything: it was stored so.
    Unchecked,
}

/// What is wrong with a spec that was `old` before.
pub(super) fn validate(spec: &HorizontalPodAutoscalerSpec, old: Option<&HorizontalPodAutoscalerSpec>) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = ErrorList::new();
    // HPAScaleToZero is closed by default.
    let lower = if old.is_some_and(|old| old.min_replicas == Some(0)) { 0 } else { 1 };
    if let Some(min) = spec.min_replicas.filter(|min| *min < lower) {
        let detail = format!("must be greater than or equal to {lower}");
        errors.push(Error::invalid(&path.child("minReplicas"), min, detail));
    }
    let (max, max_path) = (spec.max_replicas, path.child("maxReplicas"));
    if max < 1 {
        errors.push(Error::invalid(&max_path, max, "must be greater than 0"));
    }
    if spec.min_replicas.is_some_and(|min| max < min) {
        errors.push(Error::invalid(&max_path, max, "must be greater than or equal to `minReplicas`"));
    }
    let (target, target_version) = (&spec.scale_target_ref, target_version(spec, old));
    errors.extend(validate_reference(target, target_version, &path.child("scaleTargetRef")));
    let metrics_path = path.child("metrics");
    let described = described_version(old);
    for (i, metric) in metrics_of(spec).iter().enumerate() {
        errors.extend(metrics::validate(metric, described, &metrics_path.index(i)));
    }
    let wakes = |type_: &str| matches!(type_, "Object" | "External");
    if spec.min_replicas == Some(0) && !metrics_of(spec).iter().any(|metric| wakes(&metric.type_)) {
        let detail = "must specify at least one Object or External metric to support scaling to zero replicas";
        errors.push(Error::forbidden(&metrics_path, detail));
    }
    if let Some(stated) = &spec.behavior {
        errors.extend(behavior::validate(stated, &path.child("behavior")));
    }
    errors
}

/// Only replication controllers are in the core group.
fn target_version(spec: &HorizontalPodAutoscalerSpec, old: Option<&HorizontalPodAutoscalerSpec>) -> ApiVersion {
    let of =
        |target: &CrossVersionObjectReference| (target.kind.clone(), target.api_version.clone().unwrap_or_default());
    if old.is_some_and(|old| of(&old.scale_target_ref) == of(&spec.scale_target_ref)) {
        ApiVersion::Unchecked
    } else if spec.scale_target_ref.kind == "ReplicationController" {
        ApiVersion::Any
    } else {
        ApiVersion::OfGroup
    }
}

fn described_version(old: Option<&HorizontalPodAutoscalerSpec>) -> ApiVersion {
    let mut described = old.into_iter().flat_map(metrics_of).filter(|metric| metric.type_ == "Object");
    let is_invalid = described.any(|metric| {
        let object = metric.object.as_ref();
        object.is_some_and(|object| check_version(&object.described_object, ApiVersion::Any).is_some())
    });
    if is_invalid { ApiVersion::Unchecked } else { ApiVersion::Any }
}

/// What is wrong with a reference to an object at `path`.
pub(super) fn validate_reference(
    reference: &CrossVersionObjectReference,
    version: ApiVersion,
    path: &Path,
) -> ErrorList {
    let mut errors = ErrorList::new();
    for (value, field) in [(&reference.kind, "kind"), (&reference.name, "name")] {
        let path = path.child(field);
        if value.is_empty() {
            errors.push(Error::required(&path, ""));
        } else {
            errors.push_invalid(&path, value, names::path_segment_name(value));
        }
    }
    if let Some(why) = check_version(reference, version) {
        let stated = reference.api_version.as_deref().unwrap_or_default();
        errors.push(Error::invalid(&path.child("apiVersion"), stated, why));
    }
    errors
}

fn check_version(reference: &CrossVersionObjectReference, allowed: ApiVersion) -> Option<String> {
    if allowed == ApiVersion::Unchecked {
        return None;
    }
    let stated = reference.api_version.as_deref().unwrap_or_default();
    match stated.matches('/').count() {
        0 if allowed == ApiVersion::Any => None,
        0 => Some("apiVersion must specify API group".to_owned()),
        // Go takes a lonely slash for nothing, too.
        1 if allowed == ApiVersion::OfGroup && stated.starts_with('/') => {
            Some("apiVersion must specify API group".to_owned())
        }
        1 => None,
        _ => Some(format!("unexpected GroupVersion string: {stated}")),
    }
}

/// Whether two specs ask for something else. Quantities compare by value.
pub(super) fn differ(new: &HorizontalPodAutoscalerSpec, old: &HorizontalPodAutoscalerSpec) -> bool {
    !semantic::equal(&with_plain_quantities(new), &with_plain_quantities(old))
}

fn with_plain_quantities(spec: &HorizontalPodAutoscalerSpec) -> HorizontalPodAutoscalerSpec {
    let mut spec = spec.clone();
    for target in spec.metrics.iter_mut().flatten().flat_map(metrics::targets) {
        let MetricTarget { average_value, value, .. } = target;
        [average_value, value].into_iter().flatten().for_each(make_plain);
    }
    if let Some(behavior) = &mut spec.behavior {
        let rules = [&mut behavior.scale_up, &mut behavior.scale_down].into_iter().flatten();
        rules.filter_map(|rules| rules.tolerance.as_mut()).for_each(make_plain);
    }
    spec
}

fn make_plain(quantity: &mut ApiQuantity) {
    if let Ok(number) = Quantity::parse(&quantity.0) {
        quantity.0 = number.with_format(Format::DecimalSi).canonical();
    }
}
