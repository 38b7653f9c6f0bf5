//! Objects of which nothing is known but their fields, as those of CRDs: every field, by name.

use serde_json::{Map, Value};

use super::Subject;
use super::page::{Page, list};

/// What is told at the top, or not at all.
const SKIPPED: [&str; 5] =
    [".metadata.managedFields", ".metadata.name", ".metadata.namespace", ".metadata.labels", ".metadata.annotations"];
/// Words that are written in capitals.
const ACRONYMS: [&str; 5] = ["API", "URL", "UID", "OSB", "GUID"];

/// An object of any kind.
pub(super) fn describe(page: &mut Page, subject: &Subject) {
    page.head(&subject.object);
    page.notes(&subject.object);
    if let Some(fields) = subject.object.as_object() {
        content(page, 0, fields, "");
    }
    page.events(subject.events.as_deref());
}

fn content(page: &mut Page, level: usize, fields: &Map<String, Value>, path: &str) {
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort_by_key(|(name, _)| *name);
    for (name, value) in fields {
        let path = format!("{path}.{name}");
        if SKIPPED.contains(&path.as_str()) {
            continue;
        }
        match value {
            Value::Object(inner) => {
                page.line(level, &format!("{}:", title(name)));
                content(page, level + 1, inner, &path);
            }
            Value::Array(_) => {
                page.line(level, &format!("{}:", title(name)));
                for element in list(value) {
                    match element {
                        Value::Object(inner) => content(page, level + 1, inner, &path),
                        other => page.line(level + 1, &go(other)),
                    }
                }
            }
            other => page.field(level, &title(name), &go(other)),
        }
    }
}

/// A value as Go's `%v` writes it.
fn go(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => float(number.as_f64().unwrap_or_default()),
        Value::Array(elements) => format!("[{}]", elements.iter().map(go).collect::<Vec<_>>().join(" ")),
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            let fields: Vec<String> = fields.into_iter().map(|(name, value)| format!("{name}:{}", go(value))).collect();
            format!("map[{}]", fields.join(" "))
        }
        other => other.to_string(),
    }
}

/// A number with a fraction, with an exponent if it is very great or very small.
fn float(number: f64) -> String {
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..21).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => number.to_string(),
    }
}

/// The name of a field in words: `podCIDRs` is `Pod CID Rs`, as kubectl splits it.
fn title(name: &str) -> String {
    if !name.chars().all(|character| character.is_alphabetic() || character == '-') {
        return name.to_owned();
    }
    words(name).iter().map(|word| capitalized(word)).collect::<Vec<_>>().join(" ")
}

fn capitalized(word: &str) -> String {
    let upper = word.to_uppercase();
    if ACRONYMS.contains(&upper.as_str()) {
        return upper;
    }
    let mut characters = word.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

/// Runs of characters of a class; the last capital before small letters is theirs.
fn words(name: &str) -> Vec<String> {
    let class = |character: char| (character.is_lowercase(), character.is_uppercase());
    let mut runs: Vec<String> = Vec::new();
    let mut last = None;
    for character in name.chars() {
        match runs.last_mut() {
            Some(run) if last == Some(class(character)) => run.push(character),
            _ => runs.push(character.to_string()),
        }
        last = Some(class(character));
    }
    for index in 1..runs.len() {
        let is_upper = runs[index - 1].chars().next().is_some_and(char::is_uppercase);
        if is_upper
            && runs[index].chars().next().is_some_and(char::is_lowercase)
            && let Some(capital) = runs[index - 1].pop()
        {
            runs[index].insert(0, capital);
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_of_fields_are_told_in_words() {
        let check = |name: &str, expected: &str| assert_eq!(title(name), expected);
        check("apiVersion", "API Version");
        check("uid", "UID");
        check("podCIDRs", "Pod CID Rs");
        check("someAPIUrl", "Some API URL");
        check("kind", "Kind");
        check("a.b", "a.b");
        check("k8s", "k8s");
        check("k-v", "K - V");
        check("IPAddress", "IP Address");
    }

    #[test]
    fn values_are_written_as_go_does_it() {
        let check = |value: Value, expected: &str| assert_eq!(go(&value), expected, "{value}");
        check(json!(null), "<nil>");
        check(json!(1.5), "1.5");
        check(json!(1e30), "1e+30");
        check(json!(0.000_001), "1e-06");
        check(json!(12_345_678_901_i64), "12345678901");
        check(json!([1, [true, "x"], {"b": 1, "a": null}]), "[1 [true x] map[a:<nil> b:1]]");
    }
}
