//! `replacements`: values of some fields that go into others, whole or in parts, and into JSON that a text holds.

use regex::Regex;
use serde_json::{Value, json};

use crate::Error;
use crate::generate::go_json;
use crate::kustomization::{FieldOptions, Replacement, Source, Target};
use crate::select::Select;
use crate::set::Set;
use crate::spec::split;
use crate::transform::in_words;
use crate::yaml::{Words, is_null, scalar};

/// The field that is meant if none is named.
const NAME: &str = "metadata.name";

/// Puts values where they belong.
pub(crate) fn apply(set: &mut Set, replacements: &[Replacement]) -> Result<(), Error> {
    for replacement in replacements {
        let has_source = replacement.source.is_some() || replacement.source_value.is_some();
        if !has_source || replacement.targets.is_empty() {
            return Err(Error::said("replacements must specify a source and at least one target"));
        }
        let value = match (&replacement.source, &replacement.source_value) {
            (Some(_), Some(_)) => return Err(Error::said("value and resource selectors are mutually exclusive")),
            (Some(source), None) => of_field(set, source)?,
            (None, text) => json!(text),
        };
        for target in &replacement.targets {
            put(set, &value, target)?;
        }
    }
    Ok(())
}

/// The value of a source's field.
fn of_field(set: &Set, source: &Source) -> Result<Value, Error> {
    let id = source.id();
    let field = if source.field_path.is_empty() { NAME } else { &source.field_path };
    let shown = || match source.field_path.is_empty() {
        true => id.to_string(),
        false => format!("{id}:{field}"),
    };
    let selected = set.by_any_id(|other| other.is_selected(&id));
    let [index] = selected[..] else {
        return Err(Error::said(match selected.is_empty() {
            true => format!("nothing selected by {}", shown()),
            false => format!("multiple matches for selector {}", shown()),
        }));
    };
    let found = find(&set.list[index].object, &steps(field)).filter(|found| match found {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(elements) => !elements.is_empty(),
        other => !is_null(other),
    });
    let found =
        found.ok_or_else(|| Error::said(format!("fieldPath `{field}` is missing for replacement source {id}")))?;
    let Some(options) = source.options.as_ref().filter(|options| !options.delimiter.is_empty()) else {
        return Ok(found.clone());
    };
    let text = delimited(found)?;
    let parts: Vec<&str> = text.split(options.delimiter.as_str()).collect();
    let part = usize::try_from(options.index)
        .ok()
        .and_then(|index| parts.get(index))
        .ok_or_else(|| Error::said(format!("options.index {} is out of bounds for value {text}", options.index)))?;
    Ok(json!(part))
}

fn delimited(value: &Value) -> Result<String, Error> {
    in_words(value).map_err(|_| Error::said("delimiter option can only be used with scalar nodes"))
}

/// The steps of a path: between dots, what is in brackets as one.
fn steps(path: &str) -> Vec<String> {
    let parts = split(path, '.');
    let mut steps = Vec::new();
    let mut parts =
        parts.into_iter().enumerate().filter(|(index, part)| *index > 0 || !part.is_empty()).map(|(_, part)| part);
    while let Some(part) = parts.next() {
        if !part.starts_with('[') {
            steps.push(part);
            continue;
        }
        let mut whole = part;
        while !whole.ends_with(']') {
            let Some(part) = parts.next() else { break };
            whole = format!("{whole}.{part}");
        }
        // A key in brackets is one with dots.
        steps.push(if whole.contains('=') { whole } else { whole.trim_matches(['[', ']']).to_owned() });
    }
    steps
}

/// What a step is in a list.
enum InList<'s> {
    At(usize),
    All,
    /// Elements whose field, or that themselves, meet an expression.
    With(&'s str, &'s str),
}

fn in_list(step: &str) -> Option<InList<'_>> {
    if let Ok(index) = step.parse() {
        return Some(InList::At(index));
    }
    if step == "*" {
        return Some(InList::All);
    }
    let (name, value) = step.strip_prefix('[')?.strip_suffix(']')?.split_once('=')?;
    Some(InList::With(name, value))
}

