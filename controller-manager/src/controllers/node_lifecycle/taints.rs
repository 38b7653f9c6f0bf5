//! The taints and labels that follow from what a node says of itself.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::health::readiness;

pub(super) const NOT_READY: &str = "node.kubernetes.io/not-ready";
pub(super) const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
const NO_SCHEDULE: &str = "NoSchedule";
const NO_EXECUTE: &str = "NoExecute";

/// Which taint of effect NoSchedule a condition brings about when it has this status.
const BY_CONDITION: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];
/// Labels with an older name, which has the same value.
const OLDER_NAMES: [(&str, &str); 2] =
    [("kubernetes.io/os", "beta.kubernetes.io/os"), ("kubernetes.io/arch", "beta.kubernetes.io/arch")];

/// A node's taints.
pub(super) fn taints(node: &Node) -> &[Taint] {
    node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
}

/// The taint of effect NoExecute with this key.
pub(super) fn no_execute<'a>(node: &'a Node, key: &str) -> Option<&'a Taint> {
    taints(node).iter().find(|taint| taint.effect == NO_EXECUTE && taint.key == key)
}

/// Whether it drives out pods because the node is not ready.
fn is_of_readiness(taint: &Taint) -> bool {
    taint.effect == NO_EXECUTE && (taint.key == NOT_READY || taint.key == UNREACHABLE)
}

/// The times at which the node got taints that drive out pods because it is not ready.
pub(super) fn times(node: &Node) -> impl Iterator<Item = Timestamp> {
    taints(node).iter().filter(|taint| is_of_readiness(taint)).filter_map(|taint| Some(taint.time_added.as_ref()?.0))
}

/// The node with the taint of effect NoExecute with this key and without the other of the two, or without both. A taint that
/// replaces the other has its time, so that pods do not get their time anew whenever a node that was not ready falls silent.
pub(super) fn driving_out(node: &Node, key: Option<&str>, now: Timestamp) -> Node {
    let mut node = node.clone();
    let taints = node.spec.get_or_insert_default().taints.get_or_insert_default();
    let since = taints.iter().find(|taint| is_of_readiness(taint)).and_then(|taint| taint.time_added.clone());
    taints.retain(|taint| !is_of_readiness(taint) || key == Some(&taint.key));
    if let Some(key) = key
        && !taints.iter().any(is_of_readiness)
    {
        taints.push(taint(key, NO_EXECUTE, since.unwrap_or(Time(now))));
    }
    node
}

fn taint(key: &str, effect: &str, added: Time) -> Taint {
    Taint { key: key.to_owned(), effect: effect.to_owned(), value: None, time_added: Some(added) }
}

/// The node with the taints of effect NoSchedule that its conditions bring about and no others of that kind; if it is ready,
/// also without those of effect NoExecute; and with the older names of its labels.
pub(super) fn reconciled(node: &Node, now: Timestamp) -> Node {
    let mut new = if readiness(node) == Some("True") && taints(node).iter().any(is_of_readiness) {
        driving_out(node, None, now)
    } else {
        node.clone()
    };
    let wanted = wanted(node);
    if has_others(&new, &wanted) {
        let taints = new.spec.get_or_insert_default().taints.get_or_insert_default();
        taints.retain(|taint| !is_of_conditions(taint) || wanted.contains(&taint.key.as_str()));
        for key in wanted {
            if !taints.iter().any(|taint| taint.effect == NO_SCHEDULE && taint.key == key) {
                taints.push(taint(key, NO_SCHEDULE, Time(now)));
            }
        }
    }
    for (name, older) in OLDER_NAMES {
        let labels = new.metadata.labels.iter_mut();
        for labels in labels {
            if let Some(value) = labels.get(name).cloned() {
                labels.insert(older.to_owned(), value);
            }
        }
    }
    new
}

/// The keys of the taints of effect NoSchedule that the node should have.
fn wanted(node: &Node) -> Vec<&'static str> {
    let mut wanted = Vec::new();
    for condition in node.status.iter().flat_map(|status| status.conditions.iter().flatten()) {
        let of = |(type_, status, _): &&(&str, &str, &str)| *type_ == condition.type_ && *status == condition.status;
        wanted.extend(BY_CONDITION.iter().find(of).map(|(_, _, key)| *key));
    }
    if node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true) {
        wanted.push(UNSCHEDULABLE);
    }
    wanted
}

/// Whether the taint is one of those that conditions bring about.
fn is_of_conditions(taint: &Taint) -> bool {
    let known = || BY_CONDITION.iter().any(|(_, _, key)| *key == taint.key);
    taint.effect == NO_SCHEDULE && (taint.key == UNSCHEDULABLE || known())
}

/// Whether the node has other taints of those that conditions bring about than it should have.
fn has_others(node: &Node, wanted: &[&str]) -> bool {
    let has: Vec<&str> =
        taints(node).iter().filter(|taint| is_of_conditions(taint)).map(|taint| taint.key.as_str()).collect();
    has.iter().any(|key| !wanted.contains(key)) || wanted.iter().any(|key| !has.contains(key))
}

