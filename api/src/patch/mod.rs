//! The patches an API server accepts: JSON patch, JSON merge patch and strategic merge patch.
//!
//! Each is a pure function of a document and a patch that either answers the patched document or an error that says
//! what the server answers, in upstream's words. A document that fails to patch is not changed.

mod go_format;
pub mod json;
pub mod merge;
pub mod strategic;

use serde_json::Value;

/// How deep a document or a patch may be nested, which bounds every recursion here. It is the limit of `serde_json`'s
/// reader, so that what is patched can be read again; upstream's is 10,000.
pub const MAX_DEPTH: usize = 128;

/// What upstream's reader says of a document that is nested too deep.
const TOO_DEEP: &str = "exceeded max depth";

/// Whether a value is nested deeper than `limit` levels of objects and lists.
pub(crate) fn deeper_than(value: &Value, limit: usize) -> bool {
    let below = |value: &Value| match limit.checked_sub(1) {
        Some(limit) => deeper_than(value, limit),
        None => true,
    };
    match value {
        Value::Object(map) => limit == 0 || map.values().any(below),
        Value::Array(list) => limit == 0 || list.iter().any(below),
        _ => false,
    }
}
