//! What an autoscaler measures: the rules of the five kinds of metrics.

use api::field::{BadValue, Error, ErrorList, Path};
use api::names;
use api::quantity::Quantity;
use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricSource, ExternalMetricSource, MetricIdentifier, MetricSpec, MetricTarget,
    ObjectMetricSource, PodsMetricSource, ResourceMetricSource,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use super::spec::{ApiVersion, validate_reference};
use crate::resources::pod_spec::validate_resource_name;

const TYPES: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];

/// The metric of the utilization of CPU, aimed at so many percent.
pub(super) fn cpu_utilization(percent: i32) -> MetricSpec {
    MetricSpec {
        type_: "Resource".to_owned(),
        resource: Some(ResourceMetricSource {
            name: "cpu".to_owned(),
            target: MetricTarget {
                type_: "Utilization".to_owned(),
                average_utilization: Some(percent),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    }
}

/// What the sources of a metric aim at.
pub(super) fn targets(metric: &mut MetricSpec) -> impl Iterator<Item = &mut MetricTarget> {
    let targets = [
        metric.container_resource.as_mut().map(|source| &mut source.target),
        metric.external.as_mut().map(|source| &mut source.target),
        metric.object.as_mut().map(|source| &mut source.target),
        metric.pods.as_mut().map(|source| &mut source.target),
        metric.resource.as_mut().map(|source| &mut source.target),
    ];
    targets.into_iter().flatten()
}

/// What is wrong with a metric. `described` is what the API version of an object that it is of may be.
pub(super) fn validate(metric: &MetricSpec, described: ApiVersion, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (type_, type_path) = (metric.type_.as_str(), path.child("type"));
    let unsupported = || Error::not_supported(&type_path, BadValue::json(type_), &TYPES);
    if type_.is_empty() {
        errors.push(Error::required(&type_path, "must specify a metric source type"));
    }
    if !TYPES.contains(&type_) {
        errors.push(unsupported());
    }
    let present = sources(metric);
    // Only the first one is looked into.
    match present.first() {
        Some(&"object") => errors.extend(metric.object.iter().flat_map(|source| of_object(source, described, path))),
        Some(&"external") => errors.extend(metric.external.iter().flat_map(|source| of_external(source, path))),
        Some(&"pods") => errors.extend(metric.pods.iter().flat_map(|source| of_pods(source, path))),
        Some(&"resource") => errors.extend(metric.resource.iter().flat_map(|source| of_resource(source, path))),
        _ => errors.extend(metric.container_resource.iter().flat_map(|source| of_container_resource(source, path))),
    }
    let expected = match type_ {
        "Object" => "object",
        "Pods" => "pods",
        "Resource" => "resource",
        "External" => "external",
        "ContainerResource" => "containerResource",
        _ => {
            // Upstream says it twice.
            errors.push(unsupported());
            ""
        }
    };
    if !expected.is_empty() && !present.contains(&expected) {
        let detail = "must populate information for the given metric source";
        errors.push(Error::required(&path.child(expected), detail));
    }
    if present.len() != 1 {
        let others = present.into_iter().filter(|source| *source != expected);
        let detail = "must populate the given metric source only";
        errors.extend(others.map(|source| Error::forbidden(&path.child(source), detail)));
    }
    errors
}

/// The sources that are stated, in the order in which they are looked at.
fn sources(metric: &MetricSpec) -> Vec<&'static str> {
    let sources = [
        (metric.object.is_some(), "object"),
        (metric.external.is_some(), "external"),
        (metric.pods.is_some(), "pods"),
        (metric.resource.is_some(), "resource"),
        (metric.container_resource.is_some(), "containerResource"),
    ];
    sources.into_iter().filter(|(stated, _)| *stated).map(|(_, name)| name).collect()
}

fn of_object(source: &ObjectMetricSource, described: ApiVersion, path: &Path) -> ErrorList {
    let path = path.child("object");
    let mut errors = validate_reference(&source.described_object, described, &path.child("describedObject"));
    errors.extend(validate_identifier(&source.metric, &path.child("metric")));
    let (target, path) = (&source.target, path.child("target"));
    errors.extend(validate_target(target, &path));
    if target.value.is_none() && target.average_value.is_none() {
        errors.push(Error::required(&path.child("averageValue"), "must set either a target value or averageValue"));
    }
    errors
}

fn of_external(source: &ExternalMetricSource, path: &Path) -> ErrorList {
    let path = path.child("external");
    let mut errors = validate_identifier(&source.metric, &path.child("metric"));
    let (target, path) = (&source.target, path.child("target"));
    errors.extend(validate_target(target, &path));
    match (&target.value, &target.average_value) {
        (None, None) => {
            let detail = "must set either a target value for metric or a per-pod target";
            errors.push(Error::required(&path.child("averageValue"), detail));
        }
        (Some(_), Some(_)) => {
            let detail = "may not set both a target value for metric and a per-pod target";
            errors.push(Error::forbidden(&path.child("value"), detail));
        }
        _ => {}
    }
    errors
}

fn of_pods(source: &PodsMetricSource, path: &Path) -> ErrorList {
    let path = path.child("pods");
    let mut errors = validate_identifier(&source.metric, &path.child("metric"));
    let path = path.child("target");
    errors.extend(validate_target(&source.target, &path));
    if source.target.average_value.is_none() {
        errors.push(Error::required(&path.child("averageValue"), "must specify a positive target averageValue"));
    }
    errors
}

fn of_resource(source: &ResourceMetricSource, path: &Path) -> ErrorList {
    let path = path.child("resource");
    let mut errors = ErrorList::new();
    if source.name.is_empty() {
        errors.push(Error::required(&path.child("name"), "must specify a resource name"));
    }
    errors.extend(validate_resource_target(&source.target, &path.child("target")));
    errors
}

fn of_container_resource(source: &ContainerResourceMetricSource, path: &Path) -> ErrorList {
    let path = path.child("containerResource");
    let mut errors = ErrorList::new();
    if source.name.is_empty() {
        errors.push(Error::required(&path.child("name"), "must specify a resource name"));
    } else {
        errors.extend(validate_resource_name(&source.name, &path.child("name")));
    }
    if source.container.is_empty() {
        errors.push(Error::required(&path.child("container"), "must specify a container"));
    } else {
        errors.push_invalid(&path.child("container"), &source.container, names::dns1123_label(&source.container));
    }
    errors.extend(validate_resource_target(&source.target, &path.child("target")));
    errors
}

fn validate_resource_target(target: &MetricTarget, path: &Path) -> ErrorList {
    let mut errors = validate_target(target, path);
    match (target.average_utilization, &target.average_value) {
        (None, None) => {
            let detail = "must set either a target raw value or a target utilization";
            errors.push(Error::required(&path.child("averageUtilization"), detail));
        }
        (Some(_), Some(_)) => {
            let detail = "may not set both a target raw value and a target utilization";
            errors.push(Error::forbidden(&path.child("averageValue"), detail));
        }
        _ => {}
    }
    errors
}

fn validate_target(target: &MetricTarget, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let type_path = path.child("type");
    if target.type_.is_empty() {
        errors.push(Error::required(&type_path, "must specify a metric target type"));
    }
    if !matches!(target.type_.as_str(), "Utilization" | "Value" | "AverageValue") {
        let detail = "must be either Utilization, Value, or AverageValue";
        errors.push(Error::invalid(&type_path, BadValue::json(&target.type_), detail));
    }
    for (value, field) in [(&target.value, "value"), (&target.average_value, "averageValue")] {
        if let Some(value) = value.as_ref().filter(|value| !is_positive(value)) {
            errors.push(Error::invalid(&path.child(field), &value.0, "must be positive"));
        }
    }
    if let Some(percent) = target.average_utilization.filter(|percent| *percent < 1) {
        errors.push(Error::invalid(&path.child("averageUtilization"), percent, "must be greater than 0"));
    }
    errors
}

fn is_positive(quantity: &ApiQuantity) -> bool {
    Quantity::parse(&quantity.0).is_ok_and(|number| number.signum() > 0)
}

fn validate_identifier(metric: &MetricIdentifier, path: &Path) -> ErrorList {
    let path = path.child("name");
    if metric.name.is_empty() {
        return Error::required(&path, "must specify a metric name").into();
    }
    let mut errors = ErrorList::new();
    errors.push_invalid(&path, &metric.name, names::path_segment_name(&metric.name));
    errors
}
