//! The functions of templates: Go's, and kubectl's `exists` and `base64decode`.

use std::cmp::Ordering;
use std::fmt::Write as _;

use base64::Engine as _;

use super::printf;
use super::value::{Val, is_printable};

const NAMES: [&str; 21] = [
    "and",
    "base64decode",
    "call",
    "eq",
    "exists",
    "ge",
    "gt",
    "html",
    "index",
    "js",
    "le",
    "len",
    "lt",
    "ne",
    "not",
    "or",
    "print",
    "printf",
    "println",
    "slice",
    "urlquery",
];

/// Whether there is such a function.
pub(super) fn is_known(name: &str) -> bool {
    NAMES.contains(&name)
}

/// What an argument has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    Any,
    Text,
}

/// What the argument of this index has to be.
pub(super) fn wants(name: &str, index: usize) -> Wants {
    match (name, index) {
        ("base64decode" | "printf", 0) => Wants::Text,
        _ => Wants::Any,
    }
}

/// How many arguments a function wants, if it is not so many.
pub(super) fn wrong_count(name: &str, count: usize) -> Option<&'static str> {
    match name {
        "base64decode" | "len" | "not" if count != 1 => Some("1"),
        "ge" | "gt" | "le" | "lt" | "ne" if count != 2 => Some("2"),
        "and" | "call" | "eq" | "exists" | "index" | "or" | "printf" | "slice" if count < 1 => Some("at least 1"),
        _ => None,
    }
}

/// Calls a function. `callee` is how its first argument is written.
pub(super) fn call<'a>(name: &str, callee: &str, arguments: &[Val<'a>]) -> Result<Val<'a>, String> {
    let first = arguments.first().cloned().unwrap_or(Val::Missing);
    let rest = arguments.get(1..).unwrap_or_default();
    let text = |text: String| Ok(Val::Text(text.into()));
    match name {
        "base64decode" => decoded(&first),
        "call" => Err(match first {
            Val::Missing | Val::Null => "call of nil".to_owned(),
            other => format!("non-function {callee} of type {}", other.kind()),
        }),
        "eq" => equal_to_any(&first, rest).map(Val::Bool),
        "ne" => equal(&first, rest.first().unwrap_or(&Val::Missing)).map(|is_equal| Val::Bool(!is_equal)),
        "ge" | "gt" | "le" | "lt" => compared(name, &first, rest.first().unwrap_or(&Val::Missing)).map(Val::Bool),
        "exists" => Ok(Val::Bool(exists(first, rest))),
        "html" => text(html(&plain(arguments))),
        "index" => index(first, rest),
        "js" => text(js(&plain(arguments))),
        "len" => len(&first),
        "not" => Ok(Val::Bool(!first.is_true())),
        "print" => text(print(arguments)),
        "printf" => text(printf::format(&first.text(), rest)),
        "println" => {
            let words: Vec<String> = arguments.iter().map(Val::text).collect();
            text(format!("{}\n", words.join(" ")))
        }
        "slice" => slice(first, rest),
        _ => text(url(&plain(arguments))),
    }
}

/// As an action shows it.
pub(super) fn printed(value: &Val<'_>) -> String {
    if matches!(value, Val::Missing | Val::Null) { "<no value>".to_owned() } else { value.text() }
}

/// Values one after the other, with blanks between those that are no texts.
fn print(values: &[Val<'_>]) -> String {
    let mut text = String::new();
    for (index, value) in values.iter().enumerate() {
        let is_text = |value: &Val<'_>| matches!(value, Val::Text(_));
        if index > 0 && !is_text(value) && !is_text(&values[index - 1]) {
            text.push(' ');
        }
        text.push_str(&value.text());
    }
    text
}

/// What is to be escaped.
fn plain(values: &[Val<'_>]) -> String {
    if let [Val::Text(text)] = values {
        return text.to_string();
    }
    // What is not there is a text here.
    print(&values.iter().map(there).collect::<Vec<_>>())
}

/// What a function shows that escapes.
fn there<'a>(value: &Val<'a>) -> Val<'a> {
    match value {
        Val::Missing | Val::Null => Val::Text("<no value>".into()),
        other => other.clone(),
    }
}

