//! The rules of a Job's policies: which pods count as failed, when they are replaced, and when enough indexes have succeeded.

use std::collections::HashSet;

use api::field::{BadValue, Error, ErrorList, Path};
use api::names;
use k8s_openapi::api::batch::v1::{
    JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern,
    PodFailurePolicyRule, SuccessPolicy, SuccessPolicyRule,
};

use super::{FAILED, TERMINATING_OR_FAILED, indexes, text};
use crate::resources::replica_template::validate_non_negative;

const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
const OPERATORS: [&str; 2] = ["In", "NotIn"];
const STATUSES: [&str; 3] = ["False", "True", "Unknown"];
const MAX_RULES: usize = 20;
const MAX_EXIT_CODES: usize = 255;
const MAX_PATTERNS: usize = 20;
const MAX_INDEXES_BYTES: usize = 64 * 1024;

pub(super) fn validate_pod_failure_policy(policy: &PodFailurePolicy, spec: &JobSpec, path: &Path) -> ErrorList {
    let path = path.child("rules");
    let mut errors = ErrorList::new();
    if policy.rules.len() > MAX_RULES {
        errors.push(Error::too_many(&path, policy.rules.len(), MAX_RULES));
    }
    let pod = spec.template.spec.iter();
    let containers = pod.flat_map(|pod| pod.containers.iter().chain(pod.init_containers.iter().flatten()));
    let containers: HashSet<&str> = containers.map(|container| container.name.as_str()).collect();
    for (i, rule) in policy.rules.iter().enumerate() {
        errors.extend(validate_failure_rule(rule, spec, &path.index(i), &containers));
    }
    errors
}

pub(super) fn validate_replacement_policy(spec: &JobSpec, path: &Path) -> Option<Error> {
    let policy = spec.pod_replacement_policy.as_deref()?;
    let supported = if spec.pod_failure_policy.is_some() { &[FAILED][..] } else { &[FAILED, TERMINATING_OR_FAILED] };
    (!supported.contains(&policy)).then(|| Error::not_supported(path, BadValue::json(policy), supported))
}

fn validate_failure_rule(
    rule: &PodFailurePolicyRule,
    spec: &JobSpec,
    path: &Path,
    containers: &HashSet<&str>,
) -> ErrorList {
    let mut errors = ErrorList::new();
    let action_path = path.child("action");
    match rule.action.as_str() {
        "" => errors.push(Error::required(&action_path, valid_values(&ACTIONS))),
        "FailIndex" if spec.backoff_limit_per_index.is_none() => {
            let detail = "requires the backoffLimitPerIndex to be set";
            errors.push(Error::invalid(&action_path, BadValue::json("FailIndex"), detail));
        }
        action if ACTIONS.contains(&action) => {}
        action => errors.push(Error::not_supported(&action_path, BadValue::json(action), &ACTIONS)),
    }
    let patterns = rule.on_pod_conditions.as_deref().unwrap_or_default();
    if let Some(requirement) = &rule.on_exit_codes {
        errors.extend(validate_exit_codes(requirement, &path.child("onExitCodes"), containers));
    }
    errors.extend(validate_patterns(patterns, &path.child("onPodConditions")));
    let detail = match (rule.on_exit_codes.is_some(), !patterns.is_empty()) {
        (true, true) => "specifying both OnExitCodes and OnPodConditions is not supported",
        (false, false) => "specifying one of OnExitCodes and OnPodConditions is required",
        _ => return errors,
    };
    errors.push(Error::invalid(path, BadValue::Omitted, detail));
    errors
}

fn validate_patterns(patterns: &[PodFailurePolicyOnPodConditionsPattern], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if patterns.len() > MAX_PATTERNS {
        errors.push(Error::too_many(path, patterns.len(), MAX_PATTERNS));
    }
    for (i, pattern) in patterns.iter().enumerate() {
        let path = path.index(i);
        errors.push_invalid(&path.child("type"), &pattern.type_, names::label_key(&pattern.type_));
        let path = path.child("status");
        match text(&pattern.status) {
            "" => errors.push(Error::required(&path, valid_values(&STATUSES))),
            status if STATUSES.contains(&status) => {}
            status => errors.push(Error::not_supported(&path, BadValue::json(status), &STATUSES)),
        }
    }
    errors
}

