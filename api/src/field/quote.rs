//! How Go writes a value into a message: `%q` for strings, `encoding/json` for everything else.

use std::fmt::Write;

use serde::Serialize;

/// `text` in double quotes as Go's `strconv.Quote` (the verb `%q`) writes it.
pub fn go_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            c if is_go_printable(c) => out.push(c),
            c => push_escape(&mut out, c),
        }
    }
    out.push('"');
    out
}

/// Whether Go's `unicode.IsPrint` holds: letters, marks, numbers, punctuation, symbols and the ASCII space.
pub fn is_go_printable(c: char) -> bool {
    if c.is_ascii() {
        return matches!(c, ' '..='~');
    }
    // The standard library escapes what is not printable, and additionally a combining mark in first position.
    let mut buffer = [0; 5];
    buffer[0] = b'a';
    let len = 1 + c.encode_utf8(&mut buffer[1..]).len();
    match std::str::from_utf8(&buffer[..len]) {
        Ok(text) => !text.escape_debug().any(|escaped| escaped == '\\'),
        Err(_) => false,
    }
}

/// `value` as Go's `json.Marshal` writes it: compact, with `<`, `>`, `&` and the two line separators escaped.
///
/// Returns `null` for a value that JSON cannot hold.
pub fn go_json<T: Serialize + ?Sized>(value: &T) -> String {
    let plain = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
    if !plain.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return plain;
    }
    let mut out = String::with_capacity(plain.len() + 16);
    for c in plain.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => push_escape_16(&mut out, c),
            c => out.push(c),
        }
    }
    out
}

fn push_escape(out: &mut String, c: char) {
    let code = u32::from(c);
    // Writing to a String does not fail.
    let _ = match code {
        0..0x80 => write!(out, "\\x{code:02x}"),
        0x80..0x1_0000 => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
}

fn push_escape_16(out: &mut String, c: char) {
    let _ = write!(out, "\\u{:04x}", u32::from(c));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_go_does() {
        let cases = [
            ("", r#""""#),
            ("abc", r#""abc""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("\x07\x08\x0c\n\r\t\x0b", r#""\a\b\f\n\r\t\v""#),
            ("\0\x1b\x7f", r#""\x00\x1b\x7f""#),
            ("ā☺日本", r#""ā☺日本""#),
            ("e\u{301}\u{301}", "\"e\u{301}\u{301}\""),
            ("\u{a0}\u{2028}\u{feff}", r#""\u00a0\u2028\ufeff""#),
            ("\u{10ffff}", r#""\U0010ffff""#),
            ("it's", r#""it's""#),
        ];
        for (text, expected) in cases {
            assert_eq!(go_quote(text), expected, "{text:?}");
        }
    }

    #[test]
    fn json_as_go_does() {
        assert_eq!(go_json(&serde_json::json!({"a": "<b>&"})), "{\"a\":\"\\u003cb\\u003e\\u0026\"}");
        assert_eq!(go_json::<Option<i32>>(&None), "null");
        assert_eq!(go_json(&["x", "y"]), "[\"x\",\"y\"]");
    }
}
