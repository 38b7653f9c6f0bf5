//! JSON merge patch (RFC 7386), as upstream's library applies it.
//!
//! Two corners differ from the RFC, and clients can see them: a patch's nulls are also removed from objects inside lists
//! where the list replaces something that is no object, and a document or a patch that is not an object is an error
//! unless the patch is a list.

use serde_json::{Map, Value};

use super::{MAX_DEPTH, TOO_DEEP, deeper_than};

/// Why a JSON merge patch does not apply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The patch is neither an object nor a list.
    #[error("Invalid JSON Patch")]
    BadPatch,
    /// The document is null.
    #[error("Invalid JSON Document")]
    BadDocument,
    /// The document or the patch is nested deeper than [`MAX_DEPTH`].
    #[error("{TOO_DEEP}")]
    TooDeep,
}

impl Error {
    /// The HTTP status that the API server answers with.
    pub fn code(&self) -> u16 {
        match self {
            Self::BadPatch | Self::TooDeep => 400,
            Self::BadDocument => 500,
        }
    }
}

/// Applies a merge patch to a document.
///
/// # Errors
///
/// [`Error::BadPatch`] when the patch is a scalar or null, [`Error::BadDocument`] when the document is null.
pub fn apply(document: &Value, patch: Value) -> Result<Value, Error> {
    if deeper_than(document, MAX_DEPTH) || deeper_than(&patch, MAX_DEPTH) {
        return Err(Error::TooDeep);
    }
    match (document, patch) {
        (Value::Null, Value::Object(_) | Value::Array(_)) => Err(Error::BadDocument),
        (Value::Object(document), Value::Object(patch)) => {
            let mut merged = document.clone();
            merge_objects(&mut merged, patch);
            Ok(Value::Object(merged))
        }
        (_, mut patch @ (Value::Object(_) | Value::Array(_))) => {
            prune_nulls(&mut patch);
            Ok(patch)
        }
        _ => Err(Error::BadPatch),
    }
}

/// The smallest merge patch that turns `before` into `after`.
///
/// A merge patch cannot set a member to null; where `after` has one that `before` lacks, the result lacks it too.
///
/// Recursion is as deep as the shallower document.
pub fn create(before: &Map<String, Value>, after: &Map<String, Value>) -> Map<String, Value> {
    let mut patch = Map::new();
    for (key, new) in after {
        match (before.get(key), new) {
            (Some(Value::Object(old)), Value::Object(new)) => {
                let inner = create(old, new);
                if !inner.is_empty() {
                    patch.insert(key.clone(), Value::Object(inner));
                }
            }
            (Some(old), new) if old == new => {}
            (_, new) => {
                patch.insert(key.clone(), new.clone());
            }
        }
    }
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    patch
}

fn merge_objects(document: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (key, mut new) in patch {
        match (document.get_mut(&key), new) {
            (_, Value::Null) => {
                document.remove(&key);
            }
            (Some(Value::Object(old)), Value::Object(new)) => merge_objects(old, new),
            // Upstream prunes a list only where it does not replace an object.
            (Some(old @ Value::Object(_)), list) => *old = list,
            (_, other) => {
                new = other;
                prune_nulls(&mut new);
                document.insert(key, new);
            }
        }
    }
}

/// Removes null members of objects at any depth. Null elements of lists stay.
fn prune_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(prune_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(prune_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::patch::json::tests::document;

    #[test]
    fn applies_the_examples_of_the_rfc() {
        for (document, patch, expected) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "b"}), json!(["c"]), json!(["c"])),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            assert_eq!(apply(&document, patch.clone()), Ok(expected), "{document} patched with {patch}");
        }
    }

    #[test]
    fn keeps_upstreams_corners() {
        for (document, patch, expected) in [
            // Nulls inside a list that replaces nothing, or a list, are pruned from its objects but not from itself.
            (json!({}), json!({"a": [{"b": null, "c": 1}, null]}), json!({"a": [{"c": 1}, null]})),
            (json!({"a": [1]}), json!({"a": [{"b": null}]}), json!({"a": [{}]})),
            // A list that replaces an object is taken as it is.
            (json!({"a": {}}), json!({"a": [{"b": null}]}), json!({"a": [{"b": null}]})),
            (json!({"a": null}), json!({"a": {"b": null}}), json!({"a": {}})),
        ] {
            assert_eq!(apply(&document, patch.clone()), Ok(expected), "{document} patched with {patch}");
        }
    }

    #[test]
    fn refuses_what_upstream_refuses() {
        for (document, patch, expected, code) in [
            (json!({}), json!(null), Error::BadPatch, 400),
            (json!({}), json!("bar"), Error::BadPatch, 400),
            (json!({}), json!(1), Error::BadPatch, 400),
            (json!(null), json!({}), Error::BadDocument, 500),
        ] {
            let error = apply(&document, patch).expect_err("does not apply");
            assert_eq!((error.code(), error), (code, expected));
        }
        let deep = (0..200).fold(json!(1), |inner, _| json!({"a": inner}));
        assert_eq!(apply(&json!({}), deep), Err(Error::TooDeep));
    }

    fn prune_lists(value: &mut Value) {
        match value {
            Value::Object(map) => map.values_mut().for_each(prune_lists),
            list => prune_nulls(list),
        }
    }

    proptest! {
        #[test]
        fn created_patches_lead_from_one_document_to_the_other(before in document(), after in document()) {
            let (Value::Object(before), Value::Object(mut after)) = (before, after) else { unreachable!() };
            let mut pruned = Value::Object(std::mem::take(&mut after));
            prune_nulls(&mut pruned);
            let Value::Object(after) = pruned else { unreachable!() };
            let patch = create(&before, &after);
            prop_assert_eq!(apply(&Value::Object(before), Value::Object(patch)), Ok(Value::Object(after)));
        }

        #[test]
        fn applying_twice_changes_nothing_more(before in document(), mut patch in document()) {
            // Nulls inside lists are pruned or not by what the list replaces, which the first application changes.
            prune_lists(&mut patch);
            let once = apply(&before, patch.clone()).unwrap();
            prop_assert_eq!(apply(&once, patch).unwrap(), once);
        }
    }
}
