//! What containers may use, as CRI is told.

use std::collections::BTreeMap;

use api::pod_resources::{self, List, qos};
use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use super::{Node, Swap, priority};
use crate::cgroups::cpu;
use crate::cri::v1::{HugepageLimit, LinuxContainerResources, UpdateContainerResourcesRequest};

/// Microseconds in which CPU limits are counted, unless the node's owner says otherwise.
pub const QUOTA_PERIOD: i64 = 100_000;
/// Whom the kernel is to spare longest: the containers of Guaranteed pods, and of those that the node cannot do without.
const GUARANTEED_SCORE: i64 = -997;
/// Whom the kernel is to kill first: the containers of BestEffort pods.
const BEST_EFFORT_SCORE: i64 = 1000;

type ApiList = BTreeMap<String, ApiQuantity>;

/// What a container may use.
#[must_use]
pub fn of_container(pod: &Pod, container: &Container, node: &Node) -> LinuxContainerResources {
    let requests = listed(container, |resources| resources.requests.as_ref());
    let limits = listed(container, |resources| resources.limits.as_ref());
    // What a container is not limited to, its pod as a whole is.
    let of_pod = pod.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let of_pod = pod_resources::read(of_pod.and_then(|resources| resources.limits.as_ref()));
    let limit = |name: &str| nonzero(&limits, name).or_else(|| nonzero(&of_pod, name)).cloned().unwrap_or_default();
    let mut resources = calculate(requests.get("cpu"), &limit("cpu"), &limit("memory"), node);
    resources.oom_score_adj = oom_score(pod, container, node.memory_capacity);
    resources.hugepage_limits = hugepages(&limits, &node.hugepage_sizes);
    swap(&mut resources, pod, container, node);
    resources
}

/// What a container that runs may use from now on. No limit is said in numbers here: what is left out would stay as it was.
#[must_use]
pub fn update(pod: &Pod, container: &Container, id: &str, node: &Node) -> UpdateContainerResourcesRequest {
    let mut linux = of_container(pod, container, node);
    if linux.cpu_quota == 0 && linux.cpu_period != 0 {
        linux.cpu_quota = -1;
    }
    UpdateContainerResourcesRequest { container_id: id.to_owned(), linux: Some(linux), ..Default::default() }
}

/// What all containers of a pod may use together, for runtimes that size the sandbox by it.
pub(super) fn of_sandbox(pod: &Pod, node: &Node) -> LinuxContainerResources {
    let options = pod_resources::Options { without_overhead: true, ..Default::default() };
    let requests = pod_resources::requests(pod, options);
    let limits = pod_resources::limits(pod, options);
    let limit = |name: &str| limits.get(name).cloned().unwrap_or_default();
    calculate(requests.get("cpu"), &limit("cpu"), &limit("memory"), node)
}

/// What the sandbox needs besides (`spec.overhead`).
pub(super) fn overhead(pod: &Pod, node: &Node) -> LinuxContainerResources {
    let Some(overhead) = pod.spec.as_ref().and_then(|spec| spec.overhead.as_ref()) else {
        return LinuxContainerResources::default();
    };
    let overhead = pod_resources::read(Some(overhead));
    let of = |name: &str| overhead.get(name).cloned().unwrap_or_default();
    calculate(Some(&of("cpu")), &of("cpu"), &of("memory"), node)
}

fn listed(
    container: &Container,
    list: impl Fn(&k8s_openapi::api::core::v1::ResourceRequirements) -> Option<&ApiList>,
) -> List {
    pod_resources::read(container.resources.as_ref().and_then(list))
}

fn nonzero<'a>(list: &'a List, name: &str) -> Option<&'a Quantity> {
    list.get(name).filter(|quantity| !quantity.is_zero())
}

fn calculate(request: Option<&Quantity>, limit: &Quantity, memory: &Quantity, node: &Node) -> LinuxContainerResources {
    let mut resources = LinuxContainerResources {
        cpu_shares: cpu::shares(request.unwrap_or(limit).milli_value()),
        memory_limit_in_bytes: memory.value(),
        ..Default::default()
    };
    if let Some(period) = node.quota_period {
        resources.cpu_period = period;
        resources.cpu_quota = cpu::quota(limit.milli_value(), period);
    }
    if node.unified && !node.single_process_oom_kill {
        resources.unified.insert("memory.oom.group".to_owned(), "1".to_owned());
    }
    resources
}

