//! Gets, lists of 10,000 and of 150,000, and reopening with 150,000 objects of 4 KB.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use store::{At, ListOptions, Prefix, Store};
use tests::objects::{Opaque, pod_key};

pub(crate) fn run(criterion: &mut Criterion) {
    let runtime = crate::runtime();
    let mut group = criterion.benchmark_group("reads");
    group.sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    let pods = Prefix::new("/registry/core/pods/").expect("a prefix");
    for count in [10_000, 150_000] {
        let directory = tempfile::tempdir().expect("a directory");
        let store = runtime.block_on(crate::embedded(directory.path()));
        runtime.block_on(crate::fill(&store, count, 4096, 30));
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("get/{count}"), |bencher| {
            let key = pod_key(count / 2);
            bencher.iter(|| runtime.block_on(async { black_box(store.get(&key, At::Latest).await.expect("read")) }));
        });
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("list/{count}"), |bencher| {
            bencher.iter(|| runtime.block_on(list(&store, &pods)));
        });
        group.bench_function(format!("iterate/{count}"), |bencher| {
            bencher.iter(|| runtime.block_on(iterate(&store, &pods)));
        });
        runtime.block_on(store.close());
        drop(store);
        group.sample_size(10);
        group.bench_function(format!("reopen/{count}"), |bencher| {
            bencher.iter(|| {
                runtime.block_on(async {
                    let store = crate::embedded(directory.path()).await;
                    assert_eq!(store.stats().keys, count);
                    store.close().await;
                });
            });
        });
    }
    group.finish();
}

/// What a list costs that is handed out.
async fn list(store: &Store<Opaque>, pods: &Prefix) {
    black_box(store.list(pods, ListOptions::default()).await.expect("listed"));
}

/// What looking at every entry of a snapshot costs.
async fn iterate(store: &Store<Opaque>, pods: &Prefix) {
    let snapshot = store.snapshot(pods, At::Latest).await.expect("a snapshot");
    black_box(snapshot.range(pods, None).map(|(_, stored)| stored.entry.len()).sum::<usize>());
}
