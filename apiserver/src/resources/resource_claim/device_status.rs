//! What drivers say of the devices that a claim was given.

use std::collections::HashSet;

use api::field::{Error, ErrorList, Path, go_quote};
use api::names::parse_cidr_sloppy;
use api::validate::conditions::validate_conditions;
use k8s_openapi::api::resource::v1::{AllocatedDeviceStatus, NetworkDeviceData, ResourceClaimStatus};
use serde_json::Value;

use crate::resources::devices::{
    DeviceId, MAX_DATA_BYTES, driver_name, is_uid, label, pool_name, validate_object, validate_set,
};

const MAX_CONDITIONS: usize = 8;
const MAX_INTERFACE_BYTES: usize = 256;
const MAX_HARDWARE_BYTES: usize = 128;
const MAX_ADDRESSES: usize = 16;

/// Which device the status is of.
pub(super) fn id(device: &AllocatedDeviceStatus) -> DeviceId {
    DeviceId::new(&device.driver, &device.pool, &device.device, device.share_id.as_ref())
}

pub(super) fn validate_all(status: &ResourceClaimStatus, allocated: &HashSet<DeviceId>, path: &Path) -> ErrorList {
    let devices = status.devices.as_deref().unwrap_or_default();
    let validate = |device: &AllocatedDeviceStatus, path: &Path| validate_one(device, allocated, path);
    // There are no more than were allocated: others are refused one by one.
    validate_set(devices, usize::MAX, path, validate, |device| id(device).into())
}

fn validate_one(device: &AllocatedDeviceStatus, allocated: &HashSet<DeviceId>, path: &Path) -> ErrorList {
    let mut errors = driver_name(&device.driver, &path.child("driver"));
    errors.extend(pool_name(&device.pool, &path.child("pool")));
    errors.extend(label(&device.device, &path.child("device")));
    if let Some(share) = &device.share_id {
        errors.extend(is_uid(share, &path.child("shareID")));
    }
    let id = id(device);
    if !allocated.contains(&id) {
        errors.push(Error::invalid(path, id, "must be an allocated device in the claim"));
    }
    let shown = device.conditions.as_deref().unwrap_or_default();
    let conditions_path = path.child("conditions");
    if shown.len() > MAX_CONDITIONS {
        errors.push(Error::too_many(&conditions_path, shown.len(), MAX_CONDITIONS));
    }
    errors.extend(validate_conditions(shown, &conditions_path));
    if let Some(data) = device.data.as_ref().filter(|data| data.0 != Value::Null) {
        errors.extend(validate_object(data, false, MAX_DATA_BYTES, &path.child("data")));
    }
    if let Some(data) = &device.network_data {
        errors.extend(validate_network(data, &path.child("networkData")));
    }
    errors
}

fn validate_network(data: &NetworkDeviceData, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (field, text, max) in [
        ("interfaceName", &data.interface_name, MAX_INTERFACE_BYTES),
        ("hardwareAddress", &data.hardware_address, MAX_HARDWARE_BYTES),
    ] {
        if text.as_ref().is_some_and(|text| text.len() > max) {
            errors.push(Error::too_long(&path.child(field), max));
        }
    }
    let addresses = data.ips.as_deref().unwrap_or_default();
    let validate = |address: &String, path: &Path| validate_interface_address(address, path).into_iter().collect();
    errors.extend(validate_set(addresses, MAX_ADDRESSES, &path.child("ips"), validate, |it| it.into()));
    errors
}

/// What is wrong with an address and the length of its network's prefix, which may have bits beyond that.
fn validate_interface_address(text: &str, path: &Path) -> Option<Error> {
    let Some(parsed) = parse_cidr_sloppy(text) else {
        let detail = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)";
        return Some(Error::invalid(path, text, detail));
    };
    let canonical = format!("{}/{}", parsed.address, parsed.prefix_length);
    let detail = || format!("must be in canonical form ({})", go_quote(&canonical));
    (text != canonical).then(|| Error::invalid(path, text, detail()))
}
