//! StorageVersionMigrations: that all objects of a resource are to be written again, in the version in which they are stored
//! by now.

use api::field::{BadValue, Error, ErrorList, Path};
use api::names::{dns1035_label, dns1123_subdomain};
use api::validate::conditions::validate_conditions;
use api::validate::meta::FIELD_IMMUTABLE;
use k8s_openapi::api::storagemigration::v1::{
    StorageVersionMigration, StorageVersionMigrationSpec, StorageVersionMigrationStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, GroupResource, Time};
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::pod_spec::absent::{list, text};
use super::status_meta;
use crate::strategy::{Column, Context, NAME_COLUMN, Names, Strategy, UpdateSubresource};

const SUCCEEDED: &str = "Succeeded";
const FAILED: &str = "Failed";
const RUNNING: &str = "Running";

pub(crate) struct StorageVersionMigrations;

impl Strategy for StorageVersionMigrations {
    type Object = StorageVersionMigration;

    fn names(&self) -> Names {
        Names::of::<StorageVersionMigration>("storageversionmigration", false)
    }

    fn prepare_create(&self, object: &mut StorageVersionMigration, _: Context<'_>) {
        object.status = Some(StorageVersionMigrationStatus::default());
    }

    fn prepare_update(&self, new: &mut StorageVersionMigration, old: &StorageVersionMigration, _: Context<'_>) {
        new.status.clone_from(&old.status);
    }

    fn validate(&self, object: &StorageVersionMigration) -> ErrorList {
        let path = Path::new("spec").child("resource");
        let GroupResource { group, resource } = spec_of(object).resource;
        let resource_path = path.child("resource");
        let mut errors = ErrorList::new();
        if resource.is_empty() {
            errors.push(Error::required(&resource_path, "resource is required to be set"));
        } else {
            errors.extend(joined(&resource, &dns1035_label(&resource), &resource_path));
        }
        if !group.is_empty() {
            errors.extend(joined(&group, &dns1123_subdomain(&group), &path.child("group")));
        }
        errors
    }

    fn validate_update(&self, new: &StorageVersionMigration, old: &StorageVersionMigration) -> ErrorList {
        let mut errors = self.validate(new);
        let spec = spec_of(new);
        if spec != spec_of(old) {
            errors.push(Error::invalid(&Path::new("spec"), shown_spec(&spec), FIELD_IMMUTABLE));
        }
        errors
    }

    fn columns(&self) -> &'static [Column] {
        // Upstream does not say that it is the name.
        const NAME: Column = Column { format: "", ..NAME_COLUMN };
        const { &[NAME, Column::new("Resource", "Fully qualified resource to migrate")] }
    }

    fn row(&self, object: &StorageVersionMigration, _: Timestamp) -> Vec<Value> {
        let GroupResource { group, resource } = spec_of(object).resource;
        vec![object.metadata.name.clone().into(), format!("{resource}.{group}").into()]
    }

    fn updates(&self) -> Vec<UpdateSubresource<StorageVersionMigration>> {
        vec![UpdateSubresource {
            name: "status",
            prepare: |new, old, _| {
                new.spec.clone_from(&old.spec);
                status_meta::reset(&mut new.metadata, &old.metadata);
            },
            validate: |new, old| {
                let status = |object: &StorageVersionMigration| object.status.clone().unwrap_or_default();
                validate_status(&status(new), &status(old), &Path::new("status"))
            },
        }]
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }
}

fn spec_of(object: &StorageVersionMigration) -> StorageVersionMigrationSpec {
    object.spec.clone().unwrap_or_default()
}

/// The messages of a validator of names, as one error.
fn joined(value: &str, messages: &[String], path: &Path) -> Option<Error> {
    (!messages.is_empty()).then(|| Error::invalid(path, value, messages.join(",")))
}

/// A spec in the names of upstream's internal type, which its message shows.
fn shown_spec(spec: &StorageVersionMigrationSpec) -> BadValue {
    #[derive(Serialize)]
    struct Shown<'a> {
        #[serde(rename = "Resource")]
        resource: &'a GroupResource,
    }
    BadValue::json(&Shown { resource: &spec.resource })
}

fn validate_status(new: &StorageVersionMigrationStatus, old: &StorageVersionMigrationStatus, path: &Path) -> ErrorList {
    let (version, version_path) = (text(&new.resource_version), path.child("resourceVersion"));
    let mut errors = ErrorList::new();
    if !is_version(version) {
        let detail = format!("resource version is not well formed: {version}");
        errors.push(Error::invalid(&version_path, version, detail));
    }
    let (conditions, conditions_path) = (list(&new.conditions), path.child("conditions"));
    errors.extend(validate_conditions(conditions, &conditions_path));
    let old_version = text(&old.resource_version);
    if !old_version.is_empty() && old_version != version {
        errors.push(Error::invalid(&version_path, version, FIELD_IMMUTABLE));
    }
    let is = |kind: &str| is_true(conditions, kind);
    let was = |kind: &str| is_true(list(&old.conditions), kind);
    let rules = [
        (is(SUCCEEDED) && is(FAILED), "Both success and failed conditions cannot be true at the same time"),
        (is(SUCCEEDED) && is(RUNNING), "Running condition cannot be true when success condition is true"),
        (is(FAILED) && is(RUNNING), "Running condition cannot be true when failed condition is true"),
        (was(SUCCEEDED) && !is(SUCCEEDED), "Success condition cannot be set to false once it is true"),
        (was(FAILED) && !is(FAILED), "Failed condition cannot be set to false once it is true"),
    ];
    for (_, detail) in rules.into_iter().filter(|(is_broken, _)| *is_broken) {
        errors.push(Error::invalid(&conditions_path, shown_conditions(new.conditions.as_ref()), detail));
    }
    errors
}

/// Whether the text is a version that an object can have: a number above 0, of any length, without leading zeros.
fn is_version(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether the first condition of a type is true.
fn is_true(conditions: &[Condition], kind: &str) -> bool {
    conditions.iter().find(|condition| condition.type_ == kind).is_some_and(|condition| condition.status == "True")
}

/// Conditions with their fields in Go's order.
fn shown_conditions(conditions: Option<&Vec<Condition>>) -> BadValue {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Shown<'a> {
        r#type: &'a str,
        status: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        observed_generation: Option<i64>,
        last_transition_time: &'a Time,
        reason: &'a str,
        message: &'a str,
    }
    let Some(conditions) = conditions else { return BadValue::null() };
    let shown = conditions.iter().map(|condition| Shown {
        r#type: &condition.type_,
        status: &condition.status,
        observed_generation: condition.observed_generation.filter(|generation| *generation != 0),
        last_transition_time: &condition.last_transition_time,
        reason: &condition.reason,
        message: &condition.message,
    });
    BadValue::json(&shown.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests;
