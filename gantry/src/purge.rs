//! `gantry down --purge`: removes what is Gantry's in a data directory, and nothing else.
//!
//! A directory that does not look like one of Gantry's is refused, whole; of one that does, only what Gantry makes there is
//! removed, by name. Nothing is removed that something is mounted below, and no symbolic link is followed.

use std::error::Error;
use std::fs::{File, TryLockError};
use std::io::{self, BufRead, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};

use crate::home::{LOCK, LOG, STATE, TEMPORARY};
use crate::process::announce;

/// What Gantry makes in a data directory. The locks are last: as long as there is something else, they are held.
const OURS: &[&str] = &[
    "admin.kubeconfig",
    "containerd",
    "controller-manager.kubeconfig",
    "kubelet",
    LOG,
    "gantry.log.1",
    "pki",
    "proxy.kubeconfig",
    "scheduler.kubeconfig",
    STATE,
    store::STORE_FILE,
    SERVER_LOCK,
    LOCK,
];
/// The lock of an API server.
const SERVER_LOCK: &str = "lock";

/// Whether a data directory may be purged: it has to be one of Gantry's, and its owner has to want it, which is asked on a
/// terminal. `yes` is the answer.
pub(crate) fn may(directory: &Path, yes: bool) -> Result<bool, Box<dyn Error>> {
    if is_empty(directory)? {
        return Ok(true);
    }
    let shown = directory.display();
    if !is_ours(directory) {
        return Err(format!("{shown} does not look like a data directory of Gantry's: nothing in it is touched").into());
    }
    if yes {
        return Ok(true);
    }
    if !io::stdin().is_terminal() {
        return Err(format!("--purge removes all of the cluster in {shown}: say --yes if that is meant").into());
    }
    let _ = write!(io::stderr(), "Remove all of the cluster in {shown}: its objects, certificates and images? [y/N] ");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Whether there is nothing in a directory, or no directory.
fn is_empty(directory: &Path) -> io::Result<bool> {
    match std::fs::read_dir(directory) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether Gantry has had its data there: its store, or its authority together with what was issued by that, or at least
/// its locks and its log, where a start came to nothing.
fn is_ours(directory: &Path) -> bool {
    let is_file = |name: &str| directory.join(name).symlink_metadata().is_ok_and(|metadata| metadata.is_file());
    is_file(store::STORE_FILE) || is_file(LOCK) || (is_file("pki/ca.crt") && is_file("admin.kubeconfig"))
}

/// Removes what is Gantry's there, and the directory if nothing else is in it. The process that had it has ended.
pub(crate) fn purge(directory: &Path) -> Result<(), Box<dyn Error>> {
    if is_empty(directory)? {
        announce(&format!("there is nothing in {}", directory.display()));
        return Ok(());
    }
    let directory = directory.canonicalize()?;
    if !is_ours(&directory) {
        return Err(format!("{} is no data directory of Gantry's any more", directory.display()).into());
    }
    let locks = [LOCK, SERVER_LOCK].map(|name| hold(&directory.join(name)));
    let locks: Vec<_> = locks.into_iter().collect::<Result<_, _>>()?;
    if let Some(mounted) = mounted_below(&directory)? {
        return Err(format!("nothing is removed: something is mounted on {}", mounted.display()).into());
    }
    let temporary: Vec<String> = names(&directory)?.into_iter().filter(|name| name.starts_with(TEMPORARY)).collect();
    for name in temporary.iter().map(String::as_str).chain(OURS.iter().copied()) {
        let path = directory.join(name);
        remove(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    drop(locks);
    let others = names(&directory)?;
    if others.is_empty() {
        // It may be mounted itself, or in a directory that is not this user's. There is nothing in it then.
        let _ = std::fs::remove_dir(&directory);
        announce(&format!("removed all of the cluster in {}", directory.display()));
    } else {
        let others = others.join(", ");
        announce(&format!(
            "removed all of the cluster in {}; left what is not Gantry's: {others}",
            directory.display()
        ));
    }
    Ok(())
}

/// Holds a lock, if it is there.
fn hold(path: &Path) -> Result<Option<File>, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => {
            Err(format!("nothing is removed: {} is held by another process", path.display()))
        }
        Err(TryLockError::Error(error)) => Err(format!("{}: {error}", path.display())),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    removed.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// What is in a directory, in order.
fn names(directory: &Path) -> io::Result<Vec<String>> {
    let entries = std::fs::read_dir(directory)?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<String> = names.collect::<io::Result<_>>()?;
    names.sort();
    Ok(names)
}

fn mounted_below(directory: &Path) -> io::Result<Option<PathBuf>> {
    let table = procfs::process::Process::myself().and_then(|process| process.mountinfo()).map_err(io::Error::other)?;
    let mut points = table.0.into_iter().map(|mount| mount.mount_point);
    Ok(points.find(|path| path.starts_with(directory) && path != directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(files: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for file in files {
            let path = directory.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        directory
    }

    #[test]
    fn only_what_looks_like_ours_is_purged() {
        let check = |files: &[&str], expected: bool| {
            let directory = made(files);
            assert_eq!(may(directory.path(), true).is_ok(), expected, "{files:?}");
            assert_eq!(purge(directory.path()).is_ok(), expected, "{files:?}");
            assert_eq!(directory.path().exists(), !expected || files.is_empty(), "{files:?}");
            files.iter().for_each(|file| assert_eq!(directory.path().join(file).exists(), !expected, "{file}"));
        };
        check(&[], true);
        check(&["store.gantry", "lock"], true);
        check(&["pki/ca.crt", "admin.kubeconfig", "kubelet/pods/x"], true);
        check(&["gantry.lock", "gantry.log", "gantry.log.1", ".gantry-x1"], true);
        check(&["pki/ca.crt"], false);
        check(&["kubelet/config", "containerd/root/x", "lock"], false);
        check(&["store.gantry/file"], false);
    }

    #[test]
    fn what_others_put_there_stays() {
        let directory = made(&["store.gantry", "mine", "elsewhere/file", "gantry"]);
        std::os::unix::fs::symlink(directory.path().join("elsewhere"), directory.path().join("kubelet")).unwrap();
        purge(directory.path()).unwrap();
        assert_eq!(names(directory.path()).unwrap(), ["elsewhere", "gantry", "mine"]);
        assert!(directory.path().join("elsewhere/file").exists());
    }

    #[test]
    fn what_is_in_use_stays() {
        let directory = made(&["store.gantry", "lock"]);
        let lock = File::open(directory.path().join("lock")).unwrap();
        lock.try_lock().unwrap();
        let said = purge(directory.path()).unwrap_err().to_string();
        assert!(said.contains("held by another process"), "{said}");
        assert_eq!(names(directory.path()).unwrap(), ["lock", "store.gantry"]);
    }
}
