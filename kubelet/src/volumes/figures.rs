//! What volumes use: by their file systems where those are their own, and by adding up what is in them otherwise.
//!
//! Adding up may take long, so it is not done again before twenty times as long has passed: a twentieth of one processor is
//! the most that a volume costs. What is mounted below a volume is not its own, and not counted.

use std::collections::HashSet;
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::stats::Filesystem;

/// The least time between two counts of a volume.
pub(super) const SOONEST: Duration = Duration::from_secs(10);
/// How many times as long as it took a count is good for.
pub(super) const TIMES: u32 = 20;
/// The most files that are counted. What has more is said to use at least what was counted.
const FILES: u64 = 5_000_000;
/// How many directories are open at once, one in another.
const DEPTH: usize = 256;
/// How many directories that are deeper are kept open until it is their turn.
const DEEPER: usize = 256;
/// How many files are remembered that have several names, so that they are counted once.
const LINKED: usize = 1 << 20;

/// What is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    /// Bytes, in whole blocks.
    pub bytes: u64,
    /// Files, directories and all else, the volume's own directory included.
    pub inodes: u64,
}

/// The file system that a path is on; what is used of it is all that is.
pub(super) fn file_system(path: &Path, at: Timestamp) -> std::io::Result<Filesystem> {
    let stat = rustix::fs::statvfs(path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Ok(Filesystem {
        at,
        available: bytes(stat.f_bavail),
        capacity: bytes(stat.f_blocks),
        used: bytes(stat.f_blocks.saturating_sub(stat.f_bfree)),
        inodes_free: stat.f_ffree,
        inodes: stat.f_files,
        inodes_used: stat.f_files.saturating_sub(stat.f_ffree),
    })
}

/// What a directory and all below it use.
pub(super) fn content(root: &Path) -> std::io::Result<Used> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, root, flags, Mode::empty())?;
    let mut count = Count::default();
    count.add(&rustix::fs::fstat(&root)?);
    let mut waiting = vec![root];
    while let Some(next) = waiting.pop() {
        count.below(next, &mut waiting)?;
    }
    Ok(count.used)
}

#[derive(Default)]
struct Count {
    used: Used,
    linked: HashSet<u64>,
}

impl Count {
    fn add(&mut self, stat: &rustix::fs::Stat) {
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        // The volume is on one file system, where a number is one file.
        if stat.st_nlink > 1 && !is_directory && self.linked.len() < LINKED && !self.linked.insert(stat.st_ino) {
            return;
        }
        self.used.inodes += 1;
        self.used.bytes += u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
    }

    /// Counts what is in a directory, and what is in its directories, down to a depth; what is deeper waits.
    fn below(&mut self, directory: OwnedFd, waiting: &mut Vec<OwnedFd>) -> std::io::Result<()> {
        let mut open = vec![Dir::new(directory)?];
        while let Some(here) = open.last_mut() {
            if self.used.inodes >= FILES {
                return Ok(());
            }
            let Some(entry) = here.read() else {
                open.pop();
                continue;
            };
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let stat = match rustix::fs::statat(here.fd()?, name, AtFlags::SYMLINK_NOFOLLOW) {
                // Its container works on.
                Err(Errno::NOENT) => continue,
                stat => stat?,
            };
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                self.add(&stat);
                continue;
            }
            match enter(here.fd()?, name) {
                // It is gone, or something else is there now, or something is mounted there.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::AGAIN) => {}
                below => {
                    self.add(&stat);
                    let below = below?;
                    if open.len() < DEPTH {
                        open.push(Dir::new(below)?);
                    } else if waiting.len() < DEEPER {
                        waiting.push(below);
                    }
                }
            }
        }
        Ok(())
    }
}

fn enter(within: impl std::os::fd::AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    rustix::fs::openat2(within, name, flags, Mode::empty(), resolve)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn content_is_added_up_as_du_does() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(outside.path().join("large"), vec![1; 1 << 20]).unwrap();
        let empty = content(root.path()).unwrap();
        assert_eq!(empty.inodes, 1);
        fs::create_dir(root.path().join("d")).unwrap();
        let with_directory = content(root.path()).unwrap();
        fs::write(root.path().join("d/file"), vec![1; 100_000]).unwrap();
        fs::hard_link(root.path().join("d/file"), root.path().join("same")).unwrap();
        symlink(outside.path(), root.path().join("out")).unwrap();
        let used = content(root.path()).unwrap();
        assert_eq!(used.inodes, 4);
        let grown = used.bytes - with_directory.bytes;
        assert!((98_304..200_000).contains(&grown), "{grown}");
    }

    #[test]
    fn depth_hides_nothing() {
        let root = tempfile::tempdir().unwrap();
        let mut fd = rustix::fs::openat(CWD, root.path(), OFlags::RDONLY, Mode::empty()).unwrap();
        let depth = DEPTH as u64 + 20;
        for _ in 0..depth {
            rustix::fs::mkdirat(&fd, "d", Mode::RWXU).unwrap();
            fd = rustix::fs::openat(&fd, "d", OFlags::RDONLY, Mode::empty()).unwrap();
        }
        assert_eq!(content(root.path()).unwrap().inodes, depth + 1);
        super::super::teardown::remove(root.path()).unwrap();
        assert!(!root.path().exists());
    }

    #[test]
    fn file_systems_say_what_they_have() {
        let root = tempfile::tempdir().unwrap();
        let found = file_system(root.path(), Timestamp::UNIX_EPOCH).unwrap();
        assert!(found.capacity > 0 && found.used <= found.capacity && found.available <= found.capacity);
    }
}
