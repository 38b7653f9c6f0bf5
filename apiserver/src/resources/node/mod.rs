//! Nodes: the machines that pods run on.
//!
//! A node's addresses for pods and its provider's ID are set once. Its status may be set on creation, and later only
//! through the `status` subresource.

use std::collections::BTreeSet;

use api::field::ErrorList;
use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{Node, NodeSpec, NodeStatus, NodeSystemInfo};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use crate::strategy::{AGE_COLUMN, Column, Context, NAME_COLUMN, Names, SelectableField, Strategy, UpdateSubresource};

mod annotations;
mod config_source;
mod declared_features;
mod taints;
mod validation;
mod warnings;

/// Resources are counted in thousandths at the finest.
const MILLI: i8 = -3;
const ROLE_PREFIX: &str = "node-role.kubernetes.io/";
const ROLE: &str = "kubernetes.io/role";
const ADDRESSES: &str = "List of addresses reachable to the node. Queried from cloud provider, if available. More info: \
     https://kubernetes.io/docs/reference/node/node-status/#addresses Note: This field is declared as mergeable, but the \
     merge key is not sufficiently unique, which can cause data corruption when it is merged. Callers should instead use \
     a full-replacement patch. See https://pr.k8s.io/79391 for an example. Consumers should assume that addresses can \
     change during the lifetime of a Node. However, there are some exceptions where this may not be possible, such as \
     Pods that inherit a Node's address in its own status or consumers of the downward API (status.hostIP).";
const COLUMNS: &[Column] = &[
    NAME_COLUMN,
    Column::new("Status", "The status of the node"),
    Column::new("Roles", "The roles of the node"),
    AGE_COLUMN,
    Column::new("Version", "Kubelet Version reported by the node."),
    Column::new("Internal-IP", ADDRESSES).wide(),
    Column::new("External-IP", ADDRESSES).wide(),
    Column::new("OS-Image", "OS Image reported by the node from /etc/os-release (e.g. Debian GNU/Linux 7 (wheezy)).")
        .wide(),
    Column::new("Kernel-Version", "Kernel Version reported by the node from 'uname -r' (e.g. 3.16.0-0.bpo.4-amd64).")
        .wide(),
    Column::new(
        "Container-Runtime",
        "ContainerRuntime Version reported by the node through runtime remote API (e.g. containerd://1.4.2).",
    )
    .wide(),
];

pub(crate) struct Nodes;

impl Strategy for Nodes {
    type Object = Node;

    fn names(&self) -> Names {
        Names::of::<Node>("node", false).short(&["no"])
    }

    fn default(&self, object: &mut Node) {
        if let Some(spec) = &mut object.spec {
            agree_on_pod_cidrs(spec);
        }
        if let Some(status) = &mut object.status {
            default_resources(status);
        }
    }

    fn prepare_create(&self, object: &mut Node, _: Context<'_>) {
        if let Some(spec) = &mut object.spec {
            spec.config_source = None;
            spec.pod_preemption_policy = None;
        }
        if let Some(status) = &mut object.status {
            status.config = None;
        }
    }

    fn prepare_update(&self, new: &mut Node, old: &Node, _: Context<'_>) {
        new.status.clone_from(&old.status);
        let old = old.spec.as_ref();
        if let Some(spec) = &mut new.spec {
            if old.is_none_or(|old| old.config_source.is_none()) {
                spec.config_source = None;
            }
            // Upstream's gate InPlacePodVerticalScalingSchedulerPreemption is off.
            if old.is_none_or(|old| old.pod_preemption_policy.is_none()) {
                spec.pod_preemption_policy = None;
            }
        }
    }

    fn validate(&self, object: &Node) -> ErrorList {
        validation::validate(object)
    }

    fn validate_update(&self, new: &Node, old: &Node) -> ErrorList {
        let mut errors = validation::validate(new);
        errors.extend(validation::validate_change(new, old));
        errors
    }

