//! The frame of validation rules (`x-kubernetes-validations`): texts, reasons and the fields that they report.

use api::field::{Error, ErrorList, Path};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, ValidationRule};

use super::{field_path, structural};

const REASONS: [&str; 4] = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/// What is wrong with a schema's rules.
pub(super) fn validate(schema: &JSONSchemaProps, path: &Path) -> ErrorList {
    let rules = schema.x_kubernetes_validations.iter().flatten().enumerate();
    let path = path.child("x-kubernetes-validations");
    rules
        .flat_map(|(i, rule)| validate_rule(schema, rule, &path.index(i)).iter().cloned().collect::<Vec<_>>())
        .collect()
}

fn validate_rule(schema: &JSONSchemaProps, rule: &ValidationRule, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let message = rule.message.as_deref().unwrap_or_default();
    let message_path = path.child("message");
    if rule.rule.trim().is_empty() {
        errors.push(Error::required(&path.child("rule"), "rule is not specified"));
    } else if !message.is_empty() && message.trim().is_empty() {
        errors.push(Error::invalid(&message_path, message, "message must be non-empty if specified"));
    } else if has_line_breaks(message.trim()) {
        errors.push(Error::invalid(&message_path, message, "message must not contain line breaks"));
    } else if has_line_breaks(rule.rule.trim()) && message.is_empty() {
        errors.push(Error::required(&message_path, "message must be specified if rule contains line breaks"));
    }
    if rule.message_expression.as_deref().is_some_and(|text| !text.is_empty() && text.trim().is_empty()) {
        let detail = "messageExpression must be non-empty if specified";
        errors.push(Error::required(&path.child("messageExpression"), detail));
    }
    if let Some(reason) = rule.reason.as_deref().filter(|reason| !REASONS.contains(reason)) {
        errors.push(Error::not_supported(&path.child("reason"), reason, &REASONS));
    }
    let Some(field) = rule.field_path.as_deref().filter(|field| !field.is_empty()) else { return errors };
    let path = path.child("fieldPath");
    if field.trim().is_empty() {
        errors.push(Error::invalid(&path, field, "fieldPath must be non-empty if specified"));
    }
    if has_line_breaks(field) {
        errors.push(Error::invalid(&path, field, "fieldPath must not contain line breaks"));
    }
    if structural::unconvertible(schema).is_none() && field_path::find(field, schema, true).is_err() {
        errors.push(Error::invalid(&path, field, "fieldPath must be a valid path"));
    }
    errors
}

fn has_line_breaks(text: &str) -> bool {
    text.contains(['\n', '\r'])
}
