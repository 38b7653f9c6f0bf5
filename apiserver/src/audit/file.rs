//! The file that events are written to, and those that were put aside.
//!
//! What always holds: a line is in the file whole or not at all; a file that has grown to its limit is put aside under the time
//! of that, as upstream names it, and never over another one; of those put aside no more are kept than was asked for, and only
//! what is named so is touched. Looking after old files holds no event up: a thread of its own does it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use flate2::Compression;
use flate2::write::GzEncoder;
use k8s_openapi::jiff::civil::DateTime;
use k8s_openapi::jiff::tz::TimeZone;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// How the time is told in the name of a file that was put aside: milliseconds, UTC.
const TIME: &str = "%Y-%m-%dT%H-%M-%S%.3f";
/// How long a time in such a name is.
const TIME_LENGTH: usize = "2026-11-26T10-00-00.000".len();
const ZIPPED: &str = ".gz";

/// When files are put aside, and for how long they are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// How large a file may become, in megabytes; 100 if it is 0, as upstream.
    pub max_size: u64,
    /// How many old ones are kept; all if it is 0.
    pub max_backup: usize,
    /// For how many days they are kept; forever if it is 0.
    pub max_age: u32,
    /// Whether they are compressed.
    pub compress: bool,
}

impl Rotation {
    /// How large a file may become, in bytes.
    pub(super) fn max_bytes(&self) -> u64 {
        (if self.max_size == 0 { 100 } else { self.max_size }).saturating_mul(1 << 20)
    }
}

/// What lines are written to.
pub(super) enum Target {
    /// The standard output.
    Output,
    /// A pipe or a device, which cannot be put aside.
    Stream(File),
    /// A file.
    File(Rotating),
}

impl Target {
    /// Opens `path`, or makes it, for its owner alone.
    pub(super) fn open(path: &Path, rotation: Rotation) -> io::Result<Target> {
        if path == Path::new("-") {
            return Ok(Target::Output);
        }
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        }
        let file = open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(Target::Stream(file));
        }
        let name = Name::of(path);
        let keeper = Keeper::start(&name, rotation)?;
        Ok(Target::File(Rotating { file, size: metadata.len(), name, limit: rotation.max_bytes(), keeper }))
    }

    /// Writes lines.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Target::Output => {
                let mut output = io::stdout().lock();
                output.write_all(lines)?;
                output.flush()
            }
            Target::Stream(file) => file.write_all(lines),
            Target::File(file) => file.write(lines),
        }
    }
}

/// A file that is put aside when it has grown to its limit.
pub(super) struct Rotating {
    file: File,
    size: u64,
    name: Name,
    limit: u64,
    keeper: Option<Keeper>,
}

impl Rotating {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let length = lines.len() as u64;
        if self.size > 0 && self.size + length > self.limit {
            let aside = self.name.aside(Timestamp::now());
            match std::fs::rename(self.name.path(), aside) {
                // Somebody has taken it away, or an earlier attempt got this far.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                renamed => renamed?,
            }
            self.file = open(&self.name.path())?;
            self.size = 0;
            if let Some(keeper) = &self.keeper {
                keeper.wake();
            }
        }
        // A part of a line, as on a disk that is full, would make the next one part of it, too.
        self.file.write_all(lines).inspect_err(|_| {
            if let Err(error) = self.file.set_len(self.size) {
                tracing::error!(%error, "a part of an audit event cannot be taken back");
            }
        })?;
        self.size += length;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// The name of the file, and what the names of those put aside begin and end with.
#[derive(Clone)]
struct Name {
    directory: PathBuf,
    stem: String,
    extension: String,
}

impl Name {
    fn of(path: &Path) -> Name {
        let part = |part: Option<&OsStr>| part.map(|part| part.to_string_lossy().into_owned());
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Name {
            directory: directory.to_owned(),
            stem: part(path.file_stem()).unwrap_or_default(),
            extension: part(path.extension()).map_or_else(String::new, |extension| format!(".{extension}")),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.join(format!("{}{}", self.stem, self.extension))
    }

    /// Where it is put aside at a time, or at the next that no file has.
    fn aside(&self, mut time: Timestamp) -> PathBuf {
        loop {
            let name = format!("{}-{}{}", self.stem, time.strftime(TIME), self.extension);
            let is_free =
                [name.clone(), format!("{name}{ZIPPED}")].iter().all(|name| !self.directory.join(name).exists());
            if is_free {
                return self.directory.join(name);
            }
            time += SignedDuration::from_millis(1);
        }
    }

    /// When a file of this name was put aside, if it was.
    fn time(&self, name: &str) -> Option<Timestamp> {
        let time = name.strip_prefix(self.stem.as_str())?.strip_prefix('-')?;
        let time = time.strip_suffix(ZIPPED).unwrap_or(time).strip_suffix(self.extension.as_str())?;
        // So that another log's files are left alone.
        let time = DateTime::strptime(TIME, time).ok().filter(|_| time.len() == TIME_LENGTH)?;
        Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
    }
}

/// Removes and compresses old files, whenever it is woken.
struct Keeper {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// One that looks at once, and then when it is woken; none if everything is kept as it is.
    fn start(name: &Name, rotation: Rotation) -> io::Result<Option<Keeper>> {
        if rotation.max_backup == 0 && rotation.max_age == 0 && !rotation.compress {
            return Ok(None);
        }
        let (wake, woken) = sync_channel(1);
        let name = name.clone();
        let thread = std::thread::Builder::new().name("audit-files".to_owned()).spawn(move || {
            for () in woken {
                // What fails here leaves too much and loses nothing.
                if let Err(error) = keep(&name, rotation, Timestamp::now()) {
                    tracing::warn!(%error, "old audit logs cannot be looked after");
                }
            }
        })?;
        let keeper = Keeper { wake: Some(wake), thread: Some(thread) };
        keeper.wake();
        Ok(Some(keeper))
    }