    fn warnings(&self, new: &Node, _: Option<&Node>) -> Vec<String> {
        warnings::warnings(new)
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &Node, now: Timestamp) -> Vec<Value> {
        let info = object.status.as_ref().and_then(|status| status.node_info.as_ref());
        let version = info.map_or("", |info| &info.kubelet_version);
        let known = |read: fn(&NodeSystemInfo) -> &String| match info.map(read) {
            Some(text) if !text.is_empty() => text.clone(),
            _ => "<unknown>".to_owned(),
        };
        vec![
            object.metadata.name.clone().into(),
            readiness(object).into(),
            roles(object).into(),
            api::duration::age(object.metadata.creation_timestamp.as_ref(), now).into(),
            version.into(),
            address(object, "InternalIP").into(),
            address(object, "ExternalIP").into(),
            known(|info| &info.os_image).into(),
            known(|info| &info.kernel_version).into(),
            known(|info| &info.container_runtime_version).into(),
        ]
    }

    fn selectable_fields(&self) -> &'static [SelectableField] {
        const UNSCHEDULABLE: SelectableField =
            SelectableField { absent: "false", ..SelectableField::at("spec.unschedulable") };
        const { &[UNSCHEDULABLE] }
    }

    fn updates(&self) -> Vec<UpdateSubresource<Node>> {
        vec![UpdateSubresource {
            name: "status",
            prepare: |new, old, _| {
                new.spec.clone_from(&old.spec);
                if old.status.as_ref().is_none_or(|old| old.config.is_none())
                    && let Some(status) = &mut new.status
                {
                    status.config = None;
                }
            },
            validate: validation::validate_change,
        }]
    }
}

/// `podCIDR` is what older clients know of `podCIDRs`: its first. Where they differ, the older field counts.
fn agree_on_pod_cidrs(spec: &mut NodeSpec) {
    let single = spec.pod_cidr.take().filter(|cidr| !cidr.is_empty());
    let list = spec.pod_cidrs.take().unwrap_or_default();
    let list = match single {
        Some(single) if list.first() != Some(&single) => vec![single],
        _ => list,
    };
    spec.pod_cidr = list.first().cloned();
    spec.pod_cidrs = (!list.is_empty()).then_some(list);
}

/// What pods may use is everything, unless stated otherwise. Quantities are written canonically, rounded up to
/// thousandths; what is no quantity is left for validation.
fn default_resources(status: &mut NodeStatus) {
    if status.allocatable.is_none() {
        status.allocatable.clone_from(&status.capacity);
    }
    let lists = [&mut status.capacity, &mut status.allocatable];
    for quantity in lists.into_iter().flatten().flat_map(|list| list.values_mut()) {
        if let Ok(mut parsed) = Quantity::try_from(&*quantity) {
            parsed.round_up(MILLI);
            *quantity = (&parsed).into();
        }
    }
}

fn readiness(node: &Node) -> String {
    let mut conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    // Of several conditions of one type the last counts.
    let ready = conditions.rfind(|condition| condition.type_ == "Ready");
    let ready = match ready.map(|condition| &*condition.status) {
        None => "Unknown",
        Some("True") => "Ready",
        Some(_) => "NotReady",
    };
    let unschedulable = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false);
    format!("{ready}{}", if unschedulable { ",SchedulingDisabled" } else { "" })
}

fn roles(node: &Node) -> String {
    let labels = node.metadata.labels.iter().flatten();
    let roles: BTreeSet<&str> = labels
        .filter_map(|(key, value)| match key.strip_prefix(ROLE_PREFIX) {
            Some(role) => Some(role),
            None => (key == ROLE).then_some(&**value),
        })
        .filter(|role| !role.is_empty())
        .collect();
    if roles.is_empty() {
        return "<none>".to_owned();
    }
    roles.into_iter().collect::<Vec<_>>().join(",")
}

fn address<'a>(node: &'a Node, kind: &str) -> &'a str {
    let mut addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    addresses.find(|address| address.type_ == kind).map_or("<none>", |address| &address.address)
}

#[cfg(test)]
mod tests;
