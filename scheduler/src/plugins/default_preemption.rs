//! DefaultPreemption: room is made for a pod by deleting less important ones, as few and as unimportant as possible, and
//! rather such as no budget protects.
//!
//! Costs, for each node that is looked into, one judgement of the node for each less important pod on it, plus one, unless
//! the outcome is remembered. Nodes are looked into from a random one on, until there are enough to choose from.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use rand::{Rng, RngCore};

use crate::config::ExtensionPoint;
use crate::cycle::{Attempt, Candidate, Cost, Memory, Outlook, Plugin, PostFilter, Search, Verdict, Verdicts, tell};
use crate::snapshot::{Budget, NodeIndex, PlacedPod, Snapshot};

const NO_VICTIMS: &str = "No preemption victims found for incoming pod";
const NOT_HELPFUL: &str = "Preemption is not helpful for scheduling";

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct DefaultPreemption {
    /// To choose from this percentage of the nodes that may help is enough.
    pub min_candidate_nodes_percentage: usize,
    /// But not fewer nodes than this.
    pub min_candidate_nodes_absolute: usize,
}

impl Default for DefaultPreemption {
    fn default() -> Self {
        Self { min_candidate_nodes_percentage: 10, min_candidate_nodes_absolute: 100 }
    }
}

impl Plugin for DefaultPreemption {
    fn name(&self) -> &'static str {
        "DefaultPreemption"
    }

    fn points(&self) -> &'static [ExtensionPoint] {
        &[ExtensionPoint::PostFilter]
    }

    /// Finds the node on which it takes the least to make room for a pod that was found to have no feasible node.
    fn post_filter(&self, attempt: &Attempt<'_>, random: &mut dyn RngCore) -> Option<PostFilter> {
        Some(self.make_room(None, attempt, random))
    }

    fn post_filter_with(
        &self,
        memory: &mut Memory,
        attempt: &Attempt<'_>,
        random: &mut dyn RngCore,
    ) -> Option<PostFilter> {
        Some(self.make_room(Some(memory), attempt, random))
    }
}

impl DefaultPreemption {
    fn make_room(&self, memory: Option<&mut Memory>, attempt: &Attempt<'_>, random: &mut dyn RngCore) -> PostFilter {
        let Attempt { snapshot, profile, pod, verdicts } = *attempt;
        if let Some(reason) = ineligible(snapshot, pod, verdicts) {
            return PostFilter::Unhelpful { message: format!("preemption: {reason}"), keeps_nomination: true };
        }
        let nodes: Vec<NodeIndex> = verdicts.resolvable().collect();
        let mut search = Search::new(snapshot, pod);
        let budgets: Vec<&Budget> = snapshot.budgets().collect();
        let mut unhelpful = Unhelpful::default();
        // Of equally good ones, the first of those that violate no budget, which are the best.
        let mut best: Option<(Cost, NodeIndex)> = None;
        if !nodes.is_empty() {
            let enough = nodes.len() * self.min_candidate_nodes_percentage / 100;
            let enough = enough.max(self.min_candidate_nodes_absolute).min(nodes.len());
            let (before, after) = nodes.split_at(random.random_range(0..nodes.len()));
            search.prepare(profile);
            let said = memory.map(|memory| memory.recall(snapshot, profile, pod.info));
            let mut outlooks = said.map(|said| said.outlooks(snapshot, pod.info.priority));
            let mut options = 0;
            for node in after.iter().chain(before) {
                let known = outlooks.as_mut().filter(|_| search.is_node_local(*node));
                let known = known.map(|outlooks| &mut outlooks[node.get()]);
                let generation = snapshot.generation(*node);
                let outlook = match &known {
                    Some((then, outlook)) if *then == generation => *outlook,
                    _ => choose(&mut search, snapshot, pod, *node, &budgets).into(),
                };
                if let Some(known) = known {
                    *known = (generation, outlook);
                }
                match outlook {
                    Outlook::Room(cost) => {
                        options += 1;
                        if best.is_none_or(|(least, _)| cost < least) {
                            best = Some((cost, *node));
                        }
                    }
                    Outlook::NoVictims => unhelpful.without_victims += 1,
                    Outlook::Rejected(verdict) => unhelpful.add(verdict),
                }
                if options >= enough && best.is_some_and(|((violations, ..), _)| violations == 0) {
                    break;
                }
            }
        }
        let choice = best.map(|(_, node)| choose(&mut search, snapshot, pod, node, &budgets));
        let Some(Ok(Choice { node, victims, violations })) = choice else {
            let message = format!("preemption: {}", unhelpful.message(&search, verdicts.nodes));
            return PostFilter::Unhelpful { message, keeps_nomination: false };
        };
        let nominated = snapshot.nominated(node).iter();
        let displaced = nominated.filter(|other| other.info.priority < pod.info.priority).cloned().collect();
        PostFilter::Room { node, victims, violations, displaced }
    }
}

