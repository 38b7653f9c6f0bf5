//! Events: what happened to an object, for people to read.
//!
//! Whoever records never waits and never fails: Events go through a bounded queue to one task that writes them, several at a
//! time, and what does not fit is dropped and counted. What is written is decided by the [`Correlator`], as upstream's recorders do: repeated
//! Events are counted in one object, similar ones are combined, and of a flood about one object only a trickle is written.

mod correlator;

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use http::Request;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Client;
use kube::api::{Patch, PatchParams, PostParams};
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Duration, sleep};

pub use correlator::{Correlator, Write};

use crate::clock::Clock;

/// How many Events may wait to be written.
const QUEUED: usize = 1000;
/// How many Events are written at a time, so that a busy server's time to answer is not what limits them.
const AT_ONCE: usize = 32;
/// How often an Event is tried to be written while the API server is away, and how long the task waits in between
/// (upstream's numbers).
const ATTEMPTS: u32 = 12;
const PAUSE: Duration = Duration::from_secs(10);

/// Whether an Event tells of something that should not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// As it should be.
    Normal,
    /// Somebody may want to do something about it.
    Warning,
}

impl EventType {
    /// As the API writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            EventType::Normal => "Normal",
            EventType::Warning => "Warning",
        }
    }
}

/// Why an Event was not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The Event to be changed is there no longer.
    #[error("the event is gone")]
    Gone,
    /// The API server does not take it, now or later.
    #[error("refused: {0}")]
    Refused(String),
    /// The API server could not be asked.
    #[error("no answer: {0}")]
    Unavailable(String),
}

/// Where Events are written.
pub trait EventApi: Send + Sync + 'static {
    /// Makes an Event.
    fn create(&self, event: &Event) -> impl Future<Output = Result<(), WriteError>> + Send;
    /// Changes an Event by a merge patch.
    fn patch(&self, namespace: &str, name: &str, patch: &Value) -> impl Future<Output = Result<(), WriteError>> + Send;
}

impl From<kube::Error> for WriteError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 404 => WriteError::Gone,
            kube::Error::Api(status) if status.code < 500 && status.code != 429 => WriteError::Refused(status.message),
            error => WriteError::Unavailable(error.to_string()),
        }
    }
}

impl EventApi for Client {
    async fn create(&self, event: &Event) -> Result<(), WriteError> {
        let body = serde_json::to_vec(event).map_err(|error| WriteError::Refused(error.to_string()))?;
        let request = kube::core::Request::new(events_of(event.metadata.namespace.as_deref().unwrap_or("default")));
        // Nobody reads the answer.
        match self.request::<IgnoredAny>(built(request.create(&PostParams::default(), body))?).await {
            // Written before, and the answer lost.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            created => Ok(created.map(drop)?),
        }
    }

    async fn patch(&self, namespace: &str, name: &str, patch: &Value) -> Result<(), WriteError> {
        let request = kube::core::Request::new(events_of(namespace));
        let request = built(request.patch(name, &PatchParams::default(), &Patch::Merge(patch)))?;
        Ok(self.request::<IgnoredAny>(request).await.map(drop)?)
    }
}

/// Where the Events of a namespace are.
fn events_of(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/events")
}

fn built(request: Result<Request<Vec<u8>>, kube::core::request::Error>) -> Result<Request<Vec<u8>>, WriteError> {
    request.map_err(|error| WriteError::Refused(error.to_string()))
}

/// Records Events of one component.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Event>,
    component: Arc<str>,
    instance: Arc<str>,
    clock: Clock,
    dropped: Arc<AtomicU64>,
}

impl Recorder {
    /// A recorder of `component`, such as `replicaset-controller`, in the process that `instance` names, and the task that
    /// writes for it. The task ends when every clone of the recorder has gone and everything is written.
    pub fn new<A: EventApi>(
        api: A,
        component: &str,
        instance: &str,
        clock: Clock,
    ) -> (Recorder, impl Future<Output = ()> + use<A>) {
        let (queue, queued) = mpsc::channel(QUEUED);
        let dropped = Arc::new(AtomicU64::new(0));
        let recorder = Recorder {
            queue,
            component: component.into(),
            instance: instance.into(),
            clock,
            dropped: Arc::clone(&dropped),
        };
        (recorder, write_all(api, queued, clock, dropped))
    }

