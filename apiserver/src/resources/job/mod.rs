//! Jobs: pods that run until enough of them have succeeded.

mod defaults;
mod indexes;
mod policies;
mod selector;
mod shown;
mod spec;
mod status;
mod table;
mod update;

use std::sync::LazyLock;

use api::field::{ErrorList, Path};
use k8s_openapi::api::batch::v1::{Job, JobSpec, JobStatus};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::{replica_template, semantic};
use crate::strategy::{Column, Context, Names, SelectableField, Strategy, UpdateSubresource};

pub(super) use defaults::set_in_template;
pub(super) use spec::validate_template_spec;
pub(super) use table::{SELECTOR_COLUMN, selector_cell};
pub(super) use update::template_options;

const INDEXED: &str = "Indexed";
const NON_INDEXED: &str = "NonIndexed";
const FAILED: &str = "Failed";
const TERMINATING_OR_FAILED: &str = "TerminatingOrFailed";

pub(crate) struct Jobs;

impl Strategy for Jobs {
    type Object = Job;

    fn names(&self) -> Names {
        Names::of::<Job>("job", true).within(&["all"])
    }

    fn default(&self, object: &mut Job) {
        defaults::set(object);
    }

    fn prepare_create(&self, object: &mut Job, _: Context<'_>) {
        selector::generate(object);
        drop_disabled(object.spec.get_or_insert_default());
        object.status = Some(JobStatus::default());
    }

    fn prepare_update(&self, new: &mut Job, old: &Job, _: Context<'_>) {
        drop_disabled(new.spec.get_or_insert_default());
        new.status = old.status.clone();
    }

    fn generation(&self) -> Option<fn(new: &Job, old: &Job) -> bool> {
        Some(|new, old| !semantic::equal(&new.spec, &old.spec))
    }

    fn validate(&self, object: &Job) -> ErrorList {
        spec::validate_job(object, &spec::Leniency::default())
    }

    fn validate_update(&self, new: &Job, old: &Job) -> ErrorList {
        update::validate(new, old)
    }

    fn warnings(&self, new: &Job, old: Option<&Job>) -> Vec<String> {
        if old.is_some_and(|old| semantic::equal(&new.spec, &old.spec)) {
            return Vec::new();
        }
        let mut warnings = Vec::new();
        if old.is_none() {
            warnings.extend(replica_template::name_warning(&new.metadata));
        }
        let old = old.and_then(|old| old.spec.as_ref());
        warnings.extend(spec_warnings(&Path::new("spec"), new.spec.as_ref().unwrap_or(absent_spec()), old));
        warnings
    }

    fn columns(&self) -> &'static [Column] {
        table::COLUMNS
    }

    fn row(&self, object: &Job, now: Timestamp) -> Vec<Value> {
        table::row(object, now)
    }

    fn selectable_fields(&self) -> &'static [SelectableField] {
        const { &[SelectableField { name: "status.successful", absent: "0", ..SelectableField::at("status.succeeded") }] }
    }

    fn updates(&self) -> Vec<UpdateSubresource<Job>> {
        vec![UpdateSubresource {
            name: "status",
            prepare: |new, old, _| new.spec = old.spec.clone(),
            validate: status::validate,
        }]
    }

    fn orphans_by_default(&self) -> Option<&'static str> {
        Some(
            "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or \
             set propagationPolicy=Orphan to suppress this warning",
        )
    }
}

/// What a client is warned of in a Job's spec at `path`, which may be that of a CronJob's template.
pub(super) fn spec_warnings(path: &Path, spec: &JobSpec, old: Option<&JobSpec>) -> Vec<String> {
    let mut warnings = Vec::new();
    let many = |number: Option<i32>, limit: i32| number.unwrap_or(0) > limit;
    if spec::is_indexed(spec)
        && many(spec.completions, spec::MANY_COMPLETIONS)
        && many(spec.parallelism, spec::MAX_PARALLELISM_FOR_MANY)
    {
        warnings.push(format!(
            "{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, \
             Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        ));
    }
    let old = old.map(|old| &old.template);
    warnings.extend(replica_template::template_warnings(&path.child("template"), &spec.template, old));
    warnings
}

/// Drops what is behind feature gates that are closed by default.
pub(super) fn drop_disabled(spec: &mut JobSpec) {
    // WorkloadWithJob
    spec.scheduling = None;
}

/// The spec of an object that has none: Go cannot tell it from an empty one.
fn absent_spec() -> &'static JobSpec {
    static ABSENT: LazyLock<JobSpec> = LazyLock::new(JobSpec::default);
    &ABSENT
}

fn text(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests;
