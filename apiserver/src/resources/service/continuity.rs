//! What an update means for values that were allocated: what the client left out stays, linked fields follow each other,
//! and what the new type has no use for goes.
//!
//! Services are a union whose discriminator is `type`. Clients that submit the same manifest again must succeed, and
//! clients that know only `clusterIP` must be able to change a Service that has `clusterIPs`, too.

use k8s_openapi::api::core::v1::{LoadBalancerStatus, Service, ServiceSpec};

use super::spec::{LOAD_BALANCER, Meaning, list, node_port};

/// Keeps the cluster IPs, node ports and health check port that the client left out (`patchAllocatedValues`).
pub(super) fn keep_allocated(new: &mut ServiceSpec, old: &ServiceSpec) {
    if old.needs_cluster_ip() && new.needs_cluster_ip() {
        if new.cluster_ip().is_empty() {
            new.cluster_ip.clone_from(&old.cluster_ip);
        }
        if new.cluster_ips().is_empty() {
            new.cluster_ips.clone_from(&old.cluster_ips);
        }
    }
    if old.needs_node_port() && new.needs_node_port() {
        let (before, after) = (old.node_ports(), new.node_ports());
        for port in new.ports.iter_mut().flatten().filter(|port| node_port(port) == 0) {
            // The last of several ports of that name, as Go's map has it.
            let same = old.ports().iter().rev().find(|old| old.name == port.name).map_or(0, node_port);
            let is_in_use = before.contains(&same) && after.contains(&same);
            if same != 0 && !is_in_use {
                port.node_port = Some(same);
            }
        }
    }
    if old.needs_health_check() && new.needs_health_check() && new.health_check_node_port() == 0 {
        new.health_check_node_port = old.health_check_node_port;
    }
}

/// Makes `clusterIPs` follow `clusterIP` (`normalizeClusterIPs`). Whatever contradicts itself is left to validation.
pub(super) fn follow_cluster_ip(new: &mut ServiceSpec, old: Option<&ServiceSpec>) {
    let Some(old) = old else {
        if !new.cluster_ip().is_empty() && new.cluster_ips().is_empty() {
            new.cluster_ips = Some(vec![new.cluster_ip().to_owned()]);
        }
        return;
    };
    let is_same = old.cluster_ip() == new.cluster_ip();
    if new.cluster_ips().is_empty() && is_same {
        new.cluster_ips.clone_from(&old.cluster_ips);
    }
    if !is_same && old.cluster_ips() == new.cluster_ips() {
        // The client knows only the singular.
        new.cluster_ips = list(vec![new.cluster_ip().to_owned()].into_iter().filter(|ip| !ip.is_empty()).collect());
    }
}

/// Clears what the new type has no use for, if the client did not change it as well (`dropTypeDependentFields`).
pub(super) fn drop_unused(new: &mut Service, old: &Service) {
    let (Some(spec), Some(old)) = (new.spec.as_mut(), old.spec.as_ref()) else { return };
    if old.needs_cluster_ip() && !spec.needs_cluster_ip() {
        if old.cluster_ip() == spec.cluster_ip() && old.cluster_ips() == spec.cluster_ips() {
            spec.cluster_ip = None;
            spec.cluster_ips = None;
        }
        if old.families() == spec.families() {
            spec.ip_families = None;
        }
        if old.policy() == spec.policy() {
            spec.ip_family_policy = None;
        }
    }
    if old.needs_node_port() && !spec.needs_node_port() {
        let before = old.node_ports();
        if spec.node_ports().iter().all(|port| before.contains(port)) {
            spec.ports.iter_mut().flatten().for_each(|port| port.node_port = None);
        }
    }
    if old.needs_health_check()
        && !spec.needs_health_check()
        && old.health_check_node_port() == spec.health_check_node_port()
    {
        spec.health_check_node_port = None;
    }
    let was_balanced = old.kind() == LOAD_BALANCER;
    let is_balanced = spec.kind() == LOAD_BALANCER;
    if was_balanced && !is_balanced {
        if old.allocate_load_balancer_node_ports == spec.allocate_load_balancer_node_ports {
            spec.allocate_load_balancer_node_ports = None;
        }
        if old.load_balancer_class == spec.load_balancer_class {
            spec.load_balancer_class = None;
        }
    }
    if old.needs_node_port() && !spec.needs_node_port() && old.external_traffic_policy == spec.external_traffic_policy {
        spec.external_traffic_policy = None;
    }
    if !is_balanced {
        new.status.get_or_insert_default().load_balancer = Some(LoadBalancerStatus::default());
    }
}
