//! What a Service must be like, and what of it may change (`ValidateService` and its variants).

pub(super) mod cluster_ips;
mod exposure;
mod ports;

use api::field::{Error, ErrorList, Path};
use api::names::{dns1123_subdomain, parse_ip_sloppy};
use api::selector::label::validate_labels;
use k8s_openapi::api::core::v1::{LoadBalancerIngress, Service, ServiceSpec, SessionAffinityConfig};

use super::spec::{self, CLUSTER_IP, EXTERNAL_NAME, LOAD_BALANCER, Meaning, NODE_PORT};
use crate::resources::addresses::{legacy_ip, not_special};

/// The longest that a client may stay with its endpoint: a day.
const MAX_AFFINITY_SECONDS: i32 = 86_400;

pub(super) const TOPOLOGY_MODE: &str = "service.kubernetes.io/topology-mode";
pub(super) const TOPOLOGY_HINTS: &str = "service.kubernetes.io/topology-aware-hints";

/// A new Service, or a changed one, whose `old` addresses need not meet newer rules.
pub(super) fn service(service: &Service, old: Option<&Service>) -> ErrorList {
    let mut errors = annotations(service);
    let none = ServiceSpec::default();
    let spec = service.spec.as_ref().unwrap_or(&none);
    let old_spec = old.and_then(|old| old.spec.as_ref());
    errors.extend(type_fits(spec));
    errors.extend(ports::validate(spec));
    errors.extend(validate_labels(spec.selector.as_ref(), &spec_path("selector")));
    errors.extend(affinity(spec));
    errors.extend(cluster_ips::consistent(spec, old_spec));
    let path = spec_path("externalIPs");
    for (i, ip) in spec.external_ips().iter().enumerate() {
        let malformed = legacy_ip(&path.index(i), ip, old_spec.map_or(&[], |old| old.external_ips()));
        let errors_of_ip = if malformed.is_empty() { not_special(&path.index(i), ip) } else { malformed };
        errors.extend(errors_of_ip);
    }
    let types = [CLUSTER_IP, EXTERNAL_NAME, LOAD_BALANCER, NODE_PORT];
    if spec.kind().is_empty() {
        errors.push(Error::required(&spec_path("type"), ""));
    } else if !types.contains(&spec.kind()) {
        errors.push(Error::not_supported(&spec_path("type"), spec.kind(), &types));
    }
    errors.extend(ports::distinct(spec));
    errors.extend(exposure::source_ranges(service, old));
    errors.extend(exposure::load_balancer(spec));
    errors.extend(exposure::load_balancer_class(spec, None));
    errors.extend(exposure::traffic(spec));
    errors
}

/// A changed Service.
pub(super) fn update(new: &Service, old: &Service) -> ErrorList {
    let none = ServiceSpec::default();
    let (spec, old_spec) = (new.spec.as_ref().unwrap_or(&none), old.spec.as_ref().unwrap_or(&none));
    let mut errors = cluster_ips::change(spec, old_spec);
    errors.extend(cluster_ips::families_change(spec, old_spec));
    errors.extend(exposure::load_balancer_class(spec, Some(old_spec)));
    if spec.needs_health_check()
        && old_spec.needs_health_check()
        && spec.health_check_node_port() != old_spec.health_check_node_port()
    {
        errors.push(Error::forbidden(&spec_path("healthCheckNodePort"), "field is immutable"));
    }
    errors.extend(service(new, Some(old)));
    errors
}

/// A Service whose status changed (`ValidateLoadBalancerStatus`).
pub(super) fn status(new: &Service, old: &Service) -> ErrorList {
    let path = Path::new("status").child("loadBalancer").child("ingress");
    let (new_ingress, old_ingress) = (ingress(new), ingress(old));
    if spec::with(new, |spec| spec.kind() != LOAD_BALANCER) && !new_ingress.is_empty() {
        return Error::forbidden(&path, "may only be used when `spec.type` is 'LoadBalancer'").into();
    }
    let stored: Vec<String> = old_ingress.iter().filter_map(|ingress| ingress.ip.clone()).collect();
    let entries = new_ingress.iter().enumerate();
    entries.flat_map(|(i, ingress)| load_balancer_ingress(ingress, &stored, &path.index(i))).collect()
}

fn ingress(service: &Service) -> &[LoadBalancerIngress] {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default()
}

