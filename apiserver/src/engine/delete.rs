//! `delete` and `deletecollection`: ending objects, at once, gracefully, or when their finalizers are done.

use api::status::{GroupResource, Status, StatusDetails};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use http::{HeaderMap, StatusCode};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::SignedDuration;
use store::{At, Key, Stored, WriteError};

use super::body::Body;
use super::update::{Changed, Current};
use super::{Answer, Call, answer, create, lifecycle, list, metadata, read_failed, unreadable, write_failed};
use crate::admission;
use crate::entry::Entry;
use crate::object::Object;
use crate::request::{DeleteOptions, ListOptions, Propagation, Query, Target, Verb};
use crate::strategy::{Companion, Grace};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// How often a deletion is tried against a newer object.
const MAX_ATTEMPTS: usize = 5;

/// What became of a deletion.
pub(crate) enum Deleted {
    /// The object is gone; this is what it was.
    Gone(Box<dyn Object>, Bytes),
    /// The object stays for now, marked.
    Pending(Bytes),
    /// The object is gone, and nobody knows what it was.
    Unread,
}

/// Answers a delete.
pub(crate) async fn delete(call: &Call<'_>, body: &Body) -> Result<Answer, Status> {
    lifecycle::admit_delete_by_name(call)?;
    let options = options(call, body)?;
    unreadable::check_options(&options, false)?;
    warn_of_orphans(call, &options);
    let cascades = options.orphan_dependents == Some(false);
    match delete_one(call, &call.target.name, &options).await? {
        Deleted::Gone(_, json) if call.kind().returns_deleted_object() => {
            answer::object(call, StatusCode::OK, &super::read::served(call, &json)?)
        }
        Deleted::Gone(object, _) => {
            // This success has never stated a code.
            let mut status = Status::success(Some(details(call, object.meta())));
            status.code = 0;
            answer::other(call, StatusCode::OK, serde_json::to_vec(&status).map_err(Status::internal_error)?)
        }
        Deleted::Unread => {
            let meta = ObjectMeta { name: Some(call.target.name.clone()), ..ObjectMeta::default() };
            let status = Status::success(Some(details(call, &meta)));
            answer::other(call, StatusCode::OK, serde_json::to_vec(&status).map_err(Status::internal_error)?)
        }
        Deleted::Pending(json) => {
            // Others that wait keep the code that clients have always got.
            let code = if cascades { StatusCode::ACCEPTED } else { StatusCode::OK };
            answer::object(call, code, &super::read::served(call, &json)?)
        }
    }
}

/// How many objects of a collection are deleted at a time.
const AT_ONCE: usize = 32;

/// Answers a deletecollection with the objects that it deleted.
pub(crate) async fn delete_collection(call: &Call<'_>, body: &Body) -> Result<Answer, Status> {
    let options = options(call, body)?;
    unreadable::check_options(&options, true)?;
    warn_of_orphans(call, &options);
    let selected = ListOptions::parse(call.query, false)?;
    let page = list::page(call, selected).await?;
    // Some at a time, so that they share flushes of the store. What has begun is brought to its end, whatever fails beside it.
    for some in page.entries.chunks(AT_ONCE) {
        let mut deletions: Vec<BoxFuture<'_, Result<Deleted, Status>>> = Vec::with_capacity(some.len());
        for (key, _) in some {
            let name = key.as_str().rsplit('/').next().unwrap_or_default();
            deletions.push(delete_one(call, name, &options).boxed());
        }
        for deleted in join_all(deletions).await {
            match deleted {
                Ok(_) => {}
                // Somebody else was quicker.
                Err(status) if status.code == 404 => {}
                Err(status) => return Err(status),
            }
        }
    }
    list::answer_page(call, &page)
}

fn options(call: &Call<'_>, body: &Body) -> Result<DeleteOptions, Status> {
    let value = if body.bytes.is_empty() {
        None
    } else {
        let json = body.json()?;
        let value = serde_json::from_slice(&json)
            .map_err(|error| Status::bad_request(format!("unable to decode DeleteOptions: {error}")))?;
        Some(value)
    };
    DeleteOptions::parse(call.query, value)
}

/// Tells a client that has not said what is to become of an object's dependents that they will stay, if they will.
fn warn_of_orphans(call: &Call<'_>, options: &DeleteOptions) {
    if options.orphan_dependents.is_none() && options.propagation.is_none() {
        call.kind().orphans_by_default().into_iter().for_each(|warning| call.warn(warning));
    }
}

fn details(call: &Call<'_>, meta: &ObjectMeta) -> StatusDetails {
    StatusDetails {
        name: meta.name.clone().unwrap_or_default(),
        group: call.names().group.to_string(),
        kind: call.names().plural.to_string(),
        uid: meta.uid.clone().unwrap_or_default(),
        ..StatusDetails::default()
    }
}

