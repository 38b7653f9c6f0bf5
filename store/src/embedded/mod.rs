//! The embedded backend: one file, one writer, and a flush that everyone shares who wrote while the last was under way.
//!
//! A data directory holds one file, [`STORE_FILE`]: a page of our own ([`header`]), and behind it a crash-safe
//! engine (redb) with a log of changes by revision ([`log`]). Reads are the mirror's; this backend reads its file only to
//! open it and to back it up.
//!
//! What it adds to what every backend promises:
//!
//! - a process that is killed at any moment loses no acknowledged write, [`Durability::Behind`] excepted, and leaves nothing
//!   half-written;
//! - history survives: after a restart watches resume from any revision that was not compacted;
//! - a file that is locked, is not a store, or has a newer format is refused, unchanged;
//! - a full disk refuses writes, changes nothing, and takes writes again once there is room;
//! - after a failed flush it is not known what is on the disk, and no more is written.
//!
//! [`Durability::Behind`]: crate::Durability::Behind

mod batch;
mod commit;
mod compaction;
mod disk;
mod engine;
mod header;
mod load;
mod log;
mod maintenance;
mod overlay;
mod queue;
mod slot;
mod snapshot;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::oneshot;

pub use disk::{Disk, FileDisk};
pub use maintenance::{MaintenanceError, Report, backup, restore, verify, verify_disk};

use crate::backend::{Backend, Op, Sink, Write};
use crate::error::{CompactError, OpenError, ReadError, WriteError};
use crate::key::Revision;
use commit::Committer;
use disk::{Directory, io_error};
use engine::{Engine, open_error};
use log::Meta;
use queue::{Phase, Queue, Request, WriteRequest};
use slot::Slot;
use writer::Writer;

/// The file in a data directory that is the store.
pub const STORE_FILE: &str = "store.gantry";

/// Whether every commit saves what the engine would otherwise work out when it is opened after a crash. It would cost
/// every commit a second flush; without it, opening 150,000 objects of 4 KB takes 2.7 s after a crash in place of 1.4 s.
const QUICK_REPAIR: bool = false;

/// The limits and sizes of an embedded store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// The largest value of a write, in bytes. The default is etcd's limit of a request, 1.5 MiB.
    pub value_bytes: usize,
    /// How much the engine caches of its pages, in bytes. Half of it is for pages on their way to the disk. Reads do
    /// not need it: the mirror serves them.
    pub cache_bytes: usize,
    /// How many bytes of writes may wait for the writer; further ones wait until there is room. Each counts at least as
    /// 1 KiB.
    pub queue_bytes: usize,
    /// How many writes one flush takes at most.
    pub batch_writes: usize,
    /// How many bytes of writes one flush takes at most.
    pub batch_bytes: usize,
    /// How many writes may be acknowledged and not on the disk. At most 32,768.
    pub behind_writes: usize,
    /// How many bytes of writes may be acknowledged and not on the disk.
    pub behind_bytes: usize,
    /// How long a write may be acknowledged and not on the disk.
    pub behind_delay: Duration,
    /// How long writes are refused after the disk failed to take one, before it is tried again. Longer, up to a hundred
    /// times, if finding out what is on the disk takes long.
    pub retry_pause: Duration,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        EmbeddedOptions {
            value_bytes: 3 << 19,
            cache_bytes: 16 << 20,
            queue_bytes: 64 << 20,
            batch_writes: 1024,
            batch_bytes: 8 << 20,
            behind_writes: 4096,
            behind_bytes: 4 << 20,
            behind_delay: Duration::from_millis(50),
            retry_pause: Duration::from_millis(100),
        }
    }
}

/// A store in a file of this machine.
///
/// Dropping it without [`close`](Backend::close) flushes and closes the store too, and waits for that.
#[derive(Debug)]
pub struct Embedded {
    queue: Arc<Queue>,
    slot: Arc<Slot>,
    options: EmbeddedOptions,
    started: Mutex<Started>,
}

#[derive(Debug, Default)]
struct Started {
    sink: Option<SinkHandle>,
    thread: Option<JoinHandle<()>>,
}

/// A sink, without a claim to how it prints.
struct SinkHandle(Arc<dyn Sink>);

