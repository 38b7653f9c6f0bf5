//! What is copied, as an archive.
//!
//! An archive from a container is not to be trusted: whatever it says, nothing is written but below the place that was named.
//! Names that lead elsewhere are refused; links are not made; and links that are already below that place are not followed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;
use tar::{Archive, Builder, EntryType, Header};

use crate::Error;

/// How deep directories may be nested that are copied to a container.
const DEEPEST: usize = 1000;

/// Why an archive could not be made or read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("tar contents corrupted")]
    Corrupted,
    #[error("{0}: directories are nested too deep")]
    Deep(String),
    #[error("{0}: {1}")]
    File(String, io::Error),
    #[error("{0}")]
    Stream(#[from] io::Error),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        Error::said(failure.to_string())
    }
}

/// A path of a container without what leads nowhere.
pub(super) fn clean(path: &str) -> String {
    let is_absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if is_absolute => {}
            part => parts.push(part),
        }
    }
    match (is_absolute, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// The directory and the name of a clean path.
pub(super) fn split(path: &str) -> (&str, &str) {
    match path.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some((directory, name)) => (directory, name),
        None => (".", path),
    }
}

/// What a path of this machine is called.
pub(super) fn base(path: &Path) -> Result<String, Failure> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    match name {
        Some(name) => Ok(name),
        // Of `.` and `..`, what they stand for.
        None => {
            let found = path.canonicalize().map_err(|error| Failure::File(path.display().to_string(), error))?;
            Ok(found.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default())
        }
    }
}

/// What the names in an archive of this path begin with: `tar` leaves out what leads up, and the root.
pub(super) fn prefix(path: &str) -> String {
    let clean = clean(path.trim_start_matches('/'));
    let parts = clean.split('/').skip_while(|part| *part == ".." || *part == ".");
    parts.collect::<Vec<_>>().join("/")
}

/// Makes an archive of a file or directory, which is called `name` in it.
pub(super) fn pack(from: &Path, name: &str, out: impl Write, warn: &mut dyn FnMut(String)) -> Result<(), Failure> {
    let mut builder = Builder::new(io::BufWriter::with_capacity(32 << 10, out));
    add(&mut builder, from, name, 0, warn)?;
    builder.into_inner()?.flush()?;
    Ok(())
}

fn add<W: Write>(
    builder: &mut Builder<W>,
    path: &Path,
    name: &str,
    depth: usize,
    warn: &mut dyn FnMut(String),
) -> Result<(), Failure> {
    let shown = || path.display().to_string();
    let failed = |error| Failure::File(shown(), error);
    if depth > DEEPEST {
        return Err(Failure::Deep(shown()));
    }
    let metadata = std::fs::symlink_metadata(path).map_err(failed)?;
    let mut header = Header::new_gnu();
    header.set_metadata(&metadata);
    if metadata.is_dir() {
        let mut names: Vec<_> = std::fs::read_dir(path).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
        names.sort_by_key(std::fs::DirEntry::file_name);
        // Others are there because of what is in them.
        if names.is_empty() {
            builder.append_data(&mut header, name, io::empty())?;
        }
        for entry in names {
            let inner = format!("{name}/{}", entry.file_name().to_string_lossy());
            add(builder, &entry.path(), &inner, depth + 1, warn)?;
        }
    } else if metadata.is_symlink() {
        let target = std::fs::read_link(path).map_err(failed)?;
        header.set_size(0);
        builder.append_link(&mut header, name, target)?;
    } else if metadata.is_file() {
        let file = File::open(path).map_err(failed)?;
        // As much as was said, whatever becomes of the file meanwhile.
        let mut content = file.take(metadata.len());
        let padded = content.by_ref().chain(io::repeat(0)).take(metadata.len());
        builder.append_data(&mut header, name, padded)?;
        if content.limit() > 0 {
            warn(format!("warning: {:?} became shorter while it was read", shown()));
        }
    } else {
        warn(format!("warning: skipping {:?}: neither a file, a directory nor a symlink", shown()));
    }
    Ok(())
}

