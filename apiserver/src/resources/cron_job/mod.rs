//! CronJobs: Jobs that are made of a template when a schedule says so.

use api::cron::{Schedule, validate_time_zone};
use api::field::{BadValue, Error, ErrorList, Path};
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, CronJobStatus, JobSpec};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::pod_spec::Options;
use super::replica_template::{self, CONTAINERS_COLUMN, IMAGES_COLUMN, container_cells, validate_non_negative};
use super::{job, semantic};
use crate::strategy::{AGE_COLUMN, Column, Context, NAME_COLUMN, Names, Strategy, UpdateSubresource};

const CONCURRENCY_POLICIES: [&str; 3] = ["Allow", "Forbid", "Replace"];
/// The names of its Jobs have eleven bytes more, and must be DNS labels.
const MAX_NAME_BYTES: usize = 52;
/// What a schedule has that states its own time zone.
const ZONE_MARK: &str = "TZ";

pub(crate) struct CronJobs;

impl Strategy for CronJobs {
    type Object = CronJob;

    fn names(&self) -> Names {
        Names::of::<CronJob>("cronjob", true).short(&["cj"]).within(&["all"])
    }

    fn default(&self, object: &mut CronJob) {
        let spec = &mut object.spec;
        if spec.concurrency_policy.as_deref().unwrap_or_default().is_empty() {
            spec.concurrency_policy = Some("Allow".to_owned());
        }
        spec.suspend.get_or_insert(false);
        spec.successful_jobs_history_limit.get_or_insert(3);
        spec.failed_jobs_history_limit.get_or_insert(1);
        job::set_in_template(spec.job_template.spec.get_or_insert_default());
    }

    fn prepare_create(&self, object: &mut CronJob, _: Context<'_>) {
        drop_disabled(object);
        object.status = Some(CronJobStatus::default());
    }

    fn prepare_update(&self, new: &mut CronJob, old: &CronJob, _: Context<'_>) {
        drop_disabled(new);
        new.status = old.status.clone();
    }

    fn generation(&self) -> Option<fn(new: &CronJob, old: &CronJob) -> bool> {
        Some(|new, old| !semantic::equal(&new.spec, &old.spec))
    }

    fn validate(&self, object: &CronJob) -> ErrorList {
        let mut errors = validate_spec(&object.spec, None, &Path::new("spec"));
        let name = object.metadata.name.as_deref().unwrap_or_default();
        if name.len() > MAX_NAME_BYTES {
            let detail = format!("must be no more than {MAX_NAME_BYTES} characters");
            errors.push(Error::invalid(&Path::new("metadata").child("name"), name, detail));
        }
        errors
    }

    fn validate_update(&self, new: &CronJob, old: &CronJob) -> ErrorList {
        validate_spec(&new.spec, Some(&old.spec), &Path::new("spec"))
    }

    fn warnings(&self, new: &CronJob, old: Option<&CronJob>) -> Vec<String> {
        let mut warnings = Vec::new();
        if old.is_none() {
            warnings.extend(replica_template::name_warning(&new.metadata));
        }
        let spec = &new.spec;
        if old.is_none_or(|old| !semantic::equal(&new.spec, &old.spec)) {
            let path = Path::new("spec").child("jobTemplate").child("spec");
            let old = old.and_then(|old| old.spec.job_template.spec.as_ref());
            warnings.extend(job::spec_warnings(&path, &template(spec), old));
        }
        if old.is_some() && spec.schedule.contains(ZONE_MARK) {
            // Upstream says `spec` twice.
            warnings.push(
                "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see \
                 https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
                    .to_owned(),
            );
        }
        warnings
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &CronJob, now: Timestamp) -> Vec<Value> {
        let spec = object.spec.clone();
        let status = object.status.clone().unwrap_or_default();
        let job = template(&spec);
        let [containers, images] = container_cells(&job.template);
        let suspend = match spec.suspend {
            None => "<unset>",
            Some(true) => "True",
            Some(false) => "False",
        };
        let last = status.last_schedule_time.as_ref().map(|last| api::duration::age(Some(last), now));
        vec![
            object.metadata.name.clone().into(),
            spec.schedule.into(),
            spec.time_zone.unwrap_or("<none>".to_owned()).into(),
            suspend.into(),
            status.active.map_or(0, |active| active.len()).into(),
            last.unwrap_or("<none>".to_owned()).into(),
            api::duration::age(object.metadata.creation_timestamp.as_ref(), now).into(),
            containers,
            images,
            job::selector_cell(job.selector.as_ref()),
        ]
    }