fn html(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\0' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

fn js(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '\\' | '\'' | '"' => escaped.extend(['\\', character]),
            '<' | '>' | '&' | '=' | '\0'..='\u{1f}' => {
                // Writing to a text cannot fail.
                let _ = write!(escaped, "\\u{:04X}", u32::from(character));
            }
            _ if character.is_ascii() || is_printable(character) => escaped.push(character),
            _ => {
                let _ = write!(escaped, "\\u{:04X}", u32::from(character));
            }
        }
    }
    escaped
}

fn url(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            b' ' => escaped.push('+'),
            _ => {
                // Writing to a text cannot fail.
                let _ = write!(escaped, "%{byte:02X}");
            }
        }
    }
    escaped
}

fn decoded<'a>(value: &Val<'_>) -> Result<Val<'a>, String> {
    // As Go's decoder, which passes over line breaks.
    let text: String = value.text().chars().filter(|it| !matches!(it, '\r' | '\n')).collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(&text);
    let place = |error: base64::DecodeError| match error {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
        _ => text.len() / 4 * 4,
    };
    let bytes =
        bytes.map_err(|error| format!("base64 decode failed: illegal base64 data at input byte {}", place(error)))?;
    Ok(Val::Text(String::from_utf8_lossy(&bytes).into_owned().into()))
}

/// An index of something of this length.
fn place(index: &Val<'_>, length: usize) -> Result<usize, String> {
    let number = match index {
        Val::Missing | Val::Null => return Err("cannot index slice/array with nil".to_owned()),
        other => other.whole().ok_or_else(|| format!("cannot index slice/array with type {}", other.kind()))?,
    };
    let place = usize::try_from(number).ok().filter(|place| *place <= length);
    place.ok_or_else(|| format!("index out of range: {number}"))
}

fn index<'a>(item: Val<'a>, indexes: &[Val<'a>]) -> Result<Val<'a>, String> {
    let mut item = if item == Val::Null { Val::Missing } else { item };
    if item == Val::Missing {
        return Err("index of untyped nil".to_owned());
    }
    for index in indexes {
        item = match item {
            Val::Null | Val::Missing => return Err("index of nil pointer".to_owned()),
            Val::List(elements) => {
                let found = elements.get(place(index, elements.len())?);
                Val::of(found.ok_or("reflect: slice index out of range")?)
            }
            Val::Text(text) => {
                let byte = text.as_bytes().get(place(index, text.len())?).copied();
                Val::Byte(byte.ok_or("reflect: string index out of range")?)
            }
            Val::Map(fields) => match index {
                Val::Text(key) => fields.get(key.as_ref()).map_or(Val::Null, Val::of),
                Val::Missing | Val::Null => return Err("value is nil; should be of type string".to_owned()),
                other => return Err(format!("value has type {}; should be string", other.kind())),
            },
            other => return Err(format!("can't index item of type {}", other.kind())),
        };
    }
    Ok(item)
}

/// Whether `index` would find something.
fn exists<'a>(item: Val<'a>, indexes: &[Val<'a>]) -> bool {
    let mut item = item;
    for index in indexes {
        let length = match &item {
            Val::List(elements) => elements.len(),
            Val::Text(text) => text.len(),
            Val::Map(_) => 0,
            _ => return false,
        };
        let is_in_range = index.whole().and_then(|it| usize::try_from(it).ok()).is_some_and(|it| it < length);
        if !is_in_range && !matches!((&item, index), (Val::Map(_), Val::Text(_))) {
            return false;
        }
        match self::index(item, std::slice::from_ref(index)) {
            Ok(found) => item = found,
            Err(_) => return false,
        }
    }
    !matches!(item, Val::Missing | Val::Null)
}

fn slice<'a>(item: Val<'a>, indexes: &[Val<'a>]) -> Result<Val<'a>, String> {
    if matches!(item, Val::Missing | Val::Null) {
        return Err("slice of untyped nil".to_owned());
    }
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()));
    }
    let length = match &item {
        Val::Text(_) if indexes.len() == 3 => return Err("cannot 3-index slice a string".to_owned()),
        Val::Text(text) => text.len(),
        Val::List(elements) => elements.len(),
        other => return Err(format!("can't slice item of type {}", other.kind())),
    };
    let mut bounds = [0, length, length];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = place(index, length)?;
    }
    let [from, to, most] = bounds;
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    if to > most {
        return Err(format!("invalid slice index: {to} > {most}"));
    }
    Ok(match item {
        Val::List(elements) => Val::List(&elements[from..to]),
        Val::Text(text) => Val::Text(String::from_utf8_lossy(&text.as_bytes()[from..to]).into_owned().into()),
        other => other,
    })
}