impl std::fmt::Debug for SinkHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sink at {}", self.0.revision())
    }
}

impl Embedded {
    /// Opens the store in `data_dir`, or makes one, and the directory, if there is none. What is stored is read by
    /// [`start`](Backend::start).
    pub fn open(data_dir: &Path, options: EmbeddedOptions) -> Result<Embedded, OpenError> {
        let path = data_dir.join(STORE_FILE);
        create_directory(data_dir)?;
        let directory = Directory::lock(data_dir)?;
        if is_missing(&path)? {
            directory.install(STORE_FILE, |disk| format_disk(Arc::new(disk), &path))?;
        }
        let disk = FileDisk::open(&path)?;
        header::check(&disk, &path)?;
        Ok(Embedded::new(Arc::new(disk), path, options))
    }

    /// Opens the store on a disk that [`format`](Embedded::format) has prepared.
    pub fn open_disk(disk: Arc<dyn Disk>, options: EmbeddedOptions) -> Result<Embedded, OpenError> {
        let path = PathBuf::from("disk");
        header::check(&*disk, &path)?;
        Ok(Embedded::new(disk, path, options))
    }

    /// Makes an empty store on an empty `disk`, durably.
    pub fn format(disk: Arc<dyn Disk>) -> Result<(), OpenError> {
        format_disk(disk, Path::new("disk"))
    }

    fn new(disk: Arc<dyn Disk>, path: PathBuf, mut options: EmbeddedOptions) -> Embedded {
        // So many may be lost in a crash; the gap that opening then leaves must cover them twice over.
        options.behind_writes = options.behind_writes.min((load::REVISION_GAP / 2) as usize);
        options.batch_writes = options.batch_writes.max(1);
        Embedded {
            queue: Arc::new(Queue::new(options.queue_bytes)),
            slot: Arc::new(Slot::new(disk, path, options.cache_bytes)),
            options,
            started: Mutex::new(Started::default()),
        }
    }

    /// Opens the engine and loads it, on the thread that will write.
    fn spawn(&self, sink: Arc<dyn Sink>, ready: oneshot::Sender<Result<(), OpenError>>) -> Result<(), OpenError> {
        let mut started = self.started.lock();
        if started.sink.is_some() || self.queue.phase() != Phase::Waiting {
            return Err(io_error(self.slot.path(), std::io::Error::other("the store was started before")));
        }
        started.sink = Some(SinkHandle(Arc::clone(&sink)));
        let (queue, slot, options) = (Arc::clone(&self.queue), Arc::clone(&self.slot), self.options.clone());
        let run = move || {
            let loaded = slot.reopen().and_then(|()| {
                let loaded = slot.with(|engine| load::load(engine, slot.path(), &*sink));
                loaded.unwrap_or_else(|| Err(io_error(slot.path(), std::io::Error::other("the store is closed"))))
            });
            match loaded {
                Ok(loaded) => {
                    queue.run();
                    let committer = Committer::new(slot, options.retry_pause);
                    let writer = Writer::new(queue, sink, committer, options, loaded);
                    let _ = ready.send(Ok(()));
                    writer.run();
                }
                Err(error) => {
                    queue.end(Phase::Closed);
                    slot.release();
                    let _ = ready.send(Err(error));
                }
            }
        };
        let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(run);
        started.thread = Some(thread.map_err(|source| io_error(self.slot.path(), source))?);
        Ok(())
    }

    /// Asks the writer to end; what comes back is its thread, and when it has let go of the store.
    fn begin_close(&self) -> (Option<JoinHandle<()>>, Option<oneshot::Receiver<()>>) {
        self.slot.set_closing();
        let mut started = self.started.lock();
        started.sink = None;
        let (reply, closed) = oneshot::channel();
        let closed = match self.queue.push(Request::Close(reply)) {
            Ok(()) => Some(closed),
            Err(Phase::Waiting) if started.thread.is_none() => {
                self.queue.end(Phase::Closed);
                self.slot.release();
                None
            }
            Err(_) => None,
        };
        (started.thread.take(), closed)
    }