pub(crate) async fn delete_one(call: &Call<'_>, name: &str, options: &DeleteOptions) -> Result<Deleted, Status> {
    lifecycle::admit_delete(call, name)?;
    let key = call.key(name)?;
    for _ in 0..MAX_ATTEMPTS {
        let stored = call.engine.store.get(&key, At::Latest).await.map_err(read_failed)?;
        let stored = stored.ok_or_else(|| Status::not_found(&call.group_resource(), name))?;
        if options.ignore_read_error {
            match unreadable::delete(call, &key, &stored, name).await? {
                Some(()) => return Ok(Deleted::Unread),
                None => continue,
            }
        }
        let current = Current::new(call, &key, &stored)?;
        check_preconditions(call, options, &current)?;
        // What the server itself ends is a part of what was admitted, as the deletion by an eviction is.
        if call.identity.is_some() && matches!(call.target.verb, Verb::Delete | Verb::DeleteCollection) {
            admission::delete(call, &*current.object).await?;
        }
        if let Some(deleted) = attempt(call, options, &key, &stored, current).await? {
            return Ok(deleted);
        }
    }
    Err(Status::conflict(&call.group_resource(), name, metadata::MODIFIED))
}

pub(crate) fn check_preconditions(call: &Call<'_>, options: &DeleteOptions, current: &Current) -> Result<(), Status> {
    let meta = current.object.meta();
    let name = meta.name.as_deref().unwrap_or_default();
    // Upstream names the kind here where it names the resource elsewhere.
    let what = GroupResource::new(call.names().group.clone(), call.names().kind.clone());
    let uid = meta.uid.as_deref().unwrap_or_default();
    if let Some(wanted) = options.preconditions.uid.as_deref().filter(|wanted| *wanted != uid) {
        let why = format!(
            "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might have been \
             deleted and then recreated"
        );
        return Err(Status::conflict(&what, name, why));
    }
    let version = current.revision.to_string();
    if let Some(wanted) = options.preconditions.resource_version.as_deref().filter(|wanted| *wanted != version) {
        let why = format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({version}). \
             The object might have been modified"
        );
        return Err(Status::conflict(&what, name, why));
    }
    Ok(())
}

/// One attempt. `None` says that the object changed in the meantime.
async fn attempt(
    call: &Call<'_>,
    options: &DeleteOptions,
    key: &Key,
    stored: &Stored<Entry>,
    current: Current,
) -> Result<Option<Deleted>, Status> {
    let mut object = current.object;
    if lifecycle::is_namespace(&*object) {
        return delete_namespace(call, options, key, stored, object).await;
    }
    let grace = match grace(call, &mut *object, options) {
        Ending::Pending => return Ok(Some(Deleted::Pending(stored.entry.bytes().clone()))),
        Ending::Now => None,
        Ending::After(seconds) => Some(seconds),
    };
    let finalizers = finalizers(object.meta(), options, call.kind().orphans_by_default().is_some());
    let changed = finalizers.as_slice() != object.meta().finalizers.as_deref().unwrap_or_default();
    let waits_for_finalizers = !finalizers.is_empty();
    if changed {
        object.meta_mut().finalizers = (!finalizers.is_empty()).then_some(finalizers);
    }
    if waits_for_finalizers && grace.is_none() {
        mark(object.meta_mut(), Time(call.now));
    }
    if waits_for_finalizers || grace.is_some_and(|seconds| seconds > 0) {
        return pend(call, &mut *object, key, stored, options.dry_run).await;
    }
    remove(call, object, key, stored, options.dry_run).await
}

/// How an object ends.
enum Ending {
    /// As soon as its finalizers let it.
    Now,
    /// Gracefully, within this many seconds. The object has been marked.
    After(i64),
    /// It is ending already, and sooner than was asked for.
    Pending,
}

/// Applies the kind's grace to the object (upstream's `BeforeDelete`).
fn grace(call: &Call<'_>, object: &mut dyn Object, options: &DeleteOptions) -> Ending {
    // A negative period has always counted as one second.
    let requested = options.grace_period_seconds.map(|seconds| if seconds < 0 { 1 } else { seconds });
    let Grace::Seconds(seconds) = call.kind().grace(object, requested) else { return Ending::Now };
    let meta = object.meta_mut();
    if let Some(marked) = meta.deletion_timestamp.clone() {
        let period = meta.deletion_grace_period_seconds.unwrap_or(0);
        return match requested {
            _ if period == 0 => Ending::Now,
            // It may only end sooner.
            Some(sooner) if sooner < period => {
                let at = marked.0 - SignedDuration::from_secs(period) + SignedDuration::from_secs(sooner);
                meta.deletion_timestamp = Some(Time(at));
                meta.deletion_grace_period_seconds = Some(sooner);
                Ending::After(sooner)
            }
            _ => Ending::Pending,
        };
    }
    meta.deletion_timestamp = Some(Time(call.now + SignedDuration::from_secs(seconds)));
    meta.deletion_grace_period_seconds = Some(seconds);
    bump_generation(meta);
    Ending::After(seconds)
}

