//! Takes away what there is of a pod, from what the disk and the kernel have of it.
//!
//! Two things never happen: that something is removed through a mount, which would remove the data of a node or of a
//! persistent volume; and that a link is followed. The first is seen to twice: everything below the pod's directory is
//! unmounted before anything is removed, and no directory is entered that is on another mount than the one above it.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::mounts;

/// How deep a tree is followed before what is deeper is moved up: as many directories are open at once.
const DEPTH: usize = 128;
/// How often everything is unmounted: something may be mounted over something else.
const ROUNDS: usize = 3;

/// Why something of a pod is still there.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// Something stays mounted.
    #[error("{path} is still mounted: nothing is removed while it is", path = .0.display())]
    Mounted(PathBuf),
    /// The file system refused.
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    Io(PathBuf, #[source] io::Error),
}

/// Unmounts all that is mounted at a path and below it.
pub(super) fn unmount_below(path: &Path) -> Result<(), Failed> {
    let failed = |error| Failed::Io(path.to_owned(), error);
    // The kernel's table has paths without links. One at the path itself is not followed: nothing is mounted there.
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(failed(io::ErrorKind::InvalidInput.into()));
    };
    let path = match above.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        above => above.map_err(failed)?.join(name),
    };
    for _ in 0..ROUNDS {
        let mounted = mounts::below(&path).map_err(failed)?;
        if mounted.is_empty() {
            return Ok(());
        }
        for mounted in mounted {
            mounts::unmount(&mounted.target).map_err(|error| Failed::Io(mounted.target.clone(), error))?;
        }
    }
    match mounts::below(&path).map_err(failed)?.into_iter().next() {
        Some(left) => Err(Failed::Mounted(left.target)),
        None => Ok(()),
    }
}

/// Unmounts what is mounted at a path and below it, and removes the rest. It is fine if there is nothing.
pub(super) fn remove(path: &Path) -> Result<(), Failed> {
    unmount_below(path)?;
    let failed = |error: io::Error| Failed::Io(path.to_owned(), error);
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(failed(io::ErrorKind::InvalidInput.into()));
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let above = match rustix::fs::openat(CWD, above, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        above => above.map_err(|error| failed(error.into()))?,
    };
    let name = CString::new(name.as_bytes()).map_err(|error| failed(error.into()))?;
    remove_one(&above, &name).map_err(|error| failed(error.into()))
}

/// Enters a directory that is on the same mount, by its own name and not by a link.
fn enter(within: &OwnedFd, name: &std::ffi::CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    rustix::fs::openat2(within, name, flags, Mode::empty(), resolve)
}

/// A directory whose content is being removed.
struct Emptying {
    name: CString,
    open: OwnedFd,
}

/// Removes a file or a tree. A container can make a tree deeper than a process may have open: what is too deep is moved to
/// the top, where it is removed in turn.
fn remove_one(above: &OwnedFd, name: &std::ffi::CStr) -> Result<(), Errno> {
    if unlink(above, name)? {
        return Ok(());
    }
    let mut moved = 0_u64;
    let mut trail = vec![Emptying { name: name.to_owned(), open: enter(above, name)? }];
    while let Some(here) = trail.last() {
        match first_directory(&here.open)? {
            Some(below) if trail.len() >= DEPTH => {
                moved += 1;
                let free = CString::new(format!(".moved-{moved}")).unwrap_or_default();
                match rustix::fs::renameat_with(
                    &here.open,
                    below.as_c_str(),
                    &trail[0].open,
                    free.as_c_str(),
                    rustix::fs::RenameFlags::NOREPLACE,
                ) {
                    // The pod has used that name itself: the next number will do.
                    Err(Errno::EXIST) => {}
                    outcome => outcome?,
                }
            }
            Some(below) => {
                let open = enter(&here.open, &below)?;
                trail.push(Emptying { name: below, open });
            }
            None => {
                let Some(done) = trail.pop() else { break };
                drop(done.open);
                let within = trail.last().map_or(above, |within| &within.open);
                rustix::fs::unlinkat(within, done.name.as_c_str(), AtFlags::REMOVEDIR)?;
            }
        }
    }
    Ok(())
}

/// Removes what is no directory; tells whether there is nothing of that name now.
fn unlink(within: &OwnedFd, name: &std::ffi::CStr) -> Result<bool, Errno> {
    match rustix::fs::unlinkat(within, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::ISDIR | Errno::PERM) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes the files of a directory up to its first directory, and names that.
fn first_directory(directory: &OwnedFd) -> Result<Option<CString>, Errno> {
    let mut entries = Dir::read_from(directory)?;
    entries.rewind();
    while let Some(entry) = entries.read() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." && !unlink(directory, name)? {
            return Ok(Some(name.to_owned()));
        }
    }
    Ok(None)
}

/// The pods that have a directory, by uid. Everything else there is left alone.
pub(super) fn pods(dir: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut uids = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir()
            && let Some(uid) = entry.file_name().to_str().filter(|uid| is_name(uid))
        {
            uids.push(uid.to_owned());
        }
    }
    uids.sort_unstable();
    Ok(uids)
}

/// Whether a text names one entry of a directory, and nothing above or beside it.
pub(super) fn is_name(text: &str) -> bool {
    let mut parts = Path::new(text).components();
    matches!((parts.next(), parts.next()), (Some(std::path::Component::Normal(part)), None) if part == OsStr::new(text))
}

#[cfg(test)]
mod tests;
