//! Changing what containers may use while they run (upstream's in-place pod resize).
//!
//! Whether the node has room is decided before, and remembered as deferred or infeasible if it has not. What is left here
//! is to see what differs, and whether a container has to be restarted for it.

use std::fmt::Write as _;
use std::time::Duration;

use k8s_openapi::api::core::v1::ResourceRequirements;
use serde::Serialize;

use super::draft::Draft;
use super::resources::Wanted;
use super::scene::{Run, Scene};
use super::spec::Slot;
use super::time::after;
use super::{Resize, Role, Says, Tried};
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

/// What a container has.
#[derive(Clone, Copy, Debug)]
enum Has {
    /// As the kernel has it.
    Applied(AppliedResources),
    /// As it was last said, where the runtime does not tell.
    Said(Wanted),
}

/// Compares what containers have with what they are to have.
pub(super) fn look<'a>(scene: &'a Scene<'_>, draft: &mut Draft) -> Fit<'a> {
    let mut fit = Fit::default();
    let (mut what, mut told) = (String::new(), false);
    let candidates = scene.of(Role::Init).filter(|slot| slot.is_sidecar()).chain(scene.of(Role::Regular));
    for slot in candidates {
        let Some(has) = has(scene, slot) else { continue };
        let wanted = Wanted::of(slot.container.resources.as_ref());
        let differing = match &has {
            Has::Applied(applied) => wanted.differing(applied),
            Has::Said(said) => wanted.differing_from(said),
        };
        if differing.is_empty() {
            continue;
        }
        told |= matches!(has, Has::Applied(_));
        // Writing to a string does not fail.
        let _ = write!(what, "{} {wanted:?} {has:?};", slot.name());
        if slot.role == Role::Regular && differing.iter().any(|resource| is_restarted_for(slot, resource)) {
            fit.restarts.push(slot.name());
        }
    }
    if what.is_empty() {
        finish(scene, draft);
        return fit;
    }
    decide(scene, draft, what, told, fit)
}

/// Whether what differs is to be changed now.
fn decide<'a>(scene: &Scene<'_>, draft: &mut Draft, what: String, told: bool, fit: Fit<'a>) -> Fit<'a> {
    if matches!(draft.memory.resize, Some(Resize::Deferred(_) | Resize::Infeasible(_))) {
        return Fit::default();
    }
    if let Some(tried) = draft.memory.resized.as_ref().filter(|tried| tried.what == what) {
        let failed = matches!(draft.memory.resize, Some(Resize::InProgress(Some(_))));
        if !told && !failed {
            // As far as anybody can tell it has been done.
            finish(scene, draft);
            return Fit::default();
        }
        let due = after(tried.at, AGAIN);
        if due > scene.now() {
            draft.memory.resize.get_or_insert(Resize::InProgress(None));
            draft.look(due);
            return Fit::default();
        }
    }
    let begins = draft.memory.resized.as_ref().is_none_or(|tried| tried.what != what);
    match &draft.memory.resize {
        // What went wrong the last time is said until it is known to have gone well.
        Some(Resize::InProgress(Some(error))) => draft.says.push(says(scene, "ResizeError", Some(error))),
        _ if begins => draft.says.push(says(scene, "ResizeStarted", None)),
        _ => {}
    }
    draft.memory.resize.get_or_insert(Resize::InProgress(None));
    draft.memory.resized = Some(Tried { what, at: scene.now() });
    Fit { changes: true, ..fit }
}

/// Everything is as it is to be.
fn finish(scene: &Scene<'_>, draft: &mut Draft) {
    if draft.memory.resized.is_some() {
        draft.says.push(says(scene, "ResizeCompleted", None));
    }
    draft.memory.resized = None;
    // A change that waits is none of those that were made.
    if matches!(draft.memory.resize, Some(Resize::InProgress(_))) {
        draft.memory.resize = None;
    }
}

/// What an Event says of the resources that a pod is to have.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    init_containers: Vec<Entry<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    containers: Vec<Entry<'a>>,
    generation: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// A container's part of it.
#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    resources: ResourceRequirements,
}

/// An Event about a change of resources, as upstream words it.
fn says(scene: &Scene<'_>, reason: &'static str, error: Option<&str>) -> Says {
    let entries = |role| {
        let entry = |slot: &'_ Slot<'_>| {
            let resources = slot.container.resources.clone().unwrap_or_default();
            ResourceRequirements { claims: None, ..resources }
        };
        let slots = scene.of(role).filter(|slot| role == Role::Regular || slot.is_sidecar());
        slots.map(|slot| Entry { name: slot.name(), resources: entry(slot) }).collect()
    };
    let report = Report {
        init_containers: entries(Role::Init),
        containers: entries(Role::Regular),
        generation: scene.pod().metadata.generation.unwrap_or_default(),
        error,
    };
    let verb = match reason {
        "ResizeStarted" => "started",
        "ResizeCompleted" => "completed",
        _ => "error",
    };
    let report = serde_json::to_string(&report).unwrap_or_default();
    Says { warning: error.is_some(), reason, message: format!("Pod resize {verb}: {report}"), field: None }
}

fn has(scene: &Scene<'_>, slot: &Slot<'_>) -> Option<Has> {
    let Run::Known(container) = scene.run(slot.name()) else { return None };
    if container.state != ContainerState::Running {
        return None;
    }
    match container.resources {
        Some(applied) => Some(Has::Applied(applied)),
        None => Some(Has::Said(Wanted::of(Some(scene.said_of(container)?.resources.as_ref()?)))),
    }
}

fn is_restarted_for(slot: &Slot<'_>, resource: &str) -> bool {
    let mut policies = slot.container.resize_policy.iter().flatten();
    policies.any(|policy| policy.resource_name == resource && policy.restart_policy == "RestartContainer")
}