fn len<'a>(item: &Val<'_>) -> Result<Val<'a>, String> {
    let length = match item {
        Val::Text(text) => text.len(),
        Val::List(elements) => elements.len(),
        Val::Map(fields) => fields.len(),
        Val::Null => return Err("len of nil pointer".to_owned()),
        Val::Missing => return Err("reflect: call of reflect.Value.Type on zero Value".to_owned()),
        other => return Err(format!("len of type {}", other.kind())),
    };
    Ok(Val::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn equal_to_any(first: &Val<'_>, others: &[Val<'_>]) -> Result<bool, String> {
    if others.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    for other in others {
        if equal(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn incompatible(left: &Val<'_>, right: &Val<'_>) -> String {
    format!("incompatible types for comparison: {} and {}", left.kind(), right.kind())
}

fn equal(left: &Val<'_>, right: &Val<'_>) -> Result<bool, String> {
    if let (Some(left), Some(right)) = (left.whole(), right.whole()) {
        return Ok(left == right);
    }
    match (left, right) {
        (Val::Missing | Val::Null, Val::Missing | Val::Null) => Ok(true),
        (Val::Missing | Val::Null, _) | (_, Val::Missing | Val::Null) => Ok(false),
        (Val::Bool(left), Val::Bool(right)) => Ok(left == right),
        #[expect(clippy::float_cmp, reason = "a template asks whether they are equal")]
        (Val::Float(left), Val::Float(right)) => Ok(left == right),
        (Val::Text(left), Val::Text(right)) => Ok(left == right),
        (Val::List(_) | Val::Map(_), Val::List(_) | Val::Map(_)) => {
            Err(format!("non-comparable type {}: {}", left.text(), right.kind()))
        }
        _ => Err(incompatible(left, right)),
    }
}

fn compared(name: &str, left: &Val<'_>, right: &Val<'_>) -> Result<bool, String> {
    let has_order = |value: &Val<'_>| value.whole().is_some() || matches!(value, Val::Float(_) | Val::Text(_));
    let is_basic = |value: &Val<'_>| has_order(value) || matches!(value, Val::Bool(_));
    if !is_basic(left) || !is_basic(right) {
        return Err("invalid type for comparison".to_owned());
    }
    let order = match (left, right) {
        (Val::Float(left), Val::Float(right)) => left.partial_cmp(right),
        (Val::Text(left), Val::Text(right)) => Some(left.cmp(right)),
        (Val::Bool(_), Val::Bool(_)) => return Err("invalid type for comparison".to_owned()),
        _ => match (left.whole(), right.whole()) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            _ => return Err(incompatible(left, right)),
        },
    };
    Ok(match name {
        "lt" => order == Some(Ordering::Less),
        "le" => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        "gt" => !matches!(order, Some(Ordering::Less | Ordering::Equal)),
        _ => order != Some(Ordering::Less),
    })
}
