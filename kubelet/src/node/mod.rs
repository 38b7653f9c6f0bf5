//! The Node object, its Lease, and the machine behind it.

pub(crate) mod keep;
pub(crate) mod lease;
pub mod object;
pub(crate) mod report;
