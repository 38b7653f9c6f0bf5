//! What a kubelet may report of a pod (`ValidatePodStatusUpdate`).

use std::collections::BTreeSet;
use std::net::IpAddr;

use api::field::{BadValue, Error, ErrorList, Path};
use api::names;
use api::validate::meta::FIELD_IMMUTABLE;
use k8s_openapi::api::core::v1::{
    Container, ContainerRestartRule, ContainerStatus, LinuxContainerUser, Pod, PodCondition, PodResourceClaimStatus,
    PodSpec, PodStatus, ResourceStatus,
};
use serde_json::{Value, json};

use super::validation;
use crate::resources::pod_spec;

/// Conditions with names of upstream's own, older than the rule for names.
const SYSTEM_CONDITIONS: &[&str] = &["PodScheduled", "Ready", "Initialized"];
const HEALTH: &[&str] = &["Healthy", "Unhealthy", "Unknown"];
const NOT_RUNNING_AGAIN: &str = "may not be transitioned to non-terminated state";
const ONE_IP_A_FAMILY: &str = "may specify no more than one IP for each IP family";

/// What is wrong with an update of a pod's status.
pub(super) fn validate(new: &Pod, old: &Pod) -> ErrorList {
    let mut errors = pod_spec::validate_pod_annotation_update(&new.metadata, &old.metadata);
    let none = PodStatus::default();
    let (status, old_status) = (new.status.as_ref().unwrap_or(&none), old.status.as_ref().unwrap_or(&none));
    let spec = validation::spec_of(old);
    // Upstream names the conditions below `metadata`, and so do clients know them.
    errors.extend(validate_conditions(list(&status.conditions), &Path::new("metadata").child("conditions")));
    let path = Path::new("status");
    errors.extend(validate_nominated_node(status, old_status, &path.child("nominatedNodeName")));
    if status.qos_class != old_status.qos_class {
        let shown = status.qos_class.as_deref().unwrap_or_default();
        errors.push(Error::invalid(&path.child("qosClass"), shown, FIELD_IMMUTABLE));
    }
    errors.extend(validate_transitions(status, old_status, &spec, &path));
    let claims = list(&status.resource_claim_statuses);
    errors.extend(validate_claims(claims, &spec, &path.child("resourceClaimStatuses")));
    errors.extend(validate_pod_ips(status, &path.child("podIPs")));
    errors.extend(validate_host_ips(status, &path.child("hostIPs")));
    for (statuses, field) in by_kind(status) {
        errors.extend(validate_users(statuses, &spec, &path.child(field)));
    }
    for (statuses, field) in by_kind(status) {
        let containers = match field {
            "containerStatuses" => Some(spec.containers.as_slice()),
            "initContainerStatuses" => Some(list(&spec.init_containers)),
            _ => None,
        };
        errors.extend(validate_allocated(statuses, containers, &path.child(field)));
    }
    errors
}

fn by_kind(status: &PodStatus) -> [(&[ContainerStatus], &'static str); 3] {
    [
        (list(&status.container_statuses), "containerStatuses"),
        (list(&status.init_container_statuses), "initContainerStatuses"),
        (list(&status.ephemeral_container_statuses), "ephemeralContainerStatuses"),
    ]
}

fn validate_conditions(conditions: &[PodCondition], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, condition) in conditions.iter().enumerate() {
        if !SYSTEM_CONDITIONS.contains(&condition.type_.as_str()) {
            let path = path.index(i).child("Type");
            errors.push_invalid(&path, &condition.type_, names::label_key(&condition.type_));
        }
    }
    errors
}

fn validate_nominated_node(new: &PodStatus, old: &PodStatus, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(node) = new.nominated_node_name.as_ref().filter(|node| !node.is_empty())
        && new.nominated_node_name != old.nominated_node_name
    {
        errors.push_invalid(path, node, names::object_dns_subdomain(node, false));
    }
    errors
}

