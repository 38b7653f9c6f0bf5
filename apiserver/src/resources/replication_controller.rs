//! ReplicationControllers: so many pods of one template, as before there were ReplicaSets. Their selector is a map of labels.

use api::field::{BadValue, Error, ErrorList, ErrorType, Path};
use api::selector::label::Selector;
use k8s_openapi::api::core::v1::{
    PodTemplateSpec, ReplicationController, ReplicationControllerSpec, ReplicationControllerStatus,
};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::replica_template::{self, CONTAINERS_COLUMN, IMAGES_COLUMN, validate_non_negative};
use super::{pod_spec, replica_status, semantic};
use crate::strategy::{
    AGE_COLUMN, Column, Context, NAME_COLUMN, Names, ScaleSubresource, SelectableField, Strategy, UpdateSubresource,
};

/// Annotations with this prefix name fields that an older version of the API could not state.
const NON_CONVERTIBLE: &str = "non-convertible.kubernetes.io";

pub(crate) struct ReplicationControllers;

impl Strategy for ReplicationControllers {
    type Object = ReplicationController;

    fn names(&self) -> Names {
        Names::of::<ReplicationController>("replicationcontroller", true).short(&["rc"]).within(&["all"])
    }

    /// The template's labels are the selector and the controller's own labels unless those are stated.
    fn default(&self, object: &mut ReplicationController) {
        object.status.get_or_insert_default();
        let spec = object.spec.get_or_insert_default();
        if let Some(template) = &mut spec.template {
            let labels = template.metadata.as_ref().and_then(|meta| meta.labels.as_ref());
            if let Some(labels) = labels.filter(|labels| !labels.is_empty()) {
                for field in [&mut spec.selector, &mut object.metadata.labels] {
                    if field.as_ref().is_none_or(|labels| labels.is_empty()) {
                        *field = Some(labels.clone());
                    }
                }
            }
            pod_spec::set_template_defaults(template);
        }
        spec.replicas.get_or_insert(1);
    }

    fn prepare_create(&self, object: &mut ReplicationController, _: Context<'_>) {
        object.status = Some(ReplicationControllerStatus::default());
    }

    fn prepare_update(&self, new: &mut ReplicationController, old: &ReplicationController, _: Context<'_>) {
        new.status = old.status.clone();
    }

    fn generation(&self) -> Option<fn(new: &ReplicationController, old: &ReplicationController) -> bool> {
        Some(|new, old| !semantic::equal(&new.spec, &old.spec))
    }

    fn validate(&self, object: &ReplicationController) -> ErrorList {
        validate_spec(&spec(object), None)
    }

    fn validate_update(&self, new: &ReplicationController, old: &ReplicationController) -> ErrorList {
        let mut errors = validate_spec(&spec(new), spec(old).template.as_ref());
        errors.extend(validate_non_convertible(new, old));
        errors
    }

    /// On an update upstream takes the two templates for each other, and warns of the old one.
    fn warnings(&self, new: &ReplicationController, old: Option<&ReplicationController>) -> Vec<String> {
        let template = |controller: &ReplicationController| spec(controller).template.unwrap_or_default();
        match old {
            None => replica_template::warnings(&new.metadata, &template(new), None),
            Some(old) if semantic::equal(&new.spec, &old.spec) => Vec::new(),
            Some(old) => {
                let path = Path::new("spec").child("template");
                replica_template::template_warnings(&path, &template(old), Some(&template(new)))
            }
        }
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &ReplicationController, now: Timestamp) -> Vec<Value> {
        let (spec, status) = (spec(object), object.status.clone().unwrap_or_default());
        let [containers, images] = replica_template::container_cells(&spec.template.unwrap_or_default());
        vec![
            object.metadata.name.clone().into(),
            spec.replicas.unwrap_or(0).into(),
            status.replicas.into(),
            status.ready_replicas.unwrap_or(0).into(),
            api::duration::age(object.metadata.creation_timestamp.as_ref(), now).into(),
            containers,
            images,
            replica_template::labels_cell(spec.selector.as_ref()),
        ]
    }

    fn selectable_fields(&self) -> &'static [SelectableField] {
        const { &[SelectableField { absent: "0", ..SelectableField::at("status.replicas") }] }
    }

    fn updates(&self) -> Vec<UpdateSubresource<ReplicationController>> {
        vec![UpdateSubresource {
            name: "status",
            prepare: |new, old, _| new.spec = old.spec.clone(),
            validate: |new, _| validate_status(&new.status.clone().unwrap_or_default(), &Path::new("status")),
        }]
    }

    fn scale(&self) -> Option<ScaleSubresource<ReplicationController>> {
        Some(ScaleSubresource {
            replicas: |controller| spec(controller).replicas.unwrap_or(0),
            set_replicas: |controller, replicas| {
                controller.spec.get_or_insert_default().replicas = Some(replicas);
            },
            status_replicas: |controller| controller.status.as_ref().map_or(0, |status| status.replicas),
            selector: |controller| selector(&spec(controller)).to_string(),
        })
    }
}

