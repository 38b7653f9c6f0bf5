//! Metadata of what is made of a template: only labels and annotations mean anything there.

use api::field::{Error, ErrorList, Path};
use api::selector::label::validate_labels;
use api::validate::meta::validate_annotations;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// What is wrong with the metadata of a template (upstream's `ValidateTemplateObjectMeta`).
pub(super) fn validate(meta: &ObjectMeta, path: &Path) -> ErrorList {
    let mut errors = validate_annotations(meta.annotations.as_ref(), &path.child("annotations"));
    errors.extend(validate_labels(meta.labels.as_ref(), &path.child("labels")));
    let is_text = |field: &Option<String>| field.as_ref().is_some_and(|text| !text.is_empty());
    let fields = [
        ("name", is_text(&meta.name)),
        ("generateName", is_text(&meta.generate_name)),
        ("namespace", is_text(&meta.namespace)),
        ("selfLink", is_text(&meta.self_link)),
        ("uID", is_text(&meta.uid)),
        ("resourceVersion", is_text(&meta.resource_version)),
        ("generation", meta.generation.is_some_and(|generation| generation != 0)),
        ("creationTimestamp", meta.creation_timestamp.is_some()),
        ("deletionTimestamp", meta.deletion_timestamp.is_some()),
        ("deletionGracePeriodSeconds", meta.deletion_grace_period_seconds.is_some()),
        ("ownerReferences", meta.owner_references.as_ref().is_some_and(|owners| !owners.is_empty())),
        ("finalizers", meta.finalizers.as_ref().is_some_and(|finalizers| !finalizers.is_empty())),
        ("managedFields", meta.managed_fields.as_ref().is_some_and(|fields| !fields.is_empty())),
    ];
    for (field, _) in fields.into_iter().filter(|(_, is_set)| *is_set) {
        errors.push(Error::forbidden(&path.child(field), "cannot be set"));
    }
    errors
}
