//! Selectors of pods as objects have them, matched without being read first: events are compared with many pods, of which
//! each is looked at once.

use k8s_openapi::api::core::v1::{Pod, PodAffinityTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Whether the selector selects the pod; none selects nothing, nor does one of which something cannot be.
pub(super) fn selects(selector: Option<&LabelSelector>, pod: &Pod) -> bool {
    let Some(selector) = selector else { return false };
    let value = |key: &str| pod.metadata.labels.as_ref().and_then(|labels| labels.get(key));
    let mut expressions = selector.match_expressions.iter().flatten();
    selector.match_labels.iter().flatten().all(|(key, wanted)| value(key) == Some(wanted))
        && expressions.all(|expression| {
            let own = value(&expression.key);
            let is_listed = || own.is_some_and(|own| expression.values.iter().flatten().any(|value| value == own));
            match expression.operator.as_str() {
                "In" => is_listed(),
                "NotIn" => !is_listed(),
                "Exists" => own.is_some(),
                "DoesNotExist" => own.is_none(),
                _ => false,
            }
        })
}

/// Whether the term, which is `target`'s, is about the pod, if all namespaces have the labels that it asks for.
pub(super) fn may_mean(term: &PodAffinityTerm, target: &Pod, pod: &Pod) -> bool {
    let named = term.namespaces.as_deref().unwrap_or_default();
    let in_namespace = match &pod.metadata.namespace {
        _ if term.namespace_selector.is_some() => true,
        Some(namespace) if !named.is_empty() => named.contains(namespace),
        namespace => named.is_empty() && *namespace == target.metadata.namespace,
    };
    in_namespace && selects(term.label_selector.as_ref(), pod)
}

#[cfg(test)]
mod tests {
    use api::selector::label;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::testing;

    proptest! {
        #[test]
        fn what_is_selected_is_what_is_selected_when_it_is_read(
            labels in proptest::collection::btree_map("[ab]", "[xy]", 0..3),
            wanted in proptest::option::of(("[ab]", "[xy]")),
            expression in proptest::option::of(("[ab]", 0..5usize, proptest::collection::vec("[xy]", 1..3))),
        ) {
            let operators = ["In", "NotIn", "Exists", "DoesNotExist", "Odd"];
            let expressions = expression.iter().map(|(key, operator, values)| {
                let values = if *operator < 2 { json!(values) } else { json!([]) };
                json!({"key": key, "operator": operators[*operator], "values": values})
            });
            let expressions: Vec<_> = expressions.collect();
            let labels_wanted: std::collections::BTreeMap<_, _> = wanted.into_iter().collect();
            let selector: LabelSelector =
                testing::object(json!({"matchLabels": labels_wanted, "matchExpressions": expressions}));
            let mut pod = testing::pod("p", json!({}));
            pod.metadata.labels = Some(labels.clone());
            let read = label::from_api(Some(&selector)).unwrap_or(label::Selector::Nothing);
            prop_assert_eq!(selects(Some(&selector), &pod), read.matches(&labels));
            prop_assert!(!selects(None, &pod));
        }
    }

    #[test]
    fn terms_are_about_namespaces() {
        let check = |term: serde_json::Value, namespace: &str, expected: bool| {
            let mut all = json!({"topologyKey": "zone", "labelSelector": {}});
            all.as_object_mut().unwrap().extend(term.as_object().unwrap().clone());
            let (target, mut pod) = (testing::pod("p", json!({})), testing::pod("q", json!({})));
            pod.metadata.namespace = Some(namespace.to_owned());
            assert_eq!(may_mean(&testing::object(all), &target, &pod), expected, "{term} {namespace}");
        };
        check(json!({}), "default", true);
        check(json!({}), "other", false);
        check(json!({"namespaces": ["other"]}), "other", true);
        check(json!({"namespaces": ["other"]}), "default", false);
        check(json!({"namespaceSelector": {}}), "other", true);
        check(json!({"namespaceSelector": {"matchLabels": {"a": "b"}}}), "other", true);
        check(json!({"namespaceSelector": {"matchLabels": {"a": "b"}}, "namespaces": ["x"]}), "other", true);
        check(json!({"labelSelector": null}), "default", false);
    }
}
