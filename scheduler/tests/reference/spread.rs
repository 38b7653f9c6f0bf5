//! PodTopologySpread: how evenly pods are spread among domains.
//!
//! Terminating pods never count. Upstream lets them count when it supposes them away.

use std::collections::{BTreeMap, BTreeSet};

use api::field::Path;
use api::selector::label::{Operator, Requirement, Selector, from_api};
use k8s_openapi::api::core::v1::{Node, Pod, TopologySpreadConstraint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use crate::cluster::{Cluster, Owner, Refusal, is_terminating, label, namespace, pod_labels, require, spec};
use crate::nodes::{matches_affinity, tolerates_hard_taints};

const UNEVEN: &str = "node(s) didn't match pod topology spread constraints";
const NO_LABEL: &str = "node(s) didn't match pod topology spread constraints (missing required label)";
const HOSTNAME: &str = "kubernetes.io/hostname";

pub(crate) fn filter(cluster: &Cluster, pod: &Pod, node: &Node) -> Result<(), Refusal> {
    let constraints = constraints(pod, "DoNotSchedule");
    let all = Domained { constraints: &constraints, lenient: false };
    for constraint in &constraints {
        let own = label(node, &constraint.topology_key);
        require(own.is_some(), "PodTopologySpread", NO_LABEL, true)?;
        let domains = domains(cluster, pod, all, constraint);
        let too_few = domains.len() < usize::try_from(constraint.min_domains.unwrap_or(1)).unwrap();
        let least = if too_few { 0 } else { domains.values().copied().min().unwrap_or_default() };
        let there = domains.get(own.unwrap()).copied().unwrap_or_default();
        let itself = i64::from(selector(pod, constraint).matches(&pod.metadata.labels));
        let even = there + itself - least <= i64::from(constraint.max_skew);
        require(even, "PodTopologySpread", UNEVEN, false)?;
    }
    Ok(())
}

/// How many pods there are about the node, weighted; nothing for a node that lacks a label. None if the pod does not ask.
pub(crate) fn score(cluster: &Cluster, pod: &Pod, feasible: &[&Node], node: &Node) -> Option<Option<i64>> {
    let lenient = spec(pod).topology_spread_constraints.as_ref().is_none_or(Vec::is_empty);
    let constraints = if lenient { defaults(cluster, pod) } else { constraints(pod, "ScheduleAnyway") };
    let all = Domained { constraints: &constraints, lenient };
    if constraints.is_empty() {
        return None;
    }
    if !all.has(node) {
        return Some(None);
    }
    let considered = || feasible.iter().filter(|node| all.has(node));
    let mut sum = 0.0;
    for constraint in &constraints {
        let key = &constraint.topology_key;
        let Some(own) = label(node, key) else { continue };
        let (size, there) = if key == HOSTNAME {
            (considered().count(), count(cluster, pod, &selector(pod, constraint), node))
        } else {
            let values: BTreeSet<_> = considered().map(|node| label(node, key)).collect();
            let domains = domains(cluster, pod, all, constraint);
            (values.len(), domains.get(own).copied().unwrap_or_default())
        };
        let weight = ((size + 2) as f64).ln();
        sum += there as f64 * weight + f64::from(constraint.max_skew - 1);
    }
    Some(Some(sum.round() as i64))
}

pub(crate) fn normalize(scores: &[Option<i64>]) -> Vec<i64> {
    let known = || scores.iter().flatten().copied();
    let (least, greatest) = (known().min().unwrap_or_default(), known().max().unwrap_or_default());
    let scale = |score: &Option<i64>| match score {
        None => 0,
        Some(_) if greatest == 0 => 100,
        Some(score) => 100 * (greatest + least - score) / greatest,
    };
    scores.iter().map(scale).collect()
}

fn constraints(pod: &Pod, when: &str) -> Vec<TopologySpreadConstraint> {
    let all = spec(pod).topology_spread_constraints.iter().flatten();
    all.filter(|constraint| constraint.when_unsatisfiable == when).cloned().collect()
}

/// The system's constraints, among the pods that the pod's Services and its controller select together.
fn defaults(cluster: &Cluster, pod: &Pod) -> Vec<TopologySpreadConstraint> {
    let labels = pod_labels(pod);
    let mut selected = LabelSelector::default();
    for ((kind, within, _), selector) in &cluster.owners {
        let by_labels = selector.match_labels.clone().unwrap_or_default();
        let matches = by_labels.iter().all(|(key, value)| labels.get(key) == Some(value));
        if *kind == Owner::Service && within == namespace(pod) && matches {
            selected.match_labels.get_or_insert_default().extend(by_labels);
        }
    }
    match controller(cluster, pod) {
        Some((Owner::ReplicationController, of)) => {
            selected.match_labels.get_or_insert_default().extend(of.match_labels.unwrap_or_default());
        }
        // What these select is required besides, even if it contradicts the Services.
        Some((_, of)) => {
            let required =
                |(key, value)| LabelSelectorRequirement { key, operator: "In".to_owned(), values: Some(vec![value]) };
            let labels = of.match_labels.unwrap_or_default().into_iter().map(required);
            let expressions = of.match_expressions.unwrap_or_default();
            selected.match_expressions = Some(labels.chain(expressions).collect());
        }
        None => {}
    }
    let constraint = |(topology_key, max_skew): (&str, i32)| TopologySpreadConstraint {
        label_selector: Some(selected.clone()),
        max_skew,
        topology_key: topology_key.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        ..TopologySpreadConstraint::default()
    };
    let all = [(HOSTNAME, 3), ("topology.kubernetes.io/zone", 5)];
    if from_api(Some(&selected)).unwrap().is_everything() { Vec::new() } else { all.map(constraint).into() }
}

/// The pod's controller, if it exists and is one that counts, and what it selects.
fn controller(cluster: &Cluster, pod: &Pod) -> Option<(Owner, LabelSelector)> {
    let mut owners = pod.metadata.owner_references.iter().flatten();
    let owner = owners.find(|owner| owner.controller == Some(true))?;
    let kind = match (owner.api_version.as_str(), owner.kind.as_str()) {
        ("v1", "ReplicationController") => Owner::ReplicationController,
        ("apps/v1", "ReplicaSet") => Owner::ReplicaSet,
        ("apps/v1", "StatefulSet") => Owner::StatefulSet,
        _ => return None,
    };
    Some((kind, cluster.owners.get(&(kind, namespace(pod).to_owned(), owner.name.clone()))?.clone()))
}

/// Constraints, and whether nodes count that are not in a domain of each.
#[derive(Clone, Copy)]
struct Domained<'a> {
    constraints: &'a [TopologySpreadConstraint],
    lenient: bool,
}

