//! Which parts of OpenAPI a schema may use, and what its `x-kubernetes-*` extensions demand of it.
//!
//! Rules in CEL are checked for everything but what they say: they are not compiled, and neither what they cost nor whether
//! they may look at `oldSelf` is known.

use api::field::{Error, ErrorList, Path};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool, JSONSchemaPropsOrStringArray,
};

use super::options::Options;
use super::walk::{of_bool, set, stated, type_of};
use super::{list_type, rules};

/// The types of OpenAPI 3.
pub(super) const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const META_FIELDS: [&str; 3] = ["metadata", "kind", "apiVersion"];

/// What is particular to the place of a schema.
#[derive(Clone, Default)]
struct Place {
    /// It describes a resource's own fields, such as `metadata`.
    inside_meta: bool,
    /// Why there may be no defaults.
    no_defaults: Option<String>,
}

/// What is wrong with a version's schema.
pub(super) fn validate(schema: &JSONSchemaProps, options: &Options, path: &Path) -> ErrorList {
    check(schema, options, &Place::default(), true, path)
}

fn check(schema: &JSONSchemaProps, options: &Options, place: &Place, root: bool, path: &Path) -> ErrorList {
    let mut errors = keywords(schema, options, place, path);
    if set(schema.unique_items) {
        let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(Error::forbidden(&path.child("uniqueItems"), detail));
    }
    errors.extend(below(schema, options, place, root, path));
    if schema.x_kubernetes_preserve_unknown_fields == Some(false) {
        let path = path.child("x-kubernetes-preserve-unknown-fields");
        errors.push(Error::invalid(&path, false, "must be true or undefined"));
    }
    errors.extend(map_type(schema, path));
    errors.extend(list_type::validate(schema, options, path));
    errors.extend(rules::validate(schema, path));
    errors
}

/// The schemas below this one, in upstream's order.
fn below(schema: &JSONSchemaProps, options: &Options, place: &Place, root: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(more) = &schema.additional_properties {
        errors.extend(additional_properties(schema, more, options, place, path));
    }
    for (name, property) in schema.properties.iter().flatten() {
        let mut place = place.clone();
        if (root || set(schema.x_kubernetes_embedded_resource)) && META_FIELDS.contains(&name.as_str()) {
            place.inside_meta = true;
            if root {
                place.no_defaults = Some(format!("in top-level {name}"));
            }
        }
        errors.extend(check(property, options, &place, false, &path.child("properties").key(name)));
    }
    let mut visit = |schema: &JSONSchemaProps, path: &Path| errors.extend(check(schema, options, place, false, path));
    if let Some(schema) = &schema.not {
        visit(schema, &path.child("not"));
    }
    for (name, list) in [("allOf", &schema.all_of), ("oneOf", &schema.one_of), ("anyOf", &schema.any_of)] {
        for (i, schema) in list.iter().flatten().enumerate() {
            visit(schema, &path.child(name).index(i));
        }
    }
    for (name, schema) in schema.definitions.iter().flatten() {
        visit(schema, &path.child("definitions").key(name));
    }
    match &schema.items {
        None => {}
        Some(JSONSchemaPropsOrArray::Schema(schema)) => visit(schema, &path.child("items")),
        Some(JSONSchemaPropsOrArray::Schemas(schemas)) => {
            schemas.iter().enumerate().for_each(|(i, schema)| visit(schema, &path.child("items").index(i)));
        }
    }
    for (name, dependency) in schema.dependencies.iter().flatten() {
        if let JSONSchemaPropsOrStringArray::Schema(schema) = dependency {
            visit(schema, &path.child("dependencies").key(name));
        }
    }
    errors
}

fn additional_properties(
    schema: &JSONSchemaProps,
    more: &JSONSchemaPropsOrBool,
    options: &Options,
    place: &Place,
    path: &Path,
) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = path.child("additionalProperties");
    let has_properties = schema.properties.as_ref().is_some_and(|properties| !properties.is_empty());
    if has_properties && !matches!(more, JSONSchemaPropsOrBool::Bool(true)) {
        errors.push(Error::forbidden(&path, "additionalProperties and properties are mutual exclusive"));
    }
    let mut place = place.clone();
    if place.inside_meta {
        place.no_defaults = Some("inside additionalProperties applying to object metadata".to_owned());
    }
    errors.extend(of_bool(more).map(|more| check(more, options, &place, false, &path)).unwrap_or_default());
    errors
}

/// What of OpenAPI, and of JSON schemas before it, is not supported.
fn keywords(schema: &JSONSchemaProps, options: &Options, place: &Place, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let kind = type_of(schema);
    if options.require_valid_types && !kind.is_empty() && !TYPES.contains(&kind) {
        errors.push(Error::not_supported(&path.child("type"), kind, &TYPES));
    }
    if let (Some(_), Some(why)) = (&schema.default, &place.no_defaults) {
        errors.push(Error::forbidden(&path.child("default"), format!("must not be set {why}")));
    }
    let is_list = matches!(&schema.items, Some(JSONSchemaPropsOrArray::Schemas(schemas)) if !schemas.is_empty());
    let unsupported = [
        (stated(&schema.id), "id", "id is not supported"),
        (schema.additional_items.is_some(), "additionalItems", "additionalItems is not supported"),
        (filled(schema.pattern_properties.as_ref()), "patternProperties", "patternProperties is not supported"),
        (filled(schema.definitions.as_ref()), "definitions", "definitions is not supported"),
        (schema.dependencies.is_some(), "dependencies", "dependencies is not supported"),
        (schema.ref_path.is_some(), "$ref", "$ref is not supported"),
        (kind == "null", "type", "type cannot be set to null, use nullable as an alternative"),
        (is_list, "items", "items must be a schema object and not an array"),
        (
            place.inside_meta && set(schema.x_kubernetes_embedded_resource),
            "x-kubernetes-embedded-resource",
            "must not be used inside of resource meta",
        ),
    ];
    for (used, field, detail) in unsupported {
        if used {
            errors.push(Error::forbidden(&path.child(field), detail));
        }
    }
    errors
}

fn filled<V>(map: Option<&std::collections::BTreeMap<String, V>>) -> bool {
    map.is_some_and(|map| !map.is_empty())
}

fn map_type(schema: &JSONSchemaProps, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let Some(map_type) = schema.x_kubernetes_map_type.as_deref() else { return errors };
    let detail = "must be object if x-kubernetes-map-type is specified";
    match type_of(schema) {
        "object" => {}
        "" => errors.push(Error::required(&path.child("type"), detail)),
        kind => errors.push(Error::invalid(&path.child("type"), kind, detail)),
    }
    if !["atomic", "granular"].contains(&map_type) {
        let path = path.child("x-kubernetes-map-type");
        errors.push(Error::not_supported(&path, map_type, &["atomic", "granular"]));
    }
    errors
}
