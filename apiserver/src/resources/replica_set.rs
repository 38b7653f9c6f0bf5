//! ReplicaSets: so many pods of one template.

use api::field::{ErrorList, Path};
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetSpec, ReplicaSetStatus};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::replica_template::{self, CONTAINERS_COLUMN, IMAGES_COLUMN, validate_non_negative};
use super::{pod_spec, replica_status, semantic};
use crate::strategy::{
    AGE_COLUMN, Column, Context, NAME_COLUMN, Names, ScaleSubresource, SelectableField, Strategy, UpdateSubresource,
};

pub(crate) struct ReplicaSets;

impl Strategy for ReplicaSets {
    type Object = ReplicaSet;

    fn names(&self) -> Names {
        Names::of::<ReplicaSet>("replicaset", true).short(&["rs"]).within(&["all"])
    }

    fn default(&self, object: &mut ReplicaSet) {
        let spec = &mut object.spec;
        spec.replicas.get_or_insert(1);
        pod_spec::set_template_defaults(spec.template.get_or_insert_default());
    }

    fn prepare_create(&self, object: &mut ReplicaSet, _: Context<'_>) {
        object.status = Some(ReplicaSetStatus::default());
    }

    fn prepare_update(&self, new: &mut ReplicaSet, old: &ReplicaSet, _: Context<'_>) {
        new.status = old.status.clone();
    }

    fn generation(&self) -> Option<fn(new: &ReplicaSet, old: &ReplicaSet) -> bool> {
        Some(|new, old| !semantic::equal(&new.spec, &old.spec))
    }

    fn validate(&self, object: &ReplicaSet) -> ErrorList {
        validate_spec(&object.spec, None)
    }

    fn validate_update(&self, new: &ReplicaSet, old: &ReplicaSet) -> ErrorList {
        let (new, old) = (&new.spec, &old.spec);
        let mut errors = validate_spec(new, Some(old));
        let path = Path::new("spec").child("selector");
        errors.extend(replica_template::validate_same_selector(&new.selector, &old.selector, &path));
        errors
    }

    fn warnings(&self, new: &ReplicaSet, old: Option<&ReplicaSet>) -> Vec<String> {
        if old.is_some_and(|old| semantic::equal(&new.spec, &old.spec)) {
            return Vec::new();
        }
        let template = |set: &ReplicaSet| set.spec.template.clone().unwrap_or_default();
        replica_template::warnings(&new.metadata, &template(new), old.map(template).as_ref())
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &ReplicaSet, now: Timestamp) -> Vec<Value> {
        let spec = &object.spec;
        let status = object.status.as_ref();
        let [containers, images] =
            spec.template.as_ref().map_or([Value::from(""), Value::from("")], replica_template::container_cells);
        vec![
            object.metadata.name.clone().into(),
            spec.replicas.unwrap_or(0).into(),
            status.map_or(0, |status| status.replicas).into(),
            status.and_then(|status| status.ready_replicas).unwrap_or(0).into(),
            api::duration::age(object.metadata.creation_timestamp.as_ref(), now).into(),
            containers,
            images,
            replica_template::selector_cell(&spec.selector),
        ]
    }

    fn selectable_fields(&self) -> &'static [SelectableField] {
        const { &[SelectableField { absent: "0", ..SelectableField::at("status.replicas") }] }
    }

    fn updates(&self) -> Vec<UpdateSubresource<ReplicaSet>> {
        vec![UpdateSubresource {
            name: "status",
            prepare: |new, old, _| new.spec = old.spec.clone(),
            validate: |new, _| validate_status(&new.status.clone().unwrap_or_default(), &Path::new("status")),
        }]
    }

    fn scale(&self) -> Option<ScaleSubresource<ReplicaSet>> {
        Some(ScaleSubresource {
            replicas: |set| set.spec.replicas.unwrap_or(0),
            set_replicas: |set, replicas| set.spec.replicas = Some(replicas),
            status_replicas: |set| set.status.as_ref().map_or(0, |status| status.replicas),
            selector: |set| replica_template::selector_text(&set.spec.selector),
        })
    }
}

const COLUMNS: &[Column] = &[
    NAME_COLUMN,
    Column::new(
        "Desired",
        "Replicas is the number of desired pods. This is a pointer to distinguish between explicit zero and unspecified. \
         Defaults to 1. More info: https://kubernetes.io/docs/concepts/workloads/controllers/replicaset",
    )
    .of_type("integer"),
    Column::new(
        "Current",
        "Replicas is the most recently observed number of non-terminating pods. More info: \
         https://kubernetes.io/docs/concepts/workloads/controllers/replicaset",
    )
    .of_type("integer"),
    Column::new("Ready", "The number of non-terminating pods targeted by this ReplicaSet with a Ready Condition.")
        .of_type("integer"),
    AGE_COLUMN,
    CONTAINERS_COLUMN,
    IMAGES_COLUMN,
    Column::new(
        "Selector",
        "Selector is a label query over pods that should match the replica count. Label keys and values that must match in \
         order to be controlled by this replica set. It must match the pod template's labels. More info: \
         https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors",
    )
    .wide(),
];

fn validate_spec(spec: &ReplicaSetSpec, old: Option<&ReplicaSetSpec>) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = ErrorList::new();
    errors.extend(validate_non_negative(spec.replicas.unwrap_or(0).into(), &path.child("replicas")));
    errors.extend(validate_non_negative(spec.min_ready_seconds.unwrap_or(0).into(), &path.child("minReadySeconds")));
    let template = spec.template.clone().unwrap_or_default();
    let old = old.and_then(|old| old.template.as_ref());
    errors.extend(replica_template::validate(&spec.selector, &template, old, &path));
    errors
}

fn validate_status(status: &ReplicaSetStatus, path: &Path) -> ErrorList {
    let number = |number: Option<i32>| i64::from(number.unwrap_or(0));
    let total = i64::from(status.replicas);
    let (labelled, ready) = (number(status.fully_labeled_replicas), number(status.ready_replicas));
    let available = number(status.available_replicas);
    let mut errors = replica_status::non_negative(
        &[
            ("replicas", total),
            ("fullyLabeledReplicas", labelled),
            ("readyReplicas", ready),
            ("availableReplicas", available),
            ("observedGeneration", status.observed_generation.unwrap_or(0)),
            ("terminatingReplicas", number(status.terminating_replicas)),
        ],
        path,
    );
    let parts = [("fullyLabeledReplicas", labelled), ("readyReplicas", ready), ("availableReplicas", available)];
    errors.extend(replica_status::at_most(&parts, total, "status.replicas", path));
    errors.extend(replica_status::at_most(&[("availableReplicas", available)], ready, "readyReplicas", path));
    errors
}

#[cfg(test)]
mod tests;
