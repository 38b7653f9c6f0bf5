//! Templates, annotations, and updates of ephemeral containers.

use api::field::Path;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use super::{meta, rendered, spec};
use crate::resources::pod_spec::{
    Options, set_template_defaults, validate_ephemeral_containers, validate_new_pod, validate_pod_annotation_update,
    validate_template,
};

fn annotated(annotations: Value) -> ObjectMeta {
    serde_json::from_value(json!({"name": "pod", "annotations": annotations})).unwrap()
}

#[test]
fn templates() {
    let check = |template: Value, expected: &[&str]| {
        let mut template: PodTemplateSpec = serde_json::from_value(template).unwrap();
        set_template_defaults(&mut template);
        let path = Path::new("spec").child("template");
        assert_eq!(rendered(&validate_template(&template, &path, &Options::default())), expected);
    };
    let container = json!({"name": "app", "image": " padded "});
    check(json!({"spec": {"containers": [container]}}), &[]);
    check(json!({}), &["spec.template.spec.containers: Required value"]);
    check(
        json!({"metadata": {"labels": {"a b": "c"}}, "spec": {"containers": [container],
            "hostNetwork": true, "ephemeralContainers": [{"name": "e", "image": "a", "targetContainerName": "x",
            "ports": [{"containerPort": 1}]}]}}),
        &[
            "spec.template.labels: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' \
             or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or \
             '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            "spec.template.spec.ephemeralContainers[0].targetContainerName: Not found: \"x\"",
            "spec.template.spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
            "spec.template.spec.ephemeralContainers: Forbidden: ephemeral containers not allowed in pod template",
        ],
    );
    // A port of the host may be left to when the pod is made.
    check(
        json!({"spec": {"hostNetwork": true, "containers": [{"name": "a", "image": "a", "ports": [
            {"containerPort": 1}, {"containerPort": 2, "hostPort": 3}]}]}}),
        &["spec.template.spec.containers[0].ports[1].hostPort: Invalid value: 3: must match `containerPort` when \
             `hostNetwork` is true"],
    );
}

#[test]
fn annotations_with_a_meaning() {
    let check = |annotations: Value, expected: &[&str]| {
        let mut spec = spec(&json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}));
        crate::resources::pod_spec::set_pod_defaults(&mut spec);
        assert_eq!(rendered(&validate_new_pod(&spec, &annotated(annotations))), expected);
    };
    let at = "metadata.annotations";
    check(json!({"controller.kubernetes.io/pod-deletion-cost": "-10"}), &[]);
    for cost in ["+1", "01", "a", "", "2147483648"] {
        check(
            json!({"controller.kubernetes.io/pod-deletion-cost": cost}),
            &[&format!(
                "{at}[controller.kubernetes.io/pod-deletion-cost]: Invalid value: \"{cost}\": must be a 32bit integer"
            )],
        );
    }
    check(
        json!({"kubernetes.io/config.mirror": "x"}),
        &[&format!(
            "{at}[kubernetes.io/config.mirror]: Invalid value: \"x\": must set spec.nodeName if mirror pod annotation is \
             set"
        )],
    );
    check(
        json!({"container.apparmor.security.beta.kubernetes.io/nobody": "odd"}),
        &[
            &format!(
                "{at}[container.apparmor.security.beta.kubernetes.io/nobody]: Invalid value: \"nobody\": container not \
                 found"
            ),
            &format!(
                "{at}[container.apparmor.security.beta.kubernetes.io/nobody]: Invalid value: \"odd\": invalid AppArmor \
                 profile name: \"odd\""
            ),
        ],
    );
    check(
        json!({"seccomp.security.alpha.kubernetes.io/pod": "runtime/default"}),
        &["spec.securityContext.seccompProfile.type: Forbidden: seccomp type in annotation and field must match"],
    );
}

#[test]
fn annotations_that_stay() {
    let old = annotated(json!({"kubernetes.io/config.mirror": "x", "other": "y"}));
    let new = annotated(json!({"container.apparmor.security.beta.kubernetes.io/app": "unconfined"}));
    assert_eq!(
        rendered(&validate_pod_annotation_update(&new, &old)),
        [
            "metadata.annotations[kubernetes.io/config.mirror]: Forbidden: may not remove or update mirror pod annotation",
            "metadata.annotations[container.apparmor.security.beta.kubernetes.io/app]: Forbidden: may not add AppArmor \
             annotations",
        ]
    );
}

#[test]
fn ephemeral_containers_are_only_added() {
    let with = |containers: Value| {
        let mut spec = spec(&json!({"ephemeralContainers": containers}));
        crate::resources::pod_spec::set_pod_defaults(&mut spec);
        spec
    };
    let old = with(json!([{"name": "a", "image": "x"}, {"name": "b", "image": "x"}]));
    let check = |new: Value, old_meta: &ObjectMeta, expected: &[&str]| {
        let errors = validate_ephemeral_containers((&with(new), &meta()), (&old, old_meta), &Options::default());
        let lines: Vec<String> =
            rendered(&errors).iter().map(|message| message.lines().next().unwrap().to_owned()).collect();
        assert_eq!(lines, expected);
    };
    let added = json!([{"name": "a", "image": "x"}, {"name": "b", "image": "x"}, {"name": "c", "image": "y",
        "targetContainerName": "app"}]);
    check(added, &meta(), &[]);
    check(
        json!([{"name": "a", "image": "y"}, {"name": "app", "image": "x"}]),
        &meta(),
        &[
            "spec.ephemeralContainers[1].name: Duplicate value: \"app\"",
            "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"a\" may not be changed",
            "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"b\" may not be removed",
        ],
    );
    let mirror = annotated(json!({"kubernetes.io/config.mirror": "x"}));
    check(json!([]), &mirror, &[": Forbidden: static pods do not support ephemeral containers"]);
}
