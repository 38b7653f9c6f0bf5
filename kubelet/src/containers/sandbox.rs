//! What a pod's sandbox is asked for with.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, Pod};

use super::{Invalid, Node, dns, hostname, labels, on_host_network, resources, security, sysctls};
use crate::cri::v1::{LinuxPodSandboxConfig, PodSandboxConfig, PodSandboxMetadata, PortMapping, Protocol};
use crate::paths::Paths;

/// What the runtime is asked for: a pod's sandbox, before which there were `attempt` others. What is to be said of its DNS
/// settings comes from [`dns::config`].
///
/// # Errors
/// If the pod cannot have what it asks for.
pub fn sandbox(pod: &Pod, attempt: u32, node: &Node, paths: &Paths) -> Result<PodSandboxConfig, Invalid> {
    let of = |value: &Option<String>| value.clone().unwrap_or_default();
    let (name, namespace, uid) = (of(&pod.metadata.name), of(&pod.metadata.namespace), of(&pod.metadata.uid));
    let spec = pod.spec.as_ref();
    if spec.and_then(|spec| spec.host_users) == Some(false) {
        return Err(Invalid::sandbox("can't set `spec.hostUsers: false`, runtime does not support user namespaces"));
    }
    // On the host's network the pod is called what the host is.
    let hostname = match on_host_network(pod) {
        true => String::new(),
        false => hostname::for_kernel(pod, &hostname::hostname(pod, node)?)?,
    };
    let sysctls = spec.and_then(|spec| spec.security_context.as_ref()?.sysctls.as_ref());
    let sysctls = sysctls.into_iter().flatten().map(|sysctl| (sysctls::dotted(&sysctl.name), sysctl.value.clone()));
    Ok(PodSandboxConfig {
        log_directory: paths.logs_of(&namespace, &name, &uid).to_string_lossy().into_owned(),
        metadata: Some(PodSandboxMetadata { name, uid, namespace, attempt }),
        hostname,
        dns_config: Some(dns::config(pod, node).0),
        port_mappings: ports(pod),
        labels: labels::of_sandbox(pod),
        annotations: labels::annotations_of_sandbox(pod),
        linux: Some(LinuxPodSandboxConfig {
            cgroup_parent: node.cgroups.pod_parent(pod),
            security_context: Some(security::of_sandbox(pod)),
            sysctls: sysctls.collect(),
            overhead: Some(resources::overhead(pod, node)),
            resources: Some(resources::of_sandbox(pod, node)),
        }),
        ..Default::default()
    })
}

/// The ports of the containers that run as long as the pod does. A port that a container names twice is mapped once.
fn ports(pod: &Pod) -> Vec<PortMapping> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    sidecars.chain(&spec.containers).flat_map(ports_of).collect()
}

fn ports_of(container: &Container) -> Vec<PortMapping> {
    let mut known = BTreeSet::new();
    let mut mappings = Vec::new();
    for port in container.ports.iter().flatten() {
        let protocol = match port.protocol.as_deref() {
            Some("UDP") => Protocol::Udp,
            Some("SCTP") => Protocol::Sctp,
            _ => Protocol::Tcp,
        };
        let host_ip = port.host_ip.clone().unwrap_or_default();
        let host_port = port.host_port.unwrap_or(0);
        let name = port.name.clone().filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| format!("{}-{host_ip}:{}:{host_port}", protocol as i32, port.container_port));
        if known.insert(name) {
            let container_port = port.container_port;
            mappings.push(PortMapping { protocol: protocol.into(), container_port, host_port, host_ip });
        }
    }
    mappings
}
