//! What is wrong with a JSON text, in the words of Go's `encoding/json`.
//!
//! Some fields hold JSON as text. What Go says of it is part of upstream's messages, and where the content is secret, it
//! is all that a user learns. The text is read byte by byte, with its nesting on the heap and bounded as Go bounds it.

use api::field::go_quote;

/// Deepest nesting that is read.
const MAX_DEPTH: usize = 10_000;
const END: &str = "unexpected end of JSON input";

/// What a text should hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// `{...}`, which Go reads into a map or struct.
    Object,
    /// `[...]`, which Go reads into a slice.
    Array,
}

/// Whether `text` is JSON of the wanted kind, or `null`, which Go takes for an empty value of any type.
///
/// # Errors
/// What Go says when it reads such a text into a value of `go_type`.
pub(super) fn check(text: &[u8], wanted: Wanted, go_type: &str) -> Result<(), String> {
    let mut scanner = Scanner { state: State::Value { or_end: false }, nesting: Vec::new() };
    for &byte in text {
        scanner.step(byte)?;
    }
    if !scanner.is_complete() {
        // Go tries whether a space ends what is unfinished, such as a number, and reports the space when it does not.
        scanner.step(b' ')?;
        if !scanner.is_complete() {
            return Err(END.to_owned());
        }
    }
    let found = match (text.iter().find(|byte| !is_space(**byte)), wanted) {
        (Some(b'n') | None, _) | (Some(b'{'), Wanted::Object) | (Some(b'['), Wanted::Array) => return Ok(()),
        (Some(b'{'), _) => "object",
        (Some(b'['), _) => "array",
        (Some(b'"'), _) => "string",
        (Some(b't' | b'f'), _) => "bool",
        (Some(_), _) => "number",
    };
    Err(format!("json: cannot unmarshal {found} into Go value of type {go_type}"))
}

/// What may come next.
#[derive(Clone, Copy)]
enum State {
    /// A value, or in a fresh array its end.
    Value { or_end: bool },
    /// A key, or in a fresh object its end.
    Key { or_end: bool },
    /// The rest of a string.
    Text,
    /// What a backslash introduced.
    Escape,
    /// So many more hexadecimal digits.
    Hex(u8),
    /// The rest of `true`, `false` or `null`.
    Literal(&'static str, usize),
    /// A digit, after a minus.
    Minus,
    /// What may follow a leading zero.
    Zero,
    /// More digits before a point.
    Digits,
    /// The first digit after the point.
    Point,
    /// More digits after the point.
    Fraction,
    /// A sign or digit of the exponent.
    Exponent,
    /// The first digit of the exponent, after its sign.
    ExponentSign,
    /// More digits of the exponent.
    ExponentDigits,
    /// What may follow a value.
    AfterValue,
}

#[derive(Clone, Copy)]
enum Nesting {
    ObjectKey,
    ObjectValue,
    Array,
}

struct Scanner {
    state: State,
    nesting: Vec<Nesting>,
}

impl Scanner {
    fn is_complete(&self) -> bool {
        self.nesting.is_empty() && matches!(self.state, State::AfterValue)
    }

    fn step(&mut self, byte: u8) -> Result<(), String> {
        match self.state {
            State::Value { .. } | State::Key { .. } | State::AfterValue if is_space(byte) => {}
            State::Value { or_end: true } if byte == b']' => self.close(),
            State::Value { .. } => self.begin_value(byte)?,
            State::Key { or_end: true } if byte == b'}' => self.close(),
            State::Key { .. } if byte == b'"' => self.state = State::Text,
            State::Key { .. } => return refuse(byte, "looking for beginning of object key string"),
            State::AfterValue => self.after_value(byte)?,
            State::Text | State::Escape | State::Hex(_) => self.in_text(byte)?,
            State::Literal(word, at) => {
                let expected = word.as_bytes()[at];
                if byte != expected {
                    let context = format!("in literal {word} (expecting {})", quote(expected));
                    return refuse(byte, &context);
                }
                self.state = if at + 1 == word.len() { State::AfterValue } else { State::Literal(word, at + 1) };
            }
            _ => self.in_number(byte)?,
        }
        Ok(())
    }

