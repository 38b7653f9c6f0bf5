//! The pods that are to run on a node for which other pods are being removed: they count on that node as if they were there.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

/// Which pods are nominated for which nodes.
#[derive(Debug, Default)]
pub(super) struct Nominator {
    nodes: HashMap<String, BTreeMap<String, Arc<Pod>>>,
    node_of: HashMap<String, String>,
}

impl Nominator {
    /// Nominates a pod for a node instead of any other; for none if `node` is empty.
    pub(super) fn nominate(&mut self, pod: &Arc<Pod>, node: &str) {
        let uid = uid(pod);
        self.remove(uid);
        if !node.is_empty() {
            self.node_of.insert(uid.to_owned(), node.to_owned());
            self.nodes.entry(node.to_owned()).or_default().insert(uid.to_owned(), Arc::clone(pod));
        }
    }

    /// Notes that a pod has come, which may be nominated already.
    pub(super) fn add(&mut self, pod: &Arc<Pod>) {
        if !status_node(pod).is_empty() {
            self.nominate(pod, status_node(pod));
        }
    }

    /// Notes that a pod has changed. If neither the old nor the new one is nominated by its status, what is known here
    /// stays: the update may have been on its way when the pod was nominated.
    pub(super) fn update(&mut self, old: &Pod, new: &Arc<Pod>) {
        let kept = match (status_node(old), status_node(new)) {
            ("", "") => self.node_of.get(uid(new)).cloned().unwrap_or_default(),
            (_, node) => node.to_owned(),
        };
        self.nominate(new, &kept);
    }

    /// Notes that a pod is no longer nominated.
    pub(super) fn remove(&mut self, uid: &str) {
        if let Some(node) = self.node_of.remove(uid)
            && let Some(pods) = self.nodes.get_mut(&node)
        {
            pods.remove(uid);
            if pods.is_empty() {
                self.nodes.remove(&node);
            }
        }
    }

    /// The pods that are nominated for a node, in the order of their identifiers.
    pub(super) fn pods(&self, node: &str) -> Vec<Arc<Pod>> {
        self.nodes.get(node).map(|pods| pods.values().cloned().collect()).unwrap_or_default()
    }
}

fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

fn status_node(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.nominated_node_name.as_deref()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::PodStatus;

    use super::*;

    fn pod(nominated: &str) -> Arc<Pod> {
        let mut pod = Pod::default();
        pod.metadata.uid = Some("a".to_owned());
        let node = Some(nominated.to_owned()).filter(|node| !node.is_empty());
        pod.status = Some(PodStatus { nominated_node_name: node, ..PodStatus::default() });
        Arc::new(pod)
    }

    /// What is known of a pod that was nominated for `before` and then updated: for which of two nodes it is nominated.
    fn check(before: &str, (old, new): (&str, &str), expected: &[&str]) {
        let mut nominator = Nominator::default();
        nominator.nominate(&pod(""), before);
        nominator.update(&pod(old), &pod(new));
        let nodes: Vec<&str> = ["x", "y"].into_iter().filter(|node| !nominator.pods(node).is_empty()).collect();
        assert_eq!(nodes, expected, "{before} {old} {new}");
    }

    #[test]
    fn updates_keep_or_change_nominations() {
        check("x", ("", ""), &["x"]);
        check("", ("", ""), &[]);
        check("x", ("", "y"), &["y"]);
        check("x", ("x", "y"), &["y"]);
        check("x", ("x", ""), &[]);
        check("", ("", "x"), &["x"]);
    }

    #[test]
    fn nothing_stays_of_a_pod_that_has_gone() {
        let mut nominator = Nominator::default();
        nominator.add(&pod(""));
        assert!(nominator.node_of.is_empty());
        nominator.add(&pod("x"));
        assert_eq!(nominator.pods("x").len(), 1);
        nominator.remove("a");
        assert!(nominator.nodes.is_empty() && nominator.node_of.is_empty());
    }
}