    fn wake(&self) {
        if let Some(wake) = &self.wake {
            // If it was woken already, it will look after this, too.
            let _ = wake.try_send(());
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            // If it panicked, that was reported where it happened.
            let _ = thread.join();
        }
    }
}

/// Removes what is too old or too much, and compresses the rest if that is wanted.
fn keep(name: &Name, rotation: Rotation, now: Timestamp) -> io::Result<()> {
    let mut old: Vec<(Timestamp, String)> = Vec::new();
    for entry in std::fs::read_dir(&name.directory)? {
        let file = entry?.file_name().to_string_lossy().into_owned();
        old.extend(name.time(&file).map(|time| (time, file)));
    }
    old.sort_unstable_by(|a, b| b.cmp(a));
    let oldest = now - SignedDuration::from_hours(24 * i64::from(rotation.max_age));
    let mut seen = BTreeSet::new();
    for (time, file) in old {
        // One that is being compressed is there twice.
        seen.insert(time);
        let path = name.directory.join(&file);
        let is_too_much = rotation.max_backup > 0 && seen.len() > rotation.max_backup;
        if is_too_much || (rotation.max_age > 0 && time < oldest) {
            std::fs::remove_file(path)?;
        } else if rotation.compress && !file.ends_with(ZIPPED) {
            compress(&path)?;
        }
    }
    Ok(())
}

fn compress(path: &Path) -> io::Result<()> {
    let mut zipped = path.as_os_str().to_owned();
    zipped.push(ZIPPED);
    let zipped = PathBuf::from(zipped);
    // What an earlier attempt has left is of no use.
    let file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&zipped)?;
    let mut encoder = GzEncoder::new(file, Compression::default());
    let done = io::copy(&mut File::open(path)?, &mut encoder).and_then(|_| encoder.finish()?.sync_all());
    match done {
        Ok(()) => std::fs::remove_file(path),
        Err(error) => std::fs::remove_file(&zipped).and(Err(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_old_files_tell_when_they_were_put_aside() {
        let check = |path: &str, file: &str, expected: Option<&str>| {
            let time = Name::of(Path::new(path)).time(file).map(|time| time.to_string());
            assert_eq!(time.as_deref(), expected, "{file}");
        };
        let time = Some("2026-11-26T10:00:00.25Z");
        check("/l/audit.log", "audit-2026-11-26T10-00-00.250.log", time);
        check("/l/audit.log", "audit-2026-11-26T10-00-00.250.log.gz", time);
        check("audit", "audit-2026-11-26T10-00-00.250", time);
        for other in [
            "audit.log",
            "audit-of-another.log",
            "audit-2026-11-26T10-00-00.250.txt",
            "audit-2026-11-26T10-00-00.log",
            "audit-2026-11-26T10-00-00.250123.log",
            "audit-2026-13-26T10-00-00.250.log",
            "my-audit-2026-11-26T10-00-00.250.log",
        ] {
            check("/l/audit.log", other, None);
        }
    }

    #[test]
    fn old_files_are_kept_as_long_as_is_asked_for() {
        let names = [
            "audit-2026-11-20T10-00-00.000.log",
            "audit-2026-11-24T10-00-00.000.log.gz",
            "audit-2026-11-25T10-00-00.000.log",
            "audit-2026-11-26T10-00-00.000.log",
            "other-2026-11-20T10-00-00.000.log",
        ];
        let check = |rotation: Rotation, expected: &[&str]| {
            let directory = tempfile::tempdir().unwrap();
            names.iter().for_each(|name| std::fs::write(directory.path().join(name), name).unwrap());
            let name = Name::of(&directory.path().join("audit.log"));
            keep(&name, rotation, "2026-11-27T00:00:00Z".parse().unwrap()).unwrap();
            let left = std::fs::read_dir(directory.path()).unwrap();
            let mut left: Vec<String> = left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            left.sort_unstable();
            assert_eq!(left, expected, "{rotation:?}");
        };
        let none = Rotation::default();
        check(none, &names);
        check(Rotation { max_backup: 2, ..none }, &[names[2], names[3], names[4]]);
        check(Rotation { max_age: 3, ..none }, &[names[1], names[2], names[3], names[4]]);
        let zipped = [names[2], names[3]].map(|name| format!("{name}.gz"));
        check(Rotation { max_backup: 2, max_age: 9, compress: true, ..none }, &[&zipped[0], &zipped[1], names[4]]);
    }

    #[test]
    fn no_file_is_put_aside_over_another() {
        let directory = tempfile::tempdir().unwrap();
        let name = Name::of(&directory.path().join("audit.log"));
        let time: Timestamp = "2026-11-26T10:00:00.999Z".parse().unwrap();
        let aside = |expected: &str| {
            let path = name.aside(time);
            assert_eq!(path.file_name().unwrap(), expected);
            std::fs::write(path, "").unwrap();
        };
        aside("audit-2026-11-26T10-00-00.999.log");
        aside("audit-2026-11-26T10-00-01.000.log");
        std::fs::write(directory.path().join("audit-2026-11-26T10-00-01.001.log.gz"), "").unwrap();
        aside("audit-2026-11-26T10-00-01.002.log");
    }
}
