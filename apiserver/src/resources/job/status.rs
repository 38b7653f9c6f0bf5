//! What the status of a Job may say, and how it may change. Controllers other than ours may write it (`managedBy`), and
//! clients rely on it: a Job that has ended stays so, and counts do not go back.
//!
//! Most rules are looked at only when what they are about has changed, so that a status that broke one before can still be
//! written, and so that a controller has time to follow a change of the spec.

use std::collections::HashSet;

use api::field::{BadValue, Error, ErrorList, Path};
use k8s_openapi::api::batch::v1::{Job, JobSpec, JobStatus, UncountedTerminatedPods};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::spec::is_indexed;
use super::{absent_spec, indexes, shown, text};
use crate::resources::replica_template::validate_non_negative;

pub(super) const COMPLETE: &str = "Complete";
pub(super) const FAILED: &str = "Failed";
pub(super) const SUSPENDED: &str = "Suspended";
pub(super) const FAILURE_TARGET: &str = "FailureTarget";
pub(super) const SUCCESS_CRITERIA_MET: &str = "SuccessCriteriaMet";

/// Whether the status has this condition.
pub(super) fn is_true(status: Option<&JobStatus>, condition: &str) -> bool {
    let mut conditions = status.into_iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|found| found.type_ == condition && found.status == "True")
}

pub(super) fn validate(new: &Job, old: &Job) -> ErrorList {
    let (none, spec) = (JobStatus::default(), new.spec.as_ref().unwrap_or(absent_spec()));
    let change = Change {
        spec,
        new: new.status.as_ref().unwrap_or(&none),
        old: old.status.as_ref().unwrap_or(&none),
        path: Path::new("status"),
    };
    let mut errors = change.counts();
    errors.extend(change.ending());
    errors.extend(change.finished());
    errors.extend(change.indexes());
    errors.extend(change.after_indexes());
    errors.extend(change.success_criteria());
    errors.extend(change.regressions());
    errors
}

struct Change<'a> {
    spec: &'a JobSpec,
    new: &'a JobStatus,
    old: &'a JobStatus,
    path: Path,
}

