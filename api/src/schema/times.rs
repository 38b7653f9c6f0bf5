//! Times that an object has to state and does not: in Go they are zero, and it is for validation to ask for them.

use serde_json::Value;

use super::{Shape, Type};
use crate::patch::MAX_DEPTH;

/// Go's `time.Time{}`, which no client states on purpose.
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";
const ZERO_MICRO_TIME: &str = "0001-01-01T00:00:00.000000Z";

/// Writes Go's zero time wherever an object of type `of` lacks a time that is required.
pub fn state_times(value: &mut Value, of: &'static Type) {
    object(value, of, MAX_DEPTH);
}

fn object(value: &mut Value, of: &'static Type, depth: usize) {
    let (Value::Object(members), Some(depth)) = (value, depth.checked_sub(1)) else { return };
    for field in of.fields() {
        let zero = match field.shape() {
            Shape::Time => ZERO_TIME,
            Shape::MicroTime => ZERO_MICRO_TIME,
            shape => {
                if let Some(value) = members.get_mut(field.name()) {
                    shaped(value, shape, depth);
                }
                continue;
            }
        };
        if field.required() && !members.contains_key(field.name()) {
            members.insert(field.name().to_owned(), Value::from(zero));
        }
    }
}

fn shaped(value: &mut Value, shape: Shape, depth: usize) {
    let Some(depth) = depth.checked_sub(1) else { return };
    match (shape, value) {
        (Shape::Object(of), value) => object(value, of, depth),
        (Shape::Array(element), Value::Array(list)) => {
            list.iter_mut().for_each(|value| shaped(value, element.shape(), depth));
        }
        (Shape::Map(element), Value::Object(map)) => {
            map.values_mut().for_each(|value| shaped(value, element.shape(), depth));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Schema;
    use super::*;

    #[test]
    fn only_what_is_required_is_stated() {
        let check = |group: &str, kind: &str, mut given: Value, expected: Value| {
            state_times(&mut given, Schema::of(group, "v1", kind).unwrap());
            assert_eq!(given, expected);
        };
        let condition = |time: Value| json!({"status": {"conditions": [{"type": "a", "lastTransitionTime": time}]}});
        let without = json!({"status": {"conditions": [{"type": "a"}]}});
        check("policy", "PodDisruptionBudget", without, condition(json!(ZERO_TIME)));
        let stated = condition(json!("2026-03-01T12:00:00Z"));
        check("policy", "PodDisruptionBudget", stated.clone(), stated);
        // A Deployment's conditions need not say when they came to be.
        let optional = json!({"metadata": {"name": "a"}, "status": {"conditions": [{"type": "a"}]}});
        check("apps", "Deployment", optional.clone(), optional);
        check("policy", "PodDisruptionBudget", json!([]), json!([]));
    }
}
