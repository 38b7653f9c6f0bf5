//! What the server states in an object's metadata, and what a client may not.

use api::field::{Error, ErrorList, Path};
use api::status::{GroupKind, Status};
use api::validate::meta::{validate_object_meta, validate_object_meta_update};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use super::Call;
use crate::object::Object;

/// What a client is told whose object has changed under its hands.
pub(crate) const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

/// Sets what a new object gets from the server, and clears what a client may not state.
pub(crate) fn fill(call: &Call<'_>, object: &mut dyn Object) -> Result<(), Status> {
    check_namespace(call, object)?;
    let meta = object.meta_mut();
    meta.creation_timestamp = Some(Time(call.now));
    meta.uid = Some(call.engine.new_uid());
    meta.deletion_timestamp = None;
    meta.deletion_grace_period_seconds = None;
    meta.resource_version = None;
    meta.self_link = None;
    meta.generation = None;
    drop_unsupported(meta);
    if meta.name.as_deref().unwrap_or_default().is_empty()
        && let Some(base) = meta.generate_name.as_deref().filter(|base| !base.is_empty())
    {
        meta.name = Some(call.engine.new_name(base));
    }
    Ok(())
}

/// Clears what a client may not state of an object that is answered and not stored. Its UID stays where it says which
/// object is meant.
pub(crate) fn clear(call: &Call<'_>, object: &mut dyn Object) -> Result<(), Status> {
    check_namespace(call, object)?;
    let meta = object.meta_mut();
    meta.creation_timestamp = None;
    meta.deletion_timestamp = None;
    meta.deletion_grace_period_seconds = None;
    meta.self_link = None;
    drop_unsupported(meta);
    Ok(())
}

/// Puts the object into the namespace of the request, unless it says another one.
fn check_namespace(call: &Call<'_>, object: &mut dyn Object) -> Result<(), Status> {
    let namespaced = call.names().namespaced;
    let meta = object.meta_mut();
    let stated = meta.namespace.as_deref().unwrap_or_default();
    if !namespaced {
        if !stated.is_empty() {
            meta.namespace = None;
        }
        return Ok(());
    }
    let namespace = call.namespace();
    if stated.is_empty() {
        meta.namespace = Some(namespace.to_owned());
    } else if stated != namespace {
        let why = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Status::bad_request(why));
    }
    Ok(())
}

/// Carries over from `old` what an update may not change, and clears what it may not state.
pub(crate) fn carry_over(call: &Call<'_>, new: &mut dyn Object, old: &dyn Object) -> Result<(), Status> {
    check_namespace(call, new)?;
    let (meta, old) = (new.meta_mut(), old.meta());
    meta.generation = old.generation;
    meta.self_link = None;
    if meta.uid.as_deref().unwrap_or_default().is_empty() {
        meta.uid.clone_from(&old.uid);
    }
    if old.creation_timestamp.is_some() {
        meta.creation_timestamp.clone_from(&old.creation_timestamp);
    }
    if old.deletion_timestamp.is_some() {
        meta.deletion_timestamp.clone_from(&old.deletion_timestamp);
    }
    if meta.deletion_grace_period_seconds.is_none() {
        meta.deletion_grace_period_seconds = old.deletion_grace_period_seconds;
    }
    drop_unsupported(meta);
    Ok(())
}

/// Field ownership is not kept, so what a client says of it has no meaning.
fn drop_unsupported(meta: &mut ObjectMeta) {
    meta.managed_fields = None;
}

/// Everything that is wrong with a new object.
pub(crate) fn validate_new(call: &Call<'_>, object: &dyn Object) -> Result<(), Status> {
    let (kind, namespaced) = (call.kind(), call.names().namespaced);
    let path = Path::new("metadata");
    let mut errors = validate_object_meta(object.meta(), namespaced, api::names::object_path_segment, &path);
    errors.extend(validate_names(call, object, &path));
    errors.extend(kind.validate(object));
    refuse(call, object, &errors)
}

/// The kind's own rule for names, unless the general one has found fault already.
fn validate_names(call: &Call<'_>, object: &dyn Object, path: &Path) -> ErrorList {
    let meta = object.meta();
    let mut errors = ErrorList::default();
    let parts = [("generateName", &meta.generate_name, true), ("name", &meta.name, false)];
    for (field, name, prefix) in parts {
        let Some(name) = name.as_deref().filter(|name| !name.is_empty()) else { continue };
        if api::names::object_path_segment(name, prefix).is_empty() {
            errors.push_invalid(&path.child(field), name, call.kind().validate_name(name, prefix));
        }
    }
    errors
}

/// Everything that is wrong with a changed object. `own` is what its strategy, or its subresource's, finds.
pub(crate) fn validate_changed(
    call: &Call<'_>,
    new: &dyn Object,
    old: &dyn Object,
    own: ErrorList,
) -> Result<(), Status> {
    let namespaced = call.names().namespaced;
    let path = Path::new("metadata");
    let mut errors = validate_object_meta(new.meta(), namespaced, api::names::object_path_segment, &path);
    errors.extend(validate_object_meta_update(new.meta(), old.meta(), &path));
    errors.extend(own);
    refuse(call, new, &errors)
}

fn refuse(call: &Call<'_>, object: &dyn Object, errors: &ErrorList) -> Result<(), Status> {
    if errors.is_empty() {
        return Ok(());
    }
    let name = object.meta().name.as_deref().unwrap_or_default();
    Err(Status::invalid(&call.names().group_kind(), name, errors))
}

/// What a client is told that must state a resource version and did not.
pub(crate) fn version_required(call: &Call<'_>, name: &str) -> Status {
    let path = Path::new("metadata").child("resourceVersion");
    let error = Error::invalid(&path, 0, "must be specified for an update");
    let names = call.names();
    let kind = GroupKind::new(names.group.clone(), names.plural.clone());
    Status::invalid(&kind, name, &ErrorList::from(error))
}
