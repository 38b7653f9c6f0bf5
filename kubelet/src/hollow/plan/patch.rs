//! What of a pod's status changes, as the strategic merge patch that a kubelet would send.

use k8s_openapi::api::core::v1::{PodCondition, PodStatus};
use serde_json::{Map, Value, json};

/// The fields that are written whole, if at all. All others are somebody else's.
const FIELDS: [&str; 12] = [
    "containerStatuses",
    "ephemeralContainerStatuses",
    "hostIP",
    "hostIPs",
    "initContainerStatuses",
    "message",
    "observedGeneration",
    "phase",
    "podIP",
    "podIPs",
    "reason",
    "startTime",
];

/// The patch that makes `new` of `old`, for the pod with this uid and no other; `None` if nothing differs.
pub(super) fn difference(uid: &str, old: &PodStatus, new: &PodStatus) -> Option<Value> {
    // Mostly there is no difference, and a status is large.
    if old == new {
        return None;
    }
    // Conditions are compared below.
    let fields = |status: &PodStatus| serde_json::to_value(PodStatus { conditions: None, ..status.clone() });
    let (was, is) = (fields(old).unwrap_or_default(), fields(new).unwrap_or_default());
    let mut patch = Map::new();
    for field in FIELDS.into_iter().filter(|field| was.get(field) != is.get(field)) {
        patch.insert(field.to_owned(), is.get(field).cloned().unwrap_or_default());
    }
    let none = Vec::new();
    let (was, is) = (old.conditions.as_ref().unwrap_or(&none), new.conditions.as_ref().unwrap_or(&none));
    let known = |condition: &PodCondition| was.iter().find(|known| known.type_ == condition.type_);
    let changed: Vec<Value> = is.iter().filter_map(|condition| changed(known(condition), condition)).collect();
    if !changed.is_empty() {
        let order: Vec<Value> = is.iter().map(|condition| json!({"type": condition.type_})).collect();
        patch.insert("$setElementOrder/conditions".to_owned(), order.into());
        patch.insert("conditions".to_owned(), changed.into());
    }
    if patch.is_empty() { None } else { Some(json!({"metadata": {"uid": uid}, "status": patch})) }
}

/// A condition as the patch has it, if it differs.
fn changed(old: Option<&PodCondition>, new: &PodCondition) -> Option<Value> {
    // When a condition was probed last is said by nobody.
    let of = |condition: &PodCondition| PodCondition { last_probe_time: None, ..condition.clone() };
    let old = old.map(of);
    if old.as_ref() == Some(&of(new)) {
        return None;
    }
    let mut patch = json!(of(new));
    if let Some(old) = old {
        let cleared = [("reason", &old.reason, &new.reason), ("message", &old.message, &new.message)];
        for (field, _, _) in cleared.iter().filter(|(_, old, new)| old.is_some() && new.is_none()) {
            patch[*field] = Value::Null;
        }
    }
    Some(patch)
}
