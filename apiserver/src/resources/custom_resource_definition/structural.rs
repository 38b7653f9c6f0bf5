//! Structural schemas: every field is specified outside of value validation, so that objects can be pruned, defaulted and
//! published by the schema alone (upstream's `ValidateStructural`).

use api::field::{Error, ErrorList, Path};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, JSONSchemaPropsOrArray};

use super::pattern;
use super::walk::{items, of_bool, property, set, stated, type_of};

/// Where in a resource a schema stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Why a schema cannot be made structural at all. Other rules say the same of the fields in question.
pub(super) fn unconvertible(schema: &JSONSchemaProps) -> Option<String> {
    let unsupported = [
        ("id", stated(&schema.id)),
        ("schema", stated(&schema.schema)),
        ("$ref", stated(&schema.ref_path)),
        ("patternProperties", schema.pattern_properties.as_ref().is_some_and(|map| !map.is_empty())),
        ("dependencies", schema.dependencies.as_ref().is_some_and(|map| !map.is_empty())),
        ("additionalItems", schema.additional_items.is_some()),
        ("definitions", schema.definitions.as_ref().is_some_and(|map| !map.is_empty())),
    ];
    if let Some((name, _)) = unsupported.iter().find(|(_, used)| *used) {
        return Some(format!("OpenAPIV3Schema '{name}' is not supported"));
    }
    let junctors = [&schema.all_of, &schema.any_of, &schema.one_of];
    let nested = schema.not.as_deref().into_iter().chain(junctors.into_iter().flatten().flatten());
    if let Some(why) = nested.into_iter().find_map(unconvertible) {
        return Some(why);
    }
    if let Some(why) = schema.additional_properties.as_ref().and_then(of_bool).and_then(unconvertible) {
        return Some(why);
    }
    if schema.x_kubernetes_preserve_unknown_fields == Some(false) {
        let why = "internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined";
        return Some(why.to_owned());
    }
    if matches!(&schema.items, Some(JSONSchemaPropsOrArray::Schemas(schemas)) if !schemas.is_empty()) {
        return Some("OpenAPIV3Schema 'items' must be a schema, but is an array".to_owned());
    }
    let below = items(schema).into_iter().chain(schema.properties.iter().flatten().map(|(_, schema)| schema));
    below.into_iter().find_map(unconvertible)
}

/// What keeps a schema from being structural, by message.
pub(super) fn validate(schema: &JSONSchemaProps, path: &Path) -> ErrorList {
    let mut errors = invariants(schema, Level::Root, path);
    errors.extend(junctors_complete(schema, schema, path, path));
    let mut sorted: Vec<Error> = errors.iter().cloned().collect();
    sorted.sort_by_key(ToString::to_string);
    sorted.into_iter().collect()
}

fn invariants(schema: &JSONSchemaProps, level: Level, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if type_of(schema) == "array" && items(schema).is_none() {
        errors.push(Error::required(&path.child("items"), "must be specified"));
    }
    if let Some(items) = items(schema) {
        errors.extend(invariants(items, Level::Item, &path.child("items")));
    }
    for (name, property) in schema.properties.iter().flatten() {
        errors.extend(invariants(property, Level::Field, &path.child("properties").key(name)));
    }
    if let Some(more) = &schema.additional_properties {
        let path = path.child("additionalProperties");
        if level == Level::Root {
            errors.push(Error::forbidden(&path, "must not be used at the root"));
        }
        errors.extend(of_bool(more).map(|more| invariants(more, Level::Field, &path)).unwrap_or_default());
    }
    errors.extend(extensions(schema, path));
    let skip_any_of = schema.any_of.as_deref().is_some_and(is_int_or_string);
    let first = schema.all_of.as_deref().and_then(<[_]>::first);
    let skip_first = first.and_then(|first| first.any_of.as_deref()).is_some_and(is_int_or_string);
    errors.extend(value_validation(schema, skip_any_of, skip_first, path));
    errors.extend(types(schema, level, path));
    errors.extend(resource_fields(schema, level, path));
    errors
}

fn extensions(schema: &JSONSchemaProps, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if !set(schema.x_kubernetes_int_or_string) {
        return errors;
    }
    let detail = "must be false if x-kubernetes-int-or-string is true";
    if set(schema.x_kubernetes_preserve_unknown_fields) {
        errors.push(Error::invalid(&path.child("x-kubernetes-preserve-unknown-fields"), true, detail));
    }
    if set(schema.x_kubernetes_embedded_resource) {
        errors.push(Error::invalid(&path.child("x-kubernetes-embedded-resource"), true, detail));
    }
    errors
}

