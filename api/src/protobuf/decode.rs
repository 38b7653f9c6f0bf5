//! Protobuf to JSON.
//!
//! A message that occurs twice is merged and a scalar that occurs twice is the last one, as protobuf asks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Number, Value};

use super::table::{self, Field, Label, Message, Shape, Type};
use super::wire::{BYTES, FIXED64, Reader, VARINT};
use super::{Error, MAGIC, MAX_DEPTH, Problem, timestamp};

/// The JSON object of a body, with its `apiVersion` and `kind`.
///
/// # Errors
///
/// When the body is not a protobuf envelope, its kind has no table, or anything in it is malformed.
pub fn decode(body: &[u8]) -> Result<Value, Error> {
    envelope(Reader::new(body, 0), MAX_DEPTH)
}

/// An enveloped object. `depth` counts the JSON objects and arrays that may still nest.
pub(super) fn envelope(reader: Reader<'_>, depth: usize) -> Result<Value, Error> {
    let body = reader.rest().strip_prefix(MAGIC).ok_or(Error::Prefix)?;
    let mut unknown = Reader::new(body, reader.offset() + MAGIC.len());
    let (mut api_version, mut kind) = ("", "");
    let mut raw = Reader::new(&[], unknown.offset());
    while let Some((number, wire)) = unknown.tag()? {
        if !(1..=3).contains(&number) {
            unknown.skip(wire)?;
            continue;
        }
        unknown.expect(wire, BYTES)?;
        let content = unknown.delimited()?;
        match number {
            1 => type_meta(content, &mut api_version, &mut kind)?,
            2 => raw = content,
            _ if content.is_empty() => {}
            _ => return Err(Error::ContentEncoding(content.text()?.to_owned())),
        }
    }
    if api_version.is_empty() || kind.is_empty() {
        return Err(Error::MissingKind);
    }
    let message = table::kind(api_version, kind)
        .ok_or_else(|| Error::UnknownKind { api_version: api_version.to_owned(), kind: kind.to_owned() })?;
    let mut object = Map::new();
    object.insert("apiVersion".to_owned(), Value::from(api_version));
    object.insert("kind".to_owned(), Value::from(kind));
    let depth = enter(&raw, depth)?;
    fields(raw, message, depth, &mut object)?;
    Ok(Value::Object(object))
}

fn type_meta<'a>(mut reader: Reader<'a>, api_version: &mut &'a str, kind: &mut &'a str) -> Result<(), Error> {
    while let Some((number, wire)) = reader.tag()? {
        let into = match number {
            1 => &mut *api_version,
            2 => &mut *kind,
            _ => {
                reader.skip(wire)?;
                continue;
            }
        };
        reader.expect(wire, BYTES)?;
        *into = reader.delimited()?.text()?;
    }
    Ok(())
}

fn enter(reader: &Reader<'_>, depth: usize) -> Result<usize, Error> {
    depth.checked_sub(1).ok_or_else(|| reader.fail(Problem::Depth))
}

fn fields(
    mut reader: Reader<'_>,
    message: &Message,
    depth: usize,
    object: &mut Map<String, Value>,
) -> Result<(), Error> {
    while let Some((number, wire)) = reader.tag()? {
        match message.by_number(number) {
            None => reader.skip(wire)?,
            Some(field) => match field.label {
                Label::Singular => singular(&mut reader, wire, field, depth, object)?,
                Label::Repeated => repeated(&mut reader, wire, field, depth, object)?,
                Label::Map => entry(&mut reader, wire, field, depth, object)?,
            },
        }
    }
    Ok(())
}

fn singular(
    reader: &mut Reader<'_>,
    wire: u8,
    field: &Field,
    depth: usize,
    object: &mut Map<String, Value>,
) -> Result<(), Error> {
    let value = match field.kind() {
        Type::Message(place) => {
            let message = table::message(place);
            reader.expect(wire, BYTES)?;
            let content = reader.delimited()?;
            if field.inline() {
                return fields(content, message, depth, object);
            }
            if message.shape == Shape::Object {
                let mut merged = into_object(object.remove(field.name()));
                let depth = enter(&content, depth)?;
                fields(content, message, depth, &mut merged)?;
                Some(Value::Object(merged))
            } else {
                shaped(content, message, depth)?
            }
        }
        scalar => Some(self::scalar(reader, wire, scalar)?),
    };
    match value {
        Some(value) if !(field.drop_zero() && is_zero(&value)) => drop(object.insert(field.name().to_owned(), value)),
        _ => drop(object.remove(field.name())),
    }
    Ok(())
}

/// What merging a message that may have occurred before starts from.
fn into_object(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Bool(set) => !set,
        Value::Number(number) => number.as_f64() == Some(0.0),
        _ => false,
    }
}

