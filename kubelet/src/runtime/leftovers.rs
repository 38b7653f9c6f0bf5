//! What pods leave on a machine if nobody tears them down: mounts, cgroups and logs.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use rustix::mount::{UnmountFlags, unmount};

/// Where cgroups are.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Unmounts everything that is mounted strictly below a directory, the innermost first, and says how many that were. What
/// is in use is taken out of sight at once and goes when it is not used any more.
pub(super) fn unmount_below(directory: &Path) -> io::Result<usize> {
    // The kernel's table has no symbolic links in it.
    let Ok(directory) = directory.canonicalize() else { return Ok(0) };
    let mut mounted = mounts_below(&directory)?;
    mounted.reverse();
    for path in &mounted {
        match unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            // It went with another one.
            Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
            Err(errno) => return Err(io::Error::other(format!("{}: {errno}", path.display()))),
        }
    }
    Ok(mounted.len())
}

/// What is mounted strictly below a directory, in the order in which it was mounted.
fn mounts_below(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let table = procfs::process::Process::myself().and_then(|process| process.mountinfo()).map_err(io::Error::other)?;
    let below = table.0.into_iter().map(|mount| mount.mount_point);
    Ok(below.filter(|path| path.starts_with(directory) && path != directory).collect())
}

/// Removes a directory and all that is in it, unless something is mounted there: what is behind a mount is not ours.
pub(super) fn remove_directory(directory: &Path) -> io::Result<bool> {
    let Ok(canonical) = directory.canonicalize() else { return Ok(false) };
    if let Some(mounted) = mounts_below(&canonical)?.first() {
        return Err(io::Error::other(format!("something is still mounted on {}", mounted.display())));
    }
    std::fs::remove_dir_all(&canonical)?;
    Ok(true)
}

/// Removes the cgroups of pods below a cgroup such as `/`, and those that they were in if no others are in them. Says how
/// many pods had any.
pub(super) fn remove_cgroups(root: &str, uids: &BTreeSet<String>) -> usize {
    let pods: Vec<PathBuf> =
        hierarchies().into_iter().map(|at| at.join(root.trim_matches('/')).join("kubepods")).collect();
    let mut found = BTreeSet::new();
    for pods in &pods {
        let classes = [pods.clone(), pods.join("burstable"), pods.join("besteffort")];
        for class in &classes {
            for uid in uids {
                let of_pod = class.join(format!("pod{uid}"));
                if of_pod.is_dir() {
                    remove_cgroup(&of_pod);
                    found.insert(uid);
                }
            }
        }
        for class in classes.iter().rev() {
            // One that is not empty is another node's.
            let _ = std::fs::remove_dir(class);
        }
    }
    found.len()
}

/// The places that cgroups are mounted at: one in version 2, one for each controller in version 1.
fn hierarchies() -> Vec<PathBuf> {
    let root = Path::new(CGROUPS);
    if root.join("cgroup.controllers").exists() {
        return vec![root.to_owned()];
    }
    directories(root)
}

/// Removes a cgroup and all below it, as far as they are empty.
pub(super) fn remove_cgroup(cgroup: &Path) {
    for below in directories(cgroup) {
        remove_cgroup(&below);
    }
    if let Err(error) = std::fs::remove_dir(cgroup) {
        tracing::debug!(%error, cgroup = %cgroup.display(), "a cgroup stays");
    }
}

/// The directories in a directory, without symbolic links to others.
pub(super) fn directories(of: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(of).into_iter().flatten().filter_map(Result::ok);
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

/// The last part of a path.
pub(super) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Removes the logs of pods, and links to logs that are gone. Says how many pods had any.
pub(super) fn remove_logs(pod_logs: &Path, links: &Path, uids: &BTreeSet<String>) -> io::Result<usize> {
    let of_pod = |path: &PathBuf| name(path).rsplit_once('_').is_some_and(|(_, uid)| uids.contains(uid));
    let logs: Vec<PathBuf> = directories(pod_logs).into_iter().filter(of_pod).collect();
    for path in &logs {
        std::fs::remove_dir_all(path)?;
    }
    for link in std::fs::read_dir(links).into_iter().flatten().filter_map(Result::ok) {
        let target = std::fs::read_link(link.path()).unwrap_or_default();
        if target.starts_with(pod_logs) && logs.iter().any(|path| target.starts_with(path)) {
            std::fs::remove_file(link.path())?;
        }
    }
    Ok(logs.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_logs_of_these_pods_go() {
        let directory = tempfile::tempdir().unwrap();
        let (pods, links) = (directory.path().join("pods"), directory.path().join("containers"));
        std::fs::create_dir_all(&links).unwrap();
        for (uid, container) in [("1", "mine"), ("2", "others")] {
            let log = pods.join(format!("ns_pod_{uid}")).join(container).join("0.log");
            std::fs::create_dir_all(log.parent().unwrap()).unwrap();
            std::fs::write(&log, "").unwrap();
            std::os::unix::fs::symlink(&log, links.join(container)).unwrap();
        }
        std::os::unix::fs::symlink("/nowhere", links.join("foreign")).unwrap();
        assert_eq!(remove_logs(&pods, &links, &["1".to_owned()].into()).unwrap(), 1);
        assert_eq!(directories(&pods), [pods.join("ns_pod_2")]);
        let mut left: Vec<_> = std::fs::read_dir(&links).unwrap().map(|entry| name(&entry.unwrap().path())).collect();
        left.sort();
        assert_eq!(left, ["foreign", "others"]);
    }

    #[test]
    fn directories_without_mounts_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        std::fs::create_dir_all(path.join("b")).unwrap();
        assert_eq!(unmount_below(&path).unwrap(), 0);
        assert!(remove_directory(&path).unwrap());
        assert!(!remove_directory(&path).unwrap());
    }
}
