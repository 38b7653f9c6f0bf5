//! The rules of `metav1.Condition`, which the status of many kinds has a list of.

use std::collections::HashSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::field::{BadValue, Error, ErrorList, Path};
use crate::names::regex_error;
use crate::selector::label::validate_label_name;

const STATUSES: [&str; 3] = ["False", "True", "Unknown"];
/// 0001-01-01T00:00:00Z.
const ZERO_TIME: i64 = -62_135_596_800;
const MAX_REASON_BYTES: usize = 1024;
const MAX_MESSAGE_BYTES: usize = 32 * 1024;

const REASON: &str = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?";
const REASON_RULE: &str = "a condition reason must start with alphabetic character, optionally followed by a string of \
    alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'";
const REASON_EXAMPLES: [&str; 5] = ["my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"];

/// What is wrong with the conditions at `path`. There may be one of each type (upstream's `ValidateConditions`).
pub fn validate_conditions(conditions: &[Condition], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut types = HashSet::new();
    for (i, condition) in conditions.iter().enumerate() {
        let path = path.index(i);
        if !types.insert(&condition.type_) {
            errors.push(Error::duplicate(&path.child("type"), &condition.type_));
        }
        errors.extend(validate_condition(condition, &path));
    }
    errors
}

fn validate_condition(condition: &Condition, path: &Path) -> ErrorList {
    let mut errors = validate_label_name(&condition.type_, &path.child("type"));
    if !STATUSES.contains(&condition.status.as_str()) {
        errors.push(Error::not_supported(&path.child("status"), BadValue::json(&condition.status), &STATUSES));
    }
    if let Some(generation) = condition.observed_generation.filter(|generation| *generation < 0) {
        let detail = "must be greater than or equal to zero";
        errors.push(Error::invalid(&path.child("observedGeneration"), generation, detail));
    }
    // Go's zero time is what a time is that is not stated.
    if condition.last_transition_time.0.as_second() == ZERO_TIME {
        errors.push(Error::required(&path.child("lastTransitionTime"), "must be set"));
    }
    let reason_path = path.child("reason");
    if condition.reason.is_empty() {
        errors.push(Error::required(&reason_path, "must be set"));
    } else {
        if !is_reason(&condition.reason) {
            let detail = regex_error(REASON_RULE, REASON, &REASON_EXAMPLES);
            errors.push(Error::invalid(&reason_path, &condition.reason, detail));
        }
        if condition.reason.len() > MAX_REASON_BYTES {
            errors.push(Error::too_long(&reason_path, MAX_REASON_BYTES));
        }
    }
    if condition.message.len() > MAX_MESSAGE_BYTES {
        errors.push(Error::too_long(&path.child("message"), MAX_MESSAGE_BYTES));
    }
    errors
}

fn is_reason(text: &str) -> bool {
    let is_end = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    match text.as_bytes() {
        [first] => first.is_ascii_alphabetic(),
        [first, inner @ .., last] => {
            first.is_ascii_alphabetic() && is_end(*last) && inner.iter().all(|b| is_end(*b) || matches!(b, b',' | b':'))
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn conditions_as_upstream() {
        let check = |change: fn(&mut Value), expected: &[&str]| {
            let mut value = json!({
                "type": "Ready", "status": "True", "reason": "AllGood", "message": "",
                "lastTransitionTime": "2026-03-01T12:00:00Z",
            });
            change(&mut value);
            let condition: Condition = serde_json::from_value(value).unwrap();
            let errors = validate_conditions(&[condition], &Path::new("c"));
            assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
        };
        check(|_| {}, &[]);
        check(|value| value["reason"] = json!("A,b:C_"), &[]);
        check(
            |value| value["status"] = json!("Maybe"),
            &["c[0].status: Unsupported value: \"Maybe\": supported values: \"False\", \"True\", \"Unknown\""],
        );
        check(
            |value| value["observedGeneration"] = json!(-1),
            &["c[0].observedGeneration: Invalid value: -1: must be greater than or equal to zero"],
        );
        check(
            |value| value["lastTransitionTime"] = json!("0001-01-01T00:00:00Z"),
            &["c[0].lastTransitionTime: Required value: must be set"],
        );
        check(|value| value["reason"] = json!(""), &["c[0].reason: Required value: must be set"]);
        check(
            |value| value["reason"] = json!("9 lives"),
            &[
                "c[0].reason: Invalid value: \"9 lives\": a condition reason must start with alphabetic character, optionally \
               followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' \
               (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for \
               validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')",
            ],
        );
        check(
            |value| value["reason"] = json!("r".repeat(1025)),
            &["c[0].reason: Too long: may not be more than 1024 bytes"],
        );
        check(
            |value| value["message"] = json!("m".repeat(32 * 1024 + 1)),
            &["c[0].message: Too long: may not be more than 32768 bytes"],
        );
        check(
            |value| value["type"] = json!("a b"),
            &[
                "c[0].type: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and \
               must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for \
               validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            ],
        );
    }

    #[test]
    fn one_of_each_type() {
        let ready: Condition = serde_json::from_value(json!({
            "type": "Ready", "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-03-01T12:00:00Z",
        }))
        .unwrap();
        let errors = validate_conditions(&[ready.clone(), ready], &Path::new("c"));
        assert_eq!(errors.to_string(), "c[1].type: Duplicate value: \"Ready\"");
    }
}
