//! What is known of a policy: conditions, and what its expressions were warned of.

use std::collections::HashSet;

use api::field::{Error, ErrorList, Path};
use api::names::label_key;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

const STATUSES: [&str; 3] = ["False", "True", "Unknown"];
const MAX_REASON_BYTES: usize = 1024;
const MAX_MESSAGE_BYTES: usize = 32 * 1024;
const REASON_RULE: &str = "a condition reason must start with alphabetic character, optionally followed by a string of \
    alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'";

/// What is wrong with a status. Paths of fields are only required, not read.
pub(super) fn validate(status: Option<&ValidatingAdmissionPolicyStatus>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let Some(status) = status else { return errors };
    let warnings = status.type_checking.iter().flat_map(|checking| checking.expression_warnings.iter().flatten());
    let warnings_path = path.child("typeChecking").child("expressionWarnings");
    for (i, warning) in warnings.enumerate() {
        let path = warnings_path.index(i);
        for (field, value) in [("warning", warning.warning.as_str()), ("fieldRef", warning.field_ref.trim())] {
            if value.is_empty() {
                errors.push(Error::required(&path.child(field), ""));
            }
        }
    }
    let mut seen = HashSet::new();
    for (i, condition) in status.conditions.iter().flatten().enumerate() {
        let path = path.child("conditions").index(i);
        if !seen.insert(&condition.type_) {
            errors.push(Error::duplicate(&path.child("type"), &condition.type_));
        }
        errors.extend(validate_condition(condition, &path));
    }
    errors
}

/// The rules of `metav1.Condition`. One without its time does not decode.
fn validate_condition(condition: &Condition, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.push_invalid(&path.child("type"), &condition.type_, label_key(&condition.type_));
    if !STATUSES.contains(&condition.status.as_str()) {
        errors.push(Error::not_supported(&path.child("status"), &condition.status, &STATUSES));
    }
    if let Some(generation) = condition.observed_generation.filter(|generation| *generation < 0) {
        let detail = "must be greater than or equal to zero";
        errors.push(Error::invalid(&path.child("observedGeneration"), generation, detail));
    }
    let (reason, reason_path) = (&condition.reason, path.child("reason"));
    if reason.is_empty() {
        errors.push(Error::required(&reason_path, "must be set"));
    } else {
        if !is_reason(reason) {
            let pattern = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?";
            let examples = ["my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"];
            let detail = api::names::regex_error(REASON_RULE, pattern, &examples);
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

fn is_reason(reason: &str) -> bool {
    let is_end = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = reason.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.last().is_some_and(|byte| is_end(*byte))
        && bytes.iter().all(|byte| is_end(*byte) || matches!(byte, b',' | b':'))
}
