//! How Services are shown.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::spec::{CLUSTER_IP, EXTERNAL_NAME, LOAD_BALANCER, Meaning, NODE_PORT, node_port};
use crate::strategy::{AGE_COLUMN, Column, NAME_COLUMN};

/// Name, type, address, address from outside, ports, age; and with `-o wide` the selector.
pub(super) const COLUMNS: &[Column] = &[
    NAME_COLUMN,
    Column::new(
        "Type",
        "type determines how the Service is exposed. Defaults to ClusterIP. Valid options are ExternalName, ClusterIP, \
         NodePort, and LoadBalancer. \"ClusterIP\" allocates a cluster-internal IP address for load-balancing to \
         endpoints. Endpoints are determined by the selector or if that is not specified, by manual construction of an \
         Endpoints object or EndpointSlice objects. If clusterIP is \"None\", no virtual IP is allocated and the endpoints \
         are published as a set of endpoints rather than a virtual IP. \"NodePort\" builds on ClusterIP and allocates a \
         port on every node which routes to the same endpoints as the clusterIP. \"LoadBalancer\" builds on NodePort and \
         creates an external load-balancer (if supported in the current cloud) which routes to the same endpoints as the \
         clusterIP. \"ExternalName\" aliases this service to the specified externalName. Several other fields do not apply \
         to ExternalName services. More info: \
         https://kubernetes.io/docs/concepts/services-networking/service/#publishing-services-service-types",
    ),
    Column::new(
        "Cluster-IP",
        "clusterIP is the IP address of the service and is usually assigned randomly. If an address is specified \
         manually, is in-range (as per system configuration), and is not in use, it will be allocated to the service; \
         otherwise creation of the service will fail. This field may not be changed through updates unless the type field \
         is also being changed to ExternalName (which requires this field to be blank) or the type field is being changed \
         from ExternalName (in which case this field may optionally be specified, as describe above).  Valid values are \
         \"None\", empty string (\"\"), or a valid IP address. Setting this to \"None\" makes a \"headless service\" (no \
         virtual IP), which is useful when direct endpoint connections are preferred and proxying is not required.  Only \
         applies to types ClusterIP, NodePort, and LoadBalancer. If this field is specified when creating a Service of \
         type ExternalName, creation will fail. This field will be wiped when updating a Service to type ExternalName. \
         More info: https://kubernetes.io/docs/concepts/services-networking/service/#virtual-ips-and-service-proxies",
    ),
    Column::new(
        "External-IP",
        "externalIPs is a list of IP addresses for which nodes in the cluster will also accept traffic for this service.  \
         These IPs are not managed by Kubernetes.  The user is responsible for ensuring that traffic arrives at a node \
         with this IP.  A common example is external load-balancers that are not part of the Kubernetes system.",
    ),
    Column::new(
        "Port(s)",
        "The list of ports that are exposed by this service. More info: \
         https://kubernetes.io/docs/concepts/services-networking/service/#virtual-ips-and-service-proxies",
    ),
    AGE_COLUMN,
    Column::new(
        "Selector",
        "Route service traffic to pods with label keys and values matching this selector. If empty or not present, the \
         service is assumed to have an external process managing its endpoints, which Kubernetes will not modify. Only \
         applies to types ClusterIP, NodePort, and LoadBalancer. Ignored if type is ExternalName. More info: \
         https://kubernetes.io/docs/concepts/services-networking/service/",
    )
    .wide(),
];

/// The cells of one Service.
pub(super) fn row(service: &Service, now: Timestamp) -> Vec<Value> {
    let none = ServiceSpec::default();
    let spec = service.spec.as_ref().unwrap_or(&none);
    let labels = spec.selector.iter().flatten().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>();
    vec![
        service.metadata.name.clone().into(),
        spec.kind().into(),
        spec.cluster_ips().first().map_or("<none>", String::as_str).into(),
        external_ip(service, spec).into(),
        or_none(spec.ports().iter().map(shown_port).collect()).into(),
        api::duration::age(service.metadata.creation_timestamp.as_ref(), now).into(),
        or_none(labels).into(),
    ]
}

fn external_ip(service: &Service, spec: &ServiceSpec) -> String {
    match spec.kind() {
        CLUSTER_IP | NODE_PORT => or_none(spec.external_ips().to_vec()),
        LOAD_BALANCER => {
            let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
            let ingress = balancer.and_then(|balancer| balancer.ingress.as_ref()).into_iter().flatten();
            let address = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
            let balanced: BTreeSet<String> =
                ingress.filter_map(|ingress| address(&ingress.ip).or_else(|| address(&ingress.hostname))).collect();
            let all: Vec<String> = balanced.into_iter().chain(spec.external_ips().iter().cloned()).collect();
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        EXTERNAL_NAME => spec.external_name.clone().unwrap_or_default(),
        _ => "<unknown>".to_owned(),
    }
}

fn shown_port(port: &ServicePort) -> String {
    let protocol = port.protocol.as_deref().unwrap_or_default();
    match node_port(port) {
        node_port if node_port > 0 => format!("{}:{node_port}/{protocol}", port.port),
        _ => format!("{}/{protocol}", port.port),
    }
}

fn or_none(items: Vec<String>) -> String {
    if items.is_empty() { "<none>".to_owned() } else { items.join(",") }
}
