//! What a cgroup is limited to, and what that is in the kernel's files. Pure.

use std::collections::BTreeMap;

use api::pod_resources::{self, List, Options};
use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, Pod};

use super::{Class, Version, cpu};
use crate::containers::resources::size_name;

/// What a cgroup is limited to. What is `None` is left as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Its part of CPU time when there is not enough for all, as `cpu.shares`.
    pub cpu_shares: Option<i64>,
    /// Microseconds of CPU time (-1 for no limit) in a period of microseconds.
    pub cpu_quota: Option<(i64, i64)>,
    /// Bytes; -1 for no limit.
    pub memory: Option<i64>,
    /// Processes and threads; -1 for no limit.
    pub pids: Option<i64>,
    /// Bytes of huge pages, by size as the kernel names it (`2MB`).
    pub hugepages: BTreeMap<String, i64>,
}

/// Something to be written to a cgroup's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) controller: &'static str,
    pub(super) file: String,
    pub(super) content: String,
}

impl Limits {
    /// What a pod as a whole is limited to (upstream's `ResourceConfigForPod`): its requests are its shares, and what all of
    /// its containers are limited to is its limit. `period` is that of CPU limits; `None` if they are not enforced.
    #[must_use]
    pub fn of_pod(pod: &Pod, period: Option<i64>, pids: Option<i64>) -> Limits {
        let requests = pod_resources::requests(pod, Options::default());
        let limits = pod_resources::limits(pod, Options::default());
        let amount = |list: &List, name: &str| list.get(name).cloned().unwrap_or_default();
        let shares = cpu::shares(amount(&requests, "cpu").milli_value());
        let quota = cpu::quota(amount(&limits, "cpu").milli_value(), period.unwrap_or_default());
        let quota = match period {
            Some(period) => (if quota == 0 { -1 } else { quota }, period),
            None => (-1, crate::containers::resources::QUOTA_PERIOD),
        };
        let memory = Some(amount(&limits, "memory").value()).filter(|bytes| *bytes > 0);
        let mut found = Limits { pids, hugepages: hugepages(&limits), ..Limits::default() };
        match Class::of(pod) {
            Class::Guaranteed => {
                found.cpu_shares = Some(shares);
                found.cpu_quota = Some(quota);
                found.memory = memory;
            }
            Class::Burstable => {
                found.cpu_shares = Some(shares);
                // One container without a limit leaves the pod without.
                found.cpu_quota = Some(if all_limited(pod, "cpu") { quota } else { (-1, quota.1) });
                found.memory = if all_limited(pod, "memory") { memory } else { Some(-1) };
            }
            Class::BestEffort => found.cpu_shares = Some(cpu::LEAST_SHARES),
        }
        found
    }

    /// What all pods together are limited to: what the node has for them (`enforceNodeAllocatable: pods`).
    #[must_use]
    pub fn of_node(allocatable: &List) -> Limits {
        let amount = |name: &str| allocatable.get(name).filter(|quantity| !quantity.is_zero());
        Limits {
            cpu_shares: amount("cpu").map(|quantity| cpu::shares(quantity.milli_value())),
            cpu_quota: None,
            memory: amount("memory").map(Quantity::value),
            pids: amount("pid").map(Quantity::value),
            hugepages: hugepages(allocatable),
        }
    }

