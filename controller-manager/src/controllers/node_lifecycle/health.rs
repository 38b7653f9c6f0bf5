//! Whether a node lives, and what is said of one that is silent.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::settings::Settings;

/// The conditions that nobody but the node can know. That of the network is not among them.
const KNOWN_TO_THE_NODE: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// A condition of a node.
pub(super) fn condition<'a>(node: &'a Node, type_: &str) -> Option<&'a NodeCondition> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the node is ready, in the API's words; `None` if nobody has said so far.
pub(super) fn readiness(node: &Node) -> Option<&str> {
    condition(node, "Ready").map(|condition| condition.status.as_str())
}

/// Until when a node counts as alive without a further sign. Before `since` nobody was looking, so that silence until then
/// does not count.
pub(super) fn alive_until(node: &Node, lease: Option<&Lease>, settings: &Settings, since: Timestamp) -> Timestamp {
    let ready = condition(node, "Ready");
    let grace = if ready.is_some() { settings.monitor_grace } else { settings.startup_grace };
    let heartbeat = match ready {
        Some(ready) => ready.last_heartbeat_time.as_ref(),
        None => node.metadata.creation_timestamp.as_ref(),
    };
    let signs = heartbeat.map(|time| time.0).into_iter().chain(lease.into_iter().flat_map(renewals));
    later(signs.fold(since, Timestamp::max), grace)
}

/// When the lease was renewed: as the node's clock has it, and the server's. The node's may be slow.
fn renewals(lease: &Lease) -> impl Iterator<Item = Timestamp> {
    let by_node = lease.spec.as_ref().and_then(|spec| spec.renew_time.as_ref()).map(|time| time.0);
    let by_server = lease.metadata.managed_fields.iter().flatten().filter_map(|entry| entry.time.as_ref());
    by_node.into_iter().chain(by_server.map(|time| time.0))
}

/// The end of time, if it is later than that.
pub(super) fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// The node with everything unknown that only it can know; `None` if it is already unknown whether it is ready.
pub(super) fn silent(node: &Node, now: Timestamp) -> Option<Node> {
    if readiness(node) == Some("Unknown") {
        return None;
    }
    let mut silent = node.clone();
    let conditions = silent.status.get_or_insert_default().conditions.get_or_insert_default();
    for type_ in KNOWN_TO_THE_NODE {
        match conditions.iter_mut().find(|condition| condition.type_ == type_) {
            Some(known) if known.status == "Unknown" => {}
            Some(known) => {
                known.status = "Unknown".to_owned();
                known.reason = Some("NodeStatusUnknown".to_owned());
                known.message = Some("Kubelet stopped posting node status.".to_owned());
                known.last_transition_time = Some(Time(now));
            }
            None => conditions.push(NodeCondition {
                type_: type_.to_owned(),
                status: "Unknown".to_owned(),
                reason: Some("NodeStatusNeverUpdated".to_owned()),
                message: Some("Kubelet never posted node status.".to_owned()),
                last_heartbeat_time: node.metadata.creation_timestamp.clone(),
                last_transition_time: Some(Time(now)),
            }),
        }
    }
    Some(silent)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::coordination::v1::LeaseSpec;
    use k8s_openapi::api::core::v1::NodeStatus;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, MicroTime, ObjectMeta};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn any_sign_of_life_counts() {
        let check = |heartbeat: Option<i64>, renewed: Option<(i64, i64)>, since: i64, expected: i64| {
            let ready = heartbeat.map(|second| NodeCondition {
                type_: "Ready".to_owned(),
                last_heartbeat_time: Some(Time(at(second))),
                ..NodeCondition::default()
            });
            let metadata = ObjectMeta { creation_timestamp: Some(Time(at(1000))), ..ObjectMeta::default() };
            let status = NodeStatus { conditions: ready.map(|ready| vec![ready]), ..NodeStatus::default() };
            let node = Node { metadata, status: Some(status), ..Node::default() };
            let lease = renewed.map(|(by_node, by_server)| Lease {
                metadata: ObjectMeta {
                    managed_fields: Some(vec![ManagedFieldsEntry {
                        time: Some(Time(at(by_server))),
                        ..ManagedFieldsEntry::default()
                    }]),
                    ..ObjectMeta::default()
                },
                spec: Some(LeaseSpec { renew_time: Some(MicroTime(at(by_node))), ..LeaseSpec::default() }),
            });
            let until = alive_until(&node, lease.as_ref(), &Settings::default(), at(since));
            assert_eq!(until, at(expected), "{heartbeat:?} {renewed:?} {since}");
        };
        check(None, None, 0, 1060);
        check(None, None, 1500, 1560);
        check(None, Some((2000, 2000)), 0, 2060);
        check(Some(2000), None, 0, 2050);
        check(Some(2000), Some((2010, 2010)), 0, 2060);
        check(Some(2000), Some((1010, 2011)), 0, 2061);
        check(Some(2000), Some((1010, 1990)), 0, 2050);
        check(Some(2000), Some((1010, 1990)), 2100, 2150);
    }
}
