//! What `kubectl get pods` shows.

use std::collections::BTreeMap;

use api::duration;
use api::table::RowCondition;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::validation::{self, is_sidecar};
use crate::strategy::{AGE_COLUMN, Column, NAME_COLUMN};

const NONE: &str = "<none>";
/// The reason that the node lifecycle controller gives to pods of a node that it cannot reach.
const NODE_LOST: &str = "NodeLost";

/// The columns.
pub(super) const COLUMNS: &[Column] = &[
    NAME_COLUMN,
    Column::new("Ready", "The aggregate readiness state of this pod for accepting traffic."),
    Column::new("Status", "The aggregate status of the containers in this pod."),
    Column::new(
        "Restarts",
        "The number of times the containers in this pod have been restarted and when the last container in this pod has \
         restarted.",
    ),
    AGE_COLUMN,
    Column::new("IP", "podIP address allocated to the pod. Routable at least within the cluster. Empty if not yet allocated.")
        .wide(),
    Column::new(
        "Node",
        "NodeName indicates in which node this pod is scheduled. If empty, this pod is a candidate for scheduling by the \
         scheduler defined in schedulerName. Once this field is set, the kubelet for this node becomes responsible for the \
         lifecycle of this pod. This field should not be used to express a desire for the pod to be scheduled on a \
         specific node. https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#nodename",
    )
    .wide(),
    Column::new(
        "Nominated Node",
        "nominatedNodeName is set only when this pod preempts other pods on the node, but it cannot be scheduled right away \
         as preemption victims receive their graceful termination periods. This field does not guarantee that the pod \
         will be scheduled on this node. Scheduler may decide to place the pod elsewhere if other nodes become available \
         sooner. Scheduler may also decide to give the resources on this node to a higher priority pod that is created \
         after preemption. As a result, this field may be different than PodSpec.nodeName when the pod is scheduled.",
    )
    .wide(),
    Column::new(
        "Readiness Gates",
        "If specified, all readiness gates will be evaluated for pod readiness. A pod is ready when all its containers are \
         ready AND all conditions specified in the readiness gates have status equal to \"True\" More info: \
         https://git.k8s.io/enhancements/keps/sig-network/580-pod-readiness-gates",
    )
    .wide(),
];

/// The cells of a pod's row.
pub(super) fn row(pod: &Pod, now: Timestamp) -> Vec<Value> {
    let none = PodStatus::default();
    let status = pod.status.as_ref().unwrap_or(&none);
    let spec = validation::spec_of(pod);
    let summary = summarize(pod, status, now);
    let or_none = |text: Option<&str>| text.filter(|text| !text.is_empty()).unwrap_or(NONE).to_owned();
    let ip = status.pod_ips.iter().flatten().next().map(|ip| ip.ip.as_str()).or(status.pod_ip.as_deref());
    vec![
        pod.metadata.name.clone().into(),
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.reason.into(),
        summary.restarts.into(),
        duration::age(pod.metadata.creation_timestamp.as_ref(), now).into(),
        or_none(ip).into(),
        or_none(spec.node_name.as_deref()).into(),
        or_none(status.nominated_node_name.as_deref()).into(),
        readiness_gates(pod, status).into(),
    ]
}

/// That a pod has run to its end.
pub(super) fn row_conditions(pod: &Pod) -> Vec<RowCondition> {
    match pod.status.as_ref().and_then(|status| status.phase.as_deref()) {
        Some("Succeeded") => vec![RowCondition::completed("Succeeded", "The pod has completed successfully.")],
        Some("Failed") => vec![RowCondition::completed("Failed", "The pod failed.")],
        _ => Vec::new(),
    }
}

struct Summary {
    ready: usize,
    total: usize,
    reason: String,
    restarts: String,
}

fn summarize(pod: &Pod, status: &PodStatus, now: Timestamp) -> Summary {
    let spec = validation::spec_of(pod);
    let phase = status.phase.as_deref().unwrap_or_default();
    let stated = status.reason.as_deref().filter(|reason| !reason.is_empty());
    let mut reason = stated.unwrap_or(phase).to_owned();
    let gated =
        |condition: &str, reason: Option<&str>| condition == "PodScheduled" && reason == Some("SchedulingGated");
    if status.conditions.iter().flatten().any(|condition| gated(&condition.type_, condition.reason.as_deref())) {
        reason = "SchedulingGated".to_owned();
    }
    let initial = spec.init_containers.as_deref().unwrap_or_default();
    let init = initialization(initial, status);
    let initializing = init.reason.is_some();
    reason = init.reason.unwrap_or(reason);
    let (mut ready, mut restarts) = (init.ready, init.restarts);
    if !initializing || has_condition(status, "Initialized") {
        // From here on, init containers that have ended do not count.
        restarts = init.sidecar_restarts;
        ready += running(status, &mut reason, &mut restarts);
    }
    let deleted = pod.metadata.deletion_timestamp.is_some();
    if deleted && stated == Some(NODE_LOST) {
        reason = "Unknown".to_owned();
    } else if deleted && !matches!(phase, "Succeeded" | "Failed") {
        reason = "Terminating".to_owned();
    }
    let total = spec.containers.len() + initial.iter().filter(|container| is_sidecar(container)).count();
    Summary { ready, total, reason, restarts: restarts.shown(now) }
}

