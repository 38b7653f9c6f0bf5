//! Whether a newer version of a pod says anything that its worker does not know: each status that the agent writes comes back
//! to it, as the answer and by the watch, and is no reason to look at the pod once more. Pure.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, PodCondition, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::status_patch::difference;

/// The conditions that the agent alone sets.
pub(super) const OWN: [&str; 6] =
    ["ContainersReady", "Initialized", "PodReadyToStartContainers", "PodResizeInProgress", "PodResizePending", "Ready"];
/// Those that it sets too.
const SHARED: [&str; 2] = ["AllContainersRestarting", "PodScheduled"];

/// What the API was told of a pod last.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// The status.
    pub(super) status: Option<Arc<PodStatus>>,
    /// Whether it is not written yet.
    pub(super) waits: bool,
}

/// Whether a newer version of a pod differs from the known one only by what the agent said. A status that is neither what
/// was said nor overtaken by what is about to be written was changed by somebody else, and is none.
pub(super) fn is_echo(known: &Pod, new: &Pod, said: &Said) -> bool {
    let Some(status) = &said.status else { return false };
    let (was, is) = (known.status.clone().unwrap_or_default(), new.status.clone().unwrap_or_default());
    known.spec == new.spec
        && lasting(&known.metadata) == lasting(&new.metadata)
        && others(&was) == others(&is)
        && (said.waits || difference("", &is, status).is_none())
}

/// What is said of an object, without what changes whenever it is written.
fn lasting(metadata: &ObjectMeta) -> ObjectMeta {
    ObjectMeta { resource_version: None, managed_fields: None, ..metadata.clone() }
}

/// What others say in a status.
fn others(status: &PodStatus) -> PodStatus {
    let is_own = |it: &PodCondition| OWN.contains(&&*it.type_) || SHARED.contains(&&*it.type_);
    PodStatus {
        conditions: Some(status.conditions.iter().flatten().filter(|it| !is_own(it)).cloned().collect()),
        nominated_node_name: status.nominated_node_name.clone(),
        qos_class: status.qos_class.clone(),
        resource_claim_statuses: status.resource_claim_statuses.clone(),
        extended_resource_claim_status: status.extended_resource_claim_status.clone(),
        ..PodStatus::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn only_what_others_say_is_news() {
        let pod = |revision: &str, change: Value| -> Pod {
            let mut pod = json!({
                "metadata": {"name": "p", "uid": "u", "resourceVersion": revision, "labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c"}]},
                "status": {"phase": "Pending", "qosClass": "BestEffort"},
            });
            api::patch::merge::apply(&pod, change).map(|changed| pod = changed).unwrap();
            serde_json::from_value(pod).unwrap()
        };
        let running =
            json!({"phase": "Running", "qosClass": "BestEffort", "conditions": [{"type": "Ready", "status": "True"}]});
        let status: PodStatus = serde_json::from_value(running.clone()).unwrap();
        let said = |waits| Said { status: Some(Arc::new(status.clone())), waits };
        let check = |change: Value, said: Said, expected: bool| {
            let shown = change.to_string();
            assert_eq!(is_echo(&pod("1", json!({})), &pod("2", change), &said), expected, "{shown}");
        };
        check(json!({"status": running}), said(false), true);
        check(json!({"status": running}), Said::default(), false);
        // What was written before what waits now.
        check(json!({"status": {"phase": "Unknown"}}), said(true), true);
        // Somebody else overwrote it.
        check(json!({"status": {"phase": "Unknown"}}), said(false), false);
        let with = |change: Value| {
            let mut whole = json!({"status": running});
            api::patch::merge::apply(&whole, change).map(|changed| whole = changed).unwrap();
            whole
        };
        check(with(json!({"metadata": {"labels": {"a": "c"}}})), said(false), false);
        check(with(json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})), said(true), false);
        check(with(json!({"metadata": {"managedFields": [{"manager": "m"}]}})), said(false), true);
        check(with(json!({"spec": {"containers": [{"name": "d"}]}})), said(true), false);
        check(with(json!({"status": {"nominatedNodeName": "n"}})), said(false), false);
        let gate = json!([{"type": "Ready", "status": "True"}, {"type": "gate", "status": "True"}]);
        check(with(json!({"status": {"conditions": gate}})), said(false), false);
        check(with(json!({"status": {"conditions": gate}})), said(true), false);
    }
}
