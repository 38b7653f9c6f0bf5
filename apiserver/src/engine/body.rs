//! Bodies: from bytes in some encoding to JSON of the right type, with upstream's words for what is wrong.

use api::field::{Error, ErrorList, Path};
use api::schema::{self, DecodeError, Schema, StrictError, Type};
use api::status::{GroupKind, Status};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Call;
use crate::object::Object;
use crate::request::{Encoding, FieldValidation};
use crate::strategy::Names;

/// The body of a request, with the headers that say what it is.
pub struct Body {
    /// The media type, without parameters; empty if the client did not say.
    pub media_type: String,
    /// The bytes.
    pub bytes: Bytes,
}

impl Body {
    /// A body as it came.
    #[must_use]
    pub fn new(headers: &http::HeaderMap, bytes: Bytes) -> Self {
        let stated = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = stated.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        Body { media_type, bytes }
    }

    /// Its encoding; a client that does not say sends JSON.
    pub(crate) fn encoding(&self) -> Result<Encoding, Status> {
        match self.media_type.as_str() {
            "" => Ok(Encoding::Json),
            media_type => Encoding::of_media_type(media_type)
                .ok_or_else(|| Status::unsupported_media_type(&crate::request::SERVED)),
        }
    }

    /// The body as JSON text.
    pub(crate) fn json(&self) -> Result<Bytes, Status> {
        match self.encoding()? {
            Encoding::Json => Ok(self.bytes.clone()),
            Encoding::Yaml => yaml_to_json(&self.bytes).map_err(Status::bad_request),
            Encoding::Protobuf => {
                let value = api::protobuf::decode(&self.bytes)
                    .map_err(|error| Status::bad_request(format!("unable to decode the body: {error}")))?;
                Ok(serde_json::to_vec(&value).map_err(Status::internal_error)?.into())
            }
        }
    }
}

/// Reads YAML as Kubernetes does and writes it as JSON.
pub(crate) fn yaml_to_json(yaml: &[u8]) -> Result<Bytes, String> {
    let text = std::str::from_utf8(yaml).map_err(|error| format!("yaml: invalid UTF-8: {error}"))?;
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
    };
    let value: Value = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| format!("error converting YAML to JSON: {error}"))?;
    serde_json::to_vec(&value).map(Bytes::from).map_err(|error| error.to_string())
}

/// Reads `body` as an object of the kind that `call` is about.
pub(crate) fn decode(call: &Call<'_>, body: &Body, validation: FieldValidation) -> Result<Box<dyn Object>, Status> {
    let names = call.names();
    let json = match body.encoding()? {
        Encoding::Yaml => yaml_to_json(&body.bytes).map_err(|error| unrecognized(names, &body.bytes, &error))?,
        _ => body.json()?,
    };
    let (mut value, faults) = read(&json, schema_of(names)).map_err(|error| unreadable(names, &json, &error))?;
    if value.is_null() {
        // Nothing is said, not even what this is.
        value = Value::Object(Map::new());
    }
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    finish(call, value, &faults, validation, &|error| cannot_be_handled(names, &names.kind, error))
}

/// Takes the object that a patch made. `faults` is what is wrong with the patch by the rules of strict reading; `shown`
/// is how errors quote it.
pub(crate) fn decode_patched(
    call: &Call<'_>,
    value: Value,
    faults: &[String],
    validation: FieldValidation,
    shown: &dyn Fn() -> String,
) -> Result<Box<dyn Object>, Status> {
    let invalid = |error: &dyn std::fmt::Display| {
        let error = Error::invalid(&Path::new("patch"), shown(), error.to_string());
        Status::invalid(&GroupKind::new("", ""), "", &ErrorList::from(error))
    };
    let (value, more) = match schema_of(call.names()) {
        Some(of) => schema::decode_value(value, of).map_err(|error| invalid(&error))?,
        None => (value, Vec::new()),
    };
    let more = more.iter().map(ToString::to_string);
    let faults: Vec<_> = faults.iter().cloned().chain(more).collect();
    finish(call, value, &faults, validation, &invalid)
}

fn schema_of(names: &Names) -> Option<&'static Type> {
    Schema::of(&names.group, &names.version, &names.kind)
}

fn read(json: &[u8], of: Option<&'static Type>) -> Result<(Value, Vec<StrictError>), DecodeError> {
    match of {
        Some(of) => schema::decode(json, of),
        None => schema::decode_untyped(json),
    }
}

fn finish(
    call: &Call<'_>,
    mut value: Value,
    faults: &[String],
    validation: FieldValidation,
    failed: &dyn Fn(&dyn std::fmt::Display) -> Status,
) -> Result<Box<dyn Object>, Status> {
    let names = call.names();
    check_type(names, &mut value)?;
    judge(call, faults, validation, failed)?;
    if let Some(of) = schema_of(names) {
        schema::normalize(&mut value, of);
        schema::state_times(&mut value, of);
    }
    call.kind().decode(value).map_err(|error| failed(&error))
}

