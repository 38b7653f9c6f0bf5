//! Conditions for which the binding of a pod waits, and those that end the wait.

use std::collections::HashSet;

use api::field::{Error, ErrorList, Path};
use api::selector::label::validate_label_name;

use super::lists::validate_list;

const MAX_CONDITIONS: usize = 4;

/// What is wrong with the conditions of the device at `path`: one kind makes no sense without the other.
pub(crate) fn validate_binding_conditions(conditions: &[String], failures: &[String], path: &Path) -> ErrorList {
    let (conditions_path, failures_path) = (path.child("bindingConditions"), path.child("bindingFailureConditions"));
    let name = |name: &String, path: &Path| validate_label_name(name, path).into_iter().collect();
    let mut errors = validate_list(conditions, MAX_CONDITIONS, &conditions_path, name);
    errors.extend(validate_list(failures, MAX_CONDITIONS, &failures_path, name));
    let mut seen = HashSet::new();
    for (i, condition) in conditions.iter().enumerate() {
        if !seen.insert(condition) {
            errors.push(Error::duplicate(&conditions_path.index(i), condition));
        }
    }
    let mut seen_failures = HashSet::new();
    for (i, condition) in failures.iter().enumerate() {
        let path = failures_path.index(i);
        if !seen_failures.insert(condition) {
            errors.push(Error::duplicate(&path, condition));
        }
        if seen.contains(condition) {
            let detail = "bindingFailureConditions must not overlap with bindingConditions";
            errors.push(Error::invalid(&path, condition, detail));
        }
    }
    // What is shown is the list that is missing.
    if conditions.is_empty() && !failures.is_empty() {
        let detail = "bindingConditions are required to use bindingFailureConditions";
        errors.push(Error::invalid(&conditions_path, api::field::BadValue::null(), detail));
    }
    if failures.is_empty() && !conditions.is_empty() {
        let detail = "bindingFailureConditions are required to use bindingConditions";
        errors.push(Error::invalid(&failures_path, api::field::BadValue::null(), detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_as_upstream() {
        let check = |conditions: &[&str], failures: &[&str], expected: &[&str]| {
            let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
            let errors = validate_binding_conditions(&owned(conditions), &owned(failures), &Path::new("d"));
            let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(shown, expected, "{conditions:?} {failures:?}");
        };
        check(&[], &[], &[]);
        check(&["a.b/attached"], &["a.b/broken"], &[]);
        check(
            &["a"],
            &[],
            &["d.bindingFailureConditions: Invalid value: null: bindingFailureConditions are required to use \
               bindingConditions"],
        );
        check(
            &[],
            &["a"],
            &[
                "d.bindingConditions: Invalid value: null: bindingConditions are required to use bindingFailureConditions",
            ],
        );
        check(
            &["a", "a"],
            &["b", "b", "a"],
            &[
                "d.bindingConditions[1]: Duplicate value: \"a\"",
                "d.bindingFailureConditions[1]: Duplicate value: \"b\"",
                "d.bindingFailureConditions[2]: Invalid value: \"a\": bindingFailureConditions must not overlap with \
                 bindingConditions",
            ],
        );
        check(&["a", "b", "c", "d", "e"], &["f"], &["d.bindingConditions: Too many: 5: must have at most 4 items"]);
    }
}