/// Marks an object that does not end gracefully but has finalizers.
fn mark(meta: &mut ObjectMeta, now: Time) {
    if meta.deletion_timestamp.is_none() {
        bump_generation(meta);
    }
    if meta.deletion_timestamp.as_ref().is_none_or(|marked| marked.0 > now.0) {
        meta.deletion_timestamp = Some(now);
    }
    meta.deletion_grace_period_seconds = Some(0);
}

/// Whoever acts on the specification is to notice that the object is ending.
fn bump_generation(meta: &mut ObjectMeta) {
    if let Some(generation) = meta.generation.as_mut().filter(|generation| **generation > 0) {
        *generation += 1;
    }
}

/// The finalizers that the object is to have, given what is to become of its dependents. What it has already counts if the
/// client says nothing, and then what is usual of its kind.
fn finalizers(meta: &ObjectMeta, options: &DeleteOptions, orphans_by_default: bool) -> Vec<String> {
    let present = meta.finalizers.as_deref().unwrap_or_default();
    let has = |name: &str| present.iter().any(|finalizer| finalizer == name);
    let (orphan, foreground) = match (options.orphan_dependents, options.propagation) {
        (Some(orphan), _) => (orphan, false),
        (None, Some(policy)) => (policy == Propagation::Orphan, policy == Propagation::Foreground),
        (None, None) if has(FOREGROUND) => (false, true),
        (None, None) => (has(ORPHAN) || orphans_by_default, false),
    };
    let others = present.iter().filter(|finalizer| *finalizer != ORPHAN && *finalizer != FOREGROUND);
    let mut wanted: Vec<String> = others.cloned().collect();
    wanted.extend(orphan.then(|| ORPHAN.to_owned()));
    wanted.extend(foreground.then(|| FOREGROUND.to_owned()));
    let same = wanted.len() == present.len() && wanted.iter().all(|finalizer| has(finalizer));
    if same { present.to_vec() } else { wanted }
}

/// Writes the object as marked.
async fn pend(
    call: &Call<'_>,
    object: &mut dyn Object,
    key: &Key,
    stored: &Stored<Entry>,
    dry_run: bool,
) -> Result<Option<Deleted>, Status> {
    if dry_run {
        return Ok(Some(Deleted::Pending(object.to_json().map_err(Status::internal_error)?.into())));
    }
    object.meta_mut().resource_version = None;
    let json = create::stored_form(call, object)?;
    match call.engine.store.update(key.clone(), stored.revision, json, create::durability_over(call, key, stored)).await
    {
        Ok(updated) => Ok(Some(Deleted::Pending(updated.entry.bytes().clone()))),
        Err(WriteError::Conflict { .. }) => Ok(None),
        Err(error) => Err(write_failed(&error)),
    }
}

/// Removes the object.
async fn remove(
    call: &Call<'_>,
    object: Box<dyn Object>,
    key: &Key,
    stored: &Stored<Entry>,
    dry_run: bool,
) -> Result<Option<Deleted>, Status> {
    if dry_run {
        return Ok(Some(Deleted::Gone(object, stored.entry.bytes().clone())));
    }
    match call.engine.store.delete(key.clone(), stored.revision, create::durability_over(call, key, stored)).await {
        Ok(tombstone) => {
            after(call, &*object).await;
            Ok(Some(Deleted::Gone(object, tombstone.entry.bytes().clone())))
        }
        Err(WriteError::Conflict { .. }) => Ok(None),
        Err(error) => Err(write_failed(&error)),
    }
}

/// What is left to do when an object has gone. It has, whether or not all of this succeeds.
///
/// Boxed, because this is a part of a deletion and may contain one.
fn after<'a>(call: &'a Call<'_>, object: &'a dyn Object) -> BoxFuture<'a, ()> {
    async move {
        call.kind().release(&call.engine.ledger, object).await;
        let name = object.meta().name.as_deref().unwrap_or_default();
        for companion in call.kind().companions() {
            match delete_companion(call, companion, name).await {
                Ok(()) => {}
                Err(status) if status.code == 404 => {}
                Err(status) => {
                    let (namespace, why) = (call.namespace(), &status.message);
                    tracing::warn!(
                        ?companion,
                        namespace,
                        name,
                        why,
                        "what was to go with a deleted object is still there"
                    );
                }
            }
        }
    }
    .boxed()
}