/// A limit for each size that the node has: none at all, unless the container states one.
fn hugepages(limits: &List, sizes: &[String]) -> Vec<HugepageLimit> {
    let stated = |size: &String| {
        let of = |(name, quantity): (&String, &Quantity)| {
            let bytes = Quantity::parse(name.strip_prefix("hugepages-")?).ok()?.value();
            (size_name(bytes) == *size).then(|| quantity.value())
        };
        limits.iter().find_map(of).and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0)
    };
    sizes.iter().map(|size| HugepageLimit { page_size: size.clone(), limit: stated(size) }).collect()
}

/// A size of huge pages as cgroups name it.
pub(crate) fn size_name(bytes: i64) -> String {
    match bytes {
        bytes if bytes >= 1 << 30 => format!("{}GB", bytes >> 30),
        bytes if bytes >= 1 << 20 => format!("{}MB", bytes >> 20),
        bytes => format!("{}KB", bytes >> 10),
    }
}

fn swap(resources: &mut LinuxContainerResources, pod: &Pod, container: &Container, node: &Node) {
    if node.swap == Swap::Unaccounted {
        return;
    }
    if !node.unified {
        // Memory and swap together: as much as memory alone leaves none.
        resources.memory_swap_limit_in_bytes = resources.memory_limit_in_bytes;
        return;
    }
    let bytes = match node.swap {
        Swap::Limited(available) => share_of_swap(pod, container, node.memory_capacity, available),
        _ => 0,
    };
    resources.unified.insert("memory.swap.max".to_owned(), bytes.to_string());
}

/// A container's share of the node's swap: that of its request of the node's memory. Only Burstable pods get any.
fn share_of_swap(pod: &Pod, container: &Container, capacity: i64, available: i64) -> i64 {
    let request = memory_request(container);
    let limits = listed(container, |resources| resources.limits.as_ref());
    let limit = limits.get("memory").map_or(0, Quantity::value);
    if qos::class_of(pod) != qos::BURSTABLE || priority::is_critical(pod) || request == limit || capacity <= 0 {
        return 0;
    }
    #[expect(clippy::cast_possible_truncation, reason = "less than what is available, which is an i64")]
    let share = (i128::from(request) * i128::from(available) / i128::from(capacity)) as i64;
    share.min(available)
}

fn memory_request(container: &Container) -> i64 {
    let requests = listed(container, |resources| resources.requests.as_ref());
    requests.get("memory").map_or(0, Quantity::value)
}

/// How soon the kernel kills a container if the node's memory runs out: a thousandth less for each thousandth of the
/// node's memory that it requests.
fn oom_score(pod: &Pod, container: &Container, capacity: i64) -> i64 {
    let class = qos::class_of(pod);
    if priority::is_node_critical(pod) || class == qos::GUARANTEED {
        return GUARANTEED_SCORE;
    }
    if class == qos::BEST_EFFORT || capacity <= 0 {
        return BEST_EFFORT_SCORE;
    }
    let score = |request: i64| {
        let thousandths = 1000 * i128::from(request) / i128::from(capacity);
        1000 - i64::try_from(thousandths).unwrap_or(i64::MAX).min(1000)
    };
    let mut own = score(memory_request(container).saturating_add(left_of_pod(pod)));
    if is_sidecar(pod, container) {
        // A sidecar goes no sooner than the containers that it serves.
        let least = pod.spec.iter().flat_map(|spec| &spec.containers).map(memory_request).min();
        own = own.min(score(least.unwrap_or(0)));
    }
    own.clamp(1000 + GUARANTEED_SCORE, BEST_EFFORT_SCORE - 1)
}

/// A container's part of what the pod as a whole requests and none of its containers does.
fn left_of_pod(pod: &Pod) -> i64 {
    let Some(spec) = pod.spec.as_ref().filter(|_| pod_resources::has_pod_level_requests(pod)) else { return 0 };
    let memory = |options| pod_resources::requests(pod, options).get("memory").map_or(0, Quantity::value);
    let without_overhead = pod_resources::Options { without_overhead: true, ..Default::default() };
    let of_containers = memory(pod_resources::Options { without_pod_level: true, ..without_overhead });
    let containers = spec.containers.len() + spec.init_containers.as_ref().map_or(0, Vec::len);
    (memory(without_overhead) - of_containers).max(0) / i64::try_from(containers.max(1)).unwrap_or(i64::MAX)
}

fn is_sidecar(pod: &Pod, container: &Container) -> bool {
    let mut init = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    init.any(|init| init.name == container.name && init.restart_policy.as_deref() == Some("Always"))
}

#[cfg(test)]
mod tests;
