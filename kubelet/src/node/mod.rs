//! The Node object, its Lease, and the machine behind it.
