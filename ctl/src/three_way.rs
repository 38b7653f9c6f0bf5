//! The patch that makes an object what a file says, and leaves what others said of it: by the file's object, the one that was
//! applied before, and the server's.
//!
//! What the file says and the server's object does not have so is set; what was applied before and the file no longer says is
//! removed; all else stays. For built-in types it is a strategic merge patch, by which lists merge element by element as
//! their types have it; for all others it is a JSON merge patch. The rules are those of
//! `k8s.io/apimachinery/pkg/util/strategicpatch` and `jsonmergepatch`.

use api::patch::merge;
use api::schema::{Element, Rules, Shape, Type};
use serde_json::{Map, Value, json};

type Fields = Map<String, Value>;

const DELETE_FROM_PRIMITIVE_LIST: &str = "$deleteFromPrimitiveList";
const SET_ELEMENT_ORDER: &str = "$setElementOrder";
const RETAIN_KEYS: &str = "$retainKeys";

/// Why there is no patch.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// An element of a list that merges does not say which one it is.
    #[error("an element of {list} does not have the field {key}, by which its elements are told apart")]
    NoMergeKey {
        /// The field that the list is in.
        list: String,
        /// The field that it does not have.
        key: &'static str,
    },
}

/// A patch, and what kind of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Patch {
    pub(crate) fields: Fields,
    pub(crate) content_type: &'static str,
}

/// The patch for an object of a type, or of one that is not built in.
pub(crate) fn patch(
    before: &Fields,
    wanted: &Fields,
    current: &Fields,
    of: Option<&'static Type>,
) -> Result<Patch, Error> {
    let Some(of) = of else {
        let mut fields = merge::create(current, wanted);
        keep(&mut fields, false);
        let mut removed = merge::create(before, wanted);
        keep(&mut removed, true);
        unite(&mut removed, fields);
        return Ok(Patch { fields: removed, content_type: "application/merge-patch+json" });
    };
    let of = Of::Shape(Shape::Object(of));
    let changed = fields(current, wanted, of, Wanted::Changes, false)?;
    let mut removed = fields(before, wanted, of, Wanted::Removals, false)?;
    unite_strategic(&mut removed, changed, of);
    Ok(Patch { fields: removed, content_type: "application/strategic-merge-patch+json" })
}

/// Keeps of a merge patch what removes fields, or what does not.
fn keep(fields: &mut Fields, removals: bool) {
    fields.retain(|_, value| match value {
        Value::Object(inner) if inner.is_empty() => !removals,
        Value::Object(inner) => {
            keep(inner, removals);
            !inner.is_empty()
        }
        value => value.is_null() == removals,
    });
}

/// Adds one merge patch to another one.
fn unite(to: &mut Fields, from: Fields) {
    for (name, value) in from {
        match (to.get_mut(&name), value) {
            (Some(Value::Object(to)), Value::Object(from)) => unite(to, from),
            (_, value) => drop(to.insert(name, value)),
        }
    }
}

/// Which differences a patch is to be of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// What is there now and was not, or not so.
    Changes,
    /// What was there and is no longer.
    Removals,
}

/// What is known of a value.
#[derive(Clone, Copy)]
enum Of {
    Shape(Shape),
    Unknown,
}

impl Of {
    fn field(self, name: &str) -> (Of, &'static Rules) {
        match self {
            Of::Shape(Shape::Object(of)) => match of.field(name) {
                Some(field) => (Of::Shape(field.shape()), field.rules()),
                None => (Of::Unknown, &Rules::NONE),
            },
            Of::Shape(Shape::Map(element)) => (Of::element(element), &Rules::NONE),
            _ => (Of::Unknown, &Rules::NONE),
        }
    }

    fn element(element: Element) -> Of {
        Of::Shape(element.shape())
    }

    /// What is known of the elements of a list.
    fn elements(self) -> Of {
        match self {
            Of::Shape(Shape::Array(element)) => Of::element(element),
            _ => Of::Unknown,
        }
    }
}

