//! JSON values as Go's `fmt` prints them with `%v`, because upstream's messages contain them so.

use std::fmt::Write as _;

use serde_json::{Map, Number, Value};

/// The value as `%v` prints it: `map[a:1 b:[x y]]`, keys sorted, strings bare.
pub(crate) fn value(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

/// The object as `%v` prints it.
pub(crate) fn object(map: &Map<String, Value>) -> String {
    let mut out = String::new();
    write_object(&mut out, map);
    out
}

/// The list as `%v` prints it.
pub(crate) fn list(items: &[Value]) -> String {
    let mut out = String::new();
    write_list(&mut out, items);
    out
}

/// The value as `%s` prints it where Go expects a string.
pub(crate) fn string(found: &Value) -> String {
    match found {
        Value::String(text) => text.clone(),
        Value::Null => "%!s(<nil>)".to_owned(),
        Value::Bool(_) | Value::Number(_) => format!("%!s({}={})", type_name(found), value(found)),
        Value::Array(_) | Value::Object(_) => value(found),
    }
}

/// The Go type that holds the value once decoded.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "%!s(<nil>)",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("<nil>"),
        Value::Bool(yes) => {
            let _ = write!(out, "{yes}");
        }
        Value::Number(number) => write_number(out, number),
        Value::String(text) => out.push_str(text),
        Value::Array(items) => write_list(out, items),
        Value::Object(map) => write_object(out, map),
    }
}

fn write_object(out: &mut String, map: &Map<String, Value>) {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    out.push_str("map[");
    for (at, (key, value)) in entries.into_iter().enumerate() {
        if at > 0 {
            out.push(' ');
        }
        out.push_str(key);
        out.push(':');
        write_value(out, value);
    }
    out.push(']');
}

fn write_list(out: &mut String, items: &[Value]) {
    out.push('[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(' ');
        }
        write_value(out, item);
    }
    out.push(']');
}

/// `%v` of a float is the shortest form that reads back, with an exponent from 1e21 up and below 1e-4.
fn write_number(out: &mut String, number: &Number) {
    let Some(float) = number.as_f64().filter(|_| number.is_f64()) else {
        let _ = write!(out, "{number}");
        return;
    };
    let scientific = format!("{float:e}");
    let exponent: i32 = scientific.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
    if float != 0.0 && !(-4..21).contains(&exponent) {
        let mantissa = scientific.split_once('e').map_or("", |(mantissa, _)| mantissa);
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "{mantissa}e{sign}{:02}", exponent.abs());
    } else {
        let _ = write!(out, "{float}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn prints_as_go_does() {
        for (input, expected) in [
            (json!({"b": [1, "x", null], "a": true}), "map[a:true b:[1 x <nil>]]"),
            (json!({}), "map[]"),
            (json!([]), "[]"),
            (json!(1.5), "1.5"),
            (json!(2.0), "2"),
            (json!(1e21), "1e+21"),
            (json!(1e20), "100000000000000000000"),
            (json!(0.00001), "1e-05"),
            (json!(0.0001), "0.0001"),
            (json!(-7), "-7"),
        ] {
            assert_eq!(value(&input), expected);
        }
    }

    #[test]
    fn prints_what_is_not_a_string_with_its_type() {
        assert_eq!(string(&json!("x")), "x");
        assert_eq!(string(&json!(1)), "%!s(int64=1)");
        assert_eq!(string(&json!(null)), "%!s(<nil>)");
    }
}
