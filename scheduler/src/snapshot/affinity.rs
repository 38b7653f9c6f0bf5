//! Which pods a pod wants near it or far from it, and how evenly it wants to be spread among them.

use std::collections::{BTreeMap, BTreeSet};

use api::selector::label::{self, Operator, Requirement, Selector};
use k8s_openapi::api::core::v1::{
    Affinity, PodAffinityTerm, PodSpec, TopologySpreadConstraint, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::{PlacedPod, PodInfo};

/// The labels of namespaces, by name.
pub type Namespaces = BTreeMap<String, BTreeMap<String, String>>;

/// Which pods are meant: those with these labels in these namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodSet {
    namespaces: BTreeSet<String>,
    namespace_selector: Selector,
    selector: Selector,
}

impl PodSet {
    /// The pods in a namespace that are selected.
    pub(super) fn in_namespace(namespace: &str, selector: Selector) -> Self {
        let namespaces = BTreeSet::from([namespace.to_owned()]);
        Self { namespaces, namespace_selector: Selector::Nothing, selector }
    }

    /// Whether the pod is one of them.
    #[must_use]
    pub fn contains(&self, pod: &PodInfo, namespaces: &Namespaces) -> bool {
        self.contains_labelled(&pod.namespace, &pod.labels, namespaces)
    }

    /// Whether a pod with these labels in this namespace is one of them.
    pub(super) fn contains_labelled(
        &self,
        namespace: &str,
        labels: &BTreeMap<String, String>,
        namespaces: &Namespaces,
    ) -> bool {
        let no_labels = BTreeMap::new();
        let in_namespace = || {
            self.namespaces.contains(namespace)
                || self.namespace_selector.matches(namespaces.get(namespace).unwrap_or(&no_labels))
        };
        in_namespace() && self.selector.matches(labels)
    }

    /// The namespaces of the pods, if they are named.
    pub(super) fn named_namespaces(&self) -> Option<&BTreeSet<String>> {
        self.namespace_selector.is_nothing().then_some(&self.namespaces)
    }

    /// Whether it is of matter which labels namespaces have.
    pub(super) fn asks_namespaces(&self) -> bool {
        !self.namespace_selector.is_nothing() && !self.namespace_selector.is_everything()
    }
}

/// Pods that are counted by node: those that all of the sets contain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Query {
    /// The sets. No pod is in none of none.
    pub sets: Vec<PodSet>,
    /// Whether pods that are being deleted do not count.
    pub living: bool,
}

impl Query {
    /// Labels that every pod that counts has.
    pub(super) fn exact_labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let requirements = self.sets.iter().flat_map(|set| set.selector.requirements());
        requirements.filter_map(|requirement| match (requirement.operator(), requirement.values()) {
            (Operator::Equals | Operator::DoubleEquals | Operator::In, [value]) => {
                Some((requirement.key(), value.as_str()))
            }
            _ => None,
        })
    }

    /// The namespaces in which pods count, if they count in no others.
    pub(super) fn only_namespaces(&self) -> Option<&BTreeSet<String>> {
        let bound = self.sets.iter().filter(|set| set.namespace_selector.is_nothing());
        bound.map(|set| &set.namespaces).min_by_key(|namespaces| namespaces.len())
    }

    /// Whether the pod counts, unless because it is being deleted.
    #[must_use]
    pub fn contains(&self, pod: &PodInfo, namespaces: &Namespaces) -> bool {
        !self.sets.is_empty() && self.sets.iter().all(|set| set.contains(pod, namespaces))
    }

    /// Whether the pod counts.
    #[must_use]
    pub fn counts(&self, pod: &PlacedPod, namespaces: &Namespaces) -> bool {
        !(self.living && pod.terminating) && self.contains(&pod.info, namespaces)
    }
}

/// Pods, and how near is near.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AffinityTerm {
    /// The pods.
    pub pods: PodSet,
    /// The label that nodes near each other have the same value of.
    pub topology_key: String,
}

/// How evenly a pod wants to be spread.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SpreadConstraint {
    /// Among which pods, and whether there is any choice.
    pub query: Query,
    /// Whether the pod itself is one of those among which it is spread.
    pub contains_self: bool,
    /// The label whose values are the domains.
    pub topology_key: String,
    /// How many more pods than the emptiest a domain may have.
    pub max_skew: i64,
    /// If there are fewer domains, one more counts, which is empty.
    pub min_domains: usize,
    /// Whether the pod rather waits than be spread unevenly.
    pub required: bool,
    /// Whether nodes that the pod's node affinity excludes do not count.
    pub honors_affinity: bool,
    /// Whether nodes whose taints the pod does not tolerate do not count.
    pub honors_taints: bool,
}

impl SpreadConstraint {
    /// Those of pods that do not say how they are spread, unless the configuration says how, among no pods so far.
    pub(crate) fn system() -> [Self; 2] {
        let [host, zone] = super::DEFAULT_TOPOLOGIES;
        [Self::preferred(host, 3), Self::preferred(zone, 5)]
    }

