//! How a pod ends: its containers are stopped in their order, then its sandbox, then nothing of it is left on the node, and
//! then the API is told (upstream's `SyncTerminatingPod` and `SyncTerminatedPod`).

use std::time::Duration;

use super::draft::{Draft, stop};
use super::scene::Scene;
use super::spec::{grace, is_terminal, seconds_of};
use super::time::{after, between};
use super::{Action, Says, Stopping, Verdict};
use super::{living, together};
use crate::observed::{ContainerState, RuntimeContainer};

/// What it says of a pod that has been active for longer than it may be.
const DEADLINE: (&str, &str) = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline");

/// The least that a pod has to end in, whatever anybody says (upstream's number).
const LEAST: Duration = Duration::from_secs(1);

/// Why a pod ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The node does not take it.
    Rejected(Verdict),
    /// The node ends it, or it has been active for too long. It has failed, whatever its containers say.
    Failed(Verdict),
    /// It is deleted, or nobody knows it any more.
    Unwanted,
    /// It has ended by itself.
    Over,
}

/// Why the pod ends, if it does.
pub(super) fn cause(scene: &Scene<'_>, draft: &mut Draft) -> Option<Cause> {
    let memory = scene.inputs.memory;
    if let Some(verdict) = &memory.rejected {
        return Some(Cause::Rejected(verdict.clone()));
    }
    let over = is_terminal(scene.old.phase.as_deref());
    if !over && let Some(condemned) = &memory.condemned {
        return Some(Cause::Failed(condemned.why.clone()));
    }
    if memory.forgotten || scene.pod().metadata.deletion_timestamp.is_some() {
        return Some(Cause::Unwanted);
    }
    if over {
        return Some(Cause::Over);
    }
    if let Some(verdict) = exceeded(scene, draft) {
        return Some(Cause::Failed(verdict));
    }
    (!together::is_under_way(scene) && living::is_over(scene)).then_some(Cause::Over)
}

/// Whether the pod has been active for longer than it may be. If it has not, it is looked at again when it will have.
fn exceeded(scene: &Scene<'_>, draft: &mut Draft) -> Option<Verdict> {
    let seconds = scene.pod().spec.as_ref()?.active_deadline_seconds?;
    let since = scene.old.start_time.as_ref().map_or(scene.now(), |time| time.0);
    let due = after(since, seconds_of(seconds));
    if due > scene.now() {
        draft.look(due);
        return None;
    }
    let (reason, message) = DEADLINE;
    if scene.inputs.memory.stopping.is_none() {
        draft.says.push(Says { warning: false, reason, message: message.to_owned(), field: None });
    }
    Some(Verdict { reason: reason.to_owned(), message: message.to_owned() })
}

/// Decides what is next on a pod's way out. Says whether nothing of it runs any more.
pub(super) fn advance(scene: &Scene<'_>, draft: &mut Draft) -> bool {
    let until = hurry(scene, draft);
    let stops = stage(scene);
    if !stops.is_empty() {
        let grace = between(scene.now(), until);
        let stops =
            stops.into_iter().map(|container| stop(container, grace, format!("Stopping container {}", container.name)));
        draft.actions.push(Action::Stop(stops.collect()));
        return false;
    }
    let sandboxes = &scene.inputs.runtime.sandboxes;
    let stop = |id: &String| Action::StopSandbox { id: id.clone() };
    if sandboxes.iter().any(|sandbox| sandbox.ready) {
        draft.actions.extend(sandboxes.iter().filter(|sandbox| sandbox.ready).map(|sandbox| stop(&sandbox.id)));
        return false;
    }
    if !draft.memory.torn_down {
        // One that died by itself still has its network.
        draft.actions.extend(sandboxes.iter().map(|sandbox| stop(&sandbox.id)));
        draft.actions.push(Action::TearDown);
    } else if is_to_be_deleted(scene) {
        draft.actions.push(Action::Delete);
    }
    true
}

/// Whether the API is to be told that the pod is gone from the node. Without grace, it goes when its finalizers have gone.
fn is_to_be_deleted(scene: &Scene<'_>) -> bool {
    let (meta, memory) = (&scene.pod().metadata, scene.inputs.memory);
    let grace = meta.deletion_grace_period_seconds.unwrap_or(0) > 0;
    meta.deletion_timestamp.is_some() && grace && !memory.forgotten && !memory.deleted
}

/// Until when the containers have to end. That is only ever brought forward.
fn hurry(scene: &Scene<'_>, draft: &mut Draft) -> jiff::Timestamp {
    let now = scene.now();
    let allowed = Stopping { since: now, grace: allowed(scene) };
    let until = |stopping: Stopping| after(stopping.since, stopping.grace);
    let stopping = match draft.memory.stopping {
        Some(known) if until(known) <= until(allowed) => known,
        _ => allowed,
    };
    draft.memory.stopping = Some(stopping);
    until(stopping)
}

/// How long the containers of a pod have that is ended now.
fn allowed(scene: &Scene<'_>) -> Duration {
    let meta = &scene.pod().metadata;
    let deleted = meta.deletion_grace_period_seconds.filter(|_| meta.deletion_timestamp.is_some()).map(seconds_of);
    let condemned = scene.inputs.memory.condemned.as_ref().and_then(|condemned| condemned.grace);
    let allowed = deleted.into_iter().chain(condemned).min();
    allowed.unwrap_or_else(|| grace(scene.pod())).max(LEAST)
}

/// The containers that are stopped next when all of them are: those beside which nothing else has to go on running. Sidecars
/// outlive the regular containers, and a sidecar those after it.
pub(super) fn stage<'a>(scene: &Scene<'a>) -> Vec<&'a RuntimeContainer> {
    let running = |container: &&RuntimeContainer| container.state == ContainerState::Running;
    let rank = |container: &RuntimeContainer| {
        scene.slots.iter().position(|slot| slot.name() == container.name && slot.is_sidecar())
    };
    let running: Vec<&RuntimeContainer> = scene.inputs.runtime.containers.iter().filter(running).collect();
    let is_regular = |container: &&RuntimeContainer| {
        scene.slot(&container.name).is_some_and(|slot| slot.role == super::Role::Regular)
    };
    let last = if running.iter().any(is_regular) { None } else { running.iter().filter_map(|it| rank(it)).max() };
    running.into_iter().filter(|container| rank(container).is_none_or(|rank| Some(rank) == last)).collect()
}
