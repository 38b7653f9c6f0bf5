//! Taints of devices, and what tolerates them.

use api::field::{Error, ErrorList, Path};
use api::names::label_value;
use api::selector::label::validate_label_name;
use k8s_openapi::api::resource::v1::{DeviceTaint, DeviceToleration};

const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "None"];
const OPERATORS: [&str; 2] = ["Equal", "Exists"];

/// What is wrong with a taint. An effect that is stored may stay.
pub(crate) fn validate_taint(taint: &DeviceTaint, old: Option<&DeviceTaint>, path: &Path) -> ErrorList {
    let mut errors: ErrorList = validate_label_name(&taint.key, &path.child("key")).into_iter().collect();
    if let Some(value) = taint.value.as_deref().filter(|value| !value.is_empty()) {
        errors.push_invalid(&path.child("value"), value, label_value(value));
    }
    if old.is_none_or(|old| old.effect != taint.effect) {
        let path = path.child("effect");
        if taint.effect.is_empty() {
            errors.push(Error::required(&path, ""));
        } else if !EFFECTS.contains(&taint.effect.as_str()) {
            errors.push(Error::not_supported(&path, &taint.effect, &EFFECTS));
        }
    }
    errors
}

/// What is wrong with a toleration.
pub(crate) fn validate_toleration(toleration: &DeviceToleration, path: &Path) -> ErrorList {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let (key, value, effect) = (text(&toleration.key), text(&toleration.value), text(&toleration.effect));
    let mut errors = ErrorList::new();
    if !key.is_empty() {
        errors.extend(validate_label_name(&key, &path.child("key")));
    }
    let (operator_path, value_path) = (path.child("operator"), path.child("value"));
    match toleration.operator.as_deref().unwrap_or_default() {
        "Exists" if value.is_empty() => {}
        "Exists" => errors.push(Error::invalid(&value_path, &value, "must be empty for operator `Exists`")),
        "Equal" => errors.push_invalid(&value_path, &value, label_value(&value)),
        "" => errors.push(Error::required(&operator_path, "")),
        other => errors.push(Error::not_supported(&operator_path, other, &OPERATORS)),
    }
    if !effect.is_empty() && !EFFECTS.contains(&effect.as_str()) {
        errors.push(Error::not_supported(&path.child("effect"), effect, &EFFECTS));
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn shown(errors: &ErrorList) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    fn check(errors: &ErrorList, expected: &[&str]) {
        let errors = shown(errors);
        assert_eq!(errors.len(), expected.len(), "{errors:?}");
        assert!(errors.iter().zip(expected).all(|(shown, start)| shown.starts_with(start)), "{errors:?}");
    }

    #[test]
    fn taints() {
        let taint = |value: Value| serde_json::from_value::<DeviceTaint>(value).unwrap();
        let check =
            |value: Value, expected: &[&str]| check(&validate_taint(&taint(value), None, &Path::new("t")), expected);
        check(json!({"key": "example.com/hot", "effect": "NoExecute", "value": "very"}), &[]);
        check(json!({"key": "hot", "effect": "None"}), &[]);
        check(json!({"key": "hot"}), &["t.effect: Required value"]);
        check(
            json!({"key": "hot", "effect": "PreferNoSchedule"}),
            &[
                "t.effect: Unsupported value: \"PreferNoSchedule\": supported values: \"NoExecute\", \"NoSchedule\", \"None\"",
            ],
        );
        check(json!({"key": "a b", "effect": "None"}), &["t.key: Invalid value: \"a b\": name part must consist"]);
        check(
            json!({"key": "a", "effect": "None", "value": "a b"}),
            &["t.value: Invalid value: \"a b\": a valid label"],
        );
        let odd = taint(json!({"key": "a", "effect": "Odd"}));
        assert!(validate_taint(&odd, Some(&odd), &Path::new("t")).is_empty());
    }

    #[test]
    fn tolerations() {
        let check = |value: Value, expected: &[&str]| {
            let toleration: DeviceToleration = serde_json::from_value(value).unwrap();
            check(&validate_toleration(&toleration, &Path::new("t")), expected);
        };
        check(json!({"operator": "Exists"}), &[]);
        check(json!({"operator": "Equal", "key": "a", "value": "b", "effect": "NoSchedule"}), &[]);
        check(json!({"key": "a"}), &["t.operator: Required value"]);
        check(
            json!({"operator": "In"}),
            &["t.operator: Unsupported value: \"In\": supported values: \"Equal\", \"Exists\""],
        );
        check(
            json!({"operator": "Exists", "value": "b"}),
            &["t.value: Invalid value: \"b\": must be empty for operator `Exists`"],
        );
        check(json!({"operator": "Equal", "value": "a b"}), &["t.value: Invalid value: \"a b\": a valid label"]);
        check(json!({"operator": "Exists", "key": "a b"}), &["t.key: Invalid value: \"a b\": name part must consist"]);
        check(json!({"operator": "Exists", "effect": "Odd"}), &["t.effect: Unsupported value: \"Odd\""]);
    }
}
