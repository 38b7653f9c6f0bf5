//! On which nodes room is being made for which pods, as it was decided and as statuses say it.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::Pod;

use super::uid;
use crate::snapshot::Snapshot;

/// The nodes that pods without a node are nominated for, by uid.
#[derive(Debug, Default)]
pub(super) struct Nominations(HashMap<String, String>);

impl Nominations {
    /// The node that the pod is nominated for.
    pub(super) fn of(&self, uid: &str) -> Option<&str> {
        self.0.get(uid).map(String::as_str)
    }

    /// Nominates a pod for a node instead of any other; for none if `node` is empty.
    pub(super) fn set(&mut self, snapshot: &mut Snapshot, pod: &Pod, node: &str) {
        if node.is_empty() {
            self.remove(snapshot, uid(pod));
            return;
        }
        self.0.insert(uid(pod).to_owned(), node.to_owned());
        snapshot.nominate(pod, node);
    }

    /// A pod appeared or changed. If its status neither nominates it now nor did before, what is known here stays: the
    /// change may have been on its way when the pod was nominated.
    pub(super) fn seen(&mut self, snapshot: &mut Snapshot, old: Option<&Pod>, new: &Pod) {
        match (old.map_or("", in_status), in_status(new)) {
            ("", "") => {
                if let Some(kept) = self.0.get(uid(new)) {
                    snapshot.nominate(new, kept);
                }
            }
            (_, node) => self.set(snapshot, new, node),
        }
    }

    /// The pod is nominated no longer. Returns the node that it was nominated for.
    pub(super) fn remove(&mut self, snapshot: &mut Snapshot, uid: &str) -> Option<String> {
        let node = self.0.remove(uid)?;
        snapshot.withdraw(uid);
        Some(node)
    }
}

/// The node that a pod's status nominates it for, or nothing.
pub(super) fn in_status(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.nominated_node_name.as_deref()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing;

    fn pod(nominated: &str) -> Pod {
        let mut pod = testing::pod("a", json!({}));
        pod.status.get_or_insert_default().nominated_node_name = Some(nominated.to_owned());
        pod
    }

    #[test]
    fn changes_keep_or_change_nominations() {
        let check = |before: &str, (old, new): (&str, &str), expected: &[&str]| {
            let nodes = ["x", "y"];
            let mut snapshot = testing::snapshot(&nodes.map(|name| testing::node(name, json!({}))), &[]);
            let mut nominations = Nominations::default();
            nominations.set(&mut snapshot, &pod(""), before);
            nominations.seen(&mut snapshot, Some(&pod(old)), &pod(new));
            let nominated = |name: &&&str| !snapshot.nominated(snapshot.index(name).unwrap()).is_empty();
            assert_eq!(nodes.iter().filter(nominated).copied().collect::<Vec<_>>(), expected, "{before} {old} {new}");
            assert_eq!(nominations.of("a"), expected.first().copied());
            nominations.remove(&mut snapshot, "a");
            assert!(!snapshot.has_nominated() && nominations.of("a").is_none());
        };
        check("x", ("", ""), &["x"]);
        check("", ("", ""), &[]);
        check("x", ("", "y"), &["y"]);
        check("x", ("x", "y"), &["y"]);
        check("x", ("x", ""), &[]);
        check("", ("", "x"), &["x"]);
    }
}
