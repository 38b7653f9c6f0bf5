//! Fields by paths: which fields of which kinds something is done to, and how they are found or made.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::Error;
use crate::id::Gvk;
use crate::yaml::is_null;

/// A field of objects of some kinds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FieldSpec {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    /// Names between slashes; one that is in a name has a backslash before it. Lists are gone through.
    pub(crate) path: String,
    /// Whether it is made where it is not there.
    #[serde(rename = "create")]
    pub(crate) create: bool,
}

impl FieldSpec {
    pub(crate) fn new(group: &str, kind: &str, path: &str, create: bool) -> FieldSpec {
        let (group, kind, path) = (group.to_owned(), kind.to_owned(), path.to_owned());
        FieldSpec { group, version: String::new(), kind, path, create }
    }

    pub(crate) fn of_version(self, version: &str) -> FieldSpec {
        FieldSpec { version: version.to_owned(), ..self }
    }

    pub(crate) fn gvk(&self) -> Gvk {
        Gvk { group: self.group.clone(), version: self.version.clone(), kind: self.kind.clone() }
    }

    /// The names of the path.
    pub(crate) fn steps(&self) -> Vec<String> {
        split(&self.path, '/')
    }
}

/// Adds fields to others: the same field is there once.
pub(crate) fn unite(to: &mut Vec<FieldSpec>, more: &[FieldSpec]) -> Result<(), Error> {
    for spec in more {
        match to.iter().find(|known| known.gvk() == spec.gvk() && known.path == spec.path) {
            None => to.push(spec.clone()),
            Some(known) if known.create == spec.create => {}
            Some(_) => return Err(Error::said(format!("conflicting fieldspecs for '{}'", spec.path))),
        }
    }
    Ok(())
}

/// The parts of a path; a separator after a backslash belongs to its part.
pub(crate) fn split(path: &str, separator: char) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for part in path.split(separator) {
        match parts.last_mut().filter(|last| last.ends_with('\\')) {
            Some(last) => {
                last.pop();
                last.push(separator);
                last.push_str(part);
            }
            None => parts.push(part.to_owned()),
        }
    }
    parts
}

/// What a field that is not there becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// It is not made.
    Never,
    Text,
    Map,
}

/// What is done to a field.
pub(crate) type Change<'c> = dyn FnMut(&mut Value) -> Result<(), Error> + 'c;

/// Does something to a field of an object if the object is of its kind.
pub(crate) fn change(object: &mut Value, spec: &FieldSpec, made: Made, set: &mut Change<'_>) -> Result<(), Error> {
    let gvk = Gvk::of(object);
    if !gvk.is_selected(&spec.gvk()) {
        return Ok(());
    }
    let made = if spec.create { made } else { Made::Never };
    walk(object, &spec.steps(), made, set)
}

/// Does it to all fields at the end of the path.
pub(crate) fn walk(value: &mut Value, steps: &[String], made: Made, set: &mut Change<'_>) -> Result<(), Error> {
    let Some((step, rest)) = steps.split_first() else { return set(value) };
    if is_null(value) {
        return Ok(());
    }
    match value {
        Value::Array(elements) => elements.iter_mut().try_for_each(|element| walk(element, steps, made, set)),
        Value::Object(fields) => {
            let (name, is_list) = match step.strip_suffix("[]") {
                Some(name) => (name, true),
                None => (step.as_str(), false),
            };
            if made != Made::Never && !is_list {
                let new = if rest.is_empty() && made == Made::Text { json!("") } else { json!({}) };
                let field = fields.entry(name).or_insert_with(|| new.clone());
                if is_null(field) {
                    *field = new;
                }
            }
            fields.get_mut(name).map_or(Ok(()), |field| walk(field, rest, made, set))
        }
        _ => Err(Error::said("expected sequence or mapping node")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_and_made() {
        let check = |object: Value, path: &str, create: bool, expected: Value| {
            let mut object = object;
            let spec = FieldSpec::new("", "", path, create);
            let mut set = |value: &mut Value| {
                *value = json!("x");
                Ok(())
            };
            change(&mut object, &spec, Made::Text, &mut set).unwrap();
            assert_eq!(object, expected, "{path}");
        };
        check(json!({"a": {"b": 1}}), "a/b", false, json!({"a": {"b": "x"}}));
        check(json!({}), "a/b", false, json!({}));
        check(json!({}), "a/b", true, json!({"a": {"b": "x"}}));
        check(json!({"a": null}), "a/b", true, json!({"a": {"b": "x"}}));
        check(json!({"a": [{"b": 1}, {}]}), "a/b", false, json!({"a": [{"b": "x"}, {}]}));
        check(json!({"a": [{"b": 1}, {}]}), "a[]/b", true, json!({"a": [{"b": "x"}, {"b": "x"}]}));
        check(json!({}), "a[]/b", true, json!({}));
        check(json!({"a/b": 1}), "a\\/b", false, json!({"a/b": "x"}));
    }

    #[test]
    fn a_text_has_no_fields() {
        let spec = FieldSpec::new("", "", "a/b", false);
        let failed = change(&mut json!({"a": "text"}), &spec, Made::Never, &mut |_| Ok(()));
        assert_eq!(failed.unwrap_err().to_string(), "expected sequence or mapping node");
    }
}
