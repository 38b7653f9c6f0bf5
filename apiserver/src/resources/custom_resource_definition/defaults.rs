//! Defaults in a schema: they are what the schema describes, and hold nothing that it would prune.

use api::field::{BadValue, Error, ErrorList, Path};
use api::names::{dns1035_label, object_path_segment};
use api::validate::meta::validate_object_meta;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use super::walk::{any, items, of_bool, set};
use super::{structural, value};

const META_FIELDS: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// A step from a resource down to one of its fields.
#[derive(Clone)]
enum Step {
    Field(String),
    Item,
}

/// What is wrong with the defaults of a resource's schema.
pub(super) fn validate(schema: &JSONSchemaProps, pruned: bool, path: &Path) -> ErrorList {
    let root = JSONSchemaProps { x_kubernetes_embedded_resource: Some(true), ..schema.clone() };
    check(&root, &[], false, pruned, path)
}

/// Whether some default of a structural schema holds what the schema would prune.
pub(super) fn are_not_pruned(schema: &JSONSchemaProps) -> bool {
    let is_structural =
        || structural::unconvertible(schema).is_none() && structural::validate(schema, &Path::nil()).is_empty();
    any(schema, &mut |schema| schema.default.as_ref().is_some_and(|default| is_changed(&default.0, schema)))
        && is_structural()
}

fn is_changed(default: &Value, schema: &JSONSchemaProps) -> bool {
    let mut pruned = default.clone();
    value::prune(&mut pruned, Some(schema));
    pruned != *default
}

/// `meta` says that the schema describes a field which every resource has, and `steps` leads there from the resource.
fn check(schema: &JSONSchemaProps, steps: &[Step], meta: bool, pruned: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let embedded = set(schema.x_kubernetes_embedded_resource);
    let (steps, meta) = if embedded { (&[][..], false) } else { (steps, meta) };
    if let Some(default) = schema.default.as_ref().map(|default| &default.0).filter(|default| !default.is_null()) {
        errors.extend(check_default(default, schema, steps, meta, pruned, &path.child("default")));
    }
    if let Some(items) = items(schema) {
        let below = [steps, &[Step::Item]].concat();
        errors.extend(check(items, &below, meta, pruned, &path.child("items")));
    }
    for (name, property) in schema.properties.iter().flatten() {
        let meta = meta || (embedded && META_FIELDS.contains(&name.as_str()));
        let below = [steps, &[Step::Field(name.clone())]].concat();
        errors.extend(check(property, &below, meta, pruned, &path.child("properties").key(name)));
    }
    errors
}

fn check_default(
    default: &Value,
    schema: &JSONSchemaProps,
    steps: &[Step],
    meta: bool,
    pruned: bool,
    path: &Path,
) -> ErrorList {
    let mut errors = ErrorList::new();
    if meta {
        let wrong = resource(&around(default, steps), &Path::nil());
        if !wrong.is_empty() {
            let detail = format!("must result in valid metadata: {wrong}");
            return Error::invalid(path, shown(default), detail).into();
        }
        return value::validate(default, schema, path);
    }
    if pruned && is_changed(default, schema) {
        errors.push(Error::invalid(path, shown(default), "must not have unknown fields"));
    }
    let wrong = resources(default, schema, path);
    errors.extend(if wrong.is_empty() { value::validate(default, schema, path) } else { wrong });
    errors
}

fn shown(value: &Value) -> BadValue {
    match value {
        Value::String(text) => text.into(),
        other => BadValue::json(other),
    }
}

/// A resource with `value` where the steps lead.
fn around(value: &Value, steps: &[Step]) -> Value {
    let inner = steps.iter().rev().fold(value.clone(), |value, step| match step {
        Step::Field(name) => json!({name: value}),
        Step::Item => json!([value]),
    });
    let mut object = json!({"apiVersion": "validation/v1", "kind": "Validation"});
    if let (Value::Object(object), Value::Object(inner)) = (&mut object, inner) {
        object.extend(inner);
    }
    object
}

/// What is wrong with the resources that a value embeds.
fn resources(value: &Value, schema: &JSONSchemaProps, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    match value {
        Value::Object(fields) => {
            if set(schema.x_kubernetes_embedded_resource) {
                errors.extend(resource(value, path));
            }
            for (name, value) in fields {
                if let Some(schema) = schema.properties.as_ref().and_then(|properties| properties.get(name)) {
                    errors.extend(resources(value, schema, &path.child(name)));
                } else if let Some(schema) = schema.additional_properties.as_ref().and_then(of_bool) {
                    errors.extend(resources(value, schema, &path.key(name)));
                }
            }
        }
        Value::Array(list) => {
            for (i, value) in list.iter().enumerate() {
                let described = items(schema);
                errors.extend(described.map(|schema| resources(value, schema, &path.index(i))).unwrap_or_default());
            }
        }
        _ => {}
    }
    errors
}

/// What is wrong with what a resource says of itself.
fn resource(value: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for field in ["apiVersion", "kind"] {
        let path = path.child(field);
        match value.get(field) {
            None => errors.push(Error::required(&path, "")),
            Some(Value::String(text)) if text.is_empty() => errors.push(Error::required(&path, "")),
            Some(Value::String(text)) if field == "kind" => {
                let messages = dns1035_label(&text.to_lowercase());
                if !messages.is_empty() {
                    let detail = format!("may have mixed case, but should otherwise match: {}", messages.join(","));
                    errors.push(Error::invalid(&path, text, detail));
                }
            }
            Some(Value::String(text)) => {
                if text.matches('/').count() > 1 {
                    errors.push(Error::invalid(&path, text, format!("unexpected GroupVersion string: {text}")));
                }
            }
            Some(other) => errors.push(Error::invalid(&path, BadValue::json(other), "must be a string")),
        }
    }
    let Some(metadata) = value.get("metadata") else { return errors };
    let path = path.child("metadata");
    match serde_json::from_value::<ObjectMeta>(metadata.clone()) {
        Err(error) => errors.push(Error::invalid(&path, BadValue::json(metadata), error.to_string())),
        Ok(mut meta) => {
            if meta.name.as_deref().unwrap_or_default().is_empty() {
                // Which name the resource gets is not at issue.
                meta.name = Some("fakename".to_owned());
            }
            let namespaced = meta.namespace.as_ref().is_some_and(|namespace| !namespace.is_empty());
            errors.extend(validate_object_meta(&meta, namespaced, object_path_segment, &path));
        }
    }
    errors
}
