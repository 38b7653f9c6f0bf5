//! Logs by themselves: files that are full, and disks that are slow.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode as Bits, OFlags, mknodat};

use super::super::log::Log;
use super::*;

/// A pipe that is full, and that nobody reads. Whoever writes to it waits while this is held, and fails afterwards.
pub(super) fn stuck(path: &Path) -> File {
    mknodat(CWD, path, FileType::Fifo, Bits::RUSR | Bits::WUSR, 0).unwrap();
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap();
    let mut pipe = OpenOptions::new().read(true).write(true).custom_flags(nonblocking).open(path).unwrap();
    while pipe.write(&[0; 4096]).is_ok() {}
    pipe
}

pub(super) fn lost(figures: &Figures, plugin: &'static str) -> u64 {
    figures.lost.get_or_create(&OfPlugin { plugin }).get()
}

fn names(directory: &Path, ending: &str) -> Vec<String> {
    let names = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(ending)).collect();
    names.sort_unstable();
    names
}

#[test]
fn logs_that_are_full_are_put_aside() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("logs/audit.log");
    let rotation = Rotation { max_size: 1, max_backup: 2, max_age: 0, compress: true };
    let figures = Figures::default();
    let options = LogOptions { path: path.clone(), rotation, ..LogOptions::default() };
    let log = Log::open(&options, figures.clone()).unwrap();
    std::fs::write(path.with_file_name("audit-of-another.log"), "x").unwrap();
    let line = vec![b'x'; 600 << 10];
    for _ in 0..5 {
        log.push(line.clone());
    }
    // More than may wait at a time.
    log.push(vec![b'x'; 65 << 20]);
    drop(log);
    let old = names(path.parent().unwrap(), ".gz");
    assert_eq!(old.len(), 2, "{old:?}");
    assert!(old.iter().all(|name| name.len() == "audit-2026-11-26T10-00-00.000.log.gz".len()), "{old:?}");
    assert!(path.with_file_name("audit-of-another.log").exists());
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 600 << 10);
    assert_eq!(lost(&figures, "buffered"), 1);
    // What is there is added to, and what is there of old is looked after from the beginning.
    let rotation = Rotation { max_backup: 1, ..rotation };
    let log = Log::open(&LogOptions { path: path.clone(), rotation, ..LogOptions::default() }, figures).unwrap();
    log.push(vec![b'y'; 10]);
    drop(log);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), (600 << 10) + 10);
    assert_eq!(names(path.parent().unwrap(), ".gz"), old[1..]);
}

#[test]
fn a_file_that_was_taken_away_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.log");
    let rotation = Rotation { max_size: 1, ..Rotation::default() };
    let figures = Figures::default();
    let options = LogOptions { path: path.clone(), rotation, ..LogOptions::default() };
    let log = Log::open(&options, figures.clone()).unwrap();
    std::fs::remove_file(&path).unwrap();
    for _ in 0..2 {
        log.push(vec![b'x'; 600 << 10]);
    }
    drop(log);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 600 << 10);
    assert_eq!((lost(&figures, "log"), names(directory.path(), "").len()), (0, 1));
}

#[test]
fn a_disk_that_is_slow_loses_events_and_holds_nobody_up() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipe");
    let held = stuck(&path);
    let figures = Figures::default();
    let batch = Batch { buffer_size: 2, ..Batch::default() };
    let log = Log::open(&LogOptions { path, batch, ..LogOptions::default() }, figures.clone()).unwrap();
    for _ in 0..10 {
        log.push(vec![b'x'; 1 << 20]);
    }
    // One is being written, and two wait.
    assert!(lost(&figures, "buffered") >= 7, "{figures:?}");
    drop(held);
    drop(log);
    assert_eq!(lost(&figures, "buffered") + lost(&figures, "log"), 10);
}

#[test]
fn a_log_that_cannot_be_opened_is_named() {
    let error = Log::open(&LogOptions { path: "/dev/null/x".into(), ..LogOptions::default() }, Figures::default());
    let error = error.err().unwrap().to_string();
    assert!(error.starts_with("the audit log /dev/null/x cannot be written: "), "{error}");
}
