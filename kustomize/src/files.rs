//! Where files come from: a kustomization sees nothing but what these give.

use std::path::{Path, PathBuf};

/// A file system, or what stands in for one.
pub trait Files {
    /// What is in a file.
    ///
    /// # Errors
    ///
    /// As the system has them.
    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>>;

    /// The path without links and dots, of what is there.
    ///
    /// # Errors
    ///
    /// If nothing is there.
    fn resolve(&self, path: &Path) -> std::io::Result<PathBuf>;

    /// Whether it is a directory.
    fn is_directory(&self, path: &Path) -> bool;
}

/// The files of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn resolve(&self, path: &Path) -> std::io::Result<PathBuf> {
        std::fs::canonicalize(path)
    }

    fn is_directory(&self, path: &Path) -> bool {
        path.is_dir()
    }
}
