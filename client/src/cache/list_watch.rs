//! Keeps one resource of a cache as the API server has it: a list, and then a watch from where the list ended.
//!
//! A watch that ends goes on where it was. If the server no longer knows that revision, everything is listed again, and
//! the cache's listeners learn of the differences. While the server is away, what was known stays.
//!
//! Whoever needs less than a cache of whole objects says where to put what is seen ([`Sink`]).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::StreamExt;
use futures::stream::BoxStream;
use kube::Client;
use kube::api::{ListParams, Request, VersionMatch, WatchEvent, WatchParams};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::{Duration, Instant, sleep};

use super::{Cache, Table};
use crate::queue::Backoff;
use crate::resource::{Kind, MetadataOnly, Object, Resource};

/// How long a server may keep a watch open, in seconds (the most that `kube` allows).
const WATCH_SECONDS: u32 = 290;
/// The waits after failures (upstream's bounds).
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(200), longest: Duration::from_secs(30) };
/// A watch that ends sooner, with nothing said, counts as a failure.
const SHORT: Duration = Duration::from_secs(1);

/// Where a list-watch puts what it sees.
pub trait Sink<D>: Send + Sync {
    /// Everything there is at a revision: what is not in it is gone.
    fn replace(&self, listed: Vec<D>, revision: u64);
    /// An object that is new or has changed.
    fn put(&self, object: D);
    /// An object that is gone, as it was last.
    fn remove(&self, object: D);
    /// Nothing has changed until this revision.
    fn advance(&self, revision: u64);
    /// It could not be listed, for the `times`th time in a row.
    fn failed(&self, times: u32) {
        let _ = times;
    }
}

impl<D, S: Sink<D>> Sink<D> for Arc<S> {
    fn replace(&self, listed: Vec<D>, revision: u64) {
        (**self).replace(listed, revision);
    }

    fn put(&self, object: D) {
        (**self).put(object);
    }

    fn remove(&self, object: D) {
        (**self).remove(object);
    }

    fn advance(&self, revision: u64) {
        (**self).advance(revision);
    }
}

/// A table of a cache, as a sink.
struct InTable(Arc<Table>);

impl<D: Object> Sink<D> for InTable {
    fn replace(&self, listed: Vec<D>, revision: u64) {
        self.0.replace(listed.into_iter().map(|object| Arc::new(object) as _).collect(), revision);
    }

    fn put(&self, object: D) {
        self.0.put(Arc::new(object));
    }

    fn remove(&self, object: D) {
        self.0.remove(object.meta());
    }

    fn advance(&self, revision: u64) {
        self.0.advance(revision);
    }

    fn failed(&self, times: u32) {
        self.0.failures.store(times, Ordering::Relaxed);
    }
}

/// What keeps one resource of a cache.
pub struct ListWatch<S = Cache> {
    client: Client,
    sink: S,
    resource: Resource,
    fields: Option<String>,
}

impl Object for MetadataOnly {
    fn meta(&self) -> &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
        &self.metadata
    }
}

/// A list of objects of any kind.
#[derive(Deserialize)]
struct Listed<D> {
    metadata: ListedAt,
    #[serde(default = "Vec::new")]
    items: Vec<D>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListedAt {
    #[serde(default)]
    resource_version: String,
}

/// How a watch ended.
enum End {
    /// It may go on where it was.
    Interrupted,
    /// The server no longer knows what came after the revision.
    Expired,
}

impl ListWatch {
    /// Keeps `resource` in `cache`.
    #[must_use]
    pub fn new(client: Client, cache: Cache, resource: Resource) -> ListWatch {
        ListWatch { client, sink: cache, resource, fields: None }
    }

    /// Keeps whole objects, of the built-in kind that the resource is of. Runs until it is dropped.
    pub async fn run<K: Kind>(self) {
        self.into_table().keep::<K>(false).await;
    }

    /// Keeps the objects' metadata only. Runs until it is dropped.
    pub async fn run_metadata(self) {
        self.into_table().keep::<MetadataOnly>(true).await;
    }

    fn into_table(self) -> ListWatch<InTable> {
        let sink = InTable(self.sink.table(&self.resource));
        ListWatch { client: self.client, sink, resource: self.resource, fields: self.fields }
    }
}

impl<S> ListWatch<S> {
    /// Sees only the objects that a field selector such as `spec.nodeName=n1` selects.
    #[must_use]
    pub fn selecting(self, fields: impl Into<String>) -> ListWatch<S> {
        ListWatch { fields: Some(fields.into()), ..self }
    }