fn load_balancer_ingress(ingress: &LoadBalancerIngress, stored: &[String], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let ip = ingress.ip.as_deref().unwrap_or_default();
    if !ip.is_empty() {
        errors.extend(legacy_ip(&path.child("ip"), ip, stored));
    }
    let mode_path = path.child("ipMode");
    match ingress.ip_mode.as_deref() {
        None if !ip.is_empty() => errors.push(Error::required(&mode_path, "must be specified when `ip` is set")),
        None => {}
        Some(_) if ip.is_empty() => {
            errors.push(Error::forbidden(&mode_path, "may not be specified when `ip` is not set"));
        }
        Some("Proxy" | "VIP") => {}
        Some(mode) => errors.push(Error::not_supported(&mode_path, mode, &["Proxy", "VIP"])),
    }
    let hostname = ingress.hostname.as_deref().unwrap_or_default();
    if !hostname.is_empty() {
        let path = path.child("hostname");
        errors.push_invalid(&path, hostname, dns1123_subdomain(hostname));
        if parse_ip_sloppy(hostname).is_some() {
            errors.push(Error::invalid(&path, hostname, "must be a DNS name, not an IP address"));
        }
    }
    errors
}

fn annotations(service: &Service) -> ErrorList {
    let annotations = service.metadata.annotations.as_ref();
    let value = |key| annotations.and_then(|annotations| annotations.get(key));
    match (value(TOPOLOGY_MODE), value(TOPOLOGY_HINTS)) {
        (Some(mode), Some(hints)) if mode != hints => {
            let path = Path::new("metadata").child("annotations").key(TOPOLOGY_MODE);
            let detail = format!("must match annotations[{TOPOLOGY_HINTS}] when both are specified");
            Error::invalid(&path, mode, detail).into()
        }
        _ => ErrorList::new(),
    }
}

/// What each type demands and excludes.
fn type_fits(spec: &ServiceSpec) -> ErrorList {
    let mut errors = ErrorList::new();
    if spec.ports().is_empty() && !spec.is_headless() && spec.kind() != EXTERNAL_NAME {
        errors.push(Error::required(&spec_path("ports"), ""));
    }
    match spec.kind() {
        LOAD_BALANCER | NODE_PORT => {
            if spec.kind() == LOAD_BALANCER {
                errors.extend(ports::not_the_kubelets(spec));
            }
            if spec.is_headless() {
                let detail = format!("may not be set to 'None' for {} services", spec.kind());
                errors.push(Error::invalid(&spec_path("clusterIPs").index(0), spec::NONE, detail));
            }
        }
        EXTERNAL_NAME => {
            let fields = [
                ("clusterIPs", !spec.cluster_ips().is_empty()),
                ("ipFamilies", !spec.families().is_empty()),
                ("ipFamilyPolicy", spec.ip_family_policy.is_some()),
            ];
            for (field, _) in fields.iter().filter(|(_, is_set)| *is_set) {
                errors.push(Error::forbidden(&spec_path(field), "may not be set for ExternalName services"));
            }
            // A closing dot says that the name is complete.
            let name = spec.external_name.as_deref().unwrap_or_default();
            let name = name.strip_suffix('.').unwrap_or(name);
            let path = spec_path("externalName");
            if name.is_empty() {
                errors.push(Error::required(&path, ""));
            } else {
                errors.push_invalid(&path, name, dns1123_subdomain(name));
            }
        }
        _ => {}
    }
    errors
}

fn affinity(spec: &ServiceSpec) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = spec_path("sessionAffinity");
    let config_path = spec_path("sessionAffinityConfig");
    match spec.session_affinity.as_deref().unwrap_or_default() {
        "" => errors.push(Error::required(&path, "")),
        "ClientIP" => errors.extend(client_ip_affinity(spec.session_affinity_config.as_ref(), &config_path)),
        "None" => {
            if spec.session_affinity_config.is_some() {
                errors.push(Error::forbidden(&config_path, "must not be set when session affinity is None"));
            }
        }
        other => errors.push(Error::not_supported(&path, other, &["ClientIP", "None"])),
    }
    errors
}

fn client_ip_affinity(config: Option<&SessionAffinityConfig>, path: &Path) -> ErrorList {
    let needed = "when session affinity type is ClientIP";
    let Some(config) = config else { return Error::required(path, needed).into() };
    let path = path.child("clientIP");
    let Some(client_ip) = &config.client_ip else { return Error::required(&path, needed).into() };
    let path = path.child("timeoutSeconds");
    match client_ip.timeout_seconds {
        None => Error::required(&path, needed).into(),
        Some(1..=MAX_AFFINITY_SECONDS) => ErrorList::new(),
        Some(seconds) => {
            let detail = format!("must be greater than 0 and less than {MAX_AFFINITY_SECONDS}");
            Error::invalid(&path, seconds, detail).into()
        }
    }
}

fn spec_path(field: &str) -> Path {
    Path::new("spec").child(field)
}