/// Says what is wrong by the rules of strict reading, as loudly as the client wants it.
fn judge(
    call: &Call<'_>,
    faults: &[String],
    validation: FieldValidation,
    failed: &dyn Fn(&dyn std::fmt::Display) -> Status,
) -> Result<(), Status> {
    match validation {
        _ if faults.is_empty() => {}
        FieldValidation::Ignore => {}
        FieldValidation::Warn => faults.iter().for_each(|fault| call.warn(fault.as_str())),
        FieldValidation::Strict => return Err(failed(&format!("strict decoding error: {}", faults.join(", ")))),
    }
    Ok(())
}

/// Reads `body` as an object of another kind than the resource's, such as the Binding of a Pod.
pub(crate) fn decode_other<T: DeserializeOwned>(
    call: &Call<'_>,
    body: &Body,
    (group, version, kind): (&str, &str, &str),
    validation: FieldValidation,
) -> Result<T, Status> {
    let failed = |error: &dyn std::fmt::Display| {
        Status::bad_request(format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {error}"))
    };
    let (value, faults) = read(&body.json()?, Schema::of(group, version, kind)).map_err(|error| failed(&error))?;
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    judge(call, &faults, validation, &failed)?;
    serde_json::from_value(value).map_err(|error| failed(&error))
}

/// Checks the object's type against the resource's, and states it where the client left it out.
fn check_type(names: &Names, value: &mut Value) -> Result<(), Status> {
    let Value::Object(object) = value else {
        let message = format!("the object provided is unrecognized (must be of type {}): not an object", names.kind);
        return Err(Status::bad_request(message));
    };
    let expected = names.api_version();
    let stated = |name: &str| object.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let (kind, version) = (stated("kind"), stated("apiVersion"));
    let (group, short) = version.unwrap_or(&expected).split_once('/').unwrap_or(("", version.unwrap_or(&expected)));
    let actual = kind.unwrap_or(&names.kind);
    if schema_of(names).is_some() && Schema::of(group, short, actual).is_none() {
        let version = version.unwrap_or(&expected);
        let error = format!("no kind {actual:?} is registered for version {version:?} in scheme {SCHEME:?}");
        return Err(cannot_be_handled_in(short, names, actual, &error));
    }
    if actual != names.kind {
        let group = if names.group.is_empty() { "core" } else { &names.group };
        let error = format!("converting ({short}.{actual}) to ({group}.{}): unknown conversion", names.kind);
        return Err(cannot_be_handled_in(short, names, actual, &error));
    }
    if let Some(version) = version
        && version != expected
    {
        let message =
            format!("the API version in the data ({version}) does not match the expected API version ({expected})");
        return Err(Status::bad_request(message));
    }
    object.insert("kind".to_owned(), Value::from(&*names.kind));
    object.insert("apiVersion".to_owned(), Value::from(&*expected));
    Ok(())
}

fn cannot_be_handled(names: &Names, kind: &str, error: &dyn std::fmt::Display) -> Status {
    cannot_be_handled_in(&names.version, names, kind, error)
}

fn cannot_be_handled_in(version: &str, names: &Names, kind: &str, error: &dyn std::fmt::Display) -> Status {
    Status::bad_request(format!("{kind} in version \"{version}\" cannot be handled as a {}: {error}", names.kind))
}

/// What upstream says of a body that cannot be read: by kind if it got as far as that.
fn unreadable(names: &Names, json: &[u8], error: &DecodeError) -> Status {
    #[derive(serde::Deserialize)]
    struct Kind {
        kind: String,
    }
    match serde_json::from_slice::<Kind>(json) {
        Ok(stated) if !stated.kind.is_empty() => cannot_be_handled(names, &stated.kind, error),
        _ => {
            let error = match serde_json::from_slice::<Value>(json) {
                Ok(value) => format!("json: cannot unmarshal {} into Go value of type {FIND_KIND}", go_kind(&value)),
                Err(_) => error.to_string(),
            };
            unrecognized(names, json, &format!("couldn't get version/kind; json parse error: {error}"))
        }
    }
}

/// What upstream's reader has by the name of a scheme in its errors.
const SCHEME: &str = "pkg/api/legacyscheme/scheme.go:30";
/// The Go type by which upstream looks at what kind a body is of; its errors name it.
const FIND_KIND: &str =
    r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;

fn unrecognized(names: &Names, body: &[u8], error: &str) -> Status {
    let summary = summary(body);
    let kind = &names.kind;
    Status::bad_request(format!("the object provided is unrecognized (must be of type {kind}): {error} ({summary})"))
}

/// What Go's JSON reader calls a value.
pub(crate) fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The beginning of a body, for an error: as text if it looks like JSON, and in hexadecimal otherwise.
fn summary(body: &[u8]) -> String {
    const LONGEST: usize = 30;
    let shown = &body[..body.len().min(LONGEST)];
    let text = if body.first() == Some(&b'{') {
        String::from_utf8_lossy(shown).into_owned()
    } else {
        shown.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    if body.is_empty() {
        "<empty>".to_owned()
    } else if body.len() > LONGEST {
        format!("{text} ...")
    } else {
        text
    }
}

#[cfg(test)]
mod tests;