const COLUMNS: &[Column] = &[
    NAME_COLUMN,
    Column::new(
        "Desired",
        "Replicas is the number of desired replicas. This is a pointer to distinguish between explicit zero and \
         unspecified. Defaults to 1. More info: \
         https://kubernetes.io/docs/concepts/workloads/controllers/replicationcontroller#what-is-a-replicationcontroller",
    )
    .of_type("integer"),
    Column::new(
        "Current",
        "Replicas is the most recently observed number of replicas. More info: \
         https://kubernetes.io/docs/concepts/workloads/controllers/replicationcontroller#what-is-a-replicationcontroller",
    )
    .of_type("integer"),
    Column::new("Ready", "The number of ready replicas for this replication controller.").of_type("integer"),
    AGE_COLUMN,
    CONTAINERS_COLUMN,
    IMAGES_COLUMN,
    Column::new(
        "Selector",
        "Selector is a label query over pods that should match the Replicas count. If Selector is empty, it is defaulted to \
         the labels present on the Pod template. Label keys and values that must match in order to be controlled by this \
         replication controller, if empty defaulted to labels on Pod template. More info: \
         https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors",
    )
    .wide(),
];

fn spec(controller: &ReplicationController) -> ReplicationControllerSpec {
    controller.spec.clone().unwrap_or_default()
}

fn selector(spec: &ReplicationControllerSpec) -> Selector {
    Selector::from_labels(spec.selector.iter().flatten())
}

fn validate_spec(spec: &ReplicationControllerSpec, old: Option<&PodTemplateSpec>) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = ErrorList::new();
    errors.extend(validate_non_negative(spec.min_ready_seconds.unwrap_or(0).into(), &path.child("minReadySeconds")));
    let selector = selector(spec);
    if selector.is_everything() {
        errors.push(Error::required(&path.child("selector"), ""));
    }
    errors.extend(validate_non_negative(spec.replicas.unwrap_or(0).into(), &path.child("replicas")));
    let path = path.child("template");
    match &spec.template {
        None => errors.push(Error::required(&path, "")),
        Some(template) => {
            errors.extend(replica_template::validate_match(&selector, template, &path));
            errors.extend(pod_spec::validate_template(template, &path, &replica_template::options(old)));
            errors.extend(replica_template::validate_endless(template, "ReplicationController", &path));
        }
    }
    errors
}

/// What is wrong with a change of a field that the old object's annotations say cannot be stated.
fn validate_non_convertible(new: &ReplicationController, old: &ReplicationController) -> ErrorList {
    let mut errors = ErrorList::new();
    let annotations = old.metadata.annotations.iter().flatten();
    for (key, value) in annotations.filter(|(key, _)| key.starts_with(NON_CONVERTIBLE)) {
        let mut parts = key.split('/');
        let (Some(_), Some(field), None) = (parts.next(), parts.next(), parts.next()) else { continue };
        let (new, old) = (spec(new).selector.unwrap_or_default(), spec(old).selector.unwrap_or_default());
        if !field.contains("selector") {
            errors.push(Error {
                kind: ErrorType::NotFound,
                field: field.to_owned(),
                bad_value: BadValue::from(value),
                detail: "unknown non-convertible field".to_owned(),
            });
        } else if new != old {
            let path = Path::new("spec").child("selector");
            errors.push(Error::invalid(&path, BadValue::json(&new), "cannot update non-convertible selector"));
        }
    }
    errors
}

fn validate_status(status: &ReplicationControllerStatus, path: &Path) -> ErrorList {
    let number = |number: Option<i32>| i64::from(number.unwrap_or(0));
    let total = i64::from(status.replicas);
    let (labelled, ready) = (number(status.fully_labeled_replicas), number(status.ready_replicas));
    let available = number(status.available_replicas);
    let parts = [("fullyLabeledReplicas", labelled), ("readyReplicas", ready), ("availableReplicas", available)];
    let mut errors = replica_status::non_negative(&[("replicas", total)], path);
    errors.extend(replica_status::non_negative(&parts, path));
    let observed = status.observed_generation.unwrap_or(0);
    errors.extend(replica_status::non_negative(&[("observedGeneration", observed)], path));
    errors.extend(replica_status::at_most(&parts, total, "status.replicas", path));
    errors.extend(replica_status::at_most(&[("availableReplicas", available)], ready, "readyReplicas", path));
    errors
}

#[cfg(test)]
mod tests;
