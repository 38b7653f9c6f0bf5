//! What of a pod's status changes, as the strategic merge patch that a kubelet would send.

use k8s_openapi::api::core::v1::{PodCondition, PodStatus};
use serde_json::{Map, Value, json};

/// The fields that are written whole, if at all. All others are somebody else's.
const FIELDS: [&str; 14] = [
    "allocatedResources",
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
    "resources",
    "startTime",
];
/// Those of them that are lists which a patch adds to unless it says otherwise: the address of a sandbox that is gone would stay.
const MERGED: [&str; 2] = ["hostIPs", "podIPs"];
/// The conditions that are there only while they hold.
const PASSING: [&str; 2] = ["PodResizeInProgress", "PodResizePending"];

/// The patch that makes `new` of `old`, for the pod with this uid and no other; `None` if nothing differs.
pub(crate) fn difference(uid: &str, old: &PodStatus, new: &PodStatus) -> Option<Value> {
    // Mostly there is no difference, and a status is large.
    if old == new {
        return None;
    }
    // Conditions are compared below.
    let fields = |status: &PodStatus| serde_json::to_value(PodStatus { conditions: None, ..status.clone() });
    let (was, is) = (fields(old).unwrap_or_default(), fields(new).unwrap_or_default());
    let mut patch = Map::new();
    for field in FIELDS.into_iter().filter(|field| was.get(field) != is.get(field)) {
        let mut value = is.get(field).cloned().unwrap_or_default();
        if let Some(items) = value.as_array_mut().filter(|_| MERGED.contains(&field)) {
            items.insert(0, json!({"$patch": "replace"}));
        }
        patch.insert(field.to_owned(), value);
    }
    let none = Vec::new();
    let (was, is) = (old.conditions.as_ref().unwrap_or(&none), new.conditions.as_ref().unwrap_or(&none));
    let known = |condition: &PodCondition| was.iter().find(|known| known.type_ == condition.type_);
    let mut changed: Vec<Value> = is.iter().filter_map(|condition| changed(known(condition), condition)).collect();
    let over = |kind: &&str| {
        let has = |conditions: &[PodCondition]| conditions.iter().any(|condition| condition.type_ == *kind);
        has(was) && !has(is)
    };
    changed.extend(PASSING.iter().filter(|kind| over(kind)).map(|kind| json!({"$patch": "delete", "type": kind})));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn status(value: Value) -> PodStatus {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn only_what_differs_is_written() {
        let check = |old: Value, new: Value, expected: Value| {
            let patch = difference("u", &status(old), &status(new));
            assert_eq!(patch.map_or(Value::Null, |patch| patch["status"].clone()), expected);
        };
        let ready = |status: &str| json!({"type": "Ready", "status": status});
        check(json!({"phase": "Running"}), json!({"phase": "Running"}), Value::Null);
        check(json!({"nominatedNodeName": "n"}), json!({}), Value::Null);
        check(json!({"phase": "Pending"}), json!({"phase": "Running"}), json!({"phase": "Running"}));
        check(json!({"podIP": "10.0.0.1"}), json!({}), json!({"podIP": null}));
        let ips = |ip: &str| json!([{"ip": ip}]);
        check(json!({"podIPs": ips("10.0.0.1")}), json!({}), json!({"podIPs": null}));
        check(
            json!({"conditions": [ready("False"), {"type": "mine", "status": "True"}]}),
            json!({"conditions": [ready("True")]}),
            json!({"$setElementOrder/conditions": [{"type": "Ready"}], "conditions": [ready("True")]}),
        );
        check(
            json!({"conditions": [ready("True"), {"type": "PodResizePending", "status": "True"}]}),
            json!({"conditions": [ready("True")]}),
            json!({
                "$setElementOrder/conditions": [{"type": "Ready"}],
                "conditions": [{"$patch": "delete", "type": "PodResizePending"}],
            }),
        );
    }
    #[test]
    fn what_was_patched_is_the_new_status() {
        let addresses = |pod: &[&str], host: &[&str]| {
            let ips = |ips: &[&str]| ips.iter().map(|ip| json!({"ip": ip})).collect::<Vec<_>>();
            json!({"podIP": pod[0], "podIPs": ips(pod), "hostIPs": ips(host), "phase": "Running"})
        };
        let of = api::schema::Schema::of("", "v1", "Pod").unwrap();
        let object = |value: Value| value.as_object().unwrap().clone();
        for (old, new) in [
            (json!({}), addresses(&["10.0.0.1"], &["192.0.2.1"])),
            (addresses(&["10.0.0.1"], &["192.0.2.1"]), addresses(&["10.0.0.2"], &["192.0.2.1"])),
            (addresses(&["10.0.0.1", "fd00::1"], &["192.0.2.1"]), addresses(&["10.0.0.1", "fd00::2"], &["192.0.2.9"])),
            (addresses(&["10.0.0.1", "fd00::1"], &["192.0.2.1"]), addresses(&["fd00::1"], &["192.0.2.1"])),
        ] {
            let patch = difference("u", &status(old.clone()), &status(new.clone())).unwrap();
            let pod = json!({"metadata": {"uid": "u"}, "status": old});
            let patched = api::patch::strategic::apply(&object(pod), object(patch.clone()), of).unwrap();
            assert_eq!(patched["status"], new, "{patch}");
        }
    }
}