fn repeated(
    reader: &mut Reader<'_>,
    wire: u8,
    field: &Field,
    depth: usize,
    object: &mut Map<String, Value>,
) -> Result<(), Error> {
    let depth = enter(reader, depth)?;
    if !object.contains_key(field.name()) {
        object.insert(field.name().to_owned(), Value::Array(Vec::new()));
    }
    let Some(Value::Array(list)) = object.get_mut(field.name()) else { return Ok(()) };
    elements(reader, wire, field.kind(), depth, list)
}

/// One element, or several where scalars are packed.
fn elements(reader: &mut Reader<'_>, wire: u8, kind: Type, depth: usize, list: &mut Vec<Value>) -> Result<(), Error> {
    let packed = wire == BYTES && !matches!(kind, Type::Message(_) | Type::String | Type::Bytes);
    if !packed {
        list.push(element(reader, wire, kind, depth)?);
        return Ok(());
    }
    let mut content = reader.delimited()?;
    let wire = if kind == Type::Double { FIXED64 } else { VARINT };
    while !content.is_empty() {
        list.push(scalar(&mut content, wire, kind)?);
    }
    Ok(())
}

fn element(reader: &mut Reader<'_>, wire: u8, kind: Type, depth: usize) -> Result<Value, Error> {
    let Type::Message(place) = kind else { return scalar(reader, wire, kind) };
    reader.expect(wire, BYTES)?;
    Ok(shaped(reader.delimited()?, table::message(place), depth)?.unwrap_or(Value::Null))
}

fn entry(
    reader: &mut Reader<'_>,
    wire: u8,
    field: &Field,
    depth: usize,
    object: &mut Map<String, Value>,
) -> Result<(), Error> {
    let depth = enter(reader, depth)?;
    reader.expect(wire, BYTES)?;
    let mut content = reader.delimited()?;
    let (mut key, mut value) = ("", None);
    while let Some((number, wire)) = content.tag()? {
        match number {
            1 => {
                content.expect(wire, BYTES)?;
                key = content.delimited()?.text()?;
            }
            2 => value = Some(element(&mut content, wire, field.kind(), depth)?),
            _ => content.skip(wire)?,
        }
    }
    let value = match (value, field.kind()) {
        (Some(value), _) => value,
        (None, Type::Message(place)) => shaped(content, table::message(place), depth)?.unwrap_or(Value::Null),
        (None, Type::String | Type::Bytes) => Value::from(""),
        (None, Type::Bool) => Value::from(false),
        (None, Type::Int32 | Type::Int64 | Type::Double) => Value::from(0),
    };
    if !object.contains_key(field.name()) {
        object.insert(field.name().to_owned(), Value::Object(Map::new()));
    }
    if let Some(Value::Object(map)) = object.get_mut(field.name()) {
        map.insert(key.to_owned(), value);
    }
    Ok(())
}

fn scalar(reader: &mut Reader<'_>, wire: u8, kind: Type) -> Result<Value, Error> {
    let expected = match kind {
        Type::Bool | Type::Int32 | Type::Int64 => VARINT,
        Type::Double => FIXED64,
        Type::String | Type::Bytes | Type::Message(_) => BYTES,
    };
    reader.expect(wire, expected)?;
    Ok(match kind {
        Type::Bool => Value::from(reader.varint()? != 0),
        Type::Int32 => Value::from(reader.varint()? as i32),
        Type::Int64 => Value::from(reader.varint()? as i64),
        Type::Double => {
            let at = reader.clone();
            Value::Number(double(f64::from_bits(reader.fixed64()?)).ok_or_else(|| at.fail(Problem::Number))?)
        }
        Type::String => Value::from(reader.delimited()?.text()?),
        Type::Bytes | Type::Message(_) => Value::from(BASE64.encode(reader.delimited()?.rest())),
    })
}

/// A whole number is written without a fraction, as Go writes it.
fn double(number: f64) -> Option<Number> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() < EXACT {
        Some(Number::from(number as i64))
    } else {
        Number::from_f64(number)
    }
}

