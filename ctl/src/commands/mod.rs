//! The verbs, one file each: arguments, and one function.

// tidy: sorted
pub(crate) mod api_resources;
pub(crate) mod apply;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod diff;
pub(crate) mod edit;
pub(crate) mod get;
pub(crate) mod last_applied;
pub(crate) mod patch;
pub(crate) mod replace;
pub(crate) mod wait;
// tidy: end
