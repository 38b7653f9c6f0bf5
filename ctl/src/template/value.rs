//! Values, and how Go writes them.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::{Map, Value};

/// A value that a template works with, which is part of the object or was made.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Val<'a> {
    /// Nothing at all: a field that is not there.
    Missing,
    /// Null, or a nil of no type.
    Null,
    Bool(bool),
    /// An `int`, which only the template has.
    Int(i64),
    /// A byte of a text.
    Byte(u8),
    /// An `int64`, which only objects have.
    Long(i64),
    Float(f64),
    Text(Cow<'a, str>),
    List(&'a [Value]),
    Map(&'a Map<String, Value>),
}

impl<'a> Val<'a> {
    /// A part of the object.
    pub(super) fn of(value: &'a Value) -> Val<'a> {
        match value {
            Value::Null => Val::Null,
            Value::Bool(value) => Val::Bool(*value),
            Value::Number(number) => {
                number.as_i64().map_or_else(|| Val::Float(number.as_f64().unwrap_or_default()), Val::Long)
            }
            Value::String(text) => Val::Text(Cow::Borrowed(text)),
            Value::Array(elements) => Val::List(elements),
            Value::Object(fields) => Val::Map(fields),
        }
    }

    /// Whether it counts as true.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Val::Missing | Val::Null => false,
            Val::Bool(value) => *value,
            Val::Int(number) | Val::Long(number) => *number != 0,
            Val::Byte(number) => *number != 0,
            Val::Float(number) => *number != 0.0,
            Val::Text(text) => !text.is_empty(),
            Val::List(elements) => !elements.is_empty(),
            Val::Map(fields) => !fields.is_empty(),
        }
    }

    /// What Go calls its type.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Val::Missing | Val::Null => "<nil>",
            Val::Bool(_) => "bool",
            Val::Int(_) => "int",
            Val::Byte(_) => "uint8",
            Val::Long(_) => "int64",
            Val::Float(_) => "float64",
            Val::Text(_) => "string",
            Val::List(_) => "[]interface {}",
            Val::Map(_) => "map[string]interface {}",
        }
    }

    /// A whole number.
    pub(super) fn whole(&self) -> Option<i64> {
        match self {
            Val::Int(number) | Val::Long(number) => Some(*number),
            Val::Byte(number) => Some(i64::from(*number)),
            _ => None,
        }
    }

    /// As `%v` writes it.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, to: &mut String) {
        // Writing to a text cannot fail.
        let _ = match self {
            Val::Missing | Val::Null => to.write_str("<nil>"),
            Val::Bool(value) => write!(to, "{value}"),
            Val::Int(number) | Val::Long(number) => write!(to, "{number}"),
            Val::Byte(number) => write!(to, "{number}"),
            Val::Float(number) => to.write_str(&general(*number, None)),
            Val::Text(text) => to.write_str(text),
            Val::List(elements) => {
                to.push('[');
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        to.push(' ');
                    }
                    Val::of(element).write(to);
                }
                to.write_char(']')
            }
            Val::Map(fields) => {
                to.push_str("map[");
                for (index, (key, value)) in sorted(fields).into_iter().enumerate() {
                    if index > 0 {
                        to.push(' ');
                    }
                    to.push_str(key);
                    to.push(':');
                    Val::of(value).write(to);
                }
                to.write_char(']')
            }
        };
    }
}

/// A value as it would stand in a program in Go (`%#v`).
pub(crate) fn in_go(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::String(text) => quoted(text),
        Value::Array(elements) => {
            let elements: Vec<String> = elements.iter().map(in_go).collect();
            format!("[]interface {{}}{{{}}}", elements.join(", "))
        }
        Value::Object(fields) => {
            let field = |(key, value): (&String, &Value)| format!("{}:{}", quoted(key), in_go(value));
            let fields: Vec<String> = sorted(fields).into_iter().map(field).collect();
            format!("map[string]interface {{}}{{{}}}", fields.join(", "))
        }
        other => Val::of(other).text(),
    }
}

/// Fields in the order of their names.
pub(super) fn sorted(fields: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut sorted: Vec<(&String, &Value)> = fields.iter().collect();
    sorted.sort_by_key(|(key, _)| *key);
    sorted
}

/// A number as `%e` writes it, with so many digits after the point, or as many as it needs.
pub(super) fn scientific(number: f64, digits: Option<usize>) -> String {
    let text = match digits {
        Some(digits) => format!("{number:.digits$e}"),
        None => format!("{number:e}"),
    };
    // Go's exponents have a sign and at least two digits.
    let Some((mantissa, exponent)) = text.split_once('e') else { return not_finite(number) };
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{mantissa}e{sign}{exponent:0>2}")
}

fn not_finite(number: f64) -> String {
    if number.is_nan() { "NaN".to_owned() } else { format!("{}Inf", if number < 0.0 { '-' } else { '+' }) }
}

/// A number as `%g` writes it: by its exponent if that is small or large.
pub(super) fn general(number: f64, digits: Option<usize>) -> String {
    let precise = scientific(number, digits.map(|digits| digits.max(1) - 1));
    let Some((mantissa, exponent)) = precise.split_once('e') else { return precise };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    // How many digits there may be before the point: as many as are asked for, and six if it is as many as it needs.
    let most = digits.map_or(6, |digits| i32::try_from(digits.max(1)).unwrap_or(i32::MAX));
    let trimmed = |text: &str| match text.contains('.') && digits.is_some() {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if exponent < -4 || exponent >= most {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:0>2}", trimmed(mantissa), exponent.abs());
    }
    match digits {
        Some(_) => {
            let after = usize::try_from(most - 1 - exponent).unwrap_or_default();
            trimmed(&format!("{number:.after$}"))
        }
        None => format!("{number}"),
    }
}

/// A text between double quotes, as Go writes it.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        escape(character, '"', &mut quoted);
    }
    quoted.push('"');
    quoted
}

/// A character between quotes.
pub(super) fn escape(character: char, quote: char, to: &mut String) {
    let number = u32::from(character);
    // Writing to a text cannot fail.
    let _ = match character {
        '\\' => to.write_str("\\\\"),
        _ if character == quote => write!(to, "\\{character}"),
        '\u{7}' => to.write_str("\\a"),
        '\u{8}' => to.write_str("\\b"),
        '\u{c}' => to.write_str("\\f"),
        '\n' => to.write_str("\\n"),
        '\r' => to.write_str("\\r"),
        '\t' => to.write_str("\\t"),
        '\u{b}' => to.write_str("\\v"),
        ' ' => to.write_char(' '),
        _ if number < 0x20 || number == 0x7f => write!(to, "\\x{number:02x}"),
        _ if !is_printable(character) && number < 0x1_0000 => write!(to, "\\u{number:04x}"),
        _ if !is_printable(character) => write!(to, "\\U{number:08x}"),
        _ => to.write_char(character),
    };
}

/// Whether it can be seen; of blanks only the usual one can.
pub(crate) fn is_printable(character: char) -> bool {
    let is_mark = matches!(u32::from(character), 0xad | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x206f | 0xfeff
        | 0xd800..=0xf8ff | 0xfff0..=0xfffb | 0xf_0000..);
    character == ' ' || !(character.is_control() || character.is_whitespace() || is_mark)
}
