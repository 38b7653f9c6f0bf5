//! Which requests a schema is for: who asks, and for what.

use api::field::{Error, ErrorList, Path};
use api::names::{namespace_name, object_dns_subdomain};
use k8s_openapi::api::flowcontrol::v1::{
    NonResourcePolicyRule, PolicyRulesWithSubjects, ResourcePolicyRule, ServiceAccountSubject, Subject,
};

const ALL: &str = "*";
const VERBS: [&str; 9] = ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

/// What is wrong with one rule.
pub(super) fn validate(rule: &PolicyRulesWithSubjects, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if rule.subjects.is_empty() {
        errors.push(Error::required(&path.child("subjects"), "subjects must contain at least one value"));
    }
    for (i, subject) in rule.subjects.iter().enumerate() {
        errors.extend(validate_subject(subject, &path.child("subjects").index(i)));
    }
    let resources = rule.resource_rules.as_deref().unwrap_or_default();
    let others = rule.non_resource_rules.as_deref().unwrap_or_default();
    if resources.is_empty() && others.is_empty() {
        let detail = "at least one of resourceRules and nonResourceRules has to be non-empty";
        errors.push(Error::required(path, detail));
    }
    for (i, rule) in resources.iter().enumerate() {
        errors.extend(validate_resources(rule, &path.child("resourceRules").index(i)));
    }
    for (i, rule) in others.iter().enumerate() {
        errors.extend(validate_non_resources(rule, &path.child("nonResourceRules").index(i)));
    }
    errors
}

fn validate_subject(subject: &Subject, path: &Path) -> ErrorList {
    let (account, user, group) = (subject.service_account.as_ref(), subject.user.as_ref(), subject.group.as_ref());
    let mut errors = ErrorList::new();
    match &*subject.kind {
        "ServiceAccount" => errors.extend(validate_account(account, &path.child("serviceAccount"))),
        "User" => errors.extend(validate_named("user", "User", user.map(|user| &*user.name), path)),
        "Group" => errors.extend(validate_named("group", "Group", group.map(|group| &*group.name), path)),
        kind => {
            let kinds = ["Group", "ServiceAccount", "User"];
            errors.push(Error::not_supported(&path.child("kind"), kind, &kinds));
            return errors;
        }
    }
    let others = [
        ("serviceAccount", "ServiceAccount", account.is_some()),
        ("user", "User", user.is_some()),
        ("group", "Group", group.is_some()),
    ];
    for (field, kind, _) in others.into_iter().filter(|(_, kind, is_set)| *is_set && *kind != subject.kind) {
        let detail = format!("{field} is forbidden when subject kind is not '{kind}'");
        errors.push(Error::forbidden(&path.child(field), detail));
    }
    errors
}

fn validate_account(account: Option<&ServiceAccountSubject>, path: &Path) -> ErrorList {
    let Some(account) = account else {
        return Error::required(path, "serviceAccount is required when subject kind is 'ServiceAccount'").into();
    };
    let mut errors = ErrorList::new();
    if account.name.is_empty() {
        errors.push(Error::required(&path.child("name"), ""));
    } else if account.name != ALL {
        errors.push_invalid(&path.child("name"), &account.name, object_dns_subdomain(&account.name, false));
    }
    if account.namespace.is_empty() {
        errors.push(Error::required(&path.child("namespace"), "must specify namespace for service account"));
    } else {
        errors.push_invalid(&path.child("namespace"), &account.namespace, namespace_name(&account.namespace, false));
    }
    errors
}

fn validate_named(field: &str, kind: &str, name: Option<&str>, path: &Path) -> ErrorList {
    let path = path.child(field);
    match name {
        None => Error::required(&path, format!("{field} is required when subject kind is '{kind}'")).into(),
        Some("") => Error::required(&path.child("name"), "").into(),
        Some(_) => ErrorList::new(),
    }
}

fn validate_resources(rule: &ResourcePolicyRule, path: &Path) -> ErrorList {
    let mut errors = validate_verbs(&rule.verbs, path);
    for (field, list, one, many) in [
        ("apiGroups", &rule.api_groups, "api group", "api groups"),
        ("resources", &rule.resources, "resource", "resources"),
    ] {
        if list.is_empty() {
            let detail = format!("resource rules must supply at least one {one}");
            errors.push(Error::required(&path.child(field), detail));
        }
        errors.extend(validate_alone(list, many, &path.child(field)));
    }
    let path = path.child("namespaces");
    let namespaces = rule.namespaces.as_deref().unwrap_or_default();
    if namespaces.is_empty() && rule.cluster_scope != Some(true) {
        let detail = "resource rules that are not cluster scoped must supply at least one namespace";
        errors.push(Error::required(&path, detail));
    } else if has_all(namespaces) {
        errors.extend(validate_alone(namespaces, "namespaces", &path));
    } else {
        for (i, namespace) in namespaces.iter().enumerate() {
            let messages = namespace_name(namespace, false).into_iter();
            let messages =
                messages.map(|why| format!("each member of this list must be '*' or a DNS-1123 label; {why}"));
            errors.push_invalid(&path.index(i), namespace, messages);
        }
    }
    errors
}

