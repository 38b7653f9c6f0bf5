//! The formats of `-o`.

mod columns;
mod kyaml;
mod printing;
pub(crate) mod table;
pub(crate) mod yaml;

use serde_json::Value;

use crate::jsonpath::{self, Path, Template};
use crate::template::GoTemplate;
use crate::{Error, Session};
use columns::Columns;
pub(crate) use printing::Printing;

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
    /// What a template says of them; and whether it is a mistake that it names what they have not.
    JsonPath(Template, bool),
    /// What paths of a template lead to, each as a list.
    JsonPathAsJson(Template, bool),
    /// What a template of Go says of them, with the same.
    GoTemplate(Box<GoTemplate>, bool),
    /// A column for each of these paths, with its header.
    Columns(Vec<(String, Path)>),
    /// YAML.
    Yaml,
    /// YAML with braces and quotes.
    Kyaml,
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

    /// Writes an object, or a list of some, in a format that is no table. `name` says what an object is called.
    pub(crate) fn write(
        &self,
        session: &mut Session<'_>,
        object: &Value,
        name: &dyn Fn(&Value) -> String,
    ) -> Result<(), Error> {
        self.write_with_header(session, object, name, true)
    }

    /// The same, with or without the header that columns have.
    pub(crate) fn write_with_header(
        &self,
        session: &mut Session<'_>,
        object: &Value,
        name: &dyn Fn(&Value) -> String,
        has_header: bool,
    ) -> Result<(), Error> {
        let mut text = String::new();
        let result = self.render(object, name, has_header, &mut text);
        // What a template said before it failed is shown, too.
        session.write(&text)?;
        result
    }

    /// An object, or a list of some, as text.
    pub(crate) fn show(&self, object: &Value, name: &dyn Fn(&Value) -> String) -> Result<String, Error> {
        let mut text = String::new();
        self.render(object, name, true, &mut text)?;
        Ok(text)
    }

    fn render(
        &self,
        object: &Value,
        name: &dyn Fn(&Value) -> String,
        has_header: bool,
        to: &mut String,
    ) -> Result<(), Error> {
        match self {
            Format::Json => to.push_str(&json(object)),
            Format::Name => to.extend(items(object).into_iter().map(|item| format!("{}\n", name(item)))),
            Format::Yaml => to.push_str(&yaml::document(object)),
            Format::Kyaml => to.push_str(&kyaml::document(object)),
            Format::JsonPath(template, strict) => template.show(object, *strict, to).map_err(Error::said)?,
            Format::JsonPathAsJson(template, strict) => {
                template.show_as_json(object, *strict, to).map_err(Error::said)?;
            }
            Format::GoTemplate(template, strict) => template.show(object, *strict, to).map_err(Error::said)?,
            Format::Columns(columns) => to.push_str(&show_columns(columns, object, has_header)),
            Format::Table | Format::Wide => return Err(Error::said("tables are made by the server")),
        }
        Ok(())
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
pub(crate) fn json(object: &Value) -> String {
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
        let format = columns("NAME:.metadata.name,X:{.metadata.labels.x},N:n").unwrap();
        let expected = "NAME   X        N\na      1        1\nb      <none>   [1,2]\n";
        assert_eq!(format.show(&list, &|_| String::new()).unwrap(), expected);
        let error = columns("NAME").unwrap_err();
        assert!(error.contains("expected <header>:<json-path-expr>"), "{error}");
        assert!(matches!(columns_of_file("A B\n.a .b\n"), Ok(Format::Columns(columns)) if columns.len() == 2));
        assert!(columns_of_file("A B\n.a\n").unwrap_err().contains("don't match"));
    }
}
