//! Answers, before they become HTTP: what a verb has to say, and the encoding and form that the client wants it in.

use api::partial::{ListMeta, PartialObjectMetadata};
use api::status::{GroupKind, Status};
use api::table::{ColumnDefinition, IncludeObject, Row, Table};
use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::BoxStream;
use http::StatusCode;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Call;
use crate::kind::Kind;
use crate::request::{Encoding, Form, negotiate};
use crate::strategy::Column;

/// What a verb answers.
pub struct Answer {
    /// The HTTP status.
    pub code: StatusCode,
    /// The value of `Content-Type`.
    pub content_type: String,
    /// The body.
    pub payload: Payload,
}

/// The body of an answer.
pub enum Payload {
    /// All of it.
    Whole(Bytes),
    /// Pieces of it, as they are sent.
    Pieces(Vec<Bytes>),
    /// Frames, as they come.
    Stream(BoxStream<'static, Bytes>),
}

impl Answer {
    /// An answer that does not depend on the client's wishes.
    #[must_use]
    pub fn json(code: StatusCode, body: impl Into<Bytes>) -> Answer {
        Answer { code, content_type: Encoding::Json.media_type().to_owned(), payload: Payload::Whole(body.into()) }
    }

    /// A status, in the encoding that the client wants if we have it, and as JSON otherwise.
    #[must_use]
    pub fn status(headers: &http::HeaderMap, status: &Status) -> Answer {
        let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(status).unwrap_or_default();
        let encoding = negotiate(headers, false, true).map_or(Encoding::Json, |(encoding, _)| encoding);
        match encode(encoding, &body) {
            Ok(body) => {
                Answer { code, content_type: encoding.media_type().to_owned(), payload: Payload::Whole(body.into()) }
            }
            Err(_) => Answer::json(code, body),
        }
    }
}

/// One object as JSON of the served version: an answer in the form that the client wants.
pub(crate) fn object(call: &Call<'_>, code: StatusCode, json: &Bytes) -> Result<Answer, Status> {
    let (encoding, form) = negotiate(call.headers, false, call.has_protobuf())?;
    let body = match form {
        Form::Object => json.clone(),
        Form::Table => table(call, std::slice::from_ref(json), list_meta_of(json))?.into(),
        Form::Metadata => partial(metadata(json)?).into(),
    };
    let payload = if encoding == Encoding::Json { body } else { encode(encoding, &body)?.into() };
    Ok(Answer { code, content_type: content_type(encoding, form, false), payload: Payload::Whole(payload) })
}

/// An object of another kind than the resource's, such as a Scale or a Status; it has no other form.
pub(crate) fn other(call: &Call<'_>, code: StatusCode, json: Vec<u8>) -> Result<Answer, Status> {
    let (encoding, _) = negotiate(call.headers, false, true)?;
    let payload = Payload::Whole(encode(encoding, &json)?.into());
    Ok(Answer { code, content_type: encoding.media_type().to_owned(), payload })
}

/// Re-encodes JSON.
pub(crate) fn encode(encoding: Encoding, json: &[u8]) -> Result<Vec<u8>, Status> {
    match encoding {
        Encoding::Json => Ok(json.to_vec()),
        Encoding::Yaml => {
            let value: Value = serde_json::from_slice(json).map_err(Status::internal_error)?;
            serde_saphyr::to_string(&value).map(String::into_bytes).map_err(Status::internal_error)
        }
        Encoding::Protobuf => api::protobuf::encode(json).map_err(|_| {
            // Kinds without a protobuf form are to be asked for in JSON.
            Status::not_acceptable(&[Encoding::Json.media_type(), Encoding::Yaml.media_type()])
        }),
    }
}

/// The `Content-Type` of an answer.
pub(crate) fn content_type(encoding: Encoding, form: Form, list: bool) -> String {
    let media_type = encoding.media_type();
    match form {
        Form::Object | Form::Table | Form::Metadata if encoding == Encoding::Protobuf => media_type.to_owned(),
        Form::Object => media_type.to_owned(),
        Form::Table => format!("{media_type};as=Table;v=v1;g=meta.k8s.io"),
        Form::Metadata if list => format!("{media_type};as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"),
        Form::Metadata => format!("{media_type};as=PartialObjectMetadata;v=v1;g=meta.k8s.io"),
    }
}

/// A table of objects, given as JSON of the served version.
pub(crate) fn table(call: &Call<'_>, objects: &[Bytes], meta: ListMeta) -> Result<Vec<u8>, Status> {
    table_of(call.kind(), call.now, objects, Some(meta), shows_headers(call), include_object(call)?)
}

/// A table of objects of `kind`. Without `meta` its version is that of its one object.
pub(crate) fn table_of(
    kind: &dyn Kind,
    now: Timestamp,
    objects: &[Bytes],
    meta: Option<ListMeta>,
    headers: bool,
    include: IncludeObject,
) -> Result<Vec<u8>, Status> {
    let columns = if headers { column_definitions(kind.columns()) } else { Vec::new() };
    let rows = objects.iter().map(|json| row(kind, now, json, include)).collect::<Result<Vec<_>, _>>()?;
    let meta = meta.unwrap_or_else(|| objects.first().map(|json| list_meta_of(json)).unwrap_or_default());
    serde_json::to_vec(&Table::new(meta, columns, rows)).map_err(Status::internal_error)
}

/// A table of one object that is not of the resource's kind: its columns and cells come with it.
pub(crate) fn table_of_one(
    call: &Call<'_>,
    columns: &[Column],
    cells: Vec<Value>,
    json: &[u8],
) -> Result<Answer, Status> {
    let include = include_object(call)?;
    let raw: &RawValue = serde_json::from_slice(json).map_err(Status::internal_error)?;
    let object_metadata = metadata(json)?;
    let row = Row { cells, conditions: Vec::new(), object: include.embed(|| raw, || object_metadata) };
    let columns = if shows_headers(call) { column_definitions(columns) } else { Vec::new() };
    let table = Table::new(list_meta_of(json), columns, vec![row]);
    let (encoding, form) = negotiate(call.headers, false, call.has_protobuf())?;
    let body = encode(encoding, &serde_json::to_vec(&table).map_err(Status::internal_error)?)?;
    let content_type = content_type(encoding, form, false);
    Ok(Answer { code: StatusCode::OK, content_type, payload: Payload::Whole(body.into()) })
}

/// What the rows of a table carry of their objects.
fn include_object(call: &Call<'_>) -> Result<IncludeObject, Status> {
    let include = IncludeObject::parse(call.query.text("includeObject").unwrap_or_default());
    include.map_err(|errors| Status::invalid(&GroupKind::new("meta.k8s.io", "TableOptions"), "", &errors))
}

fn shows_headers(call: &Call<'_>) -> bool {
    call.query.flag("noHeaders") != Some(true)
}

fn column_definitions(columns: &[Column]) -> Vec<ColumnDefinition> {
    columns
        .iter()
        .map(|column| ColumnDefinition {
            name: column.name.to_owned(),
            kind: column.kind.to_owned(),
            format: column.format.to_owned(),
            description: column.description.to_owned(),
            priority: column.priority,
        })
        .collect()
}

fn row<'j>(
    kind: &dyn Kind,
    now: Timestamp,
    json: &'j Bytes,
    include: IncludeObject,
) -> Result<Row<&'j RawValue>, Status> {
    let object = kind.decode_stored(json).map_err(Status::internal_error)?;
    let raw: &RawValue = serde_json::from_slice(json).map_err(Status::internal_error)?;
    let object_metadata = metadata(json)?;
    let embedded = include.embed(|| raw, || object_metadata);
    Ok(Row { cells: kind.row(&*object, now), conditions: kind.row_conditions(&*object), object: embedded })
}

