//! Makes a directory show exactly a set of files, from one moment to the next.
//!
//! The layout is upstream's, which programs rely on that watch their configuration. The files are in a directory of their
//! own, `..2006_01_02_15_04_05.123456789`; `..data` is a link to it, and everything that can be seen is a link through
//! `..data`. Turning that one link is the whole of an update: whoever opens `..data` sees all of one version. Nothing is
//! written if the files are what they should be.
//!
//! One writer at a time; whoever calls sees to that.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;

use super::payload::{File, Payload};

/// The link to the files of now.
const DATA: &str = "..data";
/// The link to the files of next, before it takes the other's place.
const NEXT: &str = "..data_tmp";
/// The most bytes of a path, and of a name in it (upstream's, and Linux's).
const PATH_BYTES: usize = 4096;
const NAME_BYTES: usize = 255;
/// How often a name is drawn that is there already before it is given up.
const DRAWS: usize = 100;

/// Files by paths that were found to be good.
type Files<'a> = BTreeMap<PathBuf, &'a File>;

/// Why a directory does not show what it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    /// A path that leads out of the volume, or that the kernel would not take.
    #[error("invalid path: {0}")]
    Path(String),
    /// Two paths of which one would have to be both a file and a directory.
    #[error("{0} is both a file and the directory of another")]
    Clash(String),
    /// The file system refused.
    #[error("{0}: {1}")]
    Io(&'static str, #[source] io::Error),
}

/// Makes `dir` show the files of `payload`, and tells whether it had to be changed. `own` gives what was written to whom it
/// belongs; it is called before anybody can see it.
///
/// # Errors
/// Bad paths change nothing. After other errors what was seen before is still seen.
pub(super) fn write(
    dir: &Path,
    payload: &Payload,
    now: Timestamp,
    own: &dyn Fn() -> io::Result<()>,
) -> Result<bool, WriteError> {
    let payload = clean(payload)?;
    let current = match fs::read_link(dir.join(DATA)) {
        Ok(current) => Some(current),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(WriteError::Io("cannot read the link to the data", error)),
    };
    let is_current = current.as_ref().is_some_and(|current| shows(&dir.join(current), &payload).unwrap_or(false));
    if is_current && payload.keys().all(|path| fs::symlink_metadata(dir.join(first(path))).is_ok()) {
        return Ok(false);
    }
    clear_leftovers(dir, current.as_deref())
        .map_err(|error| WriteError::Io("cannot clear what an update left", error))?;
    let fresh =
        new_directory(dir, now).map_err(|error| WriteError::Io("cannot make a directory for the data", error))?;
    let turned = fill(dir, &fresh, &payload, own);
    if let Err(error) = turned {
        // Nobody can see it, so that only its room is lost if it cannot be removed.
        let _ = fs::remove_dir_all(dir.join(&fresh));
        return Err(WriteError::Io("cannot write the data", error));
    }
    clear_stale(dir, &payload).map_err(|error| WriteError::Io("cannot remove a link", error))?;
    if let Some(current) = current {
        let removed = fs::remove_dir_all(dir.join(current));
        if let Err(error) = removed.or_else(absent_is_fine) {
            return Err(WriteError::Io("cannot remove the earlier data", error));
        }
    }
    Ok(true)
}

fn absent_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// The same files by paths without detours.
fn clean(payload: &Payload) -> Result<Files<'_>, WriteError> {
    let mut cleaned = BTreeMap::new();
    for (path, file) in payload {
        cleaned.insert(clean_path(path)?, file);
    }
    for path in cleaned.keys() {
        if let Some(above) = path.ancestors().skip(1).find(|above| cleaned.contains_key(*above)) {
            return Err(WriteError::Clash(above.display().to_string()));
        }
    }
    Ok(cleaned)
}

