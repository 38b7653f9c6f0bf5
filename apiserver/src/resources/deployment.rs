//! Deployments: pods of one template that are replaced step by step when the template changes.

use api::field::{BadValue, Error, ErrorList, Path};
use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStatus, DeploymentStrategy, RollingUpdateDeployment,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::replica_template::{self, CONTAINERS_COLUMN, IMAGES_COLUMN, validate_non_negative};
use super::{int_or_percent, pod_spec, replica_status, semantic};
use crate::strategy::{AGE_COLUMN, Column, Context, NAME_COLUMN, Names, ScaleSubresource, Strategy, UpdateSubresource};

const ROLLING_UPDATE: &str = "RollingUpdate";
const RECREATE: &str = "Recreate";

pub(crate) struct Deployments;

impl Strategy for Deployments {
    type Object = Deployment;

    fn names(&self) -> Names {
        Names::of::<Deployment>("deployment", true).short(&["deploy"]).within(&["all"])
    }

    fn default(&self, object: &mut Deployment) {
        let spec = &mut object.spec;
        spec.replicas.get_or_insert(1);
        spec.revision_history_limit.get_or_insert(10);
        spec.progress_deadline_seconds.get_or_insert(600);
        default_strategy(spec.strategy.get_or_insert_default());
        pod_spec::set_template_defaults(&mut spec.template);
    }

    fn prepare_create(&self, object: &mut Deployment, _: Context<'_>) {
        object.status = Some(DeploymentStatus::default());
    }

    fn prepare_update(&self, new: &mut Deployment, old: &Deployment, _: Context<'_>) {
        new.status = old.status.clone();
    }

    /// Annotations count, since they are copied to the Deployment's ReplicaSets.
    fn generation(&self) -> Option<fn(new: &Deployment, old: &Deployment) -> bool> {
        Some(|new, old| {
            let annotations = |deployment: &Deployment| deployment.metadata.annotations.clone().unwrap_or_default();
            !semantic::equal(&new.spec, &old.spec) || annotations(new) != annotations(old)
        })
    }

    fn validate(&self, object: &Deployment) -> ErrorList {
        validate_spec(&object.spec, None)
    }

    fn validate_update(&self, new: &Deployment, old: &Deployment) -> ErrorList {
        let (new, old) = (&new.spec, &old.spec);
        let mut errors = validate_spec(new, Some(old));
        let path = Path::new("spec").child("selector");
        errors.extend(replica_template::validate_same_selector(&new.selector, &old.selector, &path));
        errors
    }

    fn warnings(&self, new: &Deployment, old: Option<&Deployment>) -> Vec<String> {
        if old.is_some_and(|old| semantic::equal(&new.spec, &old.spec)) {
            return Vec::new();
        }
        replica_template::warnings(&new.metadata, &new.spec.template, old.map(|old| &old.spec.template))
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &Deployment, now: Timestamp) -> Vec<Value> {
        let spec = &object.spec;
        let status = object.status.clone().unwrap_or_default();
        let [containers, images] = replica_template::container_cells(&spec.template);
        let desired = spec.replicas.unwrap_or(0);
        let selector = replica_template::selector_text(&spec.selector);
        vec![
            object.metadata.name.clone().into(),
            format!("{}/{desired}", status.ready_replicas.unwrap_or(0)).into(),
            status.updated_replicas.unwrap_or(0).into(),
            status.available_replicas.unwrap_or(0).into(),
            api::duration::age(object.metadata.creation_timestamp.as_ref(), now).into(),
            containers,
            images,
            selector.into(),
        ]
    }

    fn updates(&self) -> Vec<UpdateSubresource<Deployment>> {
        vec![UpdateSubresource {
            name: "status",
            prepare: |new, old, _| {
                new.spec = old.spec.clone();
                new.metadata.labels = old.metadata.labels.clone();
            },
            validate: |new, old| {
                let status = |deployment: &Deployment| deployment.status.clone().unwrap_or_default();
                validate_status_update(&status(new), &status(old), &Path::new("status"))
            },
        }]
    }

    fn scale(&self) -> Option<ScaleSubresource<Deployment>> {
        Some(ScaleSubresource {
            replicas: |deployment| deployment.spec.replicas.unwrap_or(0),
            set_replicas: |deployment, replicas| deployment.spec.replicas = Some(replicas),
            status_replicas: |deployment| deployment.status.as_ref().and_then(|status| status.replicas).unwrap_or(0),
            selector: |deployment| replica_template::selector_text(&deployment.spec.selector),
        })
    }
}

const COLUMNS: &[Column] = &[
    NAME_COLUMN,
    Column::new("Ready", "Number of the pod with ready state"),
    Column::new(
        "Up-to-date",
        "Total number of non-terminating pods targeted by this deployment that have the desired template spec.",
    ),
    Column::new(
        "Available",
        "Total number of available non-terminating pods (ready for at least minReadySeconds) targeted by this deployment.",
    ),
    AGE_COLUMN,
    CONTAINERS_COLUMN,
    IMAGES_COLUMN,
    Column::new(
        "Selector",
        "Label selector for pods. Existing ReplicaSets whose pods are selected by this will be the ones affected by this \
         deployment. It must match the pod template's labels.",
    )
    .wide(),
];

