//! `gantry explain`: what the fields of a kind mean, as the server's OpenAPI document (v3) says.

use clap::Args;
use serde_json::Value;

use super::describe::page::{list, shown, texts};
use crate::session::Ask;
use crate::{Error, Session};

/// How long a line of a description is, without its indent.
const WIDTH: usize = 76;
/// How many values of an enumeration are told beside a field.
const MOST: usize = 4;

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// Which kind, or field of it: TYPE or TYPE.FIELD...
    #[arg(value_name = "TYPE")]
    what: Vec<String>,
    /// In which version, such as apps/v1.
    #[arg(long, value_name = "GROUP/VERSION", default_value = "")]
    api_version: String,
    /// With the fields of fields.
    #[arg(short = 'R', long)]
    recursive: bool,
}

/// Explains a kind or a field.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    if arguments.what.len() > 1 {
        return Err(Error::said("We accept only this format: explain RESOURCE"));
    }
    let Some(what) = arguments.what.first() else {
        return Err(Error::said(
            "You must specify the type of resource to explain. Use \"gantry api-resources\" for a complete list of \
             supported resources.",
        ));
    };
    let mut path = what.split('.').filter(|part| !part.is_empty());
    let name = path.next().unwrap_or_default();
    let path: Vec<&str> = path.collect();
    let catalog = session.catalog().await?;
    let found = catalog.find(name).map_err(Error::unadorned)?.into_iter().next().cloned();
    let unknown = || Error::Plain(format!("the server doesn't have a resource type {name:?}"));
    let mut resource = found.ok_or_else(unknown)?;
    if !arguments.api_version.is_empty() {
        resource = catalog.of_kind(&arguments.api_version, &resource.kind)?.clone();
    }
    let root = if resource.group.is_empty() { "api" } else { "apis" };
    let place = format!("{root}/{}", resource.api_version());
    let index = session.json(Ask::get("/openapi/v3")).await?;
    let url = shown(&index["paths"][&place]["serverRelativeURL"]);
    let url = if url.is_empty() { format!("/openapi/v3/{place}") } else { url };
    let document = session.json(Ask::get(&url)).await?;
    let schemas = Schemas { all: &document["components"]["schemas"] };
    if !resource.group.is_empty() {
        session.say(&format!("GROUP:      {}", resource.group))?;
    }
    session.write(&format!("KIND:       {}\nVERSION:    {}\n\n", resource.kind, resource.version))?;
    let kind = [resource.group.as_str(), &resource.version, &resource.kind];
    let schema = schemas
        .of_kind(kind)
        .ok_or_else(|| Error::said(format!("the server's OpenAPI document has no schema of {}", resource.kind)))?;
    let text = schemas.text(schema, &path, arguments.recursive)?;
    session.write(&text)
}

/// The schemas of a document, by name.
#[derive(Clone, Copy)]
struct Schemas<'a> {
    all: &'a Value,
}