/// A path below the volume: relative, not upwards, and not one of those that the layout needs.
fn clean_path(path: &str) -> Result<PathBuf, WriteError> {
    let refuse = |why: String| Err(WriteError::Path(why));
    if path.is_empty() {
        return refuse("must not be empty: \"\"".to_owned());
    }
    if path.starts_with('/') {
        return refuse(format!("must be relative path: {path}"));
    }
    if path.len() > PATH_BYTES {
        return refuse(format!("must be less than or equal to {PATH_BYTES} characters"));
    }
    if path.split('/').any(|part| part == "..") {
        return refuse(format!("must not contain '..': {path}"));
    }
    if path.split('/').any(|part| part.len() > NAME_BYTES) {
        return refuse(format!("filenames must be less than or equal to {NAME_BYTES} characters"));
    }
    if path.contains('\0') {
        return refuse(format!("must not contain a NUL character: {path:?}"));
    }
    let cleaned: PathBuf = Path::new(path).components().filter(|part| matches!(part, Component::Normal(_))).collect();
    if cleaned.as_os_str().is_empty() {
        return refuse(format!("must name a file: {path}"));
    }
    if first(&cleaned).to_string_lossy().starts_with("..") {
        return refuse(format!("must not start with '..': {path}"));
    }
    Ok(cleaned)
}

/// The part of a path that is directly in the volume.
fn first(path: &Path) -> &Path {
    path.iter().next().map_or(path, Path::new)
}

/// Whether a directory has exactly these files, with this content.
fn shows(dir: &Path, payload: &Files<'_>) -> io::Result<bool> {
    let mut found = BTreeSet::new();
    let mut directories = vec![PathBuf::new()];
    while let Some(within) = directories.pop() {
        for entry in fs::read_dir(dir.join(&within))? {
            let entry = entry?;
            let path = within.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                directories.push(path);
            } else {
                found.insert(path);
            }
        }
    }
    if !found.iter().eq(payload.keys()) {
        return Ok(false);
    }
    for (path, file) in payload {
        if fs::read(dir.join(path))? != file.content {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes what an update left that was interrupted.
fn clear_leftovers(dir: &Path, current: Option<&Path>) -> io::Result<()> {
    fs::remove_file(dir.join(NEXT)).or_else(absent_is_fine)?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_data = name.to_string_lossy().starts_with("..") && entry.file_type()?.is_dir();
        if is_data && current.is_none_or(|current| current != Path::new(&name)) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Makes a directory named for the time, and returns its name.
fn new_directory(dir: &Path, now: Timestamp) -> io::Result<OsString> {
    let time = now.strftime("..%Y_%m_%d_%H_%M_%S.").to_string();
    for _ in 0..DRAWS {
        let name = format!("{time}{}", rand::random::<u32>());
        match DirBuilder::new().mode(0o700).create(dir.join(&name)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(()) => {
                // Whatever the process masks: everybody has to get through to the files, whose own modes count.
                fs::set_permissions(dir.join(&name), Permissions::from_mode(0o755))?;
                return Ok(name.into());
            }
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Writes everything into the new directory, and turns the link to it.
fn fill(dir: &Path, fresh: &OsString, payload: &Files<'_>, own: &dyn Fn() -> io::Result<()>) -> io::Result<()> {
    for (path, file) in payload {
        let mut within = dir.join(fresh);
        for part in path.parent().into_iter().flat_map(Path::iter) {
            within.push(part);
            match fs::create_dir(&within) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                result => {
                    result?;
                    fs::set_permissions(&within, Permissions::from_mode(0o755))?;
                }
            }
        }
        let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(dir.join(fresh).join(path))?;
        to.write_all(&file.content)?;
        if let Some(owner) = file.owner {
            std::os::unix::fs::fchown(&to, Some(owner), None)?;
        }
        to.set_permissions(Permissions::from_mode(file.mode))?;
    }
    own()?;
    for name in payload.keys().map(|path| first(path)).collect::<BTreeSet<_>>() {
        if fs::symlink_metadata(dir.join(name)).is_err() {
            symlink(Path::new(DATA).join(name), dir.join(name))?;
        }
    }
    symlink(fresh, dir.join(NEXT))?;
    fs::rename(dir.join(NEXT), dir.join(DATA)).inspect_err(|_| {
        // It is removed by the next update otherwise.
        let _ = fs::remove_file(dir.join(NEXT));
    })
}

/// Removes links to what is no longer there.
fn clear_stale(dir: &Path, payload: &Files<'_>) -> io::Result<()> {
    let wanted: BTreeSet<&Path> = payload.keys().map(|path| first(path)).collect();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_string_lossy().starts_with("..") && !wanted.contains(Path::new(&name)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
