//! What containers may use, as the kernel has it: for runtimes that do not say so themselves.

use k8s_openapi::api::core::v1::Pod;

use super::carry::Hands;
use crate::observed::{AppliedResources, ContainerState, RuntimePod};

impl Hands {
    /// Completes what the runtime has of a pod by what the cgroups of its containers say.
    pub(super) fn complete(&self, pod: &Pod, runtime: &mut RuntimePod) {
        let unsaid =
            |state, resources: &Option<AppliedResources>| state == ContainerState::Running && resources.is_none();
        if !runtime.containers.iter().any(|it| unsaid(it.state, &it.resources)) {
            return;
        }
        let cgroups = self.cgroups.containers(pod);
        for container in runtime.containers.iter_mut().filter(|it| unsaid(it.state, &it.resources)) {
            let limits = cgroups.get(&container.id).and_then(|cgroup| self.cgroups.limits(cgroup));
            container.resources = limits.map(|limits| AppliedResources {
                cpu_shares: limits.cpu_shares,
                cpu_quota: limits.cpu_quota.map(|(quota, _)| quota),
                cpu_period: limits.cpu_quota.map(|(_, period)| period),
                memory_limit: limits.memory,
            });
        }
    }
}
