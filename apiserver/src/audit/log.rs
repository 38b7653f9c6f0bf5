//! How events come to be written: by a thread of their own, in turn, out of a bounded queue.
//!
//! What always holds: the queue has a bound in events and in bytes; what finds no room in it, and what cannot be written, is
//! counted as lost, and the process's log says so; no thread that answers requests waits for a disk. Whether a request waits for
//! its events is a matter of the mode, and then it waits no longer than it may take at all.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Figures;
use super::file::{Rotation, Target};

/// The most bytes of events that wait to be written.
const MAX_BYTES: usize = 64 << 20;
/// How long the process waits at its end for what is still to be written.
const GRACE: Duration = Duration::from_secs(5);

/// Whether requests wait for what is written of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// They do not.
    #[default]
    Batch,
    /// They do, and go on if it cannot be written.
    Blocking,
    /// They do, and fail if it cannot be written that they came.
    BlockingStrict,
}

/// How events are taken from the queue in the mode `batch`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Batch {
    /// How many may wait.
    pub buffer_size: usize,
    /// How many are written at once.
    pub max_size: usize,
    /// How long one waits for more to be written with it.
    pub max_wait: Duration,
    /// How often something is written.
    pub throttle: Option<Throttle>,
}

impl Default for Batch {
    /// Upstream's numbers for files: one after the other, as there is nothing to be gained by waiting.
    fn default() -> Batch {
        Batch { buffer_size: 10_000, max_size: 1, max_wait: Duration::ZERO, throttle: None }
    }
}

/// How often something is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Throttle {
    /// How many times a second, in the long run.
    pub qps: f32,
    /// How many times in a row.
    pub burst: u32,
}

/// How large events may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncate {
    /// How many bytes are written at once, unless one event has more.
    pub max_batch_size: usize,
    /// From how many bytes on an event goes without what was sent and answered, and, if that is not enough, is lost.
    pub max_event_size: usize,
}

impl Default for Truncate {
    /// Upstream's numbers.
    fn default() -> Truncate {
        Truncate { max_batch_size: 10 << 20, max_event_size: 100 << 10 }
    }
}

/// How events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// As `audit.k8s.io/v1` has them.
    #[default]
    Json,
    /// As text, with less in it.
    Legacy,
}

/// Where events are written, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogOptions {
    /// The file; `-` is the standard output.
    pub path: PathBuf,
    /// What becomes of it.
    pub rotation: Rotation,
    /// What a line looks like.
    pub format: Format,
    /// Whether requests wait for them.
    pub mode: Mode,
    /// How they are taken from the queue.
    pub batch: Batch,
    /// How large they may be; as large as they are without.
    pub truncate: Option<Truncate>,
}

/// A log that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("the audit log {path} cannot be written: {source}")]
pub struct LogError {
    /// The file.
    path: PathBuf,
    /// Why not.
    source: io::Error,
}

/// What becomes of an event.
pub(super) enum Fate {
    /// It is as good as written, or lost.
    Known(bool),
    /// That will be told.
    Open(oneshot::Receiver<bool>),
}

impl Fate {
    /// Whether it is written; `None` if that is not known in time.
    pub(super) async fn wait(self, until: tokio::time::Instant) -> Option<bool> {
        match self {
            Fate::Known(written) => Some(written),
            // Without an answer there is no writer any more.
            Fate::Open(told) => tokio::time::timeout_at(until, told).await.ok().map(|told| told.unwrap_or(false)),
        }
    }
}

struct Line {
    bytes: Vec<u8>,
    written: Option<oneshot::Sender<bool>>,
}

/// A log that is being written.
pub(super) struct Log {
    sender: Option<SyncSender<Line>>,
    waiting: Arc<AtomicUsize>,
    ended: Mutex<Receiver<Infallible>>,
    mode: Mode,
    figures: Figures,
}

impl Log {
    pub(super) fn open(options: &LogOptions, figures: Figures) -> Result<Log, LogError> {
        let failed = |source| LogError { path: options.path.clone(), source };
        let target = Target::open(&options.path, options.rotation).map_err(failed)?;
        let blocking = options.mode != Mode::Batch;
        let batch = if blocking { Batch::default() } else { options.batch };
        let (sender, receiver) = sync_channel(batch.buffer_size);
        let (ends, ended) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let most = usize::try_from(options.rotation.max_bytes()).unwrap_or(usize::MAX);
        let most = options.truncate.map_or(most, |truncate| most.min(truncate.max_batch_size));
        let writer = Writer { target, batch, most, waiting: Arc::clone(&waiting), figures: figures.clone() };
        let thread = std::thread::Builder::new().name("audit".to_owned());
        let writing = move || {
            // Dropped at the end, and in a panic, too.
            let _ends = ends;
            writer.run(&receiver);
        };
        thread.spawn(writing).map_err(failed)?;
        Ok(Log { sender: Some(sender), waiting, ended: Mutex::new(ended), mode: options.mode, figures })
    }

    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    /// Lets a line wait for being written.
    pub(super) fn push(&self, bytes: Vec<u8>) -> Fate {
        let (length, blocking) = (bytes.len(), self.mode != Mode::Batch);
        let (written, fate) = if blocking {
            let (written, told) = oneshot::channel();
            (Some(written), Fate::Open(told))
        } else {
            (None, Fate::Known(true))
        };
        let has_room = self.waiting.fetch_add(length, Ordering::Relaxed) + length <= MAX_BYTES;
        let sender = self.sender.as_ref().filter(|_| has_room);
        if sender.is_some_and(|sender| sender.try_send(Line { bytes, written }).is_ok()) {
            return fate;
        }
        self.waiting.fetch_sub(length, Ordering::Relaxed);
        self.figures.lost(if blocking { "log" } else { "buffered" }, 1, &"too many wait to be written");
        Fate::Known(false)
    }
}

