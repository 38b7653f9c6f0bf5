//! What clients are warned of when they write a Service (`GetWarningsForService`).

use api::field::{Path, go_quote};
use k8s_openapi::api::core::v1::Service;

use super::spec::{CLUSTER_IP, EXTERNAL_NAME, Meaning, NONE};
use super::validation::{TOPOLOGY_HINTS, TOPOLOGY_MODE};
use crate::resources::addresses::{cidr_warnings, ip_warnings};

pub(super) fn of(service: &Service) -> Vec<String> {
    let mut warnings = Vec::new();
    if service.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(TOPOLOGY_HINTS)) {
        warnings.push(format!("annotation {TOPOLOGY_HINTS} is deprecated, please use {TOPOLOGY_MODE} instead"));
    }
    let Some(spec) = &service.spec else { return warnings };
    let path = |field: &str| Path::new("spec").child(field);
    let balancer_ip = spec.load_balancer_ip.as_deref().unwrap_or_default();
    if !matches!(spec.cluster_ip(), "" | NONE) {
        let ips = spec.cluster_ips().iter().enumerate();
        warnings.extend(ips.filter_map(|(i, ip)| ip_warnings(&path("clusterIPs").index(i), ip)));
    }
    if spec.kind() == CLUSTER_IP && spec.cluster_ip() == NONE {
        let ignored = [
            ("loadBalancerIP", !balancer_ip.is_empty()),
            ("externalIPs", !spec.external_ips().is_empty()),
            ("SessionAffinity", spec.session_affinity.as_deref() != Some("None")),
        ];
        let ignored = ignored.into_iter().filter(|(_, is_set)| *is_set);
        warnings.extend(ignored.map(|(field, _)| format!("spec.{field} is ignored for headless services")));
    }
    if !spec.external_ips().is_empty() {
        // Since v1.36 (KEP-5707): anybody who may create Services can claim anybody's addresses with them.
        warnings.push("spec.externalIPs is deprecated".to_owned());
    }
    let ips = spec.external_ips().iter().enumerate();
    warnings.extend(ips.filter_map(|(i, ip)| ip_warnings(&path("externalIPs").index(i), ip)));
    if !balancer_ip.is_empty() {
        warnings.extend(ip_warnings(&path("loadBalancerIP"), balancer_ip));
    }
    for (i, range) in spec.load_balancer_source_ranges.iter().flatten().enumerate() {
        warnings.extend(cidr_warnings(&path("loadBalancerSourceRanges").index(i), range));
    }
    let external_name = go_quote(EXTERNAL_NAME);
    if spec.kind() == EXTERNAL_NAME && !spec.external_ips().is_empty() {
        warnings.push(format!("spec.externalIPs is ignored when spec.type is {external_name}"));
    }
    if spec.kind() != EXTERNAL_NAME && spec.external_name.as_deref().is_some_and(|name| !name.is_empty()) {
        warnings.push(format!("spec.externalName is ignored when spec.type is not {external_name}"));
    }
    if spec.traffic_distribution.as_deref() == Some("PreferClose") {
        warnings.push(r#"spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone""#.to_owned());
    }
    warnings
}
