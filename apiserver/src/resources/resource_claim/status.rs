//! What a claim was given and who uses it: what of a change is taken, and what is wrong with it.

use std::collections::HashSet;

use api::field::{BadValue, Error, ErrorList, Path};
use api::validate::meta::FIELD_IMMUTABLE;
use k8s_openapi::api::resource::v1::{
    DeviceRequestAllocationResult, ResourceClaim, ResourceClaimConsumerReference, ResourceClaimStatus,
};

use super::spec::{RequestNames, set_toleration_defaults};
use super::{allocation, device_status};
use crate::resources::devices::{DeviceId, validate_set};
use crate::resources::semantic;

const MAX_CONSUMERS: usize = 256;

/// How tolerations of what was given compare. Allocations of nothing say so, as Go writes them.
pub(super) fn set_defaults(claim: &mut ResourceClaim) {
    for allocation in claim.status.iter_mut().flat_map(|status| &mut status.allocation) {
        allocation.devices.get_or_insert_default();
    }
    for result in results_mut(claim) {
        set_toleration_defaults(&mut result.tolerations);
    }
}

/// Forgets what drivers said of devices that are given back.
pub(super) fn drop_deallocated(new: &mut ResourceClaim, old: &ResourceClaim) {
    let kept: HashSet<DeviceId> = allocated(new.status.as_ref());
    let gone: HashSet<DeviceId> = allocated(old.status.as_ref()).difference(&kept).cloned().collect();
    let Some(status) = &mut new.status else { return };
    if let Some(devices) = &mut status.devices {
        devices.retain(|device| !gone.contains(&device_status::id(device)));
    }
    if status.devices.as_ref().is_some_and(Vec::is_empty) {
        status.devices = None;
    }
}

/// Drops what upstream's gate `DRAOptionalNodeOperations` keeps off, unless what is stored has it.
pub(super) fn drop_gated(new: &mut ResourceClaim, old: &ResourceClaim) {
    let uses = |result: &DeviceRequestAllocationResult| {
        result.skip_node_operations.as_ref().is_some_and(|operations| !operations.is_empty())
    };
    if results(old.status.as_ref()).iter().any(uses) {
        return;
    }
    for result in results_mut(new) {
        result.skip_node_operations = None;
    }
}

pub(super) fn validate_update(new: &ResourceClaim, old: &ResourceClaim) -> ErrorList {
    let path = Path::new("status");
    let (status, old_status) = (new.status.clone().unwrap_or_default(), old.status.clone().unwrap_or_default());
    let consumers = status.reserved_for.as_deref().unwrap_or_default();
    let reserved_path = path.child("reservedFor");
    let mut errors = validate_set(consumers, MAX_CONSUMERS, &reserved_path, validate_consumer, |it| (&it.uid).into());
    errors.extend(device_status::validate_all(&status, &allocated(Some(&status)), &path.child("devices")));
    if !consumers.is_empty() {
        if status.allocation.is_none() {
            let detail = "may not be specified when `allocated` is not set";
            errors.push(Error::forbidden(&reserved_path, detail));
        } else if new.metadata.deletion_timestamp.is_some() {
            // Nobody new may use what is about to be given back.
            let before = old_status.reserved_for.as_deref().unwrap_or_default();
            if consumers.iter().any(|consumer| !before.contains(consumer)) {
                let detail =
                    "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
                errors.push(Error::forbidden(&reserved_path, detail));
            }
        }
    }
    let allocation_path = path.child("allocation");
    match (&status.allocation, &old_status.allocation) {
        (Some(allocation), Some(before)) if !semantic::equal(allocation, before) => {
            errors.push(Error::invalid(&allocation_path, BadValue::json(allocation), FIELD_IMMUTABLE));
        }
        (Some(allocation), None) => {
            let names = RequestNames::of(new.spec.as_ref().and_then(|spec| spec.devices.as_ref()));
            errors.extend(allocation::validate(allocation, &names, &allocation_path));
        }
        _ => {}
    }
    errors
}

fn validate_consumer(consumer: &ResourceClaimConsumerReference, path: &Path) -> ErrorList {
    let fields = [("resource", &consumer.resource), ("name", &consumer.name), ("uid", &consumer.uid)];
    let missing = fields.into_iter().filter(|(_, text)| text.is_empty());
    missing.map(|(field, _)| Error::required(&path.child(field), "")).collect()
}

fn results(status: Option<&ResourceClaimStatus>) -> &[DeviceRequestAllocationResult] {
    let devices = status.and_then(|status| status.allocation.as_ref()).and_then(|it| it.devices.as_ref());
    devices.and_then(|devices| devices.results.as_deref()).unwrap_or_default()
}

fn results_mut(claim: &mut ResourceClaim) -> impl Iterator<Item = &mut DeviceRequestAllocationResult> {
    let allocation = claim.status.iter_mut().flat_map(|status| &mut status.allocation);
    allocation.flat_map(|allocation| &mut allocation.devices).flat_map(|devices| &mut devices.results).flatten()
}

/// The devices, and shares of devices, that were given.
fn allocated(status: Option<&ResourceClaimStatus>) -> HashSet<DeviceId> {
    let results = results(status).iter();
    results.map(|it| DeviceId::new(&it.driver, &it.pool, &it.device, it.share_id.as_ref())).collect()
}
