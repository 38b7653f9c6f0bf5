//! From a pod's spec to what CRI is asked for. Pure: whatever has to be looked up comes in.
//!
//! What comes out is what upstream's kubelet (`pkg/kubelet/kuberuntime`) asks for, labels and annotations included, so that
//! tools that look at a node's runtime find what they know.

mod container;
pub mod dns;
mod environment;
mod ephemeral;
mod expand;
pub mod fields;
mod hostname;
mod hosts;
pub mod labels;
pub mod priority;
pub mod resources;
mod runtime_class;
mod sandbox;
mod security;
mod services;
pub mod sysctls;

use api::pod_resources::List;
use k8s_openapi::api::core::v1::Pod;
use std::net::IpAddr;

pub use container::{Image, Making, container, termination_log};
pub use environment::{Environment, References, Sources, environment, references};
pub use ephemeral::find;
pub use expand::{Missing, expand, expand_all};
pub use hostname::{Hostname, hostname};
pub use hosts::hosts_file;
pub use runtime_class::runtime_handler;
pub use sandbox::sandbox;
pub use security::wants_apparmor;

use crate::cgroups::Layout;
use crate::pod_plan::Verdict;

/// The reason if no sandbox can be asked for (`ErrCreatePodSandbox`).
pub const SANDBOX_ERROR: &str = "CreatePodSandboxError";
/// The reason if no container can be asked for (`ErrCreateContainerConfig`).
pub const CONTAINER_ERROR: &str = "CreateContainerConfigError";

/// Why something cannot be asked for: the word that the status of the pod or container has, and the sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// The word: [`SANDBOX_ERROR`] or [`CONTAINER_ERROR`].
    pub reason: &'static str,
    /// The sentence, in upstream's words.
    pub message: String,
}

impl Invalid {
    pub(crate) fn sandbox(message: impl Into<String>) -> Invalid {
        Invalid { reason: SANDBOX_ERROR, message: message.into() }
    }

    pub(crate) fn container(message: impl Into<String>) -> Invalid {
        Invalid { reason: CONTAINER_ERROR, message: message.into() }
    }
}

impl From<Invalid> for Verdict {
    fn from(invalid: Invalid) -> Verdict {
        Verdict { reason: invalid.reason.to_owned(), message: invalid.message }
    }
}

/// Which swap containers may use (`memorySwap.swapBehavior`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Swap {
    /// The kernel does not account for it, so that nothing can be asked for.
    #[default]
    Unaccounted,
    /// None (`NoSwap`).
    None,
    /// Containers of Burstable pods get their share of this many bytes (`LimitedSwap`; cgroup v2 only).
    Limited(i64),
}

/// What is the same for every pod of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its address, by whose family the fallback for DNS goes.
    pub address: Option<IpAddr>,
    /// Where pods' cgroups are.
    pub cgroups: Layout,
    /// Whether cgroups are of version 2.
    pub unified: bool,
    /// The DNS servers of the cluster (`clusterDNS`).
    pub cluster_dns: Vec<IpAddr>,
    /// The domain of the cluster (`clusterDomain`); may be empty.
    pub cluster_domain: String,
    /// How the node itself resolves names; `None` if pods are to resolve none that way (`resolvConf: ""`).
    pub resolver: Option<dns::Resolver>,
    /// What pods may request in all.
    pub allocatable: List,
    /// Bytes of memory that the machine has.
    pub memory_capacity: i64,
    /// Microseconds in which CPU limits are counted (`cpuCFSQuotaPeriod`); `None` if they are not enforced (`cpuCFSQuota`).
    pub quota_period: Option<i64>,
    /// The sizes of huge pages, as cgroups name them: `2MB`, `1GB`.
    pub hugepage_sizes: Vec<String>,
    /// Which swap containers may use.
    pub swap: Swap,
    /// Whether a lack of memory kills single processes, and not all of the container (`singleProcessOOMKill`; always so with
    /// version 1).
    pub single_process_oom_kill: bool,
    /// Whether `RuntimeDefault` is the seccomp profile of those who name none (`seccompDefault`).
    pub seccomp_default: bool,
}

impl Default for Node {
    /// Upstream's defaults, and nothing known of the machine.
    fn default() -> Node {
        Node {
            address: None,
            cgroups: Layout::default(),
            unified: false,
            cluster_dns: Vec::new(),
            cluster_domain: "cluster.local".to_owned(),
            resolver: Some(dns::Resolver::default()),
            allocatable: List::new(),
            memory_capacity: 0,
            quota_period: Some(resources::QUOTA_PERIOD),
            hugepage_sizes: Vec::new(),
            swap: Swap::Unaccounted,
            single_process_oom_kill: false,
            seccomp_default: false,
        }
    }
}

/// A pod's name, namespace and uid, as messages have them (`name_namespace(uid)`).
#[must_use]
pub(crate) fn described(pod: &Pod) -> String {
    let of = |value: &Option<String>| value.clone().unwrap_or_default();
    format!("{}_{}({})", of(&pod.metadata.name), of(&pod.metadata.namespace), of(&pod.metadata.uid))
}

/// Whether the pod shares the host's network.
#[must_use]
pub(crate) fn on_host_network(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.host_network).unwrap_or(false)
}

#[cfg(test)]
mod real;
#[cfg(test)]
mod tests;
