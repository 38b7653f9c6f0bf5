//! KYAML: YAML that is written with braces and quotes, so that nothing in it depends on blanks, and no text is taken for something
//! else. Keys have quotes only where they need them; texts always have.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// An object as a document, which begins with a separator.
pub(super) fn document(value: &Value) -> String {
    let mut text = String::from("---\n");
    node(value, 0, &mut text);
    text.push('\n');
    text
}

fn indent(level: usize, text: &mut String) {
    text.extend(std::iter::repeat_n("  ", level));
}

fn node(value: &Value, level: usize, text: &mut String) {
    match value {
        Value::String(content) => string(content, level + 1, true, text),
        Value::Object(fields) => mapping(fields, level, text),
        Value::Array(elements) => sequence(elements, level, text),
        other => text.push_str(&other.to_string()),
    }
}

fn mapping(fields: &Map<String, Value>, level: usize, text: &mut String) {
    if fields.is_empty() {
        return text.push_str("{}");
    }
    text.push_str("{\n");
    for (key, value) in fields {
        indent(level + 1, text);
        if needs_quotes(key) {
            string(key, level + 2, false, text);
        } else {
            text.push_str(key);
        }
        text.push_str(": ");
        node(value, level + 1, text);
        text.push_str(",\n");
    }
    indent(level, text);
    text.push('}');
}

fn sequence(elements: &[Value], level: usize, text: &mut String) {
    // Brackets of a list stand beside those in it, if all that is in it has some.
    if elements.iter().all(|element| element.is_object() || element.is_array()) {
        text.push('[');
        for (index, element) in elements.iter().enumerate() {
            if index > 0 {
                text.push_str(", ");
            }
            node(element, level, text);
        }
        return text.push(']');
    }
    text.push_str("[\n");
    for element in elements {
        indent(level + 1, text);
        node(element, level + 1, text);
        text.push_str(",\n");
    }
    indent(level, text);
    text.push(']');
}

/// A text between quotes. One of several lines is folded, unless it is a key.
fn string(content: &str, level: usize, folds: bool, text: &mut String) {
    let folds = folds && content.contains('\n');
    text.push('"');
    if folds {
        text.push_str("\\\n");
    }
    let mut begins_line = folds;
    for character in content.chars() {
        if begins_line {
            indent(level, text);
            // Blanks at the beginning of a line count only behind a backslash; the others stand below it.
            let is_blank = character.is_whitespace() && character != '\n';
            text.push(if is_blank { '\\' } else { ' ' });
        }
        escaped(character, text);
        begins_line = folds && character == '\n';
        if begins_line {
            text.push_str("\\\n");
        }
    }
    if folds {
        if !begins_line {
            text.push_str("\\\n");
        }
        indent(level, text);
    }
    text.push('"');
}

fn escaped(character: char, text: &mut String) {
    let number = u32::from(character);
    // Writing to a text cannot fail.
    let _ = match character {
        '"' | '\\' => write!(text, "\\{character}"),
        '\u{7}' => text.write_str("\\a"),
        '\u{8}' => text.write_str("\\b"),
        '\u{c}' => text.write_str("\\f"),
        '\n' => text.write_str("\\n"),
        '\r' => text.write_str("\\r"),
        // As kubectl's library leaves it.
        '\t' => text.write_char('\t'),
        '\u{b}' => text.write_str("\\v"),
        '\0' => text.write_str("\\0"),
        '\u{1b}' => text.write_str("\\e"),
        '\u{85}' => text.write_str("\\N"),
        '\u{a0}' => text.write_str("\\_"),
        '\u{2028}' => text.write_str("\\L"),
        '\u{2029}' => text.write_str("\\P"),
        _ if crate::template::is_printable(character) => text.write_char(character),
        _ if number < 0x20 || number == 0x7f => write!(text, "\\x{number:02x}"),
        _ if number < 0x1_0000 => write!(text, "\\u{number:04x}"),
        _ => write!(text, "\\U{number:08x}"),
    };
}

/// Whether a key would be read as something else without quotes, or not at all.
fn needs_quotes(key: &str) -> bool {
    let count = key.chars().count();
    let is_plain = |(index, character): (usize, char)| {
        let is_inside = index > 0 && index + 1 < count;
        character.is_alphanumeric() || character == '_' || (is_inside && matches!(character, '-' | '.' | '/'))
    };
    let lower = key.to_lowercase();
    let is_word = ["t", "f", "infinity", "inf", "nan"].contains(&lower.as_str());
    key.is_empty() || is_word || super::yaml::is_other_type(&lower) || !key.chars().enumerate().all(is_plain)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_are_as_kubectl_writes_them() {
        let object = json!({
            "a": [], "b": {}, "c": [1, "x", null, true], "d": [{"e": 1}, {"e": 1.5}], "g": [[1], []],
            "text": "a\n b\n\nc \"q\"\n", "open": "a\n\tb",
        });
        let expected = "---\n{\n  a: [],\n  b: {},\n  c: [\n    1,\n    \"x\",\n    null,\n    true,\n  ],\n  d: [{\n    e: 1,\n  }, \
                        {\n    e: 1.5,\n  }],\n  g: [[\n    1,\n  ], []],\n  open: \"\\\n     a\\n\\\n    \\\tb\\\n    \",\n  text: \
                        \"\\\n     a\\n\\\n    \\ b\\n\\\n     \\n\\\n     c \\\"q\\\"\\n\\\n    \",\n}\n";
        assert_eq!(document(&object), expected);
        assert_eq!(document(&json!("a\u{1}\u{2028}é☃\u{feff}")), "---\n\"a\\x01\\Lé☃\\ufeff\"\n");
    }

    #[test]
    fn keys_have_quotes_where_they_need_them() {
        for plain in ["a", "_a", "a.c-d", "a/b", "é", "v1", "nope"] {
            assert!(!needs_quotes(plain), "{plain}");
        }
        for quoted in
            ["", "-a", "abc.", "a b", "y", "No", "TRUE", "null", "1", "1.5", "1e3", "0x1f", "2020-01-01", "a:b", "a\nb"]
        {
            assert!(needs_quotes(quoted), "{quoted}");
        }
    }
}