/// Why the pod may not have room made for it, if so.
fn ineligible(snapshot: &Snapshot, pod: &Candidate<'_>, verdicts: &Verdicts) -> Option<&'static str> {
    if pod.info.never_preempts {
        return Some("not eligible due to preemptionPolicy=Never.");
    }
    let nominated = pod.nominated_node.and_then(|name| snapshot.index(name))?;
    let hopeless = verdicts.rejections.iter().find(|(node, _)| **node == nominated).map_or_else(
        || verdicts.rejected.is_some() || !verdicts.narrowed.is_empty(),
        |(_, verdict)| verdict.rejection.unresolvable,
    );
    let leaving = |victim: &Arc<PlacedPod>| victim.preempted && victim.info.priority < pod.info.priority;
    let waits = !hopeless && snapshot.node(nominated).pods.iter().any(leaving);
    waits.then_some("not eligible due to a terminating pod on the nominated node.")
}

/// A node, and who has to go from there.
struct Choice {
    node: NodeIndex,
    victims: Vec<Arc<PlacedPod>>,
    violations: usize,
}

impl Choice {
    fn cost(&self) -> Cost {
        let highest = self.victims.first().map_or(i32::MIN, |victim| victim.info.priority);
        // No priority counts as less than none, lest many unimportant pods be fewer than few.
        let sum = self.victims.iter().map(|victim| i64::from(victim.info.priority) - i64::from(i32::MIN)).sum();
        let highest_victims = self.victims.iter().filter(|victim| victim.info.priority == highest);
        let earliest = highest_victims.map(|victim| started(victim)).min().unwrap_or(Timestamp::MAX);
        (self.violations, highest, sum, self.victims.len(), Reverse(earliest))
    }
}

impl From<Result<Choice, Option<Verdict>>> for Outlook {
    fn from(choice: Result<Choice, Option<Verdict>>) -> Self {
        match choice {
            Ok(choice) => Self::Room(choice.cost()),
            Err(None) => Self::NoVictims,
            Err(Some(verdict)) => Self::Rejected(verdict),
        }
    }
}

/// Pods that were not started yet count as if they were started just now.
fn started(pod: &PlacedPod) -> Timestamp {
    pod.started.unwrap_or(Timestamp::MAX)
}

/// The most important first: that of the highest priority, or that which has been running for longest.
fn sort_by_importance(pods: &mut [&Arc<PlacedPod>]) {
    pods.sort_by_key(|pod| (Reverse(pod.info.priority), started(pod)));
}

/// Who has to go from the node, or why that does not help, unless because nobody can. The search then judges as it did
/// before.
fn choose(
    search: &mut Search<'_>,
    snapshot: &Snapshot,
    pod: &Candidate<'_>,
    node: NodeIndex,
    budgets: &[&Budget],
) -> Result<Choice, Option<Verdict>> {
    let lesser = snapshot.node(node).pods.iter().filter(|other| other.info.priority < pod.info.priority);
    let mut lesser: Vec<&Arc<PlacedPod>> = lesser.collect();
    if lesser.is_empty() {
        return Err(None);
    }
    lesser.iter().for_each(|other| search.remove(other));
    if let Err(verdict) = search.judge(node) {
        lesser.iter().for_each(|other| search.add(other));
        return Err(Some(verdict));
    }
    sort_by_importance(&mut lesser);
    let (protected, others) = partition(lesser, budgets);
    let mut victims = Vec::new();
    let mut violations = 0;
    let count = protected.len();
    // The protected and the important have the first chance to stay.
    for (position, other) in protected.into_iter().chain(others).enumerate() {
        search.add(other);
        if search.judge(node).is_err() {
            search.remove(other);
            violations += usize::from(position < count);
            victims.push(other);
        }
    }
    victims.iter().for_each(|victim| search.add(victim));
    sort_by_importance(&mut victims);
    Ok(Choice { node, victims: victims.into_iter().cloned().collect(), violations })
}

/// The pods whose deletion, in this order, would violate budgets, and the others.
fn partition<'a>(
    pods: Vec<&'a Arc<PlacedPod>>,
    budgets: &[&Budget],
) -> (Vec<&'a Arc<PlacedPod>>, Vec<&'a Arc<PlacedPod>>) {
    if budgets.is_empty() {
        return (Vec::new(), pods);
    }
    let mut left: Vec<i64> = budgets.iter().map(|budget| budget.allowed).collect();
    let mut violates = |pod: &Arc<PlacedPod>| {
        let mut violated = false;
        for (left, _) in left.iter_mut().zip(budgets).filter(|(_, budget)| budget.protects(pod)) {
            *left -= 1;
            violated |= *left < 0;
        }
        violated
    };
    pods.into_iter().partition(|pod| violates(pod))
}

