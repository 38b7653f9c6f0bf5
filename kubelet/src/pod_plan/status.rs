//! A pod's status as a whole (upstream's `generateAPIPodStatus`, its status manager's `mergePodStatus` and `TerminatePod`).
//!
//! A terminal phase is written only when nothing runs any more, and is never left.

use std::net::IpAddr;

use api::pod_resources::qos::class_of;
use k8s_openapi::api::core::v1::{ContainerStatus, HostIP, PodIP, PodStatus};

use super::conditions::{self, Circumstances, RESIZE_IN_PROGRESS, RESIZE_PENDING, Says};
use super::draft::Draft;
use super::phase::{has_started, phase, terminated};
use super::scene::{Place, Scene};
use super::spec::is_terminal;
use super::stopping::Cause;
use super::time::stated;
use super::{Resize, Role, Verdict, statuses, together};

/// What is said of the pod from now on; `ended` if nothing of it runs any more, and nothing of it will.
pub(super) fn of(scene: &Scene<'_>, draft: &Draft, cause: Option<&Cause>, ended: bool) -> PodStatus {
    let pod = scene.pod();
    let mut status = scene.old.clone();
    status.observed_generation = pod.metadata.generation;
    status.start_time.get_or_insert_with(|| stated(scene.now()));
    if status.qos_class.is_none() {
        status.qos_class = Some(class_of(pod));
    }
    if let Some(Cause::Rejected(verdict)) = cause {
        if !is_terminal(scene.old.phase.as_deref()) {
            fail(
                &mut status,
                &Verdict { message: format!("Pod was rejected: {}", verdict.message), ..verdict.clone() },
            );
        }
        return status;
    }
    if is_terminal(scene.old.phase.as_deref()) && was_never_here(scene) {
        return status;
    }
    let restarting = cause.is_none() && together::is_under_way(scene);
    describe(scene, draft, statuses::Course { ends: cause.is_some(), restarting }, &mut status);
    locate(scene, &mut status);
    let stopped = ended;
    let follows = match cause {
        Some(Cause::Failed(_)) => "Failed",
        _ => phase(pod, &status, stopped),
    };
    // Whatever is stopped has come to its end, and if it never ran, it has failed.
    let follows = if stopped && !is_terminal(Some(follows)) { "Failed" } else { follows };
    let follows = scene.old.phase.as_deref().filter(|phase| is_terminal(Some(phase))).unwrap_or(follows);
    settle(scene, cause, follows, ended, &mut status);
    if ended {
        give_up(scene, &mut status);
    }
    let circumstances = Circumstances {
        phase: follows.to_owned(),
        all_restarting: together::may(pod).then_some(restarting),
        has_sandbox: matches!(scene.place(), Place::Ready(_)),
        further: further(scene, draft, ended),
    };
    conditions::set(pod, &mut status, circumstances, scene.now());
    status
}

/// Whether nothing was ever said or seen of a container: the node did not take the pod.
fn was_never_here(scene: &Scene<'_>) -> bool {
    scene.slots.iter().all(|slot| scene.said(slot.name()).is_none()) && scene.inputs.runtime.containers.is_empty()
}

fn fail(status: &mut PodStatus, verdict: &Verdict) {
    status.phase = Some("Failed".to_owned());
    status.reason = Some(verdict.reason.clone());
    status.message = Some(verdict.message.clone());
}

