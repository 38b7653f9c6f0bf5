//! Fields that hold a number, or a percentage of something, such as `maxUnavailable`.

use api::field::{BadValue, Error, ErrorList, Path};
use api::names;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::replica_template::validate_non_negative;

/// What is wrong with it by itself (upstream's `ValidatePositiveIntOrPercent`).
pub(super) fn validate(value: &IntOrString, path: &Path) -> ErrorList {
    match value {
        IntOrString::Int(number) => validate_non_negative((*number).into(), path).into_iter().collect(),
        IntOrString::String(text) => {
            let messages = names::percent(text).into_iter();
            messages.map(|message| Error::invalid(path, BadValue::json(value), message)).collect()
        }
    }
}

/// That it is no more than everything (upstream's `IsNotMoreThan100Percent`).
pub(super) fn validate_at_most_all(value: &IntOrString, path: &Path) -> Option<Error> {
    let exceeds = percent(value).is_some_and(|percent| percent > 100);
    exceeds.then(|| Error::invalid(path, BadValue::json(value), "must not be greater than 100%"))
}

/// The percentage, if it is one.
pub(super) fn percent(value: &IntOrString) -> Option<i64> {
    match value {
        IntOrString::Int(_) => None,
        IntOrString::String(text) if !names::percent(text).is_empty() => None,
        IntOrString::String(text) => Some(api::int_or_string::parse_percent(text).unwrap_or(i64::MAX)),
    }
}