impl Drop for Log {
    /// What waits is written, if that takes no longer than a moment.
    fn drop(&mut self) {
        self.sender = None;
        if self.ended.lock().recv_timeout(GRACE) == Err(RecvTimeoutError::Timeout) {
            let bytes = self.waiting.load(Ordering::Relaxed);
            tracing::error!(bytes, "what is still to be written of the audit log is lost: writing it takes too long");
        }
    }
}

/// Who writes.
struct Writer {
    target: Target,
    batch: Batch,
    most: usize,
    waiting: Arc<AtomicUsize>,
    figures: Figures,
}

impl Writer {
    fn run(mut self, lines: &Receiver<Line>) {
        let mut bucket = self.batch.throttle.map(Bucket::full);
        while let Some(together) = collect(lines, &self.batch) {
            if let Some(bucket) = &mut bucket {
                bucket.take();
            }
            let (mut group, mut size) = (Vec::new(), 0);
            for line in together {
                if !group.is_empty() && size + line.bytes.len() > self.most {
                    self.write(std::mem::take(&mut group));
                    size = 0;
                }
                size += line.bytes.len();
                group.push(line);
            }
            self.write(group);
        }
    }

    fn write(&mut self, mut group: Vec<Line>) {
        let bytes = match group.as_mut_slice() {
            [one] => std::mem::take(&mut one.bytes),
            many => many.iter_mut().flat_map(|line| std::mem::take(&mut line.bytes)).collect(),
        };
        let written = self.target.write(&bytes);
        self.waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
        if let Err(error) = &written {
            self.figures.lost("log", group.len() as u64, error);
        }
        for told in group.into_iter().filter_map(|line| line.written) {
            // Nobody is there any more if the request has ended meanwhile.
            let _ = told.send(written.is_ok());
        }
    }
}

/// The next lines that are written together; none if there will be no more.
fn collect(lines: &Receiver<Line>, batch: &Batch) -> Option<Vec<Line>> {
    let mut together = vec![lines.recv().ok()?];
    let until = Instant::now() + batch.max_wait;
    while together.len() < batch.max_size {
        match lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(line) => together.push(line),
            Err(_) => break,
        }
    }
    Some(together)
}

/// How often something may still be written.
struct Bucket {
    throttle: Throttle,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    fn full(throttle: Throttle) -> Bucket {
        Bucket { throttle, tokens: f64::from(throttle.burst), filled: Instant::now() }
    }

    /// How long one has to wait from `now` on until something may be written, which is then counted.
    fn wait(&mut self, now: Instant) -> Duration {
        let qps = f64::from(self.throttle.qps);
        let gained = now.saturating_duration_since(self.filled).as_secs_f64() * qps;
        self.tokens = (self.tokens + gained).min(f64::from(self.throttle.burst)) - 1.0;
        self.filled = now;
        if self.tokens >= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(-self.tokens / qps) }
    }

    fn take(&mut self) {
        std::thread::sleep(self.wait(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_is_throttled() {
        let mut bucket = Bucket::full(Throttle { qps: 2.0, burst: 2 });
        let start = bucket.filled;
        let mut check = |after: u64, expected: u64| {
            assert_eq!(bucket.wait(start + Duration::from_millis(after)), Duration::from_millis(expected), "{after}");
        };
        check(0, 0);
        check(0, 0);
        check(0, 500);
        check(500, 500);
        check(1500, 0);
        check(60_000, 0);
        check(60_000, 0);
        check(60_000, 500);
    }

    #[test]
    fn lines_are_written_together() {
        let (sender, lines) = sync_channel(10);
        for _ in 0..5 {
            sender.send(Line { bytes: vec![b'x'], written: None }).unwrap();
        }
        drop(sender);
        let batch = Batch { max_size: 3, max_wait: Duration::from_secs(3600), ..Batch::default() };
        let sizes: Vec<usize> = std::iter::from_fn(|| collect(&lines, &batch)).map(|lines| lines.len()).collect();
        assert_eq!(sizes, [3, 2]);
    }
}
