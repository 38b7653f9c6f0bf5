//! Rules for a Service's ports.

use std::collections::HashSet;

use api::field::{BadValue, Error, ErrorList, Path};
use api::names::{dns1123_label, label_key, port_name, port_number};
use k8s_openapi::api::core::v1::{ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::json;

use super::super::spec::{CLUSTER_IP, Meaning, node_port};
use super::spec_path;
use crate::resources::addresses::PROTOCOLS;

/// Where the kubelet listens.
const KUBELET_PORT: i32 = 10_250;

/// Each port by itself, and their names.
pub(super) fn validate(spec: &ServiceSpec) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut names = HashSet::new();
    let needs_name = spec.ports().len() > 1;
    for (i, port) in spec.ports().iter().enumerate() {
        let path = spec_path("ports").index(i);
        let name = port.name.as_deref().unwrap_or_default();
        if !name.is_empty() {
            errors.push_invalid(&path.child("name"), name, dns1123_label(name));
            if !names.insert(name) {
                errors.push(Error::duplicate(&path.child("name"), name));
            }
        } else if needs_name {
            errors.push(Error::required(&path.child("name"), ""));
        }
        errors.extend(one(port, &path));
    }
    errors
}

/// A load balancer must not open the kubelet's port: some clouds' firewalls then let everybody in.
pub(super) fn not_the_kubelets(spec: &ServiceSpec) -> ErrorList {
    let ports = spec.ports().iter().enumerate().filter(|(_, port)| port.port == KUBELET_PORT);
    let detail = format!("may not expose port {KUBELET_PORT} externally since it is used by kubelet");
    ports.map(|(i, port)| Error::invalid(&spec_path("ports").index(i), port.port, detail.clone())).collect()
}

/// No node port where the type has none, and no (protocol, port) or (protocol, node port) twice.
pub(super) fn distinct(spec: &ServiceSpec) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = |i| spec_path("ports").index(i);
    let with_node_port = || spec.ports().iter().enumerate().filter(|(_, port)| node_port(port) != 0);
    if spec.kind() == CLUSTER_IP {
        for (i, _) in with_node_port() {
            let detail = "may not be used when `type` is 'ClusterIP'";
            errors.push(Error::forbidden(&path(i).child("nodePort"), detail));
        }
    }
    let mut seen = HashSet::new();
    for (i, port) in with_node_port() {
        if !seen.insert((port.protocol.as_deref(), node_port(port))) {
            errors.push(Error::duplicate(&path(i).child("nodePort"), node_port(port)));
        }
    }
    let mut seen = HashSet::new();
    for (i, port) in spec.ports().iter().enumerate() {
        if !seen.insert((port.protocol.as_deref(), port.port)) {
            errors.push(Error::duplicate(&path(i), shown(port)));
        }
    }
    errors
}

fn one(port: &ServicePort, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let invalid_number = |path: &Path, number: i32| {
        let errors = port_number(i64::from(number)).into_iter().map(|detail| Error::invalid(path, number, detail));
        errors.collect::<ErrorList>()
    };
    errors.extend(invalid_number(&path.child("port"), port.port));
    let protocol = port.protocol.as_deref().unwrap_or_default();
    if protocol.is_empty() {
        errors.push(Error::required(&path.child("protocol"), ""));
    } else if !PROTOCOLS.contains(&protocol) {
        errors.push(Error::not_supported(&path.child("protocol"), protocol, &PROTOCOLS));
    }
    let target_path = path.child("targetPort");
    match &port.target_port {
        None => errors.extend(invalid_number(&target_path, 0)),
        Some(IntOrString::Int(number)) => errors.extend(invalid_number(&target_path, *number)),
        Some(IntOrString::String(name)) => errors.push_invalid(&target_path, name, port_name(name)),
    }
    if let Some(protocol) = &port.app_protocol {
        errors.push_invalid(&path.child("appProtocol"), protocol, label_key(protocol));
    }
    errors
}

/// The port as upstream's message shows it: what tells two ports apart, in a struct of the internal type.
fn shown(port: &ServicePort) -> BadValue {
    let protocol = json!(port.protocol.as_deref().unwrap_or_default());
    let number = port.port;
    BadValue::Json(format!(
        r#"{{"Name":"","Protocol":{protocol},"AppProtocol":null,"Port":{number},"TargetPort":0,"NodePort":0}}"#
    ))
}
