//! What of a pod or a node an update has changed, as far as it matters to the scheduling of pods.

use std::collections::BTreeMap;

use api::pod_resources::{Options, requests};
use k8s_openapi::api::core::v1::{Node, Pod, PodSpec};

use super::event::{ActionType, ClusterEvent, EventResource};

/// The kinds of events that an update of a pod makes: [`ActionType::UPDATE`] if it is nothing special.
#[must_use]
pub fn pod_changes(old: &Pod, new: &Pod) -> Vec<ClusterEvent> {
    let assigned = spec(new).is_some_and(|spec| spec.node_name.as_deref().is_some_and(|node| !node.is_empty()));
    let resource = if assigned { EventResource::AssignedPod } else { EventResource::UnschedulablePod };
    let mut actions = Vec::new();
    if differ(old.metadata.labels.as_ref(), new.metadata.labels.as_ref()) {
        actions.push(ActionType::UPDATE_POD_LABEL);
    }
    if is_scaled_down(old, new) {
        actions.push(ActionType::UPDATE_POD_SCALE_DOWN);
    }
    if gates(new) == 0 && gates(old) > 0 {
        actions.push(ActionType::UPDATE_POD_SCHEDULING_GATES_ELIMINATED);
    }
    // The API lets tolerations be added, and neither changed nor removed.
    if tolerations(new) != tolerations(old) {
        actions.push(ActionType::UPDATE_POD_TOLERATION);
    }
    if have_generated_claims_changed(old, new) {
        actions.push(ActionType::UPDATE_POD_GENERATED_RESOURCE_CLAIM);
    }
    if actions.is_empty() {
        actions.push(ActionType::UPDATE);
    }
    actions.into_iter().map(|action| ClusterEvent::new(resource, action)).collect()
}

/// The kinds of events that an update of a node makes: none if nothing that matters has changed.
#[must_use]
pub fn node_changes(old: &Node, new: &Node) -> Vec<ClusterEvent> {
    let old_spec = old.spec.clone().unwrap_or_default();
    let new_spec = new.spec.clone().unwrap_or_default();
    let old_status = old.status.as_ref();
    let new_status = new.status.as_ref();
    let was_unschedulable = old_spec.unschedulable.unwrap_or(false);
    let is_unschedulable = new_spec.unschedulable.unwrap_or(false);
    let old_allocatable = old_status.and_then(|status| status.allocatable.as_ref());
    let new_allocatable = new_status.and_then(|status| status.allocatable.as_ref());
    let taints = old_spec.taints.unwrap_or_default() != new_spec.taints.unwrap_or_default();
    let allocatable = api::pod_resources::read(old_allocatable) != api::pod_resources::read(new_allocatable);
    let changes = [
        (was_unschedulable && !is_unschedulable || taints, ActionType::UPDATE_NODE_TAINT),
        (allocatable, ActionType::UPDATE_NODE_ALLOCATABLE),
        (differ(old.metadata.labels.as_ref(), new.metadata.labels.as_ref()), ActionType::UPDATE_NODE_LABEL),
        (conditions(old) != conditions(new), ActionType::UPDATE_NODE_CONDITION),
        (
            differ(old.metadata.annotations.as_ref(), new.metadata.annotations.as_ref()),
            ActionType::UPDATE_NODE_ANNOTATION,
        ),
        (features(old) != features(new), ActionType::UPDATE_NODE_DECLARED_FEATURE),
    ];
    let changed = changes.into_iter().filter(|(changed, _)| *changed);
    changed.map(|(_, action)| ClusterEvent::new(EventResource::Node, action)).collect()
}

/// Whether two maps differ, where an empty one is as good as none.
fn differ(old: Option<&BTreeMap<String, String>>, new: Option<&BTreeMap<String, String>>) -> bool {
    old.filter(|map| !map.is_empty()) != new.filter(|map| !map.is_empty())
}

fn is_scaled_down(old: &Pod, new: &Pod) -> bool {
    // Most updates are of a status; reading quantities is much slower than comparing what they are written as.
    if old.spec == new.spec && statuses(old) == statuses(new) {
        return false;
    }
    let options = Options { status: true, ..Options::default() };
    let wanted = requests(new, options);
    requests(old, options).iter().any(|(name, quantity)| wanted.get(name).is_none_or(|new| new < quantity))
}

/// Whatever of a pod's status says what it requests.
fn statuses(pod: &Pod) -> Option<impl PartialEq> {
    pod.status.as_ref().map(|status| {
        (
            &status.container_statuses,
            &status.init_container_statuses,
            &status.resources,
            &status.allocated_resources,
            &status.conditions,
        )
    })
}

fn spec(pod: &Pod) -> Option<&PodSpec> {
    pod.spec.as_ref()
}

fn gates(pod: &Pod) -> usize {
    spec(pod).and_then(|spec| spec.scheduling_gates.as_ref()).map_or(0, Vec::len)
}

