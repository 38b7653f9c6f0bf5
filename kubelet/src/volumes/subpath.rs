//! Parts of volumes (`subPath`), bound to a place where no container can change what they are.
//!
//! A container may write to its volume while another is being started, and may put a link in place of a directory between
//! any two steps. So nothing is found twice: the part is resolved by the kernel in one call that cannot leave the volume
//! (`openat2` with `RESOLVE_BENEATH`), and what is bound is the descriptor that came of it. Links within the volume are
//! followed; those that lead out of it are refused, absolute ones too.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use rustix::mount::MountFlags;

use super::mounts;

/// What never leaves a volume, and does not go through `/proc` either.
const WITHIN: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);
/// How often a path is resolved again that changes while the kernel looks (`EAGAIN`).
const ATTEMPTS: usize = 64;

/// A part of a volume, open.
pub(super) struct Part {
    open: OwnedFd,
    stat: Stat,
}

/// Finds the part of a volume at a relative path, and makes its directories if there is nothing: each with the permissions
/// of the volume's own.
pub(super) fn find_or_make(volume: &Path, part: &Path) -> io::Result<Part> {
    let root = rustix::fs::openat(CWD, volume, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let part: PathBuf = part.components().filter(|part| matches!(part, Component::Normal(_))).collect();
    let open = match resolve(&root, part.as_os_str(), OFlags::PATH) {
        Err(Errno::NOENT) => make(&root, &part)?,
        found => found?,
    };
    let stat = rustix::fs::fstat(&open)?;
    Ok(Part { open, stat })
}

fn resolve(root: &OwnedFd, part: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let part = if part.is_empty() { OsStr::new(".") } else { part };
    let mut left = ATTEMPTS;
    loop {
        match rustix::fs::openat2(root, part, flags | OFlags::CLOEXEC, Mode::empty(), WITHIN) {
            Err(Errno::AGAIN) if left > 0 => left -= 1,
            outcome => return outcome,
        }
    }
}

/// Makes the directories of a path that are not there. What was found stays open while the next is made in it.
fn make(root: &OwnedFd, part: &Path) -> io::Result<OwnedFd> {
    let like = rustix::fs::fstat(root)?.st_mode & 0o2777;
    let mut found = resolve(root, OsStr::new("."), OFlags::PATH | OFlags::DIRECTORY)?;
    let mut path = PathBuf::new();
    let mut is_new = false;
    for name in part {
        path.push(name);
        let below =
            if is_new { Err(Errno::NOENT) } else { resolve(root, path.as_os_str(), OFlags::PATH | OFlags::DIRECTORY) };
        found = match below {
            Err(Errno::NOENT) => {
                is_new = true;
                make_one(&found, name, like)?
            }
            below => below?,
        };
    }
    Ok(found)
}

fn make_one(within: &OwnedFd, name: &OsStr, mode: u32) -> io::Result<OwnedFd> {
    match rustix::fs::mkdirat(within, name, Mode::from_raw_mode(0o700)) {
        Ok(()) => {
            let made = open_plain(within, name)?;
            // Whatever the process masks.
            rustix::fs::fchmod(&made, Mode::from_raw_mode(mode))?;
            Ok(made)
        }
        // Somebody was quicker; what they made is taken if it is a directory, and a link is not followed.
        Err(Errno::EXIST) => Ok(open_plain(within, name)?),
        Err(error) => Err(error.into()),
    }
}

fn open_plain(within: impl AsFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(within, name, flags, Mode::empty())
}

impl Part {
    fn is_directory(&self) -> bool {
        FileType::from_raw_mode(self.stat.st_mode) == FileType::Directory
    }

    /// Binds it to `target`, which is made if it is not there. What is bound there already stays if it is the same, so that
    /// a container that starts again finds what it had, and is replaced otherwise: the part may have been made anew.
    pub(super) fn bind(&self, target: &Path) -> io::Result<()> {
        if mounts::at(target)?.is_some() {
            let there = rustix::fs::openat(CWD, target, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty());
            let is_same = there
                .and_then(rustix::fs::fstat)
                .is_ok_and(|there| (there.st_dev, there.st_ino) == (self.stat.st_dev, self.stat.st_ino));
            if is_same {
                return Ok(());
            }
            mounts::unmount(target)?;
        }
        self.make_target(target)?;
        mounts::bind(Path::new(&format!("/proc/self/fd/{}", self.open.as_raw_fd())), target, MountFlags::empty())
    }

    fn make_target(&self, target: &Path) -> io::Result<()> {
        if let Some(above) = target.parent() {
            DirBuilder::new().recursive(true).mode(0o750).create(above)?;
        }
        match fs::symlink_metadata(target) {
            Ok(there) if there.is_dir() && self.is_directory() => return Ok(()),
            Ok(there) if there.is_file() && !self.is_directory() => return Ok(()),
            // What an earlier bind was over.
            Ok(there) if there.is_dir() => fs::remove_dir(target)?,
            Ok(_) => fs::remove_file(target)?,
            Err(_) => {}
        }
        if self.is_directory() {
            DirBuilder::new().mode(0o750).create(target)
        } else {
            let made = OpenOptions::new().write(true).create_new(true).mode(0o640).open(target)?;
            made.set_permissions(Permissions::from_mode(0o640))
        }
    }
}

#[cfg(test)]
mod tests;