    fn begin_value(&mut self, byte: u8) -> Result<(), String> {
        self.state = match byte {
            b'{' => return self.open(Nesting::ObjectKey, State::Key { or_end: true }),
            b'[' => return self.open(Nesting::Array, State::Value { or_end: true }),
            b'"' => State::Text,
            b'-' => State::Minus,
            b'0' => State::Zero,
            b'1'..=b'9' => State::Digits,
            b't' => State::Literal("true", 1),
            b'f' => State::Literal("false", 1),
            b'n' => State::Literal("null", 1),
            _ => return refuse(byte, "looking for beginning of value"),
        };
        Ok(())
    }

    fn open(&mut self, nesting: Nesting, state: State) -> Result<(), String> {
        if self.nesting.len() == MAX_DEPTH {
            return Err("exceeded max depth".to_owned());
        }
        self.nesting.push(nesting);
        self.state = state;
        Ok(())
    }

    fn close(&mut self) {
        self.nesting.pop();
        self.state = State::AfterValue;
    }

    fn after_value(&mut self, byte: u8) -> Result<(), String> {
        let Some(nesting) = self.nesting.last_mut() else { return refuse(byte, "after top-level value") };
        match (*nesting, byte) {
            (Nesting::ObjectKey, b':') => {
                *nesting = Nesting::ObjectValue;
                self.state = State::Value { or_end: false };
            }
            (Nesting::ObjectValue, b',') => {
                *nesting = Nesting::ObjectKey;
                self.state = State::Key { or_end: false };
            }
            (Nesting::Array, b',') => self.state = State::Value { or_end: false },
            (Nesting::ObjectValue, b'}') | (Nesting::Array, b']') => self.close(),
            (Nesting::ObjectKey, _) => return refuse(byte, "after object key"),
            (Nesting::ObjectValue, _) => return refuse(byte, "after object key:value pair"),
            (Nesting::Array, _) => return refuse(byte, "after array element"),
        }
        Ok(())
    }

