//! Has cgroups and running containers follow what a pod's resources have become.

use k8s_openapi::api::core::v1::Container;

use super::carry::{Carried, Done, Hands, Job, What};
use crate::containers::resources::update;
use crate::observed::ContainerState;

impl Hands {
    pub(super) async fn resize(&self, job: Job<'_>) -> Carried {
        let node = self.known.node();
        let failed = |message: String| self.failed(job, What::Resources, "ResizeError", message);
        // The pod's cgroup has to have room before a container in it gets more, and is made as small as it is to be when all
        // have less.
        self.cgroups.widen(job.pod).map_err(|error| failed(error.to_string()))?;
        let spec = job.pod.spec.iter();
        let containers = spec.flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers));
        let request = |container: &Container| {
            let running = job.runtime.container(&container.name).filter(|it| it.state == ContainerState::Running)?;
            Some(update(job.pod, container, &running.id, &node))
        };
        let requests: Vec<_> = containers.filter_map(|it| Some((it.name.as_str(), request(it)?))).collect();
        for (name, request) in requests {
            let bytes = request.linux.as_ref().map_or(0, |resources| resources.memory_limit_in_bytes);
            let possible = self.cgroups.check_container(job.pod, name, &request.container_id, bytes);
            possible.map_err(|error| failed(error.to_string()))?;
            let updated = self.cri.update_container_resources(request).await;
            updated.map_err(|status| failed(status.message().to_owned()))?;
        }
        self.cgroups.resize(job.pod).map_err(|error| failed(error.to_string()))?;
        Ok(Done::Resized)
    }
}
