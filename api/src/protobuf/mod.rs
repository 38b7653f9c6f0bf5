//! `application/vnd.kubernetes.protobuf`: JSON objects to protobuf and back, driven by tables.
//!
//! A body is the magic `k8s\0` followed by a `runtime.Unknown` message `{1 typeMeta {1 apiVersion, 2 kind}, 2 raw,
//! 3 contentEncoding, 4 contentType}`, whose `raw` is the object. What each kind's fields look like on the wire stands in
//! `generated`: every kind of a stable version (`v1`, `v2`) of upstream's groups, their lists, and the kinds of
//! `meta/v1`. Beta groups, custom resources and `Table` have no form here: [`encode()`] answers [`Error::UnknownKind`], and
//! JSON is what a server sends instead.
//!
//! What holds:
//!
//! - [`decode()`] gives the JSON that a Go client would have sent for the same object, less its `null`s: Go writes every
//!   field that is not a pointer, so a zero is dropped exactly where Go's `omitempty` drops it. `replicas: 0` stays,
//!   `hostNetwork: false` goes.
//! - `decode(encode(x)) = x` for every `x` that holds no unknown field, `null`, empty list or map, nor a zero as above.
//! - Unknown JSON fields are left out of protobuf, as Go does; unknown field numbers are passed over.
//! - No input panics. What a decoded object takes is proportional to its input, and JSON nests at most [`MAX_DEPTH`] deep
//!   in both directions, so that what is decoded can be parsed again.

mod decode;
mod embedded;
mod encode;
mod generated;
mod table;
#[cfg(test)]
pub(crate) mod tests;
mod timestamp;
mod type_meta;
mod watch;
mod wire;

pub use decode::decode;
pub use encode::{encode, encode_value};
pub use watch::{decode_watch_event, encode_watch_event, split_frame};

/// The media type of these bodies.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// The first bytes of every body.
pub const MAGIC: &[u8; 4] = b"k8s\0";

/// How many JSON objects and arrays may nest: what `serde_json` parses.
pub const MAX_DEPTH: usize = 127;

/// Whether objects of this kind have a protobuf form. `api_version` is `v1` or `group/version`.
pub fn has_kind(api_version: &str, kind: &str) -> bool {
    table::kind(api_version, kind).is_some()
}

/// Why an object could not be converted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The body does not begin with [`MAGIC`].
    #[error("provided data does not appear to be a protobuf message: expected the prefix \"k8s\\0\"")]
    Prefix,
    /// The object does not say what it is.
    #[error("apiVersion or kind is not set")]
    MissingKind,
    /// No table for this kind.
    #[error("{api_version}, Kind={kind} has no protobuf form")]
    UnknownKind {
        /// `v1` or `group/version`.
        api_version: String,
        /// The object's kind.
        kind: String,
    },
    /// The envelope says that the object is compressed or otherwise encoded.
    #[error("unsupported content encoding {0:?}")]
    ContentEncoding(String),
    /// Malformed protobuf.
    #[error("at byte {offset}: {problem}")]
    Wire {
        /// Offset into the whole input.
        offset: usize,
        /// What is wrong there.
        problem: Problem,
    },
    /// Malformed JSON, or a value that does not fit its field.
    #[error("{}{source}", if path.is_empty() { String::new() } else { format!("{path}: ") })]
    Json {
        /// The field, such as `spec.containers[0].image`; empty for the object itself.
        path: String,
        /// What is wrong, and in bytes also where: line and column.
        source: serde_json::Error,
    },
}

/// What is wrong with protobuf bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A value goes past the end of the input or of the message that holds it.
    #[error("unexpected end")]
    Truncated,
    /// A varint of more than 64 bits.
    #[error("varint overflows")]
    Varint,
    /// A field number of zero, or above 2^29 - 1.
    #[error("illegal field number")]
    FieldNumber,
    /// A wire type that does not fit the field, or is none.
    #[error("wrong wire type")]
    WireType,
    /// A string that is not UTF-8.
    #[error("invalid UTF-8")]
    Utf8,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested too deep")]
    Depth,
    /// A time outside the years 0 to 9999, or nanoseconds outside a second.
    #[error("time out of range")]
    Time,
    /// A double that JSON cannot write: infinite or not a number.
    #[error("not a finite number")]
    Number,
    /// An IntOrString that is neither.
    #[error("impossible type of IntOrString")]
    IntOrString,
    /// JSON inside the message is malformed.
    #[error("malformed JSON")]
    Json,
    /// An object inside the message is of an unknown kind, or its envelope is broken.
    #[error("malformed nested object")]
    Nested,
}
