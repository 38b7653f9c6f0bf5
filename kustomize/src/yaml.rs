//! YAML read as Go's libraries read it, which is not as YAML 1.2 says: what a word without quotes means decides what an object
//! becomes, and the two kinds of files have two kinds of rules.
//!
//! Both are kept by working on the parser's events: a deserializer no longer knows what was in quotes. Depth and size are
//! bounded, aliases counted as what they stand for.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, ScanError};
use serde_json::{Map, Number, Value};

use crate::Error;

/// What stands for a null that nobody wrote, as in `emptyDir:`. A merge drops it, and keeps one that is written.
const BLANK: &str = "\0";
/// How many values a text may have, with aliases counted as what they stand for.
const MOST_VALUES: usize = 1_000_000;
/// How deep values may be in each other.
const DEEPEST: usize = 200;

/// Which words are what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Words {
    /// Kustomizations: `yes`, `on` and even `n` are truth values.
    Kustomizations,
    /// Objects: they are texts, and dates are times.
    Objects,
    /// Objects of files: the same, and annotations are the texts that they are written as.
    Files,
}

/// Whether it is a null, written or not.
pub(crate) fn is_null(value: &Value) -> bool {
    value.is_null() || is_blank(value)
}

/// Whether it is a null that nobody wrote.
pub(crate) fn is_blank(value: &Value) -> bool {
    value.as_str() == Some(BLANK)
}

/// Makes nulls of those that nobody wrote.
pub(crate) fn settle(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(settle),
        Value::Array(elements) => elements.iter_mut().for_each(settle),
        other if is_blank(other) => *other = Value::Null,
        _ => {}
    }
}

/// The documents of a text, without those that say nothing.
pub(crate) fn documents(text: &str, words: Words) -> Result<Vec<Value>, Error> {
    let mut composer = Composer { words, in_annotations: false, anchors: HashMap::new(), values: 0 };
    let mut events = Parser::new_from_str(text.trim_start_matches('\u{feff}'));
    let mut documents = Vec::new();
    while let Some(event) = next(&mut events)? {
        match event {
            Event::DocumentStart(..) => composer.anchors.clear(),
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            event => {
                let value = composer.value(event, &mut events, 0, "")?;
                if !is_null(&value) {
                    documents.push(value);
                }
            }
        }
    }
    Ok(documents)
}

/// What one scalar without quotes is.
pub(crate) fn scalar(text: &str, words: Words) -> Result<Value, Error> {
    Ok(match plain(text, words)? {
        value if is_blank(&value) => Value::Null,
        value => value,
    })
}

/// The next event that is no comment.
fn next<'t>(
    events: &mut impl Iterator<Item = Result<(Event<'t>, granit_parser::Span), ScanError>>,
) -> Result<Option<Event<'t>>, Error> {
    loop {
        match events.next() {
            None => return Ok(None),
            Some(Ok((Event::Comment(..), _))) => {}
            // The parser gives `~` for nothing at all, too.
            Some(Ok((Event::Scalar(text, ScalarStyle::Plain, anchor, tag), span)))
                if text == "~" && span.len() != 1 =>
            {
                return Ok(Some(Event::Scalar("".into(), ScalarStyle::Plain, anchor, tag)));
            }
            Some(Ok((event, _))) => return Ok(Some(event)),
            Some(Err(error)) => return Err(Error::Malformed(error.to_string())),
        }
    }
}

struct Composer {
    words: Words,
    /// Whether this is in annotations.
    in_annotations: bool,
    anchors: HashMap<usize, (Value, usize)>,
    values: usize,
}

