//! A container's log as a stream: read in blocks when they are asked for, so that whoever reads slowly holds up nobody and
//! costs one block of memory.
//!
//! Following goes on through rotations, however many there were since the last block: the kernel says under which name an
//! open file was put aside, and the next one is the one that comes after it, compressed or not. Only what was removed
//! before a slow reader came to it is lost. It ends once the container has ended and all
//! that it wrote was read. A runtime that does not answer ends nothing.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::read::GzDecoder;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::entry::{Decoder, Options};
use super::files::{Directory, LogError, LogFile};
use super::rotated::{self, Rotated, Stamp};
use super::tail;
use crate::cri::{Cri, is_absent, v1};

/// How much is read at a time.
const BLOCK: usize = 64 << 10;
/// The waits between looks for more, after something was found and after nothing was for long.
const QUICK: Duration = Duration::from_millis(20);
const SLOW: Duration = Duration::from_millis(200);
/// How often the runtime is asked whether the container still runs (upstream's number).
const ALIVE: Duration = Duration::from_secs(1);
/// How long a file that was put aside is still looked at, after the one in its place has been written to. The two streams
/// of a container change files one after the other.
const AFTERMATH: Duration = Duration::from_millis(100);

/// What is asked for of a log, in pieces of at most some 64 KiB.
pub type LogStream = BoxStream<'static, Result<Bytes, LogError>>;

