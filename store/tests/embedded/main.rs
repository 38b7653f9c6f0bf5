//! The embedded backend against disks that fail, processes that are killed, and files that are not what they should be.

#![allow(clippy::unwrap_used, reason = "a test's own helpers may panic as the test may")]

mod behaviour;
mod faulty_disk;
mod files;
mod kill;
mod sink;
mod sweep;

use std::sync::Arc;

use bytes::Bytes;
use store::{Backend, Disk, Durability, Embedded, EmbeddedOptions, Expect, Key, Op, Revision, Write, WriteError};

use sink::TestSink;

fn key(path: &str) -> Key {
    Key::new(path).unwrap()
}

fn put(path: &str, expect: Expect, value: impl Into<Bytes>) -> Write {
    Write { key: key(path), expect, op: Op::Put(value.into()), durability: Durability::Flushed }
}

fn delete(path: &str, at: Revision) -> Write {
    Write { key: key(path), expect: Expect::At(at), op: Op::Delete, durability: Durability::Flushed }
}

fn behind(write: Write) -> Write {
    Write { durability: Durability::Behind, ..write }
}

/// Options under which nothing happens by the clock, unless a test is about that.
fn options() -> EmbeddedOptions {
    EmbeddedOptions {
        behind_delay: std::time::Duration::from_secs(3600),
        retry_pause: std::time::Duration::ZERO,
        ..EmbeddedOptions::default()
    }
}

/// A store on `disk`, started with a sink of its own.
async fn start(disk: impl Disk) -> (Embedded, Arc<TestSink>) {
    start_with(disk, options()).await
}

async fn start_with(disk: impl Disk, options: EmbeddedOptions) -> (Embedded, Arc<TestSink>) {
    let store = Embedded::open_disk(Arc::new(disk), options).unwrap();
    let sink = Arc::new(TestSink::default());
    store.start(sink.clone()).await.unwrap();
    (store, sink)
}

fn formatted() -> faulty_disk::FaultyDisk {
    let disk = faulty_disk::FaultyDisk::default();
    Embedded::format(Arc::new(disk.clone())).unwrap();
    disk
}

/// Commits `write`, which has to succeed.
async fn commit(store: &Embedded, write: Write) -> Revision {
    store.commit(write).await.unwrap()
}

fn conflict(path: &str, current: Option<Revision>) -> WriteError {
    WriteError::Conflict { key: key(path), current }
}
