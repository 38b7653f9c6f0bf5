//! The phase and the conditions of a pod, as they follow from the states of its containers (upstream's `getPhase` and
//! `status/generate.go`).

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodCondition, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::containers::{is_running, restarts, terminated};
use super::draws::is_sidecar;
use super::second;

/// The conditions that a kubelet owns, in its order.
const OWN: [&str; 5] = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

/// Whether no container of a pod in this phase will ever run again.
pub(in crate::hollow) fn is_terminal(phase: Option<&str>) -> bool {
    matches!(phase, Some("Succeeded" | "Failed"))
}

fn init(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten())
}

fn regular(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.spec.iter().flat_map(|spec| &spec.containers)
}

fn status_of<'a>(statuses: Option<&'a Vec<ContainerStatus>>, name: &str) -> Option<&'a ContainerStatus> {
    statuses.into_iter().flatten().find(|status| status.name == name)
}

fn is_waiting_for_the_first_time(status: &ContainerStatus) -> bool {
    !is_running(status) && terminated(status).is_none()
}

/// How many containers are how.
#[derive(Default)]
struct Tally {
    pending: usize,
    running: usize,
    waiting: usize,
    unknown: usize,
    stopped: usize,
    for_good: usize,
    succeeded: usize,
}

impl Tally {
    fn of(pod: &Pod, status: &PodStatus) -> Tally {
        let mut tally = Tally::default();
        let initialized =
            status.container_statuses.iter().flatten().any(|status| !is_waiting_for_the_first_time(status));
        for container in init(pod) {
            let found = status_of(status.init_container_statuses.as_ref(), &container.name);
            let sidecar = is_sidecar(container);
            match found {
                Some(found) if sidecar && is_running(found) => {
                    tally.pending += usize::from(found.started != Some(true) && !initialized);
                    tally.running += 1;
                }
                Some(found) if terminated(found).is_some() => {}
                Some(_) if sidecar => (tally.pending, tally.waiting) = (tally.pending + 1, tally.waiting + 1),
                None if sidecar => tally.unknown += 1,
                _ => tally.pending += 1,
            }
        }
        for container in regular(pod) {
            match status_of(status.container_statuses.as_ref(), &container.name) {
                Some(found) if is_running(found) => tally.running += 1,
                Some(found) => match terminated(found) {
                    Some(end) => {
                        tally.stopped += 1;
                        tally.for_good += usize::from(!restarts(pod, container, end.exit_code));
                        // A container that waits to be restarted has not succeeded, however its last run ended.
                        let over = found.state.as_ref().is_some_and(|state| state.terminated.is_some());
                        tally.succeeded += usize::from(over && end.exit_code == 0);
                    }
                    None => tally.waiting += 1,
                },
                None => tally.unknown += 1,
            }
        }
        tally
    }
}

/// The phase of a pod whose containers are as `status` says; `stopped` if none of them will be started again.
pub(super) fn phase(pod: &Pod, status: &PodStatus, stopped: bool) -> &'static str {
    let tally = Tally::of(pod, status);
    if tally.pending > 0 || tally.waiting > 0 {
        return "Pending";
    }
    match tally {
        Tally { unknown: 1.., .. } => "Pending",
        Tally { running: 1.., .. } => "Running",
        Tally { stopped: 0, .. } => "Pending",
        _ if !stopped && tally.stopped != tally.for_good => "Running",
        _ if tally.stopped == tally.succeeded => "Succeeded",
        _ => "Failed",
    }
}

