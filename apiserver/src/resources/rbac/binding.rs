//! What both kinds of bindings share: to whom they give a role, which role that is, and how that is shown.

use api::field::{BadValue, Error, ErrorList, Path};
use api::names::object_dns_subdomain;
use k8s_openapi::api::rbac::v1::{RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::GROUP;
use crate::strategy::Column;

/// The column of the users who have it.
pub(super) const USERS_COLUMN: Column = Column::new("Users", "Users in the roleBinding").wide();
/// The column of the groups that have it.
pub(super) const GROUPS_COLUMN: Column = Column::new("Groups", "Groups in the roleBinding").wide();
/// The column of the service accounts that have it.
pub(super) const ACCOUNTS_COLUMN: Column = Column::new("ServiceAccounts", "ServiceAccounts in the roleBinding").wide();

/// States the groups that go without saying.
pub(super) fn set_defaults(role: &mut RoleRef, subjects: Option<&mut Vec<Subject>>) {
    if is_empty(role.api_group.as_ref()) {
        role.api_group = Some(GROUP.to_owned());
    }
    for subject in subjects.into_iter().flatten() {
        if is_empty(subject.api_group.as_ref()) && matches!(&*subject.kind, "User" | "Group") {
            subject.api_group = Some(GROUP.to_owned());
        }
    }
}

/// What is wrong with a binding to a role of one of `kinds`. One in a namespace can leave out the namespace of a service
/// account.
pub(super) fn validate(role: &RoleRef, kinds: &[&str], subjects: Option<&Vec<Subject>>, namespaced: bool) -> ErrorList {
    let path = Path::new("roleRef");
    let mut errors = ErrorList::new();
    let group = role.api_group.as_deref().unwrap_or_default();
    if group != GROUP {
        errors.push(Error::not_supported(&path.child("apiGroup"), group, &[GROUP]));
    }
    if !kinds.contains(&&*role.kind) {
        errors.push(Error::not_supported(&path.child("kind"), &role.kind, kinds));
    }
    if role.name.is_empty() {
        errors.push(Error::required(&path.child("name"), ""));
    } else {
        errors.push_invalid(&path.child("name"), &role.name, super::validate_name(&role.name));
    }
    let path = Path::new("subjects");
    for (i, subject) in subjects.into_iter().flatten().enumerate() {
        errors.extend(validate_subject(subject, namespaced, &path.index(i)));
    }
    errors
}

/// What is wrong with giving another role than before.
pub(super) fn validate_same_role(new: &RoleRef, old: &RoleRef) -> Option<Error> {
    /// As messages show it, which is by the names of its Go fields.
    #[derive(PartialEq, Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Shown<'a> {
        #[serde(rename = "APIGroup")]
        api_group: &'a str,
        kind: &'a str,
        name: &'a str,
    }
    fn shown(role: &RoleRef) -> Shown<'_> {
        Shown { api_group: role.api_group.as_deref().unwrap_or_default(), kind: &role.kind, name: &role.name }
    }
    let (new, old) = (shown(new), shown(old));
    (new != old).then(|| Error::invalid(&Path::new("roleRef"), BadValue::json(&new), "cannot change roleRef"))
}

/// The cells of a binding.
pub(super) fn row(meta: &ObjectMeta, role: &RoleRef, subjects: Option<&Vec<Subject>>, now: Timestamp) -> Vec<Value> {
    let of_kind = |kind: &str, show: fn(&Subject) -> String| -> Value {
        let subjects = subjects.into_iter().flatten().filter(|subject| subject.kind == kind);
        subjects.map(show).collect::<Vec<_>>().join(", ").into()
    };
    let in_namespace =
        |account: &Subject| format!("{}/{}", account.namespace.as_deref().unwrap_or_default(), account.name);
    vec![
        meta.name.clone().into(),
        format!("{}/{}", role.kind, role.name).into(),
        api::duration::age(meta.creation_timestamp.as_ref(), now).into(),
        of_kind("User", |user| user.name.clone()),
        of_kind("Group", |group| group.name.clone()),
        of_kind("ServiceAccount", in_namespace),
    ]
}

fn validate_subject(subject: &Subject, namespaced: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let group = subject.api_group.as_deref().unwrap_or_default();
    if subject.name.is_empty() {
        errors.push(Error::required(&path.child("name"), ""));
    }
    match &*subject.kind {
        "ServiceAccount" => {
            if !subject.name.is_empty() {
                let messages = object_dns_subdomain(&subject.name, false);
                errors.push_invalid(&path.child("name"), &subject.name, messages);
            }
            if !group.is_empty() {
                errors.push(Error::not_supported(&path.child("apiGroup"), group, &[""]));
            }
            if !namespaced && is_empty(subject.namespace.as_ref()) {
                errors.push(Error::required(&path.child("namespace"), ""));
            }
        }
        "User" | "Group" => {
            if group != GROUP {
                errors.push(Error::not_supported(&path.child("apiGroup"), group, &[GROUP]));
            }
        }
        kind => {
            let supported = ["ServiceAccount", "User", "Group"];
            errors.push(Error::not_supported(&path.child("kind"), kind, &supported));
        }
    }
    errors
}

fn is_empty(text: Option<&String>) -> bool {
    text.is_none_or(String::is_empty)
}
