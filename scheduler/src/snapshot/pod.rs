//! What scheduling sees of a pod.
//!
//! Everything is read and checked once, when the pod is first seen. Pods of which scheduling sees the same are equal, and
//! share one `PodInfo` in a snapshot.

use std::collections::BTreeMap;

use api::pod_resources::{self, List, Options};
use api::quantity::{Format, Quantity};
use api::selector::node::{Selector, Term};
use k8s_openapi::api::core::v1::{NodeAffinity, Pod, PodSpec};

use super::affinity::{self, PodAffinities, SpreadConstraint};
use super::owners::Controller;
use super::pod_volumes::PodVolumes;
use super::ports::{self, HostPort};
use super::taints::Toleration;

/// What a container without a request of cpu counts as, in thousandths, where requests are compared and not granted.
const PRESUMED_MILLI_CPU: i64 = 100;
/// The same of memory.
const PRESUMED_MEMORY: i64 = 200 << 20;

/// What counts as requested: also what resizes have not brought about yet.
const OPTIONS: Options<'static> = Options {
    status: true,
    without_overhead: false,
    without_pod_level: false,
    without_containers: false,
    missing: None,
};

/// A term of node affinity that nodes had better match.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PreferredNodes {
    /// How much it counts, from 1 to 100.
    pub weight: i32,
    /// Which nodes.
    pub term: Term,
}

impl PreferredNodes {
    /// Those of a node affinity that are of any matter.
    pub(crate) fn all(affinity: Option<&NodeAffinity>) -> Vec<Self> {
        let preferred =
            affinity.and_then(|affinity| affinity.preferred_during_scheduling_ignored_during_execution.as_ref());
        let preferred = preferred.into_iter().flatten().filter(|preferred| preferred.weight != 0);
        let read = preferred.filter_map(|preferred| {
            Some(Self { weight: preferred.weight, term: Term::from_api(&preferred.preference)? })
        });
        read.collect()
    }
}

/// What scheduling sees of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodInfo {
    /// Its namespace.
    pub namespace: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its controller, if it is one whose pods are spread.
    pub controller: Option<Controller>,
    /// What it requests, by the names of resources, nothing that is zero: cpu in thousandths, others in units.
    pub requests: Vec<(String, i64)>,
    /// What it requests of cpu and memory, where containers without a request count as if they had a small one.
    pub presumed: [i64; 2],
    /// The ports that it takes of its node.
    pub host_ports: Vec<HostPort>,
    /// What it tolerates.
    pub tolerations: Vec<Toleration>,
    /// The labels that its node must have.
    pub node_selector: BTreeMap<String, String>,
    /// The nodes on which it may be.
    pub required_nodes: Option<Selector>,
    /// The nodes on which it had better be.
    pub preferred_nodes: Vec<PreferredNodes>,
    /// Which pods it wants near or far.
    pub affinities: PodAffinities,
    /// How evenly it wants to be spread.
    pub spread: Vec<SpreadConstraint>,
    /// The only node on which it may be.
    pub node_name: Option<String>,
    /// The images of its containers and volumes, as nodes name them.
    pub images: Vec<String>,
    /// Features that its node must declare, in order.
    pub required_features: Vec<&'static str>,
    /// Whether it claims devices.
    pub claims_devices: bool,
    /// Its volumes, if scheduling sees anything of them.
    pub volumes: Option<Box<PodVolumes>>,
    /// What must be gone before it is scheduled.
    pub scheduling_gates: Vec<String>,
    /// How important it is.
    pub priority: i32,
    /// Whether others never have to make room for it.
    pub never_preempts: bool,
}

/// What a pod needs of its node: some of what [`PodInfo`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Needs<'a> {
    requests: &'a [(String, i64)],
    presumed: [i64; 2],
    host_ports: &'a [HostPort],
    tolerations: &'a [Toleration],
    node_selector: &'a BTreeMap<String, String>,
    required_nodes: Option<&'a Selector>,
    preferred_nodes: &'a [PreferredNodes],
    node_name: Option<&'a str>,
    images: &'a [String],
    required_features: &'a [&'static str],
}

impl PodInfo {
    /// Reads a pod. What no server accepts (unreadable quantities, impossible terms) counts as absent, or matches nothing.
    #[must_use]
    pub fn new(pod: &Pod) -> Self {
        let empty = PodSpec::default();
        let spec = pod.spec.as_ref().unwrap_or(&empty);
        let node_affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
        let (requests, presumed) = requests(pod);
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let labels = pod.metadata.labels.clone().unwrap_or_default();
        Self {
            affinities: PodAffinities::new(&namespace, spec.affinity.as_ref()),
            spread: affinity::spread(&namespace, &labels, spec),
            namespace,
            labels,
            controller: Controller::of(pod),
            requests,
            presumed,
            host_ports: ports::of_pod(spec),
            tolerations: tolerations(pod),
            node_selector: spec.node_selector.clone().unwrap_or_default(),
            required_nodes: required_nodes(pod),
            preferred_nodes: PreferredNodes::all(node_affinity),
            node_name: node_name(pod).map(str::to_owned),
            images: images(spec),
            required_features: required_features(pod),
            claims_devices: spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty()),
            volumes: PodVolumes::read(pod),
            scheduling_gates: spec.scheduling_gates.iter().flatten().map(|gate| gate.name.clone()).collect(),
            priority: spec.priority.unwrap_or_default(),
            never_preempts: spec.preemption_policy.as_deref() == Some("Never"),
        }
    }

    /// What the pod needs of a node, whatever there is elsewhere. Pods of the same needs can be told apart by their names,
    /// by which pods they want near, and by how important they are.
    #[must_use]
    pub fn needs(&self) -> Needs<'_> {
        Needs {
            requests: &self.requests,
            presumed: self.presumed,
            host_ports: &self.host_ports,
            tolerations: &self.tolerations,
            node_selector: &self.node_selector,
            required_nodes: self.required_nodes.as_ref(),
            preferred_nodes: &self.preferred_nodes,
            node_name: self.node_name.as_deref(),
            images: &self.images,
            required_features: &self.required_features,
        }
    }

    /// How much the pod requests of a resource.
    #[must_use]
    pub fn requested(&self, resource: &str) -> i64 {
        self.requests.iter().find(|(name, _)| name == resource).map_or(0, |(_, amount)| *amount)
    }
}

