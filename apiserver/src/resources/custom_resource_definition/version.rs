//! What one version of a resource has: its schema, subresources, printer columns and selectable fields.

use std::collections::HashSet;

use api::field::{BadValue, Error, ErrorList, Path};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceSubresources, CustomResourceValidation, JSONSchemaProps,
    SelectableField,
};

use super::options::Options;
use super::shown::Shown;
use super::walk::{set, type_of};
use super::{defaults, field_path, open_api, structural};

const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 10] =
    ["byte", "date", "date-time", "double", "float", "int32", "int64", "name", "password", "string"];
/// How many fields of a version selectors may name.
const MAX_SELECTABLE_FIELDS: usize = 8;
/// What the root of a schema may have when there is a status that is validated by itself.
const ROOT_FIELDS: &str = "[Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength \
    MinLength Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example \
    XPreserveUnknownFields XValidations]";

/// Whether a schema uses extensions that only structural schemas may.
pub(super) fn uses_extensions(schema: &JSONSchemaProps) -> bool {
    set(schema.x_kubernetes_embedded_resource)
        || schema.x_kubernetes_preserve_unknown_fields.is_some()
        || set(schema.x_kubernetes_int_or_string)
        || schema.x_kubernetes_list_map_keys.as_ref().is_some_and(|keys| !keys.is_empty())
        || schema.x_kubernetes_list_type.is_some()
        || schema.x_kubernetes_validations.as_ref().is_some_and(|rules| !rules.is_empty())
}

/// What is wrong with a schema. `status` says that the status is a subresource.
pub(super) fn schema(validation: &CustomResourceValidation, status: bool, options: &Options, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let Some(schema) = &validation.open_api_v3_schema else { return errors };
    let path = path.child("openAPIV3Schema");
    if status {
        errors.extend(root_fields(schema, &path));
    }
    if set(schema.nullable) {
        errors.push(Error::forbidden(&path.child("nullable"), "nullable cannot be true at the root"));
    }
    let mut unconvertible = None;
    if options.require_structural {
        unconvertible = structural::unconvertible(schema);
        if unconvertible.is_none() {
            let wrong = structural::validate(schema, &path);
            let defaults = || defaults::validate(schema, options.require_pruned_defaults, &path);
            errors.extend(if wrong.is_empty() { defaults() } else { wrong });
        }
    }
    errors.extend(open_api::validate(schema, options, &path));
    if let Some(why) = unconvertible.filter(|_| errors.is_empty()) {
        errors.push(Error::invalid(&path, "", why));
    }
    errors
}

/// A status that is validated by itself needs nothing from the root.
fn root_fields(schema: &JSONSchemaProps, path: &Path) -> Option<Error> {
    let refuse = || {
        let detail = format!(
            "only {ROOT_FIELDS} fields are allowed at the root of the schema if the status subresource is enabled"
        );
        Some(Error::invalid(path, BadValue::json(&Shown::from(schema)), detail))
    };
    let is_set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    if is_set(&schema.id) || is_set(&schema.schema) || schema.ref_path.is_some() {
        return refuse();
    }
    if !matches!(type_of(schema), "" | "object") {
        let detail =
            "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
        return Some(Error::invalid(&path.child("type"), type_of(schema), detail));
    }
    let others = set(schema.nullable)
        || schema.default.is_some()
        || schema.enum_.is_some()
        || schema.max_properties.is_some()
        || schema.min_properties.is_some()
        || schema.all_of.is_some()
        || schema.one_of.is_some()
        || schema.any_of.is_some()
        || schema.not.is_some()
        || schema.additional_properties.is_some()
        || schema.pattern_properties.is_some()
        || schema.dependencies.is_some()
        || schema.additional_items.is_some()
        || schema.definitions.is_some()
        || set(schema.x_kubernetes_embedded_resource)
        || set(schema.x_kubernetes_int_or_string)
        || schema.x_kubernetes_list_map_keys.is_some()
        || schema.x_kubernetes_list_type.is_some()
        || schema.x_kubernetes_map_type.is_some();
    if others { refuse() } else { None }
}

