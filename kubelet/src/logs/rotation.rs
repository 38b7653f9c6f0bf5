//! Rotation: a log that has become large is put aside, and the runtime starts another; what was put aside is compressed, and
//! the oldest goes. So a container's logs take no more than `max_files` times a little more than `max_size`.
//!
//! Logs are looked at every second (upstream does so every ten, but a container may write a gigabyte meanwhile, and a look
//! costs next to nothing), and the faster one grows, the sooner again, down to every fifth of a second: what is written
//! meanwhile is how much more "a little more" is. Compression is for one log at a time and holds up no rotation.
//!
//! An agent may end at any moment. A file is put aside by renaming it, and a log that is missing then is opened anew; an
//! archive gets its name when it is whole, and what is half done is done again.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use client::clock::Clock;
use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::fs::Mode;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use super::files::{Directory, LogError, LogFile};
use super::rotated;
use crate::cri::{Cri, v1};

/// How often it is asked which containers run.
const NEWCOMERS: Duration = Duration::from_secs(1);
/// The shortest time between two looks at one log.
const SHORTEST: Duration = Duration::from_millis(200);

/// When logs are rotated, and how many are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// From which size on, in bytes (`containerLogMaxSize`).
    pub max_size: u64,
    /// How many files there are of a log, itself included; at least 2 (`containerLogMaxFiles`).
    pub max_files: usize,
    /// How often a log is looked at at least (`containerLogMonitorInterval`).
    pub period: Duration,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy { max_size: 10 << 20, max_files: 5, period: Duration::from_secs(1) }
    }
}

/// A container that runs, and where it writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The runtime's ID.
    pub container_id: String,
    /// Its log.
    pub log: LogFile,
}

/// Rotates the logs of a node.
pub struct Rotation {
    cri: Cri,
    clock: Clock,
    policy: Policy,
    running: Arc<dyn Fn() -> Vec<Written> + Send + Sync>,
    logs: HashMap<String, Watched>,
    /// The containers among whose logs some may be to be compressed.
    uncompressed: BTreeSet<String>,
    compressing: Option<JoinHandle<()>>,
}

/// A log, and what is known of it.
struct Watched {
    log: LogFile,
    /// Its size at the last look, and when that was.
    size: Option<(u64, Instant)>,
    due: Instant,
}

impl Rotation {
    /// Rotates nothing yet. `running` says which containers run; it is asked every second, and must not wait.
    #[must_use]
    pub fn new(
        cri: Cri,
        clock: Clock,
        policy: Policy,
        running: Arc<dyn Fn() -> Vec<Written> + Send + Sync>,
    ) -> Rotation {
        let policy = Policy { max_files: policy.max_files.max(2), ..policy };
        Rotation { cri, clock, policy, running, logs: HashMap::new(), uncompressed: BTreeSet::new(), compressing: None }
    }

    /// Rotates, until it is dropped.
    pub async fn run(mut self) {
        loop {
            let listed = Instant::now();
            self.take_newcomers(listed);
            loop {
                let next = self.look_at_due().await;
                self.compress_next();
                let next = next.unwrap_or(listed + NEWCOMERS).min(listed + NEWCOMERS);
                sleep_until(next).await;
                if Instant::now() >= listed + NEWCOMERS {
                    break;
                }
            }
        }
    }

    fn take_newcomers(&mut self, now: Instant) {
        let mut before = std::mem::take(&mut self.logs);
        for Written { container_id, log } in (self.running)() {
            let known = before.remove(&container_id).filter(|known| known.log == log);
            if known.is_none() {
                self.uncompressed.insert(container_id.clone());
            }
            self.logs.insert(container_id, known.unwrap_or(Watched { log, size: None, due: now }));
        }
        let logs = &self.logs;
        self.uncompressed.retain(|id| logs.contains_key(id));
    }

    /// Looks at the logs whose time has come. When the next one's comes.
    async fn look_at_due(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let due: Vec<String> = self.logs.iter().filter(|(_, log)| log.due <= now).map(|(id, _)| id.clone()).collect();
        for id in due {
            let Some(watched) = self.logs.get(&id) else { continue };
            let (log, before) = (watched.log.clone(), watched.size);
            let looked = self.look(&id, &log).await;
            let at = Instant::now();
            let Some(watched) = self.logs.get_mut(&id) else { continue };
            match looked {
                Ok(found) => {
                    let before = before.map(|(size, then)| (size, at - then));
                    watched.due = at + next_look(&self.policy, before, found);
                    watched.size = Some((if found.rotated { 0 } else { found.size }, at));
                    if found.rotated {
                        self.uncompressed.insert(id);
                    }
                }
                Err(error) => {
                    tracing::warn!(container = id, %error, "a log was not rotated");
                    (watched.size, watched.due) = (None, at + self.policy.period);
                }
            }
        }
        self.logs.values().map(|log| log.due).min()
    }

