//! JSON paths that name a field of a schema, for selectable fields and for the fields that rules report.

use api::field::Path;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;

use super::walk::{of_bool, property};

const END: &str = "unexpected end of JSON path";
const NO_FIELD: &str = "does not refer to a valid field";

/// A field that a path names.
pub(super) struct Found<'a> {
    /// The path in its one form.
    pub(super) path: String,
    /// The first of the path's names.
    pub(super) root: String,
    pub(super) schema: Option<&'a JSONSchemaProps>,
}

/// Finds the field of `schema` that `text` names. `brackets` says that `['name']` is allowed.
///
/// # Errors
/// What is wrong with the path, in upstream's words.
pub(super) fn find<'a>(text: &str, schema: &'a JSONSchemaProps, brackets: bool) -> Result<Found<'a>, String> {
    let mut found = Found { path: String::new(), root: String::new(), schema: Some(schema) };
    let mut path = Path::nil();
    let mut tokens = Tokens(text);
    while let Some(token) = tokens.next() {
        let name = match token {
            "[" if !brackets => return Err("array notation is not allowed".to_owned()),
            "[" => {
                let quoted = tokens.next().ok_or(END)?;
                let inner = quoted.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
                let inner = inner.ok_or_else(|| format!("expected single quoted string but got {quoted}"))?;
                unescape(inner).map_err(|why| format!("invalid string literal: {why}"))?
            }
            "." => tokens.next().ok_or(END)?.to_owned(),
            _ => return Err(format!("expected [ or . but got: {token}")),
        };
        let current = found.schema.ok_or(NO_FIELD)?;
        if current.properties.as_ref().is_some_and(|properties| !properties.is_empty()) {
            path = path.child(&name);
            found.schema = Some(property(current, &name).ok_or(NO_FIELD)?);
        } else {
            let more = current.additional_properties.as_ref().ok_or(NO_FIELD)?;
            path = path.key(&name);
            found.schema = of_bool(more);
        }
        if found.root.is_empty() {
            found.root = name;
        }
        if token == "[" {
            match tokens.next() {
                Some("]") => {}
                Some(other) => return Err(format!("expected ] but got {other}")),
                None => return Err(END.to_owned()),
            }
        }
    }
    found.path = path.to_string();
    Ok(found)
}

/// Delimiters, quoted names with their quotes, and what stands between.
struct Tokens<'a>(&'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let first = self.0.chars().next()?;
        let end = match first {
            '.' | '[' | ']' => 1,
            '\'' => {
                let mut escaped = false;
                let close = self.0.char_indices().skip(1).find(|(_, c)| {
                    let closes = *c == '\'' && !escaped;
                    escaped = *c == '\\' && !escaped;
                    closes
                });
                close.map_or(self.0.len(), |(at, _)| at + 1)
            }
            _ => self.0.find(['.', '[', ']']).unwrap_or(self.0.len()),
        };
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        Some(token)
    }
}

fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        out.push(match chars.next() {
            Some('a') => '\x07',
            Some('b') => '\x08',
            Some('f') => '\x0c',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('v') => '\x0b',
            Some(same @ ('\'' | '\\')) => same,
            Some(other) => return Err(format!("invalid escape char \\{other}")),
            None => '\\',
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn finds_fields() {
        let schema: JSONSchemaProps = serde_json::from_value(json!({
            "properties": {
                "spec": {"properties": {"a": {"type": "string"}, "x.y": {"type": "integer"}}},
                "labels": {"additionalProperties": {"type": "string"}},
            },
        }))
        .unwrap();
        let check = |text: &str, brackets: bool, expected: &str| {
            let shown = match find(text, &schema, brackets) {
                Ok(found) => format!("{} {}", found.path, found.root),
                Err(why) => why,
            };
            assert_eq!(shown, expected, "{text}");
        };
        check(".spec.a", false, "spec.a spec");
        check(".spec['x.y']", true, "spec.x.y spec");
        check(".labels['it\\'s']", true, "labels[it's] labels");
        check(".labels.x", false, "labels[x] labels");
        check(".spec['a']", false, "array notation is not allowed");
        check(".spec.b", false, NO_FIELD);
        check(".spec.a.b", false, NO_FIELD);
        check("spec", false, "expected [ or . but got: spec");
        check(".", false, END);
        check(".spec['a'", true, END);
        check(".spec['a'x", true, "expected ] but got x");
        check(".spec[a]", true, "expected single quoted string but got a");
        check(".spec['\\q']", true, "invalid string literal: invalid escape char \\q");
    }
}
