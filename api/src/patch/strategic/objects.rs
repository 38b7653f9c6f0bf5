//! Merging an object: its directives first, then key by key.

use serde_json::{Map, Value};

use super::lists::{self, Lists};
use super::{
    DELETE, DELETE_FROM_PRIMITIVE_LIST, DIRECTIVE, Error, FieldMeta, PatchSchema, REPLACE, RETAIN_KEYS,
    SET_ELEMENT_ORDER, Strategy, order,
};

/// Merges `patch` into `original`, an object of type `of`.
pub(super) fn merge<S: PatchSchema>(
    mut original: Map<String, Value>,
    mut patch: Map<String, Value>,
    of: S,
) -> Result<Map<String, Value>, Error> {
    if let Some(directive) = patch.get(DIRECTIVE) {
        return match directive.as_str() {
            Some(REPLACE) => {
                patch.remove(DIRECTIVE);
                Ok(patch)
            }
            Some(DELETE) => Ok(Map::new()),
            _ => Err(Error::unknown_patch_type(directive, &patch)),
        };
    }
    retain_keys(&mut original, &mut patch)?;
    set_element_orders(&mut original, &mut patch, of)?;

    // In order of key, so that the result is that of any order: `$deleteFromPrimitiveList` sorts before the fields.
    let mut entries: Vec<(String, Value)> = patch.into_iter().collect();
    entries.sort_by(|(left, _), (right, _)| left.cmp(right));
    for (key, value) in entries {
        if key.starts_with(DELETE_FROM_PRIMITIVE_LIST) {
            let field = directed_field(&key, DELETE_FROM_PRIMITIVE_LIST).ok_or(Error::BadPrimitiveList)?;
            delete_from_list(&mut original, field, value, of)?;
        } else {
            merge_entry(&mut original, key, value, of)?;
        }
    }
    Ok(original)
}

/// A value without its directives, or nothing when it is itself one.
///
/// Where there is nothing to merge into, a patch's value is taken, but not what it says about merging.
pub(super) fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(map) if map.contains_key(DIRECTIVE) => None,
        Value::Object(map) => Some(Value::Object(
            map.into_iter().filter_map(|(key, value)| Some((key, without_directives(value)?))).collect(),
        )),
        Value::Array(items) => Some(Value::Array(items.into_iter().filter_map(without_directives).collect())),
        scalar => Some(scalar),
    }
}

fn merge_entry<S: PatchSchema>(
    original: &mut Map<String, Value>,
    key: String,
    value: Value,
    of: S,
) -> Result<(), Error> {
    if value.is_null() {
        original.remove(&key);
        return Ok(());
    }
    let merged = match (original.remove(&key), value) {
        (Some(Value::Object(before)), Value::Object(patch)) => {
            let field = of.field(&key)?;
            Some(Value::Object(match field.strategy {
                Strategy::Replace => patch,
                _ => merge(before, patch, field.of)?,
            }))
        }
        (Some(Value::Array(before)), Value::Array(patch)) => {
            let field = of.list_field(&key)?;
            Some(Value::Array(match field.strategy {
                Strategy::Merge => lists::merge(before, patch, field.of, field.merge_key)?,
                _ => patch,
            }))
        }
        // Numbers of two kinds are two types in Go, but what is taken is the same.
        (Some(_), scalar @ (Value::Bool(_) | Value::Number(_) | Value::String(_))) => Some(scalar),
        (_, mut value) => {
            discard_nulls(&mut value);
            without_directives(value)
        }
    };
    if let Some(merged) = merged {
        original.insert(key, merged);
    }
    Ok(())
}

/// `$deleteFromPrimitiveList/<field>`: what is not there needs no deleting.
fn delete_from_list<S: PatchSchema>(
    original: &mut Map<String, Value>,
    field: &str,
    value: Value,
    of: S,
) -> Result<(), Error> {
    if value.is_null() {
        original.remove(field);
        return Ok(());
    }
    let (Some(Value::Array(before)), Value::Array(gone)) = (original.get_mut(field), &value) else {
        return Ok(());
    };
    let meta = of.list_field(field)?;
    *before = lists::delete(std::mem::take(before), gone, meta.of, meta.merge_key)?;
    Ok(())
}