fn types(schema: &JSONSchemaProps, level: Level, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (type_path, kind) = (path.child("type"), type_of(schema));
    let embedded = set(schema.x_kubernetes_embedded_resource);
    let any_type = set(schema.x_kubernetes_int_or_string) || set(schema.x_kubernetes_preserve_unknown_fields);
    let detail = "must be object if x-kubernetes-embedded-resource is true";
    match kind {
        "" if embedded => errors.push(Error::required(&type_path, detail)),
        _ if embedded && kind != "object" => errors.push(Error::invalid(&type_path, kind, detail)),
        "" if !any_type => {
            let detail = match level {
                Level::Root => "must not be empty at the root",
                Level::Item => "must not be empty for specified array items",
                Level::Field => "must not be empty for specified object fields",
            };
            errors.push(Error::required(&type_path, detail));
        }
        _ => {}
    }
    if embedded && schema.additional_properties.is_some() {
        let detail = "must not be used if x-kubernetes-embedded-resource is set";
        errors.push(Error::forbidden(&path.child("additionalProperties"), detail));
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        errors.push(Error::invalid(&type_path, kind, "must be object at the root"));
    }
    errors
}

/// Rules of `apiVersion`, `kind` and `metadata`, which every resource has.
fn resource_fields(schema: &JSONSchemaProps, level: Level, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let embedded = set(schema.x_kubernetes_embedded_resource);
    let is_resource = level == Level::Root || embedded;
    let properties = path.child("properties");
    for name in ["kind", "apiVersion"] {
        let Some(property) = property(schema, name).filter(|_| is_resource) else { continue };
        if type_of(property) != "string" {
            errors.push(Error::invalid(&properties.key(name).child("type"), type_of(property), "must be string"));
        }
    }
    if let Some(metadata) = property(schema, "metadata") {
        let path = properties.key("metadata");
        if is_resource && type_of(metadata) != "object" {
            errors.push(Error::invalid(&path.child("type"), type_of(metadata), "must be object"));
        }
        if level == Level::Root && !restricts_names_only(metadata) {
            let detail =
                "must not specify anything other than name and generateName, but metadata is implicitly specified";
            errors.push(Error::forbidden(&path, detail));
        }
    }
    let is_open = set(schema.x_kubernetes_preserve_unknown_fields);
    if embedded && !is_open && schema.properties.as_ref().is_none_or(|properties| properties.is_empty()) {
        let detail = "must not be empty if x-kubernetes-embedded-resource is true without \
                      x-kubernetes-preserve-unknown-fields";
        errors.push(Error::required(&properties, detail));
    }
    errors
}

fn restricts_names_only(metadata: &JSONSchemaProps) -> bool {
    let is_name = |name: &String| name == "name" || name == "generateName";
    if !metadata.properties.iter().flatten().all(|(name, _)| is_name(name)) {
        return false;
    }
    // Types and defaults have rules of their own, and documentation makes no difference.
    let rest = JSONSchemaProps {
        properties: None,
        type_: None,
        default: None,
        external_docs: None,
        example: None,
        ..metadata.clone()
    };
    rest == JSONSchemaProps::default()
}

/// Whether these are the two alternatives that `x-kubernetes-int-or-string` allows.
fn is_int_or_string(any_of: &[JSONSchemaProps]) -> bool {
    let is = |schema: &JSONSchemaProps, kind: &str| {
        let rest = JSONSchemaProps { type_: None, external_docs: None, example: None, ..schema.clone() };
        type_of(schema) == kind && rest == JSONSchemaProps::default()
    };
    matches!(any_of, [first, second] if is(first, "integer") && is(second, "string"))
}

fn value_validation(schema: &JSONSchemaProps, skip_any_of: bool, skip_first: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if !skip_any_of {
        for (i, schema) in schema.any_of.iter().flatten().enumerate() {
            errors.extend(nested(schema, false, &path.child("anyOf").index(i)));
        }
    }
    for (i, schema) in schema.all_of.iter().flatten().enumerate() {
        errors.extend(nested(schema, skip_first && i == 0, &path.child("allOf").index(i)));
    }
    for (i, schema) in schema.one_of.iter().flatten().enumerate() {
        errors.extend(nested(schema, false, &path.child("oneOf").index(i)));
    }
    if let Some(schema) = &schema.not {
        errors.extend(nested(schema, false, &path.child("not")));
    }
    if let Some(text) = schema.pattern.as_deref().filter(|text| !text.is_empty())
        && let Err(why) = pattern::compile(text)
    {
        let detail = format!("must be a valid regular expression, but isn't: {why}");
        errors.push(Error::invalid(&path.child("pattern"), text, detail));
    }
    errors
}

