//! One pod's worker: it looks, decides, acts, and looks again.
//!
//! It ends when nobody wants the pod any more and nothing of it is left. An action that takes long (an image to be pulled, a
//! container that has time to end) does not keep the pod's status from being said, and is given up when the pod is to end,
//! or to end sooner.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use client::queue::Backoff;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use tokio::time::{Instant, sleep_until};

use super::Agent;
use super::carry::{Carried, Job};
use super::echo::OWN;
use super::granted::Granted;
use super::pods::{Entry, Origin, Seen, Want};
use crate::containers::CONTAINER_ERROR;
use crate::observed::RuntimePod;
use crate::pod_plan::{self, Action, Inputs, Memory, Mounts, Plan, Resize, Role};

/// The waits after an action failed that says nothing of when to try again, or the runtime was not to be asked.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(500), longest: Duration::from_secs(10) };
/// How often a pod is looked at if nothing happens, so that nothing that was missed stays unseen for long.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// A pod's worker.
pub(super) struct Worker {
    agent: Arc<Agent>,
    entry: Arc<Entry>,
    memory: Memory,
    /// The status that was decided last.
    status: Option<Arc<PodStatus>>,
    /// How often in a row something failed.
    failures: u32,
    /// The resources that the pod was granted.
    granted: Granted,
    /// The chances that were taken.
    chances: u64,
    /// The container that is being started, with its attempt: it does not run before its `postStart` hook has.
    starting: Option<(String, u32)>,
}

/// Looks and actions without a pause in between.
struct Round {
    /// What upstream calls it.
    kind: &'static str,
    began: Instant,
    /// The pod as it was in the beginning.
    pod: Option<Arc<Pod>>,
}

impl Round {
    fn first(entry: &Entry) -> Round {
        Round { kind: "create", began: Instant::now(), pod: Some(entry.pod()) }
    }
}

/// What a look has found, and what follows.
struct Look {
    want: Want,
    pod: Arc<Pod>,
    runtime: Arc<RuntimePod>,
    plan: Plan,
}

impl Worker {
    pub(super) fn new(agent: Arc<Agent>, entry: Arc<Entry>) -> Worker {
        let granted = Granted::find(&agent.hands.paths, &entry.pod());
        Worker {
            agent,
            entry,
            memory: Memory::default(),
            status: None,
            failures: 0,
            granted,
            chances: 0,
            starting: None,
        }
    }

    /// Attends to the pod until nothing is left of it.
    pub(super) async fn live(mut self) {
        let mut round = Round::first(&self.entry);
        if self.entry.origin != Origin::Runtime {
            self.agent.metrics.pod_worker_start.observe(&[], self.entry.since.elapsed());
        }
        loop {
            let news = self.entry.want.look(|want| want.news);
            let began = Instant::now();
            let looked = self.look().await;
            tracing::debug!(pod = %self.entry.uid, news, took = ?began.elapsed(), "looked at a pod");
            let Some(look) = looked else {
                self.failures = self.failures.saturating_add(1);
                self.rest(news, Some(BACKOFF.after(self.failures)), &mut round).await;
                continue;
            };
            self.memory = look.plan.memory.clone();
            self.tell(&look);
            if look.want.forgotten && look.plan.actions.is_empty() && self.memory.torn_down {
                break;
            }
            if look.plan.actions.is_empty() {
                if !has_setback(&self.memory) {
                    self.failures = 0;
                }
                self.rest(news, look.plan.again, &mut round).await;
                continue;
            }
            if !self.act(&look, news).await {
                self.failures = self.failures.saturating_add(1);
                let news = self.entry.want.look(|want| want.news);
                self.rest(news, Some(BACKOFF.after(self.failures)), &mut round).await;
            }
        }
        self.agent.hands.bury(&self.entry.pod()).await;
        self.agent.metrics.pod_worker.observe(&["terminated"], round.began.elapsed());
        self.agent.probes.forget(&self.entry.uid);
        let metadata = &self.entry.pod().metadata;
        if let (Some(namespace), Some(name)) = (&metadata.namespace, &metadata.name) {
            self.agent.metrics.forget_probes(namespace, name);
        }
        self.agent.pods.remove(&self.entry.uid);
    }