/// What a condition says.
struct Says {
    status: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Says {
    fn yes() -> Says {
        Says { status: true, reason: None, message: None }
    }

    fn no(reason: &'static str, message: Option<String>) -> Says {
        Says { status: false, reason: Some(reason), message }
    }
}

/// Sets the conditions that a kubelet owns. Those of others stay, before them.
pub(super) fn set(pod: &Pod, status: &mut PodStatus, has_sandbox: bool, now: Timestamp) {
    let old = status.conditions.take().unwrap_or_default();
    let (known, mut conditions): (Vec<_>, Vec<_>) =
        old.into_iter().partition(|condition| OWN.contains(&condition.type_.as_str()));
    let containers = containers_ready(pod, status);
    let ready = if containers.status { gates(pod, &conditions) } else { containers_ready(pod, status) };
    let sandbox = Says { status: has_sandbox, reason: None, message: None };
    let said = [sandbox, initialized(pod, status), ready, containers, Says::yes()];
    for (type_, says) in OWN.into_iter().zip(said) {
        let known = known.iter().find(|condition| condition.type_ == type_);
        conditions.push(condition(type_, says, known, pod.metadata.generation, now));
    }
    status.conditions = Some(conditions);
}

fn condition(
    type_: &str,
    says: Says,
    known: Option<&PodCondition>,
    generation: Option<i64>,
    now: Timestamp,
) -> PodCondition {
    let status = if says.status { "True" } else { "False" };
    let since = known.filter(|known| known.status == status).and_then(|known| known.last_transition_time.clone());
    PodCondition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: says.reason.map(str::to_owned),
        message: says.message,
        observed_generation: generation,
        last_probe_time: None,
        last_transition_time: since.or(Some(Time(second(now)))),
    }
}

/// `containers with unready status: [a b]`, and the same of those that are unknown.
fn complaint(parts: &[(&str, Vec<&str>)]) -> Option<String> {
    let parts = parts.iter().filter(|(_, names)| !names.is_empty());
    let texts: Vec<String> =
        parts.map(|(what, names)| format!("containers with {what} status: [{}]", names.join(" "))).collect();
    if texts.is_empty() { None } else { Some(texts.join(", ")) }
}

fn containers_ready(pod: &Pod, status: &PodStatus) -> Says {
    let (mut unknown, mut unready) = (Vec::new(), Vec::new());
    let sidecars = init(pod).filter(|container| is_sidecar(container));
    let sidecars = sidecars.map(|container| (container, status.init_container_statuses.as_ref()));
    let regular = regular(pod).map(|container| (container, status.container_statuses.as_ref()));
    for (container, statuses) in sidecars.chain(regular) {
        match status_of(statuses, &container.name) {
            None => unknown.push(container.name.as_str()),
            Some(found) if !found.ready => unready.push(container.name.as_str()),
            Some(_) => {}
        }
    }
    match status.phase.as_deref() {
        Some("Succeeded") if unknown.is_empty() => return Says::no("PodCompleted", None),
        Some("Failed") => return Says::no("PodFailed", None),
        _ => {}
    }
    match complaint(&[("unknown", unknown), ("unready", unready)]) {
        Some(message) => Says::no("ContainersNotReady", Some(message)),
        None => Says::yes(),
    }
}

/// What the readiness gates of a pod make of conditions that others set.
fn gates(pod: &Pod, conditions: &[PodCondition]) -> Says {
    let gates = pod.spec.iter().flat_map(|spec| spec.readiness_gates.iter().flatten());
    let complaints = gates.filter_map(|gate| {
        let name = &gate.condition_type;
        match conditions.iter().find(|condition| condition.type_ == *name) {
            None => Some(format!("corresponding condition of pod readiness gate \"{name}\" does not exist.")),
            Some(found) if found.status == "True" => None,
            Some(found) => {
                let status = &found.status;
                Some(format!("the status of pod readiness gate \"{name}\" is not \"True\", but {status}"))
            }
        }
    });
    let complaints: Vec<String> = complaints.collect();
    if complaints.is_empty() { Says::yes() } else { Says::no("ReadinessGatesNotReady", Some(complaints.join(", "))) }
}

fn initialized(pod: &Pod, status: &PodStatus) -> Says {
    let (mut unknown, mut incomplete) = (Vec::new(), Vec::new());
    for container in init(pod) {
        match status_of(status.init_container_statuses.as_ref(), &container.name) {
            None => unknown.push(container.name.as_str()),
            Some(found) => {
                let done = if is_sidecar(container) { found.started == Some(true) } else { found.ready };
                if !done {
                    incomplete.push(container.name.as_str());
                }
            }
        }
    }
    if status.phase.as_deref() == Some("Succeeded") && unknown.is_empty() {
        return Says { status: true, reason: Some("PodCompleted"), message: None };
    }
    let started = status.container_statuses.iter().flatten().any(|status| !is_waiting_for_the_first_time(status));
    match complaint(&[("unknown", unknown), ("incomplete", incomplete)]) {
        Some(message) if !started => Says::no("ContainersNotInitialized", Some(message)),
        _ => Says::yes(),
    }
}