    /// Tells `sink` of what there is of `resource`, for whoever needs less than a cache of it.
    #[must_use]
    pub fn telling(client: Client, sink: S, resource: Resource) -> ListWatch<S> {
        ListWatch { client, sink, resource, fields: None }
    }

    /// Tells the sink of whole objects, of the built-in kind that the resource is of. Runs until it is dropped.
    pub async fn tell<K: Kind>(self)
    where
        S: Sink<K>,
    {
        self.keep::<K>(false).await;
    }

    async fn keep<D: Object + Clone + DeserializeOwned>(self, metadata_only: bool)
    where
        S: Sink<D>,
    {
        let (mut failures, mut known) = (0_u32, None);
        loop {
            match self.list::<D>(known.as_deref(), metadata_only).await {
                Ok(version) => {
                    failures = 0;
                    known = Some(self.watch_from::<D>(version, metadata_only).await);
                }
                Err(error) => {
                    tracing::debug!(resource = %self.resource, %error, "a list failed");
                    // The server may not have come to the version that another had.
                    known = None;
                    failures += 1;
                    self.sink.failed(failures);
                    sleep(BACKOFF.after(failures)).await;
                }
            }
        }
    }

    /// Lists everything into the cache, and returns the version of the list. A state that is not older than `known` is
    /// good enough, since the watch goes on from it.
    async fn list<D: Object + DeserializeOwned>(
        &self,
        known: Option<&str>,
        metadata_only: bool,
    ) -> Result<String, kube::Error>
    where
        S: Sink<D>,
    {
        let params = ListParams { field_selector: self.fields.clone(), ..ListParams::default() };
        let params = match known {
            Some(known) => params.at(known).matching(VersionMatch::NotOlderThan),
            None => params,
        };
        let request = Request::new(self.resource.path(None));
        let request = if metadata_only { request.list_metadata(&params) } else { request.list(&params) };
        let request = request.map_err(kube::Error::BuildRequest)?;
        let listed: Listed<D> = self.client.request(request).await?;
        let version = listed.metadata.resource_version;
        self.sink.replace(listed.items, version.parse().unwrap_or(0));
        Ok(version)
    }

    /// Watches until everything has to be listed again, and returns the version that was reached.
    async fn watch_from<D: Object + Clone + DeserializeOwned>(&self, mut version: String, metadata_only: bool) -> String
    where
        S: Sink<D>,
    {
        let mut failures = 0_u32;
        loop {
            let (began, before) = (Instant::now(), version.clone());
            match self.watch::<D>(&mut version, metadata_only).await {
                Ok(End::Expired) => return version,
                Ok(End::Interrupted) if began.elapsed() >= SHORT || version != before => failures = 0,
                Ok(End::Interrupted) => failures += 1,
                Err(error) if is_expired(&error) => return version,
                Err(error) => {
                    tracing::debug!(resource = %self.resource, %error, "a watch failed");
                    failures += 1;
                }
            }
            if failures > 0 {
                sleep(BACKOFF.after(failures)).await;
            }
        }
    }

    async fn watch<D: Object + Clone + DeserializeOwned>(
        &self,
        version: &mut String,
        metadata_only: bool,
    ) -> Result<End, kube::Error>
    where
        S: Sink<D>,
    {
        let field_selector = self.fields.clone();
        let params = WatchParams { timeout: Some(WATCH_SECONDS), field_selector, ..WatchParams::default() };
        let request = Request::new(self.resource.path(None));
        let request =
            if metadata_only { request.watch_metadata(&params, version) } else { request.watch(&params, version) };
        let request = request.map_err(kube::Error::BuildRequest)?;
        let events = self.client.request_events::<D>(request).await?;
        let mut events: BoxStream<'_, Result<WatchEvent<D>, kube::Error>> = StreamExt::boxed(events);
        while let Some(event) = events.next().await {
            match event? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    note(version, object.meta().resource_version.as_deref());
                    self.sink.put(object);
                }
                WatchEvent::Deleted(object) => {
                    note(version, object.meta().resource_version.as_deref());
                    self.sink.remove(object);
                }
                WatchEvent::Bookmark(bookmark) => {
                    note(version, Some(&bookmark.metadata.resource_version));
                    self.sink.advance(bookmark.metadata.resource_version.parse().unwrap_or(0));
                }
                WatchEvent::Error(status) if status.code == 410 => return Ok(End::Expired),
                WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
            }
        }
        Ok(End::Interrupted)
    }
}

fn note(version: &mut String, new: Option<&str>) {
    if let Some(new) = new {
        new.clone_into(version);
    }
}

fn is_expired(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 410)
}
