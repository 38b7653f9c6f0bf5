//! The one thread that writes. It takes what has queued up while the last flush was under way, and makes one flush of it.
//!
//! Always true of it:
//!
//! - writes are judged, given revisions, stored and shown in the order in which they were queued;
//! - a durable write is shown and acknowledged only once it is on stable storage;
//! - a write behind is shown and acknowledged at once, and goes to the disk first in the next transaction: what is on the
//!   disk is always the beginning of what was shown;
//! - nobody but this thread changes the disk, and it ends when the queue does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::EmbeddedOptions;
use super::batch::{self, Batch, Entry};
use super::commit::{Committer, Outcome};
use super::compaction::Slice;
use super::load::Loaded;
use super::queue::{Phase, Queue, Request, TakeLimits, WriteRequest};
use crate::backend::{Change, Durability, Sink};
use crate::error::{CompactError, WriteError};
use crate::key::{Key, Revision};

/// How many records one slice of a compaction deletes: it adds about a millisecond to the flush that it rides on.
const SLICE_DELETIONS: usize = 256;

/// How long the writer waits at most for those whom it has just answered: less than a flush takes.
const GATHER: Duration = Duration::from_micros(150);

/// The writer's state.
pub(super) struct Writer {
    queue: Arc<Queue>,
    sink: Arc<dyn Sink>,
    committer: Committer,
    options: EmbeddedOptions,
    /// The newest revision that was given to a change.
    last: Revision,
    /// Changes that were acknowledged, are visible, and are not on the disk yet.
    behind: Vec<Entry>,
    behind_bytes: usize,
    behind_since: Option<Instant>,
    /// A transaction of which it is not known whether it is on the disk.
    in_doubt: Option<Vec<Entry>>,
    compaction: Option<Compaction>,
    /// How many requests the last round answered.
    answered: usize,
}

/// A compaction under way, and everyone who waits for it.
struct Compaction {
    through: Revision,
    replies: Vec<(Revision, oneshot::Sender<Result<(), CompactError>>)>,
}

/// Ends the queue however the thread ends, so that no caller waits for an answer that never comes.
struct EndQueue(Arc<Queue>);

impl Drop for EndQueue {
    fn drop(&mut self) {
        self.0.end(Phase::Failed);
    }
}

impl Writer {
    /// A writer for the store that `committer` has open, after `loaded` was told to `sink`.
    pub(super) fn new(
        queue: Arc<Queue>,
        sink: Arc<dyn Sink>,
        mut committer: Committer,
        options: EmbeddedOptions,
        loaded: Loaded,
    ) -> Writer {
        committer.superseded = loaded.superseded;
        committer.compacted = loaded.compacted;
        Writer {
            queue,
            sink,
            committer,
            options,
            last: loaded.last,
            behind: Vec::new(),
            behind_bytes: 0,
            behind_since: None,
            in_doubt: None,
            compaction: None,
            answered: 0,
        }
    }

    /// Handles requests until the queue is closed, then flushes and lets go of the store.
    pub(super) fn run(mut self) {
        let guard = EndQueue(Arc::clone(&self.queue));
        let limits = TakeLimits { requests: self.options.batch_writes, bytes: self.options.batch_bytes };
        let closed = loop {
            self.gather();
            let requests = self.queue.take(limits, self.next_deadline());
            if let Some(closed) = self.handle(requests) {
                break closed;
            }
        };
        self.finish();
        // Whoever waits for the close may open the file again at once.
        drop(guard);
        for reply in closed {
            let _ = reply.send(());
        }
    }

    /// Gives those who were just answered a moment to come back, so that they share one flush. Otherwise the first of
    /// them would get a flush of its own, which all others then wait for.
    fn gather(&self) {
        if self.answered < 2 {
            return;
        }
        let began = Instant::now();
        while self.queue.len() < self.answered && began.elapsed() < GATHER {
            std::thread::yield_now();
        }
    }

