//! A scheduler at work on the loads of upstream's `scheduler_perf`, for benchmarks and for tests.
//!
//! An API server and a scheduler run in one process, as they do in upstream's. Nodes are objects that nobody stands behind,
//! so that a pod is done with when it is bound.

mod bindings;
mod in_turn;
mod load;
mod objects;
mod run;
mod scheduler;
mod workloads;

pub use in_turn::in_turn;
pub use run::{Outcome, run};
pub use scheduler::{Start, scheduler};
pub use workloads::{Share, Workload, all};
