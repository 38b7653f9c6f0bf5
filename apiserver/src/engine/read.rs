//! `get`: one object.

use api::status::Status;
use bytes::Bytes;
use http::StatusCode;
use store::{At, Revision, Stored};

use super::{Answer, Call, answer, read_failed};
use crate::entry::Entry;
use crate::request::Query;

/// Answers a get of the object, or of a subresource that is a part of it.
pub(crate) async fn get(call: &Call<'_>) -> Result<Answer, Status> {
    let stored = current(call, &call.target.name, version(call.query)?).await?;
    super::unreadable::check(&call.engine.store, &call.key(&call.target.name)?, &stored.entry)?;
    answer::object(call, StatusCode::OK, &served(call, stored.entry.bytes())?)
}

/// The stored object of a name.
pub(crate) async fn current(call: &Call<'_>, name: &str, at: At) -> Result<Stored<Entry>, Status> {
    let key = call.key(name)?;
    let found = call.engine.store.get(&key, at).await.map_err(read_failed)?;
    found.ok_or_else(|| Status::not_found(&call.group_resource(), name))
}

/// The JSON of the version that the request is about, of the JSON that is stored.
pub(crate) fn served(call: &Call<'_>, stored: &Bytes) -> Result<Bytes, Status> {
    let Some(conversion) = call.resource.storage.conversion else { return Ok(stored.clone()) };
    let value = serde_json::from_slice(stored).map_err(Status::internal_error)?;
    let converted = (conversion.from_stored)(value);
    let object = call.kind().decode(converted).map_err(Status::internal_error)?;
    Ok(object.to_json().map_err(Status::internal_error)?.into())
}

/// Which state a get is of.
fn version(query: &Query) -> Result<At, Status> {
    Ok(match crate::request::resource_version(query.text("resourceVersion"))? {
        None => At::Latest,
        Some(Revision::ZERO) => At::Known,
        Some(revision) => At::NotBefore(revision),
    })
}