/// Writes what is in an archive below `to`, or as it, if it is one file.
pub(super) fn unpack(
    from: &mut dyn Read,
    prefix: &str,
    to: &Path,
    warn: &mut dyn FnMut(String),
) -> Result<(), Failure> {
    let mut archive = Archive::new(from);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let Some(below) = below(&name, prefix) else { return Err(Failure::Corrupted) };
        // A path with nothing behind it would be shown as a directory.
        let target = if below.is_empty() { to.to_owned() } else { to.join(below) };
        let Some(parts) = parts(below) else {
            warn(format!("warning: file {:?} is outside target destination, skipping", target.display().to_string()));
            continue;
        };
        let shown = target.display().to_string();
        match entry.header().entry_type() {
            EntryType::Directory => {
                if let Err(error) = directory(to, &parts) {
                    refused(&shown, error, warn)?;
                }
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => match create(to, &parts) {
                Ok(mut file) => drop(io::copy(&mut entry, &mut file).map_err(|error| Failure::File(shown, error))?),
                Err(error) => refused(&shown, error, warn)?,
            },
            EntryType::Symlink => {
                let link = entry.link_name_bytes().unwrap_or_default();
                let link = String::from_utf8_lossy(&link).into_owned();
                warn(format!("warning: skipping symlink: {shown:?} -> {link:?}"));
            }
            EntryType::Link => {
                let link = entry.link_name_bytes().unwrap_or_default();
                let link = String::from_utf8_lossy(&link).into_owned();
                let known = self::below(&link, prefix).and_then(self::parts);
                match known.map(|known| copy(to, &known, &parts)) {
                    Some(Ok(())) => {}
                    Some(Err(error)) => refused(&shown, error, warn)?,
                    None => warn(format!("warning: skipping link: {shown:?} -> {link:?}")),
                }
            }
            _ => warn(format!("warning: skipping {shown:?}: neither a file nor a directory")),
        }
    }
    Ok(())
}

/// What of a name is below the path that was asked for.
fn below<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    if prefix.is_empty() {
        return (!name.starts_with('/')).then_some(name);
    }
    match name.strip_prefix(prefix)? {
        "" => Some(""),
        rest => rest.strip_prefix('/'),
    }
}

/// The parts of a name that leads down. None if it leads elsewhere.
fn parts(name: &str) -> Option<Vec<&str>> {
    let parts: Vec<&str> = name.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    (!parts.contains(&"..") && !name.contains('\0')).then_some(parts)
}

/// Says why something is not written: a link is in its place, or on the way. All else is a failure.
fn refused(shown: &str, error: io::Error, warn: &mut dyn FnMut(String)) -> Result<(), Failure> {
    if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) {
        warn(format!("warning: skipping {shown:?}: a symlink is there already"));
        return Ok(());
    }
    Err(Failure::File(shown.to_owned(), error))
}

/// Opens a directory below another one, which is made if it is not there. It and what is above it is no link.
fn enter(parent: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(parent, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => {
            match mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            Ok(openat(parent, name, flags, Mode::empty())?)
        }
        // A link that leads to no directory is said to be none, and is a link nevertheless.
        Err(Errno::NOTDIR) => {
            let is_link = rustix::fs::statat(parent, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|found| rustix::fs::FileType::from_raw_mode(found.st_mode).is_symlink());
            Err(if is_link { Errno::LOOP } else { Errno::NOTDIR }.into())
        }
        other => Ok(other?),
    }
}

/// The place that was named, as a directory. Whoever named it may have named a link.
fn root(to: &Path) -> io::Result<OwnedFd> {
    std::fs::create_dir_all(to)?;
    Ok(openat(CWD, to, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

fn directory(to: &Path, parts: &[&str]) -> io::Result<OwnedFd> {
    parts.iter().try_fold(root(to)?, |parent, name| enter(&parent, name))
}

/// A new file below the place that was named, or in its place.
fn create(to: &Path, parts: &[&str]) -> io::Result<File> {
    let Some((name, directories)) = parts.split_last() else {
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent)?;
        }
        return File::create(to);
    };
    let parent = directory(to, directories)?;
    // Not blocking: nobody may be at the other end of a pipe that is there.
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(openat(&parent, *name, flags, Mode::from_raw_mode(0o666))?.into())
}

/// Copies a file of the archive that was written already: another name of it is a file of its own.
fn copy(to: &Path, from: &[&str], parts: &[&str]) -> io::Result<()> {
    let Some((name, directories)) = from.split_last() else { return Err(Errno::INVAL.into()) };
    let parent = directory(to, directories)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut source: File = openat(&parent, *name, flags, Mode::empty())?.into();
    if !source.metadata()?.is_file() || from == parts {
        return Err(Errno::INVAL.into());
    }
    io::copy(&mut source, &mut create(to, parts)?)?;
    Ok(())
}

#[cfg(test)]
mod tests;
