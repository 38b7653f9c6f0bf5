//! The rules of a Job's spec, and those of them that hold in the template of a CronJob.

use api::field::{BadValue, Error, ErrorList, Path};
use api::names;
use api::selector::label::{from_api, validate_api};
use k8s_openapi::api::batch::v1::{Job, JobSpec};

use super::{INDEXED, NON_INDEXED, absent_spec, policies, selector, shown, text};
use crate::resources::pod_spec::{self, Options};
use crate::resources::replica_template::{shown_selector, validate_non_negative};

const MAX_INDEXED_PARALLELISM: i32 = 100_000;
const MAX_FAILED_INDEXES: i32 = 100_000;
/// More completions than these bring lower limits.
pub(super) const MANY_COMPLETIONS: i32 = 100_000;
pub(super) const MAX_PARALLELISM_FOR_MANY: i32 = 10_000;
const MAX_FAILED_INDEXES_FOR_MANY: i32 = 10_000;
const MAX_MANAGED_BY_BYTES: usize = 63;

/// What validation lets pass because the Job had it already.
#[derive(Clone, Debug, Default)]
pub(super) struct Leniency {
    pub(super) template: Options,
    /// Lets the selector have values that no label can have.
    pub(super) invalid_selector_values: bool,
    /// Lets the template be without those generated labels that v1.27 has added.
    pub(super) no_prefixed_labels: bool,
}

/// What is wrong with a Job, its metadata excepted (upstream's `ValidateJob`).
pub(super) fn validate_job(job: &Job, leniency: &Leniency) -> ErrorList {
    let spec = job.spec.as_ref().unwrap_or(absent_spec());
    let mut errors = selector::validate(job, !leniency.no_prefixed_labels);
    errors.extend(validate_spec(spec, leniency));
    if let Some(completions) = spec.completions.filter(|completions| *completions > 0 && is_indexed(spec)) {
        // The names of the pods' hosts end with their index.
        let name = text(&job.metadata.name);
        let host = format!("{name}-{}", completions - 1);
        if !names::dns1123_label(&host).is_empty() {
            let detail = format!("will not able to create pod with invalid DNS label: {host}");
            errors.push(Error::invalid(&Path::new("metadata").child("name"), name, detail));
        }
    }
    errors
}

/// What is wrong with a Job's own spec (upstream's `ValidateJobSpec`).
pub(super) fn validate_spec(spec: &JobSpec, leniency: &Leniency) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = validate_common(spec, &path, &leniency.template);
    let selector_path = path.child("selector");
    match &spec.selector {
        None => errors.push(Error::required(&selector_path, "")),
        Some(_) => {
            errors.extend(validate_api(spec.selector.as_ref(), leniency.invalid_selector_values, &selector_path));
        }
    }
    let labels = spec.template.metadata.as_ref().and_then(|meta| meta.labels.clone()).unwrap_or_default();
    if from_api(spec.selector.as_ref()).is_ok_and(|selector| !selector.matches(&labels)) {
        let shown = if labels.is_empty() { BadValue::null() } else { BadValue::json(&labels) };
        let path = path.child("template").child("metadata").child("labels");
        errors.push(Error::invalid(&path, shown, "`selector` does not match template `labels`"));
    }
    errors
}

/// What is wrong with the spec in the template of a CronJob. Its selectors are generated when a Job is made of it.
pub(crate) fn validate_template_spec(spec: &JobSpec, path: &Path, options: &Options) -> ErrorList {
    let mut errors = validate_common(spec, path, options);
    if let Some(selector) = &spec.selector {
        let detail = "`selector` will be auto-generated";
        errors.push(Error::invalid(&path.child("selector"), shown_selector(selector), detail));
    }
    if spec.manual_selector == Some(true) {
        errors.push(Error::not_supported(&path.child("manualSelector"), true, &["nil", "false"]));
    }
    errors
}

pub(super) fn is_indexed(spec: &JobSpec) -> bool {
    spec.completion_mode.as_deref() == Some(INDEXED)
}

