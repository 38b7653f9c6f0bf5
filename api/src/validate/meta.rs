//! The rules of `metadata`, as `k8s.io/apimachinery/pkg/api/validation` has them.
//!
//! Metadata that passes on create has a valid name, belongs to a namespace if and only if its kind does, and carries
//! well-formed labels, annotations, owners, finalizers and managed fields. An update that passes leaves identity alone.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta, OwnerReference, Time};
use serde::Serialize;

use crate::field::{BadValue, Error, ErrorList, Path, go_quote, is_go_printable};
use crate::names::{self, NameValidator};
use crate::selector::label::validate_labels;

/// Bytes that an object's annotations, keys and values together, may have.
pub const MAX_ANNOTATION_BYTES: usize = 256 * 1024;
/// Longest name of a field manager.
pub const MAX_FIELD_MANAGER_BYTES: usize = 128;
/// Longest name of a subresource in managed fields.
pub const MAX_SUBRESOURCE_BYTES: usize = 256;
/// What is wrong with a field that changed and must not.
pub const FIELD_IMMUTABLE: &str = "field is immutable";

const FINALIZER_ORPHAN: &str = "orphan";
const FINALIZER_FOREGROUND: &str = "foregroundDeletion";

/// What is wrong with the metadata at `path` of an object about to be created, after its name was generated.
pub fn validate_object_meta(meta: &ObjectMeta, namespaced: bool, name: NameValidator, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (object_name, generate_name) = (text(&meta.name), text(&meta.generate_name));
    if !generate_name.is_empty() {
        errors.push_invalid(&path.child("generateName"), generate_name, name(generate_name, true));
    }
    if object_name.is_empty() {
        errors.push(Error::required(&path.child("name"), "name or generateName is required"));
    } else {
        errors.push_invalid(&path.child("name"), object_name, name(object_name, false));
    }
    errors.extend(validate_namespace(text(&meta.namespace), namespaced, &path.child("namespace")));
    if let Some(generation) = meta.generation.filter(|generation| *generation < 0) {
        let detail = "must be greater than or equal to 0";
        errors.push(Error::invalid(&path.child("generation"), generation, detail));
    }
    errors.extend(validate_labels(meta.labels.as_ref(), &path.child("labels")));
    errors.extend(validate_annotations(meta.annotations.as_ref(), &path.child("annotations")));
    errors.extend(validate_owner_references(list(&meta.owner_references), &path.child("ownerReferences")));
    errors.extend(validate_finalizers(list(&meta.finalizers), &path.child("finalizers")));
    errors.extend(validate_managed_fields(list(&meta.managed_fields), &path.child("managedFields")));
    errors
}

/// What is wrong with the metadata at `path` of an object about to be updated from `old`.
pub fn validate_object_meta_update(new: &ObjectMeta, old: &ObjectMeta, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if old.deletion_timestamp.is_some() {
        let path = path.child("finalizers");
        errors.extend(validate_no_new_finalizers(list(&new.finalizers), list(&old.finalizers), &path));
    }
    if text(&new.resource_version).is_empty() {
        let detail = "must be specified for an update";
        errors.push(Error::invalid(&path.child("resourceVersion"), "", detail));
    }
    let generation = new.generation.unwrap_or(0);
    if generation < old.generation.unwrap_or(0) {
        errors.push(Error::invalid(&path.child("generation"), generation, "must not be decremented"));
    }
    errors.extend(immutable(&text(&new.name), &text(&old.name), &path.child("name")));
    errors.extend(immutable(&text(&new.namespace), &text(&old.namespace), &path.child("namespace")));
    errors.extend(immutable(&text(&new.uid), &text(&old.uid), &path.child("uid")));
    let (new_time, old_time) = (&new.creation_timestamp, &old.creation_timestamp);
    errors.extend(immutable_time(new_time, old_time, &path.child("creationTimestamp")));
    let (new_time, old_time) = (&new.deletion_timestamp, &old.deletion_timestamp);
    errors.extend(immutable_time(new_time, old_time, &path.child("deletionTimestamp")));
    let (new_grace, old_grace) = (&new.deletion_grace_period_seconds, &old.deletion_grace_period_seconds);
    errors.extend(immutable(new_grace, old_grace, &path.child("deletionGracePeriodSeconds")));
    errors.extend(validate_labels(new.labels.as_ref(), &path.child("labels")));
    errors.extend(validate_annotations(new.annotations.as_ref(), &path.child("annotations")));
    errors.extend(validate_owner_references(list(&new.owner_references), &path.child("ownerReferences")));
    errors.extend(validate_managed_fields(list(&new.managed_fields), &path.child("managedFields")));
    errors
}

