//! Starting, supervising and ending a private containerd.
//!
//! At most one agent has it at a time: a lock says so. One of a former life, whose agent was killed, is replaced by a new
//! one: containers run under shims of their own and notice nothing. When it dies it is started again, at once the first
//! time and then ever more patiently. What it says goes to a file, which is bounded.

use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock, statfs};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::config::{Config, snapshotter};
use super::log_file::LogFile;
use super::{Found, Layout, leftovers, processes};
use crate::cri::{Cri, v1};

/// What tells one start of the machine from another.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";
/// From how many bytes on the log begins anew. The one before is kept.
const LOG_BYTES: u64 = 10 << 20;
/// How often it is looked at how long the log is.
const LOG_LOOK: Duration = Duration::from_secs(10);
/// How long it may take until it is ready: with thousands of containers to find again, it takes seconds.
const READY: Duration = Duration::from_secs(60);
/// How long one question whether it is ready may take.
const QUESTION: Duration = Duration::from_secs(5);
/// The waits between those questions: the first, and the longest.
const QUESTIONS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));
/// How long it may take to end when it is told to, before it is killed.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long an agent that was killed may hold the lock, and how often it is tried.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_LOOK: Duration = Duration::from_millis(20);
/// The waits before it is started again: the first, and the longest.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// After how long a life it is started again as if it had never died before.
const LONG_LIFE: Duration = Duration::from_secs(60);
/// How much of what it said last an error tells.
const LAST_WORDS: u64 = 2048;

/// How a private containerd is to be.
#[derive(Clone, Debug)]
pub struct PrivateOptions {
    /// The directory below which it has everything.
    pub data_dir: PathBuf,
    /// The programs.
    pub found: Found,
    /// The name of the image that sandboxes are made from.
    pub sandbox_image: String,
    /// What goes into its log: `error`, `warn`, `info`, `debug` or `trace`.
    pub log_level: String,
    /// How likely the kernel ends it when memory runs out, from -1000 (never) to 1000; `None` leaves that to the kernel.
    pub oom_score: Option<i32>,
    /// A directory that says how registries are reached (`hosts.toml` for each), if there is one.
    pub registries: Option<PathBuf>,
}

impl PrivateOptions {
    /// As upstream's nodes have theirs: all that is worth knowing is logged, and memory is taken from others first.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>, found: Found, sandbox_image: impl Into<String>) -> PrivateOptions {
        PrivateOptions {
            data_dir: data_dir.into(),
            found,
            sandbox_image: sandbox_image.into(),
            log_level: "info".to_owned(),
            oom_score: Some(-999),
            registries: None,
        }
    }
}

/// Why there is no private containerd.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Only root may run containers.
    #[error("containers can only be run by root: run as root, or name a runtime with --container-runtime-endpoint")]
    NotRoot,
    /// A file or directory of its own is of no use.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another agent has it.
    #[error("{} is held by another agent of this machine: end that one first, or use another --data-dir", .0.display())]
    Locked(PathBuf),
    /// One of a former life does not end.
    #[error("the containerd of a former agent does not end: {0}")]
    Former(io::Error),
    /// It cannot be started.
    #[error("{program}: {source}", program = program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It ended instead of becoming ready.
    #[error("containerd ended ({status}) before it was ready; the last that it said in {}: {last}", log.display())]
    Ended {
        /// How.
        status: ExitStatus,
        /// Its log.
        log: PathBuf,
        /// The end of its log.
        last: String,
    },
    /// It does not become ready.
    #[error("containerd is not ready after {READY:?} ({why}): see its log {}", log.display())]
    NotReady {
        /// What it answered last.
        why: String,
        /// Its log.
        log: PathBuf,
    },
}

/// Whether it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Its process, while there is one.
    pub pid: Option<u32>,
    /// How often it was started.
    pub starts: u64,
}

/// A containerd of our own, which runs until it is stopped.
#[derive(Debug)]
pub struct Private {
    layout: Layout,
    health: watch::Receiver<Health>,
    stop: CancellationToken,
    supervision: JoinHandle<()>,
    /// Held for as long as this lives.
    _lock: File,
}

