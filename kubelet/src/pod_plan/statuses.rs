//! What is said of single containers: waiting, running, ended, and how it was before (upstream's
//! `convertToAPIContainerStatuses`).
//!
//! What has been said stays, unless the runtime knows better: an ended container whose record is gone stays ended, and
//! restarts are never fewer than before.

use k8s_openapi::api::core::v1::{
    Container, ContainerState as State, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, ContainerUser, LinuxContainerUser, VolumeMount, VolumeMountStatus,
};

use super::phase::terminated;
use super::resources::actual;
use super::scene::{LOST, Scene, last_end};
use super::spec::Slot;
use super::time::stated;
use super::{Resize, Role, Verdict, together};
use crate::observed::{ContainerState, RuntimeContainer};

/// Where the pod is on its way, as far as its containers have to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Course {
    /// It ends: what waited to be started again has ended.
    pub(super) ends: bool,
    /// All of its containers are being restarted together.
    pub(super) restarting: bool,
}

/// What is said of a container; `wait` is why it is not running if it is to run.
pub(super) fn of(
    scene: &Scene<'_>,
    slot: &Slot<'_>,
    course: Course,
    wait: Option<&Verdict>,
    resize: Option<&Resize>,
) -> ContainerStatus {
    let container = &slot.container;
    let mut status = ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        state: Some(waiting(&first_reason(scene))),
        last_state: Some(State::default()),
        started: Some(false).filter(|_| slot.role != Role::Ephemeral),
        volume_mounts: mounts(container),
        ..ContainerStatus::default()
    };
    match scene.inputs.runtime.container(slot.name()) {
        Some(record) => observe(scene, slot, record, &mut status, resize),
        None => remember(scene, slot, course, &mut status),
    }
    if course.restarting && slot.role != Role::Ephemeral {
        begin_anew(&mut status);
    } else if let Some(wait) = wait {
        hold(&mut status, wait);
    }
    status
}

/// A container that has ended because all of the pod's are restarted.
fn begin_anew(status: &mut ContainerStatus) {
    let why = together::verdict();
    let state = status.state.get_or_insert_default();
    if state.running.is_some() || state.waiting.is_some() {
        return;
    }
    if let Some(end) = &mut state.terminated {
        end.exit_code = LOST;
        (end.reason, end.message) = (Some(why.reason.clone()), Some(why.message.clone()));
    }
    hold(status, &why);
}

/// Why a container waits of which nothing is known yet.
fn first_reason(scene: &Scene<'_>) -> Verdict {
    let reason = if scene.of(Role::Init).next().is_some() { "PodInitializing" } else { "ContainerCreating" };
    Verdict { reason: reason.to_owned(), message: String::new() }
}

fn waiting(why: &Verdict) -> State {
    let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let waiting = ContainerStateWaiting { reason: text(&why.reason), message: text(&why.message) };
    State { waiting: Some(waiting), ..State::default() }
}

fn ended(terminated: ContainerStateTerminated) -> State {
    State { terminated: Some(terminated), ..State::default() }
}

/// A container that is to run and waits.
fn hold(status: &mut ContainerStatus, why: &Verdict) {
    let Some(state) = &status.state else { return };
    if state.running.is_some() {
        return;
    }
    if let Some(end) = &state.terminated {
        status.last_state = Some(ended(end.clone()));
    }
    status.state = Some(waiting(why));
    status.ready = false;
}

/// Says what the runtime knows.
fn observe(
    scene: &Scene<'_>,
    slot: &Slot<'_>,
    record: &RuntimeContainer,
    status: &mut ContainerStatus,
    resize: Option<&Resize>,
) {
    let said = scene.said(slot.name());
    let attempt = i32::try_from(record.attempt).unwrap_or(i32::MAX);
    status.restart_count = attempt.max(said.map_or(0, |said| said.restart_count));
    status.container_id = Some(scene.id(&record.id));
    status.image_id = record.image_id.clone();
    if !record.image.is_empty() {
        status.image = record.image.clone();
    }
    status.user = user(record);
    let before = scene.inputs.runtime.attempts(slot.name()).skip(1);
    let before = before.into_iter().find(|older| older.state == ContainerState::Exited);
    let last = before.map(|older| ended(end_of(scene, older))).or_else(|| last_said(scene, record));
    status.last_state = Some(last.unwrap_or_default());
    match record.state {
        ContainerState::Running => {
            let started_at = Some(stated(record.started.unwrap_or(record.created)));
            status.state = Some(State { running: Some(ContainerStateRunning { started_at }), ..State::default() });
        }
        ContainerState::Exited => status.state = Some(ended(end_of(scene, record))),
        ContainerState::Created => {}
        ContainerState::Unknown => {
            let state = said.and_then(|said| said.state.as_ref());
            let running = state.is_some_and(|state| state.running.is_some());
            if let Some(end) = state.and_then(|state| state.terminated.as_ref()) {
                // It ended before the runtime lost sight of it.
                status.state = Some(ended(end.clone()));
            } else if running || record.started.is_some() {
                status.state = Some(ended(lost(TERMINATED)));
            }
        }
    }
    allocate(scene, slot, record, status, resize);
    judge(scene, slot, record, status);
}

/// How the container before this one ended, if only the status that was written last knows.
fn last_said(scene: &Scene<'_>, record: &RuntimeContainer) -> Option<State> {
    let said = scene.said(&record.name)?;
    let same = said.container_id.as_deref() == Some(&scene.id(&record.id));
    let last = if same { said.last_state.as_ref()?.terminated.as_ref() } else { terminated(said) };
    // A container that waited to be restarted was said to have ended before: that was its own end.
    let last = last.filter(|end| end.container_id.as_deref() != Some(&scene.id(&record.id)));
    last.cloned().map(ended)
}

