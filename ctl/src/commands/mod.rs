//! The verbs, one file each: arguments, and one function.

// tidy: sorted
pub(crate) mod api_resources;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod patch;
// tidy: end
