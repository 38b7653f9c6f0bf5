//! Whether a budget lets a pod go, and what it says afterwards (upstream's eviction handler, the parts without I/O).

use api::selector::label::from_api;
use api::status::{GroupResource, Status, StatusCause};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::ALWAYS_ALLOW;

/// More evictions than these that no controller has taken note of are too many.
const MAX_DISRUPTED_PODS: usize = 2000;
/// Seconds after which it is worth to ask again while a budget is being worked out.
const RETRY_AFTER_SECONDS: i32 = 10;
const CAUSE: &str = "DisruptionBudget";
const VIOLATED: &str = "Cannot evict pod as it would violate the pod's disruption budget.";
const CONDITION: &str = "DisruptionAllowed";
const SYNC_FAILED: &str = "SyncFailed";

/// What a budget means for the eviction of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The pod counts: the budget has to allow its disruption.
    Guarded,
    /// The pod does not count, as long as it stays as it is.
    Unguarded,
}

/// Whether the pod is one of those that the budget is about. An empty selector is about all, none about none.
pub(crate) fn protects(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let labels = pod.metadata.labels.clone().unwrap_or_default();
    from_api(selector).is_ok_and(|selector| selector.matches(&labels))
}

/// Whether the pod counts. One that is not ready does not, if the others suffice or the budget does not care.
pub(crate) fn judge(budget: &PodDisruptionBudget, pod: &Pod) -> Verdict {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready");
    if ready.is_some_and(|ready| ready.status == "True") {
        return Verdict::Guarded;
    }
    let policy = budget.spec.as_ref().and_then(|spec| spec.unhealthy_pod_eviction_policy.as_deref());
    let (healthy, desired) = health(budget);
    if policy == Some(ALWAYS_ALLOW) || (healthy >= desired && desired > 0) {
        Verdict::Unguarded
    } else {
        Verdict::Guarded
    }
}

/// Takes the disruption of `pod` from what the budget allows.
///
/// # Errors
/// `TooManyRequests` when nothing is allowed, or it is not known yet; `Forbidden` when the status makes no sense.
pub(crate) fn disrupt(budget: &mut PodDisruptionBudget, pod: &str, now: Timestamp) -> Result<(), Status> {
    let name = budget.metadata.name.clone().unwrap_or_default();
    let resource = GroupResource::new("policy", "poddisruptionbudget");
    let status = budget.status.clone().unwrap_or_default();
    if status.observed_generation.unwrap_or(0) < budget.metadata.generation.unwrap_or(0) {
        return Err(being_processed(&name));
    }
    let allowed = status.disruptions_allowed.unwrap_or(0);
    if allowed < 0 {
        return Err(Status::forbidden(&resource, &name, "pdb disruptions allowed is negative"));
    }
    if status.disrupted_pods.as_ref().map_or(0, std::collections::BTreeMap::len) > MAX_DISRUPTED_PODS {
        let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
        return Err(Status::forbidden(&resource, &name, why));
    }
    if allowed == 0 {
        return Err(violated(0, refusal(budget, &name)));
    }
    let status = budget.status.get_or_insert_default();
    status.disruptions_allowed = Some(allowed - 1);
    if allowed == 1 {
        set_insufficient(status, now);
    }
    status.disrupted_pods.get_or_insert_default().insert(pod.to_owned(), Time(now));
    Ok(())
}

/// What a client is told whose pod is protected by a budget that others keep changing.
pub(crate) fn being_processed(name: &str) -> Status {
    let message = format!("The disruption budget {name} is still being processed by the server.");
    violated(RETRY_AFTER_SECONDS, message)
}

fn violated(retry_after_seconds: i32, message: String) -> Status {
    let cause = StatusCause { reason: CAUSE.into(), message, field: String::new() };
    Status::too_many_requests(VIOLATED, retry_after_seconds).with_cause(cause)
}

fn health(budget: &PodDisruptionBudget) -> (i32, i32) {
    let status = budget.status.as_ref();
    let count = |count: fn(&PodDisruptionBudgetStatus) -> Option<i32>| status.and_then(count).unwrap_or(0);
    (count(|status| status.current_healthy), count(|status| status.desired_healthy))
}

/// Why nothing is allowed. Counts are not to be trusted when the controller has failed.
fn refusal(budget: &PodDisruptionBudget, name: &str) -> String {
    let mut conditions = budget.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let condition = conditions.find(|condition| condition.type_ == CONDITION);
    let condition = condition.filter(|condition| condition.status == "False" && !condition.message.is_empty());
    let (healthy, desired) = health(budget);
    match condition {
        Some(Condition { reason, message, .. }) if reason == SYNC_FAILED => format!(
            "The disruption budget {name} does not allow evicting pods currently because it failed sync: {message}"
        ),
        _ if healthy <= desired => {
            format!("The disruption budget {name} needs {desired} healthy pods and has {healthy} currently")
        }
        Some(Condition { reason, message, .. }) => {
            format!("The disruption budget {name} does not allow evicting pods currently ({reason}): {message}")
        }
        None => format!("The disruption budget {name} does not allow evicting pods currently"),
    }
}

fn set_insufficient(status: &mut PodDisruptionBudgetStatus, now: Timestamp) {
    let condition = Condition {
        type_: CONDITION.to_owned(),
        status: "False".to_owned(),
        reason: "InsufficientPods".to_owned(),
        message: String::new(),
        observed_generation: status.observed_generation,
        last_transition_time: Time(now),
    };
    let conditions = status.conditions.get_or_insert_default();
    match conditions.iter_mut().find(|other| other.type_ == CONDITION) {
        None => conditions.push(condition),
        Some(other) if other.status == condition.status => {
            let last_transition_time = other.last_transition_time.clone();
            *other = Condition { last_transition_time, ..condition };
        }
        Some(other) => *other = condition,
    }
}
