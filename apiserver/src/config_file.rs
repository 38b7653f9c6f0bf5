//! Files that tell a server how to be, in YAML or JSON, in which null is as good as nothing.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::engine::yaml_to_json;

/// What a file says. The error does not name the file.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    parse(&std::fs::read(path).map_err(|error| error.to_string())?)
}

/// What the text of a file says.
pub(crate) fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    decode(serde_json::from_slice(&yaml_to_json(text)?).map_err(|error| error.to_string())?)
}

/// What a part of a file says.
pub(crate) fn decode<T: DeserializeOwned>(mut value: Value) -> Result<T, String> {
    remove_nulls(&mut value);
    serde_json::from_value(value).map_err(|error| error.to_string())
}

fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(remove_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_nulls),
        _ => {}
    }
}