/// Whether the node has the taint with which the server registers nodes, which has no time: it has not been ready before.
pub(super) fn is_new(node: &Node) -> bool {
    let first = |taint: &Taint| taint.key == NOT_READY && taint.effect == NO_SCHEDULE && taint.time_added.is_none();
    taints(node).iter().any(first)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{NodeCondition, NodeSpec, NodeStatus};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;

    fn node(conditions: &[(&str, &str)], taints: &[(&str, &str)]) -> Node {
        let condition = |(type_, status): &(&str, &str)| NodeCondition {
            type_: (*type_).to_owned(),
            status: (*status).to_owned(),
            ..NodeCondition::default()
        };
        let added = Time(Timestamp::from_second(5).unwrap());
        let taints = taints.iter().map(|(key, effect)| taint(key, effect, added.clone()));
        Node {
            spec: Some(NodeSpec { taints: Some(taints.collect()), ..NodeSpec::default() }),
            status: Some(NodeStatus {
                conditions: Some(conditions.iter().map(condition).collect()),
                ..NodeStatus::default()
            }),
            ..Node::default()
        }
    }

    fn shown(node: &Node) -> Vec<String> {
        let second = |taint: &Taint| taint.time_added.as_ref().map_or(0, |time| time.0.as_second());
        taints(node).iter().map(|taint| format!("{}:{}@{}", taint.key, taint.effect, second(taint))).collect()
    }

    #[test]
    fn taints_follow_from_conditions() {
        let check = |conditions: &[(&str, &str)], unschedulable: bool, taints: &[(&str, &str)], expected: &[&str]| {
            let mut node = node(conditions, taints);
            node.spec.as_mut().unwrap().unschedulable = Some(unschedulable);
            let now = Timestamp::from_second(9).unwrap();
            let new = reconciled(&node, now);
            assert_eq!(shown(&new), expected, "{conditions:?} {unschedulable} {taints:?}");
            assert_eq!(reconciled(&new, now), new);
        };
        let (not_ready, other) = ((NOT_READY, NO_SCHEDULE), ("example.com/a", NO_SCHEDULE));
        check(&[], false, &[other], &["example.com/a:NoSchedule@5"]);
        check(&[("Ready", "True")], false, &[not_ready, other], &["example.com/a:NoSchedule@5"]);
        check(&[("Ready", "False")], false, &[not_ready], &["node.kubernetes.io/not-ready:NoSchedule@5"]);
        check(&[("Ready", "Unknown")], false, &[not_ready], &["node.kubernetes.io/unreachable:NoSchedule@9"]);
        let cordoned = "node.kubernetes.io/unschedulable:NoSchedule@9";
        check(&[("Ready", "True")], true, &[], &[cordoned]);
        check(&[("Ready", "True")], false, &[(UNSCHEDULABLE, NO_SCHEDULE)], &[]);
        let all = [
            ("MemoryPressure", "True"),
            ("DiskPressure", "True"),
            ("PIDPressure", "True"),
            ("NetworkUnavailable", "True"),
        ];
        let expected = ["memory-pressure", "disk-pressure", "pid-pressure", "network-unavailable"];
        let expected = expected.map(|key| format!("node.kubernetes.io/{key}:NoSchedule@9"));
        check(&all, false, &[], &expected.each_ref().map(String::as_str));
        check(&all.map(|(type_, _)| (type_, "Unknown")), false, &[], &[]);
        let driving = [(NOT_READY, NO_EXECUTE), (UNREACHABLE, NO_EXECUTE)];
        check(&[("Ready", "True")], false, &driving, &[]);
        check(
            &[("Ready", "False")],
            false,
            &driving[..1],
            &["node.kubernetes.io/not-ready:NoExecute@5", "node.kubernetes.io/not-ready:NoSchedule@9"],
        );
    }

    #[test]
    fn a_taint_that_replaces_another_has_its_time() {
        let check = |taints: &[(&str, &str)], key: Option<&str>, expected: &[&str]| {
            let new = driving_out(&node(&[], taints), key, Timestamp::from_second(9).unwrap());
            assert_eq!(shown(&new), expected, "{taints:?} {key:?}");
        };
        let (not_ready, unreachable) = ((NOT_READY, NO_EXECUTE), (UNREACHABLE, NO_EXECUTE));
        check(&[], Some(NOT_READY), &["node.kubernetes.io/not-ready:NoExecute@9"]);
        check(&[not_ready], Some(UNREACHABLE), &["node.kubernetes.io/unreachable:NoExecute@5"]);
        check(&[not_ready, unreachable], Some(UNREACHABLE), &["node.kubernetes.io/unreachable:NoExecute@5"]);
        check(&[not_ready, (NOT_READY, NO_SCHEDULE)], None, &["node.kubernetes.io/not-ready:NoSchedule@5"]);
    }

    #[test]
    fn older_labels_have_the_same_values() {
        let check = |labels: &[(&str, &str)], expected: &[(&str, &str)]| {
            let owned = |labels: &[(&str, &str)]| {
                labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
            };
            let metadata = ObjectMeta { labels: Some(owned(labels)), ..ObjectMeta::default() };
            let new = reconciled(&Node { metadata, ..Node::default() }, Timestamp::UNIX_EPOCH);
            assert_eq!(new.metadata.labels, Some(owned(expected)));
        };
        check(&[("a", "b")], &[("a", "b")]);
        check(&[("kubernetes.io/os", "linux")], &[("kubernetes.io/os", "linux"), ("beta.kubernetes.io/os", "linux")]);
        let wrong = [("kubernetes.io/arch", "arm64"), ("beta.kubernetes.io/arch", "amd64")];
        check(&wrong, &[("kubernetes.io/arch", "arm64"), ("beta.kubernetes.io/arch", "arm64")]);
        check(&[("beta.kubernetes.io/os", "linux")], &[("beta.kubernetes.io/os", "linux")]);
    }
}
