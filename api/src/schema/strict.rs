//! Reading a JSON document as a type: what the type does not know, what is said twice, and what is of the wrong kind.
//!
//! One pass over the text yields the document as upstream would store it (unknown fields and nulls gone, see
//! [`decode`]) together with every unknown and duplicate field. Whether those are errors, warnings or nothing is the
//! request's `fieldValidation`, and not decided here; a value of the wrong kind always is an error. Names match by
//! case. Absent required fields are the validation's business.
//!
//! Nesting is limited to [`crate::patch::MAX_DEPTH`] (upstream: 10,000), so that no document can exhaust the stack.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::literals::{self, quote};
use super::{Element, Shape, Type, go_json};
use crate::patch::{MAX_DEPTH, deeper_than};
use crate::quantity::ParseError;

/// How many strict errors of a document are kept; upstream keeps as many.
pub const MAX_STRICT_ERRORS: usize = 100;

/// What strict reading finds fault with, by path, as in `spec.containers[0].foo`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum StrictError {
    /// The type has no such field.
    #[error("unknown field {}", quote(.0))]
    UnknownField(String),
    /// An object has the member more than once.
    #[error("duplicate field {}", quote(.0))]
    DuplicateField(String),
}

/// Why a document cannot be read at all, in the words of Go's reader.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The text is not JSON.
    #[error("{0}")]
    Syntax(String),
    /// The document is nested too deep.
    #[error("exceeded max depth")]
    TooDeep,
    /// A value is of another kind than its field, or not what its type's text form allows.
    #[error("{0}")]
    Type(String),
}

/// Reads JSON text as an object of a type.
///
/// The document comes back as it would be stored: without unknown fields and nulls, elements that are null as their
/// type's zero, the last of duplicate fields (objects said twice are merged), times in UTC, numbers given as quantities
/// as strings, and base64 without line breaks.
///
/// # Errors
///
/// [`DecodeError`] when the text is not JSON, or a value does not fit its field.
pub fn decode(text: &[u8], of: &'static Type) -> Result<(Value, Vec<StrictError>), DecodeError> {
    let mut run = Run::default();
    let document = read(text, &mut run, Mode::Typed(Shape::Object(of)))?;
    run.finish(document)
}

/// Reads JSON text of which no type is known, as a custom resource's: nothing is unknown, but members may be said twice.
///
/// # Errors
///
/// [`DecodeError`] when the text is not JSON.
pub fn decode_untyped(text: &[u8]) -> Result<(Value, Vec<StrictError>), DecodeError> {
    let mut run = Run::default();
    let document = read(text, &mut run, Mode::Untyped)?;
    run.finish(document)
}

/// As [`decode`], for a document that has been read already, such as a patched one.
///
/// # Errors
///
/// [`DecodeError`] when a value does not fit its field.
pub fn decode_value(document: Value, of: &'static Type) -> Result<(Value, Vec<StrictError>), DecodeError> {
    if deeper_than(&document, MAX_DEPTH) {
        return Err(DecodeError::TooDeep);
    }
    let mut run = Run::default();
    let seed = Seed { mode: Mode::Typed(Shape::Object(of)), run: &mut run };
    let document = seed.deserialize(document).map_err(|error| DecodeError::Syntax(error.to_string()))?;
    run.finish(document)
}

fn read(text: &[u8], run: &mut Run, mode: Mode) -> Result<Value, DecodeError> {
    // Go replaces what is not UTF-8.
    let text: Cow<'_, str> = String::from_utf8_lossy(text);
    let mut reader = serde_json::Deserializer::from_str(&text);
    let document = Seed { mode, run }.deserialize(&mut reader);
    document.and_then(|document| reader.end().map(|()| document)).map_err(|error| {
        if error.to_string().starts_with("recursion limit exceeded") {
            return DecodeError::TooDeep;
        }
        DecodeError::Syntax(go_json::syntax_error(text.as_bytes()).unwrap_or_else(|| error.to_string()))
    })
}

/// What is being read.
#[derive(Clone, Copy)]
enum Mode {
    Typed(Shape),
    Untyped,
}

/// What one reading has found, and where it is.
#[derive(Default)]
struct Run {
    /// The path for strict errors: `spec.containers[0]`.
    path: String,
    /// The fields that lead here, each with the type that has it, for type errors: lists and maps leave no trace.
    fields: Vec<(&'static Type, &'static str)>,
    strict: Vec<StrictError>,
    seen: HashSet<StrictError>,
    /// The first value of the wrong kind.
    mismatch: Option<String>,
    /// The first text that a type which reads itself refused. To Go that is the graver error.
    refusal: Option<String>,
}

impl Run {
    fn finish(self, document: Value) -> Result<(Value, Vec<StrictError>), DecodeError> {
        match self.refusal.or(self.mismatch) {
            Some(message) => Err(DecodeError::Type(message)),
            None => Ok((document, self.strict)),
        }
    }

