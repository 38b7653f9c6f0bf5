//! What differs between two specs, for people: in the manner of go-cmp, whose output upstream puts into the messages that
//! refuse a change of a pod, a volume or a claim. go-cmp promises no stable format, so that nobody parses it; fields come in order of name.

use std::fmt::Write;

use api::field::go_quote;
use serde_json::{Map, Value};

/// Nothing in a spec nests deeper.
const MAX_DEPTH: usize = 32;

/// The difference between two values of the Go type `type_name`, a line a field, removed ones with `-` and added ones
/// with `+`; empty if there is none.
pub(super) fn diff(type_name: &str, old: &Value, new: &Value) -> String {
    let mut out = String::new();
    write_difference(&mut out, 0, type_name, old, new, "");
    out
}

fn write_difference(out: &mut String, depth: usize, label: &str, old: &Value, new: &Value, comma: &str) {
    match (old, new) {
        _ if old == new => {}
        (Value::Object(old), Value::Object(new)) if depth < MAX_DEPTH => {
            line(out, ' ', depth, &format!("{label}{{"));
            write_fields(out, depth + 1, old, new);
            line(out, ' ', depth, &format!("}}{comma}"));
        }
        (Value::Array(old), Value::Array(new)) if depth < MAX_DEPTH => {
            line(out, ' ', depth, &format!("{label}{{"));
            write_items(out, depth + 1, old, new);
            line(out, ' ', depth, &format!("}}{comma}"));
        }
        _ => {
            for (sign, value) in [('-', old), ('+', new)] {
                line(out, sign, depth, &format!("{label}{}{comma}", inline(value, MAX_DEPTH)));
            }
        }
    }
}

fn write_fields(out: &mut String, depth: usize, old: &Map<String, Value>, new: &Map<String, Value>) {
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort();
    names.dedup();
    let mut identical = Skipped { count: 0, what: "field" };
    for name in names {
        let (old, new) = (old.get(name).unwrap_or(&Value::Null), new.get(name).unwrap_or(&Value::Null));
        if old == new {
            identical.count += 1;
            continue;
        }
        identical.flush(out, depth);
        write_difference(out, depth, &format!("{}: ", go_name(name)), old, new, ",");
    }
    identical.flush(out, depth);
}

fn write_items(out: &mut String, depth: usize, old: &[Value], new: &[Value]) {
    let mut identical = Skipped { count: 0, what: "element" };
    for i in 0..old.len().max(new.len()) {
        match (old.get(i), new.get(i)) {
            (Some(old), Some(new)) if old == new => identical.count += 1,
            (old, new) => {
                identical.flush(out, depth);
                match (old, new) {
                    (Some(old), Some(new)) => write_difference(out, depth, "", old, new, ","),
                    (Some(old), None) => line(out, '-', depth, &format!("{},", inline(old, MAX_DEPTH))),
                    (None, Some(new)) => line(out, '+', depth, &format!("{},", inline(new, MAX_DEPTH))),
                    (None, None) => {}
                }
            }
        }
    }
    identical.flush(out, depth);
}

struct Skipped {
    count: usize,
    what: &'static str,
}

impl Skipped {
    fn flush(&mut self, out: &mut String, depth: usize) {
        match std::mem::take(&mut self.count) {
            0 => {}
            1 => line(out, ' ', depth, &format!("... // 1 identical {}", self.what)),
            count => line(out, ' ', depth, &format!("... // {count} identical {}s", self.what)),
        }
    }
}

fn line(out: &mut String, sign: char, depth: usize, text: &str) {
    // Writing to a String does not fail.
    let _ = writeln!(out, "{sign} {}{text}", "\t".repeat(depth));
}

fn inline(value: &Value, depth: usize) -> String {
    let comma = |parts: Vec<String>| format!("{{{}}}", parts.join(", "));
    match value {
        Value::Null => "nil".to_owned(),
        Value::String(text) => go_quote(text),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        _ if depth == 0 => "{...}".to_owned(),
        Value::Array(items) => comma(items.iter().map(|item| inline(item, depth - 1)).collect()),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| format!("{}: {}", go_name(name), inline(value, depth - 1));
            comma(fields.iter().map(field).collect())
        }
    }
}

/// The name of a Go field; keys of maps that are no such names are quoted.
fn go_name(name: &str) -> String {
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return go_quote(name);
    }
    match name.split_at_checked(1) {
        Some((first, rest)) => first.to_ascii_uppercase() + rest,
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_shown_and_the_rest_is_counted() {
        let old = json!({
            "containers": [{"name": "a", "image": "x"}, {"name": "b", "command": ["run"]}],
            "hostname": "h", "nodeName": "n1", "priority": 3, "nodeSelector": {"a/b": "c"},
        });
        let mut new = old.clone();
        new["nodeName"] = json!("n2");
        new["containers"][1]["command"] = json!(["run", "now"]);
        new["nodeSelector"] = json!({"a/b": "d"});
        new["volumes"] = json!([{"name": "v", "emptyDir": {}}]);
        let expected = "  core.PodSpec{
  \tContainers: {
  \t\t... // 1 identical element
  \t\t{
  \t\t\tCommand: {
  \t\t\t\t... // 1 identical element
+ \t\t\t\t\"now\",
  \t\t\t},
  \t\t\t... // 1 identical field
  \t\t},
  \t},
  \t... // 1 identical field
- \tNodeName: \"n1\",
+ \tNodeName: \"n2\",
  \tNodeSelector: {
- \t\t\"a/b\": \"c\",
+ \t\t\"a/b\": \"d\",
  \t},
  \t... // 1 identical field
- \tVolumes: nil,
+ \tVolumes: {{EmptyDir: {}, Name: \"v\"}},
  }
";
        assert_eq!(diff("core.PodSpec", &old, &new), expected);
        assert_eq!(diff("core.PodSpec", &old, &old), "");
    }
}