    /// What the pods of a class together are limited to: those that request nothing have the least part of CPU time, and
    /// those that request something, all that they request.
    #[must_use]
    pub fn of_class<'a>(class: Class, pods: impl IntoIterator<Item = &'a Pod>) -> Limits {
        let request = |pod: &Pod| {
            let requests = pod_resources::requests(pod, Options::default());
            requests.get("cpu").map_or(0, Quantity::milli_value)
        };
        let shares = match class {
            Class::Guaranteed => None,
            Class::Burstable => {
                let of_class = pods.into_iter().filter(|pod| Class::of(pod) == class);
                Some(cpu::shares(of_class.map(request).fold(0, i64::saturating_add)))
            }
            Class::BestEffort => Some(cpu::LEAST_SHARES),
        };
        Limits { cpu_shares: shares, ..Limits::default() }
    }

    /// The same, but of each limit of CPU time and memory the wider, if there are others `now`.
    pub(super) fn wider(self, now: &Limits) -> Limits {
        let of_period = |(quota, period): (i64, i64)| i128::from(quota) * 1_000_000 / i128::from(period.max(1));
        let cpu_quota = match (self.cpu_quota, now.cpu_quota) {
            (Some(wanted), Some(now)) if now.0 < 0 || (wanted.0 >= 0 && of_period(now) > of_period(wanted)) => {
                Some(now)
            }
            (wanted, _) => wanted,
        };
        let memory = match (self.memory, now.memory) {
            (Some(wanted), Some(now)) if now < 0 || (wanted >= 0 && now > wanted) => Some(now),
            (wanted, _) => wanted,
        };
        let cpu_shares = self.cpu_shares.max(now.cpu_shares.filter(|_| self.cpu_shares.is_some()));
        Limits { cpu_shares, cpu_quota, memory, ..self }
    }

    /// What is to be written, in this order.
    pub(super) fn settings(&self, version: Version) -> Vec<Setting> {
        let set = |controller, file: &str, content: String| Setting { controller, file: file.to_owned(), content };
        let none_is_max = |value: i64| if value < 0 { "max".to_owned() } else { value.to_string() };
        let mut settings = Vec::new();
        let is_v1 = version == Version::V1;
        if let Some(shares) = self.cpu_shares {
            settings.push(match is_v1 {
                true => set("cpu", "cpu.shares", shares.to_string()),
                false => set("cpu", "cpu.weight", cpu::weight(shares).to_string()),
            });
        }
        match self.cpu_quota {
            Some((quota, period)) if is_v1 => {
                settings.push(set("cpu", "cpu.cfs_period_us", period.to_string()));
                settings.push(set("cpu", "cpu.cfs_quota_us", quota.to_string()));
            }
            Some((quota, period)) => {
                settings.push(set("cpu", "cpu.max", format!("{} {period}", none_is_max(quota))));
            }
            None => {}
        }
        if let Some(memory) = self.memory {
            settings.push(match is_v1 {
                true => set("memory", "memory.limit_in_bytes", memory.to_string()),
                false => set("memory", "memory.max", none_is_max(memory)),
            });
        }
        settings.extend(self.pids.map(|pids| set("pids", "pids.max", none_is_max(pids))));
        let file = if is_v1 { "limit_in_bytes" } else { "max" };
        let hugepages = self.hugepages.iter();
        settings.extend(
            hugepages.map(|(size, bytes)| set("hugetlb", &format!("hugetlb.{size}.{file}"), bytes.to_string())),
        );
        settings
    }
}

fn hugepages(list: &List) -> BTreeMap<String, i64> {
    let of_size = |(name, quantity): (&String, &Quantity)| {
        let bytes = Quantity::parse(name.strip_prefix("hugepages-")?).ok()?.value();
        Some((size_name(bytes), quantity.value()))
    };
    list.iter().filter_map(of_size).collect()
}

