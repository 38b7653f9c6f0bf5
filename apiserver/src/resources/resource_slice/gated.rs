//! Fields whose upstream feature gates are off by default: nobody new may use them, and who does keeps what they have.
//!
//! They come with `DRAListTypeAttributes`, `DRANodeAllocatableResources`, `DRAPartitionableDevicesType`,
//! `DRAOptionalNodeOperations` and `DRADeviceCompatibilityGroups`, and their content is not judged.

use k8s_openapi::api::resource::v1::{Device, DeviceAttribute, DeviceCounterConsumption, ResourceSliceSpec};

/// Drops from `new` what `old`, the stored slice, does not use.
pub(super) fn drop(new: &mut ResourceSliceSpec, old: Option<&ResourceSliceSpec>) {
    let devices = || old.into_iter().flat_map(|old| &old.devices).flatten();
    if !devices().any(has_lists) {
        for attribute in new_devices(new).flat_map(|device| &mut device.attributes).flat_map(|map| map.values_mut()) {
            (attribute.bools, attribute.ints, attribute.strings, attribute.versions) = (None, None, None, None);
        }
    }
    if !devices().any(|device| device.node_allocatable_resources.as_ref().is_some_and(|map| !map.is_empty())) {
        new_devices(new).for_each(|device| device.node_allocatable_resources = None);
    }
    let has_groups = |counters: &DeviceCounterConsumption| {
        counters.compatibility_groups.as_ref().is_some_and(|groups| !groups.is_empty())
    };
    if !devices().any(|device| device.consumes_counters.iter().flatten().any(has_groups)) {
        for counters in new_devices(new).flat_map(|device| &mut device.consumes_counters).flatten() {
            counters.compatibility_groups = None;
        }
    }
    if old.is_none_or(|old| old.partition_type_attribute.is_none()) {
        new.partition_type_attribute = None;
    }
    if old.is_none_or(|old| old.skip_node_operations.as_ref().is_none_or(Vec::is_empty)) {
        new.skip_node_operations = None;
    }
}

fn new_devices(spec: &mut ResourceSliceSpec) -> impl Iterator<Item = &mut Device> {
    spec.devices.iter_mut().flatten()
}

/// Whether an attribute of the device is a list.
pub(super) fn has_lists(device: &Device) -> bool {
    device.attributes.iter().flat_map(|map| map.values()).any(is_list)
}

pub(super) fn is_list(attribute: &DeviceAttribute) -> bool {
    attribute.bools.is_some() || attribute.ints.is_some() || attribute.strings.is_some() || attribute.versions.is_some()
}
