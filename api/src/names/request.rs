//! Names that travel in requests: of ports, of HTTP headers, and between the slashes of a URL.

use super::message::unless;
use super::{Messages, max_length_error, regex_error};

const HEADER_RULE: &str = "a valid HTTP header must consist of alphanumeric characters or '-'";
/// Longest port name (RFC 6335).
const PORT_NAME_MAX_BYTES: usize = 15;

/// A service name of RFC 6335 in lower case: the name of a port.
pub fn port_name(value: &str) -> Messages {
    let mut messages = Vec::new();
    let mut require = |holds: bool, message: String| {
        if !holds {
            messages.push(message);
        }
    };
    let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    require(value.len() <= PORT_NAME_MAX_BYTES, max_length_error(PORT_NAME_MAX_BYTES));
    require(
        !value.is_empty() && value.bytes().all(is_allowed),
        "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned(),
    );
    require(value.bytes().any(|b| b.is_ascii_lowercase()), "must contain at least one letter (a-z)".to_owned());
    require(!value.contains("--"), "must not contain consecutive hyphens".to_owned());
    require(!(value.starts_with('-') || value.ends_with('-')), "must not begin or end with a hyphen".to_owned());
    messages
}

/// The name of an HTTP header.
pub fn http_header_name(value: &str) -> Messages {
    let valid = !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    unless(valid, || regex_error(HEADER_RULE, "[-A-Za-z0-9]+", &["X-Header-Name"]))
}

/// A name that can stand between the slashes of a URL's path. The empty name passes, and any length.
pub fn path_segment_name(name: &str) -> Messages {
    if matches!(name, "." | "..") {
        return vec![format!("may not be '{name}'")];
    }
    path_segment_prefix(name)
}

/// What a path segment's name can start with.
pub fn path_segment_prefix(name: &str) -> Messages {
    ["/", "%"].iter().filter(|part| name.contains(**part)).map(|part| format!("may not contain '{part}'")).collect()
}