    fn updates(&self) -> Vec<UpdateSubresource<CronJob>> {
        vec![UpdateSubresource {
            name: "status",
            prepare: |new, old, _| new.spec = old.spec.clone(),
            validate: |_, _| ErrorList::new(),
        }]
    }
}

const COLUMNS: &[Column] = &[
    NAME_COLUMN,
    Column::new("Schedule", "The schedule in Cron format, see https://en.wikipedia.org/wiki/Cron."),
    Column::new(
        "Timezone",
        "The time zone name for the given schedule, see https://en.wikipedia.org/wiki/List_of_tz_database_time_zones. If not \
         specified, this will default to the time zone of the kube-controller-manager process. The set of valid time zone \
         names and the time zone offset is loaded from the system-wide time zone database by the API server during CronJob \
         validation and the controller manager during execution. If no system-wide time zone database can be found a bundled \
         version of the database is used instead. If the time zone name becomes invalid during the lifetime of a CronJob or \
         due to a change in host configuration, the controller will stop creating new new Jobs and will create a system \
         event with the reason UnknownTimeZone. More information can be found in \
         https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#time-zones",
    ),
    Column::new(
        "Suspend",
        "This flag tells the controller to suspend subsequent executions, it does not apply to already started executions.  \
         Defaults to false.",
    )
    .of_type("boolean"),
    Column::new("Active", "A list of pointers to currently running jobs.").of_type("integer"),
    Column::new("Last Schedule", "Information when was the last time the job was successfully scheduled."),
    AGE_COLUMN,
    CONTAINERS_COLUMN,
    IMAGES_COLUMN,
    job::SELECTOR_COLUMN,
];

fn template(spec: &CronJobSpec) -> JobSpec {
    spec.job_template.spec.clone().unwrap_or_default()
}

fn drop_disabled(object: &mut CronJob) {
    job::drop_disabled(object.spec.job_template.spec.get_or_insert_default());
}

fn validate_spec(spec: &CronJobSpec, old: Option<&CronJobSpec>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let schedule_path = path.child("schedule");
    if spec.schedule.is_empty() {
        errors.push(Error::required(&schedule_path, ""));
    } else {
        let zone_allowed = old.is_some_and(|old| old.schedule.contains(ZONE_MARK));
        errors.extend(validate_schedule(spec, zone_allowed, &schedule_path));
    }
    let non_negative = |value: Option<i64>, field: &str| validate_non_negative(value?, &path.child(field));
    errors.extend(non_negative(spec.starting_deadline_seconds, "startingDeadlineSeconds"));
    if let Some(zone) = &spec.time_zone
        && old.is_none_or(|old| old.time_zone != spec.time_zone)
    {
        errors.push_invalid(&path.child("timeZone"), zone, validate_time_zone(zone));
    }
    let policy_path = path.child("concurrencyPolicy");
    match spec.concurrency_policy.as_deref().unwrap_or_default() {
        "" => errors.push(Error::required(&policy_path, "")),
        policy if CONCURRENCY_POLICIES.contains(&policy) => {}
        policy => errors.push(Error::not_supported(&policy_path, BadValue::json(policy), &CONCURRENCY_POLICIES)),
    }
    let options = old.map_or_else(Options::default, |old| job::template_options(&template(old).template));
    let template_path = path.child("jobTemplate").child("spec");
    errors.extend(job::validate_template_spec(&template(spec), &template_path, &options));
    errors.extend(non_negative(spec.successful_jobs_history_limit.map(i64::from), "successfulJobsHistoryLimit"));
    errors.extend(non_negative(spec.failed_jobs_history_limit.map(i64::from), "failedJobsHistoryLimit"));
    errors
}

/// A schedule may state a time zone only if it did before there was a field for that.
fn validate_schedule(spec: &CronJobSpec, zone_allowed: bool, path: &Path) -> ErrorList {
    let schedule = &spec.schedule;
    let mut errors: ErrorList =
        Schedule::parse(schedule).err().into_iter().map(|why| Error::invalid(path, schedule, why)).collect();
    let states_zone = schedule.contains(ZONE_MARK);
    if states_zone && !zone_allowed {
        let detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
        errors.push(Error::invalid(path, schedule, detail));
    } else if states_zone && spec.time_zone.is_some() {
        let detail = "cannot use both timeZone field and TZ or CRON_TZ in schedule";
        errors.push(Error::invalid(path, schedule, detail));
    }
    errors
}

#[cfg(test)]
mod tests;
