//! Identifiers: of C, of environment variables, and of the entries of a ConfigMap or Secret.

use super::message::unless;
use super::{DNS_SUBDOMAIN_MAX_BYTES, Messages, empty_error, max_length_error, regex_error};

const ENV_RULE: &str = "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or \
    '.', and must not start with a digit";
const RELAXED_ENV_RULE: &str =
    "a valid environment variable name must consist only of printable ASCII characters other than '='";
const C_IDENTIFIER_RULE: &str = "a valid C identifier must start with alphabetic character or '_', followed by a \
    string of alphanumeric characters or '_'";
const CONFIG_KEY_RULE: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";

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

fn directory_prefix(value: &str) -> Option<String> {
    match value {
        "." | ".." => Some(format!("must not be '{value}'")),
        _ if value.starts_with("..") => Some("must not start with '..'".to_owned()),
        _ => None,
    }
}
