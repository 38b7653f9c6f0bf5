//! Changing what containers may use while they run (upstream's in-place pod resize).
//!
//! Whether the node has room is decided before, and remembered as deferred or infeasible if it has not. What is left here
//! is to see what differs, and whether a container has to be restarted for it.

use std::fmt::Write as _;
use std::time::Duration;

use super::draft::Draft;
use super::resources::Wanted;
use super::scene::{Run, Scene};
use super::spec::Slot;
use super::time::after;
use super::{Resize, Role, Tried};
use crate::observed::{AppliedResources, ContainerState};

/// How long to wait before the same change is made once more that has not come about.
const AGAIN: Duration = Duration::from_secs(10);

/// How well the containers that run have what they are to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fit<'a> {
    /// Whether anything is to be changed now.
    pub(super) changes: bool,
    /// Which containers have to be restarted for it.
    pub(super) restarts: Vec<&'a str>,
}

/// Compares what containers have with what they are to have.
pub(super) fn look<'a>(scene: &'a Scene<'_>, draft: &mut Draft) -> Fit<'a> {
    let mut fit = Fit::default();
    let mut what = String::new();
    let candidates = scene.of(Role::Init).filter(|slot| slot.is_sidecar()).chain(scene.of(Role::Regular));
    for slot in candidates {
        let Some(applied) = applied(scene, slot) else { continue };
        let wanted = Wanted::of(&slot.container);
        let differing = wanted.differing(&applied);
        if differing.is_empty() {
            continue;
        }
        // Writing to a string does not fail.
        let _ = write!(what, "{} {wanted:?} {applied:?};", slot.name());
        if slot.role == Role::Regular && differing.iter().any(|resource| is_restarted_for(slot, resource)) {
            fit.restarts.push(slot.name());
        }
    }
    if what.is_empty() {
        (draft.memory.resize, draft.memory.resized) = (None, None);
        return fit;
    }
    if matches!(draft.memory.resize, Some(Resize::Deferred(_) | Resize::Infeasible(_))) {
        return Fit::default();
    }
    if draft.memory.resize.is_none() {
        draft.memory.resize = Some(Resize::InProgress(None));
    }
    if let Some(tried) = draft.memory.resized.as_ref().filter(|tried| tried.what == what) {
        let due = after(tried.at, AGAIN);
        if due > scene.now() {
            draft.look(due);
            return Fit::default();
        }
    }
    draft.memory.resized = Some(Tried { what, at: scene.now() });
    fit.changes = true;
    fit
}

fn applied(scene: &Scene<'_>, slot: &Slot<'_>) -> Option<AppliedResources> {
    match scene.run(slot.name()) {
        Run::Known(container) if container.state == ContainerState::Running => container.resources,
        Run::Known(_) | Run::Never | Run::Gone(_) => None,
    }
}

fn is_restarted_for(slot: &Slot<'_>, resource: &str) -> bool {
    let mut policies = slot.container.resize_policy.iter().flatten();
    policies.any(|policy| policy.resource_name == resource && policy.restart_policy == "RestartContainer")
}
