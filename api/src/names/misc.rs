//! Names that are neither DNS names nor labels, and numbers with a range.

use super::{DNS_SUBDOMAIN_MAX_BYTES, Messages, empty_error, inclusive_range_error, max_length_error, regex_error};

const ENV_RULE: &str = "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or \
    '.', and must not start with a digit";
const RELAXED_ENV_RULE: &str =
    "a valid environment variable name must consist only of printable ASCII characters other than '='";
const C_IDENTIFIER_RULE: &str = "a valid C identifier must start with alphabetic character or '_', followed by a \
    string of alphanumeric characters or '_'";
const CONFIG_KEY_RULE: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
const HEADER_RULE: &str = "a valid HTTP header must consist of alphanumeric characters or '-'";
const PERCENT_RULE: &str = "a valid percent string must be a numeric string followed by an ending '%'";

/// Longest port name (RFC 6335).
const PORT_NAME_MAX_BYTES: usize = 15;
/// Greatest user and group ID.
const MAX_ID: i64 = 0xffff_ffff;

/// An identifier of C, of any length.
pub fn c_identifier(value: &str) -> Messages {
    let is_start = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    let valid = value.bytes().next().is_some_and(is_start) && value.bytes().all(|b| is_start(b) || b.is_ascii_digit());
    unless(valid, || regex_error(C_IDENTIFIER_RULE, "[A-Za-z_][A-Za-z0-9_]*", &["my_name", "MY_NAME", "MyName"]))
}

/// An environment variable's name by the strict rule that held before v1.34.
pub fn env_var_name(value: &str) -> Messages {
    let is_start = |b: u8| b.is_ascii_alphabetic() || matches!(b, b'-' | b'.' | b'_');
    let valid = value.bytes().next().is_some_and(is_start) && value.bytes().all(|b| is_start(b) || b.is_ascii_digit());
    let examples = ["my.env-name", "MY_ENV.NAME", "MyEnvName1"];
    let mut messages = unless(valid, || regex_error(ENV_RULE, "[-._a-zA-Z][-._a-zA-Z0-9]*", &examples));
    messages.extend(directory_prefix(value));
    messages
}

/// An environment variable's name: printable ASCII without `=`.
pub fn relaxed_env_var_name(value: &str) -> Messages {
    if value.is_empty() {
        return vec![format!("environment variable name {}", empty_error())];
    }
    unless(value.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'='), || RELAXED_ENV_RULE.to_owned())
}

/// A key of a ConfigMap's or Secret's data, which may become a file name.
pub fn config_map_key(value: &str) -> Messages {
    let mut messages = Vec::new();
    if value.len() > DNS_SUBDOMAIN_MAX_BYTES {
        messages.push(max_length_error(DNS_SUBDOMAIN_MAX_BYTES));
    }
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) {
        messages.push(regex_error(CONFIG_KEY_RULE, "[-._a-zA-Z0-9]+", &["key.name", "KEY_NAME", "key-name"]));
    }
    messages.extend(directory_prefix(value));
    messages
}

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

/// A port number, 1 to 65535.
pub fn port_number(port: i64) -> Messages {
    in_range(port, 1, 65535)
}

/// A number in `low..=high`.
pub fn in_range(value: i64, low: i64, high: i64) -> Messages {
    unless((low..=high).contains(&value), || inclusive_range_error(low, high))
}

/// A Unix user ID.
pub fn user_id(uid: i64) -> Messages {
    in_range(uid, 0, MAX_ID)
}

/// A Unix group ID.
pub fn group_id(gid: i64) -> Messages {
    in_range(gid, 0, MAX_ID)
}

/// A percentage: digits and `%`.
pub fn percent(value: &str) -> Messages {
    let digits = value.strip_suffix('%').unwrap_or_default();
    let valid = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    unless(valid, || regex_error(PERCENT_RULE, "[0-9]+%", &["1%", "93%"]))
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

fn directory_prefix(value: &str) -> Option<String> {
    match value {
        "." | ".." => Some(format!("must not be '{value}'")),
        _ if value.starts_with("..") => Some("must not start with '..'".to_owned()),
        _ => None,
    }
}

fn unless(valid: bool, message: impl FnOnce() -> String) -> Messages {
    if valid { Vec::new() } else { vec![message()] }
}
