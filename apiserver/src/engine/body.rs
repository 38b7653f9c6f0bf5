//! Bodies: from bytes in some encoding to JSON of the right type, with upstream's words for what is wrong.

use api::schema::{self, DecodeError, Schema, StrictError, Type};
use api::status::Status;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use serde_json::Value;

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
    let json = body.json()?;
    decode_json(call, &json, validation)
}

/// Reads JSON text as an object of the kind that `call` is about.
pub(crate) fn decode_json(
    call: &Call<'_>,
    json: &[u8],
    validation: FieldValidation,
) -> Result<Box<dyn Object>, Status> {
    let names = call.names();
    let (value, faults) = read(json, schema_of(names)).map_err(|error| unreadable(names, json, &error))?;
    finish(call, value, &faults, validation)
}

/// Takes JSON that has been read already, such as a patched object.
pub(crate) fn decode_value(
    call: &Call<'_>,
    value: Value,
    faults: &[StrictError],
    validation: FieldValidation,
) -> Result<Box<dyn Object>, Status> {
    let names = call.names();
    let (value, more) = match schema_of(names) {
        Some(of) => schema::decode_value(value, of).map_err(|error| cannot_be_handled(names, &names.kind, &error))?,
        None => (value, Vec::new()),
    };
    let faults: Vec<_> = faults.iter().cloned().chain(more).collect();
    finish(call, value, &faults, validation)
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
    faults: &[StrictError],
    validation: FieldValidation,
) -> Result<Box<dyn Object>, Status> {
    let names = call.names();
    check_type(names, &mut value)?;
    if !faults.is_empty() {
        match validation {
            FieldValidation::Ignore => {}
            FieldValidation::Warn => faults.iter().for_each(|fault| call.warn(fault.to_string())),
            FieldValidation::Strict => {
                let all: Vec<String> = faults.iter().map(ToString::to_string).collect();
                let error = format!("strict decoding error: {}", all.join(", "));
                return Err(cannot_be_handled(names, &names.kind, &error));
            }
        }
    }
    if let Some(of) = schema_of(names) {
        schema::normalize(&mut value, of);
    }
    call.kind().decode(value).map_err(|error| cannot_be_handled(names, &names.kind, &error))
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
    if let Some(version) = version
        && version != expected
    {
        let message =
            format!("the API version in the data ({version}) does not match the expected API version ({expected})");
        return Err(Status::bad_request(message));
    }
    if let Some(kind) = kind
        && kind != names.kind
    {
        let group = if names.group.is_empty() { "core" } else { &names.group };
        let version = &names.version;
        let error = format!("converting ({version}.{kind}) to ({group}.{}): unknown conversion", names.kind);
        return Err(cannot_be_handled(names, kind, &error));
    }
    object.insert("kind".to_owned(), Value::from(&*names.kind));
    object.insert("apiVersion".to_owned(), Value::from(&*expected));
    Ok(())
}

fn cannot_be_handled(names: &Names, kind: &str, error: &dyn std::fmt::Display) -> Status {
    let version = &names.version;
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
            let message = format!(
                "the object provided is unrecognized (must be of type {}): couldn't get version/kind; json parse error: \
                 {error} ({})",
                names.kind,
                summary(json)
            );
            Status::bad_request(message)
        }
    }
}

/// The beginning of a body, for an error: as text if it looks like JSON, and in hexadecimal otherwise.
fn summary(body: &[u8]) -> String {
    const LONGEST: usize = 30;
    let looks_like_json = body.first() == Some(&b'{') || body.first() == Some(&b'[');
    let shown = &body[..body.len().min(LONGEST)];
    let text = if looks_like_json {
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
