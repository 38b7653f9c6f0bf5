//! CRI's services, over what a runtime in memory has.

use std::time::Duration;

use futures::stream::Empty;
use k8s_cri::v1::image_service_server::ImageService;
use k8s_cri::v1::runtime_service_server::RuntimeService;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::containers::Stopping;
use super::script::Exec;
use super::state::{State, nanoseconds};
use super::{Call, Fake, addresses, v1};

/// Where images are said to be.
pub(super) const IMAGES: &str = "/var/lib/fake";

/// What is answered to a call.
type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl RuntimeService for Fake {
    type GetContainerEventsStream = Empty<Result<v1::ContainerEventResponse, Status>>;

    async fn version(&self, _: Request<v1::VersionRequest>) -> Answer<v1::VersionResponse> {
        let version = v1::VersionResponse {
            version: "0.1.0".to_owned(),
            runtime_name: "containerd".to_owned(),
            runtime_version: "1.6.20".to_owned(),
            runtime_api_version: "v1".to_owned(),
        };
        self.answer(Call::Version, "", |_, _| Ok(version)).await
    }

    async fn status(&self, _: Request<v1::StatusRequest>) -> Answer<v1::StatusResponse> {
        // One that does not heed it has never heard of it.
        let features = self.strict_groups.then_some(v1::RuntimeFeatures { supplemental_groups_policy: true });
        self.answer(Call::Status, "", |state, _| Ok(v1::StatusResponse { features, ..status(state) })).await
    }

    async fn run_pod_sandbox(&self, request: Request<v1::RunPodSandboxRequest>) -> Answer<v1::RunPodSandboxResponse> {
        let request = request.into_inner();
        let metadata = request.config.as_ref().and_then(|config| config.metadata.as_ref());
        let about = metadata.map(|metadata| format!("{}/{}", metadata.namespace, metadata.name)).unwrap_or_default();
        let act = |state: &mut State, moment| {
            let pod_sandbox_id = state.run_sandbox(request, moment)?;
            Ok(v1::RunPodSandboxResponse { pod_sandbox_id })
        };
        self.answer_after(self.takes.sandbox, Call::RunPodSandbox, &about, act).await
    }

    async fn stop_pod_sandbox(
        &self,
        request: Request<v1::StopPodSandboxRequest>,
    ) -> Answer<v1::StopPodSandboxResponse> {
        let id = request.into_inner().pod_sandbox_id;
        let act = |state: &mut State, moment| {
            state.sandbox(&id)?;
            state.stop_sandbox(&id, moment);
            Ok(v1::StopPodSandboxResponse {})
        };
        let answer = self.answer(Call::StopPodSandbox, &id, act).await;
        self.rung.notify_waiters();
        answer
    }

    async fn remove_pod_sandbox(
        &self,
        request: Request<v1::RemovePodSandboxRequest>,
    ) -> Answer<v1::RemovePodSandboxResponse> {
        let id = request.into_inner().pod_sandbox_id;
        let act = |state: &mut State, moment| {
            state.remove_sandbox(&id, moment);
            Ok(v1::RemovePodSandboxResponse {})
        };
        let answer = self.answer(Call::RemovePodSandbox, &id, act).await;
        self.rung.notify_waiters();
        answer
    }

    async fn pod_sandbox_status(
        &self,
        request: Request<v1::PodSandboxStatusRequest>,
    ) -> Answer<v1::PodSandboxStatusResponse> {
        let id = request.into_inner().pod_sandbox_id;
        let act = |state: &mut State, _| {
            let status = Some(state.sandbox_status(&id)?);
            Ok(v1::PodSandboxStatusResponse { status, ..v1::PodSandboxStatusResponse::default() })
        };
        self.answer(Call::PodSandboxStatus, &id, act).await
    }

    async fn list_pod_sandbox(
        &self,
        request: Request<v1::ListPodSandboxRequest>,
    ) -> Answer<v1::ListPodSandboxResponse> {
        let filter = request.into_inner().filter;
        let act = |state: &mut State, _| Ok(v1::ListPodSandboxResponse { items: state.list_sandboxes(filter) });
        self.answer(Call::ListPodSandbox, "", act).await
    }

    async fn create_container(
        &self,
        request: Request<v1::CreateContainerRequest>,
    ) -> Answer<v1::CreateContainerResponse> {
        let request = request.into_inner();
        let name = request.config.as_ref().and_then(|config| config.metadata.as_ref()).map(|metadata| &metadata.name);
        let about =
            format!("{}/{}", self.state.lock().subject(&request.pod_sandbox_id), name.map_or("", String::as_str));
        let act = |state: &mut State, moment| {
            let container_id = state.create_container(request, moment)?;
            Ok(v1::CreateContainerResponse { container_id })
        };
        self.answer_after(self.takes.container, Call::CreateContainer, &about, act).await
    }

    async fn start_container(&self, request: Request<v1::StartContainerRequest>) -> Answer<v1::StartContainerResponse> {
        let id = request.into_inner().container_id;
        let act = |state: &mut State, moment| {
            let files = state.start_container(&id, moment)?;
            self.write(&files);
            Ok(v1::StartContainerResponse {})
        };
        self.answer_after(self.takes.start, Call::StartContainer, &id, act).await
    }

    async fn stop_container(&self, request: Request<v1::StopContainerRequest>) -> Answer<v1::StopContainerResponse> {
        let request = request.into_inner();
        let lost = self.begin(Call::StopContainer, &request.container_id).await?;
        let grace = Duration::from_secs(u64::try_from(request.timeout).unwrap_or_default());
        let answer = self.stop(&request.container_id, grace).await.map(|()| v1::StopContainerResponse {});
        lost.map_or_else(|| answer.map(Response::new), Err)
    }

    async fn remove_container(
        &self,
        request: Request<v1::RemoveContainerRequest>,
    ) -> Answer<v1::RemoveContainerResponse> {
        let id = request.into_inner().container_id;
        let act = |state: &mut State, _| {
            state.remove_container(&id);
            Ok(v1::RemoveContainerResponse {})
        };
        let answer = self.answer(Call::RemoveContainer, &id, act).await;
        self.rung.notify_waiters();
        answer
    }

    async fn list_containers(&self, request: Request<v1::ListContainersRequest>) -> Answer<v1::ListContainersResponse> {
        let filter = request.into_inner().filter;
        let act = |state: &mut State, moment| {
            Ok(v1::ListContainersResponse { containers: state.list_containers(filter, moment) })
        };
        self.answer(Call::ListContainers, "", act).await
    }

    async fn container_status(
        &self,
        request: Request<v1::ContainerStatusRequest>,
    ) -> Answer<v1::ContainerStatusResponse> {
        let id = request.into_inner().container_id;
        let act = |state: &mut State, moment| {
            let status = Some(state.container_status(&id, moment)?);
            Ok(v1::ContainerStatusResponse { status, ..v1::ContainerStatusResponse::default() })
        };
        self.answer(Call::ContainerStatus, &id, act).await
    }

    async fn update_container_resources(
        &self,
        request: Request<v1::UpdateContainerResourcesRequest>,
    ) -> Answer<v1::UpdateContainerResourcesResponse> {
        let request = request.into_inner();
        let id = request.container_id.clone();
        let act = |state: &mut State, moment| {
            state.update(request, moment)?;
            Ok(v1::UpdateContainerResourcesResponse {})
        };
        self.answer(Call::UpdateContainerResources, &id, act).await
    }

    async fn reopen_container_log(
        &self,
        request: Request<v1::ReopenContainerLogRequest>,
    ) -> Answer<v1::ReopenContainerLogResponse> {
        let id = request.into_inner().container_id;
        // Logs are opened for each line anyhow.
        let act = |state: &mut State, moment| {
            state.running(&id, moment).map_err(|_| Status::unknown("container is not running"))?;
            Ok(v1::ReopenContainerLogResponse {})
        };
        self.answer(Call::ReopenContainerLog, &id, act).await
    }

    async fn exec_sync(&self, request: Request<v1::ExecSyncRequest>) -> Answer<v1::ExecSyncResponse> {
        let request = request.into_inner();
        let lost = self.begin(Call::ExecSync, &request.container_id).await?;
        let answer = self.execute(&request).await;
        lost.map_or_else(|| answer.map(Response::new), Err)
    }

    async fn exec(&self, request: Request<v1::ExecRequest>) -> Answer<v1::ExecResponse> {
        let id = request.into_inner().container_id;
        let act = |state: &mut State, moment| {
            state.running(&id, moment)?;
            Ok(v1::ExecResponse { url: self.stream("exec", &id)? })
        };
        self.answer(Call::Exec, &id, act).await
    }

    async fn attach(&self, request: Request<v1::AttachRequest>) -> Answer<v1::AttachResponse> {
        let id = request.into_inner().container_id;
        let act = |state: &mut State, moment| {
            state.running(&id, moment)?;
            Ok(v1::AttachResponse { url: self.stream("attach", &id)? })
        };
        self.answer(Call::Attach, &id, act).await
    }

    async fn port_forward(&self, request: Request<v1::PortForwardRequest>) -> Answer<v1::PortForwardResponse> {
        let id = request.into_inner().pod_sandbox_id;
        let act = |state: &mut State, _| {
            if !state.sandbox(&id)?.1.ready {
                return Err(Status::unknown("sandbox container is not running"));
            }
            Ok(v1::PortForwardResponse { url: self.stream("portforward", &id)? })
        };
        self.answer(Call::PortForward, &id, act).await
    }

    async fn container_stats(&self, request: Request<v1::ContainerStatsRequest>) -> Answer<v1::ContainerStatsResponse> {
        let id = request.into_inner().container_id;
        let act = |state: &mut State, moment| {
            Ok(v1::ContainerStatsResponse { stats: Some(state.container_stats(&id, moment)?) })
        };
        self.answer(Call::ContainerStats, &id, act).await
    }

    async fn list_container_stats(
        &self,
        request: Request<v1::ListContainerStatsRequest>,
    ) -> Answer<v1::ListContainerStatsResponse> {
        let filter = request.into_inner().filter;
        let act = |state: &mut State, moment| {
            Ok(v1::ListContainerStatsResponse { stats: state.list_container_stats(filter, moment) })
        };
        self.answer(Call::ListContainerStats, "", act).await
    }

    async fn pod_sandbox_stats(
        &self,
        request: Request<v1::PodSandboxStatsRequest>,
    ) -> Answer<v1::PodSandboxStatsResponse> {
        let id = request.into_inner().pod_sandbox_id;
        let act = |state: &mut State, moment| {
            Ok(v1::PodSandboxStatsResponse { stats: Some(state.sandbox_stats(&id, moment)?) })
        };
        self.answer(Call::PodSandboxStats, &id, act).await
    }

    async fn list_pod_sandbox_stats(
        &self,
        request: Request<v1::ListPodSandboxStatsRequest>,
    ) -> Answer<v1::ListPodSandboxStatsResponse> {
        let filter = request.into_inner().filter;
        let act = |state: &mut State, moment| {
            Ok(v1::ListPodSandboxStatsResponse { stats: state.list_sandbox_stats(filter, moment)? })
        };
        self.answer(Call::ListPodSandboxStats, "", act).await
    }

    async fn update_runtime_config(
        &self,
        request: Request<v1::UpdateRuntimeConfigRequest>,
    ) -> Answer<v1::UpdateRuntimeConfigResponse> {
        let config = request.into_inner().runtime_config.and_then(|config| config.network_config);
        let ranges = config.map(|config| config.pod_cidr).unwrap_or_default();
        let act = |state: &mut State, _| {
            // Whoever said where addresses come from is not overruled, nor is what was said first.
            if state.pools.is_empty() {
                state.pools = ranges.split(',').filter_map(|range| addresses::Pool::parse(range.trim())).collect();
            }
            Ok(v1::UpdateRuntimeConfigResponse {})
        };
        self.answer(Call::UpdateRuntimeConfig, "", act).await
    }

    async fn checkpoint_container(
        &self,
        _: Request<v1::CheckpointContainerRequest>,
    ) -> Answer<v1::CheckpointContainerResponse> {
        Err(unknown_method("CheckpointContainer"))
    }

    async fn get_container_events(&self, _: Request<v1::GetEventsRequest>) -> Answer<Self::GetContainerEventsStream> {
        Err(unknown_method("GetContainerEvents"))
    }

    async fn list_metric_descriptors(
        &self,
        _: Request<v1::ListMetricDescriptorsRequest>,
    ) -> Answer<v1::ListMetricDescriptorsResponse> {
        Err(unknown_method("ListMetricDescriptors"))
    }

    async fn list_pod_sandbox_metrics(
        &self,
        _: Request<v1::ListPodSandboxMetricsRequest>,
    ) -> Answer<v1::ListPodSandboxMetricsResponse> {
        Err(unknown_method("ListPodSandboxMetrics"))
    }

    async fn runtime_config(&self, _: Request<v1::RuntimeConfigRequest>) -> Answer<v1::RuntimeConfigResponse> {
        self.begin(Call::RuntimeConfig, "").await?;
        Err(unknown_method("RuntimeConfig"))
    }
}