/// The JSON of one message; `None` stands for `null`.
fn shaped(mut reader: Reader<'_>, message: &Message, depth: usize) -> Result<Option<Value>, Error> {
    match message.shape {
        Shape::Object => {
            let depth = enter(&reader, depth)?;
            let mut object = Map::new();
            fields(reader, message, depth, &mut object)?;
            Ok(Some(Value::Object(object)))
        }
        Shape::List => list(reader, message, depth).map(Some),
        Shape::Quantity => {
            let mut text = "";
            while let Some((number, wire)) = reader.tag()? {
                match number {
                    1 => {
                        reader.expect(wire, BYTES)?;
                        text = reader.delimited()?.text()?;
                    }
                    _ => reader.skip(wire)?,
                }
            }
            Ok(Some(Value::from(if text.is_empty() { "0" } else { text })))
        }
        Shape::IntOrString => int_or_string(reader).map(Some),
        Shape::Time => time(reader, false),
        Shape::MicroTime => time(reader, true),
        Shape::RawJson | Shape::RawExtension => raw(reader, message.shape, depth),
        Shape::SchemaOrBool | Shape::SchemaOrArray | Shape::SchemaOrStrings => schema_or(reader, message, depth),
    }
}

fn list(mut reader: Reader<'_>, message: &Message, depth: usize) -> Result<Value, Error> {
    let depth = enter(&reader, depth)?;
    let mut list = Vec::new();
    while let Some((number, wire)) = reader.tag()? {
        match message.by_number(number) {
            Some(field) => elements(&mut reader, wire, field.kind(), depth, &mut list)?,
            None => reader.skip(wire)?,
        }
    }
    Ok(Value::Array(list))
}

fn int_or_string(mut reader: Reader<'_>) -> Result<Value, Error> {
    let (mut kind, mut number, mut text) = (0, 0, "");
    while let Some((field, wire)) = reader.tag()? {
        match field {
            1 | 2 => {
                reader.expect(wire, VARINT)?;
                let value = reader.varint()?;
                if field == 1 { kind = value } else { number = value as i32 }
            }
            3 => {
                reader.expect(wire, BYTES)?;
                text = reader.delimited()?.text()?;
            }
            _ => reader.skip(wire)?,
        }
    }
    match kind {
        0 => Ok(Value::from(number)),
        1 => Ok(Value::from(text)),
        _ => Err(reader.fail(Problem::IntOrString)),
    }
}

fn time(mut reader: Reader<'_>, micro: bool) -> Result<Option<Value>, Error> {
    if reader.is_empty() {
        return Ok(None);
    }
    let (mut seconds, mut nanos) = (0, 0);
    while let Some((field, wire)) = reader.tag()? {
        match field {
            1 | 2 => {
                reader.expect(wire, VARINT)?;
                let value = reader.varint()?;
                if field == 1 { seconds = value as i64 } else { nanos = value as i32 }
            }
            _ => reader.skip(wire)?,
        }
    }
    let text = timestamp::format(seconds, nanos, micro).ok_or_else(|| reader.fail(Problem::Time))?;
    Ok(text.map(Value::String))
}

fn raw(mut reader: Reader<'_>, shape: Shape, depth: usize) -> Result<Option<Value>, Error> {
    let mut content = Reader::new(&[], reader.offset());
    while let Some((number, wire)) = reader.tag()? {
        if number == 1 {
            reader.expect(wire, BYTES)?;
            content = reader.delimited()?;
        } else {
            reader.skip(wire)?;
        }
    }
    if content.is_empty() {
        return Ok(None);
    }
    if shape == Shape::RawExtension && content.rest().starts_with(MAGIC) {
        return envelope(content, depth).map(Some);
    }
    let value: Value = serde_json::from_slice(content.rest()).map_err(|_| content.fail(Problem::Json))?;
    if nesting(&value) > depth {
        return Err(content.fail(Problem::Depth));
    }
    Ok(Some(value).filter(|value| !value.is_null()))
}

/// How deep objects and arrays nest. The parser has bounded it.
fn nesting(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(nesting).max().unwrap_or(0),
        Value::Object(object) => 1 + object.values().map(nesting).max().unwrap_or(0),
        _ => 0,
    }
}

fn schema_or(mut reader: Reader<'_>, message: &Message, depth: usize) -> Result<Option<Value>, Error> {
    let (mut allows, mut schema, mut list) = (false, None, Vec::new());
    while let Some((number, wire)) = reader.tag()? {
        let Some(field) = message.by_number(number) else {
            reader.skip(wire)?;
            continue;
        };
        match (field.label, field.kind()) {
            (Label::Repeated, kind) => {
                let depth = enter(&reader, depth)?;
                elements(&mut reader, wire, kind, depth, &mut list)?;
            }
            (_, Type::Bool) => {
                reader.expect(wire, VARINT)?;
                allows = reader.varint()? != 0;
            }
            (_, kind) => schema = Some(element(&mut reader, wire, kind, depth)?),
        }
    }
    Ok(match (schema, message.shape) {
        _ if !list.is_empty() => Some(Value::Array(list)),
        (Some(schema), _) => Some(schema),
        (None, Shape::SchemaOrBool) => Some(Value::from(allows)),
        (None, _) => None,
    })
}
