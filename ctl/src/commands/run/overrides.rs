//! `--overrides`: what an object is to have that no option says.

use api::patch::{json, merge, strategic};
use api::schema::Schema;
use clap::ValueEnum;
use serde_json::Value;

/// How it is put into the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OverrideType {
    Json,
    Merge,
    Strategic,
}

/// The pod with it.
pub(super) fn apply(how: OverrideType, pod: &Value, text: &str) -> Result<Value, String> {
    match how {
        OverrideType::Json => {
            let (patch, _) = json::Patch::decode(text.as_bytes()).map_err(|error| error.to_string())?;
            patch.apply(pod).map_err(|error| error.to_string())
        }
        OverrideType::Merge => {
            let patch = serde_json::from_str(text).map_err(|_| "Invalid JSON Patch".to_owned())?;
            merge::apply(pod, patch).map_err(|error| error.to_string())
        }
        OverrideType::Strategic => {
            let patch: Value = serde_json::from_str(text).map_err(|_| "Invalid JSON Patch".to_owned())?;
            let (Value::Object(patch), Value::Object(pod)) = (patch, pod) else {
                return Err("Invalid JSON Patch".to_owned());
            };
            let of = Schema::of("", "v1", "Pod").ok_or("pods have no schema")?;
            strategic::apply(pod, patch, of).map(Value::Object).map_err(|error| error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn there_are_three_ways() {
        let pod = json!({"spec": {"containers": [{"name": "a", "image": "b"}]}});
        let check = |how, text: &str, expected: Value| assert_eq!(apply(how, &pod, text), Ok(expected), "{text}");
        let list = r#"{"spec":{"containers":[{"name":"a","tty":true}]}}"#;
        let replaced = json!({"spec": {"containers": [{"name": "a", "tty": true}]}});
        check(OverrideType::Merge, list, replaced);
        let merged = json!({"spec": {"containers": [{"name": "a", "image": "b", "tty": true}]}});
        check(OverrideType::Strategic, list, merged);
        let operations = r#"[{"op":"add","path":"/spec/hostPID","value":true}]"#;
        let added = json!({"spec": {"containers": [{"name": "a", "image": "b"}], "hostPID": true}});
        check(OverrideType::Json, operations, added);
    }

    #[test]
    fn what_is_no_patch_is_refused() {
        let check = |how, text: &str, expected: &str| {
            let why = apply(how, &json!({"spec": {}}), text).unwrap_err();
            assert!(why.contains(expected), "{text}: {why}");
        };
        check(OverrideType::Merge, "{x", "Invalid JSON Patch");
        check(OverrideType::Json, "{}", "json: cannot unmarshal object into Go value of type jsonpatch.Patch");
        check(OverrideType::Json, r#"[{"op":"remove","path":"/x"}]"#, "remove nonexistent key: x: missing value");
        check(OverrideType::Strategic, "[]", "Invalid JSON Patch");
    }
}