#[tonic::async_trait]
impl ImageService for Fake {
    async fn list_images(&self, request: Request<v1::ListImagesRequest>) -> Answer<v1::ListImagesResponse> {
        let only = request.into_inner().filter.and_then(|filter| filter.image).unwrap_or_default().image;
        let act = |state: &mut State, _| Ok(v1::ListImagesResponse { images: state.images.list(&only) });
        self.answer(Call::ListImages, &only, act).await
    }

    async fn image_status(&self, request: Request<v1::ImageStatusRequest>) -> Answer<v1::ImageStatusResponse> {
        let name = request.into_inner().image.unwrap_or_default().image;
        let act = |state: &mut State, _| {
            let image = state.images.find(&name).cloned();
            Ok(v1::ImageStatusResponse { image, ..v1::ImageStatusResponse::default() })
        };
        self.answer(Call::ImageStatus, &name, act).await
    }

    async fn pull_image(&self, request: Request<v1::PullImageRequest>) -> Answer<v1::PullImageResponse> {
        let name = request.into_inner().image.unwrap_or_default().image;
        let act = |state: &mut State, _| Ok(v1::PullImageResponse { image_ref: state.images.pull(&name)? });
        self.answer_after(self.takes.pull, Call::PullImage, &name, act).await
    }

    async fn remove_image(&self, request: Request<v1::RemoveImageRequest>) -> Answer<v1::RemoveImageResponse> {
        let name = request.into_inner().image.unwrap_or_default().image;
        let act = |state: &mut State, _| {
            state.images.remove(&name);
            Ok(v1::RemoveImageResponse {})
        };
        self.answer(Call::RemoveImage, &name, act).await
    }