    fn in_text(&mut self, byte: u8) -> Result<(), String> {
        self.state = match (self.state, byte) {
            (State::Escape, b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"') => State::Text,
            (State::Escape, b'u') => State::Hex(4),
            (State::Escape, _) => return refuse(byte, "in string escape code"),
            (State::Hex(1), _) if byte.is_ascii_hexdigit() => State::Text,
            (State::Hex(left), _) if byte.is_ascii_hexdigit() => State::Hex(left - 1),
            (State::Hex(_), _) => return refuse(byte, "in \\u hexadecimal character escape"),
            (_, b'"') => State::AfterValue,
            (_, b'\\') => State::Escape,
            (_, ..0x20) => return refuse(byte, "in string literal"),
            _ => State::Text,
        };
        Ok(())
    }

    fn in_number(&mut self, byte: u8) -> Result<(), String> {
        self.state = match (self.state, byte) {
            (State::Minus, b'0') => State::Zero,
            (State::Minus, b'1'..=b'9') | (State::Digits, b'0'..=b'9') => State::Digits,
            (State::Minus, _) => return refuse(byte, "in numeric literal"),
            (State::Zero | State::Digits, b'.') => State::Point,
            (State::Point | State::Fraction, b'0'..=b'9') => State::Fraction,
            (State::Point, _) => return refuse(byte, "after decimal point in numeric literal"),
            (State::Zero | State::Digits | State::Fraction, b'e' | b'E') => State::Exponent,
            (State::Exponent, b'+' | b'-') => State::ExponentSign,
            (State::Exponent | State::ExponentSign | State::ExponentDigits, b'0'..=b'9') => State::ExponentDigits,
            (State::Exponent | State::ExponentSign, _) => return refuse(byte, "in exponent of numeric literal"),
            _ => {
                self.state = State::AfterValue;
                return self.step(byte);
            }
        };
        Ok(())
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn refuse(byte: u8, context: &str) -> Result<(), String> {
    Err(format!("invalid character {} {context}", quote(byte)))
}

/// A byte in single quotes; one beyond ASCII as the character of that number.
fn quote(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => r#"'"'"#.to_owned(),
        _ => {
            let quoted = go_quote(&char::from(byte).to_string());
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAP: &str = "map[string]interface {}";

    fn check_object(text: &[u8]) -> Result<(), String> {
        check(text, Wanted::Object, MAP)
    }

    #[test]
    fn messages_as_go() {
        let map = |found: &str| format!("json: cannot unmarshal {found} into Go value of type {MAP}");
        let (array, string, bool, number) = (map("array"), map("string"), map("bool"), map("number"));
        let cases: &[(&str, &str)] = &[
            ("{}", ""),
            (" {\"auths\": {\"a\": {\"auth\": \"eA==\", \"n\": [1, -2.5e+3, true, null, \"\\u00e9\\n\"]}}}\n", ""),
            ("null", ""),
            ("", END),
            (" ", END),
            ("{", END),
            ("{\"a", END),
            ("[1,", END),
            ("[]", &array),
            ("\"x\"", &string),
            ("false", &bool),
            ("-0.5e1", &number),
            ("12", &number),
            ("-", "invalid character ' ' in numeric literal"),
            ("tru", "invalid character ' ' in literal true (expecting 'e')"),
            ("nil", "invalid character 'i' in literal null (expecting 'u')"),
            ("1.", "invalid character ' ' after decimal point in numeric literal"),
            ("1ex", "invalid character 'x' in exponent of numeric literal"),
            ("{}x", "invalid character 'x' after top-level value"),
            ("01", "invalid character '1' after top-level value"),
            ("invalid", "invalid character 'i' looking for beginning of value"),
            ("'", "invalid character '\\'' looking for beginning of value"),
            ("é", "invalid character 'Ã' looking for beginning of value"),
            ("\u{0}", "invalid character '\\x00' looking for beginning of value"),
            ("{a}", "invalid character 'a' looking for beginning of object key string"),
            ("{\"a\":1,}", "invalid character '}' looking for beginning of object key string"),
            ("{\"a\"}", "invalid character '}' after object key"),
            ("{\"a\":1 \"b\"}", "invalid character '\"' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("\"\n\"", "invalid character '\\n' in string literal"),
            ("\"\\x\"", "invalid character 'x' in string escape code"),
            ("\"\\u12g4\"", "invalid character 'g' in \\u hexadecimal character escape"),
        ];
        for (text, expected) in cases {
            assert_eq!(check_object(text.as_bytes()).err().unwrap_or_default(), *expected, "{text:?}");
        }
        let list = |text: &str| check(text.as_bytes(), Wanted::Array, "[]core.Taint");
        assert_eq!(list("[]"), Ok(()));
        assert_eq!(list("{}").unwrap_err(), "json: cannot unmarshal object into Go value of type []core.Taint");
        assert_eq!(check_object(&[b'['; MAX_DEPTH]).unwrap_err(), END);
        assert_eq!(check_object(&[b'['; MAX_DEPTH + 1]).unwrap_err(), "exceeded max depth");
    }

    proptest! {
        #[test]
        fn accepts_what_serde_accepts(text in "[\\[\\]{}:,\" 0-9eE+.tnrulfasx\\\\-]{0,12}") {
            let expected = serde_json::from_str::<serde_json::Value>(&text);
            let result = check_object(text.as_bytes());
            match expected {
                Ok(value) => prop_assert_eq!(result.is_ok(), value.is_object() || value.is_null()),
                // The library reads numbers into floating point, and refuses those that do not fit.
                Err(error) => prop_assert!(result.is_err() || error.to_string().contains("out of range")),
            }
        }
    }
}
