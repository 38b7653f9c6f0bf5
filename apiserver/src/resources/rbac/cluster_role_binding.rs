//! ClusterRoleBindings: who may do anywhere what a role says.
//!
//! Which role that is stays as it is: a binding to another one is another binding.

use api::field::ErrorList;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::binding::{self, ACCOUNTS_COLUMN, GROUPS_COLUMN, USERS_COLUMN};
use crate::strategy::{AGE_COLUMN, Column, NAME_COLUMN, Names, Strategy};

const ROLE_COLUMN: Column = Column::new(
    "Role",
    "roleRef can only reference a ClusterRole in the global namespace. If the RoleRef cannot be resolved, the Authorizer must \
     return an error.",
);

pub(crate) struct ClusterRoleBindings;

impl Strategy for ClusterRoleBindings {
    type Object = ClusterRoleBinding;

    fn names(&self) -> Names {
        Names::of::<ClusterRoleBinding>("clusterrolebinding", false)
    }

    fn default(&self, object: &mut ClusterRoleBinding) {
        binding::set_defaults(&mut object.role_ref, object.subjects.as_mut());
    }

    fn validate_name(&self, name: &str, _: bool) -> Vec<String> {
        super::validate_name(name)
    }

    fn validate(&self, object: &ClusterRoleBinding) -> ErrorList {
        binding::validate(&object.role_ref, &["ClusterRole"], object.subjects.as_ref(), false)
    }

    fn validate_update(&self, new: &ClusterRoleBinding, old: &ClusterRoleBinding) -> ErrorList {
        let mut errors = self.validate(new);
        errors.extend(binding::validate_same_role(&new.role_ref, &old.role_ref));
        errors
    }

    fn columns(&self) -> &'static [Column] {
        const { &[NAME_COLUMN, ROLE_COLUMN, AGE_COLUMN, USERS_COLUMN, GROUPS_COLUMN, ACCOUNTS_COLUMN] }
    }

    fn row(&self, object: &ClusterRoleBinding, now: Timestamp) -> Vec<Value> {
        binding::row(&object.metadata, &object.role_ref, object.subjects.as_ref(), now)
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const GROUP: &str = super::super::GROUP;

    fn bind(role: Value, subjects: Value) -> ClusterRoleBinding {
        serde_json::from_value(json!({"metadata": {"name": "b"}, "roleRef": role, "subjects": subjects})).unwrap()
    }

    fn reader() -> Value {
        json!({"apiGroup": GROUP, "kind": "ClusterRole", "name": "reader"})
    }

    fn shown(errors: ErrorList) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn validation() {
        let check = |role: Value, subjects: Value, expected: &[&str]| {
            assert_eq!(shown(ClusterRoleBindings.validate(&bind(role, subjects))), expected);
        };
        let groups = format!("supported values: \"{GROUP}\"");
        let account = |fields: Value| {
            let mut account = json!({"kind": "ServiceAccount", "name": "a", "namespace": "n"});
            account.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            json!([account])
        };
        check(reader(), Value::Null, &[]);
        check(reader(), account(json!({})), &[]);
        check(reader(), json!([{"kind": "Group", "name": "system:authenticated", "apiGroup": GROUP}]), &[]);
        let kind = "roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\"";
        check(json!({"apiGroup": GROUP, "kind": "Role", "name": "reader"}), Value::Null, &[kind]);
        let group = format!("roleRef.apiGroup: Unsupported value: \"apps\": {groups}");
        check(json!({"apiGroup": "apps", "kind": "ClusterRole", "name": "reader"}), Value::Null, &[&group]);
        check(json!({"apiGroup": GROUP, "kind": "ClusterRole"}), Value::Null, &["roleRef.name: Required value"]);
        let name = "roleRef.name: Invalid value: \"a%b\": may not contain '%'";
        check(json!({"apiGroup": GROUP, "kind": "ClusterRole", "name": "a%b"}), Value::Null, &[name]);
        let namespace = "subjects[0].namespace: Required value";
        check(reader(), account(json!({"namespace": ""})), &[namespace]);
        check(reader(), account(json!({"namespace": null})), &[namespace]);
        let group = format!("subjects[0].apiGroup: Unsupported value: \"{GROUP}\": supported values: \"\"");
        check(reader(), account(json!({"apiGroup": GROUP, "namespace": ""})), &[&group, namespace]);
        check(reader(), account(json!({"name": ""})), &["subjects[0].name: Required value"]);
        let group = format!("subjects[0].apiGroup: Unsupported value: \"\": {groups}");
        check(reader(), json!([{"kind": "User", "name": "u"}]), &[&group]);
        let kind = "subjects[0].kind: Unsupported value: \"user\": supported values: \"ServiceAccount\", \"User\", \
                    \"Group\"";
        check(reader(), json!([{"kind": "user", "name": "u"}]), &[kind]);
    }

    #[test]
    fn the_role_stays() {
        let other = json!({"apiGroup": GROUP, "kind": "ClusterRole", "name": "<w>"});
        let (new, old) = (bind(other, json!([])), bind(reader(), json!([])));
        let expected = format!(
            "roleRef: Invalid value: {{\"APIGroup\":\"{GROUP}\",\"Kind\":\"ClusterRole\",\"Name\":\"\\u003cw\\u003e\"}}: \
             cannot change roleRef"
        );
        assert_eq!(shown(ClusterRoleBindings.validate_update(&new, &old)), [expected]);
        assert!(ClusterRoleBindings.validate_update(&old, &old).is_empty());
    }

    #[test]
    fn rows() {
        let row = ClusterRoleBindings.row(&bind(reader(), json!([])), Timestamp::UNIX_EPOCH);
        assert_eq!(json!(row), json!(["b", "ClusterRole/reader", "<unknown>", "", "", ""]));
        assert_eq!(row.len(), ClusterRoleBindings.columns().len());
    }
}
