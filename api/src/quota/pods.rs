//! What a pod takes of a quota. One that has ended, or should have, takes only its place among the objects.

use std::collections::BTreeSet;

use crate::pod_resources::{self, List, Options};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodStatus};

use super::devices::IMPLICIT;
use super::names::{HUGE_PAGES, REQUESTS, is_extended, is_extended_request, number};

const COUNT: &str = "count/pods";
const PODS: &str = "pods";
const LIMITS: &str = "limits.";
/// Resources whose requests count by their own names and by names that say so, and whose limits count, too.
const COMPUTE: [&str; 3] = ["cpu", "ephemeral-storage", "memory"];

/// What every container has to state once a quota limits it.
const REQUIRED: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

/// Whether pods take what the name says.
#[must_use]
pub fn measures(name: &str) -> bool {
    let of_pods = name.strip_prefix(REQUESTS).or_else(|| name.strip_prefix(LIMITS)).unwrap_or(name);
    matches!(name, COUNT | PODS)
        || COMPUTE.contains(&of_pods)
        || name.strip_prefix(REQUESTS).unwrap_or(name).starts_with(HUGE_PAGES)
        || is_extended_request(name)
}

/// What a pod takes.
#[must_use]
pub fn usage(pod: &Pod, now: Timestamp) -> List {
    let mut usage = List::from([(COUNT.to_owned(), number(1))]);
    if !is_charged(pod, now) {
        return usage;
    }
    usage.insert(PODS.to_owned(), number(1));
    let options = Options { status: true, ..Options::default() };
    let limits = pod_resources::limits(pod, options);
    for (name, quantity) in pod_resources::requests(pod, options) {
        if COMPUTE.contains(&name.as_str()) || name.starts_with(HUGE_PAGES) {
            usage.insert(format!("{REQUESTS}{name}"), quantity.clone());
            usage.insert(name, quantity);
        } else if is_extended(&name) || name.starts_with(IMPLICIT) {
            usage.insert(format!("{REQUESTS}{name}"), quantity);
        }
    }
    for (name, quantity) in limits {
        if COMPUTE.contains(&name.as_str()) {
            usage.insert(format!("{LIMITS}{name}"), quantity);
        }
    }
    usage
}

/// What containers of a pod would have to state because quotas limit it, and do not, in upstream's words. It is so of CPU and memory
/// alone, and never of pods that state something as a whole.
#[must_use]
pub fn missing(pod: &Pod, limited: &[&str]) -> Option<String> {
    if pod_resources::has_pod_level_resources(pod) {
        return None;
    }
    let spec = pod.spec.as_ref()?;
    let containers = || spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let mut required: Vec<&str> = limited.iter().copied().filter(|name| REQUIRED.contains(name)).collect();
    required.sort_unstable();
    let mut texts = Vec::new();
    for name in required {
        let without: BTreeSet<&str> =
            containers().filter(|container| !states(container, name)).map(|container| &*container.name).collect();
        if !without.is_empty() {
            texts.push(format!("{name} for: {}", without.into_iter().collect::<Vec<_>>().join(",")));
        }
    }
    (!texts.is_empty()).then(|| format!("must specify {}", texts.join("; ")))
}

fn states(container: &Container, name: &str) -> bool {
    let Some(resources) = &container.resources else { return false };
    let list = if name.starts_with(LIMITS) { &resources.limits } else { &resources.requests };
    let resource = name.strip_prefix(LIMITS).or_else(|| name.strip_prefix(REQUESTS)).unwrap_or(name);
    list.as_ref().is_some_and(|list| list.contains_key(resource))
}

fn is_terminal(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// When a pod that is being deleted should be gone, and no longer takes anything, even if its node is lost.
fn should_be_gone(pod: &Pod) -> Option<Timestamp> {
    let (deleted, grace) = (pod.metadata.deletion_timestamp.as_ref()?, pod.metadata.deletion_grace_period_seconds?);
    Some(deleted.0.checked_add(SignedDuration::from_secs(grace)).unwrap_or(Timestamp::MAX))
}

fn is_charged(pod: &Pod, now: Timestamp) -> bool {
    !is_terminal(pod) && should_be_gone(pod).is_none_or(|time| now <= time)
}

/// How long it is until a pod takes less only because time passes.
#[must_use]
pub fn until_gone(pod: &Pod, now: Timestamp) -> Option<SignedDuration> {
    let time = should_be_gone(pod).filter(|_| is_charged(pod, now))?;
    // It counts up to and including that second.
    Some(time.duration_since(now).saturating_add(SignedDuration::from_secs(1)))
}

/// Whether a pod takes what it took, and by what it is selected. Most changes of pods are about neither.
#[must_use]
pub fn is_same(old: &Pod, new: &Pod) -> bool {
    let meta = |pod: &Pod| {
        let meta = pod.metadata.clone();
        (meta.uid, meta.deletion_timestamp, meta.deletion_grace_period_seconds)
    };
    let default = PodStatus::default();
    let statuses = |pod: &Pod| {
        let status = pod.status.as_ref().unwrap_or(&default);
        let claim = status.extended_resource_claim_status.clone();
        (status.qos_class.clone(), status.resources.clone(), status.allocated_resources.clone(), claim)
    };
    meta(old) == meta(new)
        && is_terminal(old) == is_terminal(new)
        && pod_resources::is_resize_infeasible(old) == pod_resources::is_resize_infeasible(new)
        && statuses(old) == statuses(new)
        && containers(old).eq(containers(new))
        && old.spec == new.spec
}

/// What the status says of each container's resources.
fn containers(pod: &Pod) -> impl Iterator<Item = impl PartialEq + '_> {
    let status = pod.status.iter();
    let statuses = status.flat_map(|status| status.container_statuses.iter().chain(&status.init_container_statuses));
    let resources = |status: &'_ ContainerStatus| {
        (status.name.clone(), status.resources.clone(), status.allocated_resources.clone())
    };
    statuses.flatten().map(resources)
}
