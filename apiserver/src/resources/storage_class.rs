//! StorageClasses: by which driver, and how, volumes are made for the claims that name a class.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use api::field::{Error, ErrorList, Path};
use api::selector::label::validate_label_name;
use api::validate::meta::immutable;
use k8s_openapi::api::core::v1::{TopologySelectorLabelRequirement, TopologySelectorTerm};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::pod_spec::absent::{is_true, list, text};
use super::pod_spec::rules::supported;
use super::pod_spec::warnings::node_label_message;
use super::provisioning::{validate_driver, validate_parameters, validate_same_parameters};
use crate::strategy::{AGE_COLUMN, Column, NAME_COLUMN, Names, Strategy};

/// The annotation that `storageClassName` of volumes and claims has succeeded.
pub(super) const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
/// The annotations, newer and older, that make a class the one of claims that name none.
const DEFAULT_ANNOTATIONS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

const DELETE: &str = "Delete";
const IMMEDIATE: &str = "Immediate";

/// The class that the annotation of a volume or claim names.
pub(crate) fn annotated_class(meta: &ObjectMeta) -> Option<&str> {
    meta.annotations.as_ref()?.get(CLASS_ANNOTATION).map(String::as_str)
}

/// The class of a volume or claim, as its annotation or else its field names it.
pub(crate) fn class_of<'a>(meta: &'a ObjectMeta, field: Option<&'a str>) -> &'a str {
    annotated_class(meta).or(field).unwrap_or_default()
}

/// What a client is warned of that names the class in the annotation.
pub(super) fn annotation_warning(meta: &ObjectMeta) -> Option<String> {
    annotated_class(meta)?;
    let path = Path::new("metadata").child("annotations").key(CLASS_ANNOTATION);
    Some(format!("{path}: deprecated since v1.8; use \"storageClassName\" attribute instead"))
}

const COLUMNS: &[Column] = &[
    NAME_COLUMN,
    Column::new("Provisioner", "provisioner indicates the type of the provisioner."),
    Column::new(
        "ReclaimPolicy",
        "reclaimPolicy controls the reclaimPolicy for dynamically provisioned PersistentVolumes of this storage class. \
         Defaults to Delete.",
    ),
    Column::new(
        "VolumeBindingMode",
        "volumeBindingMode indicates how PersistentVolumeClaims should be provisioned and bound.  When unset, \
         VolumeBindingImmediate is used. This field is only honored by servers that enable the VolumeScheduling feature.",
    ),
    Column::new("AllowVolumeExpansion", "allowVolumeExpansion shows whether the storage class allow volume expand."),
    AGE_COLUMN,
];

pub(crate) struct StorageClasses;

impl Strategy for StorageClasses {
    type Object = StorageClass;

    fn names(&self) -> Names {
        Names::of::<StorageClass>("storageclass", false).short(&["sc"])
    }

    fn default(&self, object: &mut StorageClass) {
        object.reclaim_policy.get_or_insert_with(|| DELETE.to_owned());
        object.volume_binding_mode.get_or_insert_with(|| IMMEDIATE.to_owned());
    }

    fn validate(&self, object: &StorageClass) -> ErrorList {
        let mut errors = validate_driver(&object.provisioner, &Path::new("provisioner"));
        errors.extend(validate_parameters(object.parameters.as_ref(), true, &Path::new("parameters")));
        let policy = text(&object.reclaim_policy);
        if !policy.is_empty() {
            errors.extend(supported(policy, &[DELETE, "Retain"], &Path::new("reclaimPolicy")));
        }
        let path = Path::new("volumeBindingMode");
        match &object.volume_binding_mode {
            None => errors.push(Error::required(&path, "")),
            Some(mode) => errors.extend(supported(mode, &[IMMEDIATE, "WaitForFirstConsumer"], &path)),
        }
        errors.extend(validate_topologies(list(&object.allowed_topologies), &Path::new("allowedTopologies")));
        errors
    }

