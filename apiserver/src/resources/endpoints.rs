//! Endpoints: where a Service's traffic goes, in the form that EndpointSlices have succeeded.

#[cfg(test)]
mod tests;

use api::field::{Error, ErrorList, Path};
use api::names::{dns1123_label, label_key, object_dns_subdomain, port_number};
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::addresses::{PROTOCOLS, ip_warnings, legacy_ip, not_special};
use crate::strategy::{AGE_COLUMN, Column, NAME_COLUMN, Names, Strategy};

/// What upstream answers to every request for Endpoints. Strategies are asked for warnings on writes only.
pub(crate) const DEPRECATION: &str = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice";

/// The label by which the endpoints controller marks what it has made, and what it says.
const MANAGED_BY: (&str, &str) = ("endpoints.kubernetes.io/managed-by", "endpoint-controller");

/// How many addresses a table shows.
const MAX_SHOWN: usize = 3;

const COLUMNS: &[Column] = &[
    NAME_COLUMN,
    Column::new(
        "Endpoints",
        "The set of all endpoints is the union of all subsets. Addresses are placed into subsets according to the IPs they \
         share. A single address with multiple ports, some of which are ready and some of which are not (because they come \
         from different containers) will result in the address being displayed in different subsets for the different \
         ports. No address will appear in both Addresses and NotReadyAddresses in the same subset. Sets of addresses and \
         ports that comprise a service.",
    ),
    AGE_COLUMN,
];

pub(crate) struct EndpointsKind;

impl Strategy for EndpointsKind {
    type Object = Endpoints;

    fn names(&self) -> Names {
        Names::of::<Endpoints>("endpoints", true).short(&["ep"])
    }

    fn default(&self, object: &mut Endpoints) {
        let subsets = object.subsets.iter_mut().flatten();
        for port in subsets.flat_map(|subset| subset.ports.iter_mut().flatten()) {
            if port.protocol.as_deref().is_none_or(str::is_empty) {
                port.protocol = Some("TCP".to_owned());
            }
        }
    }

    fn validate(&self, object: &Endpoints) -> ErrorList {
        let subsets = object.subsets.iter().flatten().enumerate();
        subsets.flat_map(|(i, subset)| validate_subset(subset, &Path::new("subsets").index(i))).collect()
    }

    fn validate_update(&self, new: &Endpoints, old: &Endpoints) -> ErrorList {
        // What was stored under older rules stays valid until it is changed.
        let is_unchanged = new.subsets.as_deref().unwrap_or_default() == old.subsets.as_deref().unwrap_or_default();
        if is_unchanged { ErrorList::new() } else { self.validate(new) }
    }

    fn warnings(&self, new: &Endpoints, _: Option<&Endpoints>) -> Vec<String> {
        let mut warnings = vec![DEPRECATION.to_owned()];
        let (label, controller) = MANAGED_BY;
        let labels = new.metadata.labels.as_ref();
        if labels.and_then(|labels| labels.get(label)).is_some_and(|value| value == controller) {
            return warnings;
        }
        for (i, subset) in new.subsets.iter().flatten().enumerate() {
            let path = Path::new("subsets").index(i);
            for (field, addresses) in
                [("addresses", &subset.addresses), ("notReadyAddresses", &subset.not_ready_addresses)]
            {
                for (j, address) in addresses.iter().flatten().enumerate() {
                    warnings.extend(ip_warnings(&path.child(field).index(j).child("ip"), &address.ip));
                }
            }
        }
        warnings
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &Endpoints, now: Timestamp) -> Vec<Value> {
        let age = api::duration::age(object.metadata.creation_timestamp.as_ref(), now);
        vec![object.metadata.name.clone().into(), shown(object).into(), age.into()]
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }
}

fn validate_subset(subset: &EndpointSubset, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (ready, not_ready) =
        (subset.addresses.as_deref().unwrap_or_default(), subset.not_ready_addresses.as_deref().unwrap_or_default());
    if ready.is_empty() && not_ready.is_empty() {
        errors.push(Error::required(path, "must specify `addresses` or `notReadyAddresses`"));
    }
    for (field, addresses) in [("addresses", ready), ("notReadyAddresses", not_ready)] {
        for (i, address) in addresses.iter().enumerate() {
            errors.extend(validate_address(address, &path.child(field).index(i)));
        }
    }
    let ports = subset.ports.as_deref().unwrap_or_default();
    for (i, port) in ports.iter().enumerate() {
        errors.extend(validate_port(port, ports.len() > 1, &path.child("ports").index(i)));
    }
    errors
}

fn validate_address(address: &EndpointAddress, path: &Path) -> ErrorList {
    let mut errors = legacy_ip(&path.child("ip"), &address.ip, &[]);
    if let Some(hostname) = address.hostname.as_deref().filter(|hostname| !hostname.is_empty()) {
        errors.push_invalid(&path.child("hostname"), hostname, dns1123_label(hostname));
    }
    if let Some(node) = &address.node_name {
        errors.push_invalid(&path.child("nodeName"), node, object_dns_subdomain(node, false));
    }
    errors.extend(not_special(&path.child("ip"), &address.ip));
    errors
}

fn validate_port(port: &EndpointPort, needs_name: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let name = port.name.as_deref().unwrap_or_default();
    if !name.is_empty() {
        errors.push_invalid(&path.child("name"), name, dns1123_label(name));
    } else if needs_name {
        errors.push(Error::required(&path.child("name"), ""));
    }
    let numbers = port_number(i64::from(port.port)).into_iter();
    errors.extend(numbers.map(|detail| Error::invalid(&path.child("port"), port.port, detail)));
    let protocol = port.protocol.as_deref().unwrap_or_default();
    if protocol.is_empty() {
        errors.push(Error::required(&path.child("protocol"), ""));
    } else if !PROTOCOLS.contains(&protocol) {
        errors.push(Error::not_supported(&path.child("protocol"), protocol, &PROTOCOLS));
    }
    if let Some(protocol) = &port.app_protocol {
        errors.push_invalid(&path.child("appProtocol"), protocol, label_key(protocol));
    }
    errors
}

/// The first ready addresses with their ports. Subsets without ports belong to headless Services without ports.
fn shown(object: &Endpoints) -> String {
    let subsets = object.subsets.as_deref().unwrap_or_default();
    if subsets.is_empty() {
        return "<none>".to_owned();
    }
    let mut shown = Vec::new();
    let mut count = 0;
    for subset in subsets {
        let addresses = subset.addresses.as_deref().unwrap_or_default();
        let ports = subset.ports.as_deref().unwrap_or_default();
        count += addresses.len() * ports.len().max(1);
        let pairs = ports.iter().flat_map(|port| addresses.iter().map(|address| host_port(&address.ip, port.port)));
        let bare = addresses.iter().filter(|_| ports.is_empty()).map(|address| address.ip.clone());
        shown.extend(pairs.chain(bare).take(MAX_SHOWN - shown.len()));
    }
    let text = shown.join(",");
    if count > MAX_SHOWN { format!("{text} + {} more...", count - MAX_SHOWN) } else { text }
}

fn host_port(ip: &str, port: i32) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}
