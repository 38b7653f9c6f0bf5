//! One JSON form for an object, whichever way its author wrote it: that in which upstream's Go structs serialise it.
//!
//! Go does not tell an empty list from an absent one, nor `hostNetwork: false` from silence, and writes quantities
//! canonically. What is stored and served here is the same, so that an object is the same to a watcher, to a comparison
//! and to field ownership as it would be upstream. Objects are never dropped: in Go they are structs, which
//! `encoding/json` always writes, or pointers, whose presence says something.

use serde_json::Value;

use super::{Shape, Type};
use crate::patch::MAX_DEPTH;
use crate::quantity::Quantity;

/// Brings an object that was decoded as `of` into the form in which upstream serialises it.
///
/// Gone are empty lists and maps, and zeros (`false`, `0`, `""`), of fields that are `omitempty` and no pointers (see
/// [`super::Field::omits_empty`]). Quantities are written as [`Quantity`] displays them; one that cannot be read stays
/// as it is, for decoding has refused it. Whatever is not of the shape that its field has stays as it is too, and so
/// does what nests deeper than [`MAX_DEPTH`], which decoding refuses as well.
pub fn normalize(value: &mut Value, of: &'static Type) {
    object(value, of, MAX_DEPTH);
}

fn object(value: &mut Value, of: &'static Type, depth: usize) {
    let Value::Object(members) = value else { return };
    members.retain(|name, value| {
        let Some(field) = of.field(name) else { return true };
        shaped(value, field.shape(), depth);
        !(field.omits_empty() && is_empty(value))
    });
}

/// `depth` counts the objects and lists that may still nest.
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
        (Shape::Quantity, Value::String(text)) => {
            if let Ok(quantity) = Quantity::parse(text) {
                *text = quantity.to_string();
            }
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(set) => !set,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

#[cfg(test)]
mod tests;
