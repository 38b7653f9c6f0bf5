//! What a hollow node says of itself: its Node object.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeStatus, NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use rand::Rng;

use super::options::Valid;
use super::random::generator;
use crate::node::report::CONTROLLER_ATTACHES;

/// The version that hollow nodes say their kubelet has.
const VERSION: &str = "v1.37.0";
/// Where a kubelet listens.
const KUBELET_PORT: i32 = 10250;
/// Condition, status, reason, message.
const CONDITIONS: [[&str; 4]; 4] = [
    ["MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"],
    ["DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"],
    ["PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"],
    ["Ready", "True", "KubeletReady", "kubelet is posting ready status"],
];

/// The Node with which node `number` registers.
pub(super) fn node(options: &Valid, number: u32, now: Timestamp) -> Node {
    let name = options.name(number);
    let mut labels: BTreeMap<String, String> = BTreeMap::new();
    for prefix in ["beta.kubernetes.io", "kubernetes.io"] {
        labels.insert(format!("{prefix}/arch"), "amd64".to_owned());
        labels.insert(format!("{prefix}/os"), "linux".to_owned());
    }
    labels.insert("kubernetes.io/hostname".to_owned(), name.clone());
    if let Some(zone) = options.zone(number) {
        labels.insert("topology.kubernetes.io/zone".to_owned(), zone.to_owned());
    }
    labels.extend(options.labels.clone());
    let annotations = BTreeMap::from([(CONTROLLER_ATTACHES.to_owned(), "true".to_owned())]);
    let metadata =
        ObjectMeta { name: Some(name), labels: Some(labels), annotations: Some(annotations), ..ObjectMeta::default() };
    Node { metadata, status: Some(status(options, number, now)), ..Node::default() }
}

fn status(options: &Valid, number: u32, now: Timestamp) -> NodeStatus {
    let name = options.name(number);
    let address = |type_: &str, address| NodeAddress { type_: type_.to_owned(), address };
    let capacity = &options.capacity;
    let quantities = [
        ("cpu", capacity.cpu.to_string()),
        ("ephemeral-storage", capacity.ephemeral_storage.to_string()),
        ("memory", capacity.memory.to_string()),
        ("pods", capacity.pods.to_string()),
    ];
    let quantities: BTreeMap<String, ApiQuantity> =
        quantities.into_iter().map(|(name, quantity)| (name.to_owned(), ApiQuantity(quantity))).collect();
    let condition = |[type_, status, reason, message]: [&str; 4]| NodeCondition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_heartbeat_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    };
    let endpoint = DaemonEndpoint { port: KUBELET_PORT };
    NodeStatus {
        addresses: Some(vec![
            address("InternalIP", options.address(number).to_string()),
            address("Hostname", name.clone()),
        ]),
        allocatable: Some(quantities.clone()),
        capacity: Some(quantities),
        conditions: Some(CONDITIONS.into_iter().map(condition).collect()),
        daemon_endpoints: Some(NodeDaemonEndpoints { kubelet_endpoint: Some(endpoint) }),
        node_info: Some(system(options.seed, &name)),
        ..NodeStatus::default()
    }
}

fn system(seed: u64, name: &str) -> NodeSystemInfo {
    let mut random = generator(seed, name, "machine");
    let machine: u128 = random.random();
    let mut uuid = || {
        let digits = format!("{:032x}", random.random::<u128>());
        format!("{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..])
    };
    NodeSystemInfo {
        architecture: "amd64".to_owned(),
        boot_id: uuid(),
        container_runtime_version: "containerd://2.2.0".to_owned(),
        kernel_version: "6.12.0".to_owned(),
        kubelet_version: VERSION.to_owned(),
        machine_id: format!("{machine:032x}"),
        operating_system: "linux".to_owned(),
        os_image: "Gantry hollow node".to_owned(),
        system_uuid: uuid(),
        ..NodeSystemInfo::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::hollow::options::Options;
    use crate::node::report::{pod_ranges, report};

    fn options() -> Valid {
        Options { nodes: 2, zones: vec!["a".to_owned()], ..Options::default() }.validated().unwrap()
    }

    #[test]
    fn a_report_of_what_is_known_is_a_sign_of_life() {
        let (early, late) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(60).unwrap());
        let report = report(&node(&options(), 0, early), &node(&options(), 0, late));
        assert_eq!(report["status"].as_object().map(|status| status.len()), Some(1), "{report:#}");
        let ready = &report["status"]["conditions"][3];
        let expected = json!({
            "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status",
            "lastHeartbeatTime": "1970-01-01T00:01:00Z", "lastTransitionTime": "1970-01-01T00:00:00Z",
        });
        assert_eq!(*ready, expected);
    }

    #[test]
    fn what_differs_is_set_right() {
        let now = Timestamp::UNIX_EPOCH;
        let mut known = node(&options(), 1, now);
        known.metadata.labels.as_mut().unwrap().insert("kubernetes.io/os".to_owned(), "plan9".to_owned());
        known.metadata.labels.as_mut().unwrap().insert("mine".to_owned(), "yes".to_owned());
        known.metadata.annotations = None;
        let status = known.status.as_mut().unwrap();
        status.addresses = None;
        status.capacity.as_mut().unwrap().insert("cpu".to_owned(), ApiQuantity("1".to_owned()));
        let ready = &mut status.conditions.as_mut().unwrap()[3];
        ready.status = "Unknown".to_owned();
        let later = Timestamp::from_second(60).unwrap();
        let report = report(&known, &node(&options(), 1, later));
        let metadata = json!({"labels": {"kubernetes.io/os": "linux"}, "annotations": {CONTROLLER_ATTACHES: "true"}});
        assert_eq!(report["metadata"], metadata);
        assert_eq!(report["status"]["capacity"]["cpu"], "8");
        assert!(report["status"]["allocatable"].is_null());
        assert_eq!(report["status"]["conditions"][3]["lastTransitionTime"], "1970-01-01T00:01:00Z");
        let addresses = json!([
            {"$patch": "replace"}, {"type": "InternalIP", "address": "172.16.0.2"},
            {"type": "Hostname", "address": "hollow-1"},
        ]);
        assert_eq!(report["status"]["addresses"], addresses);
    }

    #[test]
    fn ranges_are_those_of_the_node() {
        let check = |spec: Value, expected: &[&str]| {
            let node: Node = serde_json::from_value(json!({"spec": spec})).unwrap();
            assert_eq!(pod_ranges(&node), expected);
        };
        check(json!({}), &[]);
        check(json!({"podCIDR": ""}), &[]);
        check(json!({"podCIDR": "10.0.0.0/24"}), &["10.0.0.0/24"]);
        check(
            json!({"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24", "fd00::/64"]}),
            &["10.0.0.0/24", "fd00::/64"],
        );
    }
}
