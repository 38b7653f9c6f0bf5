//! The pods of a node that has fallen silent, which cannot say themselves that they are not ready.

use std::sync::Arc;

use client::events::EventType;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, PodCondition};

use super::health::condition;
use crate::controllers::pod_conditions;
use crate::plan::Plan;
use crate::pods;

/// Makes the pods not ready that were ready when the node fell silent. Who says so after that knows better.
pub(super) fn mark_not_ready(plan: &mut Plan, node: &Node, pods: &[Arc<Pod>], now: Timestamp) {
    let Some(unknown) = condition(node, "Ready").filter(|ready| ready.status == "Unknown") else { return };
    let since = unknown.last_transition_time.as_ref().map(|time| time.0);
    for pod in pods {
        // Two actions for each.
        if plan.room() < 2 {
            return;
        }
        let Some(ready) = pods::condition(pod, "Ready").filter(|ready| ready.status != "False") else { continue };
        if ready.last_transition_time.as_ref().is_some_and(|time| Some(time.0) > since) {
            continue;
        }
        let mut marked = Pod::clone(pod);
        let condition = PodCondition { status: "False".to_owned(), ..ready.clone() };
        pod_conditions::set(&mut marked, condition, now);
        plan.update_status(&**pod, &marked);
        plan.event(&**pod, EventType::Warning, "NodeNotReady", "Node is not ready");
    }
}
