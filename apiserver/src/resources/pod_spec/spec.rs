//! A pod's spec as a whole, in upstream's order of checks.

use api::field::{Error, ErrorList, Path};
use api::names;
use api::selector::label::validate_labels;
use k8s_openapi::api::core::v1::PodSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::absent::{list, text};
use super::containers::{self, Surroundings};
use super::options::Options;
use super::rules::{dns_subdomain, one_of};
use super::{affinity, dns, env, os, resources, scheduling, security, topology, volumes, windows};

const RESTART_POLICIES: &[&str] = &["Always", "OnFailure", "Never"];
const PREEMPTION_POLICIES: &[&str] = &["PreemptLowerPriority", "Never"];

pub(super) fn validate(spec: &PodSpec, meta: &ObjectMeta, path: &Path, options: &Options) -> ErrorList {
    let mut errors = ErrorList::new();
    if spec.termination_grace_period_seconds.is_none() {
        errors.push(Error::required(&path.child("terminationGracePeriodSeconds"), ""));
    }
    let (volumes, found) = volumes::validate(list(&spec.volumes), meta, options, &path.child("volumes"));
    errors.extend(found);
    let claims_path = path.child("resourceClaims");
    errors.extend(scheduling::validate_claims(list(&spec.resource_claims), meta.annotations.as_ref(), &claims_path));
    let surroundings = Surroundings { spec, options, volumes: &volumes };
    errors.extend(containers::validate_ordinary(&surroundings, &path.child("containers")));
    errors.extend(containers::validate_init(&surroundings, &path.child("initContainers")));
    errors.extend(containers::validate_ephemeral(&surroundings, &path.child("ephemeralContainers")));
    errors.extend(resources::validate_pod(spec, options, path));
    errors.extend(containers::validate_host_network_ports(spec, options, path));
    errors.extend(one_of(text(&spec.restart_policy), RESTART_POLICIES, &path.child("restartPolicy")));
    let dns_policy = text(&spec.dns_policy);
    errors.extend(dns::validate_policy(dns_policy, &path.child("dnsPolicy")));
    errors.extend(validate_labels(spec.node_selector.as_ref(), &path.child("nodeSelector")));
    errors.extend(security::validate_pod(spec, options, &path.child("securityContext")));
    if let Some(affinity) = &spec.affinity {
        errors.extend(affinity::validate(affinity, options, &path.child("affinity")));
    }
    errors.extend(dns::validate_config(spec.dns_config.as_ref(), dns_policy, &path.child("dnsConfig")));
    let readiness_path = path.child("readinessGates");
    errors.extend(scheduling::validate_readiness_gates(list(&spec.readiness_gates), &readiness_path));
    let gates_path = path.child("schedulingGates");
    errors.extend(scheduling::validate_scheduling_gates(list(&spec.scheduling_gates), &gates_path));
    let spread_path = path.child("topologySpreadConstraints");
    errors.extend(topology::validate(list(&spec.topology_spread_constraints), options, &spread_path));
    errors.extend(windows::validate_host_process(spec, path));
    errors.extend(containers::validate_host_users(spec, options, path));
    errors.extend(dns::validate_hostname_override(spec, path));
    errors.extend(validate_names_and_limits(spec, options, path));
    errors.extend(os::validate(spec, path));
    if let Some(group) = &spec.scheduling_group {
        errors.extend(scheduling::validate_group(group, &path.child("schedulingGroup")));
    }
    errors.extend(env::validate_file_volumes(spec, path));
    errors
}

fn validate_names_and_limits(spec: &PodSpec, options: &Options, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let subdomain = |field: &str, value: &Option<String>| {
        let value = text(value);
        if value.is_empty() { ErrorList::new() } else { dns_subdomain(value, &path.child(field)) }
    };
    errors.extend(subdomain("serviceAccountName", &spec.service_account_name));
    errors.extend(subdomain("nodeName", &spec.node_name));
    if let Some(seconds) = spec.active_deadline_seconds {
        let path = path.child("activeDeadlineSeconds");
        let messages = names::in_range(seconds, 1, i32::MAX.into());
        errors.extend(messages.into_iter().map(|message| Error::invalid(&path, seconds, message)));
    }
    errors.extend(dns::validate_hostname(spec, path));
    errors.extend(scheduling::validate_tolerations(list(&spec.tolerations), &path.child("tolerations")));
    errors.extend(dns::validate_host_aliases(list(&spec.host_aliases), &path.child("hostAliases")));
    errors.extend(subdomain("priorityClassName", &spec.priority_class_name));
    if let Some(class) = &spec.runtime_class_name {
        errors.extend(dns_subdomain(class, &path.child("runtimeClassName")));
    }
    if let Some(policy) = &spec.preemption_policy {
        errors.extend(one_of(policy, PREEMPTION_POLICIES, &path.child("preemptionPolicy")));
    }
    if let Some(overhead) = &spec.overhead {
        errors.extend(resources::validate_overhead(overhead, options, &path.child("overhead")));
    }
    errors
}
