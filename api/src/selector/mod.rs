//! Which objects a request, a controller or a pod means: label, field and node selectors.
//!
//! A selector that was parsed is valid, and displaying it and parsing that again gives the same selector.

pub mod field;
pub mod label;
pub mod node;

/// Longest selector text that is parsed. Upstream is bound by what its HTTP server accepts as a request line.
pub const MAX_TEXT_BYTES: usize = 1 << 20;
