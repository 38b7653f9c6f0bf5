//! What a node must be, and how it may change (`ValidateNode`, `ValidateNodeUpdate`).

use std::collections::{BTreeMap, HashSet};

use api::field::{BadValue, Error, ErrorList, Path};
use api::names::{label_key, legacy_cidr, parse_cidr_sloppy};
use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{Node, NodeAddress, NodeSpec, NodeStatus, Taint};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use serde::Serialize;

use super::{annotations, config_source, declared_features, taints};

/// Resources without a domain that are counted in whole numbers.
const INTEGER_RESOURCES: [&str; 9] = [
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
];

/// What is wrong with a node.
pub(super) fn validate(node: &Node) -> ErrorList {
    let metadata = Path::new("metadata");
    let mut errors = annotations::validate(node.metadata.annotations.as_ref(), &metadata.child("annotations"));
    // Upstream places taints in the metadata.
    errors.extend(taints::validate(taints_of(node), &metadata.child("taints")));
    if let Some(status) = &node.status {
        errors.extend(validate_resources(status));
        let swap = status.node_info.as_ref().and_then(|info| info.swap.as_ref());
        if let Some(capacity) = swap.and_then(|swap| swap.capacity).filter(|capacity| *capacity <= 0) {
            let path = metadata.child("nodeSwapStatus").child("capacity");
            errors.push(Error::invalid(&path, capacity.to_string(), "must be greater than zero"));
        }
        errors.extend(validate_declared_features(status));
    }
    errors.extend(validate_pod_cidrs(pod_cidrs(node), &Path::new("spec").child("podCIDRs")));
    errors
}

/// What is wrong with the change of a node or of its status.
pub(super) fn validate_change(new: &Node, old: &Node) -> ErrorList {
    let (metadata, spec_path) = (Path::new("metadata"), Path::new("spec"));
    let mut errors = annotations::validate(new.metadata.annotations.as_ref(), &metadata.child("annotations"));
    if let Some(status) = &new.status {
        errors.extend(validate_resources(status));
        errors.extend(validate_declared_features(status));
        errors.extend(validate_addresses(status.addresses.as_deref().unwrap_or_default()));
    }
    errors.extend(validate_pod_cidrs_change(pod_cidrs(new), pod_cidrs(old), &spec_path.child("podCIDRs")));
    let text = |node: &Node, read: fn(&NodeSpec) -> &Option<String>| {
        node.spec.as_ref().and_then(|spec| read(spec).clone()).unwrap_or_default()
    };
    let old_provider = text(old, |spec| &spec.provider_id);
    if !old_provider.is_empty() && old_provider != text(new, |spec| &spec.provider_id) {
        let detail = "node updates may not change providerID except from \"\" to valid";
        errors.push(Error::forbidden(&spec_path.child("providerID"), detail));
    }
    if let Some(source) = new.spec.as_ref().and_then(|spec| spec.config_source.as_ref()) {
        errors.extend(config_source::validate_spec(source, &spec_path.child("configSource")));
    }
    if let Some(config) = new.status.as_ref().and_then(|status| status.config.as_ref()) {
        errors.extend(config_source::validate_status(config, &Path::new("status").child("config")));
    }
    errors.extend(taints::validate(taints_of(new), &metadata.child("taints")));
    if text(new, |spec| &spec.external_id) != text(old, |spec| &spec.external_id) {
        errors.push(Error::forbidden(&spec_path.child("externalID"), "may not be updated"));
    }
    errors
}

fn taints_of(node: &Node) -> &[Taint] {
    node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
}

fn pod_cidrs(node: &Node) -> &[String] {
    node.spec.as_ref().and_then(|spec| spec.pod_cidrs.as_deref()).unwrap_or_default()
}

fn validate_declared_features(status: &NodeStatus) -> ErrorList {
    let features = status.declared_features.as_deref().unwrap_or_default();
    declared_features::validate(features, &Path::new("status").child("declaredFeatures"))
}

