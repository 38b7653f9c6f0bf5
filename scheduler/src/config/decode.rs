//! Reads a configuration strictly: a field that does not exist is an error that names it.
//!
//! What was understood is written again, and whatever was there that is not there now has not been understood.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::arguments::Arguments;
use super::types::Configuration;

const API_VERSION: &str = "kubescheduler.config.k8s.io/v1";
const KIND: &str = "KubeSchedulerConfiguration";
const GROUP: &str = "kubescheduler.config.k8s.io";

/// Reads a configuration, with the arguments of plugins, which are not completed.
pub(super) fn decode(text: &str) -> Result<Configuration, String> {
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    let mut value: Value = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| format!("error converting YAML to JSON: {error}"))?;
    strip_nulls(&mut value);
    let Value::Object(mut fields) = value else { return Err("Object 'Kind' is missing".to_owned()) };
    check_type(&mut fields)?;
    let value = Value::Object(fields);
    let mut configuration: Configuration = read(&value, "", serde_json::from_value)?;
    let mut faults = unknown_fields(&value, &configuration);
    for (i, profile) in configuration.profiles.iter_mut().enumerate() {
        for (j, config) in profile.plugin_config.iter_mut().enumerate() {
            let place = format!("decoding .profiles[{i}].pluginConfig[{j}]");
            let value = match std::mem::take(&mut config.args) {
                Arguments::Other(value) => value,
                read => serde_json::to_value(read).unwrap_or_default(),
            };
            let (args, unknown) = arguments(&config.name, value).map_err(|error| format!("{place}: {error}"))?;
            config.args = args;
            if !unknown.is_empty() {
                let nested = format!("decoding args for plugin {}: {}", config.name, strict(&unknown));
                faults.push(format!("{place}: {}", strict(&[nested])));
            }
        }
    }
    if faults.is_empty() { Ok(configuration) } else { Err(strict(&faults)) }
}

/// The configuration that says nothing.
pub(super) fn nothing() -> Configuration {
    serde_json::from_value(Value::Object(Map::new())).expect("every field may be missing")
}

/// Takes away what says of what type the object is.
fn check_type(fields: &mut Map<String, Value>) -> Result<(), String> {
    let mut text = |field| match fields.remove(field) {
        Some(Value::String(text)) if !text.is_empty() => Some(text),
        _ => None,
    };
    let kind = text("kind").ok_or("Object 'Kind' is missing")?;
    let version = text("apiVersion").ok_or("Object 'apiVersion' is missing")?;
    if version != API_VERSION || kind != KIND {
        return Err(format!("no kind {kind:?} is registered for version {version:?}"));
    }
    Ok(())
}

/// Reads the arguments of a plugin. Also gives the names of fields that do not exist.
fn arguments(plugin: &str, value: Value) -> Result<(Arguments, Vec<String>), String> {
    if Arguments::read(plugin, Value::Object(Map::new())).is_none() {
        return Ok((Arguments::Other(value), Vec::new()));
    }
    let mut value = if value.is_null() { Value::Object(Map::new()) } else { value };
    if let Value::Object(fields) = &mut value {
        let kind = fields.remove("kind").and_then(|kind| kind.as_str().map(str::to_owned));
        let version = fields.remove("apiVersion").and_then(|version| version.as_str().map(str::to_owned));
        let group = version.as_deref().map_or(GROUP, |version| version.split_once('/').map_or("", |(group, _)| group));
        let expected = format!("{plugin}Args");
        let kind = kind.as_deref().unwrap_or(&expected);
        if kind != expected || group != GROUP {
            return Err(format!("args for plugin {plugin} were not of type {expected}.{GROUP}, got {kind}.{group}"));
        }
    }
    let arguments = read(&value, &format!("decoding args for plugin {plugin}: "), |value| {
        Arguments::read(plugin, value).unwrap_or_else(|| Ok(Arguments::default()))
    })?;
    let unknown = unknown_fields(&value, &arguments);
    Ok((arguments, unknown))
}

/// Reads a value; if that fails, says which field is to blame.
fn read<T>(value: &Value, what: &str, decode: impl Fn(Value) -> Result<T, serde_json::Error>) -> Result<T, String> {
    decode(value.clone()).map_err(|error| {
        let succeeds = |value: &Value| decode(value.clone()).is_ok();
        match culprit(value, &succeeds) {
            Some(path) => format!("{what}{path}: {error}"),
            None => format!("{what}{error}"),
        }
    })
}

/// How many fields or elements of one value are tried to find the one to blame.
const MOST_SUSPECTS: usize = 1_000;

/// The path of the only value without which the whole could be read: as deep in it as possible.
fn culprit(value: &Value, succeeds: &dyn Fn(&Value) -> bool) -> Option<String> {
    match value {
        Value::Object(fields) => {
            let without = |name: &String| {
                let mut others = fields.clone();
                others.remove(name);
                Value::Object(others)
            };
            let (name, part) = fields.iter().take(MOST_SUSPECTS).find(|(name, _)| succeeds(&without(name)))?;
            let within = |replacement: &Value| {
                let mut fields = fields.clone();
                fields.insert(name.clone(), replacement.clone());
                succeeds(&Value::Object(fields))
            };
            Some(join(name, culprit(part, &within)))
        }
        Value::Array(elements) => {
            let without = |index: usize| {
                let mut others = elements.clone();
                others.remove(index);
                Value::Array(others)
            };
            let index = (0..elements.len().min(MOST_SUSPECTS)).find(|index| succeeds(&without(*index)))?;
            let within = |replacement: &Value| {
                let mut elements = elements.clone();
                elements[index] = replacement.clone();
                succeeds(&Value::Array(elements))
            };
            Some(join(&format!("[{index}]"), culprit(&elements[index], &within)))
        }
        _ => None,
    }
}

fn join(step: &str, deeper: Option<String>) -> String {
    match deeper {
        Some(deeper) if deeper.starts_with('[') => format!("{step}{deeper}"),
        Some(deeper) => format!("{step}.{deeper}"),
        None => step.to_owned(),
    }
}

fn strict(faults: &[String]) -> String {
    format!("strict decoding error: {}", faults.join(", "))
}

/// What `read` says of fields that were in `value` and have not been read.
fn unknown_fields<T: Serialize + DeserializeOwned>(value: &Value, read: &T) -> Vec<String> {
    let mut faults = Vec::new();
    compare(value, &serde_json::to_value(read).unwrap_or_default(), "", &mut faults);
    faults
}

fn compare(value: &Value, read: &Value, path: &str, faults: &mut Vec<String>) {
    match (value, read) {
        (Value::Object(fields), Value::Object(known)) => {
            for (name, field) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match known.get(name) {
                    Some(known) => compare(field, known, &path, faults),
                    None => faults.push(format!("unknown field {path:?}")),
                }
            }
        }
        (Value::Array(elements), Value::Array(known)) => {
            for (i, (element, known)) in elements.iter().zip(known).enumerate() {
                compare(element, known, &format!("{path}[{i}]"), faults);
            }
        }
        _ => {}
    }
}

/// What is null has not been said.
fn strip_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(strip_nulls);
        }
        Value::Array(elements) => elements.iter_mut().for_each(strip_nulls),
        _ => {}
    }
}