    async fn image_fs_info(&self, _: Request<v1::ImageFsInfoRequest>) -> Answer<v1::ImageFsInfoResponse> {
        let act = |state: &mut State, moment: super::Moment| {
            let usage = v1::FilesystemUsage {
                timestamp: nanoseconds(moment.at),
                fs_id: Some(v1::FilesystemIdentifier { mountpoint: IMAGES.to_owned() }),
                used_bytes: Some(v1::UInt64Value { value: state.images.bytes() }),
                inodes_used: Some(v1::UInt64Value { value: 1 }),
            };
            Ok(v1::ImageFsInfoResponse { image_filesystems: vec![usage], container_filesystems: Vec::new() })
        };
        self.answer(Call::ImageFsInfo, "", act).await
    }
}

impl Fake {
    /// Stops a container: it is told to end, and killed when its time is over.
    async fn stop(&self, id: &str, grace: Duration) -> Result<(), Status> {
        let deadline = Instant::now() + grace;
        if !grace.is_zero() {
            // What happens from here on rings, even before it is waited for.
            let mut rung = self.rung.notified();
            let mut next = self.state.lock().terminate(id, self.moment())?;
            while next != Stopping::Done && Instant::now() < deadline {
                let until = if let Stopping::Until(end) = next { end.min(deadline) } else { deadline };
                tokio::select! {
                    () = rung => {}
                    () = tokio::time::sleep_until(until) => {}
                }
                rung = self.rung.notified();
                next = self.state.lock().stopping(id, self.moment());
            }
        }
        self.state.lock().kill(id, self.moment())
    }

