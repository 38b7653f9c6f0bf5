//! Finds a node for every pod.

// tidy: sorted
pub mod queue;
// tidy: end
