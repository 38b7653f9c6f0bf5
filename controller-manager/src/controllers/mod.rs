//! The controllers, one file or directory each.

// tidy: sorted
pub mod cluster_role_aggregation;
// tidy: end
