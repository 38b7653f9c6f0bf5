//! Lists that are sets or maps (`x-kubernetes-list-type`): what their items and keys must be like.

use api::field::{BadValue, Error, ErrorList, Path};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;

use super::options::Options;
use super::shown::ItemsOf;
use super::walk::{items, property, set, type_of};

const TYPES: [&str; 3] = ["atomic", "set", "map"];
const LIST_TYPE: &str = "x-kubernetes-list-type";
const KEYS: &str = "x-kubernetes-list-map-keys";

/// What is wrong with a schema's list type and the keys of its items.
pub(super) fn validate(schema: &JSONSchemaProps, options: &Options, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let list_type = schema.x_kubernetes_list_type.as_deref();
    if let Some(list_type) = list_type {
        let detail = "must be array if x-kubernetes-list-type is specified";
        match type_of(schema) {
            "array" if list_type == "set" && options.require_atomic_sets => {
                errors.extend(set_items(schema, &path.child("items")));
            }
            "array" => {}
            "" => errors.push(Error::required(&path.child("type"), detail)),
            kind => errors.push(Error::invalid(&path.child("type"), kind, detail)),
        }
        if !TYPES.contains(&list_type) {
            errors.push(Error::not_supported(&path.child(LIST_TYPE), list_type, &TYPES));
        }
    }
    if !keys(schema).is_empty() && list_type != Some("map") {
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        let path = path.child(LIST_TYPE);
        errors.push(match list_type {
            None => Error::required(&path, detail),
            Some(list_type) => Error::invalid(&path, list_type, detail),
        });
    }
    if list_type == Some("map") {
        errors.extend(map(schema, path));
    }
    if options.require_sound_lists {
        errors.extend(soundness(schema, path));
    }
    errors
}

/// Whether some set below has items that are not atomic.
pub(super) fn has_items_that_are_not_atomic(schema: &JSONSchemaProps) -> bool {
    schema.x_kubernetes_list_type.as_deref() == Some("set") && set_items(schema, &Path::nil()).is_some()
}

/// Items of a set are compared as a whole.
fn set_items(schema: &JSONSchemaProps, path: &Path) -> Option<Error> {
    let items = items(schema)?;
    let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
    let list_type = items.x_kubernetes_list_type.as_deref();
    match type_of(items) {
        "array" if list_type.is_some_and(|list_type| list_type != "atomic") => {
            Some(Error::invalid(&path.child(LIST_TYPE), list_type, detail))
        }
        "object" if items.x_kubernetes_map_type.as_deref() != Some("atomic") => {
            // Upstream shows the list type here, too.
            Some(Error::invalid(&path.child("x-kubernetes-map-type"), list_type, detail))
        }
        _ => None,
    }
}

fn keys(schema: &JSONSchemaProps) -> &[String] {
    schema.x_kubernetes_list_map_keys.as_deref().unwrap_or_default()
}

fn map(schema: &JSONSchemaProps, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let items_path = path.child("items");
    if keys(schema).is_empty() {
        errors.push(Error::required(&path.child(KEYS), "must not be empty if x-kubernetes-list-type is map"));
    }
    let Some(any_items) = &schema.items else {
        errors.push(Error::required(&items_path, "must have a schema if x-kubernetes-list-type is map"));
        return errors;
    };
    let Some(items) = items(schema) else {
        let detail = "must only have a single schema if x-kubernetes-list-type is map";
        errors.push(Error::invalid(&items_path, BadValue::json(&ItemsOf::from(any_items)), detail));
        return errors;
    };
    if type_of(items) != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(Error::invalid(&items_path.child("type"), type_of(items), detail));
        return errors;
    }
    let mut seen: Vec<&str> = Vec::new();
    for key in keys(schema) {
        match property(items, key) {
            Some(property) if matches!(type_of(property), "array" | "object") => {
                let path = items_path.child("properties").key(key).child("type");
                let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                errors.push(Error::invalid(&path, type_of(items), detail));
            }
            Some(_) => {}
            None => {
                let detail = "entries must all be names of item properties";
                errors.push(Error::invalid(&path.child(KEYS), keys(schema), detail));
            }
        }
        if seen.contains(&key.as_str()) {
            errors.push(Error::invalid(&path.child(KEYS), keys(schema), "must not contain duplicate entries"));
        }
        seen.push(key);
    }
    errors
}

/// That items are never null, and that the keys of a map's items are always there.
pub(super) fn soundness(schema: &JSONSchemaProps, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let Some(items) = items(schema) else { return errors };
    let Some(list_type @ ("set" | "map")) = schema.x_kubernetes_list_type.as_deref() else { return errors };
    let path = path.child("items");
    if set(items.nullable) {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {list_type}");
        errors.push(Error::forbidden(&path.child("nullable"), detail));
    }
    if list_type == "set" {
        return errors;
    }
    for key in keys(schema) {
        let Some(property) = property(items, key) else { continue };
        let path = path.child("properties").key(key);
        if !items.required.iter().flatten().any(|name| name == key) && property.default.is_none() {
            let detail =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(Error::required(&path.child("default"), detail));
        }
        if set(property.nullable) {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(Error::forbidden(&path.child("nullable"), detail));
        }
    }
    errors
}
