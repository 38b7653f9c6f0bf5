//! Decisions of the scheduler, held against a reference that is slow and obviously right.
//!
//! The reference works on plain objects: it knows nothing of snapshots, keeps nothing and counts everything anew for each
//! question. Each plugin is written down as upstream defines it. Where upstream does not do what it says, the reference
//! says so in its doc. `PROPTEST_CASES` raises the number of clusters that are tried.

#![allow(clippy::unwrap_used, reason = "a test's own helpers may panic as the test may")]

// tidy: sorted
mod affinity;
mod cluster;
mod decision;
mod events;
mod generate;
mod nodes;
mod pair;
mod preemption;
mod properties;
mod real;
mod resources;
mod spread;
mod steps;
// tidy: end
