//! The examples of resource bin packing, whose scores are documented.

use k8s_openapi::api::core::v1::{Node, Pod};
use scheduler::cycle::Plugin;
use scheduler::plugins::node_resources_fit::{NodeResourcesFit, Strategy};
use scheduler::plugins::resource_scoring::WeightedResource;
use scheduler::snapshot::{PodInfo, Snapshot};
use serde_json::{Value, json};

/// A pod that requests this.
fn pod(uid: &str, requests: &Value) -> Pod {
    let containers = json!([{"name": "main", "resources": {"requests": requests}}]);
    serde_json::from_value(json!({"metadata": {"uid": uid}, "spec": {"containers": containers}})).unwrap()
}

/// How the pod's node is scored if it has, and is used, so much.
fn check(plugin: &NodeResourcesFit, requested: &Value, available: &Value, used: &Value, expected: i64) {
    let mut available = available.clone();
    available["pods"] = json!("110");
    let node: Node =
        serde_json::from_value(json!({"metadata": {"name": "node"}, "status": {"allocatable": available}})).unwrap();
    let mut snapshot = Snapshot::default();
    snapshot.set_node(&node);
    snapshot.assume(&pod("used", used), "node");
    let info = PodInfo::new(&pod("pod", requested));
    let judge = plugin.pre_score(&snapshot, &info, snapshot.order()).unwrap();
    assert_eq!(judge.score(snapshot.order()[0]), expected, "{available} of which {used} is used");
}

fn weighted(resources: &[(&str, i64)]) -> Vec<WeightedResource> {
    resources.iter().map(|(name, weight)| WeightedResource { name: (*name).to_owned(), weight: *weight }).collect()
}

/// From <https://kubernetes.io/docs/concepts/scheduling-eviction/resource-bin-packing/#node-scoring-for-capacity-allocation>.
#[test]
fn bin_packing_by_requested_to_capacity_ratio() {
    // The page shapes the scores from 0 to 10, and does not scale them to 100.
    let plugin = NodeResourcesFit {
        strategy: Strategy::RequestedToCapacityRatio(vec![(0, 0), (100, 10)]),
        resources: weighted(&[("intel.com/foo", 5), ("memory", 1), ("cpu", 3)]),
        ..NodeResourcesFit::default()
    };
    let requested = json!({"intel.com/foo": "2", "memory": "256Mi", "cpu": "2"});
    let available = json!({"intel.com/foo": "4", "memory": "1Gi", "cpu": "8"});
    check(&plugin, &requested, &available, &json!({"intel.com/foo": "1", "memory": "256Mi", "cpu": "1"}), 5);
    let available = json!({"intel.com/foo": "8", "memory": "1Gi", "cpu": "8"});
    check(&plugin, &requested, &available, &json!({"intel.com/foo": "2", "memory": "512Mi", "cpu": "6"}), 7);
}

/// From <https://kubernetes.io/docs/reference/scheduling/config/#scheduling-plugins>: the strategies' definitions.
#[test]
fn most_and_least_allocated() {
    let plugin = |strategy| NodeResourcesFit { strategy, ..NodeResourcesFit::default() };
    let requested = json!({"memory": "256Mi", "cpu": "2"});
    let (available, used) = (json!({"memory": "1Gi", "cpu": "8"}), json!({"memory": "256Mi", "cpu": "1"}));
    check(&plugin(Strategy::MostAllocated), &requested, &available, &used, i64::midpoint(50, 37));
    check(&plugin(Strategy::LeastAllocated), &requested, &available, &used, i64::midpoint(50, 62));
}
