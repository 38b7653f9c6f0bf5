//! Where a pod may go, what is said of every other node, and how good each node is.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use k8s_openapi::api::core::v1::{Node, Pod};

use crate::cluster::{Cluster, Refusal, name, priority, uid};
use crate::{affinity, nodes, resources, spread};

type Filter = fn(&Cluster, &Pod, &Node) -> Result<(), Refusal>;

/// In the order in which they are asked: of those that refuse a node, the first is told of.
const FILTERS: [Filter; 8] = [
    nodes::unschedulable,
    nodes::node_name,
    nodes::taints,
    nodes::affinity,
    resources::ports,
    resources::fit,
    spread::filter,
    affinity::filter,
];

/// Where a pod may go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The nodes that are for the pod, by name.
    pub(crate) feasible: BTreeSet<String>,
    /// The nodes that were tried and are not.
    pub(crate) refusals: BTreeMap<String, Refusal>,
    /// Why no node is tried.
    pub(crate) rejected: Option<String>,
    /// Whether NodeAffinity left only some nodes to be tried.
    pub(crate) narrowed: bool,
}

/// Whether the node is for the pod, both with and without the pods for which room is being made there, and which are no
/// less important.
pub(crate) fn fits(cluster: &Cluster, pod: &Pod, node: &Node) -> Result<(), Refusal> {
    let nominated = cluster.nominated.values().filter(|(_, on)| on == name(node)).map(|(other, _)| other);
    let first: Vec<&Rc<Pod>> =
        nominated.filter(|other| priority(other) >= priority(pod) && uid(other) != uid(pod)).collect();
    if !first.is_empty() {
        fits_now(&cluster.with(first, node), pod, node)?;
    }
    fits_now(cluster, pod, node)
}

fn fits_now(cluster: &Cluster, pod: &Pod, node: &Node) -> Result<(), Refusal> {
    FILTERS.iter().try_for_each(|filter| filter(cluster, pod, node))
}

/// Where the pod may go, if room is being made for it on the node of that name.
pub(crate) fn decide(cluster: &Cluster, pod: &Pod, nominated_node: Option<&str>) -> Outcome {
    let named = nodes::named(pod);
    if named.as_ref().is_some_and(BTreeSet::is_empty) {
        return Outcome { rejected: Some("pod affinity terms conflict".to_owned()), ..Outcome::default() };
    }
    if let Some(node) = nominated_node.and_then(|node| cluster.nodes.get(node))
        && fits(cluster, pod, node).is_ok()
    {
        return Outcome { feasible: BTreeSet::from([name(node).to_owned()]), ..Outcome::default() };
    }
    let mut outcome = Outcome { narrowed: named.is_some(), ..Outcome::default() };
    for (name, node) in &cluster.nodes {
        if named.as_ref().is_some_and(|named| !named.contains(name)) {
            continue;
        }
        match fits(cluster, pod, node) {
            Ok(()) => drop(outcome.feasible.insert(name.clone())),
            Err(refusal) => drop(outcome.refusals.insert(name.clone(), refusal)),
        }
    }
    outcome
}

/// What is said of a pod for which there is no node. `tried` is what was tried in vain to make room.
pub(crate) fn message(cluster: &Cluster, outcome: &Outcome, tried: &str) -> String {
    let told = match &outcome.rejected {
        Some(reason) => reason.clone(),
        None => {
            let reasons = outcome.refusals.values().map(|refusal| refusal.reasons.clone());
            let untried = outcome.narrowed.then_some("node(s) didn't satisfy plugin(s) [NodeAffinity]");
            histogram(reasons, cluster.nodes.len(), untried)
        }
    };
    unavailable(cluster.nodes.len(), &told, tried)
}

