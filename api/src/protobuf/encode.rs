//! JSON to protobuf, in one pass over the text or the value, without building one from the other.
//!
//! A nested message's length is written after its content. The fields of an embedded struct stand among those of its
//! parent in JSON, in any order, and in one message of their own on the wire: they are gathered in a buffer each.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize as _;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::embedded::{Found, Gathered, find};
use super::table::{self, Label, Message, Shape, Type};
use super::type_meta::{Text, TypeMeta};
use super::wire::{self, FIXED64, VARINT};
use super::{Error, MAGIC, MAX_DEPTH, timestamp};

/// The protobuf body of a JSON object, by its `apiVersion` and `kind`.
///
/// # Errors
///
/// [`Error::MissingKind`] and [`Error::UnknownKind`], and [`Error::Json`] for text that is not JSON or a value that does
/// not fit its field.
pub fn encode(json: &[u8]) -> Result<Vec<u8>, Error> {
    let what = TypeMeta::find(json)?;
    let message = what.message()?;
    let mut encoder = Encoder::new(&what, json.len());
    let mut text = serde_json::Deserializer::from_slice(json);
    let object = ObjectSeed { encoder: &mut encoder, message };
    let outcome = object.deserialize(&mut text).and_then(|()| text.end());
    encoder.finish(outcome)
}

/// As [`encode()`], of a JSON object in memory.
///
/// # Errors
///
/// As [`encode()`].
pub fn encode_value(json: &Value) -> Result<Vec<u8>, Error> {
    let what = TypeMeta::of(json);
    let message = what.message()?;
    let mut encoder = Encoder::new(&what, 1024);
    let outcome = ObjectSeed { encoder: &mut encoder, message }.deserialize(json);
    encoder.finish(outcome)
}

struct Encoder {
    out: Vec<u8>,
    /// Where the object begins, after the envelope's head.
    start: usize,
    depth: usize,
    /// Where an error occurred, innermost first.
    path: Vec<Step>,
}

enum Step {
    Field(&'static str),
    Key(String),
    Index(usize),
}

impl Encoder {
    fn new(what: &TypeMeta<'_>, expected: usize) -> Self {
        let mut out = Vec::with_capacity(expected + 64);
        out.extend_from_slice(MAGIC);
        let type_meta = wire::open(&mut out, 1);
        wire::put_bytes(&mut out, 1, what.api_version().as_bytes());
        wire::put_bytes(&mut out, 2, what.kind().as_bytes());
        wire::close(&mut out, type_meta);
        let start = wire::open(&mut out, 2);
        Self { out, start, depth: 0, path: Vec::new() }
    }

    fn finish(mut self, outcome: Result<(), serde_json::Error>) -> Result<Vec<u8>, Error> {
        if let Err(source) = outcome {
            return Err(Error::Json { path: render_path(&self.path), source });
        }
        wire::close(&mut self.out, self.start);
        // Upstream writes the content encoding and type always, and always empty.
        wire::put_bytes(&mut self.out, 3, b"");
        wire::put_bytes(&mut self.out, 4, b"");
        Ok(self.out)
    }

    fn enter<E: serde::de::Error>(&mut self) -> Result<(), E> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(E::custom("recursion limit exceeded")) } else { Ok(()) }
    }
}

fn render_path(steps: &[Step]) -> String {
    let mut path = String::new();
    for step in steps.iter().rev() {
        match step {
            Step::Field(name) if path.is_empty() => path.push_str(name),
            Step::Field(name) => path.extend([".", name]),
            Step::Key(key) => path.extend(["[", key, "]"]),
            Step::Index(index) => path.extend(["[", &index.to_string(), "]"]),
        }
    }
    path
}

/// Writes the fields of an object, without tag and length of their message.
struct ObjectSeed<'e> {
    encoder: &'e mut Encoder,
    message: &'static Message,
}

impl<'de> DeserializeSeed<'de> for ObjectSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ObjectSeed<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let encoder = self.encoder;
        encoder.enter()?;
        let mut gathered = Gathered::default();
        while let Some(key) = map.next_key_seed(KeySeed(self.message))? {
            let Some(found) = key else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let field = found.field;
            let mut buffer = gathered.buffer(&found);
            if let Some(buffer) = &mut buffer {
                std::mem::swap(*buffer, &mut encoder.out);
            }
            let value =
                ValueSeed { encoder, number: field.number, label: field.label, kind: field.kind(), item: false };
            map.next_value_seed(value).inspect_err(|_| encoder.path.push(Step::Field(field.name())))?;
            if let Some(buffer) = buffer {
                std::mem::swap(buffer, &mut encoder.out);
            }
        }
        gathered.write(&mut encoder.out);
        encoder.depth -= 1;
        Ok(())
    }
}

/// Reads a field's name.
struct KeySeed(&'static Message);

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Option<Found>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = Option<Found>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a field name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(find(self.0, name))
    }
}

