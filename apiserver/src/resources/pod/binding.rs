//! Assigning a pod to a node: what the subresource `binding` does, without the storing.

use std::collections::BTreeMap;

use api::field::{Error, ErrorList, Path, go_quote};
use api::status::{GroupResource, Status};
use k8s_openapi::api::core::v1::{Binding, Pod, PodCondition};
use k8s_openapi::jiff::Timestamp;

use super::prepare;

/// What is wrong with a binding (`ValidatePodBinding`).
pub fn validate(binding: &Binding) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = Path::new("target");
    let kind = binding.target.kind.as_deref().unwrap_or_default();
    if !matches!(kind, "" | "Node") {
        errors.push(Error::not_supported(&path.child("kind"), kind, &["Node", "<empty>"]));
    }
    if binding.target.name.as_deref().unwrap_or_default().is_empty() {
        errors.push(Error::required(&path.child("name"), ""));
    }
    errors
}

/// Assigns `pod` to the node that a valid binding names, copies the binding's labels and annotations, and says so in the
/// condition `PodScheduled`. `pod.metadata.resourceVersion` is that of the store.
///
/// # Errors
/// `Conflict` when the binding means another pod of that name or another version, and when the pod is being deleted, is
/// assigned already, or is held back by scheduling gates. The pod is as it was then.
pub fn bind(pod: &mut Pod, binding: &Binding, now: Timestamp) -> Result<(), Status> {
    check_precondition("UID", binding.metadata.uid.as_deref(), pod.metadata.uid.as_deref(), pod)?;
    let stated = binding.metadata.resource_version.as_deref();
    check_precondition("ResourceVersion", stated, pod.metadata.resource_version.as_deref(), pod)?;
    let name = pod.metadata.name.clone().unwrap_or_default();
    let refuse = |why: String| Err(Status::conflict(&GroupResource::new("", "pods/binding"), &name, why));
    if pod.metadata.deletion_timestamp.is_some() {
        return refuse(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    let spec = pod.spec.get_or_insert_default();
    if let Some(node) = spec.node_name.as_ref().filter(|node| !node.is_empty()) {
        return refuse(format!("pod {name} is already assigned to node {}", go_quote(node)));
    }
    if spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()) {
        return refuse(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    spec.node_name = binding.target.name.clone();
    copy(binding.metadata.annotations.as_ref(), &mut pod.metadata.annotations);
    copy(binding.metadata.labels.as_ref(), &mut pod.metadata.labels);
    let status = pod.status.get_or_insert_default();
    // The nomination has served its purpose.
    status.nominated_node_name = None;
    let scheduled =
        PodCondition { type_: "PodScheduled".to_owned(), status: "True".to_owned(), ..PodCondition::default() };
    prepare::set_condition(status, scheduled, now);
    Ok(())
}

fn copy(from: Option<&BTreeMap<String, String>>, to: &mut Option<BTreeMap<String, String>>) {
    if let Some(from) = from.filter(|from| !from.is_empty()) {
        to.get_or_insert_default().extend(from.clone());
    }
}

fn check_precondition(what: &str, stated: Option<&str>, actual: Option<&str>, pod: &Pod) -> Result<(), Status> {
    let (stated, actual) = (stated.unwrap_or_default(), actual.unwrap_or_default());
    if stated.is_empty() || stated == actual {
        return Ok(());
    }
    let why = format!("Precondition failed: {what} in precondition: {stated}, {what} in object meta: {actual}");
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    Err(Status::conflict(&GroupResource::new("", "pods"), name, why))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn bound(pod: Value, binding: Value) -> Result<Value, String> {
        let mut pod: Pod = serde_json::from_value(pod).unwrap();
        let binding: Binding = serde_json::from_value(binding).unwrap();
        let before = pod.clone();
        match bind(&mut pod, &binding, Timestamp::from_second(NOW).unwrap()) {
            Ok(()) => Ok(serde_json::to_value(pod).unwrap()),
            Err(status) => {
                assert_eq!((pod, status.code), (before, 409));
                Err(status.message)
            }
        }
    }

    #[test]
    fn a_pod_is_assigned() {
        let pod = json!({
            "metadata": {"name": "p", "uid": "u", "labels": {"a": "1"}},
            "spec": {"containers": []},
            "status": {"nominatedNodeName": "n0", "phase": "Pending"},
        });
        let binding = json!({
            "metadata": {"name": "p", "uid": "u", "labels": {"a": "2", "zone": "z"}, "annotations": {"by": "me"}},
            "target": {"kind": "Node", "name": "n1"},
        });
        let expected = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "p", "uid": "u", "labels": {"a": "2", "zone": "z"}, "annotations": {"by": "me"},
            },
            "spec": {"containers": [], "nodeName": "n1"},
            "status": {"phase": "Pending", "conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2023-11-14T22:13:20Z"},
            ]},
        });
        assert_eq!(bound(pod, binding), Ok(expected));
    }

    #[test]
    fn refusals() {
        let check = |pod: Value, meta: Value, expected: &str| {
            let binding = json!({"metadata": meta, "target": {"name": "n1"}});
            assert_eq!(bound(pod, binding).unwrap_err(), expected);
        };
        let cannot = "Operation cannot be fulfilled on pods/binding \"p\": pod p ";
        check(
            json!({"metadata": {"name": "p", "deletionTimestamp": "2023-11-14T22:13:20Z"}}),
            json!({}),
            &format!("{cannot}is being deleted, cannot be assigned to a host"),
        );
        check(
            json!({"metadata": {"name": "p"}, "spec": {"containers": [], "nodeName": "n0"}}),
            json!({}),
            &format!("{cannot}is already assigned to node \"n0\""),
        );
        check(
            json!({"metadata": {"name": "p"}, "spec": {"containers": [], "schedulingGates": [{"name": "g"}]}}),
            json!({}),
            &format!("{cannot}has non-empty .spec.schedulingGates"),
        );
        check(
            json!({"metadata": {"name": "p", "uid": "u1"}}),
            json!({"uid": "u2"}),
            "Operation cannot be fulfilled on pods \"p\": Precondition failed: UID in precondition: u2, UID in object \
             meta: u1",
        );
    }

    #[test]
    fn bindings_name_a_node() {
        let check = |target: Value, expected: &str| {
            let binding = serde_json::from_value(json!({"metadata": {}, "target": target})).unwrap();
            assert_eq!(validate(&binding).to_string(), expected);
        };
        check(json!({"kind": "Node", "name": "n"}), "[]");
        check(json!({"name": "n"}), "[]");
        check(json!({"kind": "Node"}), "target.name: Required value");
        check(
            json!({"kind": "Minion", "name": "n"}),
            "target.kind: Unsupported value: \"Minion\": supported values: \"Node\", \"<empty>\"",
        );
    }
}
