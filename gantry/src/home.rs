//! A cluster's data directory, as the place that one process has: who it is, and how far it is.
//!
//! `gantry.lock` is locked by the process for as long as it lives, however it ends. `gantry.json` says which process that is
//! and what it does; it is replaced at once, readable by its owner alone, and removed at an orderly end. What is left of a
//! process that was killed is known by its number together with when it was started, and in which life of the machine: a
//! number that another process has by now is not taken for it.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, geteuid, getpid};
use serde::{Deserialize, Serialize};

/// What the files are called.
pub(crate) const STATE: &str = "gantry.json";
pub(crate) const LOCK: &str = "gantry.lock";
pub(crate) const LOG: &str = "gantry.log";
/// How the state's successor is called until it takes its place.
pub(crate) const TEMPORARY: &str = ".gantry-";
/// What tells one start of the machine from another.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";
/// How long a process that was killed may hold the lock, or a new one may hold it and not have said who it is.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);

/// A process, whatever others had its number before or will have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Identity {
    /// Its number.
    pub(crate) pid: i32,
    /// When it was started, in ticks since the machine was.
    pub(crate) start_ticks: u64,
    /// Which life of the machine that was in.
    pub(crate) boot: String,
}

impl Identity {
    /// This process.
    fn own() -> io::Result<Identity> {
        let pid = getpid().as_raw_nonzero().get();
        let stat = procfs::process::Process::new(pid).and_then(|process| process.stat()).map_err(io::Error::other)?;
        Ok(Identity { pid, start_ticks: stat.starttime, boot: boot()? })
    }

    /// Whether it is there, and has not ended.
    pub(crate) fn lives(&self) -> bool {
        let stat = procfs::process::Process::new(self.pid).and_then(|process| process.stat());
        let is_it = stat.is_ok_and(|stat| stat.starttime == self.start_ticks && !matches!(stat.state, 'Z' | 'X'));
        is_it && boot().is_ok_and(|boot| boot == self.boot)
    }

    /// Its number, as the kernel takes it.
    pub(crate) fn number(&self) -> Option<Pid> {
        Pid::from_raw(self.pid)
    }
}

fn boot() -> io::Result<String> {
    Ok(std::fs::read_to_string(BOOT)?.trim().to_owned())
}

/// How far a cluster is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "phase")]
pub(crate) enum Phase {
    /// It starts.
    #[serde(rename_all = "camelCase")]
    Starting {
        /// For what it waits.
        waiting_for: Vec<String>,
    },
    /// It has started.
    Ready,
    /// It was asked to end.
    Ending,
}

/// What `down` has to know of this machine as a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OfNode {
    /// The node's name.
    pub(crate) name: String,
    /// Where pods' volumes are.
    pub(crate) root_dir: PathBuf,
    /// The cgroup that the pods' cgroups are in.
    pub(crate) cgroup_root: String,
    /// Where the container runtime listens, if it is not the node's own.
    pub(crate) runtime_endpoint: Option<String>,
}

/// What a process says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct State {
    #[serde(flatten)]
    pub(crate) process: Identity,
    pub(crate) version: String,
    /// When it was started, for people.
    pub(crate) started_at: String,
    /// What it was started with.
    pub(crate) arguments: Vec<String>,
    /// Where its log is, if it is in a file.
    pub(crate) log: Option<PathBuf>,
    /// What objects are kept in.
    pub(crate) store: String,
    /// This machine as a node, if it is one.
    pub(crate) node: Option<OfNode>,
    #[serde(flatten)]
    pub(crate) phase: Phase,
    /// Where the API is, and how to reach it, once it is known.
    pub(crate) url: Option<String>,
    pub(crate) kubeconfig: Option<PathBuf>,
}

impl State {
    /// Of this process, which starts.
    pub(crate) fn new(log: Option<PathBuf>, store: String, node: Option<OfNode>) -> io::Result<State> {
        Ok(State {
            process: Identity::own()?,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: k8s_openapi::jiff::Timestamp::now().to_string(),
            arguments: std::env::args().skip(1).collect(),
            log,
            store,
            node,
            phase: Phase::Starting { waiting_for: Vec::new() },
            url: None,
            kubeconfig: None,
        })
    }
}

