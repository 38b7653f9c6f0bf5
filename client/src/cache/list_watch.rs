//! Keeps one resource of a cache as the API server has it: a list, and then a watch from where the list ended.
//!
//! A watch that ends goes on where it was. If the server no longer knows that revision, everything is listed again, and
//! the cache's listeners learn of the differences. While the server is away, what was known stays. What fails is tried
//! again later each time, and so is a list whose watch has expired at once; a connection that says nothing is given up.
//!
//! What is asked for is what upstream's reflector asks for. The first list is of the newest state. Later ones are content
//! with any that is not older than what was seen, unless the server says that it does not have that. A resource that is not
//! served has no objects, so that nobody waits for it.
//!
//! Lists are read in pages, other than upstream does it: the text of a list is held whole before it is decoded, and the
//! text of 150,000 pods takes more memory than the pods do. All pages are of one revision. If that expires before the last
//! one is read, the list is read whole, which no expiry can interrupt.
//!
//! Whoever needs less than a cache of whole objects says where to put what is seen ([`Sink`]).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use kube::Client;
use kube::api::{ListParams, Request, VersionMatch, WatchEvent, WatchParams};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::{Duration, Instant, sleep, timeout, timeout_at};

use super::{Cache, Table};
use crate::queue::Backoff;
use crate::resource::{Kind, MetadataOnly, Object, Resource};

/// How long a server may keep a watch open, in seconds (the most that `kube` allows).
const WATCH_SECONDS: u32 = 290;
/// How much later a watch is given up that the server has not ended: the connection is dead.
const GRACE: Duration = Duration::from_secs(10);
/// How long a page of a list may take. Upstream's server gives up on a request after as long.
const PAGE_TIMEOUT: Duration = Duration::from_secs(60);
/// The most objects of a page of a list.
const PAGE: u32 = 10_000;
/// The waits after failures (the longest is upstream's).
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

/// Runs the list-watch of a resource, as whole objects of its kind or as whatever else is kept.
pub type Keep = fn(ListWatch) -> BoxFuture<'static, ()>;

/// What keeps one resource of a cache.
pub struct ListWatch<S = Cache> {
    client: Client,
    sink: S,
    resource: Resource,
    namespace: Option<String>,
    fields: Option<String>,
    labels: Option<String>,
    page: u32,
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
    #[serde(rename = "continue", default)]
    continue_token: String,
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
        ListWatch { client, sink: cache, resource, namespace: None, fields: None, labels: None, page: PAGE }
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
        let ListWatch { client, resource, namespace, fields, labels, page, .. } = self;
        ListWatch { client, sink, resource, namespace, fields, labels, page }
    }
}

impl<S> ListWatch<S> {
    /// Sees only the objects that a field selector such as `spec.nodeName=n1` selects.
    #[must_use]
    pub fn selecting(self, fields: impl Into<String>) -> ListWatch<S> {
        ListWatch { fields: Some(fields.into()), ..self }
    }

    /// Sees only the objects that a label selector such as `app=web,!canary` selects.
    #[must_use]
    pub fn labelled(self, labels: impl Into<String>) -> ListWatch<S> {
        ListWatch { labels: Some(labels.into()), ..self }
    }

    /// Sees only the objects of a namespace. Whoever may not see all of them, as a node, has to ask so.
    #[must_use]
    pub fn within(self, namespace: impl Into<String>) -> ListWatch<S> {
        ListWatch { namespace: Some(namespace.into()), ..self }
    }

    /// Tells `sink` of what there is of `resource`, for whoever needs less than a cache of it.
    #[must_use]
    pub fn telling(client: Client, sink: S, resource: Resource) -> ListWatch<S> {
        ListWatch { client, sink, resource, namespace: None, fields: None, labels: None, page: PAGE }
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
        let (mut failures, mut known, mut listed) = (0_u32, None, false);
        loop {
            match self.list::<D>(known.as_deref(), metadata_only).await {
                Ok(version) => {
                    listed = true;
                    let (reached, lasted) = self.watch_from::<D>(version, metadata_only).await;
                    known = Some(reached);
                    failures = if lasted { 0 } else { failures + 1 };
                }
                // Perhaps another server had come further than this one, or its state was lost.
                Err(error) if known.is_some() && (has_code(&error, 410) || is_ahead(&error)) => {
                    known = None;
                    continue;
                }
                Err(error) => {
                    tracing::debug!(resource = %self.resource, %error, "a list failed");
                    failures += 1;
                    self.sink.failed(failures);
                    if !listed && has_code(&error, 404) {
                        self.sink.replace(Vec::new(), 0);
                    }
                }
            }
            if failures > 0 {
                sleep(BACKOFF.after(failures)).await;
            }
        }
    }

