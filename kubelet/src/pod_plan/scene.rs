//! What a decision looks at: the pod beside what the runtime has of it, and beside what was last said of it.
//!
//! What the runtime has forgotten is known from the status that was written last, so that nothing that has ended runs
//! again for want of a record.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod, PodStatus};

use super::backoff::Ended;
use super::spec::{Slot, slots};
use super::{Inputs, Probed, Role};
use crate::observed::{ContainerState, RuntimeContainer, Sandbox};

/// What a container exits with of which nobody knows how it ended.
pub(super) const LOST: i32 = 137;

/// Everything that is known of a pod.
pub(super) struct Scene<'a> {
    pub(super) inputs: Inputs<'a>,
    /// The status that was written last.
    pub(super) old: PodStatus,
    /// The containers of the spec.
    pub(super) slots: Vec<Slot<'a>>,
}

/// What has become of a container of the spec.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Run<'a> {
    /// There is nothing of it: it has never been there, or waits to be there again.
    Never,
    /// The runtime has it.
    Known(&'a RuntimeContainer),
    /// The runtime has it no longer; it ended with this.
    Gone(Ended),
}

/// Whether a pod needs another sandbox.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Place<'a> {
    /// It has one.
    Ready(&'a Sandbox),
    /// It needs one; so many were there before.
    Lacking(u32),
}

impl<'a> Scene<'a> {
    pub(super) fn new(inputs: Inputs<'a>) -> Scene<'a> {
        Scene { inputs, old: inputs.pod.status.clone().unwrap_or_default(), slots: slots(inputs.pod) }
    }

    pub(super) fn pod(&self) -> &'a Pod {
        self.inputs.pod
    }

    pub(super) fn now(&self) -> Timestamp {
        self.inputs.now
    }

