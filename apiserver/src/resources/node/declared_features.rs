//! The features that a node declares: named in upper camel case, sorted, and each once.

use api::field::{Error, ErrorList, Path, go_quote};

const MAX_NAME_BYTES: usize = 253;

/// What is wrong with the list at `path`.
pub(super) fn validate(features: &[String], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, feature) in features.iter().enumerate() {
        if let Some(previous) = i.checked_sub(1).map(|i| &features[i]) {
            if previous == feature {
                errors.push(Error::duplicate(&path.index(i), feature));
            } else if previous > feature {
                errors.push(Error::invalid(&path.index(i), feature, "list must be sorted alphabetically"));
            }
        }
        if let Some(rule) = broken_rule(feature) {
            let detail = format!("invalid feature name {}: {rule}", go_quote(feature));
            errors.push(Error::invalid(&path.index(i), feature, detail));
        }
    }
    errors
}

fn broken_rule(name: &str) -> Option<String> {
    if name.len() > MAX_NAME_BYTES {
        return Some(format!("must be no more than {MAX_NAME_BYTES} characters"));
    }
    let is_segment = |segment: &str| {
        segment.starts_with(|c: char| c.is_ascii_alphabetic()) && segment.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    if name.starts_with(|c: char| c.is_ascii_uppercase()) && name.split('/').all(is_segment) {
        return None;
    }
    Some(
        "must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or \
         MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"
            .to_owned(),
    )
}
