//! What a store's bytes lie on: one array of bytes that can be read, written and synced.
//!
//! Everything that the embedded backend does to storage goes through [`Disk`], so that a test can stand a disk in its
//! place which tears, loses, fails and delays writes.

use std::fmt::Debug;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::OpenError;

/// An array of bytes on stable storage; the seam at which tests inject faults.
///
/// What was written is read back at once. It is certain to be there after a crash only when a later
/// [`sync_data`](Disk::sync_data) has returned without an error; until then any part of it may be, in any order.
pub trait Disk: Debug + Send + Sync + 'static {
    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether there is not a byte.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `into` from `offset` on. An error if that reaches beyond the end.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;

    /// Writes all of `data` at `offset`. After an error any part of it may have been written.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Cuts off what is beyond `len`, or extends with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Returns when everything written so far, and the length, is on stable storage.
    ///
    /// After an error it is not known what is: Linux reports a failed write-back once, and then takes the lost pages
    /// for clean, so that trying again proves nothing.
    fn sync_data(&self) -> io::Result<()>;
}

/// A file that is locked for as long as this value lives.
#[derive(Debug)]
pub struct FileDisk {
    file: File,
}

impl FileDisk {
    /// Opens the file at `path` for reading and writing, and locks out every other process.
    pub fn open(path: &Path) -> Result<FileDisk, OpenError> {
        FileDisk::lock(path, OpenOptions::new().read(true).write(true), true)
    }

    /// Opens the file at `path` for reading, and locks out writers.
    pub fn open_read_only(path: &Path) -> Result<FileDisk, OpenError> {
        FileDisk::lock(path, OpenOptions::new().read(true), false)
    }

    /// Makes an empty file at `path`, in place of one that may be there. Only its owner may read it: stored objects
    /// include secrets.
    pub fn create(path: &Path) -> Result<FileDisk, OpenError> {
        FileDisk::lock(path, OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600), true)
    }

    fn lock(path: &Path, options: &OpenOptions, exclusive: bool) -> Result<FileDisk, OpenError> {
        let file = options.open(path).map_err(|source| io_error(path, source))?;
        if !file.metadata().map_err(|source| io_error(path, source))?.is_file() {
            let detail = "it is not a regular file".to_owned();
            return Err(OpenError::NotAStore { path: path.to_owned(), detail });
        }
        acquire(path, || if exclusive { file.try_lock() } else { file.try_lock_shared() })?;
        Ok(FileDisk { file })
    }
}

/// How often a lock is tried, and how long is waited in between. A process that this one starts holds every lock of it
/// from fork to exec, also one that has been let go of here; that is over in a moment.
const LOCK_ATTEMPTS: u32 = 25;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

fn acquire(path: &Path, attempt: impl Fn() -> Result<(), TryLockError>) -> Result<(), OpenError> {
    for _ in 1..LOCK_ATTEMPTS {
        match attempt() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            settled => return settled.map_err(|error| not_locked(path, error)),
        }
    }
    attempt().map_err(|error| not_locked(path, error))
}

fn not_locked(path: &Path, error: TryLockError) -> OpenError {
    match error {
        TryLockError::WouldBlock => OpenError::Locked { path: path.to_owned() },
        TryLockError::Error(source) => io_error(path, source),
    }
}

impl Disk for FileDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(into, offset)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// A directory in which files are put in place whole or not at all. Holds a lock on it, so that two processes do not
/// build the same file at once.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    file: File,
}

impl Directory {
    /// Locks the directory at `path`.
    pub(super) fn lock(path: &Path) -> Result<Directory, OpenError> {
        let file = File::open(path).map_err(|source| io_error(path, source))?;
        acquire(path, || file.try_lock())?;
        Ok(Directory { path: path.to_owned(), file })
    }

    /// Makes the file `name` whole or not at all: `build` fills one of another name, which replaces it once it is on
    /// stable storage.
    pub(super) fn install<T, E>(&self, name: &str, build: impl FnOnce(FileDisk) -> Result<T, E>) -> Result<T, E>
    where
        E: From<OpenError>,
    {
        let path = self.path.join(name);
        let unfinished = self.path.join(format!("{name}.unfinished"));
        let placed = FileDisk::create(&unfinished).map_err(E::from).and_then(build).and_then(|built| {
            File::open(&unfinished).and_then(|file| file.sync_all()).map_err(|source| io_error(&unfinished, source))?;
            std::fs::rename(&unfinished, &path).map_err(|source| io_error(&path, source))?;
            self.file.sync_all().map_err(|source| io_error(&self.path, source))?;
            Ok(built)
        });
        if placed.is_err() {
            // What is left over does no harm, since the next attempt starts it anew; it may only take up room.
            let _ = std::fs::remove_file(&unfinished);
        }
        placed
    }
}

pub(super) fn io_error(path: &Path, source: io::Error) -> OpenError {
    OpenError::Io { path: path.to_owned(), source }
}
