//! What admission applies to: rules of groups, versions, resources and operations, and conditions in CEL.
//!
//! Expressions are checked for being there; they are not compiled.

use std::collections::HashSet;

use api::field::{BadValue, Error, ErrorList, Path};
use api::names::{label_key, object_path_segment};
use api::selector::label::validate_api;
use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MatchResources, NamedRuleWithOperations, RuleWithOperations,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

pub(super) const FAILURE_POLICIES: [&str; 2] = ["Fail", "Ignore"];
pub(super) const MATCH_POLICIES: [&str; 2] = ["Equivalent", "Exact"];
pub(super) const REINVOCATION_POLICIES: [&str; 2] = ["IfNeeded", "Never"];
const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
/// What can be changed on its way; a deletion cannot.
const MUTABLE_OPERATIONS: [&str; 4] = ["*", "CONNECT", "CREATE", "UPDATE"];
const SCOPES: [&str; 3] = ["*", "Cluster", "Namespaced"];
const MAX_CONDITIONS: usize = 64;

/// A rule, with or without names.
#[derive(Clone, Copy)]
pub(super) struct Rule<'a> {
    operations: &'a [String],
    groups: &'a [String],
    versions: &'a [String],
    resources: &'a [String],
    scope: Option<&'a str>,
}

impl<'a> From<&'a RuleWithOperations> for Rule<'a> {
    fn from(rule: &'a RuleWithOperations) -> Self {
        Rule {
            operations: list(&rule.operations),
            groups: list(&rule.api_groups),
            versions: list(&rule.api_versions),
            resources: list(&rule.resources),
            scope: rule.scope.as_deref(),
        }
    }
}

impl<'a> From<&'a NamedRuleWithOperations> for Rule<'a> {
    fn from(rule: &'a NamedRuleWithOperations) -> Self {
        Rule {
            operations: list(&rule.operations),
            groups: list(&rule.api_groups),
            versions: list(&rule.api_versions),
            resources: list(&rule.resources),
            scope: rule.scope.as_deref(),
        }
    }
}

fn list<T>(list: &Option<Vec<T>>) -> &[T] {
    list.as_deref().unwrap_or_default()
}

/// Fills in what a match leaves out.
pub(super) fn set_defaults(matches: &mut MatchResources) {
    matches.match_policy.get_or_insert_with(|| "Equivalent".to_owned());
    matches.namespace_selector.get_or_insert_default();
    matches.object_selector.get_or_insert_default();
    let rules = [&mut matches.resource_rules, &mut matches.exclude_resource_rules];
    for rule in rules.into_iter().flatten().flatten() {
        rule.scope.get_or_insert_with(|| "*".to_owned());
    }
}

/// What is wrong with an optional choice at `path`.
pub(super) fn validate_choice(value: Option<&str>, supported: &[&str], path: &Path) -> Option<Error> {
    let value = value.filter(|value| !supported.contains(value))?;
    Some(Error::not_supported(path, value, supported))
}

/// What is wrong with a choice that has to be made.
pub(super) fn require_choice(value: Option<&str>, supported: &[&str], path: &Path) -> Option<Error> {
    if value.is_none() { Some(Error::required(path, "")) } else { validate_choice(value, supported, path) }
}

/// What is wrong with a rule.
pub(super) fn validate_rule(rule: Rule<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let wildcard = |list: &[String]| list.len() > 1 && list.iter().any(|item| item == "*");
    let lists = [
        ("operations", rule.operations, "if '*' is present, must not specify other operations"),
        ("apiGroups", rule.groups, "if '*' is present, must not specify other API groups"),
        ("apiVersions", rule.versions, "if '*' is present, must not specify other API versions"),
    ];
    for (field, list, detail) in lists {
        let path = path.child(field);
        if list.is_empty() {
            errors.push(Error::required(&path, ""));
        }
        if wildcard(list) {
            errors.push(Error::invalid(&path, list, detail));
        }
        for (i, item) in list.iter().enumerate() {
            match field {
                "operations" => errors.extend(validate_choice(Some(item), &OPERATIONS, &path.index(i))),
                "apiVersions" if item.is_empty() => errors.push(Error::required(&path.index(i), "")),
                _ => {}
            }
        }
    }
    errors.extend(validate_resources(rule.resources, &path.child("resources")));
    errors.extend(validate_choice(rule.scope, &SCOPES, &path.child("scope")));
    errors
}

