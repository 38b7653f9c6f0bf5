//! Policies by cases.

use serde_json::json;

use super::*;

fn constraints() -> Value {
    let rule = json!({
        "operations": ["CREATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"],
        "scope": "*",
    });
    json!({"matchPolicy": "Exact", "namespaceSelector": {}, "objectSelector": {}, "resourceRules": [rule]})
}

fn validating(change: impl FnOnce(&mut Value)) -> ValidatingAdmissionPolicy {
    let mut spec = json!({
        "failurePolicy": "Fail", "matchConstraints": constraints(), "validations": [{"expression": "true"}],
    });
    change(&mut spec);
    serde_json::from_value(json!({"metadata": {"name": "p.example.com"}, "spec": spec})).unwrap()
}

fn mutating(change: impl FnOnce(&mut Value)) -> MutatingAdmissionPolicy {
    let mutation = json!({"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}});
    let mut spec = json!({
        "failurePolicy": "Fail", "matchConstraints": constraints(), "mutations": [mutation],
        "reinvocationPolicy": "Never",
    });
    change(&mut spec);
    serde_json::from_value(json!({"metadata": {"name": "p.example.com"}, "spec": spec})).unwrap()
}

fn shown(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// What is wrong with either kind.
#[track_caller]
fn check_both(change: impl Fn(&mut Value), expected: &[&str]) {
    assert_eq!(shown(&ValidatingAdmissionPolicies.validate(&validating(&change))), expected);
    assert_eq!(shown(&MutatingAdmissionPolicies.validate(&mutating(&change))), expected);
}

#[test]
fn both_kinds() {
    check_both(|_| {}, &[]);
    check_both(|spec| spec["failurePolicy"] = Value::Null, &["spec.failurePolicy: Required value"]);
    check_both(|spec| spec["matchConstraints"] = Value::Null, &["spec.matchConstraints: Required value"]);
    check_both(
        |spec| spec["matchConstraints"] = json!({}),
        &[
            "spec.matchConstraints.matchPolicy: Required value",
            "spec.matchConstraints.namespaceSelector: Required value",
            "spec.matchConstraints.objectSelector: Required value",
            "spec.matchConstraints.resourceRules: Required value",
        ],
    );
    check_both(
        |spec| spec["matchConstraints"]["resourceRules"][0]["resourceNames"] = json!(["a", "a", "b/c"]),
        &[
            "spec.matchConstraints.resourceRules[0].resourceNames[1]: Duplicate value: \"a\"",
            "spec.matchConstraints.resourceRules[0].resourceNames[2]: Invalid value: \"b/c\": may not contain '/'",
        ],
    );
    check_both(
        |spec| spec["paramKind"] = json!({}),
        &["spec.paramKind.apiVersion: Required value", "spec.paramKind.kind: Required value"],
    );
    check_both(
        |spec| spec["paramKind"] = json!({"apiVersion": "a/b/c", "kind": "K"}),
        &["spec.paramKind.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c"],
    );
    check_both(
        |spec| spec["paramKind"] = json!({"apiVersion": "a/", "kind": "K"}),
        &["spec.paramKind.apiVersion: Invalid value: \"a/\": version must be specified"],
    );
    check_both(
        |spec| spec["variables"] = json!([{"name": " ", "expression": ""}, {"name": "in", "expression": "1"}]),
        &[
            "spec.variables[0].name: Required value: name is not specified",
            "spec.variables[0].expression: Required value: expression is not specified",
            "spec.variables[1].name: Invalid value: \"in\": must be a valid CEL identifier",
        ],
    );
    check_both(
        |spec| spec["matchConditions"] = json!([{"name": "-", "expression": ""}]),
        &[
            "spec.matchConditions[0].expression: Required value",
            "spec.matchConditions[0].name: Invalid value: \"-\": name part must consist of alphanumeric characters, '-', \
             '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or \
             '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        ],
    );
}

#[test]
fn validations() {
    let check = |change: &dyn Fn(&mut Value), expected: &[&str]| {
        assert_eq!(shown(&ValidatingAdmissionPolicies.validate(&validating(change))), expected);
    };
    let detail = "validations or auditAnnotations must contain at least one item";
    check(
        &|spec| spec["validations"] = json!([]),
        &[
            &format!("spec.validations: Required value: {detail}"),
            &format!("spec.auditAnnotations: Required value: {detail}"),
        ],
    );
    check(
        &|spec| spec["validations"] = json!([{"messageExpression": " ", "message": "a\nb", "reason": "Because"}]),
        &[
            "spec.validations[0].expression: Required value: expression is not specified",
            "spec.validations[0].messageExpression: Invalid value: \" \": must be non-empty if specified",
            "spec.validations[0].message: Invalid value: \"a\\nb\": must not contain line breaks",
            "spec.validations[0].reason: Unsupported value: \"Because\": supported values: \"Forbidden\", \"Invalid\", \
             \"RequestEntityTooLarge\"",
        ],
    );
    check(
        &|spec| spec["validations"] = json!([{"expression": "true", "message": " "}]),
        &["spec.validations[0].message: Invalid value: \" \": must be non-empty if specified"],
    );
    let long = "x".repeat(5 * 1024 + 1);
    check(
        &|spec| {
            spec["auditAnnotations"] = json!([
                {"key": "a", "valueExpression": "''"}, {"key": "a", "valueExpression": " "},
                {"key": "b", "valueExpression": long},
            ]);
        },
        &[
            "spec.auditAnnotations[1].valueExpression: Required value: valueExpression is not specified",
            "spec.auditAnnotations[1].key: Duplicate value: \"a\"",
            "spec.auditAnnotations[2].valueExpression: Required value: must not exceed 5120 bytes in length",
        ],
    );
    let many: Vec<Value> = (0..21).map(|i| json!({"key": format!("k{i}"), "valueExpression": "''"})).collect();
    let errors = ValidatingAdmissionPolicies.validate(&validating(|spec| spec["auditAnnotations"] = json!(many)));
    let [error] = &shown(&errors)[..] else { panic!("one error") };
    assert!(error.starts_with("spec.auditAnnotations: Invalid value: [{\"Key\":\"k0\",\"ValueExpression\":\"''\"},"));
    assert!(error.ends_with("}]: must not have more than 20 auditAnnotations"));
}

#[test]
fn mutations() {
    let check = |change: &dyn Fn(&mut Value), expected: &[&str]| {
        assert_eq!(shown(&MutatingAdmissionPolicies.validate(&mutating(change))), expected);
    };
    check(
        &|spec| spec["mutations"] = json!([]),
        &["spec.mutations: Required value: mutations must contain at least one item"],
    );
    check(&|spec| spec["mutations"] = json!([{}]), &["spec.mutations[0].patchType: Required value"]);
    check(
        &|spec| spec["mutations"] = json!([{"patchType": "Merge"}]),
        &["spec.mutations[0].patchType: Unsupported value: \"Merge\": supported values: \"ApplyConfiguration\", \
           \"JSONPatch\""],
    );
    check(
        &|spec| spec["mutations"] = json!([{"patchType": "JSONPatch", "applyConfiguration": {"expression": "x"}}]),
        &[
            "spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch",
            "spec.mutations[0].applyConfiguration: Invalid value: \"{applyConfiguration}\": must not be specified when \
             patchType is JSONPatch",
        ],
    );
    check(
        &|spec| {
            spec["mutations"] = json!([{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": " "}}])
        },
        &["spec.mutations[0].applyConfiguration.expression: Required value"],
    );
    check(&|spec| spec["reinvocationPolicy"] = json!(""), &["spec.reinvocationPolicy: Required value"]);
    check(
        &|spec| spec["reinvocationPolicy"] = json!("Often"),
        &["spec.reinvocationPolicy: Unsupported value: \"Often\": supported values: \"IfNeeded\", \"Never\""],
    );
    check(
        &|spec| spec["matchConstraints"]["resourceRules"][0]["operations"] = json!(["DELETE"]),
        &["spec.matchConstraints.resourceRules.operations: Unsupported value: \"DELETE\": supported values: \"*\", \
           \"CONNECT\", \"CREATE\", \"UPDATE\""],
    );
}

#[test]
fn conditions_that_stay_are_not_looked_at_again() {
    let bad = |spec: &mut Value| spec["matchConditions"] = json!([{"name": "", "expression": ""}]);
    assert!(ValidatingAdmissionPolicies.validate_update(&validating(bad), &validating(bad)).is_empty());
    assert_eq!(ValidatingAdmissionPolicies.validate_update(&validating(bad), &validating(|_| {})).len(), 2);
    assert!(MutatingAdmissionPolicies.validate_update(&mutating(bad), &mutating(bad)).is_empty());
    assert_eq!(MutatingAdmissionPolicies.validate_update(&mutating(bad), &mutating(|_| {})).len(), 2);
}

#[test]
fn the_status() {
    let check = |status: Value, expected: &[&str]| {
        let status = serde_json::from_value(status).unwrap();
        assert_eq!(shown(&status::validate(Some(&status), &Path::new("status"))), expected);
    };
    let condition = json!({
        "type": "Ready", "status": "True", "reason": "Fine", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    check(json!({"conditions": [condition], "typeChecking": {"expressionWarnings": []}}), &[]);
    check(
        json!({"typeChecking": {"expressionWarnings": [{"fieldRef": " ", "warning": ""}]}}),
        &[
            "status.typeChecking.expressionWarnings[0].warning: Required value",
            "status.typeChecking.expressionWarnings[0].fieldRef: Required value",
        ],
    );
    check(
        json!({"conditions": [condition, {"type": "Ready", "status": "Yes", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}),
        &[
            "status.conditions[1].type: Duplicate value: \"Ready\"",
            "status.conditions[1].status: Unsupported value: \"Yes\": supported values: \"False\", \"True\", \"Unknown\"",
            "status.conditions[1].reason: Required value: must be set",
        ],
    );
}

#[test]
fn defaults_and_rows() {
    let mut policy = validating(|spec| {
        spec["failurePolicy"] = Value::Null;
        spec["matchConstraints"] = json!({"resourceRules": [{}]});
    });
    ValidatingAdmissionPolicies.default(&mut policy);
    let spec = policy.spec.clone().unwrap();
    let constraints = spec.match_constraints.unwrap();
    assert_eq!(
        (spec.failure_policy.as_deref(), constraints.match_policy.as_deref()),
        (Some("Fail"), Some("Equivalent"))
    );
    assert_eq!(constraints.resource_rules.unwrap()[0].scope.as_deref(), Some("*"));
    let row = ValidatingAdmissionPolicies.row(&policy, Timestamp::UNIX_EPOCH);
    assert_eq!(row, [json!("p.example.com"), json!(1), json!("<unset>"), json!("<unknown>")]);
    let policy = mutating(|spec| spec["paramKind"] = json!({"apiVersion": "v1", "kind": "ConfigMap"}));
    let row = MutatingAdmissionPolicies.row(&policy, Timestamp::UNIX_EPOCH);
    assert_eq!(row, [json!("p.example.com"), json!(1), json!("v1/ConfigMap"), json!("<unknown>")]);
}
