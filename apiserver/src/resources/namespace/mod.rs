//! Namespaces: they start `Active`, and once deleted they stay, `Terminating`, until `spec.finalizers` is empty.
//!
//! A namespace always carries its name as the label `kubernetes.io/metadata.name`, so that selectors can name it.
//! `spec.finalizers` change only through the `finalize` subresource, the status only through `status`.

use api::field::{Error, ErrorList, Path};
use api::names::{label_key, namespace_name};
use k8s_openapi::api::core::v1::{Namespace, NamespaceStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use crate::strategy::{AGE_COLUMN, Column, Context, NAME_COLUMN, Names, SelectableField, Strategy, UpdateSubresource};

/// The label that holds a namespace's name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// The finalizer that every namespace is created with; the namespace controller removes it when nothing is left inside.
const FINALIZER: &str = "kubernetes";

const ACTIVE: &str = "Active";
const TERMINATING: &str = "Terminating";
/// Finalizers that need no domain.
const STANDARD_FINALIZERS: [&str; 3] = [FINALIZER, "orphan", "foregroundDeletion"];

pub(crate) struct Namespaces;

/// Begins the deletion of a namespace: states since when, in whole seconds, and turns its phase to `Terminating`. One
/// that is being deleted already keeps its time.
pub fn mark_terminating(namespace: &mut Namespace, now: Timestamp) {
    let second = Timestamp::from_second(now.as_second()).unwrap_or(now);
    namespace.metadata.deletion_timestamp.get_or_insert(Time(second));
    namespace.status.get_or_insert_default().phase = Some(TERMINATING.to_owned());
}

/// Whether nothing in the namespace's spec holds it back from being removed. Finalizers in its metadata hold it back as
/// they do any object.
#[must_use]
pub fn may_be_removed(namespace: &Namespace) -> bool {
    finalizers(namespace).is_empty()
}

impl Strategy for Namespaces {
    type Object = Namespace;

    fn names(&self) -> Names {
        Names::of::<Namespace>("namespace", false).short(&["ns"])
    }

    fn default(&self, object: &mut Namespace) {
        let phase = &mut object.status.get_or_insert_default().phase;
        if phase.as_ref().is_none_or(String::is_empty) {
            *phase = Some(ACTIVE.to_owned());
        }
        keep_name_label(object);
    }

    fn prepare_create(&self, object: &mut Namespace, _: Context<'_>) {
        object.status = Some(NamespaceStatus { phase: Some(ACTIVE.to_owned()), ..NamespaceStatus::default() });
        let finalizers = object.spec.get_or_insert_default().finalizers.get_or_insert_default();
        if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
            finalizers.push(FINALIZER.to_owned());
        }
        // A generated name is known only by now.
        keep_name_label(object);
    }

    fn prepare_update(&self, new: &mut Namespace, old: &Namespace, _: Context<'_>) {
        new.spec.clone_from(&old.spec);
        new.status.clone_from(&old.status);
        keep_name_label(new);
    }

    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        namespace_name(name, prefix)
    }

    fn validate(&self, object: &Namespace) -> ErrorList {
        let path = Path::new("spec").child("finalizers");
        finalizers(object).iter().flat_map(|finalizer| validate_finalizer(finalizer, &path)).collect()
    }

    fn validate_update(&self, new: &Namespace, _: &Namespace) -> ErrorList {
        self.validate(new)
    }

    fn columns(&self) -> &'static [Column] {
        const { &[NAME_COLUMN, Column::new("Status", "The status of the namespace"), AGE_COLUMN] }
    }

    fn row(&self, object: &Namespace, now: Timestamp) -> Vec<Value> {
        let age = api::duration::age(object.metadata.creation_timestamp.as_ref(), now);
        vec![object.metadata.name.clone().into(), phase(object).into(), age.into()]
    }

    fn selectable_fields(&self) -> &'static [SelectableField] {
        const { &[SelectableField::at("status.phase")] }
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }

    fn updates(&self) -> Vec<UpdateSubresource<Namespace>> {
        vec![
            UpdateSubresource {
                name: "finalize",
                prepare: |new, old, _| {
                    new.status.clone_from(&old.status);
                    keep_name_label(new);
                },
                validate: validate_finalize,
            },
            UpdateSubresource {
                name: "status",
                prepare: |new, old, _| {
                    new.spec.clone_from(&old.spec);
                    keep_name_label(new);
                },
                validate: validate_status,
            },
        ]
    }
}

fn finalizers(namespace: &Namespace) -> &[String] {
    namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_deref()).unwrap_or_default()
}

fn phase(namespace: &Namespace) -> &str {
    namespace.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

fn keep_name_label(namespace: &mut Namespace) {
    if let Some(name) = namespace.metadata.name.as_ref().filter(|name| !name.is_empty()) {
        namespace.metadata.labels.get_or_insert_default().insert(NAME_LABEL.to_owned(), name.clone());
    }
}

fn validate_finalizer(finalizer: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.push_invalid(path, finalizer, label_key(finalizer));
    if !finalizer.contains('/') && !STANDARD_FINALIZERS.contains(&finalizer) {
        let detail = "name is neither a standard finalizer name nor is it fully qualified";
        errors.push(Error::invalid(path, finalizer, detail));
    }
    errors
}

fn validate_finalize(new: &Namespace, _: &Namespace) -> ErrorList {
    let path = Path::new("spec").child("finalizers");
    let each = finalizers(new).iter().enumerate();
    each.flat_map(|(i, finalizer)| validate_finalizer(finalizer, &path.index(i))).collect()
}

/// The phase says neither more nor less than whether the namespace is being deleted.
fn validate_status(new: &Namespace, _: &Namespace) -> ErrorList {
    // Upstream spells the field with a capital.
    let path = Path::new("status").child("Phase");
    let phase = phase(new);
    match (new.metadata.deletion_timestamp.is_some(), phase) {
        (false, ACTIVE) | (true, TERMINATING) => ErrorList::new(),
        (false, _) => Error::invalid(&path, phase, "may only be 'Active' if `deletionTimestamp` is empty").into(),
        (true, _) => {
            let detail = "may only be 'Terminating' if `deletionTimestamp` is not empty";
            Error::invalid(&path, phase, detail).into()
        }
    }
}

#[cfg(test)]
mod tests;
