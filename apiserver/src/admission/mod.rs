//! What is decided about writes beside the rules of their kinds: a chain of plugins, in upstream's order.
//!
//! What always holds: a plugin that changes an object does so before its kind's own rules are applied, and one that judges sees
//! what would be written; what any of them refuses is not written. Plugins read what this process knows, and wait for nothing
//! but the store.

mod always_pull_images;
mod chain;
mod configuration;
mod default_class;
mod default_toleration_seconds;
mod deny_service_external_ips;
mod event_rate_limit;
mod limit_ranger;
mod lookup;
mod node_restriction;
mod persistent_volume_claim_resize;
mod pod_security;
mod priority;
mod resource_quota;
mod runtime_class;
mod service_account;
mod signers;
mod storage_protection;
mod taint_new_nodes;

use api::status::Status;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use store::{At, Key, Prefix};

use crate::engine::{Call, read_failed};
use crate::entry::ROOT;
use crate::object::Object;

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// It is made.
    Create,
    /// It, or through a subresource a part of it, becomes something else.
    Update,
    /// It is ended.
    Delete,
}

impl Operation {
    /// Upstream's word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Operation::Create => "CREATE",
            Operation::Update => "UPDATE",
            Operation::Delete => "DELETE",
        }
    }
}

/// A write that is asked for.
pub(crate) struct Review<'a> {
    pub(crate) call: &'a Call<'a>,
    pub(crate) operation: Operation,
    /// The subresource, or empty.
    pub(crate) subresource: &'a str,
}

/// Judges or changes writes of some kinds.
pub(crate) trait Plugin: Send + Sync {
    /// Whether it has anything to say, which is asked first.
    fn handles(&self, review: &Review<'_>) -> bool;

    /// Changes what is to be written; `old` is what there is.
    fn mutate<'a>(
        &'a self,
        _review: &'a Review<'a>,
        _object: &'a mut dyn Object,
        _old: Option<&'a dyn Object>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        async { Ok(()) }.boxed()
    }

    /// Refuses a deletion of what there is.
    fn delete<'a>(&'a self, _review: &'a Review<'a>, _old: &'a dyn Object) -> BoxFuture<'a, Result<(), Status>> {
        async { Ok(()) }.boxed()
    }

    /// Refuses what is not to be written.
    fn validate<'a>(
        &'a self,
        _review: &'a Review<'a>,
        _object: &'a dyn Object,
        _old: Option<&'a dyn Object>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        async { Ok(()) }.boxed()
    }
}

pub use chain::{Admission, AdmissionError};
pub use configuration::ConfigurationError;
pub(crate) use resource_quota::{Quotas, charge};

/// Those of the server's plugins that have anything to say.
fn plugins<'a>(review: &'a Review<'a>) -> impl Iterator<Item = &'a dyn Plugin> {
    review.call.engine.admission().plugins().filter(|plugin| plugin.handles(review))
}

/// Lets every plugin change what is to be written.
pub(crate) async fn mutate(
    review: &Review<'_>,
    object: &mut dyn Object,
    old: Option<&dyn Object>,
) -> Result<(), Status> {
    for plugin in plugins(review) {
        plugin.mutate(review, object, old).await?;
    }
    Ok(())
}

/// Asks every plugin whether this may be written.
pub(crate) async fn validate(review: &Review<'_>, object: &dyn Object, old: Option<&dyn Object>) -> Result<(), Status> {
    for plugin in plugins(review) {
        plugin.validate(review, object, old).await?;
    }
    Ok(())
}

/// Asks every plugin whether a client may end this.
pub(crate) async fn delete(call: &Call<'_>, old: &dyn Object) -> Result<(), Status> {
    let review = Review { call, operation: Operation::Delete, subresource: "" };
    for plugin in plugins(&review) {
        plugin.delete(&review, old).await?;
    }
    Ok(())
}

/// Passes what is created through a subresource, and is not a part of the object, by every plugin.
pub(crate) async fn create_through(call: &Call<'_>, subresource: &str, object: &mut dyn Object) -> Result<(), Status> {
    let review = Review { call, operation: Operation::Create, subresource };
    mutate(&review, object, None).await?;
    validate(&review, object, None).await
}

/// The object as one of type `T`; `None` if it is none.
fn typed<T: 'static>(object: &dyn Object) -> Option<&T> {
    object.as_any().downcast_ref()
}

/// The object as one of type `T`, to change; `None` if it is none.
fn typed_mut<T: 'static>(object: &mut dyn Object) -> Option<&mut T> {
    object.as_any_mut().downcast_mut()
}

impl Review<'_> {
    /// Whether it is about objects that are stored at `path`, such as `core/pods`, and not about a part of them.
    pub(crate) fn is_of(&self, path: &str) -> bool {
        self.subresource.is_empty() && &*self.call.resource.storage.path == path
    }

    /// That it is refused, in upstream's words.
    pub(crate) fn forbidden(&self, object: &dyn Object, why: impl std::fmt::Display) -> Status {
        let meta = object.meta();
        // A name that is generated is not known yet.
        let mut names = [&meta.name, &meta.generate_name].into_iter().flatten().filter(|name| !name.is_empty());
        let name = names.next().map_or("Unknown", String::as_str);
        Status::forbidden(&self.call.group_resource(), name, why)
    }

    /// An object that is stored at `path`, such as `core/pods`, as this process knows it. The namespace is empty for kinds
    /// without.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<T>, Status> {
        let within = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
        let Ok(key) = Key::new(&format!("{ROOT}{path}/{within}{name}")) else { return Ok(None) };
        let stored = self.call.engine.store().get(&key, At::Known).await.map_err(read_failed)?;
        let read = |bytes: &[u8]| serde_json::from_slice(bytes).map_err(Status::internal_error);
        stored.map(|stored| read(stored.entry.bytes())).transpose()
    }

    /// All objects that are stored at `path` in a namespace (or, if it is empty, everywhere), as this process knows them.
    pub(crate) async fn list<T: DeserializeOwned>(&self, path: &str, namespace: &str) -> Result<Vec<T>, Status> {
        let within = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
        let prefix = Prefix::new(&format!("{ROOT}{path}/{within}")).map_err(Status::internal_error)?;
        let snapshot = self.call.engine.store().snapshot(&prefix, At::Known).await.map_err(read_failed)?;
        let stored = snapshot.range(&prefix, None);
        stored.map(|(_, stored)| serde_json::from_slice(stored.entry.bytes()).map_err(Status::internal_error)).collect()
    }
}
