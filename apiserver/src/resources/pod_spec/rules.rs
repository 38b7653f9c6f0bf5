//! The rules that many fields share: enumerations, names, numbers and paths of files.

use api::field::{BadValue, Error, ErrorList, Path};
use api::names;
use api::quantity::Quantity;

/// What upstream says of a number below zero.
pub(in crate::resources) const NEGATIVE: &str = "must be greater than or equal to 0";
/// What upstream says of a number that is not above zero.
pub(in crate::resources) const NOT_POSITIVE: &str = "must be greater than zero";

const FILE_MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
const MAX_FILE_MODE: i32 = 0o777;

/// That the text is there.
pub(in crate::resources) fn present(value: &str, path: &Path) -> Option<Error> {
    value.is_empty().then(|| Error::required(path, ""))
}

/// That the text is one of `supported`.
pub(in crate::resources) fn supported(value: &str, supported: &[&str], path: &Path) -> Option<Error> {
    (!supported.contains(&value)).then(|| Error::not_supported(path, BadValue::json(value), supported))
}

/// That the text is there and one of `choices`.
pub(in crate::resources) fn one_of(value: &str, choices: &[&str], path: &Path) -> Option<Error> {
    present(value, path).or_else(|| supported(value, choices, path))
}

/// The messages of a validator of names, as errors of the field.
pub(in crate::resources) fn named(value: &str, messages: Vec<String>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.push_invalid(path, value, messages);
    errors
}

/// That the text is a DNS label.
pub(in crate::resources) fn dns_label(value: &str, path: &Path) -> ErrorList {
    named(value, names::dns1123_label(value), path)
}

/// That the text is a DNS subdomain, as most objects' names are.
pub(in crate::resources) fn dns_subdomain(value: &str, path: &Path) -> ErrorList {
    named(value, names::dns1123_subdomain(value), path)
}

/// That the text is a label's key, which upstream calls a qualified name.
pub(in crate::resources) fn qualified_name(value: &str, path: &Path) -> ErrorList {
    named(value, names::label_key(value), path)
}

/// That the number is not negative.
pub(in crate::resources) fn non_negative(value: i64, path: &Path) -> Option<Error> {
    (value < 0).then(|| Error::invalid(path, value, NEGATIVE))
}

/// That the quantity is not negative, as upstream says it of what is not an amount of any particular resource.
pub(in crate::resources) fn basic_quantity(quantity: &Quantity, path: &Path) -> Option<Error> {
    let value = quantity.value();
    (value < 0).then(|| Error::invalid(path, value, "must be a valid resource quantity"))
}

/// That the number, where there is one, is a file's permission bits.
pub(in crate::resources) fn file_mode(mode: Option<i32>, path: &Path) -> Option<Error> {
    let mode = mode.filter(|mode| !(0..=MAX_FILE_MODE).contains(mode))?;
    Some(Error::invalid(path, mode, FILE_MODE))
}

/// That no part of the path is `..`.
pub(in crate::resources) fn no_backsteps(value: &str, path: &Path) -> Option<Error> {
    value.split('/').any(|part| part == "..").then(|| Error::invalid(path, value, "must not contain '..'"))
}

/// That the path is relative and stays below where it starts.
pub(in crate::resources) fn descending_path(value: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if value.starts_with('/') {
        errors.push(Error::invalid(path, value, "must be a relative path"));
    }
    errors.extend(no_backsteps(value, path));
    errors
}

/// That the path is relative, stays below where it starts, and is none of the names that the kubelet keeps for itself.
pub(in crate::resources) fn local_path(value: &str, path: &Path) -> ErrorList {
    let mut errors = descending_path(value, path);
    if value.starts_with("..") && !value.starts_with("../") {
        errors.push(Error::invalid(path, value, "must not start with '..'"));
    }
    errors
}
