//! Writes the state at one revision, without its history, into a new store.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use redb::{Durability, ReadTransaction, ReadableTable};

use super::disk::Disk;
use super::engine::Engine;
use super::log::{self, LOG, Meta, Record};
use super::{header, open_error};
use crate::error::OpenError;
use crate::key::Revision;

/// One transaction of the new store takes so many records.
const CHUNK_RECORDS: usize = 4096;
const CHUNK_BYTES: usize = 8 << 20;

/// The state of a store as one read transaction sees it.
pub(super) struct Snapshot<'a> {
    /// The transaction.
    pub(super) source: &'a ReadTransaction,
    /// How errors name the source.
    pub(super) path: &'a Path,
    /// Through which revision the source has forgotten what is superseded.
    pub(super) compacted: Revision,
    /// Asked now and then; the copy is given up once it says so.
    pub(super) stop: &'a dyn Fn() -> bool,
}

/// Why a snapshot was not written.
#[derive(Debug)]
pub(super) enum SnapshotError {
    /// The source or the target failed.
    Open(OpenError),
    /// It was to stop.
    Stopped,
}

impl Snapshot<'_> {
    /// The newest revision that the source holds.
    pub(super) fn revision(&self) -> Result<Revision, OpenError> {
        let read = || -> Result<_, redb::Error> {
            let log = self.source.open_table(LOG)?;
            Ok(log.last()?.map(|(revision, _)| Revision(revision.value())))
        };
        let last = read().map_err(|error| open_error(self.path, error))?;
        Ok(last.unwrap_or_default().max(self.compacted))
    }

    /// Makes a store of the empty `target`, durably, whose history begins, and whose revisions go on, at `compacted`.
    pub(super) fn write(
        &self,
        target: Arc<dyn Disk>,
        target_path: &Path,
        compacted: Revision,
    ) -> Result<(), SnapshotError> {
        let failed = |source| SnapshotError::Open(super::io_error(target_path, source));
        header::write(&*target).map_err(failed)?;
        let engine = Engine::open(Arc::clone(&target), target_path, 16 << 20, false).map_err(SnapshotError::Open)?;
        log::initialise(&engine.database, Meta { compacted, clean: true })
            .map_err(|error| SnapshotError::Open(open_error(target_path, error)))?;
        self.copy(&engine, target_path)?;
        drop(engine);
        target.sync_data().map_err(failed)
    }

    fn copy(&self, target: &Engine, target_path: &Path) -> Result<(), SnapshotError> {
        let of_source = |error: redb::Error| SnapshotError::Open(open_error(self.path, error));
        let of_target = |error: redb::Error| SnapshotError::Open(open_error(target_path, error));
        let live = self.live_history().map_err(of_source)?;
        let log = self.source.open_table(LOG).map_err(|error| of_source(error.into()))?;
        let mut records = log.iter().map_err(|error| of_source(error.into()))?;
        loop {
            if (self.stop)() {
                return Err(SnapshotError::Stopped);
            }
            let mut chunk = Vec::new();
            let mut bytes = 0;
            let mut ended = true;
            for entry in records.by_ref() {
                let (revision, record) = entry.map_err(|error| of_source(error.into()))?;
                let revision = Revision(revision.value());
                let record_bytes = record.value();
                let Record::Put { key, .. } = decode(record_bytes).map_err(of_source)? else { continue };
                if !live.holds(revision, key, self.compacted) {
                    continue;
                }
                bytes += record_bytes.len();
                chunk.push((revision, record_bytes.to_vec()));
                if chunk.len() >= CHUNK_RECORDS || bytes >= CHUNK_BYTES {
                    ended = false;
                    break;
                }
            }
            insert(target, &chunk, ended).map_err(of_target)?;
            if ended {
                return Ok(());
            }
        }
    }

    /// Goes through the history from its end: a key's first record there is its state, and what comes before is not.
    fn live_history(&self) -> Result<Live, redb::Error> {
        let log = self.source.open_table(LOG)?;
        let mut live = Live::default();
        for entry in log.range(self.compacted.0 + 1..)?.rev() {
            let (revision, record) = entry?;
            match decode(record.value())? {
                Record::Put { key, .. } if !live.changed.contains(key) => {
                    live.changed.insert(key.into());
                    live.revisions.insert(revision.value());
                }
                Record::Delete { key } if !live.changed.contains(key) => {
                    live.changed.insert(key.into());
                }
                _ => {}
            }
        }
        Ok(live)
    }
}

/// What of a history is still the state.
#[derive(Default)]
struct Live {
    /// The keys that the history changes.
    changed: HashSet<Box<str>>,
    /// The records of the history that are a key's state.
    revisions: HashSet<u64>,
}

impl Live {
    fn holds(&self, revision: Revision, key: &str, compacted: Revision) -> bool {
        if revision > compacted { self.revisions.contains(&revision.0) } else { !self.changed.contains(key) }
    }
}

fn insert(target: &Engine, chunk: &[(Revision, Vec<u8>)], last: bool) -> Result<(), redb::Error> {
    let mut transaction = target.database.begin_write()?;
    if !last {
        transaction.set_durability(Durability::None)?;
    }
    {
        let mut log = transaction.open_table(LOG)?;
        for (revision, record) in chunk {
            log.insert(revision.0, record.as_slice())?;
        }
    }
    transaction.commit()?;
    Ok(())
}

fn decode(bytes: &[u8]) -> Result<Record<'_>, redb::Error> {
    Record::decode(bytes).map_err(redb::Error::Corrupted)
}
