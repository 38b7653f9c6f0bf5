//! kubectl's dialect of JSONPath: a template, in which paths in braces stand for what they lead to.
//!
//! `{.items[*].metadata.name}`, `{range .items[*]}{.metadata.name}{"\n"}{end}`, `{..image}`, `{.items[?(@.a=="b")].c}`,
//! `{.metadata.labels.app\.kubernetes\.io/name}`. What is not there is nothing, and no mistake.
//! <https://kubernetes.io/docs/reference/kubectl/jsonpath/>

mod evaluate;
mod parse;

use serde_json::Value;

/// A template.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template {
    text: String,
    parts: Vec<Part>,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Path(Path),
    /// The pieces between `{range PATH}` and `{end}`, for each that the path leads to.
    Range(Path, Vec<Part>),
}

/// Where something is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Path {
    /// From the whole object, and not from what is at hand.
    from_root: bool,
    steps: Vec<Step>,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    /// Every element or field.
    All,
    /// Whatever is below, at any depth.
    Descend,
    /// From an element up to another one, every so many.
    Slice(Option<i64>, Option<i64>, Option<i64>),
    Index(i64),
    /// What any of these steps leads to.
    Union(Vec<Step>),
    Filter(Operand, Option<(Comparison, Operand)>),
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Path(Path),
    Value(Value),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Template {
    /// Reads a template.
    pub(crate) fn parse(text: &str) -> Result<Template, String> {
        Ok(Template { text: text.to_owned(), parts: parse::template(text)? })
    }

    /// What it says of an object. What is not there is nothing.
    pub(crate) fn text(&self, object: &Value) -> String {
        let mut text = String::new();
        evaluate::parts(&self.parts, object, object, &mut text);
        text
    }

    /// Writes what it says of an object. `strict` is whether it is a mistake to name what is not there.
    pub(crate) fn show(&self, object: &Value, strict: bool, to: &mut String) -> Result<(), String> {
        self.check(object, strict)?;
        evaluate::parts(&self.parts, object, object, to);
        Ok(())
    }

    /// Writes what each of its pieces leads to, as a list of JSON.
    pub(crate) fn show_as_json(&self, object: &Value, strict: bool, to: &mut String) -> Result<(), String> {
        self.check(object, strict)?;
        evaluate::lists(&self.parts, object, object, &mut |list| {
            to.push_str(&crate::output::json(&Value::Array(list.into_iter().cloned().collect())));
        });
        Ok(())
    }

    fn check(&self, object: &Value, strict: bool) -> Result<(), String> {
        let missing = if strict { evaluate::missing(&self.parts, object, object) } else { None };
        let Some(name) = missing else { return Ok(()) };
        let text = &self.text;
        Err(format!(
            "error executing jsonpath {text:?}: Error executing template: {name} is not found. Printing more information for \
             debugging the template:\n\ttemplate was:\n\t\t{text}\n\tobject given to jsonpath engine was:\n\t\t{}\n\n",
            crate::template::in_go(object)
        ))
    }
}

impl Path {
    /// Reads a path as it is written for columns and orders: `{.a.b}`, `.a.b` or `a.b`.
    pub(crate) fn parse(text: &str) -> Result<Path, String> {
        let inner = text.strip_prefix('{').map_or(Ok(text), |inner| {
            inner
                .strip_suffix('}')
                .ok_or_else(|| format!("unexpected path string, expected a '}}' at the end of {text:?}"))
        })?;
        let dotted = if inner.starts_with(['.', '[', '$', '@']) { inner.to_owned() } else { format!(".{inner}") };
        parse::path(&dotted)
    }

    /// What it leads to.
    pub(crate) fn find<'a>(&self, object: &'a Value) -> Vec<&'a Value> {
        evaluate::path(self, object, object)
    }
}

/// A value, as templates and columns show it: a string as it is, all else as JSON.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
