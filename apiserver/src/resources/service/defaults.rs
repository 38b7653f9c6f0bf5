//! What clients may leave out of a Service. What depends on the cluster's address ranges is not here: see `families`.

use k8s_openapi::api::core::v1::{ClientIPConfig, Service, SessionAffinityConfig};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::spec::{CLUSTER, CLUSTER_IP, LOAD_BALANCER, Meaning, NODE_PORT};

/// How long a client stays with its endpoint: three hours (`DefaultClientIPServiceAffinitySeconds`).
const AFFINITY_SECONDS: i32 = 10_800;

/// `SetDefaults_Service`.
pub(super) fn set(service: &mut Service) {
    let spec = service.spec.get_or_insert_default();
    fill(&mut spec.session_affinity, "None");
    match spec.session_affinity.as_deref() {
        Some("None") => spec.session_affinity_config = None,
        Some("ClientIP") => {
            let config = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
            if config.is_none_or(|client_ip| client_ip.timeout_seconds.is_none()) {
                let client_ip = ClientIPConfig { timeout_seconds: Some(AFFINITY_SECONDS) };
                spec.session_affinity_config = Some(SessionAffinityConfig { client_ip: Some(client_ip) });
            }
        }
        _ => {}
    }
    fill(&mut spec.type_, CLUSTER_IP);
    for port in spec.ports.iter_mut().flatten() {
        fill(&mut port.protocol, "TCP");
        let unset = match &port.target_port {
            None | Some(IntOrString::Int(0)) => true,
            Some(IntOrString::String(name)) => name.is_empty(),
            Some(IntOrString::Int(_)) => false,
        };
        if unset {
            port.target_port = Some(IntOrString::Int(port.port));
        }
    }
    if spec.is_externally_accessible() {
        fill(&mut spec.external_traffic_policy, CLUSTER);
    }
    if spec.internal_traffic_policy.is_none() && matches!(spec.kind(), CLUSTER_IP | NODE_PORT | LOAD_BALANCER) {
        spec.internal_traffic_policy = Some(CLUSTER.to_owned());
    }
    if spec.kind() == LOAD_BALANCER {
        spec.allocate_load_balancer_node_ports.get_or_insert(true);
        let status = service.status.as_mut().and_then(|status| status.load_balancer.as_mut());
        for ingress in status.and_then(|balancer| balancer.ingress.as_mut()).into_iter().flatten() {
            if ingress.ip.as_deref().is_some_and(|ip| !ip.is_empty()) {
                ingress.ip_mode.get_or_insert_with(|| "VIP".to_owned());
            }
        }
    }
}

/// Sets a text that is unset or empty, which for Go is the same.
fn fill(text: &mut Option<String>, value: &str) {
    if text.as_deref().is_none_or(str::is_empty) {
        *text = Some(value.to_owned());
    }
}
