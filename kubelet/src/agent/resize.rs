//! Has cgroups and running containers follow what a pod's resources have become.

use k8s_openapi::api::core::v1::Container;

use super::carry::{Carried, Done, Hands, Job, What};
use crate::containers::resources::update;
use crate::observed::ContainerState;

impl Hands {
    pub(super) async fn resize(&self, job: Job<'_>) -> Carried {
        let node = self.known.node();
        let failed = |message: String| self.failed(job, What::Resources, "ResizeError", message);
        // The pod's cgroup has to have room before a container in it gets more, and may be made smaller only after all have
        // less; the runtime refuses neither, so that twice is enough.
        self.cgroups.resize(job.pod).map_err(|error| failed(error.to_string()))?;
        let spec = job.pod.spec.iter();
        let containers = spec.flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers));
        let request = |container: &Container| {
            let running = job.runtime.container(&container.name).filter(|it| it.state == ContainerState::Running)?;
            Some(update(job.pod, container, &running.id, &node))
        };
        let requests: Vec<_> = containers.filter_map(request).collect();
        for request in requests {
            let updated = self.cri.update_container_resources(request).await;
            updated.map_err(|status| failed(status.message().to_owned()))?;
        }
        self.cgroups.resize(job.pod).map_err(|error| failed(error.to_string()))?;
        Ok(Done::Resized)
    }
}
