//! `patch`: changing a part of an object, in three ways.

use api::patch::{json, merge, strategic};
use api::schema::Schema;
use api::status::{GenericResponse, GroupResource, Status};
use serde_json::{Map, Value};

use super::body::{self, Body, go_kind};
use super::update::{self, Change, Current};
use super::{Answer, Call};
use crate::object::Object;
use crate::request::{FieldValidation, WriteOptions};

const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// A patch that has been read.
pub(crate) enum Patch {
    Json(json::Patch),
    Merge(Value),
    Strategic(Map<String, Value>),
}

impl Patch {
    /// Reads the body of a patch. `strategic` is whether the kind has a schema to merge by.
    ///
    /// Beside it comes what strict reading finds fault with.
    pub(crate) fn read(body: &Body, strategic: bool) -> Result<(Patch, Vec<String>), Status> {
        match body.media_type.as_str() {
            JSON => {
                let (patch, faults) = json::Patch::decode(&body.bytes).map_err(|error| json_failed(&error))?;
                // Faults of the patch itself, not of the object; upstream marks them so.
                Ok((Patch::Json(patch), faults.iter().map(|fault| format!("json patch {fault}")).collect()))
            }
            MERGE => {
                let (patch, faults) = read_json(&body.bytes)?;
                Ok((Patch::Merge(patch), faults))
            }
            STRATEGIC if strategic => {
                let (patch, faults) = read_json(&body.bytes)?;
                let Value::Object(patch) = patch else {
                    let what = go_kind(&patch);
                    let message = format!("cannot unmarshal {what} into Go value of type map[string]interface {{}}");
                    return Err(Status::bad_request(format!("error decoding patch: json: {message}")));
                };
                Ok((Patch::Strategic(patch), faults))
            }
            _ if strategic => Err(Status::unsupported_media_type(&[JSON, MERGE, STRATEGIC])),
            _ => Err(Status::unsupported_media_type(&[JSON, MERGE])),
        }
    }

    /// The patched document. `of` is the group, version and kind of the document.
    pub(crate) fn apply(&self, document: &Value, of: (&str, &str, &str)) -> Result<Value, Status> {
        match self {
            Patch::Json(patch) => patch.apply(document).map_err(|error| json_failed(&error)),
            Patch::Merge(patch) => {
                merge::apply(document, patch.clone()).map_err(|error| failed(error.code(), &error.to_string()))
            }
            Patch::Strategic(patch) => {
                let (group, version, kind) = of;
                let (Some(of), Value::Object(document)) = (Schema::of(group, version, kind), document) else {
                    return Err(Status::unsupported_media_type(&[JSON, MERGE]));
                };
                let patched = strategic::apply(document, patch.clone(), of);
                patched.map(Value::Object).map_err(|error| failed(error.code(), &error.to_string()))
            }
        }
    }

    /// How errors about what the patch made quote it: a strategic patch itself, and what any other made.
    fn shown(&self, document: &Value, of: (&str, &str, &str)) -> String {
        match self {
            Patch::Strategic(patch) => go_text(&Value::Object(patch.clone())),
            _ => self.apply(document, of).map(|patched| patched.to_string()).unwrap_or_default(),
        }
    }
}

/// A value as Go prints maps and lists.
fn go_text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) => format!("[{}]", list.iter().map(go_text).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().map(|(name, value)| format!("{name}:{}", go_text(value))).collect();
            members.sort_unstable();
            format!("map[{}]", members.join(" "))
        }
        other => other.to_string(),
    }
}

fn read_json(bytes: &[u8]) -> Result<(Value, Vec<String>), Status> {
    let read = api::schema::decode_untyped(bytes);
    let (value, faults) = read.map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))?;
    Ok((value, faults.iter().map(ToString::to_string).collect()))
}

fn json_failed(error: &json::Error) -> Status {
    failed(error.code(), &error.to_string())
}

fn failed(code: u16, message: &str) -> Status {
    match code {
        400 => Status::bad_request(message),
        413 => Status::request_entity_too_large(message),
        422 => Status::generic_server_response(&GenericResponse {
            code,
            verb: "",
            resource: GroupResource::new("", ""),
            name: "",
            message,
            retry_after_seconds: 0,
            unexpected: false,
        }),
        _ => Status::internal_error(message),
    }
}

/// Answers a patch of the object, or through `subresource` of a part of it.
pub(crate) async fn patch(call: &Call<'_>, body: &Body, subresource: Option<&str>) -> Result<Answer, Status> {
    let options = WriteOptions::parse(call.query, "PatchOptions")?;
    let names = call.names();
    let strategic = Schema::of(&names.group, &names.version, &names.kind).is_some();
    let (patch, faults) = Patch::read(body, strategic)?;
    let patched = Patched { patch, faults, validation: options.field_validation };
    let changed = update::change(call, &patched, subresource, &options).await?;
    update::reply(call, changed)
}

struct Patched {
    patch: Patch,
    faults: Vec<String>,
    validation: FieldValidation,
}

impl Change for Patched {
    fn apply(&self, call: &Call<'_>, old: Option<&Current>) -> Result<Box<dyn Object>, Status> {
        let name = &call.target.name;
        let old = old.ok_or_else(|| Status::not_found(&call.group_resource(), name))?;
        let names = call.names();
        let document = serde_json::from_slice(&old.json).map_err(Status::internal_error)?;
        let of: (&str, &str, &str) = (&names.group, &names.version, &names.kind);
        let patched = self.patch.apply(&document, of)?;
        let shown = || self.patch.shown(&document, of);
        let object = body::decode_patched(call, patched, &self.faults, self.validation, &shown)?;
        let stated = object.meta().name.as_deref().unwrap_or_default();
        if stated != name {
            let message = format!("the name of the object ({stated}) does not match the name on the URL ({name})");
            return Err(Status::bad_request(message));
        }
        Ok(object)
    }
}
