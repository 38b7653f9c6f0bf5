//! What is mounted below the agent's directory, as the kernel has it: never what was remembered of it.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

/// A mount of this process's mount namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mounted {
    /// Where it is.
    pub target: PathBuf,
    /// Which kind of file system it is.
    pub file_system: String,
}

/// What is mounted, in the order in which it was mounted where one is over another.
pub(super) fn table() -> io::Result<Vec<Mounted>> {
    // Paths may be of any bytes.
    Ok(parse(&std::fs::read("/proc/self/mountinfo")?))
}

/// What is mounted at a path and below it, what was mounted last first. The path must be one without links in it.
pub(super) fn below(path: &Path) -> io::Result<Vec<Mounted>> {
    let mut mounted = table()?;
    mounted.retain(|mounted| mounted.target.starts_with(path));
    mounted.reverse();
    // Deeper ones go first whatever was moved where; those at one place keep the order that they lie in.
    mounted.sort_by_key(|mounted| std::cmp::Reverse(mounted.target.components().count()));
    Ok(mounted)
}

/// What is mounted at exactly this path, the topmost. The path must be one without links in it.
pub(super) fn at(path: &Path) -> io::Result<Option<Mounted>> {
    Ok(table()?.into_iter().rfind(|mounted| mounted.target == path))
}

/// Reads the text of `/proc/self/mountinfo` (proc_pid_mountinfo(5)). Lines that cannot be read are left out.
fn parse(text: &[u8]) -> Vec<Mounted> {
    let line = |line: &[u8]| {
        let mut fields = line.split(|byte| *byte == b' ');
        let target = fields.nth(4)?;
        let file_system = fields.skip_while(|field| *field != b"-").nth(1)?;
        let target = PathBuf::from(std::ffi::OsString::from_vec(unescape(target)));
        Some(Mounted { target, file_system: String::from_utf8_lossy(file_system).into_owned() })
    };
    text.split(|byte| *byte == b'\n').filter_map(line).collect()
}

/// Blanks, tabs, line ends and backslashes are written as a backslash and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, behind @ ..] = rest {
        let digits =
            behind.get(..3).filter(|digits| *first == b'\\' && digits.iter().all(|it| (b'0'..b'8').contains(it)));
        if let Some(digits) = digits {
            let code = digits.iter().fold(0_u32, |code, digit| code * 8 + u32::from(digit - b'0'));
            bytes.push(u8::try_from(code).unwrap_or(b'?'));
            rest = &behind[3..];
        } else {
            bytes.push(*first);
            rest = behind;
        }
    }
    bytes
}

/// Mounts memory at a directory: at most `size` bytes, and never swapped where the kernel can say so (6.4 and later).
pub(super) fn memory(dir: &Path, size: Option<u64>) -> io::Result<()> {
    let size = size.map(|size| format!("size={size}")).unwrap_or_default();
    let mount = |options: String| {
        let options = CString::new(options.trim_matches(',')).map_err(|_| Errno::INVAL)?;
        rustix::mount::mount("tmpfs", dir, "tmpfs", MountFlags::empty(), options.as_c_str())
    };
    match mount(format!("{size},noswap")) {
        Err(Errno::INVAL) => Ok(mount(size)?),
        result => Ok(result?),
    }
}

/// Mounts huge pages of `page` bytes at a directory.
pub(super) fn huge_pages(dir: &Path, page: u64) -> io::Result<()> {
    let options = CString::new(format!("pagesize={page}"))?;
    Ok(rustix::mount::mount("nodev", dir, "hugetlbfs", MountFlags::empty(), options.as_c_str())?)
}

/// Binds a directory or file to another place, without what is mounted below it, and with these flags besides those that it
/// has.
///
/// What the node mounts below the original later on is seen at the copy; what happens below the copy, above all that
/// something is unmounted when the pod goes, never reaches the node.
pub(super) fn bind(from: &Path, to: &Path, flags: MountFlags) -> io::Result<()> {
    rustix::mount::mount_bind(from, to)?;
    let settled = settle(to, flags);
    if settled.is_err() {
        unmount(to)?;
    }
    Ok(settled?)
}

/// Makes a directory one whose mounts are passed on to containers, and from them, if they ask for it. It is bound to itself
/// if it is no mount: what it is on may not pass on anything, as where no service manager has seen to that.
pub(super) fn share(dir: &Path) -> io::Result<()> {
    if at(dir)?.is_none() {
        rustix::mount::mount_bind(dir, dir)?;
    }
    Ok(rustix::mount::mount_change(dir, MountPropagationFlags::SHARED)?)
}

fn settle(to: &Path, flags: MountFlags) -> Result<(), Errno> {
    rustix::mount::mount_change(to, MountPropagationFlags::DOWNSTREAM)?;
    // A container that asks for it has to be able to pass on mounts of its own.
    rustix::mount::mount_change(to, MountPropagationFlags::SHARED)?;
    if flags.is_empty() {
        return Ok(());
    }
    // A bind mount takes over its flags, and only a remount can change them, which has to state those that stay.
    let has = rustix::fs::statvfs(to)?.f_flag;
    let stays = FLAGS.iter().filter(|(_, known, _)| has.contains(*known)).map(|(_, _, flag)| *flag);
    let all = stays.fold(flags | MountFlags::BIND, MountFlags::union);
    rustix::mount::mount_remount(to, all, "")
}