fn tolerations(pod: &Pod) -> usize {
    spec(pod).and_then(|spec| spec.tolerations.as_ref()).map_or(0, Vec::len)
}

fn have_generated_claims_changed(old: &Pod, new: &Pod) -> bool {
    let statuses = |pod: &Pod| {
        let statuses = pod.status.as_ref().and_then(|status| status.resource_claim_statuses.clone());
        let mut statuses = statuses.unwrap_or_default();
        statuses.sort_by(|one, other| one.name.cmp(&other.name));
        statuses
    };
    let extended = |pod: &Pod| pod.status.as_ref().and_then(|status| status.extended_resource_claim_status.clone());
    statuses(old) != statuses(new) || extended(old) != extended(new)
}

fn conditions(node: &Node) -> BTreeMap<&str, &str> {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    conditions.map(|condition| (condition.type_.as_str(), condition.status.as_str())).collect()
}

fn features(node: &Node) -> &[String] {
    node.status.as_ref().and_then(|status| status.declared_features.as_deref()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn labels(events: &[ClusterEvent]) -> Vec<String> {
        events.iter().map(ToString::to_string).collect()
    }

    fn check_pod(old: Value, new: Value, expected: &[&str]) {
        let events = pod_changes(&serde_json::from_value(old).unwrap(), &serde_json::from_value(new).unwrap());
        assert_eq!(labels(&events), expected);
    }

    fn requesting(cpu: &str) -> Value {
        let container = json!({"name": "a", "resources": {"requests": {"cpu": cpu}}});
        json!({"spec": {"containers": [container]}})
    }

    #[test]
    fn updates_of_pods() {
        let gated = json!({"spec": {"containers": [], "schedulingGates": [{"name": "a"}, {"name": "b"}]}});
        let less_gated = json!({"spec": {"containers": [], "schedulingGates": [{"name": "a"}]}});
        let free = json!({"spec": {"containers": []}});
        let bound = json!({"spec": {"containers": [], "nodeName": "n"}, "metadata": {"labels": {"a": "b"}}});
        let tolerant = json!({"spec": {"containers": [], "tolerations": [{"key": "a"}]}, "metadata": {"labels": {}}});
        let claims = json!({"spec": {"containers": []}, "status": {"resourceClaimStatuses": [{"name": "a"}]}});
        check_pod(gated.clone(), less_gated, &["UnschedulablePodUpdate"]);
        check_pod(gated, free.clone(), &["UnschedulablePodUpdatePodSchedulingGatesEliminated"]);
        check_pod(free.clone(), bound, &["AssignedPodUpdatePodLabel"]);
        check_pod(free.clone(), tolerant, &["UnschedulablePodUpdatePodToleration"]);
        check_pod(free, claims, &["UnschedulablePodUpdatePodGeneratedResourceClaim"]);
        check_pod(requesting("1"), requesting("999m"), &["UnschedulablePodUpdatePodScaleDown"]);
        check_pod(requesting("1"), requesting("1000m"), &["UnschedulablePodUpdate"]);
        check_pod(requesting("1"), requesting("2"), &["UnschedulablePodUpdate"]);
    }

    fn check_node(old: Value, new: Value, expected: &[&str]) {
        let events = node_changes(&serde_json::from_value(old).unwrap(), &serde_json::from_value(new).unwrap());
        assert_eq!(labels(&events), expected);
    }

    #[test]
    fn updates_of_nodes() {
        let ready = |status: &str, time: &str| json!({"status": {"conditions": [{"type": "Ready", "status": status, "lastHeartbeatTime": time}]}});
        let allocatable = |cpu: &str| json!({"status": {"allocatable": {"cpu": cpu}}});
        check_node(ready("True", "2026-03-01T12:00:00Z"), ready("True", "2026-03-01T12:05:00Z"), &[]);
        check_node(
            ready("False", "2026-03-01T12:00:00Z"),
            ready("True", "2026-03-01T12:00:00Z"),
            &["NodeUpdateNodeCondition"],
        );
        check_node(allocatable("1"), allocatable("1000m"), &[]);
        check_node(allocatable("1"), allocatable("2"), &["NodeUpdateNodeAllocatable"]);
        check_node(json!({"spec": {"unschedulable": true}}), json!({}), &["NodeUpdateNodeTaint"]);
        check_node(json!({}), json!({"spec": {"unschedulable": true}}), &[]);
        let tainted = json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}});
        check_node(tainted, json!({"spec": {"taints": []}}), &["NodeUpdateNodeTaint"]);
        let named = json!({"metadata": {"labels": {"a": "b"}, "annotations": {"a": "b"}}});
        check_node(json!({}), named, &["NodeUpdateNodeLabel", "NodeUpdateNodeAnnotation"]);
        let declaring = json!({"status": {"declaredFeatures": ["A"]}});
        check_node(json!({}), declaring, &["NodeUpdateNodeDeclaredFeature"]);
    }
}
