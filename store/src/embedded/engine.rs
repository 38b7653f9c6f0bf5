//! The engine (redb) on a [`Disk`]: opens it, and remembers which disk operation failed first.
//!
//! The engine refuses everything after an I/O error until it is opened anew. What may be done then depends on what
//! failed: after a failed write the disk can be looked at again, after a failed sync it cannot be known.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use redb::{Builder, Database, StorageBackend};

use super::disk::{Disk, io_error};
use super::header::HEADER_BYTES;
use crate::error::OpenError;

/// An open engine.
#[derive(Debug)]
pub(super) struct Engine {
    /// The engine's own handle.
    pub(super) database: Database,
    faults: Arc<Faults>,
}

/// A disk operation that failed.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    /// Whether it was a sync, so that it is not known what is on the disk.
    pub(super) sync: bool,
    /// Whether the disk or quota is full.
    pub(super) no_space: bool,
    /// The operation and the system's error.
    pub(super) detail: String,
}

#[derive(Debug, Default)]
struct Faults {
    first: Mutex<Option<Fault>>,
    /// Set when the engine is given up, so that nothing it does while it is dropped reaches the disk.
    fenced: AtomicBool,
}

impl Engine {
    /// Opens the engine behind the header of `disk`, repairing what a crash left. With `verify` every page's checksum
    /// is read and compared first. `path` is for the error.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        path: &Path,
        cache_bytes: usize,
        verify: bool,
    ) -> Result<Engine, OpenError> {
        let faults = Arc::new(Faults::default());
        let area = Area { disk, faults: Arc::clone(&faults) };
        let open = || {
            let mut builder = Builder::new();
            builder.set_cache_size(cache_bytes).set_check_integrity_on_open(verify);
            builder.create_with_backend(area)
        };
        // The engine trusts pages that have been damaged from outside, and may panic over them.
        match catch_unwind(AssertUnwindSafe(open)) {
            Ok(Ok(database)) => Ok(Engine { database, faults }),
            Ok(Err(error)) => Err(open_error(path, error.into())),
            Err(_) => Err(damaged(path, "the engine could not make sense of its pages".to_owned())),
        }
    }

    /// The first disk operation that failed, if one did.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.faults.first.lock().clone()
    }

    /// Lets the engine do nothing more to the disk.
    pub(super) fn fence(&self) {
        self.faults.fenced.store(true, Ordering::Release);
    }
}

/// Says of an engine's error on opening or reading what it means for the store at `path`.
pub(super) fn open_error(path: &Path, error: redb::Error) -> OpenError {
    match error {
        redb::Error::Io(source) => io_error(path, source),
        other => damaged(path, other.to_string()),
    }
}

pub(super) fn damaged(path: &Path, detail: String) -> OpenError {
    OpenError::Damaged { path: path.to_owned(), detail }
}

/// The part of a disk that is the engine's: everything after our header.
#[derive(Debug)]
struct Area {
    disk: Arc<dyn Disk>,
    faults: Arc<Faults>,
}

impl Area {
    fn note<T>(&self, operation: &str, act: impl FnOnce(&dyn Disk) -> io::Result<T>) -> io::Result<T> {
        if self.faults.fenced.load(Ordering::Acquire) {
            return Err(io::Error::other("the store has been given up"));
        }
        act(&*self.disk).inspect_err(|error| {
            let fault = Fault {
                sync: operation == "sync",
                no_space: matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded),
                detail: format!("{operation} failed: {error}"),
            };
            let mut first = self.faults.first.lock();
            // A failed sync outweighs whatever failed before it.
            if fault.sync || first.is_none() {
                *first = Some(fault);
            }
        })
    }
}

impl StorageBackend for Area {
    fn len(&self) -> io::Result<u64> {
        self.note("reading the length", |disk| Ok(disk.len()?.saturating_sub(HEADER_BYTES)))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.note("read", |disk| disk.read_at(HEADER_BYTES + offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.note("changing the length", |disk| disk.set_len(HEADER_BYTES + len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.note("sync", |disk| disk.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.note("write", |disk| disk.write_at(HEADER_BYTES + offset, data))
    }
}
