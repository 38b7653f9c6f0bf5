//! Links to logs, `<pod>_<namespace>_<container>-<id>.log` below `/var/log/containers`, by which log collectors know whose
//! they are; and the end of logs whose pods are gone.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::files::LogFile;
use crate::paths::Paths;

/// The longest name of a file, in bytes.
const NAME: usize = 255;

/// Where the link to a container's log is.
#[must_use]
pub fn path(paths: &Paths, (namespace, pod): (&str, &str), container: &str, id: &str) -> PathBuf {
    let mut name = format!("{pod}_{namespace}_{container}-{id}");
    name.truncate(NAME - ".log".len());
    paths.container_logs.join(name + ".log")
}

/// Links a container's log, to be found by its container's ID at the runtime. May be done again.
pub fn make(paths: &Paths, (namespace, pod): (&str, &str), container: &str, id: &str, log: &LogFile) -> io::Result<()> {
    let (link, target) = (path(paths, (namespace, pod), container, id), log.path());
    if fs::read_link(&link).is_ok_and(|found| found == target) {
        return Ok(());
    }
    fs::create_dir_all(&paths.container_logs)?;
    gone(fs::remove_file(&link))?;
    symlink(target, link)
}

/// Removes the link to a container's log. May be done again.
pub fn remove(paths: &Paths, (namespace, pod): (&str, &str), container: &str, id: &str) -> io::Result<()> {
    gone(fs::remove_file(path(paths, (namespace, pod), container, id)))
}

/// Removes links to logs that are gone. A log is missing for a moment while it is rotated, so the links of containers that
/// run are kept: `runs` says so of a container's ID. Links that lead anywhere but to pods' logs are not ours.
pub fn clean(paths: &Paths, runs: impl Fn(&str) -> bool) -> io::Result<()> {
    for entry in entries(&paths.container_logs)? {
        let link = entry?.path();
        let Ok(target) = fs::read_link(&link) else { continue };
        if !target.starts_with(&paths.pod_logs) || fs::symlink_metadata(&target).is_ok() {
            continue;
        }
        let name = link.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        let id = name.rsplit_once('-').map_or("", |(_, id)| id);
        if !runs(id) {
            gone(fs::remove_file(&link))?;
        }
    }
    Ok(())
}

/// Removes the logs of pods that are gone: `exists` says of a uid whether its pod's logs are to be kept.
pub fn remove_gone(paths: &Paths, exists: impl Fn(&str) -> bool) -> io::Result<()> {
    for entry in entries(&paths.pod_logs)? {
        let entry = entry?;
        let name = entry.file_name();
        // Only what has a pod's name: `<namespace>_<name>_<uid>`, of which none can have another underscore.
        let parts: Vec<&str> = name.to_str().unwrap_or_default().split('_').collect();
        let [namespace, pod, uid] = parts[..] else { continue };
        if [namespace, pod, uid].contains(&"") || !entry.file_type()?.is_dir() || exists(uid) {
            continue;
        }
        // Follows no links.
        gone(fs::remove_dir_all(entry.path()))?;
    }
    Ok(())
}

/// What is in a directory; nothing if it is not there.
fn entries(directory: &Path) -> io::Result<impl Iterator<Item = io::Result<fs::DirEntry>>> {
    match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None.into_iter().flatten()),
        entries => Ok(Some(entries?).into_iter().flatten()),
    }
}

/// That something is gone already is fine.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_logs_and_go_with_them() {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths {
            root: directory.path().into(),
            pod_logs: directory.path().join("pods"),
            container_logs: directory.path().join("containers"),
        };
        let log = |uid| LogFile::of(&paths, ("n", "p-1", uid), "web", 0).unwrap();
        for uid in ["u1", "u2"] {
            fs::create_dir_all(log(uid).path().parent().unwrap()).unwrap();
            fs::write(log(uid).path(), "x").unwrap();
        }
        for (id, uid) in [("aa", "u1"), ("bb", "u2"), ("bb", "u1"), ("bb", "u1"), ("cc", "gone"), ("dd", "gone")] {
            make(&paths, ("n", "p-1"), "web", id, &log(uid)).unwrap();
        }
        assert_eq!(fs::read_to_string(paths.container_logs.join("p-1_n_web-bb.log")).unwrap(), "x");
        symlink("/nonexistent", paths.container_logs.join("other_n_web-zz.log")).unwrap();
        clean(&paths, |id| id == "dd").unwrap();
        let left = || {
            let mut names: Vec<_> = entries(&paths.container_logs)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        assert_eq!(left(), ["other_n_web-zz.log", "p-1_n_web-aa.log", "p-1_n_web-bb.log", "p-1_n_web-dd.log"]);
        remove(&paths, ("n", "p-1"), "web", "aa").unwrap();
        remove(&paths, ("n", "p-1"), "web", "aa").unwrap();
        assert_eq!(left().len(), 3);
        fs::create_dir(paths.pod_logs.join("stranger")).unwrap();
        symlink("n_p-1_u1", paths.pod_logs.join("n_p-1_u3")).unwrap();
        remove_gone(&paths, |uid| uid == "u1").unwrap();
        let exists = |name| fs::symlink_metadata(paths.pod_logs.join(name)).is_ok();
        assert_eq!(["n_p-1_u1", "n_p-1_u2", "n_p-1_u3", "stranger"].map(exists), [true, false, true, true]);
    }

    #[test]
    fn names_are_never_too_long() {
        let paths = Paths::new("/x");
        let link = path(&paths, ("n", &"p".repeat(300)), "web", "a");
        let name = link.file_name().unwrap().to_str().unwrap();
        assert_eq!((name.len(), name.ends_with("p.log")), (255, true));
    }
}
