//! Strategic merge patches as kustomize applies them, which is not as the API server does: elements that a patch names come
//! first, in the patch's order, `retainKeys` and lists of removals mean nothing, and lists of kinds that are not known are
//! replaced.

use api::schema::{Element, Rules, Schema, Shape};
use serde_json::{Map, Value};

use crate::Error;
use crate::id::Gvk;
use crate::yaml::{is_blank, is_null};

const DIRECTIVE: &str = "$patch";

/// Lists that merge in the published API, and were not there in that of kustomize's schema: there they are replaced.
const NEWER: [&str; 3] = ["matchConditions", "resourceClaims", "schedulingGates"];

/// What is known of a value.
#[derive(Clone, Copy)]
enum Of {
    Shape(Shape),
    Unknown,
}

impl Of {
    fn field(self, name: &str) -> (Of, &'static Rules) {
        match self {
            Of::Shape(Shape::Object(of)) => match of.field(name).filter(|_| !NEWER.contains(&name)) {
                Some(field) => (Of::Shape(field.shape()), field.rules()),
                None => (Of::Unknown, &Rules::NONE),
            },
            Of::Shape(Shape::Map(element)) => (Of::element(element), &Rules::NONE),
            _ => (Of::Unknown, &Rules::NONE),
        }
    }

    fn element(element: Element) -> Of {
        Of::Shape(element.shape())
    }

    fn elements(self) -> Of {
        match self {
            Of::Shape(Shape::Array(element)) => Of::element(element),
            _ => Of::Unknown,
        }
    }
}

/// What a patch says of a whole map.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Directive {
    Merge,
    Replace,
    Delete,
}

/// Applies a patch to an object; null if it deletes it.
pub(crate) fn merge(object: &Value, patch: &Value) -> Result<Value, Error> {
    let gvk = Gvk::of(object);
    let of = Schema::of(&gvk.group, &gvk.version, &gvk.kind).map_or(Of::Unknown, |of| Of::Shape(Shape::Object(of)));
    Ok(value(Some(object), Some(patch), of, &Rules::NONE)?.unwrap_or(Value::Null))
}

/// What becomes of a value; none if it goes.
fn value(old: Option<&Value>, new: Option<&Value>, of: Of, rules: &'static Rules) -> Result<Option<Value>, Error> {
    let there = |value: Option<&Value>| value.is_some_and(|value| !is_null(value));
    let kind = if there(old) { old } else { new.filter(|new| !is_null(new)) };
    match (kind, old, new) {
        // A null that somebody wrote stays where the patch says nothing.
        (None, Some(old), None) => Ok((!is_blank(old)).then(|| old.clone())),
        (None, _, _) => Ok(None),
        (Some(_), _, Some(new)) if is_null(new) => Ok(None),
        (Some(Value::Object(_)), old, new) => {
            let (old, new) = (map(old)?, map(new)?);
            Ok(fields(old, new, of)?.map(Value::Object))
        }
        (Some(Value::Array(_)), old, new) => {
            let (old, new) = (list(old)?, list(new)?);
            if !rules.patch_merge {
                return Ok(new.or(old).map(|elements| Value::Array(elements.clone())));
            }
            Ok(elements(old, new, of.elements(), rules)?.map(Value::Array))
        }
        (Some(_), old, new) => {
            let mut both = [old, new].into_iter().flatten();
            match both.find(|value| value.is_object() || value.is_array()) {
                Some(other) => Err(wrong("ScalarNode", other)),
                None => Ok(new.or(old).cloned()),
            }
        }
    }
}

fn map(value: Option<&Value>) -> Result<Option<&Map<String, Value>>, Error> {
    match value {
        Some(Value::Object(fields)) => Ok(Some(fields)),
        Some(other) if !is_null(other) => Err(wrong("MappingNode", other)),
        _ => Ok(None),
    }
}

fn list(value: Option<&Value>) -> Result<Option<&Vec<Value>>, Error> {
    match value {
        Some(Value::Array(elements)) => Ok(Some(elements)),
        Some(other) if !is_null(other) => Err(wrong("SequenceNode", other)),
        _ => Ok(None),
    }
}

fn wrong(expected: &str, found: &Value) -> Error {
    let kind = match found {
        Value::Object(_) => "MappingNode",
        Value::Array(_) => "SequenceNode",
        _ => "ScalarNode",
    };
    Error::said(format!("wrong node kind: expected {expected} but got {kind}: node contents: {found}"))
}

