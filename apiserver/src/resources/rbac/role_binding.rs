//! RoleBindings: who may do in one namespace what a role says.
//!
//! Which role that is stays as it is: a binding to another one is another binding.

use api::field::ErrorList;
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::binding::{self, ACCOUNTS_COLUMN, GROUPS_COLUMN, USERS_COLUMN};
use crate::strategy::{AGE_COLUMN, Column, NAME_COLUMN, Names, Strategy};

const ROLE_COLUMN: Column = Column::new(
    "Role",
    "roleRef can reference a Role in the current namespace or a ClusterRole in the global namespace. If the RoleRef cannot \
     be resolved, the Authorizer must return an error.",
);

pub(crate) struct RoleBindings;

impl Strategy for RoleBindings {
    type Object = RoleBinding;

    fn names(&self) -> Names {
        Names::of::<RoleBinding>("rolebinding", true)
    }

    fn default(&self, object: &mut RoleBinding) {
        binding::set_defaults(&mut object.role_ref, object.subjects.as_mut());
    }

    fn validate_name(&self, name: &str, _: bool) -> Vec<String> {
        super::validate_name(name)
    }

    fn validate(&self, object: &RoleBinding) -> ErrorList {
        binding::validate(&object.role_ref, &["Role", "ClusterRole"], object.subjects.as_ref(), true)
    }

    fn validate_update(&self, new: &RoleBinding, old: &RoleBinding) -> ErrorList {
        let mut errors = self.validate(new);
        errors.extend(binding::validate_same_role(&new.role_ref, &old.role_ref));
        errors
    }

