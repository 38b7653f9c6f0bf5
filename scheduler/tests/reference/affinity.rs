//! InterPodAffinity: which pods want which others near or far.
//!
//! What pods want for which room is being made counts like what pods want that are there; upstream forgets it if nobody
//! else has a wish.

use api::selector::label::{Selector, from_api};
use k8s_openapi::api::core::v1::{Node, Pod, PodAffinityTerm, WeightedPodAffinityTerm};

use crate::cluster::{Cluster, Refusal, label, namespace, require, spec};

const PLUGIN: &str = "InterPodAffinity";

pub(crate) fn filter(cluster: &Cluster, pod: &Pod, node: &Node) -> Result<(), Refusal> {
    let (near, far) = (required_near(pod), required_far(pod));
    let matches_all = |other: &Pod| near.iter().all(|term| term.matches(cluster, other));
    let matching: Vec<&Node> = if near.is_empty() {
        Vec::new()
    } else {
        cluster.placed().filter(|(other, _)| matches_all(other)).map(|(_, on)| on).collect()
    };
    let labelled = near.iter().all(|term| label(node, &term.key).is_some());
    let is_near = near.iter().all(|term| matching.iter().any(|on| term.is_near(on, node)));
    // The first of pods that want each other near has to be somewhere.
    let is_first =
        matches_all(pod) && !near.iter().any(|term| matching.iter().any(|on| label(on, &term.key).is_some()));
    require(labelled && (is_near || is_first), PLUGIN, "node(s) didn't match pod affinity rules", true)?;
    let mut placed = cluster.placed();
    let undesired = !far.is_empty()
        && placed.any(|(other, on)| far.iter().any(|term| term.is_near(on, node) && term.matches(cluster, other)));
    require(!undesired, PLUGIN, "node(s) didn't match pod anti-affinity rules", false)?;
    let undesirable = cluster.placed().any(|(other, on)| {
        let far = required_far(other);
        far.iter().any(|term| term.is_near(on, node) && term.matches(cluster, pod))
    });
    require(!undesirable, PLUGIN, "node(s) didn't satisfy existing pods anti-affinity rules", false)
}

/// What the pod prefers, and what pods that are there prefer, or require to be near.
pub(crate) fn score(cluster: &Cluster, pod: &Pod, node: &Node) -> i64 {
    let own = preferred(pod);
    let mut sum = 0;
    for (other, on) in cluster.placed() {
        let mut add = |weight: i32, term: &Term, about: &Pod| {
            if term.is_near(on, node) && term.matches(cluster, about) {
                sum += i64::from(weight);
            }
        };
        own.iter().for_each(|(weight, term)| add(*weight, term, other));
        preferred(other).iter().for_each(|(weight, term)| add(*weight, term, pod));
        required_near(other).iter().for_each(|term| add(1, term, pod));
    }
    sum
}

pub(crate) fn normalize(scores: &[i64]) -> Vec<i64> {
    let (least, greatest) = (scores.iter().min().copied().unwrap(), scores.iter().max().copied().unwrap());
    let share = |score: i64| (score - least) as f64 / (greatest - least) as f64;
    scores.iter().map(|score| if greatest > least { (100.0 * share(*score)) as i64 } else { 0 }).collect()
}

/// Pods, and how near is near.
struct Term {
    key: String,
    /// Names of namespaces, and which others.
    namespaces: Vec<String>,
    namespace_selector: Selector,
    selector: Selector,
}

impl Term {
    fn new(owner: &Pod, term: &PodAffinityTerm) -> Self {
        let mut namespaces = term.namespaces.clone().unwrap_or_default();
        if namespaces.is_empty() && term.namespace_selector.is_none() {
            namespaces.push(namespace(owner).to_owned());
        }
        Self {
            key: term.topology_key.clone(),
            namespaces,
            namespace_selector: from_api(term.namespace_selector.as_ref()).unwrap(),
            selector: from_api(term.label_selector.as_ref()).unwrap(),
        }
    }

    /// Whether the pod is one of those that the term is about.
    fn matches(&self, cluster: &Cluster, pod: &Pod) -> bool {
        let selected = || self.namespace_selector.matches(&cluster.namespaces.get(namespace(pod)));
        let named = self.namespaces.iter().any(|name| name == namespace(pod));
        (named || selected()) && self.selector.matches(&pod.metadata.labels)
    }

    fn is_near(&self, a: &Node, b: &Node) -> bool {
        label(a, &self.key).is_some() && label(a, &self.key) == label(b, &self.key)
    }
}

fn required_near(pod: &Pod) -> Vec<Term> {
    let near = spec(pod).affinity.as_ref().and_then(|affinity| affinity.pod_affinity.as_ref());
    let terms = near.and_then(|near| near.required_during_scheduling_ignored_during_execution.as_ref());
    terms.into_iter().flatten().map(|term| Term::new(pod, term)).collect()
}

fn required_far(pod: &Pod) -> Vec<Term> {
    let far = spec(pod).affinity.as_ref().and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    let terms = far.and_then(|far| far.required_during_scheduling_ignored_during_execution.as_ref());
    terms.into_iter().flatten().map(|term| Term::new(pod, term)).collect()
}

/// Weights, negative for what had better be far, and the terms.
fn preferred(pod: &Pod) -> Vec<(i32, Term)> {
    let affinity = spec(pod).affinity.as_ref();
    let near = affinity.and_then(|affinity| affinity.pod_affinity.as_ref());
    let near = near.and_then(|near| near.preferred_during_scheduling_ignored_during_execution.as_ref());
    let far = affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    let far = far.and_then(|far| far.preferred_during_scheduling_ignored_during_execution.as_ref());
    let term =
        |sign: i32| move |term: &WeightedPodAffinityTerm| (sign * term.weight, Term::new(pod, &term.pod_affinity_term));
    near.into_iter().flatten().map(term(1)).chain(far.into_iter().flatten().map(term(-1))).collect()
}
