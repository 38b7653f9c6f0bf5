//! What a pod needs that is to run: a sandbox, its init containers one after the other, then the others, each started
//! again as its policy says (upstream's `computePodActions`).

use super::draft::{Draft, Why, stop};
use super::resize::{self, Fit};
use super::scene::{LOST, Place, Run, Scene};
use super::spec::{Slot, grace, hash_of};
use super::{Action, Mounts, Role, stopping};
use crate::observed::{ContainerState, RuntimeContainer, Sandbox};

/// Decides what a pod needs that is to run.
pub(super) fn advance(scene: &Scene<'_>, draft: &mut Draft) {
    if !draft.memory.prepared {
        draft.actions.push(Action::Prepare);
    }
    match draft.memory.volumes.clone() {
        Mounts::Done => {}
        Mounts::NotYet => draft.actions.push(Action::Mount),
        Mounts::Failed(setback) => {
            if !draft.may_try(Some(&setback), scene.now()) {
                return;
            }
            draft.actions.push(Action::Mount);
        }
    }
    match scene.place() {
        Place::Lacking(attempt) => move_in(scene, draft, attempt),
        Place::Ready(sandbox) => {
            draft.memory.sandbox = None;
            live(scene, draft, sandbox);
        }
    }
}

/// Whether all that the pod is there for is over: every regular container has ended for good, or an init container has
/// that the others needed.
pub(super) fn is_over(scene: &Scene<'_>) -> bool {
    let failed = |slot: &Slot<'_>| !slot.is_sidecar() && exit_code(scene, slot).is_some_and(|code| code != 0);
    let init_failed = |slot: &Slot<'_>| failed(slot) && is_over_for_good(scene, slot);
    if !has_initialized(scene) && scene.of(Role::Init).any(init_failed) {
        return true;
    }
    let mut regular = scene.of(Role::Regular).peekable();
    regular.peek().is_some() && regular.all(|slot| is_over_for_good(scene, slot))
}

fn exit_code(scene: &Scene<'_>, slot: &Slot<'_>) -> Option<i32> {
    match scene.run(slot.name()) {
        Run::Known(container) => match container.state {
            ContainerState::Exited => Some(container.exit_code),
            ContainerState::Unknown => Some(scene.said_end(container).map_or(LOST, |end| end.exit_code)),
            ContainerState::Created | ContainerState::Running => None,
        },
        Run::Gone(ended) => Some(ended.exit_code),
        Run::Never => None,
    }
}

fn is_over_for_good(scene: &Scene<'_>, slot: &Slot<'_>) -> bool {
    exit_code(scene, slot).is_some_and(|code| !slot.restarts(scene.pod(), code))
}

/// Whether the pod has come so far, in the sandbox that it has now, that regular containers were started.
fn has_initialized(scene: &Scene<'_>) -> bool {
    let Place::Ready(sandbox) = scene.place() else { return false };
    scene.of(Role::Regular).any(|slot| scene.is_in(slot.name(), sandbox))
}

/// Makes another sandbox, once nothing runs in those before it.
fn move_in(scene: &Scene<'_>, draft: &mut Draft, attempt: u32) {
    let runtime = scene.inputs.runtime;
    let grace = grace(scene.pod());
    let stops = stopping::stage(scene);
    if !stops.is_empty() {
        let stops =
            stops.into_iter().map(|container| stop(container, grace, format!("Stopping container {}", container.name)));
        draft.actions.push(Action::Stop(stops.collect()));
        return;
    }
    let setback = draft.memory.sandbox.clone();
    if !draft.may_try(setback.as_ref(), scene.now()) {
        return;
    }
    if attempt > 0 && setback.is_none() {
        let message = "Pod sandbox changed, it will be killed and re-created.".to_owned();
        draft.says.push(super::Says { warning: false, reason: "SandboxChanged", message, field: None });
    }
    // A sandbox whose process has died still has its network until it is stopped.
    let newest = runtime.sandboxes.iter().enumerate();
    let old = newest.filter(|(place, sandbox)| *place == 0 || sandbox.ready).map(|(_, sandbox)| sandbox);
    draft.actions.extend(old.map(|sandbox| Action::StopSandbox { id: sandbox.id.clone() }));
    draft.actions.push(Action::RunSandbox { attempt });
}

