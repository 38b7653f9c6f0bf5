//! What file systems have and what directories use.

use std::collections::HashSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use jiff::Timestamp;

use super::{DiskTraffic, Filesystem};

/// The most entries of a directory that are counted, those below it included: who makes more has used enough.
const ENTRIES: u64 = 1 << 20;

/// The file system that `path` is on, and what is used of it in all.
pub fn filesystem(path: &Path, at: Timestamp) -> io::Result<Filesystem> {
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

/// Whether two directories are on file systems of different devices. What cannot be found out is not.
pub(super) fn are_apart(one: &Path, other: &Path) -> bool {
    let device = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.dev()).ok();
    device(one).zip(device(other)).is_some_and(|(one, other)| one != other)
}

/// What there is in a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Bytes on the disk.
    pub bytes: u64,
    /// Files and directories; one with several names counts once.
    pub inodes: u64,
}

/// What a directory uses, without what is mounted in it and what links lead to. What goes away meanwhile is not counted.
pub fn used(directory: &Path) -> io::Result<Used> {
    let root = std::fs::symlink_metadata(directory)?;
    let device = root.dev();
    let mut used = Used { bytes: root.blocks() * 512, inodes: 1 };
    let mut linked = HashSet::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            // Not followed: that is what `DirEntry` does with links.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.dev() != device || metadata.nlink() > 1 && !metadata.is_dir() && !linked.insert(metadata.ino())
            {
                continue;
            }
            used.bytes += metadata.blocks() * 512;
            used.inodes += 1;
            if used.inodes >= ENTRIES {
                return Ok(used);
            }
            if metadata.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    Ok(used)
}

impl Filesystem {
    /// The same file system, of which only `used` is used.
    #[must_use]
    pub fn of(self, used: Used) -> Filesystem {
        Filesystem { used: used.bytes, inodes_used: used.inodes, ..self }
    }
}

/// The same with devices' names instead of their numbers, by what is in `/sys` below `root`; the name of one that is gone is
/// empty.
pub(super) fn named(root: &Path, disks: Vec<DiskTraffic>) -> Vec<DiskTraffic> {
    let name = |numbers: &str| {
        let link = std::fs::read_link(root.join("sys/dev/block").join(numbers)).ok()?;
        Some(format!("/dev/{}", link.file_name()?.to_str()?))
    };
    let disks = disks.into_iter().map(|disk| DiskTraffic { device: name(&disk.device).unwrap_or_default(), ..disk });
    disks.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_as_the_kernel_names_them() {
        let directory = tempfile::tempdir().unwrap();
        let of_numbers = directory.path().join("sys/dev/block");
        std::fs::create_dir_all(&of_numbers).unwrap();
        let link = "../../devices/pci0000:00/virtio1/block/vda";
        std::os::unix::fs::symlink(link, of_numbers.join("254:0")).unwrap();
        let found = named(directory.path(), vec![DiskTraffic::of("254:0"), DiskTraffic::of("8:0")]);
        assert_eq!(found, [DiskTraffic::of("/dev/vda"), DiskTraffic::of("")]);
    }

    #[test]
    fn directories_may_be_on_file_systems_of_their_own() {
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("below");
        std::fs::create_dir(&below).unwrap();
        assert!(!are_apart(&below, directory.path()));
        assert!(are_apart(Path::new("/proc"), directory.path()));
        assert!(!are_apart(Path::new("/nowhere"), directory.path()));
    }

    #[test]
    fn a_file_counts_once() {
        let directory = tempfile::tempdir().unwrap();
        let empty = used(directory.path()).unwrap();
        assert_eq!(empty.inodes, 1);
        let below = directory.path().join("below");
        std::fs::create_dir(&below).unwrap();
        std::fs::write(below.join("a"), vec![1; 100_000]).unwrap();
        std::fs::hard_link(below.join("a"), directory.path().join("b")).unwrap();
        std::os::unix::fs::symlink("/", below.join("root")).unwrap();
        let full = used(directory.path()).unwrap();
        assert_eq!(full.inodes, 4, "the directory, one below, a file, a link");
        assert!((100_000..300_000).contains(&(full.bytes - empty.bytes)), "{full:?} {empty:?}");
        assert!(used(Path::new("/nowhere")).is_err());
    }

    #[test]
    fn a_file_system_has_room() {
        let of_root = filesystem(Path::new("/"), Timestamp::UNIX_EPOCH).unwrap();
        assert!(of_root.capacity >= of_root.used && of_root.capacity >= of_root.available, "{of_root:?}");
        let part = of_root.of(Used { bytes: 7, inodes: 3 });
        assert_eq!((part.used, part.inodes_used, part.capacity), (7, 3, of_root.capacity));
    }
}
