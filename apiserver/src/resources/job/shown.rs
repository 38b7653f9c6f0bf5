//! Parts of a Job as messages show them, which is by the names of Go's fields.

use api::field::BadValue;
use k8s_openapi::api::batch::v1::{PodFailurePolicy, SuccessPolicy, UncountedTerminatedPods};
use serde::Serialize;

use super::text;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Rules<T> {
    rules: Vec<T>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct FailureRule<'a> {
    action: &'a str,
    on_exit_codes: Option<ExitCodes<'a>>,
    on_pod_conditions: Option<Vec<Pattern<'a>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ExitCodes<'a> {
    container_name: Option<&'a str>,
    operator: &'a str,
    values: &'a [i32],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Pattern<'a> {
    r#type: &'a str,
    status: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SuccessRule<'a> {
    succeeded_indexes: Option<&'a str>,
    succeeded_count: Option<i32>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Uncounted<'a> {
    succeeded: Option<&'a [String]>,
    failed: Option<&'a [String]>,
}

pub(super) fn failure_policy(policy: &PodFailurePolicy) -> BadValue {
    let rules = policy.rules.iter().map(|rule| FailureRule {
        action: &rule.action,
        on_exit_codes: rule.on_exit_codes.as_ref().map(|codes| ExitCodes {
            container_name: codes.container_name.as_deref(),
            operator: &codes.operator,
            values: &codes.values,
        }),
        on_pod_conditions: rule.on_pod_conditions.as_ref().map(|patterns| {
            patterns.iter().map(|pattern| Pattern { r#type: &pattern.type_, status: text(&pattern.status) }).collect()
        }),
    });
    BadValue::json(&Rules { rules: rules.collect() })
}

pub(super) fn success_policy(policy: &SuccessPolicy) -> BadValue {
    let rules = policy.rules.iter().map(|rule| SuccessRule {
        succeeded_indexes: rule.succeeded_indexes.as_deref(),
        succeeded_count: rule.succeeded_count,
    });
    BadValue::json(&Rules { rules: rules.collect() })
}

pub(super) fn uncounted_pods(pods: &UncountedTerminatedPods) -> BadValue {
    BadValue::json(&Uncounted { succeeded: pods.succeeded.as_deref(), failed: pods.failed.as_deref() })
}
