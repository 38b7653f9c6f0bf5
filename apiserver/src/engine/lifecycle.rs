//! The life of namespaces, as it bears on everything in them (upstream's NamespaceLifecycle admission), and of what the
//! system itself needs.

use api::status::{GroupResource, Status, StatusCause};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use store::{At, Key};

use super::{Call, read_failed};
use crate::entry::ROOT;
use crate::object::Object;
use crate::resources::system_priority_classes;

/// Namespaces that a cluster cannot be without.
const PROTECTED: [&str; 3] = ["default", "kube-system", "kube-public"];

/// Refuses an object whose namespace does not exist or is ending.
pub(crate) async fn admit_create(call: &Call<'_>, meta: &ObjectMeta) -> Result<(), Status> {
    if !call.names().namespaced {
        return Ok(());
    }
    let namespace = call.namespace();
    let absent = || Status::not_found(&GroupResource::new("", "namespaces"), namespace);
    let key = Key::new(&format!("{ROOT}core/namespaces/{namespace}")).map_err(|_| absent())?;
    // Another server may have made it a moment ago.
    let known = call.engine.store.get(&key, At::Known).await.map_err(read_failed)?;
    let found = match known {
        Some(found) => Some(found),
        None => call.engine.store.get(&key, At::Latest).await.map_err(read_failed)?,
    };
    let found = found.ok_or_else(absent)?;
    if found.entry.field("status.phase") != Some("Terminating") {
        return Ok(());
    }
    let name = meta.name.as_deref().unwrap_or_default();
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let cause = StatusCause {
        reason: "NamespaceTerminating".into(),
        message: format!("namespace {namespace} is being terminated"),
        field: "metadata.namespace".to_owned(),
    };
    Err(Status::forbidden(&call.group_resource(), name, why).with_cause(cause))
}

/// Refuses to delete what a cluster cannot be without.
pub(crate) fn admit_delete(call: &Call<'_>, name: &str) -> Result<(), Status> {
    if &*call.resource.storage.path == "core/namespaces" && PROTECTED.contains(&name) {
        return Err(Status::forbidden(&call.group_resource(), name, "this namespace may not be deleted"));
    }
    Ok(())
}

/// Refuses to delete, by its name, a priority class that the system needs. As upstream, the deletion of a whole collection
/// takes them along; the next start makes them again.
pub(crate) fn admit_delete_by_name(call: &Call<'_>) -> Result<(), Status> {
    let name = call.target.name.as_str();
    let is_class = &*call.resource.storage.path == "scheduling.k8s.io/priorityclasses";
    if is_class && system_priority_classes().iter().any(|class| class.metadata.name.as_deref() == Some(name)) {
        let why = "this is a system priority class and cannot be deleted";
        return Err(Status::forbidden(&call.group_resource(), name, why));
    }
    Ok(())
}

/// Whether an object is a namespace.
pub(crate) fn is_namespace(object: &dyn Object) -> bool {
    object.as_any().is::<Namespace>()
}

/// Whether an object is a namespace that has not been emptied yet.
pub(crate) fn holds_content(object: &dyn Object) -> bool {
    let Some(namespace) = object.as_any().downcast_ref::<Namespace>() else { return false };
    let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_ref());
    finalizers.is_some_and(|finalizers| !finalizers.is_empty())
}

/// Marks a namespace as ending.
pub(crate) fn mark_terminating(object: &mut dyn Object, now: Timestamp) {
    if let Some(namespace) = object.as_any_mut().downcast_mut::<Namespace>() {
        crate::resources::mark_terminating(namespace, now);
    }
}