/// A container that has ended and will not be restarted stays so. Ephemeral containers are never restarted.
fn validate_transitions(new: &PodStatus, old: &PodStatus, spec: &PodSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let all_restart = spec.containers.iter().chain(list(&spec.init_containers)).any(restarts_all);
    let init = list(&spec.init_containers);
    for ((new, field), (old, _)) in by_kind(new).into_iter().zip(by_kind(old)) {
        let containers: &[Container] = match field {
            "containerStatuses" => &spec.containers,
            "initContainerStatuses" => init,
            _ => &[],
        };
        let never = field == "ephemeralContainerStatuses";
        let pod_policy = if never { "Never" } else { spec.restart_policy.as_deref().unwrap_or("Always") };
        for (i, old) in old.iter().enumerate() {
            let Some(exit_code) = exit_code(old) else { continue };
            let container = containers.iter().find(|container| container.name == old.name);
            if (all_restart && !never) || may_restart(container, pod_policy, exit_code) {
                continue;
            }
            if new.iter().any(|new| new.name == old.name && self::exit_code(new).is_none()) {
                errors.push(Error::forbidden(&path.child(field).index(i).child("state"), NOT_RUNNING_AGAIN));
            }
        }
    }
    errors
}

fn exit_code(status: &ContainerStatus) -> Option<i32> {
    Some(status.state.as_ref()?.terminated.as_ref()?.exit_code)
}

/// Whether a container that ended with `exit_code` may be started again: its rules decide first, then its own policy, then
/// the pod's (KEP-5307).
fn may_restart(container: Option<&Container>, pod_policy: &str, exit_code: i32) -> bool {
    let rules = container.map_or(&[][..], |container| list(&container.restart_policy_rules));
    if rules.iter().any(|rule| rule.action == "Restart" && applies(rule, exit_code)) {
        return true;
    }
    match container.and_then(|container| container.restart_policy.as_deref()).unwrap_or(pod_policy) {
        "Always" => true,
        "OnFailure" => exit_code != 0,
        _ => false,
    }
}

/// Whether the end of this container may restart all containers of the pod (KEP-5532).
fn restarts_all(container: &Container) -> bool {
    list(&container.restart_policy_rules).iter().any(|rule| rule.action == "RestartAllContainers")
}

fn applies(rule: &ContainerRestartRule, exit_code: i32) -> bool {
    let Some(codes) = &rule.exit_codes else { return false };
    let listed = list(&codes.values).contains(&exit_code);
    match codes.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        _ => false,
    }
}

fn validate_claims(statuses: &[PodResourceClaimStatus], spec: &PodSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    for (i, status) in statuses.iter().enumerate() {
        let path = path.index(i).child("name");
        if !list(&spec.resource_claims).iter().any(|claim| claim.name == status.name) {
            let detail = "must match the name of an entry in `spec.resourceClaims`";
            errors.push(Error::invalid(&path, &status.name, detail));
        }
        if !seen.insert(&status.name) {
            errors.push(Error::duplicate(&path, &status.name));
        }
        if let Some(name) = &status.resource_claim_name {
            errors.push_invalid(&path, name, names::object_dns_subdomain(name, false));
        }
    }
    errors
}

fn validate_pod_ips(status: &PodStatus, path: &Path) -> ErrorList {
    let ips: Vec<&str> = list(&status.pod_ips).iter().map(|ip| ip.ip.as_str()).collect();
    let mut errors = validate_each_ip(&ips, path);
    errors.extend(one_ip_a_family(&ips, path));
    errors.extend(duplicate_ips(&ips, path));
    errors
}

fn validate_host_ips(status: &PodStatus, path: &Path) -> ErrorList {
    let ips: Vec<&str> = list(&status.host_ips).iter().map(|ip| ip.ip.as_str()).collect();
    let mut errors = ErrorList::new();
    let Some(first) = ips.first() else { return errors };
    if status.host_ip.as_deref().unwrap_or_default() != *first {
        errors.push(Error::invalid(&path.index(0).child("ip"), *first, "must be equal to `hostIP`"));
    }
    errors.extend(validate_each_ip(&ips, path));
    errors.extend(duplicate_ips(&ips, path));
    errors.extend(one_ip_a_family(&ips, path));
    errors
}

fn validate_each_ip(ips: &[&str], path: &Path) -> ErrorList {
    ips.iter().enumerate().flat_map(|(i, ip)| names::legacy_ip(&path.index(i), ip, false)).collect()
}

