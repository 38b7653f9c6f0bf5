//! What is wrong with a slice as a whole: its pool, on which nodes its devices are, and how many.

use std::collections::BTreeMap;

use api::field::{BadValue, Error, ErrorList, Path};
use api::validate::meta::FIELD_IMMUTABLE;
use k8s_openapi::api::core::v1::NodeSelector;
use k8s_openapi::api::resource::v1::{Counter, CounterSet, Device, ResourcePool, ResourceSliceSpec};

use super::{device, gated};
use crate::resources::devices::{
    MAX_LABEL_BYTES, driver_name, label, object_name, pool_name, validate_map, validate_set,
};
use crate::resources::pod_spec::validate_node_selector;

const MAX_DEVICES: usize = 128;
/// Where devices say more than their attributes.
const MAX_RICH_DEVICES: usize = 64;
const MAX_COUNTER_SETS: usize = 8;
const MAX_COUNTERS: usize = 32;

pub(super) fn validate(spec: &ResourceSliceSpec, old: Option<&ResourceSliceSpec>) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = driver_name(&spec.driver, &path.child("driver"));
    errors.extend(validate_pool(&spec.pool, &path.child("pool")));
    if let Some(old) = old {
        errors.extend(validate_identity(spec, old, &path));
    }
    errors.extend(validate_nodes(spec, &path));
    if spec.shared_counters.is_some() && spec.devices.is_some() {
        errors.push(Error::invalid(&path, "", "only one of `sharedCounters` or `devices` is allowed"));
    }
    let devices = spec.devices.as_deref().unwrap_or_default();
    let max = if devices.iter().any(is_rich) { MAX_RICH_DEVICES } else { MAX_DEVICES };
    let old_devices = old.and_then(|old| old.devices.as_deref()).unwrap_or_default();
    let per_device = spec.per_device_node_selection == Some(true);
    let validate = |device: &Device, path: &Path| {
        let old = old_devices.iter().find(|old| old.name == device.name);
        device::validate(device, old, per_device, path)
    };
    errors.extend(validate_set(devices, max, &path.child("devices"), validate, |device| (&device.name).into()));
    let sets = spec.shared_counters.as_deref().unwrap_or_default();
    let sets_path = path.child("sharedCounters");
    errors.extend(validate_set(sets, MAX_COUNTER_SETS, &sets_path, validate_counter_set, |set| (&set.name).into()));
    errors
}

/// Whether the device says so much that fewer of its kind fit into a slice.
fn is_rich(device: &Device) -> bool {
    let has = |count: usize| count > 0;
    has(device.taints.as_ref().map_or(0, Vec::len))
        || has(device.consumes_counters.as_ref().map_or(0, Vec::len))
        || gated::has_lists(device)
}

fn validate_pool(pool: &ResourcePool, path: &Path) -> ErrorList {
    let mut errors = pool_name(&pool.name, &path.child("name"));
    if pool.resource_slice_count <= 0 {
        let path = path.child("resourceSliceCount");
        errors.push(Error::invalid(&path, pool.resource_slice_count, "must be greater than zero"));
    }
    if pool.generation < 0 {
        let path = path.child("generation");
        errors.push(Error::invalid(&path, pool.generation, "must be greater than or equal to zero"));
    }
    errors
}

/// What may not change: whose devices these are, and where.
fn validate_identity(spec: &ResourceSliceSpec, old: &ResourceSliceSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut check = |path: Path, is_same: bool, shown: BadValue| {
        if !is_same {
            errors.push(Error::invalid(&path, shown, FIELD_IMMUTABLE));
        }
    };
    let pool_path = path.child("pool").child("name");
    check(pool_path, spec.pool.name == old.pool.name, (&spec.pool.name).into());
    check(path.child("driver"), spec.driver == old.driver, (&spec.driver).into());
    let node = spec.node_name.as_ref().map_or_else(BadValue::null, BadValue::from);
    check(path.child("nodeName"), spec.node_name == old.node_name, node);
    errors
}

/// What is wrong with the nodes that the slice names; exactly one of the ways to do that is taken.
fn validate_nodes(spec: &ResourceSliceSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (mut taken, unset) = (Vec::new(), "must be either unset or set to true");
    if let Some(name) = &spec.node_name {
        let path = path.child("nodeName");
        if name.is_empty() {
            errors.push(Error::invalid(&path, name, "must be either unset or set to a non-empty string"));
        } else {
            taken.push("`nodeName`");
            errors.extend(object_name(name, &path));
        }
    }
    if let Some(selector) = &spec.node_selector {
        taken.push("`nodeSelector`");
        errors.extend(validate_one_term(selector, &path.child("nodeSelector")));
    }
    for (field, shown, value) in [
        ("allNodes", "`allNodes`", spec.all_nodes),
        ("perDeviceNodeSelection", "`perDeviceNodeSelection`", spec.per_device_node_selection),
    ] {
        match value {
            Some(true) => taken.push(shown),
            Some(false) => errors.push(Error::invalid(&path.child(field), false, unset)),
            None => {}
        }
    }
    let rule = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    match taken.as_slice() {
        [] => errors.push(Error::required(path, rule)),
        [_] => {}
        many => {
            let shown = format!("{{{}}}", many.join(", "));
            errors.push(Error::invalid(path, shown, format!("{rule}, but multiple fields are set")));
        }
    }
    errors
}

/// One term only, so that selectors of several slices can be merged.
fn validate_one_term(selector: &NodeSelector, path: &Path) -> ErrorList {
    let mut errors = validate_node_selector(selector, false, path);
    let terms = &selector.node_selector_terms;
    if terms.len() != 1 {
        let shown = BadValue::json(terms);
        let path = path.child("nodeSelectorTerms");
        errors.push(Error::invalid(&path, shown, "must have exactly one node selector term"));
    }
    errors
}

fn validate_counter_set(set: &CounterSet, path: &Path) -> ErrorList {
    let mut errors = validate_counter_name(&set.name, &path.child("name"));
    errors.extend(validate_counters(&set.counters, &path.child("counters")));
    errors
}

/// What is wrong with the name of a set of counters.
pub(super) fn validate_counter_name(name: &str, path: &Path) -> ErrorList {
    if name.is_empty() { Error::required(path, "").into() } else { label(name, path) }
}

/// What is wrong with counters; any quantity is right.
pub(super) fn validate_counters(counters: &BTreeMap<String, Counter>, path: &Path) -> ErrorList {
    if counters.is_empty() {
        return Error::required(path, "").into();
    }
    let any = |_: &Counter, _: &Path| ErrorList::new();
    validate_map(Some(counters), Some(MAX_COUNTERS), MAX_LABEL_BYTES, path, label, any)
}
