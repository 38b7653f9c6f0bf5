//! Objects of which what is stored cannot be read: no key of the encryption configuration opens it.
//!
//! Reads of such an object, of lists that it is in, and watches that come to it fail, with an error that names it. Whoever may do so
//! deletes it unread.

use api::field::{Error, ErrorList, Path};
use api::status::{GroupKind, Status};
use store::{Key, Store, Stored};

use super::{Call, create, write_failed};
use crate::authz::{Attributes, Decision};
use crate::entry::{Entry, Objects};
use crate::request::DeleteOptions;
use store::WriteError;

/// The verb that it takes to delete objects unread, beside `delete`.
const VERB: &str = "unsafe-delete-ignore-read-errors";

/// The option of delete by which it is asked for.
const OPTION: &str = "ignoreStoreReadErrorWithClusterBreakingPotential";

/// Fails if an entry that was found at `key` cannot be read.
///
/// That is for clients to see if it is what is stored now. What has been superseded is history which a key opened that is gone
/// since: it has expired for them.
pub(crate) fn check(store: &Store<Objects>, key: &Key, entry: &Entry) -> Result<(), Status> {
    let Some(why) = entry.unreadable() else { return Ok(()) };
    if store.known(key).is_none_or(|now| now.entry.unreadable().is_none()) {
        return Err(Status::resource_expired("The resourceVersion for the provided list is too old."));
    }
    let key = api::field::go_quote(key.as_str());
    Err(Status::internal_error(format!(
        "unable to transform key {key}: {why}; put back the key that it was encrypted with, or delete it by the option {OPTION}"
    )))
}

/// Deletes an object unread, without regard to finalizers and preconditions. `None` says that it has changed in the meantime.
pub(crate) async fn delete(
    call: &Call<'_>,
    key: &Key,
    stored: &Stored<Entry>,
    name: &str,
) -> Result<Option<()>, Status> {
    authorize(call, name)?;
    if stored.entry.unreadable().is_none() {
        let why = "is exclusively used to delete corrupt object(s), try again by removing this option";
        let errors = ErrorList::from(Error::invalid(&Path::new(OPTION), true, why));
        let kind = GroupKind::new(call.names().group.clone(), call.names().plural.clone());
        return Err(Status::invalid(&kind, name, &errors));
    }
    match call.engine.store.delete(key.clone(), stored.revision, create::durability_over(call, key, stored)).await {
        Ok(_) => {
            tracing::warn!(key = key.as_str(), "an object that cannot be read was deleted unread");
            Ok(Some(()))
        }
        Err(WriteError::Conflict { .. }) => Ok(None),
        Err(error) => Err(write_failed(&error)),
    }
}

fn authorize(call: &Call<'_>, name: &str) -> Result<(), Status> {
    let Some(identity) = call.identity else { return Ok(()) };
    let attributes = Attributes {
        verb: VERB.to_owned(),
        namespace: call.namespace().to_owned(),
        group: call.target.group.clone(),
        version: call.target.version.clone(),
        resource: call.target.resource.clone(),
        name: name.to_owned(),
        ..Attributes::default()
    };
    let reason = match call.engine.access().authorizer.authorize(identity, &attributes) {
        Decision::Allow(_) => return Ok(()),
        Decision::Deny(reason) | Decision::NoOpinion(reason) => reason,
    };
    let why = format!("not permitted to do {VERB:?}, reason: {reason}");
    Err(Status::forbidden(&call.group_resource(), name, &why))
}

/// Refuses to delete unread what is not named, and other options beside the one that asks to: they would have no effect.
pub(crate) fn check_options(options: &DeleteOptions, of_collection: bool) -> Result<(), Status> {
    if !options.ignore_read_error {
        return Ok(());
    }
    let others = [
        ("dryRun", options.dry_run),
        ("propagationPolicy", options.propagation.is_some()),
        ("orphanDependents", options.orphan_dependents.is_some()),
        ("gracePeriodSeconds", options.grace_period_seconds.is_some()),
        ("preconditions", options.preconditions != Default::default()),
    ];
    let others = others.into_iter().filter(|(_, stated)| *stated);
    let mut details: Vec<String> = others.map(|(other, _)| format!("cannot be set together with .{other}")).collect();
    if details.is_empty() && of_collection {
        details.push("is not allowed with DELETECOLLECTION, try again after removing the option".to_owned());
    }
    let errors: ErrorList =
        details.into_iter().map(|detail| Error::invalid(&Path::new(OPTION), true, detail)).collect();
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(&GroupKind::new("meta.k8s.io", "DeleteOptions"), "", &errors))
}