    pub(super) fn of(&self, role: Role) -> impl DoubleEndedIterator<Item = &Slot<'a>> {
        self.slots.iter().filter(move |slot| slot.role == role)
    }

    pub(super) fn slot(&self, name: &str) -> Option<&Slot<'a>> {
        self.slots.iter().find(|slot| slot.name() == name)
    }

    pub(super) fn is_on_host_network(&self) -> bool {
        self.pod().spec.as_ref().is_some_and(|spec| spec.host_network == Some(true))
    }

    /// What was last said of a container.
    pub(super) fn said(&self, name: &str) -> Option<&ContainerStatus> {
        let old = &self.old;
        let all = [&old.init_container_statuses, &old.container_statuses, &old.ephemeral_container_statuses];
        all.into_iter().flatten().flatten().find(|status| status.name == name)
    }

    pub(super) fn probed(&self, id: &str) -> Probed {
        self.inputs.probed.get(id).copied().unwrap_or_default()
    }

    /// Whether the pod has a sandbox that it can live in (upstream's `PodSandboxChanged`).
    pub(super) fn place(&self) -> Place<'a> {
        let sandboxes = &self.inputs.runtime.sandboxes;
        let Some(newest) = self.inputs.runtime.sandbox() else { return Place::Lacking(0) };
        let alone = sandboxes.iter().filter(|sandbox| sandbox.ready).count() == 1;
        let network = newest.host_network == self.is_on_host_network();
        let addressed = newest.host_network || !newest.addresses.is_empty();
        if newest.ready && alone && network && addressed {
            Place::Ready(newest)
        } else {
            Place::Lacking(newest.attempt.saturating_add(1))
        }
    }

    /// What has become of a container.
    pub(super) fn run(&self, name: &str) -> Run<'a> {
        match self.inputs.runtime.container(name) {
            Some(container) => Run::Known(container),
            None => self.said(name).and_then(|said| self.gone(said)).map_or(Run::Never, Run::Gone),
        }
    }

    /// How a container ended of which there is nothing but what was said.
    fn gone(&self, said: &ContainerStatus) -> Option<Ended> {
        let state = said.state.as_ref();
        if let Some(end) = state.and_then(|state| state.terminated.as_ref()) {
            return Some(self.ended(end));
        }
        let running = state?.running.as_ref()?;
        let started = running.started_at.as_ref().map(|time| time.0);
        Some(Ended { exit_code: LOST, started, finished: started.unwrap_or(self.now()) })
    }

    fn ended(&self, end: &ContainerStateTerminated) -> Ended {
        let started = end.started_at.as_ref().map(|time| time.0);
        let finished = end.finished_at.as_ref().map(|time| time.0);
        Ended { exit_code: end.exit_code, started, finished: finished.or(started).unwrap_or(Timestamp::UNIX_EPOCH) }
    }

    /// How the newest container of a name ended that has, if there is a record of one.
    pub(super) fn last_exit(&self, name: &str) -> Option<Ended> {
        let exited = |container: &&RuntimeContainer| container.state == ContainerState::Exited;
        let known = self.inputs.runtime.attempts(name).find(exited).map(exit);
        known.or_else(|| match self.run(name) {
            Run::Gone(ended) => Some(ended),
            // It waited to be started again.
            Run::Never => self.said(name).and_then(last_end).map(|end| self.ended(end)),
            Run::Known(_) => None,
        })
    }

    /// How many containers of a name there were before one that is made now.
    pub(super) fn next_attempt(&self, name: &str) -> u32 {
        let known = self.inputs.runtime.attempts(name).map(|container| container.attempt.saturating_add(1)).max();
        let said = self.said(name).filter(|said| has_run(said));
        let said = said.map(|said| u32::try_from(said.restart_count).unwrap_or(0).saturating_add(1));
        known.max(said).unwrap_or(0)
    }

    /// Whether a container is, or was, in this sandbox.
    pub(super) fn is_in(&self, name: &str, sandbox: &Sandbox) -> bool {
        self.inputs.runtime.container(name).is_some_and(|container| container.sandbox == sandbox.id)
    }

    /// Whether a container that runs has started, as its startup probe says.
    pub(super) fn has_started(&self, slot: &Slot<'_>, container: &RuntimeContainer) -> bool {
        if container.state != ContainerState::Running {
            return false;
        }
        let said = || self.said_of(container).and_then(|said| said.started).unwrap_or(false);
        slot.container.startup_probe.is_none() || self.probed(&container.id).startup.unwrap_or_else(said)
    }

    /// Whether a container that runs is ready, as its readiness probe says.
    pub(super) fn is_ready(&self, slot: &Slot<'_>, container: &RuntimeContainer) -> bool {
        let said = || self.said_of(container).is_some_and(|said| said.ready);
        let ready =
            slot.container.readiness_probe.is_none() || self.probed(&container.id).readiness.unwrap_or_else(said);
        self.has_started(slot, container) && ready
    }

    /// What was last said of this very container: an agent that starts again knows no probe's result, and goes by this
    /// until it does.
    pub(super) fn said_of(&self, container: &RuntimeContainer) -> Option<&ContainerStatus> {
        let said = self.said(&container.name)?;
        let running = said.state.as_ref().is_some_and(|state| state.running.is_some());
        (running && said.container_id.as_deref() == Some(&self.id(&container.id))).then_some(said)
    }

    /// How this very container was last said to have ended.
    pub(super) fn said_end(&self, container: &RuntimeContainer) -> Option<&ContainerStateTerminated> {
        let end = self.said(&container.name)?.state.as_ref()?.terminated.as_ref()?;
        (end.container_id.as_deref() == Some(&self.id(&container.id))).then_some(end)
    }

    /// A container's ID as the API has it.
    pub(super) fn id(&self, id: &str) -> String {
        format!("{}://{id}", self.inputs.host.runtime)
    }

    /// The pod's name in messages.
    pub(super) fn title(&self) -> String {
        let meta = &self.pod().metadata;
        let text = |text: &'a Option<String>| text.as_deref().unwrap_or_default();
        format!("{}_{}({})", text(&meta.name), text(&meta.namespace), text(&meta.uid))
    }
}

/// How a container exited.
pub(super) fn exit(container: &RuntimeContainer) -> Ended {
    let finished = container.finished.or(container.started).unwrap_or(container.created);
    Ended { exit_code: container.exit_code, started: container.started, finished }
}

/// How a container ended before it came to wait.
pub(super) fn last_end(said: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    let running = said.state.as_ref().is_some_and(|state| state.running.is_some());
    said.last_state.as_ref().filter(|_| !running)?.terminated.as_ref()
}

/// Whether a container has ever run, as its status says.
fn has_run(said: &ContainerStatus) -> bool {
    let state = said.state.as_ref();
    state.is_some_and(|state| state.running.is_some() || state.terminated.is_some()) || last_end(said).is_some()
}
