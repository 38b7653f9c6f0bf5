//! Nodes that are there for the API only: thousands of them in one process, which run nothing.
//!
//! Towards the API each does what a kubelet does: it registers its Node, renews its Lease, watches the pods that are bound
//! to it, and writes what becomes of them. What is to be done about a pod is decided by a pure function ([`plan`]); a node
//! is one task, which carries it out. All time is tokio's and the [`Clock`]'s, and all randomness comes from a seed, so that
//! a run on paused time in one thread can be repeated.
//!
//! Pods say by annotations what a real container would say by ending ([`RUN_SECONDS`], [`EXIT_CODE`]).

mod addresses;
mod agent;
mod node;
mod options;
pub mod plan;
mod pods;
mod random;
mod room;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use client::clock::Clock;
use kube::Client;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use agent::Agent;
pub use options::{Between, Capacity, Delays, Invalid, MOST_NODES, Options, Valid};
pub use plan::{EXIT_CODE, RUN_SECONDS};

/// How many nodes come up at a time. A node has come up when it is registered and knows its pods.
const COMING_UP: u32 = 64;

/// Has hollow nodes live until `stop` is cancelled. `connect` gives a client with the identity of the node of this name, and
/// `ready` is told when all of them have come up.
///
/// The nodes come up in the order of their numbers, some at a time. When they stop, they leave everything as it is, as a
/// kubelet does that is stopped; the next process with the same options goes on with it.
pub async fn run(
    options: Valid,
    connect: impl Fn(&str) -> Client,
    clock: Clock,
    stop: CancellationToken,
    ready: impl FnOnce(),
) {
    let options = Arc::new(options);
    let coming_up = Arc::new(Semaphore::new(COMING_UP as usize));
    let mut nodes = JoinSet::new();
    for number in options.numbers() {
        let permit = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            permit = Arc::clone(&coming_up).acquire_owned() => permit,
        };
        // The semaphore is never closed.
        let Ok(permit) = permit else { break };
        let client = connect(&options.name(number));
        nodes.spawn(Agent::new(&options, number, client, clock).live(permit));
    }
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        // As many as there are: nobody is coming up any more.
        _ = coming_up.acquire_many(COMING_UP) => ready(),
    }
    stop.cancelled().await;
    nodes.shutdown().await;
}
