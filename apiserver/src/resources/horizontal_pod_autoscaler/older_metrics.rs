//! Metrics, what has been measured of them, and conditions as `autoscaling/v1` keeps them in annotations. Fields come in the
//! order in which Go declares them.

use std::collections::BTreeMap;

use k8s_openapi::api::autoscaling::v2;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, Time};
use serde::{Deserialize, Serialize, Serializer};

/// A metric.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct OlderMetric {
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<ObjectSource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pods: Option<PodsSource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<ResourceSource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container_resource: Option<ResourceSource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    external: Option<ExternalSource>,
}

/// What has been measured of a metric.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct OlderStatus {
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<ObjectStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pods: Option<PodsStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<ResourceStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container_resource: Option<ResourceStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    external: Option<ExternalStatus>,
}

/// A condition. It is read as it is written, in any order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OlderCondition<'a> {
    r#type: &'a str,
    status: &'a str,
    last_transition_time: Option<&'a Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_generation: Option<i64>,
}

impl<'a> From<&'a v2::HorizontalPodAutoscalerCondition> for OlderCondition<'a> {
    fn from(condition: &'a v2::HorizontalPodAutoscalerCondition) -> Self {
        OlderCondition {
            r#type: &condition.type_,
            status: &condition.status,
            last_transition_time: condition.last_transition_time.as_ref(),
            reason: condition.reason.as_deref(),
            message: condition.message.as_deref(),
            observed_generation: condition.observed_generation,
        }
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Reference {
    kind: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_version: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectSource {
    target: Reference,
    metric_name: String,
    #[serde(with = "plain")]
    target_value: Option<Quantity>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "selector_in_order")]
    selector: Option<LabelSelector>,
    #[serde(skip_serializing_if = "Option::is_none")]
    average_value: Option<Quantity>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodsSource {
    metric_name: String,
    #[serde(with = "plain")]
    target_average_value: Option<Quantity>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "selector_in_order")]
    selector: Option<LabelSelector>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResourceSource {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_average_utilization: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_average_value: Option<Quantity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ExternalSource {
    metric_name: String,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "selector_in_order")]
    metric_selector: Option<LabelSelector>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_value: Option<Quantity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_average_value: Option<Quantity>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectStatus {
    target: Reference,
    metric_name: String,
    #[serde(with = "plain")]
    current_value: Option<Quantity>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "selector_in_order")]
    selector: Option<LabelSelector>,
    #[serde(skip_serializing_if = "Option::is_none")]
    average_value: Option<Quantity>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodsStatus {
    metric_name: String,
    #[serde(with = "plain")]
    current_average_value: Option<Quantity>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "selector_in_order")]
    selector: Option<LabelSelector>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResourceStatus {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_average_utilization: Option<i32>,
    #[serde(with = "plain")]
    current_average_value: Option<Quantity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ExternalStatus {
    metric_name: String,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "selector_in_order")]
    metric_selector: Option<LabelSelector>,
    #[serde(with = "plain")]
    current_value: Option<Quantity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_average_value: Option<Quantity>,
}

fn selector_in_order<S: Serializer>(selector: &Option<LabelSelector>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct InOrder<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        match_labels: Option<&'a BTreeMap<String, String>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        match_expressions: Option<&'a [LabelSelectorRequirement]>,
    }
    let in_order = selector.as_ref().map(|selector| InOrder {
        match_labels: selector.match_labels.as_ref(),
        match_expressions: selector.match_expressions.as_deref(),
    });
    in_order.serialize(serializer)
}