/// Why a data directory cannot be had, or nothing can be said of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HomeError {
    /// Another process has it.
    #[error("{} is in use by another process{}: stop it, or give this one a data directory of its own", .directory.display(), described(.holder.as_ref()))]
    InUse {
        /// The directory.
        directory: PathBuf,
        /// The process, if it says who it is.
        holder: Option<Identity>,
    },
    /// Somebody else's cluster is in it.
    #[error("{} belongs to the user of ID {owner}: ask as that user, or as root", .directory.display())]
    Foreign {
        /// The directory.
        directory: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// The state is of no version that is known.
    #[error("{} is not understood: {source}", .path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

fn described(holder: Option<&Identity>) -> String {
    holder.map(|identity| format!(" (gantry up, with the process ID {})", identity.pid)).unwrap_or_default()
}

fn file_error(path: &Path) -> impl Fn(io::Error) -> HomeError {
    move |source| HomeError::File { path: path.to_owned(), source }
}

/// What there is in a data directory.
#[derive(Debug)]
pub(crate) enum Look {
    /// No process.
    Nobody {
        /// What one left that ended without removing it.
        left: Option<Box<State>>,
    },
    /// A process that says what it is.
    Running(Box<State>),
    /// A process that does not, or is not to be seen from here.
    Unseen,
}

/// Looks who has a data directory. Changes nothing.
pub(crate) fn look(directory: &Path) -> Result<Look, HomeError> {
    let began = Instant::now();
    loop {
        check_owner(directory)?;
        let state = read(directory)?;
        match state {
            Some(state) if state.process.lives() => return Ok(Look::Running(state)),
            left if !is_locked(directory)? => return Ok(Look::Nobody { left }),
            _ if began.elapsed() > PATIENCE => return Ok(Look::Unseen),
            // It is about to say who it is, or to be gone.
            _ => std::thread::sleep(LOOK),
        }
    }
}

/// Whether this user may know, which is told by whose the directory is.
fn check_owner(directory: &Path) -> Result<(), HomeError> {
    let owner = match std::fs::metadata(directory) {
        Ok(metadata) => metadata.uid(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(file_error(directory)(error)),
    };
    if geteuid().is_root() || geteuid().as_raw() == owner {
        return Ok(());
    }
    Err(HomeError::Foreign { directory: directory.to_owned(), owner })
}

fn read(directory: &Path) -> Result<Option<Box<State>>, HomeError> {
    let path = directory.join(STATE);
    match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|source| HomeError::State { path, source }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file_error(&path)(error)),
    }
}

fn is_locked(directory: &Path) -> Result<bool, HomeError> {
    let path = directory.join(LOCK);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(file_error(&path)(error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(file_error(&path)(error)),
    }
}

/// A data directory that is this process's own until this is dropped.
#[derive(Debug)]
pub(crate) struct Home {
    directory: PathBuf,
    /// The directories that were made for it.
    made: Vec<PathBuf>,
    _lock: File,
}

impl Home {
    /// Makes it this process's own, and makes it if it is not there.
    pub(crate) async fn claim(directory: &Path) -> Result<Home, HomeError> {
        check_owner(directory)?;
        let made = make(directory)?;
        match lock(directory).await {
            Ok(lock) => {
                let directory = directory.canonicalize().map_err(file_error(directory))?;
                Ok(Home { directory, made, _lock: lock })
            }
            Err(error) => {
                unmake(directory, &made);
                Err(error)
            }
        }
    }

    /// Where it is, without symbolic links.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Has others know this of the process.
    pub(crate) fn tell(&self, state: &State) -> Result<(), HomeError> {
        let path = self.directory.join(STATE);
        let replace = || {
            // Such a file is its owner's alone.
            let mut file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(&self.directory)?;
            serde_json::to_writer_pretty(&mut file, state)?;
            file.write_all(b"\n")?;
            file.persist(&path)?;
            Ok::<_, io::Error>(())
        };
        replace().map_err(file_error(&path))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let path = self.directory.join(STATE);
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %path.display(), "the state of a process that has ended stays");
        }
        unmake(&self.directory, &self.made);
    }
}