/// What holds of either (upstream's `validateJobSpec`).
fn validate_common(spec: &JobSpec, path: &Path, options: &Options) -> ErrorList {
    let mut errors = ErrorList::new();
    let non_negative = |value: Option<i64>, field: &str| validate_non_negative(value?, &path.child(field));
    let wide = |value: Option<i32>| value.map(i64::from);
    errors.extend(non_negative(wide(spec.parallelism), "parallelism"));
    errors.extend(non_negative(wide(spec.completions), "completions"));
    errors.extend(non_negative(spec.active_deadline_seconds, "activeDeadlineSeconds"));
    errors.extend(non_negative(wide(spec.backoff_limit), "backoffLimit"));
    errors.extend(non_negative(wide(spec.ttl_seconds_after_finished), "ttlSecondsAfterFinished"));
    errors.extend(non_negative(wide(spec.backoff_limit_per_index), "backoffLimitPerIndex"));
    errors.extend(non_negative(wide(spec.max_failed_indexes), "maxFailedIndexes"));
    if spec.max_failed_indexes.is_some() && spec.backoff_limit_per_index.is_none() {
        errors.push(Error::required(&path.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified"));
    }
    if let Some(manager) = &spec.managed_by {
        let path = path.child("managedBy");
        errors.extend(names::domain_prefixed_path(&path, manager));
        if manager.len() > MAX_MANAGED_BY_BYTES {
            errors.push(Error::too_long(&path, MAX_MANAGED_BY_BYTES));
        }
    }
    errors.extend(validate_mode(spec, path));
    if let Some(policy) = &spec.pod_failure_policy {
        errors.extend(policies::validate_pod_failure_policy(policy, spec, &path.child("podFailurePolicy")));
    }
    if let Some(policy) = &spec.success_policy {
        let path = path.child("successPolicy");
        if is_indexed(spec) {
            errors.extend(policies::validate_success_policy(policy, spec, &path));
        } else {
            let shown = shown::success_policy(policy);
            errors.push(Error::invalid(&path, shown, "requires indexed completion mode"));
        }
    }
    errors.extend(policies::validate_replacement_policy(spec, &path.child("podReplacementPolicy")));
    errors.extend(pod_spec::validate_template(&spec.template, &path.child("template"), options));
    errors.extend(validate_restart_policy(spec, &path.child("template").child("spec").child("restartPolicy")));
    errors
}

fn validate_mode(spec: &JobSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    match spec.completion_mode.as_deref() {
        Some(INDEXED) => errors.extend(validate_indexed(spec, path)),
        None | Some(NON_INDEXED) => {
            let detail = "requires indexed completion mode";
            for (value, field) in
                [(spec.backoff_limit_per_index, "backoffLimitPerIndex"), (spec.max_failed_indexes, "maxFailedIndexes")]
            {
                errors.extend(value.map(|value| Error::invalid(&path.child(field), value, detail)));
            }
        }
        Some(mode) => {
            let path = path.child("completionMode");
            errors.push(Error::not_supported(&path, BadValue::json(mode), &[NON_INDEXED, INDEXED]));
        }
    }
    errors
}

fn validate_indexed(spec: &JobSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let parallelism_path = path.child("parallelism");
    let failed_path = path.child("maxFailedIndexes");
    if spec.completions.is_none() {
        errors.push(Error::required(&path.child("completions"), "when completion mode is Indexed"));
    }
    if let Some(parallelism) = spec.parallelism.filter(|parallelism| *parallelism > MAX_INDEXED_PARALLELISM) {
        let detail = format!("must be less than or equal to {MAX_INDEXED_PARALLELISM} when completion mode is Indexed");
        errors.push(Error::invalid(&parallelism_path, parallelism, detail));
    }
    if let (Some(completions), Some(failed)) = (spec.completions, spec.max_failed_indexes)
        && failed > completions
    {
        errors.push(Error::invalid(&failed_path, failed, "must be less than or equal to completions"));
    }
    if let Some(failed) = spec.max_failed_indexes.filter(|failed| *failed > MAX_FAILED_INDEXES) {
        let detail = format!("must be less than or equal to {MAX_FAILED_INDEXES}");
        errors.push(Error::invalid(&failed_path, failed, detail));
    }
    if spec.backoff_limit_per_index.is_none() || spec.completions.is_none_or(|number| number <= MANY_COMPLETIONS) {
        return errors;
    }
    if spec.max_failed_indexes.is_none() {
        let detail = format!("must be specified when completions is above {MANY_COMPLETIONS}");
        errors.push(Error::required(&failed_path, detail));
    }
    for (value, max, path) in [
        (spec.parallelism, MAX_PARALLELISM_FOR_MANY, &parallelism_path),
        (spec.max_failed_indexes, MAX_FAILED_INDEXES_FOR_MANY, &failed_path),
    ] {
        if let Some(value) = value.filter(|value| *value > max) {
            let detail = format!(
                "must be less than or equal to {max} when completions are above {MANY_COMPLETIONS} and used with backoff \
                 limit per index"
            );
            errors.push(Error::invalid(path, value, detail));
        }
    }
    errors
}

/// `Always` is what a template has that leaves it out, so that it counts as left out.
fn validate_restart_policy(spec: &JobSpec, path: &Path) -> Option<Error> {
    match spec.template.spec.as_ref().and_then(|pod| pod.restart_policy.as_deref()).unwrap_or_default() {
        "" | "Always" => Some(Error::required(path, "valid values: \"OnFailure\", \"Never\"")),
        "OnFailure" if spec.pod_failure_policy.is_some() => {
            let detail = "only \"Never\" is supported when podFailurePolicy is specified";
            Some(Error::invalid(path, BadValue::json("OnFailure"), detail))
        }
        "OnFailure" | "Never" => None,
        other => Some(Error::not_supported(path, BadValue::json(other), &["OnFailure", "Never"])),
    }
}
