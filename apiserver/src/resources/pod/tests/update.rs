//! What updates of a pod are refused for, and what they are not.

use super::*;

fn check(old: &Pod, change: Value, expected: &[&str]) {
    let new = changed(old, change);
    assert_eq!(messages(&Pods.validate_update(&new, old)), expected, "{new:?}");
}

fn messages_of(subresource: &str, old: &Pod, change: Value) -> Vec<String> {
    let mut new = changed(old, change);
    let update = Pods.updates().into_iter().find(|update| update.name == subresource).unwrap();
    (update.prepare)(&mut new, old, context());
    messages(&(update.validate)(&new, old))
}

fn check_subresource(name: &str, old: &Pod, change: Value, expected: &[&str]) {
    assert_eq!(messages_of(name, old, change.clone()), expected, "{change}");
}

fn container(pod: &Pod, change: Value) -> Value {
    let mut container = serde_json::to_value(&pod.spec.as_ref().unwrap().containers[0]).unwrap();
    merge(&mut container, change);
    json!([container])
}

#[test]
fn what_may_change() {
    let old =
        stored(json!({"spec": {"activeDeadlineSeconds": 100, "tolerations": [{"key": "a", "operator": "Exists"}]}}));
    check(&old, json!({"spec": {"containers": container(&old, json!({"image": "nginx:2"}))}}), &[]);
    check(&old, json!({"spec": {"activeDeadlineSeconds": 50}}), &[]);
    let mut tolerations = json!([{"key": "a", "operator": "Exists"}, {"key": "b", "operator": "Exists"}]);
    check(&old, json!({"spec": {"tolerations": tolerations}}), &[]);
    tolerations[0]["tolerationSeconds"] = json!(5);
    tolerations[0]["effect"] = json!("NoExecute");
    check(
        &old,
        json!({"spec": {"tolerations": tolerations}}),
        &["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"],
    );
    check(&old, json!({"metadata": {"labels": {"a": "b"}}, "spec": {"hostNetwork": false}}), &[]);
}

#[test]
fn what_may_not_change() {
    let old = stored(json!({"spec": {"activeDeadlineSeconds": 100}}));
    let with_two = json!([container(&old, json!({}))[0], container(&old, json!({"name": "d"}))[0]]);
    check(
        &old,
        json!({"spec": {"containers": with_two}}),
        &["spec.containers: Forbidden: pod updates may not add or remove containers"],
    );
    check(
        &old,
        json!({"spec": {"initContainers": container(&old, json!({"name": "i"}))}}),
        &["spec.initContainers: Forbidden: pod updates may not add or remove containers"],
    );
    check(
        &old,
        json!({"spec": {"activeDeadlineSeconds": 101}}),
        &["spec.activeDeadlineSeconds: Invalid value: 101: must be less than or equal to previous value"],
    );
    check(
        &old,
        json!({"spec": {"activeDeadlineSeconds": null}}),
        &["spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value"],
    );
    check(
        &old,
        json!({"spec": {"schedulingGates": [{"name": "example.com/g"}]}}),
        &["spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate \
           'example.com/g'"],
    );
    let fields = "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,\
                  `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to \
                  existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was \
                  previously negative)\n";
    let new = changed(&old, json!({"spec": {"nodeName": "n"}}));
    let errors = messages(&Pods.validate_update(&new, &old));
    let shown = errors[0].strip_prefix(fields).unwrap();
    assert!(shown.starts_with("  core.PodSpec{\n") && shown.contains("+ \tNodeName: \"n\",\n"), "{shown}");
    assert_eq!(errors.len(), 1);
}

