//! Files below `/var/log/pods`, reached without following a link.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::paths::Paths;

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// There is none (in upstream's words, by which clients know it).
    #[error("failed to try resolving symlinks in path {path:?}: lstat {}: no such file or directory", .path.display())]
    Missing {
        /// Where it would be.
        path: PathBuf,
    },
    /// It is not what the agent or the runtime made.
    #[error("failed to open log file {path:?}: {reason}")]
    Refused {
        /// Where it is said to be.
        path: PathBuf,
        /// What it is instead.
        reason: &'static str,
    },
    /// It cannot be read.
    #[error("failed to read log file {path:?}: {error}")]
    Unreadable {
        /// Where it is.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is not in the format of CRI.
    #[error("failed to get parse function: unsupported log format: {line:?}")]
    Unsupported {
        /// Its first line.
        line: String,
    },
}

/// A container's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    root: PathBuf,
    relative: PathBuf,
}

impl LogFile {
    /// Where the agent has the runtime write the log of a container.
    pub fn of(
        paths: &Paths,
        (namespace, pod, uid): (&str, &str, &str),
        container: &str,
        attempt: u32,
    ) -> Result<LogFile, LogError> {
        LogFile::at(paths, &paths.logs_of(namespace, pod, uid).join(Paths::log_of(container, attempt)))
    }

    /// Where the runtime says that a log is. It must be below the directory of logs, and the path must be a plain one.
    pub fn at(paths: &Paths, path: &Path) -> Result<LogFile, LogError> {
        let refused =
            || LogError::Refused { path: path.to_owned(), reason: "it is not below the directory of pods' logs" };
        let relative = path.strip_prefix(&paths.pod_logs).map_err(|_| refused())?;
        let is_plain = relative.components().all(|component| matches!(component, Component::Normal(_)));
        // A pod's directory, a container's directory in it, and the file: nothing else is a log.
        if !is_plain || relative.components().count() != 3 {
            return Err(refused());
        }
        Ok(LogFile { root: paths.pod_logs.clone(), relative: relative.to_owned() })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.root.join(&self.relative)
    }

    /// Its name in its directory.
    pub(super) fn name(&self) -> &OsStr {
        self.relative.file_name().unwrap_or_default()
    }

    /// The directory that it is in, with what it was before.
    pub(super) fn directory(&self) -> Result<Directory, LogError> {
        let parent = self.relative.parent().unwrap_or(Path::new(""));
        Directory::beneath(&self.root, parent).map_err(|error| self.failed(error))
    }

    /// Removes it, and what was rotated of it. That it is gone already is fine.
    pub fn remove(&self) -> Result<(), LogError> {
        let directory = match self.directory() {
            Err(LogError::Missing { .. }) => return Ok(()),
            directory => directory?,
        };
        let names = directory.names().map_err(|error| self.failed(error))?;
        let own = self.name().as_encoded_bytes();
        for name in names {
            let rest = name.as_encoded_bytes().strip_prefix(own);
            if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b".")) {
                directory.remove(&name).map_err(|error| self.failed(error))?;
            }
        }
        Ok(())
    }

    /// What an error is said to be that something came to with it.
    pub(super) fn failed(&self, error: io::Error) -> LogError {
        let path = self.path();
        match error.kind() {
            io::ErrorKind::NotFound => LogError::Missing { path },
            _ if is_link(&error) => {
                LogError::Refused { path, reason: "it is a link, or something but a file or a directory on its way" }
            }
            _ => LogError::Unreadable { path, error },
        }
    }
}

/// Whether something was not opened because it was a link, or led elsewhere.
fn is_link(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::LOOP | Errno::XDEV | Errno::NOTDIR | Errno::NXIO))
        || error.kind() == io::ErrorKind::InvalidInput
}

/// An open directory. Names are looked up in it, wherever it is moved to.
#[derive(Debug)]
pub(super) struct Directory(OwnedFd);

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Directory {
    /// A directory below another, whose own path may lead through links.
    pub(super) fn beneath(root: &Path, relative: &Path) -> io::Result<Directory> {
        let root = rustix::fs::open(root, DIRECTORY, Mode::empty())?;
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match rustix::fs::openat2(&root, relative, DIRECTORY, Mode::empty(), how) {
            // Kernels before 5.6, and sandboxes that have not heard of it.
            Err(Errno::NOSYS | Errno::PERM) => Directory::step_by_step(root, relative),
            opened => Ok(Directory(opened?)),
        }
    }

    fn step_by_step(root: OwnedFd, relative: &Path) -> io::Result<Directory> {
        let mut directory = root;
        for component in relative.components() {
            let Component::Normal(name) = component else { return Err(io::ErrorKind::InvalidInput.into()) };
            directory = rustix::fs::openat(&directory, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
        }
        Ok(Directory(directory))
    }

    /// Opens a file to read it. Never waits for the other end of a pipe.
    pub(super) fn open(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        regular(rustix::fs::openat(&self.0, name, flags, Mode::empty())?)
    }

    /// Makes a file that was not there.
    pub(super) fn create(&self, name: &OsStr, mode: Mode) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(&self.0, name, flags, mode)?))
    }

    /// What a name stands for, if for anything.
    pub(super) fn stat(&self, name: &OsStr) -> io::Result<Option<Stat>> {
        match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(None),
            stat => Ok(Some(stat?)),
        }
    }

    /// Gives a file another name. What had that name is gone.
    pub(super) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0, from, &self.0, to)?)
    }

    /// Removes a file. That it is gone already is fine.
    pub(super) fn remove(&self, name: &OsStr) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.0, name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            removed => Ok(removed?),
        }
    }

    /// The names in it.
    pub(super) fn names(&self) -> io::Result<Vec<OsString>> {
        use std::os::unix::ffi::OsStringExt;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let readable = rustix::fs::openat(&self.0, ".", flags, Mode::empty())?;
        let mut names = Vec::new();
        for entry in Dir::new(readable)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name));
            }
        }
        Ok(names)
    }
}