/// Writes one field: tag, length and value. `null` is written only for an `item` of a list or a map.
struct ValueSeed<'e> {
    encoder: &'e mut Encoder,
    number: u8,
    label: Label,
    kind: Type,
    item: bool,
}

impl ValueSeed<'_> {
    /// How the value looks in JSON, unless it is a scalar, a list or a map.
    fn shape(&self) -> Option<(&'static Message, Shape)> {
        match (self.label, self.kind) {
            (Label::Singular, Type::Message(place)) => Some((table::message(place), table::message(place).shape)),
            _ => None,
        }
    }

    fn varint(self, value: u64) {
        wire::put_tag(&mut self.encoder.out, self.number, VARINT);
        wire::put_varint(&mut self.encoder.out, value);
    }

    fn double(self, value: f64) {
        wire::put_tag(&mut self.encoder.out, self.number, FIXED64);
        self.encoder.out.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(self, bytes: &[u8]) {
        wire::put_bytes(&mut self.encoder.out, self.number, bytes);
    }

    /// A nested message that `write` fills.
    fn message<T, E>(self, write: impl FnOnce(&mut Encoder) -> Result<T, E>) -> Result<T, E> {
        let start = wire::open(&mut self.encoder.out, self.number);
        let outcome = write(self.encoder)?;
        wire::close(&mut self.encoder.out, start);
        Ok(outcome)
    }

    fn time<E: serde::de::Error>(self, text: &str, micro: bool) -> Result<(), E> {
        // An empty string is the zero time, as upstream reads it for the sake of old clients.
        let time = match text {
            "" => None,
            _ => timestamp::parse(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))?,
        };
        self.message(|encoder| {
            if let Some((seconds, nanos)) = time {
                let nanos = if micro { nanos / 1000 * 1000 } else { 0 };
                put_pair(&mut encoder.out, seconds as u64, nanos as u64);
            }
            Ok(())
        })
    }

    fn integer<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        let out_of_range = |seed: &Self| E::invalid_value(Unexpected::Signed(value), seed);
        match (self.shape(), self.kind) {
            (Some((_, Shape::Quantity)), _) => self.visit_str(&value.to_string()),
            (Some((_, Shape::IntOrString)), _) => {
                let value = i32::try_from(value).map_err(|_| out_of_range(&self))?;
                self.message(|encoder| {
                    put_pair(&mut encoder.out, 0, i64::from(value) as u64);
                    wire::put_bytes(&mut encoder.out, 3, b"");
                    Ok(())
                })
            }
            (None, Type::Int32) if self.label == Label::Singular => {
                let value = i32::try_from(value).map_err(|_| out_of_range(&self))?;
                self.varint(i64::from(value) as u64);
                Ok(())
            }
            (None, Type::Int64) if self.label == Label::Singular => {
                self.varint(value as u64);
                Ok(())
            }
            (None, Type::Double) if self.label == Label::Singular => {
                self.double(value as f64);
                Ok(())
            }
            _ => Err(E::invalid_type(Unexpected::Signed(value), &self)),
        }
    }
}

