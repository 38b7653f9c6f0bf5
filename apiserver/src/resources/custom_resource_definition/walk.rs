//! Walks a schema and everything below it.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool, JSONSchemaPropsOrStringArray,
};

/// Whether `holds` for the schema or for one below it.
pub(super) fn any(schema: &JSONSchemaProps, holds: &mut dyn FnMut(&JSONSchemaProps) -> bool) -> bool {
    holds(schema) || children(schema).into_iter().any(|child| any(child, holds))
}

/// The schemas directly below one, as upstream comes across them.
fn children(schema: &JSONSchemaProps) -> Vec<&JSONSchemaProps> {
    let mut children = items(schema).into_iter().collect::<Vec<_>>();
    if let Some(JSONSchemaPropsOrArray::Schemas(schemas)) = &schema.items {
        children.extend(schemas);
    }
    for schemas in [&schema.all_of, &schema.any_of, &schema.one_of] {
        children.extend(schemas.iter().flatten());
    }
    children.extend(schema.not.as_deref());
    children.extend(schema.properties.iter().flatten().map(|(_, schema)| schema));
    children.extend(schema.additional_properties.as_ref().and_then(of_bool));
    children.extend(schema.pattern_properties.iter().flatten().map(|(_, schema)| schema));
    children.extend(schema.additional_items.as_ref().and_then(of_bool));
    children.extend(schema.definitions.iter().flatten().map(|(_, schema)| schema));
    children.extend(schema.dependencies.iter().flatten().filter_map(|(_, dependency)| match dependency {
        JSONSchemaPropsOrStringArray::Schema(schema) => Some(&**schema),
        JSONSchemaPropsOrStringArray::Strings(_) => None,
    }));
    children
}

/// The one schema of a list's items.
pub(super) fn items(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match schema.items.as_ref()? {
        JSONSchemaPropsOrArray::Schema(schema) => Some(schema),
        JSONSchemaPropsOrArray::Schemas(_) => None,
    }
}

/// The schema of further properties or items.
pub(super) fn of_bool(value: &JSONSchemaPropsOrBool) -> Option<&JSONSchemaProps> {
    match value {
        JSONSchemaPropsOrBool::Schema(schema) => Some(schema),
        JSONSchemaPropsOrBool::Bool(_) => None,
    }
}

/// A schema's property.
pub(super) fn property<'a>(schema: &'a JSONSchemaProps, name: &str) -> Option<&'a JSONSchemaProps> {
    schema.properties.as_ref()?.get(name)
}

/// The type that a schema states, or an empty text.
pub(super) fn type_of(schema: &JSONSchemaProps) -> &str {
    schema.type_.as_deref().unwrap_or_default()
}

/// Whether an optional flag is set.
pub(super) fn set(flag: Option<bool>) -> bool {
    flag.unwrap_or(false)
}

/// Whether a text is there and not empty.
pub(super) fn stated(text: &Option<String>) -> bool {
    text.as_ref().is_some_and(|text| !text.is_empty())
}
