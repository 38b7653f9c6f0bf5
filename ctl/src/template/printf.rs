//! `printf`, as Go's `fmt.Sprintf` does it.

use serde_json::Value;

use super::value::{Val, escape, general, quoted, scientific, sorted};

/// The widest that something may be made. Go goes up to a million.
const WIDEST: usize = 60_000;

/// What stands between `%` and the verb.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Flags {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// A format with its values.
pub(super) fn format(format: &str, values: &[Val<'_>]) -> String {
    let mut text = String::new();
    let mut arguments = Arguments { values, next: 0, reordered: false };
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        rest = directive(&rest[at + 1..], &mut arguments, &mut text);
    }
    text.push_str(rest);
    if !arguments.reordered && arguments.next < values.len() {
        let extra: Vec<String> = values[arguments.next..].iter().map(with_kind).collect();
        text.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    text
}

struct Arguments<'a, 'v> {
    values: &'v [Val<'a>],
    next: usize,
    reordered: bool,
}

/// `string=x`.
fn with_kind(value: &Val<'_>) -> String {
    if matches!(value, Val::Missing | Val::Null) {
        "<nil>".to_owned()
    } else {
        format!("{}={}", value.kind(), value.text())
    }
}

/// One `%…`, of which the sign has been passed. Returns what follows it.
fn directive<'f>(mut rest: &'f str, arguments: &mut Arguments<'_, '_>, to: &mut String) -> &'f str {
    let mut flags = Flags::default();
    while let Some(flag) = rest.chars().next() {
        match flag {
            '-' => flags.minus = true,
            '+' => flags.plus = true,
            '#' => flags.sharp = true,
            ' ' => flags.space = true,
            '0' => flags.zero = true,
            _ => break,
        }
        rest = &rest[1..];
    }
    let mut is_bad = false;
    rest = ordered(rest, arguments, &mut is_bad);
    rest = size(rest, arguments, &mut flags.width, "%!(BADWIDTH)", to);
    if let Some(after) = rest.strip_prefix('.') {
        rest = ordered(after, arguments, &mut is_bad);
        rest = size(rest, arguments, &mut flags.precision, "%!(BADPREC)", to);
        flags.precision = flags.precision.or(Some(0));
    }
    rest = ordered(rest, arguments, &mut is_bad);
    let Some(verb) = rest.chars().next() else {
        to.push_str("%!(NOVERB)");
        return rest;
    };
    rest = &rest[verb.len_utf8()..];
    if verb == '%' {
        to.push('%');
    } else if is_bad {
        to.push_str(&format!("%!{verb}(BADINDEX)"));
    } else if let Some(value) = arguments.values.get(arguments.next) {
        arguments.next += 1;
        shown(verb, flags, value, to);
    } else {
        to.push_str(&format!("%!{verb}(MISSING)"));
    }
    rest
}

/// `[n]`: which argument is next.
fn ordered<'f>(rest: &'f str, arguments: &mut Arguments<'_, '_>, is_bad: &mut bool) -> &'f str {
    let Some(inside) = rest.strip_prefix('[') else { return rest };
    arguments.reordered = true;
    let Some((number, after)) = inside.split_once(']') else {
        *is_bad = true;
        return inside;
    };
    match number.parse::<usize>().ok().and_then(|number| number.checked_sub(1)) {
        Some(index) if index < arguments.values.len() => arguments.next = index,
        _ => *is_bad = true,
    }
    after
}

/// A width or precision: a number, or `*` for an argument that is one.
fn size<'f>(
    rest: &'f str,
    arguments: &mut Arguments<'_, '_>,
    size: &mut Option<usize>,
    bad: &str,
    to: &mut String,
) -> &'f str {
    if let Some(after) = rest.strip_prefix('*') {
        let given = arguments.values.get(arguments.next).and_then(Val::whole);
        arguments.next += 1;
        *size = given.and_then(|it| usize::try_from(it).ok()).filter(|it| *it <= WIDEST);
        if size.is_none() {
            to.push_str(bad);
        }
        return after;
    }
    let digits = rest.len() - rest.trim_start_matches(|it: char| it.is_ascii_digit()).len();
    if digits > 0 {
        *size = rest[..digits].parse().ok().filter(|it| *it <= WIDEST);
    }
    &rest[digits..]
}

/// A value by a verb; lists and maps by the values in them.
fn shown(verb: char, flags: Flags, value: &Val<'_>, to: &mut String) {
    if verb == 'T' {
        return padded(value.kind(), flags, to);
    }
    match value {
        Val::List(elements) => {
            to.push('[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    to.push(' ');
                }
                inner(verb, flags, element, to);
            }
            to.push(']');
        }
        Val::Map(fields) => {
            to.push_str("map[");
            for (index, (key, element)) in sorted(fields).into_iter().enumerate() {
                if index > 0 {
                    to.push(' ');
                }
                shown(verb, flags, &Val::Text(key.as_str().into()), to);
                to.push(':');
                inner(verb, flags, element, to);
            }
            to.push(']');
        }
        single => match single_text(verb, flags, single) {
            Some(text) => padded(&text, flags, to),
            None if matches!(single, Val::Missing | Val::Null) => to.push_str(&format!("%!{verb}(<nil>)")),
            None => to.push_str(&format!("%!{verb}({})", with_kind(single))),
        },
    }
}

