//! Rules for how a Service is reached: load balancers and traffic policies.

use api::field::{BadValue, Error, ErrorList, Path};
use api::names::{label_key, port_number};
use k8s_openapi::api::core::v1::{Service, ServiceSpec};

use super::super::spec::{self, CLUSTER, CLUSTER_IP, LOAD_BALANCER, LOCAL, Meaning, NODE_PORT};
use super::spec_path;
use crate::resources::addresses::legacy_cidr;

/// The predecessor of `loadBalancerSourceRanges`, as a comma-separated list.
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
const ONLY_BALANCED: &str = "may only be used when `type` is 'LoadBalancer'";
const DISTRIBUTIONS: [&str; 3] = ["PreferClose", "PreferSameZone", "PreferSameNode"];

/// The ranges that may reach a load balancer, in the field or else in the annotation. Spaces around a range are allowed,
/// since they were in the annotation.
pub(super) fn source_ranges(service: &Service, old: Option<&Service>) -> ErrorList {
    let mut errors = ErrorList::new();
    let kind_fits = spec::with(service, |spec| spec.kind() == LOAD_BALANCER);
    let ranges = |service: &Service| -> Vec<String> {
        let ranges = service.spec.as_ref().and_then(|spec| spec.load_balancer_source_ranges.as_ref());
        ranges.into_iter().flatten().map(|range| range.trim().to_owned()).collect()
    };
    let annotated = |service: &Service| -> Option<Vec<String>> {
        let text = service.metadata.annotations.as_ref()?.get(SOURCE_RANGES)?.trim();
        let ranges =
            if text.is_empty() { Vec::new() } else { text.split(',').map(|range| range.trim().to_owned()).collect() };
        Some(ranges)
    };
    let in_field = ranges(service);
    if !in_field.is_empty() {
        // The field's name begins with a small letter, but upstream's messages do not.
        let path = spec_path("LoadBalancerSourceRanges");
        if !kind_fits {
            errors.push(Error::forbidden(&path, ONLY_BALANCED));
        }
        let stored = old.map(ranges).unwrap_or_default();
        for (i, range) in in_field.iter().enumerate() {
            errors.extend(legacy_cidr(&path.index(i), range, &stored));
        }
    } else if let Some(in_annotation) = annotated(service) {
        let path = Path::new("metadata").child("annotations").key(SOURCE_RANGES);
        if !kind_fits {
            errors.push(Error::forbidden(&path, ONLY_BALANCED));
        }
        let stored = old.and_then(annotated).unwrap_or_default();
        errors.extend(in_annotation.iter().flat_map(|range| legacy_cidr(&path, range, &stored)));
    }
    errors
}

/// `allocateLoadBalancerNodePorts` is set for load balancers and for nothing else.
pub(super) fn load_balancer(spec: &ServiceSpec) -> ErrorList {
    match spec.allocate_load_balancer_node_ports {
        Some(_) if spec.kind() != LOAD_BALANCER => {
            Error::forbidden(&spec_path("allocateLoadBalancerNodePorts"), ONLY_BALANCED).into()
        }
        // Upstream leaves out `spec` here.
        None if spec.kind() == LOAD_BALANCER => Error::required(&Path::new("allocateLoadBalancerNodePorts"), "").into(),
        _ => ErrorList::new(),
    }
}

/// `loadBalancerClass` belongs to load balancers, and which of them serves one is decided once.
pub(super) fn load_balancer_class(spec: &ServiceSpec, old: Option<&ServiceSpec>) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = spec_path("loadBalancerClass");
    let class = spec.load_balancer_class.as_ref();
    if let Some(old) = old
        && old.kind() == LOAD_BALANCER
        && spec.kind() == LOAD_BALANCER
        && old.load_balancer_class.as_ref() != class
    {
        let value = class.map_or_else(BadValue::null, BadValue::from);
        errors.push(Error::invalid(&path, value, "may not change once set"));
    }
    match class {
        Some(class) if spec.kind() == LOAD_BALANCER => errors.push_invalid(&path, class, label_key(class)),
        Some(_) => errors.push(Error::forbidden(&path, ONLY_BALANCED)),
        None => {}
    }
    errors
}

/// Traffic policies, the port of health checks, and the distribution of traffic.
pub(super) fn traffic(spec: &ServiceSpec) -> ErrorList {
    let mut errors = external(spec);
    errors.extend(health_check(spec));
    let path = spec_path("internalTrafficPolicy");
    match spec.internal_traffic_policy.as_deref() {
        None if matches!(spec.kind(), CLUSTER_IP | NODE_PORT | LOAD_BALANCER) => {
            errors.push(Error::required(&path, ""));
        }
        None | Some(CLUSTER | LOCAL) => {}
        Some(other) => errors.push(Error::not_supported(&path, other, &[CLUSTER, LOCAL])),
    }
    if let Some(distribution) = &spec.traffic_distribution
        && !DISTRIBUTIONS.contains(&distribution.as_str())
    {
        errors.push(Error::not_supported(&spec_path("trafficDistribution"), distribution, &DISTRIBUTIONS));
    }
    errors
}

fn external(spec: &ServiceSpec) -> ErrorList {
    let path = spec_path("externalTrafficPolicy");
    match spec.external_traffic_policy.as_deref().unwrap_or_default() {
        "" if spec.is_externally_accessible() => Error::required(&path, "").into(),
        "" => ErrorList::new(),
        policy if !spec.is_externally_accessible() => {
            Error::invalid(&path, policy, "may only be set for externally-accessible services").into()
        }
        CLUSTER | LOCAL => ErrorList::new(),
        other => Error::not_supported(&path, other, &[CLUSTER, LOCAL]).into(),
    }
}

fn health_check(spec: &ServiceSpec) -> ErrorList {
    let path = spec_path("healthCheckNodePort");
    match spec.health_check_node_port() {
        0 if spec.needs_health_check() => Error::required(&path, "").into(),
        0 => ErrorList::new(),
        port if !spec.needs_health_check() => {
            let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            Error::invalid(&path, port, detail).into()
        }
        port => port_number(i64::from(port)).into_iter().map(|detail| Error::invalid(&path, port, detail)).collect(),
    }
}
