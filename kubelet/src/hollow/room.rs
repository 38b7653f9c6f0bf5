//! Whether a node has room for one pod more, by what its pods request: the part of a kubelet's admission that depends on
//! other pods.

use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use std::collections::BTreeMap;

use super::options::Capacity;
use super::plan::Refusal;

/// What a pod requests of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Requests {
    /// Thousandths of processors.
    cpu: i64,
    /// Bytes.
    memory: i64,
    /// Bytes.
    ephemeral_storage: i64,
}

impl Requests {
    fn of_list(list: Option<&BTreeMap<String, ApiQuantity>>) -> Requests {
        // What is no quantity was never accepted by the API.
        let get = |name: &str| list?.get(name).and_then(|quantity| Quantity::parse(&quantity.0).ok());
        Requests {
            cpu: get("cpu").map_or(0, |quantity| quantity.milli_value()),
            memory: get("memory").map_or(0, |quantity| quantity.value()),
            ephemeral_storage: get("ephemeral-storage").map_or(0, |quantity| quantity.value()),
        }
    }

    fn of_container(container: &Container) -> Requests {
        Requests::of_list(container.resources.as_ref().and_then(|resources| resources.requests.as_ref()))
    }

    /// What a pod requests: what its containers do that run at the same time, at the most.
    pub(super) fn of(pod: &Pod) -> Requests {
        let Some(spec) = &pod.spec else { return Requests::default() };
        let mut most = Requests::default();
        let mut sidecars = Requests::default();
        for container in spec.init_containers.iter().flatten() {
            let requests = Requests::of_container(container).plus(sidecars);
            if container.restart_policy.as_deref() == Some("Always") {
                sidecars = requests;
            }
            most = most.max(requests);
        }
        let all = spec.containers.iter().map(Requests::of_container).fold(sidecars, Requests::plus);
        let mut requests = most.max(all);
        let of_pod = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        let stated = Requests::of_list(of_pod);
        let states = |name| of_pod.is_some_and(|list| list.contains_key(name));
        if states("cpu") {
            requests.cpu = stated.cpu;
        }
        if states("memory") {
            requests.memory = stated.memory;
        }
        requests.plus(Requests::of_list(spec.overhead.as_ref()))
    }

    /// The sum.
    pub(super) fn plus(self, other: Requests) -> Requests {
        Requests {
            cpu: self.cpu.saturating_add(other.cpu),
            memory: self.memory.saturating_add(other.memory),
            ephemeral_storage: self.ephemeral_storage.saturating_add(other.ephemeral_storage),
        }
    }

    fn max(self, other: Requests) -> Requests {
        Requests {
            cpu: self.cpu.max(other.cpu),
            memory: self.memory.max(other.memory),
            ephemeral_storage: self.ephemeral_storage.max(other.ephemeral_storage),
        }
    }
}

/// Why a node that has `pods` pods, which request `used`, does not take one that requests `wanted`.
pub(super) fn refusal(wanted: Requests, used: Requests, pods: usize, capacity: &Capacity) -> Option<Refusal> {
    let pods = i64::try_from(pods).unwrap_or(i64::MAX);
    let checks = [
        ("pods", 1, pods, capacity.pods.into()),
        ("cpu", wanted.cpu, used.cpu, capacity.cpu.milli_value()),
        ("memory", wanted.memory, used.memory, capacity.memory.value()),
        ("ephemeral-storage", wanted.ephemeral_storage, used.ephemeral_storage, capacity.ephemeral_storage.value()),
    ];
    let (name, wanted, used, capacity) = checks
        .into_iter()
        .find(|(_, wanted, used, capacity)| *wanted > 0 && *wanted > capacity.saturating_sub(*used))?;
    let numbers = format!("requested: {wanted}, used: {used}, capacity: {capacity}");
    let message = format!("Node didn't have enough resource: {name}, {numbers}");
    Some(Refusal { reason: format!("OutOf{name}"), message })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn requests(spec: Value) -> (i64, i64) {
        let requests = Requests::of(&serde_json::from_value(json!({"spec": spec})).unwrap());
        (requests.cpu, requests.memory)
    }

    #[test]
    fn pods_request_what_runs_at_the_same_time() {
        let container = |cpu: &str, policy: Option<&str>| {
            let requests = json!({"cpu": cpu, "memory": "1Ki"});
            json!({"name": cpu, "restartPolicy": policy, "resources": {"requests": requests}})
        };
        let (plain, sidecar) = (|cpu| container(cpu, None), |cpu| container(cpu, Some("Always")));
        let check = |spec, expected| assert_eq!(requests(spec), expected);
        check(json!({"containers": []}), (0, 0));
        check(json!({"containers": [plain("100m"), plain("1")]}), (1_100, 2_048));
        check(json!({"containers": [plain("1")], "initContainers": [plain("3")]}), (3_000, 1_024));
        check(json!({"containers": [plain("1")], "initContainers": [sidecar("1"), plain("2")]}), (3_000, 2_048));
        check(json!({"containers": [plain("1")], "initContainers": [plain("2"), sidecar("1")]}), (2_000, 2_048));
        check(json!({"containers": [plain("1")], "overhead": {"cpu": "10m"}}), (1_010, 1_024));
        let of_pod = json!({"requests": {"cpu": "5"}});
        check(json!({"containers": [plain("1")], "resources": of_pod}), (5_000, 1_024));
    }

    #[test]
    fn what_is_lacking_is_named() {
        let capacity = Capacity::default();
        let check = |wanted: (i64, i64), used: (i64, i64), pods, expected: Option<(&str, &str)>| {
            let of = |(cpu, memory)| Requests { cpu, memory, ephemeral_storage: 0 };
            let refusal = refusal(of(wanted), of(used), pods, &capacity);
            let found = refusal.as_ref().map(|refusal| (refusal.reason.as_str(), refusal.message.as_str()));
            assert_eq!(found, expected);
        };
        check((1_000, 0), (7_000, 0), 109, None);
        let message = "Node didn't have enough resource: cpu, requested: 1001, used: 7000, capacity: 8000";
        check((1_001, 0), (7_000, 0), 1, Some(("OutOfcpu", message)));
        check((0, 0), (9_000, 0), 1, None);
        let message = "Node didn't have enough resource: pods, requested: 1, used: 110, capacity: 110";
        check((0, 0), (0, 0), 110, Some(("OutOfpods", message)));
        let message =
            "Node didn't have enough resource: memory, requested: 1, used: 34359738368, capacity: 34359738368";
        check((0, 1), (0, 32 << 30), 1, Some(("OutOfmemory", message)));
    }
}
