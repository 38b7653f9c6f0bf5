//! Fan-out to 100, 1,000 and 5,000 watchers, of which all want each change, or one.
//!
//! An element is one event handed to one watcher. The memory backend commits, so that the figures are those of the hub.

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use store::{Durability, MemoryBackend, Prefix, Scope, Select, Store, Watch, WatchOptions};
use tests::objects::{NODE, Opaque, pod_key, value};
use tokio::task::JoinHandle;

const WATCHERS: [usize; 3] = [100, 1_000, 5_000];

pub(crate) fn run(criterion: &mut Criterion) {
    let runtime = crate::runtime();
    let mut group = criterion.benchmark_group("fan_out");
    group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    for watchers in WATCHERS {
        group.throughput(Throughput::Elements(watchers as u64));
        group.bench_function(format!("all/{watchers}"), |bencher| {
            bencher.iter_custom(|changes| {
                let changes = usize::try_from(changes).unwrap_or(1);
                runtime.block_on(deliver(watchers, changes, false))
            });
        });
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("one/{watchers}"), |bencher| {
            bencher.iter_custom(|changes| {
                let changes = usize::try_from(changes).unwrap_or(1);
                runtime.block_on(deliver(watchers, changes, true))
            });
        });
    }
    group.finish();
}

/// Makes `changes` changes, each of which all watchers want or, if `indexed`, the watcher of one node; returns how long
/// it took until all were taken.
async fn deliver(watchers: usize, changes: usize, indexed: bool) -> Duration {
    let store = crate::open(Arc::new(MemoryBackend::new())).await;
    let pods = Prefix::new("/registry/core/pods/").expect("a prefix");
    let mut tasks = Vec::new();
    for node in 0..watchers {
        let select = if indexed { Select::Value { index: NODE, value: format!("node-{node}") } } else { Select::All };
        let scope = Scope::Prefix(pods.clone());
        let options = WatchOptions { select, queue: usize::MAX, ..WatchOptions::new(scope, store.stats().revision) };
        let wanted = if indexed { changes / watchers + usize::from(node < changes % watchers) } else { changes };
        tasks.push(take(store.watch(options).expect("a watch"), wanted));
    }
    let begin = Instant::now();
    write(&store, changes, watchers).await;
    for task in tasks {
        task.await.expect("the watcher gets everything");
    }
    begin.elapsed()
}

fn take(mut watch: Watch<bytes::Bytes>, wanted: usize) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut batch = Vec::new();
        let mut taken = 0;
        while taken < wanted {
            watch.next(&mut batch).await.expect("the watch goes on");
            taken += batch.len();
        }
    })
}

async fn write(store: &Store<Opaque>, changes: usize, watchers: usize) {
    for number in 0..changes {
        let value = value(number % watchers, 1024);
        store.create(pod_key(number), value, Durability::Flushed).await.expect("created");
        // Watchers share these two threads with the writer.
        tokio::task::yield_now().await;
    }
}
