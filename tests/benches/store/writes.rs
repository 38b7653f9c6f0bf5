//! Durable writes of 1 KB: 1, 16, 64 and 256 writers, beside raw fsync and etcd on the same disk in the same run.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use store::{Durability, EtcdBackend, EtcdOptions, Store};
use tests::etcd::Etcd;
use tests::objects::{Opaque, pod_key, value};

const SIZE: usize = 1024;
const WRITERS: [usize; 4] = [1, 16, 64, 256];

pub(crate) fn run(criterion: &mut Criterion) {
    let runtime = crate::runtime();
    let mut group = criterion.benchmark_group("writes");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(4));

    let directory = tempfile::tempdir().expect("a directory");
    group.bench_function("fsync", |bencher| {
        let mut file = File::create(directory.path().join("raw")).expect("a file");
        bencher.iter(|| {
            file.write_all(&[0; SIZE]).expect("written");
            file.sync_data().expect("synced");
        });
    });

    let next = Arc::new(AtomicUsize::new(0));
    let embedded = runtime.block_on(crate::embedded(directory.path()));
    let etcd_directory = tempfile::tempdir().expect("a directory");
    let etcd = Etcd::start(etcd_directory.path()).expect("etcd starts: `make deps` installs it");
    let backend = EtcdBackend::new(EtcdOptions::new([etcd.endpoint.clone()])).expect("valid options");
    let over_etcd = runtime.block_on(crate::open(Arc::new(backend)));
    for (name, store) in [("embedded", &embedded), ("etcd", &over_etcd)] {
        for writers in WRITERS {
            group.bench_function(format!("{name}/{writers}"), |bencher| {
                bencher.iter_custom(|writes| {
                    runtime.block_on(write(
                        store.clone(),
                        Arc::clone(&next),
                        writers,
                        usize::try_from(writes).unwrap_or(1),
                    ))
                });
            });
        }
    }
    group.finish();
    runtime.block_on(async {
        embedded.close().await;
        over_etcd.close().await;
    });
}

/// Has `writers` tasks create `writes` objects together, and returns how long it took.
async fn write(store: Store<Opaque>, next: Arc<AtomicUsize>, writers: usize, writes: usize) -> Duration {
    let begin = Instant::now();
    let end = next.fetch_add(writes, Ordering::Relaxed) + writes;
    let first = end - writes;
    let tasks = (0..writers).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for number in (first + writer..end).step_by(writers) {
                store.create(pod_key(number), value(number, SIZE), Durability::Flushed).await.expect("created");
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("the writer finishes");
    }
    begin.elapsed()
}
