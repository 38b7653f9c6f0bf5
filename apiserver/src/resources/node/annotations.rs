//! The two annotations that hold what has since become a field, or nothing: still validated when they are there.

use std::collections::BTreeMap;

use api::field::{Error, ErrorList, Path};
use k8s_openapi::api::core::v1::Taint;
use serde_json::{Map, Value};

use super::taints;
use crate::resources::go_json::{self, Wanted};

const TAINTS: &str = "scheduler.alpha.kubernetes.io/taints";
const AVOID_PODS: &str = "scheduler.alpha.kubernetes.io/preferAvoidPods";

/// What is wrong with the annotations at `path` of a node.
pub(super) fn validate(annotations: Option<&BTreeMap<String, String>>, path: &Path) -> ErrorList {
    let get = |key: &str| annotations.and_then(|all| all.get(key)).filter(|text| !text.is_empty());
    let mut errors = ErrorList::new();
    match get(TAINTS).map(|text| read_taints(text)).transpose() {
        Ok(taints) => errors.extend(taints::validate(&taints.unwrap_or_default(), &path.child(TAINTS))),
        Err(message) => errors.push(Error::invalid(path, TAINTS, message)),
    }
    match get(AVOID_PODS).map(|text| read_avoided(text)).transpose() {
        Ok(avoided) => {
            let path = path.child(AVOID_PODS);
            let entries = avoided.iter().flatten().enumerate();
            errors.extend(entries.flat_map(|(i, avoided)| avoided.validate(&path.index(i))));
        }
        Err(message) => errors.push(Error::invalid(&path.child("AvoidPods"), AVOID_PODS, message)),
    }
    errors
}

/// Which controller's pods are to be avoided.
enum Avoided {
    /// None is named.
    Nothing,
    /// The owner, and whether it is marked as the controller.
    Owner { is_controller: bool },
}

impl Avoided {
    fn validate(&self, path: &Path) -> ErrorList {
        let path = path.child("PodSignature");
        match self {
            Avoided::Owner { is_controller: true } => ErrorList::new(),
            Avoided::Owner { is_controller: false } => {
                let path = path.child("PodController").child("Controller");
                Error::invalid(&path, false, "must point to a controller").into()
            }
            Avoided::Nothing => Error::required(&path, "").into(),
        }
    }
}

fn read_taints(text: &str) -> Result<Vec<Taint>, String> {
    go_json::check(text.as_bytes(), Wanted::Array, "[]core.Taint")?;
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let Value::Array(items) = value else { return Ok(Vec::new()) };
    let read = |item: &Value| {
        let text = |name: &str| match member(item, name) {
            None | Some(Value::Null) => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => {
                let found = go_kind(other);
                Err(format!("json: cannot unmarshal {found} into Go struct field Taint.{name} of type string"))
            }
        };
        match item {
            Value::Object(_) | Value::Null => {}
            other => {
                return Err(format!("json: cannot unmarshal {} into Go value of type core.Taint", go_kind(other)));
            }
        }
        Ok(Taint { key: text("Key")?, value: Some(text("Value")?), effect: text("Effect")?, time_added: None })
    };
    items.iter().map(read).collect()
}

fn read_avoided(text: &str) -> Result<Vec<Avoided>, String> {
    go_json::check(text.as_bytes(), Wanted::Object, "v1.AvoidPods")?;
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let entries = match member(&value, "preferAvoidPods") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(entries)) => entries,
        Some(other) => {
            let field = "AvoidPods.preferAvoidPods of type []v1.PreferAvoidPodsEntry";
            return Err(format!("json: cannot unmarshal {} into Go struct field {field}", go_kind(other)));
        }
    };
    let read = |entry: &Value| {
        let owner = member(entry, "podSignature").and_then(|signature| member(signature, "podController"));
        match owner.filter(|owner| !owner.is_null()) {
            None => Avoided::Nothing,
            Some(owner) => {
                Avoided::Owner { is_controller: member(owner, "controller").and_then(Value::as_bool) == Some(true) }
            }
        }
    };
    Ok(entries.iter().map(read).collect())
}

/// The member of an object whose name is `name` in any case, as Go looks for it; an exact match first.
fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let members: &Map<String, Value> = value.as_object()?;
    let any_case = || members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    members.get(name).or_else(any_case)
}

fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