    /// One that is preferred, among no pods so far.
    fn preferred(topology_key: &str, max_skew: i64) -> Self {
        Self {
            query: Query { sets: Vec::new(), living: true },
            contains_self: false,
            topology_key: topology_key.to_owned(),
            max_skew,
            min_domains: 1,
            required: false,
            honors_affinity: true,
            honors_taints: false,
        }
    }

    /// One of a configuration, among no pods so far.
    pub(crate) fn unbound(constraint: &TopologySpreadConstraint) -> Self {
        let query = Query { sets: Vec::new(), living: true };
        Self::read(constraint, query, false)
    }

    /// Whether pods are counted in its domains; if not, each node's own are looked at.
    #[must_use]
    pub fn is_tallied(&self) -> bool {
        self.required || self.topology_key != super::DEFAULT_TOPOLOGIES[0]
    }

    fn read(constraint: &TopologySpreadConstraint, query: Query, contains_self: bool) -> Self {
        Self {
            query,
            contains_self,
            topology_key: constraint.topology_key.clone(),
            max_skew: constraint.max_skew.into(),
            min_domains: constraint.min_domains.and_then(|least| usize::try_from(least).ok()).unwrap_or(1),
            required: constraint.when_unsatisfiable == "DoNotSchedule",
            honors_affinity: constraint.node_affinity_policy.as_deref() != Some("Ignore"),
            honors_taints: constraint.node_taints_policy.as_deref() == Some("Honor"),
        }
    }
}

/// Terms of inter-pod affinity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PodAffinities {
    /// What must be near.
    pub required: Vec<AffinityTerm>,
    /// What must not be near.
    pub forbidden: Vec<AffinityTerm>,
    /// What had better be near; if the weight is negative, not near.
    pub preferred: Vec<(i64, AffinityTerm)>,
}

impl PodAffinities {
    pub(super) fn new(namespace: &str, affinity: Option<&Affinity>) -> Self {
        let near = affinity.and_then(|affinity| affinity.pod_affinity.as_ref());
        let far = affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref());
        let all = |terms: Option<&Vec<PodAffinityTerm>>| {
            terms.into_iter().flatten().map(|read| term(namespace, read)).collect()
        };
        let weighted = |terms: Option<&Vec<WeightedPodAffinityTerm>>, sign: i64| {
            let read = |read: &WeightedPodAffinityTerm| {
                (sign * i64::from(read.weight), term(namespace, &read.pod_affinity_term))
            };
            terms.into_iter().flatten().map(read).collect::<Vec<_>>()
        };
        let mut preferred =
            weighted(near.and_then(|near| near.preferred_during_scheduling_ignored_during_execution.as_ref()), 1);
        preferred.extend(weighted(
            far.and_then(|far| far.preferred_during_scheduling_ignored_during_execution.as_ref()),
            -1,
        ));
        Self {
            required: all(near.and_then(|near| near.required_during_scheduling_ignored_during_execution.as_ref())),
            forbidden: all(far.and_then(|far| far.required_during_scheduling_ignored_during_execution.as_ref())),
            preferred,
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.required.is_empty() && self.forbidden.is_empty() && self.preferred.is_empty()
    }

    /// The pods that all required terms are about.
    #[must_use]
    pub fn required_query(&self) -> Query {
        Query { sets: self.required.iter().map(|term| term.pods.clone()).collect(), living: false }
    }
}

impl AffinityTerm {
    /// The pods that the term is about.
    #[must_use]
    pub fn query(&self) -> Query {
        Query { sets: vec![self.pods.clone()], living: false }
    }
}

/// What an object's selector selects; nothing if it is not valid.
fn selector(selector: Option<&LabelSelector>) -> Selector {
    label::from_api(selector).unwrap_or(Selector::Nothing)
}

fn term(namespace: &str, term: &PodAffinityTerm) -> AffinityTerm {
    let mut namespaces: BTreeSet<String> = term.namespaces.iter().flatten().cloned().collect();
    if namespaces.is_empty() && term.namespace_selector.is_none() {
        namespaces.insert(namespace.to_owned());
    }
    let namespace_selector = selector(term.namespace_selector.as_ref());
    let pods = PodSet { namespaces, namespace_selector, selector: selector(term.label_selector.as_ref()) };
    AffinityTerm { pods, topology_key: term.topology_key.clone() }
}

pub(super) fn spread(namespace: &str, labels: &BTreeMap<String, String>, spec: &PodSpec) -> Vec<SpreadConstraint> {
    let read = |constraint: &TopologySpreadConstraint| {
        let mut selector = selector(constraint.label_selector.as_ref());
        let same = constraint.match_label_keys.iter().flatten().filter_map(|key| {
            let value = labels.get(key)?.clone();
            Requirement::new(key, Operator::Equals, vec![value], &api::field::Path::nil()).ok()
        });
        selector = selector.with(same);
        let contains_self = selector.matches(labels);
        // Upstream counts no pods if all are selected, though the pod itself counts.
        let counted = if selector.is_everything() { Selector::Nothing } else { selector };
        let query = Query { sets: vec![PodSet::in_namespace(namespace, counted)], living: true };
        SpreadConstraint::read(constraint, query, contains_self)
    };
    spec.topology_spread_constraints.iter().flatten().map(read).collect()
}
