//! What pods and nodes say of each other, whatever else is there: NodeUnschedulable, NodeName, TaintToleration and
//! NodeAffinity.

use std::collections::BTreeSet;

use api::selector::node::{Selector, Term};
use k8s_openapi::api::core::v1::{Node, NodeAffinity, NodeSelectorTerm, Pod, Taint, Toleration};

use crate::cluster::{Cluster, Refusal, label, name, require, spec};

pub(crate) fn unschedulable(_cluster: &Cluster, pod: &Pod, node: &Node) -> Result<(), Refusal> {
    let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true);
    let cordon = Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    let met = !cordoned || tolerates(pod, &cordon);
    require(met, "NodeUnschedulable", "node(s) were unschedulable", true)
}

pub(crate) fn node_name(_cluster: &Cluster, pod: &Pod, node: &Node) -> Result<(), Refusal> {
    let wanted = spec(pod).node_name.as_deref().unwrap_or_default();
    let met = wanted.is_empty() || wanted == name(node);
    require(met, "NodeName", "node(s) didn't match the requested node name", true)
}

pub(crate) fn taints(_cluster: &Cluster, pod: &Pod, node: &Node) -> Result<(), Refusal> {
    require(tolerates_hard_taints(pod, node), "TaintToleration", "node(s) had untolerated taint(s)", true)
}

pub(crate) fn affinity(_cluster: &Cluster, pod: &Pod, node: &Node) -> Result<(), Refusal> {
    require(matches_affinity(pod, node), "NodeAffinity", "node(s) didn't match Pod's node affinity/selector", true)
}

/// How many mild taints of the node the pod does not tolerate.
pub(crate) fn mild_taints(pod: &Pod, node: &Node) -> i64 {
    let mild = all_taints(node).filter(|taint| taint.effect == "PreferNoSchedule");
    mild.filter(|taint| !tolerates(pod, taint)).map(|_| 1).sum()
}

/// The weights of the preferred terms that match the node.
pub(crate) fn preferred(pod: &Pod, node: &Node) -> i64 {
    let terms =
        node_affinity(pod).and_then(|affinity| affinity.preferred_during_scheduling_ignored_during_execution.as_ref());
    let matching = terms.into_iter().flatten().filter(|term| {
        Term::from_api(&term.preference).is_some_and(|term| term.matches(name(node), &node.metadata.labels))
    });
    matching.map(|term| i64::from(term.weight)).sum()
}

/// The names of the only nodes that are tried, if every term of the required affinity names some.
pub(crate) fn named(pod: &Pod) -> Option<BTreeSet<String>> {
    let required = node_affinity(pod)?.required_during_scheduling_ignored_during_execution.as_ref()?;
    let of_term = |term: &NodeSelectorTerm| -> Option<BTreeSet<String>> {
        let fields = term.match_fields.iter().flatten();
        let fields = fields.filter(|field| field.key == "metadata.name" && field.operator == "In");
        let sets = fields.map(|field| field.values.iter().flatten().cloned().collect::<BTreeSet<_>>());
        sets.reduce(|all, these| all.intersection(&these).cloned().collect())
    };
    let sets: Option<Vec<_>> = required.node_selector_terms.iter().map(of_term).collect();
    sets.filter(|sets| !sets.is_empty()).map(|sets| sets.into_iter().flatten().collect())
}

pub(crate) fn matches_affinity(pod: &Pod, node: &Node) -> bool {
    let mut selector = spec(pod).node_selector.iter().flatten();
    let required =
        node_affinity(pod).and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    selector.all(|(key, value)| label(node, key) == Some(value))
        && required.is_none_or(|required| Selector::from_api(required).matches(name(node), &node.metadata.labels))
}

pub(crate) fn tolerates_hard_taints(pod: &Pod, node: &Node) -> bool {
    let mut hard = all_taints(node).filter(|taint| taint.effect == "NoSchedule" || taint.effect == "NoExecute");
    hard.all(|taint| tolerates(pod, taint))
}

fn all_taints(node: &Node) -> impl Iterator<Item = &Taint> {
    node.spec.iter().flat_map(|spec| spec.taints.iter().flatten())
}

fn node_affinity(pod: &Pod) -> Option<&NodeAffinity> {
    spec(pod).affinity.as_ref()?.node_affinity.as_ref()
}

fn tolerates(pod: &Pod, taint: &Taint) -> bool {
    let of = |toleration: &Toleration| {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let (key, effect) = (text(&toleration.key), text(&toleration.effect));
        (effect.is_empty() || effect == taint.effect)
            && (key.is_empty() || key == taint.key)
            && (text(&toleration.operator) == "Exists" || text(&toleration.value) == text(&taint.value))
    };
    spec(pod).tolerations.iter().flatten().any(of)
}