    /// Goes to a member; answers the length of the path to come back to.
    fn enter(&mut self, name: &str) -> usize {
        let back = self.path.len();
        if back > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        back
    }

    fn enter_index(&mut self, index: usize) -> usize {
        use fmt::Write as _;
        let back = self.path.len();
        let _ = write!(self.path, "[{index}]");
        back
    }

    fn leave(&mut self, back: usize) {
        self.path.truncate(back);
    }

    fn report(&mut self, name: &str, error: fn(String) -> StrictError) {
        if self.strict.len() >= MAX_STRICT_ERRORS {
            return;
        }
        let back = self.enter(name);
        let error = error(self.path.clone());
        self.leave(back);
        if self.seen.insert(error.clone()) {
            self.strict.push(error);
        }
    }

    fn type_message(&self, found: &str, wanted: &str) -> String {
        let Some((of, _)) = self.fields.last() else {
            return format!("json: cannot unmarshal {found} into Go value of type {wanted}");
        };
        let path: Vec<&str> = self.fields.iter().map(|(_, name)| *name).collect();
        let (of, path) = (of.short_name(), path.join("."));
        format!("json: cannot unmarshal {found} into Go struct field {of}.{path} of type {wanted}")
    }

    /// Notes that a value is of the wrong kind for `shape`.
    fn mismatched(&mut self, found: &str, shape: Shape) {
        match shape {
            Shape::IntOrString => self.refuse(|run| run.type_message(found, "int32")),
            Shape::Time | Shape::MicroTime => self.refuse(|run| run.type_message(found, "string")),
            Shape::Quantity => self.refuse(|_| ParseError::Format.to_string()),
            _ if self.mismatch.is_none() => self.mismatch = Some(self.type_message(found, &shape.go_type())),
            _ => {}
        }
    }

    fn refuse(&mut self, message: impl FnOnce(&Self) -> String) {
        if self.refusal.is_none() {
            self.refusal = Some(message(self));
        }
    }

    /// A string that a type reads itself, in the form in which that type writes it.
    fn literal(&mut self, read: Result<String, String>) -> Value {
        match read {
            // Go's zero time is written as null.
            Ok(text) if text.starts_with("0001-01-01T00:00:00") => Value::Null,
            Ok(text) => Value::String(text),
            Err(message) => {
                self.refuse(|_| message);
                Value::Null
            }
        }
    }

    fn text(&mut self, text: Cow<'_, str>, shape: Shape) -> Value {
        match shape {
            Shape::String | Shape::IntOrString => Value::String(text.into_owned()),
            Shape::Bytes => match literals::base64(&text) {
                Ok(text) => Value::String(text),
                Err(message) => {
                    self.mismatch.get_or_insert(message);
                    Value::Null
                }
            },
            Shape::Quantity => self.literal(literals::quantity(&text)),
            Shape::Time => self.literal(literals::time(&text)),
            Shape::MicroTime => self.literal(literals::micro_time(&text)),
            other => {
                self.mismatched("string", other);
                Value::Null
            }
        }
    }

    fn number(&mut self, number: serde_json::Number, shape: Shape) -> Value {
        let whole = |least: i64, most: i64| number.as_i64().is_some_and(|whole| (least..=most).contains(&whole));
        let fits = match shape {
            Shape::Int32 | Shape::IntOrString => whole(i32::MIN.into(), i32::MAX.into()),
            Shape::Int64 => whole(i64::MIN, i64::MAX),
            Shape::Number => true,
            Shape::Quantity => return self.literal(literals::quantity(&number.to_string())),
            other => {
                self.mismatched("number", other);
                return Value::Null;
            }
        };
        if fits {
            return Value::Number(number);
        }
        self.mismatched(&format!("number {number}"), shape);
        Value::Null
    }
}