/// Two varints in fields 1 and 2.
fn put_pair(out: &mut Vec<u8>, first: u64, second: u64) {
    wire::put_tag(out, 1, VARINT);
    wire::put_varint(out, first);
    wire::put_tag(out, 2, VARINT);
    wire::put_varint(out, second);
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.shape() {
            Some((_, Shape::RawJson | Shape::RawExtension)) => {
                let raw = Box::<RawValue>::deserialize(deserializer)?;
                match (raw.get(), self.item) {
                    ("null", false) => Ok(()),
                    ("null", true) => self.message(|_| Ok(())),
                    (text, _) => self.message(|encoder| {
                        wire::put_bytes(&mut encoder.out, 1, text.as_bytes());
                        Ok(())
                    }),
                }
            }
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expected = match (self.label, self.kind) {
            (Label::Repeated, _) => "an array",
            (Label::Map, _) => "an object",
            (_, Type::String) => "a string",
            (_, Type::Bool) => "a boolean",
            (_, Type::Int32) => "an integer of 32 bits",
            (_, Type::Int64) => "an integer of 64 bits",
            (_, Type::Double) => "a number",
            (_, Type::Bytes) => "base64",
            (_, Type::Message(place)) => match table::message(place).shape {
                Shape::Object => "an object",
                Shape::List => "an array",
                Shape::Quantity => "a quantity",
                Shape::IntOrString => "an integer of 32 bits or a string",
                Shape::Time | Shape::MicroTime => "a time of RFC 3339",
                Shape::RawJson | Shape::RawExtension => "JSON",
                Shape::SchemaOrBool => "a boolean or a schema",
                Shape::SchemaOrArray => "a schema or an array of schemas",
                Shape::SchemaOrStrings => "a schema or an array of strings",
            },
        };
        formatter.write_str(expected)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        if !self.item {
            return Ok(());
        }
        match self.kind {
            Type::Bool | Type::Int32 | Type::Int64 => self.varint(0),
            Type::Double => self.double(0.0),
            Type::String | Type::Bytes | Type::Message(_) => self.bytes(b""),
        }
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        match (self.shape(), self.kind) {
            (Some((_, Shape::SchemaOrBool)), _) => self.message(|encoder| {
                wire::put_tag(&mut encoder.out, 1, VARINT);
                wire::put_varint(&mut encoder.out, u64::from(value));
                Ok(())
            }),
            (None, Type::Bool) if self.label == Label::Singular => {
                self.varint(u64::from(value));
                Ok(())
            }
            _ => Err(E::invalid_type(Unexpected::Bool(value), &self)),
        }
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.integer(value)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.integer(value),
            Err(_) => self.visit_f64(value as f64),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        match (self.shape(), self.kind) {
            (Some((_, Shape::Quantity)), _) => self.visit_str(&value.to_string()),
            (None, Type::Double) if self.label == Label::Singular => {
                self.double(value);
                Ok(())
            }
            _ => Err(E::invalid_type(Unexpected::Float(value), &self)),
        }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        match (self.shape(), self.kind) {
            (None, Type::String) if self.label == Label::Singular => {
                self.bytes(text.as_bytes());
                Ok(())
            }
            (None, Type::Bytes) if self.label == Label::Singular => {
                let bytes = BASE64.decode(text).map_err(|_| E::invalid_value(Unexpected::Str(text), &self))?;
                self.bytes(&bytes);
                Ok(())
            }
            (Some((_, Shape::Quantity)), _) => self.message(|encoder| {
                wire::put_bytes(&mut encoder.out, 1, text.as_bytes());
                Ok(())
            }),
            (Some((_, Shape::IntOrString)), _) => self.message(|encoder| {
                put_pair(&mut encoder.out, 1, 0);
                wire::put_bytes(&mut encoder.out, 3, text.as_bytes());
                Ok(())
            }),
            (Some((_, Shape::Time)), _) => self.time(text, false),
            (Some((_, Shape::MicroTime)), _) => self.time(text, true),
            _ => Err(E::invalid_type(Unexpected::Str(text), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        match self.shape() {
            None if self.label == Label::Repeated => items(self.encoder, self.number, self.kind, seq),
            Some((message, Shape::List | Shape::SchemaOrArray | Shape::SchemaOrStrings)) => {
                let list = message.fields().iter().find(|field| field.label == Label::Repeated);
                let list = list.ok_or_else(|| A::Error::invalid_type(Unexpected::Seq, &self))?;
                self.message(|encoder| items(encoder, list.number, list.kind(), seq))
            }
            _ => Err(A::Error::invalid_type(Unexpected::Seq, &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        match self.shape() {
            None if self.label == Label::Map => entries(self, map),
            Some((message, Shape::Object)) => self.message(|encoder| ObjectSeed { encoder, message }.visit_map(map)),
            Some((message, shape @ (Shape::SchemaOrBool | Shape::SchemaOrArray | Shape::SchemaOrStrings))) => {
                let schema = message.fields().iter().find_map(|field| match (field.label, field.kind()) {
                    (Label::Singular, Type::Message(place)) => Some((field.number, place)),
                    _ => None,
                });
                let (number, place) = schema.ok_or_else(|| A::Error::invalid_type(Unexpected::Map, &self))?;
                self.message(|encoder| {
                    if shape == Shape::SchemaOrBool {
                        wire::put_tag(&mut encoder.out, 1, VARINT);
                        wire::put_varint(&mut encoder.out, 1);
                    }
                    ValueSeed { encoder, number, label: Label::Singular, kind: Type::Message(place), item: false }
                        .visit_map(map)
                })
            }
            _ => Err(A::Error::invalid_type(Unexpected::Map, &self)),
        }
    }
}

fn items<'de, A: SeqAccess<'de>>(encoder: &mut Encoder, number: u8, kind: Type, mut seq: A) -> Result<(), A::Error> {
    encoder.enter()?;
    for index in 0.. {
        let item = ValueSeed { encoder, number, label: Label::Singular, kind, item: true };
        let more = seq.next_element_seed(item).inspect_err(|_| encoder.path.push(Step::Index(index)))?;
        if more.is_none() {
            break;
        }
    }
    encoder.depth -= 1;
    Ok(())
}

fn entries<'de, A: MapAccess<'de>>(seed: ValueSeed<'_>, mut map: A) -> Result<(), A::Error> {
    let ValueSeed { encoder, number, kind, .. } = seed;
    encoder.enter()?;
    while let Some(key) = map.next_key_seed(Text)? {
        let start = wire::open(&mut encoder.out, number);
        wire::put_bytes(&mut encoder.out, 1, key.as_bytes());
        let value = ValueSeed { encoder, number: 2, label: Label::Singular, kind, item: true };
        map.next_value_seed(value).inspect_err(|_| encoder.path.push(Step::Key(key.into_owned())))?;
        wire::close(&mut encoder.out, start);
    }
    encoder.depth -= 1;
    Ok(())
}
