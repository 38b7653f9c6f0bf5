//! What a client is warned of: deprecated fields, and specs that are valid but hardly meant.

use std::collections::{BTreeMap, HashMap, HashSet};

use api::field::{Path, go_quote};
use api::names;
use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, ContainerPort, NodeSelectorTerm, PodSpec, Volume};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::absent::{list, number, text};
use super::profiles::{APP_ARMOR_CONTAINER, SECCOMP_CONTAINER, SECCOMP_POD};
use super::{affinity, containers, overlaps};

const NODE_LABELS: &[(&str, &str)] = &[
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    ("failure-domain.beta.kubernetes.io/zone", "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"),
    ("beta.kubernetes.io/instance-type", "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"),
];

const ANNOTATIONS: &[(&str, &str)] = &[
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    ("security.alpha.kubernetes.io/unsafe-sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
];

/// The warnings for a spec. `path` is that of the template, or [`Path::nil`] for a pod's own; `old` is the spec before an
/// update.
pub(crate) fn warnings(path: &Path, spec: &PodSpec, meta: &ObjectMeta, _old: Option<&PodSpec>) -> Vec<String> {
    let spec_path = path.child("spec");
    let annotations_path = path.child("metadata").child("annotations");
    let none = BTreeMap::new();
    let annotations = meta.annotations.as_ref().unwrap_or(&none);
    let mut warnings = node_labels(spec, &spec_path);
    for (key, message) in ANNOTATIONS.iter().filter(|(key, _)| annotations.contains_key(*key)) {
        warnings.push(format!("{}: {message}", annotations_path.key(key)));
    }
    for (i, volume) in list(&spec.volumes).iter().enumerate() {
        warnings.extend(retired_volumes(volume, &spec_path.child("volumes").index(i)));
    }
    warnings.extend(overlaps::warnings(list(&spec.volumes)));
    warnings.extend(addresses_and_secrets(spec, &spec_path));
    warnings.extend(fractional_bytes(spec.overhead.as_ref(), &spec_path.child("overhead")));
    let seccomp = spec.security_context.as_ref().and_then(|context| context.seccomp_profile.as_ref());
    let retired = "non-functional in v1.27+; use the \"seccompProfile\" field instead";
    if seccomp.is_none() && annotations.contains_key(SECCOMP_POD) {
        warnings.push(format!("{}: {retired}", annotations_path.key(SECCOMP_POD)));
    }
    let app_armor = spec.security_context.as_ref().and_then(|context| context.app_armor_profile.as_ref());
    for (container_path, container) in containers::each(spec, &spec_path) {
        let context = container.security_context.as_ref();
        let key = format!("{SECCOMP_CONTAINER}{}", container.name);
        if context.is_none_or(|context| context.seccomp_profile.is_none()) && annotations.contains_key(&key) {
            warnings.push(format!("{}: {retired}", annotations_path.key(&key)));
        }
        let key = format!("{APP_ARMOR_CONTAINER}{}", container.name);
        let has_field = app_armor.is_some() || context.is_some_and(|context| context.app_armor_profile.is_some());
        // A pod's annotation is carried over into the field instead.
        if *path != Path::nil() && !has_field && annotations.contains_key(&key) {
            let message = "deprecated since v1.30; use the \"appArmorProfile\" field instead";
            warnings.push(format!("{}: {message}", annotations_path.key(&key)));
        }
        warnings.extend(container_warnings(&container, &container_path));
    }
    warnings.extend(ports(spec, &spec_path));
    if spec.termination_grace_period_seconds.is_some_and(|seconds| seconds < 0) {
        let path = spec_path.child("terminationGracePeriodSeconds");
        warnings.push(format!("{path}: must be >= 0; negative values are invalid and will be treated as 1"));
    }
    warnings.extend(null_selectors(spec, &spec_path.child("affinity")));
    warnings
}

/// What is said of a label of nodes that is no longer to be used.
pub(crate) fn node_label_message(key: &str) -> Option<&'static str> {
    NODE_LABELS.iter().find(|(label, _)| *label == key).map(|(_, message)| *message)
}