fn regular(file: OwnedFd) -> io::Result<File> {
    let stat = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
        Ok(File::from(file))
    } else {
        Err(io::ErrorKind::InvalidInput.into())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn paths(root: &Path) -> Paths {
        Paths { pod_logs: root.join("pods"), ..Paths::new(root) }
    }

    #[test]
    fn only_plain_paths_below_the_directory_are_logs() {
        let paths = paths(Path::new("/x"));
        for (path, expected) in [
            ("/x/pods/a/b/0.log", true),
            ("/x/pods/a/b", false),
            ("/x/pods/a/b/c/0.log", false),
            ("/x/pods/a/../0.log", false),
            ("/x/pods/../../etc/shadow", false),
            ("/x/podsa/b/0.log", false),
            ("/etc/shadow", false),
            ("", false),
        ] {
            assert_eq!(LogFile::at(&paths, Path::new(path)).is_ok(), expected, "{path}");
        }
        assert!(LogFile::of(&paths, ("n", "p", "u"), "../..", 0).is_err());
        let log = LogFile::of(&paths, ("n", "p", "u"), "web", 3).unwrap();
        assert_eq!(log.path(), Path::new("/x/pods/n_p_u/web/3.log"));
    }

    #[test]
    fn links_are_not_followed_anywhere_on_the_way() {
        let directory = tempfile::tempdir().unwrap();
        let paths = paths(directory.path());
        let logs = paths.pod_logs.join("p/c");
        std::fs::create_dir_all(&logs).unwrap();
        std::fs::write(directory.path().join("secret"), "secret").unwrap();
        std::fs::write(logs.join("0.log"), "fine").unwrap();
        symlink("../../../secret", logs.join("1.log")).unwrap();
        symlink("0.log", logs.join("2.log")).unwrap();
        std::fs::create_dir(logs.join("3.log")).unwrap();
        symlink("c", paths.pod_logs.join("p/d")).unwrap();
        symlink("p", paths.pod_logs.join("q")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, logs.join("4.log"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let open = |path: &str| {
            let log = LogFile::at(&paths, &paths.pod_logs.join(path)).unwrap();
            log.directory()?.open(log.name()).map_err(|error| log.failed(error))
        };
        assert!(open("p/c/0.log").is_ok());
        for path in ["p/c/1.log", "p/c/2.log", "p/c/3.log", "p/d/0.log", "q/c/0.log", "p/c/4.log"] {
            assert!(matches!(open(path), Err(LogError::Refused { .. })), "{path}: {:?}", open(path));
        }
        let missing = open("p/c/9.log").unwrap_err().to_string();
        let path = logs.join("9.log");
        let expected = format!(
            "failed to try resolving symlinks in path {path:?}: lstat {}: no such file or directory",
            path.display()
        );
        assert_eq!(missing, expected);
    }

    #[test]
    fn older_kernels_follow_no_links_either() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("a/b")).unwrap();
        symlink("a", directory.path().join("c")).unwrap();
        let root = || rustix::fs::open(directory.path(), DIRECTORY, Mode::empty()).unwrap();
        assert!(Directory::step_by_step(root(), Path::new("a/b")).is_ok());
        for path in ["c/b", "../x", "a/../c"] {
            assert!(Directory::step_by_step(root(), Path::new(path)).is_err(), "{path}");
        }
    }

    #[test]
    fn a_log_goes_with_what_was_rotated_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let paths = paths(directory.path());
        let logs = paths.pod_logs.join("p/c");
        std::fs::create_dir_all(&logs).unwrap();
        for name in
            ["0.log", "0.log.20260301-120000", "0.log.20260301-120000.gz", "0.log.tmp", "00.log", "1.log", "0.logs"]
        {
            std::fs::write(logs.join(name), "").unwrap();
        }
        let log = LogFile::at(&paths, &logs.join("0.log")).unwrap();
        log.remove().unwrap();
        let mut left: Vec<_> = log.directory().unwrap().names().unwrap();
        left.sort();
        assert_eq!(left, ["0.logs", "00.log", "1.log"]);
        log.remove().unwrap();
        assert!(LogFile::at(&paths, &paths.pod_logs.join("x/c/0.log")).unwrap().remove().is_ok());
    }
}
