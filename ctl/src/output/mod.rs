//! The formats of `-o`.

mod columns;
pub(crate) mod table;
pub(crate) mod yaml;

use std::str::FromStr;

use serde_json::Value;

use crate::Error;
use crate::jsonpath::{self, Path, Template};
use columns::Columns;

/// How objects are shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Format {
    /// A table, as the server makes it.
    #[default]
    Table,
    /// A table with all columns.
    Wide,
    /// JSON, indented.
    Json,
    /// What they are called, as other verbs take it.
    Name,
    /// What a template says of them.
    JsonPath(Template),
    /// A column for each of these paths, with its header.
    Columns(Vec<(String, Path)>),
    /// YAML.
    Yaml,
}

/// The formats, as they are written after `-o`.
const FORMATS: &str = "custom-columns, custom-columns-file, json, jsonpath, jsonpath-file, name, wide, yaml";

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Format, String> {
        let (format, rest) = text.split_once('=').map_or((text, None), |(format, rest)| (format, Some(rest)));
        let file = |rest: Option<&str>| {
            let path =
                rest.ok_or_else(|| format!("{format} format specified but no file given: write {format}=FILE"))?;
            std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
        };
        let template = |text: &str| {
            Template::parse(text)
                .map(Format::JsonPath)
                .map_err(|error| format!("error parsing jsonpath {text}, {error}"))
        };
        let stated = |rest: Option<&str>| {
            let rest = rest.filter(|rest| !rest.is_empty());
            rest.map(str::to_owned)
                .ok_or_else(|| format!("{format} format specified but no {} given", format.replace('-', " ")))
        };
        match format {
            "json" if rest.is_none() => Ok(Format::Json),
            "name" if rest.is_none() => Ok(Format::Name),
            "wide" if rest.is_none() => Ok(Format::Wide),
            "yaml" if rest.is_none() => Ok(Format::Yaml),
            "jsonpath" => template(&stated(rest)?),
            "jsonpath-file" => template(file(rest)?.trim_end_matches('\n')),
            "custom-columns" => columns(&stated(rest)?),
            "custom-columns-file" => columns_of_file(&file(rest)?),
            _ => Err(format!(
                "unable to match a printer suitable for the output format {text:?}, allowed formats are: {FORMATS}"
            )),
        }
    }
}

/// Columns, as `HEADER:PATH,HEADER:PATH`.
fn columns(text: &str) -> Result<Format, String> {
    let column = |column: &str| {
        let wrong = || format!("unexpected custom-columns spec: {column}, expected <header>:<json-path-expr>");
        let (header, path) = column.split_once(':').ok_or_else(wrong)?;
        Ok((header.to_owned(), Path::parse(path)?))
    };
    text.split(',').map(column).collect::<Result<_, String>>().map(Format::Columns)
}

/// Columns, as a line of headers and a line of paths.
fn columns_of_file(text: &str) -> Result<Format, String> {
    let mut lines = text.lines();
    let mut words = || lines.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let (headers, paths) = (words(), words());
    if headers.is_empty() || headers.len() != paths.len() {
        return Err(format!(
            "number of headers ({}) and field specifications ({}) don't match",
            headers.len(),
            paths.len()
        ));
    }
    let column = |(header, path): (String, String)| Ok((header, Path::parse(&path)?));
    headers.into_iter().zip(paths).map(column).collect::<Result<_, String>>().map(Format::Columns)
}

impl Format {
    /// Whether it is a table, which the server makes.
    pub(crate) fn is_table(&self) -> bool {
        matches!(self, Format::Table | Format::Wide)
    }

    /// The same, but without the header that columns have.
    pub(crate) fn show_without_header(&self, object: &Value, name: &dyn Fn(&Value) -> String) -> Result<String, Error> {
        match self {
            Format::Columns(columns) => Ok(show_columns(columns, object, false)),
            other => other.show(object, name),
        }
    }