fn node_labels(spec: &PodSpec, path: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    for (key, _) in spec.node_selector.iter().flatten() {
        let message = node_label_message(key);
        warnings.extend(message.map(|message| format!("{}: {message}", path.child("nodeSelector").key(key))));
    }
    if let Some(affinity) = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref()) {
        let path = path.child("affinity").child("nodeAffinity");
        if let Some(required) = &affinity.required_during_scheduling_ignored_during_execution {
            let path = path.child("requiredDuringSchedulingIgnoredDuringExecution").child("nodeSelectorTerms");
            for (i, term) in required.node_selector_terms.iter().enumerate() {
                warnings.extend(node_term(term, false, &path.index(i)));
            }
        }
        let path = path.child("preferredDuringSchedulingIgnoredDuringExecution");
        for (i, term) in list(&affinity.preferred_during_scheduling_ignored_during_execution).iter().enumerate() {
            warnings.extend(node_term(&term.preference, true, &path.index(i).child("preference")));
        }
    }
    for (i, constraint) in list(&spec.topology_spread_constraints).iter().enumerate() {
        let path = path.child("topologySpreadConstraints").index(i);
        let key = &constraint.topology_key;
        let message = node_label_message(key);
        warnings.extend(message.map(|message| format!("{}: {key} is {message}", path.child("topologyKey"))));
        if constraint.label_selector.is_none() {
            warnings.push(null_selector(&path));
        }
    }
    warnings
}

/// Warnings of a term that selects nodes. Values are checked where wrong ones are no error.
pub(in crate::resources) fn node_term(term: &NodeSelectorTerm, check_values: bool, path: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    for (i, expression) in list(&term.match_expressions).iter().enumerate() {
        let path = path.child("matchExpressions").index(i);
        let key = &expression.key;
        let message = node_label_message(key);
        warnings.extend(message.map(|message| format!("{}: {key} is {message}", path.child("key"))));
        for (j, value) in list(&expression.values).iter().enumerate().filter(|_| check_values) {
            let path = path.child("values").index(j);
            let messages = names::label_value(value);
            warnings.extend(messages.into_iter().map(|message| format!("{path}: {value} is invalid, {message}")));
        }
    }
    warnings
}

fn null_selector(path: &Path) -> String {
    format!("{}: a null labelSelector results in matching no pod", path.child("labelSelector"))
}

fn null_selectors(spec: &PodSpec, path: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    let Some(affinity) = &spec.affinity else { return warnings };
    for (field, required, preferred) in affinity::pod_lists(affinity) {
        let path = path.child(field);
        let required_path = path.child("requiredDuringSchedulingIgnoredDuringExecution");
        let preferred_path = path.child("preferredDuringSchedulingIgnoredDuringExecution");
        let required = required.iter().enumerate().map(|(i, term)| (required_path.index(i), term));
        let preferred = preferred.iter().enumerate();
        let preferred =
            preferred.map(|(i, term)| (preferred_path.index(i).child("podAffinityTerm"), &term.pod_affinity_term));
        let without = required.chain(preferred).filter(|(_, term)| term.label_selector.is_none());
        warnings.extend(without.map(|(path, _)| null_selector(&path)));
    }
    warnings
}

fn retired_volumes(volume: &Volume, path: &Path) -> Vec<String> {
    let drivers = [
        ("photonPersistentDisk", volume.photon_persistent_disk.is_some(), "v1.11, non-functional in v1.16+"),
        ("gitRepo", volume.git_repo.is_some(), "v1.11"),
        ("scaleIO", volume.scale_io.is_some(), "v1.16, non-functional in v1.22+"),
        ("flocker", volume.flocker.is_some(), "v1.22, non-functional in v1.25+"),
        ("storageOS", volume.storageos.is_some(), "v1.22, non-functional in v1.25+"),
        ("quobyte", volume.quobyte.is_some(), "v1.22, non-functional in v1.25+"),
        ("glusterfs", volume.glusterfs.is_some(), "v1.25, non-functional in v1.26+"),
        ("cephfs", volume.cephfs.is_some(), "v1.28, non-functional in v1.31+"),
        ("rbd", volume.rbd.is_some(), "v1.28, non-functional in v1.31+"),
    ];
    let used = drivers.into_iter().filter(|(_, is_used, _)| *is_used);
    let mut warnings: Vec<String> =
        used.map(|(field, _, since)| format!("{}: deprecated in {since}", path.child(field))).collect();
    let template = volume.ephemeral.as_ref().and_then(|source| source.volume_claim_template.as_ref());
    if let Some(resources) = template.and_then(|template| template.spec.resources.as_ref()) {
        let path = path.child("ephemeral").child("volumeClaimTemplate").child("spec").child("resources");
        for (field, quantities) in [("requests", &resources.requests), ("limits", &resources.limits)] {
            let quantity = quantities.as_ref().and_then(|quantities| quantities.get("storage"));
            warnings.extend(fraction(quantity, &path.child(field).key("storage")));
        }
    }
    warnings
}