fn validate_resources(status: &NodeStatus) -> ErrorList {
    let path = Path::new("status");
    let check = |name: &str, list: &Option<BTreeMap<String, ApiQuantity>>| -> ErrorList {
        let path = path.child(name);
        list.iter()
            .flatten()
            .flat_map(|(name, quantity)| validate_quantity(name, quantity, &path.child(name)))
            .collect()
    };
    let mut errors = check("capacity", &status.capacity);
    errors.extend(check("allocatable", &status.allocatable));
    errors
}

fn validate_quantity(resource: &str, quantity: &ApiQuantity, path: &Path) -> ErrorList {
    let quantity = match Quantity::try_from(quantity) {
        Ok(quantity) => quantity,
        Err(error) => return Error::invalid(path, &quantity.0, error.to_string()).into(),
    };
    let mut errors = ErrorList::new();
    if quantity.signum() < 0 {
        errors.push(Error::invalid(path, quantity.to_string(), "must be greater than or equal to 0"));
    }
    if is_counted(resource) && quantity.milli_value() % 1000 != 0 {
        errors.push(Error::invalid(path, quantity.to_string(), "must be an integer"));
    }
    errors
}

/// Whether a resource has whole numbers only: some standard ones, and all that extend them.
fn is_counted(resource: &str) -> bool {
    let is_native = !resource.contains('/') || resource.contains("kubernetes.io/");
    let is_extended = || !resource.starts_with("requests.") && label_key(&format!("requests.{resource}")).is_empty();
    INTEGER_RESOURCES.contains(&resource) || (!is_native && is_extended())
}

fn validate_addresses(addresses: &[NodeAddress]) -> ErrorList {
    /// An address as messages show it: upstream's internal type, whose fields have Go's names.
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Shown<'a> {
        r#type: &'a str,
        address: &'a str,
    }
    let path = Path::new("status").child("addresses");
    let mut seen = HashSet::new();
    let repeated = addresses.iter().enumerate().filter(|(_, each)| !seen.insert((&each.type_, &each.address)));
    repeated
        .map(|(i, each)| {
            let shown = Shown { r#type: &each.type_, address: &each.address };
            Error::duplicate(&path.index(i), BadValue::json(&shown))
        })
        .collect()
}

fn validate_pod_cidrs(cidrs: &[String], path: &Path) -> ErrorList {
    let mut errors: ErrorList =
        cidrs.iter().enumerate().flat_map(|(i, cidr)| legacy_cidr(&path.index(i), cidr, false)).collect();
    if cidrs.len() < 2 {
        return errors;
    }
    let parsed: Vec<_> = cidrs.iter().map(|cidr| parse_cidr_sloppy(cidr)).collect();
    if let Some(i) = parsed.iter().position(Option::is_none) {
        let cidr = &cidrs[i];
        errors.push(Error::internal(
            path,
            format!(
                "invalid PodCIDRs. failed to check with dual stack with error:invalid CIDR[{i}]: <nil> (invalid CIDR \
                 address: {cidr})"
            ),
        ));
    }
    let families: Option<Vec<bool>> = parsed.iter().map(|cidr| Some(cidr.as_ref()?.address.is_ipv4())).collect();
    let is_dual_stack = families.is_some_and(|families| families.contains(&true) && families.contains(&false));
    if !is_dual_stack || cidrs.len() > 2 {
        errors.push(Error::invalid(path, cidrs, "may specify no more than one CIDR for each IP family"));
    }
    let mut seen = HashSet::new();
    let repeated = cidrs.iter().enumerate().filter(|(_, cidr)| !seen.insert(*cidr));
    errors.extend(repeated.map(|(i, cidr)| Error::duplicate(&path.index(i), cidr)));
    errors
}

/// Ranges are assigned once: one error for a list of another length, otherwise one for each that differs.
fn validate_pod_cidrs_change(new: &[String], old: &[String], path: &Path) -> ErrorList {
    let changed = if old.is_empty() {
        0
    } else if old.len() != new.len() {
        1
    } else {
        old.iter().zip(new).filter(|(old, new)| old != new).count()
    };
    let error = || Error::forbidden(path, "node updates may not change podCIDR except from \"\" to valid");
    std::iter::repeat_with(error).take(changed).collect()
}
