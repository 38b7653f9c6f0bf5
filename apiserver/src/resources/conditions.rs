//! Conditions as most statuses have them (`metav1.Condition`): what is wrong with them.

use std::collections::HashSet;

use api::field::{Error, ErrorList, Path};
use api::names::regex_error;
use api::selector::label::validate_label_name;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

const STATUSES: [&str; 3] = ["False", "True", "Unknown"];
const MAX_REASON_BYTES: usize = 1024;
const MAX_MESSAGE_BYTES: usize = 32 * 1024;
const REASON: &str = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?";
const REASON_RULE: &str = "a condition reason must start with alphabetic character, optionally followed by a string of \
                           alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'";
const REASON_EXAMPLES: [&str; 5] = ["my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"];

/// What is wrong with a list of conditions (upstream's `ValidateConditions`).
pub(super) fn validate(conditions: &[Condition], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for (i, condition) in conditions.iter().enumerate() {
        let path = path.index(i);
        if !seen.insert(&condition.type_) {
            errors.push(Error::duplicate(&path.child("type"), &condition.type_));
        }
        errors.extend(validate_one(condition, &path));
    }
    errors
}

fn validate_one(condition: &Condition, path: &Path) -> ErrorList {
    let mut errors: ErrorList = validate_label_name(&condition.type_, &path.child("type")).into_iter().collect();
    if !STATUSES.contains(&condition.status.as_str()) {
        errors.push(Error::not_supported(&path.child("status"), &condition.status, &STATUSES));
    }
    if let Some(generation) = condition.observed_generation.filter(|generation| *generation < 0) {
        let detail = "must be greater than or equal to zero";
        errors.push(Error::invalid(&path.child("observedGeneration"), generation, detail));
    }
    // A time that is not stated is read as the epoch.
    if condition.last_transition_time == Time(Timestamp::UNIX_EPOCH) {
        errors.push(Error::required(&path.child("lastTransitionTime"), "must be set"));
    }
    let reason_path = path.child("reason");
    let reason = condition.reason.as_str();
    if reason.is_empty() {
        errors.push(Error::required(&reason_path, "must be set"));
    } else {
        if !is_reason(reason) {
            let detail = regex_error(REASON_RULE, REASON, &REASON_EXAMPLES);
            errors.push(Error::invalid(&reason_path, reason, detail));
        }
        if reason.len() > MAX_REASON_BYTES {
            errors.push(Error::too_long(&reason_path, MAX_REASON_BYTES));
        }
    }
    if condition.message.len() > MAX_MESSAGE_BYTES {
        errors.push(Error::too_long(&path.child("message"), MAX_MESSAGE_BYTES));
    }
    errors
}

fn is_reason(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_end = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.last().is_some_and(is_end)
        && bytes.iter().all(|byte| is_end(byte) || matches!(byte, b',' | b':'))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn messages_as_upstream() {
        let check = |changes: Value, expected: &[&str]| {
            let mut condition = json!({
                "type": "Ready", "status": "True", "reason": "Fine", "message": "", "lastTransitionTime":
                "2026-03-01T12:00:00Z",
            });
            let fields = condition.as_object_mut().unwrap();
            fields.extend(changes.as_object().unwrap().clone());
            fields.retain(|_, value| !value.is_null());
            let condition: Condition = serde_json::from_value(condition).unwrap();
            let errors = validate(&[condition], &Path::new("c"));
            let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(shown.len(), expected.len(), "{changes}: {shown:?}");
            assert!(shown.iter().zip(expected).all(|(shown, start)| shown.starts_with(start)), "{changes}: {shown:?}");
        };
        check(json!({}), &[]);
        check(json!({"type": "example.com/Ready", "reason": "A,b:C_"}), &[]);
        check(json!({"type": "a b"}), &["c[0].type: Invalid value: \"a b\": name part must consist"]);
        check(json!({"type": null}), &["c[0].type: Invalid value: \"\": name part must be non-empty", "c[0].type"]);
        check(
            json!({"status": "Maybe"}),
            &["c[0].status: Unsupported value: \"Maybe\": supported values: \"False\", \"True\", \"Unknown\""],
        );
        check(
            json!({"observedGeneration": -1}),
            &["c[0].observedGeneration: Invalid value: -1: must be greater than or equal to zero"],
        );
        check(
            json!({"lastTransitionTime": "1970-01-01T00:00:00Z"}),
            &["c[0].lastTransitionTime: Required value: must be set"],
        );
        check(json!({"reason": ""}), &["c[0].reason: Required value: must be set"]);
        check(
            json!({"reason": "1"}),
            &["c[0].reason: Invalid value: \"1\": a condition reason must start with alphabetic character, optionally"],
        );
        check(json!({"reason": "a:"}), &["c[0].reason: Invalid value: \"a:\": a condition reason must start"]);
        check(json!({"reason": "r".repeat(1025)}), &["c[0].reason: Too long: may not be more than 1024 bytes"]);
        check(json!({"message": "m".repeat(32769)}), &["c[0].message: Too long: may not be more than 32768 bytes"]);
        let twice: Condition = serde_json::from_value(json!({
            "type": "Ready", "status": "True", "reason": "Fine", "message": "",
            "lastTransitionTime": "2026-03-01T12:00:00Z",
        }))
        .unwrap();
        let errors = validate(&[twice.clone(), twice], &Path::new("c"));
        assert_eq!(errors.to_string(), "c[1].type: Duplicate value: \"Ready\"");
    }
}
