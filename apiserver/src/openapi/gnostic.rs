//! OpenAPI 2 in the protobuf of gnostic's `OpenAPIv2.proto`, which older clients ask for.
//!
//! Each function encodes a piece of a document that stands as JSON already. The field numbers are those of the messages
//! that the functions are named after.

use serde_json::{Map, Value};

/// The beginning of a `Document`.
pub(super) fn head(swagger: &str, info: &Value) -> Vec<u8> {
    let mut document = Message::default();
    document.text(1, Some(swagger));
    let mut about = Message::default();
    about.text(1, info["title"].as_str());
    about.text(2, info["version"].as_str());
    document.message(2, about);
    document.0
}

/// A piece of a `Document` with one path.
pub(super) fn path(path: &str, item: &Value) -> Vec<u8> {
    let mut paths = Message::default();
    paths.named(2, path, path_item(item));
    let mut document = Message::default();
    document.message(8, paths);
    document.0
}

/// A piece of a `Document` with one definition.
pub(super) fn definition(name: &str, value: &Value) -> Vec<u8> {
    let mut definitions = Message::default();
    definitions.named(1, name, schema(value));
    let mut document = Message::default();
    document.message(9, definitions);
    document.0
}

/// The end of a `Document`. Every definition is of an API key.
pub(super) fn security(definitions: &Value, requirements: &Value) -> Vec<u8> {
    let mut document = Message::default();
    for requirement in list(requirements) {
        let mut message = Message::default();
        for (name, scopes) in members(requirement) {
            let mut value = Message::default();
            value.texts(1, scopes);
            message.named(1, name, value);
        }
        document.message(12, message);
    }
    let mut message = Message::default();
    for (name, definition) in members(definitions) {
        let mut key = Message::default();
        for (number, field) in [(1, "type"), (2, "name"), (3, "in"), (4, "description")] {
            key.text(number, definition[field].as_str());
        }
        let mut item = Message::default();
        item.message(2, key);
        message.named(1, name, item);
    }
    document.message(13, message);
    document.0
}

const METHODS: [(u32, &str); 7] =
    [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (6, "options"), (7, "head"), (8, "patch")];

fn path_item(item: &Value) -> Message {
    let mut message = Message::default();
    for (number, method) in METHODS {
        if let Some(value) = item.get(method) {
            message.message(number, operation(value));
        }
    }
    list(&item["parameters"]).for_each(|value| message.message(9, parameters_item(value)));
    message.extensions(10, item);
    message
}

fn operation(value: &Value) -> Message {
    let mut message = Message::default();
    message.texts(1, &value["tags"]);
    message.text(3, value["description"].as_str());
    message.text(5, value["operationId"].as_str());
    message.texts(6, &value["produces"]);
    message.texts(7, &value["consumes"]);
    list(&value["parameters"]).for_each(|value| message.message(8, parameters_item(value)));
    let mut responses = Message::default();
    for (code, response) in members(&value["responses"]) {
        let mut of = Message::default();
        of.text(1, response["description"].as_str());
        if let Some(value) = response.get("schema") {
            of.wrapped(2, 1, schema(value));
        }
        let mut item = Message::default();
        item.message(1, of);
        responses.named(1, code, item);
    }
    message.message(9, responses);
    message.texts(10, &value["schemes"]);
    message.extensions(13, value);
    message
}

/// `ParametersItem`, with a `Parameter` in it.
fn parameters_item(value: &Value) -> Message {
    let mut parameter = Message::default();
    let required = value["required"] == true;
    let text = |field: &str| value[field].as_str();
    let mut message = Message::default();
    if text("in") == Some("body") {
        message.text(1, text("description"));
        message.text(2, text("name"));
        message.text(3, text("in"));
        message.flag(4, required);
        message.message(5, schema(&value["schema"]));
        parameter.message(1, message);
    } else {
        // `QueryParameterSubSchema` has one field more than `PathParameterSubSchema`, before the type.
        let in_path = text("in") == Some("path");
        message.flag(1, required);
        message.text(2, text("in"));
        message.text(3, text("description"));
        message.text(4, text("name"));
        message.text(if in_path { 5 } else { 6 }, text("type"));
        message.flag(if in_path { 19 } else { 20 }, value["uniqueItems"] == true);
        parameter.wrapped(2, if in_path { 4 } else { 3 }, message);
    }
    let mut item = Message::default();
    item.message(1, parameter);
    item
}