/// What is wrong with subresources.
pub(super) fn subresources(subresources: Option<&CustomResourceSubresources>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let Some(scale) = subresources.and_then(|subresources| subresources.scale.as_ref()) else { return errors };
    let path = path.child("scale");
    let required = [
        ("specReplicasPath", &scale.spec_replicas_path, ".spec"),
        ("statusReplicasPath", &scale.status_replicas_path, ".status"),
    ];
    for (field, value, below) in required {
        let path = path.child(field);
        if value.is_empty() {
            errors.push(Error::required(&path, ""));
        } else if let Some(error) = simple_json_path(value, &path) {
            errors.push(error);
        } else if !is_below(value, below) {
            errors.push(Error::invalid(&path, value, format!("should be a json path under {below}")));
        }
    }
    if let Some(value) = scale.label_selector_path.as_ref().filter(|value| !value.is_empty()) {
        let path = path.child("labelSelectorPath");
        if let Some(error) = simple_json_path(value, &path) {
            errors.push(error);
        } else if !is_below(value, ".spec") && !is_below(value, ".status") {
            let detail = "should be a json path under either .spec or .status";
            errors.push(Error::invalid(&path, value, detail));
        }
    }
    errors
}

fn is_below(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.starts_with('.'))
}

fn simple_json_path(text: &str, path: &Path) -> Option<Error> {
    (!text.starts_with('.')).then(|| Error::invalid(path, text, "must be a simple json path starting with ."))
}

/// What is wrong with printer columns.
pub(super) fn columns(columns: &[CustomResourceColumnDefinition], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, column) in columns.iter().enumerate() {
        let path = path.index(i);
        if column.name.is_empty() {
            errors.push(Error::required(&path.child("name"), ""));
        }
        let detail = format!("must be one of {}", COLUMN_TYPES.join(","));
        if column.type_.is_empty() {
            errors.push(Error::required(&path.child("type"), detail));
        } else if !COLUMN_TYPES.contains(&column.type_.as_str()) {
            errors.push(Error::invalid(&path.child("type"), &column.type_, detail));
        }
        let format = column.format.as_deref().unwrap_or_default();
        if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
            let detail = format!("must be one of {}", COLUMN_FORMATS.join(","));
            errors.push(Error::invalid(&path.child("format"), format, detail));
        }
        // The field had another name in the first version, which messages have kept.
        let path = path.child("JSONPath");
        if column.json_path.is_empty() {
            errors.push(Error::required(&path, ""));
        } else {
            errors.extend(simple_json_path(&column.json_path, &path));
        }
    }
    errors
}

/// What is wrong with selectable fields. `missing` is said when there is nothing that they could name.
pub(super) fn selectable_fields(
    fields: &[SelectableField],
    schema: Option<Option<&JSONSchemaProps>>,
    missing: &str,
    path: &Path,
) -> ErrorList {
    let mut errors = ErrorList::new();
    let fields_path = path.child("selectableFields");
    let Some(schema) = schema else { return Error::invalid(&fields_path, "", missing).into() };
    if let Some(why) = schema.and_then(structural::unconvertible) {
        errors.push(Error::invalid(&path.child("schema").child("openAPIV3Schema"), "", why));
        return errors;
    }
    let mut unique = HashSet::new();
    let empty = JSONSchemaProps::default();
    for (i, SelectableField { json_path }) in fields.iter().enumerate() {
        let path = fields_path.index(i).child("jsonPath");
        if json_path.is_empty() {
            errors.push(Error::required(&path, ""));
            continue;
        }
        let found = match field_path::find(json_path, schema.unwrap_or(&empty), false) {
            Ok(found) => found,
            Err(why) => {
                errors.push(Error::invalid(&path, json_path, format!("is an invalid path: {why}")));
                continue;
            }
        };
        if found.root == "metadata" {
            errors.push(Error::invalid(&path, json_path, "must not point to fields in metadata"));
        }
        if !found.schema.is_some_and(|schema| matches!(type_of(schema), "string" | "boolean" | "integer")) {
            let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings with \
                          formats are allowed.";
            errors.push(Error::invalid(&path, json_path, detail));
        }
        if !unique.insert(found.path) {
            errors.push(Error::duplicate(&path, json_path));
        }
    }
    if unique.len() > MAX_SELECTABLE_FIELDS {
        errors.push(Error::too_many(&fields_path, unique.len(), MAX_SELECTABLE_FIELDS));
    }
    errors
}
