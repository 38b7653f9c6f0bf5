//! What the status of a budget says, worked out of the pods that it covers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::field::go_quote;
use api::int_or_string::{Round, scaled_value};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::scale::Scale;
use crate::pods::{controller_of, is_ready};

/// For how long a pod is taken for gone after its eviction was allowed, while it is still there (`DeletionTimeout`).
const DELETION_TIMEOUT: SignedDuration = SignedDuration::from_mins(2);
const CONDITION: &str = "DisruptionAllowed";

/// The scales of the controllers of pods, by the uid that pods refer to.
pub(super) type Scales = BTreeMap<String, Result<Option<Scale>, String>>;

/// How many pods there should be.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// In all.
    pub(super) expected: i32,
    /// In health.
    pub(super) desired: i32,
    /// Whether there are pods without a controller that could not be counted.
    pub(super) unmanaged: bool,
}

/// Whether the controllers' scales matter to a budget.
pub(super) fn needs_scales(spec: &PodDisruptionBudgetSpec) -> bool {
    spec.max_unavailable.is_some() || matches!(spec.min_available, Some(IntOrString::String(_)))
}

/// How many pods a budget wants.
///
/// # Errors
/// Why that cannot be said: a pod's controller is not there or has no scale, or a percentage is none.
pub(super) fn count(spec: &PodDisruptionBudgetSpec, pods: &[Arc<Pod>], scales: &Scales) -> Result<Count, String> {
    let whole = || -> Result<(i32, bool), String> {
        let (expected, unmanaged) = expected_scale(pods, scales)?;
        Ok((narrow(expected), unmanaged))
    };
    let part = |value: &IntOrString, whole: i32| {
        scaled_value(Some(value), i64::from(whole), Round::Up).map_err(|error| error.to_string())
    };
    match (&spec.max_unavailable, &spec.min_available) {
        (Some(most), _) => {
            let (expected, unmanaged) = whole()?;
            let desired = narrow(i64::from(expected).saturating_sub(part(most, expected)?)).max(0);
            Ok(Count { expected, desired, unmanaged })
        }
        (None, Some(IntOrString::Int(least))) => {
            let expected = i32::try_from(pods.len()).unwrap_or(i32::MAX);
            Ok(Count { expected, desired: *least, unmanaged: false })
        }
        (None, Some(least)) => {
            let (expected, unmanaged) = whole()?;
            Ok(Count { expected, desired: narrow(part(least, expected)?), unmanaged })
        }
        (None, None) => Ok(Count::default()),
    }
}

fn narrow(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(if number < 0 { i32::MIN } else { i32::MAX })
}

/// The sum of the scales of all controllers of these pods, and whether some pods have none.
fn expected_scale(pods: &[Arc<Pod>], scales: &Scales) -> Result<(i64, bool), String> {
    let (mut counted, mut expected, mut unmanaged) = (BTreeSet::new(), 0_i64, false);
    for pod in pods {
        let Some(controller) = controller_of(&pod.metadata) else {
            unmanaged = true;
            continue;
        };
        match scales.get(&controller.uid) {
            Some(Ok(Some(scale))) => {
                if counted.insert(&scale.uid) {
                    expected += i64::from(scale.replicas);
                }
            }
            Some(Err(why)) => return Err(why.clone()),
            Some(Ok(None)) | None => {
                let name = pod.metadata.name.as_deref().unwrap_or_default();
                return Err(format!("found no controllers for pod {}", go_quote(name)));
            }
        }
    }
    Ok((expected, unmanaged))
}

/// The pods whose eviction was allowed.
#[derive(Default)]
pub(super) struct Disrupted {
    /// Those that are expected to go any moment, by name, and since when.
    pub(super) expected: BTreeMap<String, Time>,
    /// Those that have not gone for so long that they are not expected to go any more.
    pub(super) kept: Vec<Arc<Pod>>,
    /// When the next of the former becomes one of the latter.
    pub(super) again: Option<Duration>,
}

