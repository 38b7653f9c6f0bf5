//! Chooses a node for each pod, with the framework points, plugins and words of upstream's scheduler.
//!
//! It is usable without a cluster: a [`snapshot::Snapshot`] is kept by event, and decisions on it are pure.

// tidy: sorted
pub mod config;
pub mod cycle;
pub mod driver;
pub mod engine;
pub mod plugins;
pub mod queue;
pub mod snapshot;
// tidy: end

#[cfg(test)]
mod testing;
