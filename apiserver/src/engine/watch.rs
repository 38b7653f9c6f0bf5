//! `watch`: changes as they happen.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use api::status::Status;
use bytes::{BufMut, Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use http::StatusCode;
use serde_json::json;
use store::{At, Event, EventKind, Key, Prefix, Revision, Scope, Stored, Watch, WatchClosed, WatchError, WatchOptions};
use tokio::time::Instant;

use super::answer::{self, content_type};
use super::selection::Selection;
use super::{Answer, Call, Engine, Payload, read_failed, unreadable, watch_failed};
use crate::entry::Entry;
use crate::kind::Kind;
use crate::registry::Resource;
use crate::request::{Encoding, Form, ListOptions, negotiate_stream};

/// How often a watcher that wants bookmarks is told how far it has come (upstream's frequency).
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);
/// A watch without a time-out of its own ends after this, and up to twice this, so that not all end at a time.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1800);
/// How many changes may wait for a client before it is cut off.
const QUEUE: usize = 10_000;
/// Events are joined up to this size when several are ready. More at a time would save little: to a client of this process
/// each is a function call, and to others it is what a record of TLS holds. It would cost memory that is new each time.
const BATCH_BYTES: usize = 16 * 1024;
/// At most this is what an event has beside its object.
const AROUND_OBJECT: usize = 32;

/// Answers a watch.
pub(crate) async fn watch(call: &Call<'_>, options: ListOptions) -> Result<Answer, Status> {
    let (encoding, form) = negotiate_stream(call.headers, call.has_protobuf())?;
    let selection = Selection::new(call, options.labels.clone(), options.fields.clone())?;
    let encoder =
        Encoder { resource: call.resource.clone(), engine: call.engine.clone(), encoding, form, headed: false };
    let timeout = match options.timeout_seconds {
        Some(seconds) => Duration::from_secs(seconds),
        None => DEFAULT_TIMEOUT + DEFAULT_TIMEOUT.mul_f64(spread(call.engine.random())),
    };
    let deadline = Instant::now() + timeout;
    let content_type = match encoding {
        Encoding::Protobuf => format!("{};stream=watch", content_type(encoding, form, false)),
        _ => content_type(encoding, form, false),
    };
    let start = Start::of(call, &options, &selection).await?;
    let payload = match start {
        Start::Failed(status) => failed(encoder, &status),
        Start::At { initial, ended, watch, from } => {
            let frames = Frames {
                encoder,
                selection,
                watch,
                from,
                initial,
                ended,
                batch: Vec::new(),
                shown: 0,
                bookmarks: options.bookmarks,
                next_bookmark: Instant::now() + BOOKMARK_INTERVAL,
                deadline,
                over: false,
            };
            stream::unfold(Some(frames), Frames::step).boxed()
        }
    };
    Ok(Answer { code: StatusCode::OK, content_type, payload: Payload::Stream(payload) })
}

