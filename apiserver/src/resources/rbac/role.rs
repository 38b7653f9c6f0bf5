//! Roles: what may be done in one namespace.

use api::field::ErrorList;
use k8s_openapi::api::rbac::v1::Role;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::super::default_table;
use crate::strategy::{Column, Names, Strategy};

pub(crate) struct Roles;

impl Strategy for Roles {
    type Object = Role;

    fn names(&self) -> Names {
        Names::of::<Role>("role", true)
    }

    fn validate_name(&self, name: &str, _: bool) -> Vec<String> {
        super::validate_name(name)
    }

    fn validate(&self, object: &Role) -> ErrorList {
        super::validate_rules(object.rules.as_ref(), true)
    }

    fn validate_update(&self, new: &Role, _: &Role) -> ErrorList {
        self.validate(new)
    }

    fn columns(&self) -> &'static [Column] {
        default_table::COLUMNS
    }

    fn row(&self, object: &Role, _: Timestamp) -> Vec<Value> {
        default_table::row(&object.metadata)
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn validation() {
        let check = |rules: Value, expected: &[&str]| {
            let role: Role = serde_json::from_value(json!({"metadata": {"name": "r"}, "rules": rules})).unwrap();
            let shown = |errors: ErrorList| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
            assert_eq!(shown(Roles.validate(&role)), expected);
            assert_eq!(shown(Roles.validate_update(&role, &Role::default())), expected);
        };
        let verbs = "rules[0].verbs: Required value: verbs must contain at least one value";
        let groups = "rules[0].apiGroups: Required value: resource rules must supply at least one api group";
        let resources = "rules[0].resources: Required value: resource rules must supply at least one resource";
        let namespaced = "rules[0].nonResourceURLs: Invalid value: [\"/healthz\"]: namespaced rules cannot apply to \
                          non-resource URLs";
        let both = "rules[0].nonResourceURLs: Invalid value: [\"/healthz\"]: rules cannot apply to both regular resources \
                    and non-resource URLs";
        check(Value::Null, &[]);
        check(json!([]), &[]);
        check(json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods", "pods/log"]}]), &[]);
        check(json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "resourceNames": ["a"]}]), &[]);
        check(json!([{}]), &[verbs, groups, resources]);
        check(json!([{"verbs": [], "apiGroups": [""], "resources": ["pods"]}]), &[verbs]);
        check(json!([{"verbs": ["get"], "resources": ["pods"]}]), &[groups]);
        check(json!([{"verbs": ["get"], "apiGroups": [""]}]), &[resources]);
        check(json!([{"verbs": ["get"], "apiGroups": [], "resources": []}]), &[groups, resources]);
        check(json!([{"verbs": ["get"], "resourceNames": ["a"]}]), &[groups, resources]);
        check(json!([{"verbs": ["get"], "nonResourceURLs": ["/healthz"]}]), &[namespaced]);
        check(json!([{"nonResourceURLs": ["/healthz"]}]), &[verbs, namespaced]);
        let mixed = json!([{"verbs": ["get"], "nonResourceURLs": ["/healthz"], "apiGroups": [""]}]);
        check(mixed, &[namespaced, both]);
        let mixed = json!([{"verbs": ["get"], "nonResourceURLs": ["/healthz"], "resources": ["pods"]}]);
        check(mixed, &[namespaced, both]);
        let mixed = json!([{"verbs": ["get"], "nonResourceURLs": ["/healthz"], "resourceNames": ["a"]}]);
        check(mixed, &[namespaced, both]);
        let second = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}, {"verbs": ["get"]}]);
        check(second, &[&groups.replace("[0]", "[1]"), &resources.replace("[0]", "[1]")]);
    }

    #[test]
    fn names() {
        let check = |name: &str, prefix: bool, expected: &[&str]| {
            assert_eq!(Roles.validate_name(name, prefix), expected, "{name}");
        };
        check("system:controller:Bootstrap_Signer", false, &[]);
        check("a b", false, &[]);
        check("a-", true, &[]);
        check(".", false, &["may not be '.'"]);
        check("..", false, &["may not be '..'"]);
        check("..", true, &["may not be '..'"]);
        check("a/b", false, &["may not contain '/'"]);
        check("a%/", true, &["may not contain '/'", "may not contain '%'"]);
    }
}