/// Clears the keys of `original` that the patch's `$retainKeys` does not name.
fn retain_keys(original: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<(), Error> {
    let Some(directive) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let retained = directive.as_array().ok_or(Error::BadRetainKeys)?;
    let retained: std::collections::HashSet<&str> = retained.iter().filter_map(Value::as_str).collect();
    let directed = |key: &str| key.starts_with(DELETE_FROM_PRIMITIVE_LIST) || key.starts_with(SET_ELEMENT_ORDER);
    if patch.iter().any(|(key, value)| !value.is_null() && !directed(key) && !retained.contains(key.as_str())) {
        return Err(Error::BadRetainKeys);
    }
    original.retain(|key, _| retained.contains(key.as_str()));
    Ok(())
}

/// Merges and orders each list that has a `$setElementOrder`, taking both out of the patch.
fn set_element_orders<S: PatchSchema>(
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
    of: S,
) -> Result<(), Error> {
    let mut keys: Vec<String> = patch.keys().filter(|key| key.starts_with(SET_ELEMENT_ORDER)).cloned().collect();
    keys.sort();
    for key in keys {
        let order = patch.remove(&key).unwrap_or_default();
        let Value::Array(order) = order else { return Err(Error::not_a_list(&order)) };
        let field = directed_field(&key, SET_ELEMENT_ORDER).ok_or(Error::BadSetElementOrder)?;
        let before = list_at(original, field)?;
        let added = list_at(patch, field)?;
        let meta = of.list_field(field)?;
        order::check(added.unwrap_or_default(), &order, meta.merge_key)?;
        let (before, added) = match (before, added) {
            (None, None) => continue,
            (before, added) => (before.map(<[Value]>::to_vec), added.map(<[Value]>::to_vec)),
        };
        let ordered = ordered_list(before, added, &order, &meta)?;
        original.insert(field.to_owned(), Value::Array(ordered));
        patch.remove(field);
    }
    Ok(())
}

/// The merged list in the order of `order`, with what only the server has kept near its neighbours.
fn ordered_list<S: PatchSchema>(
    before: Option<Vec<Value>>,
    added: Option<Vec<Value>>,
    order: &[Value],
    meta: &FieldMeta<S>,
) -> Result<Vec<Value>, Error> {
    let lists = Lists::of(before.as_deref().unwrap_or_default(), added.as_deref().unwrap_or_default())?;
    let mut server_order = before.clone().unwrap_or_default();
    let merged = match (before, added) {
        (Some(before), Some(added)) if meta.strategy == Strategy::Merge => {
            if lists == Lists::Objects {
                server_order = lists::order_after_merge(server_order, &added, meta.merge_key);
            }
            lists::merge(before, added, meta.of, meta.merge_key)?
        }
        (Some(_), Some(added)) => added,
        (Some(before), None) => before,
        (None, added) => added.unwrap_or_default().into_iter().filter_map(without_directives).collect(),
    };
    let (named, server_only) = order::partition(merged, order, meta.merge_key)?;
    order::interleave(named, server_only, order, &server_order, meta.merge_key, lists == Lists::Objects)
}

/// The list under a key, if the key is there.
fn list_at<'a>(map: &'a Map<String, Value>, key: &str) -> Result<Option<&'a [Value]>, Error> {
    match map.get(key) {
        None => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items)),
        Some(other) => Err(Error::not_a_list(other)),
    }
}

/// The field that a key such as `$setElementOrder/<field>` is about.
fn directed_field<'a>(key: &'a str, directive: &str) -> Option<&'a str> {
    key.strip_prefix(directive)?.strip_prefix('/')
}

/// Removes every null member, at any depth: what a patch deletes was never there.
fn discard_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(discard_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(discard_nulls),
        _ => {}
    }
}