#[test]
fn annotations_that_may_not_change() {
    let old = stored(json!({
        "metadata": {"annotations": {"kubernetes.io/config.mirror": "a"}}, "spec": {"nodeName": "n"},
    }));
    check(
        &old,
        json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "b"}}}),
        &[
            "metadata.annotations[kubernetes.io/config.mirror]: Forbidden: may not remove or update mirror pod annotation",
        ],
    );
    let old = stored(json!({"spec": {"nodeName": "n"}}));
    check(
        &old,
        json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "b"}}}),
        &["metadata.annotations[kubernetes.io/config.mirror]: Forbidden: may not add mirror pod annotation"],
    );
    check(
        &old,
        json!({"metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}}}),
        &["metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: Forbidden: may not add AppArmor \
           annotations"],
    );
}

#[test]
fn gated_pods_may_be_directed() {
    let expression = |key: &str| json!({"key": key, "operator": "Exists"});
    let affinity = |terms: Value| {
        let required = json!({"nodeSelectorTerms": terms});
        json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}})
    };
    let gates = json!([{"name": "example.com/g"}]);
    let plain = stored(json!({"spec": {"schedulingGates": gates, "nodeSelector": {"a": "1"}}}));
    check(&plain, json!({"spec": {"schedulingGates": null}}), &[]);
    check(&plain, json!({"spec": {"nodeSelector": {"b": "2"}}}), &[]);
    check(
        &plain,
        json!({"spec": {"nodeSelector": {"a": "2"}}}),
        &[
            "spec.nodeSelector: Invalid value: {\"a\":\"2\"}: only additions to spec.nodeSelector are allowed (no mutations \
           or deletions)",
        ],
    );
    let term = |keys: &[&str]| json!({"matchExpressions": keys.iter().map(|key| expression(key)).collect::<Vec<_>>()});
    check(&plain, json!({"spec": {"affinity": affinity(json!([term(&["a"])]))}}), &[]);
    let directed = stored(json!({"spec": {"schedulingGates": gates, "affinity": affinity(json!([term(&["a"])]))}}));
    check(&directed, json!({"spec": {"affinity": affinity(json!([term(&["a", "b"])]))}}), &[]);
    let path = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    let shown = r#"{"MatchExpressions":[{"Key":"b","Operator":"Exists","Values":null}],"MatchFields":null}"#;
    check(
        &directed,
        json!({"spec": {"affinity": affinity(json!([term(&["b"])]))}}),
        &[&format!("{path}[0]: Invalid value: {shown}: only additions are allowed (no mutations or deletions)")],
    );
    check(
        &directed,
        json!({"spec": {"affinity": null}}),
        &[&format!(
            "{path}: Invalid value: null: no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        )],
    );
}

#[test]
fn generations_grow_with_the_spec() {
    let old = stored(json!({"spec": {"containers": [
        {"name": "c", "image": "i", "resources": {"requests": {"memory": "1Ki"}}},
    ]}}));
    let grows = Pods.generation().unwrap();
    let resized = |memory: &str| {
        let resources = json!({"resources": {"requests": {"memory": memory}}});
        changed(&old, json!({"spec": {"containers": container(&old, resources)}}))
    };
    assert!(!grows(&changed(&old, json!({"metadata": {"labels": {"a": "b"}}})), &old));
    assert!(!grows(&resized("1024"), &old));
    assert!(grows(&resized("2Ki"), &old));
}

#[test]
fn resizes() {
    let resources = |requests: Value, limits: Value| json!({"resources": {"requests": requests, "limits": limits}});
    let old = stored(json!({"spec": {"containers": [{
        "name": "c", "image": "i",
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "1Gi"}},
    }]}}));
    let resized = |change: Value, expected: &[&str]| {
        check_subresource("resize", &old, json!({"spec": {"containers": container(&old, change)}}), expected);
    };
    resized(resources(json!({"cpu": "1500m"}), json!({"memory": "2Gi"})), &[]);
    resized(json!({"image": "other"}), &[]);
    resized(
        resources(json!({"cpu": null}), json!({"memory": null})),
        &[
            "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed",
            "spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed",
        ],
    );
    resized(
        resources(json!({"cpu": "2"}), json!({})),
        &["spec: Invalid value: \"Burstable\": Pod QOS Class may not change as a result of resizing"],
    );
    resized(
        resources(json!({"ephemeral-storage": "1Gi"}), json!({})),
        &["spec: Forbidden: only cpu and memory resources are mutable"],
    );
    resized(
        json!({"name": "d"}),
        &["spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize"],
    );
    let unsupported = changed(
        &old,
        json!({"status": {"containerStatuses": [{
            "name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}},
        }]}}),
    );
    let message = "spec: Forbidden: Pod running on node without support for resize";
    check_subresource("resize", &unsupported, json!({}), &[message]);
    let mirror = changed(&old, json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "a"}}}));
    check_subresource("resize", &mirror, json!({}), &[": Forbidden: static pods cannot be resized"]);
}

#[test]
fn resizes_of_whole_pods() {
    let old = stored(json!({"spec": {"resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}}}));
    let check = |resources: Value, expected: &[&str]| {
        check_subresource("resize", &old, json!({"spec": {"resources": resources}}), expected);
    };
    check(json!({"requests": {"cpu": "1500m"}}), &[]);
    check(
        json!({"limits": {"cpu": null, "memory": "1Gi"}, "requests": {"memory": "1Gi"}}),
        &["spec.resources.limits: Forbidden: pod-level resource limits cannot be removed"],
    );
    check(
        Value::Null,
        &[
            "spec: Invalid value: \"Burstable\": Pod QOS Class may not change as a result of resizing",
            "spec.resources: Forbidden: pod-level resources cannot be removed",
        ],
    );
}

#[test]
fn ephemeral_containers_stay() {
    let debugger = json!({
        "name": "d", "image": "busybox", "imagePullPolicy": "Always", "terminationMessagePolicy": "File",
        "terminationMessagePath": "/dev/termination-log",
    });
    let mut other = debugger.clone();
    other["image"] = json!("alpine");
    let ephemeral = |containers: Value| json!({"spec": {"ephemeralContainers": containers}});
    let plain = stored(json!({}));
    check_subresource("ephemeralcontainers", &plain, ephemeral(json!([debugger])), &[]);
    let old = changed(&plain, ephemeral(json!([debugger])));
    check_subresource(
        "ephemeralcontainers",
        &old,
        ephemeral(json!([])),
        &["spec.ephemeralContainers: Forbidden: existing ephemeral containers \"d\" may not be removed\n"],
    );
    let errors = messages_of("ephemeralcontainers", &old, ephemeral(json!([other])));
    let expected = "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"d\" may not be changed\n";
    assert!(errors.len() == 1 && errors[0].starts_with(expected), "{errors:?}");
    let mirror = changed(&plain, json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "a"}}}));
    let message = ": Forbidden: static pods do not support ephemeral containers";
    check_subresource("ephemeralcontainers", &mirror, json!({}), &[message]);
}
