//! Makes Services reachable on a node, by address and by name.
//!
//! - [`rules`]: what the packet filter is to do, from Services and their endpoints. Pure.

pub mod rules;
