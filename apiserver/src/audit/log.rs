//! The file that events are written to, one a line, by a thread of its own.
//!
//! What always holds: the queue to it has a bound in events and in bytes, and what finds no room is counted as lost; a file that has
//! grown to its limit is put aside under the time of that, and of those put aside no more are kept than was asked for.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use k8s_openapi::jiff::Timestamp;

use super::Figures;

/// The most events that wait to be written.
const MAX_EVENTS: usize = 10_000;
/// The most bytes of them.
const MAX_BYTES: usize = 64 << 20;
const DAY: Duration = Duration::from_hours(24);

/// When files are put aside, and for how long they are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// How large a file may become, in megabytes; 100 if it is 0, as upstream.
    pub max_size: u64,
    /// How many old ones are kept; all if it is 0.
    pub max_backup: usize,
    /// For how many days they are kept; forever if it is 0.
    pub max_age: u32,
    /// Whether they are compressed.
    pub compress: bool,
}

/// Where events are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// The file; `-` is the standard output.
    pub path: PathBuf,
    /// What becomes of it.
    pub rotation: Rotation,
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

/// A log that is being written.
pub(super) struct Log {
    sender: Option<SyncSender<Vec<u8>>>,
    waiting: Arc<AtomicUsize>,
    writer: Option<JoinHandle<()>>,
    figures: Figures,
}

impl Log {
    pub(super) fn open(options: &LogOptions, figures: Figures) -> Result<Log, LogError> {
        let failed = |source| LogError { path: options.path.clone(), source };
        let mut target = Target::open(options).map_err(failed)?;
        let (sender, receiver) = sync_channel(MAX_EVENTS);
        let waiting = Arc::new(AtomicUsize::new(0));
        let (counted, lost) = (Arc::clone(&waiting), figures.clone());
        let writer = std::thread::Builder::new().name("audit".to_owned());
        let writer = writer.spawn(move || target.write_all(&receiver, &counted, &lost)).map_err(failed)?;
        Ok(Log { sender: Some(sender), waiting, writer: Some(writer), figures })
    }

    /// Lets a line wait for being written.
    pub(super) fn write(&self, line: Vec<u8>) {
        let length = line.len();
        let is_sent = self.waiting.fetch_add(length, Ordering::Relaxed) + length <= MAX_BYTES
            && self.sender.as_ref().is_some_and(|sender| sender.try_send(line).is_ok());
        if !is_sent {
            self.waiting.fetch_sub(length, Ordering::Relaxed);
            self.figures.lost();
        }
    }
}

impl Drop for Log {
    /// What waits is written.
    fn drop(&mut self) {
        self.sender = None;
        if let Some(writer) = self.writer.take() {
            // If it panicked, that was reported where it happened.
            let _ = writer.join();
        }
    }
}

enum Target {
    Output,
    File { file: File, size: u64, options: LogOptions },
}

impl Target {
    fn open(options: &LogOptions) -> io::Result<Target> {
        if options.path == Path::new("-") {
            return Ok(Target::Output);
        }
        if let Some(parent) = options.path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let file = open(&options.path)?;
        let size = file.metadata()?.len();
        Ok(Target::File { file, size, options: options.clone() })
    }

    fn write_all(&mut self, lines: &Receiver<Vec<u8>>, waiting: &AtomicUsize, figures: &Figures) {
        for line in lines {
            if let Err(error) = self.write(&line) {
                tracing::error!(%error, "an audit event cannot be written");
                figures.lost();
            }
            waiting.fetch_sub(line.len(), Ordering::Relaxed);
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Target::Output => io::stdout().lock().write_all(line),
            Target::File { file, size, options } => {
                let megabytes = if options.rotation.max_size == 0 { 100 } else { options.rotation.max_size };
                if *size > 0 && *size + line.len() as u64 > megabytes << 20 {
                    *file = rotate(options)?;
                    *size = 0;
                }
                *size += line.len() as u64;
                file.write_all(line)
            }
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Puts the file aside and begins a new one.
fn rotate(options: &LogOptions) -> io::Result<File> {
    let (stem, extension) = name(&options.path);
    let time = Timestamp::now().strftime("%Y-%m-%dT%H-%M-%S%.6f").to_string();
    let aside = options.path.with_file_name(format!("{stem}-{time}{extension}"));
    std::fs::rename(&options.path, &aside)?;
    let file = open(&options.path)?;
    // What fails here leaves too much and loses nothing.
    if options.rotation.compress
        && let Err(error) = compress(&aside)
    {
        tracing::warn!(path = %aside.display(), %error, "an old audit log cannot be compressed");
    }
    if let Err(error) = prune(options, SystemTime::now()) {
        tracing::warn!(%error, "old audit logs cannot be removed");
    }
    Ok(file)
}

/// What the names of files begin and end with that were put aside.
fn name(path: &Path) -> (String, String) {
    let part = |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned());
    let extension = part(path.extension()).map_or_else(String::new, |extension| format!(".{extension}"));
    (part(path.file_stem()).unwrap_or_default(), extension)
}

fn compress(path: &Path) -> io::Result<()> {
    let mut zipped = path.as_os_str().to_owned();
    zipped.push(".gz");
    let mut encoder = GzEncoder::new(open(Path::new(&zipped))?, Compression::default());
    io::copy(&mut File::open(path)?, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    std::fs::remove_file(path)
}

/// Removes what is too old or too much.
fn prune(options: &LogOptions, now: SystemTime) -> io::Result<()> {
    let (stem, extension) = name(&options.path);
    let parent = options.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut old: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(parent)? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let time = name.strip_prefix(&format!("{stem}-"));
        let time = time.and_then(|rest| rest.strip_suffix(".gz").unwrap_or(rest).strip_suffix(&extension));
        // Only what looks like a time, so that another log's files are left alone.
        if time.is_some_and(|time| time.len() == 26 && time.as_bytes()[10] == b'T') {
            old.push(path);
        }
    }
    // By name, which is by time; the newest first.
    old.sort_unstable_by(|a, b| b.cmp(a));
    for (i, path) in old.iter().enumerate() {
        let Rotation { max_backup, max_age, .. } = options.rotation;
        let age = now.duration_since(std::fs::metadata(path)?.modified()?).unwrap_or_default();
        if (max_backup > 0 && i >= max_backup) || (max_age > 0 && age > DAY * max_age) {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}