impl Change<'_> {
    fn has(&self, condition: &str) -> bool {
        is_true(Some(self.new), condition)
    }

    fn had(&self, condition: &str) -> bool {
        is_true(Some(self.old), condition)
    }

    fn changed(&self, condition: &str) -> bool {
        self.has(condition) != self.had(condition)
    }

    fn is_finished(&self) -> bool {
        self.has(COMPLETE) || self.has(FAILED)
    }

    fn finished_changed(&self) -> bool {
        self.is_finished() != (self.had(COMPLETE) || self.had(FAILED))
    }

    fn of_conditions(&self, detail: impl Into<String>) -> Error {
        Error::invalid(&self.path.child("conditions"), BadValue::Omitted, detail)
    }

    fn counts(&self) -> ErrorList {
        let mut errors = ErrorList::new();
        let status = self.new;
        for (value, field) in [
            (status.active, "active"),
            (status.succeeded, "succeeded"),
            (status.failed, "failed"),
            (status.ready, "ready"),
            (status.terminating, "terminating"),
        ] {
            errors.extend(validate_non_negative(value.unwrap_or(0).into(), &self.path.child(field)));
        }
        if let Some(uncounted) = &status.uncounted_terminated_pods {
            let path = self.path.child("uncountedTerminatedPods");
            let mut seen = HashSet::new();
            for (pods, field) in [(&uncounted.succeeded, "succeeded"), (&uncounted.failed, "failed")] {
                for (i, pod) in pods.iter().flatten().enumerate() {
                    let path = path.child(field).index(i);
                    if pod.is_empty() {
                        errors.push(Error::invalid(&path, BadValue::json(pod), "must not be empty"));
                    } else if !seen.insert(pod) {
                        errors.push(Error::duplicate(&path, BadValue::json(pod)));
                    }
                }
            }
        }
        errors
    }

    /// The conditions that end a Job, and the times.
    fn ending(&self) -> ErrorList {
        let mut errors = ErrorList::new();
        let (complete, complete_changed) = (self.has(COMPLETE), self.changed(COMPLETE));
        if (complete_changed || self.changed(FAILED)) && complete && self.has(FAILED) {
            errors.push(self.of_conditions("cannot set Complete=True and Failed=true conditions"));
        }
        if (complete_changed || self.changed(FAILURE_TARGET)) && complete && self.has(FAILURE_TARGET) {
            errors.push(self.of_conditions("cannot set Complete=True and FailureTarget=true conditions"));
        }
        let path = self.path.child("completionTime");
        let (start, end) = (&self.new.start_time, &self.new.completion_time);
        let end_changed = *end != self.old.completion_time;
        if complete_changed || end_changed {
            if end.is_some() && !complete {
                let detail = "cannot set completionTime when there is no Complete=True condition";
                errors.push(Error::invalid(&path, BadValue::json(end), detail));
            }
            if end.is_none() && complete {
                errors.push(Error::required(&path, "completionTime is required for Complete jobs"));
            }
        }
        let before = |end: &Option<Time>, start: &Option<Time>| Some(end.as_ref()?.0 < start.as_ref()?.0);
        if (end_changed || *start != self.old.start_time) && before(end, start) == Some(true) {
            let detail = "completionTime cannot be set before startTime";
            errors.push(Error::invalid(&path, BadValue::json(end), detail));
        }
        if (self.changed(FAILED) || self.changed(FAILURE_TARGET)) && self.has(FAILED) && !self.has(FAILURE_TARGET) {
            errors
                .push(self.of_conditions("cannot set Failed=True condition without the FailureTarget=true condition"));
        }
        if (complete_changed || self.changed(SUCCESS_CRITERIA_MET)) && complete && !self.has(SUCCESS_CRITERIA_MET) {
            let detail = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition";
            errors.push(self.of_conditions(detail));
        }
        errors
    }

    /// What a Job that has ended has no more, and what it must have had.
    fn finished(&self) -> ErrorList {
        let mut errors = ErrorList::new();
        if !self.is_finished() {
            return errors;
        }
        let (new, old, finished_changed) = (self.new, self.old, self.finished_changed());
        let active = new.active.unwrap_or(0);
        if (finished_changed || active != old.active.unwrap_or(0)) && active > 0 {
            errors.push(Error::invalid(&self.path.child("active"), active, "active>0 is invalid for finished job"));
        }
        if (finished_changed || new.start_time != old.start_time) && new.start_time.is_none() {
            errors.push(Error::required(&self.path.child("startTime"), "startTime is required for finished job"));
        }
        let count = |pods: &UncountedTerminatedPods| {
            let count = |pods: &Option<Vec<String>>| pods.as_ref().map_or(0, Vec::len);
            count(&pods.failed) + count(&pods.succeeded)
        };
        let changed = finished_changed || new.uncounted_terminated_pods != old.uncounted_terminated_pods;
        if let Some(pods) = new.uncounted_terminated_pods.as_ref().filter(|pods| changed && count(pods) > 0) {
            let detail = "uncountedTerminatedPods needs to be empty for finished job";
            let path = self.path.child("uncountedTerminatedPods");
            errors.push(Error::invalid(&path, shown::uncounted_pods(pods), detail));
        }
        errors
    }

    fn indexes(&self) -> ErrorList {
        let mut errors = ErrorList::new();
        let (completed, failed) = (text(&self.new.completed_indexes), self.new.failed_indexes.as_deref());
        let completed_changed = completed != text(&self.old.completed_indexes);
        let failed_changed = failed != self.old.failed_indexes.as_deref();
        let (completed_path, failed_path) = (self.path.child("completedIndexes"), self.path.child("failedIndexes"));
        let limit = self.spec.backoff_limit_per_index;
        if let Some(completions) = self.spec.completions {
            if completed_changed && let Err(why) = indexes::count(completed, completions) {
                let detail = format!("error parsing completedIndexes: {why}");
                errors.push(Error::invalid(&completed_path, completed, detail));
            }
            if let Some(failed) = failed.filter(|_| failed_changed && limit.is_some())
                && let Err(why) = indexes::count(failed, completions)
            {
                errors.push(Error::invalid(&failed_path, failed, format!("error parsing failedIndexes: {why}")));
            }
        }
        if completed_changed && !completed.is_empty() && !is_indexed(self.spec) {
            let detail = "cannot set non-empty completedIndexes when non-indexed completion mode";
            errors.push(Error::invalid(&completed_path, completed, detail));
        }
        let Some(failed) = failed else { return errors };
        if failed_changed && limit.is_none() {
            let detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
            errors.push(Error::invalid(&failed_path, failed, detail));
        }
        if (failed_changed || completed_changed)
            && let Some(completions) = self.spec.completions
            && let Some(index) = indexes::overlap(completed, failed, completions)
        {
            let detail = format!("failedIndexes and completedIndexes overlap at index: {index}");
            errors.push(Error::invalid(&failed_path, failed, detail));
        }
        errors
    }

    fn after_indexes(&self) -> ErrorList {
        let mut errors = ErrorList::new();
        let (new, old) = (self.new, self.old);
        let terminating = new.terminating.unwrap_or(0);
        let changed = self.finished_changed() || new.terminating != old.terminating;
        if changed && terminating > 0 && self.is_finished() {
            let detail = "terminating>0 is invalid for finished job";
            errors.push(Error::invalid(&self.path.child("terminating"), terminating, detail));
        }
        let active = new.active.unwrap_or(0);
        let changed = new.ready != old.ready || active != old.active.unwrap_or(0);
        if let Some(ready) = new.ready.filter(|ready| changed && *ready > active) {
            let detail = "cannot set more ready pods than active";
            errors.push(Error::invalid(&self.path.child("ready"), ready, detail));
        }
        errors
    }

    fn success_criteria(&self) -> ErrorList {
        let mut errors = ErrorList::new();
        let met = self.has(SUCCESS_CRITERIA_MET);
        if met && self.has(FAILED) {
            errors.push(self.of_conditions("cannot set SuccessCriteriaMet=True and Failed=true conditions"));
        }
        if met && self.has(FAILURE_TARGET) {
            errors.push(self.of_conditions("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"));
        }
        if self.spec.success_policy.is_some() && !met && self.has(COMPLETE) {
            let detail = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True";
            errors.push(self.of_conditions(detail));
        }
        errors
    }

    /// What may not be taken back (the rest of upstream's `ValidateJobStatusUpdate`).
    fn regressions(&self) -> ErrorList {
        let mut errors = ErrorList::new();
        for condition in [FAILED, COMPLETE, FAILURE_TARGET] {
            if self.had(condition) && !self.has(condition) {
                errors.push(self.of_conditions(format!("cannot disable the terminal {condition}=True condition")));
            }
        }
        let (new, old) = (self.new, self.old);
        let failed = new.failed.unwrap_or(0);
        if failed < old.failed.unwrap_or(0) {
            errors.push(Error::invalid(&self.path.child("failed"), failed, "cannot decrease the failed counter"));
        }
        // A Job that runs all its indexes at once can be scaled down.
        let scales = is_indexed(self.spec) && self.spec.completions == self.spec.parallelism;
        let succeeded = new.succeeded.unwrap_or(0);
        if !scales && succeeded < old.succeeded.unwrap_or(0) {
            let detail = "cannot decrease the succeeded counter";
            errors.push(Error::invalid(&self.path.child("succeeded"), succeeded, detail));
        }
        if new.completion_time.is_some() && old.completion_time.is_some() && new.completion_time != old.completion_time
        {
            let shown = BadValue::json(&new.completion_time);
            errors.push(Error::invalid(&self.path.child("completionTime"), shown, "completionTime cannot be mutated"));
        }
        let runs = self.spec.suspend != Some(true);
        if runs && old.start_time.is_some() && new.start_time != old.start_time {
            let detail = "startTime cannot be removed for unsuspended job";
            errors.push(Error::required(&self.path.child("startTime"), detail));
        }
        if self.had(SUCCESS_CRITERIA_MET) && !self.has(SUCCESS_CRITERIA_MET) {
            errors.push(self.of_conditions("cannot disable the SuccessCriteriaMet=True condition"));
        }
        if self.had(COMPLETE) && !self.had(SUCCESS_CRITERIA_MET) && self.has(SUCCESS_CRITERIA_MET) {
            let detail = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
            errors.push(self.of_conditions(detail));
        }
        errors
    }
}
