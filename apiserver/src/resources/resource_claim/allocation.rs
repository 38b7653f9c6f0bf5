//! What is wrong with a new allocation. One that is stored is not looked at again: rules become tighter.

use api::field::{Error, ErrorList, Path};
use k8s_openapi::api::resource::v1::{
    AllocationResult, DeviceAllocationConfiguration, DeviceAllocationResult, DeviceRequestAllocationResult,
};

use super::spec::{RequestNames, validate_tolerations};
use crate::resources::devices::{
    MAX_ITEMS, driver_name, is_uid, label, pool_name, validate_binding_conditions, validate_list, validate_opaque,
};
use crate::resources::pod_spec::validate_node_selector;

/// Of the class, and of the claim.
const MAX_CONFIG: usize = 2 * MAX_ITEMS;
const SOURCES: [&str; 2] = ["FromClaim", "FromClass"];

pub(super) fn validate(allocation: &AllocationResult, names: &RequestNames<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(devices) = &allocation.devices {
        errors.extend(validate_devices(devices, names, &path.child("devices")));
    }
    if let Some(selector) = &allocation.node_selector {
        errors.extend(validate_node_selector(selector, false, &path.child("nodeSelector")));
    }
    errors
}

fn validate_devices(devices: &DeviceAllocationResult, names: &RequestNames<'_>, path: &Path) -> ErrorList {
    let results = devices.results.as_deref().unwrap_or_default();
    let mut errors =
        validate_list(results, MAX_ITEMS, &path.child("results"), |result, path| validate_result(result, names, path));
    let config = devices.config.as_deref().unwrap_or_default();
    errors.extend(validate_list(config, MAX_CONFIG, &path.child("config"), |config, path| {
        validate_config(config, names, path)
    }));
    errors
}

fn validate_result(result: &DeviceRequestAllocationResult, names: &RequestNames<'_>, path: &Path) -> ErrorList {
    let mut errors = names.validate(&result.request, &path.child("request"));
    errors.extend(driver_name(&result.driver, &path.child("driver")));
    errors.extend(pool_name(&result.pool, &path.child("pool")));
    errors.extend(label(&result.device, &path.child("device")));
    let conditions = result.binding_conditions.as_deref().unwrap_or_default();
    let failures = result.binding_failure_conditions.as_deref().unwrap_or_default();
    errors.extend(validate_binding_conditions(conditions, failures, path));
    errors.extend(validate_tolerations(result.tolerations.as_deref(), path));
    if let Some(share) = &result.share_id {
        errors.extend(is_uid(share, &path.child("shareID")));
    }
    errors
}

fn validate_config(config: &DeviceAllocationConfiguration, names: &RequestNames<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let source_path = path.child("source");
    if config.source.is_empty() {
        errors.push(Error::required(&source_path, ""));
    } else if !SOURCES.contains(&config.source.as_str()) {
        errors.push(Error::not_supported(&source_path, &config.source, &SOURCES));
    }
    errors.extend(names.validate_set(config.requests.as_deref(), &path.child("requests")));
    errors.extend(validate_opaque(config.opaque.as_ref(), false, path));
    errors
}
