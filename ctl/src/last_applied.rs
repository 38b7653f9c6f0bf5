//! What was applied before, which an annotation of the object itself remembers.

use serde_json::{Map, Value, json};

/// The annotation, which is kubectl's: whoever applied an object first, the other one can go on.
pub(crate) const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What the annotation says, if it is there.
pub(crate) fn of(object: &Value) -> Option<&str> {
    object["metadata"]["annotations"][ANNOTATION].as_str()
}

/// The object with an annotation that remembers it as it is now. What it remembered before is forgotten.
pub(crate) fn annotate(object: &mut Value) {
    for (parent, field) in [("", "metadata"), ("/metadata", "annotations")] {
        let Some(parent) = object.pointer_mut(parent) else { continue };
        if !parent[field].is_object() && parent.is_object() {
            parent[field] = json!({});
        }
    }
    if let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(ANNOTATION);
    }
    let text = go_json(object);
    if let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.insert(ANNOTATION.to_owned(), json!(text));
    }
}

/// JSON in one line, as Go's library writes it: scripts compare it.
pub(crate) fn go_json(value: &Value) -> String {
    with_escapes(&format!("{value}\n"))
}

/// JSON with the escapes of Go's library. The characters are in texts and nowhere else.
pub(crate) fn with_escapes(json: &str) -> String {
    let escapes =
        [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026"), ('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")];
    escapes.iter().fold(json.to_owned(), |text, (character, escape)| text.replace(*character, escape))
}

/// The fields of an object; none of what is none.
pub(crate) fn fields(object: &Value) -> Map<String, Value> {
    object.as_object().cloned().unwrap_or_default()
}

/// Leaves out fields that are null, at any depth.
pub(crate) fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_remember_themselves_without_what_they_remembered() {
        let check = |mut object: Value, expected: &str| {
            annotate(&mut object);
            assert_eq!(of(&object), Some(expected));
            let again = object.clone();
            annotate(&mut object);
            assert_eq!(object, again);
        };
        check(
            json!({"kind": "A", "x": "<&>"}),
            "{\"kind\":\"A\",\"metadata\":{\"annotations\":{}},\"x\":\"\\u003c\\u0026\\u003e\"}\n",
        );
        check(
            json!({"metadata": {"name": "a", "annotations": {"b": "c"}}}),
            "{\"metadata\":{\"annotations\":{\"b\":\"c\"},\"name\":\"a\"}}\n",
        );
    }
}