/// Reads one value.
struct Seed<'a> {
    mode: Mode,
    run: &'a mut Run,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.mode {
            Mode::Typed(Shape::Any) => serde::Deserialize::deserialize(deserializer),
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        match self.mode {
            Mode::Untyped | Mode::Typed(Shape::Boolean) => Ok(Value::Bool(value)),
            Mode::Typed(other) => {
                self.run.mismatched("bool", other);
                Ok(Value::Null)
            }
        }
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        self.number(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        self.number(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number = serde_json::Number::from_f64(value).ok_or_else(|| E::custom("number out of range"))?;
        self.number(number)
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(match self.mode {
            Mode::Untyped => Value::String(value.to_owned()),
            Mode::Typed(shape) => self.run.text(Cow::Borrowed(value), shape),
        })
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(match self.mode {
            Mode::Untyped => Value::String(value),
            Mode::Typed(shape) => self.run.text(Cow::Owned(value), shape),
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let element = match self.mode {
            Mode::Untyped => None,
            Mode::Typed(Shape::Array(element)) => Some(element.shape()),
            Mode::Typed(other) => {
                self.run.mismatched("array", other);
                while list.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(Value::Null);
            }
        };
        let mode = element.map_or(Mode::Untyped, Mode::Typed);
        let mut items = Vec::new();
        loop {
            let back = self.run.enter_index(items.len());
            let item = list.next_element_seed(Seed { mode, run: &mut *self.run })?;
            self.run.leave(back);
            let Some(item) = item else { return Ok(Value::Array(items)) };
            items.push(or_zero(item, element));
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        match self.mode {
            Mode::Untyped => read_map(self.run, members, None),
            Mode::Typed(Shape::Map(element)) => read_map(self.run, members, Some(element)),
            Mode::Typed(Shape::Object(of)) => read_object(self.run, members, of),
            Mode::Typed(other) => {
                self.run.mismatched("object", other);
                while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Value::Null)
            }
        }
    }
}

impl Seed<'_> {
    fn number<E>(self, number: serde_json::Number) -> Result<Value, E> {
        Ok(match self.mode {
            Mode::Untyped => Value::Number(number),
            Mode::Typed(shape) => self.run.number(number, shape),
        })
    }
}

/// Reads the members of an object with arbitrary keys.
fn read_map<'de, A: MapAccess<'de>>(
    run: &mut Run,
    mut members: A,
    element: Option<Element>,
) -> Result<Value, A::Error> {
    let shape = element.map(Element::shape);
    let mode = shape.map_or(Mode::Untyped, Mode::Typed);
    let mut map = Map::new();
    while let Some(key) = members.next_key::<String>()? {
        if map.contains_key(&key) {
            run.report(&key, StrictError::DuplicateField);
        }
        let back = run.enter(&key);
        let value = members.next_value_seed(Seed { mode, run: &mut *run })?;
        run.leave(back);
        map.insert(key, or_zero(value, shape));
    }
    Ok(Value::Object(map))
}

/// Reads the members of an object whose fields a type names.
fn read_object<'de, A: MapAccess<'de>>(run: &mut Run, mut members: A, of: &'static Type) -> Result<Value, A::Error> {
    let mut map = Map::new();
    // No type has more fields than this has bits; a test checks that.
    let mut seen = 0u128;
    while let Some(key) = members.next_key_seed(FieldKey(of))? {
        let index = match key {
            Ok(index) => index,
            Err(unknown) => {
                run.report(&unknown, StrictError::UnknownField);
                members.next_value::<IgnoredAny>()?;
                continue;
            }
        };
        let field = &of.fields()[index];
        let again = seen & (1 << index) != 0;
        if again {
            run.report(field.name(), StrictError::DuplicateField);
        }
        seen |= 1 << index;
        let back = run.enter(field.name());
        run.fields.push((of, field.name()));
        let value = members.next_value_seed(Seed { mode: Mode::Typed(field.shape()), run: &mut *run })?;
        run.fields.pop();
        run.leave(back);
        let before = if again { map.remove(field.name()) } else { None };
        if !value.is_null() {
            map.insert(field.name().to_owned(), overlay(before, value, field.shape()));
        }
    }
    Ok(Value::Object(map))
}

/// Finds the field that a key names, or answers the key.
struct FieldKey(&'static Type);

impl<'de> DeserializeSeed<'de> for FieldKey {
    type Value = Result<usize, String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for FieldKey {
    type Value = Result<usize, String>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a string key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.field_index(key).ok_or_else(|| key.to_owned()))
    }
}

/// What Go makes of a null element: the zero of its type.
fn or_zero(value: Value, shape: Option<Shape>) -> Value {
    if !value.is_null() {
        return value;
    }
    match shape {
        Some(Shape::String) => Value::String(String::new()),
        Some(Shape::Quantity) => Value::String("0".to_owned()),
        Some(Shape::Int32 | Shape::Int64 | Shape::Number | Shape::IntOrString) => Value::from(0),
        Some(Shape::Boolean) => Value::Bool(false),
        Some(Shape::Object(_)) => Value::Object(Map::new()),
        _ => Value::Null,
    }
}

/// What Go makes of a field that is said twice: objects are read into the one that is there.
fn overlay(before: Option<Value>, value: Value, shape: Shape) -> Value {
    match (before, value, shape) {
        (Some(Value::Object(mut before)), Value::Object(value), Shape::Object(of)) => {
            for (key, value) in value {
                let Some(field) = of.field(&key) else { continue };
                let merged = overlay(before.remove(&key), value, field.shape());
                before.insert(key, merged);
            }
            Value::Object(before)
        }
        (Some(Value::Object(mut before)), Value::Object(value), Shape::Map(_)) => {
            before.extend(value);
            Value::Object(before)
        }
        (_, value, _) => value,
    }
}
