//! What a Job's spec is when the client leaves it out.

use k8s_openapi::api::batch::v1::{Job, JobSpec};

use super::{FAILED, NON_INDEXED, TERMINATING_OR_FAILED, selector};
use crate::resources::pod_spec;

const BACKOFF_LIMIT: i32 = 6;

pub(super) fn set(job: &mut Job) {
    set_template(&mut job.spec.get_or_insert_default().template);
    let spec = job.spec.get_or_insert_default();
    if spec.completions.is_none() && spec.parallelism.is_none() {
        spec.completions = Some(1);
    }
    spec.parallelism.get_or_insert(1);
    // Each index has a limit of its own then.
    let backoff_limit = if spec.backoff_limit_per_index.is_some() { i32::MAX } else { BACKOFF_LIMIT };
    spec.backoff_limit.get_or_insert(backoff_limit);
    spec.completion_mode.get_or_insert_with(|| NON_INDEXED.to_owned());
    spec.suspend.get_or_insert(false);
    let replacement = if spec.pod_failure_policy.is_some() { FAILED } else { TERMINATING_OR_FAILED };
    spec.pod_replacement_policy.get_or_insert_with(|| replacement.to_owned());
    spec.manual_selector.get_or_insert(false);
    set_in_policies(spec);
    selector::default_labels(job);
}

/// The defaults that a spec has in the template of a CronJob, too.
pub(crate) fn set_in_template(spec: &mut JobSpec) {
    set_template(&mut spec.template);
    set_in_policies(spec);
}

fn set_template(template: &mut k8s_openapi::api::core::v1::PodTemplateSpec) {
    pod_spec::set_template_defaults(template);
}

fn set_in_policies(spec: &mut JobSpec) {
    let rules = spec.pod_failure_policy.iter_mut().flat_map(|policy| &mut policy.rules);
    for pattern in rules.flat_map(|rule| rule.on_pod_conditions.iter_mut().flatten()) {
        if pattern.status.as_deref().unwrap_or_default().is_empty() {
            pattern.status = Some("True".to_owned());
        }
    }
}
