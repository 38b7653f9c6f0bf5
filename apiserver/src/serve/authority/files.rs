//! Files that are whole or not there, and that only their owner can read.

use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use super::AuthorityError;

/// The text of a file, or `None` if there is none.
pub(super) fn read(path: &Path) -> Result<Option<String>, AuthorityError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            Err(AuthorityError::Broken { path: path.to_owned(), why: "is not text".to_owned() })
        }
        Err(source) => Err(AuthorityError::Io { path: path.to_owned(), source }),
    }
}

/// Writes a file beside its place, flushes it, and moves it there.
pub(super) fn write(path: &Path, text: &str) -> Result<(), AuthorityError> {
    let failed = |source| AuthorityError::Io { path: path.to_owned(), source };
    let directory = path.parent().unwrap_or(Path::new("."));
    // Made with mode 0600, and removed if anything fails.
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o600)).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)
}

/// Makes a directory for its owner alone, with those above it, unless it is there.
pub(super) fn create_directory(path: &Path) -> Result<(), AuthorityError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| AuthorityError::Io { path: path.to_owned(), source })
}
