//! PodTemplates: defaults, refusals, rows.

use serde_json::json;

use super::*;

/// A valid PodTemplate with `change` made to its JSON.
fn pod_template(change: impl FnOnce(&mut Value)) -> PodTemplate {
    let mut value = json!({
        "metadata": {"name": "t", "namespace": "default"},
        "template": {
            "metadata": {"labels": {"app": "a"}},
            "spec": {"containers": [{"name": "c", "image": "nginx:1"}, {"name": "d", "image": "redis"}]},
        },
    });
    change(&mut value);
    let mut object = serde_json::from_value(value).unwrap();
    PodTemplates.default(&mut object);
    object
}

fn messages(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn refusals() {
    let check = |change: fn(&mut Value), expected: &[&str]| {
        let object = pod_template(change);
        assert_eq!(messages(&PodTemplates.validate(&object)), expected, "{object:?}");
        assert_eq!(messages(&PodTemplates.validate_update(&object, &pod_template(|_| {}))), expected);
    };
    let label = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
                 start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used \
                 for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
    check(|_| {}, &[]);
    check(|object| object["template"]["metadata"] = json!({}), &[]);
    check(|object| object["template"]["spec"]["restartPolicy"] = json!("Never"), &[]);
    check(|object| object["template"]["spec"]["activeDeadlineSeconds"] = json!(5), &[]);
    check(|object| object["template"] = Value::Null, &["template.spec.containers: Required value"]);
    check(
        |object| object["template"]["metadata"]["labels"] = json!({"app": "a b"}),
        &[&format!("template.labels: Invalid value: \"a b\": {label}")],
    );
    check(
        |object| object["template"]["spec"]["restartPolicy"] = json!("Sometimes"),
        &[
            "template.spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \
           \"Never\"",
        ],
    );
    check(
        |object| object["template"]["spec"]["containers"][1]["name"] = json!("c"),
        &["template.spec.containers[1].name: Duplicate value: \"c\""],
    );
    check(
        |object| object["template"]["spec"]["containers"][0]["image"] = json!(""),
        &["template.spec.containers[0].image: Required value"],
    );
    check(
        |object| {
            object["template"]["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}])
        },
        &["template.spec.containers[0].volumeMounts[0].name: Not found: \"v\""],
    );
    check(
        |object| object["template"]["spec"]["ephemeralContainers"] = json!([{"name": "e", "image": "i"}]),
        &["template.spec.ephemeralContainers: Forbidden: ephemeral containers not allowed in pod template"],
    );
    check(
        |object| object["template"]["spec"]["dnsPolicy"] = json!("Default-ish"),
        &["template.spec.dnsPolicy: Unsupported value: \"Default-ish\": supported values: \
           \"ClusterFirstWithHostNet\", \"ClusterFirst\", \"Default\", \"None\""],
    );
    check(
        |object| object["template"]["spec"]["activeDeadlineSeconds"] = json!(0),
        &["template.spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
    );
    check(
        |object| object["template"]["spec"]["hostname"] = json!("a.b"),
        &["template.spec.hostname: Invalid value: \"a.b\": must not contain dots"],
    );
    check(
        |object| object["template"]["spec"]["volumes"] = json!([{"name": "v"}, {"name": "v"}]),
        &["template.spec.volumes[1].name: Duplicate value: \"v\""],
    );
}

#[test]
fn defaults_and_generation() {
    let once = pod_template(|_| {});
    let mut twice = once.clone();
    PodTemplates.default(&mut twice);
    assert_eq!(once, twice);
    let value = serde_json::to_value(&once).unwrap();
    assert_eq!(value["template"]["spec"]["restartPolicy"], json!("Always"));
    let grows = PodTemplates.generation().unwrap();
    assert!(grows(&pod_template(|object| object["template"]["spec"]["hostname"] = json!("h")), &once));
    assert!(!grows(&pod_template(|object| object["template"]["spec"]["hostname"] = json!("")), &once));
    assert!(!grows(&pod_template(|object| object["metadata"]["labels"] = json!({"a": "b"})), &once));
}

#[test]
fn rows_and_warnings() {
    let now = "2026-01-01T00:05:00Z".parse().unwrap();
    let row = |change: fn(&mut Value)| Value::from(PodTemplates.row(&pod_template(change), now));
    assert_eq!(row(|_| {}), json!(["t", "c,d", "nginx:1,redis", "app=a"]));
    assert_eq!(
        row(|object| object["template"]["metadata"] = json!({})),
        json!(["t", "c,d", "nginx:1,redis", "<none>"])
    );
    assert_eq!(PodTemplates.columns().len(), 4);
    let deprecated =
        pod_template(|object| object["template"]["spec"]["nodeSelector"] = json!({"beta.kubernetes.io/os": "linux"}));
    let expected =
        "template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead";
    assert_eq!(PodTemplates.warnings(&deprecated, None), [expected]);
    assert_eq!(PodTemplates.warnings(&deprecated, Some(&pod_template(|_| {}))), [expected]);
    assert_eq!(PodTemplates.warnings(&deprecated, Some(&deprecated)), Vec::<String>::new());
}
