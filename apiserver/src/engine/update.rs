//! `update`: replacing an object, or the part of it that a subresource is; and what every other change is made of.

use std::borrow::Cow;

use api::status::Status;
use bytes::Bytes;
use http::StatusCode;
use store::{At, Key, Revision, Stored, WriteError};

use super::body::{self, Body};
use super::{Answer, Call, answer, create, metadata, read_failed, write_failed};
use crate::admission::{self, Operation, Review};
use crate::entry::Entry;
use crate::kind::Kind;
use crate::object::Object;
use crate::request::WriteOptions;
use crate::reservation::Reservation;

/// How often a change that states no version is tried against a newer one before the client is told of the conflict.
const MAX_ATTEMPTS: usize = 5;

/// What became of a change.
pub(crate) enum Changed {
    /// The object did not exist and was made.
    Created(Bytes),
    /// The object is now this.
    Updated(Bytes),
}

/// A change of one object. `Sync`, because it may be tried several times.
pub(crate) trait Change: Send + Sync {
    /// The new object, of the old one; `None` if there is none.
    fn apply(&self, call: &Call<'_>, old: Option<&Current>) -> Result<Box<dyn Object>, Status>;

    /// Whether the object that [`apply`](Change::apply) returns has been given defaults.
    fn is_defaulted(&self) -> bool {
        false
    }
}

/// An object as it is before a change.
pub(crate) struct Current {
    /// The object, with its resource version.
    pub(crate) object: Box<dyn Object>,
    /// Its JSON, of the version that the request is about.
    pub(crate) json: Bytes,
    pub(crate) revision: Revision,
}

impl Current {
    pub(crate) fn new(call: &Call<'_>, key: &Key, stored: &Stored<Entry>) -> Result<Current, Status> {
        super::unreadable::check(&call.engine.store, key, &stored.entry)?;
        let json = super::read::served(call, stored.entry.bytes())?;
        let object = call.kind().decode_stored(&json).map_err(Status::internal_error)?;
        Ok(Current { object, json, revision: stored.revision })
    }
}

/// Answers an update of the object, or through `subresource` of a part of it.
pub(crate) async fn update(call: &Call<'_>, body: &Body, subresource: Option<&str>) -> Result<Answer, Status> {
    let options = WriteOptions::parse(call.query, "UpdateOptions")?;
    let object = body::decode(call, body, options.field_validation)?;
    check_name(call, &*object)?;
    let changed = change(call, &Replace(object), subresource, &options).await?;
    reply(call, changed)
}

/// The answer to a change.
pub(crate) fn reply(call: &Call<'_>, changed: Changed) -> Result<Answer, Status> {
    let (code, stored) = match changed {
        Changed::Created(stored) => (StatusCode::CREATED, stored),
        Changed::Updated(stored) => (StatusCode::OK, stored),
    };
    answer::object(call, code, &super::read::served(call, &stored)?)
}

struct Replace(Box<dyn Object>);

impl Change for Replace {
    fn apply(&self, _: &Call<'_>, _: Option<&Current>) -> Result<Box<dyn Object>, Status> {
        Ok(self.0.copy())
    }
}

fn check_name(call: &Call<'_>, object: &dyn Object) -> Result<(), Status> {
    let stated = object.meta().name.as_deref().unwrap_or_default();
    let name = &call.target.name;
    if stated.is_empty() {
        return Err(Status::bad_request("name must be provided"));
    }
    if stated != name {
        let message = format!("the name of the object ({stated}) does not match the name on the URL ({name})");
        return Err(Status::bad_request(message));
    }
    Ok(())
}

/// Applies `change` to the object that `call` names, again if somebody else was quicker, and writes the result.
pub(crate) async fn change(
    call: &Call<'_>,
    change: &dyn Change,
    subresource: Option<&str>,
    options: &WriteOptions,
) -> Result<Changed, Status> {
    let name = &call.target.name;
    let key = call.key(name)?;
    // The first attempt trusts what this process knows; whoever lost a race looks again.
    for attempt in 0..MAX_ATTEMPTS {
        let at = if attempt == 0 { At::Known } else { At::Latest };
        let stored = call.engine.store.get(&key, at).await.map_err(read_failed)?;
        let outcome = match stored {
            Some(stored) => step(call, change, subresource, options, &key, &stored).await?,
            None if attempt == 0 => continue,
            None if call.kind().allow_create_on_update() && subresource.is_none() => {
                return create_instead(call, change, options).await;
            }
            None => return Err(Status::not_found(&call.group_resource(), name)),
        };
        if let Some(changed) = outcome {
            return Ok(changed);
        }
    }
    Err(Status::conflict(&call.group_resource(), name, metadata::MODIFIED))
}

async fn create_instead(call: &Call<'_>, change: &dyn Change, options: &WriteOptions) -> Result<Changed, Status> {
    let object = change.apply(call, None)?;
    let meta = object.meta();
    if let Some(uid) = meta.uid.as_deref().filter(|uid| !uid.is_empty()) {
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: ");
        return Err(Status::conflict(&call.group_resource(), &call.target.name, why));
    }
    create::insert(call, object, options).await.map(Changed::Created)
}

/// One attempt. `None` says that the object changed in the meantime.
async fn step(
    call: &Call<'_>,
    change: &dyn Change,
    subresource: Option<&str>,
    options: &WriteOptions,
    key: &Key,
    stored: &Stored<Entry>,
) -> Result<Option<Changed>, Status> {
    let kind = call.kind();
    let old = Current::new(call, key, stored)?;
    let mut new = change.apply(call, Some(&old))?;
    if let Err(status) = check_version(call, &mut *new, &old) {
        return retry_unless_latest(call, key, &old, status).await;
    }
    if !change.is_defaulted() {
        kind.default(&mut *new);
    }
    metadata::carry_over(call, &mut *new, &*old.object)?;
    call.check_escalation(&*new, Some(&*old.object))?;
    let review = Review { call, operation: Operation::Update, subresource: subresource.unwrap_or_default() };
    admission::mutate(&review, &mut *new, Some(&*old.object)).await?;
    prepare(call, kind, subresource, &mut *new, &*old.object);
    let reservation = match subresource {
        None => kind.reserve(&call.engine.ledger, &mut *new, Some(&*old.object), options.dry_run).await?,
        Some(_) => Reservation::none(),
    };
    let own = match subresource {
        None => kind.validate_update(&*new, &*old.object),
        Some(subresource) => kind.validate_subresource(subresource, &*new, &*old.object),
    };
    let outcome = match metadata::validate_changed(call, &*new, &*old.object, own) {
        Ok(()) => {
            let warnings = kind.warnings(&*new, Some(&*old.object));
            warnings.into_iter().for_each(|warning| call.warn(warning));
            match admission::validate(&review, &*new, Some(&*old.object)).await {
                Ok(()) => commit_charged(&review, &mut *new, &old, stored, key, options).await,
                Err(status) => Err(status),
            }
        }
        Err(status) => Err(status),
    };
    settle(reservation, &outcome).await;
    outcome
}

/// Ends a reservation as the attempt went that it was made for.
async fn settle(reservation: Reservation, outcome: &Result<Option<Changed>, Status>) {
    match outcome {
        Ok(None) => reservation.roll_back().await,
        settled => create::settle(reservation, settled.as_ref().err()).await,
    }
}

/// Writes what has changed, charged to the quotas of its namespace.
async fn commit_charged(
    review: &Review<'_>,
    new: &mut dyn Object,
    old: &Current,
    stored: &Stored<Entry>,
    key: &Key,
    options: &WriteOptions,
) -> Result<Option<Changed>, Status> {
    let charge = admission::charge(review, &*new, Some(&*old.object), options.dry_run).await?;
    let subresource = Some(review.subresource).filter(|subresource| !subresource.is_empty());
    let outcome = commit(review.call, new, old, stored, key, options, subresource).await;
    settle(charge, &outcome).await;
    outcome
}

/// What was judged against a state that is not the newest may be wrong.
async fn retry_unless_latest(
    call: &Call<'_>,
    key: &Key,
    old: &Current,
    status: Status,
) -> Result<Option<Changed>, Status> {
    let latest = call.engine.store.get(key, At::Latest).await.map_err(read_failed)?;
    match latest {
        Some(latest) if latest.revision == old.revision => Err(status),
        _ => Ok(None),
    }
}

fn prepare(call: &Call<'_>, kind: &dyn Kind, subresource: Option<&str>, new: &mut dyn Object, old: &dyn Object) {
    match subresource {
        None => {
            kind.prepare_update(new, old, call.context());
            if let Some(generation) = kind.next_generation(new, Some(old)) {
                new.meta_mut().generation = Some(generation);
            }
        }
        Some(subresource) => {
            kind.prepare_subresource(subresource, new, old, call.context());
            // Neither a status nor what the server itself does asks for anything.
            if !matches!(subresource, "status" | "binding" | "eviction")
                && let Some(generation) = kind.next_generation(new, Some(old))
            {
                new.meta_mut().generation = Some(generation);
            }
        }
    }
}

/// Checks the version and the identity that the client states, and states the version if it did not.
fn check_version(call: &Call<'_>, new: &mut dyn Object, old: &Current) -> Result<(), Status> {
    let name = &call.target.name;
    let conflict = |why: Cow<'_, str>| Status::conflict(&call.group_resource(), name, why);
    let meta = new.meta_mut();
    let uid = old.object.meta().uid.as_deref().unwrap_or_default();
    if let Some(stated) = meta.uid.as_deref().filter(|stated| !stated.is_empty() && *stated != uid) {
        let why = format!("Precondition failed: UID in precondition: {stated}, UID in object meta: {uid}");
        return Err(conflict(why.into()));
    }
    let stated = meta.resource_version.as_deref().filter(|version| !version.is_empty() && *version != "0");
    let Some(stated) = stated else {
        if !call.kind().allow_unconditional_update() {
            return Err(metadata::version_required(call, name));
        }
        meta.resource_version = Some(old.revision.to_string());
        return Ok(());
    };
    let Ok(version) = stated.parse::<u64>() else {
        let quoted = api::field::go_quote(stated);
        let message =
            format!("resourceVersion: Invalid value: {quoted}: strconv.ParseUint: parsing {quoted}: invalid syntax");
        return Err(Status::bad_request(message));
    };
    if Revision(version) != old.revision {
        return Err(conflict(metadata::MODIFIED.into()));
    }
    Ok(())
}

/// Writes `new` if it differs from what is stored. `None` says that what is stored has changed.
async fn commit(
    call: &Call<'_>,
    new: &mut dyn Object,
    old: &Current,
    stored: &Stored<Entry>,
    key: &Key,
    options: &WriteOptions,
    subresource: Option<&str>,
) -> Result<Option<Changed>, Status> {
    if super::delete::ends_with_update(call, new, &*old.object, subresource) {
        return super::delete::finish(call, new, key, stored, options.dry_run).await;
    }
    let version = new.meta_mut().resource_version.take();
    let json = create::stored_form(call, new)?;
    new.meta_mut().resource_version = version;
    // What is stored otherwise than it would be now is written again, even if nothing of it has changed.
    let is_stale = call.engine.store.codec().is_stale(key, &stored.entry);
    if !is_stale && same_but_for_version(&json, stored.entry.bytes()) {
        return Ok(Some(Changed::Updated(stored.entry.bytes().clone())));
    }
    if options.dry_run {
        let shown = new.to_json().map_err(Status::internal_error)?;
        return Ok(Some(Changed::Updated(shown.into())));
    }
    match call.engine.store.update(key.clone(), stored.revision, json, create::durability_over(call, key, stored)).await
    {
        Ok(updated) => Ok(Some(Changed::Updated(updated.entry.bytes().clone()))),
        Err(WriteError::Conflict { .. }) => Ok(None),
        Err(error) => Err(write_failed(&error)),
    }
}

/// Whether what would be written is what is stored, whose bytes have a resource version besides.
fn same_but_for_version(json: &[u8], stored: &[u8]) -> bool {
    const MARK: &[u8] = br#","resourceVersion":""#;
    if stored.len() <= json.len() {
        return false;
    }
    // The stored bytes are the written ones with one piece spliced in.
    let common = json.iter().zip(stored).take_while(|(one, two)| one == two).count();
    let spliced = stored.len() - json.len();
    let inserted_at = |start: usize| {
        stored[start..].starts_with(MARK)
            && stored[start..start + spliced].ends_with(b"\"")
            && json[start..] == stored[start + spliced..]
    };
    // The piece may begin before the first difference, where it begins like what it was put before.
    (common.saturating_sub(MARK.len())..=common).any(inserted_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_version_may_differ() {
        let cases = [
            (r#"{"metadata":{"uid":"u"}}"#, r#"{"metadata":{"uid":"u","resourceVersion":"12"}}"#, true),
            (r#"{"metadata":{"uid":"u","a":"b"}}"#, r#"{"metadata":{"uid":"u","resourceVersion":"12","a":"b"}}"#, true),
            (r#"{"metadata":{"uid":"u","r":1}}"#, r#"{"metadata":{"uid":"u","resourceVersion":"12","r":1}}"#, true),
            (r#"{"metadata":{"uid":"v"}}"#, r#"{"metadata":{"uid":"u","resourceVersion":"12"}}"#, false),
            (r#"{"metadata":{"uid":"u"}}"#, r#"{"metadata":{"uid":"u","resourceVersion":"12"},"x":1}"#, false),
            (r#"{"metadata":{"uid":"u"},"x":1}"#, r#"{"metadata":{"uid":"u","resourceVersion":"12"}}"#, false),
            (r#"{"metadata":{"uid":"u"}}"#, r#"{"metadata":{"uid":"u"}}"#, false),
        ];
        for (json, stored, expected) in cases {
            assert_eq!(same_but_for_version(json.as_bytes(), stored.as_bytes()), expected, "{json} in {stored}");
        }
    }
}
