//! What controllers ask about volume claims: which of them a pod uses.
//!
//! The answers are those of upstream's protection of claims. All of them are pure, and none fails, whatever a pod says.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Pod, Volume};

use crate::pods;

/// Whether a pod uses the claim of this name in its namespace. `controller` is the uid of the claim's controller, empty if it
/// has none: what a pod calls the claim of an ephemeral volume is its own only if it was made for it.
///
/// A pod that is on no node does not use it: no kubelet starts a pod whose claim is being deleted. One that has ended does as
/// long as it is there.
#[must_use]
pub fn is_used_by(claim: &str, controller: &str, pod: &Pod) -> bool {
    let is_owner = !controller.is_empty() && pod.metadata.uid.as_deref() == Some(controller);
    volumes(pod).any(|volume| match claim_of(pod, volume) {
        Some(Claimed::Named(name)) => name == claim,
        Some(Claimed::Made(name)) => name == claim && is_owner,
        None => false,
    })
}

/// The names of all claims that a pod uses, if those of its ephemeral volumes are its own.
pub(crate) fn used_by(pod: &Pod) -> BTreeSet<String> {
    let name = |claimed: Claimed<'_>| match claimed {
        Claimed::Named(name) => name.to_owned(),
        Claimed::Made(name) => name,
    };
    volumes(pod).filter_map(|volume| claim_of(pod, volume)).map(name).collect()
}

/// How a volume has its claim.
enum Claimed<'a> {
    /// By its name.
    Named(&'a str),
    /// It is made for the pod, under this name.
    Made(String),
}

/// The volumes of a pod that is on a node.
fn volumes(pod: &Pod) -> impl Iterator<Item = &Volume> {
    let spec = pod.spec.as_ref().filter(|_| pods::node(pod).is_some());
    spec.into_iter().flat_map(|spec| spec.volumes.iter().flatten())
}

fn claim_of<'a>(pod: &Pod, volume: &'a Volume) -> Option<Claimed<'a>> {
    if let Some(source) = &volume.persistent_volume_claim {
        return Some(Claimed::Named(&source.claim_name));
    }
    if volume.ephemeral.is_none() || is_shut_down(pod) {
        return None;
    }
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    Some(Claimed::Made(format!("{name}-{}", volume.name)))
}

/// Whether the kubelet is done with the pod, or it was deleted by force. It may wait for its own claim to go then, and must not
/// be waited for.
fn is_shut_down(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some() && pod.metadata.deletion_grace_period_seconds == Some(0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(uid: &str, node: Value, meta: Value, phase: &str) -> Pod {
        let mut metadata = json!({"name": "web", "uid": uid});
        metadata.as_object_mut().unwrap().extend(meta.as_object().unwrap().clone());
        let volumes = json!([
            {"name": "none", "emptyDir": {}},
            {"name": "named", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
        ]);
        let spec = json!({"containers": [], "nodeName": node, "volumes": volumes});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": {"phase": phase}})).unwrap()
    }

    #[test]
    fn pods_on_nodes_use_what_their_volumes_name() {
        let check = |pod: Pod, named: bool, made: bool| {
            assert_eq!(is_used_by("data", "", &pod), named);
            assert_eq!(is_used_by("data", "uid-9", &pod), named, "by whomever it was made");
            assert_eq!(is_used_by("web-scratch", "uid-1", &pod), made);
            assert!(!is_used_by("web-scratch", "", &pod), "it was made for nobody");
            assert!(!is_used_by("web-scratch", "uid-9", &pod), "it was made for another");
            assert!(!is_used_by("web-named", "uid-1", &pod) && !is_used_by("web-none", "uid-1", &pod));
            let both = [("data", named), ("web-scratch", made)];
            let used: BTreeSet<String> =
                both.iter().filter(|(_, is_used)| *is_used).map(|(name, _)| (*name).to_owned()).collect();
            assert_eq!(used_by(&pod), used);
        };
        let going =
            |seconds: i64| json!({"deletionTimestamp": "2026-03-01T12:00:00Z", "deletionGracePeriodSeconds": seconds});
        check(pod("uid-1", json!("n1"), json!({}), "Running"), true, true);
        check(pod("uid-1", json!("n1"), json!({}), "Succeeded"), true, true);
        check(pod("uid-1", json!("n1"), going(30), "Running"), true, true);
        check(pod("uid-1", json!("n1"), going(0), "Running"), true, false);
        check(pod("uid-1", json!(null), json!({}), "Pending"), false, false);
        check(pod("uid-1", json!(""), json!({}), "Pending"), false, false);
    }

    #[test]
    fn a_pod_without_uid_is_nobodys_owner() {
        let pod = pod("", json!("n1"), json!({}), "Running");
        assert!(!is_used_by("web-scratch", "", &pod));
    }
}