fn validate_resources(resources: &[String], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if resources.is_empty() {
        errors.push(Error::required(path, ""));
    }
    let (mut every_subresource, mut every_resource) = (HashSet::new(), HashSet::new());
    let mut bare = false;
    for (i, resource) in resources.iter().enumerate() {
        let path = path.index(i);
        if resource.is_empty() {
            errors.push(Error::required(&path, ""));
            continue;
        }
        let Some((name, subresource)) = resource.split_once('/') else {
            bare = resource != "*";
            continue;
        };
        if every_subresource.contains(name) {
            let detail = format!("if '{name}/*' is present, must not specify {resource}");
            errors.push(Error::invalid(&path, resource, detail));
        }
        if every_resource.contains(subresource) {
            let detail = format!("if '*/{subresource}' is present, must not specify {resource}");
            errors.push(Error::invalid(&path, resource, detail));
        }
        if subresource == "*" {
            every_subresource.insert(name);
        }
        if name == "*" {
            every_resource.insert(subresource);
        }
    }
    let has = |text: &str| resources.iter().any(|resource| resource == text);
    if resources.len() > 1 && has("*/*") {
        errors.push(Error::invalid(path, resources, "if '*/*' is present, must not specify other resources"));
    }
    if has("*") && bare {
        let detail = "if '*' is present, must not specify other resources without subresources";
        errors.push(Error::invalid(path, resources, detail));
    }
    errors
}

/// What is wrong with what a policy or binding matches, after defaults.
pub(super) fn validate_resources_matched(matches: &MatchResources, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let policy_path = path.child("matchPolicy");
    errors.extend(require_choice(matches.match_policy.as_deref(), &MATCH_POLICIES, &policy_path));
    errors.extend(require_selector(matches.namespace_selector.as_ref(), &path.child("namespaceSelector")));
    errors.extend(require_selector(matches.object_selector.as_ref(), &path.child("objectSelector")));
    let lists = [("resourceRules", &matches.resource_rules), ("excludeResourceRules", &matches.exclude_resource_rules)];
    for (field, rules) in lists {
        for (i, rule) in rules.iter().flatten().enumerate() {
            errors.extend(validate_named_rule(rule, &path.child(field).index(i)));
        }
    }
    errors
}

fn require_selector(selector: Option<&LabelSelector>, path: &Path) -> ErrorList {
    if selector.is_none() { Error::required(path, "").into() } else { validate_api(selector, false, path) }
}

fn validate_named_rule(rule: &NamedRuleWithOperations, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for (i, name) in list(&rule.resource_names).iter().enumerate() {
        let path = path.child("resourceNames").index(i);
        errors.push_invalid(&path, name, object_path_segment(name, false));
        if !seen.insert(name) {
            errors.push(Error::duplicate(&path, name));
        }
    }
    errors.extend(validate_rule(rule.into(), path));
    errors
}

/// That only such requests are matched whose object can be changed. The path has no index, as upstream's has none.
pub(super) fn validate_mutable(matches: &MatchResources, path: &Path) -> ErrorList {
    let path = path.child("resourceRules").child("operations");
    let operations = list(&matches.resource_rules).iter().flat_map(|rule| list(&rule.operations));
    operations.filter_map(|operation| validate_choice(Some(operation), &MUTABLE_OPERATIONS, &path)).collect()
}

/// What is wrong with the conditions at `path`.
pub(super) fn validate_conditions(conditions: Option<&Vec<MatchCondition>>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let conditions = conditions.map(Vec::as_slice).unwrap_or_default();
    if conditions.len() > MAX_CONDITIONS {
        errors.push(Error::too_many(path, conditions.len(), MAX_CONDITIONS));
    }
    let mut seen = HashSet::new();
    for (i, condition) in conditions.iter().enumerate() {
        let (path, name) = (path.index(i), &condition.name);
        if condition.expression.trim().is_empty() {
            errors.push(Error::required(&path.child("expression"), ""));
        }
        let path = path.child("name");
        if name.is_empty() {
            errors.push(Error::required(&path, ""));
            continue;
        }
        errors.push_invalid(&path, name, label_key(name));
        if !seen.insert(name) {
            errors.push(Error::duplicate(&path, name));
        }
    }
    errors
}

/// A list as messages show it.
pub(super) fn shown<T: serde::Serialize>(list: &[T]) -> BadValue {
    BadValue::json(list)
}
