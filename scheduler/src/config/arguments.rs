//! What plugins are told.

use k8s_openapi::api::core::v1::{NodeAffinity, TopologySpreadConstraint};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::duration::GoDuration;

/// The arguments of a plugin, which are read as the plugin's name says.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(untagged, from = "Value")]
#[allow(missing_docs, reason = "each is named as the plugin")]
pub enum Arguments {
    DefaultPreemption(DefaultPreemptionArgs),
    DynamicResources(DynamicResourcesArgs),
    InterPodAffinity(InterPodAffinityArgs),
    NodeAffinity(NodeAffinityArgs),
    NodeResourcesBalancedAllocation(NodeResourcesBalancedAllocationArgs),
    NodeResourcesFit(NodeResourcesFitArgs),
    PodTopologySpread(PodTopologySpreadArgs),
    VolumeBinding(VolumeBindingArgs),
    /// Those of a plugin that is not built in, or takes none.
    Other(Value),
}

impl Default for Arguments {
    fn default() -> Arguments {
        Arguments::Other(Value::Null)
    }
}

impl From<Value> for Arguments {
    fn from(value: Value) -> Arguments {
        Arguments::Other(value)
    }
}

impl Arguments {
    /// The arguments of a plugin of this name, or nothing if it takes none that are known.
    ///
    /// # Errors
    /// If a field is of the wrong type.
    pub(super) fn read(plugin: &str, value: Value) -> Option<Result<Arguments, serde_json::Error>> {
        fn typed<T: serde::de::DeserializeOwned>(
            value: Value,
            wrap: fn(T) -> Arguments,
        ) -> Option<Result<Arguments, serde_json::Error>> {
            Some(serde_json::from_value(value).map(wrap))
        }
        match plugin {
            "DefaultPreemption" => typed(value, Arguments::DefaultPreemption),
            "DynamicResources" => typed(value, Arguments::DynamicResources),
            "InterPodAffinity" => typed(value, Arguments::InterPodAffinity),
            "NodeAffinity" => typed(value, Arguments::NodeAffinity),
            "NodeResourcesBalancedAllocation" => typed(value, Arguments::NodeResourcesBalancedAllocation),
            "NodeResourcesFit" => typed(value, Arguments::NodeResourcesFit),
            "PodTopologySpread" => typed(value, Arguments::PodTopologySpread),
            "VolumeBinding" => typed(value, Arguments::VolumeBinding),
            _ => None,
        }
    }

    /// Fills in what is not said.
    pub(super) fn complete(&mut self) {
        match self {
            Arguments::NodeResourcesBalancedAllocation(args) => complete_resources(&mut args.resources),
            Arguments::NodeResourcesFit(args) => complete_resources(&mut args.scoring_strategy.resources),
            Arguments::PodTopologySpread(args) if args.defaulting_type.is_empty() => {
                args.defaulting_type = "System".to_owned();
            }
            Arguments::VolumeBinding(args) if args.shape.is_empty() => {
                let point = |utilization, score| UtilizationShapePoint { utilization, score };
                args.shape = vec![point(0, 10), point(100, 0)];
            }
            _ => {}
        }
    }
}

/// The default resources if there are none; and a weight of zero is one.
fn complete_resources(resources: &mut Vec<ResourceSpec>) {
    if resources.is_empty() {
        *resources = ["cpu", "memory"].map(|name| ResourceSpec { name: name.to_owned(), weight: 1 }).to_vec();
    }
    for resource in resources.iter_mut().filter(|resource| resource.weight == 0) {
        resource.weight = 1;
    }
}

/// How pods are preempted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DefaultPreemptionArgs {
    /// How many percent of the nodes are tried at least.
    pub min_candidate_nodes_percentage: i32,
    /// How many nodes are tried at least.
    pub min_candidate_nodes_absolute: i32,
}

impl Default for DefaultPreemptionArgs {
    fn default() -> DefaultPreemptionArgs {
        DefaultPreemptionArgs { min_candidate_nodes_percentage: 10, min_candidate_nodes_absolute: 100 }
    }
}