fn inner(verb: char, flags: Flags, element: &Value, to: &mut String) {
    if element.is_null() && matches!(verb, 'v' | 's') {
        to.push_str(if verb == 'v' { "<nil>" } else { "%!s(<nil>)" });
    } else {
        shown(verb, flags, &Val::of(element), to);
    }
}

/// What is no list or map, if the verb is for it.
fn single_text(verb: char, flags: Flags, value: &Val<'_>) -> Option<String> {
    match value {
        Val::Missing | Val::Null => (verb == 'v').then(|| "<nil>".to_owned()),
        Val::Bool(value) => matches!(verb, 't' | 'v').then(|| value.to_string()),
        Val::Text(text) => of_text(verb, flags, text),
        Val::Float(number) => of_float(verb, flags, *number),
        other => of_whole(verb, flags, other.whole()?),
    }
}

fn of_text(verb: char, flags: Flags, text: &str) -> Option<String> {
    let short: String = match flags.precision {
        Some(precision) => text.chars().take(precision).collect(),
        None => text.to_owned(),
    };
    match verb {
        'v' if flags.sharp => Some(quoted(&short)),
        'v' | 's' => Some(short),
        'q' if flags.sharp && !short.contains(|it: char| it == '`' || (it.is_control() && it != '\t')) => {
            Some(format!("`{short}`"))
        }
        'q' => Some(quoted(&short)),
        'x' | 'X' => {
            let bytes = &text.as_bytes()[..flags.precision.unwrap_or(usize::MAX).min(text.len())];
            let separator = if flags.space { " " } else { "" };
            let hex = |byte: &u8| if verb == 'x' { format!("{byte:02x}") } else { format!("{byte:02X}") };
            let hex = bytes.iter().map(hex).collect::<Vec<_>>().join(separator);
            Some(if flags.sharp && !hex.is_empty() { format!("0{verb}{hex}") } else { hex })
        }
        _ => None,
    }
}

fn of_whole(verb: char, flags: Flags, number: i64) -> Option<String> {
    let character = || u32::try_from(number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
    let size = number.unsigned_abs();
    let digits = match verb {
        'd' | 'v' => size.to_string(),
        'b' => format!("{}{size:b}", if flags.sharp { "0b" } else { "" }),
        'o' => format!("{}{size:o}", if flags.sharp { "0" } else { "" }),
        'O' => format!("0o{size:o}"),
        'x' => format!("{}{size:x}", if flags.sharp { "0x" } else { "" }),
        'X' => format!("{}{size:X}", if flags.sharp { "0X" } else { "" }),
        'c' => return Some(character().to_string()),
        'q' => {
            let mut text = String::from("'");
            escape(character(), '\'', &mut text);
            return Some(format!("{text}'"));
        }
        'U' => {
            return Some(format!(
                "U+{size:04X}{}",
                if flags.sharp { format!(" '{}'", character()) } else { String::new() }
            ));
        }
        _ => return None,
    };
    let digits = match flags.precision {
        Some(0) if number == 0 => return Some(String::new()),
        Some(precision) => format!("{digits:0>precision$}"),
        None => digits,
    };
    Some(signed(number < 0, flags, &digits))
}

fn signed(is_negative: bool, flags: Flags, digits: &str) -> String {
    let sign = match (is_negative, flags.plus, flags.space) {
        (true, ..) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    };
    format!("{sign}{digits}")
}

fn of_float(verb: char, flags: Flags, number: f64) -> Option<String> {
    let size = number.abs();
    let digits = match verb {
        _ if !number.is_finite() && "eEfFgGv".contains(verb) => general(size, None).trim_start_matches('+').to_owned(),
        'e' => scientific(size, Some(flags.precision.unwrap_or(6))),
        'E' => scientific(size, Some(flags.precision.unwrap_or(6))).to_uppercase(),
        'f' | 'F' => format!("{size:.*}", flags.precision.unwrap_or(6)),
        'g' | 'v' => general(size, flags.precision),
        'G' => general(size, flags.precision).to_uppercase(),
        _ => return None,
    };
    Some(signed(number.is_sign_negative(), flags, &digits))
}

fn padded(text: &str, flags: Flags, to: &mut String) {
    let missing = flags.width.unwrap_or(0).saturating_sub(text.chars().count());
    let fill = |character: char, to: &mut String| to.extend(std::iter::repeat_n(character, missing));
    if flags.minus {
        to.push_str(text);
        fill(' ', to);
    } else if flags.zero {
        // Zeros stand behind the sign.
        let digits = text.trim_start_matches(['+', '-']);
        to.push_str(&text[..text.len() - digits.len()]);
        fill('0', to);
        to.push_str(digits);
    } else {
        fill(' ', to);
        to.push_str(text);
    }
}
