//! `gantry store`, as an operator runs it: what it says, what it leaves behind, and how it exits.

// The lint's leave for tests does not reach their helpers.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use store::{Backend, Codec, Durability, Embedded, EmbeddedOptions, IndexValue, Key, Revision, STORE_FILE, Store};
use tempfile::TempDir;

/// Entries are the stored bytes.
struct Plain;

impl Codec for Plain {
    type Entry = bytes::Bytes;

    fn decode(&self, _: &Key, _: Revision, value: bytes::Bytes) -> bytes::Bytes {
        value
    }

    fn tombstone(&self, _: &Key, _: Revision, last: &bytes::Bytes) -> bytes::Bytes {
        last.clone()
    }

    fn index_values(&self, _: &Key, _: &bytes::Bytes, _: &mut dyn FnMut(IndexValue<'_>)) {}

    fn weight(&self, entry: &bytes::Bytes) -> usize {
        entry.len()
    }
}

async fn open(data_dir: &Path) -> Store<Plain> {
    let backend: Arc<dyn Backend> = Arc::new(Embedded::open(data_dir, EmbeddedOptions::default()).unwrap());
    Store::open(backend, Plain, store::StoreOptions::default()).await.unwrap()
}

/// A data directory with two objects in its store, which is open.
async fn filled() -> (TempDir, Store<Plain>) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("data")).await;
    for name in ["a", "b"] {
        let key = Key::new(&format!("/registry/core/configmaps/default/{name}")).unwrap();
        store.create(key, "{}".into(), Durability::Flushed).await.unwrap();
    }
    (dir, store)
}

/// Runs `gantry store` in `dir`.
fn gantry(dir: &Path, line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gantry"));
    command.current_dir(dir).env_remove("GANTRY_LOG").arg("store").args(line.split(' ')).output().unwrap()
}

fn succeeds(dir: &Path, line: &str, says: &str) {
    let output = gantry(dir, line);
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{line}: {error}");
    assert!(out.starts_with(says), "{line}: {out}");
}

fn fails(dir: &Path, line: &str, code: i32, says: &str) {
    let output = gantry(dir, line);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{line}: {error}");
    assert!(error.contains(says), "{line}: {error}");
    assert!(output.stdout.is_empty(), "{line}: {}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test]
async fn a_store_is_verified_backed_up_and_restored() {
    let (dir, store) = filled().await;
    store.close().await;
    let dir = dir.path();
    succeeds(dir, "verify data", "2 objects at revision 2, ");
    let before = std::fs::read(dir.join("data").join(STORE_FILE)).unwrap();
    succeeds(dir, "backup --data-dir data --to backup", "2 objects at revision 2, ");
    assert_eq!(std::fs::read(dir.join("data").join(STORE_FILE)).unwrap(), before, "the store stays as it is");
    succeeds(dir, "verify backup", "2 objects at revision 2, 0 changes since revision 2, ");
    succeeds(dir, "restore --from backup --data-dir restored", "2 objects at revision 2, ");

    let store = open(&dir.join("restored")).await;
    let key = Key::new("/registry/core/configmaps/default/b").unwrap();
    let found = store.get(&key, store::At::Latest).await.unwrap().unwrap();
    assert_eq!(&found.entry[..], b"{}");
    assert!(store.stats().revision > Revision(1_000_000_000), "clients of the old store are to list anew");
    store.close().await;
}

#[tokio::test]
async fn what_cannot_be_done_is_said_and_changes_nothing() {
    let (dir, store) = filled().await;
    let (dir, in_use) = (dir.path(), "is in use by another process");
    fails(dir, "verify data", 1, in_use);
    fails(dir, "backup --data-dir data --to backup", 1, in_use);
    assert!(!dir.join("backup").exists());
    store.close().await;

    fails(dir, "verify nowhere", 1, "gantry: cannot open nowhere: No such file");
    fails(dir, "backup --data-dir nowhere --to backup", 1, "gantry: cannot open nowhere");
    fails(dir, "restore --from nowhere --data-dir restored", 1, "gantry: cannot open nowhere");
    assert!(!dir.join("nowhere").exists() && !dir.join("restored").exists());

    std::fs::write(dir.join("note"), "this is no store, whatever its length may be").unwrap();
    fails(dir, "verify note", 1, "is not a Gantry store");
    fails(dir, "restore --from note --data-dir restored", 1, "is not a Gantry store");
    assert!(!dir.join("restored").exists());
    fails(dir, "backup --data-dir data --to note", 1, "note exists already");
    fails(dir, "restore --from data --data-dir data", 1, "exists already");
    fails(dir, "backup --data-dir data --to nowhere/backup", 1, "cannot open nowhere");

    let path = dir.join("data").join(STORE_FILE);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.windows(4).rposition(|window| window == b"/b{}".as_slice()).unwrap();
    bytes[middle] ^= 1;
    std::fs::write(dir.join("damaged"), bytes).unwrap();
    fails(dir, "verify damaged", 1, "damaged");
    fails(dir, "restore --from damaged --data-dir restored", 1, "damaged");
    assert!(!dir.join("restored").exists());
}

#[test]
fn a_line_that_makes_no_sense_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fails(dir.path(), "verify", 2, "<PATH>");
    fails(dir.path(), "backup --data-dir data", 2, "--to");
    fails(dir.path(), "restore --from backup", 2, "--data-dir");
    fails(dir.path(), "mend", 2, "mend");
}
