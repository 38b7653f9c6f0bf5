//! What a Service takes of a quota.

use crate::pod_resources::List;
use k8s_openapi::api::core::v1::Service;

use super::names::number;

const COUNT: &str = "count/services";
const SERVICES: &str = "services";
const LOAD_BALANCERS: &str = "services.loadbalancers";
const NODE_PORTS: &str = "services.nodeports";

/// Whether Services take what the name says.
#[must_use]
pub fn measures(name: &str) -> bool {
    matches!(name, COUNT | SERVICES | LOAD_BALANCERS | NODE_PORTS)
}

/// What a Service takes. Ports that are still to be allocated count; with load balancers that get none, those that are stated.
#[must_use]
pub fn usage(service: &Service) -> List {
    let spec = service.spec.clone().unwrap_or_default();
    let ports = spec.ports.unwrap_or_default();
    let stated = || ports.iter().filter(|port| port.node_port.is_some_and(|port| port != 0)).count();
    let (load_balancers, node_ports) = match spec.type_.as_deref() {
        Some("NodePort") => (0, ports.len()),
        Some("LoadBalancer") if spec.allocate_load_balancer_node_ports == Some(false) => (1, stated()),
        Some("LoadBalancer") => (1, ports.len()),
        _ => (0, 0),
    };
    let counts = [(COUNT, 1), (SERVICES, 1), (LOAD_BALANCERS, load_balancers), (NODE_PORTS, node_ports)];
    counts.into_iter().map(|(name, count)| (name.to_owned(), number(count))).collect()
}