impl<'a> Schemas<'a> {
    fn of_kind(self, [group, version, kind]: [&str; 3]) -> Option<&'a Value> {
        let is_it = |schema: &&Value| {
            let kinds = list(&schema["x-kubernetes-group-version-kind"]).iter();
            kinds.into_iter().any(|own| own["group"] == group && own["version"] == version && own["kind"] == kind)
        };
        self.all.as_object()?.values().find(is_it)
    }

    /// The schema that another refers to, and its name.
    fn referred(self, schema: &'a Value) -> Option<(&'a str, &'a Value)> {
        let only = list(&schema["allOf"]).first().filter(|_| list(&schema["allOf"]).len() == 1);
        let reference = schema["$ref"].as_str().or_else(|| only?["$ref"].as_str())?;
        let name = reference.rsplit('/').next()?;
        Some((name, self.all.get(name)?))
    }

    /// The elements of a list or a map, however deep; of all else, itself.
    fn inner(self, schema: &'a Value) -> &'a Value {
        for field in ["items", "additionalProperties"] {
            if schema[field].is_object() {
                return self.inner(&schema[field]);
            }
        }
        match self.referred(schema) {
            Some((_, referred)) if referred["items"].is_object() || referred["additionalProperties"].is_object() => {
                self.inner(referred)
            }
            _ => schema,
        }
    }

    /// The schema with the properties of what a field has.
    fn resolved(self, schema: &'a Value) -> &'a Value {
        let inner = self.inner(schema);
        self.referred(inner).map_or(inner, |(_, referred)| referred)
    }

    /// What a field has, in Go's words.
    fn type_of(self, schema: &'a Value) -> String {
        if schema["items"].is_object() {
            return format!("[]{}", self.type_of(&schema["items"]));
        }
        if schema["additionalProperties"].is_object() {
            return format!("map[string]{}", self.type_of(&schema["additionalProperties"]));
        }
        if let Some((name, referred)) = self.referred(schema) {
            let name = name.rsplit('.').next().unwrap_or(name);
            // A time is text.
            return if matches!(name, "Time" | "MicroTime") { shown(&referred["type"]) } else { name.to_owned() };
        }
        let kind = shown(&schema["type"]);
        if kind.is_empty() { "Object".to_owned() } else { kind }
    }

    /// The description of a field, and of what it has.
    fn description(self, schema: &'a Value) -> String {
        let mut parts = Vec::new();
        let mut add = |schema: &Value| {
            let text = shown(&schema["description"]);
            if !text.is_empty() && !parts.contains(&text) {
                parts.push(text);
            }
        };
        add(schema);
        let inner = self.inner(schema);
        add(inner);
        if let Some((_, referred)) = self.referred(inner) {
            add(referred);
        }
        if parts.is_empty() { "<empty>".to_owned() } else { parts.join("\n") }
    }

    /// The explanation of what a path leads to.
    fn text(self, kind: &'a Value, path: &[&str], recursive: bool) -> Result<String, Error> {
        let mut schema = kind;
        for name in path {
            let field = &self.resolved(schema)["properties"][*name];
            if field.is_null() {
                return Err(Error::said(format!("field {name:?} does not exist")));
            }
            schema = field;
        }
        let mut text = String::new();
        if let Some(name) = path.last() {
            text.push_str(&format!("FIELD: {name} <{}>\n", self.type_of(schema)));
            let values = texts(&schema["enum"]);
            if !values.is_empty() {
                text.push_str("ENUM:\n");
            }
            values.iter().for_each(|value| text.push_str(&format!("    {value}\n")));
            text.push_str("\n\n");
        }
        text.push_str("DESCRIPTION:\n");
        text.push_str(&wrapped(&self.description(schema), 4));
        text.push_str("    \n");
        let resolved = self.resolved(schema);
        if resolved["properties"].as_object().is_some_and(|fields| !fields.is_empty()) {
            text.push_str("FIELDS:\n");
            self.fields(&mut text, resolved, 1, recursive, &mut Vec::new());
        }
        text.push('\n');
        Ok(text)
    }

    fn fields(self, text: &mut String, schema: &'a Value, level: usize, recursive: bool, within: &mut Vec<&'a Value>) {
        let mut fields: Vec<_> = schema["properties"].as_object().into_iter().flatten().collect();
        fields.sort_by_key(|(name, _)| *name);
        within.push(schema);
        let required = texts(&schema["required"]);
        let indent = "  ".repeat(level);
        for (name, field) in fields {
            let mark = if required.contains(name) { " -required-" } else { "" };
            text.push_str(&format!("{indent}{name}\t<{}>{mark}\n", self.type_of(field)));
            let values = texts(&field["enum"]);
            if !values.is_empty() {
                let more = if values.len() > MOST { ", ...." } else { "" };
                text.push_str(&format!("{indent}enum: {}{more}\n", values[..values.len().min(MOST)].join(", ")));
            }
            if !recursive {
                text.push_str(&wrapped(&self.description_of_field(field), 4));
                text.push('\n');
                continue;
            }
            let inner = self.resolved(field);
            // Schemas of schemas have themselves as fields.
            if !within.iter().any(|outer| std::ptr::eq(*outer, inner)) {
                self.fields(text, inner, level + 1, true, within);
            }
        }
        within.pop();
    }

    /// In a list, only what the field itself says, if it says anything.
    fn description_of_field(self, field: &'a Value) -> String {
        let own = shown(&field["description"]);
        if own.is_empty() { self.description(field) } else { own }
    }
}

/// Text in lines of a width, each indented. What stands at the beginning of a line stays there.
fn wrapped(text: &str, indent: usize) -> String {
    let indent = " ".repeat(indent);
    let mut result = String::new();
    for line in text.trim_end_matches('\n').split('\n') {
        let mut written = String::new();
        let mut space = String::new();
        for word in line.split_inclusive(' ') {
            let (bare, after) = word.strip_suffix(' ').map_or((word, ""), |bare| (bare, " "));
            if bare.is_empty() {
                space.push_str(after);
                continue;
            }
            let length = written.chars().count() + space.len() + bare.chars().count();
            if length > WIDTH && !written.trim().is_empty() {
                result.push_str(&format!("{indent}{written}\n"));
                written.clear();
                space.clear();
            }
            written.push_str(&space);
            written.push_str(bare);
            after.clone_into(&mut space);
        }
        result.push_str(&format!("{indent}{written}\n"));
    }
    result
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        json!({
            "a.Pod": {"description": "A pod.", "x-kubernetes-group-version-kind": [{"group": "", "version": "v1", "kind": "Pod"}],
                "required": ["spec"], "properties": {
                    "spec": {"description": "What is wanted.", "allOf": [{"$ref": "#/components/schemas/a.PodSpec"}]},
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}}}},
            "a.PodSpec": {"description": "The spec.", "properties": {
                "containers": {"type": "array", "items": {"allOf": [{"$ref": "#/components/schemas/a.Container"}]}},
                "policy": {"type": "string", "enum": ["A", "B"]}}},
            "a.Container": {"properties": {"name": {"type": "string"}, "self": {"$ref": "#/components/schemas/a.Container"}}},
        })
    }

    fn explained(path: &[&str], recursive: bool) -> Result<String, Error> {
        let document = document();
        let schemas = Schemas { all: &document };
        schemas.text(schemas.of_kind(["", "v1", "Pod"]).unwrap(), path, recursive)
    }

    #[test]
    fn a_kind_is_explained_with_its_fields() {
        assert_eq!(
            explained(&[], false).unwrap(),
            "DESCRIPTION:\n    A pod.\n    \nFIELDS:\n  labels\t<map[string]string>\n    <empty>\n\n  \
             spec\t<PodSpec> -required-\n    What is wanted.\n\n\n"
        );
    }

    #[test]
    fn a_field_says_what_it_has() {
        assert_eq!(
            explained(&["spec", "policy"], false).unwrap(),
            "FIELD: policy <string>\nENUM:\n    A\n    B\n\n\nDESCRIPTION:\n    <empty>\n    \n\n"
        );
        assert!(explained(&["spec"], false).unwrap().contains("    What is wanted.\n    The spec.\n"));
        let error = explained(&["spec", "nope"], false).unwrap_err();
        assert_eq!(error.to_string(), "error: field \"nope\" does not exist");
    }

    #[test]
    fn fields_of_fields_end_where_they_have_themselves() {
        let text = explained(&[], true).unwrap();
        let expected = "FIELDS:\n  labels\t<map[string]string>\n  spec\t<PodSpec> -required-\n    containers\t<[]Container>\n      \
            name\t<string>\n      self\t<Container>\n    policy\t<string>\n    enum: A, B\n\n";
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn long_lines_are_wrapped() {
        let long = format!("  * {} {}", "a".repeat(40), "b".repeat(40));
        assert_eq!(wrapped(&long, 4), format!("      * {}\n    {}\n", "a".repeat(40), "b".repeat(40)));
        assert_eq!(wrapped("a\n\nb\n", 2), "  a\n  \n  b\n");
    }
}