    /// Looks at the pod, and decides.
    async fn look(&mut self) -> Option<Look> {
        let runtime = match self.agent.observer.pod(&self.entry.uid).await {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::warn!(pod = %self.entry.uid, %error, "the runtime does not say what it has of a pod");
                return None;
            }
        };
        let want = self.entry.want.look(Clone::clone);
        let mut memory = self.memory.clone();
        let pod = Arc::new(self.grant(with_status(&want.pod, self.status.as_deref()), &mut memory));
        let mut runtime = runtime;
        if let Some((name, attempt)) = &self.starting {
            runtime.containers.retain(|it| it.name != *name || it.attempt != *attempt);
        }
        self.agent.hands.complete(&pod, &mut runtime);
        let runtime = Arc::new(runtime);
        self.agent.probes.attend(&pod, &runtime);
        self.agent.hands.volumes.see(&pod);
        if want.chances != self.chances {
            self.chances = want.chances;
            take_chance(&mut memory);
        }
        memory.forgotten = want.forgotten;
        memory.rejected = want.rejected.clone();
        match (&mut memory.condemned, &want.condemned) {
            (Some(first), Some(again)) => first.hurry(again),
            (none, condemned) => *none = none.take().or_else(|| condemned.clone()),
        }
        let plan = self.decide(&pod, &runtime, &memory);
        Some(Look { want, pod, runtime, plan })
    }

    /// Takes a change of the pod's resources into account, as far as the node has room for it. Gives the pod with the
    /// resources that it has been granted.
    fn grant(&mut self, pod: Pod, memory: &mut Memory) -> Pod {
        let wanted = Granted::of(&pod);
        let refused = if wanted == self.granted { None } else { self.agent.refuse_resize(&self.entry, &pod) };
        let (paths, uid) = (&self.agent.hands.paths, &self.entry.uid);
        let waits = self.entry.granted.lock().is_some();
        let kept = match &refused {
            Some(_) => self.granted.keep(paths, uid),
            None if waits || wanted != self.granted => Granted::forget(paths, uid),
            None => Ok(()),
        };
        if let Err(error) = kept {
            tracing::warn!(pod = %uid, %error, "the next agent will not know what the pod was granted");
        }
        let has_waited = matches!(memory.resize, Some(Resize::Deferred(_) | Resize::Infeasible(_)));
        if refused.is_none() {
            self.granted = wanted;
            *self.entry.granted.lock() = None;
            memory.resize = memory.resize.take().filter(|_| !has_waited);
            return pod;
        }
        memory.resize = refused;
        *self.entry.granted.lock() = Some(Arc::new(self.granted.clone()));
        self.granted.in_place_of(&pod)
    }

    fn decide(&self, pod: &Pod, runtime: &RuntimePod, memory: &Memory) -> Plan {
        let probed: BTreeMap<_, _> = self.agent.probes.results(&self.entry.uid);
        let host = self.agent.host();
        let inputs = Inputs { pod, runtime, probed: &probed, memory, host: &host, now: self.agent.clock.now() };
        pod_plan::plan(&inputs)
    }

    /// Says what has become of the pod.
    fn tell(&mut self, look: &Look) {
        let status = match &self.status {
            Some(known) if **known == look.plan.status => Arc::clone(known),
            _ => Arc::new(look.plan.status.clone()),
        };
        let runs = |status: &PodStatus| status.phase.as_deref() == Some("Running");
        if runs(&status)
            && !self.status.as_deref().is_some_and(runs)
            && look.want.pod.status.as_ref().is_none_or(|it| !runs(it))
        {
            self.agent.metrics.pod_start.observe(&[], self.entry.since.elapsed());
        }
        self.status = Some(Arc::clone(&status));
        let runtime = Arc::clone(&look.runtime);
        *self.entry.seen.lock() = Seen { runtime, status: Some(Arc::clone(&status)) };
        if !look.want.forgotten {
            self.agent.writer.set(&self.entry, &status);
        }
        // After its last status was given to the writer: whoever waits for the end waits for that, too.
        if look.plan.memory.torn_down && !self.entry.ended.look(|ended| *ended) {
            self.entry.ended.change(|ended| *ended = true);
        }
        if look.plan.memory.stopping.is_some() {
            self.agent.probes.stop_liveness(&self.entry.uid);
        }
        self.agent.recorder.say_all(&look.pod, &look.plan.says);
    }

    /// Waits until there is news or time has passed. What was done since the last time is a round.
    async fn rest(&self, news: u64, again: Option<Duration>, round: &mut Round) {
        let kind = if self.memory.stopping.is_some() { "kill" } else { round.kind };
        self.agent.metrics.pod_worker.observe(&[kind], round.began.elapsed());
        let before = round.pod.take();
        let generation = |pod: &Pod| (pod.metadata.generation, pod.metadata.deletion_timestamp.clone());
        let until = Instant::now() + again.unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN);
        tokio::select! {
            biased;
            () = self.has_news(news) => {}
            () = sleep_until(until) => {}
        }
        let now = self.entry.pod();
        let changed = before.is_some_and(|before| generation(&before) != generation(&now));
        *round = Round { kind: if changed { "update" } else { "sync" }, began: Instant::now(), pod: Some(now) };
    }

    async fn has_news(&self, news: u64) {
        self.entry.want.wait(|want| (want.news != news).then_some(())).await;
    }

    /// Carries out what was decided, up to the first action that fails or after which there is news. `false` if one
    /// failed without saying when to try again.
    async fn act(&mut self, look: &Look, news: u64) -> bool {
        for action in &look.plan.actions {
            let began = Instant::now();
            let Some(carried) = self.carry_out(look, action, news).await else { return true };
            let succeeded = carried.is_ok();
            self.count(action, &carried);
            tracing::debug!(pod = %self.entry.uid, ?action, succeeded, took = ?began.elapsed(), "acted");
            match carried {
                Ok(carried) => carried.remember(&mut self.memory),
                Err(failed) => {
                    tracing::debug!(pod = %self.entry.uid, ?action, error = %failed, "an action failed");
                    let is_remembered = failed.remember(&mut self.memory);
                    if is_remembered {
                        self.failures = self.failures.saturating_add(1);
                    }
                    return is_remembered;
                }
            }
            if succeeded && self.entry.want.look(|want| want.news) != news {
                return true;
            }
        }
        self.failures = 0;
        true
    }

    /// Counts what was begun, for those who ask for metrics.
    fn count(&self, action: &Action, carried: &Carried) {
        let metrics = &self.agent.metrics;
        let kind = match action {
            Action::RunSandbox { .. } => "pod_sandbox",
            Action::Start { role: Role::Init, .. } => "init_container",
            Action::Start { role: Role::Regular, .. } => "container",
            Action::Start { role: Role::Ephemeral, .. } => "ephemeral_container",
            _ => return,
        };
        let (pods, containers) = match carried {
            Ok(_) => (&metrics.started_pods, &metrics.started_containers),
            Err(failed) => {
                metrics.started_containers_errors.add(&[kind, &failed.why.reason], 1.0);
                (&metrics.started_pods_errors, &metrics.started_containers)
            }
        };
        if matches!(action, Action::RunSandbox { .. }) {
            pods.add(&[], 1.0);
        }
        // What was tried is counted, as upstream has it.
        containers.add(&[kind], 1.0);
    }

    /// Carries out one action. Meanwhile, the pod's status goes on to be said. `None` if it was given up because the pod is
    /// to end, or to end sooner.
    async fn carry_out(&mut self, look: &Look, action: &Action, mut news: u64) -> Option<Carried> {
        let agent = Arc::clone(&self.agent);
        let job = Job { entry: &self.entry, pod: &look.pod, runtime: &look.runtime, attempts: self.failures };
        let entry = Arc::clone(&self.entry);
        let carrying = async {
            if *action == Action::Delete {
                // Whoever watches is to see how it ended.
                agent.writer.flushed(&job.entry.uid).await;
            }
            agent.hands.carry_out(job, action).await
        };
        let mut carrying = std::pin::pin!(carrying);
        let status = self.status.clone();
        let stopping = self.memory.stopping;
        loop {
            tokio::select! {
                biased;
                carried = &mut carrying => return Some(carried),
                () = entry.want.wait(|want| (want.news != news).then_some(())) => {}
            }
            news = entry.want.look(|want| want.news);
            let mut meanwhile = Worker {
                agent: Arc::clone(&agent),
                entry: Arc::clone(&entry),
                memory: self.memory.clone(),
                status: status.clone(),
                failures: 0,
                granted: self.granted.clone(),
                chances: self.chances,
                starting: match action {
                    Action::Start { container, attempt, .. } => Some((container.clone(), *attempt)),
                    _ => None,
                },
            };
            let looked = tokio::select! {
                biased;
                carried = &mut carrying => return Some(carried),
                looked = meanwhile.look() => looked,
            };
            let Some(now) = looked else { continue };
            let sooner = now.plan.memory.stopping != stopping;
            // What is said and remembered is so only when it is decided for good; the status is true at once.
            if !now.want.forgotten {
                agent.writer.set(&entry, &Arc::new(now.plan.status.clone()));
            }
            if sooner {
                return None;
            }
        }
    }
}

