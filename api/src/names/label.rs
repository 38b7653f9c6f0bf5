//! Label keys and values, and the prefixed keys and paths that share their form.

use super::dns::bounded_by;
use super::{Messages, dns1123_subdomain, empty_error, max_length_error, regex_error};
use crate::field::{Error, ErrorList, Path};

/// Longest label value, and longest name part of a label key.
pub const LABEL_MAX_BYTES: usize = 63;

const KEY: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const KEY_RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
    alphanumeric character";
const KEY_EXAMPLES: [&str; 3] = ["MyName", "my.name", "123-abc"];
const VALUE: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";
const VALUE_RULE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or \
    '.', and must start and end with an alphanumeric character";
const HTTP_PATH: &str = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+";

/// A label key, which upstream calls a qualified name: `name` or `example.com/name`. Annotation keys, finalizers,
/// resource names and condition types have this form, too.
pub fn label_key(value: &str) -> Messages {
    let mut messages = Vec::new();
    let name = match value.split_once('/') {
        None => value,
        Some((_, rest)) if rest.contains('/') => {
            let pattern = regex_error(KEY_RULE, KEY, &KEY_EXAMPLES);
            messages.push(format!(
                "a valid label key {pattern} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            ));
            return messages;
        }
        Some(("", name)) => {
            messages.push(format!("prefix part {}", empty_error()));
            name
        }
        Some((prefix, name)) => {
            messages.extend(dns1123_subdomain(prefix).into_iter().map(|m| format!("prefix part {m}")));
            name
        }
    };
    if name.is_empty() {
        messages.push(format!("name part {}", empty_error()));
    } else if name.len() > LABEL_MAX_BYTES {
        messages.push(format!("name part {}", max_length_error(LABEL_MAX_BYTES)));
    }
    if !is_label_text(name) {
        messages.push(format!("name part {}", regex_error(KEY_RULE, KEY, &KEY_EXAMPLES)));
    }
    messages
}

/// A label key with a prefix: `example.com/name`.
pub fn prefixed_label_key(value: &str) -> Messages {
    let messages = label_key(value);
    if messages.is_empty() && !value.contains('/') {
        return vec!["must include a prefix (e.g. 'example.com/key')".to_owned()];
    }
    messages
}

/// A label value.
pub fn label_value(value: &str) -> Messages {
    let mut messages = Vec::new();
    if value.len() > LABEL_MAX_BYTES {
        messages.push(max_length_error(LABEL_MAX_BYTES));
    }
    if !(value.is_empty() || is_label_text(value)) {
        messages.push(regex_error(VALUE_RULE, VALUE, &["MyValue", "my_value", "12345"]));
    }
    messages
}

/// A domain and a path, `acme.io/foo/bar`: the name of a signer or a controller.
pub fn domain_prefixed_path(path: &Path, value: &str) -> ErrorList {
    if value.is_empty() {
        return Error::required(path, "").into();
    }
    let (host, rest) = value.split_once('/').unwrap_or((value, ""));
    if host.is_empty() || rest.is_empty() {
        return Error::invalid(path, value, "must be a domain-prefixed path (such as \"acme.io/foo\")").into();
    }
    let mut errors = ErrorList::new();
    errors.push_invalid(path, host, dns1123_subdomain(host));
    if !rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b)) {
        errors.push(Error::invalid(path, rest, regex_error("Invalid path", HTTP_PATH, &[])));
    }
    errors
}

/// A domain and a key: `acme.io/foo`.
pub fn domain_prefixed_key(path: &Path, value: &str) -> ErrorList {
    if value.is_empty() {
        return Error::required(path, "").into();
    }
    let mut errors = ErrorList::new();
    errors.push_invalid(path, value, label_key(value));
    if errors.is_empty() && !value.contains('/') {
        errors.push(Error::invalid(path, value, "must be a domain-prefixed key (such as \"acme.io/foo\")"));
    }
    errors
}

fn is_label_text(value: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    bounded_by(value, |b| b.is_ascii_alphanumeric(), is_inner)
}