    fn not_running(&self, phase: Phase) -> WriteError {
        match phase {
            Phase::Waiting => WriteError::Unavailable { detail: "the store has not been started".to_owned() },
            Phase::Failed => {
                WriteError::Unavailable { detail: "the writer has failed: restart the process".to_owned() }
            }
            Phase::Running | Phase::Closed => WriteError::Closed,
        }
    }

    async fn submit(&self, write: Write) -> Result<Revision, WriteError> {
        let size = match &write.op {
            Op::Put(value) => value.len(),
            Op::Delete => 0,
        };
        if size > self.options.value_bytes {
            return Err(WriteError::TooLarge { key: write.key, size, limit: self.options.value_bytes });
        }
        if self.queue.phase() != Phase::Running {
            return Err(self.not_running(self.queue.phase()));
        }
        let Some(room) = self.queue.room_for(write.bytes()).await else {
            return Err(self.not_running(self.queue.phase()));
        };
        let key = write.key.clone();
        let (reply, answer) = oneshot::channel();
        let request = Request::Write(WriteRequest { write, reply, room });
        self.queue.push(request).map_err(|phase| self.not_running(phase))?;
        let gone = |_| Err(WriteError::Undetermined { key, detail: "the writer ended without an answer".to_owned() });
        answer.await.unwrap_or_else(gone)
    }
}

impl Backend for Embedded {
    fn start(&self, sink: Arc<dyn Sink>) -> BoxFuture<'_, Result<(), OpenError>> {
        async move {
            let (ready, loaded) = oneshot::channel();
            self.spawn(sink, ready)?;
            let gone = |_| Err(engine::damaged(self.slot.path(), "loading it failed".to_owned()));
            loaded.await.unwrap_or_else(gone)
        }
        .boxed()
    }

    fn commit(&self, write: Write) -> BoxFuture<'_, Result<Revision, WriteError>> {
        self.submit(write).boxed()
    }

    fn current(&self) -> BoxFuture<'_, Result<Revision, ReadError>> {
        let current = match (self.queue.phase(), &self.started.lock().sink) {
            (Phase::Running | Phase::Failed, Some(sink)) => Ok(sink.0.revision()),
            (Phase::Waiting, _) => Err(ReadError::Unavailable { detail: "the store has not been started".to_owned() }),
            _ => Err(ReadError::Closed),
        };
        std::future::ready(current).boxed()
    }

    fn compact(&self, through: Revision) -> BoxFuture<'_, Result<(), CompactError>> {
        let (reply, answer) = oneshot::channel();
        let pushed = self.queue.push(Request::Compact(through, reply));
        async move {
            let failed = |detail: String| CompactError::Failed { through, detail };
            pushed.map_err(|phase| failed(self.not_running(phase).to_string()))?;
            answer.await.unwrap_or_else(|_| Err(failed("the store is closed".to_owned())))
        }
        .boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        let (thread, closed) = self.begin_close();
        async move {
            if let Some(closed) = closed {
                // An error means that the writer has ended otherwise.
                let _ = closed.await;
            }
            if let Some(thread) = thread {
                let _ = thread.join();
            }
        }
        .boxed()
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        let (thread, _) = self.begin_close();
        // The writer waits for nobody, so it ends. It may be the one that drops this, through the sink.
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

/// Whether there is no store at `path`, not even a part of one: a crash while it was made can leave an empty file.
fn is_missing(path: &Path) -> Result<bool, OpenError> {
    match std::fs::metadata(path) {
        Ok(found) => Ok(found.is_file() && found.len() == 0),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(source) => Err(io_error(path, source)),
    }
}

fn create_directory(data_dir: &Path) -> Result<(), OpenError> {
    std::fs::create_dir_all(data_dir).map_err(|source| io_error(data_dir, source))
}

fn format_disk(disk: Arc<dyn Disk>, path: &Path) -> Result<(), OpenError> {
    header::write(&*disk).map_err(|source| io_error(path, source))?;
    let engine = Engine::open(Arc::clone(&disk), path, 1 << 20, false)?;
    let meta = Meta { compacted: Revision::ZERO, clean: true };
    log::initialise(&engine.database, meta).map_err(|error| open_error(path, error))?;
    drop(engine);
    disk.sync_data().map_err(|source| io_error(path, source))
}