impl Domained<'_> {
    fn has(&self, node: &Node) -> bool {
        self.lenient || self.constraints.iter().all(|constraint| label(node, &constraint.topology_key).is_some())
    }
}

/// How many pods are in each domain that has eligible nodes.
fn domains<'a>(
    cluster: &'a Cluster,
    pod: &Pod,
    all: Domained<'_>,
    constraint: &TopologySpreadConstraint,
) -> BTreeMap<&'a str, i64> {
    let (mut domains, selector) = (BTreeMap::new(), selector(pod, constraint));
    for node in cluster.nodes.values() {
        let affine = constraint.node_affinity_policy.as_deref() == Some("Ignore") || matches_affinity(pod, node);
        let tolerated = constraint.node_taints_policy.as_deref() != Some("Honor") || tolerates_hard_taints(pod, node);
        if let Some(value) = label(node, &constraint.topology_key)
            && all.has(node)
            && affine
            && tolerated
        {
            *domains.entry(value).or_default() += count(cluster, pod, &selector, node);
        }
    }
    domains
}

/// How many pods are on the node among which this one is spread. If all are selected, none is counted.
fn count(cluster: &Cluster, pod: &Pod, selector: &Selector, node: &Node) -> i64 {
    let counts = |other: &&Pod| {
        !selector.is_everything()
            && !is_terminating(other)
            && namespace(other) == namespace(pod)
            && selector.matches(&other.metadata.labels)
    };
    cluster.on(node).filter(counts).map(|_| 1).sum()
}

/// The constraint's selector, and the pod's own values of the keys that have to match.
fn selector(pod: &Pod, constraint: &TopologySpreadConstraint) -> Selector {
    let labels = pod_labels(pod);
    let same = constraint.match_label_keys.iter().flatten().filter_map(|key| {
        let values = vec![labels.get(key)?.clone()];
        Some(Requirement::new(key, Operator::In, values, &Path::nil()).unwrap())
    });
    from_api(constraint.label_selector.as_ref()).unwrap().with(same)
}