/// Reads a container's log. What was rotated away before is not read (as upstream has it), unless nothing was written since.
/// The container's ID at the runtime is what is asked about while following.
pub async fn read(cri: &Cri, container_id: &str, log: &LogFile, options: &Options) -> Result<LogStream, LogError> {
    let (log, options) = (log.clone(), options.clone());
    let (cri, container_id) = (cri.clone(), container_id.to_owned());
    let reader = blocking(move || Reader::open(cri, container_id, log, &options)).await?;
    Ok(stream::unfold(Some(reader), |reader| async {
        let mut reader = reader?;
        match reader.next().await {
            Ok(Some(piece)) => Some((Ok(piece), Some(reader))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed())
}

/// Does something that waits for the disk.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // Only a runtime that is being shut down does not do what it is given, and nobody waits then.
        Err(_) => std::future::pending().await,
    }
}

struct Reader {
    cri: Cri,
    container_id: String,
    log: LogFile,
    directory: Directory,
    follow: bool,
    decoder: Decoder,
    source: Source,
    offset: u64,
    /// Where to stop, unless the log is followed.
    end: Option<u64>,
    /// How long the next wait is.
    wait: Duration,
    /// When the runtime was asked last.
    asked: Instant,
    has_ended: bool,
    /// When the file that comes next was found to be in use.
    successor: Option<Instant>,
}

/// What is being read.
enum Source {
    File(Arc<File>),
    /// A file that was put aside and compressed. The decoder is away while it reads.
    Archive(Stamp, Option<Box<GzDecoder<File>>>),
}

/// The file that comes after one that was put aside.
#[derive(Debug, PartialEq, Eq)]
struct Next {
    name: OsString,
    /// When it was put aside, unless it is the one that is being written to.
    stamp: Option<Stamp>,
    compressed: bool,
}

/// Opens a log, or what was just put aside of it, as long as nothing is in another one: who asks for the last lines of a
/// container gets them, even if it ended as its log was put aside.
fn open_newest(directory: &Directory, log: &OsStr) -> io::Result<File> {
    let current = match directory.open(log) {
        Ok(file) if file.metadata()?.len() == 0 => Ok(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
        opened => return opened,
    };
    let newest = rotated::of(log, &directory.names()?).rotated.pop();
    match newest.filter(|newest| !newest.compressed) {
        Some(newest) => directory.open(&newest.name),
        None => current,
    }
}

impl Reader {
    fn open(cri: Cri, container_id: String, log: LogFile, options: &Options) -> Result<Reader, LogError> {
        let directory = log.directory()?;
        let failed = |error| log.failed(error);
        let file = open_newest(&directory, log.name()).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let (mut offset, mut end) = (0, size);
        if let Some(lines) = options.tail {
            offset = tail::begin_of_last(&file, size, lines).map_err(failed)?;
            // A line that is just being written is none of those asked for.
            end = tail::begin_of_last(&file, size, 0).map_err(failed)?;
        }
        Ok(Reader {
            cri,
            container_id,
            directory,
            follow: options.follow,
            decoder: Decoder::new(options),
            source: Source::File(Arc::new(file)),
            offset,
            end: (!options.follow).then_some(end),
            wait: QUICK,
            asked: Instant::now(),
            has_ended: false,
            successor: None,
            log,
        })
    }

    /// The next piece, as soon as there is one.
    async fn next(&mut self) -> Result<Option<Bytes>, LogError> {
        let mut piece = Vec::new();
        loop {
            if self.decoder.is_done() {
                return Ok(None);
            }
            let block = self.block().await?;
            if !block.is_empty() {
                self.offset += block.len() as u64;
                self.wait = QUICK;
                self.decoder.take(&block, &mut piece).map_err(|error| LogError::Unsupported { line: error.0 })?;
                if !piece.is_empty() {
                    return Ok(Some(piece.into()));
                }
                continue;
            }
            if !self.follow {
                return Ok(None);
            }
            if self.change_file()? {
                continue;
            }
            if self.has_ended {
                return Ok(None);
            }
            if self.asked.elapsed() >= ALIVE {
                self.asked = Instant::now();
                self.has_ended = !is_running(&self.cri, &self.container_id).await;
                // What it wrote at last may have come since.
                continue;
            }
            sleep(self.wait).await;
            self.wait = (self.wait * 2).min(SLOW);
        }
    }

    /// What comes next in the file; nothing at its end.
    async fn block(&mut self) -> Result<Vec<u8>, LogError> {
        let read = match &mut self.source {
            Source::File(file) => {
                let size = file.metadata().map_err(|error| self.log.failed(error))?.len();
                let end = self.end.unwrap_or(size).min(size);
                let length = end.saturating_sub(self.offset).min(BLOCK as u64);
                let Ok(length @ 1..) = usize::try_from(length) else { return Ok(Vec::new()) };
                let (file, offset) = (Arc::clone(file), self.offset);
                blocking(move || read_block(length, |block| file.read_at(block, offset))).await
            }
            Source::Archive(_, decoder) => {
                let Some(mut away) = decoder.take() else { return Ok(Vec::new()) };
                let (read, back) = blocking(move || (read_block(BLOCK, |block| away.read(block)), away)).await;
                *decoder = Some(back);
                read
            }
        };
        read.map_err(|error| self.log.failed(error))
    }

    /// At the end of a file: goes on with another one, if this one was put aside. Whether there may be more to read now.
    fn change_file(&mut self) -> Result<bool, LogError> {
        let failed = |error| self.log.failed(error);
        let current = self.directory.stat(self.log.name()).map_err(failed)?;
        if let Source::File(file) = &self.source {
            let metadata = file.metadata().map_err(failed)?;
            if metadata.len() < self.offset {
                // Somebody has emptied it.
                self.offset = 0;
                self.decoder.begin_file();
                return Ok(true);
            }
            if current.is_some_and(|stat| stat.st_ino == metadata.ino()) {
                return Ok(false);
            }
        }
        let Some(next) = self.find_next().map_err(failed)? else { return Ok(false) };
        if next.stamp.is_none() && !self.has_ended {
            // Until it is in use, this one may be written to.
            if current.is_none_or(|stat| stat.st_size == 0) {
                return Ok(false);
            }
            if self.successor.get_or_insert_with(Instant::now).elapsed() < AFTERMATH {
                return Ok(false);
            }
        }
        let Some(source) = self.open_next(next).map_err(failed)? else { return Ok(false) };
        self.source = source;
        self.offset = 0;
        self.successor = None;
        self.decoder.begin_file();
        Ok(true)
    }

    /// The file that comes after this one.
    fn find_next(&self) -> io::Result<Option<Next>> {
        let log = self.log.name();
        let names = self.directory.names()?;
        let own = match &self.source {
            Source::Archive(stamp, _) => Some(stamp.clone()),
            Source::File(file) => name_of(file)?.and_then(|name| rotated::stamp_of(log, &name)),
        };
        let later =
            own.and_then(|own| rotated::of(log, &names).rotated.into_iter().find(|rotated| rotated.stamp > own));
        if let Some(Rotated { stamp, name, compressed }) = later {
            return Ok(Some(Next { name, stamp: Some(stamp), compressed }));
        }
        let current = || Next { name: log.to_owned(), stamp: None, compressed: false };
        Ok(names.iter().any(|name| name == log).then(current))
    }

    /// Opens a file that was found, unless another one has taken its name or its place since.
    fn open_next(&self, next: Next) -> io::Result<Option<Source>> {
        let file = match self.directory.open(&next.name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        if self.find_next()?.as_ref() != Some(&next) {
            return Ok(None);
        }
        Ok(Some(match next.stamp {
            Some(stamp) if next.compressed => Source::Archive(stamp, Some(Box::new(GzDecoder::new(file)))),
            _ => Source::File(Arc::new(file)),
        }))
    }
}

fn read_block(length: usize, mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<Vec<u8>> {
    let mut block = vec![0; length];
    let length = read(&mut block)?;
    block.truncate(length);
    Ok(block)
}

/// The name that an open file has by now, or had last.
fn name_of(file: &File) -> io::Result<Option<OsString>> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    let path = path.as_os_str().as_bytes();
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    Ok(Path::new(OsStr::from_bytes(path)).file_name().map(OsStr::to_owned))
}

/// Whether a container runs, as far as anybody knows.
async fn is_running(cri: &Cri, id: &str) -> bool {
    let request = v1::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
    match cri.container_status(request).await {
        Ok(answer) => answer.status.is_some_and(|status| status.state() == v1::ContainerState::ContainerRunning),
        Err(status) => !is_absent(&status),
    }
}

#[cfg(test)]
mod tests;
