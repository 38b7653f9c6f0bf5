//! The spec of a claim, which templates of claims share: defaults, and what must be right with it.

use api::field::{Error, ErrorList, Path};
use api::quantity::Quantity;
use api::selector::label::validate_api;
use k8s_openapi::api::core::v1::PersistentVolumeClaimSpec;

use super::{STORAGE, data_source};
use crate::resources::pod_spec::absent::{list, text};
use crate::resources::pod_spec::rules::{NOT_POSITIVE, dns_subdomain, supported};
use crate::resources::{access_modes, pod_spec};

/// What volumes can be to a pod.
pub(in crate::resources) const VOLUME_MODES: &[&str] = &["Block", "Filesystem"];

/// What is not checked because it was stored before it was.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    allow_invalid_selector_values: bool,
    allow_invalid_groups: bool,
}

impl Options {
    /// For a claim that was `old`.
    pub(super) fn after(old: &PersistentVolumeClaimSpec) -> Options {
        Options {
            allow_invalid_selector_values: !validate_api(old.selector.as_ref(), false, &Path::nil()).is_empty(),
            allow_invalid_groups: data_source::names_group(old),
        }
    }
}

/// Fills in what a spec left out, and writes its quantities as they are stored.
pub(crate) fn set_spec_defaults(spec: &mut PersistentVolumeClaimSpec) {
    spec.volume_mode.get_or_insert_with(|| "Filesystem".to_owned());
    let resources = spec.resources.get_or_insert_default();
    resources.limits.iter_mut().for_each(pod_spec::round_list);
    resources.requests.iter_mut().for_each(pod_spec::round_list);
}

/// What is wrong with the spec at `path` (`ValidatePersistentVolumeClaimSpec`).
pub(crate) fn validate_spec(spec: &PersistentVolumeClaimSpec, options: Options, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let modes_path = path.child("accessModes");
    let modes = list(&spec.access_modes);
    if modes.is_empty() {
        errors.push(Error::required(&modes_path, "at least 1 access mode is required"));
    }
    let allow_invalid_values = options.allow_invalid_selector_values;
    errors.extend(validate_api(spec.selector.as_ref(), allow_invalid_values, &path.child("selector")));
    errors.extend(access_modes::validate(modes, &modes_path));
    errors.extend(validate_size(spec, &path.child("resources").key(STORAGE)));
    let class = text(&spec.storage_class_name);
    if !class.is_empty() {
        errors.extend(dns_subdomain(class, &path.child("storageClassName")));
    }
    if let Some(mode) = &spec.volume_mode {
        errors.extend(supported(mode, VOLUME_MODES, &path.child("volumeMode")));
    }
    errors.extend(data_source::validate(spec, options.allow_invalid_groups, path));
    let attributes = text(&spec.volume_attributes_class_name);
    if !attributes.is_empty() {
        errors.extend(dns_subdomain(attributes, &path.child("volumeAttributesClassName")));
    }
    errors
}

fn validate_size(spec: &PersistentVolumeClaimSpec, path: &Path) -> Option<Error> {
    let requests = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    match requests.and_then(|requests| requests.get(STORAGE)).map(Quantity::try_from) {
        None => Some(Error::required(path, "")),
        Some(Err(error)) => Some(Error::invalid(path, "", error.to_string())),
        Some(Ok(size)) if size.signum() <= 0 => Some(Error::invalid(path, size.to_string(), NOT_POSITIVE)),
        Some(Ok(_)) => None,
    }
}
