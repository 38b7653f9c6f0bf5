//! PodTopologySpread of pods that do not say how they are spread: among those that their Services and their controller
//! select, by host and by zone. Nodes without the label of zones are a zone of their own as far as zones are counted.

use std::collections::BTreeSet;

use api::selector::label::{Selector, from_api};
use k8s_openapi::api::core::v1::{Node, Pod};

use crate::cluster::{Cluster, Labels, Owner, label, namespace, pod_labels, spec};
use crate::nodes::matches_affinity;
use crate::spread::count;

const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

/// How many pods there are about the node, weighted; none if the pod says how it is spread, or nobody selects it.
pub(crate) fn score(cluster: &Cluster, pod: &Pod, feasible: &[&Node], node: &Node) -> Option<i64> {
    let selector = selector(cluster, pod);
    if spec(pod).topology_spread_constraints.iter().flatten().next().is_some() || selector.is_everything() {
        return None;
    }
    let mut sum = 0.0;
    let weight = |size: usize| ((size + 2) as f64).ln();
    if label(node, HOSTNAME).is_some() {
        sum += count(cluster, pod, &selector, node) as f64 * weight(feasible.len()) + 2.0;
    }
    if let Some(zone) = label(node, ZONE) {
        let zones: BTreeSet<_> = feasible.iter().map(|node| label(node, ZONE)).collect();
        let of_zone = cluster.nodes.values().filter(|node| label(node, ZONE) == Some(zone));
        let there: i64 =
            of_zone.filter(|node| matches_affinity(pod, node)).map(|node| count(cluster, pod, &selector, node)).sum();
        sum += there as f64 * weight(zones.len()) + 4.0;
    }
    Some(sum.round() as i64)
}

/// What the pod's Services and its controller select together.
fn selector(cluster: &Cluster, pod: &Pod) -> Selector {
    let of_pod = pod_labels(pod);
    let mut labels = Labels::new();
    for ((kind, within, _), selector) in &cluster.owners {
        let selected = selector.match_labels.clone().unwrap_or_default();
        let matches = selected.iter().all(|(key, value)| of_pod.get(key) == Some(value));
        if *kind == Owner::Service && within == namespace(pod) && matches {
            labels.extend(selected);
        }
    }
    let mut requirements = Vec::new();
    let owners = pod.metadata.owner_references.iter().flatten();
    if let Some(owner) = owners.filter(|owner| owner.controller == Some(true)).next() {
        let kind = match (owner.api_version.as_str(), owner.kind.as_str()) {
            ("v1", "ReplicationController") => Some(Owner::ReplicationController),
            ("apps/v1", "ReplicaSet") => Some(Owner::ReplicaSet),
            ("apps/v1", "StatefulSet") => Some(Owner::StatefulSet),
            _ => None,
        };
        let known = |kind| cluster.owners.get(&(kind, namespace(pod).to_owned(), owner.name.clone()));
        match (kind, kind.and_then(known)) {
            (Some(Owner::ReplicationController), Some(selector)) => {
                labels.extend(selector.match_labels.clone().unwrap_or_default());
            }
            (_, Some(selector)) => requirements.extend(from_api(Some(selector)).unwrap().requirements().to_vec()),
            (_, None) => {}
        }
    }
    Selector::from_labels(&labels).with(requirements)
}