fn validate_exit_codes(
    requirement: &PodFailurePolicyOnExitCodesRequirement,
    path: &Path,
    containers: &HashSet<&str>,
) -> ErrorList {
    let mut errors = ErrorList::new();
    let operator_path = path.child("operator");
    match requirement.operator.as_str() {
        "" => errors.push(Error::required(&operator_path, valid_values(&OPERATORS))),
        operator if OPERATORS.contains(&operator) => {}
        operator => errors.push(Error::not_supported(&operator_path, BadValue::json(operator), &OPERATORS)),
    }
    if let Some(name) = requirement.container_name.as_deref().filter(|name| !containers.contains(name)) {
        let detail = "must be one of the container or initContainer names in the pod template";
        errors.push(Error::invalid(&path.child("containerName"), name, detail));
    }
    let path = path.child("values");
    let values = requirement.values.as_slice();
    match values.len() {
        0 => errors.push(Error::invalid(&path, values, "at least one value is required")),
        count if count > MAX_EXIT_CODES => errors.push(Error::too_many(&path, count, MAX_EXIT_CODES)),
        _ => {}
    }
    let mut seen = HashSet::new();
    for (i, &value) in values.iter().enumerate() {
        let path = path.index(i);
        if value == 0 && requirement.operator == "In" {
            errors.push(Error::invalid(&path, value, "must not be 0 for the In operator"));
        }
        if !seen.insert(value) {
            errors.push(Error::duplicate(&path, value));
        }
    }
    if !values.is_sorted() {
        errors.push(Error::invalid(&path, values, "must be ordered"));
    }
    errors
}

pub(super) fn validate_success_policy(policy: &SuccessPolicy, spec: &JobSpec, path: &Path) -> ErrorList {
    let path = path.child("rules");
    let mut errors = ErrorList::new();
    if policy.rules.is_empty() {
        let detail = "at least one rules must be specified when the successPolicy is specified";
        errors.push(Error::required(&path, detail));
    }
    if policy.rules.len() > MAX_RULES {
        errors.push(Error::too_many(&path, policy.rules.len(), MAX_RULES));
    }
    for (i, rule) in policy.rules.iter().enumerate() {
        errors.extend(validate_success_rule(rule, spec.completions.unwrap_or(0), &path.index(i)));
    }
    errors
}

fn validate_success_rule(rule: &SuccessPolicyRule, completions: i32, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if rule.succeeded_count.is_none() && rule.succeeded_indexes.is_none() {
        let detail = "at least one of succeededCount or succeededIndexes must be specified";
        errors.push(Error::required(path, detail));
    }
    let mut total = None;
    if let Some(indexes) = &rule.succeeded_indexes {
        let path = path.child("succeededIndexes");
        if indexes.len() > MAX_INDEXES_BYTES {
            errors.push(Error::too_long(&path, MAX_INDEXES_BYTES));
        }
        let counted = indexes::count(indexes, completions);
        total = Some(*counted.as_ref().unwrap_or(&0));
        if let Err(why) = counted {
            errors.push(Error::invalid(&path, indexes, format!("error parsing succeededIndexes: {why}")));
        }
    }
    if let Some(count) = rule.succeeded_count {
        let path = path.child("succeededCount");
        errors.extend(validate_non_negative(count.into(), &path));
        if count > completions {
            let detail = format!("must be less than or equal to {completions} (the number of specified completions)");
            errors.push(Error::invalid(&path, count, detail));
        }
        if let Some(total) = total.filter(|total| count > *total) {
            let detail = format!(
                "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
            );
            errors.push(Error::invalid(&path, count, detail));
        }
    }
    errors
}

fn valid_values(values: &[&str]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("\"{value}\"")).collect();
    format!("valid values: [{}]", quoted.join(" "))
}