fn directive(patch: &Map<String, Value>) -> Result<Directive, Error> {
    match patch.get(DIRECTIVE) {
        None => Ok(Directive::Merge),
        Some(Value::String(word)) if word == "merge" => Ok(Directive::Merge),
        Some(Value::String(word)) if word == "replace" => Ok(Directive::Replace),
        Some(Value::String(word)) if word == "delete" => Ok(Directive::Delete),
        Some(other) => Err(Error::said(format!("unknown patch strategy {other}"))),
    }
}

fn fields(
    old: Option<&Map<String, Value>>,
    new: Option<&Map<String, Value>>,
    of: Of,
) -> Result<Option<Map<String, Value>>, Error> {
    let mut old = old;
    if let Some(new) = new {
        match directive(new)? {
            Directive::Delete => return Ok(None),
            Directive::Replace => old = None,
            Directive::Merge => {}
        }
    }
    let mut merged = Map::new();
    let names = [old, new].into_iter().flatten().flat_map(Map::keys);
    for name in names {
        if merged.contains_key(name) || (name == DIRECTIVE && new.is_some_and(|new| new.contains_key(name))) {
            continue;
        }
        let (inner, rules) = of.field(name);
        let (left, right) = (old.and_then(|old| old.get(name)), new.and_then(|new| new.get(name)));
        if let Some(value) = value(left, right, inner, rules)? {
            merged.insert(name.clone(), value);
        }
    }
    Ok(Some(merged))
}

/// A list whose elements merge.
fn elements(
    old: Option<&Vec<Value>>,
    new: Option<&Vec<Value>>,
    of: Of,
    rules: &'static Rules,
) -> Result<Option<Vec<Value>>, Error> {
    let (mut old, mut new) = (old.map_or(&[][..], Vec::as_slice).to_vec(), new.map(|new| new.to_vec()));
    if let Some(new) = &mut new {
        // An element that is nothing but a directive is one for the whole list.
        let alone = |element: &Value| element.as_object().filter(|fields| fields.len() == 1).map(directive);
        let at = new.iter().position(|element| {
            element.get(DIRECTIVE).is_some() && alone(element).is_some_and(|directive| directive.is_ok())
        });
        if let Some(at) = at {
            match alone(&new.remove(at)).transpose()? {
                Some(Directive::Delete) => return Ok(None),
                Some(Directive::Replace) => old.clear(),
                _ => {}
            }
        }
    }
    let new = new.unwrap_or_default();
    let own = rules.patch_merge_key.as_slice();
    let keys = if rules.list_map_keys.is_empty() { own } else { rules.list_map_keys };
    if keys.is_empty() {
        let mut united: Vec<Value> = Vec::new();
        for element in new.into_iter().chain(old) {
            if !united.contains(&element) {
                united.push(element);
            }
        }
        return Ok(Some(united));
    }
    let has = |key: &&&str| new.iter().chain(&old).any(|element| element.get(**key).is_some());
    let known: Vec<&str> = keys.iter().filter(has).copied().collect();
    let keyed = Keyed { keys: if known.is_empty() { keys.to_vec() } else { known }, of };
    if keyed.keys.len() > 1 { keyed.in_old_order(&old, &new) } else { keyed.in_new_order(&old, &new) }.map(Some)
}

/// Elements that are told apart by keys.
struct Keyed<'k> {
    keys: Vec<&'k str>,
    of: Of,
}

