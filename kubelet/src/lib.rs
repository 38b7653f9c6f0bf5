//! A node's agent: it registers a node, keeps its Lease, and makes the machine match the pods that are bound to it.
//!
//! What is to be done about a pod is decided by a pure function, [`pod_plan`]: what the API wants, what the runtime has
//! and what was learned on the way go in, actions and the pod's status come out. The [`agent`] carries the actions out, one
//! pod at a time each, looks again, and repeats until nothing is left to do. Nothing that matters is kept in memory
//! alone: the runtime, the node's files and the API are what an agent that starts again finds everything in.
//!
//! The parts know nothing of each other; the agent puts them together:
//!
//! - [`cri`]: the container runtime, over its socket or in memory; [`runtime`]: a containerd of our own.
//! - [`admission`]: whether the node takes a pod. Pure.
//! - [`containers`]: from a pod's spec to what CRI is asked for. Pure.
//! - [`cgroups`]: where pods' resources are held, and what they use.
//! - [`images`]: pulling, credentials, collection.
//! - [`volumes`]: what is mounted into containers, and the objects whose content that is.
//! - [`lifecycle`]: hooks and probes.
//! - [`logs`]: what containers write.
//! - [`node`]: the Node object, its Lease, and the machine behind it; [`eviction`]: what has to go when it runs out.
//! - [`credentials`]: the certificates by which the node is known.
//! - [`stats`] and [`server`]: what others may ask for.
//!
//! [`hollow`] nodes do all of that towards the API, and run nothing.

pub mod admission;
pub mod agent;
pub mod cgroups;
pub mod containers;
pub mod credentials;
pub mod cri;
pub mod eviction;
pub mod hollow;
pub mod images;
pub mod lifecycle;
pub mod logs;
pub mod node;
pub mod observed;
pub mod paths;
pub mod pod_plan;
mod request;
pub mod runtime;
pub mod server;
pub mod stats;
mod status_patch;
pub mod volumes;
