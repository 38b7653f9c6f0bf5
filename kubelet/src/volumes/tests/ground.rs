//! A directory for tests that mount: whatever happens, nothing stays mounted or on the disk.

use std::path::{Path, PathBuf};

use super::super::{mounts, teardown};

/// A directory in which tests may mount, without links in its path.
pub(in crate::volumes) struct Ground {
    path: PathBuf,
}

impl Ground {
    /// A directory in which this process can mount; `None`, with a line that says so, if it may not mount at all.
    #[allow(clippy::print_stdout)]
    pub(in crate::volumes) fn for_mounts() -> Option<Ground> {
        let ground = Ground::new();
        let probe = ground.path().join("probe");
        std::fs::create_dir(&probe).unwrap();
        if let Err(error) = mounts::memory(&probe, Some(1 << 20)) {
            println!("skipped: this process cannot mount ({error}); run the tests as root to see this one");
            return None;
        }
        teardown::remove(&probe).unwrap();
        Some(ground)
    }

    pub(in crate::volumes) fn new() -> Ground {
        Ground { path: tempfile::tempdir().unwrap().keep().canonicalize().unwrap() }
    }

    pub(in crate::volumes) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let removed = teardown::remove(&self.path);
        // A test that fails already has something to say.
        if !std::thread::panicking() {
            removed.unwrap();
        }
    }
}
