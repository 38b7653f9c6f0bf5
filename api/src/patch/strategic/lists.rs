//! Merging a list whose patch strategy is `merge`.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::{DELETE, DIRECTIVE, Error, MERGE, PatchSchema, REPLACE, objects, order};
use crate::patch::go_format;

/// What the lists of a merge hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lists {
    Scalars,
    Objects,
}

impl Lists {
    /// What all elements of two lists are. They must be of one type, as Go sees it, and not lists.
    pub(super) fn of(left: &[Value], right: &[Value]) -> Result<Self, Error> {
        let mut elements = left.iter().chain(right);
        let first = elements.next().ok_or(Error::NoElements)?;
        if first.is_array() {
            return Err(Error::ListOfLists);
        }
        let mixed = |element: &Value| go_format::type_name(element) != go_format::type_name(first);
        if first.is_null() || elements.any(mixed) {
            let lists = format!("[{} {}]", go_format::list(left), go_format::list(right));
            return Err(Error::MixedElements { lists });
        }
        Ok(if first.is_object() { Self::Objects } else { Self::Scalars })
    }
}

/// Merges two lists of elements of type `of`: objects by merge key, scalars as a set. Elements that the patch names
/// stand in the patch's order.
pub(super) fn merge<S: PatchSchema>(
    original: Vec<Value>,
    patch: Vec<Value>,
    of: S,
    merge_key: &str,
) -> Result<Vec<Value>, Error> {
    if original.is_empty() && patch.is_empty() {
        return Ok(original);
    }
    let lists = Lists::of(&original, &patch)?;
    let (merged, original, patch) = match lists {
        Lists::Scalars => {
            let mut seen = HashSet::new();
            let merged = original.iter().chain(&patch).filter(|item| seen.insert(*item)).cloned().collect();
            (merged, original, patch)
        }
        Lists::Objects => {
            if merge_key.is_empty() {
                return Err(Error::NoMergeKeyDeclared { element: of.kind() });
            }
            let (original, patch) = apply_directives(original, patch, merge_key)?;
            let merged = merge_objects(original.clone(), patch.clone(), of, merge_key)?;
            (merged, original, patch)
        }
    };
    let (named, server_only) = order::partition(merged, &patch, merge_key)?;
    order::interleave(named, server_only, &patch, &original, merge_key, lists == Lists::Objects)
}

/// Removes the scalars `gone` from a list.
pub(super) fn delete<S: PatchSchema>(
    original: Vec<Value>,
    gone: &[Value],
    of: S,
    merge_key: &str,
) -> Result<Vec<Value>, Error> {
    if original.is_empty() && gone.is_empty() {
        return Ok(original);
    }
    match Lists::of(&original, gone)? {
        // A list of objects merges, whatever the directive was called.
        Lists::Objects => merge(original, gone.to_vec(), of, merge_key),
        Lists::Scalars => {
            let gone: HashSet<&Value> = gone.iter().collect();
            Ok(original.into_iter().filter(|item| !gone.contains(item)).collect())
        }
    }
}

/// The server's order, against which a merged list of objects is interleaved after `$setElementOrder`.
///
/// Upstream deletes from and appends to the server's list where it lies, so that each deleted element leaves a place
/// that an added one takes. Clients see the order that results, and upstream's tests fix it.
pub(super) fn order_after_merge(original: Vec<Value>, patch: &[Value], merge_key: &str) -> Vec<Value> {
    let directive = |item: &Value| item.get(DIRECTIVE).cloned();
    let deleted: HashSet<&Value> = patch
        .iter()
        .filter(|item| directive(item).is_some_and(|found| found == DELETE))
        .filter_map(|item| item.get(merge_key))
        .collect();
    let before = original.len();
    let mut kept: Vec<Value> =
        original.into_iter().filter(|item| !item.get(merge_key).is_some_and(|key| deleted.contains(key))).collect();
    if patch.iter().any(|item| directive(item).is_some_and(|found| found == REPLACE)) {
        return kept;
    }
    let freed = before - kept.len();
    let mut known: HashSet<Value> = kept.iter().filter_map(|item| item.get(merge_key)).cloned().collect();
    let added = patch.iter().filter(|item| directive(item).is_none());
    let added = added.filter(|item| item.get(merge_key).is_some_and(|key| known.insert(key.clone())));
    kept.extend(added.take(freed).cloned());
    kept
}

/// The object that an element of a list of objects is.
pub(super) fn object(item: &Value) -> Result<&Map<String, Value>, Error> {
    item.as_object().ok_or_else(|| Error::not_a_map(item))
}

/// The value by which an element is told apart.
pub(super) fn key_of<'a>(item: &'a Value, merge_key: &str) -> Result<&'a Value, Error> {
    let map = object(item)?;
    map.get(merge_key).ok_or_else(|| Error::no_merge_key(map, merge_key))
}

/// Carries out the `$patch` elements of a patch: answers what is left of the original and of the patch.
fn apply_directives(
    original: Vec<Value>,
    patch: Vec<Value>,
    merge_key: &str,
) -> Result<(Vec<Value>, Vec<Value>), Error> {
    let mut gone = HashSet::new();
    let mut rest = Vec::with_capacity(patch.len());
    let mut replace = false;
    for item in patch {
        let map = object(&item)?;
        match map.get(DIRECTIVE) {
            None => rest.push(item),
            Some(Value::String(directive)) if directive == DELETE => {
                gone.insert(key_of(&item, merge_key)?.clone());
            }
            Some(Value::String(directive)) if directive == REPLACE => replace = true,
            Some(Value::String(directive)) if directive == MERGE => return Err(Error::MergeDirectiveInList),
            Some(directive) => return Err(Error::unknown_patch_type(directive, map)),
        }
    }
    if replace {
        return Ok((rest, Vec::new()));
    }
    let mut kept = Vec::with_capacity(original.len());
    for (index, item) in original.into_iter().enumerate() {
        let map = item.as_object().ok_or(Error::ElementNotMap { index })?;
        if !map.get(merge_key).is_some_and(|key| gone.contains(key)) {
            kept.push(item);
        }
    }
    Ok((kept, rest))
}

/// Merges each element of the patch into the first of the original with its key, or appends it.
fn merge_objects<S: PatchSchema>(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    of: S,
    merge_key: &str,
) -> Result<Vec<Value>, Error> {
    let mut places: HashMap<Value, usize> = HashMap::with_capacity(original.len());
    for (index, item) in original.iter().enumerate() {
        let map = item.as_object().ok_or(Error::ElementNotMap { index })?;
        if let Some(key) = map.get(merge_key) {
            places.entry(key.clone()).or_insert(index);
        }
    }
    for item in patch {
        let key = key_of(&item, merge_key)?.clone();
        let Value::Object(item) = item else { return Err(Error::not_a_map(&item)) };
        if let Some(place) = places.get(&key) {
            let Value::Object(before) = original[*place].take() else {
                return Err(Error::ElementNotMap { index: *place });
            };
            original[*place] = Value::Object(objects::merge(before, item, of)?);
        } else {
            places.insert(key, original.len());
            original.push(Value::Object(item));
        }
    }
    Ok(original)
}
