//! What is said of the pods that a namespace has when it becomes stricter.
//!
//! What always holds: no more than a number of pods is looked at, one of each controller first, and it is said when some were
//! left out.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Pod, PodSpec};

use super::checks;
use super::levels::Standard;

/// How many pods are looked at (upstream's number).
const MAX_PODS: usize = 3000;

/// The warnings about `pods`, as many of them as could be looked at before `is_over`, but for those that are exempt.
pub(super) fn warnings(
    namespace: &str,
    enforce: Standard,
    pods: Vec<Pod>,
    is_exempt: impl Fn(&PodSpec) -> bool,
    mut is_over: impl FnMut() -> bool,
) -> Vec<String> {
    let total = pods.len();
    let (mut checked, none) = (0, PodSpec::default());
    // The first name of the pods of which something is wrong, and how many there are.
    let mut found: BTreeMap<String, (String, usize)> = BTreeMap::new();
    for pod in in_order(pods).into_iter().take(MAX_PODS) {
        let spec = pod.spec.as_ref().unwrap_or(&none);
        let violations = checks::evaluate(enforce, &pod.metadata, spec);
        if !violations.is_empty() && !is_exempt(spec) {
            let name = pod.metadata.name.unwrap_or_default();
            let (first, number) = found.entry(violations.reasons()).or_insert_with(|| (name.clone(), 0));
            *number += 1;
            if name < *first {
                *first = name;
            }
        }
        checked += 1;
        if is_over() {
            break;
        }
    }
    let mut warnings = Vec::new();
    if checked < total {
        warnings.push(format!(
            "new PodSecurity enforce level only checked against the first {checked} of {total} existing pods"
        ));
    }
    if !found.is_empty() {
        warnings.push(format!(
            "existing pods in namespace \"{namespace}\" violate the new PodSecurity enforce level \"{enforce}\""
        ));
    }
    let mut of_pods: Vec<_> =
        found.into_iter().map(|(reasons, (name, number))| named(&reasons, &name, number)).collect();
    of_pods.sort();
    warnings.extend(of_pods);
    warnings
}

fn named(reasons: &str, name: &str, number: usize) -> String {
    match number {
        1 => format!("{name}: {reasons}"),
        2 => format!("{name} (and 1 other pod): {reasons}"),
        _ => format!("{name} (and {} other pods): {reasons}", number - 1),
    }
}

/// Pods of their own and the first of each controller come first: the others are like it.
fn in_order(pods: Vec<Pod>) -> Vec<Pod> {
    let mut seen = BTreeSet::new();
    let (mut first, others): (Vec<Pod>, Vec<Pod>) = pods.into_iter().partition(|pod| {
        let owners = pod.metadata.owner_references.iter().flatten();
        let mut controllers = owners.filter(|owner| owner.controller == Some(true));
        controllers.next().is_none_or(|controller| seen.insert(controller.uid.clone()))
    });
    first.extend(others);
    first
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::levels::{Level, Version};
    use super::*;

    const BASELINE: Standard = Standard { level: Level::Baseline, version: Version::Latest };

    fn pod(name: &str, controller: Option<&str>, spec: &serde_json::Value) -> Pod {
        let mut metadata = json!({"name": name});
        if let Some(uid) = controller {
            let kind =
                json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": uid, "controller": true});
            metadata["ownerReferences"] = json!([kind]);
        }
        let mut spec = spec.clone();
        spec["containers"] = json!([]);
        serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
    }

    #[test]
    fn pods_are_counted_by_what_is_wrong() {
        let (network, pid, fine) =
            (json!({"hostNetwork": true}), json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}), json!({}));
        let pods = vec![
            pod("c", Some("u"), &network),
            pod("b", Some("u"), &network),
            pod("a", Some("u"), &network),
            pod("d", None, &pid),
            pod("e", None, &pid),
            pod("f", None, &fine),
        ];
        let expected = [
            "existing pods in namespace \"n\" violate the new PodSecurity enforce level \"baseline:latest\"",
            "a (and 2 other pods): host namespaces",
            "d (and 1 other pod): hostPath volumes",
        ];
        assert_eq!(warnings("n", BASELINE, pods, |_| false, || false), expected);
        assert_eq!(warnings("n", BASELINE, vec![pod("f", None, &fine)], |_| false, || false), Vec::<String>::new());
        let one = warnings("n", BASELINE, vec![pod("p", None, &network)], |_| false, || false);
        assert_eq!(one[1..], ["p: host namespaces"]);
    }

    #[test]
    fn no_more_are_looked_at_than_there_is_time_for() {
        let fine = json!({});
        let many = (0..=MAX_PODS).map(|i| pod(&format!("p{i}"), None, &fine)).collect();
        let said = "new PodSecurity enforce level only checked against the first";
        assert_eq!(warnings("n", BASELINE, many, |_| false, || false), [format!("{said} 3000 of 3001 existing pods")]);
        let three = ["a", "b", "c"].map(|name| pod(name, Some("u"), &fine)).into();
        assert_eq!(warnings("n", BASELINE, three, |_| false, || true), [format!("{said} 1 of 3 existing pods")]);
    }

    #[test]
    fn one_of_each_controller_comes_first() {
        let fine = json!({});
        let pods = [("a", Some("u")), ("b", Some("u")), ("c", None), ("d", Some("v"))];
        let order = in_order(pods.into_iter().map(|(name, uid)| pod(name, uid, &fine)).collect());
        let names: Vec<_> = order.iter().map(|pod| pod.metadata.name.as_deref().unwrap()).collect();
        assert_eq!(names, ["a", "c", "d", "b"]);
    }
}
