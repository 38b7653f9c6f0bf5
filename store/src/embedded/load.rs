//! Opening: the log becomes the sink's state and history again, and revisions continue where no one has seen them.

use std::collections::HashMap;
use std::path::Path;

use bytes::Bytes;
use redb::{ReadableDatabase, ReadableTable};

use super::compaction::Superseded;
use super::engine::{Engine, damaged, open_error};
use super::log::{self, LOG, Meta, Record};
use crate::backend::{Change, Sink};
use crate::error::OpenError;
use crate::key::{Key, Revision};

/// How far revisions move on after an unclean end: more than can have been acknowledged without being on the disk, so
/// that none of those is ever given to another change.
pub(super) const REVISION_GAP: u64 = 1 << 16;

/// The sink is told of this many changes, or this many bytes of them, at a time.
const CHUNK_CHANGES: usize = 1024;
const CHUNK_BYTES: usize = 4 << 20;

/// What the writer has to know of a store that was opened.
#[derive(Debug)]
pub(super) struct Loaded {
    /// The newest revision.
    pub(super) last: Revision,
    /// The revision through which superseded changes are forgotten.
    pub(super) compacted: Revision,
    /// What later compactions may forget.
    pub(super) superseded: Superseded,
}

/// Tells `sink` everything that is stored, and records durably that the store is in use.
pub(super) fn load(engine: &Engine, path: &Path, sink: &dyn Sink) -> Result<Loaded, OpenError> {
    let meta = read_meta(engine, path)?;
    let mut replay = Replay { sink, path, compacted: meta.compacted, base: true, superseded: Superseded::default() };
    replay.all(engine)?;
    let mut superseded = replay.superseded;

    let stored = log::last_revision(&engine.database).map_err(|error| open_error(path, error))?;
    let mut last = stored.unwrap_or_default().max(meta.compacted);
    let skip_to = (!meta.clean).then(|| Revision(last.0.saturating_add(REVISION_GAP)));
    mark_in_use(engine, meta.compacted, skip_to).map_err(|error| open_error(path, error))?;
    if let Some(revision) = skip_to {
        superseded.skipped(revision);
        sink.skip(revision);
        last = revision;
    }
    Ok(Loaded { last, compacted: meta.compacted, superseded })
}

/// The facts of the store that `engine` has open.
pub(super) fn read_meta(engine: &Engine, path: &Path) -> Result<Meta, OpenError> {
    Meta::read(&engine.database).map_err(|error| open_error(path, error))
}

/// Makes sure that a crash from here on is seen as one, before anything is served.
fn mark_in_use(engine: &Engine, compacted: Revision, skip_to: Option<Revision>) -> Result<(), redb::Error> {
    let transaction = engine.database.begin_write()?;
    if let Some(revision) = skip_to {
        log::append(&mut transaction.open_table(LOG)?, revision, Record::Skip)?;
    }
    Meta { compacted, clean: false }.write(&transaction)?;
    transaction.commit()?;
    Ok(())
}

struct Replay<'a> {
    sink: &'a dyn Sink,
    path: &'a Path,
    compacted: Revision,
    /// Whether what is read is still the state at the compacted revision.
    base: bool,
    superseded: Superseded,
}

impl Replay<'_> {
    fn all(&mut self, engine: &Engine) -> Result<(), OpenError> {
        let path = self.path;
        let read = |error: redb::Error| open_error(path, error);
        let log = engine.database.begin_read().map_err(|e| read(e.into()))?;
        let log = log.open_table(LOG).map_err(|e| read(e.into()))?;
        let mut chunk = Vec::new();
        let mut bytes = 0;
        for entry in log.iter().map_err(|e| read(e.into()))? {
            let (revision, record) = entry.map_err(|e| read(e.into()))?;
            let revision = Revision(revision.value());
            if self.base && revision > self.compacted {
                self.hand_over(&mut chunk);
                self.end_base();
            }
            let wrong = |detail: String| damaged(path, format!("at revision {revision}: {detail}"));
            let (key, value) = match Record::decode(record.value()).map_err(wrong)? {
                Record::Put { key, value } => (key, Some(Bytes::copy_from_slice(value))),
                Record::Delete { key } if !self.base => (key, None),
                Record::Skip if !self.base => {
                    self.hand_over(&mut chunk);
                    self.superseded.skipped(revision);
                    self.sink.skip(revision);
                    continue;
                }
                Record::Delete { .. } | Record::Skip => {
                    return Err(wrong(format!("no put, though it is compacted through {}", self.compacted)));
                }
            };
            let key = Key::new(key).map_err(|error| wrong(error.to_string()))?;
            bytes += value.as_ref().map_or(0, Bytes::len);
            chunk.push(Change { key, revision, value });
            if chunk.len() >= CHUNK_CHANGES || bytes >= CHUNK_BYTES {
                self.hand_over(&mut chunk);
                bytes = 0;
            }
        }
        self.hand_over(&mut chunk);
        if self.base {
            self.end_base();
        }
        self.sink.publish();
        Ok(())
    }

    fn end_base(&mut self) {
        self.sink.loaded(self.compacted);
        self.base = false;
    }

    fn hand_over(&mut self, chunk: &mut Vec<Change>) {
        let chunk = std::mem::take(chunk);
        if chunk.is_empty() {
            return;
        }
        if self.base {
            return self.sink.load(chunk);
        }
        let mut in_chunk: HashMap<&Key, Option<Revision>> = HashMap::with_capacity(chunk.len());
        for change in &chunk {
            let now = change.value.as_ref().map(|_| change.revision);
            let before = match in_chunk.insert(&change.key, now) {
                Some(before) => before,
                None => self.sink.revision_of(&change.key),
            };
            self.superseded.changed(change.revision, before, change.value.is_none());
        }
        self.sink.apply(chunk);
    }
}