    fn validate_update(&self, new: &StorageClass, old: &StorageClass) -> ErrorList {
        let mut errors = self.validate(new);
        errors.extend(validate_same_parameters(new.parameters.as_ref(), old.parameters.as_ref()));
        if new.provisioner != old.provisioner {
            errors.push(Error::forbidden(&Path::new("provisioner"), "updates to provisioner are forbidden."));
        }
        if new.reclaim_policy != old.reclaim_policy {
            errors.push(Error::forbidden(&Path::new("reclaimPolicy"), "updates to reclaimPolicy are forbidden."));
        }
        let path = Path::new("volumeBindingMode");
        errors.extend(immutable(&new.volume_binding_mode, &old.volume_binding_mode, &path));
        errors
    }

    fn warnings(&self, new: &StorageClass, _: Option<&StorageClass>) -> Vec<String> {
        let mut warnings = Vec::new();
        for (i, term) in list(&new.allowed_topologies).iter().enumerate() {
            let path = Path::new("allowedTopologies").index(i).child("matchLabelExpressions");
            for (j, expression) in list(&term.match_label_expressions).iter().enumerate() {
                let message = node_label_message(&expression.key);
                warnings.extend(message.map(|message| format!("{}: {message}", path.index(j).child("key"))));
            }
        }
        warnings
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &StorageClass, now: Timestamp) -> Vec<Value> {
        let name = text(&object.metadata.name);
        let shown = if is_default(&object.metadata) { format!("{name} (default)") } else { name.to_owned() };
        vec![
            shown.into(),
            object.provisioner.clone().into(),
            object.reclaim_policy.as_deref().unwrap_or(DELETE).into(),
            object.volume_binding_mode.as_deref().unwrap_or(IMMEDIATE).into(),
            is_true(object.allow_volume_expansion).into(),
            api::duration::age(object.metadata.creation_timestamp.as_ref(), now).into(),
        ]
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }
}

/// Whether it is the class of claims that name none.
pub(crate) fn is_default(meta: &ObjectMeta) -> bool {
    let says_so =
        |annotation| meta.annotations.as_ref().and_then(|all| all.get(annotation)).is_some_and(|v| v == "true");
    DEFAULT_ANNOTATIONS.into_iter().any(says_so)
}

/// The values of a term by their keys.
type Values<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

fn validate_topologies(terms: &[TopologySelectorTerm], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    // Upstream compares with as many empty terms as there are terms before it compares with those that it has seen, so
    // that one that requires nothing is a repeated one.
    let mut seen: Vec<Values<'_>> = vec![Values::new(); terms.len()];
    for (i, term) in terms.iter().enumerate() {
        let path = path.index(i).child("matchLabelExpressions");
        let (values, term_errors) = validate_term(list(&term.match_label_expressions), &path);
        errors.extend(term_errors);
        errors.extend(seen.iter().filter(|other| **other == values).map(|_| Error::duplicate(&path, "")));
        seen.push(values);
    }
    errors
}

fn validate_term<'a>(expressions: &'a [TopologySelectorLabelRequirement], path: &Path) -> (Values<'a>, ErrorList) {
    let mut errors = ErrorList::new();
    let mut all = Values::new();
    for (i, expression) in expressions.iter().enumerate() {
        let path = path.index(i);
        let values_path = path.child("values");
        if expression.values.is_empty() {
            errors.push(Error::required(&values_path, ""));
        }
        let mut values = BTreeSet::new();
        for (j, value) in expression.values.iter().enumerate() {
            if !values.insert(&**value) {
                errors.push(Error::duplicate(&values_path.index(j), value));
            }
        }
        errors.extend(validate_label_name(&expression.key, &path.child("key")));
        if all.insert(&*expression.key, values).is_some() {
            errors.push(Error::duplicate(&path.child("key"), &expression.key));
        }
    }
    (all, errors)
}