fn schema(value: &Value) -> Message {
    let mut message = Message::default();
    let text = |field: &str| value[field].as_str();
    message.text(1, text("$ref"));
    message.text(2, text("format"));
    message.text(3, text("title"));
    message.text(4, text("description"));
    if let Some(value) = value.get("default") {
        message.message(5, any(value));
    }
    for (number, field) in [(6, "multipleOf"), (7, "maximum"), (9, "minimum")] {
        message.number(number, value[field].as_f64());
    }
    message.flag(8, value["exclusiveMaximum"] == true);
    message.flag(10, value["exclusiveMinimum"] == true);
    for (number, field) in [(11, "maxLength"), (12, "minLength"), (14, "maxItems"), (15, "minItems")] {
        message.whole(number, value[field].as_u64());
    }
    message.text(13, text("pattern"));
    message.flag(16, value["uniqueItems"] == true);
    message.whole(17, value["maxProperties"].as_u64());
    message.whole(18, value["minProperties"].as_u64());
    message.texts(19, &value["required"]);
    list(&value["enum"]).for_each(|value| message.message(20, any(value)));
    match value.get("additionalProperties") {
        Some(Value::Bool(allowed)) => {
            let mut item = Message::default();
            item.boolean(2, *allowed);
            message.message(21, item);
        }
        Some(value) => message.wrapped(21, 1, schema(value)),
        None => {}
    }
    if let Some(of) = text("type") {
        let mut item = Message::default();
        item.text(1, Some(of));
        message.message(22, item);
    }
    if let Some(value) = value.get("items") {
        message.wrapped(23, 1, schema(value));
    }
    list(&value["allOf"]).for_each(|value| message.message(24, schema(value)));
    if value.get("properties").is_some() {
        let mut properties = Message::default();
        members(&value["properties"]).for_each(|(name, value)| properties.named(1, name, schema(value)));
        message.message(25, properties);
    }
    message.extensions(31, value);
    message
}

/// `Any`, whose YAML may be JSON.
fn any(value: &Value) -> Message {
    let mut message = Message::default();
    message.text(2, Some(&value.to_string()));
    message
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

/// A message that is being written. Fields with their default value are left out.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn text(&mut self, number: u32, text: Option<&str>) {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            self.bytes(number, text.as_bytes());
        }
    }

    /// A repeated string.
    fn texts(&mut self, number: u32, texts: &Value) {
        list(texts).filter_map(Value::as_str).for_each(|text| self.bytes(number, text.as_bytes()));
    }

    fn flag(&mut self, number: u32, set: bool) {
        if set {
            self.boolean(number, true);
        }
    }

    /// A boolean that is written even if it is false, as one of several.
    fn boolean(&mut self, number: u32, set: bool) {
        self.varint(u64::from(number) << 3);
        self.varint(u64::from(set));
    }

    fn whole(&mut self, number: u32, value: Option<u64>) {
        if let Some(value) = value.filter(|value| *value != 0) {
            self.varint(u64::from(number) << 3);
            self.varint(value);
        }
    }

    fn number(&mut self, number: u32, value: Option<f64>) {
        if let Some(value) = value.filter(|value| *value != 0.0) {
            self.varint(u64::from(number) << 3 | 1);
            self.0.extend(value.to_le_bytes());
        }
    }

    fn message(&mut self, number: u32, message: Message) {
        self.bytes(number, &message.0);
    }

    /// A message in a message that has nothing else.
    fn wrapped(&mut self, number: u32, inner: u32, message: Message) {
        let mut outer = Message::default();
        outer.message(inner, message);
        self.message(number, outer);
    }

    /// An entry of a map, as gnostic has them.
    fn named(&mut self, number: u32, name: &str, message: Message) {
        let mut entry = Message::default();
        entry.text(1, Some(name));
        entry.message(2, message);
        self.message(number, entry);
    }

    /// The members of `value` that start with `x-`.
    fn extensions(&mut self, number: u32, value: &Value) {
        members(value).filter(|(name, _)| name.starts_with("x-")).for_each(|(name, value)| {
            self.named(number, name, any(value));
        });
    }

    fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.varint(u64::from(number) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value as u8 & 0x7f | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}