/// What a path leads to, without anything being made.
fn find<'v>(value: &'v Value, steps: &[String]) -> Option<&'v Value> {
    let Some((step, rest)) = steps.split_first() else { return Some(value) };
    let Value::Array(elements) = value else { return find(value.get(step.as_str())?, rest) };
    let one = match in_list(step)? {
        InList::At(index) => elements.get(index)?,
        InList::With("", text) => elements.iter().find(|element| *element == text)?,
        InList::With(name, text) => elements
            .iter()
            .find(|element| element.get(name).is_some_and(|value| in_words(value).is_ok_and(|words| words == text)))?,
        InList::All => return None,
    };
    find(one, rest)
}

/// Puts a value into the fields of a target.
fn put(set: &mut Set, value: &Value, target: &Target) -> Result<(), Error> {
    let select = target.select.as_ref().ok_or_else(|| Error::said("target must specify resources to select"))?;
    let select = Select::new(select)?;
    let rejects: Vec<Select> = target.reject.iter().map(Select::new).collect::<Result<_, _>>()?;
    let name = [NAME.to_owned()];
    let paths = if target.field_paths.is_empty() { &name[..] } else { &target.field_paths };
    let create = target.options.as_ref().is_some_and(|options| options.create);
    for resource in &mut set.list {
        let is_rejected = rejects.iter().any(|reject| !reject.is_empty() && reject.rejects(resource));
        if resource.is_gone() || !select.matches(resource) || is_rejected {
            continue;
        }
        for path in paths {
            let steps = steps(path);
            if into_json(&mut resource.object, &steps, value, create)? {
                continue;
            }
            let mut set = |field: &mut Value, is_new: bool| set_field(field, is_new, value, target.options.as_ref());
            let verb = if create { "find or create" } else { "find" };
            let cannot = format!("unable to {verb} field {path:?} in replacement target");
            let make = create.then_some(value);
            let count =
                walk(&mut resource.object, &steps, make, &mut set).map_err(|error| error.doing(cannot.clone()))?;
            if count == 0 {
                return Err(Error::said(cannot));
            }
        }
    }
    Ok(())
}

/// Does something to all that a path leads to, and says how many that were. What is not there is made, to become a value.
fn walk(
    value: &mut Value,
    steps: &[String],
    make: Option<&Value>,
    set: &mut dyn FnMut(&mut Value, bool) -> Result<(), Error>,
) -> Result<usize, Error> {
    let Some((step, rest)) = steps.split_first() else { return set(value, false).map(|()| 1) };
    let new = || match rest.first().map(|next| in_list(next)) {
        Some(Some(InList::All)) | Some(None) => json!({}),
        Some(Some(_)) => json!([]),
        None => match make {
            Some(Value::Object(_)) => json!({}),
            Some(Value::Array(_)) => json!([]),
            _ => Value::Null,
        },
    };
    let mut enter = |value: &mut Value, is_new: bool| match rest.is_empty() {
        true => set(value, is_new).map(|()| 1),
        false => walk(value, rest, make, set),
    };
    let Some(place) = in_list(step) else {
        let Some(fields) = value.as_object_mut() else {
            return Err(Error::said("wrong node kind: expected MappingNode"));
        };
        let is_there = fields.get(step).is_some_and(|field| !is_null(field));
        if !is_there {
            if make.is_none() {
                return fields.get_mut(step).map_or(Ok(0), |field| enter(field, false));
            }
            fields.insert(step.clone(), new());
        }
        return enter(&mut fields[step.as_str()], !is_there);
    };
    let Some(elements) = value.as_array_mut() else {
        return Err(Error::said("wrong node kind: expected SequenceNode"));
    };
    match place {
        InList::All => elements.iter_mut().try_fold(0, |count, element| Ok(count + enter(element, false)?)),
        InList::At(index) => {
            let is_new = index == elements.len() && make.is_some();
            if is_new {
                elements.push(new());
            }
            let count = elements.len();
            let element = elements
                .get_mut(index)
                .ok_or_else(|| Error::said(format!("index {index} specified but only {count} elements found")))?;
            enter(element, is_new)
        }
        InList::With(name, text) => {
            let pattern = Regex::new(text).map_err(|_| Error::said(format!("{text:?} is no regular expression")))?;
            let meets = |element: &Value| {
                let value = if name.is_empty() { Some(element) } else { element.get(name) };
                value.is_some_and(|value| in_words(value).is_ok_and(|words| pattern.is_match(words.trim())))
            };
            if make.is_some() && !elements.iter().any(meets) {
                elements.push(if name.is_empty() { json!(text) } else { json!({name: text}) });
            }
            let mut found = elements.iter_mut().filter(|element| meets(element));
            found.try_fold(0, |count, element| Ok(count + enter(element, false)?))
        }
    }
}

