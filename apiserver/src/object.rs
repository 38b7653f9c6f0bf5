//! An object in the hands of the engine, whatever its kind: a generated struct, or JSON whose kind is known only at run
//! time.

use std::any::Any;
use std::io::{self, Write};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::ser::{Formatter, Serializer};
use serde_json::{Map, Value};

use crate::strategy::Typed;

/// What the engine needs of every object.
pub trait Object: Send + Sync + 'static {
    /// Its metadata.
    fn meta(&self) -> &ObjectMeta;

    /// Its metadata, to change.
    fn meta_mut(&mut self) -> &mut ObjectMeta;

    /// Its JSON, beginning with `kind` and `apiVersion` as upstream's does.
    fn to_json(&self) -> Result<Vec<u8>, serde_json::Error>;

    /// A copy.
    fn copy(&self) -> Box<dyn Object>;

    /// For the strategy of its kind, which knows the type.
    fn as_any(&self) -> &dyn Any;

    /// For the strategy of its kind, which knows the type.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

impl<T: Typed> Object for T {
    fn meta(&self) -> &ObjectMeta {
        self.metadata()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.metadata_mut()
    }

    fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        // The generated structs put apiVersion first.
        let generated = type_prefix("apiVersion", T::API_VERSION, "kind", T::KIND);
        let mut body = Vec::with_capacity(1024);
        self.serialize(&mut Serializer::with_formatter(&mut body, GoNumbers))?;
        match body.strip_prefix(generated.as_bytes()) {
            Some(rest) => Ok([type_prefix("kind", T::KIND, "apiVersion", T::API_VERSION).as_bytes(), rest].concat()),
            None => Ok(body),
        }
    }

    fn copy(&self) -> Box<dyn Object> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// Writes floating point as Go does: whole numbers without a fraction, so that clients read integers where they wrote them.
struct GoNumbers;

impl Formatter for GoNumbers {
    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let size = value.abs();
        if size > 0.0 && !(1e-6..1e21).contains(&size) {
            let text = format!("{value:e}");
            let signed = if text.contains("e-") { text } else { text.replace('e', "e+") };
            return writer.write_all(signed.as_bytes());
        }
        write!(writer, "{value}")
    }
}

/// The opening of an object's JSON.
fn type_prefix(first: &str, first_value: &str, second: &str, second_value: &str) -> String {
    format!(r#"{{"{first}":"{first_value}","{second}":"{second_value}""#)
}

/// JSON of an object, beginning with `kind` and `apiVersion` whatever their place in `value`.
pub(crate) fn ordered_json(value: &Value) -> Result<Vec<u8>, serde_json::Error> {
    let Value::Object(fields) = value else { return serde_json::to_vec(value) };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut json = type_prefix("kind", text("kind"), "apiVersion", text("apiVersion")).into_bytes();
    for (name, value) in fields.iter().filter(|(name, _)| *name != "kind" && *name != "apiVersion") {
        json.push(b',');
        serde_json::to_writer(&mut json, name)?;
        json.push(b':');
        serde_json::to_writer(&mut json, value)?;
    }
    json.push(b'}');
    Ok(json)
}

/// An object of a kind that is known only at run time.
#[derive(Clone, Debug, PartialEq)]
pub struct Dynamic {
    /// Such as `example.com/v1`.
    pub api_version: String,
    /// Such as `Widget`.
    pub kind: String,
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// Every other field at the top level.
    pub fields: Map<String, Value>,
}

impl Dynamic {
    /// Takes an object apart. The error says what is missing or of a wrong type.
    pub fn from_json(value: Value) -> Result<Dynamic, String> {
        let Value::Object(mut fields) = value else { return Err("an object must be a JSON object".to_owned()) };
        let mut text = |name: &str| match fields.remove(name) {
            Some(Value::String(text)) => Ok(text),
            _ => Err(format!("{name} must be a string")),
        };
        let (api_version, kind) = (text("apiVersion")?, text("kind")?);
        let metadata = match fields.remove("metadata") {
            None | Some(Value::Null) => ObjectMeta::default(),
            Some(metadata) => serde_json::from_value(metadata).map_err(|error| format!("metadata: {error}"))?,
        };
        Ok(Dynamic { api_version, kind, metadata, fields })
    }
}

impl Object for Dynamic {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }

    fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let (kind, api_version) = (serde_json::to_string(&self.kind)?, serde_json::to_string(&self.api_version)?);
        let mut json = format!(r#"{{"kind":{kind},"apiVersion":{api_version},"metadata":"#).into_bytes();
        serde_json::to_writer(&mut json, &self.metadata)?;
        for (name, value) in &self.fields {
            json.push(b',');
            serde_json::to_writer(&mut json, name)?;
            json.push(b':');
            serde_json::to_writer(&mut json, value)?;
        }
        json.push(b'}');
        Ok(json)
    }

    fn copy(&self) -> Box<dyn Object> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde::Serialize;
    use serde_json::json;

    use super::*;

    #[test]
    fn json_begins_with_kind_and_api_version() {
        let config_map = ConfigMap { immutable: Some(true), ..ConfigMap::default() };
        let expected = r#"{"kind":"ConfigMap","apiVersion":"v1","immutable":true,"metadata":{}}"#;
        assert_eq!(String::from_utf8(config_map.to_json().unwrap()).unwrap(), expected);
    }

    #[test]
    fn numbers_are_written_as_go_writes_them() {
        let check = |number: f64, expected: &str| {
            let mut out = Vec::new();
            number.serialize(&mut Serializer::with_formatter(&mut out, GoNumbers)).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        for (number, expected) in
            [(500.0, "500"), (0.0, "0"), (-2.5, "-2.5"), (1e20, "100000000000000000000"), (1e-6, "0.000001")]
        {
            check(number, expected);
        }
        check(1e21, "1e+21");
        check(-1.5e-7, "-1.5e-7");
    }

    #[test]
    fn dynamic_objects_keep_what_they_hold() {
        let value =
            json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"a": 1}});
        let object = Dynamic::from_json(value.clone()).unwrap();
        assert_eq!(object.metadata.name.as_deref(), Some("w"));
        assert_eq!(serde_json::from_slice::<Value>(&object.to_json().unwrap()).unwrap(), value);
        for wrong in [json!([]), json!({"kind": "Widget"}), json!({"apiVersion": 1, "kind": "Widget"})] {
            assert!(Dynamic::from_json(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