/// Why nodes that were looked into do not help.
#[derive(Default)]
struct Unhelpful {
    without_victims: usize,
    /// Different verdicts, and of how many nodes each is.
    rejected: Vec<(Verdict, usize)>,
}

impl Unhelpful {
    fn add(&mut self, verdict: Verdict) {
        match self.rejected.iter_mut().find(|(known, _)| *known == verdict) {
            Some((_, count)) => *count += 1,
            None => self.rejected.push((verdict, 1)),
        }
    }

    /// That no node helps.
    fn message(&self, search: &Search<'_>, nodes: usize) -> String {
        let told = self.rejected.iter().map(|(verdict, count)| (search.reasons(verdict), *count));
        let told: Vec<(Vec<String>, usize)> = told.collect();
        let mut counts = BTreeMap::<&str, usize>::new();
        let looked_into = self.without_victims + told.iter().map(|(_, count)| count).sum::<usize>();
        for (reasons, count) in &told {
            reasons.iter().for_each(|reason| *counts.entry(reason).or_default() += count);
        }
        for (reason, count) in [(NO_VICTIMS, self.without_victims), (NOT_HELPFUL, nodes.saturating_sub(looked_into))] {
            if count > 0 {
                *counts.entry(reason).or_default() += count;
            }
        }
        tell(nodes, &counts)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use k8s_openapi::api::policy::v1::PodDisruptionBudget;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use serde_json::{Value, json};

    use super::*;
    use crate::cycle::{Profile, schedule};
    use crate::snapshot::PodInfo;
    use crate::testing::{self, requesting};

    /// A pod of `cpu` whole processors, started in second `priority.1`, with a label `app` that is its name.
    fn pod(name: &str, cpu: u8, (priority, start): (i32, i64)) -> Pod {
        let mut spec = requesting(json!({"cpu": cpu.to_string()}));
        spec["priority"] = json!(priority);
        let mut pod = testing::pod(name, spec);
        pod.metadata.labels = Some([("app".to_owned(), name[..1].to_owned())].into());
        let time = jiff::Timestamp::from_second(start).unwrap();
        pod.status = Some(testing::object(json!({ "startTime": time })));
        pod
    }

    fn budget(app: &str, allowed: i32) -> PodDisruptionBudget {
        testing::object(json!({
            "metadata": {"name": app, "namespace": "default"},
            "spec": {"selector": {"matchLabels": {"app": app}}},
            "status": {"disruptionsAllowed": allowed, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1},
        }))
    }

    fn preempt(snapshot: &Snapshot, wanted: &Pod, seed: u64) -> (PostFilter, Verdicts) {
        let info = PodInfo::new(wanted);
        let nominated_node = wanted.status.as_ref().and_then(|status| status.nominated_node_name.as_deref());
        let candidate = Candidate { uid: "wanted", info: &info, nominated_node };
        let (profile, mut random) = (Profile::default(), StdRng::seed_from_u64(seed));
        let decision = schedule(snapshot, &profile, &candidate, 0, &mut random);
        assert_eq!(decision.node, None, "there is room");
        let plugin = DefaultPreemption::default();
        let attempt = Attempt { snapshot, profile: &profile, pod: &candidate, verdicts: &decision.verdicts };
        let outcome = plugin.make_room(None, &attempt, &mut random);
        (outcome, decision.verdicts)
    }

    /// Where room is made for a pod of priority 10 on nodes of 4 processors, and who has to go, wherever the search starts.
    fn check(pods: &[(&str, Pod)], cpu: u8, budgets: &[PodDisruptionBudget], expected: (&str, &[&str], usize)) {
        let nodes = ["n1", "n2"].map(|name| testing::node(name, json!({})));
        let mut snapshot = testing::snapshot(&nodes, pods);
        budgets.iter().for_each(|budget| snapshot.set_budget(budget));
        for seed in 0..4 {
            let (outcome, _) = preempt(&snapshot, &pod("wanted", cpu, (10, 0)), seed);
            let PostFilter::Room { node, victims, violations, .. } = outcome else { panic!("{outcome:?}") };
            let victims: Vec<_> = victims.iter().map(|victim| victim.uid.as_str()).collect();
            assert_eq!((snapshot.node(node).name.as_str(), victims.as_slice(), violations), expected);
        }
    }

    #[test]
    fn as_little_as_possible_is_lost() {
        let full = |name| ("n2", pod(name, 4, (20, 0)));
        // Only who has to go goes, and rather the less important.
        check(&[("n1", pod("a", 2, (1, 0))), ("n1", pod("b", 2, (2, 0))), full("z")], 2, &[], ("n1", &["a"], 0));
        check(&[("n1", pod("a", 2, (1, 0))), ("n1", pod("b", 2, (2, 0))), full("z")], 3, &[], ("n1", &["b", "a"], 0));
        check(&[("n1", pod("a", 2, (1, 5))), ("n1", pod("b", 2, (1, 4))), full("z")], 2, &[], ("n1", &["a"], 0));
        // Nodes: the lowest highest priority, then the least sum, then the fewest, then the shortest running.
        let one = |name, node, priority| (node, pod(name, 4, priority));
        check(&[one("a", "n1", (3, 0)), one("b", "n2", (2, 0))], 4, &[], ("n2", &["b"], 0));
        let two = [("n1", pod("a", 2, (2, 0))), ("n1", pod("b", 2, (1, 0))), one("c", "n2", (2, 0))];
        check(&two, 4, &[], ("n2", &["c"], 0));
        check(&[one("a", "n1", (2, 5)), one("b", "n2", (2, 6))], 4, &[], ("n2", &["b"], 0));
        check(&[one("a", "n1", (-5, 0)), one("b", "n2", (-5, 1))], 4, &[], ("n2", &["b"], 0));
    }

    #[test]
    fn budgets_are_respected_as_far_as_possible() {
        let pods = [("n1", pod("a", 4, (1, 0))), ("n2", pod("b", 4, (5, 0)))];
        check(&pods, 4, &[], ("n1", &["a"], 0));
        check(&pods, 4, &[budget("a", 1)], ("n1", &["a"], 0));
        check(&pods, 4, &[budget("a", 0)], ("n2", &["b"], 0));
        check(&pods, 4, &[budget("a", 0), budget("b", 0)], ("n1", &["a"], 1));
        // On a node, the protected stays rather than the important.
        let pods = [("n1", pod("a", 2, (1, 0))), ("n1", pod("b", 2, (2, 0))), ("n2", pod("z", 4, (20, 0)))];
        check(&pods, 2, &[budget("a", 0)], ("n1", &["b"], 0));
        // One of two may go.
        let pods = [("n1", pod("a1", 2, (1, 0))), ("n1", pod("a2", 2, (2, 0))), ("n2", pod("z", 4, (20, 0)))];
        check(&pods, 4, &[budget("a", 1)], ("n1", &["a2", "a1"], 1));
    }

    #[test]
    fn what_is_remembered_ends_with_what_it_follows_from() {
        let nodes = ["n1", "n2"].map(|name| testing::node(name, json!({})));
        let pods = [("n1", pod("a", 4, (1, 0))), ("n2", pod("b", 4, (5, 0)))];
        let (mut snapshot, mut memory) = (testing::snapshot(&nodes, &pods), Memory::default());
        let (profile, mut random) = (Profile::default(), StdRng::seed_from_u64(0));
        let mut check = |snapshot: &Snapshot, priority, expected: &str| {
            let info = PodInfo::new(&pod("wanted", 4, (priority, 0)));
            let candidate = Candidate { uid: "wanted", info: &info, nominated_node: None };
            let decision = schedule(snapshot, &profile, &candidate, 0, &mut random);
            let attempt = Attempt { snapshot, profile: &profile, pod: &candidate, verdicts: &decision.verdicts };
            let outcome = DefaultPreemption::default().post_filter_with(&mut memory, &attempt, &mut random);
            let Some(PostFilter::Room { node, .. }) = outcome else { panic!("{outcome:?}") };
            assert_eq!(snapshot.node(node).name, expected, "{priority}");
        };
        check(&snapshot, 10, "n1");
        snapshot.set_budget(&budget("a", 0));
        check(&snapshot, 10, "n2");
        check(&snapshot, 4, "n1");
        check(&snapshot, 10, "n2");
        snapshot.remove_budget("default", "a");
        check(&snapshot, 10, "n1");
        snapshot.assume(&pod("a", 4, (6, 0)), "n1");
        check(&snapshot, 10, "n2");
    }

    #[test]
    fn what_does_not_help_is_said() {
        let check = |spec: Value, expected: &str| {
            let nodes =
                ["n1", "n2", "n3"].map(|name| testing::node(name, json!({"metadata": {"labels": {"zone": name}}})));
            let pods = [("n1", pod("a", 4, (20, 0))), ("n2", pod("b", 2, (20, 0))), ("n2", pod("c", 2, (1, 0)))];
            let snapshot = testing::snapshot(&nodes, &pods);
            let mut wanted = testing::pod("wanted", spec);
            wanted.spec.as_mut().unwrap().priority = Some(10);
            let (outcome, verdicts) = preempt(&snapshot, &wanted, 0);
            let PostFilter::Unhelpful { message, .. } = outcome else { panic!("{outcome:?}") };
            assert_eq!(verdicts.message(&message), expected);
        };
        let mut spec = requesting(json!({"cpu": "3"}));
        spec["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["n3"]}]}],
        }}});
        let some = "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 2 Insufficient cpu. \
                    preemption: 0/3 nodes are available: 1 Insufficient cpu, 1 No preemption victims found for incoming \
                    pod, 1 Preemption is not helpful for scheduling.";
        check(spec.clone(), some);
        spec["preemptionPolicy"] = json!("Never");
        let never = "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 2 Insufficient cpu. \
                     preemption: not eligible due to preemptionPolicy=Never.";
        check(spec, never);
        let never_that_much = "0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available: 3 \
                               Preemption is not helpful for scheduling.";
        check(requesting(json!({"cpu": "5"})), never_that_much);
    }

    #[test]
    fn room_is_made_once() {
        let nodes = [testing::node("n1", json!({}))];
        let mut leaving = pod("a", 4, (1, 0));
        leaving.metadata.deletion_timestamp = Some(testing::object(json!("2030-01-01T00:00:00Z")));
        let reason = json!({"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"});
        leaving.status.as_mut().unwrap().conditions = Some(vec![testing::object(reason)]);
        let mut snapshot = testing::snapshot(&nodes, &[("n1", leaving)]);
        snapshot.nominate(&pod("lesser", 1, (5, 0)), "n1");
        let mut wanted = pod("wanted", 4, (10, 0));
        let (outcome, _) = preempt(&snapshot, &wanted, 0);
        let PostFilter::Room { displaced, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!(displaced.iter().map(|pod| pod.uid.as_str()).collect::<Vec<_>>(), ["lesser"]);
        wanted.status.as_mut().unwrap().nominated_node_name = Some("n1".to_owned());
        let (outcome, _) = preempt(&snapshot, &wanted, 0);
        let message = "preemption: not eligible due to a terminating pod on the nominated node.".to_owned();
        assert_eq!(outcome, PostFilter::Unhelpful { message, keeps_nomination: true });
    }
}
