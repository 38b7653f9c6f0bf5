//! Whether what a `hostPath` volume names is there and is what it is said to be, in upstream's words.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// Why a path of the node cannot be a volume.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// It leads upwards.
    #[error("invalid HostPath `{0}`: must not contain '..'")]
    Upwards(String),
    /// There is nothing.
    #[error("hostPath {0} doesn't exist")]
    Absent(String),
    /// It is of another type.
    #[error("hostPath type check failed: {path} is not a {expected}, it's a {found}")]
    Other { path: String, expected: &'static str, found: &'static str },
    /// It is of none of the types there are.
    #[error(
        "hostPath type check failed, {path} is not a {expected}, unable to determine its type: \
         only recognise file, directory, socket, block device and character device"
    )]
    Unknown { path: String, expected: &'static str },
    /// No such type.
    #[error("{0} is an invalid volume type")]
    Type(String),
    /// It could not be made.
    #[error("cannot create {0}: {1}")]
    Io(String, #[source] io::Error),
}

/// Whether a path has a part that leads upwards.
pub(super) fn leads_upwards(path: &str) -> bool {
    path.split('/').any(|part| part == "..")
}

/// Checks a path, and makes what it may make. `kind` is the volume's `type`; nothing is checked if it is empty.
pub(super) fn check(path: &str, kind: &str) -> Result<(), Refused> {
    if leads_upwards(path) {
        return Err(Refused::Upwards(path.to_owned()));
    }
    let is_there = || fs::metadata(path).is_ok();
    let failed = |error| Refused::Io(path.to_owned(), error);
    match kind {
        "" => Ok(()),
        "DirectoryOrCreate" if !is_there() => {
            DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(failed)
        }
        "FileOrCreate" if !is_there() => {
            let made = OpenOptions::new().append(true).create(true).mode(0o644).open(path);
            made.map(drop).map_err(failed)
        }
        "DirectoryOrCreate" | "Directory" => is_of(path, "Directory", "directory"),
        "FileOrCreate" | "File" => is_of(path, "File", "file"),
        "Socket" => is_of(path, "Socket", "socket file"),
        "CharDevice" => is_of(path, "CharDevice", "character device"),
        "BlockDevice" => is_of(path, "BlockDevice", "block device"),
        _ => Err(Refused::Type(kind.to_owned())),
    }
}

fn is_of(path: &str, kind: &str, expected: &'static str) -> Result<(), Refused> {
    let Ok(metadata) = fs::metadata(Path::new(path)) else { return Err(Refused::Absent(path.to_owned())) };
    let found = match metadata.file_type() {
        it if it.is_dir() => "Directory",
        it if it.is_file() => "File",
        it if it.is_socket() => "Socket",
        it if it.is_char_device() => "CharDevice",
        it if it.is_block_device() => "BlockDevice",
        _ => return Err(Refused::Unknown { path: path.to_owned(), expected }),
    };
    if found == kind { Ok(()) } else { Err(Refused::Other { path: path.to_owned(), expected, found }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_checked() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| format!("{}/{name}", dir.path().display());
        fs::write(at("file"), "x").unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        let check = |name: &str, kind: &str, expected: &str| {
            let path = if name.starts_with('/') { name.to_owned() } else { at(name) };
            let outcome = check(&path, kind).map_or_else(|error| error.to_string(), |()| "fine".to_owned());
            assert_eq!(outcome.replace(&path, "P"), expected, "{name} as {kind:?}");
        };
        check("none", "", "fine");
        check("none", "Directory", "hostPath P doesn't exist");
        check("none", "File", "hostPath P doesn't exist");
        check("new/dir", "DirectoryOrCreate", "fine");
        check("new/dir", "Directory", "fine");
        check("new/file", "FileOrCreate", "fine");
        check("new/file", "File", "fine");
        check("file", "FileOrCreate", "fine");
        check("file", "DirectoryOrCreate", "hostPath type check failed: P is not a directory, it's a File");
        check("new", "FileOrCreate", "hostPath type check failed: P is not a file, it's a Directory");
        check("socket", "Socket", "fine");
        check("file", "Socket", "hostPath type check failed: P is not a socket file, it's a File");
        check("/dev/null", "CharDevice", "fine");
        check("/dev/null", "BlockDevice", "hostPath type check failed: P is not a block device, it's a CharDevice");
        check("file", "Pipe", "Pipe is an invalid volume type");
        check("a/../file", "", "invalid HostPath `P`: must not contain '..'");
        check("a..b", "", "fine");
    }
}