/// How objects differ, field by field.
fn fields(before: &Fields, after: &Fields, of: Of, wanted: Wanted, retains: bool) -> Result<Fields, Error> {
    let mut patch = Fields::new();
    for (name, new) in after {
        let Some(old) = before.get(name) else {
            if wanted == Wanted::Changes {
                patch.insert(name.clone(), new.clone());
            }
            continue;
        };
        let (inner, rules) = of.field(name);
        match (old, new) {
            (Value::Object(old), Value::Object(new)) if !rules.patch_replace => {
                let value = fields(old, new, inner, wanted, rules.patch_retain_keys)?;
                if !value.is_empty() {
                    patch.insert(name.clone(), Value::Object(value));
                }
            }
            (Value::Array(old), Value::Array(new)) if rules.patch_merge => {
                let list = List { name, of: inner.elements(), key: rules.patch_merge_key };
                list.compare(old, new, wanted, rules.patch_retain_keys, &mut patch)?;
            }
            (old, new) if wanted == Wanted::Changes && old != new => {
                patch.insert(name.clone(), new.clone());
            }
            _ => {}
        }
    }
    if wanted == Wanted::Removals {
        let removed = before.keys().filter(|name| !after.contains_key(*name));
        patch.extend(removed.map(|name| (name.clone(), Value::Null)));
    }
    // Where only one of several fields may be there, the server drops what it had set itself.
    let drops = before.keys().any(|name| !after.contains_key(name));
    if retains && !after.is_empty() && (!patch.is_empty() || drops) {
        let mut kept: Vec<&String> = after.iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name).collect();
        kept.sort();
        patch.insert(RETAIN_KEYS.to_owned(), json!(kept));
    }
    Ok(patch)
}

/// A list whose elements merge.
struct List<'a> {
    name: &'a str,
    of: Of,
    key: Option<&'static str>,
}

