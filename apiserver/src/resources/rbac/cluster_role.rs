//! ClusterRoles: what may be done anywhere, or in any namespace in which somebody is given the role.
//!
//! A role may be the sum of others, which its aggregation rule selects. Its rules are then written by the controller that
//! adds them up; until then they are what the client wrote.

use api::field::{BadValue, Error, ErrorList, Path};
use api::selector::label::{from_api, validate_api};
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::super::default_table;
use crate::strategy::{Column, Names, Strategy};

pub(crate) struct ClusterRoles;

impl Strategy for ClusterRoles {
    type Object = ClusterRole;

    fn names(&self) -> Names {
        Names::of::<ClusterRole>("clusterrole", false)
    }

    fn validate_name(&self, name: &str, _: bool) -> Vec<String> {
        super::validate_name(name)
    }

    fn validate(&self, object: &ClusterRole) -> ErrorList {
        validate(object, false)
    }

    fn validate_update(&self, new: &ClusterRole, old: &ClusterRole) -> ErrorList {
        validate(new, has_invalid_selector(old))
    }

    fn columns(&self) -> &'static [Column] {
        default_table::COLUMNS
    }

    fn row(&self, object: &ClusterRole, _: Timestamp) -> Vec<Value> {
        default_table::row(&object.metadata)
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }
}

/// The selectors of the aggregation rule, if there is one.
fn selectors(role: &ClusterRole) -> Option<&[LabelSelector]> {
    let rule = role.aggregation_rule.as_ref()?;
    Some(rule.cluster_role_selectors.as_deref().unwrap_or_default())
}

/// Whether the role was stored before the values of selectors were checked.
fn has_invalid_selector(role: &ClusterRole) -> bool {
    let selectors = selectors(role).unwrap_or_default();
    selectors.iter().any(|selector| !validate_api(Some(selector), false, &Path::nil()).is_empty())
}

fn validate(role: &ClusterRole, allow_invalid_values: bool) -> ErrorList {
    let mut errors = super::validate_rules(role.rules.as_ref(), false);
    let Some(selectors) = selectors(role) else { return errors };
    let path = Path::new("aggregationRule").child("clusterRoleSelectors");
    if selectors.is_empty() {
        let detail = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        errors.push(Error::required(&path, detail));
    }
    for (i, selector) in selectors.iter().enumerate() {
        let path = path.index(i);
        errors.extend(validate_api(Some(selector), allow_invalid_values, &path));
        if from_api(Some(selector)).is_err() {
            // What upstream shows is the selector that could not be made.
            errors.push(Error::invalid(&path, BadValue::null(), "invalid label selector."));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn role(rules: Value, aggregation: Value) -> ClusterRole {
        let role = json!({"metadata": {"name": "r"}, "rules": rules, "aggregationRule": aggregation});
        serde_json::from_value(role).unwrap()
    }

    fn shown(errors: ErrorList) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rules() {
        let check = |rules: Value, expected: &[&str]| {
            assert_eq!(shown(ClusterRoles.validate(&role(rules, Value::Null))), expected);
        };
        let verbs = "rules[0].verbs: Required value: verbs must contain at least one value";
        let groups = "rules[0].apiGroups: Required value: resource rules must supply at least one api group";
        let resources = "rules[0].resources: Required value: resource rules must supply at least one resource";
        let both = "rules[0].nonResourceURLs: Invalid value: [\"/a\",\"/b/*\"]: rules cannot apply to both regular \
                    resources and non-resource URLs";
        check(Value::Null, &[]);
        check(json!([{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/livez/*"]}]), &[]);
        check(json!([{"verbs": ["get"], "apiGroups": ["apps"], "resources": ["deployments"]}]), &[]);
        check(json!([{}]), &[verbs, groups, resources]);
        check(json!([{"nonResourceURLs": ["/healthz"]}]), &[verbs]);
        check(json!([{"apiGroups": [""], "resources": ["pods"]}]), &[verbs]);
        check(json!([{"verbs": ["get"], "resources": ["pods"]}]), &[groups]);
        check(json!([{"verbs": ["get"], "apiGroups": [""]}]), &[resources]);
        check(json!([{"verbs": ["get"], "nonResourceURLs": ["/a", "/b/*"], "apiGroups": [""]}]), &[both]);
        check(json!([{"verbs": ["get"], "nonResourceURLs": ["/a", "/b/*"], "resources": ["pods"]}]), &[both]);
        check(json!([{"nonResourceURLs": ["/a", "/b/*"], "resourceNames": ["a"]}]), &[verbs, both]);
    }

    #[test]
    fn aggregation() {
        let check = |aggregation: Value, expected: &[&str]| {
            assert_eq!(shown(ClusterRoles.validate(&role(Value::Null, aggregation))), expected);
        };
        let path = "aggregationRule.clusterRoleSelectors";
        let required =
            format!("{path}: Required value: at least one clusterRoleSelector required if aggregationRule is non-nil");
        let no_selector = format!("{path}[0]: Invalid value: null: invalid label selector.");
        let operator =
            format!("{path}[0].matchExpressions[0].operator: Invalid value: \"Like\": not a valid selector operator");
        let values = format!(
            "{path}[0].matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"
        );
        check(json!({"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}, {}]}), &[]);
        check(json!({}), &[&required]);
        check(json!({"clusterRoleSelectors": []}), &[&required]);
        let expression = |expression: Value| json!({"clusterRoleSelectors": [{"matchExpressions": [expression]}]});
        check(expression(json!({"key": "a", "operator": "Exists"})), &[]);
        check(expression(json!({"key": "a", "operator": "Like"})), &[&operator, &no_selector]);
        check(expression(json!({"key": "a", "operator": "In"})), &[&values, &no_selector]);
    }

    #[test]
    fn selectors_that_were_invalid_may_stay() {
        let invalid = || {
            let expression = json!({"key": "a", "operator": "In", "values": ["b c"]});
            role(Value::Null, json!({"clusterRoleSelectors": [{"matchExpressions": [expression]}]}))
        };
        let valid = role(Value::Null, json!({"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}));
        assert_eq!(ClusterRoles.validate_update(&invalid(), &valid).len(), 2);
        // The selector still selects nothing.
        let expected = ["aggregationRule.clusterRoleSelectors[0]: Invalid value: null: invalid label selector."];
        assert_eq!(shown(ClusterRoles.validate_update(&invalid(), &invalid())), expected);
        assert!(ClusterRoles.validate_update(&valid, &invalid()).is_empty());
    }
}