    /// Lists everything into the sink, and returns the version of the list. A state that is not older than `known` is
    /// good enough, since the watch goes on from it.
    async fn list<D: Object + DeserializeOwned>(
        &self,
        known: Option<&str>,
        metadata_only: bool,
    ) -> Result<String, kube::Error>
    where
        S: Sink<D>,
    {
        let (field_selector, label_selector) = (self.fields.clone(), self.labels.clone());
        let mut params = ListParams { field_selector, label_selector, limit: Some(self.page), ..ListParams::default() };
        if let Some(known) = known {
            params = params.at(known).matching(VersionMatch::NotOlderThan);
        }
        let mut objects = Vec::new();
        loop {
            match self.page::<D>(&params, metadata_only).await {
                Ok(page) => {
                    objects.extend(page.items);
                    let ListedAt { resource_version, continue_token } = page.metadata;
                    if continue_token.is_empty() {
                        self.sink.replace(objects, resource_version.parse().unwrap_or(0));
                        return Ok(resource_version);
                    }
                    params.continue_token = Some(continue_token);
                }
                Err(error) if params.continue_token.is_some() && has_code(&error, 410) => {
                    objects = Vec::new();
                    (params.limit, params.continue_token) = (None, None);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn page<D: DeserializeOwned>(
        &self,
        params: &ListParams,
        metadata_only: bool,
    ) -> Result<Listed<D>, kube::Error> {
        let request = Request::new(self.resource.path(self.namespace.as_deref()));
        let request = if metadata_only { request.list_metadata(params) } else { request.list(params) };
        let request = request.map_err(kube::Error::BuildRequest)?;
        let silent = |_| kube::Error::Service("the server does not answer".into());
        timeout(PAGE_TIMEOUT, self.client.request(request)).await.map_err(silent)?
    }

    /// Watches until everything has to be listed again. Returns the version that was reached, and whether that went on for
    /// a while or told anything.
    async fn watch_from<D: Object + Clone + DeserializeOwned>(
        &self,
        mut version: String,
        metadata_only: bool,
    ) -> (String, bool)
    where
        S: Sink<D>,
    {
        let (begin, listed) = (Instant::now(), version.clone());
        let mut failures = 0_u32;
        loop {
            let (began, before) = (Instant::now(), version.clone());
            let outcome = self.watch::<D>(&mut version, metadata_only).await;
            let went_well = began.elapsed() >= SHORT || version != before;
            let earlier = failures;
            failures = if went_well { 0 } else { failures + 1 };
            match outcome {
                Ok(End::Interrupted) => {}
                Ok(End::Expired) => {
                    let lasted = begin.elapsed() >= SHORT || version != listed;
                    return (version, lasted);
                }
                Err(error) => {
                    tracing::debug!(resource = %self.resource, %error, "a watch failed");
                    if is_final(&error) {
                        return (version, false);
                    }
                    // It may have taken long to fail, and nothing went well all the same.
                    failures = if version == before { earlier + 1 } else { 1 };
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
        let (field_selector, label_selector) = (self.fields.clone(), self.labels.clone());
        let params =
            WatchParams { timeout: Some(WATCH_SECONDS), field_selector, label_selector, ..WatchParams::default() };
        let request = Request::new(self.resource.path(self.namespace.as_deref()));
        let request =
            if metadata_only { request.watch_metadata(&params, version) } else { request.watch(&params, version) };
        let request = request.map_err(kube::Error::BuildRequest)?;
        let deadline = Instant::now() + Duration::from_secs(WATCH_SECONDS.into()) + GRACE;
        let Ok(events) = timeout_at(deadline, self.client.request_events::<D>(request)).await else {
            return Ok(End::Interrupted);
        };
        let events = match events {
            Err(error) if has_code(&error, 410) => return Ok(End::Expired),
            events => events?,
        };
        let mut events: BoxStream<'_, Result<WatchEvent<D>, kube::Error>> = StreamExt::boxed(events);
        while let Ok(Some(event)) = timeout_at(deadline, events.next()).await {
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

fn has_code(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

/// Whether the server has not come to the version that it was asked for.
fn is_ahead(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    causes.any(|cause| cause.reason == "ResourceVersionTooLarge")
}

/// Whether the same watch, tried again, would come to the same end, as far as the server can tell.
fn is_final(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if !matches!(status.code, 429 | 500 | 502 | 503))
}

#[cfg(test)]
mod tests;