/// That none of so many nodes is available.
pub(crate) fn unavailable(nodes: usize, told: &str, tried: &str) -> String {
    if nodes == 0 {
        return "no nodes available to schedule pods".to_owned();
    }
    let told = if told.is_empty() { String::new() } else { format!(" {told}.") };
    let tried = if tried.is_empty() { String::new() } else { format!(" {tried}") };
    format!("0/{nodes} nodes are available:{told}{tried}")
}

/// How many nodes there are for each reason, where `rest` is the reason of those of which nothing else is said.
pub(crate) fn histogram(
    reasons: impl ExactSizeIterator<Item = BTreeSet<String>>,
    nodes: usize,
    rest: Option<&str>,
) -> String {
    let mut counts = BTreeMap::<String, usize>::new();
    let untold = nodes - reasons.len();
    for reason in reasons.flatten() {
        *counts.entry(reason).or_default() += 1;
    }
    if let Some(rest) = rest.filter(|_| untold > 0) {
        *counts.entry(rest.to_owned()).or_default() += untold;
    }
    let mut lines: Vec<_> = counts.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    lines.sort();
    lines.join(", ")
}

/// The scores of one plugin, in the order of the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scores {
    pub(crate) weight: i64,
    /// On the plugin's own scale; none if it does not say.
    pub(crate) raw: Vec<Option<i64>>,
    /// From 0 to 100.
    pub(crate) normalized: Vec<i64>,
}

/// The scores of the nodes, which are those that are for the pod, by plugin.
pub(crate) fn scores(cluster: &Cluster, pod: &Pod, feasible: &[&Node]) -> BTreeMap<&'static str, Scores> {
    let each = |score: &dyn Fn(&Node) -> i64| feasible.iter().map(|node| score(node)).collect::<Vec<_>>();
    let mut scores = BTreeMap::new();
    let mut add = |plugin, weight, raw: Vec<i64>, normalized| {
        let raw = raw.into_iter().map(Some).collect();
        scores.insert(plugin, Scores { weight, raw, normalized });
    };
    let taints = each(&|node| nodes::mild_taints(pod, node));
    add("TaintToleration", 3, taints.clone(), to_scale(&taints, true));
    let preferred = each(&|node| nodes::preferred(pod, node));
    add("NodeAffinity", 2, preferred.clone(), to_scale(&preferred, false));
    let fit = each(&|node| resources::least_allocated(cluster, pod, node));
    add("NodeResourcesFit", 1, fit.clone(), fit);
    let images = each(&|node| resources::images(cluster, pod, node));
    add("ImageLocality", 1, images.clone(), images);
    let near = each(&|node| affinity::score(cluster, pod, node));
    add("InterPodAffinity", 2, near.clone(), affinity::normalize(&near));
    if let Some(balance) =
        feasible.iter().map(|node| resources::balance(cluster, pod, node)).collect::<Option<Vec<_>>>()
    {
        add("NodeResourcesBalancedAllocation", 1, balance.clone(), balance);
    }
    let spread: Option<Vec<_>> = feasible.iter().map(|node| spread::score(cluster, pod, feasible, node)).collect();
    if let Some(raw) = spread {
        let normalized = spread::normalize(&raw);
        scores.insert("PodTopologySpread", Scores { weight: 2, raw, normalized });
    }
    scores
}

/// Scales scores so that the greatest is 100, or, if less is better, so that zero becomes it.
fn to_scale(scores: &[i64], less_is_better: bool) -> Vec<i64> {
    let greatest = scores.iter().copied().max().unwrap_or_default();
    let scale = |score: &i64| if greatest == 0 { 0 } else { 100 * score / greatest };
    scores.iter().map(|score| if less_is_better { 100 - scale(score) } else { scale(score) }).collect()
}

/// The sums of the weighted scores.
pub(crate) fn totals(scores: &BTreeMap<&'static str, Scores>, nodes: usize) -> Vec<i64> {
    let total = |i: usize| scores.values().map(|scores| scores.weight * scores.normalized[i]).sum();
    (0..nodes).map(total).collect()
}