/// That the value at `path` is what it was. It is shown as JSON.
pub fn immutable<T: PartialEq + Serialize + ?Sized>(new: &T, old: &T, path: &Path) -> Option<Error> {
    (new != old).then(|| Error::invalid(path, BadValue::json(new), FIELD_IMMUTABLE))
}

/// What is wrong with the annotations at `path`. Keys are label keys, but upper case is allowed in their prefix, too.
pub fn validate_annotations(annotations: Option<&BTreeMap<String, String>>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut total = 0_usize;
    for (key, value) in annotations.into_iter().flatten() {
        errors.push_invalid(path, key, names::label_key(&key.to_lowercase()));
        total = total.saturating_add(key.len()).saturating_add(value.len());
    }
    if total > MAX_ANNOTATION_BYTES {
        errors.push(Error::too_long(path, MAX_ANNOTATION_BYTES));
    }
    errors
}

/// What is wrong with the owners at `path`. At most one may be the controller; events own nothing.
pub fn validate_owner_references(references: &[OwnerReference], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut controller: Option<String> = None;
    for reference in references {
        errors.extend(validate_owner_reference(reference, path));
        if reference.controller != Some(true) {
            continue;
        }
        let this = format!("{}/{}", reference.kind, reference.name);
        let Some(first) = &controller else {
            controller = Some(this);
            continue;
        };
        let shown: Vec<OwnerInGosOrder<'_>> = references.iter().map(OwnerInGosOrder::from).collect();
        let detail = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
        );
        errors.push(Error::invalid(path, BadValue::json(&shown), detail));
    }
    errors
}

/// What is wrong with the finalizers at `path`.
pub fn validate_finalizers(finalizers: &[String], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for finalizer in finalizers {
        errors.push_invalid(path, finalizer, names::label_key(finalizer));
    }
    let has = |name: &str| finalizers.iter().any(|finalizer| finalizer == name);
    if has(FINALIZER_ORPHAN) && has(FINALIZER_FOREGROUND) {
        let detail = format!("finalizer {FINALIZER_ORPHAN} and {FINALIZER_FOREGROUND} cannot be both set");
        errors.push(Error::invalid(path, finalizers, detail));
    }
    errors
}

/// That an object which is being deleted got no further finalizers.
pub fn validate_no_new_finalizers(new: &[String], old: &[String], path: &Path) -> Option<Error> {
    let extra: BTreeSet<&String> = new.iter().filter(|finalizer| !old.contains(finalizer)).collect();
    if extra.is_empty() {
        return None;
    }
    let quoted: Vec<String> = extra.into_iter().map(|finalizer| go_quote(finalizer)).collect();
    let detail = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        quoted.join(", ")
    );
    Some(Error::forbidden(path, detail))
}