/// Whether something waits to be tried again.
fn has_setback(memory: &Memory) -> bool {
    !memory.containers.is_empty() || memory.sandbox.is_some() || matches!(memory.volumes, Mounts::Failed(_))
}

/// Has what failed for a lack of something else be tried again at once.
fn take_chance(memory: &mut Memory) {
    if matches!(memory.volumes, Mounts::Failed(_)) {
        memory.volumes = Mounts::NotYet;
    }
    memory.containers.retain(|_, setback| setback.why.reason != CONTAINER_ERROR);
}

/// The pod of the API with the status that was decided last: what others have to say in it is as the API has it.
fn with_status(pod: &Pod, decided: Option<&PodStatus>) -> Pod {
    let Some(decided) = decided else { return pod.clone() };
    let api = pod.status.clone().unwrap_or_default();
    let mut status = decided.clone();
    let own = |kind: &str| OWN.contains(&kind);
    let mut conditions: Vec<_> = decided.conditions.iter().flatten().filter(|it| own(&it.type_)).cloned().collect();
    conditions.extend(api.conditions.into_iter().flatten().filter(|it| !own(&it.type_)));
    status.conditions = Some(conditions).filter(|conditions| !conditions.is_empty());
    status.nominated_node_name = api.nominated_node_name;
    status.qos_class = api.qos_class.or(status.qos_class);
    status.resource_claim_statuses = api.resource_claim_statuses;
    status.extended_resource_claim_status = api.extended_resource_claim_status;
    Pod { metadata: pod.metadata.clone(), spec: pod.spec.clone(), status: Some(status) }
}