/// A number from 0 to 1 of random bits.
fn spread(bits: u64) -> f64 {
    f64::from(u32::try_from(bits >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

/// How a watch begins.
enum Start {
    /// With what there is, if that was asked for, and then with the changes after that.
    At { initial: VecDeque<(Key, Stored<Entry>)>, ended: Option<Revision>, watch: Watch<Entry>, from: Revision },
    /// With an error, within the stream, as upstream has it.
    Failed(Status),
}

impl Start {
    async fn of(call: &Call<'_>, options: &ListOptions, selection: &Selection) -> Result<Start, Status> {
        let store = &call.engine.store;
        let version = options.resource_version;
        let with_initial_events = match options.send_initial_events {
            Some(wanted) => wanted,
            // Without a version a watch has always begun with what there is.
            None => version.is_none_or(|version| version == Revision::ZERO),
        };
        let open = |from: Revision| {
            let watch = WatchOptions { scope: selection.scope.clone(), select: selection.select(), from, queue: QUEUE };
            store.watch(watch)
        };
        if !with_initial_events {
            let wanted = match version {
                Some(version) if version != Revision::ZERO => version,
                _ => store.snapshot(&scope_prefix(selection), At::Latest).await.map_err(read_failed)?.revision(),
            };
            // A version that has not been reached is waited for.
            let from = wanted.min(store.stats().revision);
            return match open(from) {
                Ok(watch) => Ok(Start::At { initial: VecDeque::new(), ended: None, watch, from: wanted }),
                Err(error @ WatchError::Compacted { .. }) => Ok(Start::Failed(watch_failed(error))),
                Err(error) => Err(watch_failed(error)),
            };
        }
        let at = match version {
            None => At::Latest,
            Some(Revision::ZERO) => At::Known,
            Some(version) => At::NotBefore(version),
        };
        let prefix = scope_prefix(selection);
        let snapshot = store.snapshot(&prefix, at).await.map_err(read_failed)?;
        let from = snapshot.revision();
        let in_scope = |key: &Key| !matches!(&selection.scope, Scope::Key(only) if only != key);
        let all = snapshot.range(&prefix, None);
        let selected = all.filter(|(key, stored)| in_scope(key) && selection.matches(key, &stored.entry));
        let initial = selected.map(|(key, stored)| (key.clone(), stored.clone())).collect();
        let ended = options.send_initial_events.is_some_and(|wanted| wanted).then_some(from);
        match open(from) {
            Ok(watch) => Ok(Start::At { initial, ended, watch, from }),
            Err(error) => Err(watch_failed(error)),
        }
    }
}

fn scope_prefix(selection: &Selection) -> Prefix {
    match &selection.scope {
        Scope::Prefix(prefix) => prefix.clone(),
        Scope::Key(key) => Prefix::of_parent(key),
    }
}

/// A stream of one error.
fn failed(mut encoder: Encoder, status: &Status) -> BoxStream<'static, Bytes> {
    let mut frames = BytesMut::new();
    encoder.status(status, &mut frames);
    stream::iter([frames.freeze()]).boxed()
}

/// What a running watch consists of.
struct Frames {
    encoder: Encoder,
    selection: Selection,
    watch: Watch<Entry>,
    /// Changes up to here are not wanted.
    from: Revision,
    initial: VecDeque<(Key, Stored<Entry>)>,
    /// The revision to state at the end of what there was at the beginning.
    ended: Option<Revision>,
    batch: Vec<Arc<Event<Entry>>>,
    /// How many of the batch have been written.
    shown: usize,
    bookmarks: bool,
    next_bookmark: Instant,
    deadline: Instant,
    /// Something was come to that cannot be shown, and what follows would be without it.
    over: bool,
}

/// What a watch waits for.
enum Next {
    Events,
    Bookmark,
    Closed(WatchClosed),
    Deadline,
}

impl Frames {
    /// The next frames, and the watch after them; `None` ends it.
    async fn step(state: Option<Frames>) -> Option<(Bytes, Option<Frames>)> {
        let mut this = state?;
        let mut frames = BytesMut::new();
        while frames.is_empty() {
            if this.take_initial(&mut frames) || this.take_changes(&mut frames) {
                continue;
            }
            match this.next().await {
                Next::Events => {}
                Next::Bookmark => {
                    let revision = this.watch.progress().max(this.from);
                    this.encoder.bookmark(revision, false, &mut frames);
                    this.next_bookmark = Instant::now() + BOOKMARK_INTERVAL;
                }
                Next::Closed(WatchClosed::Compacted) => {
                    let status = Status::resource_expired("changes were compacted before they could be seen");
                    this.encoder.status(&status, &mut frames);
                    return Some((frames.freeze(), None));
                }
                // The client lists and watches again, as it does when a connection ends.
                Next::Closed(_) => return None,
                Next::Deadline => {
                    if !this.bookmarks {
                        return None;
                    }
                    // So that the next watch can begin here.
                    this.encoder.bookmark(this.watch.progress().max(this.from), false, &mut frames);
                    return Some((frames.freeze(), None));
                }
            }
        }
        let next = (!this.over).then_some(this);
        Some((frames.freeze(), next))
    }

    async fn next(&mut self) -> Next {
        let bookmark = if self.bookmarks { self.next_bookmark } else { self.deadline };
        tokio::select! {
            biased;
            outcome = self.watch.next(&mut self.batch) => outcome.map_or_else(Next::Closed, |()| Next::Events),
            () = tokio::time::sleep_until(self.deadline) => Next::Deadline,
            () = tokio::time::sleep_until(bookmark) => Next::Bookmark,
        }
    }

    /// Writes a batch of what there was at the beginning. `false` if there is no more.
    fn take_initial(&mut self, frames: &mut BytesMut) -> bool {
        let (count, bytes) = joined(self.initial.iter().map(|(_, stored)| &stored.entry));
        frames.reserve(bytes);
        for (key, stored) in self.initial.drain(..count) {
            if let Err(status) = unreadable::check(&self.encoder.engine.store, &key, &stored.entry) {
                self.encoder.status(&status, frames);
                self.over = true;
                return true;
            }
            self.encoder.event("ADDED", stored.entry.bytes(), frames);
        }
        if self.initial.is_empty()
            && let Some(revision) = self.ended.take()
        {
            self.encoder.bookmark(revision, true, frames);
        }
        !frames.is_empty()
    }

    /// Writes the next of the changes that have been taken from the store. `false` if there are no more.
    fn take_changes(&mut self, frames: &mut BytesMut) -> bool {
        let (count, bytes) = joined(self.batch[self.shown..].iter().map(|event| &event.entry));
        if count == 0 {
            // What has been sent is not kept until something else happens.
            self.batch.clear();
            self.shown = 0;
            return false;
        }
        frames.reserve(bytes);
        for _ in 0..count {
            let event = Arc::clone(&self.batch[self.shown]);
            self.shown += 1;
            self.change(&event, frames);
            if self.over {
                break;
            }
        }
        true
    }

    /// Writes a change as the selection shows it: an object that comes to be selected is added, one that ceases to be is
    /// deleted.
    fn change(&mut self, event: &Event<Entry>, frames: &mut BytesMut) {
        if event.revision <= self.from {
            return;
        }
        if let Err(status) = unreadable::check(&self.encoder.engine.store, &event.key, &event.entry) {
            self.encoder.status(&status, frames);
            self.over = true;
            return;
        }
        let is = event.kind != EventKind::Deleted && self.selection.matches(&event.key, &event.entry);
        let before = event.previous.as_ref().filter(|previous| self.selection.matches(&event.key, &previous.entry));
        match (before, is) {
            (None, true) => self.encoder.event("ADDED", event.entry.bytes(), frames),
            (Some(_), true) => self.encoder.event("MODIFIED", event.entry.bytes(), frames),
            (Some(_), false) if event.kind == EventKind::Deleted => {
                self.encoder.event("DELETED", event.entry.bytes(), frames);
            }
            (Some(before), false) => {
                self.encoder.event("DELETED", &before.entry.at_revision(event.revision), frames);
            }
            (None, false) => {}
        }
    }
}

/// How many of these objects are sent together, and what they need.
fn joined<'a>(entries: impl Iterator<Item = &'a Arc<Entry>>) -> (usize, usize) {
    let (mut count, mut bytes) = (0, 0);
    for entry in entries {
        if bytes >= BATCH_BYTES {
            break;
        }
        count += 1;
        bytes += entry.bytes().len() + AROUND_OBJECT;
    }
    (count, bytes)
}

/// Writes events in the encoding and form of a watch.
struct Encoder {
    resource: Resource,
    /// Says what time it is when an event is shown, which ages are counted to.
    engine: Engine,
    encoding: Encoding,
    form: Form,
    /// Whether the columns of the table have been sent; they are sent once.
    headed: bool,
}

impl Encoder {
    /// Writes an event about an object, given as it is stored.
    fn event(&mut self, kind: &str, stored: &Bytes, frames: &mut BytesMut) {
        match self.object(stored) {
            Ok(json) => self.frame(kind, &json, frames),
            Err(status) => self.status(&status, frames),
        }
    }

    fn status(&mut self, status: &Status, frames: &mut BytesMut) {
        let json = serde_json::to_vec(status).unwrap_or_default();
        self.frame("ERROR", &json, frames);
    }

    /// Writes how far the watch has come. `initial` says that what there was at the beginning has all been sent.
    fn bookmark(&mut self, revision: Revision, initial: bool, frames: &mut BytesMut) {
        let names = self.resource.kind.names();
        let mut metadata = json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = match self.form {
            Form::Object => {
                let (kind, version) = (&names.kind, names.api_version());
                format!(r#"{{"kind":"{kind}","apiVersion":"{version}","metadata":{metadata}}}"#)
            }
            Form::Metadata => {
                format!(r#"{{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{metadata}}}"#)
            }
            Form::Table => {
                let version = revision.to_string();
                let row = json!({
                    "cells": vec![""; self.resource.kind.columns().len()],
                    "object": {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata},
                });
                json!({
                    "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": version},
                    "columnDefinitions": [], "rows": [row],
                })
                .to_string()
            }
        };
        self.frame("BOOKMARK", object.as_bytes(), frames);
    }

    fn object(&mut self, stored: &Bytes) -> Result<Bytes, Status> {
        if self.form == Form::Object && self.resource.storage.conversion.is_none() {
            return Ok(stored.clone());
        }
        let served = match self.resource.storage.conversion {
            None => stored.clone(),
            Some(conversion) => {
                let value = serde_json::from_slice(stored).map_err(Status::internal_error)?;
                let object = self.resource.kind.decode((conversion.from_stored)(value));
                object.and_then(|object| object.to_json()).map_err(Status::internal_error)?.into()
            }
        };
        match self.form {
            Form::Object => Ok(served),
            Form::Metadata => Ok(answer::partial(answer::metadata(&served)?).into()),
            Form::Table => {
                let headers = !std::mem::replace(&mut self.headed, true);
                let kind: &dyn Kind = &*self.resource.kind;
                answer::table_of(kind, self.engine.now(), &[served], None, headers, Default::default()).map(Bytes::from)
            }
        }
    }

    fn frame(&self, kind: &str, object: &[u8], frames: &mut BytesMut) {
        if self.encoding == Encoding::Protobuf {
            match api::protobuf::encode_watch_event(kind, object) {
                Ok(frame) => frames.put_slice(&frame),
                Err(error) => tracing::warn!(%error, "an event has no protobuf form and is left out"),
            }
            return;
        }
        frames.put_slice(br#"{"type":""#);
        frames.put_slice(kind.as_bytes());
        frames.put_slice(br#"","object":"#);
        frames.put_slice(object);
        frames.put_slice(b"}\n");
    }
}