/// Sets a field. One that is a text stays one, and one that is new is whatever the words are.
fn set_field(field: &mut Value, is_new: bool, value: &Value, options: Option<&FieldOptions>) -> Result<(), Error> {
    let mut value = value.clone();
    if let Some(options) = options.filter(|options| !options.delimiter.is_empty()) {
        let old = if is_null(field) { String::new() } else { delimited(field)? };
        let mut parts: Vec<String> = old.split(options.delimiter.as_str()).map(str::to_owned).collect();
        let part = in_words(&value).unwrap_or_default();
        match usize::try_from(options.index) {
            Err(_) => parts.insert(0, part),
            Ok(index) if index >= parts.len() => parts.push(part),
            Ok(index) => parts[index] = part,
        }
        value = json!(parts.join(&options.delimiter));
    }
    if field.is_object() || field.is_array() {
        *field = value;
        return Ok(());
    }
    let words = in_words(&value).unwrap_or_default();
    let read = scalar(&words, Words::Objects)?;
    let kind = |value: &Value| match value {
        Value::Bool(_) => "!!bool",
        Value::Number(_) => "!!int",
        Value::Null => "!!null",
        _ => "!!str",
    };
    match field {
        _ if is_new => *field = read,
        Value::String(_) if !is_null(field) => *field = json!(words),
        old if kind(old) == kind(&read) || is_null(old) => *old = read,
        old => {
            let (found, expected) = (kind(&read), kind(old));
            return Err(Error::said(format!("yaml: cannot decode {found} `{words}` as a {expected}")));
        }
    }
    Ok(())
}

/// Sets a field of JSON that a text on the way holds; no if there is none.
fn into_json(object: &mut Value, steps: &[String], value: &Value, create: bool) -> Result<bool, Error> {
    for at in 1..steps.len() {
        let Some(Value::String(text)) = find(object, &steps[..at]) else { continue };
        let Some(mut inner) = serde_json::from_str::<Value>(text).ok().filter(|it| it.is_object() || it.is_array())
        else {
            return Ok(false);
        };
        let is_pretty = text.contains('\n') && text.contains("  ");
        let mut set = |field: &mut Value, is_new: bool| set_field(field, is_new, value, None);
        match walk(&mut inner, &steps[at..], create.then_some(value), &mut set) {
            Ok(count) if count > 0 => {}
            _ => return Ok(false),
        }
        let text = if is_pretty { pretty(&inner) } else { go_json(&inner) };
        let mut set = |field: &mut Value, _| {
            *field = json!(text);
            Ok(())
        };
        walk(object, &steps[..at], None, &mut set)?;
        return Ok(true);
    }
    Ok(false)
}

/// JSON in lines, as Go indents it.
fn pretty(value: &Value) -> String {
    let mut sorted = value.clone();
    sorted.sort_all_objects();
    serde_json::to_string_pretty(&sorted).unwrap_or_else(|_| sorted.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_steps() {
        let check = |path: &str, expected: &[&str]| assert_eq!(steps(path), expected, "{path}");
        check("a.b.0.c", &["a", "b", "0", "c"]);
        check("a.[name=x.y].c", &["a", "[name=x.y]", "c"]);
        check("metadata.annotations.[a.b/c]", &["metadata", "annotations", "a.b/c"]);
        check("data.a\\.b", &["data", "a.b"]);
    }

    #[test]
    fn what_is_not_there_is_made() {
        let check = |object: Value, path: &str, value: Value, expected: Value| {
            let mut object = object;
            let mut set = |field: &mut Value, is_new| set_field(field, is_new, &value, None);
            let count = walk(&mut object, &steps(path), Some(&value), &mut set).unwrap();
            assert_eq!((count, object), (1, expected), "{path}");
        };
        check(json!({}), "a.b", json!("1"), json!({"a": {"b": 1}}));
        check(json!({}), "a.0.b", json!("x"), json!({"a": [{"b": "x"}]}));
        check(json!({}), "a.[name=n].b", json!("x"), json!({"a": [{"name": "n", "b": "x"}]}));
        check(json!({"a": "2"}), "a", json!("3"), json!({"a": "3"}));
        check(json!({"a": 2}), "a", json!("3"), json!({"a": 3}));
        check(json!({"a": {"b": 1}}), "a", json!({"c": 2}), json!({"a": {"c": 2}}));
    }
}
