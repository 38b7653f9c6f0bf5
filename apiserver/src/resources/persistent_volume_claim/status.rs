//! The status of a claim (`ValidatePersistentVolumeClaimStatusUpdate`): sizes, and how far changes of them have come.

use std::collections::BTreeMap;

use api::field::{Error, ErrorList, Path};
use api::names;
use api::quantity::Quantity;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use super::STORAGE;
use crate::resources::pod_spec::absent::list;
use crate::resources::pod_spec::rules::{basic_quantity, named, supported};

const RESIZE_STATES: &[&str] = &[
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
];

/// What is wrong with the status of a changed claim.
pub(super) fn validate(claim: &PersistentVolumeClaim) -> ErrorList {
    let mut errors = ErrorList::new();
    if claim.spec.as_ref().is_none_or(|spec| list(&spec.access_modes).is_empty()) {
        // Upstream writes the field so.
        errors.push(Error::required(&Path::new("Spec").child("accessModes"), ""));
    }
    let Some(status) = &claim.status else { return errors };
    let path = Path::new("status");
    errors.extend(validate_quantities(status.capacity.as_ref(), &path.child("capacity")));
    // Upstream calls the field so.
    let states_path = path.child("allocatedResourceStatus");
    for (resource, state) in status.allocated_resource_statuses.iter().flatten() {
        errors.extend(validate_resource(resource, &states_path));
        // It is the resource that upstream shows.
        if !RESIZE_STATES.contains(&&**state) {
            errors.push(Error::not_supported(&states_path, resource, RESIZE_STATES));
        }
    }
    let allocated_path = path.child("allocatedResources");
    for (resource, quantity) in status.allocated_resources.iter().flatten() {
        let name_errors = validate_resource(resource, &allocated_path);
        if name_errors.is_empty() {
            errors.extend(validate_quantity(quantity, &allocated_path.key(resource)));
        }
        errors.extend(name_errors);
    }
    errors
}

/// A claim's own resource is its size. Others belong to somebody else, whose domain they name.
fn validate_resource(name: &str, path: &Path) -> ErrorList {
    let errors = named(name, names::label_key(name), path);
    let is_native = !name.contains('/') || name.contains("kubernetes.io/");
    if errors.is_empty() && is_native {
        return supported(name, &[STORAGE], path).into_iter().collect();
    }
    errors
}

fn validate_quantities(quantities: Option<&BTreeMap<String, ApiQuantity>>, path: &Path) -> ErrorList {
    let quantities = quantities.into_iter().flatten();
    quantities.filter_map(|(resource, quantity)| validate_quantity(quantity, &path.key(resource))).collect()
}

fn validate_quantity(quantity: &ApiQuantity, path: &Path) -> Option<Error> {
    match Quantity::try_from(quantity) {
        Err(error) => Some(Error::invalid(path, &*quantity.0, error.to_string())),
        Ok(parsed) => basic_quantity(&parsed, path),
    }
}