    /// An object, or a list of some, in a format that is no table. `name` says what an object is called.
    pub(crate) fn show(&self, object: &Value, name: &dyn Fn(&Value) -> String) -> Result<String, Error> {
        match self {
            Format::Json => Ok(json(object)),
            Format::Name => Ok(items(object).into_iter().map(|item| format!("{}\n", name(item))).collect()),
            Format::Yaml => Ok(yaml::document(object)),
            Format::JsonPath(template) => Ok(template.show(object)),
            Format::Columns(columns) => Ok(show_columns(columns, object, true)),
            Format::Table | Format::Wide => Err(Error::said("tables are made by the server")),
        }
    }
}

/// Objects, a line each, with what paths lead to in columns.
fn show_columns(columns: &[(String, Path)], object: &Value, with_header: bool) -> String {
    let header = columns.iter().map(|(header, _)| header.clone()).collect();
    let cell = |path: &Path, item: &Value| {
        let found: Vec<String> = path.find(item).into_iter().map(jsonpath::text).collect();
        if found.is_empty() { "<none>".to_owned() } else { found.join(",") }
    };
    let line = |item: &Value| columns.iter().map(|(_, path)| cell(path, item)).collect();
    let header: Option<Vec<String>> = with_header.then_some(header);
    let lines: Vec<Vec<String>> = header.into_iter().chain(items(object).into_iter().map(line)).collect();
    Columns::default().lines(&lines)
}

/// The objects of a list; of one that is none, itself.
pub(crate) fn items(object: &Value) -> Vec<&Value> {
    match object["items"].as_array() {
        Some(items) if object["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) => items.iter().collect(),
        _ => vec![object],
    }
}

/// JSON as kubectl indents it: by four spaces.
fn json(object: &Value) -> String {
    use serde::Serialize;
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    // A value in memory can always be written to memory.
    let _ = object.serialize(&mut serializer);
    bytes.push(b'\n');
    let text = String::from_utf8_lossy(&bytes);
    // As Go's library escapes them, which are in texts and nowhere else.
    let escapes =
        [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026"), ('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")];
    escapes.iter().fold(text.into_owned(), |text, (character, escape)| text.replace(*character, escape))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_is_indented_as_kubectl_does_it() {
        let shown = Format::Json.show(&json!({"a": [1], "b": {}}), &|_| String::new()).unwrap();
        assert_eq!(shown, "{\n    \"a\": [\n        1\n    ],\n    \"b\": {}\n}\n");
    }

    #[test]
    fn names_are_of_the_items_of_lists() {
        let list = json!({"kind": "List", "items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]});
        let name = |object: &Value| format!("pod/{}", object["metadata"]["name"].as_str().unwrap());
        assert_eq!(Format::Name.show(&list, &name).unwrap(), "pod/a\npod/b\n");
        assert_eq!(Format::Name.show(&list["items"][0], &name).unwrap(), "pod/a\n");
    }

    #[test]
    fn columns_show_what_paths_lead_to() {
        let list = json!({"kind": "List", "items": [
            {"metadata": {"name": "a", "labels": {"x": "1"}}, "n": 1}, {"metadata": {"name": "b"}, "n": [1, 2]}]});
        let format: Format = "custom-columns=NAME:.metadata.name,X:{.metadata.labels.x},N:n".parse().unwrap();
        let expected = "NAME   X        N\na      1        1\nb      <none>   [1,2]\n";
        assert_eq!(format.show(&list, &|_| String::new()).unwrap(), expected);
        let error = "custom-columns=NAME".parse::<Format>().unwrap_err();
        assert!(error.contains("expected <header>:<json-path-expr>"), "{error}");
        assert!("jsonpath".parse::<Format>().unwrap_err().contains("no jsonpath given"));
        assert!(matches!(columns_of_file("A B\n.a .b\n"), Ok(Format::Columns(columns)) if columns.len() == 2));
        assert!(columns_of_file("A B\n.a\n").unwrap_err().contains("don't match"));
    }

    #[test]
    fn unknown_formats_are_refused() {
        let error = "yamll".parse::<Format>().unwrap_err();
        assert!(error.starts_with("unable to match a printer suitable for the output format \"yamll\""), "{error}");
    }
}
