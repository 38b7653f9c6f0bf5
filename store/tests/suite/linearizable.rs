//! Concurrent writers and readers: their results must be explained by one order of all operations.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use store::{At, Durability, Revision, Store, WriteError};

use super::{Fixture, Text, key, open};

async fn increment(store: &Store<Text>, path: &str) -> (u64, Revision) {
    loop {
        let stored = store.get(&key(path), At::Latest).await.expect("read").expect("there");
        let next = stored.entry.text.parse::<u64>().expect("a number") + 1;
        let value = Bytes::from(next.to_string());
        match store.update(key(path), stored.revision, value, Durability::Flushed).await {
            Ok(updated) => return (next, updated.revision),
            Err(WriteError::Conflict { current, .. }) => assert!(current > Some(stored.revision)),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Many writers increment few counters by compare-and-swap. Each acknowledged increment must have a value and a revision
/// of its own, in the same order, which is only so if reads and writes are linearizable for each key.
pub(crate) async fn concurrent_increments_lose_nothing<F: Fixture>() {
    const WRITERS: usize = 8;
    const INCREMENTS: usize = 25;
    let fixture = F::create().await;
    let store = open(&fixture).await;
    for counter in ["/registry/x", "/registry/y"] {
        store.create(key(counter), "0".into(), Durability::Flushed).await.expect("created");
    }
    let writers = (0..WRITERS).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            let path = if writer % 2 == 0 { "/registry/x" } else { "/registry/y" };
            let mut seen = Vec::new();
            for _ in 0..INCREMENTS {
                seen.push((path, increment(&store, path).await));
            }
            assert!(seen.is_sorted_by(|(_, one), (_, two)| one.0 < two.0 && one.1 < two.1), "in its own order");
            seen
        })
    });
    let mut all = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        all.extend(writer.await.expect("the writer finishes"));
    }
    for counter in ["/registry/x", "/registry/y"] {
        let mut results: Vec<_> = all.iter().filter(|(path, _)| *path == counter).map(|(_, result)| *result).collect();
        results.sort_unstable();
        assert!(results.is_sorted_by(|one, two| one.0 + 1 == two.0 && one.1 < two.1), "{counter}: {results:?}");
        let last = store.get(&key(counter), At::Latest).await.expect("read").expect("there");
        assert_eq!(last.entry.text.parse(), Ok(results.len() as u64));
    }
    store.close().await;
}

/// A reader that starts after a write was acknowledged sees it, and no reader sees an older state than before.
pub(crate) async fn reads_never_go_back<F: Fixture>() {
    let fixture = F::create().await;
    let store = open(&fixture).await;
    store.create(key("/registry/x"), "0".into(), Durability::Flushed).await.expect("created");
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (store, done) = (store.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut newest = Revision::ZERO;
                while !done.load(Ordering::SeqCst) {
                    let read = store.get(&key("/registry/x"), At::Latest).await.expect("read").expect("there");
                    assert!(read.revision >= newest, "{} after {newest}", read.revision);
                    newest = read.revision;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for expected in 1..=50 {
        let (value, revision) = increment(&store, "/registry/x").await;
        assert_eq!(value, expected);
        let read = store.get(&key("/registry/x"), At::Latest).await.expect("read").expect("there");
        assert_eq!((read.revision, read.entry.text.as_str()), (revision, &*expected.to_string()));
    }
    done.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.await.expect("the reader saw no older state");
    }
    store.close().await;
}
