//! Kinds that are not stored: those that are created, answered and forgotten, and those that can only be read and are
//! computed then.
//!
//! They pass what all others pass as far as it has a meaning for them: strict decoding, defaults, encodings, tables. The
//! verbs are those that discovery states; there is nothing to watch and nothing to change.

use api::partial::{ListMeta, PartialObjectMetadataList};
use api::selector::{field, label};
use api::status::{Reason, Status};
use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use super::answer::{self, content_type};
use super::body::{self, Body};
use super::dispatch::{not_allowed, not_served};
use super::{Answer, Call, Payload, metadata};
use crate::discovery::verbs;
use crate::object::Object;
use crate::request::{Form, ListOptions, Verb, WriteOptions, negotiate};

/// Answers a request for a kind that is not stored.
pub(crate) async fn dispatch(call: &Call<'_>, body: &Body) -> Result<Answer, Status> {
    let names = call.names();
    let served = verbs(&names.group, &names.plural);
    let named = !call.target.name.is_empty();
    // What has no collections in it has no paths behind them, and only stands in its namespace.
    let across = !names.namespaced || !call.namespace().is_empty() || served.contains(&Verb::List);
    let has_path = if named { served.contains(&Verb::Get) } else { across };
    if !call.target.subresource.is_empty() || !has_path {
        return Err(not_served());
    }
    match call.target.verb {
        Verb::Watch if served.contains(&Verb::List) => {
            Err(Status::method_not_supported(&call.group_resource(), "watch"))
        }
        verb if !served.contains(&verb) => Err(not_allowed()),
        Verb::Create if !named => create(call, body).await,
        Verb::Get => get(call).await,
        Verb::List => list(call).await,
        _ => Err(not_allowed()),
    }
}

async fn create(call: &Call<'_>, body: &Body) -> Result<Answer, Status> {
    let options = WriteOptions::parse(call.query, "CreateOptions")?;
    let mut object = body::decode(call, body, options.field_validation)?;
    metadata::clear(call, &mut *object)?;
    call.kind().default(&mut *object);
    let Some(answered) = call.kind().answer(object, call, &options) else { return Err(not_allowed()) };
    let json = answered.await?;
    answer::object(call, StatusCode::CREATED, &json.into())
}

async fn get(call: &Call<'_>) -> Result<Answer, Status> {
    let name = call.target.name.as_str();
    let Some(computed) = call.kind().compute(call, Some(name)) else { return Err(not_allowed()) };
    let Some(object) = computed.await?.pop() else {
        // Upstream says so without a reason, as of any error that it does not expect.
        let mut status = Status::of(Reason::Unknown, format!("Component not found: {name}"));
        status.code = StatusCode::INTERNAL_SERVER_ERROR.as_u16();
        return Err(status);
    };
    answer::object(call, StatusCode::OK, &json_of(&*object)?)
}

async fn list(call: &Call<'_>) -> Result<Answer, Status> {
    let (encoding, form) = negotiate(call.headers, true, call.has_protobuf())?;
    let ListOptions { labels, fields, .. } = ListOptions::parse(call.query, false)?;
    let Some(computed) = call.kind().compute(call, None) else { return Err(not_allowed()) };
    let objects = computed.await?;
    let selected = objects.iter().filter(|object| selects(&labels, &fields, &***object));
    let jsons = selected.map(|object| json_of(&**object)).collect::<Result<Vec<_>, _>>()?;
    let meta = ListMeta::default();
    let json = match form {
        Form::Object => list_json(call, &jsons)?,
        Form::Table => answer::table(call, &jsons, meta)?,
        Form::Metadata => {
            let items = jsons.iter().map(|json| answer::metadata(json)).collect::<Result<Vec<_>, _>>()?;
            serde_json::to_vec(&PartialObjectMetadataList::new(meta, items)).map_err(Status::internal_error)?
        }
    };
    let payload = Payload::Whole(answer::encode(encoding, &json)?.into());
    Ok(Answer { code: StatusCode::OK, content_type: content_type(encoding, form, true), payload })
}

fn selects(labels: &label::Selector, fields: &field::Selector, object: &dyn Object) -> bool {
    let meta = object.meta();
    let none = std::collections::BTreeMap::new();
    labels.matches(meta.labels.as_ref().unwrap_or(&none))
        && fields.matches(|field| match field {
            "metadata.name" => meta.name.as_deref(),
            "metadata.namespace" => meta.namespace.as_deref(),
            _ => None,
        })
}

fn json_of(object: &dyn Object) -> Result<Bytes, Status> {
    Ok(object.to_json().map_err(Status::internal_error)?.into())
}

/// A list, whose items leave out what it says itself.
fn list_json(call: &Call<'_>, objects: &[Bytes]) -> Result<Vec<u8>, Status> {
    let names = call.names();
    let mut items = Vec::with_capacity(objects.len());
    for json in objects {
        let mut item: Value = serde_json::from_slice(json).map_err(Status::internal_error)?;
        if let Some(fields) = item.as_object_mut() {
            fields.remove("kind");
            fields.remove("apiVersion");
        }
        items.push(item);
    }
    let list = serde_json::json!({
        "kind": format!("{}List", names.kind),
        "apiVersion": names.api_version(),
        "metadata": {},
        "items": items,
    });
    crate::object::ordered_json(&list).map_err(Status::internal_error)
}
