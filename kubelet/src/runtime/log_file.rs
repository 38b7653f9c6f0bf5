//! The file that a process writes its log into, which it holds open: bounded, although the process knows nothing of it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// A log, and the one before it.
#[derive(Clone, Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    /// From how many bytes on it begins anew.
    most: u64,
}

impl LogFile {
    pub(super) fn new(path: PathBuf, most: u64) -> LogFile {
        LogFile { path, most }
    }

    /// Opens it for a process. All that is written goes to its end, even when that has moved to its beginning.
    pub(super) fn open(&self) -> io::Result<File> {
        File::options().create(true).append(true).open(&self.path)
    }

    /// Has it begin anew, and keeps what there was as the one before it, if it is too long. A line that is written between
    /// copying and cutting is lost.
    pub(super) fn bound(&self) -> io::Result<bool> {
        let file = self.open()?;
        if file.metadata()?.len() <= self.most {
            return Ok(false);
        }
        std::fs::copy(&self.path, before(&self.path))?;
        file.set_len(0)?;
        Ok(true)
    }

    /// How long it is.
    pub(super) fn length(&self) -> u64 {
        self.path.metadata().map_or(0, |metadata| metadata.len())
    }

    /// What was written since it was so long, but not more than the last so many bytes.
    pub(super) fn tail(&self, since: u64, most: u64) -> io::Result<String> {
        let mut file = File::open(&self.path)?;
        let from = since.max(file.metadata()?.len().saturating_sub(most));
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    }
}

fn before(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_log_begins_anew_under_its_writer() {
        let directory = tempfile::tempdir().unwrap();
        let log = LogFile::new(directory.path().join("log"), 10);
        let mut writer = log.open().unwrap();
        writer.write_all(b"0123456789").unwrap();
        assert!(!log.bound().unwrap());
        writer.write_all(b"ab").unwrap();
        assert!(log.bound().unwrap());
        writer.write_all(b"new").unwrap();
        assert_eq!(std::fs::read(directory.path().join("log")).unwrap(), b"new");
        assert_eq!(std::fs::read(directory.path().join("log.1")).unwrap(), b"0123456789ab");
        for (since, most, expected) in [(0, 10, "new"), (1, 10, "ew"), (0, 1, "w"), (9, 10, "")] {
            assert_eq!(log.tail(since, most).unwrap(), expected);
        }
    }
}
