//! JSON patch (RFC 6902), as upstream's library (evanphx/json-patch v4) applies it.
//!
//! The `json-patch` crate follows the RFC; upstream does not quite, and clients rely on it: negative indexes count from
//! the end, `replace` of an absent member adds it, `test` of an absent member passes when it expects null, and what
//! precedes a path's first slash is ignored. It also panics on some patches that fail half-way. So this is written out, and
//! the crate serves as the tests' second opinion.
//!
//! Three things bound what a patch may cost: [`MAX_OPERATIONS`], [`MAX_COPIED`] and [`MAX_DEPTH`].

use serde_json::{Map, Value};

use super::{MAX_DEPTH, TOO_DEEP, deeper_than};
use crate::schema::{self, StrictError};

#[cfg(test)]
pub(crate) mod tests;

/// How many operations a patch may have (`maxJSONPatchOperations` upstream).
pub const MAX_OPERATIONS: usize = 10_000;

/// How many bytes of JSON the `copy` operations of a patch may copy in all (`JSONPatchMaxCopyBytes` upstream).
pub const MAX_COPIED: usize = 3 * 1024 * 1024;

/// What an operation may say.
const MEMBERS: [&str; 4] = ["op", "path", "from", "value"];

/// Why a JSON patch is not one, or does not apply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The patch is not a list of objects: 400.
    #[error("{0}")]
    Malformed(String),
    /// The patch has too many operations: 413.
    #[error("The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {0}")]
    TooManyOperations(usize),
    /// An operation does not apply, or a test failed: 422.
    #[error("{0}")]
    NotApplicable(String),
}

impl Error {
    /// The HTTP status that the API server answers with.
    pub fn code(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::TooManyOperations(_) => 413,
            Self::NotApplicable(_) => 422,
        }
    }
}

/// A JSON patch: operations in the order in which they apply.
#[derive(Debug, Clone, PartialEq)]
pub struct Patch(Vec<Map<String, Value>>);

impl Patch {
    /// Takes a patch from its JSON. What each operation says is only looked at when it is applied, as upstream does.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] when it is not a list of objects, [`Error::TooManyOperations`].
    pub fn new(patch: Value) -> Result<Self, Error> {
        let malformed = |found: &Value, expected: &str| {
            let found = json_kind(found);
            Error::Malformed(format!("json: cannot unmarshal {found} into Go value of type jsonpatch.{expected}"))
        };
        let operations = match patch {
            Value::Null => Vec::new(),
            Value::Array(operations) => operations,
            other => return Err(malformed(&other, "Patch")),
        };
        let operations = operations
            .into_iter()
            .map(|operation| match operation {
                Value::Object(operation) => Ok(operation),
                Value::Null => Ok(Map::new()),
                other => Err(malformed(&other, "Operation")),
            })
            .collect::<Result<Vec<_>, _>>()?;
        if operations.len() > MAX_OPERATIONS {
            return Err(Error::TooManyOperations(operations.len()));
        }
        Ok(Self(operations))
    }

    /// Reads a patch from JSON text, with what strict field validation finds fault with: the caller makes errors,
    /// warnings or nothing of it. Upstream prefixes each with `json patch `, as in `json patch unknown field "[0].foo"`.
    ///
    /// # Errors
    ///
    /// As [`Patch::new`], and [`Error::Malformed`] when the text is not JSON. Under strict validation or warnings upstream
    /// prefixes that with `error decoding patch: `.
    pub fn decode(text: &[u8]) -> Result<(Self, Vec<StrictError>), Error> {
        let (patch, mut faults) = schema::decode_untyped(text).map_err(|error| Error::Malformed(error.to_string()))?;
        let operations = patch.as_array().into_iter().flatten().enumerate();
        let members = operations.flat_map(|(index, operation)| {
            let keys = operation.as_object().into_iter().flat_map(Map::keys);
            keys.map(move |key| (index, key))
        });
        for (index, key) in members.filter(|(_, key)| !MEMBERS.contains(&key.as_str())) {
            let path = format!("[{index}].{key}");
            // What is unknown is not looked into.
            faults.retain(|fault| !matches!(fault, StrictError::DuplicateField(found) if found.starts_with(&path)));
            if faults.len() < schema::MAX_STRICT_ERRORS {
                faults.push(StrictError::UnknownField(path));
            }
        }
        Ok((Self::new(patch)?, faults))
    }

