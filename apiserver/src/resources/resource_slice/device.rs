//! What is wrong with one device of a slice.

use api::field::{BadValue, Error, ErrorList, Path};
use k8s_openapi::api::resource::v1::{Device, DeviceCapacity, DeviceCounterConsumption};

use super::validation::{validate_counter_name, validate_counters};
use super::{attributes, capacity};
use crate::resources::devices::{
    MAX_QUALIFIED_BYTES, label, object_name, qualified_name, validate_binding_conditions, validate_list, validate_map,
    validate_set, validate_taint,
};
use crate::resources::pod_spec::validate_node_selector;

const MAX_ATTRIBUTES_AND_CAPACITIES: usize = 32;
const MAX_ATTRIBUTE_VALUES: usize = 48;
const MAX_TAINTS: usize = 16;
const MAX_CONSUMPTIONS: usize = 2;

/// `old` is the stored device of the same name, of which nothing is looked at again that did not change; `per_device`
/// says that each device names its own nodes.
pub(super) fn validate(device: &Device, old: Option<&Device>, per_device: bool, path: &Path) -> ErrorList {
    let mut errors = label(&device.name, &path.child("name"));
    let count =
        device.attributes.as_ref().map_or(0, |map| map.len()) + device.capacity.as_ref().map_or(0, |map| map.len());
    if count > MAX_ATTRIBUTES_AND_CAPACITIES {
        let detail =
            format!("the total number of attributes and capacities must not exceed {MAX_ATTRIBUTES_AND_CAPACITIES}");
        errors.push(Error::invalid(path, count, detail));
    }
    let values = device.attributes.iter().flat_map(|map| map.values()).map(attributes::value_count).sum::<usize>();
    if values > MAX_ATTRIBUTE_VALUES {
        let detail = format!("the total number of attribute values must not exceed {MAX_ATTRIBUTE_VALUES}");
        errors.push(Error::invalid(path, values, detail));
    }
    let map_path = path.child("attributes");
    let (attributes, shown) = (device.attributes.as_ref(), MAX_QUALIFIED_BYTES);
    errors.extend(validate_map(attributes, None, shown, &map_path, qualified_name, attributes::validate));
    if old.is_none_or(|old| old.capacity != device.capacity) {
        let is_shared = device.allow_multiple_allocations == Some(true);
        let validate = |value: &DeviceCapacity, path: &Path| capacity::validate(value, is_shared, path);
        let (capacity, path) = (device.capacity.as_ref(), path.child("capacity"));
        errors.extend(validate_map(capacity, None, shown, &path, qualified_name, validate));
    }
    if old.is_none_or(|old| old.taints != device.taints) {
        let taints = device.taints.as_deref().unwrap_or_default();
        let path = path.child("taints");
        errors.extend(validate_list(taints, MAX_TAINTS, &path, |taint, path| validate_taint(taint, None, path)));
    }
    let consumptions = device.consumes_counters.as_deref().unwrap_or_default();
    let consumptions_path = path.child("consumesCounters");
    errors.extend(validate_set(consumptions, MAX_CONSUMPTIONS, &consumptions_path, validate_consumption, |it| {
        (&it.counter_set).into()
    }));
    errors.extend(validate_nodes(device, per_device, path));
    let conditions = device.binding_conditions.as_deref().unwrap_or_default();
    let failures = device.binding_failure_conditions.as_deref().unwrap_or_default();
    errors.extend(validate_binding_conditions(conditions, failures, path));
    errors
}

fn validate_consumption(consumption: &DeviceCounterConsumption, path: &Path) -> ErrorList {
    let mut errors = validate_counter_name(&consumption.counter_set, &path.child("counterSet"));
    errors.extend(validate_counters(&consumption.counters, &path.child("counters")));
    errors
}

fn validate_nodes(device: &Device, per_device: bool, path: &Path) -> ErrorList {
    if !per_device {
        let names_nodes = device.node_name.is_some() || device.node_selector.is_some() || device.all_nodes.is_some();
        let detail = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true \
                      in the ResourceSlice spec";
        return names_nodes.then(|| Error::invalid(path, BadValue::null(), detail)).into_iter().collect();
    }
    let mut errors = ErrorList::new();
    let mut taken = Vec::new();
    if let Some(name) = &device.node_name {
        let path = path.child("nodeName");
        if name.is_empty() {
            errors.push(Error::invalid(&path, name, "must not be empty"));
        } else {
            taken.push("`nodeName`");
            errors.extend(object_name(name, &path));
        }
    }
    if let Some(selector) = &device.node_selector {
        taken.push("`nodeSelector`");
        errors.extend(validate_node_selector(selector, false, &path.child("nodeSelector")));
    }
    match device.all_nodes {
        Some(true) => taken.push("`allNodes`"),
        Some(false) => {
            let detail = "must be either unset or set to true";
            errors.push(Error::invalid(&path.child("allNodes"), false, detail));
        }
        None => {}
    }
    let rule = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to \
                true in the ResourceSlice spec";
    match taken.as_slice() {
        [] => errors.push(Error::required(path, rule)),
        [_] => {}
        many => errors.push(Error::invalid(path, format!("{{{}}}", many.join(", ")), rule)),
    }
    errors
}