    fn columns(&self) -> &'static [Column] {
        const { &[NAME_COLUMN, ROLE_COLUMN, AGE_COLUMN, USERS_COLUMN, GROUPS_COLUMN, ACCOUNTS_COLUMN] }
    }

    fn row(&self, object: &RoleBinding, now: Timestamp) -> Vec<Value> {
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

    fn bind(role: Value, subjects: Value) -> RoleBinding {
        let metadata = json!({"name": "b", "namespace": "default", "creationTimestamp": "1970-01-01T00:00:00Z"});
        serde_json::from_value(json!({"metadata": metadata, "roleRef": role, "subjects": subjects})).unwrap()
    }

    fn reader() -> Value {
        json!({"apiGroup": GROUP, "kind": "Role", "name": "reader"})
    }

    fn shown(errors: ErrorList) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn roles() {
        let check = |role: Value, expected: &[&str]| {
            assert_eq!(shown(RoleBindings.validate(&bind(role, Value::Null))), expected);
        };
        let supported = format!("supported values: \"{GROUP}\"");
        let kinds = "supported values: \"Role\", \"ClusterRole\"";
        check(reader(), &[]);
        check(json!({"apiGroup": GROUP, "kind": "ClusterRole", "name": "system:basic-user"}), &[]);
        let group = format!("roleRef.apiGroup: Unsupported value: \"apps\": {supported}");
        check(json!({"apiGroup": "apps", "kind": "Role", "name": "reader"}), &[&group]);
        let group = format!("roleRef.apiGroup: Unsupported value: \"\": {supported}");
        let kind = format!("roleRef.kind: Unsupported value: \"\": {kinds}");
        check(json!({}), &[&group, &kind, "roleRef.name: Required value"]);
        let kind = format!("roleRef.kind: Unsupported value: \"User\": {kinds}");
        check(json!({"apiGroup": GROUP, "kind": "User", "name": "reader"}), &[&kind]);
        let name = "roleRef.name: Invalid value: \"a/b\": may not contain '/'";
        check(json!({"apiGroup": GROUP, "kind": "Role", "name": "a/b"}), &[name]);
        let name = "roleRef.name: Invalid value: \"..\": may not be '..'";
        check(json!({"apiGroup": GROUP, "kind": "Role", "name": ".."}), &[name]);
    }

    #[test]
    fn subjects() {
        let check = |subject: Value, expected: &[&str]| {
            assert_eq!(shown(RoleBindings.validate(&bind(reader(), json!([subject])))), expected);
        };
        let supported = format!("supported values: \"{GROUP}\"");
        let kinds = "supported values: \"ServiceAccount\", \"User\", \"Group\"";
        check(json!({"kind": "User", "name": "Ann Other@example.com", "apiGroup": GROUP}), &[]);
        check(json!({"kind": "Group", "name": "system:masters", "apiGroup": GROUP}), &[]);
        check(json!({"kind": "ServiceAccount", "name": "default"}), &[]);
        let no_name = "subjects[0].name: Required value";
        let kind = format!("subjects[0].kind: Unsupported value: \"\": {kinds}");
        check(json!({}), &[no_name, &kind]);
        let kind = format!("subjects[0].kind: Unsupported value: \"Node\": {kinds}");
        check(json!({"kind": "Node", "name": "n"}), &[&kind]);
        let group = format!("subjects[0].apiGroup: Unsupported value: \"\": {supported}");
        check(json!({"kind": "User"}), &[no_name, &group]);
        check(json!({"kind": "Group", "name": "g"}), &[&group]);
        let group = "subjects[0].apiGroup: Unsupported value: \"apps\": supported values: \"\"";
        check(json!({"kind": "ServiceAccount", "name": "default", "apiGroup": "apps"}), &[group]);
        check(json!({"kind": "ServiceAccount"}), &[no_name]);
        let name = "subjects[0].name: Invalid value: \"A:b\": a lowercase RFC 1123 subdomain must consist of lower case \
                    alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. \
                    'example.com', regex used for validation is \
                    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
        check(json!({"kind": "ServiceAccount", "name": "A:b"}), &[name]);
    }

    #[test]
    fn the_role_stays() {
        let update = |role: Value| {
            let (new, old) = (bind(role, json!([])), bind(reader(), Value::Null));
            shown(RoleBindings.validate_update(&new, &old))
        };
        assert_eq!(update(reader()), [""; 0]);
        let expected = format!(
            "roleRef: Invalid value: {{\"APIGroup\":\"{GROUP}\",\"Kind\":\"Role\",\"Name\":\"writer\"}}: cannot change \
             roleRef"
        );
        assert_eq!(update(json!({"apiGroup": GROUP, "kind": "Role", "name": "writer"})), [expected]);
    }

    #[test]
    fn defaults() {
        let subjects = json!([
            {"kind": "User", "name": "u"}, {"kind": "Group", "name": "g", "apiGroup": ""},
            {"kind": "ServiceAccount", "name": "s"}, {"kind": "Group", "name": "g", "apiGroup": "apps"},
        ]);
        let mut object = bind(json!({"kind": "Role", "name": "r"}), subjects);
        RoleBindings.default(&mut object);
        assert_eq!(object.role_ref.api_group.as_deref(), Some(GROUP));
        let groups: Vec<Option<&str>> =
            object.subjects.iter().flatten().map(|subject| subject.api_group.as_deref()).collect();
        assert_eq!(groups, [Some(GROUP), Some(GROUP), None, Some("apps")]);
        let before = object.clone();
        RoleBindings.default(&mut object);
        assert_eq!(object, before);
    }

    #[test]
    fn rows() {
        let now = Timestamp::new(3 * 86_400, 0).unwrap();
        let subjects = json!([
            {"kind": "User", "name": "ann"}, {"kind": "ServiceAccount", "name": "a", "namespace": "n"},
            {"kind": "Group", "name": "g"}, {"kind": "User", "name": "bob"}, {"kind": "ServiceAccount", "name": "b"},
        ]);
        let expected = json!(["b", "Role/reader", "3d", "ann, bob", "g", "n/a, /b"]);
        assert_eq!(json!(RoleBindings.row(&bind(reader(), subjects), now)), expected);
        let expected = json!(["b", "Role/reader", "3d", "", "", ""]);
        assert_eq!(json!(RoleBindings.row(&bind(reader(), Value::Null), now)), expected);
        let wide: Vec<i32> = RoleBindings.columns().iter().map(|column| column.priority).collect();
        assert_eq!(wide, [0, 0, 0, 1, 1, 1]);
    }
}