    /// Applies the operations to a document, which is left alone.
    ///
    /// # Errors
    ///
    /// [`Error::NotApplicable`] names the first operation that does not apply, in upstream's words.
    pub fn apply(&self, document: &Value) -> Result<Value, Error> {
        if deeper_than(document, MAX_DEPTH) {
            return Err(Error::NotApplicable(TOO_DEEP.to_owned()));
        }
        let mut run = Run { document: document.clone(), copied: 0 };
        for operation in &self.0 {
            run.step(operation).map_err(Error::NotApplicable)?;
        }
        Ok(run.document)
    }
}

/// The word with which Go's reader names a kind of JSON value.
fn json_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A patch under way. Messages are upstream's, with Go's way of chaining causes: `what failed: why`.
struct Run {
    document: Value,
    copied: usize,
}

const MISSING: &str = "missing value";
const TEST_FAILED: &str = "test failed";

impl Run {
    fn step(&mut self, operation: &Map<String, Value>) -> Result<(), String> {
        let kind = operation.get("op").and_then(Value::as_str).unwrap_or("unknown");
        match kind {
            "add" => self.add(operation),
            "remove" => self.remove(operation),
            "replace" => self.replace(operation),
            "move" => self.relocate(operation),
            "copy" => self.copy(operation),
            "test" => self.test(operation),
            _ => Err(format!("Unexpected kind: {kind}")),
        }
    }

    fn add(&mut self, operation: &Map<String, Value>) -> Result<(), String> {
        let path = text(operation, "path").map_err(|_| format!("add operation failed to decode path: {MISSING}"))?;
        let value = value_of(operation);
        let (parent, key) = self
            .parent(path)
            .ok_or_else(|| format!("add operation does not apply: doc is missing path: \"{path}\": {MISSING}"))?;
        check_depth(path, &value)?;
        add_to(parent, &key, value).map_err(|why| format!("error in add for path: '{path}': {why}"))
    }

    fn remove(&mut self, operation: &Map<String, Value>) -> Result<(), String> {
        let path = text(operation, "path").map_err(|_| format!("remove operation failed to decode path: {MISSING}"))?;
        let (parent, key) = self
            .parent(path)
            .ok_or_else(|| format!("remove operation does not apply: doc is missing path: \"{path}\": {MISSING}"))?;
        remove_from(parent, &key).map_err(|why| format!("error in remove for path: '{path}': {why}"))?;
        Ok(())
    }

    fn replace(&mut self, operation: &Map<String, Value>) -> Result<(), String> {
        let path = text(operation, "path").map_err(|why| format!("replace operation failed to decode path: {why}"))?;
        let value = value_of(operation);
        if path.is_empty() {
            if !value.is_object() && !value.is_array() {
                return Err("replace operation value must be object or array: %!w(<nil>)".to_owned());
            }
            check_depth(path, &value)?;
            self.document = value;
            return Ok(());
        }
        let (parent, key) = self
            .parent(path)
            .ok_or_else(|| format!("replace operation does not apply: doc is missing path: {path}: {MISSING}"))?;
        get_from(parent, &key)
            .map_err(|_| format!("replace operation does not apply: doc is missing key: {path}: {MISSING}"))?;
        check_depth(path, &value)?;
        set_in(parent, &key, value).map_err(|why| format!("error in remove for path: '{path}': {why}"))
    }