    /// Looks at a log, and rotates it if it is large.
    async fn look(&self, id: &str, log: &LogFile) -> Result<Found, RotateError> {
        let directory = log.directory()?;
        let failed = |error| log.failed(error);
        let Some(stat) = directory.stat(log.name()).map_err(failed)? else {
            // An agent ended after it had put the log aside.
            self.reopen(id).await?;
            return Ok(Found { size: 0, rotated: true });
        };
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if size < self.policy.max_size {
            return Ok(Found { size, rotated: false });
        }
        let files = rotated::of(log.name(), &directory.names().map_err(failed)?);
        // There will be the log itself, and the one that is put aside now.
        let excess = (files.rotated.len() + 2).saturating_sub(self.policy.max_files);
        for rotated in files.rotated.iter().take(excess) {
            directory.remove(&rotated.name).map_err(failed)?;
        }
        let aside = rotated::next_name(log.name(), self.clock.now(), &files);
        directory.rename(log.name(), &aside).map_err(failed)?;
        if let Err(error) = self.reopen(id).await {
            // It is still written to, so it keeps its name, unless the runtime has made another after all.
            if directory.stat(log.name()).map_err(failed)?.is_none() {
                directory.rename(&aside, log.name()).map_err(failed)?;
            }
            return Err(error);
        }
        Ok(Found { size, rotated: true })
    }

    async fn reopen(&self, id: &str) -> Result<(), RotateError> {
        let request = v1::ReopenContainerLogRequest { container_id: id.to_owned() };
        self.cri.reopen_container_log(request).await.map(drop).map_err(|status| RotateError::Reopen(status.to_string()))
    }

    /// Has the next log's files compressed, unless some are being.
    fn compress_next(&mut self) {
        if self.compressing.as_ref().is_some_and(|compressing| !compressing.is_finished()) {
            return;
        }
        let Some(id) = self.uncompressed.pop_first() else { return };
        let Some(log) = self.logs.get(&id).map(|watched| watched.log.clone()) else { return };
        self.compressing = Some(spawn_blocking(move || {
            if let Err(error) = compress_rotated(&log) {
                tracing::warn!(container = id, %error, "rotated logs were not compressed");
            }
        }));
    }
}

/// Why a log was not rotated.
#[derive(Debug, thiserror::Error)]
enum RotateError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("failed to reopen container log: {0}")]
    Reopen(String),
}

/// What a look found.
#[derive(Clone, Copy, Debug)]
struct Found {
    /// How large the log was.
    size: u64,
    /// Whether it was put aside, so that the next one begins with nothing.
    rotated: bool,
}

/// How long it is until a log is looked at again: until it is full, if it goes on growing as it did since a time ago.
fn next_look(policy: &Policy, before: Option<(u64, Duration)>, found: Found) -> Duration {
    let Some((before, elapsed)) = before else { return policy.period.min(NEWCOMERS) };
    // Somebody else has put it aside or emptied it, if it is smaller: it has grown from nothing then.
    let grown = found.size.checked_sub(before).unwrap_or(found.size);
    if grown == 0 {
        return policy.period;
    }
    let left = if found.rotated { policy.max_size } else { policy.max_size.saturating_sub(found.size) };
    let until_full = elapsed.as_secs_f64() * left as f64 / grown as f64;
    Duration::try_from_secs_f64(until_full).unwrap_or(policy.period).clamp(SHORTEST.min(policy.period), policy.period)
}

/// Compresses what was rotated of a log but the newest, which somebody may still be reading or even writing to.
fn compress_rotated(log: &LogFile) -> Result<(), LogError> {
    let failed = |error| log.failed(error);
    let directory = log.directory()?;
    let files = rotated::of(log.name(), &directory.names().map_err(failed)?);
    for name in &files.unused {
        directory.remove(name).map_err(failed)?;
    }
    let older = files.rotated.split_last().map(|(_, older)| older).unwrap_or_default();
    for rotated in older.iter().filter(|rotated| !rotated.compressed) {
        match compress(&directory, rotated) {
            // It was one too many meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => done.map_err(failed)?,
        }
    }
    Ok(())
}

fn compress(directory: &Directory, rotated: &rotated::Rotated) -> io::Result<()> {
    let temporary = rotated::with(&rotated.name, ".tmp");
    let mut from = directory.open(&rotated.name)?;
    let mode = Mode::from_raw_mode(std::os::unix::fs::MetadataExt::mode(&from.metadata()?) & 0o777);
    directory.remove(&temporary)?;
    let done = write_compressed(&mut from, directory.create(&temporary, mode)?)
        // Gone meanwhile: the archive would never be removed.
        .and_then(
            |()| if directory.stat(&rotated.name)?.is_some() { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) },
        )
        .and_then(|()| directory.rename(&temporary, &rotated::with(&rotated.name, ".gz")));
    if done.is_err() {
        directory.remove(&temporary)?;
    }
    done.and_then(|()| directory.remove(&rotated.name))
}

fn write_compressed(from: &mut File, to: File) -> io::Result<()> {
    // Logs become a tenth as it is; a better level takes several times the processor's time.
    let mut to = GzEncoder::new(to, Compression::fast());
    io::copy(from, &mut to)?;
    to.finish()?.sync_all()
}

#[cfg(test)]
mod tests;