    /// Handles what was taken together; something once the store is to be closed.
    fn handle(&mut self, requests: Vec<Request>) -> Option<Vec<oneshot::Sender<()>>> {
        self.answered = requests.len();
        let mut writes = Vec::with_capacity(requests.len());
        let mut flushes = Vec::new();
        let mut closed = None;
        for request in requests {
            match request {
                Request::Write(write) => writes.push(write),
                Request::Compact(through, reply) => self.start_compaction(through, reply),
                Request::Flush(reply) => flushes.push(reply),
                Request::Close(reply) => closed = Some(vec![reply]),
            }
        }
        let stored = self.write(writes);
        let due = self.behind_since.is_some_and(|since| since.elapsed() >= self.options.behind_delay);
        let full = self.behind.len() >= self.options.behind_writes || self.behind_bytes >= self.options.behind_bytes;
        if due || full || !flushes.is_empty() || (self.compaction.is_some() && !stored) {
            self.settle_doubt();
            if self.committer.accepts() {
                self.store(Batch::default());
            } else {
                self.fail_compaction();
            }
        }
        for reply in flushes {
            let flushed = self.behind.is_empty() && self.in_doubt.is_none();
            let why = || self.committer.refusal().unwrap_or_else(|| "the flush failed".to_owned());
            let _ = reply.send(if flushed { Ok(()) } else { Err(why()) });
        }
        closed
    }

    /// When the thread has to look after something even if nothing is asked of it.
    fn next_deadline(&self) -> Option<Instant> {
        if self.compaction.is_some() {
            return Some(Instant::now());
        }
        let flush = self.behind_since? + self.options.behind_delay;
        self.committer.next_attempt(flush)
    }

    /// Answers `requests`; whether that took a transaction.
    fn write(&mut self, mut requests: Vec<WriteRequest>) -> bool {
        if requests.is_empty() {
            return false;
        }
        self.settle_doubt();
        if !self.committer.accepts() {
            for request in requests {
                batch::refuse_request(request, &*self.sink, |key| self.committer.refuse(key));
            }
            return false;
        }
        let durable = requests.split_off(self.leading_behind(&requests));
        if !requests.is_empty() {
            self.show(requests);
        }
        if durable.is_empty() {
            return false;
        }
        let batch = Batch::judge(durable, &*self.sink, self.last);
        self.store(batch);
        true
    }

    /// How many writes can be shown before they are stored: those of that class before any durable one, as far as there
    /// is room for them.
    fn leading_behind(&self, requests: &[WriteRequest]) -> usize {
        let mut bytes = self.behind_bytes;
        let room = self.options.behind_writes.saturating_sub(self.behind.len());
        let fits = |request: &&WriteRequest| {
            bytes += request.write.bytes();
            request.write.durability == Durability::Behind && bytes <= self.options.behind_bytes
        };
        requests.iter().take(room).take_while(fits).count()
    }

    /// Shows and acknowledges writes that are to be stored later.
    fn show(&mut self, requests: Vec<WriteRequest>) {
        let batch = Batch::judge(requests, &*self.sink, self.last);
        let Some(last) = batch.last_revision() else { return };
        self.last = last;
        self.sink.apply(batch.entries.iter().map(|entry| entry.change.clone()).collect());
        Batch::acknowledge(batch.entries.iter().map(|entry| entry.change.revision), batch.writers);
        batch::answer_conflicts(batch.conflicts);
        self.sink.publish();
        self.behind_bytes += batch.entries.iter().map(Entry::bytes).sum::<usize>();
        self.behind.extend(batch.entries);
        self.behind_since.get_or_insert_with(Instant::now);
    }

    /// Stores what was written behind, then `batch`, then a slice of the compaction if one is under way, in one
    /// transaction, and answers.
    fn store(&mut self, batch: Batch) {
        let slice = self.compaction.as_ref().and_then(|compaction| self.next_slice(compaction.through));
        if batch.entries.is_empty() && self.behind.is_empty() && slice.is_none() {
            // Every write of the batch was answered when it was judged.
            return self.finish_compaction();
        }
        let outcome = self.committer.commit(&self.behind, &batch.entries, slice.as_ref());
        match outcome {
            Outcome::Committed => {
                self.flushed();
                self.settle(batch);
                self.finish_compaction();
            }
            Outcome::Absent => {
                batch.refuse(&*self.sink, |key| self.committer.refuse(key));
                self.fail_compaction();
            }
            Outcome::Unknown { resolvable } => {
                let Batch { entries, writers, conflicts } = batch;
                let keys = entries.iter().map(|entry| entry.change.key.clone());
                let writers = keys.zip(writers.into_iter().map(|(_, reply)| reply));
                let detail = self.committer.refusal().unwrap_or_default();
                Batch::leave_undetermined(writers, conflicts, &*self.sink, &detail);
                self.in_doubt = resolvable.then_some(entries);
                self.fail_compaction();
            }
        }
    }