/// What has become of the pods whose eviction was allowed. Those that are gone, or on their way, need no mention.
pub(super) fn disrupted(budget: &PodDisruptionBudget, pods: &[Arc<Pod>], now: Timestamp) -> Disrupted {
    let mut disrupted = Disrupted::default();
    let Some(allowed) = budget.status.as_ref().and_then(|status| status.disrupted_pods.as_ref()) else {
        return disrupted;
    };
    for pod in pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let Some(since) = allowed.get(name) else { continue };
        let left = DELETION_TIMEOUT.saturating_sub(now.duration_since(since.0));
        if left <= SignedDuration::ZERO {
            disrupted.kept.push(Arc::clone(pod));
            continue;
        }
        disrupted.expected.insert(name.to_owned(), since.clone());
        let left = left.unsigned_abs();
        disrupted.again = Some(disrupted.again.map_or(left, |again| again.min(left)));
    }
    disrupted
}

/// How many pods are ready and not about to go.
pub(super) fn healthy(pods: &[Arc<Pod>], expected_to_go: &BTreeMap<String, Time>) -> i32 {
    let stays = |pod: &&Arc<Pod>| {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        pod.metadata.deletion_timestamp.is_none() && !expected_to_go.contains_key(name)
    };
    i32::try_from(pods.iter().filter(stays).filter(|pod| is_ready(pod)).count()).unwrap_or(i32::MAX)
}

/// The status of a budget of which everything is known.
pub(super) fn known(
    budget: &PodDisruptionBudget,
    count: &Count,
    healthy: i32,
    expected_to_go: BTreeMap<String, Time>,
    now: Timestamp,
) -> PodDisruptionBudgetStatus {
    let old = budget.status.clone().unwrap_or_default();
    // A budget that covers no pods allows nothing, so that the first pods are safe before they have been counted.
    let spare = healthy.saturating_sub(count.desired).max(0);
    let allowed = if count.expected > 0 { spare } else { 0 };
    let (status, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    let generation = budget.metadata.generation;
    PodDisruptionBudgetStatus {
        current_healthy: Some(healthy),
        desired_healthy: Some(count.desired),
        expected_pods: Some(count.expected),
        disruptions_allowed: Some(allowed),
        disrupted_pods: Some(expected_to_go).filter(|pods| !pods.is_empty()),
        observed_generation: generation,
        conditions: Some(with_condition(old.conditions, condition(status, reason, String::new(), generation, now))),
    }
}

/// The status of a budget that cannot be worked out: nothing is allowed until it can (upstream's `failSafe`).
pub(super) fn failed(budget: &PodDisruptionBudget, why: &str, now: Timestamp) -> PodDisruptionBudgetStatus {
    let old = budget.status.clone().unwrap_or_default();
    let condition = condition("False", "SyncFailed", why.to_owned(), old.observed_generation, now);
    let conditions = Some(with_condition(old.conditions.clone(), condition));
    PodDisruptionBudgetStatus { disruptions_allowed: Some(0), conditions, ..old }
}

fn condition(status: &str, reason: &str, message: String, generation: Option<i64>, now: Timestamp) -> Condition {
    Condition {
        type_: CONDITION.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        observed_generation: generation.filter(|generation| *generation != 0),
        last_transition_time: Time(now),
    }
}

/// Conditions with this one among them. It has been as it is since its status changed.
fn with_condition(conditions: Option<Vec<Condition>>, condition: Condition) -> Vec<Condition> {
    let mut conditions = conditions.unwrap_or_default();
    match conditions.iter_mut().find(|other| other.type_ == condition.type_) {
        None => conditions.push(condition),
        Some(other) => {
            let same = other.status == condition.status;
            let since = if same { other.last_transition_time.clone() } else { condition.last_transition_time.clone() };
            *other = Condition { last_transition_time: since, ..condition };
        }
    }
    conditions
}
