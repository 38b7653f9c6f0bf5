//! Whether two specs mean the same: upstream's `equality.Semantic.DeepEqual`, over JSON.
//!
//! Quantities compare by value (`1` is `1000m`), and what Go cannot tell apart is equal: an absent list and an empty one,
//! an absent text and `""`, and zero or `false` in the fields that Go holds as plain values. Where Go holds a pointer,
//! absent and zero differ.

use api::quantity::{Format, Quantity};
use serde::Serialize;
use serde_json::{Map, Value};

/// Fields of pod templates and volumes that Go holds as plain booleans.
const PLAIN_BOOLEANS: &[&str] = &[
    "chapAuthDiscovery",
    "chapAuthSession",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "paused",
    "readOnly",
    "sslEnabled",
    "stdin",
    "stdinOnce",
    "tty",
];
/// Fields of pod templates that Go holds as plain numbers.
const PLAIN_NUMBERS: &[&str] = &[
    "failureThreshold",
    "hostPort",
    "initialDelaySeconds",
    "minReadySeconds",
    "partition",
    "periodSeconds",
    "successThreshold",
    "timeoutSeconds",
];
/// Fields whose value is one quantity, and fields whose value is a map of them.
const QUANTITIES: &[&str] = &["divisor", "sizeLimit"];
const QUANTITY_MAPS: &[&str] = &["capacity", "limits", "overhead", "requests"];
/// Fields that Go holds as maps or as plain structs, so that an empty one is none.
const EMPTY_IS_ABSENT: &[&str] =
    &["annotations", "labels", "matchLabels", "metadata", "nodeSelector", "options", "resources", "volumeAttributes"];
/// Fields that Go holds as pointers to texts, of which `""` is one.
const TEXT_POINTERS: &[&str] = &["apiGroup", "storageClassName", "volumeAttributesClassName"];

/// Whether `a` and `b` mean the same.
pub(crate) fn equal<T: PartialEq + Serialize>(a: &T, b: &T) -> bool {
    a == b || normal_form(a) == normal_form(b)
}

/// The JSON of `value` without what makes no difference. A value that JSON cannot hold is `null`.
pub(crate) fn normal_form<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).ok().and_then(|value| normal("", value)).unwrap_or_default()
}

fn normal(field: &str, value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Bool(false) if PLAIN_BOOLEANS.contains(&field) => None,
        Value::Number(number) if number.as_i64() == Some(0) && PLAIN_NUMBERS.contains(&field) => None,
        Value::String(text) if text.is_empty() && !TEXT_POINTERS.contains(&field) => None,
        Value::String(text) if QUANTITIES.contains(&field) => Some(quantity(text)).filter(|value| value != "0"),
        Value::Array(items) if items.is_empty() => None,
        Value::Array(items) => Some(items.into_iter().map(|item| normal("", item).unwrap_or_default()).collect()),
        Value::Object(fields) => {
            let fields: Map<String, Value> = if QUANTITY_MAPS.contains(&field) {
                fields.into_iter().map(|(name, value)| (name, quantity_value(value))).collect()
            } else {
                fields.into_iter().filter_map(|(name, value)| Some((normal(&name, value)?, name))).map(swap).collect()
            };
            let absent = fields.is_empty() && (EMPTY_IS_ABSENT.contains(&field) || QUANTITY_MAPS.contains(&field));
            (!absent).then_some(Value::Object(fields))
        }
        other => Some(other),
    }
}

fn swap((value, name): (Value, String)) -> (String, Value) {
    (name, value)
}

fn quantity_value(value: Value) -> Value {
    match value {
        Value::String(text) => quantity(text),
        other => other,
    }
}

/// The same text for equal quantities, whatever their units. What is no quantity stays as it is.
fn quantity(text: String) -> Value {
    match Quantity::parse(&text) {
        Ok(quantity) => quantity.with_format(Format::DecimalSi).canonical().into(),
        Err(_) => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::PodSpec;
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_is_what_go_takes_for_equal() {
        let check = |a: Value, b: Value, expected: bool| {
            let spec = |value: &Value| serde_json::from_value::<PodSpec>(value.clone()).unwrap();
            assert_eq!(equal(&spec(&a), &spec(&b)), expected, "{a} {b}");
        };
        let container = |field: &str, value: Value| json!({"containers": [{"name": "c", field: value}]});
        let requests = |value: &str| container("resources", json!({"requests": {"memory": value}}));
        check(requests("1Ki"), requests("1024"), true);
        check(requests("1000m"), requests("1"), true);
        check(requests("1"), requests("2"), false);
        check(container("resources", json!({})), container("tty", json!(false)), true);
        check(json!({"containers": [], "tolerations": []}), json!({"containers": []}), true);
        check(json!({"containers": [], "hostname": ""}), json!({"containers": []}), true);
        check(json!({"containers": [], "hostNetwork": false}), json!({"containers": []}), true);
        check(json!({"containers": [], "hostUsers": false}), json!({"containers": []}), false);
        check(json!({"containers": [], "nodeSelector": {}}), json!({"containers": []}), true);
        check(json!({"containers": [], "securityContext": {}}), json!({"containers": []}), false);
        check(json!({"containers": [], "nodeName": "a"}), json!({"containers": [], "nodeName": "b"}), false);
        let volume = |value: Value| json!({"containers": [], "volumes": [{"name": "v", "emptyDir": value}]});
        check(volume(json!({"sizeLimit": "1Gi"})), volume(json!({"sizeLimit": "1024Mi"})), true);
        check(volume(json!({"medium": ""})), volume(json!({})), true);
        check(volume(json!({})), json!({"containers": [], "volumes": [{"name": "v"}]}), false);
    }
}
