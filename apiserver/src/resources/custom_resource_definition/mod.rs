//! CustomResourceDefinitions: kinds that are made known at run time.
//!
//! A definition is validated wholly before it is stored, rules in CEL excepted: of those only the frame is checked, since
//! nothing here compiles them. Once it is being deleted a finalizer holds it back for as long as objects of its kind are
//! left. `status.storedVersions` always has the storage version.

use api::field::{Error, ErrorList, Path};
use api::names::object_dns_subdomain;
use api::validate::meta::immutable;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceConversion, CustomResourceDefinition, CustomResourceDefinitionNames, CustomResourceDefinitionStatus,
};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::webhook_client;
use crate::strategy::{AGE_COLUMN, Column, Context, NAME_COLUMN, Names, Strategy, UpdateSubresource};

mod approval;
mod defaults;
mod field_path;
mod formats;
mod list_type;
mod open_api;
mod options;
mod pattern;
mod rules;
mod shown;
mod spec;
mod structural;
mod value;
mod version;
mod view;
mod walk;

use options::Options;

pub(crate) struct CustomResourceDefinitions;

impl Strategy for CustomResourceDefinitions {
    type Object = CustomResourceDefinition;

    fn names(&self) -> Names {
        Names::of::<CustomResourceDefinition>("customresourcedefinition", false)
            .short(&["crd", "crds"])
            .within(&["api-extensions"])
    }

    fn default(&self, object: &mut CustomResourceDefinition) {
        let names = &mut object.spec.names;
        if names.singular.as_ref().is_none_or(String::is_empty) {
            names.singular = Some(names.kind.to_lowercase());
        }
        if names.list_kind.as_ref().is_none_or(String::is_empty) && !names.kind.is_empty() {
            names.list_kind = Some(format!("{}List", names.kind));
        }
        let none = || CustomResourceConversion { strategy: "None".to_owned(), webhook: None };
        let conversion = object.spec.conversion.get_or_insert_with(none);
        let client = conversion.webhook.as_mut().and_then(|webhook| webhook.client_config.as_mut());
        if let Some(service) = client.and_then(|client| client.service.as_mut()) {
            service.port.get_or_insert(webhook_client::DEFAULT_PORT);
        }
        let storage = storage_version(object);
        let status = object.status.get_or_insert_default();
        status.accepted_names.get_or_insert_default();
        if status.stored_versions.as_ref().is_none_or(Vec::is_empty) {
            status.stored_versions = storage.map(|name| vec![name]);
        }
    }

    fn prepare_create(&self, object: &mut CustomResourceDefinition, _: Context<'_>) {
        object.status = Some(CustomResourceDefinitionStatus {
            accepted_names: Some(CustomResourceDefinitionNames::default()),
            stored_versions: storage_version(object).map(|name| vec![name]),
            ..CustomResourceDefinitionStatus::default()
        });
    }

    fn prepare_update(&self, new: &mut CustomResourceDefinition, old: &CustomResourceDefinition, _: Context<'_>) {
        new.status.clone_from(&old.status);
        if let Some(name) = storage_version(new) {
            let stored = new.status.get_or_insert_default().stored_versions.get_or_insert_default();
            if !stored.contains(&name) {
                stored.push(name);
            }
        }
    }

    fn generation(&self) -> Option<fn(new: &CustomResourceDefinition, old: &CustomResourceDefinition) -> bool> {
        Some(|new, old| new.spec != old.spec)
    }

    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        object_dns_subdomain(name, prefix)
    }

    fn validate(&self, object: &CustomResourceDefinition) -> ErrorList {
        let mut errors = validate_name(object);
        errors.extend(spec::validate(&object.spec, Options::NEW, &Path::new("spec")));
        errors.extend(validate_status(object));
        errors.extend(approval::validate(object, None));
        errors.extend(preserves_unknown_fields(object, None));
        errors
    }

    fn validate_update(&self, new: &CustomResourceDefinition, old: &CustomResourceDefinition) -> ErrorList {
        let options = Options::of_update(old);
        let path = Path::new("spec");
        let mut errors = spec::validate(&new.spec, options, &path);
        let (names, old_names) = (&new.spec.names, &old.spec.names);
        if options.require_immutable_names {
            errors.extend(immutable(&new.spec.scope, &old.spec.scope, &path.child("scope")));
            errors.extend(immutable(&names.kind, &old_names.kind, &path.child("names").child("kind")));
        }
        errors.extend(immutable(&new.spec.group, &old.spec.group, &path.child("group")));
        errors.extend(immutable(&names.plural, &old_names.plural, &path.child("names").child("plural")));
        errors.extend(validate_status(new));
        errors.extend(approval::validate(new, Some(old)));
        errors.extend(preserves_unknown_fields(new, Some(old)));
        errors
    }

    fn warnings(&self, new: &CustomResourceDefinition, old: Option<&CustomResourceDefinition>) -> Vec<String> {
        formats::warnings(new, old)
    }

    fn columns(&self) -> &'static [Column] {
        const { &[NAME_COLUMN, Column { name: "Created At", kind: "date", ..AGE_COLUMN }] }
    }

    fn row(&self, object: &CustomResourceDefinition, _: Timestamp) -> Vec<Value> {
        let created = object.metadata.creation_timestamp.as_ref().map(|time| time.0);
        vec![object.metadata.name.clone().into(), seconds(created.unwrap_or(Timestamp::UNIX_EPOCH)).into()]
    }

    fn updates(&self) -> Vec<UpdateSubresource<CustomResourceDefinition>> {
        vec![UpdateSubresource {
            name: "status",
            prepare: |new, old, _| new.spec.clone_from(&old.spec),
            validate: |new, _| spec::validate_status(new.status.as_ref(), &Path::new("status")),
        }]
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }
}

fn seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

fn storage_version(object: &CustomResourceDefinition) -> Option<String> {
    object.spec.versions.iter().find(|version| version.storage).map(|version| version.name.clone())
}

/// A definition is called by what it defines.
fn validate_name(object: &CustomResourceDefinition) -> ErrorList {
    let mut errors = ErrorList::new();
    let required = format!("{}.{}", object.spec.names.plural, object.spec.group);
    let meta = &object.metadata;
    for (field, name) in [("generateName", &meta.generate_name), ("name", &meta.name)] {
        if let Some(name) = name.as_ref().filter(|name| !name.is_empty() && **name != required) {
            let detail = "must be spec.names.plural+\".\"+spec.group";
            errors.push(Error::invalid(&Path::new("metadata").child(field), name, detail));
        }
    }
    errors
}

fn validate_status(object: &CustomResourceDefinition) -> ErrorList {
    let (path, status) = (Path::new("status"), object.status.as_ref());
    let mut errors = spec::validate_status(status, &path);
    errors.extend(spec::validate_stored_versions(status, &object.spec.versions, &path.child("storedVersions")));
    errors
}

/// Only what has always kept unknown fields may go on doing so.
fn preserves_unknown_fields(new: &CustomResourceDefinition, old: Option<&CustomResourceDefinition>) -> Option<Error> {
    let preserves = |object: &CustomResourceDefinition| object.spec.preserve_unknown_fields == Some(true);
    let detail =
        "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
    let path = Path::new("spec").child("preserveUnknownFields");
    (preserves(new) && !old.is_some_and(preserves)).then(|| Error::invalid(&path, true, detail))
}

#[cfg(test)]
mod tests;