fn default_strategy(strategy: &mut DeploymentStrategy) {
    let kind = strategy.type_.take().filter(|kind| !kind.is_empty()).unwrap_or_else(|| ROLLING_UPDATE.to_owned());
    if kind == ROLLING_UPDATE {
        let quarter = || IntOrString::String("25%".to_owned());
        let rolling = strategy.rolling_update.get_or_insert_default();
        rolling.max_surge.get_or_insert_with(quarter);
        rolling.max_unavailable.get_or_insert_with(quarter);
    }
    strategy.type_ = Some(kind);
}

fn validate_spec(spec: &DeploymentSpec, old: Option<&DeploymentSpec>) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = ErrorList::new();
    let non_negative = |value: Option<i32>, field: &str, errors: &mut ErrorList| {
        errors.extend(validate_non_negative(value.unwrap_or(0).into(), &path.child(field)));
    };
    non_negative(spec.replicas, "replicas", &mut errors);
    errors.extend(replica_template::validate(&spec.selector, &spec.template, old.map(|old| &old.template), &path));
    let strategy = spec.strategy.clone().unwrap_or_default();
    errors.extend(validate_strategy(&strategy, &path.child("strategy")));
    non_negative(spec.min_ready_seconds, "minReadySeconds", &mut errors);
    non_negative(spec.revision_history_limit, "revisionHistoryLimit", &mut errors);
    non_negative(spec.progress_deadline_seconds, "progressDeadlineSeconds", &mut errors);
    if let Some(deadline) = spec.progress_deadline_seconds
        && deadline <= spec.min_ready_seconds.unwrap_or(0)
    {
        let detail = "must be greater than minReadySeconds";
        errors.push(Error::invalid(&path.child("progressDeadlineSeconds"), deadline, detail));
    }
    errors
}

fn validate_strategy(strategy: &DeploymentStrategy, path: &Path) -> ErrorList {
    let rolling_path = path.child("rollingUpdate");
    match (strategy.type_.as_deref().unwrap_or_default(), &strategy.rolling_update) {
        (RECREATE, None) => ErrorList::new(),
        (RECREATE, Some(_)) => {
            let detail = "may not be specified when strategy `type` is 'Recreate'";
            Error::forbidden(&rolling_path, detail).into()
        }
        (ROLLING_UPDATE, None) => Error::required(&rolling_path, "this should be defaulted and never be nil").into(),
        (ROLLING_UPDATE, Some(rolling)) => validate_rolling_update(rolling, &rolling_path),
        (other, rolling) => {
            let shown = rolling.as_ref().map(|rolling| {
                int_or_percent::shown_rolling_update(rolling.max_unavailable.as_ref(), rolling.max_surge.as_ref())
            });
            let shown = int_or_percent::shown_strategy(other, shown);
            Error::not_supported(path, shown, &[RECREATE, ROLLING_UPDATE]).into()
        }
    }
}

fn validate_rolling_update(rolling: &RollingUpdateDeployment, path: &Path) -> ErrorList {
    let zero = IntOrString::Int(0);
    let unavailable = rolling.max_unavailable.as_ref().unwrap_or(&zero);
    let surge = rolling.max_surge.as_ref().unwrap_or(&zero);
    let unavailable_path = path.child("maxUnavailable");
    let mut errors = int_or_percent::validate(unavailable, &unavailable_path);
    errors.extend(int_or_percent::validate(surge, &path.child("maxSurge")));
    if int_or_percent::number(unavailable) == 0 && int_or_percent::number(surge) == 0 {
        let detail = "may not be 0 when `maxSurge` is 0";
        errors.push(Error::invalid(&unavailable_path, BadValue::json(unavailable), detail));
    }
    errors.extend(int_or_percent::validate_at_most_all(unavailable, &unavailable_path));
    errors
}

fn validate_status_update(new: &DeploymentStatus, old: &DeploymentStatus, path: &Path) -> ErrorList {
    let mut errors = validate_status(new, path);
    errors.extend(replica_status::not_decremented(new.collision_count, old.collision_count, path));
    errors
}

fn validate_status(status: &DeploymentStatus, path: &Path) -> ErrorList {
    let number = |number: Option<i32>| i64::from(number.unwrap_or(0));
    let total = number(status.replicas);
    let (updated, ready) = (number(status.updated_replicas), number(status.ready_replicas));
    let available = number(status.available_replicas);
    let mut errors = replica_status::non_negative(
        &[
            ("observedGeneration", status.observed_generation.unwrap_or(0)),
            ("replicas", total),
            ("updatedReplicas", updated),
            ("readyReplicas", ready),
            ("availableReplicas", available),
            ("unavailableReplicas", number(status.unavailable_replicas)),
            ("terminatingReplicas", number(status.terminating_replicas)),
            ("collisionCount", number(status.collision_count)),
        ],
        path,
    );
    let parts = [("updatedReplicas", updated), ("readyReplicas", ready), ("availableReplicas", available)];
    errors.extend(replica_status::at_most(&parts, total, "status.replicas", path));
    errors.extend(replica_status::at_most(&[("availableReplicas", available)], ready, "readyReplicas", path));
    errors
}

#[cfg(test)]
mod tests;
