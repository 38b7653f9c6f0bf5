//! InterPodAffinity: which pods want which others near or far.
//!
//! What pods want for which room is being made counts like what pods want that are there; upstream forgets it if nobody
//! else has a wish.

use api::selector::label::{Selector, from_api};
use k8s_openapi::api::core::v1::{Node, Pod, PodAffinityTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::cluster::{Cluster, Refusal, label, namespace, pod_labels, require, spec};

const PLUGIN: &str = "InterPodAffinity";

pub(crate) fn filter(cluster: &Cluster, pod: &Pod, node: &Node) -> Result<(), Refusal> {
    let (near, far) = (required_near(pod), required_far(pod));
    let matching_all = |other: &Pod| near.iter().all(|term| matches(cluster, pod, term, other));
    let all_near = near.iter().all(|term| {
        cluster.placed().any(|(other, on)| matching_all(other) && same_domain(&term.topology_key, on, node))
    });
    let labelled = near.iter().all(|term| label(node, &term.topology_key).is_some());
    // The first of pods that want each other near has to be somewhere.
    let is_first = || {
        let is_near_something = |on: &Node| near.iter().any(|term| label(on, &term.topology_key).is_some());
        !cluster.placed().any(|(other, on)| matching_all(other) && is_near_something(on)) && matching_all(pod)
    };
    require(labelled && (all_near || is_first()), PLUGIN, "node(s) didn't match pod affinity rules", true)?;
    let undesired = far.iter().any(|term| {
        let mut placed = cluster.placed();
        placed.any(|(other, on)| matches(cluster, pod, term, other) && same_domain(&term.topology_key, on, node))
    });
    require(!undesired, PLUGIN, "node(s) didn't match pod anti-affinity rules", false)?;
    let undesirable = cluster.placed().any(|(other, on)| {
        let far = required_far(other);
        far.iter().any(|term| matches(cluster, other, term, pod) && same_domain(&term.topology_key, on, node))
    });
    require(!undesirable, PLUGIN, "node(s) didn't satisfy existing pods anti-affinity rules", false)
}

/// What the pod prefers, and what pods that are there prefer, or require to be near.
pub(crate) fn score(cluster: &Cluster, pod: &Pod, node: &Node) -> i64 {
    let mut sum = 0;
    for (other, on) in cluster.placed() {
        let mut add = |owner: &Pod, term: &PodAffinityTerm, about: &Pod, weight: i32| {
            if matches(cluster, owner, term, about) && same_domain(&term.topology_key, on, node) {
                sum += i64::from(weight);
            }
        };
        for (weight, term) in preferred(pod) {
            add(pod, term, other, weight);
        }
        for (weight, term) in preferred(other) {
            add(other, term, pod, weight);
        }
        for term in required_near(other) {
            add(other, term, pod, 1);
        }
    }
    sum
}

pub(crate) fn normalize(scores: &[i64]) -> Vec<i64> {
    let (least, greatest) = (scores.iter().min().copied().unwrap(), scores.iter().max().copied().unwrap());
    let share = |score: i64| (score - least) as f64 / (greatest - least) as f64;
    scores.iter().map(|score| if greatest > least { (100.0 * share(*score)) as i64 } else { 0 }).collect()
}

/// Whether the other pod is one of those that a term of `owner` is about.
fn matches(cluster: &Cluster, owner: &Pod, term: &PodAffinityTerm, other: &Pod) -> bool {
    let named = term.namespaces.clone().unwrap_or_default();
    let in_namespace = if named.is_empty() && term.namespace_selector.is_none() {
        namespace(other) == namespace(owner)
    } else {
        let selected = selector(term.namespace_selector.as_ref()).matches(&cluster.namespace(namespace(other)));
        named.iter().any(|name| name == namespace(other)) || selected
    };
    in_namespace && selector(term.label_selector.as_ref()).matches(&pod_labels(other))
}

fn selector(selector: Option<&LabelSelector>) -> Selector {
    from_api(selector).unwrap()
}

fn same_domain(key: &str, a: &Node, b: &Node) -> bool {
    label(a, key).is_some() && label(a, key) == label(b, key)
}

fn required_near(pod: &Pod) -> Vec<&PodAffinityTerm> {
    let near = spec(pod).affinity.as_ref().and_then(|affinity| affinity.pod_affinity.as_ref());
    let terms = near.and_then(|near| near.required_during_scheduling_ignored_during_execution.as_ref());
    terms.into_iter().flatten().collect()
}

fn required_far(pod: &Pod) -> Vec<&PodAffinityTerm> {
    let far = spec(pod).affinity.as_ref().and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    let terms = far.and_then(|far| far.required_during_scheduling_ignored_during_execution.as_ref());
    terms.into_iter().flatten().collect()
}

/// Weights, negative for what had better be far, and the terms.
fn preferred(pod: &Pod) -> Vec<(i32, &PodAffinityTerm)> {
    let affinity = spec(pod).affinity.as_ref();
    let near = affinity.and_then(|affinity| affinity.pod_affinity.as_ref());
    let near = near.and_then(|near| near.preferred_during_scheduling_ignored_during_execution.as_ref());
    let far = affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    let far = far.and_then(|far| far.preferred_during_scheduling_ignored_during_execution.as_ref());
    let near = near.into_iter().flatten().map(|term| (term.weight, &term.pod_affinity_term));
    near.chain(far.into_iter().flatten().map(|term| (-term.weight, &term.pod_affinity_term))).collect()
}
