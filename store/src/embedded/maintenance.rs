//! What an operator does with a store: back it up while it runs or when it does not, restore it, and verify a file.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{ReadableDatabase, ReadableTable};
use tokio::sync::oneshot;

use super::disk::{Directory, Disk, FileDisk, io_error};
use super::engine::{Engine, damaged, open_error};
use super::load::read_meta;
use super::log::{LOG, Meta, Record};
use super::overlay::Overlay;
use super::queue::Request;
use super::slot::Slot;
use super::snapshot::{Snapshot, SnapshotError};
use super::{Embedded, STORE_FILE, create_directory, header, is_missing};
use crate::error::OpenError;
use crate::key::{Key, Revision};

/// How far revisions move on when a store is restored, so that clients of the old one have seen none of those that come:
/// as far as etcd's documentation advises for its `--bump-revision`.
const RESTORE_GAP: u64 = 1_000_000_000;

const CACHE_BYTES: usize = 16 << 20;

/// What [`verify`] found in a sound store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The newest revision.
    pub revision: Revision,
    /// The revision through which superseded changes are forgotten.
    pub compacted: Revision,
    /// How many keys exist at the newest revision.
    pub objects: u64,
    /// How many changes since the compacted revision are kept.
    pub history: u64,
    /// The bytes of the keys and values of all that is kept.
    pub bytes: u64,
    /// The length of the file in bytes.
    pub file_bytes: u64,
    /// Whether the store was closed in an orderly way. If it was not, opening it recovers it.
    pub clean: bool,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} objects at revision {}, {} changes since revision {}, {} bytes in a file of {}, {}",
            self.objects,
            self.revision,
            self.history,
            self.compacted,
            self.bytes,
            self.file_bytes,
            if self.clean { "closed in an orderly way" } else { "not closed in an orderly way" }
        )
    }
}

/// Why a backup or a restoration did not happen. The target is as it was.
#[derive(Debug, thiserror::Error)]
pub enum MaintenanceError {
    /// A store or backup could not be read or made.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// There is a file in the target's place already.
    #[error("{path} exists already: choose another place, or move it away first")]
    Exists {
        /// The file that is in the way.
        path: PathBuf,
    },
    /// Acknowledged writes could not be put on stable storage.
    #[error("the store cannot be backed up at present: {detail}")]
    Unavailable {
        /// What is wrong.
        detail: String,
    },
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

impl From<SnapshotError> for MaintenanceError {
    fn from(error: SnapshotError) -> MaintenanceError {
        match error {
            SnapshotError::Open(error) => MaintenanceError::Store(error),
            SnapshotError::Stopped => MaintenanceError::Closed,
        }
    }
}

impl Embedded {
    /// Writes the state at one revision to a new file at `to`, while the store goes on serving, and returns the
    /// revision. Everything that was acknowledged before the call is in it. The file is there whole or not at all.
    pub async fn backup(&self, to: &Path) -> Result<Revision, MaintenanceError> {
        let (reply, flushed) = oneshot::channel();
        self.queue.push(Request::Flush(reply)).map_err(|phase| match self.not_running(phase) {
            crate::WriteError::Unavailable { detail } => MaintenanceError::Unavailable { detail },
            _ => MaintenanceError::Closed,
        })?;
        let flushed = flushed.await.map_err(|_| MaintenanceError::Closed)?;
        flushed.map_err(|detail| MaintenanceError::Unavailable { detail })?;

        let (slot, to, (reply, done)) = (Arc::clone(&self.slot), to.to_owned(), oneshot::channel());
        let run = move || {
            // The caller may be gone, which does not make the backup worse.
            let _ = reply.send(back_up(&slot, &to));
        };
        let thread = std::thread::Builder::new().name("store-backup".to_owned()).spawn(run);
        thread.map_err(|source| io_error(self.slot.path(), source))?;
        done.await.unwrap_or(Err(MaintenanceError::Closed))
    }
}

/// Writes the newest state of the store at `from`, which is the file or its data directory, to a new file at `to`, and
/// says what the store holds. For a store that nobody has open: one that is in use is [`OpenError::Locked`], and backs
/// itself up by [`Embedded::backup`]. The store is verified first and stays as it is, also if it needs recovery.
pub fn backup(from: &Path, to: &Path) -> Result<Report, MaintenanceError> {
    let from = store_path(from);
    let (engine, file_bytes) = open_unchanged(&from)?;
    let report = examine(&engine, &from, file_bytes)?;
    let target = Target::lock(to)?;
    let source = engine.database.begin_read().map_err(|error| open_error(&from, error.into()))?;
    let snapshot = Snapshot { source: &source, path: &from, compacted: report.compacted, stop: &|| false };
    target.install(&snapshot, report.revision)?;
    Ok(report)
}

/// Makes a store in `data_dir` of the backup at `backup`, and says what it holds. The backup is verified first and stays
/// as it is.
///
/// Revisions go on a billion later than they stood in the backup, and watches from before are refused, because clients
/// may have seen revisions that the backup does not have.
pub fn restore(backup: &Path, data_dir: &Path) -> Result<Report, MaintenanceError> {
    let backup = store_path(backup);
    let (engine, file_bytes) = open_unchanged(&backup)?;
    let report = examine(&engine, &backup, file_bytes)?;
    create_directory(data_dir)?;
    let directory = Directory::lock(data_dir)?;
    let path = data_dir.join(STORE_FILE);
    if !is_missing(&path)? {
        return Err(MaintenanceError::Exists { path });
    }
    let source = engine.database.begin_read().map_err(|error| open_error(&backup, error.into()))?;
    let snapshot = Snapshot { source: &source, path: &backup, compacted: report.compacted, stop: &|| false };
    let goes_on_at = Revision(report.revision.0.saturating_add(RESTORE_GAP));
    directory.install(STORE_FILE, |disk| {
        snapshot.write(Arc::new(disk), &path, goes_on_at).map_err(MaintenanceError::from)
    })?;
    Ok(report)
}

/// Checks everything about the store or backup at `path`, which is the file or its data directory: header, every page's
/// checksum, every record, their order and their consistency. Changes nothing; a store that is in use is
/// [`OpenError::Locked`].
///
/// It holds the keys in memory.
pub fn verify(path: &Path) -> Result<Report, OpenError> {
    let path = store_path(path);
    let (engine, file_bytes) = open_unchanged(&path)?;
    examine(&engine, &path, file_bytes)
}

/// As [`verify`], for a store on any disk.
pub fn verify_disk(disk: impl Disk) -> Result<Report, OpenError> {
    let path = Path::new("disk");
    let (engine, file_bytes) = open_disk_unchanged(disk, path)?;
    examine(&engine, path, file_bytes)
}

fn store_path(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(STORE_FILE) } else { path.to_owned() }
}

