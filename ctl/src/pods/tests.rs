//! Which pods, and which containers.

use serde_json::json;

use super::*;

#[test]
fn selectors_are_those_of_the_kinds_that_have_pods() {
    let check = |object: Value, expected: &str| assert_eq!(selector(&object, "cannot attach to").unwrap(), expected);
    let labels = json!({"a": "1", "b": "2"});
    check(json!({"kind": "Deployment", "spec": {"selector": {"matchLabels": labels}}}), "a=1,b=2");
    check(json!({"kind": "Service", "spec": {"selector": labels}}), "a=1,b=2");
    let expressions = json!([{"key": "c", "operator": "In", "values": ["x", "y"]},
        {"key": "d", "operator": "NotIn", "values": ["z"]}, {"key": "e", "operator": "Exists"},
        {"key": "f", "operator": "DoesNotExist"}]);
    check(
        json!({"kind": "Job", "spec": {"selector": {"matchLabels": {"a": "1"}, "matchExpressions": expressions}}}),
        "a=1,c in (x,y),d notin (z),e,!f",
    );
    let error = |object: Value| selector(&object, "cannot attach to").unwrap_err().to_string();
    let without = json!({"kind": "Service", "metadata": {"name": "s"}, "spec": {}});
    assert_eq!(error(without), "error: invalid service 's': Service is defined without a selector");
    let other = error(json!({"kind": "ConfigMap", "apiVersion": "v1"}));
    assert_eq!(other, "error: cannot attach to *v1.ConfigMap: selector for *v1.ConfigMap not implemented");
}

/// A pod that is there since a second, ready since another, and has been restarted some times.
fn pod_at(created: u32, ready: Option<u32>, restarts: u32) -> Value {
    let condition = ready.map(|second| {
        json!({"type": "Ready", "status": "True", "lastTransitionTime": format!("2026-01-01T00:00:{second:02}Z")})
    });
    json!({"metadata": {"creationTimestamp": format!("2026-01-01T00:00:{created:02}Z")}, "spec": {"nodeName": "n"},
        "status": {"phase": "Running", "conditions": condition.into_iter().collect::<Vec<_>>(),
            "containerStatuses": [{"restartCount": restarts}]}})
}

#[test]
fn the_pod_that_is_best_off_is_chosen_for_commands_and_the_one_with_most_trouble_for_logs() {
    use Preference::{Running, Talking};
    let check = |preference, first: &Value, second: &Value| {
        assert_eq!(compare(first, second, preference), Ordering::Less, "{first} {second}");
        assert_eq!(compare(second, first, preference), Ordering::Greater, "{first} {second}");
    };
    for preference in [Running, Talking] {
        check(preference, &pod_at(9, Some(10), 0), &pod_at(1, None, 0));
        check(preference, &pod_at(9, Some(10), 0), &pod_at(1, Some(11), 0));
        check(preference, &pod_at(1, Some(10), 0), &pod_at(2, Some(10), 0));
        let mut pending = pod_at(1, None, 0);
        pending["status"]["phase"] = json!("Pending");
        check(preference, &pod_at(9, None, 0), &pending);
        let mut nowhere = pod_at(1, Some(1), 0);
        nowhere["spec"] = json!({});
        check(preference, &pending, &nowhere);
    }
    check(Running, &pod_at(9, None, 1), &pod_at(1, None, 2));
    check(Talking, &pod_at(9, None, 2), &pod_at(1, None, 1));
}

fn pod_of(annotation: Option<&str>) -> Value {
    let annotations = annotation.map(|name| json!({DEFAULT_CONTAINER: name}));
    json!({"metadata": {"name": "p", "annotations": annotations}, "spec": {"containers": [{"name": "a"}, {"name": "b"}],
        "initContainers": [{"name": "i"}], "ephemeralContainers": [{"name": "e"}]}})
}

#[test]
fn a_container_is_the_one_that_is_named_or_annotated_or_the_first() {
    let defaulted = "Defaulted container \"a\" out of: a, b, e (ephem), i (init)".to_owned();
    let both = |annotation, asked: &str| {
        let pod = pod_of(annotation);
        let words = |error: Error| error.to_string();
        (container(&pod, asked).map_err(words), talking_container(&pod, asked).map_err(words))
    };
    let named = |name: &str| (Ok((name.to_owned(), None)), Ok((name.to_owned(), vec![])));
    assert_eq!(both(None, "e"), named("e"));
    assert_eq!(both(Some("b"), ""), named("b"));
    assert_eq!(both(Some("b"), "i"), named("i"));
    let first = both(None, "");
    assert_eq!(first, (Ok(("a".to_owned(), Some(defaulted.clone()))), Ok(("a".to_owned(), vec![defaulted.clone()]))));
    let (running, talking) = both(None, "x");
    let words = Err("error: container x is not valid for pod p out of: a, b, e (ephem), i (init)".to_owned());
    assert_eq!((running.map(|_| ()), talking.map(|_| ())), (words.clone(), words));
    let (running, talking) = both(Some("x"), "");
    assert!(running.unwrap_err().contains("container x is not valid"));
    let missing = "Default container name \"x\" not found in pod p".to_owned();
    assert_eq!(talking.unwrap(), ("a".to_owned(), vec![missing, defaulted]));
    // With one there is nothing to be said.
    let only = json!({"spec": {"containers": [{"name": "a"}]}});
    assert_eq!(container(&only, "").unwrap(), ("a".to_owned(), None));
    assert_eq!(container_names(&pod_of(None)), ["i", "a", "b", "e"]);
}