/// A quantity that Go holds as a plain value, so that none is written as zero. Zero is read as none: nothing aims at it, and
/// where it was measured it says no more.
mod plain {
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(quantity: &Option<Quantity>, serializer: S) -> Result<S::Ok, S::Error> {
        quantity.as_ref().map_or("0", |quantity| &quantity.0).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Quantity>, D::Error> {
        Ok(Option::<Quantity>::deserialize(deserializer)?.filter(|quantity| quantity.0 != "0"))
    }
}

impl From<&v2::CrossVersionObjectReference> for Reference {
    fn from(reference: &v2::CrossVersionObjectReference) -> Self {
        let v2::CrossVersionObjectReference { api_version, kind, name } = reference.clone();
        Reference { kind, name, api_version }
    }
}

impl Reference {
    fn newer(&self) -> v2::CrossVersionObjectReference {
        v2::CrossVersionObjectReference {
            api_version: self.api_version.clone(),
            kind: self.kind.clone(),
            name: self.name.clone(),
        }
    }
}

impl From<&v2::MetricSpec> for OlderMetric {
    fn from(metric: &v2::MetricSpec) -> Self {
        let metric = metric.clone();
        OlderMetric {
            r#type: metric.type_,
            object: metric.object.map(|source| ObjectSource {
                target: Reference::from(&source.described_object),
                metric_name: source.metric.name,
                target_value: source.target.value,
                selector: source.metric.selector,
                average_value: source.target.average_value,
            }),
            pods: metric.pods.map(|source| PodsSource {
                metric_name: source.metric.name,
                target_average_value: source.target.average_value,
                selector: source.metric.selector,
            }),
            resource: metric.resource.map(|source| ResourceSource {
                name: source.name,
                target_average_utilization: source.target.average_utilization,
                target_average_value: source.target.average_value,
                container: None,
            }),
            container_resource: metric.container_resource.map(|source| ResourceSource {
                name: source.name,
                target_average_utilization: source.target.average_utilization,
                target_average_value: source.target.average_value,
                container: Some(source.container),
            }),
            external: metric.external.map(|source| ExternalSource {
                metric_name: source.metric.name,
                metric_selector: source.metric.selector,
                target_value: source.target.value,
                target_average_value: source.target.average_value,
            }),
        }
    }
}

impl OlderMetric {
    pub(super) fn newer(&self) -> v2::MetricSpec {
        v2::MetricSpec {
            type_: self.r#type.clone(),
            object: self.object.as_ref().map(|source| v2::ObjectMetricSource {
                described_object: source.target.newer(),
                metric: identifier(&source.metric_name, &source.selector),
                target: v2::MetricTarget {
                    type_: if source.average_value.is_none() { "Value" } else { "AverageValue" }.to_owned(),
                    value: source.target_value.clone(),
                    average_value: source.average_value.clone(),
                    average_utilization: None,
                },
            }),
            pods: self.pods.as_ref().map(|source| v2::PodsMetricSource {
                metric: identifier(&source.metric_name, &source.selector),
                target: v2::MetricTarget {
                    type_: "AverageValue".to_owned(),
                    average_value: source.target_average_value.clone(),
                    ..v2::MetricTarget::default()
                },
            }),
            resource: self
                .resource
                .as_ref()
                .map(|source| v2::ResourceMetricSource { name: source.name.clone(), target: source.target() }),
            container_resource: self.container_resource.as_ref().map(|source| v2::ContainerResourceMetricSource {
                container: source.container.clone().unwrap_or_default(),
                name: source.name.clone(),
                target: source.target(),
            }),
            external: self.external.as_ref().map(|source| v2::ExternalMetricSource {
                metric: identifier(&source.metric_name, &source.metric_selector),
                target: v2::MetricTarget {
                    type_: if source.target_value.is_none() { "AverageValue" } else { "Value" }.to_owned(),
                    value: source.target_value.clone(),
                    average_value: source.target_average_value.clone(),
                    average_utilization: None,
                },
            }),
        }
    }
}

impl ResourceSource {
    fn target(&self) -> v2::MetricTarget {
        let type_ = if self.target_average_utilization.is_none() { "AverageValue" } else { "Utilization" };
        v2::MetricTarget {
            type_: type_.to_owned(),
            average_value: self.target_average_value.clone(),
            average_utilization: self.target_average_utilization,
            value: None,
        }
    }
}

impl From<&v2::MetricStatus> for OlderStatus {
    fn from(metric: &v2::MetricStatus) -> Self {
        let metric = metric.clone();
        OlderStatus {
            r#type: metric.type_,
            object: metric.object.map(|source| ObjectStatus {
                target: Reference::from(&source.described_object),
                metric_name: source.metric.name,
                current_value: source.current.value,
                selector: source.metric.selector,
                average_value: source.current.average_value,
            }),
            pods: metric.pods.map(|source| PodsStatus {
                metric_name: source.metric.name,
                current_average_value: source.current.average_value,
                selector: source.metric.selector,
            }),
            resource: metric.resource.map(|source| ResourceStatus {
                name: source.name,
                current_average_utilization: source.current.average_utilization,
                current_average_value: source.current.average_value,
                container: None,
            }),
            container_resource: metric.container_resource.map(|source| ResourceStatus {
                name: source.name,
                current_average_utilization: source.current.average_utilization,
                current_average_value: source.current.average_value,
                container: Some(source.container),
            }),
            external: metric.external.map(|source| ExternalStatus {
                metric_name: source.metric.name,
                metric_selector: source.metric.selector,
                current_value: source.current.value,
                current_average_value: source.current.average_value,
            }),
        }
    }
}

impl OlderStatus {
    pub(super) fn newer(&self) -> v2::MetricStatus {
        let current = |value: &Option<Quantity>, average: &Option<Quantity>, utilization| v2::MetricValueStatus {
            average_utilization: utilization,
            average_value: average.clone(),
            value: value.clone(),
        };
        v2::MetricStatus {
            type_: self.r#type.clone(),
            object: self.object.as_ref().map(|source| v2::ObjectMetricStatus {
                current: current(&source.current_value, &source.average_value, None),
                described_object: source.target.newer(),
                metric: identifier(&source.metric_name, &source.selector),
            }),
            pods: self.pods.as_ref().map(|source| v2::PodsMetricStatus {
                current: current(&None, &source.current_average_value, None),
                metric: identifier(&source.metric_name, &source.selector),
            }),
            resource: self.resource.as_ref().map(|source| v2::ResourceMetricStatus {
                current: current(&None, &source.current_average_value, source.current_average_utilization),
                name: source.name.clone(),
            }),
            container_resource: self.container_resource.as_ref().map(|source| v2::ContainerResourceMetricStatus {
                container: source.container.clone().unwrap_or_default(),
                current: current(&None, &source.current_average_value, source.current_average_utilization),
                name: source.name.clone(),
            }),
            external: self.external.as_ref().map(|source| v2::ExternalMetricStatus {
                current: current(&source.current_value, &source.current_average_value, None),
                metric: identifier(&source.metric_name, &source.metric_selector),
            }),
        }
    }
}

fn identifier(name: &str, selector: &Option<LabelSelector>) -> v2::MetricIdentifier {
    v2::MetricIdentifier { name: name.to_owned(), selector: selector.clone() }
}