    /// Shows and answers a batch that is on the disk.
    fn settle(&mut self, batch: Batch) {
        let Batch { entries, writers, conflicts } = batch;
        if let Some(last) = entries.last() {
            self.last = last.change.revision;
            let first = entries[0].change.revision;
            let changes: Vec<Change> = entries.into_iter().map(|entry| entry.change).collect();
            self.sink.apply(changes);
            Batch::acknowledge((first.0..).map(Revision), writers);
            batch::answer_conflicts(conflicts);
            self.sink.publish();
        }
    }

    fn flushed(&mut self) {
        self.behind.clear();
        self.behind_bytes = 0;
        self.behind_since = None;
    }

    /// Tries to find out what became of a transaction that is in doubt.
    fn settle_doubt(&mut self) {
        let Some(entries) = self.in_doubt.take() else { return };
        match self.committer.resolve(&self.behind, &entries) {
            Outcome::Committed => {
                self.flushed();
                self.settle(Batch { entries, ..Batch::default() });
            }
            Outcome::Absent => {}
            Outcome::Unknown { resolvable } => self.in_doubt = resolvable.then_some(entries),
        }
    }

    fn start_compaction(&mut self, through: Revision, reply: oneshot::Sender<Result<(), CompactError>>) {
        if through <= self.committer.compacted {
            let _ = reply.send(Ok(()));
            return;
        }
        if through > self.last {
            let detail = format!("the newest revision is {}", self.last);
            let _ = reply.send(Err(CompactError::Failed { through, detail }));
            return;
        }
        let compaction = self.compaction.get_or_insert_with(|| Compaction { through, replies: Vec::new() });
        compaction.through = compaction.through.max(through);
        compaction.replies.push((through, reply));
    }

    fn next_slice(&self, through: Revision) -> Option<Slice> {
        // What was written behind is stored by the same transaction, so it may be superseded by it only in the next.
        let stored = self.behind.first().map_or(self.last, |entry| Revision(entry.change.revision.0 - 1));
        let slice = self.committer.superseded.slice(through.min(stored), SLICE_DELETIONS);
        (slice.compacted > self.committer.compacted).then_some(slice)
    }

    fn finish_compaction(&mut self) {
        let Some(mut compaction) = self.compaction.take() else { return };
        let compacted = self.committer.compacted;
        for (through, reply) in compaction.replies.extract_if(.., |(through, _)| *through <= compacted) {
            tracing::debug!(%through, "compacted");
            let _ = reply.send(Ok(()));
        }
        self.compaction = (compacted < compaction.through).then_some(compaction);
    }

    fn fail_compaction(&mut self) {
        let Some(compaction) = self.compaction.take() else { return };
        let detail = self.committer.refusal().unwrap_or_default();
        for (through, reply) in compaction.replies {
            let _ = reply.send(Err(CompactError::Failed { through, detail: detail.clone() }));
        }
    }

    /// Stores what is not stored yet, notes that nothing was lost, and lets go of the store.
    fn finish(&mut self) {
        self.settle_doubt();
        self.fail_compaction();
        if self.in_doubt.is_none() {
            self.committer.finish(&self.behind);
        }
        self.committer.release();
    }
}

impl Entry {
    fn bytes(&self) -> usize {
        self.change.key.as_str().len() + self.change.value.as_ref().map_or(0, bytes::Bytes::len)
    }
}

impl Committer {
    /// The answer to a write of `key` that is not attempted, or did not happen.
    fn refuse(&self, key: Key) -> WriteError {
        let detail = self.refusal().unwrap_or_default();
        if self.lacks_space() { WriteError::NoSpace { key, detail } } else { WriteError::Unavailable { detail } }
    }
}
