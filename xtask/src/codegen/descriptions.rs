//! Writes `apiserver/src/openapi/descriptions.txt`: what the API's documentation says of every type and field.
//!
//! A line `type<TAB>description` is followed by one line `<TAB>field<TAB>reference<TAB>description` for each of its fields,
//! all in byte order. The reference names the type of a field that holds any JSON, which the table of schemas does not
//! tell apart; it is empty for all other fields. Newlines, tabs and backslashes in descriptions are escaped with a
//! backslash.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

const OUTPUT: &str = "apiserver/src/openapi/descriptions.txt";

/// Writes the descriptions of `definitions` into `repository`. `any` says which types hold any JSON.
pub(super) fn generate(
    definitions: &BTreeMap<String, Value>,
    any: impl Fn(&str) -> bool,
    repository: &Path,
) -> Result<(), String> {
    let path = repository.join(OUTPUT);
    std::fs::write(&path, render(definitions, any)).map_err(|error| format!("{}: {error}", path.display()))
}

fn render(definitions: &BTreeMap<String, Value>, any: impl Fn(&str) -> bool) -> String {
    let mut out = String::new();
    for (name, schema) in definitions {
        let _ = writeln!(out, "{name}\t{}", escaped(schema));
        let properties = schema["properties"].as_object().into_iter().flatten();
        let sorted: BTreeMap<&String, &Value> = properties.collect();
        for (field, property) in sorted {
            let reference = reference(property).filter(|name| any(name)).unwrap_or_default();
            let _ = writeln!(out, "\t{field}\t{reference}\t{}", escaped(property));
        }
    }
    out
}

/// The type that a property, or the elements of a list or map, refers to.
fn reference(property: &Value) -> Option<&str> {
    let mut schema = property;
    loop {
        if let Some(reference) = schema["$ref"].as_str() {
            return reference.rsplit('/').next();
        }
        schema = [&schema["items"], &schema["additionalProperties"]].into_iter().find(|inner| inner.is_object())?;
    }
}

fn escaped(schema: &Value) -> String {
    let description = schema["description"].as_str().unwrap_or_default();
    description.replace('\\', "\\\\").replace('\n', "\\n").replace('\t', "\\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_a_line_for_each_type_and_field() {
        let schema = serde_json::json!({
            "description": "One\ntwo\\",
            "properties": {
                "raw": {"type": "array", "items": {"$ref": "#/$defs/io.Any"}},
                "name": {"type": "string", "description": "Its\tname."},
                "meta": {"$ref": "#/$defs/io.Meta"},
            },
        });
        let definitions = BTreeMap::from([("io.Type".to_owned(), schema)]);
        let expected = "io.Type\tOne\\ntwo\\\\\n\tmeta\t\t\n\tname\t\tIts\\tname.\n\traw\tio.Any\t\n";
        assert_eq!(render(&definitions, |name| name == "io.Any"), expected);
    }
}