/// Flags that each mount has for itself: as mount options, as mounts tell of them, and as they are set.
const FLAGS: [(&str, StatVfsMountFlags, MountFlags); 7] = [
    ("ro", StatVfsMountFlags::RDONLY, MountFlags::RDONLY),
    ("nosuid", StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
    ("nodev", StatVfsMountFlags::NODEV, MountFlags::NODEV),
    ("noexec", StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
    ("noatime", StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
    ("nodiratime", StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
    ("relatime", StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
];

/// The flags of a bind mount that options ask for; an option that is none of a mount by itself comes back as the error.
pub(super) fn flags_of(options: &[String]) -> Result<MountFlags, &str> {
    let mut flags = MountFlags::empty();
    for option in options.iter().flat_map(|option| option.split(',')) {
        match FLAGS.iter().find(|(name, ..)| *name == option) {
            Some((_, _, flag)) => flags |= *flag,
            None if matches!(option, "" | "rw" | "bind" | "defaults") => {}
            None => return Err(option),
        }
    }
    Ok(flags)
}

/// Takes away what is mounted at a path; no link is followed. What is still in use is taken out of sight, and ends with
/// its last user: containers of the pod have ended by then, but a process of the node may look at one of their files.
pub(super) fn unmount(path: &Path) -> io::Result<()> {
    match rustix::mount::unmount(path, UnmountFlags::NOFOLLOW) {
        Err(Errno::BUSY) => Ok(rustix::mount::unmount(path, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH)?),
        // Nothing is mounted there, or there is nothing.
        Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        result => Ok(result?),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::ground::Ground;
    use super::*;

    #[test]
    fn the_kernels_table_is_read() {
        let text = b"22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
            90 22 0:45 / /var/a\\040b\\134c rw - tmpfs tmpfs rw,size=4k\n\
            91 90 0:46 /x /var/a\\040b\\134c/d rw shared:3 master:4 - hugetlbfs nodev rw\n\
            what is this\n";
        let shown: Vec<String> =
            parse(text).iter().map(|it| format!("{} {}", it.file_system, it.target.display())).collect();
        assert_eq!(shown, ["ext4 /", "tmpfs /var/a b\\c", "hugetlbfs /var/a b\\c/d"]);
    }

    #[test]
    fn options_are_flags() {
        let check = |options: &[&str], expected: Result<MountFlags, &str>| {
            let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
            assert_eq!(flags_of(&options), expected);
        };
        check(&[], Ok(MountFlags::empty()));
        check(&["ro", "noexec,nodev"], Ok(MountFlags::RDONLY | MountFlags::NOEXEC | MountFlags::NODEV));
        check(&["defaults", "rw"], Ok(MountFlags::empty()));
        check(&["noexec", "discard"], Err("discard"));
    }

    #[test]
    fn a_copy_keeps_its_flags_and_gets_more() {
        let Some(ground) = Ground::for_mounts() else { return };
        let (from, to) = (ground.path().join("from"), ground.path().join("to"));
        std::fs::create_dir(&from).unwrap();
        std::fs::create_dir(&to).unwrap();
        memory(&from, None).unwrap();
        rustix::mount::mount_remount(&from, MountFlags::BIND | MountFlags::NODEV, "").unwrap();
        bind(&from, &to, MountFlags::RDONLY).unwrap();
        let has = rustix::fs::statvfs(&to).unwrap().f_flag;
        assert!(has.contains(StatVfsMountFlags::RDONLY | StatVfsMountFlags::NODEV), "{has:?}");
        assert!(!rustix::fs::statvfs(&from).unwrap().f_flag.contains(StatVfsMountFlags::RDONLY));
    }

    #[test]
    fn what_is_shared_passes_mounts_on() {
        let Some(ground) = Ground::for_mounts() else { return };
        let (dir, slave) = (ground.path().join("dir"), ground.path().join("slave"));
        std::fs::create_dir_all(dir.join("later")).unwrap();
        std::fs::create_dir(&slave).unwrap();
        share(&dir).unwrap();
        share(&dir).unwrap();
        assert_eq!(below(&dir).unwrap().len(), 1, "once is enough");
        // As a container's runtime does it.
        rustix::mount::mount_bind(&dir, &slave).unwrap();
        rustix::mount::mount_change(&slave, MountPropagationFlags::DOWNSTREAM).unwrap();
        memory(&dir.join("later"), None).unwrap();
        std::fs::write(dir.join("later/data"), "x").unwrap();
        assert!(slave.join("later/data").exists());
    }

    #[test]
    fn what_happens_below_a_copy_does_not_reach_the_original() {
        let Some(ground) = Ground::for_mounts() else { return };
        let (disk, copy) = (ground.path().join("disk"), ground.path().join("pod/copy"));
        std::fs::create_dir(&disk).unwrap();
        std::fs::create_dir_all(&copy).unwrap();
        memory(&disk, None).unwrap();
        rustix::mount::mount_change(&disk, MountPropagationFlags::SHARED).unwrap();
        std::fs::create_dir(disk.join("later")).unwrap();
        bind(&disk, &copy, MountFlags::empty()).unwrap();
        memory(&disk.join("later"), None).unwrap();
        std::fs::write(disk.join("later/data"), "x").unwrap();
        assert!(copy.join("later/data").exists(), "the node's mounts are seen");
        super::super::teardown::remove(&ground.path().join("pod")).unwrap();
        assert!(disk.join("later/data").exists(), "and stay when the pod goes");
    }

    #[test]
    fn the_root_is_mounted() {
        assert!(at(Path::new("/")).unwrap().is_some());
        assert!(!below(Path::new("/proc")).unwrap().is_empty());
        assert_eq!(below(Path::new("/nowhere/at/all")).unwrap(), []);
    }
}