#[derive(Clone, Default)]
struct Restarts {
    count: i64,
    last: Option<Time>,
}

impl Restarts {
    fn add(&mut self, status: &ContainerStatus) {
        self.count += i64::from(status.restart_count);
        let ended = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
        let ended = ended.and_then(|terminated| terminated.finished_at.clone());
        if let Some(ended) = ended
            && self.last.as_ref().is_none_or(|last| last.0 < ended.0)
        {
            self.last = Some(ended);
        }
    }

    fn shown(&self, now: Timestamp) -> String {
        match (&self.last, self.count) {
            (Some(last), count) if count != 0 => format!("{count} ({} ago)", duration::age(Some(last), now)),
            (_, count) => count.to_string(),
        }
    }
}

#[derive(Default)]
struct Initialization {
    /// Why the pod is still initializing, if it is.
    reason: Option<String>,
    /// Sidecars that are ready.
    ready: usize,
    restarts: Restarts,
    sidecar_restarts: Restarts,
}

/// Goes through the init containers in order, up to the first that is not done.
fn initialization(containers: &[Container], status: &PodStatus) -> Initialization {
    let by_name: BTreeMap<&str, &Container> =
        containers.iter().map(|container| (&*container.name, container)).collect();
    let mut found = Initialization::default();
    let nothing = ContainerState::default();
    for (i, status) in status.init_container_statuses.iter().flatten().enumerate() {
        let sidecar = by_name.get(status.name.as_str()).is_some_and(|container| is_sidecar(container));
        found.restarts.add(status);
        if sidecar {
            found.sidecar_restarts.add(status);
        }
        let state = status.state.as_ref().unwrap_or(&nothing);
        let waiting = state.waiting.as_ref().and_then(|waiting| waiting.reason.as_deref());
        let reason = match &state.terminated {
            Some(terminated) if terminated.exit_code == 0 => continue,
            _ if sidecar && status.started == Some(true) => {
                found.ready += usize::from(status.ready);
                continue;
            }
            Some(terminated) => ended(terminated),
            None => match waiting.filter(|reason| !matches!(*reason, "" | "PodInitializing")) {
                Some(reason) => reason.to_owned(),
                None => format!("{i}/{}", containers.len()),
            },
        };
        found.reason = Some(format!("Init:{reason}"));
        break;
    }
    found
}

/// Goes through the containers, of which the first that has something to say gives the reason; counts those that are ready.
fn running(status: &PodStatus, reason: &mut String, restarts: &mut Restarts) -> usize {
    let mut ready = 0;
    for container in status.container_statuses.iter().flatten().rev() {
        restarts.add(container);
        let Some(state) = &container.state else { continue };
        let waiting = state.waiting.as_ref().and_then(|waiting| waiting.reason.clone());
        if let Some(waiting) = waiting.filter(|reason| !reason.is_empty()) {
            *reason = waiting;
        } else if let Some(terminated) = &state.terminated {
            *reason = ended(terminated);
        } else if container.ready && state.running.is_some() {
            ready += 1;
        }
    }
    if reason == "Completed" && ready > 0 {
        *reason = if has_condition(status, "Ready") { "Running" } else { "NotReady" }.to_owned();
    }
    ready
}

fn ended(terminated: &ContainerStateTerminated) -> String {
    match (terminated.reason.as_deref(), terminated.signal) {
        (Some(reason), _) if !reason.is_empty() => reason.to_owned(),
        (_, Some(signal)) if signal != 0 => format!("Signal:{signal}"),
        _ => format!("ExitCode:{}", terminated.exit_code),
    }
}

fn has_condition(status: &PodStatus, kind: &str) -> bool {
    let mut conditions = status.conditions.iter().flatten();
    conditions.any(|condition| condition.type_ == kind && condition.status == "True")
}

fn readiness_gates(pod: &Pod, status: &PodStatus) -> String {
    let spec = validation::spec_of(pod);
    let gates = spec.readiness_gates.as_deref().unwrap_or_default();
    if gates.is_empty() {
        return NONE.to_owned();
    }
    let is_open = |kind: &str| {
        let condition = status.conditions.iter().flatten().find(|condition| condition.type_ == kind);
        condition.is_some_and(|condition| condition.status == "True")
    };
    format!("{}/{}", gates.iter().filter(|gate| is_open(&gate.condition_type)).count(), gates.len())
}
