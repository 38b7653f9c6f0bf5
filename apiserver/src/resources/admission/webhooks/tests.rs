//! Webhook configurations by cases.

use serde_json::json;

use super::*;

fn hook(change: impl FnOnce(&mut Value)) -> Value {
    let mut hook = json!({
        "name": "a.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": {"url": "https://example.com/a"},
        "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
    });
    change(&mut hook);
    hook
}

fn validating(hooks: Value) -> ValidatingWebhookConfiguration {
    serde_json::from_value(json!({"metadata": {"name": "x"}, "webhooks": hooks})).unwrap()
}

fn mutating(hooks: Value) -> MutatingWebhookConfiguration {
    serde_json::from_value(json!({"metadata": {"name": "x"}, "webhooks": hooks})).unwrap()
}

fn shown(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn check(change: impl Fn(&mut Value), expected: &[&str]) {
    let hooks = json!([hook(change)]);
    let expected: Vec<String> = expected.iter().map(|message| format!("webhooks[0].{message}")).collect();
    assert_eq!(shown(&ValidatingWebhookConfigurations.validate(&validating(hooks.clone()))), expected);
    assert_eq!(shown(&MutatingWebhookConfigurations.validate(&mutating(hooks))), expected);
}

#[test]
fn webhooks() {
    check(|_| {}, &[]);
    check(|hook| hook["rules"] = json!([]), &[]);
    check(|hook| hook["name"] = json!(""), &["name: Required value"]);
    let segments = "should be a domain with at least three segments separated by dots";
    check(|hook| hook["name"] = json!("a.b"), &[&format!("name: Invalid value: \"a.b\": {segments}")]);
    check(
        |hook| hook["failurePolicy"] = json!("Maybe"),
        &["failurePolicy: Unsupported value: \"Maybe\": supported values: \"Fail\", \"Ignore\""],
    );
    check(
        |hook| hook["matchPolicy"] = json!("Some"),
        &["matchPolicy: Unsupported value: \"Some\": supported values: \"Equivalent\", \"Exact\""],
    );
    check(
        |hook| hook["sideEffects"] = json!("Unknown"),
        &["sideEffects: Unsupported value: \"Unknown\": supported values: \"None\", \"NoneOnDryRun\""],
    );
    check(
        |hook| hook["sideEffects"] = json!(""),
        &["sideEffects: Required value: must specify one of None, NoneOnDryRun"],
    );
    for timeout in [0, 31] {
        let detail = "the timeout value must be between 1 and 30 seconds";
        check(
            |hook| hook["timeoutSeconds"] = json!(timeout),
            &[&format!("timeoutSeconds: Invalid value: {timeout}: {detail}")],
        );
    }
    check(
        |hook| hook["clientConfig"] = json!({}),
        &["clientConfig: Required value: exactly one of url or service is required"],
    );
    check(
        |hook| hook["namespaceSelector"] = json!({"matchExpressions": [{"key": "a", "operator": "In"}]}),
        &[
            "namespaceSelector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
        ],
    );
    check(
        |hook| hook["admissionReviewVersions"] = json!([]),
        &["admissionReviewVersions: Required value: must specify one of v1, v1beta1"],
    );
    check(
        |hook| hook["admissionReviewVersions"] = json!(["v2", "v2"]),
        &[
            "admissionReviewVersions[1]: Invalid value: \"v2\": duplicate version",
            "admissionReviewVersions: Invalid value: [\"v2\",\"v2\"]: must include at least one of v1, v1beta1",
        ],
    );
    check(
        |hook| {
            hook["matchConditions"] = json!([{"name": "a", "expression": "true"}, {"name": "a", "expression": " "}, {}])
        },
        &[
            "matchConditions[1].expression: Required value",
            "matchConditions[1].name: Duplicate value: \"a\"",
            "matchConditions[2].expression: Required value",
            "matchConditions[2].name: Required value",
        ],
    );
    let many: Vec<Value> = (0..65).map(|i| json!({"name": format!("c{i}"), "expression": "true"})).collect();
    check(|hook| hook["matchConditions"] = json!(many), &["matchConditions: Too many: 65: must have at most 64 items"]);
}

#[test]
fn rules() {
    let check = |rule: Value, expected: &[&str]| {
        let mut whole =
            json!({"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]});
        whole.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
        let expected: Vec<String> = expected.iter().map(|message| format!("rules[0].{message}")).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check(|hook| hook["rules"] = json!([whole]), &expected);
    };
    check(
        json!({"scope": "*", "operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}),
        &[],
    );
    check(
        json!({"operations": [], "apiGroups": [], "apiVersions": [], "resources": []}),
        &[
            "operations: Required value",
            "apiGroups: Required value",
            "apiVersions: Required value",
            "resources: Required value",
        ],
    );
    check(
        json!({"operations": ["*", "PATCH"], "apiGroups": ["*", "a"], "apiVersions": ["*", ""]}),
        &[
            "operations: Invalid value: [\"*\",\"PATCH\"]: if '*' is present, must not specify other operations",
            "operations[1]: Unsupported value: \"PATCH\": supported values: \"*\", \"CONNECT\", \"CREATE\", \"DELETE\", \
             \"UPDATE\"",
            "apiGroups: Invalid value: [\"*\",\"a\"]: if '*' is present, must not specify other API groups",
            "apiVersions: Invalid value: [\"*\",\"\"]: if '*' is present, must not specify other API versions",
            "apiVersions[1]: Required value",
        ],
    );
    check(
        json!({"resources": ["", "a/*", "a/b", "*/c", "d/c", "*/*"]}),
        &[
            "resources[0]: Required value",
            "resources[2]: Invalid value: \"a/b\": if 'a/*' is present, must not specify a/b",
            "resources[4]: Invalid value: \"d/c\": if '*/c' is present, must not specify d/c",
            "resources: Invalid value: [\"\",\"a/*\",\"a/b\",\"*/c\",\"d/c\",\"*/*\"]: if '*/*' is present, must not specify \
             other resources",
        ],
    );
    check(
        json!({"resources": ["*", "a"], "scope": "Planet"}),
        &[
            "resources: Invalid value: [\"*\",\"a\"]: if '*' is present, must not specify other resources without \
             subresources",
            "scope: Unsupported value: \"Planet\": supported values: \"*\", \"Cluster\", \"Namespaced\"",
        ],
    );
}

#[test]
fn names_are_unique_unless_they_were_not() {
    let (two, one) = (json!([hook(|_| {}), hook(|_| {})]), json!([hook(|_| {})]));
    let duplicate = ["webhooks[1].name: Duplicate value: \"a.example.com\""];
    let strategy = ValidatingWebhookConfigurations;
    assert_eq!(shown(&strategy.validate(&validating(two.clone()))), duplicate);
    assert_eq!(shown(&strategy.validate_update(&validating(two.clone()), &validating(one))), duplicate);
    assert!(strategy.validate_update(&validating(two.clone()), &validating(two)).is_empty());
}

#[test]
fn an_update_may_keep_what_was_allowed_before() {
    let check = |change: fn(&mut Value)| {
        let (bad, good) = (mutating(json!([hook(change)])), mutating(json!([hook(|_| {})])));
        assert!(!MutatingWebhookConfigurations.validate_update(&bad, &good).is_empty());
        assert_eq!(shown(&MutatingWebhookConfigurations.validate_update(&bad, &bad)), Vec::<String>::new());
    };
    check(|hook| hook["sideEffects"] = json!("Some"));
    check(|hook| hook["admissionReviewVersions"] = json!(["v7"]));
    check(|hook| hook["matchConditions"] = json!([{"name": "", "expression": ""}]));
    check(|hook| {
        hook["objectSelector"] = json!({"matchExpressions": [{"key": "a", "operator": "In", "values": ["-"]}]});
    });
}

#[test]
fn reinvocation_is_for_mutating_ones() {
    let bad = mutating(json!([hook(|hook| hook["reinvocationPolicy"] = json!("Often"))]));
    let expected =
        ["webhooks[0].reinvocationPolicy: Unsupported value: \"Often\": supported values: \"IfNeeded\", \"Never\""];
    assert_eq!(shown(&MutatingWebhookConfigurations.validate(&bad)), expected);
}

#[test]
fn defaults() {
    let service = |hook: &mut Value| hook["clientConfig"] = json!({"service": {"namespace": "n", "name": "s"}});
    let mut object = mutating(json!([hook(service)]));
    MutatingWebhookConfigurations.default(&mut object);
    let once = object.clone();
    MutatingWebhookConfigurations.default(&mut object);
    assert_eq!(object, once);
    let [hook] = &once.webhooks.unwrap()[..] else { panic!("one webhook") };
    let text = |value: &Option<String>| value.clone().unwrap();
    assert_eq!(
        [text(&hook.failure_policy), text(&hook.match_policy), text(&hook.reinvocation_policy)],
        ["Fail", "Equivalent", "Never"]
    );
    assert_eq!((hook.timeout_seconds, hook.client_config.service.as_ref().unwrap().port), (Some(10), Some(443)));
    assert_eq!(hook.rules.as_ref().unwrap()[0].scope.as_deref(), Some("*"));
    assert!(hook.namespace_selector.is_some() && hook.object_selector.is_some());
}

#[test]
fn rows_generations_and_warnings() {
    let mut object = validating(json!([hook(|_| {})]));
    let row = ValidatingWebhookConfigurations.row(&object, Timestamp::UNIX_EPOCH);
    assert_eq!(row, [json!("x"), json!(1), json!("<unknown>")]);
    let grows = ValidatingWebhookConfigurations.generation().unwrap();
    assert!(!grows(&object, &object.clone()));
    assert!(grows(&object, &validating(json!([]))));
    assert!(ValidatingWebhookConfigurations.warnings(&object, None).is_empty());
    object.metadata.name = Some("x.static.k8s.io".to_owned());
    assert_eq!(ValidatingWebhookConfigurations.warnings(&object, None).len(), 1);
}