impl Private {
    /// Starts it, and gives it when it is ready for containers. Its network may not be configured yet
    /// ([`cni::write`](super::cni::write)).
    pub async fn start(options: PrivateOptions) -> Result<Private, StartError> {
        if !rustix::process::geteuid().is_root() {
            return Err(StartError::NotRoot);
        }
        let layout = Layout::of(&options.data_dir);
        prepare(&layout)?;
        let lock = lock(&layout).await?;
        let problem = |source| StartError::File { path: layout.state(), source };
        forget_another_boot(&layout, Path::new(BOOT)).map_err(problem)?;
        prepare(&layout)?;
        let former = processes::end("containerd", "--config", &layout.config(), PATIENCE).await;
        if former.map_err(StartError::Former)? > 0 {
            tracing::info!("the containerd of a former agent was ended; its containers go on");
        }
        write_config(&layout, &options)?;
        let log = LogFile::new(layout.log(), LOG_BYTES);
        bound(&log);
        let length = log.length();
        let mut child = spawn(&options.found, &layout, &log)?;
        if let Err(error) = ready(&layout, &mut child, &log, length).await {
            end(&mut child).await;
            return Err(error);
        }
        let (told, health) = watch::channel(Health { pid: child.id(), starts: 1 });
        let stop = CancellationToken::new();
        let supervisor = Supervisor { found: options.found, layout: layout.clone(), log, told, stop: stop.clone() };
        let supervision = tokio::spawn(supervisor.run(child));
        Ok(Private { layout, health, stop, supervision, _lock: lock })
    }

    /// Its socket, as [`Cri::at`] takes it.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.layout.endpoint()
    }

    /// Where it has what.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whether it runs, from now on.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// Ends it. Containers go on.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Err(error) = (&mut self.supervision).await {
            tracing::error!(%error, "containerd was not ended in an orderly way");
        }
    }

    /// Leaves it alone, as an agent does that is killed.
    #[cfg(test)]
    pub(super) fn abandon(mut self) {
        self.supervision.abort();
        self.stop = CancellationToken::new();
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Removes what a machine that was started again has no use for: what runtimes know of running containers. Elsewhere that
/// is in memory and goes by itself.
fn forget_another_boot(layout: &Layout, boot: &Path) -> io::Result<()> {
    let now = std::fs::read(boot)?;
    let path = layout.directory().join("boot");
    match std::fs::read(&path) {
        Ok(then) if then == now => return Ok(()),
        Ok(_) => {
            tracing::info!("the machine was started again: no container runs any more");
            leftovers::remove_directory(&layout.state())?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    replace(&path, &now, 0o600)
}

/// Makes its directories, which are root's alone.
fn prepare(layout: &Layout) -> Result<(), StartError> {
    let socket = layout.socket();
    let of_socket = socket.parent().unwrap_or(layout.directory());
    for path in [layout.directory(), &layout.root(), &layout.state(), &layout.networks(), of_socket] {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o711).create(path);
        made.map_err(|source| StartError::File { path: path.to_owned(), source })?;
    }
    Ok(())
}

/// Holds the lock, if nobody else does. An agent that was killed has it for a moment longer: until the kernel has taken it
/// apart, and until what it was about to run is a program of its own.
async fn lock(layout: &Layout) -> Result<File, StartError> {
    let tried = async {
        loop {
            match try_lock(layout) {
                Err(StartError::Locked(_)) => tokio::time::sleep(LOCK_LOOK).await,
                outcome => return outcome,
            }
        }
    };
    tokio::time::timeout(LOCK_PATIENCE, tried).await.unwrap_or_else(|_| try_lock(layout))
}

fn try_lock(layout: &Layout) -> Result<File, StartError> {
    let path = layout.directory().join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|source| StartError::File { path: path.clone(), source })?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StartError::Locked(path)),
        Err(errno) => Err(StartError::File { path, source: errno.into() }),
    }
}

/// Writes its configuration. Another process never sees half of it.
fn write_config(layout: &Layout, options: &PrivateOptions) -> Result<(), StartError> {
    let path = layout.config();
    let kind =
        statfs(layout.directory()).map_err(|errno| StartError::File { path: path.clone(), source: errno.into() })?;
    let config = Config {
        layout,
        found: &options.found,
        sandbox_image: &options.sandbox_image,
        log_level: &options.log_level,
        oom_score: options.oom_score.filter(|_| may_be_spared()),
        snapshotter: snapshotter(kind.f_type),
        registries: options.registries.as_deref(),
    };
    replace(&path, config.render().as_bytes(), 0o600).map_err(|source| StartError::File { path, source })
}

/// Whether this process may have the kernel end others first when memory runs out. Root in a container may not.
fn may_be_spared() -> bool {
    let sets = rustix::thread::capabilities(None);
    sets.is_ok_and(|sets| sets.effective.contains(rustix::thread::CapabilitySet::SYS_RESOURCE))
}

/// Has a file have this content, at once.
pub(super) fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(directory)?;
    io::Write::write_all(&mut file, content)?;
    file.as_file().set_permissions(PermissionsExt::from_mode(mode))?;
    file.persist(path)?;
    Ok(())
}

/// Starts the program, in a process group of its own: a signal from a terminal is meant for the agent.
fn spawn(found: &Found, layout: &Layout, log: &LogFile) -> Result<Child, StartError> {
    let open = || log.open().map_err(|source| StartError::File { path: layout.log(), source });
    let mut command = Command::new(&found.containerd);
    command.arg("--config").arg(layout.config()).env("PATH", &found.path).process_group(0);
    command.stdin(Stdio::null()).stdout(open()?).stderr(open()?);
    command.spawn().map_err(|source| StartError::Spawn { program: found.containerd.clone(), source })
}

