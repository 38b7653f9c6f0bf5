//! Memory: what an object costs beside its own bytes.

use criterion::Criterion;

const COUNT: usize = 150_000;
const SIZE: usize = 4096;

/// Prints the figures; there is nothing to time.
#[allow(clippy::print_stdout, reason = "a benchmark's figures go to standard output")]
pub(crate) fn run(_: &mut Criterion) {
    let runtime = crate::runtime();
    let directory = tempfile::tempdir().expect("a directory");
    runtime.block_on(async {
        let store = crate::embedded(directory.path()).await;
        crate::fill(&store, COUNT, SIZE, 30).await;
        store.close().await;
    });
    let before = resident_bytes();
    let store = runtime.block_on(crate::embedded(directory.path()));
    let grown = resident_bytes().saturating_sub(before);
    runtime.block_on(store.close());
    println!(
        "memory: {COUNT} objects of {SIZE} bytes: {} MiB resident, {} bytes an object beside its value",
        grown >> 20,
        (grown / COUNT).saturating_sub(SIZE)
    );
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = status.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * 4096
}
