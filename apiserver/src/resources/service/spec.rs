//! Reading a Service's spec: an unset list is an empty one, an unset number is 0, an unset text is empty.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};

pub(super) const CLUSTER_IP: &str = "ClusterIP";
pub(super) const NODE_PORT: &str = "NodePort";
pub(super) const LOAD_BALANCER: &str = "LoadBalancer";
pub(super) const EXTERNAL_NAME: &str = "ExternalName";

/// The cluster IP of a Service that has none because its clients shall find its endpoints themselves.
pub(super) const NONE: &str = "None";

pub(super) const IPV4: &str = "IPv4";
pub(super) const IPV6: &str = "IPv6";

pub(super) const SINGLE_STACK: &str = "SingleStack";
pub(super) const PREFER_DUAL_STACK: &str = "PreferDualStack";
pub(super) const REQUIRE_DUAL_STACK: &str = "RequireDualStack";

pub(super) const CLUSTER: &str = "Cluster";
pub(super) const LOCAL: &str = "Local";

/// What the fields mean.
pub(super) trait Meaning {
    fn kind(&self) -> &str;
    fn cluster_ip(&self) -> &str;
    fn cluster_ips(&self) -> &[String];
    fn families(&self) -> &[String];
    fn policy(&self) -> &str;
    fn ports(&self) -> &[ServicePort];
    fn external_ips(&self) -> &[String];
    fn has_selector(&self) -> bool;
    fn health_check_node_port(&self) -> i32;
    /// The node ports of the ports, in their order; without that of health checks.
    fn node_ports(&self) -> Vec<i32>;
    /// Whether this type has cluster IPs, of which `None` is one.
    fn needs_cluster_ip(&self) -> bool;
    /// Whether this type has node ports.
    fn needs_node_port(&self) -> bool;
    /// Whether load balancers need a port on which nodes tell whether they have endpoints.
    fn needs_health_check(&self) -> bool;
    /// Whether anything outside of the cluster reaches the Service.
    fn is_externally_accessible(&self) -> bool;
    /// Whether the one cluster IP is `None`.
    fn is_headless(&self) -> bool;
}

impl Meaning for ServiceSpec {
    fn kind(&self) -> &str {
        self.type_.as_deref().unwrap_or_default()
    }

    fn cluster_ip(&self) -> &str {
        self.cluster_ip.as_deref().unwrap_or_default()
    }

    fn cluster_ips(&self) -> &[String] {
        self.cluster_ips.as_deref().unwrap_or_default()
    }

    fn families(&self) -> &[String] {
        self.ip_families.as_deref().unwrap_or_default()
    }

    fn policy(&self) -> &str {
        self.ip_family_policy.as_deref().unwrap_or_default()
    }

    fn ports(&self) -> &[ServicePort] {
        self.ports.as_deref().unwrap_or_default()
    }

    fn external_ips(&self) -> &[String] {
        self.external_ips.as_deref().unwrap_or_default()
    }

    fn has_selector(&self) -> bool {
        self.selector.as_ref().is_some_and(|selector| !selector.is_empty())
    }

    fn health_check_node_port(&self) -> i32 {
        self.health_check_node_port.unwrap_or(0)
    }

    fn node_ports(&self) -> Vec<i32> {
        self.ports().iter().map(node_port).filter(|port| *port != 0).collect()
    }

    fn needs_cluster_ip(&self) -> bool {
        self.kind() != EXTERNAL_NAME
    }

    fn needs_node_port(&self) -> bool {
        matches!(self.kind(), NODE_PORT | LOAD_BALANCER)
    }

    fn needs_health_check(&self) -> bool {
        self.kind() == LOAD_BALANCER && self.external_traffic_policy.as_deref() == Some(LOCAL)
    }

    fn is_externally_accessible(&self) -> bool {
        self.needs_node_port() || (self.kind() == CLUSTER_IP && !self.external_ips().is_empty())
    }

    fn is_headless(&self) -> bool {
        matches!(self.cluster_ips(), [ip] if ip == NONE)
    }
}

/// The node port of a port, or 0.
pub(super) fn node_port(port: &ServicePort) -> i32 {
    port.node_port.unwrap_or(0)
}

/// A list as the API has it: none is unset.
pub(super) fn list<T>(items: Vec<T>) -> Option<Vec<T>> {
    (!items.is_empty()).then_some(items)
}

/// Calls `f` with the spec; a Service without one has an empty one.
pub(super) fn with<R>(service: &Service, f: impl FnOnce(&ServiceSpec) -> R) -> R {
    match &service.spec {
        Some(spec) => f(spec),
        None => f(&ServiceSpec::default()),
    }
}
