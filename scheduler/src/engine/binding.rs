//! What follows a decision: the pod counts on its node, plugins reserve what it takes and let it go there, what is to be
//! written before is written and waited for, and the pod is bound. Whatever fails is taken back as a whole.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

use super::effect::{Effect, Nomination, Reason};
use super::{Engine, nominations, uid};
use crate::config::ExtensionPoint;
use crate::cycle::{Candidate, Permit, PreBind, Profile, Ready, Write};
use crate::queue::Refusal;
use crate::snapshot::{NodeIndex, PodInfo};

/// What a binding waits for.
enum Stage {
    /// That somebody lets the pod go to its node.
    Permit(Vec<&'static str>, Duration),
    /// That something is written.
    Preparing(Vec<(&'static str, Ready, Duration)>),
    /// That what follows from it has happened.
    Prepared(Vec<(&'static str, Ready, Duration)>),
    /// That the pod is bound.
    Binding,
}

/// A pod that has a node and is not bound yet.
pub(super) struct Binding {
    pod: Arc<Pod>,
    info: Arc<PodInfo>,
    profile: Arc<Profile>,
    node: NodeIndex,
    name: String,
    stage: Stage,
}

impl Binding {
    /// When it has waited for too long.
    pub(super) fn deadline(&self) -> Option<Duration> {
        match &self.stage {
            Stage::Permit(_, deadline) => Some(*deadline),
            Stage::Prepared(waits) => waits.iter().map(|(_, _, deadline)| *deadline).min(),
            Stage::Preparing(_) | Stage::Binding => None,
        }
    }

    fn candidate(&self) -> Candidate<'_> {
        Candidate { uid: uid(&self.pod), info: &self.info, nominated_node: None }
    }
}

/// Why a pod does not go to the node that was chosen for it.
struct Failure {
    /// The plugin that refused it; none if something went wrong.
    refused_by: Option<&'static str>,
    message: String,
}

impl Failure {
    fn error(message: String) -> Failure {
        Failure { refused_by: None, message }
    }
}

impl Engine {
    /// The pod goes to that node.
    pub(super) fn begin_binding(
        &mut self,
        pod: &Arc<Pod>,
        candidate: &Candidate<'_>,
        profile: &Arc<Profile>,
        (node, name): (NodeIndex, String),
        now: Duration,
    ) {
        let nominated = self.nominations.remove(&mut self.snapshot, candidate.uid);
        self.snapshot.assume(pod, &name);
        if let Some(nominated) = nominated.filter(|nominated| *nominated != name) {
            self.tell_freed(pod, &nominated, now);
        }
        let (pod, profile) = (Arc::clone(pod), Arc::clone(profile));
        let info = Arc::new(candidate.info.clone());
        let mut binding = Binding { pod, info, profile, node, name, stage: Stage::Binding };
        for plugin in Arc::clone(&binding.profile).at(ExtensionPoint::Reserve) {
            if let Err(why) = plugin.reserve(&mut self.snapshot, &binding.candidate(), node) {
                let message = format!("running Reserve plugin {:?}: {why}", plugin.name());
                return self.take_back(&binding, Failure::error(message), now);
            }
        }
        let (mut waits_for, mut deadline) = (Vec::new(), Duration::MAX);
        for plugin in Arc::clone(&binding.profile).at(ExtensionPoint::Permit) {
            match plugin.permit(&self.snapshot, &binding.candidate(), node) {
                Permit::Approve => {}
                Permit::Wait(timeout) => {
                    waits_for.push(plugin.name());
                    deadline = deadline.min(now.saturating_add(timeout));
                }
                Permit::Reject(message) => {
                    let failure = Failure { refused_by: Some(plugin.name()), message };
                    return self.take_back(&binding, failure, now);
                }
            }
        }
        if waits_for.is_empty() {
            return self.prepare(binding, now);
        }
        binding.stage = Stage::Permit(waits_for, deadline);
        self.bindings.insert(uid(&binding.pod).to_owned(), binding);
    }

    /// Lets a pod go to its node, for which a plugin had it wait.
    pub fn allow(&mut self, uid: &str, plugin: &str, now: Duration) {
        let Some(Binding { stage: Stage::Permit(waits_for, _), .. }) = self.bindings.get_mut(uid) else { return };
        waits_for.retain(|waits| *waits != plugin);
        if waits_for.is_empty()
            && let Some(binding) = self.bindings.remove(uid)
        {
            self.prepare(binding, now);
        }
    }

    /// Has written what is to be written before the pod is bound.
    fn prepare(&mut self, mut binding: Binding, now: Duration) {
        let (mut writes, mut waits) = (Vec::new(), Vec::new());
        for plugin in binding.profile.at(ExtensionPoint::PreBind) {
            let wanted = plugin.pre_bind(&self.snapshot, &binding.candidate(), binding.node);
            if let Some(PreBind { writes: before, ready, timeout }) = wanted {
                writes.extend(before);
                waits.push((plugin.name(), ready, now.saturating_add(timeout)));
            }
        }
        if waits.is_empty() {
            return self.bind(binding);
        }
        let pod = Arc::clone(&binding.pod);
        binding.stage = Stage::Preparing(waits);
        self.bindings.insert(uid(&pod).to_owned(), binding);
        self.effects.push(Effect::Prepare { pod, writes });
    }

    /// What was to be written before the pod is bound has been written, or could not be.
    pub fn prepared(&mut self, uid: &str, outcome: Result<(), String>, now: Duration) {
        let Some(binding) = self.bindings.get_mut(uid) else { return self.queue.done(uid) };
        let Stage::Preparing(waits) = &mut binding.stage else { return };
        match outcome {
            Ok(()) => {
                binding.stage = Stage::Prepared(std::mem::take(waits));
                self.look_again = true;
            }
            Err(why) => {
                let plugin = waits.first().map_or("", |(plugin, _, _)| plugin);
                let message = format!("running PreBind plugin {plugin:?}: {why}");
                self.fail(uid, Failure::error(message), now);
            }
        }
    }

    /// Goes on with what waited for something that has happened, and gives up what has waited for too long.
    pub(super) fn continue_bindings(&mut self, now: Duration) {
        let due = self.bindings.values().filter_map(Binding::deadline).any(|deadline| deadline <= now);
        if !due && !std::mem::take(&mut self.look_again) {
            return;
        }
        self.look_again = false;
        let mut waiting: Vec<String> = self.bindings.keys().cloned().collect();
        // So that each run does the same.
        waiting.sort_unstable();
        for uid in waiting {
            self.continue_binding(&uid, now);
        }
    }

    fn continue_binding(&mut self, uid: &str, now: Duration) {
        let Some(binding) = self.bindings.get_mut(uid) else { return };
        let failure = match &mut binding.stage {
            Stage::Permit(waits_for, deadline) if *deadline <= now => {
                let plugin = waits_for.first().copied().unwrap_or_default();
                let message = "timeout: it was not let go to its node in time".to_owned();
                Failure { refused_by: Some(plugin), message }
            }
            Stage::Prepared(waits) => {
                let mut failed = None;
                waits.retain(|(plugin, ready, deadline)| match ready(&self.snapshot) {
                    Ok(true) => false,
                    Ok(false) if now < *deadline => true,
                    Ok(false) => {
                        failed = Some((*plugin, "timed out waiting for the condition".to_owned()));
                        true
                    }
                    Err(why) => {
                        failed = Some((*plugin, why));
                        true
                    }
                });
                match failed {
                    Some((plugin, why)) => Failure::error(format!("running PreBind plugin {plugin:?}: {why}")),
                    None if waits.is_empty() => {
                        if let Some(binding) = self.bindings.remove(uid) {
                            self.bind(binding);
                        }
                        return;
                    }
                    None => return,
                }
            }
            Stage::Permit(..) | Stage::Preparing(_) | Stage::Binding => return,
        };
        self.fail(uid, failure, now);
    }

    fn bind(&mut self, mut binding: Binding) {
        let (pod, node) = (Arc::clone(&binding.pod), binding.name.clone());
        let write = binding.profile.at(ExtensionPoint::Bind).find_map(|plugin| plugin.bind(&pod, &node));
        let write = write.unwrap_or_else(|| Write::Bind(node.clone()));
        binding.stage = Stage::Binding;
        self.bindings.insert(uid(&pod).to_owned(), binding);
        self.effects.push(Effect::Bind { pod, node, write });
    }

    /// The pod has been bound, or could not be.
    pub fn bound(&mut self, uid: &str, outcome: Result<(), String>, now: Duration) {
        match outcome {
            Ok(()) => {
                self.bindings.remove(uid);
                self.queue.done(uid);
            }
            // It was deleted meanwhile.
            Err(_) if !self.bindings.contains_key(uid) => self.queue.done(uid),
            Err(why) => self.fail(uid, Failure::error(why), now),
        }
    }

    fn fail(&mut self, uid: &str, failure: Failure, now: Duration) {
        if let Some(binding) = self.bindings.remove(uid) {
            self.take_back(&binding, failure, now);
        }
    }

    /// The pod is gone, or somebody else has given it a node.
    pub(super) fn cancel_binding(&mut self, uid: &str) {
        if let Some(binding) = self.bindings.remove(uid) {
            self.unreserve(&binding);
            if !matches!(binding.stage, Stage::Binding | Stage::Preparing(_)) {
                // Otherwise it is done when the write has ended.
                self.queue.done(uid);
            }
        }
    }

    fn unreserve(&mut self, binding: &Binding) {
        for plugin in binding.profile.at(ExtensionPoint::Reserve).rev() {
            plugin.unreserve(&mut self.snapshot, &binding.candidate(), binding.node);
        }
    }

    fn take_back(&mut self, binding: &Binding, failure: Failure, now: Duration) {
        let pod = &binding.pod;
        let uid = uid(pod);
        self.unreserve(binding);
        if self.snapshot.pod(uid).is_some_and(|placed| placed.assumed) {
            self.snapshot.remove_pod(uid);
        }
        let Failure { refused_by, message } = failure;
        let reason = if refused_by.is_some() { Reason::Unschedulable } else { Reason::SchedulerError };
        let unschedulable_plugins: BTreeSet<_> = refused_by.into_iter().collect();
        let place = self.queue.failed(uid, Refusal { unschedulable_plugins, ..Refusal::default() }, now);
        self.tell_freed(pod, &binding.name, now);
        if place.is_some() {
            self.nominations.set(&mut self.snapshot, pod, nominations::in_status(pod));
            let nomination = Nomination::Keep;
            self.effects.push(Effect::Refused { pod: Arc::clone(pod), reason, message, nomination });
        }
    }
}
