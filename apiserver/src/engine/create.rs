//! `create`: a new object.

use api::status::{Reason, Status};
use http::StatusCode;
use store::{Durability, Stored, WriteError};

use super::body::{self, Body};
use super::{Answer, Call, answer, metadata, write_failed};
use crate::admission::{self, Operation, Review};
use crate::entry::Entry;
use crate::object::Object;
use crate::request::WriteOptions;
use crate::reservation::Reservation;

/// How often another name is generated when one is taken (upstream's number, and its reason: a million names of a prefix
/// with hardly ever a failure).
const MAX_NAME_ATTEMPTS: usize = 8;

/// Answers a create.
pub(crate) async fn create(call: &Call<'_>, body: &Body) -> Result<Answer, Status> {
    let options = WriteOptions::parse(call.query, "CreateOptions")?;
    let object = body::decode(call, body, options.field_validation)?;
    let versioned = states_version(&*object);
    if call.names().namespaced && call.namespace().is_empty() {
        return Err(Status::bad_request("an empty namespace may not be set during creation"));
    }
    if versioned {
        // Upstream's store says so, and not its validation: there is no reason and no field.
        let mut status = Status::of(Reason::Unknown, "resourceVersion should not be set on objects to be created");
        status.code = StatusCode::INTERNAL_SERVER_ERROR.as_u16();
        return Err(status);
    }
    let created = insert(call, object, &options).await?;
    answer::object(call, StatusCode::CREATED, &super::read::served(call, &created)?)
}

/// Whether a client mistakes a new object for one that exists.
fn states_version(object: &dyn Object) -> bool {
    let stated = object.meta().resource_version.as_deref().and_then(|version| version.parse::<u64>().ok());
    stated.is_some_and(|version| version != 0)
}

/// Makes `object`, trying further names if its name is generated. Returns its stored JSON.
pub(crate) async fn insert(
    call: &Call<'_>,
    mut object: Box<dyn Object>,
    options: &WriteOptions,
) -> Result<bytes::Bytes, Status> {
    call.kind().default(&mut *object);
    super::lifecycle::admit_create(call, object.meta()).await?;
    admission::mutate(&review(call), &mut *object, None).await?;
    let meta = object.meta();
    let generated = meta.name.as_deref().unwrap_or_default().is_empty()
        && meta.generate_name.as_deref().is_some_and(|base| !base.is_empty());
    let attempts = if generated { MAX_NAME_ATTEMPTS } else { 1 };
    let mut outcome = attempt(call, object.copy(), options, generated).await;
    for _ in 1..attempts {
        match &outcome {
            Err(status) if status.code == 409 => outcome = attempt(call, object.copy(), options, generated).await,
            _ => break,
        }
    }
    outcome
}

fn review<'a>(call: &'a Call<'a>) -> Review<'a> {
    Review { call, operation: Operation::Create, subresource: "" }
}

async fn attempt(
    call: &Call<'_>,
    mut object: Box<dyn Object>,
    options: &WriteOptions,
    generated: bool,
) -> Result<bytes::Bytes, Status> {
    let kind = call.kind();
    metadata::fill(call, &mut *object)?;
    call.check_escalation(&*object, None)?;
    kind.prepare_create(&mut *object, call.context());
    object.meta_mut().generation = kind.next_generation(&*object, None);
    let reservation = kind.reserve(&call.engine.ledger, &mut *object, None, options.dry_run).await?;
    let written = match metadata::validate_new(call, &*object) {
        Ok(()) => {
            kind.warnings(&*object, None).into_iter().for_each(|warning| call.warn(warning));
            match admission::validate(&review(call), &*object, None).await {
                Ok(()) => write_charged(call, &*object, options, generated).await,
                Err(status) => Err(status),
            }
        }
        Err(status) => Err(status),
    };
    settle(reservation, written.as_ref().err()).await;
    written
}

/// Ends a reservation as the write went that it was made for.
pub(crate) async fn settle(reservation: Reservation, failure: Option<&Status>) {
    match failure {
        None => reservation.commit().await,
        // It is not known whether it was written: what was acquired stays, until the server looks at start.
        Some(status) if status.code == 504 => {}
        Some(_) => reservation.roll_back().await,
    }
}

/// Writes what is new, charged to the quotas of its namespace.
async fn write_charged(
    call: &Call<'_>,
    object: &dyn Object,
    options: &WriteOptions,
    generated: bool,
) -> Result<bytes::Bytes, Status> {
    let charge = admission::charge(&review(call), object, None, options.dry_run).await?;
    let written = write(call, object, options, generated).await;
    settle(charge, written.as_ref().err()).await;
    written
}

async fn write(
    call: &Call<'_>,
    object: &dyn Object,
    options: &WriteOptions,
    generated: bool,
) -> Result<bytes::Bytes, Status> {
    let name = object.meta().name.as_deref().unwrap_or_default();
    let key = call.key(name)?;
    let json = stored_form(call, object)?;
    let store = &call.engine.store;
    if options.dry_run {
        let existing = store.get(&key, store::At::Latest).await.map_err(super::read_failed)?;
        return match existing {
            Some(existing) => Err(exists(call, name, Some(&existing), generated)),
            None => Ok(json),
        };
    }
    match store.create(key.clone(), json, durability(call)).await {
        Ok(stored) => Ok(stored.entry.bytes().clone()),
        Err(WriteError::Conflict { .. }) => {
            let existing = store.get(&key, store::At::Known).await.ok().flatten();
            Err(exists(call, name, existing.as_ref(), generated))
        }
        Err(error) => Err(write_failed(&error)),
    }
}

/// The JSON that is stored of an object: of the stored version, and without a resource version.
pub(crate) fn stored_form(call: &Call<'_>, object: &dyn Object) -> Result<bytes::Bytes, Status> {
    let json = object.to_json().map_err(Status::internal_error)?;
    let Some(conversion) = call.resource.storage.conversion else { return Ok(json.into()) };
    let value = serde_json::from_slice(&json).map_err(Status::internal_error)?;
    let stored = crate::object::ordered_json(&(conversion.to_stored)(value));
    Ok(stored.map_err(Status::internal_error)?.into())
}

/// Events may be lost in a crash, as they may everywhere; nothing else may.
pub(crate) fn durability(call: &Call<'_>) -> Durability {
    if &*call.resource.storage.path == "core/events" { Durability::Behind } else { Durability::Flushed }
}

/// The same for a write over what is stored at `key`. What is stale is gone for good once the write is acknowledged, so that its
/// key can be given up.
pub(crate) fn durability_over(call: &Call<'_>, key: &store::Key, stored: &Stored<Entry>) -> Durability {
    if call.engine.store.codec().is_stale(key, &stored.entry) { Durability::Flushed } else { durability(call) }
}

fn exists(call: &Call<'_>, name: &str, existing: Option<&Stored<Entry>>, generated: bool) -> Status {
    let resource = call.group_resource();
    if generated {
        return Status::generate_name_conflict(&resource, name, 1);
    }
    let mut status = Status::already_exists(&resource, name);
    let going = existing.is_some_and(|stored| {
        let object = call.kind().decode_stored(stored.entry.bytes());
        object.is_ok_and(|object| object.meta().deletion_timestamp.is_some())
    });
    if going {
        status.message = format!("object is being deleted: {}", status.message);
    }
    status
}
