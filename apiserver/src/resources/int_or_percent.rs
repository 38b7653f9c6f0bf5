//! Fields that hold a number, or a percentage of something, such as `maxUnavailable`.
//!
//! Messages that show a strategy as a whole show upstream's internal type, whose fields have no other names in JSON.

use api::field::{BadValue, Error, ErrorList, Path, go_json};
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

/// The number, whatever it is a number of; 0 for what is none (upstream's `getIntOrPercentValue`).
pub(super) fn number(value: &IntOrString) -> i64 {
    match value {
        IntOrString::Int(number) => (*number).into(),
        IntOrString::String(text) => percent(value).unwrap_or_else(|| text.parse().unwrap_or(0)),
    }
}

/// How messages show a strategy whose type is `kind` and whose rolling update is shown as `rolling_update`.
pub(super) fn shown_strategy(kind: &str, rolling_update: Option<String>) -> BadValue {
    let rolling_update = rolling_update.unwrap_or_else(|| "null".to_owned());
    BadValue::Json(format!(r#"{{"Type":{},"RollingUpdate":{rolling_update}}}"#, go_json(kind)))
}

/// How messages show the rolling update of a Deployment or DaemonSet.
pub(super) fn shown_rolling_update(max_unavailable: Option<&IntOrString>, max_surge: Option<&IntOrString>) -> String {
    let zero = IntOrString::Int(0);
    let shown = |value: Option<&IntOrString>| go_json(value.unwrap_or(&zero));
    format!(r#"{{"MaxUnavailable":{},"MaxSurge":{}}}"#, shown(max_unavailable), shown(max_surge))
}
