//! The Node object, its Lease, and the machine behind it.

pub mod addresses;
pub(crate) mod keep;
pub(crate) mod lease;
pub mod logind;
pub mod machine;
pub mod object;
pub(crate) mod report;
pub mod shutdown;
