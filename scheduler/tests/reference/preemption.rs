//! DefaultPreemption: who has to go from a node for a pod, and which of several nodes is the best.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::rc::Rc;

use api::selector::label::from_api;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};

use crate::cluster::{Cluster, is_terminating, name, namespace, pod_labels, priority, spec, uid};
use crate::decision::{Outcome, fits, histogram, unavailable};

/// A node, and who has to go from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) node: String,
    /// The most important first.
    pub(crate) victims: Vec<String>,
    /// How many of them budgets protect.
    pub(crate) violations: usize,
}

/// What can be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Help {
    /// One of these, which are equally good.
    Room(Vec<Choice>),
    /// Nothing, for this reason; and whether room is still being made where the pod was nominated.
    None(String, bool),
}

/// What can be done for a pod for which there is no node.
pub(crate) fn preempt(cluster: &Cluster, pod: &Pod, nominated_node: Option<&str>, outcome: &Outcome) -> Help {
    if spec(pod).preemption_policy.as_deref() == Some("Never") {
        return Help::None("preemption: not eligible due to preemptionPolicy=Never.".to_owned(), true);
    }
    if nominated_node.is_some_and(|node| waits(cluster, pod, node, outcome)) {
        return Help::None("preemption: not eligible due to a terminating pod on the nominated node.".to_owned(), true);
    }
    let resolvable = outcome.refusals.iter().filter(|(_, refusal)| !refusal.unresolvable);
    let (mut options, mut reasons) = (Vec::new(), Vec::new());
    for (name, _) in resolvable {
        match victims(cluster, pod, &cluster.nodes[name]) {
            Ok(option) => options.push(option),
            Err(why) => reasons.push(why),
        }
    }
    let costs: Vec<_> = options.iter().map(|option| cost(cluster, option)).collect();
    let Some(least) = costs.iter().min() else {
        let rest = Some("Preemption is not helpful for scheduling");
        let told = histogram(reasons.into_iter(), cluster.nodes.len(), rest);
        return Help::None(format!("preemption: {}", unavailable(cluster.nodes.len(), &told, "")), false);
    };
    let best = options.iter().zip(&costs).filter(|(_, cost)| *cost == least).map(|(option, _)| option.clone());
    Help::Room(best.collect())
}

/// Whether pods are on their way out already from the node where room was made for the pod.
fn waits(cluster: &Cluster, pod: &Pod, node: &str, outcome: &Outcome) -> bool {
    let Some(node) = cluster.nodes.get(node) else { return false };
    let hopeless = match outcome.refusals.get(name(node)) {
        Some(refusal) => refusal.unresolvable,
        // A node of which nothing is said is one that NodeAffinity left out.
        None => true,
    };
    let preempted = |other: &Pod| {
        let mut conditions = other.status.iter().flat_map(|status| status.conditions.iter().flatten());
        is_terminating(other)
            && conditions.any(|condition| {
                condition.type_ == "DisruptionTarget"
                    && condition.status == "True"
                    && condition.reason.as_deref() == Some("PreemptionByScheduler")
            })
    };
    !hopeless && cluster.on(node).any(|other| priority(other) < priority(pod) && preempted(other))
}

/// Who has to go from the node, or why that does not help.
fn victims(cluster: &Cluster, pod: &Pod, node: &Node) -> Result<Choice, BTreeSet<String>> {
    let there = cluster.pods.values().filter(|placed| placed.node == name(node)).map(|placed| &placed.pod);
    let mut lesser: Vec<Rc<Pod>> = there.filter(|other| priority(other) < priority(pod)).cloned().collect();
    if lesser.is_empty() {
        return Err(BTreeSet::from(["No preemption victims found for incoming pod".to_owned()]));
    }
    let mut left = cluster.without(&lesser);
    fits(&left, pod, node).map_err(|refusal| refusal.reasons)?;
    lesser.sort_by_key(|pod| importance(pod));
    let protected = violating(cluster, &lesser);
    let (mut gone, mut violations) = (Vec::new(), 0);
    // Those whose deletion violates a budget have the first chance to stay, then the others; the important first.
    for violates in [true, false] {
        for other in lesser.iter().filter(|other| protected.contains(uid(other)) == violates) {
            let with = left.with([other], node);
            if fits(&with, pod, node).is_ok() {
                left = with;
            } else {
                gone.push(Rc::clone(other));
                violations += usize::from(violates);
            }
        }
    }
    gone.sort_by_key(|pod| importance(pod));
    let victims = gone.iter().map(|pod| uid(pod).to_owned()).collect();
    Ok(Choice { node: name(node).to_owned(), victims, violations })
}

/// The pods whose deletion, in this order, would violate a budget.
fn violating(cluster: &Cluster, pods: &[Rc<Pod>]) -> BTreeSet<String> {
    let mut violating = BTreeSet::new();
    for budget in cluster.budgets.values() {
        let status = budget.status.as_ref();
        let mut left = status.and_then(|status| status.disruptions_allowed).unwrap_or_default();
        let selector = from_api(budget.spec.as_ref().and_then(|spec| spec.selector.as_ref())).unwrap();
        let disrupted = status.and_then(|status| status.disrupted_pods.as_ref());
        for pod in pods {
            let is_disrupted = disrupted.is_some_and(|pods| pods.contains_key(pod.metadata.name.as_ref().unwrap()));
            let protected = budget.metadata.namespace.as_deref() == Some(namespace(pod))
                && !pod_labels(pod).is_empty()
                && !selector.is_everything()
                && selector.matches(&pod.metadata.labels);
            if protected && !is_disrupted {
                left -= 1;
                if left < 0 {
                    violating.insert(uid(pod).to_owned());
                }
            }
        }
    }
    violating
}

/// The less, the more important: a high priority, then an early start. What was not started yet starts now.
fn importance(pod: &Pod) -> (Reverse<i32>, Timestamp) {
    (Reverse(priority(pod)), started(pod))
}

fn started(pod: &Pod) -> Timestamp {
    let start = pod.status.as_ref().and_then(|status| status.start_time.as_ref());
    start.map_or(Timestamp::MAX, |time| time.0)
}

/// The less, the better: violations of budgets, the highest priority, the sum of priorities, how many pods, and when the
/// first of the most important was started, where late is good.
fn cost(cluster: &Cluster, option: &Choice) -> (usize, i32, i64, usize, Reverse<Timestamp>) {
    let pods: Vec<&Pod> = option.victims.iter().map(|uid| &*cluster.pods[uid].pod).collect();
    let highest = pods.iter().map(|pod| priority(pod)).max().unwrap();
    let sum = pods.iter().map(|pod| i64::from(priority(pod)) + i64::from(i32::MAX) + 1).sum();
    let earliest = pods.iter().filter(|pod| priority(pod) == highest).map(|pod| started(pod)).min().unwrap();
    (option.violations, highest, sum, pods.len(), Reverse(earliest))
}