fn validate_non_resources(rule: &NonResourcePolicyRule, path: &Path) -> ErrorList {
    let mut errors = validate_verbs(&rule.verbs, path);
    let path = path.child("nonResourceURLs");
    if rule.non_resource_urls.is_empty() {
        errors.push(Error::required(&path, "nonResourceURLs must contain at least one value"));
    } else if has_all(&rule.non_resource_urls) {
        errors.extend(validate_alone(&rule.non_resource_urls, "non-resource URLs", &path));
    } else {
        for (i, url) in rule.non_resource_urls.iter().enumerate() {
            errors.extend(validate_url(url, &path.index(i)));
        }
    }
    errors
}

fn validate_verbs(verbs: &[String], path: &Path) -> ErrorList {
    let path = path.child("verbs");
    if verbs.is_empty() {
        return Error::required(&path, "verbs must contain at least one value").into();
    }
    if has_all(verbs) {
        return validate_alone(verbs, "verbs", &path);
    }
    if verbs.iter().all(|verb| VERBS.contains(&&**verb)) {
        return ErrorList::new();
    }
    Error::not_supported(&path, verbs, &VERBS).into()
}

/// That who says everything says nothing else.
fn validate_alone(list: &[String], what: &str, path: &Path) -> ErrorList {
    if list.len() < 2 || !has_all(list) {
        return ErrorList::new();
    }
    Error::invalid(path, list, format!("if '*' is present, must not specify other {what}")).into()
}

fn has_all(list: &[String]) -> bool {
    list.iter().any(|item| item == ALL)
}

