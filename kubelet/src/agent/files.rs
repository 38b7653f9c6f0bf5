//! Files in a pod's own volumes that variables of its containers come from (`fileKeyRef`).

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use k8s_openapi::api::core::v1::Container;
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};

use super::carry::{Hands, Job};
use crate::containers;

/// The most bytes of such a file (upstream's limit).
const BYTES: u64 = 64 << 10;

impl Hands {
    /// The files that there are, by the volume's name and the path in it. Containers wrote them, so that no link is followed.
    pub(super) async fn files(&self, job: Job<'_>, container: &Container) -> BTreeMap<(String, String), String> {
        let mut found = BTreeMap::new();
        for (volume, path) in containers::references(container).files {
            let root = self.paths.volume(&job.entry.uid, "kubernetes.io/empty-dir", &volume);
            let of = path.clone();
            let read = tokio::task::spawn_blocking(move || read(&root, Path::new(&of))).await;
            if let Ok(Ok(text)) = read {
                found.insert((volume, path), text);
            }
        }
        found
    }
}

fn read(root: &Path, path: &Path) -> std::io::Result<String> {
    let root = open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = openat2(&root, path, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)?;
    let mut text = String::new();
    std::fs::File::from(file).take(BYTES).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_where_they_are_and_links_are_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("file"), "A=1\n").unwrap();
        std::os::unix::fs::symlink("/etc/hostname", directory.path().join("link")).unwrap();
        assert_eq!(read(directory.path(), Path::new("file")).unwrap(), "A=1\n");
        assert!(read(directory.path(), Path::new("link")).is_err());
        assert!(read(directory.path(), Path::new("../file")).is_err());
    }
}
