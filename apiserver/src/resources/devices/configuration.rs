//! Selectors of devices, and parameters that only their drivers understand.

use api::field::{Error, ErrorList, Path};
use k8s_openapi::api::resource::v1::{DeviceSelector, OpaqueDeviceConfiguration};
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use serde_json::Value;

use super::lists::validate_list;
use super::names::driver_name;
use super::{MAX_DATA_BYTES, MAX_ITEMS};

const MAX_EXPRESSION_BYTES: usize = 10 * 1024;

/// What is wrong with selectors. What is stored was judged when it came, perhaps by other limits.
pub(crate) fn validate_selectors(selectors: &[DeviceSelector], is_stored: bool, path: &Path) -> ErrorList {
    validate_list(selectors, MAX_ITEMS, path, |selector, path| {
        let path = path.child("cel");
        let Some(cel) = &selector.cel else { return Error::required(&path, "").into() };
        let path = path.child("expression");
        match cel.expression.len() {
            _ if is_stored => ErrorList::new(),
            0 => Error::required(&path, "").into(),
            length if length > MAX_EXPRESSION_BYTES => Error::too_long(&path, MAX_EXPRESSION_BYTES).into(),
            _ => ErrorList::new(),
        }
    })
}

/// What is wrong with the configuration at `path`, of which there is one way only: an opaque one.
pub(crate) fn validate_opaque(opaque: Option<&OpaqueDeviceConfiguration>, is_stored: bool, path: &Path) -> ErrorList {
    let path = path.child("opaque");
    let Some(opaque) = opaque else { return Error::required(&path, "").into() };
    let mut errors = driver_name(&opaque.driver, &path.child("driver"));
    let parameters_path = path.child("parameters");
    errors.extend(validate_object(&opaque.parameters, is_stored, MAX_DATA_BYTES, &parameters_path));
    errors
}

/// What is wrong with what must be a JSON object of at most `max` bytes.
pub(crate) fn validate_object(data: &RawExtension, is_stored: bool, max: usize, path: &Path) -> Option<Error> {
    let Value::Object(_) = &data.0 else {
        return Some(match &data.0 {
            Value::Null => Error::required(path, ""),
            _ => Error::invalid(path, "<value omitted>", "must be a valid JSON object"),
        });
    };
    (!is_stored && data.0.to_string().len() > max).then(|| Error::too_long(path, max))
}