    /// Records that something happened to the object that `regarding` names.
    pub fn event(&self, regarding: ObjectReference, event_type: EventType, reason: &str, message: impl Into<String>) {
        let now = self.clock.now();
        let namespace = regarding.namespace.clone().filter(|namespace| !namespace.is_empty());
        let name = format!("{}.{:x}", regarding.name.as_deref().unwrap_or_default(), now.as_nanosecond());
        let event = Event {
            metadata: ObjectMeta {
                name: Some(name),
                namespace: Some(namespace.unwrap_or_else(|| "default".to_owned())),
                ..ObjectMeta::default()
            },
            involved_object: regarding,
            reason: Some(reason.to_owned()),
            message: Some(message.into()),
            first_timestamp: Some(Time(now)),
            last_timestamp: Some(Time(now)),
            count: Some(1),
            type_: Some(event_type.as_str().to_owned()),
            source: Some(EventSource { component: Some(self.component.to_string()), host: None }),
            reporting_component: Some(self.component.to_string()),
            reporting_instance: Some(self.instance.to_string()),
            ..Event::default()
        };
        if self.queue.try_send(event).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many Events were dropped: there were too many at once, or the API server did not take them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

async fn write_all(api: impl EventApi, mut queued: mpsc::Receiver<Event>, clock: Clock, dropped: Arc<AtomicU64>) {
    let mut correlator = Correlator::default();
    let mut writing = FuturesUnordered::new();
    let mut names: HashSet<Option<String>> = HashSet::new();
    loop {
        let event = tokio::select! {
            biased;
            Some(name) = writing.next(), if !writing.is_empty() => {
                names.remove(&name);
                continue;
            }
            event = queued.recv(), if writing.len() < AT_ONCE => event,
        };
        let Some(event) = event else { break };
        let Some(write) = correlator.observe(event, clock.now()) else { continue };
        let name = write.event.metadata.name.clone();
        // What is written of one Event is written in order.
        while names.contains(&name)
            && let Some(done) = writing.next().await
        {
            names.remove(&done);
        }
        names.insert(name);
        writing.push(write_and_count(&api, write, &dropped));
    }
    while writing.next().await.is_some() {}
}

/// Writes one Event, or counts that it could not be written. Returns its name.
async fn write_and_count(api: &impl EventApi, write: Write, dropped: &AtomicU64) -> Option<String> {
    let name = write.event.metadata.name.clone();
    if let Err(error) = write_one(api, write).await {
        match error {
            // Mostly its namespace is ending.
            WriteError::Refused(_) => tracing::debug!(%error, "an event was refused"),
            error => tracing::warn!(%error, "an event was not written"),
        }
        dropped.fetch_add(1, Ordering::Relaxed);
    }
    name
}

/// Writes one Event, however long the API server is away, within bounds.
async fn write_one(api: &impl EventApi, write: Write) -> Result<(), WriteError> {
    let mut patching = write.is_repeated;
    let mut attempt = 1;
    loop {
        let result = if patching { repeat(api, &write.event).await } else { api.create(&write.event).await };
        match result {
            // It has been removed since, as old Events are.
            Err(WriteError::Gone) if patching => patching = false,
            Err(WriteError::Unavailable(_)) if attempt < ATTEMPTS => {
                attempt += 1;
                sleep(PAUSE).await;
            }
            result => return result,
        }
    }
}

async fn repeat(api: &impl EventApi, event: &Event) -> Result<(), WriteError> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let patch = json!({"count": event.count, "lastTimestamp": event.last_timestamp, "message": event.message});
    api.patch(&text(&event.metadata.namespace), &text(&event.metadata.name), &patch).await
}

#[cfg(test)]
mod tests;
