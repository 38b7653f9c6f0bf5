//! OpenAPI 3: a document for each group and version.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::definitions::{Definitions, Dialect, group_version_kind};
use super::document::Members;
use super::operations::{Operation, PathItem, paths};
use super::parameters::Parameter;
use super::{MEDIA_TYPES, VERSION, WATCH_MEDIA_TYPES};
use crate::discovery::order::Version;

/// Writes the document of a version of a group as JSON.
pub(super) fn write(
    group: &str,
    version: &Version<'_>,
    definitions: &Definitions,
    mut out: &mut dyn Write,
) -> io::Result<()> {
    write!(out, r#"{{"openapi":"3.0.0","info":{{"title":"Kubernetes","version":"{VERSION}"}},"paths":{{"#)?;
    let mut wanted = super::document::Wanted::default();
    let mut members = Members::default();
    for item in paths(group, version) {
        let value = path_item(&item);
        wanted.add(&value);
        members.write(&mut out, &item.path, &value)?;
    }
    write!(out, r#"}},"components":{{"schemas":{{"#)?;
    let mut members = Members::default();
    for (name, schema) in wanted.closure(definitions, Dialect::V3) {
        members.write(&mut out, &name, &schema)?;
    }
    let security = json!({"BearerToken": {
        "type": "apiKey",
        "description": "Bearer Token authentication",
        "name": "authorization",
        "in": "header",
    }});
    write!(out, r#"}},"securitySchemes":{security}}}}}"#)
}

fn path_item(item: &PathItem) -> Value {
    let mut value = Map::new();
    if !item.parameters.is_empty() {
        value.insert("parameters".to_owned(), item.parameters.iter().map(parameter).collect());
    }
    for operation in &item.operations {
        value.insert(operation.method.to_owned(), self::operation(operation));
    }
    Value::Object(value)
}

fn operation(operation: &Operation) -> Value {
    let mut value = Map::new();
    let mut add = |name: &str, part: Value| value.insert(name.to_owned(), part);
    add("tags", json!([operation.tag]));
    add("description", operation.description.as_str().into());
    add("operationId", operation.id.as_str().into());
    if !operation.parameters.is_empty() {
        add("parameters", operation.parameters.iter().map(parameter).collect());
    }
    if let Some((types, schema, required)) = &operation.body {
        let mut body = json!({ "content": content(types.iter().copied(), schema) });
        if *required {
            body["required"] = true.into();
        }
        add("requestBody", body);
    }
    let mut responses = Map::new();
    let streams = if operation.watchable { WATCH_MEDIA_TYPES } else { &[] };
    for (code, description) in operation.codes {
        let types = MEDIA_TYPES.iter().chain(streams).copied();
        let response = json!({"description": description, "content": content(types, &operation.response)});
        responses.insert((*code).to_owned(), response);
    }
    responses.insert("401".to_owned(), json!({"description": "Unauthorized"}));
    add("responses", responses.into());
    if let Some((action, [group, version, kind])) = &operation.about {
        add("x-kubernetes-action", (*action).into());
        add("x-kubernetes-group-version-kind", group_version_kind(group, version, kind));
    }
    Value::Object(value)
}

fn content(types: impl Iterator<Item = &'static str>, schema: &str) -> Value {
    let schema = json!({ "schema": Dialect::V3.reference(schema) });
    Value::Object(types.map(|media_type| (media_type.to_owned(), schema.clone())).collect())
}

fn parameter(parameter: &Parameter) -> Value {
    let mut value = json!({
        "name": parameter.name,
        "in": if parameter.in_path { "path" } else { "query" },
        "description": parameter.description,
        "schema": {"type": parameter.kind, "uniqueItems": true},
    });
    if parameter.in_path {
        value["required"] = true.into();
    }
    value
}