/// What is wrong with the managed fields at `path`, apart from the field sets themselves.
pub fn validate_managed_fields(entries: &[ManagedFieldsEntry], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, entry) in entries.iter().enumerate() {
        let path = path.index(i);
        let operation = text(&entry.operation);
        if !matches!(operation, "Apply" | "Update") {
            let shown = BadValue::json(operation);
            errors.push(Error::invalid(&path.child("operation"), shown, "must be `Apply` or `Update`"));
        }
        let fields_type = text(&entry.fields_type);
        if !matches!(fields_type, "" | "FieldsV1") {
            errors.push(Error::invalid(&path.child("fieldsType"), fields_type, "must be `FieldsV1`"));
        }
        errors.extend(validate_field_manager(text(&entry.manager), &path.child("manager")));
        if text(&entry.subresource).len() > MAX_SUBRESOURCE_BYTES {
            errors.push(Error::too_long(&path.child("subresource"), MAX_SUBRESOURCE_BYTES));
        }
    }
    errors
}

/// What is wrong with the name of a field manager at `path`: its length, or characters that cannot be shown.
pub fn validate_field_manager(manager: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if manager.len() > MAX_FIELD_MANAGER_BYTES {
        errors.push(Error::too_long(path, MAX_FIELD_MANAGER_BYTES));
    }
    for (position, c) in manager.char_indices().filter(|(_, c)| !is_go_printable(*c)) {
        let detail = format!("invalid character U+{:04X} (at position {position})", u32::from(c));
        errors.push(Error::invalid(path, manager, detail));
    }
    errors
}

fn validate_namespace(namespace: &str, namespaced: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    match (namespaced, namespace) {
        (true, "") => errors.push(Error::required(path, "")),
        (true, namespace) => errors.push_invalid(path, namespace, names::namespace_name(namespace, false)),
        (false, "") => {}
        (false, _) => errors.push(Error::forbidden(path, "not allowed on this type")),
    }
    errors
}

fn validate_owner_reference(reference: &OwnerReference, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (group, version) = group_version(&reference.api_version);
    if version.is_empty() {
        let detail = "version must not be empty";
        errors.push(Error::invalid(&path.child("apiVersion"), &reference.api_version, detail));
    }
    for (field, value) in [("kind", &reference.kind), ("name", &reference.name), ("uid", &reference.uid)] {
        if value.is_empty() {
            errors.push(Error::invalid(&path.child(field), value, "must not be empty"));
        }
    }
    if (group, version, reference.kind.as_str()) == ("", "v1", "Event") {
        let shown = BadValue::json(&OwnerInGosOrder::from(reference));
        errors.push(Error::invalid(path, shown, "/v1, Kind=Event is disallowed from being an owner"));
    }
    errors
}

/// Group and version of an `apiVersion`; both are empty when it is malformed, as in upstream.
fn group_version(api_version: &str) -> (&str, &str) {
    match api_version.split_once('/') {
        None => ("", api_version),
        Some((_, version)) if version.contains('/') => ("", ""),
        Some(parts) => parts,
    }
}

/// Creation and deletion times have whole seconds on the wire, so that a fraction is no change.
fn immutable_time(new: &Option<Time>, old: &Option<Time>, path: &Path) -> Option<Error> {
    let second = |time: &Option<Time>| time.as_ref().map(|time| time.0.as_second());
    (second(new) != second(old)).then(|| Error::invalid(path, BadValue::json(new), FIELD_IMMUTABLE))
}

/// An owner reference with its fields in the order in which messages show them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OwnerInGosOrder<'a> {
    api_version: &'a str,
    kind: &'a str,
    name: &'a str,
    uid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    controller: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    block_owner_deletion: Option<bool>,
}

impl<'a> From<&'a OwnerReference> for OwnerInGosOrder<'a> {
    fn from(reference: &'a OwnerReference) -> Self {
        Self {
            api_version: &reference.api_version,
            kind: &reference.kind,
            name: &reference.name,
            uid: &reference.uid,
            controller: reference.controller,
            block_owner_deletion: reference.block_owner_deletion,
        }
    }
}

fn text(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or_default()
}

fn list<T>(value: &Option<Vec<T>>) -> &[T] {
    value.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests;
