//! YAML as kubectl writes it, which is as Go's library does: keys in order, lists not indented below their key, a text in
//! quotes only if it would be something else without, and as a block if it has several lines.
//!
//! No library for Rust writes it so, and scripts compare it; the rules are those of libyaml's emitter, and of the types that
//! YAML 1.1 gives to texts without quotes.

use std::fmt::Write;

use serde_json::{Map, Value};

/// An object as a YAML document, with a line break at its end.
pub(crate) fn document(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(fields) if !fields.is_empty() => mapping(fields, 0, false, &mut text),
        Value::Array(elements) if !elements.is_empty() => sequence(elements, 0, false, &mut text),
        other => {
            scalar(other, 0, &mut text);
            text.push('\n');
        }
    }
    text
}

fn indent(by: usize, text: &mut String) {
    text.extend(std::iter::repeat_n(' ', by));
}

/// The lines of a mapping. The first one is not indented if it goes on behind `- `.
fn mapping(fields: &Map<String, Value>, by: usize, goes_on: bool, text: &mut String) {
    let mut sorted: Vec<(&String, &Value)> = fields.iter().collect();
    sorted.sort_by(|(left, _), (right, _)| natural(left, right));
    for (index, (key, value)) in sorted.into_iter().enumerate() {
        if index > 0 || !goes_on {
            indent(by, text);
        }
        // libyaml's longest key that stands before its colon on one line.
        const LONGEST_KEY: usize = 128;
        if key.len() > LONGEST_KEY || key.contains('\n') {
            text.push_str("? ");
            string(key, by, false, text);
            text.push('\n');
            indent(by, text);
        } else {
            string(key, by, true, text);
        }
        text.push(':');
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                text.push('\n');
                mapping(fields, by + 2, false, text);
            }
            Value::Array(elements) if !elements.is_empty() => {
                text.push('\n');
                sequence(elements, by, false, text);
            }
            other => {
                text.push(' ');
                scalar(other, by, text);
                text.push('\n');
            }
        }
    }
}

fn sequence(elements: &[Value], by: usize, goes_on: bool, text: &mut String) {
    for (index, element) in elements.iter().enumerate() {
        if index > 0 || !goes_on {
            indent(by, text);
        }
        text.push_str("- ");
        match element {
            Value::Object(fields) if !fields.is_empty() => mapping(fields, by + 2, true, text),
            Value::Array(elements) if !elements.is_empty() => sequence(elements, by + 2, true, text),
            other => {
                scalar(other, by, text);
                text.push('\n');
            }
        }
    }
}

fn scalar(value: &Value, by: usize, text: &mut String) {
    match value {
        Value::String(content) => string(content, by, false, text),
        Value::Object(_) => text.push_str("{}"),
        Value::Array(_) => text.push_str("[]"),
        other => text.push_str(&other.to_string()),
    }
}

/// A text: plain, in quotes, or as a block.
fn string(content: &str, by: usize, is_key: bool, text: &mut String) {
    let facts = Facts::of(content);
    let style = if content.contains('\n') {
        if facts.block_allowed && !is_key {
            return block(content, by + 2, text);
        }
        Style::Double
    } else if is_other_type(content) {
        Style::Double
    } else if facts.plain_allowed {
        Style::Plain
    } else if facts.single_allowed {
        Style::Single
    } else {
        Style::Double
    };
    flow(content, style, (!is_key).then_some(by + 2), text);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
}

/// How long a line is before it is broken at the next space.
const WIDTH: usize = 80;

/// A text that is no block. If it may be broken, its further lines are indented by so much.
fn flow(content: &str, style: Style, breaks: Option<usize>, text: &mut String) {
    let quote = match style {
        Style::Plain => "",
        Style::Single => "'",
        Style::Double => "\"",
    };
    text.push_str(quote);
    let mut column = text.rsplit('\n').next().unwrap_or_default().chars().count();
    let characters: Vec<char> = content.chars().collect();
    let mut after_space = false;
    for (index, character) in characters.iter().copied().enumerate() {
        if character != ' ' {
            let before = text.len();
            match (style, character) {
                (Style::Single, '\'') => text.push_str("''"),
                (Style::Double, character) => escaped(character, text),
                (_, character) => text.push(character),
            }
            column += text[before..].chars().count();
            after_space = false;
            continue;
        }
        let before_space = characters.get(index + 1) == Some(&' ');
        let is_inside = index > 0 && index + 1 < characters.len();
        let may_break = match style {
            Style::Plain => !before_space,
            Style::Single => is_inside && !before_space,
            Style::Double => is_inside,
        };
        match breaks {
            Some(by) if !after_space && column > WIDTH && may_break => {
                text.push('\n');
                indent(by, text);
                column = by;
                if style == Style::Double && before_space {
                    text.push('\\');
                    column += 1;
                }
            }
            _ => {
                text.push(' ');
                column += 1;
            }
        }
        after_space = true;
    }
    text.push_str(quote);
}

