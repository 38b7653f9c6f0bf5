//! What is read from the store to find out who is asked, and about what.

use api::status::{GroupResource, Status};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde::de::DeserializeOwned;
use store::{At, Key, Prefix};

use crate::engine::{Engine, read_failed};
use crate::entry::ROOT;

/// The label that names the Service of an EndpointSlice.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// An object of the core group; without a namespace if its resource has none.
pub(crate) async fn get<T: DeserializeOwned>(
    engine: &Engine,
    resource: &'static str,
    namespace: &str,
    name: &str,
) -> Result<T, Status> {
    let missing = || Status::not_found(&GroupResource::new("", resource), name);
    // A name with a slash would be the key of something else.
    if name.contains('/') || namespace.contains('/') {
        return Err(missing());
    }
    let namespace = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
    let key = Key::new(&format!("{ROOT}core/{resource}/{namespace}{name}")).map_err(|_| missing())?;
    let stored = engine.store().get(&key, At::Latest).await.map_err(read_failed)?.ok_or_else(missing)?;
    serde_json::from_slice(stored.entry.bytes()).map_err(Status::internal_error)
}

/// The EndpointSlices of a Service.
pub(crate) async fn slices(engine: &Engine, namespace: &str, service: &str) -> Result<Vec<EndpointSlice>, Status> {
    let prefix = Prefix::new(&format!("{ROOT}discovery.k8s.io/endpointslices/{namespace}/"));
    let prefix = prefix.map_err(Status::internal_error)?;
    let snapshot = engine.store().snapshot(&prefix, At::Latest).await.map_err(read_failed)?;
    let mut slices = Vec::new();
    for (_, stored) in snapshot.range(&prefix, None) {
        if stored.entry.label(SERVICE_NAME) == Some(service) {
            slices.push(serde_json::from_slice(stored.entry.bytes()).map_err(Status::internal_error)?);
        }
    }
    Ok(slices)
}

/// Every object of a resource, which is stored under `path` (`<group>/<resource>`), in a namespace or in all.
pub(crate) async fn list<T: DeserializeOwned>(engine: &Engine, path: &str, namespace: &str) -> Result<Vec<T>, Status> {
    let within = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
    let prefix = Prefix::new(&format!("{ROOT}{path}/{within}")).map_err(Status::internal_error)?;
    let snapshot = engine.store().snapshot(&prefix, At::Latest).await.map_err(read_failed)?;
    let stored = snapshot.range(&prefix, None);
    stored.map(|(_, stored)| serde_json::from_slice(stored.entry.bytes()).map_err(Status::internal_error)).collect()
}
