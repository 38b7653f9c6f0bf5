//! Pods that were to be disrupted and are still there: after two minutes their condition `DisruptionTarget` no longer holds.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::plan::Plan;
use crate::pods::is_terminal;

/// How long the condition may hold of a pod that is not being deleted (`stalePodDisruptionTimeout`).
const TIMEOUT: SignedDuration = SignedDuration::from_mins(2);
const CONDITION: &str = "DisruptionTarget";

/// The condition by which a pod is to be disrupted, if it can become stale. A kubelet takes as long as it takes to end a pod,
/// and of pods that have ended it does not matter.
pub(super) fn target(pod: &Pod) -> Option<&PodCondition> {
    let status = pod.status.as_ref()?;
    if pod.metadata.deletion_timestamp.is_some() || is_terminal(pod) {
        return None;
    }
    let condition = status.conditions.iter().flatten().find(|condition| condition.type_ == CONDITION)?;
    let by_kubelet = condition.reason.as_deref() == Some("TerminationByKubelet");
    (condition.status == "True" && !by_kubelet).then_some(condition)
}

/// Takes the condition back, or says when to look again.
pub(super) fn plan(pod: &Pod, now: Timestamp) -> Plan {
    let mut plan = Plan::new();
    let Some(target) = target(pod) else { return plan };
    let since = target.last_transition_time.as_ref().map_or(Timestamp::MIN, |time| time.0);
    let left = TIMEOUT.saturating_sub(now.duration_since(since));
    if left > SignedDuration::ZERO {
        plan.look_again(Duration::try_from(left).unwrap_or_default());
        return plan;
    }
    let mut new = pod.clone();
    let conditions = new.status.iter_mut().flat_map(|status| status.conditions.iter_mut().flatten());
    for condition in conditions.filter(|condition| condition.type_ == CONDITION) {
        *condition = PodCondition {
            type_: CONDITION.to_owned(),
            status: "False".to_owned(),
            observed_generation: pod.metadata.generation,
            last_transition_time: Some(Time(now)),
            ..PodCondition::default()
        };
    }
    plan.update_status(pod, &new);
    plan
}
