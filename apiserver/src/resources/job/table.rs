//! How a Job is shown in a table.

use api::selector::label::from_api;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::{absent_spec, status};
use crate::resources::replica_template::{CONTAINERS_COLUMN, IMAGES_COLUMN, container_cells};
use crate::strategy::{AGE_COLUMN, Column, NAME_COLUMN};

/// The column of the selector, which a CronJob has, too.
pub(crate) const SELECTOR_COLUMN: Column = Column::new(
    "Selector",
    "A label query over pods that should match the pod count. Normally, the system sets this field for you. More info: \
     https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors",
)
.wide();

pub(super) const COLUMNS: &[Column] = &[
    NAME_COLUMN,
    Column::new("Status", "Status of the job."),
    Column::new(
        "Completions",
        "The number of pods which reached phase Succeeded. The value increases monotonically for a given spec. However, it \
         may decrease in reaction to scale down of elastic indexed jobs.",
    ),
    Column::new("Duration", "Time required to complete the job."),
    AGE_COLUMN,
    CONTAINERS_COLUMN,
    IMAGES_COLUMN,
    SELECTOR_COLUMN,
];

pub(super) fn row(job: &Job, now: Timestamp) -> Vec<Value> {
    let spec = job.spec.as_ref().unwrap_or(absent_spec());
    let [containers, images] = container_cells(&spec.template);
    vec![
        job.metadata.name.clone().into(),
        state(job).into(),
        completions(job).into(),
        duration(job, now).into(),
        api::duration::age(job.metadata.creation_timestamp.as_ref(), now).into(),
        containers,
        images,
        selector_cell(spec.selector.as_ref()),
    ]
}

/// A selector in a table (upstream's `FormatLabelSelector`).
pub(crate) fn selector_cell(selector: Option<&LabelSelector>) -> Value {
    match from_api(selector) {
        Err(_) => "<error>".into(),
        Ok(selector) => {
            Some(selector.to_string()).filter(|text| !text.is_empty()).unwrap_or("<none>".to_owned()).into()
        }
    }
}

fn state(job: &Job) -> &'static str {
    let is = |condition: &str| status::is_true(job.status.as_ref(), condition);
    let ends = [status::COMPLETE, status::FAILED].into_iter().find(|condition| is(condition));
    if let Some(end) = ends {
        return end;
    }
    if job.metadata.deletion_timestamp.is_some() {
        return "Terminating";
    }
    let states = [status::SUSPENDED, status::FAILURE_TARGET, status::SUCCESS_CRITERIA_MET];
    states.into_iter().find(|condition| is(condition)).unwrap_or("Running")
}

fn completions(job: &Job) -> String {
    let succeeded = job.status.as_ref().and_then(|status| status.succeeded).unwrap_or(0);
    let spec = job.spec.as_ref().unwrap_or(absent_spec());
    match (spec.completions, spec.parallelism.unwrap_or(0)) {
        (Some(completions), _) => format!("{succeeded}/{completions}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    }
}

fn duration(job: &Job, now: Timestamp) -> String {
    let Some(status) = &job.status else { return String::new() };
    let Some(start) = &status.start_time else { return String::new() };
    let end = status.completion_time.as_ref().map_or(now, |end| end.0);
    api::duration::human(end.duration_since(start.0).as_secs())
}
