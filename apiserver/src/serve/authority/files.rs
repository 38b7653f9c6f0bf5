//! The authority's files: whole or not there, and readable by their owner alone.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::AuthorityError;
use crate::serve::files;

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
    files::replace(path, text).map_err(|source| AuthorityError::Io { path: path.to_owned(), source })
}

/// Makes a directory for its owner alone, with those above it, unless it is there.
pub(super) fn create_directory(path: &Path) -> Result<(), AuthorityError> {
    files::create_private_directory(path).map_err(|source| AuthorityError::Io { path: path.to_owned(), source })
}
