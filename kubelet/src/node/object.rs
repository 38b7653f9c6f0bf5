//! The Node object, as it follows from the machine and from how the agent is. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeFeatures,
    NodeRuntimeHandler, NodeSpec, NodeStatus, NodeSystemInfo, Taint,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use super::report::CONTROLLER_ATTACHES;
use super::shutdown::NOT_READY;

/// What the agent can do that not every one can, which the scheduler looks at for pods that need it.
const DECLARED: [&str; 1] = ["RestartAllContainersOnContainerExits"];

/// What is decided about a node before it is there.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Its name.
    pub name: String,
    /// Labels that it registers with, besides those that each node has.
    pub labels: BTreeMap<String, String>,
    /// Taints that it registers with.
    pub taints: Vec<Taint>,
    /// Where its agent listens.
    pub port: u16,
    /// What its cloud knows it by.
    pub provider_id: Option<String>,
}

/// What the machine is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Where it is found.
    pub addresses: Vec<NodeAddress>,
    /// What it has.
    pub capacity: BTreeMap<String, Quantity>,
    /// What pods may have of it.
    pub allocatable: BTreeMap<String, Quantity>,
    /// What runs on it.
    pub system: NodeSystemInfo,
}

/// How the agent and its runtime are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// What keeps the node from being ready, one sentence each.
    pub problems: Vec<String>,
    /// Whether the machine is about to shut down, which keeps the node from being ready, too.
    pub shutting_down: bool,
    /// Whether memory runs out.
    pub memory_pressure: bool,
    /// Whether disk space runs out.
    pub disk_pressure: bool,
    /// Whether process IDs run out.
    pub pid_pressure: bool,
    /// The images that there are.
    pub images: Vec<ContainerImage>,
    /// What the runtime can run pods with.
    pub handlers: Vec<NodeRuntimeHandler>,
    /// Whether the runtime heeds which further groups a pod's users are to be in, if it says anything of that.
    pub supplemental_groups_policy: Option<bool>,
}

/// The Node. Its conditions say that they have been so since `now`; whoever writes them knows better.
#[must_use]
pub fn node(about: &About, facts: &Facts, health: &Health, now: Timestamp) -> Node {
    let mut labels = BTreeMap::new();
    for prefix in ["beta.kubernetes.io", "kubernetes.io"] {
        labels.insert(format!("{prefix}/arch"), facts.system.architecture.clone());
        labels.insert(format!("{prefix}/os"), facts.system.operating_system.clone());
    }
    let host_name = facts.addresses.iter().find(|address| address.type_ == "Hostname");
    let host_name = host_name.map_or_else(|| about.name.clone(), |address| address.address.clone());
    labels.insert("kubernetes.io/hostname".to_owned(), host_name);
    labels.extend(about.labels.clone());
    let annotations = BTreeMap::from([(CONTROLLER_ATTACHES.to_owned(), "true".to_owned())]);
    let metadata = ObjectMeta {
        name: Some(about.name.clone()),
        labels: Some(labels),
        annotations: Some(annotations),
        ..ObjectMeta::default()
    };
    let spec = NodeSpec {
        provider_id: about.provider_id.clone(),
        taints: Some(about.taints.clone()).filter(|taints| !taints.is_empty()),
        ..NodeSpec::default()
    };
    let endpoint = DaemonEndpoint { port: i32::from(about.port) };
    let status = NodeStatus {
        addresses: Some(facts.addresses.clone()),
        allocatable: Some(facts.allocatable.clone()),
        capacity: Some(facts.capacity.clone()),
        conditions: Some(conditions(health, now)),
        declared_features: Some(DECLARED.map(str::to_owned).to_vec()),
        daemon_endpoints: Some(NodeDaemonEndpoints { kubelet_endpoint: Some(endpoint) }),
        features: health
            .supplemental_groups_policy
            .map(|heeded| NodeFeatures { supplemental_groups_policy: Some(heeded) }),
        images: Some(health.images.clone()).filter(|images| !images.is_empty()),
        node_info: Some(facts.system.clone()),
        runtime_handlers: Some(health.handlers.clone()).filter(|handlers| !handlers.is_empty()),
        ..NodeStatus::default()
    };
    Node { metadata, spec: Some(spec), status: Some(status) }
}

