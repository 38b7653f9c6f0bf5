//! A node's agent: it registers a node, keeps its Lease, and does with the pods that are bound to it what they say.
//!
//! [`hollow`] nodes do all of that towards the API, and run nothing.

pub mod hollow;