    /// Runs a command until it ends, or its time is over.
    async fn execute(&self, request: &v1::ExecSyncRequest) -> Result<v1::ExecSyncResponse, Status> {
        let script = self.state.lock().running(&request.container_id, self.moment()).map_err(|status| {
            Status::new(status.code(), format!("failed to exec in container: {}", status.message()))
        })?;
        let exec = script.exec.as_ref().map_or_else(Exec::default, |exec| exec(&request.cmd));
        let limit = Duration::from_secs(u64::try_from(request.timeout).unwrap_or_default());
        if !limit.is_zero() && exec.takes >= limit {
            tokio::time::sleep(limit).await;
            return Err(Status::deadline_exceeded(format!(
                "failed to exec in container: timeout {}s exceeded: context deadline exceeded",
                request.timeout
            )));
        }
        if !exec.takes.is_zero() {
            tokio::time::sleep(exec.takes).await;
        }
        Ok(v1::ExecSyncResponse { stdout: exec.stdout, stderr: exec.stderr, exit_code: exec.exit_code })
    }

    /// Where streams are.
    fn stream(&self, what: &str, id: &str) -> Result<String, Status> {
        let base = self.streams.as_ref().ok_or_else(|| unknown_method("streams"))?;
        Ok(format!("{base}/{what}/{id}"))
    }
}

/// What containerd answers to what it does not know.
fn unknown_method(name: &str) -> Status {
    Status::unimplemented(format!("unknown method {name} for service runtime.v1.RuntimeService"))
}

/// Whether the runtime and its network are ready: the network is when there are addresses.
fn status(state: &State) -> v1::StatusResponse {
    let condition = |name: &str, ready: bool, reason: &str, message: &str| v1::RuntimeCondition {
        r#type: name.to_owned(),
        status: ready,
        reason: if ready { "" } else { reason }.to_owned(),
        message: if ready { "" } else { message }.to_owned(),
    };
    let network = !state.pools.is_empty();
    let message = "Network plugin returns error: cni plugin not initialized";
    let conditions = vec![
        condition("RuntimeReady", true, "", ""),
        condition("NetworkReady", network, "NetworkPluginNotReady", message),
    ];
    v1::StatusResponse { status: Some(v1::RuntimeStatus { conditions }), ..v1::StatusResponse::default() }
}