/// Has everything run that is to run in the sandbox.
fn live(scene: &Scene<'_>, draft: &mut Draft, sandbox: &Sandbox) {
    stop_doubles(scene, draft);
    for slot in scene.of(Role::Ephemeral).filter(|slot| scene.run(slot.name()) == Run::Never) {
        draft.start(scene, slot);
    }
    if initialize(scene, draft, sandbox) {
        let fit = resize::look(scene, draft);
        for slot in scene.of(Role::Regular) {
            keep(scene, draft, slot, &fit);
        }
        if fit.changes {
            // What is restarted to get other resources gets them when it starts.
            let is_start = |action: &Action| matches!(action, Action::Start { .. });
            let place = draft.actions.iter().position(is_start).unwrap_or(draft.actions.len());
            draft.actions.insert(place, Action::Resize);
        }
    }
    clear(scene, draft, sandbox);
}

/// Stops what runs beside a newer container of the same name: the runtime may have started one whose start was taken to have
/// failed.
fn stop_doubles(scene: &Scene<'_>, draft: &mut Draft) {
    let runtime = scene.inputs.runtime;
    let is_double = |record: &&RuntimeContainer| {
        let newest = runtime.container(&record.name).is_some_and(|newest| newest.id == record.id);
        record.state == ContainerState::Running && !newest
    };
    let stops = runtime.containers.iter().filter(is_double);
    let stops = stops.map(|it| stop(it, grace(scene.pod()), format!("Stopping container {}", it.name)));
    let stops: Vec<_> = stops.collect();
    if !stops.is_empty() {
        draft.actions.push(Action::Stop(stops));
    }
}

/// Has the init containers run, and says whether the regular ones may.
fn initialize(scene: &Scene<'_>, draft: &mut Draft, sandbox: &Sandbox) -> bool {
    let slots: Vec<&Slot<'_>> = scene.of(Role::Init).collect();
    let initialized = has_initialized(scene);
    // Those before the last that was started were done, and only sidecars among them are kept running.
    let last = slots.iter().rposition(|slot| scene.is_in(slot.name(), sandbox));
    let reached = if initialized { slots.len() } else { last.unwrap_or(0) };
    for slot in slots.iter().take(reached).filter(|slot| slot.is_sidecar()) {
        keep_sidecar(scene, draft, slot, sandbox);
    }
    if initialized {
        return true;
    }
    let done = match last.and_then(|last| slots.get(last)) {
        None => true,
        Some(slot) => advance_init(scene, draft, slot, sandbox),
    };
    match slots.get(last.map_or(0, |last| last + 1)) {
        _ if !done => false,
        None => true,
        Some(next) => {
            draft.start(scene, next);
            false
        }
    }
}

/// Has one init container get on, and says whether the next may.
fn advance_init(scene: &Scene<'_>, draft: &mut Draft, slot: &Slot<'_>, sandbox: &Sandbox) -> bool {
    let Run::Known(container) = scene.run(slot.name()) else { return false };
    if slot.is_sidecar() {
        keep_sidecar(scene, draft, slot, sandbox);
        return scene.has_started(slot, container);
    }
    match container.state {
        ContainerState::Running => {
            settle(draft, slot.name());
            false
        }
        ContainerState::Exited if container.exit_code == 0 => true,
        ContainerState::Exited | ContainerState::Created => {
            if container.state == ContainerState::Created || slot.restarts(scene.pod(), container.exit_code) {
                draft.start(scene, slot);
            }
            false
        }
        ContainerState::Unknown if scene.said_end(container).is_some_and(|end| end.exit_code == 0) => true,
        ContainerState::Unknown => {
            if slot.restarts(scene.pod(), LOST) {
                draft.replace(scene, slot, container, (Why::Other, unknown("Init container")), true);
            }
            false
        }
    }
}

fn unknown(what: &str) -> String {
    format!("{what} is in \"unknown\" state, try killing it before restart")
}