fn addresses_and_secrets(spec: &PodSpec, path: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    let nameservers = spec.dns_config.as_ref().map_or(&[][..], |config| list(&config.nameservers));
    for (i, nameserver) in nameservers.iter().enumerate() {
        warnings.extend(address(nameserver, &path.child("dnsConfig").child("nameservers").index(i)));
    }
    let mut seen = HashSet::new();
    for (i, alias) in list(&spec.host_aliases).iter().enumerate() {
        let path = path.child("hostAliases").index(i).child("ip");
        if !seen.insert(&alias.ip) {
            warnings.push(format!("{path}: duplicate ip {}", go_quote(&alias.ip)));
        }
        warnings.extend(address(&alias.ip, &path));
    }
    let mut seen = HashSet::new();
    let secrets = list(&spec.image_pull_secrets).iter().enumerate();
    let secrets: Vec<_> =
        secrets.map(|(i, secret)| (path.child("imagePullSecrets").index(i).child("name"), &secret.name)).collect();
    for (path, name) in secrets.iter().filter(|(_, name)| !seen.insert(*name)) {
        warnings.push(format!("{path}: duplicate name {}", go_quote(name)));
    }
    for (path, name) in secrets.iter().filter(|(_, name)| name.is_empty()) {
        warnings.push(format!("{path}: invalid empty name {}", go_quote(name)));
    }
    warnings
}

/// An address that is not written as it should be.
fn address(value: &str, path: &Path) -> Option<String> {
    let ip = names::parse_ip_sloppy(value)?;
    let shown = ip.to_canonical().to_string();
    let quoted = go_quote(value);
    match value.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_none() => (shown != value).then(|| {
            format!("{path}: IPv6 address {quoted} should be in RFC 5952 canonical format ({})", go_quote(&shown))
        }),
        Ok(std::net::IpAddr::V4(_)) => None,
        _ => Some(format!(
            "{path}: non-standard IP address {quoted} will be considered invalid in a future Kubernetes release: use {}",
            go_quote(&shown)
        )),
    }
}

fn container_warnings(container: &Container, path: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(resources) = &container.resources {
        let path = path.child("resources");
        for name in ["memory", "ephemeral-storage"] {
            for (field, quantities) in [("limits", &resources.limits), ("requests", &resources.requests)] {
                let quantity = quantities.as_ref().and_then(|quantities| quantities.get(name));
                warnings.extend(fraction(quantity, &path.child(field).key(name)));
            }
        }
    }
    let mut seen = HashSet::new();
    for (i, variable) in list(&container.env).iter().enumerate() {
        if seen.insert(&variable.name) {
            continue;
        }
        // X=a; X=$(X)b extends the first, and anything else hides it.
        let reference = format!("$({})", variable.name);
        let value = text(&variable.value);
        if variable.value_from.is_some() || value == reference || !value.contains(&reference) {
            let (path, name) = (path.child("env").index(i), go_quote(&variable.name));
            let message = "which may be dropped when using apply";
            warnings.push(format!("{path}: hides previous definition of {name}, {message}"));
        }
    }
    warnings
}

fn fractional_bytes(quantities: Option<&BTreeMap<String, ApiQuantity>>, path: &Path) -> Vec<String> {
    let of = |name: &str| fraction(quantities.and_then(|quantities| quantities.get(name)), &path.key(name));
    ["memory", "ephemeral-storage"].into_iter().filter_map(of).collect()
}

/// A warning of a number of bytes that is not whole.
pub(in crate::resources) fn fraction(quantity: Option<&ApiQuantity>, path: &Path) -> Option<String> {
    let quantity = Quantity::try_from(quantity?).ok()?;
    let shown = go_quote(&quantity.to_string());
    let is_fraction = quantity.milli_value() % 1000 != 0;
    is_fraction.then(|| format!("{path}: fractional byte value {shown} is invalid, must be an integer"))
}

fn ports(spec: &PodSpec, path: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut seen: HashMap<(i32, String), Vec<(Path, ContainerPort)>> = HashMap::new();
    for (path, container) in containers::each(spec, path) {
        for (i, port) in list(&container.ports).iter().enumerate() {
            let path = path.child("ports").index(i);
            let (address, host_port) = (text(&port.host_ip), number(port.host_port));
            let protocol = text(&port.protocol);
            if !address.is_empty() && host_port == 0 {
                let shown = format!(
                    "{{Name:{} HostPort:0 ContainerPort:{} Protocol:{protocol} HostIP:{address}}}",
                    text(&port.name),
                    port.container_port
                );
                warnings.push(format!("{path}: hostIP set without hostPort: {shown}"));
            }
            let others = seen.entry((port.container_port, protocol.to_owned())).or_default();
            for (other_path, other) in others.iter() {
                let (other_address, other_port) = (text(&other.host_ip), number(other.host_port));
                let kind = if (address, host_port) == (other_address, other_port) {
                    "duplicate"
                } else if host_port == 0 || other_port == 0 {
                    "overlapping"
                } else if host_port == other_port && address.is_empty() != other_address.is_empty() {
                    "dangerously ambiguous"
                } else {
                    continue;
                };
                warnings.push(format!("{path}: {kind} port definition with {other_path}"));
            }
            others.push((path, port.clone()));
        }
    }
    warnings
}
