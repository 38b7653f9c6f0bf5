//! Makes Services reachable on a node, by address and by name.
//!
//! - [`announce`]: addresses of load balancers on this node's links.
//! - [`rules`]: what the packet filter is to do, from Services and their endpoints. Pure.
//! - [`dns`]: the names of the cluster, and the way to all others.

pub mod announce;
pub mod dns;
pub mod rules;
