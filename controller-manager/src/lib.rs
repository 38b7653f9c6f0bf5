//! Converges objects: every controller watches some objects and writes others, until the cluster is as they say.
//!
//! A controller decides and does nothing: from what its caches show it makes a [`Plan`](plan::Plan), a value. The
//! [`driver`] carries plans out, and owns what all controllers would repeat: queues, backoff, concurrency, preconditions,
//! events, and the wait until the caches show what was written.

pub mod certify;
pub mod claims;
pub mod controller;
pub mod controllers;
pub mod driver;
pub mod plan;
pub mod pods;
#[cfg(test)]
mod testing;