    /// `move`, which is a keyword.
    fn relocate(&mut self, operation: &Map<String, Value>) -> Result<(), String> {
        let from = text(operation, "from").map_err(|why| format!("move operation failed to decode from: {why}"))?;
        let (parent, key) = self
            .parent(from)
            .ok_or_else(|| format!("move operation does not apply: doc is missing from path: {from}: {MISSING}"))?;
        let value = remove_from(parent, &key).map_err(|why| format!("error in move for path: '{key}': {why}"))?;
        let path = text(operation, "path").map_err(|why| format!("move operation failed to decode path: {why}"))?;
        let (parent, key) = self.parent(path).ok_or_else(|| {
            format!("move operation does not apply: doc is missing destination path: {path}: {MISSING}")
        })?;
        check_depth(path, &value)?;
        add_to(parent, &key, value).map_err(|why| format!("error in move for path: '{path}': {why}"))
    }

    fn copy(&mut self, operation: &Map<String, Value>) -> Result<(), String> {
        let from = text(operation, "from").map_err(|why| format!("copy operation failed to decode from: {why}"))?;
        let (parent, key) = self
            .parent(from)
            .ok_or_else(|| format!("copy operation does not apply: doc is missing from path: {from}: {MISSING}"))?;
        let value = get_from(parent, &key).map_err(|why| format!("error in copy for from: '{from}': {why}"))?.cloned();
        let path = text(operation, "path").map_err(|_| format!("copy operation failed to decode path: {MISSING}"))?;
        let copied = self.copied + value.as_ref().map_or(0, json_length);
        let value = value.unwrap_or_default();
        let (parent, key) = self.parent(path).ok_or_else(|| {
            format!("copy operation does not apply: doc is missing destination path: {path}: {MISSING}")
        })?;
        check_depth(path, &value)?;
        if copied > MAX_COPIED {
            return Err(format!(
                "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the limit \
                 {MAX_COPIED}"
            ));
        }
        add_to(parent, &key, value).map_err(|why| format!("error while adding value during copy: {why}"))?;
        self.copied = copied;
        Ok(())
    }

    fn test(&mut self, operation: &Map<String, Value>) -> Result<(), String> {
        let path = text(operation, "path").map_err(|why| format!("test operation failed to decode path: {why}"))?;
        let expected = operation.get("value").unwrap_or(&Value::Null);
        let found = if path.is_empty() {
            Some(&self.document)
        } else {
            let (parent, key) = self
                .parent(path)
                .ok_or_else(|| format!("test operation does not apply: is missing path: {path}: {MISSING}"))?;
            get_from(parent, &key)
                .map_err(|why| format!("error in test for path: '{path}': {why}"))?
                .map(|value| &*value)
        };
        // An absent member is null, as it is to Go.
        if found.unwrap_or(&Value::Null) == expected {
            Ok(())
        } else {
            Err(format!("testing value {path} failed: {TEST_FAILED}"))
        }
    }

    /// The object or list that holds what a path names, and the last part of the path.
    fn parent(&mut self, path: &str) -> Option<(&mut Value, String)> {
        let mut parts = path.split('/');
        // Whatever stands before the first slash is ignored; without one there is no parent.
        parts.next();
        let mut key = unescape(parts.next()?);
        let mut at = &mut self.document;
        for part in parts {
            at = get_from(at, &key).ok()??;
            if !at.is_object() && !at.is_array() {
                return None;
            }
            key = unescape(part);
        }
        (at.is_object() || at.is_array()).then_some((at, key))
    }
}

/// A string member of an operation, or why there is none.
fn text<'a>(operation: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    match operation.get(name) {
        None | Some(Value::Null) if name == "from" => Err(format!("operation, missing from field: {MISSING}")),
        None | Some(Value::Null) => Err(format!("operation missing {name} field: {MISSING}")),
        Some(Value::String(found)) => Ok(found),
        Some(found) => Err(format!("json: cannot unmarshal {} into Go value of type string", json_kind(found))),
    }
}