async fn delete_companion(call: &Call<'_>, companion: &Companion, name: &str) -> Result<(), Status> {
    let Companion { group, version, resource } = *companion;
    let target = Target {
        verb: Verb::Delete,
        group: group.to_owned(),
        version: version.to_owned(),
        namespace: call.namespace().to_owned(),
        resource: resource.to_owned(),
        name: name.to_owned(),
        subresource: String::new(),
    };
    let resources = call.engine.registry.resources();
    let Some(resource) = resources.find(group, version, resource) else { return Ok(()) };
    let (query, headers) = (Query::default(), HeaderMap::new());
    let call = Call::new(call.engine, &target, resource, &query, &headers);
    delete_one(&call, name, &DeleteOptions::default()).await.map(drop)
}

/// A namespace ends when everything in it has gone, which its own finalizers stand for.
async fn delete_namespace(
    call: &Call<'_>,
    options: &DeleteOptions,
    key: &Key,
    stored: &Stored<Entry>,
    mut object: Box<dyn Object>,
) -> Result<Option<Deleted>, Status> {
    let first = object.meta().deletion_timestamp.is_none();
    let wanted = finalizers(object.meta(), options, false);
    if first {
        object.meta_mut().finalizers = (!wanted.is_empty()).then_some(wanted);
        lifecycle::mark_terminating(&mut *object, call.now);
    }
    if lifecycle::holds_content(&*object) || object.meta().finalizers.is_some() {
        if first {
            return pend(call, &mut *object, key, stored, options.dry_run).await;
        }
        return Ok(Some(Deleted::Pending(stored.entry.bytes().clone())));
    }
    remove(call, object, key, stored, options.dry_run).await
}

/// Whether an update is the last thing that happens to an object: it was being deleted, and nothing holds it any more.
pub(crate) fn ends_with_update(
    _call: &Call<'_>,
    new: &dyn Object,
    old: &dyn Object,
    _subresource: Option<&str>,
) -> bool {
    let ends = new.meta().finalizers.as_ref().is_none_or(Vec::is_empty)
        && old.meta().deletion_timestamp.is_some()
        && old.meta().deletion_grace_period_seconds.unwrap_or(0) == 0;
    ends && !lifecycle::holds_content(new)
}

/// Removes an object whose last update ends it; the answer is that update all the same.
pub(crate) async fn finish(
    call: &Call<'_>,
    new: &mut dyn Object,
    key: &Key,
    stored: &Stored<Entry>,
    dry_run: bool,
) -> Result<Option<Changed>, Status> {
    let shown: Bytes = new.to_json().map_err(Status::internal_error)?.into();
    if dry_run {
        return Ok(Some(Changed::Updated(shown)));
    }
    match call.engine.store.delete(key.clone(), stored.revision, create::durability_over(call, key, stored)).await {
        Ok(_) => {
            after(call, new).await;
            Ok(Some(Changed::Updated(shown)))
        }
        Err(WriteError::Conflict { .. }) => Ok(None),
        Err(error) => Err(write_failed(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn propagation_decides_the_finalizers() {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let check = |present: &[&str], orphan: Option<bool>, policy: Option<Propagation>, expected: &[&str]| {
            let meta = ObjectMeta { finalizers: Some(owned(present)), ..ObjectMeta::default() };
            let options = DeleteOptions { orphan_dependents: orphan, propagation: policy, ..DeleteOptions::default() };
            assert_eq!(finalizers(&meta, &options, false), owned(expected), "{present:?} {orphan:?} {policy:?}");
        };
        check(&[], None, None, &[]);
        check(&["x"], None, None, &["x"]);
        check(&["x"], None, Some(Propagation::Foreground), &["x", FOREGROUND]);
        check(&[FOREGROUND, "x"], None, Some(Propagation::Foreground), &[FOREGROUND, "x"]);
        check(&[FOREGROUND, "x"], None, Some(Propagation::Orphan), &["x", ORPHAN]);
        check(&[FOREGROUND, ORPHAN], None, Some(Propagation::Background), &[]);
        check(&[ORPHAN], None, None, &[ORPHAN]);
        check(&[ORPHAN], Some(false), None, &[]);
        check(&[], Some(true), None, &[ORPHAN]);

        let check = |present: &[&str], options: &DeleteOptions, expected: &[&str]| {
            let meta = ObjectMeta { finalizers: Some(owned(present)), ..ObjectMeta::default() };
            assert_eq!(finalizers(&meta, options, true), owned(expected), "by default: {present:?} {options:?}");
        };
        let background = DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
        check(&["x"], &DeleteOptions::default(), &["x", ORPHAN]);
        check(&[FOREGROUND], &DeleteOptions::default(), &[FOREGROUND]);
        check(&["x"], &background, &["x"]);
    }
}