/// Says again what was said of a container that the runtime does not have.
fn remember(scene: &Scene<'_>, slot: &Slot<'_>, course: Course, status: &mut ContainerStatus) {
    let Some(said) = scene.said(slot.name()) else { return };
    let state = said.state.clone().unwrap_or_default();
    if state.terminated.is_some() {
        *status = said.clone();
        return;
    }
    status.restart_count = said.restart_count;
    if let Some(end) = last_end(said) {
        // It waited to be started again.
        *status = said.clone();
        if course.ends {
            (status.state, status.last_state) = (Some(ended(end.clone())), Some(State::default()));
        }
    } else if state.running.is_some() {
        let end = ContainerStateTerminated { started_at: state.running.and_then(|it| it.started_at), ..lost(VANISHED) };
        let end = ContainerStateTerminated { container_id: said.container_id.clone(), ..end };
        *status = ContainerStatus { started: status.started, ready: false, ..said.clone() };
        status.state = Some(ended(end));
    }
}

/// What is said of a container that nobody has seen end.
const TERMINATED: &str = "The container could not be located when the pod was terminated";
const VANISHED: &str = "The container could not be located when the pod was deleted.  The container used to be Running";

fn lost(message: &str) -> ContainerStateTerminated {
    ContainerStateTerminated {
        exit_code: LOST,
        reason: Some("ContainerStatusUnknown".to_owned()),
        message: Some(message.to_owned()),
        ..ContainerStateTerminated::default()
    }
}

/// Has a container be over that was never seen to end.
pub(super) fn give_up(status: &mut ContainerStatus) {
    if status.state.as_ref().is_none_or(|state| state.terminated.is_none()) {
        status.state = Some(ended(lost(TERMINATED)));
        status.ready = false;
        status.started = status.started.map(|_| false);
    }
}

fn end_of(scene: &Scene<'_>, record: &RuntimeContainer) -> ContainerStateTerminated {
    let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    ContainerStateTerminated {
        exit_code: record.exit_code,
        reason: text(&record.reason),
        message: text(&record.message),
        started_at: record.started.map(stated),
        finished_at: record.finished.map(stated),
        container_id: Some(scene.id(&record.id)),
        signal: None,
    }
}

/// Whether it is started and ready.
fn judge(scene: &Scene<'_>, slot: &Slot<'_>, record: &RuntimeContainer, status: &mut ContainerStatus) {
    match slot.role {
        Role::Ephemeral => {}
        Role::Regular => {
            status.started = Some(scene.has_started(slot, record));
            status.ready = scene.is_ready(slot, record);
        }
        Role::Init => {
            status.started = Some(scene.has_started(slot, record));
            let done = record.state == ContainerState::Exited && record.exit_code == 0;
            status.ready = if slot.is_sidecar() { scene.is_ready(slot, record) } else { done };
        }
    }
}

/// What it was given, and what it has of it.
fn allocate(
    scene: &Scene<'_>,
    slot: &Slot<'_>,
    record: &RuntimeContainer,
    status: &mut ContainerStatus,
    resize: Option<&Resize>,
) {
    let said = scene.said_of(record);
    if slot.role == Role::Ephemeral {
        return;
    }
    let wanted = slot.container.resources.clone().unwrap_or_default();
    let allocated = wanted.requests.filter(|requests| !requests.is_empty());
    let refused = matches!(resize, Some(Resize::Deferred(_) | Resize::Infeasible(_)));
    status.allocated_resources = match said {
        // What there is no room for was not given.
        Some(said) if refused => said.allocated_resources.clone(),
        _ => allocated,
    };
    let applied = record.resources.as_ref().filter(|_| record.state == ContainerState::Running);
    let pending = said.filter(|_| resize.is_some() && applied.is_none());
    status.resources = match pending.and_then(|said| said.resources.clone()) {
        // The runtime does not tell, and the change has not been made.
        Some(resources) => Some(resources),
        None => Some(actual(&slot.container, applied)),
    };
}

fn user(record: &RuntimeContainer) -> Option<ContainerUser> {
    let user = record.user.as_ref()?;
    let groups = Some(user.supplemental_groups.clone()).filter(|groups| !groups.is_empty());
    let linux = LinuxContainerUser { uid: user.uid, gid: user.gid, supplemental_groups: groups };
    Some(ContainerUser { linux: Some(linux) })
}

fn mounts(container: &Container) -> Option<Vec<VolumeMountStatus>> {
    let mounts: Vec<VolumeMountStatus> = container.volume_mounts.iter().flatten().map(mount).collect();
    Some(mounts).filter(|mounts| !mounts.is_empty())
}

/// How a volume is mounted, as a status says it.
pub(crate) fn mount(mount: &VolumeMount) -> VolumeMountStatus {
    let read_only = mount.read_only == Some(true);
    let recursive = match mount.recursive_read_only.as_deref() {
        Some("Enabled" | "IfPossible") => "Enabled",
        _ => "Disabled",
    };
    VolumeMountStatus {
        name: mount.name.clone(),
        mount_path: mount.mount_path.clone(),
        read_only: Some(true).filter(|_| read_only),
        recursive_read_only: Some(recursive.to_owned()).filter(|_| read_only),
        volume_status: None,
    }
}