/// The addresses by which pods know the node: the first of each family, in the order in which the Node has them.
#[must_use]
pub fn first_addresses(addresses: &[NodeAddress]) -> Vec<IpAddr> {
    let mut first: Vec<IpAddr> = Vec::new();
    let internal = addresses.iter().filter(|address| address.type_ == "InternalIP");
    for address in internal.filter_map(|address| address.address.parse::<IpAddr>().ok()) {
        if first.iter().all(|known| known.is_ipv4() != address.is_ipv4()) {
            first.push(address);
        }
    }
    first
}

fn conditions(health: &Health, now: Timestamp) -> Vec<NodeCondition> {
    let condition = |kind: &str, holds: bool, reason: &str, message: String| NodeCondition {
        type_: kind.to_owned(),
        status: if holds { "True" } else { "False" }.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_heartbeat_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    };
    let pressure = |kind: &str, under: bool, [bad, good]: [(&str, &str); 2]| {
        let (reason, message) = if under { bad } else { good };
        condition(kind, under, reason, message.to_owned())
    };
    let shutting_down = health.shutting_down.then_some(NOT_READY);
    let problems: Vec<&str> = health.problems.iter().map(String::as_str).chain(shutting_down).collect();
    vec![
        pressure(
            "MemoryPressure",
            health.memory_pressure,
            [
                ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
                ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            ],
        ),
        pressure(
            "DiskPressure",
            health.disk_pressure,
            [
                ("KubeletHasDiskPressure", "kubelet has disk pressure"),
                ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            ],
        ),
        pressure(
            "PIDPressure",
            health.pid_pressure,
            [
                ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
                ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            ],
        ),
        match problems.as_slice() {
            [] => condition("Ready", true, "KubeletReady", "kubelet is posting ready status".to_owned()),
            [one] => condition("Ready", false, "KubeletNotReady", (*one).to_owned()),
            several => condition("Ready", false, "KubeletNotReady", format!("[{}]", several.join(", "))),
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions_of(health: &Health) -> Vec<String> {
        let node = node(&About::default(), &Facts::default(), health, Timestamp::UNIX_EPOCH);
        let conditions = node.status.unwrap().conditions.unwrap();
        let said =
            |it: NodeCondition| format!("{}={} {}: {}", it.type_, it.status, it.reason.unwrap(), it.message.unwrap());
        conditions.into_iter().map(said).collect()
    }

    #[test]
    fn conditions_follow_from_health() {
        let well = conditions_of(&Health::default());
        assert_eq!(well[3], "Ready=True KubeletReady: kubelet is posting ready status");
        assert_eq!(well[1], "DiskPressure=False KubeletHasNoDiskPressure: kubelet has no disk pressure");
        let problems = vec!["container runtime is down".to_owned(), "PLEG is not healthy".to_owned()];
        let ill = conditions_of(&Health { problems, memory_pressure: true, ..Health::default() });
        assert_eq!(ill[3], "Ready=False KubeletNotReady: [container runtime is down, PLEG is not healthy]");
        assert_eq!(
            ill[0],
            "MemoryPressure=True KubeletHasInsufficientMemory: kubelet has insufficient memory available"
        );
        let ending = Health { shutting_down: true, ..Health::default() };
        assert_eq!(conditions_of(&ending)[3], "Ready=False KubeletNotReady: node is shutting down");
        let both = Health { problems: vec!["container runtime is down".to_owned()], ..ending };
        assert_eq!(
            conditions_of(&both)[3],
            "Ready=False KubeletNotReady: [container runtime is down, node is shutting down]"
        );
    }

    #[test]
    fn labels_of_ones_own_do_not_hide_those_of_the_machine() {
        let about =
            About { name: "n".to_owned(), labels: [("a".to_owned(), "b".to_owned())].into(), ..About::default() };
        let system = NodeSystemInfo {
            architecture: "amd64".to_owned(),
            operating_system: "linux".to_owned(),
            ..Default::default()
        };
        let node = node(&about, &Facts { system, ..Facts::default() }, &Health::default(), Timestamp::UNIX_EPOCH);
        let labels = node.metadata.labels.unwrap();
        assert_eq!(labels["kubernetes.io/arch"], "amd64");
        assert_eq!(labels["kubernetes.io/hostname"], "n");
        assert_eq!(labels["a"], "b");
    }
}
