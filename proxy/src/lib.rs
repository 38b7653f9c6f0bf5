//! Makes Services reachable on a node, by address and by name.
//!
//! - [`rules`]: what the packet filter is to do, from Services and their endpoints. Pure.
//! - [`driver`]: keeps the kernel's packet filter as the rules have it: when, in what order, and what if it fails.
//! - [`conntrack`]: has the kernel forget connections that lead astray.
//! - [`health`]: tells load balancers whether a node has endpoints, and whether the proxy works; [`metrics`] tells how well.
//! - [`announce`]: addresses of load balancers on this node's links.
//! - [`dns`]: the names of the cluster, and the way to all others.
//! - [`node`]: what the rules have to know of the node; [`addresses`]: what addresses the machine has.
//! - [`run()`]: all of it, at an API server.

pub mod addresses;
pub mod announce;
pub mod conntrack;
pub mod dns;
pub mod driver;
pub mod health;
mod http;
pub mod metrics;
mod netlink;
pub mod node;
pub mod rules;
mod running;

pub use running::{CleanupError, Dns, Options, cleanup, run};
