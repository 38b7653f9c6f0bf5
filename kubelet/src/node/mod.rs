//! The Node object, its Lease, and the machine behind it.

pub(crate) mod lease;
pub(crate) mod report;