impl List<'_> {
    fn compare(
        &self,
        before: &[Value],
        after: &[Value],
        wanted: Wanted,
        retains: bool,
        patch: &mut Fields,
    ) -> Result<(), Error> {
        if before.is_empty() {
            if !after.is_empty() && wanted == Wanted::Changes {
                patch.insert(self.name.to_owned(), json!(after));
            }
            return Ok(());
        }
        let of_objects = before.iter().chain(after).all(Value::is_object);
        match self.key.filter(|_| of_objects) {
            Some(key) => self.compare_objects(before, after, key, wanted, retains, patch),
            None => {
                self.compare_scalars(before, after, wanted, patch);
                Ok(())
            }
        }
    }

    fn compare_objects(
        &self,
        before: &[Value],
        after: &[Value],
        key: &'static str,
        wanted: Wanted,
        retains: bool,
        patch: &mut Fields,
    ) -> Result<(), Error> {
        let order: Vec<String> = after.iter().map(|item| self.key_of(item, key)).collect::<Result<_, _>>()?;
        let mut old = self.sorted(before, key)?.into_iter().peekable();
        let mut new = self.sorted(after, key)?.into_iter().peekable();
        let (mut changed, mut removed) = (Vec::new(), Vec::new());
        loop {
            match (old.peek(), new.peek()) {
                (None, None) => break,
                (Some((left, _)), right) if right.is_none_or(|(right, _)| left < right) => {
                    if let Some((_, item)) = old.next().filter(|_| wanted == Wanted::Removals) {
                        removed.push(json!({"$patch": "delete", key: item[key]}));
                    }
                }
                (left, Some((right, _))) if left.is_none_or(|(left, _)| left > right) => {
                    if let Some((name, item)) = new.next().filter(|_| wanted == Wanted::Changes) {
                        changed.push((name, item.clone()));
                    }
                }
                _ => {
                    let (Some((_, Value::Object(old))), Some((name, Value::Object(new)))) = (old.next(), new.next())
                    else {
                        continue;
                    };
                    let mut value = fields(old, new, self.of, wanted, retains)?;
                    if !value.is_empty() {
                        value.insert(key.to_owned(), new[key].clone());
                        changed.push((name, Value::Object(value)));
                    }
                }
            }
        }
        changed.sort_by_key(|(name, _)| order.iter().position(|other| other == name));
        let items: Vec<Value> = changed.into_iter().map(|(_, item)| item).chain(removed).collect();
        let same_order = before.len() == after.len() && before.iter().zip(after).all(|(a, b)| a[key] == b[key]);
        if !items.is_empty() || (wanted == Wanted::Changes && !same_order) {
            let keys: Vec<Value> = after.iter().map(|item| json!({key: item[key]})).collect();
            patch.insert(format!("{SET_ELEMENT_ORDER}/{}", self.name), json!(keys));
        }
        if !items.is_empty() {
            patch.insert(self.name.to_owned(), json!(items));
        }
        Ok(())
    }

    fn compare_scalars(&self, before: &[Value], after: &[Value], wanted: Wanted, patch: &mut Fields) {
        let missing = |from: &[Value], of: &[Value]| -> Vec<Value> {
            let mut missing: Vec<Value> = Vec::new();
            for value in of {
                if !from.contains(value) && !missing.contains(value) {
                    missing.push(value.clone());
                }
            }
            missing
        };
        let (added, removed) = match wanted {
            Wanted::Changes => (missing(before, after), Vec::new()),
            Wanted::Removals => (Vec::new(), missing(after, before)),
        };
        if !removed.is_empty() || (wanted == Wanted::Changes && before != after) {
            patch.insert(format!("{SET_ELEMENT_ORDER}/{}", self.name), json!(after));
        }
        if !removed.is_empty() {
            patch.insert(format!("{DELETE_FROM_PRIMITIVE_LIST}/{}", self.name), json!(removed));
        }
        if !added.is_empty() {
            patch.insert(self.name.to_owned(), json!(added));
        }
    }

    fn key_of(&self, item: &Value, key: &'static str) -> Result<String, Error> {
        match item.get(key) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => Ok(other.to_string()),
            None => Err(Error::NoMergeKey { list: self.name.to_owned(), key }),
        }
    }

    /// The elements by their keys. Those with the same key stay in their order.
    fn sorted<'v>(&self, items: &'v [Value], key: &'static str) -> Result<Vec<(String, &'v Value)>, Error> {
        let mut sorted: Vec<(String, &Value)> =
            items.iter().map(|item| Ok((self.key_of(item, key)?, item))).collect::<Result<_, Error>>()?;
        sorted.sort_by(|(left, _), (right, _)| left.cmp(right));
        Ok(sorted)
    }
}

/// Adds one strategic merge patch to another one: what both say of an element is said once.
fn unite_strategic(to: &mut Fields, from: Fields, of: Of) {
    for (name, value) in from {
        let (inner, rules) = of.field(&name);
        match (to.get_mut(&name), value) {
            (Some(Value::Object(to)), Value::Object(from)) => unite_strategic(to, from, inner),
            (Some(Value::Array(to)), Value::Array(from)) if rules.patch_merge => {
                let inner = inner.elements();
                for item in from {
                    let same = |other: &Value| match rules.patch_merge_key {
                        Some(key) if item.is_object() => other.get(key) == item.get(key),
                        _ => *other == item,
                    };
                    match (to.iter().position(same), item) {
                        (Some(at), Value::Object(from)) => {
                            if let Some(to) = to[at].as_object_mut() {
                                unite_strategic(to, from, inner);
                            }
                        }
                        (Some(_), _) => {}
                        (None, item) => to.push(item),
                    }
                }
            }
            (_, value) => drop(to.insert(name, value)),
        }
    }
}

#[cfg(test)]
mod tests;