/// Waits until it is ready for containers, or has ended.
async fn ready(layout: &Layout, child: &mut Child, log: &LogFile, length: u64) -> Result<(), StartError> {
    let Ok(cri) = Cri::at(&layout.endpoint()) else {
        let source = io::Error::from(io::ErrorKind::InvalidFilename);
        return Err(StartError::File { path: layout.socket(), source });
    };
    let deadline = Instant::now() + READY;
    let mut wait = QUESTIONS.0;
    loop {
        let question = tokio::time::timeout(QUESTION, is_ready(&cri));
        let why = tokio::select! {
            status = child.wait() => {
                let status = status.map_err(|source| StartError::File { path: layout.config(), source })?;
                let last = log.tail(length, LAST_WORDS).unwrap_or_default();
                return Err(StartError::Ended { status, log: layout.log(), last });
            }
            answer = question => match answer {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(why)) => why,
                Err(_) => format!("no answer within {QUESTION:?}"),
            },
        };
        if Instant::now() >= deadline {
            return Err(StartError::NotReady { why, log: layout.log() });
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(QUESTIONS.1);
    }
}

async fn is_ready(cri: &Cri) -> Result<(), String> {
    let answer = cri.status(v1::StatusRequest::default()).await.map_err(|status| status.message().to_owned())?;
    let conditions = answer.status.unwrap_or_default().conditions;
    match conditions.into_iter().find(|condition| condition.r#type == "RuntimeReady") {
        Some(condition) if condition.status => Ok(()),
        Some(condition) => Err(format!("{}: {}", condition.reason, condition.message)),
        None => Err("it does not say whether it is ready".to_owned()),
    }
}

/// Tells it to end, and kills it if it does not.
async fn end(child: &mut Child) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It is a child that nobody has waited for: the number is still its own.
        let _ = kill_process(pid, Signal::TERM);
    }
    if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
        tracing::warn!("containerd does not end in an orderly way and is killed");
        if let Err(error) = child.kill().await {
            tracing::error!(%error, "containerd cannot be killed");
        }
    }
}

fn bound(log: &LogFile) {
    if let Err(error) = log.bound() {
        tracing::warn!(%error, "containerd's log cannot be bounded");
    }
}

/// Who starts it again.
struct Supervisor {
    found: Found,
    layout: Layout,
    log: LogFile,
    told: watch::Sender<Health>,
    stop: CancellationToken,
}

impl Supervisor {
    async fn run(self, mut child: Child) {
        let mut wait = AGAIN.0;
        loop {
            let began = Instant::now();
            let Some(how) = self.attend(&mut child).await else {
                end(&mut child).await;
                self.told.send_modify(|health| health.pid = None);
                return;
            };
            self.told.send_modify(|health| health.pid = None);
            if began.elapsed() >= LONG_LIFE {
                wait = AGAIN.0;
            }
            tracing::warn!(how, ?wait, log = %self.layout.log().display(), "containerd ended and is started again");
            match self.again(&mut wait).await {
                Some(started) => child = started,
                None => return,
            }
        }
    }

    /// Bounds the log until it ends, and says how; `None` if it is to be ended.
    async fn attend(&self, child: &mut Child) -> Option<String> {
        let mut look = tokio::time::interval(LOG_LOOK);
        loop {
            tokio::select! {
                ended = child.wait() => {
                    return Some(ended.map_or_else(|error| error.to_string(), |status| status.to_string()));
                }
                () = self.stop.cancelled() => return None,
                _ = look.tick() => {
                    let log = self.log.clone();
                    let _ = tokio::task::spawn_blocking(move || bound(&log)).await;
                }
            }
        }
    }

    /// Starts it again, however often that fails; `None` if it is to be ended.
    async fn again(&self, wait: &mut Duration) -> Option<Child> {
        loop {
            let waited = *wait;
            *wait = (*wait * 2).min(AGAIN.1);
            tokio::select! {
                () = tokio::time::sleep(waited) => {}
                () = self.stop.cancelled() => return None,
            }
            match spawn(&self.found, &self.layout, &self.log) {
                Ok(child) => {
                    self.told.send_modify(|health| {
                        health.pid = child.id();
                        health.starts += 1;
                    });
                    return Some(child);
                }
                Err(error) => tracing::error!(%error, "containerd cannot be started again"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ran_before_the_machine_was_started_again_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::of(directory.path());
        let boot = directory.path().join("boot_id");
        let task = layout.state().join("task");
        for (id, is_left) in [("first", true), ("first", true), ("second", false), ("second", true)] {
            std::fs::write(&boot, id).unwrap();
            std::fs::create_dir_all(&task).unwrap();
            forget_another_boot(&layout, &boot).unwrap();
            assert_eq!(task.exists(), is_left, "{id}");
        }
    }
}
