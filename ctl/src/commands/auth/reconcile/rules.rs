//! How rules of roles, and whom they are bound to, are shown.

use api::rbac::list;
use k8s_openapi::api::rbac::v1::{PolicyRule, Subject};

/// As kubectl shows it.
pub(super) fn shown(rule: &PolicyRule) -> String {
    let words = |values: &Option<Vec<String>>| list(values).join(" ");
    format!(
        "{{Verbs:[{}] APIGroups:[{}] Resources:[{}] ResourceNames:[{}] NonResourceURLs:[{}]}}",
        rule.verbs.join(" "),
        words(&rule.api_groups),
        words(&rule.resources),
        words(&rule.resource_names),
        words(&rule.non_resource_urls)
    )
}

/// As kubectl shows it.
pub(super) fn shown_subject(subject: &Subject) -> String {
    format!(
        "{{Kind:{} APIGroup:{} Name:{} Namespace:{}}}",
        subject.kind,
        subject.api_group.as_deref().unwrap_or_default(),
        subject.name,
        subject.namespace.as_deref().unwrap_or_default()
    )
}
