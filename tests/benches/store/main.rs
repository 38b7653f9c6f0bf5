//! The store beside its peers: durable writes beside raw fsync and etcd on the same disk, reads, fan-out, reopening.
//!
//! `cargo bench -p tests --bench store` prints criterion's figures; a filter such as `-- writes` runs a part. Figures of
//! memory are printed at the end of `memory`.

mod fan_out;
mod memory;
mod reads;
mod writes;

use std::sync::Arc;

use criterion::{criterion_group, criterion_main};
use store::{Backend, Durability, Embedded, EmbeddedOptions, Store, StoreOptions};
use tests::objects::{Opaque, pod_key, value};
use tokio::runtime::Runtime;

/// The runtime that a server on this machine would have.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// Opens an embedded store in `directory`.
async fn embedded(directory: &std::path::Path) -> Store<Opaque> {
    let backend = Embedded::open(directory, EmbeddedOptions::default()).expect("the store opens");
    open(Arc::new(backend)).await
}

async fn open(backend: Arc<dyn Backend>) -> Store<Opaque> {
    Store::open(backend, Opaque, StoreOptions::default()).await.expect("the store opens")
}

/// Stores `count` pods of `size` bytes each, `per_node` to a node.
async fn fill(store: &Store<Opaque>, count: usize, size: usize, per_node: usize) {
    let writers = (0..64).map(|writer| async move {
        for number in (writer..count).step_by(64) {
            let value = value(number / per_node, size);
            store.create(pod_key(number), value, Durability::Flushed).await.expect("created");
        }
    });
    futures::future::join_all(writers).await;
}

criterion_group!(benches, writes::run, reads::run, fan_out::run, memory::run);
criterion_main!(benches);
