//! Gives a volume to the group of a pod (`fsGroup`), as upstream does: every file belongs to the group and can be read, and
//! written unless the volume is read-only; directories hand the group on to what is made in them.
//!
//! No link is followed, and nothing outside the volume or mounted below it is touched.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

const READ_WRITE: u32 = 0o660;
const READ: u32 = 0o440;
/// What directories need besides: to be entered, and to hand on their group.
const ENTER: u32 = 0o110;
const HAND_ON: u32 = 0o2000;

/// Who gets a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ownership {
    /// The group.
    pub group: u32,
    /// Whether it may only read.
    pub read_only: bool,
    /// Whether all is taken for right if the volume's own directory is (`OnRootMismatch`).
    pub only_if_root_differs: bool,
}

impl Ownership {
    /// Gives away all that is at `root`.
    pub(super) fn apply(self, root: &Path) -> io::Result<()> {
        if self.only_if_root_differs && self.is_right(&fs::metadata(root)?) {
            return Ok(());
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, root, flags, Mode::empty())?;
        self.give(&root, c".", true)?;
        self.give_content(root)
    }

    fn wanted(self, is_directory: bool) -> u32 {
        let files = if self.read_only { READ } else { READ_WRITE };
        if is_directory { files | ENTER | HAND_ON } else { files }
    }

    fn is_right(self, root: &Metadata) -> bool {
        let wanted = self.wanted(true);
        root.gid() == self.group && root.permissions().mode() & wanted == wanted
    }

    /// Gives away what is in a directory. The directories that are still to be read are kept open, so that nothing can be
    /// put in their place; they are read depth first, and no more are open than the tree is deep.
    fn give_content(self, root: OwnedFd) -> io::Result<()> {
        let mut open = vec![Dir::new(root)?];
        while let Some(directory) = open.last_mut() {
            let Some(entry) = directory.read() else {
                open.pop();
                continue;
            };
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let within = directory.fd()?;
            let stat = match rustix::fs::statat(within, name, AtFlags::SYMLINK_NOFOLLOW) {
                // Another pod may use the volume, and remove and replace what it likes.
                Err(Errno::NOENT) => continue,
                stat => stat?,
            };
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                self.give_if_possible(within, name, false);
                continue;
            }
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
            match rustix::fs::openat2(within, name, flags, Mode::empty(), resolve) {
                // Something else is mounted there, or is there by now.
                Err(Errno::XDEV | Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::AGAIN) => {}
                below => {
                    let below = below?;
                    self.give_if_possible(&below, c".", true);
                    open.push(Dir::new(below)?);
                }
            }
        }
        Ok(())
    }

    /// Gives away one entry. As upstream has it, one that cannot be given away (an immutable file, say) keeps no pod from
    /// starting.
    fn give_if_possible(self, within: impl std::os::fd::AsFd, name: &std::ffi::CStr, is_directory: bool) {
        if let Err(error) = self.give(within, name, is_directory) {
            tracing::warn!(%error, ?name, group = self.group, "a file of a volume cannot be given to the pod's group");
        }
    }

    fn give(self, within: impl std::os::fd::AsFd, name: &std::ffi::CStr, is_directory: bool) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let entry = match rustix::fs::openat(within.as_fd(), name, flags, Mode::empty()) {
            // It is gone by now.
            Err(Errno::NOENT) => return Ok(()),
            entry => entry?,
        };
        let stat = rustix::fs::fstat(&entry)?;
        rustix::fs::chownat(&entry, c"", None, Some(Gid::from_raw(self.group)), AtFlags::EMPTY_PATH)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            return Ok(());
        }
        // The kernel has no call that changes the mode behind such a descriptor but through this link to it.
        let path = format!("/proc/self/fd/{}", entry.as_raw_fd());
        let mode = stat.st_mode & 0o7777 | self.wanted(is_directory);
        fs::set_permissions(path, Permissions::from_mode(mode))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    /// A tree with a link out of it, and what must stay as it is.
    fn tree() -> (tempfile::TempDir, tempfile::TempDir) {
        let (volume, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir_all(volume.path().join("a/b")).unwrap();
        for path in [volume.path().join("a/b/file"), outside.path().join("secret")] {
            fs::write(&path, "x").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        }
        symlink(outside.path(), volume.path().join("a/out")).unwrap();
        symlink(outside.path().join("secret"), volume.path().join("link")).unwrap();
        (volume, outside)
    }

    #[test]
    fn groups_get_volumes_and_nothing_else() {
        let group = rustix::process::getgid().as_raw();
        let check = |read_only: bool, file: u32, directory: u32| {
            let (volume, outside) = tree();
            fs::set_permissions(volume.path(), Permissions::from_mode(0o700)).unwrap();
            Ownership { group, read_only, only_if_root_differs: false }.apply(volume.path()).unwrap();
            assert_eq!(mode(&volume.path().join("a/b/file")), file);
            assert_eq!(mode(volume.path()), directory);
            assert_eq!(mode(&volume.path().join("a/b")) & directory, directory & 0o2770);
            assert_eq!(mode(&outside.path().join("secret")), 0o600);
            assert_eq!(mode(outside.path()) & 0o2000, 0);
        };
        check(false, 0o660, 0o2770);
        check(true, 0o640, 0o2750);
    }

    /// Makes and removes directories, files and links in their places until it is told that it is enough.
    fn churn(volume: &Path, outside: &Path, enough: &std::sync::atomic::AtomicBool) {
        let place = volume.join("a/place");
        while !enough.load(std::sync::atomic::Ordering::Relaxed) {
            fs::create_dir(&place).unwrap();
            fs::remove_dir(&place).unwrap();
            symlink(outside, &place).unwrap();
            fs::remove_file(&place).unwrap();
            fs::write(&place, "x").unwrap();
            fs::remove_file(&place).unwrap();
        }
    }

    #[test]
    fn whoever_works_on_in_a_volume_gets_nothing_else_given_away() {
        let group = rustix::process::getgid().as_raw();
        let (volume, outside) = tree();
        let before = mode(outside.path());
        let enough = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| churn(volume.path(), outside.path(), &enough));
            let ownership = Ownership { group, read_only: false, only_if_root_differs: false };
            let given: io::Result<()> = (0..500).try_for_each(|_| ownership.apply(volume.path()));
            enough.store(true, std::sync::atomic::Ordering::Relaxed);
            given.unwrap();
        });
        assert_eq!((mode(outside.path()), mode(&outside.path().join("secret"))), (before, 0o600));
    }

    #[test]
    fn a_right_root_is_enough_if_the_pod_says_so() {
        let group = rustix::process::getgid().as_raw();
        let (volume, _outside) = tree();
        fs::set_permissions(volume.path(), Permissions::from_mode(0o2770)).unwrap();
        let ownership = Ownership { group, read_only: false, only_if_root_differs: true };
        ownership.apply(volume.path()).unwrap();
        assert_eq!(mode(&volume.path().join("a/b/file")), 0o600);
        fs::set_permissions(volume.path(), Permissions::from_mode(0o770)).unwrap();
        ownership.apply(volume.path()).unwrap();
        assert_eq!(mode(&volume.path().join("a/b/file")), 0o660);
    }
}