fn value_of(operation: &Map<String, Value>) -> Value {
    operation.get("value").cloned().unwrap_or_default()
}

/// A part of a path with `~1` read as `/` and `~0` as `~`, in one go.
fn unescape(part: &str) -> String {
    if !part.contains('~') {
        return part.to_owned();
    }
    let mut out = String::with_capacity(part.len());
    let mut rest = part;
    while let Some(at) = rest.find('~') {
        out.push_str(&rest[..at]);
        let (read, length) = match rest.as_bytes().get(at + 1) {
            Some(b'0') => ('~', 2),
            Some(b'1') => ('/', 2),
            _ => ('~', 1),
        };
        out.push(read);
        rest = &rest[at + length..];
    }
    out.push_str(rest);
    out
}

/// What stands under a key: nothing for an absent member, an error for an index that a list does not have.
fn get_from<'a>(parent: &'a mut Value, key: &str) -> Result<Option<&'a mut Value>, String> {
    match parent {
        Value::Array(items) => {
            let index = existing_index(key, items.len())?;
            Ok(items.get_mut(index))
        }
        other => Ok(other.as_object_mut().and_then(|map| map.get_mut(key))),
    }
}

fn set_in(parent: &mut Value, key: &str, value: Value) -> Result<(), String> {
    match parent {
        Value::Array(items) => {
            let index = existing_index(key, items.len())?;
            items[index] = value;
        }
        other => {
            if let Some(map) = other.as_object_mut() {
                map.insert(key.to_owned(), value);
            }
        }
    }
    Ok(())
}

fn add_to(parent: &mut Value, key: &str, value: Value) -> Result<(), String> {
    match parent {
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => {
            let index =
                parse_index(key).map_err(|why| format!("value was not a proper array index: '{key}': {why}"))?;
            // The list is as long as it will be, so -1 appends.
            let index = resolve(index, items.len() + 1)?;
            items.insert(index, value);
        }
        other => {
            if let Some(map) = other.as_object_mut() {
                map.insert(key.to_owned(), value);
            }
        }
    }
    Ok(())
}

fn remove_from(parent: &mut Value, key: &str) -> Result<Value, String> {
    match parent {
        Value::Array(items) => {
            let index = existing_index(key, items.len())?;
            Ok(items.remove(index))
        }
        other => other
            .as_object_mut()
            .and_then(|map| map.remove(key))
            .ok_or_else(|| format!("Unable to remove nonexistent key: {key}: {MISSING}")),
    }
}

fn existing_index(key: &str, length: usize) -> Result<usize, String> {
    resolve(parse_index(key)?, length)
}

/// An index into a list of `length`, where negative ones count from the end.
fn resolve(index: i64, length: usize) -> Result<usize, String> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    if index >= length || index < -length {
        return Err(format!("Unable to access invalid index: {index}: invalid index referenced"));
    }
    let index = if index < 0 { index + length } else { index };
    usize::try_from(index).map_err(|_| format!("Unable to access invalid index: {index}: invalid index referenced"))
}

/// A decimal number with an optional sign, as Go's `strconv.Atoi` reads one.
fn parse_index(key: &str) -> Result<i64, String> {
    key.parse().map_err(|error: std::num::ParseIntError| {
        let why = match error.kind() {
            std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.Atoi: parsing {key:?}: {why}")
    })
}

/// How long the value is as JSON.
fn json_length(value: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Counting cannot fail, nor can writing a value whose keys are strings.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

/// Copies into themselves could nest a document without end.
fn check_depth(path: &str, value: &Value) -> Result<(), String> {
    let above = path.split('/').count() - 1;
    let limit = MAX_DEPTH.checked_sub(above).ok_or_else(|| TOO_DEEP.to_owned())?;
    if deeper_than(value, limit) { Err(TOO_DEEP.to_owned()) } else { Ok(()) }
}