/// How a text may be written.
struct Facts {
    plain_allowed: bool,
    single_allowed: bool,
    block_allowed: bool,
}

impl Facts {
    fn of(content: &str) -> Facts {
        let characters: Vec<char> = content.chars().collect();
        let is_blank = |index: usize| characters.get(index).is_none_or(|it| matches!(it, ' ' | '\t') || is_break(*it));
        let (mut indicators, mut special) = (content.starts_with("---") || content.starts_with("..."), false);
        let (mut space_break, mut break_space) = (false, false);
        for (index, character) in characters.iter().copied().enumerate() {
            indicators |= match character {
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`'
                    if index == 0 =>
                {
                    true
                }
                '?' | '-' if index == 0 => is_blank(index + 1),
                ':' => is_blank(index + 1),
                '#' => is_blank(index - 1),
                _ => false,
            };
            special |= !is_printable(character);
            let before = index.checked_sub(1).and_then(|index| characters.get(index)).copied();
            space_break |= is_break(character) && before == Some(' ');
            break_space |= character == ' ' && before.is_some_and(is_break);
        }
        let (first, last) = (characters.first().copied(), characters.last().copied());
        let at_edge = |is_it: fn(char) -> bool| first.is_some_and(is_it) || last.is_some_and(is_it);
        let has_breaks = characters.iter().any(|character| is_break(*character));
        let bad = space_break || special;
        Facts {
            plain_allowed: !(at_edge(|it| it == ' ')
                || at_edge(is_break)
                || break_space
                || bad
                || has_breaks
                || indicators),
            single_allowed: !(break_space || bad),
            block_allowed: !(last == Some(' ') || bad),
        }
    }
}

fn is_break(character: char) -> bool {
    matches!(character, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_printable(character: char) -> bool {
    matches!(character, '\n' | '\u{20}'..='\u{7e}' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

/// A text of several lines, as it is.
fn block(content: &str, by: usize, text: &mut String) {
    text.push('|');
    if content.starts_with(' ') || content.starts_with(is_break) {
        text.push('2');
    }
    if !content.ends_with('\n') {
        text.push('-');
    } else if content == "\n" || content.ends_with("\n\n") {
        text.push('+');
    }
    let body = content.strip_suffix('\n').unwrap_or(content);
    for line in body.split('\n') {
        text.push('\n');
        if !line.is_empty() {
            indent(by, text);
            text.push_str(line);
        }
    }
}

/// A character between double quotes.
fn escaped(character: char, text: &mut String) {
    match character {
        '"' => text.push_str("\\\""),
        '\\' => text.push_str("\\\\"),
        '\0' => text.push_str("\\0"),
        '\u{7}' => text.push_str("\\a"),
        '\u{8}' => text.push_str("\\b"),
        '\t' => text.push_str("\\t"),
        '\n' => text.push_str("\\n"),
        '\u{b}' => text.push_str("\\v"),
        '\u{c}' => text.push_str("\\f"),
        '\r' => text.push_str("\\r"),
        '\u{1b}' => text.push_str("\\e"),
        '\u{85}' => text.push_str("\\N"),
        '\u{2028}' => text.push_str("\\L"),
        '\u{2029}' => text.push_str("\\P"),
        other if is_printable(other) => text.push(other),
        other => {
            let number = u32::from(other);
            // Writing to a text cannot fail.
            let _ = match number {
                0..=0xff => write!(text, "\\x{number:02X}"),
                0x100..=0xffff => write!(text, "\\u{number:04X}"),
                _ => write!(text, "\\U{number:08X}"),
            };
        }
    }
}

/// Whether a text without quotes would be read as something that is no text.
pub(super) fn is_other_type(text: &str) -> bool {
    const WORDS: &[&str] = &[
        "", "~", "null", "Null", "NULL", "y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE", "n",
        "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE", ".nan", ".NaN", ".NAN", ".inf", ".Inf",
        ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF",
    ];
    WORDS.contains(&text) || is_number(text) || is_time(text)
}

/// Whether YAML 1.1 reads it as a number: also with underscores, in other bases, and in the base of 60.
fn is_number(text: &str) -> bool {
    if !text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) {
        return false;
    }
    let plain = text.replace('_', "");
    let unsigned = plain.strip_prefix(['+', '-']).unwrap_or(&plain);
    let digits = |text: &str, base: u32| !text.is_empty() && text.chars().all(|digit| digit.is_digit(base));
    let is_based = [("0x", 16), ("0X", 16), ("0o", 8), ("0O", 8), ("0b", 2), ("0B", 2)]
        .into_iter()
        .any(|(prefix, base)| unsigned.strip_prefix(prefix).is_some_and(|rest| digits(rest, base)));
    is_based || is_decimal(unsigned) || is_of_sixty(text)
}

fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) =
        text.split_once(['e', 'E']).map_or((text, None), |(mantissa, rest)| (mantissa, Some(rest)));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_mantissa = match mantissa.split_once('.') {
        Some((whole, part)) => is_digits(whole) && is_digits(part) && !(whole.is_empty() && part.is_empty()),
        None => !mantissa.is_empty() && is_digits(mantissa),
    };
    let is_exponent = |text: &str| {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        !digits.is_empty() && is_digits(digits)
    };
    is_mantissa && exponent.is_none_or(is_exponent)
}

/// A number in the base of 60, such as `190:20:30` (`^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$`).
fn is_of_sixty(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, part) = unsigned.split_once('.').map_or((unsigned, ""), |(whole, part)| (whole, part));
    let mut places = whole.split(':');
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let first = places.next().unwrap_or_default();
    let rest: Vec<&str> = places.collect();
    let is_place = |place: &&str| match place.as_bytes() {
        [digit] => digit.is_ascii_digit(),
        [ten, digit] => (b'0'..=b'5').contains(ten) && digit.is_ascii_digit(),
        _ => false,
    };
    first.starts_with(|digit: char| digit.is_ascii_digit())
        && is_digits(first)
        && !rest.is_empty()
        && rest.iter().all(is_place)
        && is_digits(part)
}

/// Whether it is a date, or a date and a time, as Go's library takes them for times.
fn is_time(text: &str) -> bool {
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(index) => (&text[..index], Some((&text[index..=index], &text[index + 1..]))),
        None => (text, None),
    };
    let is_digits =
        |text: &str, most: usize| (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let date: Vec<&str> = date.split('-').collect();
    let [year, month, day] = date[..] else { return false };
    let in_range = |text: &str, most: u32| text.parse::<u32>().is_ok_and(|number| (1..=most).contains(&number));
    if year.len() != 4 || !is_digits(year, 4) || !is_digits(month, 2) || !is_digits(day, 2) {
        return false;
    }
    if !in_range(month, 12) || !in_range(day, 31) {
        return false;
    }
    let Some((separator, time)) = time else { return true };
    let zone = time.find(['Z', '+', '-']);
    let (clock, zone) = zone.map_or((time, None), |index| (&time[..index], Some(&time[index..])));
    let clock: Vec<&str> = clock.split('.').next().unwrap_or_default().split(':').collect();
    let [hour, minute, second] = clock[..] else { return false };
    let is_clock = is_digits(hour, 2) && is_digits(minute, 2) && is_digits(second, 2);
    // With a space there is no zone, and otherwise there has to be one.
    is_clock && if separator == " " { zone.is_none() } else { zone.is_some() }
}

/// The order of keys: by letters and numbers, as Go's library has it (`keyList.Less`).
fn natural(left: &str, right: &str) -> std::cmp::Ordering {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    for (index, (a, b)) in left.iter().zip(&right).enumerate() {
        if a == b {
            continue;
        }
        let (a_letter, b_letter) = (a.is_alphabetic(), b.is_alphabetic());
        if a_letter && b_letter {
            return a.cmp(b);
        }
        if a_letter || b_letter {
            return a_letter.cmp(&b_letter);
        }
        // A number that goes on with a zero is not shorter for that.
        let before = left[..index].iter().rev().take_while(|digit| digit.is_ascii_digit());
        let goes_on = (*a == '0' || *b == '0') && before.into_iter().any(|digit| *digit != '0');
        let number = |characters: &[char]| {
            let digits = characters[index..].iter().take_while(|digit| digit.is_ascii_digit());
            digits.fold((u64::from(goes_on), 0_usize), |(number, count), digit| {
                (number.saturating_mul(10).saturating_add(u64::from(digit.to_digit(10).unwrap_or(0))), count + 1)
            })
        };
        return number(&left).cmp(&number(&right)).then(a.cmp(b));
    }
    left.len().cmp(&right.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_are_as_kubectl_writes_them() {
        let object = json!({
            "kind": "Pod", "apiVersion": "v1",
            "metadata": {"name": "a", "labels": {}, "creationTimestamp": "2026-01-02T03:04:05Z"},
            "spec": {"containers": [{"name": "c", "args": ["-c", "true", "8080"], "ports": []}], "nested": [[1, 2], []]},
            "data": {"script": "a\nb\n", "open": "a\nb", "kept": "a\n\n", "indented": "  a\nb\n"},
        });
        let expected = "apiVersion: v1\ndata:\n  indented: |2\n      a\n    b\n  kept: |+\n    a\n\n  open: |-\n    a\n    b\n  \
                        script: |\n    a\n    b\nkind: Pod\nmetadata:\n  creationTimestamp: \"2026-01-02T03:04:05Z\"\n  labels: \
                        {}\n  name: a\nspec:\n  containers:\n  - args:\n    - -c\n    - \"true\"\n    - \"8080\"\n    name: c\n    \
                        ports: []\n  nested:\n  - - 1\n    - 2\n  - []\n";
        assert_eq!(document(&object), expected);
        assert_eq!(document(&json!({})), "{}\n");
        assert_eq!(document(&json!("a")), "a\n");
    }

    #[test]
    fn texts_are_quoted_where_they_must_be() {
        let check = |content: &str, expected: &str| {
            let mut text = String::new();
            string(content, 0, false, &mut text);
            assert_eq!(text, expected, "{content:?}");
        };
        for plain in [
            "a",
            "a b",
            "a: b".trim_end_matches(": b"),
            "1.2.3",
            "10.0.0.1",
            "a:b",
            "a#b",
            "-a",
            "1Gi",
            "v1",
            "é",
            "=",
            "0x",
            "1_a",
        ] {
            check(plain, plain);
        }
        for other in [
            "",
            "true",
            "No",
            "y",
            "null",
            "~",
            "1",
            "1.5",
            "-1",
            "1e3",
            "0x1f",
            "0b1",
            "1_000",
            ".5",
            ".inf",
            "190:20:30",
        ] {
            check(other, &format!("\"{other}\""));
        }
        for time in ["2026-01-02", "2026-1-2T3:4:5Z", "2026-01-02 03:04:05", "2026-01-02t03:04:05.1+01:00"] {
            check(time, &format!("\"{time}\""));
        }
        for not_a_time in ["2026-13-02", "2026-01-02T03:04:05", "2026-01"] {
            check(not_a_time, not_a_time);
        }
        check("a: b", "'a: b'");
        check("it's: so", "'it''s: so'");
        check("*a", "'*a'");
        check("- a", "'- a'");
        check("a #b", "'a #b'");
        check(" a", "' a'");
        check("a\tb", "\"a\\tb\"");
        check("a \nb", "\"a \\nb\"");
        check("\u{1}", "\"\\x01\"");
        check("\u{1f600}", "\"\\U0001F600\"");
    }

    #[test]
    fn long_lines_are_broken_at_spaces() {
        let long = "this is a rather long text with many words in it that goes on and on until it is longer than eighty columns, and more";
        let object = json!({"data": {"colon": long.replacen("text", "text:", 1), "long": long, "tab": format!("\t{long}"), "word": "x".repeat(100)}});
        let expected = format!(
            "data:\n  colon: 'this is a rather long text: with many words in it that goes on and on until\n    it is longer than \
             eighty columns, and more'\n  long: this is a rather long text with many words in it that goes on and on until\n    it \
             is longer than eighty columns, and more\n  tab: \"\\tthis is a rather long text with many words in it that goes on and \
             on until\n    it is longer than eighty columns, and more\"\n  word: {}\n",
            "x".repeat(100)
        );
        assert_eq!(document(&object), expected);
    }

    #[test]
    fn keys_are_in_natural_order() {
        let mut keys = ["b", "a10", "a2", "A", "a", "a.b", "ab", "1", "10", "9"];
        keys.sort_by(|left, right| natural(left, right));
        assert_eq!(keys, ["1", "9", "10", "A", "a", "a.b", "a2", "a10", "ab", "b"]);
    }
}
