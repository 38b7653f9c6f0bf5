//! Two stores over one etcd, as two API servers have them.

use std::sync::Arc;

use bytes::Bytes;
use store::{
    At, Codec, Durability, EtcdBackend, EventKind, IndexValue, Key, Prefix, Revision, Scope, Store, StoreOptions,
    WatchOptions,
};
use tokio::time::timeout;

use crate::harness::backend::key;
use crate::harness::{Cluster, SOON};

/// Entries are the bytes as stored.
struct Plain;

impl Codec for Plain {
    type Entry = Bytes;

    fn decode(&self, _: &Key, _: Revision, value: Bytes) -> Bytes {
        value
    }

    fn tombstone(&self, _: &Key, _: Revision, last: &Bytes) -> Bytes {
        last.clone()
    }

    fn index_values(&self, _: &Key, _: &Bytes, _: &mut dyn FnMut(IndexValue<'_>)) {}

    fn weight(&self, entry: &Bytes) -> usize {
        entry.len()
    }
}

#[tokio::test]
async fn one_server_reads_and_watches_what_the_other_writes() {
    let cluster = Cluster::single().await;
    let open = async || {
        let backend = Arc::new(EtcdBackend::new(cluster.options()).unwrap());
        Store::open(backend, Plain, StoreOptions::default()).await.unwrap()
    };
    let (one, two) = (open().await, open().await);
    let from = two.stats().revision;
    let scope = Scope::Prefix(Prefix::new("/registry/").unwrap());
    let mut watch = two.watch(WatchOptions::new(scope, from)).unwrap();
    let a = key("a");
    let created = one.create(a.clone(), "1".into(), Durability::Flushed).await.unwrap();
    let updated = one.update(a.clone(), created.revision, "2".into(), Durability::Flushed).await.unwrap();
    let read = two.get(&a, At::Latest).await.unwrap().unwrap();
    assert_eq!((read.revision, &**read.entry), (updated.revision, &b"2"[..]));
    // A program that is none of ours moves etcd's revision, and reads complete all the same.
    cluster.client(0).await.put("/elsewhere/a", "1", None).await.unwrap();
    assert!(two.get(&a, At::Latest).await.unwrap().is_some());

    let mut events = Vec::new();
    while events.len() < 2 {
        timeout(SOON, watch.next(&mut events)).await.unwrap().unwrap();
    }
    let seen: Vec<_> = events.iter().map(|event| (event.kind, event.revision)).collect();
    assert_eq!(seen, [(EventKind::Created, created.revision), (EventKind::Updated, updated.revision)]);
    one.close().await;
    two.close().await;
}
