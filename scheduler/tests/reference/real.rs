//! The scheduler under test, and what it says in the words of the reference.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Node, Pod};
use rand::SeedableRng;
use rand::rngs::StdRng;
use scheduler::config::ExtensionPoint;
use scheduler::cycle::{Attempt, Candidate, Decision, Memory, PostFilter, Profile, Verdict, schedule_with};
use scheduler::snapshot::{NodeIndex, PodInfo, Snapshot};

use crate::cluster::{Refusal, name, uid};
use crate::decision::{Outcome, Scores};
use crate::preemption::{Choice, Help};

/// A scheduler that knows a cluster.
pub(crate) struct Real {
    pub(crate) snapshot: Snapshot,
    profile: Profile,
    random: StdRng,
    start: usize,
    /// Of the decisions before: it must change none.
    memory: Memory,
}

/// What was decided of a pod.
pub(crate) struct Decided {
    pub(crate) decision: Decision,
    /// The name of the node.
    pub(crate) node: Option<String>,
}

impl Real {
    /// Of the default profile, but that all nodes are tried.
    pub(crate) fn new(seed: u64) -> Self {
        let mut profile = Profile::default();
        profile.percentage_of_nodes_to_score = Some(100);
        Self {
            snapshot: Snapshot::default(),
            profile,
            random: StdRng::seed_from_u64(seed),
            start: 0,
            memory: Memory::default(),
        }
    }

    /// Decides where a pod goes, for which room was made on the node of that name.
    pub(crate) fn decide(&mut self, pod: &Pod, nominated_node: Option<&str>) -> Decided {
        let info = PodInfo::new(pod);
        let candidate = Candidate { uid: uid(pod), info: &info, nominated_node };
        let Self { snapshot, profile, random, start, memory } = self;
        let decision = schedule_with(memory, snapshot, profile, &candidate, *start, random);
        self.start = decision.next_start;
        let node = decision.node.map(|node| self.name(node));
        Decided { decision, node }
    }

    fn name(&self, node: NodeIndex) -> String {
        self.snapshot.node(node).name.clone()
    }

    /// The decision, as far as it says of nodes that they are not for the pod; the feasible ones are all others.
    pub(crate) fn outcome(&self, decided: &Decided, feasible: BTreeSet<String>) -> Outcome {
        let verdicts = &decided.decision.verdicts;
        let refusal = |(node, verdict): (&NodeIndex, &Verdict)| {
            let (plugin, reasons) = verdicts.explain(verdict);
            let reasons = reasons.map(str::to_owned).collect();
            (self.name(*node), Refusal { plugin, reasons, unresolvable: verdict.rejection.unresolvable })
        };
        Outcome {
            feasible,
            refusals: verdicts.rejections.iter().map(refusal).collect(),
            rejected: verdicts.rejected.as_ref().map(|(_, reason)| reason.clone()),
            narrowed: verdicts.narrowed == ["NodeAffinity"],
        }
    }

    /// The scores of feasible nodes by plugin; nothing of plugins that do not say.
    pub(crate) fn scores(&self, pod: &Pod, feasible: &[&Node]) -> BTreeMap<&'static str, Scores> {
        let info = PodInfo::new(pod);
        let nodes: Vec<NodeIndex> = feasible.iter().filter_map(|node| self.snapshot.index(name(node))).collect();
        let mut all = BTreeMap::new();
        for (plugin, weight) in self.profile.scores() {
            let Some(judge) = plugin.pre_score(&self.snapshot, &info, &nodes) else { continue };
            let raw: Vec<i64> = nodes.iter().map(|node| judge.score(*node)).collect();
            let mut normalized = raw.clone();
            judge.normalize(&mut normalized);
            all.insert(plugin.name(), Scores { weight, raw: raw.into_iter().map(Some).collect(), normalized });
        }
        all
    }

    /// What can be done for a pod for which it was decided that there is no node.
    pub(crate) fn preempt(&mut self, pod: &Pod, nominated_node: Option<&str>, decided: &Decided) -> Help {
        let info = PodInfo::new(pod);
        let candidate = Candidate { uid: uid(pod), info: &info, nominated_node };
        let verdicts = &decided.decision.verdicts;
        let attempt = Attempt { snapshot: &self.snapshot, profile: &self.profile, pod: &candidate, verdicts };
        let mut plugins = self.profile.at(ExtensionPoint::PostFilter);
        let (memory, random) = (&mut self.memory, &mut self.random);
        let told = plugins.find_map(|plugin| plugin.post_filter_with(memory, &attempt, random));
        match told.expect("DefaultPreemption always knows something") {
            PostFilter::Room { node, victims, violations, .. } => {
                let victims = victims.iter().map(|victim| victim.uid.clone()).collect();
                Help::Room(vec![Choice { node: self.snapshot.node(node).name.clone(), victims, violations }])
            }
            PostFilter::Unhelpful { message, keeps_nomination } => Help::None(message, keeps_nomination),
        }
    }
}
