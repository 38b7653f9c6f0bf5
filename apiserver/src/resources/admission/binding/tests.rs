//! Bindings by cases.

use serde_json::json;

use super::*;

fn validating(change: impl FnOnce(&mut Value)) -> ValidatingAdmissionPolicyBinding {
    let mut spec = json!({"policyName": "p", "validationActions": ["Deny"]});
    change(&mut spec);
    serde_json::from_value(json!({"metadata": {"name": "b"}, "spec": spec})).unwrap()
}

fn mutating(change: impl FnOnce(&mut Value)) -> MutatingAdmissionPolicyBinding {
    let mut spec = json!({"policyName": "p"});
    change(&mut spec);
    serde_json::from_value(json!({"metadata": {"name": "b"}, "spec": spec})).unwrap()
}

fn shown(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn both_kinds() {
    let check = |change: &dyn Fn(&mut Value), expected: &[&str]| {
        assert_eq!(shown(&ValidatingAdmissionPolicyBindings.validate(&validating(change))), expected);
        assert_eq!(shown(&MutatingAdmissionPolicyBindings.validate(&mutating(change))), expected);
    };
    check(&|_| {}, &[]);
    check(&|spec| spec["policyName"] = json!(""), &["spec.policyName: Required value"]);
    let subdomain = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
                     must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
                     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    check(&|spec| spec["policyName"] = json!("A"), &[&format!("spec.policyName: Invalid value: \"A\": {subdomain}")]);
    check(
        &|spec| spec["paramRef"] = json!({}),
        &[
            "spec.paramRef: Required value: one of name or selector must be specified",
            "spec.paramRef.parameterNotFoundAction: Required value",
        ],
    );
    check(
        &|spec| spec["paramRef"] = json!({"name": "a%b", "selector": {}, "parameterNotFoundAction": "Ask"}),
        &[
            "spec.paramRef.name: Invalid value: \"a%b\": may not contain '%'",
            "spec.paramRef.name: Forbidden: name and selector are mutually exclusive",
            "spec.paramRef.selector: Forbidden: name and selector are mutually exclusive",
            "spec.paramRef.parameterNotFoundAction: Unsupported value: \"Ask\": supported values: \"Deny\", \"Allow\"",
        ],
    );
}

#[test]
fn actions() {
    let check = |actions: Value, expected: &[&str]| {
        let object = validating(|spec| spec["validationActions"] = actions);
        assert_eq!(shown(&ValidatingAdmissionPolicyBindings.validate(&object)), expected);
    };
    check(json!(["Deny", "Audit"]), &[]);
    check(json!([]), &["spec.validationActions: Required value: at least one validation action is required"]);
    check(
        json!(["Deny", "Deny", "Shout"]),
        &[
            "spec.validationActions[1]: Duplicate value: \"Deny\"",
            "spec.validationActions[2]: Unsupported value: \"Shout\": supported values: \"Audit\", \"Deny\", \"Warn\"",
        ],
    );
    check(
        json!(["Deny", "Warn"]),
        &[
            "spec.validationActions: Invalid value: [\"Deny\",\"Warn\"]: must not contain both Deny and Warn (repeating the \
           same validation failure information in the API response and headers serves no purpose)",
        ],
    );
}

#[test]
fn what_is_matched() {
    let rule = json!({"operations": ["DELETE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]});
    let matches = json!({
        "matchPolicy": "None", "namespaceSelector": {}, "objectSelector": {}, "resourceRules": [rule],
    });
    let change = |spec: &mut Value| spec["matchResources"] = matches.clone();
    let policy = "matchPolicy: Unsupported value: \"None\": supported values: \"Equivalent\", \"Exact\"";
    let errors = ValidatingAdmissionPolicyBindings.validate(&validating(change));
    assert_eq!(shown(&errors), [format!("spec.matchResources.{policy}")]);
    let operations = "resourceRules.operations: Unsupported value: \"DELETE\": supported values: \"*\", \"CONNECT\", \
                      \"CREATE\", \"UPDATE\"";
    let errors = MutatingAdmissionPolicyBindings.validate(&mutating(change));
    assert_eq!(shown(&errors), [format!("spec.matchResources.{policy}"), format!("spec.matchResources.{operations}")]);
    let mut object = mutating(|spec| spec["matchResources"] = json!({}));
    MutatingAdmissionPolicyBindings.default(&mut object);
    assert!(MutatingAdmissionPolicyBindings.validate(&object).is_empty());
}

#[test]
fn parameters_in_rows() {
    let check = |param: Value, expected: &str| {
        let param: ParamRef = serde_json::from_value(param).unwrap();
        assert_eq!(param_cell(Some(&param)), expected);
    };
    check(json!({"name": "a", "namespace": "n"}), "n/a");
    check(json!({"name": "a"}), "*/a");
    check(json!({}), "<unset>");
    let selector = json!({
        "matchLabels": {"a": "b"}, "matchExpressions": [{"key": "k", "operator": "In", "values": ["x", "y"]}],
    });
    check(
        json!({"selector": selector}),
        "&LabelSelector{MatchLabels:map[string]string{a: b,},MatchExpressions:[]LabelSelectorRequirement{\
         LabelSelectorRequirement{Key:k,Operator:In,Values:[x y],},},}",
    );
    assert_eq!(param_cell(None), "<unset>");
    let row = ValidatingAdmissionPolicyBindings.row(&validating(|_| {}), Timestamp::UNIX_EPOCH);
    assert_eq!(row, [json!("b"), json!("p"), json!("<unset>"), json!("<unknown>")]);
}
