//! Restarting all containers of a pod together, because one of them ended with an exit code for which its rules say so
//! (upstream's `RestartAllContainers`).
//!
//! Everything that runs is stopped, without hooks, and the records of it are removed; then the pod starts as it did the first
//! time, in the same sandbox. That this is under way is said in a condition, from which an agent that starts again knows it.

use k8s_openapi::api::core::v1::Pod;

use super::conditions::ALL_RESTARTING;
use super::draft::{Draft, stop};
use super::scene::{Run, Scene};
use super::spec::{grace, init, matching_rule, regular};
use super::{Action, Role, Verdict};
use crate::observed::ContainerState;

/// The action of a rule.
const ACTION: &str = "RestartAllContainers";

/// Whether a pod has a rule that restarts all of its containers.
pub(super) fn may(pod: &Pod) -> bool {
    let mut rules = init(pod).chain(regular(pod)).flat_map(|it| it.restart_policy_rules.iter().flatten());
    rules.any(|rule| rule.action == ACTION)
}

/// Whether all containers are being stopped so that they can start together.
pub(super) fn is_under_way(scene: &Scene<'_>) -> bool {
    if !may(scene.pod()) {
        return false;
    }
    let mut conditions = scene.old.conditions.iter().flatten();
    let begun = conditions.any(|condition| condition.type_ == ALL_RESTARTING && condition.status == "True");
    let mut known = scene.slots.iter().filter(|slot| slot.role != Role::Ephemeral).filter_map(|slot| {
        match scene.run(slot.name()) {
            Run::Known(record) => Some((slot, record)),
            Run::Never | Run::Gone(_) => None,
        }
    });
    known.any(|(slot, record)| {
        let exited = record.state == ContainerState::Exited;
        let rule = || matching_rule(&slot.container, record.exit_code);
        begun || (exited && rule().is_some_and(|rule| rule.action == ACTION))
    })
}

/// Stops what runs, then removes what was there.
pub(super) fn advance(scene: &Scene<'_>, draft: &mut Draft) {
    let records = &scene.inputs.runtime.containers;
    let grace = grace(scene.pod());
    let live = |state| matches!(state, ContainerState::Running | ContainerState::Unknown);
    let stops = records.iter().filter(|record| live(record.state)).map(|record| {
        let message = format!("Stopping container {}", record.name);
        super::Stop { hook: false, ..stop(record, grace, message) }
    });
    let stops: Vec<_> = stops.collect();
    if !stops.is_empty() {
        draft.actions.push(Action::Stop(stops));
        return;
    }
    // It has been said by now that they wait to be started again, so that nothing is missed when the records are gone.
    for slot in scene.slots.iter().filter(|slot| slot.role != Role::Ephemeral) {
        let attempts = scene.inputs.runtime.attempts(slot.name());
        draft.actions.extend(attempts.map(|record| Action::Remove { id: record.id.clone() }));
        draft.memory.containers.remove(slot.name());
    }
}

/// Why containers wait meanwhile, and how it is said that they ended.
pub(super) fn verdict() -> Verdict {
    Verdict {
        reason: "RestartingAllContainers".to_owned(),
        message: "The container is removed because RestartAllContainers in place".to_owned(),
    }
}
