//! `metav1.LabelSelector`, the selector inside objects, and the validation of labels themselves.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::{Operator, Requirement, Selector};
use crate::field::{BadValue, Error, ErrorList, Path, go_quote};
use crate::names;

/// The selector that an object's field means: nothing when the field is absent, everything when it is empty.
///
/// # Errors
/// The text that upstream answers for an unknown operator or an invalid requirement.
pub fn from_api(selector: Option<&LabelSelector>) -> Result<Selector, String> {
    let Some(selector) = selector else { return Ok(Selector::Nothing) };
    let mut requirements = Vec::new();
    for (key, value) in selector.match_labels.iter().flatten() {
        let requirement = Requirement::new(key, Operator::Equals, vec![value.clone()], &Path::nil());
        requirements.push(requirement.map_err(|errors| errors.to_string())?);
    }
    for expression in selector.match_expressions.iter().flatten() {
        requirements.push(requirement(expression)?);
    }
    Ok(Selector::new(requirements))
}

/// What is wrong with the selector at `path`. `allow_invalid_values` is for updates of objects whose selector was
/// stored before values were checked.
pub fn validate_api(selector: Option<&LabelSelector>, allow_invalid_values: bool, path: &Path) -> ErrorList {
    let Some(selector) = selector else { return ErrorList::new() };
    let mut errors = validate_labels(selector.match_labels.as_ref(), &path.child("matchLabels"));
    for (i, expression) in selector.match_expressions.iter().flatten().enumerate() {
        let path = path.child("matchExpressions").index(i);
        errors.extend(validate_requirement(expression, allow_invalid_values, &path));
    }
    errors
}

/// What is wrong with one expression at `path`, of a client that may know more operators.
pub fn validate_expression(expression: &LabelSelectorRequirement, path: &Path) -> ErrorList {
    let unknown = !matches!(expression.operator.as_str(), "In" | "NotIn" | "Exists" | "DoesNotExist");
    let operator = path.child("operator").to_string();
    let found = validate_requirement(expression, false, path);
    let mut errors = ErrorList::new();
    errors.extend(found.iter().filter(|error| !unknown || error.field != operator).cloned());
    errors
}

/// What is wrong with the labels at `path`.
pub fn validate_labels(labels: Option<&BTreeMap<String, String>>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (key, value) in labels.into_iter().flatten() {
        errors.extend(validate_label_name(key, path));
        errors.push_invalid(path, value, names::label_value(value));
    }
    errors
}

/// What is wrong with the label key at `path`.
pub fn validate_label_name(name: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.push_invalid(path, name, names::label_key(name));
    errors
}

fn requirement(expression: &LabelSelectorRequirement) -> Result<Requirement, String> {
    let operator = match expression.operator.as_str() {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        other => return Err(format!("{} is not a valid label selector operator", go_quote(other))),
    };
    let values = expression.values.clone().unwrap_or_default();
    // Go copies no values into a nil slice, and shows that.
    let shown = if values.is_empty() { BadValue::null() } else { BadValue::json(&values) };
    Requirement::check(&expression.key, operator, &values, shown, &Path::nil()).map_err(|errors| errors.to_string())?;
    Ok(Requirement { key: expression.key.clone(), operator, values })
}

fn validate_requirement(expression: &LabelSelectorRequirement, allow_invalid_values: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let values = expression.values.as_deref().unwrap_or_default();
    match expression.operator.as_str() {
        "In" | "NotIn" if values.is_empty() => {
            let detail = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(Error::required(&path.child("values"), detail));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(Error::forbidden(&path.child("values"), detail));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => {
            // The operator's Go type is not `string`, so that it is shown as JSON.
            let shown = BadValue::json(other);
            errors.push(Error::invalid(&path.child("operator"), shown, "not a valid selector operator"));
        }
    }
    errors.extend(validate_label_name(&expression.key, &path.child("key")));
    if !allow_invalid_values {
        for (i, value) in values.iter().enumerate() {
            errors.push_invalid(&path.child("values").index(i), value, names::label_value(value));
        }
    }
    errors
}
