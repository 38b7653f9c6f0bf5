//! Which pods a node or a cluster cannot do without.

use k8s_openapi::api::core::v1::Pod;

/// The priority from which on a node cannot do without a pod (`system-node-critical`).
const NODE_CRITICAL: i32 = 2_000_001_000;
/// The priority from which on a cluster cannot do without a pod (`system-cluster-critical`).
const CLUSTER_CRITICAL: i32 = 2_000_000_000;

/// Says where a pod comes from: a file, a URL, or the API.
const SOURCE: &str = "kubernetes.io/config.source";
/// Says that a pod in the API only shows one of a node's own.
const MIRROR: &str = "kubernetes.io/config.mirror";

fn annotation<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    pod.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

/// A pod's priority.
#[must_use]
pub fn priority(pod: &Pod) -> i32 {
    pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or(0)
}

/// Whether the node has the pod from somewhere else than the API.
#[must_use]
pub fn is_static(pod: &Pod) -> bool {
    annotation(pod, SOURCE).is_some_and(|source| source != "api")
}

/// Whether a node cannot do without the pod.
#[must_use]
pub fn is_node_critical(pod: &Pod) -> bool {
    priority(pod) >= NODE_CRITICAL
}

/// Whether the cluster cannot do without the pod: it is static, shows a static one, or is of a priority that says so.
#[must_use]
pub fn is_critical(pod: &Pod) -> bool {
    is_static(pod) || annotation(pod, MIRROR).is_some() || priority(pod) >= CLUSTER_CRITICAL
}

/// Whether a node ends one pod to make room for the other.
#[must_use]
pub fn is_preemptable(pod: &Pod, by: &Pod) -> bool {
    (is_critical(by) && !is_critical(pod)) || priority(by) > priority(pod)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(priority: i32, annotation: Option<(&str, &str)>) -> Pod {
        let annotations: std::collections::BTreeMap<_, _> = annotation.into_iter().collect();
        let pod = json!({"metadata": {"annotations": annotations}, "spec": {"containers": [], "priority": priority}});
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn what_cannot_be_done_without() {
        let check = |priority, annotation, critical: bool, node_critical: bool| {
            let pod = pod(priority, annotation);
            assert_eq!((is_critical(&pod), is_node_critical(&pod)), (critical, node_critical));
        };
        check(0, None, false, false);
        check(1_999_999_999, None, false, false);
        check(2_000_000_000, None, true, false);
        check(2_000_001_000, None, true, true);
        check(0, Some((SOURCE, "api")), false, false);
        check(0, Some((SOURCE, "file")), true, false);
        check(0, Some((MIRROR, "x")), true, false);
    }

    #[test]
    fn who_goes_for_whom() {
        let (plain, high, critical) = (pod(0, None), pod(5, None), pod(2_000_000_000, None));
        let file = pod(0, Some((SOURCE, "file")));
        assert!(is_preemptable(&plain, &critical) && is_preemptable(&high, &critical) && is_preemptable(&plain, &high));
        assert!(is_preemptable(&high, &file) && is_preemptable(&file, &critical));
        assert!(!is_preemptable(&plain, &plain) && !is_preemptable(&critical, &critical));
    }
}
