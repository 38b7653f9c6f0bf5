//! The condition `NetworkUnavailable` of a Node: whoever makes pods' networks says by it whether pods can be here. While it is
//! true, the node is tainted, and gets no pods that do not tolerate that.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

/// The condition's type.
const TYPE: &str = "NetworkUnavailable";

/// How the network is: up, or why it is not.
pub(crate) fn condition(problem: Option<&str>, now: Timestamp) -> NodeCondition {
    let up = ("False", "GantryNetworkIsUp", "Pods of this node have a network");
    let (status, reason, message) = problem.map_or(up, |problem| ("True", "GantryNetworkIsDown", problem));
    NodeCondition {
        type_: TYPE.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_heartbeat_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    }
}

/// Whether a Node says so already.
pub(crate) fn is_said(node: &Node, condition: &NodeCondition) -> bool {
    let mut conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|other| {
        let of = |condition: &NodeCondition| (condition.reason.clone(), condition.message.clone());
        other.type_ == condition.type_ && other.status == condition.status && of(other) == of(condition)
    })
}

/// Writes it.
pub(crate) async fn say(client: &Client, node: &str, condition: &NodeCondition) -> Result<(), kube::Error> {
    let patch = Patch::Strategic(json!({"status": {"conditions": [condition]}}));
    Api::<Node>::all(client.clone()).patch_status(node, &PatchParams::default(), &patch).await.map(drop)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::NodeStatus;

    use super::*;

    #[test]
    fn what_is_said_is_not_said_again() {
        let with = |condition: NodeCondition| Node {
            status: Some(NodeStatus { conditions: Some(vec![condition]), ..NodeStatus::default() }),
            ..Node::default()
        };
        let (up, later) = (condition(None, Timestamp::UNIX_EPOCH), condition(None, Timestamp::MAX));
        let down = condition(Some("no cable"), Timestamp::UNIX_EPOCH);
        assert_eq!((up.status.as_str(), down.status.as_str()), ("False", "True"));
        assert!(is_said(&with(up.clone()), &later));
        assert!(!is_said(&with(up.clone()), &down) && !is_said(&with(down), &up));
        assert!(!is_said(&Node::default(), &up));
    }
}