/// Keeps a sidecar running.
fn keep_sidecar(scene: &Scene<'_>, draft: &mut Draft, slot: &Slot<'_>, sandbox: &Sandbox) {
    let name = slot.name();
    let container = match scene.run(name) {
        Run::Known(container) if container.sandbox == sandbox.id => container,
        Run::Known(_) | Run::Never | Run::Gone(_) => {
            draft.start(scene, slot);
            return;
        }
    };
    let because = match container.state {
        ContainerState::Created | ContainerState::Exited => {
            draft.start(scene, slot);
            return;
        }
        ContainerState::Unknown => Some((Why::Other, unknown("Init container"))),
        ContainerState::Running => complaint(scene, slot, container, "Init container"),
    };
    match because {
        Some(because) => draft.replace(scene, slot, container, because, true),
        None => settle(draft, name),
    }
}

/// Keeps a regular container as it is to be.
fn keep(scene: &Scene<'_>, draft: &mut Draft, slot: &Slot<'_>, fit: &Fit<'_>) {
    let name = slot.name();
    let container = match scene.run(name) {
        Run::Known(container) => container,
        Run::Never => {
            draft.start(scene, slot);
            return;
        }
        Run::Gone(ended) => {
            if slot.restarts(scene.pod(), ended.exit_code) {
                draft.start(scene, slot);
            }
            return;
        }
    };
    match container.state {
        ContainerState::Created => draft.start(scene, slot),
        ContainerState::Exited => {
            if slot.restarts(scene.pod(), container.exit_code) {
                draft.start(scene, slot);
            } else {
                settle(draft, name);
            }
        }
        ContainerState::Unknown => draft.replace(scene, slot, container, (Why::Other, unknown("Container")), true),
        ContainerState::Running => match complaint(scene, slot, container, "Container") {
            Some((why, message)) => {
                let changed = why == Why::Other;
                let again = changed || slot.restarts(scene.pod(), LOST);
                let message = if again { format!("{message}, will be restarted") } else { message };
                draft.replace(scene, slot, container, (why, message), again);
            }
            None if fit.restarts.contains(&name) => {
                let message = format!("Container {name} resize requires restart");
                draft.replace(scene, slot, container, (Why::Other, message), true);
            }
            None => settle(draft, name),
        },
    }
}

/// Why a container that runs may not go on.
fn complaint(scene: &Scene<'_>, slot: &Slot<'_>, container: &RuntimeContainer, what: &str) -> Option<(Why, String)> {
    let name = slot.name();
    let probed = scene.probed(&container.id);
    if !container.hash.is_empty() && container.hash != hash_of(&slot.container) {
        Some((Why::Other, format!("{what} {name} definition changed")))
    } else if slot.container.liveness_probe.is_some() && probed.liveness == Some(false) {
        Some((Why::LivenessProbe, format!("{what} {name} failed liveness probe")))
    } else if slot.container.startup_probe.is_some() && probed.startup == Some(false) {
        Some((Why::StartupProbe, format!("{what} {name} failed startup probe")))
    } else {
        None
    }
}

/// A container is as it is to be: what went wrong before is of no interest any more.
fn settle(draft: &mut Draft, name: &str) {
    draft.memory.containers.remove(name);
}

/// Removes what nobody asks for any more: of each name, the two newest containers stay, which statuses speak of, and of
/// sandboxes the newest.
fn clear(scene: &Scene<'_>, draft: &mut Draft, sandbox: &Sandbox) {
    let runtime = scene.inputs.runtime;
    let is_old = |container: &&RuntimeContainer| {
        let nth = runtime.attempts(&container.name).position(|other| other.id == container.id);
        matches!(container.state, ContainerState::Created | ContainerState::Exited) && nth.is_some_and(|nth| nth > 1)
    };
    let old = runtime.containers.iter().filter(is_old);
    draft.actions.extend(old.map(|container| Action::Remove { id: container.id.clone() }));
    let empty = |id: &str| runtime.containers.iter().all(|container| container.sandbox != id);
    let old = runtime.sandboxes.iter().filter(|other| other.id != sandbox.id && !other.ready && empty(&other.id));
    draft.actions.extend(old.map(|other| Action::RemoveSandbox { id: other.id.clone() }));
}
