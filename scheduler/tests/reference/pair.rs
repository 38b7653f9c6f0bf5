//! The scheduler and the reference side by side.

use k8s_openapi::api::core::v1::{Node, Pod};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use scheduler::snapshot::PodInfo;

use crate::cluster::Cluster;
use crate::decision::{self, Outcome, Scores};
use crate::events::{self, Object, State};
use crate::preemption::{self, Help};
use crate::real::{Decided, Real};
use crate::steps::{Action, Step};

/// Both at the same cluster.
pub(crate) struct Pair {
    real: Real,
    cluster: Cluster,
    templates: Vec<Object<Pod>>,
    /// The number of the next pod that is decided on.
    next: usize,
}

impl Pair {
    /// Lets all of this happen to an empty cluster.
    pub(crate) fn run(templates: Vec<Object<Pod>>, steps: &[Step], seed: u64) -> TestCaseResult {
        let mut pair = Self { real: Real::new(seed), cluster: Cluster::default(), templates, next: 100 };
        steps.iter().try_for_each(|Step(action)| pair.act(action))
    }

    fn act(&mut self, action: &Action) -> TestCaseResult {
        match action {
            Action::Change(change) => {
                events::apply(change, &self.templates, &mut self.real.snapshot, &mut self.cluster);
            }
            Action::Decide { template, times, watch, named, nominated, preempt } => {
                if *watch {
                    self.real.snapshot.watch(&PodInfo::new(&self.templates[*template].0));
                }
                for i in 0..*times {
                    let pod = events::make(&self.templates[*template].0, self.next, *named, State::Running);
                    self.next += 1;
                    self.decide_on(&pod, nominated.filter(|_| i == 0), *preempt)?;
                }
            }
        }
        Ok(())
    }

    /// Decides on a pod, which then is where it was decided that it goes.
    fn decide_on(&mut self, pod: &Pod, nominated: Option<&str>, preempt: bool) -> TestCaseResult {
        if let Some(node) = nominated {
            events::nominate(pod, node, &mut self.real.snapshot, &mut self.cluster);
        }
        let expected = decision::decide(&self.cluster, pod, nominated);
        let decided = self.real.decide(pod, nominated);
        prop_assert_eq!(&self.real.outcome(&decided, expected.feasible.clone()), &expected);
        prop_assert_eq!(decided.decision.feasible, expected.feasible.len());
        prop_assert_eq!(decided.decision.evaluated, expected.feasible.len() + expected.refusals.len());
        match decided.node.as_deref() {
            Some(node) => {
                self.check_choice(pod, node, &expected)?;
                if pod.spec.as_ref().unwrap().node_name.is_none() {
                    events::assume(pod, node, &mut self.real.snapshot, &mut self.cluster);
                }
            }
            None => {
                prop_assert!(expected.feasible.is_empty());
                self.check_preemption(pod, nominated, &decided, &expected, preempt)?;
            }
        }
        Ok(())
    }

    /// The node is one of the best, and every plugin says of every node how good it is.
    fn check_choice(&self, pod: &Pod, node: &str, expected: &Outcome) -> TestCaseResult {
        prop_assert!(expected.feasible.contains(node), "{} of {:?}", node, expected.feasible);
        let nodes: Vec<&Node> = expected.feasible.iter().map(|name| &*self.cluster.nodes[name]).collect();
        let scores = decision::scores(&self.cluster, pod, &nodes);
        let real = self.real.scores(pod, &nodes);
        for (plugin, expected) in &scores {
            match real.get(plugin) {
                Some(told) => prop_assert!(agree(told, expected), "{}: {:?} instead of {:?}", plugin, told, expected),
                None => prop_assert!(is_uniform(&expected.normalized), "{} says nothing of {:?}", plugin, expected),
            }
        }
        prop_assert!(real.keys().all(|plugin| scores.contains_key(plugin)), "{:?} and {:?}", real, scores);
        let totals = decision::totals(&scores, nodes.len());
        let position = expected.feasible.iter().position(|name| name == node).unwrap();
        prop_assert_eq!(Some(&totals[position]), totals.iter().max(), "{} of {:?} by {:?}", node, expected, scores);
        Ok(())
    }

    fn check_preemption(
        &mut self,
        pod: &Pod,
        nominated: Option<&str>,
        decided: &Decided,
        outcome: &Outcome,
        preempt: bool,
    ) -> TestCaseResult {
        if self.cluster.nodes.is_empty() {
            // Then nobody asks what can be done.
            prop_assert_eq!(decided.decision.verdicts.message(""), "no nodes available to schedule pods");
            return Ok(());
        }
        let expected = preemption::preempt(&self.cluster, pod, nominated, outcome);
        let told = self.real.preempt(pod, nominated, decided);
        let tried = match &expected {
            Help::None(message, _) => message.as_str(),
            Help::Room(_) => "",
        };
        let message = decision::message(&self.cluster, outcome, tried);
        prop_assert_eq!(decided.decision.verdicts.message(tried), message);
        let (Help::Room(best), Help::Room(choice)) = (&expected, &told) else {
            prop_assert_eq!(told, expected);
            return Ok(());
        };
        prop_assert!(best.contains(&choice[0]), "{:?} instead of one of {:?}", choice, best);
        if preempt {
            for victim in &choice[0].victims {
                let mut victim = (*self.cluster.pods[victim].pod).clone();
                victim.spec.as_mut().unwrap().node_name = Some(choice[0].node.clone());
                events::set_state(&mut victim, State::Preempted);
                events::set_pod_in(&victim, &mut self.real.snapshot, &mut self.cluster);
            }
            events::nominate(pod, &choice[0].node, &mut self.real.snapshot, &mut self.cluster);
        }
        Ok(())
    }
}

/// Whether the scores are the same, where those that the reference does not know are of no matter.
fn agree(told: &Scores, expected: &Scores) -> bool {
    let raw = told.raw.iter().zip(&expected.raw).all(|(told, expected)| expected.is_none() || told == expected);
    raw && told.weight == expected.weight && told.normalized == expected.normalized
}

fn is_uniform(scores: &[i64]) -> bool {
    scores.iter().all(|score| *score == scores[0])
}