/// The metadata of an object, as it stands in its JSON.
pub(crate) fn metadata(json: &[u8]) -> Result<&RawValue, Status> {
    #[derive(Deserialize)]
    struct WithMetadata<'a> {
        #[serde(borrow)]
        metadata: &'a RawValue,
    }
    let object: WithMetadata<'_> = serde_json::from_slice(json).map_err(Status::internal_error)?;
    Ok(object.metadata)
}

/// The JSON of a `PartialObjectMetadata`.
pub(crate) fn partial(metadata: &RawValue) -> Vec<u8> {
    serde_json::to_vec(&PartialObjectMetadata::new(metadata)).unwrap_or_default()
}

/// A table of one object has the object's version as its own.
fn list_meta_of(json: &[u8]) -> ListMeta {
    #[derive(Deserialize)]
    struct Versioned {
        #[serde(rename = "resourceVersion")]
        resource_version: String,
    }
    let version = metadata(json).ok().and_then(|raw| serde_json::from_str::<Versioned>(raw.get()).ok());
    ListMeta { resource_version: version.map(|meta| meta.resource_version).unwrap_or_default(), ..ListMeta::default() }
}

/// Joins pieces into one buffer, for what must be re-encoded as a whole.
pub(crate) fn join(pieces: &[Bytes]) -> Bytes {
    let mut whole = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    pieces.iter().for_each(|piece| whole.put_slice(piece));
    whole.freeze()
}
