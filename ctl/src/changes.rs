//! What has changed between two states of an object, as a strategic merge patch: only that is sent, so that nobody else's
//! change is undone. Lists whose elements have keys keep the order that they are to have.

use serde_json::{Map, Value, json};

/// Lists whose elements are told apart by a field, of those that verbs change.
const KEYED: &[(&str, &str)] =
    &[("containers", "name"), ("ephemeralContainers", "name"), ("initContainers", "name"), ("env", "name")];

/// The patch that turns `before` into `after`; nothing, if they are the same.
pub(crate) fn strategic(before: &Value, after: &Value) -> Option<Value> {
    let (before, after) = (before.as_object()?, after.as_object()?);
    let patch = fields(before, after);
    (!patch.is_empty()).then_some(Value::Object(patch))
}

fn fields(before: &Map<String, Value>, after: &Map<String, Value>) -> Map<String, Value> {
    let mut patch = Map::new();
    for (name, new) in after {
        match (before.get(name), new) {
            (Some(old), new) if old == new => {}
            (Some(Value::Object(old)), Value::Object(new)) => {
                patch.insert(name.clone(), Value::Object(fields(old, new)));
            }
            (Some(Value::Array(old)), Value::Array(new)) => {
                let key = KEYED.iter().find(|(list, _)| list == name).map(|(_, key)| *key);
                let elements = key.and_then(|key| Some((key, elements(key, old, new)?)));
                let elements = elements.map(|(key, elements)| {
                    let order = new.iter().map(|element| json!({key: element[key]})).collect();
                    patch.insert(format!("$setElementOrder/{name}"), Value::Array(order));
                    elements
                });
                patch.insert(name.clone(), Value::Array(elements.unwrap_or_else(|| new.clone())));
            }
            (_, new) => {
                patch.insert(name.clone(), new.clone());
            }
        }
    }
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    patch
}

/// The changes of a list by its key; `None` if an element has none.
fn elements(key: &str, before: &[Value], after: &[Value]) -> Option<Vec<Value>> {
    let named = |list: &[Value]| list.iter().map(|element| element[key].as_str().map(str::to_owned)).collect();
    let (old, new): (Option<Vec<String>>, Option<Vec<String>>) = (named(before), named(after));
    let (old, new) = (old?, new?);
    let mut patch = Vec::new();
    for (name, element) in new.iter().zip(after) {
        match old.iter().position(|other| other == name).map(|index| &before[index]) {
            None => patch.push(element.clone()),
            Some(known) if known == element => {}
            Some(known) => {
                let mut change = fields(known.as_object()?, element.as_object()?);
                change.insert(key.to_owned(), json!(name));
                patch.push(Value::Object(change));
            }
        }
    }
    for name in old.iter().filter(|name| !new.contains(name)) {
        patch.push(json!({"$patch": "delete", key: name}));
    }
    Some(patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_changed_is_in_a_patch() {
        let check = |before: Value, after: Value, expected: Option<Value>| {
            assert_eq!(strategic(&before, &after), expected, "{before} {after}");
        };
        check(json!({"a": {"b": 1}}), json!({"a": {"b": 1}}), None);
        check(json!({"a": {"b": 1, "c": 2}}), json!({"a": {"b": 1, "d": 3}}), Some(json!({"a": {"c": null, "d": 3}})));
        check(json!({"args": ["a"]}), json!({"args": ["b"]}), Some(json!({"args": ["b"]})));
        let before =
            json!({"containers": [{"name": "a", "image": "x", "env": [{"name": "E", "value": "1"}]}, {"name": "b"}]});
        let mut after = before.clone();
        after["containers"][0]["image"] = json!("y");
        let order = json!([{"name": "a"}, {"name": "b"}]);
        let changed = json!([{"name": "a", "image": "y"}]);
        check(before.clone(), after, Some(json!({"containers": changed, "$setElementOrder/containers": order})));
        let mut after = before.clone();
        after["containers"][0]["env"] = json!([{"name": "F", "value": "2"}]);
        let env = json!([{"name": "F", "value": "2"}, {"$patch": "delete", "name": "E"}]);
        let changed = json!([{"name": "a", "env": env, "$setElementOrder/env": [{"name": "F"}]}]);
        check(before, after, Some(json!({"containers": changed, "$setElementOrder/containers": order})));
    }
}
