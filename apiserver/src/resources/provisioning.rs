//! What StorageClasses and VolumeAttributesClasses hand to the driver that they name: its name, and parameters that only it
//! understands.

use std::collections::BTreeMap;

use api::field::{Error, ErrorList, Path};

use super::pod_spec::rules::qualified_name;

const MAX_PARAMETERS: usize = 512;
/// The most that keys and values may have together.
const MAX_PARAMETER_BYTES: usize = 256 * 1024;

/// What is wrong with the driver's name, in which case makes no difference.
pub(super) fn validate_driver(name: &str, path: &Path) -> ErrorList {
    if name.is_empty() { Error::required(path, "").into() } else { qualified_name(&name.to_lowercase(), path) }
}

/// What is wrong with the parameters.
pub(super) fn validate_parameters(
    parameters: Option<&BTreeMap<String, String>>,
    allow_none: bool,
    path: &Path,
) -> ErrorList {
    let count = parameters.map_or(0, BTreeMap::len);
    if count > MAX_PARAMETERS {
        return Error::too_long(path, MAX_PARAMETERS).into();
    }
    let mut errors = ErrorList::new();
    let parameters = || parameters.into_iter().flatten();
    if parameters().any(|(key, _)| key.is_empty()) {
        errors.push(Error::invalid(path, "", "field can not be empty."));
    }
    if parameters().map(|(key, value)| key.len() + value.len()).sum::<usize>() > MAX_PARAMETER_BYTES {
        errors.push(Error::too_long(path, MAX_PARAMETER_BYTES));
    }
    if count == 0 && !allow_none {
        errors.push(Error::required(path, "must contain at least one key/value pair"));
    }
    errors
}

/// That parameters stay what they were: volumes have been made by them.
pub(super) fn validate_same_parameters(
    new: Option<&BTreeMap<String, String>>,
    old: Option<&BTreeMap<String, String>>,
) -> Option<Error> {
    let none = BTreeMap::new();
    let changed = new.unwrap_or(&none) != old.unwrap_or(&none);
    changed.then(|| Error::forbidden(&Path::new("parameters"), "updates to parameters are forbidden."))
}
