//! The etcd backend against a real etcd, of one member and of three.

// The lint's leave for tests does not reach their helpers.
#![allow(clippy::unwrap_used)]

mod cluster;
mod following;
mod harness;
mod stores;
mod writing;