fn validate_url(url: &str, path: &Path) -> Option<Error> {
    let stars = url.matches('*').count();
    let detail = match url {
        "" => "must not be empty",
        "/" => return None,
        _ if !url.starts_with('/') => "must start with slash",
        _ if url.contains(' ') => "must not contain white-space",
        _ if url.contains("//") => "must not contain double slash",
        _ if stars > 1 || (stars == 1 && !url.ends_with("/*")) => "wildcard can only do suffix matching",
        _ => return None,
    };
    Some(Error::invalid(path, url, detail))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(rule: Value, expected: &[&str]) {
        let parsed: PolicyRulesWithSubjects = serde_json::from_value(rule.clone()).unwrap();
        let errors = validate(&parsed, &Path::new("r"));
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{rule}");
    }

    fn probes() -> Value {
        json!([{"verbs": ["get"], "nonResourceURLs": ["/healthz"]}])
    }

    fn anybody() -> Value {
        json!([{"kind": "User", "user": {"name": "*"}}])
    }

    #[test]
    fn subjects() {
        let check = |subject: Value, expected: &[&str]| {
            check(json!({"subjects": [subject], "nonResourceRules": probes()}), expected);
        };
        check(json!({"kind": "User", "user": {"name": "ann"}}), &[]);
        check(json!({"kind": "Group", "group": {"name": "system:masters"}}), &[]);
        check(json!({"kind": "ServiceAccount", "serviceAccount": {"name": "*", "namespace": "kube-system"}}), &[]);
        let kinds = "supported values: \"Group\", \"ServiceAccount\", \"User\"";
        check(json!({}), &[&format!("r.subjects[0].kind: Unsupported value: \"\": {kinds}")]);
        let user = "r.subjects[0].user: Required value: user is required when subject kind is 'User'";
        check(json!({"kind": "User"}), &[user]);
        check(json!({"kind": "User", "user": {}}), &["r.subjects[0].user.name: Required value"]);
        let group = "r.subjects[0].group: Required value: group is required when subject kind is 'Group'";
        let no_user = "r.subjects[0].user: Forbidden: user is forbidden when subject kind is not 'User'";
        check(json!({"kind": "Group", "user": {"name": "ann"}}), &[group, no_user]);
        let account = "r.subjects[0].serviceAccount: Required value: serviceAccount is required when subject kind is \
                       'ServiceAccount'";
        let no_group = "r.subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'";
        check(
            json!({"kind": "ServiceAccount", "user": {"name": "u"}, "group": {"name": "g"}}),
            &[account, no_user, no_group],
        );
        let no_account = "r.subjects[0].serviceAccount: Forbidden: serviceAccount is forbidden when subject kind is not \
                          'ServiceAccount'";
        let given = json!({"name": "a", "namespace": "n"});
        check(json!({"kind": "User", "user": {"name": "u"}, "serviceAccount": given}), &[no_account]);
        let namespace =
            "r.subjects[0].serviceAccount.namespace: Required value: must specify namespace for service account";
        let name = "r.subjects[0].serviceAccount.name: Required value";
        check(json!({"kind": "ServiceAccount", "serviceAccount": {}}), &[name, namespace]);
        let label = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
                     and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
                     '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
        check(
            json!({"kind": "ServiceAccount", "serviceAccount": {"name": "a", "namespace": "*"}}),
            &[&format!("r.subjects[0].serviceAccount.namespace: Invalid value: \"*\": {label}")],
        );
    }

    #[test]
    fn rules_of_resources() {
        let check = |fields: Value, expected: &[&str]| {
            let mut rule = json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]});
            rule.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            check(json!({"subjects": anybody(), "resourceRules": [rule]}), expected);
        };
        const AT: &str = "r.resourceRules[0]";
        check(json!({}), &[]);
        check(json!({"verbs": ["get", "watch"], "namespaces": ["default"], "apiGroups": ["", "apps"]}), &[]);
        check(json!({"clusterScope": true, "namespaces": []}), &[]);
        let verbs = "supported values: \"create\", \"delete\", \"deletecollection\", \"get\", \"list\", \"patch\", \
                     \"proxy\", \"update\", \"watch\"";
        check(json!({"verbs": []}), &[&format!("{AT}.verbs: Required value: verbs must contain at least one value")]);
        check(json!({"verbs": ["post"]}), &[&format!("{AT}.verbs: Unsupported value: [\"post\"]: {verbs}")]);
        let alone = "if '*' is present, must not specify other";
        check(json!({"verbs": ["get", "*"]}), &[&format!("{AT}.verbs: Invalid value: [\"get\",\"*\"]: {alone} verbs")]);
        check(
            json!({"apiGroups": ["*", ""], "resources": ["*", "pods"], "namespaces": ["*", "a"]}),
            &[
                &format!("{AT}.apiGroups: Invalid value: [\"*\",\"\"]: {alone} api groups"),
                &format!("{AT}.resources: Invalid value: [\"*\",\"pods\"]: {alone} resources"),
                &format!("{AT}.namespaces: Invalid value: [\"*\",\"a\"]: {alone} namespaces"),
            ],
        );
        check(
            json!({"apiGroups": [], "resources": [], "namespaces": []}),
            &[
                &format!("{AT}.apiGroups: Required value: resource rules must supply at least one api group"),
                &format!("{AT}.resources: Required value: resource rules must supply at least one resource"),
                &format!(
                    "{AT}.namespaces: Required value: resource rules that are not cluster scoped must supply at least one \
                     namespace"
                ),
            ],
        );
        let label = "each member of this list must be '*' or a DNS-1123 label; a lowercase RFC 1123 label must consist of \
                     lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. \
                     'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
        check(
            json!({"namespaces": ["default", "-x"]}),
            &[&format!("{AT}.namespaces[1]: Invalid value: \"-x\": {label}")],
        );
    }

    #[test]
    fn rules_of_urls() {
        let check = |urls: Value, expected: &[&str]| {
            let rules = json!([{"verbs": ["get"], "nonResourceURLs": urls}]);
            check(json!({"subjects": anybody(), "nonResourceRules": rules}), expected);
        };
        const AT: &str = "r.nonResourceRules[0].nonResourceURLs";
        check(json!(["/", "/apis/", "/healthz/*"]), &[]);
        check(json!(["*"]), &[]);
        check(json!([]), &[&format!("{AT}: Required value: nonResourceURLs must contain at least one value")]);
        let alone = "if '*' is present, must not specify other non-resource URLs";
        check(json!(["*", "/a"]), &[&format!("{AT}: Invalid value: [\"*\",\"/a\"]: {alone}")]);
        for (url, detail) in [
            ("", "must not be empty"),
            ("healthz", "must start with slash"),
            ("/a b", "must not contain white-space"),
            ("/a//b", "must not contain double slash"),
            ("/healthz/*/a", "wildcard can only do suffix matching"),
            ("/health*", "wildcard can only do suffix matching"),
            ("/*/*", "wildcard can only do suffix matching"),
        ] {
            check(json!([url]), &[&format!("{AT}[0]: Invalid value: \"{url}\": {detail}")]);
        }
    }

    #[test]
    fn a_rule_says_who_and_what() {
        let subjects = "r.subjects: Required value: subjects must contain at least one value";
        let rules = "r: Required value: at least one of resourceRules and nonResourceRules has to be non-empty";
        check(json!({}), &[subjects, rules]);
        check(json!({"subjects": anybody(), "resourceRules": [], "nonResourceRules": []}), &[rules]);
        check(json!({"subjects": [], "nonResourceRules": probes()}), &[subjects]);
    }
}