impl Composer {
    fn value<'t>(
        &mut self,
        event: Event<'t>,
        events: &mut impl Iterator<Item = Result<(Event<'t>, granit_parser::Span), ScanError>>,
        depth: usize,
        name: &str,
    ) -> Result<Value, Error> {
        self.count(1)?;
        if depth > DEEPEST {
            return Err(Error::Malformed(format!("more than {DEEPEST} values are in each other")));
        }
        let before = self.values;
        let (value, anchor) = match event {
            Event::Alias(anchor) => {
                let (value, size) = self.anchors.get(&anchor).cloned().ok_or_else(|| malformed("unknown anchor"))?;
                self.count(size)?;
                return Ok(value);
            }
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag.map(|tag| tag.to_string()).unwrap_or_default();
                let is_text = style != ScalarStyle::Plain || tag.ends_with("str") || self.in_annotations;
                (if is_text { Value::String(text.into_owned()) } else { plain(&text, self.words)? }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                let mut elements = Vec::new();
                loop {
                    match next(events)?.ok_or_else(|| malformed("the text ends in a list"))? {
                        Event::SequenceEnd => break,
                        event => elements.push(self.value(event, events, depth + 1, "")?),
                    }
                }
                (Value::Array(elements), anchor)
            }
            Event::MappingStart(_, anchor, _) => (Value::Object(self.mapping(events, depth, name)?), anchor),
            other => return Err(malformed(&format!("unexpected {other:?}"))),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, (value.clone(), self.values - before));
        }
        Ok(value)
    }

    fn mapping<'t>(
        &mut self,
        events: &mut impl Iterator<Item = Result<(Event<'t>, granit_parser::Span), ScanError>>,
        depth: usize,
        name: &str,
    ) -> Result<Map<String, Value>, Error> {
        let mut fields = Map::new();
        let mut merged = Vec::new();
        loop {
            let key = match next(events)?.ok_or_else(|| malformed("the text ends in a map"))? {
                Event::MappingEnd => break,
                Event::Scalar(text, style, ..) => (text.into_owned(), style == ScalarStyle::Plain),
                event => match self.value(event, events, depth + 1, "")? {
                    Value::String(text) => (text, false),
                    _ => return Err(malformed("a key is no text")),
                },
            };
            let event = next(events)?.ok_or_else(|| malformed("the text ends in a map"))?;
            let is_of_object = self.words == Words::Files && depth == 1 && name == "metadata";
            self.in_annotations |= is_of_object && key.0 == "annotations";
            let value = self.value(event, events, depth + 1, &key.0)?;
            self.in_annotations &= !is_of_object;
            match key {
                (key, true) if key == "<<" => merged.push(value),
                (key, _) if fields.contains_key(&key) => {
                    return Err(malformed(&format!("mapping key {key:?} already defined")));
                }
                (key, _) => drop(fields.insert(key, value)),
            }
        }
        for value in merged {
            let maps = match value {
                Value::Array(maps) => maps,
                map => vec![map],
            };
            for map in maps {
                let Value::Object(map) = map else {
                    return Err(malformed("map merge requires map or sequence of maps"));
                };
                for (key, value) in map {
                    fields.entry(key).or_insert(value);
                }
            }
        }
        Ok(fields)
    }

    fn count(&mut self, more: usize) -> Result<(), Error> {
        self.values += more;
        if self.values > MOST_VALUES {
            return Err(Error::Malformed(format!("the text has more than {MOST_VALUES} values")));
        }
        Ok(())
    }
}

fn malformed(why: &str) -> Error {
    Error::Malformed(why.to_owned())
}

fn plain(text: &str, words: Words) -> Result<Value, Error> {
    match text {
        "" => return Ok(Value::String(BLANK.to_owned())),
        "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" if words == Words::Kustomizations => {
            return Ok(Value::Bool(true));
        }
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" if words == Words::Kustomizations => {
            return Ok(Value::Bool(false));
        }
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Ok(Value::String(text.to_owned()));
    }
    let is_endless = matches!(text.trim_start_matches(['+', '-']), ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN");
    if is_endless {
        return Err(malformed(&format!("{text} is no number that JSON has")));
    }
    if words != Words::Kustomizations
        && let Some(time) = time(text)
    {
        return Ok(Value::String(time));
    }
    let digits = text.replace('_', "");
    Ok(number(&digits).map_or_else(|| Value::String(text.to_owned()), Value::Number))
}

/// A number as Go writes it: with a prefix that says its base, or as a decimal.
fn number(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let based = |digits: &str, base| u64::from_str_radix(digits, base).ok().filter(|_| !digits.starts_with('+'));
    let lower = digits.to_ascii_lowercase();
    let whole = match lower.get(..2) {
        Some("0x") => based(&lower[2..], 16),
        Some("0b") => based(&lower[2..], 2),
        Some("0o") => based(&lower[2..], 8),
        Some(two) if two.starts_with('0') => based(&lower[1..], 8),
        _ => based(&lower, 10),
    };
    if let Some(whole) = whole {
        return match negative {
            false => Some(Number::from(whole)),
            true => i64::try_from(-i128::from(whole)).ok().map(Number::from),
        };
    }
    let (mantissa, exponent) = match lower.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, exponent.strip_prefix(['+', '-']).unwrap_or(exponent)),
        None => (lower.as_str(), "0"),
    };
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let has_digits = !before.is_empty() || mantissa.len() > 1 && !after.is_empty();
    if !has_digits || exponent.is_empty() || ![before, after, exponent].iter().all(|part| are_digits(part)) {
        return None;
    }
    let float: f64 = text.trim_start_matches('+').parse().ok()?;
    // JSON does not tell 1.0 from 1, and Go writes the shorter.
    const EXACT: f64 = 1e15;
    if float.fract() == 0.0 && float.abs() < EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "it is a whole number, and small enough")]
        return Some(Number::from(float as i64));
    }
    Number::from_f64(float)
}