impl Keyed<'_> {
    fn key(&self, element: &Value) -> Vec<Option<String>> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.keys.iter().map(|key| element.get(*key).map(text)).collect()
    }

    fn one(&self, old: Option<&Value>, new: Option<&Value>) -> Result<Option<Value>, Error> {
        let merged = value(old, new, self.of, &Rules::NONE)?;
        Ok(merged.filter(|merged| !merged.as_object().is_some_and(Map::is_empty)))
    }

    /// With one key: those that the patch names first, in its order.
    fn in_new_order(&self, old: &[Value], new: &[Value]) -> Result<Vec<Value>, Error> {
        let mut done: Vec<Vec<Option<String>>> = Vec::new();
        let mut merged = Vec::new();
        for element in new.iter().chain(old) {
            let key = self.key(element);
            if key.iter().any(Option::is_none) {
                merged.extend(self.one(None, Some(element))?);
                continue;
            }
            if done.contains(&key) {
                continue;
            }
            let same = |element: &&Value| self.key(element) == key;
            merged.extend(self.one(old.iter().find(same), new.iter().find(same))?);
            done.push(key);
        }
        Ok(merged)
    }

    /// With several keys: new ones first, and then the old ones in their order. An element that lacks a key which an old one
    /// has, or the other way round, and is the same otherwise, is lost.
    fn in_old_order(&self, old: &[Value], new: &[Value]) -> Result<Vec<Value>, Error> {
        let could_be = |left: &[Option<String>], right: &[Option<String>]| {
            left.iter().zip(right).all(|(left, right)| left.is_none() || right.is_none() || left == right)
        };
        let mut merged = Vec::new();
        for element in new {
            let key = self.key(element);
            if !old.iter().any(|other| could_be(&key, &self.key(other))) {
                merged.extend(self.one(None, Some(element))?);
            }
        }
        for element in old {
            let key = self.key(element);
            let same = new.iter().find(|other| self.key(other) == key);
            merged.extend(self.one(Some(element), same)?);
        }
        Ok(merged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ports(of: &[(u64, &str, &str)]) -> Value {
        let port = |(number, protocol, name): &(u64, &str, &str)| {
            let mut port = json!({"containerPort": number});
            for (field, value) in [("protocol", protocol), ("name", name)] {
                if !value.is_empty() {
                    port[field] = json!(value);
                }
            }
            port
        };
        let ports: Vec<Value> = of.iter().map(port).collect();
        json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "c", "ports": ports}]}})
    }

    #[test]
    fn ports_merge_by_the_keys_that_they_have() {
        type Ports<'p> = &'p [(u64, &'p str, &'p str)];
        let check = |old: Ports<'_>, new: Ports<'_>, expected: Ports<'_>| {
            assert_eq!(merge(&ports(old), &ports(new)).unwrap(), ports(expected), "{old:?} {new:?}");
        };
        let (t, u) = ("TCP", "UDP");
        check(&[(80, "", "")], &[(443, "", "")], &[(443, "", ""), (80, "", "")]);
        check(
            &[(80, "", "a"), (90, "", "b")],
            &[(90, "", "x"), (70, "", "")],
            &[(90, "", "x"), (70, "", ""), (80, "", "a")],
        );
        check(&[(80, t, "a"), (90, t, "b")], &[(90, t, "x"), (70, t, "")], &[(70, t, ""), (80, t, "a"), (90, t, "x")]);
        check(
            &[(80, t, "a"), (90, t, "b")],
            &[(90, "", "x"), (70, "", "")],
            &[(70, "", ""), (80, t, "a"), (90, t, "b")],
        );
        check(
            &[(80, "", "a"), (90, "", "b")],
            &[(90, t, "x"), (70, t, "")],
            &[(70, t, ""), (80, "", "a"), (90, "", "b")],
        );
        check(&[(80, t, "a")], &[(80, u, "x")], &[(80, u, "x"), (80, t, "a")]);
        check(&[(80, t, "a"), (90, "", "b")], &[(90, "", "x")], &[(80, t, "a"), (90, "", "x")]);
    }

    #[test]
    fn directives_stand_for_what_they_are_in() {
        let check = |old: Value, new: Value, expected: Value| {
            let with = |spec: Value| json!({"apiVersion": "v1", "kind": "Pod", "spec": spec});
            assert_eq!(merge(&with(old), &with(new)).unwrap(), with(expected));
        };
        check(
            json!({"volumes": [{"name": "a"}, {"name": "b"}]}),
            json!({"volumes": [{"name": "a", "$patch": "delete"}]}),
            json!({"volumes": [{"name": "b"}]}),
        );
        check(
            json!({"volumes": [{"name": "a"}]}),
            json!({"volumes": [{"$patch": "replace"}, {"name": "b"}]}),
            json!({"volumes": [{"name": "b"}]}),
        );
        check(
            json!({"nodeSelector": {"a": "b"}}),
            json!({"nodeSelector": {"$patch": "replace", "c": "d"}}),
            json!({"nodeSelector": {"c": "d"}}),
        );
        check(
            json!({"hostname": "a", "x": {"y": 1}}),
            json!({"hostname": null, "x": {"z": null}}),
            json!({"x": {"y": 1}}),
        );
        let gone = merge(&json!({"kind": "X", "a": 1}), &json!({"$patch": "delete"})).unwrap();
        assert_eq!(gone, Value::Null);
    }
}
