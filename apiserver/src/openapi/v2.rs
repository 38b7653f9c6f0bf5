//! OpenAPI 2 (Swagger): one document for everything that is served, as JSON and as gnostic's protobuf.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::definitions::{Definitions, Dialect, group_version_kind};
use super::document::{Members, Wanted};
use super::gnostic;
use super::operations::{Operation, PathItem, paths};
use super::parameters::Parameter;
use super::{MEDIA_TYPES, VERSION, WATCH_MEDIA_TYPES};
use crate::discovery::order::Group;

/// Writes the document as JSON.
pub(super) fn write_json(groups: &[Group<'_>], definitions: &Definitions, mut out: &mut dyn Write) -> io::Result<()> {
    write!(out, r#"{{"swagger":"2.0","info":{},"paths":{{"#, info())?;
    let mut members = Members::default();
    let wanted = each_path(groups, |path, value| members.write(&mut out, path, value))?;
    write!(out, r#"}},"definitions":{{"#)?;
    let mut members = Members::default();
    for (name, schema) in wanted.closure(definitions, Dialect::V2) {
        members.write(&mut out, &name, &schema)?;
    }
    write!(out, r#"}},"securityDefinitions":{},"security":{}}}"#, security_definitions(), security())
}

/// Writes the document as gnostic's protobuf. Its parts are written as they are made: a reader puts the pieces of a
/// message that appears more than once together.
pub(super) fn write_protobuf(groups: &[Group<'_>], definitions: &Definitions, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(&gnostic::head("2.0", &info()))?;
    let wanted = each_path(groups, |path, value| out.write_all(&gnostic::path(path, value)))?;
    for (name, schema) in wanted.closure(definitions, Dialect::V2) {
        out.write_all(&gnostic::definition(&name, &schema))?;
    }
    out.write_all(&gnostic::security(&security_definitions(), &security()))
}

/// Gives every path to `write`, and returns what the paths refer to.
fn each_path(groups: &[Group<'_>], mut write: impl FnMut(&str, &Value) -> io::Result<()>) -> io::Result<Wanted> {
    let mut wanted = Wanted::default();
    for group in groups {
        for version in &group.versions {
            for item in paths(group.name, version) {
                let value = path_item(&item);
                wanted.add(&value);
                write(&item.path, &value)?;
            }
        }
    }
    Ok(wanted)
}

fn info() -> Value {
    json!({"title": "Kubernetes", "version": VERSION})
}

fn security_definitions() -> Value {
    json!({"BearerToken": {
        "description": "Bearer Token authentication",
        "type": "apiKey",
        "name": "authorization",
        "in": "header",
    }})
}

fn security() -> Value {
    json!([{"BearerToken": []}])
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
    let consumes = operation.body.as_ref().map_or(&["*/*"][..], |(types, _, _)| types);
    add("consumes", consumes.into());
    let streams = if operation.watchable { WATCH_MEDIA_TYPES } else { &[] };
    add("produces", MEDIA_TYPES.iter().chain(streams).copied().collect());
    add("schemes", json!(["https"]));
    let mut parameters: Vec<Value> = operation.parameters.iter().map(parameter).collect();
    if let Some((_, schema, required)) = &operation.body {
        let mut body = json!({"name": "body", "in": "body", "schema": Dialect::V2.reference(schema)});
        if *required {
            body["required"] = true.into();
        }
        parameters.insert(0, body);
    }
    if !parameters.is_empty() {
        add("parameters", parameters.into());
    }
    let mut responses = Map::new();
    for (code, description) in operation.codes {
        let response = json!({"description": description, "schema": Dialect::V2.reference(&operation.response)});
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

fn parameter(parameter: &Parameter) -> Value {
    let mut value = json!({
        "name": parameter.name,
        "in": if parameter.in_path { "path" } else { "query" },
        "description": parameter.description,
        "type": parameter.kind,
        "uniqueItems": true,
    });
    if parameter.in_path {
        value["required"] = true.into();
    }
    value
}