async fn lock(directory: &Path) -> Result<File, HomeError> {
    let path = directory.join(LOCK);
    let began = Instant::now();
    loop {
        let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.map_err(file_error(&path))?;
        match file.try_lock() {
            Ok(()) if is_at(&file, &path) => return Ok(file),
            // Whoever had it has removed it meanwhile.
            Ok(()) => continue,
            Err(TryLockError::Error(error)) => return Err(file_error(&path)(error)),
            Err(TryLockError::WouldBlock) => {}
        }
        let holder = read(directory).ok().flatten().map(|state| state.process).filter(Identity::lives);
        if holder.is_some() || began.elapsed() > PATIENCE {
            return Err(HomeError::InUse { directory: directory.to_owned(), holder });
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether a file that is open is the one that is there.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    let there = std::fs::metadata(path).map(identity);
    file.metadata().map(identity).is_ok_and(|open| there.is_ok_and(|there| there == open))
}

/// Makes a directory and those that it is in, and says which of them were not there, the outermost first.
pub(crate) fn make(directory: &Path) -> Result<Vec<PathBuf>, HomeError> {
    let missing = directory.ancestors().filter(|path| !path.as_os_str().is_empty());
    let mut missing: Vec<PathBuf> = missing.take_while(|path| !path.exists()).map(Path::to_owned).collect();
    missing.reverse();
    std::fs::create_dir_all(directory).map_err(file_error(directory))?;
    Ok(missing)
}

/// Removes the directories again that were made, if nothing came to be in them.
pub(crate) fn unmake(directory: &Path, made: &[PathBuf]) {
    if made.is_empty() {
        return;
    }
    let mut entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let of_start = |name: &std::ffi::OsStr| name == LOCK || name == LOG;
    if entries.all(|entry| of_start(&entry.file_name())) {
        for name in [LOG, LOCK] {
            // It may not be there, and a directory that something is in is not removed.
            let _ = std::fs::remove_file(directory.join(name));
        }
        for path in made.iter().rev() {
            let _ = std::fs::remove_dir(path);
        }
    }
}

/// Who has a data directory that a server could not have, if it says so.
pub(crate) fn name_holder(error: apiserver::RunError) -> Box<dyn std::error::Error> {
    if let apiserver::RunError::InUse { data_dir } = &error
        && let Ok(Look::Running(state)) = look(data_dir)
    {
        return HomeError::InUse { directory: data_dir.clone(), holder: Some(state.process) }.into();
    }
    error.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        State::new(None, "embedded".to_owned(), None).unwrap()
    }

    #[tokio::test]
    async fn one_process_has_it_and_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("a/b");
        assert!(matches!(look(&data).unwrap(), Look::Nobody { left: None }));
        let home = Home::claim(&data).await.unwrap();
        home.tell(&state()).unwrap();
        let mode = std::fs::metadata(data.join(STATE)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        let Look::Running(seen) = look(&data).unwrap() else { panic!("it runs") };
        assert_eq!(*seen, State { started_at: seen.started_at.clone(), ..state() });
        let refused = Home::claim(&data).await.unwrap_err().to_string();
        assert!(refused.contains(&format!("the process ID {}", std::process::id())), "{refused}");
        drop(home);
        assert!(!directory.path().join("a").exists(), "it was made, and nothing came to be in it");
    }

    #[tokio::test]
    async fn what_came_to_be_in_it_stays() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("a");
        let home = Home::claim(&data).await.unwrap();
        std::fs::write(data.join("file"), "").unwrap();
        drop(home);
        assert!(data.join("file").exists() && data.join(LOCK).exists() && !data.join(STATE).exists());
    }

    #[tokio::test]
    async fn a_number_alone_is_no_process() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let home = Home::claim(path).await.unwrap();
        let mut other = state();
        let check = |state: &State, is_left: bool| {
            std::fs::write(path.join(STATE), serde_json::to_vec(state).unwrap()).unwrap();
            let look = look(path).unwrap();
            assert_eq!(matches!(look, Look::Nobody { left: Some(_) }), is_left, "{look:?}");
        };
        drop(home);
        check(&other, false);
        other.process.start_ticks += 1;
        check(&other, true);
        other = state();
        other.process.boot = "another".to_owned();
        check(&other, true);
        std::fs::write(path.join(STATE), "{}").unwrap();
        assert!(look(path).unwrap_err().to_string().contains("gantry.json is not understood"));
    }
}
