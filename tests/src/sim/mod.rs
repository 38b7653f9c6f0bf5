//! A whole cluster in one thread on simulated time, with faults that follow from a seed.
//!
//! The API server, its engine and the mirror of the store, the controllers, the scheduler and the hollow nodes are what runs
//! elsewhere, too.
//! Simulated are the disk ([`disk`]), the network ([`network`]), the clock (tokio's, paused: it jumps to the next thing that
//! anybody waits for), and who uses the cluster ([`workload`], [`crowd`]). Everything random follows from the seed, so that a run can be
//! had again exactly; the digest of all that was committed shows that it was.

pub mod cluster;
pub mod crowd;
pub mod disk;
pub mod faults;
pub mod guarded;
pub mod invariants;
pub mod network;
pub mod pending;
pub mod placement;
pub mod workload;

use cluster::Cluster;
use placement::Counts;
use workload::Workload;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Every change that was committed, in order: its key, and a digest of its value.
    pub history: Vec<String>,
    /// How many faults were injected.
    pub faults: u64,
    /// What became of pods.
    pub placed: Counts,
}

/// Runs what follows from `seed`.
///
/// # Panics
/// If an invariant does not hold, with what happened.
#[must_use]
pub fn run(seed: u64) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime needs nothing of the system but memory");
    runtime.block_on(async {
        let mut cluster = Cluster::start(seed);
        let mut workload = Workload::new(&cluster, seed);
        workload.prepare().await;
        cluster.schedule(seed);
        workload.run(&cluster).await;
        cluster.heal();
        workload.settle(&cluster).await;
        guarded::play(&cluster.network.client("user", &["system:masters"])).await;
        cluster.end().await
    })
}