/// Says how the containers are: init containers in their order, the others by name.
fn describe(scene: &Scene<'_>, draft: &Draft, course: statuses::Course, status: &mut PodStatus) {
    let of = |role| {
        let resize = draft.memory.resize.as_ref();
        let slots = scene.of(role);
        let all = slots.map(|slot| statuses::of(scene, slot, course, draft.waits.get(slot.name()), resize));
        let mut all: Vec<ContainerStatus> = all.collect();
        if role != Role::Init {
            all.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Some(all).filter(|all| !all.is_empty())
    };
    status.init_container_statuses = of(Role::Init);
    status.container_statuses = of(Role::Regular);
    status.ephemeral_container_statuses = of(Role::Ephemeral);
}

/// Says where the pod is. Addresses that it had are kept when it has no others.
fn locate(scene: &Scene<'_>, status: &mut PodStatus) {
    let host = &scene.inputs.host.addresses;
    if let Some(first) = host.first() {
        status.host_ip = Some(first.to_string());
        status.host_ips = Some(host.iter().map(|address| HostIP { ip: address.to_string() }).collect());
    }
    let addresses = if scene.is_on_host_network() {
        host.clone()
    } else {
        let sandbox = scene.inputs.runtime.sandbox().filter(|sandbox| sandbox.ready);
        sandbox.map_or(Vec::new(), |sandbox| one_of_each_family(&sandbox.addresses, host.first()))
    };
    let had = status.pod_ips.as_ref().map_or(0, Vec::len);
    // The addresses of a pod in its host's network stay what they were, but a second family may be added.
    let keeps = addresses.is_empty() || (scene.is_on_host_network() && had >= addresses.len());
    if !keeps {
        status.pod_ip = addresses.first().map(ToString::to_string);
        status.pod_ips = Some(addresses.iter().map(|address| PodIP { ip: address.to_string() }).collect());
    }
}

/// The first address of each family, and before the others that of the node's first.
fn one_of_each_family(addresses: &[IpAddr], first: Option<&IpAddr>) -> Vec<IpAddr> {
    let mut chosen: Vec<IpAddr> = Vec::new();
    for address in addresses {
        if chosen.iter().all(|known| known.is_ipv4() != address.is_ipv4()) {
            chosen.push(*address);
        }
    }
    // Stable: what the runtime says first stays so unless the node says otherwise.
    chosen.sort_by_key(|address| first.is_some_and(|first| first.is_ipv4() != address.is_ipv4()));
    chosen
}

/// Sets the phase and what goes with it.
fn settle(scene: &Scene<'_>, cause: Option<&Cause>, follows: &str, ended: bool, status: &mut PodStatus) {
    if is_terminal(scene.old.phase.as_deref()) {
        return;
    }
    if is_terminal(Some(follows)) && !ended {
        // Others take a terminal phase to mean that nothing runs any more.
        status.phase = Some(scene.old.phase.clone().unwrap_or_else(|| "Pending".to_owned()));
        return;
    }
    status.phase = Some(follows.to_owned());
    if let Some(Cause::Failed(verdict)) = cause.filter(|_| ended) {
        fail(status, verdict);
    }
}

/// Has every container be over that might have run: nobody knows how it ended.
fn give_up(scene: &Scene<'_>, status: &mut PodStatus) {
    if is_initialized(scene, status) {
        status.container_statuses.iter_mut().flatten().for_each(statuses::give_up);
    }
    let begun = |status: &ContainerStatus| {
        let waits = status.state.as_ref().is_some_and(|state| state.waiting.is_some());
        !waits || terminated(status).is_some()
    };
    let inits = status.init_container_statuses.as_deref_mut().unwrap_or_default();
    // The first is taken to have begun, even if there is no sign of it.
    let begun = inits.iter().rposition(begun).map_or(1, |last| last + 1);
    inits.iter_mut().take(begun).for_each(statuses::give_up);
}

/// Whether regular containers may have run (upstream's `hasPodInitialized`).
fn is_initialized(scene: &Scene<'_>, status: &PodStatus) -> bool {
    let Some(last) = scene.of(Role::Init).next_back() else { return true };
    let said = status.init_container_statuses.as_ref().and_then(|all| all.last());
    let done = said.is_some_and(|said| {
        if last.is_sidecar() {
            said.started == Some(true)
        } else {
            terminated(said).is_some_and(|end| end.exit_code == 0)
        }
    });
    has_started(status) || done
}

/// Conditions that are there at times.
fn further(scene: &Scene<'_>, draft: &Draft, ended: bool) -> Vec<Says> {
    let mut further = Vec::new();
    let condemned = scene.inputs.memory.condemned.as_ref().filter(|_| ended);
    if let Some(condemned) = condemned
        && let Some(reason) = &condemned.disruption
    {
        further.push(Says {
            type_: "DisruptionTarget",
            status: true,
            reason: Some(reason.clone()),
            message: Some(condemned.why.message.clone()),
        });
    }
    let pending = |reason: &str, message: &String| Says {
        type_: RESIZE_PENDING,
        status: true,
        reason: Some(reason.to_owned()),
        message: Some(message.clone()),
    };
    match draft.memory.resize.as_ref().filter(|_| !ended) {
        None => {}
        Some(Resize::Deferred(message)) => further.push(pending("Deferred", message)),
        Some(Resize::Infeasible(message)) => further.push(pending("Infeasible", message)),
        Some(Resize::InProgress(message)) => further.push(Says {
            type_: RESIZE_IN_PROGRESS,
            status: true,
            reason: message.as_ref().map(|_| "Error".to_owned()),
            message: message.clone(),
        }),
    }
    further
}
