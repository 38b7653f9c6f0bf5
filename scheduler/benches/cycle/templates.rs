//! Nodes and pods as upstream's workloads have them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};

/// So many pods that are alike, in these namespaces, the same number in each.
pub(crate) struct Pods {
    pub(crate) count: usize,
    pub(crate) template: Pod,
    pub(crate) namespaces: Vec<String>,
}

impl Pods {
    pub(crate) fn new(count: usize, template: Pod, namespace: &str) -> Self {
        Self { count, template, namespaces: vec![namespace.to_owned()] }
    }

    /// The pods, one by one.
    pub(crate) fn each(&self) -> impl Iterator<Item = Pod> {
        (0..self.count).map(|number| self.one(number))
    }

    /// The pod of this number.
    pub(crate) fn one(&self, number: usize) -> Pod {
        let namespace = &self.namespaces[(number * self.namespaces.len() / self.count.max(1)) % self.namespaces.len()];
        let name = format!("{}{number}", self.template.metadata.generate_name.as_deref().unwrap_or_default());
        let mut pod = self.template.clone();
        pod.metadata.uid = Some(format!("{namespace}/{name}"));
        pod.metadata.name = Some(name);
        pod.metadata.namespace = Some(namespace.clone());
        pod
    }
}

pub(crate) fn object<T: k8s_openapi::serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("it is an object")
}

/// So many nodes, in these zones by turns, with what is said besides of what they have and are.
pub(crate) fn nodes(count: usize, zones: &[&str], resources: &[(&str, &str)], taints: &Value) -> Vec<Node> {
    let node = |number: usize| {
        let name = format!("scheduler-perf-{number}-{}", taints.as_array().map_or(0, Vec::len));
        let mut labels = BTreeMap::from([("kubernetes.io/hostname", name.as_str())]);
        if let Some(zone) = number.checked_rem(zones.len()).map(|turn| zones[turn]) {
            labels.insert("topology.kubernetes.io/zone", zone);
        }
        let mut allocatable = BTreeMap::from([("pods", "110"), ("cpu", "4"), ("memory", "32Gi")]);
        allocatable.extend(resources.iter().copied());
        object(json!({
            "metadata": {"name": name, "labels": labels},
            "spec": {"taints": taints},
            "status": {"allocatable": allocatable},
        }))
    };
    (0..count).map(node).collect()
}

/// A pod that requests this, with what is said besides of its labels and its spec.
pub(crate) fn pod(requests: Value, labels: Value, over: Value) -> Pod {
    let mut spec = json!({"containers": [{
        "name": "pause",
        "image": "registry.k8s.io/pause:3.10.1",
        "ports": [{"containerPort": 80, "protocol": "TCP"}],
        "resources": {"requests": requests},
    }]});
    if let (Value::Object(spec), Value::Object(over)) = (&mut spec, over) {
        spec.extend(over);
    }
    object(json!({"metadata": {"generateName": "pod-", "labels": labels}, "spec": spec}))
}

/// What most pods request.
pub(crate) fn small() -> Value {
    json!({"cpu": "100m", "memory": "500Mi"})
}

pub(crate) fn plain() -> Pod {
    pod(small(), json!({}), json!({}))
}

/// A pod that wants pods of its own colour near (`podAffinity`) or far (`podAntiAffinity`), or had better have them so.
pub(crate) fn coloured(colour: &str, kind: &str, required: bool, key: &str, namespaces: Value) -> Pod {
    let mut term = json!({"labelSelector": {"matchLabels": {"color": colour}}, "topologyKey": key});
    if let (Value::Object(term), Value::Object(namespaces)) = (&mut term, namespaces) {
        term.extend(namespaces);
    }
    let terms = match required {
        true => json!({"requiredDuringSchedulingIgnoredDuringExecution": [term]}),
        false => {
            json!({"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": term}]})
        }
    };
    pod(small(), json!({ "color": colour }), json!({"affinity": { kind: terms }}))
}

/// A pod that is spread among pods of its own colour.
pub(crate) fn spread(colour: &str, constraint: Value) -> Pod {
    let mut whole = json!({"labelSelector": {"matchLabels": {"color": colour}}});
    if let (Value::Object(whole), Value::Object(constraint)) = (&mut whole, constraint) {
        whole.extend(constraint);
    }
    pod(small(), json!({ "color": colour }), json!({"topologySpreadConstraints": [whole]}))
}

/// A pod that is only for nodes that this term selects.
pub(crate) fn for_nodes(requests: Value, term: Value) -> Pod {
    let required = json!({"nodeSelectorTerms": [term]});
    let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}});
    pod(requests, json!({}), json!({ "affinity": affinity }))
}