/// A schema below `allOf`, `anyOf`, `oneOf` or `not`, which validates values and specifies nothing.
fn nested(schema: &JSONSchemaProps, skip_any_of: bool, path: &Path) -> ErrorList {
    let mut errors = value_validation(schema, skip_any_of, false, path);
    if let Some(items) = items(schema) {
        errors.extend(nested(items, false, &path.child("items")));
    }
    for (name, property) in schema.properties.iter().flatten() {
        errors.extend(nested(property, false, &path.child("properties").key(name)));
    }
    let (empty, undefined, off) =
        ("must be empty to be structural", "must be undefined to be structural", "must be false to be structural");
    let forbidden = [
        ("type", stated(&schema.type_), empty),
        ("additionalProperties", schema.additional_properties.is_some(), undefined),
        ("default", schema.default.as_ref().is_some_and(|default| !default.0.is_null()), undefined),
        ("title", stated(&schema.title), empty),
        ("description", stated(&schema.description), empty),
        ("nullable", set(schema.nullable), off),
        ("x-kubernetes-preserve-unknown-fields", set(schema.x_kubernetes_preserve_unknown_fields), off),
        ("x-kubernetes-embedded-resource", set(schema.x_kubernetes_embedded_resource), off),
        ("x-kubernetes-int-or-string", set(schema.x_kubernetes_int_or_string), off),
        ("x-kubernetes-list-map-keys", is_filled(schema.x_kubernetes_list_map_keys.as_deref()), empty),
        ("x-kubernetes-list-type", schema.x_kubernetes_list_type.is_some(), undefined),
        ("x-kubernetes-map-type", schema.x_kubernetes_map_type.is_some(), undefined),
        ("x-kubernetes-validations", is_filled(schema.x_kubernetes_validations.as_deref()), empty),
    ];
    for (field, used, detail) in forbidden {
        if used {
            errors.push(Error::forbidden(&path.child(field), detail));
        }
    }
    if property(schema, "metadata").is_some() {
        let path = path.child("properties").key("metadata");
        errors.push(Error::forbidden(&path, "must not be specified in a nested context"));
    }
    errors
}

fn is_filled<T>(list: Option<&[T]>) -> bool {
    list.is_some_and(|list| !list.is_empty())
}

/// That whatever is validated is specified, where upstream looks: from the root on (`validateStructuralCompleteness`).
fn junctors_complete(
    validation: &JSONSchemaProps,
    structure: &JSONSchemaProps,
    structure_path: &Path,
    path: &Path,
) -> ErrorList {
    let mut errors = ErrorList::new();
    let lists = [("allOf", &validation.all_of), ("anyOf", &validation.any_of), ("oneOf", &validation.one_of)];
    for (name, list) in lists {
        for (i, schema) in list.iter().flatten().enumerate() {
            let path = path.child(name).index(i);
            errors.extend(nested_complete(schema, Some(structure), structure_path, &path));
        }
    }
    if let Some(schema) = &validation.not {
        errors.extend(nested_complete(schema, Some(structure), structure_path, &path.child("not")));
    }
    errors
}

fn nested_complete(
    validation: &JSONSchemaProps,
    structure: Option<&JSONSchemaProps>,
    structure_path: &Path,
    path: &Path,
) -> ErrorList {
    let because = format!("because it is defined in {path}");
    let Some(structure) = structure else { return Error::required(structure_path, because).into() };
    let mut errors = junctors_complete(validation, structure, structure_path, path);
    if let Some(schema) = items(validation) {
        let (structure_path, path) = (structure_path.child("items"), path.child("items"));
        errors.extend(nested_complete(schema, items(structure), &structure_path, &path));
    }
    for (name, schema) in validation.properties.iter().flatten() {
        let (structure_path, path) = (structure_path.child("properties").key(name), path.child("properties").key(name));
        errors.extend(nested_complete(schema, property(structure, name), &structure_path, &path));
    }
    errors
}
