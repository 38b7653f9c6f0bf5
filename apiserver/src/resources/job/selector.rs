//! How a Job tells its pods from others: labels with its name and identity, and a selector of the latter.
//!
//! Both are generated unless the Job states `manualSelector`. Labels that a client stated are left alone; if they are others
//! than would be generated, validation refuses them.

use std::collections::BTreeMap;

use api::field::{BadValue, Error, ErrorList, Path};
use api::selector::label::from_api;
use k8s_openapi::api::batch::v1::Job;

use super::{absent_spec, text};
use crate::resources::replica_template::shown_selector;

const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";
const JOB_NAME: &str = "batch.kubernetes.io/job-name";
/// The names that the labels had before they got a prefix. Both are written.
const LEGACY_CONTROLLER_UID: &str = "controller-uid";
const LEGACY_JOB_NAME: &str = "job-name";

type Labels = BTreeMap<String, String>;

/// A Job without labels of its own has those of its template. Those that are generated count among them, so that a new Job
/// gets its labels when they have been generated.
pub(super) fn default_labels(job: &mut Job) {
    if is_manual(job) || template_labels(job).is_some_and(|labels| labels.contains_key(CONTROLLER_UID)) {
        take_labels_of_template(job);
    }
}

/// Generates labels and selector of a new Job, if it wants that.
pub(super) fn generate(job: &mut Job) {
    if is_manual(job) {
        return;
    }
    let (name, uid) = (text(&job.metadata.name).to_owned(), text(&job.metadata.uid).to_owned());
    let spec = job.spec.get_or_insert_default();
    let labels = spec.template.metadata.get_or_insert_default().labels.get_or_insert_default();
    for (key, value) in
        [(LEGACY_JOB_NAME, &name), (JOB_NAME, &name), (LEGACY_CONTROLLER_UID, &uid), (CONTROLLER_UID, &uid)]
    {
        labels.entry(key.to_owned()).or_insert_with(|| value.clone());
    }
    let selected = spec.selector.get_or_insert_default().match_labels.get_or_insert_default();
    selected.entry(CONTROLLER_UID.to_owned()).or_insert(uid);
    take_labels_of_template(job);
}

/// Whether the template of `old` has the labels with a prefix; Jobs from before v1.27 have not.
pub(super) fn has_prefixed_labels(old: &Job) -> bool {
    let has = |key: &str| template_labels(old).is_some_and(|labels| labels.contains_key(key));
    has(JOB_NAME) && has(CONTROLLER_UID)
}

/// What is wrong with labels and selector that should be generated ones.
pub(super) fn validate(job: &Job, requires_prefixed: bool) -> ErrorList {
    let mut errors = ErrorList::new();
    let Some(selector) = job.spec.as_ref().and_then(|spec| spec.selector.as_ref()).filter(|_| !is_manual(job)) else {
        return errors;
    };
    let (name, uid) = (text(&job.metadata.name), text(&job.metadata.uid));
    if uid.is_empty() {
        errors.push(Error::required(&Path::new("metadata").child("uid"), ""));
    }
    let mut expected = vec![(LEGACY_CONTROLLER_UID, uid), (LEGACY_JOB_NAME, name)];
    if requires_prefixed {
        expected.extend([(CONTROLLER_UID, uid), (JOB_NAME, name)]);
    }
    let none = Labels::new();
    let labels = template_labels(job).unwrap_or(&none);
    let path = Path::new("spec").child("template").child("metadata").child("labels");
    for (key, value) in &expected {
        let detail = format!("must be '{value}'");
        match labels.get(*key) {
            None => errors.push(Error::required(&path.key(key), detail)),
            Some(stated) if stated != value => {
                errors.push(Error::invalid(&path.key(key), BadValue::json(labels), detail));
            }
            Some(_) => {}
        }
    }
    let expected: Labels = expected.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    if from_api(Some(selector)).is_ok_and(|selector| !selector.matches(&expected)) {
        let detail = "`selector` not auto-generated";
        errors.push(Error::invalid(&Path::new("spec").child("selector"), shown_selector(selector), detail));
    }
    errors
}

fn is_manual(job: &Job) -> bool {
    job.spec.as_ref().unwrap_or(absent_spec()).manual_selector == Some(true)
}

fn template_labels(job: &Job) -> Option<&Labels> {
    job.spec.as_ref()?.template.metadata.as_ref()?.labels.as_ref()
}

fn take_labels_of_template(job: &mut Job) {
    if job.metadata.labels.as_ref().is_none_or(Labels::is_empty)
        && let Some(labels) = template_labels(job).filter(|labels| !labels.is_empty())
    {
        job.metadata.labels = Some(labels.clone());
    }
}