fn open_unchanged(path: &Path) -> Result<(Engine, u64), OpenError> {
    open_disk_unchanged(FileDisk::open_read_only(path)?, path)
}

fn open_disk_unchanged(disk: impl Disk, path: &Path) -> Result<(Engine, u64), OpenError> {
    header::check(&disk, path)?;
    let file_bytes = disk.len().map_err(|source| io_error(path, source))?;
    let overlay = Overlay::new(disk).map_err(|source| io_error(path, source))?;
    Ok((Engine::open(Arc::new(overlay), path, CACHE_BYTES, true)?, file_bytes))
}

/// Where a backup is to be.
struct Target<'a> {
    path: &'a Path,
    name: &'a str,
    directory: Directory,
}

impl<'a> Target<'a> {
    /// Locks the directory, and makes sure that nothing is in the way.
    fn lock(path: &'a Path) -> Result<Self, MaintenanceError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
            return Err(io_error(path, std::io::ErrorKind::InvalidFilename.into()).into());
        };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let directory = Directory::lock(parent)?;
        if path.symlink_metadata().is_ok() {
            return Err(MaintenanceError::Exists { path: path.to_owned() });
        }
        Ok(Target { path, name, directory })
    }

    /// Writes `snapshot`, whole or not at all.
    fn install(&self, snapshot: &Snapshot<'_>, revision: Revision) -> Result<(), MaintenanceError> {
        self.directory.install(self.name, |disk| {
            snapshot.write(Arc::new(disk), self.path, revision).map_err(MaintenanceError::from)
        })
    }
}

fn back_up(slot: &Slot, to: &Path) -> Result<Revision, MaintenanceError> {
    let target = Target::lock(to)?;
    let copied = slot.with(|engine| {
        let of_source = |error: redb::Error| open_error(slot.path(), error);
        let source = engine.database.begin_read().map_err(|error| of_source(error.into()))?;
        let compacted = Meta::read_in(&source).map_err(of_source)?.compacted;
        let stop = || slot.is_closing();
        let snapshot = Snapshot { source: &source, path: slot.path(), compacted, stop: &stop };
        let revision = snapshot.revision()?;
        target.install(&snapshot, revision)?;
        Ok(revision)
    });
    copied.unwrap_or(Err(MaintenanceError::Closed))
}

/// Reads every record, and checks what the log promises.
fn examine(engine: &Engine, path: &Path, file_bytes: u64) -> Result<Report, OpenError> {
    let meta = read_meta(engine, path)?;
    let mut examination = Examination::new(meta);
    let read = |error: redb::Error| open_error(path, error);
    let log = engine.database.begin_read().map_err(|error| read(error.into()))?;
    let log = log.open_table(LOG).map_err(|error| read(error.into()))?;
    for entry in log.iter().map_err(|error| read(error.into()))? {
        let (revision, record) = entry.map_err(|error| read(error.into()))?;
        let revision = Revision(revision.value());
        let taken = Record::decode(record.value()).and_then(|record| examination.take(revision, record));
        taken.map_err(|detail| damaged(path, format!("at revision {revision}: {detail}")))?;
    }
    Ok(examination.report(file_bytes))
}

struct Examination {
    meta: Meta,
    last: Revision,
    live: HashSet<Key>,
    history: u64,
    bytes: u64,
}

impl Examination {
    fn new(meta: Meta) -> Examination {
        Examination { meta, last: Revision::ZERO, live: HashSet::new(), history: 0, bytes: 0 }
    }

    fn take(&mut self, revision: Revision, record: Record<'_>) -> Result<(), String> {
        if revision <= self.last {
            return Err(format!("it does not follow {}", self.last));
        }
        self.last = revision;
        let in_base = revision <= self.meta.compacted;
        self.history += u64::from(!in_base);
        let named = |key: &str| Key::new(key).map_err(|error| error.to_string());
        match record {
            Record::Put { key, value } => {
                self.bytes += (key.len() + value.len()) as u64;
                let first = self.live.insert(named(key)?);
                if in_base && !first {
                    return Err(format!("a second put of {key}, though it is compacted"));
                }
            }
            _ if in_base => return Err("no put, though it is compacted".to_owned()),
            Record::Delete { key } => {
                self.bytes += key.len() as u64;
                if !self.live.remove(&named(key)?) {
                    return Err(format!("{key} is deleted and did not exist"));
                }
            }
            Record::Skip => {}
        }
        Ok(())
    }

    fn report(self, file_bytes: u64) -> Report {
        Report {
            revision: self.last.max(self.meta.compacted),
            compacted: self.meta.compacted,
            objects: self.live.len() as u64,
            history: self.history,
            bytes: self.bytes,
            file_bytes,
            clean: self.meta.clean,
        }
    }
}
