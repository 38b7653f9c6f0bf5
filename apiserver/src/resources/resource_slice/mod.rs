//! ResourceSlices: what devices a driver has in a pool, or what they share.

mod attributes;
mod capacity;
mod device;
mod gated;
#[cfg(test)]
mod tests;
mod validation;

use api::field::{ErrorList, go_quote};
use k8s_openapi::api::resource::v1::{ResourceSlice, ResourceSliceSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::semantic;
use crate::strategy::{AGE_COLUMN, Column, Context, NAME_COLUMN, Names, SelectableField, SpecChanged, Strategy};

const COLUMNS: &[Column] = &[
    NAME_COLUMN,
    Column::new(
        "Node",
        "NodeName identifies the node which provides the resources in this pool. A field selector can be used to list only \
         ResourceSlice objects belonging to a certain node.\n\nThis field can be used to limit access from nodes to \
         ResourceSlices with the same node name. It also indicates to autoscalers that adding new nodes of the same type \
         as some old node might also make new resources available.\n\nExactly one of NodeName, NodeSelector, AllNodes, and \
         PerDeviceNodeSelection must be set. This field is immutable.",
    ),
    Column::new(
        "Driver",
        "Driver identifies the DRA driver providing the capacity information. A field selector can be used to list only \
         ResourceSlice objects with a certain driver name.\n\nMust be a DNS subdomain and should end with a DNS domain \
         owned by the vendor of the driver. It should use only lower case characters. This field is immutable.",
    ),
    Column::new(
        "Pool",
        "Name is used to identify the pool. For node-local devices, this is often the node name, but this is not \
         required.\n\nIt must not be longer than 253 characters and must consist of one or more DNS sub-domains separated \
         by slashes. This field is immutable.",
    ),
    AGE_COLUMN,
];

pub(crate) struct ResourceSlices;

impl Strategy for ResourceSlices {
    type Object = ResourceSlice;

    fn names(&self) -> Names {
        Names::of::<ResourceSlice>("resourceslice", false)
    }

    fn default(&self, object: &mut ResourceSlice) {
        state_quantities(&mut object.spec);
    }

    fn prepare_create(&self, object: &mut ResourceSlice, context: Context<'_>) {
        stamp_taints(object, context.now);
        gated::drop(&mut object.spec, None);
    }

    fn prepare_update(&self, new: &mut ResourceSlice, old: &ResourceSlice, context: Context<'_>) {
        stamp_taints(new, context.now);
        gated::drop(&mut new.spec, Some(&old.spec));
    }

    fn generation(&self) -> Option<SpecChanged<ResourceSlice>> {
        Some(|new, old| !semantic::equal(&new.spec, &old.spec))
    }

    fn validate(&self, object: &ResourceSlice) -> ErrorList {
        validation::validate(&object.spec, None)
    }

    fn validate_update(&self, new: &ResourceSlice, old: &ResourceSlice) -> ErrorList {
        validation::validate(&new.spec, Some(&old.spec))
    }

    fn warnings(&self, new: &ResourceSlice, _: Option<&ResourceSlice>) -> Vec<String> {
        let driver = &new.spec.driver;
        if *driver == driver.to_lowercase() {
            return Vec::new();
        }
        let quoted = go_quote(driver);
        vec![format!("spec.driver: driver names should be lowercase; {quoted} contains uppercase characters")]
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &ResourceSlice, now: Timestamp) -> Vec<Value> {
        let spec = &object.spec;
        vec![
            object.metadata.name.clone().into(),
            spec.node_name.clone().unwrap_or_default().into(),
            spec.driver.clone().into(),
            spec.pool.name.clone().into(),
            api::duration::age(object.metadata.creation_timestamp.as_ref(), now).into(),
        ]
    }

    fn selectable_fields(&self) -> &'static [SelectableField] {
        const { &[SelectableField::at("spec.nodeName"), SelectableField::at("spec.driver")] }
    }
}

/// Writes down quantities that are not stated, which count as zero.
fn state_quantities(spec: &mut ResourceSliceSpec) {
    let state = |value: &mut Quantity| {
        if value.0.is_empty() {
            "0".clone_into(&mut value.0);
        }
    };
    for device in spec.devices.iter_mut().flatten() {
        device.capacity.iter_mut().flat_map(|map| map.values_mut()).for_each(|capacity| state(&mut capacity.value));
        let counters = device.consumes_counters.iter_mut().flatten().flat_map(|it| it.counters.values_mut());
        counters.for_each(|counter| state(&mut counter.value));
    }
    let counters = spec.shared_counters.iter_mut().flatten().flat_map(|set| set.counters.values_mut());
    counters.for_each(|counter| state(&mut counter.value));
}

/// Writes down since when devices are tainted, where that is not stated.
fn stamp_taints(slice: &mut ResourceSlice, now: Timestamp) {
    let devices = slice.spec.devices.iter_mut().flatten();
    for taint in devices.flat_map(|device| &mut device.taints).flatten() {
        taint.time_added.get_or_insert(Time(now));
    }
}