/// How devices are allocated.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DynamicResourcesArgs {
    /// How long is tried for a node; for ever if it is zero.
    pub filter_timeout: GoDuration,
    /// How long a pod waits for its devices to be prepared.
    pub binding_timeout: GoDuration,
}

impl Default for DynamicResourcesArgs {
    fn default() -> DynamicResourcesArgs {
        DynamicResourcesArgs { filter_timeout: GoDuration::from_secs(10), binding_timeout: GoDuration::from_secs(600) }
    }
}

/// How pods attract and repel each other.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InterPodAffinityArgs {
    /// How much it counts that a pod on a node requires to be with the new one.
    pub hard_pod_affinity_weight: i32,
    /// Whether what pods on nodes prefer does not count for a new one without affinity.
    pub ignore_preferred_terms_of_existing_pods: bool,
}

impl Default for InterPodAffinityArgs {
    fn default() -> InterPodAffinityArgs {
        InterPodAffinityArgs { hard_pod_affinity_weight: 1, ignore_preferred_terms_of_existing_pods: false }
    }
}

/// What every pod wants of nodes besides what it says itself.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeAffinityArgs {
    /// What it wants.
    pub added_affinity: Option<NodeAffinity>,
}

/// How it is judged whether resources are used evenly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeResourcesBalancedAllocationArgs {
    /// The resources that count.
    pub resources: Vec<ResourceSpec>,
}

/// A resource, and how much it counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceSpec {
    /// Its name.
    pub name: String,
    /// How much.
    pub weight: i64,
}

/// Whether pods fit on nodes, and on which better.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeResourcesFitArgs {
    /// Resources that nodes need not have.
    pub ignored_resources: Vec<String>,
    /// Groups of such resources: what stands before the `/` in their names.
    pub ignored_resource_groups: Vec<String>,
    /// Which nodes are better.
    pub scoring_strategy: ScoringStrategy,
}

/// Which nodes are better.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ScoringStrategy {
    /// `LeastAllocated`, `MostAllocated` or `RequestedToCapacityRatio`.
    #[serde(rename = "type", default = "unsaid")]
    pub kind: String,
    /// The resources that count.
    pub resources: Vec<ResourceSpec>,
    /// What is to be known for `RequestedToCapacityRatio`.
    pub requested_to_capacity_ratio: Option<RequestedToCapacityRatio>,
}

impl Default for ScoringStrategy {
    /// That of a plugin that is told none.
    fn default() -> ScoringStrategy {
        ScoringStrategy { kind: "LeastAllocated".to_owned(), resources: Vec::new(), requested_to_capacity_ratio: None }
    }
}

/// A strategy that is told must say of which type it is.
fn unsaid() -> String {
    String::new()
}

/// Scores by how much of a resource is requested.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestedToCapacityRatio {
    /// The scores at some utilizations; between them they go straight.
    pub shape: Vec<UtilizationShapePoint>,
}

/// The score at a utilization.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UtilizationShapePoint {
    /// In percent.
    pub utilization: i32,
    /// From 0 to 10.
    pub score: i32,
}

/// How pods spread that do not say how.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodTopologySpreadArgs {
    /// How, without selectors: these follow from the services and controllers of a pod.
    pub default_constraints: Vec<TopologySpreadConstraint>,
    /// `System` for upstream's constraints, or `List` for these.
    pub defaulting_type: String,
}

/// How volumes are bound.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeBindingArgs {
    /// How long is waited for volumes to be bound.
    pub bind_timeout_seconds: i64,
    /// Scores by how much of the storage is used: the less the better if it is not said.
    pub shape: Vec<UtilizationShapePoint>,
}

impl Default for VolumeBindingArgs {
    fn default() -> VolumeBindingArgs {
        VolumeBindingArgs { bind_timeout_seconds: 600, shape: Vec::new() }
    }
}
