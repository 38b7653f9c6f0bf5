//! One attempt to schedule a pod: decide, and note what was decided.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

use super::decisions::{Outcome, Record};
use super::effect::{Effect, Nomination, Reason};
use super::{Engine, nominations, uid};
use crate::config::ExtensionPoint;
use crate::cycle::{Attempt, Candidate, Decision, PostFilter, Profile, schedule_with};
use crate::queue::{QueuedPod, Refusal};
use crate::snapshot::{NodeIndex, PlacedPod, PodInfo};

/// What is tried for a pod for which there is no node.
enum Remedy {
    Room { node: NodeIndex, victims: Vec<Arc<PlacedPod>>, displaced: Vec<Arc<PlacedPod>> },
    None { message: String, keeps_nomination: bool },
}

impl Engine {
    /// Tries up to so many pods whose turn it is, and says everything that is to be done since the last time.
    pub fn step(&mut self, most: usize, now: Duration) -> Vec<Effect> {
        self.continue_bindings(now);
        for _ in 0..most {
            let Some(queued) = self.queue.pop(now) else { break };
            self.attempt(&queued, now);
        }
        std::mem::take(&mut self.effects)
    }

    fn attempt(&mut self, queued: &QueuedPod, now: Duration) {
        let pod = &queued.pod;
        let uid = uid(pod);
        let Some(profile) = self.profile(pod) else { return self.queue.done(uid) };
        if pod.metadata.deletion_timestamp.is_some() {
            self.effects.push(Effect::Skipped { pod: Arc::clone(pod) });
            return self.queue.done(uid);
        }
        if self.snapshot.pod(uid).is_some() {
            // It has a node already, and what said otherwise was old.
            return self.queue.done(uid);
        }
        let info = PodInfo::new(pod);
        self.snapshot.watch(&info);
        let nominated = self.nominations.of(uid).map(str::to_owned);
        let candidate = Candidate { uid, info: &info, nominated_node: nominated.as_deref() };
        let random = &mut self.random;
        let decision = schedule_with(&mut self.memory, &self.snapshot, &profile, &candidate, self.start, random);
        self.start = decision.next_start;
        if let Some(node) = decision.node {
            let name = self.snapshot.node(node).name.clone();
            self.note(pod, Outcome::Scheduled(name.clone()), decision, now);
            self.begin_binding(pod, &candidate, &profile, (node, name), now);
        } else {
            self.refuse(pod, &profile, &candidate, decision, now);
        }
    }

    /// There is no node for the pod.
    fn refuse(
        &mut self,
        pod: &Arc<Pod>,
        profile: &Profile,
        candidate: &Candidate<'_>,
        decision: Decision,
        now: Duration,
    ) {
        let uid = candidate.uid;
        let unschedulable_plugins: BTreeSet<_> = decision.verdicts.plugins().into_iter().collect();
        let refusal = Refusal { unschedulable_plugins, ..Refusal::default() };
        let (message, nomination) = match self.remedy(profile, candidate, &decision) {
            Remedy::Room { node, victims, displaced } => {
                let name = self.snapshot.node(node).name.clone();
                self.nominations.set(&mut self.snapshot, pod, &name);
                displaced.iter().for_each(|displaced| self.withdraw(&displaced.uid, now));
                victims.iter().for_each(|victim| self.snapshot.set_leaving(&victim.uid, true));
                // Until the victims are being deleted the pod is in flight, lest it be tried again as if nothing were done.
                self.preempting.insert(uid.to_owned(), (refusal, victims.clone()));
                let (pod, node) = (Arc::clone(pod), name.clone());
                self.effects.push(Effect::Preempt { pod, node, victims, displaced });
                (decision.verdicts.message(""), Nomination::Set(name))
            }
            Remedy::None { message, keeps_nomination } => {
                let nominated = candidate.nominated_node.is_some() || !nominations::in_status(pod).is_empty();
                let clears = !keeps_nomination && nominated;
                if clears {
                    self.withdraw(uid, now);
                }
                self.queue.failed(uid, refusal, now);
                let nomination = if clears { Nomination::Clear } else { Nomination::Keep };
                (decision.verdicts.message(&message), nomination)
            }
        };
        self.note(pod, Outcome::Refused(message.clone()), decision, now);
        self.effects.push(Effect::Refused { pod: Arc::clone(pod), reason: Reason::Unschedulable, message, nomination });
    }

    /// The first thing that helps, of what the plugins know.
    fn remedy(&mut self, profile: &Profile, candidate: &Candidate<'_>, decision: &Decision) -> Remedy {
        let attempt = Attempt { snapshot: &self.snapshot, profile, pod: candidate, verdicts: &decision.verdicts };
        let (mut messages, mut keeps_nomination) = (Vec::new(), false);
        if decision.verdicts.nodes > 0 {
            for plugin in profile.at(ExtensionPoint::PostFilter) {
                match plugin.post_filter_with(&mut self.memory, &attempt, &mut self.random) {
                    None => {}
                    Some(PostFilter::Room { node, victims, displaced, .. }) => {
                        return Remedy::Room { node, victims, displaced };
                    }
                    Some(PostFilter::Unhelpful { message, keeps_nomination: keeps }) => {
                        messages.push(message);
                        keeps_nomination |= keeps;
                    }
                }
            }
        }
        Remedy::None { message: messages.join(", "), keeps_nomination }
    }

    fn note(&mut self, pod: &Pod, outcome: Outcome, decision: Decision, now: Duration) {
        let meta = &pod.metadata;
        let name = (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default());
        let Decision { evaluated, feasible, verdicts, .. } = decision;
        let record = Record::new(name, now, outcome, (evaluated, feasible), verdicts);
        self.decisions.note(&self.snapshot, uid(pod), record);
    }

    /// What has become of making room for the pod with that uid: the victims are being deleted, or some could not be.
    pub fn preempted(&mut self, uid: &str, outcome: Result<(), String>, now: Duration) {
        let Some((refusal, victims)) = self.preempting.remove(uid) else { return };
        if outcome.is_ok() {
            self.queue.failed(uid, refusal, now);
            return;
        }
        victims.iter().for_each(|victim| self.snapshot.set_leaving(&victim.uid, false));
        self.withdraw(uid, now);
        // As an error, so that it is tried again soon, whatever happens.
        self.queue.failed(uid, Refusal::default(), now);
    }
}
