//! A cluster as the API has it: plain objects, looked through anew for every question.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use k8s_openapi::api::core::v1::{Node, Pod, PodSpec};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Labels, of whatever.
pub(crate) type Labels = BTreeMap<String, String>;

/// A pod that is on a node, or is supposed there.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) pod: Rc<Pod>,
    pub(crate) node: String,
    /// Whether only the scheduler knows of the node yet.
    pub(crate) assumed: bool,
}

/// What pods belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    ReplicaSet,
    ReplicationController,
    Service,
    StatefulSet,
}

/// What there is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cluster {
    /// By name.
    pub(crate) nodes: BTreeMap<String, Rc<Node>>,
    /// By identity. The node of a pod need not exist.
    pub(crate) pods: BTreeMap<String, Placed>,
    /// Pods for which room is being made, and the names of the nodes.
    pub(crate) nominated: BTreeMap<String, (Rc<Pod>, String)>,
    pub(crate) namespaces: BTreeMap<String, Labels>,
    /// What they select, by kind, namespace and name.
    pub(crate) owners: BTreeMap<(Owner, String, String), LabelSelector>,
    /// By namespace and name.
    pub(crate) budgets: BTreeMap<(String, String), PodDisruptionBudget>,
}

impl Cluster {
    /// The pods that are on the node.
    pub(crate) fn on<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = &'a Pod> {
        self.pods.values().filter(|placed| placed.node == name(node)).map(|placed| &*placed.pod)
    }

    /// All pods that are on nodes, with these.
    pub(crate) fn placed(&self) -> impl Iterator<Item = (&Pod, &Node)> {
        self.pods.values().filter_map(|placed| Some((&*placed.pod, &**self.nodes.get(&placed.node)?)))
    }

    /// The cluster as it would be if these pods were on the node too.
    pub(crate) fn with<'a>(&self, pods: impl IntoIterator<Item = &'a Rc<Pod>>, node: &Node) -> Self {
        let mut supposed = self.clone();
        for pod in pods {
            let placed = Placed { pod: Rc::clone(pod), node: name(node).to_owned(), assumed: true };
            supposed.pods.insert(uid(pod).to_owned(), placed);
        }
        supposed
    }

    /// The cluster as it would be if these pods were gone.
    pub(crate) fn without<'a>(&self, pods: impl IntoIterator<Item = &'a Rc<Pod>>) -> Self {
        let mut supposed = self.clone();
        for pod in pods {
            supposed.pods.remove(uid(pod));
        }
        supposed
    }
}

/// Why a node is not for a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) plugin: &'static str,
    pub(crate) reasons: BTreeSet<String>,
    /// Whether removing pods from the node would not help.
    pub(crate) unresolvable: bool,
}

/// Refuses unless the rule is met.
pub(crate) fn require(met: bool, plugin: &'static str, reason: &str, unresolvable: bool) -> Result<(), Refusal> {
    if met { Ok(()) } else { Err(Refusal { plugin, reasons: BTreeSet::from([reason.to_owned()]), unresolvable }) }
}

pub(crate) fn name(node: &Node) -> &str {
    node.metadata.name.as_deref().unwrap_or_default()
}

/// The node's value of a label.
pub(crate) fn label<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    node.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

pub(crate) fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

pub(crate) fn namespace(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or_default()
}

pub(crate) fn pod_labels(pod: &Pod) -> Labels {
    pod.metadata.labels.clone().unwrap_or_default()
}

pub(crate) fn spec(pod: &Pod) -> &PodSpec {
    pod.spec.as_ref().unwrap()
}

pub(crate) fn priority(pod: &Pod) -> i32 {
    spec(pod).priority.unwrap_or_default()
}

pub(crate) fn is_terminating(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}