fn one_ip_a_family(ips: &[&str], path: &Path) -> Option<Error> {
    let parsed: Vec<IpAddr> = ips.iter().filter_map(|ip| names::parse_ip_sloppy(ip)).collect();
    let both = parsed.iter().any(IpAddr::is_ipv4) && parsed.iter().any(IpAddr::is_ipv6);
    let shown: Vec<Value> = ips.iter().map(|ip| json!({"IP": ip})).collect();
    let wrong = ips.len() > 2 || (ips.len() == 2 && !both);
    wrong.then(|| Error::invalid(path, BadValue::json(&shown), ONE_IP_A_FAMILY))
}

fn duplicate_ips(ips: &[&str], path: &Path) -> ErrorList {
    let mut seen = BTreeSet::new();
    let again = ips.iter().enumerate().filter(|(_, ip)| !seen.insert(**ip));
    again.map(|(i, ip)| Error::duplicate(&path.index(i), BadValue::json(&json!({"IP": ip})))).collect()
}

fn validate_users(statuses: &[ContainerStatus], spec: &PodSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let os = spec.os.as_ref().map_or("linux", |os| os.name.as_str());
    for (i, status) in statuses.iter().enumerate() {
        let path = path.index(i).child("linux");
        let linux = status.user.as_ref().and_then(|user| user.linux.as_ref());
        match (os, linux) {
            ("windows", Some(_)) => errors.push(Error::forbidden(&path, "cannot be set for a windows pod")),
            ("linux", Some(user)) => errors.extend(validate_linux_user(user, &path)),
            _ => {}
        }
    }
    errors
}

fn validate_linux_user(user: &LinuxContainerUser, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut check = |path: &Path, id: i64, messages: Vec<String>| {
        errors.extend(messages.into_iter().map(|message| Error::invalid(path, id, message)));
    };
    check(&path.child("uid"), user.uid, names::user_id(user.uid));
    check(&path.child("gid"), user.gid, names::group_id(user.gid));
    for (i, gid) in list(&user.supplemental_groups).iter().enumerate() {
        check(&path.child("supplementalGroups").index(i), *gid, names::group_id(*gid));
    }
    errors
}

/// `containers` is `None` for ephemeral containers, which are allocated nothing.
fn validate_allocated(statuses: &[ContainerStatus], containers: Option<&[Container]>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, status) in statuses.iter().enumerate() {
        let path = path.index(i).child("allocatedResourcesStatus");
        let resources = list(&status.allocated_resources_status);
        let Some(containers) = containers else {
            if !resources.is_empty() {
                errors.push(Error::forbidden(&path, "must not be specified in container status"));
            }
            continue;
        };
        // A container that is not in the spec is let pass: it may be of a spec that was mutated on the node.
        let container = containers.iter().find(|container| container.name == status.name);
        for (j, resource) in resources.iter().enumerate() {
            let path = path.index(j);
            errors.extend(container.and_then(|container| unknown_resource(resource, container, &path.child("name"))));
            errors.extend(validate_health(resource, &path.child("resources")));
        }
    }
    errors
}

fn unknown_resource(resource: &ResourceStatus, container: &Container, path: &Path) -> Option<Error> {
    let resources = container.resources.as_ref();
    let (known, detail) = match resource.name.strip_prefix("claim:") {
        Some(claim) => {
            let mut claims = resources.iter().flat_map(|resources| list(&resources.claims));
            let known = claims.any(|entry| match entry.request.as_deref().filter(|request| !request.is_empty()) {
                Some(request) => claim.split_once('/') == Some((&entry.name, request)),
                None => claim == entry.name,
            });
            let detail = "must match one of the container's resource claims in a format \
                          'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty";
            (known, detail)
        }
        None => {
            let requests = resources.and_then(|resources| resources.requests.as_ref());
            let known = requests.is_some_and(|requests| requests.contains_key(&resource.name));
            (known, "must match one of the container's resource requests")
        }
    };
    (!known).then(|| Error::invalid(path, &resource.name, detail))
}

fn validate_health(resource: &ResourceStatus, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    for (k, health) in list(&resource.resources).iter().enumerate() {
        let path = path.index(k);
        let stated = health.health.as_deref().unwrap_or_default();
        if !HEALTH.contains(&stated) {
            errors.push(Error::not_supported(&path.child("health"), stated, HEALTH));
        }
        if !seen.insert(&health.resource_id) {
            errors.push(Error::duplicate(&path.child("resourceID"), &health.resource_id));
        }
    }
    errors
}

fn list<T>(items: &Option<Vec<T>>) -> &[T] {
    items.as_deref().unwrap_or_default()
}