/// Whether the pod is on a node, or room was made for it on one.
pub(crate) fn is_placed(pod: &Pod) -> bool {
    let nominated = pod.status.as_ref().and_then(|status| status.nominated_node_name.as_deref());
    node_name(pod).is_some() || nominated.is_some_and(|name| !name.is_empty())
}

/// The name of the pod's node, if it has one.
pub(crate) fn node_name(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).filter(|name| !name.is_empty())
}

/// Whether these are one pod, at different times.
pub(crate) fn same(one: &Pod, other: &Pod) -> bool {
    one.metadata.uid == other.metadata.uid
}

/// The features that the pod's node must declare, in order: those of upstream's that matter to scheduling.
pub(crate) fn required_features(pod: &Pod) -> Vec<&'static str> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let mut rules = containers.flat_map(|container| container.restart_policy_rules.iter().flatten());
    let features = [
        ("RestartAllContainersOnContainerExits", rules.any(|rule| rule.action == "RestartAllContainers")),
        ("UserNamespacesHostNetworkSupport", spec.host_network == Some(true) && spec.host_users == Some(false)),
    ];
    features.into_iter().filter(|(_, is_required)| *is_required).map(|(feature, _)| feature).collect()
}

/// The nodes on which the pod may be, if it says so.
pub(crate) fn required_nodes(pod: &Pod) -> Option<Selector> {
    let affinity = pod.spec.as_ref()?.affinity.as_ref()?.node_affinity.as_ref()?;
    affinity.required_during_scheduling_ignored_during_execution.as_ref().map(Selector::from_api)
}

/// What the pod tolerates.
pub(crate) fn tolerations(pod: &Pod) -> Vec<Toleration> {
    pod.spec.iter().flat_map(|spec| spec.tolerations.iter().flatten()).map(Toleration::from).collect()
}

/// Amounts as they are compared, in order of the resources' names.
pub(super) fn amounts(list: &List) -> Vec<(String, i64)> {
    let amount = |name: &str, quantity: &Quantity| match name {
        "cpu" => quantity.milli_value(),
        _ => quantity.value(),
    };
    list.iter().map(|(name, quantity)| (name.clone(), amount(name, quantity))).collect()
}

/// What the pod requests, as [`PodInfo::requests`] says it.
pub(crate) fn requested(pod: &Pod) -> Vec<(String, i64)> {
    let mut requests = amounts(&pod_resources::requests(pod, OPTIONS));
    // That a pod is one pod is counted without its saying so.
    requests.retain(|(name, amount)| *amount > 0 && name != "pods");
    requests
}

fn requests(pod: &Pod) -> (Vec<(String, i64)>, [i64; 2]) {
    let requests = requested(pod);
    let missing = List::from([
        ("cpu".to_owned(), Quantity::from_milli(PRESUMED_MILLI_CPU, Format::DecimalSi)),
        ("memory".to_owned(), Quantity::new(PRESUMED_MEMORY, Format::BinarySi)),
    ]);
    let presumed = pod_resources::requests(pod, Options { missing: Some(&missing), ..OPTIONS });
    let presumed_cpu = presumed.get("cpu").map_or(0, Quantity::milli_value);
    let presumed_memory = presumed.get("memory").map_or(0, Quantity::value);
    (requests, [presumed_cpu, presumed_memory])
}

/// The images that the pod's node needs: one for each container and each volume of an image, as often as there are.
fn images(spec: &PodSpec) -> Vec<String> {
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let of_containers = containers.map(|container| container.image.as_deref().unwrap_or_default());
    let volumes = spec.volumes.iter().flatten().filter_map(|volume| volume.image.as_ref());
    let of_volumes = volumes.map(|image| image.reference.as_deref().unwrap_or_default());
    of_containers.chain(of_volumes).map(full_image_name).collect()
}

/// The name of an image with its tag, as nodes report it.
fn full_image_name(name: &str) -> String {
    if name.rfind(':') <= name.rfind('/') { format!("{name}:latest") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_have_tags() {
        let check = |name: &str, expected: &str| assert_eq!(full_image_name(name), expected);
        check("nginx", "nginx:latest");
        check("nginx:1", "nginx:1");
        check("host:5000/nginx", "host:5000/nginx:latest");
        check("host:5000/nginx:1", "host:5000/nginx:1");
        check("nginx@sha256:abc", "nginx@sha256:abc");
    }
}
