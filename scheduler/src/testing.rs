//! Nodes and pods for tests, written as briefly as they can be.

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::snapshot::Snapshot;

/// Reads an object.
pub(crate) fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// Puts what `over` says over what is there, maps into maps.
pub(crate) fn merge(target: &mut Value, over: Value) {
    match (target, over) {
        (Value::Object(target), Value::Object(over)) => {
            for (key, value) in over {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
        (target, over) => *target = over,
    }
}

/// A node with 4 cpu, 8Gi of memory and room for 10 pods, and what is said besides.
pub(crate) fn node(name: &str, over: Value) -> Node {
    let mut value = json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}},
    });
    merge(&mut value, over);
    object(value)
}

/// A pod with one container, and what its spec says besides.
pub(crate) fn pod(name: &str, spec: Value) -> Pod {
    let mut value = json!({
        "metadata": {"name": name, "namespace": "default", "uid": name},
        "spec": {"containers": [{"name": "main", "image": "main"}]},
    });
    merge(&mut value["spec"], spec);
    object(value)
}

/// Containers that together request this.
pub(crate) fn requesting(requests: Value) -> Value {
    json!({"containers": [{"name": "main", "image": "main", "resources": {"requests": requests}}]})
}

/// A snapshot of these nodes, and of these pods on them.
pub(crate) fn snapshot(nodes: &[Node], pods: &[(&str, Pod)]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for node in nodes {
        snapshot.set_node(node);
    }
    for (node, pod) in pods {
        snapshot.assume(pod, node);
    }
    snapshot
}
