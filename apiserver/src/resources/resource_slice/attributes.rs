//! What is wrong with an attribute of a device: one value, of one type.

use api::field::{BadValue, Error, ErrorList, Path};
use k8s_openapi::api::resource::v1::DeviceAttribute;

const MAX_VALUE_BYTES: usize = 64;

/// How many values there are in it.
pub(super) fn value_count(attribute: &DeviceAttribute) -> usize {
    let lists = [
        attribute.bools.as_ref().map_or(0, Vec::len),
        attribute.ints.as_ref().map_or(0, Vec::len),
        attribute.strings.as_ref().map_or(0, Vec::len),
        attribute.versions.as_ref().map_or(0, Vec::len),
    ];
    lists.iter().sum::<usize>().max(1)
}

pub(super) fn validate(attribute: &DeviceAttribute, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(text) = &attribute.string {
        errors.extend(too_long(text, &path.child("string")));
    }
    if let Some(version) = &attribute.version {
        let path = path.child("version");
        if !is_semantic_version(version) {
            errors.push(Error::invalid(&path, version, "must be a string compatible with semver.org spec 2.0.0"));
        }
        errors.extend(too_long(version, &path));
    }
    let given = [
        attribute.bool.is_some(),
        attribute.int.is_some(),
        attribute.string.is_some(),
        attribute.version.is_some(),
        attribute.bools.is_some(),
        attribute.ints.is_some(),
        attribute.strings.is_some(),
        attribute.versions.is_some(),
    ];
    let rule = "exactly one value must be specified";
    match given.iter().filter(|given| **given).count() {
        0 => errors.push(Error::invalid(path, "", rule)),
        1 => {}
        _ => errors.push(Error::invalid(path, BadValue::json(attribute), rule)),
    }
    errors
}

fn too_long(text: &str, path: &Path) -> Option<Error> {
    (text.len() > MAX_VALUE_BYTES).then(|| Error::too_long(path, MAX_VALUE_BYTES))
}

/// Whether the text is a version of semver.org's form, which leaves no room for leading zeros.
fn is_semantic_version(text: &str) -> bool {
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    let (core, pre_release) = text.split_once('-').map_or((text, None), |(core, rest)| (core, Some(rest)));
    let is_word =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = |part: &str| is_word(part) && is_digits(part) && (part == "0" || !part.starts_with('0'));
    core.split('.').count() == 3
        && core.split('.').all(is_number)
        && pre_release
            .is_none_or(|rest| rest.split('.').all(|part| is_number(part) || (is_word(part) && !is_digits(part))))
        && build.is_none_or(|rest| rest.split('.').all(is_word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (text, expected) in [
            ("1.2.3", true),
            ("0.0.0", true),
            ("1.2.3-alpha.1", true),
            ("1.2.3-0a.b-c", true),
            ("1.2.3+20240305.x", true),
            ("1.2.3-rc+1-2", true),
            ("", false),
            ("1.2", false),
            ("1.2.3.4", false),
            ("01.2.3", false),
            ("1.2.3-01", false),
            ("1.2.3-", false),
            ("1.2.3+", false),
            ("1.2.3-a..b", false),
            ("v1.2.3", false),
            ("1.2.x", false),
        ] {
            assert_eq!(is_semantic_version(text), expected, "{text}");
        }
    }
}
