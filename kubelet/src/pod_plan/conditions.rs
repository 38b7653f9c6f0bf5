//! The conditions of a pod, as they follow from the states of its containers (upstream's `status/generate.go`).

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition, PodStatus};

use super::phase::{has_started, status_of};
use super::spec::{init, is_sidecar, regular};
use super::time::stated;

/// The conditions that every pod has from its kubelet, in its order.
const ALWAYS: [&str; 5] = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];
/// Those that a kubelet owns and that are there at times.
pub(crate) const RESIZE_PENDING: &str = "PodResizePending";
pub(crate) const ALL_RESTARTING: &str = "AllContainersRestarting";
pub(crate) const RESIZE_IN_PROGRESS: &str = "PodResizeInProgress";

const AT_TIMES: [&str; 3] = [RESIZE_PENDING, RESIZE_IN_PROGRESS, ALL_RESTARTING];

/// What conditions depend on besides the containers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Circumstances {
    /// The phase that follows from the containers, which may be ahead of the one that is written.
    pub(crate) phase: String,
    /// Whether it has a sandbox with a network.
    pub(crate) has_sandbox: bool,
    /// Whether all containers are being restarted, if the pod is one of which that may be said.
    pub(crate) all_restarting: Option<bool>,
    /// Conditions that are there now and not always.
    pub(crate) further: Vec<Says>,
}

/// What a condition says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Says {
    pub(crate) type_: &'static str,
    pub(crate) status: bool,
    pub(crate) reason: Option<String>,
    pub(crate) message: Option<String>,
}

impl Says {
    fn yes() -> Says {
        Says { status: true, ..Says::default() }
    }

    fn no(reason: &str, message: Option<String>) -> Says {
        Says { reason: Some(reason.to_owned()), message, ..Says::default() }
    }
}

/// Sets the conditions that a kubelet owns. Those of others stay, before them.
pub(crate) fn set(pod: &Pod, status: &mut PodStatus, circumstances: Circumstances, now: Timestamp) {
    let Circumstances { phase, has_sandbox, all_restarting, further } = circumstances;
    let old = status.conditions.take().unwrap_or_default();
    let is_own = |type_: &str| ALWAYS.contains(&type_) || AT_TIMES.contains(&type_);
    let is_set = |type_: &str| further.iter().any(|says| says.type_ == type_);
    let mut conditions: Vec<PodCondition> =
        old.iter().filter(|condition| !is_own(&condition.type_) && !is_set(&condition.type_)).cloned().collect();
    let containers = containers_ready(pod, status, &phase);
    let ready = if containers.status { gates(pod, &conditions) } else { containers.clone() };
    let sandbox = Says { status: has_sandbox, ..Says::default() };
    let said = [sandbox, initialized(pod, status, &phase), ready, containers, Says::yes()];
    let said = ALWAYS.into_iter().zip(said).map(|(type_, says)| Says { type_, ..says });
    let restarting = all_restarting.map(|restarting| restarts(restarting, &phase));
    for says in further.into_iter().chain(said).chain(restarting) {
        let known = old.iter().find(|condition| condition.type_ == says.type_);
        conditions.push(condition(says, known, pod.metadata.generation, now));
    }
    status.conditions = Some(conditions);
}

fn condition(says: Says, known: Option<&PodCondition>, generation: Option<i64>, now: Timestamp) -> PodCondition {
    let status = if says.status { "True" } else { "False" };
    let since = known.filter(|known| known.status == status).and_then(|known| known.last_transition_time.clone());
    PodCondition {
        type_: says.type_.to_owned(),
        status: status.to_owned(),
        reason: says.reason,
        message: says.message,
        observed_generation: generation,
        last_probe_time: None,
        last_transition_time: since.or(Some(stated(now))),
    }
}

/// Whether all containers are being restarted.
fn restarts(restarting: bool, phase: &str) -> Says {
    let says = match phase {
        "Succeeded" => Says::no("PodCompleted", None),
        "Failed" => Says::no("PodFailed", None),
        _ if restarting => Says {
            reason: Some("RestartAllContainersStarted".to_owned()),
            message: Some("container exited with restart policy rule".to_owned()),
            ..Says::yes()
        },
        _ => Says::default(),
    };
    Says { type_: ALL_RESTARTING, ..says }
}

/// `containers with unready status: [a b]`, and the same of those that are unknown.
fn complaint(parts: &[(&str, Vec<&str>)]) -> Option<String> {
    let parts = parts.iter().filter(|(_, names)| !names.is_empty());
    let texts: Vec<String> =
        parts.map(|(what, names)| format!("containers with {what} status: [{}]", names.join(" "))).collect();
    if texts.is_empty() { None } else { Some(texts.join(", ")) }
}

/// Whether nothing is known of any container.
fn is_unknown(status: &PodStatus) -> bool {
    let none = |statuses: &Option<Vec<_>>| statuses.as_ref().is_none_or(Vec::is_empty);
    none(&status.init_container_statuses) && none(&status.container_statuses)
}

fn containers_ready(pod: &Pod, status: &PodStatus, phase: &str) -> Says {
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
    match phase {
        "Succeeded" if unknown.is_empty() => return Says::no("PodCompleted", None),
        "Failed" => return Says::no("PodFailed", None),
        _ => {}
    }
    if is_unknown(status) {
        return Says::no("UnknownContainerStatuses", None);
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

fn initialized(pod: &Pod, status: &PodStatus, phase: &str) -> Says {
    if is_unknown(status) && init(pod).next().is_some() {
        return Says::no("UnknownContainerStatuses", None);
    }
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
    if phase == "Succeeded" && unknown.is_empty() {
        return Says { reason: Some("PodCompleted".to_owned()), ..Says::yes() };
    }
    match complaint(&[("unknown", unknown), ("incomplete", incomplete)]) {
        Some(message) if !has_started(status) => Says::no("ContainersNotInitialized", Some(message)),
        _ => Says::yes(),
    }
}
