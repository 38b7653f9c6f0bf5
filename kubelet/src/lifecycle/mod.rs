//! What happens to containers while they live: probes, which say whether they have started, live, and are ready for
//! traffic, and hooks, which run after their start and before their end.
//!
//! - [`probe`]: when a container is probed, and what is said of it then. Pure.
//! - [`Probes`]: carries that out for every pod of the node, on one task.
//! - [`check`]: one look at a container, by a command, HTTP, TCP or gRPC.
//! - [`hooks`]: what a container's `lifecycle` asks for.

mod check;
mod expand;
pub mod hooks;
pub mod probe;
mod probes;

pub use probes::{Look, OnChange, OnLook, Probes};
