//! Names that are DNS names: RFC 1123 labels and subdomains, RFC 1035 labels, wildcards and qualified domains.

use super::{Messages, max_length_error, regex_error};
use crate::field::{Error, ErrorList, Path};

/// Longest DNS label.
pub const DNS_LABEL_MAX_BYTES: usize = 63;
/// Longest DNS subdomain.
pub const DNS_SUBDOMAIN_MAX_BYTES: usize = 253;

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const LABEL_RULE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and \
    must start and end with an alphanumeric character";
const SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const SUBDOMAIN_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' \
    or '.', and must start and end with an alphanumeric character";
const UNDERSCORE: &str = r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*";
const UNDERSCORE_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
    '_', '-' or '.', and must start and end with an alphanumeric character";
const LABEL_1035: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const LABEL_1035_RULE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with \
    an alphabetic character, and end with an alphanumeric character";
const WILDCARD: &str = r"\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const WILDCARD_RULE: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, \
    which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";

/// A label of RFC 1123: `my-name`, `123-abc`.
pub fn dns1123_label(value: &str) -> Messages {
    let mut messages = too_long(value, DNS_LABEL_MAX_BYTES);
    if !is_label(value) {
        if is_subdomain(value) {
            messages.push("must not contain dots".to_owned());
        } else {
            messages.push(regex_error(LABEL_RULE, LABEL, &["my-name", "123-abc"]));
        }
    }
    messages
}

/// A subdomain of RFC 1123: labels joined by dots. Single labels may exceed a label's length.
pub fn dns1123_subdomain(value: &str) -> Messages {
    let mut messages = too_long(value, DNS_SUBDOMAIN_MAX_BYTES);
    if !is_subdomain(value) {
        messages.push(regex_error(SUBDOMAIN_RULE, SUBDOMAIN, &["example.com"]));
    }
    messages
}

/// A subdomain that may contain underscores, as DNS search paths do.
pub fn dns1123_subdomain_with_underscore(value: &str) -> Messages {
    let mut messages = too_long(value, DNS_SUBDOMAIN_MAX_BYTES);
    let is_part = |part: &str| {
        let part = part.strip_prefix('_').unwrap_or(part);
        bounded_by(part, is_alphanumeric, |b| is_alphanumeric(b) || matches!(b, b'-' | b'_'))
    };
    if !value.split('.').all(is_part) {
        messages.push(regex_error(UNDERSCORE_RULE, UNDERSCORE, &["example.com"]));
    }
    messages
}

/// A label of RFC 1035, which starts with a letter: the name of a Service.
pub fn dns1035_label(value: &str) -> Messages {
    let mut messages = too_long(value, DNS_LABEL_MAX_BYTES);
    if !(is_label(value) && value.as_bytes()[0].is_ascii_lowercase()) {
        messages.push(regex_error(LABEL_1035_RULE, LABEL_1035, &["my-name", "abc-123"]));
    }
    messages
}

/// `*.` and a subdomain.
pub fn wildcard_dns1123_subdomain(value: &str) -> Messages {
    let mut messages = too_long(value, DNS_SUBDOMAIN_MAX_BYTES);
    if !value.strip_prefix("*.").is_some_and(is_subdomain) {
        messages.push(regex_error(WILDCARD_RULE, WILDCARD, &["*.example.com"]));
    }
    messages
}

/// A subdomain of at least three segments.
pub fn fully_qualified_name(path: &Path, name: &str) -> ErrorList {
    if name.is_empty() {
        return Error::required(path, "").into();
    }
    let messages = dns1123_subdomain(name);
    if !messages.is_empty() {
        return Error::invalid(path, name, messages.join(",")).into();
    }
    if name.split('.').count() < 3 {
        let detail = "should be a domain with at least three segments separated by dots";
        return Error::invalid(path, name, detail).into();
    }
    ErrorList::new()
}

/// A subdomain of at least two segments, each of which is a label, with or without a final dot.
pub fn fully_qualified_domain_name(path: &Path, name: &str) -> ErrorList {
    if name.is_empty() {
        return Error::required(path, "").into();
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let messages = dns1123_subdomain(name);
    if !messages.is_empty() {
        return Error::invalid(path, name, messages.join(",")).into();
    }
    if !name.contains('.') {
        let detail = "should be a domain with at least two segments separated by dots";
        return Error::invalid(path, name, detail).into();
    }
    for label in name.split('.') {
        let messages = dns1123_label(label);
        if !messages.is_empty() {
            return Error::invalid(path, label, messages.join(",")).into();
        }
    }
    ErrorList::new()
}

/// Whether `value` is not empty, starts and ends with a byte for which `end` holds, and has in between only such for
/// which `inner` holds.
pub(super) fn bounded_by(value: &str, end: impl Fn(u8) -> bool, inner: impl Fn(u8) -> bool) -> bool {
    match value.as_bytes() {
        [] => false,
        [only] => end(*only),
        [first, middle @ .., last] => end(*first) && end(*last) && middle.iter().all(|b| inner(*b)),
    }
}

fn too_long(value: &str, max: usize) -> Messages {
    if value.len() > max { vec![max_length_error(max)] } else { Vec::new() }
}

fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn is_label(value: &str) -> bool {
    bounded_by(value, is_alphanumeric, |b| is_alphanumeric(b) || b == b'-')
}

fn is_subdomain(value: &str) -> bool {
    value.split('.').all(is_label)
}