/// Whether the pod as a whole is limited, or each of its containers is.
fn all_limited(pod: &Pod, name: &str) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let is_limited = |resources: Option<&k8s_openapi::api::core::v1::ResourceRequirements>| {
        let limits = pod_resources::read(resources.and_then(|resources| resources.limits.as_ref()));
        limits.get(name).is_some_and(|limit| !limit.is_zero())
    };
    let mut containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    is_limited(spec.resources.as_ref())
        || containers.all(|container: &Container| is_limited(container.resources.as_ref()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(spec: Value) -> Pod {
        serde_json::from_value(json!({"spec": spec})).unwrap()
    }

    fn single(resources: Value) -> Pod {
        pod(json!({"containers": [{"name": "c", "resources": resources}]}))
    }

    fn written(limits: &Limits, version: Version) -> Vec<String> {
        let line = |setting: Setting| format!("{} {} {}", setting.controller, setting.file, setting.content);
        limits.settings(version).into_iter().map(line).collect()
    }

    #[test]
    fn pods_are_limited_by_class() {
        let check = |pod: &Pod, shares: i64, quota: Option<i64>, memory: Option<i64>| {
            let found = Limits::of_pod(pod, Some(100_000), Some(50));
            let expected = (Some(shares), quota.map(|quota| (quota, 100_000)), memory, Some(50));
            assert_eq!((found.cpu_shares, found.cpu_quota, found.memory, found.pids), expected);
        };
        let full = json!({"cpu": "1", "memory": "1Ki"});
        check(&single(json!({})), 2, None, None);
        check(&single(json!({"limits": full, "requests": full})), 1024, Some(100_000), Some(1024));
        check(&single(json!({"requests": full})), 1024, Some(-1), Some(-1));
        check(&single(json!({"limits": full, "requests": {"cpu": "500m"}})), 512, Some(100_000), Some(1024));
        let mixed = json!({"containers": [{"name": "c", "resources": {"limits": full}}, {"name": "d"}]});
        check(&pod(mixed.clone()), 2, Some(-1), Some(-1));
        let mut whole = mixed;
        whole["resources"] = json!({"limits": {"cpu": "3"}, "requests": {"cpu": "2"}});
        check(&pod(whole), 2048, Some(300_000), Some(-1));
        let with_overhead = json!({"overhead": {"cpu": "1", "memory": "1Ki"},
            "containers": [{"name": "c", "resources": {"limits": full, "requests": full}}]});
        check(&pod(with_overhead), 2048, Some(200_000), Some(2048));
        let unenforced = Limits::of_pod(&single(json!({"limits": full, "requests": full})), None, None);
        assert_eq!((unenforced.cpu_quota, unenforced.pids), (Some((-1, 100_000)), None));
        let huge = json!({"limits": {"hugepages-2Mi": "4Mi", "cpu": "1", "memory": "1Ki"}});
        assert_eq!(Limits::of_pod(&single(huge), None, None).hugepages, [("2MB".to_owned(), 4 << 20)].into());
    }

    #[test]
    fn classes_have_what_their_pods_request() {
        let pods = [
            single(json!({"requests": {"cpu": "500m"}})),
            single(json!({"requests": {"cpu": "1"}, "limits": {"cpu": "2"}})),
            single(json!({})),
            single(json!({"requests": {"cpu": "4", "memory": "1"}, "limits": {"cpu": "4", "memory": "1"}})),
        ];
        let shares = |class, pods: &[Pod]| Limits::of_class(class, pods).cpu_shares;
        assert_eq!(Class::ALL.map(|class| shares(class, &pods)), [None, Some(1536), Some(2)]);
        assert_eq!(shares(Class::Burstable, &[]), Some(2));
    }

    #[test]
    fn what_is_widened_never_shrinks() {
        let limits = |quota: Option<(i64, i64)>, memory: Option<i64>| Limits {
            cpu_shares: Some(10),
            cpu_quota: quota,
            memory,
            ..Limits::default()
        };
        let check = |wanted: Limits, now: Limits, expected: Limits| assert_eq!(wanted.wider(&now), expected);
        let (less, more) = (limits(Some((50, 100)), Some(5)), limits(Some((60, 100)), Some(6)));
        check(less.clone(), more.clone(), more.clone());
        check(more.clone(), less.clone(), more.clone());
        let unlimited = limits(Some((-1, 100)), Some(-1));
        check(unlimited.clone(), less.clone(), unlimited.clone());
        check(less.clone(), unlimited.clone(), unlimited.clone());
        check(limits(None, None), less.clone(), limits(None, None));
        // Half a period is more than forty of a hundred, however long the period is.
        check(limits(Some((40, 100)), None), limits(Some((5, 10)), None), limits(Some((5, 10)), None));
    }

    #[test]
    fn files_are_those_of_the_version() {
        let limits = Limits {
            cpu_shares: Some(1024),
            cpu_quota: Some((-1, 100_000)),
            memory: Some(4096),
            pids: Some(-1),
            hugepages: [("2MB".to_owned(), 0)].into(),
        };
        let v1 = [
            "cpu cpu.shares 1024",
            "cpu cpu.cfs_period_us 100000",
            "cpu cpu.cfs_quota_us -1",
            "memory memory.limit_in_bytes 4096",
            "pids pids.max max",
            "hugetlb hugetlb.2MB.limit_in_bytes 0",
        ];
        assert_eq!(written(&limits, Version::V1), v1);
        let v2 = [
            "cpu cpu.weight 39",
            "cpu cpu.max max 100000",
            "memory memory.max 4096",
            "pids pids.max max",
            "hugetlb hugetlb.2MB.max 0",
        ];
        assert_eq!(written(&limits, Version::V2), v2);
        assert!(written(&Limits::default(), Version::V1).is_empty());
        let allocatable = [("cpu", "2"), ("memory", "1Gi"), ("pods", "110"), ("hugepages-1Gi", "2Gi")];
        let allocatable = allocatable.map(|(name, text)| (name.to_owned(), text.parse().unwrap()));
        let node = [
            "cpu cpu.shares 2048",
            "memory memory.limit_in_bytes 1073741824",
            "hugetlb hugetlb.1GB.limit_in_bytes 2147483648",
        ];
        assert_eq!(written(&Limits::of_node(&allocatable.into()), Version::V1), node);
    }
}
