//! Cases, as briefly as YAML can say them.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::serde::de::DeserializeOwned;
use scheduler::snapshot::Snapshot;
use serde::Deserialize;
use serde_json::{Map, Value, json};

type Labels = BTreeMap<String, String>;

/// A cluster, and pods that come.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// What the documentation says.
    pub(crate) says: String,
    /// Nodes by name.
    #[serde(default)]
    nodes: BTreeMap<String, NodeSays>,
    /// Labels of namespaces.
    #[serde(default)]
    namespaces: BTreeMap<String, Labels>,
    #[serde(default)]
    budgets: Vec<Value>,
    /// The pods that are there, by node.
    #[serde(default)]
    there: BTreeMap<String, Vec<PodSays>>,
    /// The pods that come, one after the other.
    #[serde(default)]
    pods: Vec<Asked>,
}

/// A node with 4 cpu, 8Gi of memory and room for 110 pods, if it does not say otherwise.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeSays {
    #[serde(default)]
    labels: Labels,
    #[serde(default)]
    taints: Vec<Value>,
    #[serde(default)]
    unschedulable: bool,
    /// What it has for pods.
    #[serde(default)]
    has: Map<String, Value>,
}

/// A pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PodSays {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    labels: Labels,
    /// What its only container requests.
    #[serde(default)]
    requests: Map<String, Value>,
    #[serde(default)]
    spec: Map<String, Value>,
    #[serde(default)]
    status: Map<String, Value>,
}

/// A pod that comes, and what becomes of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    #[serde(default)]
    pub(crate) pod: PodSays,
    /// How many of them come.
    #[serde(default)]
    times: Option<usize>,
    /// The nodes on which it can be.
    pub(crate) may: Option<BTreeSet<String>>,
    /// The nodes of which it goes to one.
    pub(crate) goes: Option<BTreeSet<String>>,
    /// How what is said begins if it goes nowhere.
    pub(crate) said: Option<String>,
    /// The node, and who has to go from there, the most important first.
    pub(crate) displaces: Option<(String, Vec<String>)>,
}

impl Case {
    /// The pods that come.
    pub(crate) fn asked(&self) -> impl Iterator<Item = &Asked> {
        self.pods.iter().flat_map(|asked| std::iter::repeat_n(asked, asked.times.unwrap_or(1)))
    }

    /// The cluster.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (name, labels) in &self.namespaces {
            snapshot.set_namespace(name, labels.clone());
        }
        for (name, node) in &self.nodes {
            let mut labels = node.labels.clone();
            labels.entry("kubernetes.io/hostname".to_owned()).or_insert_with(|| name.clone());
            let mut has = json!({"cpu": "4", "memory": "8Gi", "pods": "110"});
            has.as_object_mut().unwrap().extend(node.has.clone());
            snapshot.set_node(&object(json!({
                "metadata": {"name": name, "labels": labels},
                "spec": {"taints": node.taints, "unschedulable": node.unschedulable},
                "status": {"allocatable": has},
            })));
        }
        for (node, pods) in &self.there {
            for (i, pod) in pods.iter().enumerate() {
                snapshot.assume(&pod.object(&format!("{node}-{i}")), node);
            }
        }
        for budget in &self.budgets {
            snapshot.set_budget(&object(budget.clone()));
        }
        snapshot
    }
}

impl PodSays {
    /// The pod, of this name if it says none.
    pub(crate) fn object<T: DeserializeOwned>(&self, name: &str) -> T {
        let name = self.name.as_deref().unwrap_or(name);
        let containers = json!([{"name": "main", "resources": {"requests": self.requests}}]);
        let mut spec = Map::from_iter([("containers".to_owned(), containers)]);
        spec.extend(self.spec.clone());
        let namespace = self.namespace.as_deref().unwrap_or("default");
        let metadata = json!({"name": name, "uid": name, "namespace": namespace, "labels": self.labels});
        object(json!({"metadata": metadata, "spec": spec, "status": self.status}))
    }
}

fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}
