//! A decision in the making: what has been found to be done so far, and what is to be remembered of it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::backoff::{self, Next};
use super::scene::Scene;
use super::spec::{Slot, grace, hash_of, seconds_of};
use super::time::minutes;
use super::{Action, Memory, Says, Setback, Stop, Verdict};
use crate::observed::{ContainerState, RuntimeContainer};

/// What a container has to end in at least, so that it is not killed at once (upstream's number).
pub(super) const LEAST_GRACE: Duration = Duration::from_secs(2);

/// A decision in the making.
pub(super) struct Draft {
    pub(super) actions: Vec<Action>,
    pub(super) memory: Memory,
    pub(super) says: Vec<Says>,
    /// When to look again.
    pub(super) again: Option<Timestamp>,
    /// Why containers are not running that are to run.
    pub(super) waits: BTreeMap<String, Verdict>,
}

/// Why a container that runs is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    StartupProbe,
    LivenessProbe,
    Other,
}

impl Draft {
    /// Begins with what is remembered, less what is out of date.
    pub(super) fn new(scene: &Scene<'_>) -> Draft {
        let mut memory = scene.inputs.memory.clone();
        memory.containers.retain(|name, _| scene.slot(name).is_some());
        memory.restarts.retain(|name, _| scene.slot(name).is_some());
        Draft { actions: Vec::new(), memory, says: Vec::new(), again: None, waits: BTreeMap::new() }
    }

    /// Has the pod looked at again then, unless it is earlier.
    pub(super) fn look(&mut self, then: Timestamp) {
        self.again = Some(self.again.map_or(then, |again| again.min(then)));
    }

    /// Whether something that has failed may be tried again.
    pub(super) fn may_try(&mut self, setback: Option<&Setback>, now: Timestamp) -> bool {
        match setback {
            Some(setback) if setback.until > now => {
                self.look(setback.until);
                false
            }
            _ => true,
        }
    }

    /// Starts a container that is not there or has ended, unless it has to wait.
    pub(super) fn start(&mut self, scene: &Scene<'_>, slot: &Slot<'_>) {
        let hash = hash_of(&slot.container);
        let ended = scene.last_exit(slot.name());
        let longest = scene.inputs.host.longest_back_off;
        let next = ended.map(|ended| backoff::next(self.memory.restarts.get(slot.name()), &hash, &ended, longest));
        self.start_when(scene, slot, next);
    }

    /// Stops a container that runs, and starts another one in its place if `again` and it has not to wait.
    pub(super) fn replace(
        &mut self,
        scene: &Scene<'_>,
        slot: &Slot<'_>,
        container: &RuntimeContainer,
        why: (Why, String),
        again: bool,
    ) {
        let grace = grace_of(scene, slot, why.0);
        self.actions.push(Action::Stop(vec![stop(container, grace, why.1)]));
        if again {
            let hash = hash_of(&slot.container);
            let before = scene.last_exit(slot.name());
            let known = self.memory.restarts.get(slot.name());
            let next = backoff::next_if_killed(known, &hash, before.as_ref(), scene.inputs.host.longest_back_off);
            self.start_when(scene, slot, next);
        }
    }

    fn start_when(&mut self, scene: &Scene<'_>, slot: &Slot<'_>, next: Option<Next>) {
        let (name, now) = (slot.name(), scene.now());
        let setback = self.memory.containers.get(name).cloned();
        if let Some(setback) = &setback {
            self.waits.insert(name.to_owned(), setback.why.clone());
        }
        if let Some(next) = &next {
            if !next.wait.is_zero() && setback.as_ref().is_none_or(|setback| setback.until < next.due) {
                self.waits.insert(name.to_owned(), crashing(scene, name, next.wait));
            }
            if next.due > now {
                self.complain(scene, slot);
                self.look(next.due);
                return;
            }
        }
        if !self.may_try(setback.as_ref(), now) {
            return;
        }
        if let Some(next) = next {
            self.memory.restarts.insert(name.to_owned(), next.entry);
        }
        if let Some(container) = scene.inputs.runtime.container(name).filter(|it| it.state == ContainerState::Unknown)
            && !self.stops(&container.id)
        {
            // It may run, and two of one name must not.
            let grace = grace_of(scene, slot, Why::Other);
            self.actions.push(Action::Stop(vec![stop(container, grace, format!("Stopping container {name}"))]));
        }
        let attempt = scene.next_attempt(name);
        self.actions.push(Action::Start { container: name.to_owned(), role: slot.role, attempt });
    }

    /// Whether a container is stopped already.
    fn stops(&self, id: &str) -> bool {
        let stops = |action: &Action| matches!(action, Action::Stop(stops) if stops.iter().any(|stop| stop.id == id));
        self.actions.iter().any(stops)
    }

    /// Says that a container waits to be restarted, once for each time.
    fn complain(&mut self, scene: &Scene<'_>, slot: &Slot<'_>) {
        let name = slot.name();
        let waiting = scene.said(name).and_then(|said| said.state.as_ref()?.waiting.as_ref()?.reason.as_deref());
        if waiting != Some("CrashLoopBackOff") {
            self.says.push(Says {
                warning: true,
                reason: "BackOff",
                message: format!("Back-off restarting failed container {name} in pod {}", scene.title()),
                field: Some(slot.field()),
            });
        }
    }
}

fn crashing(scene: &Scene<'_>, name: &str, wait: Duration) -> Verdict {
    let message = format!("back-off {} restarting failed container={name} pod={}", minutes(wait), scene.title());
    Verdict { reason: "CrashLoopBackOff".to_owned(), message }
}

/// A container that is told to end.
pub(super) fn stop(container: &RuntimeContainer, grace: Duration, message: String) -> Stop {
    let grace = grace.max(LEAST_GRACE);
    Stop { container: container.name.clone(), id: container.id.clone(), grace, message, hook: true }
}

/// How long a container has to end that is stopped for this reason.
fn grace_of(scene: &Scene<'_>, slot: &Slot<'_>, why: Why) -> Duration {
    let probe = match why {
        Why::StartupProbe => slot.container.startup_probe.as_ref(),
        Why::LivenessProbe => slot.container.liveness_probe.as_ref(),
        Why::Other => None,
    };
    let own = probe.and_then(|probe| probe.termination_grace_period_seconds);
    own.map_or_else(|| grace(scene.pod()), seconds_of)
}