/// A time as Go's JSON has it, if the text is one: a date, or a date and a time of day.
fn time(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let begins = bytes.len() >= 8 && bytes[..4].iter().all(u8::is_ascii_digit) && bytes[4] == b'-';
    if !begins {
        return None;
    }
    let (date, rest) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], Some(text[at + 1..].trim_start())),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let mut part = |longest: usize| {
        let part = parts.next()?;
        let fits = (1..=longest).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse::<u32>().ok().filter(|_| fits)
    };
    let (year, month, day) = (part(4)?, part(2)?, part(2)?);
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=days(year, month)).contains(&day) {
        return None;
    }
    let date = format!("{year:04}-{month:02}-{day:02}");
    let Some(rest) = rest else { return Some(format!("{date}T00:00:00Z")) };
    let zone_at = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(zone_at);
    let mut parts = clock.trim_end().split(':');
    let mut part = |most: u32| {
        let value: u32 = parts.next().filter(|part| (1..=2).contains(&part.len()))?.parse().ok()?;
        (value <= most).then_some(value)
    };
    let (hour, minute) = (part(23)?, part(59)?);
    let seconds = parts.next()?;
    let (second, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let second: u32 = second.parse().ok().filter(|second| *second <= 59)?;
    if parts.next().is_some() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let fraction = if fraction.is_empty() { String::new() } else { format!(".{fraction}") };
    let zone = match zone {
        "" | "Z" | "z" | "+00:00" => "Z",
        zone if zone.len() == 6 && zone.as_bytes()[3] == b':' => zone,
        _ => return None,
    };
    Some(format!("{date}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}"))
}

fn days(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn words_without_quotes_are_what_go_takes_them_for() {
        let check = |text: &str, kustomizations: Value, objects: Value| {
            assert_eq!(scalar(text, Words::Kustomizations).unwrap(), kustomizations, "{text}");
            assert_eq!(scalar(text, Words::Objects).unwrap(), objects, "{text}");
        };
        let both = |text: &str, expected: Value| check(text, expected.clone(), expected);
        both("a", json!("a"));
        both("~", json!(null));
        both("", json!(null));
        both("1", json!(1));
        both("-1", json!(-1));
        both("+1", json!(1));
        both("1.0", json!(1));
        both("0.25", json!(0.25));
        both(".5", json!(0.5));
        both("1e3", json!(1000));
        both("0644", json!(420));
        both("0o17", json!(15));
        both("0xff", json!(255));
        both("08", json!(8));
        both("1_000", json!(1000));
        both("1.2.3", json!("1.2.3"));
        both("12:30:45", json!("12:30:45"));
        both("18446744073709551615", json!(18_446_744_073_709_551_615_u64));
        both("-", json!("-"));
        both(".", json!("."));
        both("+-1", json!("+-1"));
        both("1e", json!("1e"));
        both("100m", json!("100m"));
        check("yes", json!(true), json!("yes"));
        check("n", json!(false), json!("n"));
        check("2020-01-02", json!("2020-01-02"), json!("2020-01-02T00:00:00Z"));
        check("2020-1-2 3:04:05.60", json!("2020-1-2 3:04:05.60"), json!("2020-01-02T03:04:05.6Z"));
        check("2020-02-30", json!("2020-02-30"), json!("2020-02-30"));
    }

    #[test]
    fn documents_have_anchors_merges_and_bounds() {
        let read = |text: &str| documents(text, Words::Objects);
        let check = |text: &str, expected: Value| assert_eq!(json!(read(text).unwrap()), expected, "{text}");
        check("a: &x {b: 1}\nc: *x\n", json!([{"a": {"b": 1}, "c": {"b": 1}}]));
        check("a: &x {b: 1, d: 2}\nc:\n  <<: *x\n  b: 3\n", json!([{"a": {"b": 1, "d": 2}, "c": {"b": 3, "d": 2}}]));
        check("# nothing\n---\n---\na: 1\n---\n", json!([{"a": 1}]));
        check("a: !!str 1\nb: '1'\n", json!([{"a": "1", "b": "1"}]));
        let refused = |text: &str, expected: &str| {
            let words = read(text).unwrap_err().to_string();
            assert!(words.contains(expected), "{text:?}: {words}");
        };
        refused("a: 1\na: 2\n", "mapping key \"a\" already defined");
        refused("a: [", "MalformedYAMLError");
        refused(&"[".repeat(DEEPEST + 2), "");
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..8 {
            let inner = vec![format!("*a{}", level - 1); 10].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{inner}]\n"));
        }
        refused(&bomb, "more than 1000000 values");
    }

    #[test]
    fn a_null_that_nobody_wrote_is_one_in_the_end() {
        let mut value = documents("a:\nb: null\nc: [{d: }]\n", Words::Objects).unwrap().remove(0);
        assert!(is_blank(&value["a"]) && !is_blank(&value["b"]) && is_null(&value["b"]));
        settle(&mut value);
        assert_eq!(value, json!({"a": null, "b": null, "c": [{"d": null}]}));
    }
}
