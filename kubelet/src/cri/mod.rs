//! The container runtime, through the Container Runtime Interface (CRI, v1).
//!
//! Calls go over a socket, or into a service of the same process, such as the one that runs nothing: what is above
//! cannot tell them apart.

use std::time::Duration;

use futures::TryFutureExt;
use hyper_util::rt::TokioIo;
use k8s_cri::v1::image_service_client::ImageServiceClient;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use tokio::net::UnixStream;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Status, Streaming};
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service, ServiceExt, service_fn};

pub use k8s_cri::v1;

pub mod fake;

/// The most bytes of an answer: as many as upstream's kubelet takes.
const ANSWER_BYTES: usize = 16 << 20;
/// How long it may take until the runtime takes a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long most calls may take (upstream's `runtimeRequestTimeout`).
const CALL: Duration = Duration::from_secs(120);
/// How long making a sandbox may take: its network may have to be waited for (upstream's number).
const SANDBOX: Duration = Duration::from_secs(240);

/// What carries a call to the runtime and its answer back.
pub type Transport = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, TransportError>;

/// Why a call did not get to the runtime. A type of its own, since futures that hold a bare boxed error are not found to be
/// `Send` for every lifetime, and could not be spawned.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TransportError(BoxError);

/// A container runtime. Cloning it is cheap.
#[derive(Clone)]
pub struct Cri {
    runtime: RuntimeServiceClient<Transport>,
    images: ImageServiceClient<Transport>,
    /// What both are made over.
    transports: (Transport, Transport),
}

/// Why a runtime's socket is of no use.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// It is no `unix://` URL with an absolute path.
    #[error("{0:?} is no endpoint of a container runtime: write it as unix:///path/to/socket")]
    Malformed(String),
}

/// What came of a call.
pub type Answer<T> = Result<T, Status>;

/// Whether the runtime says that there is no such thing.
#[must_use]
pub fn is_absent(status: &Status) -> bool {
    status.code() == Code::NotFound
}

impl Cri {
    /// A runtime behind a socket, which is connected to when it is needed, and again when it was away.
    pub fn at(endpoint: &str) -> Result<Cri, EndpointError> {
        let channel = channel(endpoint)?;
        let transport = BoxCloneSyncService::new(channel.map_err(|error| TransportError(error.into())));
        Ok(Cri::over(transport.clone(), transport))
    }

    /// A runtime of this process.
    #[must_use]
    pub fn over(runtime: Transport, images: Transport) -> Cri {
        Cri {
            runtime: RuntimeServiceClient::new(runtime.clone()).max_decoding_message_size(ANSWER_BYTES),
            images: ImageServiceClient::new(images.clone()).max_decoding_message_size(ANSWER_BYTES),
            transports: (runtime, images),
        }
    }

    /// The same runtime, whose calls pass what `wrap` makes of a transport.
    #[must_use]
    pub fn through(&self, wrap: impl Fn(Transport) -> Transport) -> Cri {
        let (runtime, images) = self.transports.clone();
        Cri::over(wrap(runtime), wrap(images))
    }
}

/// A connection to what is behind a socket, made when it is needed and again when it was lost.
pub(crate) fn channel(endpoint: &str) -> Result<Channel, EndpointError> {
    let path = endpoint.strip_prefix("unix://").filter(|path| path.starts_with('/'));
    let path = path.ok_or_else(|| EndpointError::Malformed(endpoint.to_owned()))?.to_owned();
    let connect = service_fn(move |_: Uri| UnixStream::connect(path.clone()).map_ok(TokioIo::new));
    // The URL is only what requests are addressed to; the path above is where they go.
    let endpoint = Endpoint::from_static("http://runtime").connect_timeout(CONNECT);
    Ok(endpoint.connect_with_connector_lazy(connect))
}

/// A service of this process as a transport: `RuntimeServiceServer` and `ImageServiceServer` are such services.
pub fn in_process<S>(service: S) -> Transport
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    BoxCloneSyncService::new(service.map_err(|error: S::Error| TransportError(error.into())))
}

/// A request that is given up after a time.
fn within<T>(time: Duration, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(time);
    request
}

/// Methods of [`Cri`] for calls with one answer: the service, the name, what goes in and what comes out, and the time that
/// it may take.
macro_rules! calls {
    ($($(#[doc = $doc:literal])* $service:ident.$name:ident($request:ident) -> $response:ident within $time:expr;)*) => {
        impl Cri {
            $(
                $(#[doc = $doc])*
                pub async fn $name(&self, request: v1::$request) -> Answer<v1::$response> {
                    let call = async { self.$service.clone().$name(within($time, request)).await };
                    match tokio::time::timeout($time, call).await {
                        Ok(answer) => Ok(answer?.into_inner()),
                        Err(_) => Err(Status::deadline_exceeded(concat!(stringify!($name), ": the runtime did not answer in time"))),
                    }
                }
            )*
        }
    };
}

calls! {
    /// Which runtime it is.
    runtime.version(VersionRequest) -> VersionResponse within CALL;
    /// How it is configured, as far as who uses it has to know. Older runtimes say `Unimplemented`.
    runtime.runtime_config(RuntimeConfigRequest) -> RuntimeConfigResponse within CALL;
    /// Whether it is ready, and its network.
    runtime.status(StatusRequest) -> StatusResponse within CALL;
    /// Makes and starts a sandbox.
    runtime.run_pod_sandbox(RunPodSandboxRequest) -> RunPodSandboxResponse within SANDBOX;
    /// Stops a sandbox and whatever runs in it. May be asked again.
    runtime.stop_pod_sandbox(StopPodSandboxRequest) -> StopPodSandboxResponse within CALL;
    /// Removes a sandbox and its containers. May be asked again.
    runtime.remove_pod_sandbox(RemovePodSandboxRequest) -> RemovePodSandboxResponse within CALL;
    /// How a sandbox is, and its addresses.
    runtime.pod_sandbox_status(PodSandboxStatusRequest) -> PodSandboxStatusResponse within CALL;
    /// The sandboxes there are.
    runtime.list_pod_sandbox(ListPodSandboxRequest) -> ListPodSandboxResponse within CALL;
    /// Makes a container in a sandbox.
    runtime.create_container(CreateContainerRequest) -> CreateContainerResponse within CALL;
    /// Starts a container.
    runtime.start_container(StartContainerRequest) -> StartContainerResponse within CALL;
    /// Removes a container. May be asked again.
    runtime.remove_container(RemoveContainerRequest) -> RemoveContainerResponse within CALL;
    /// The containers there are.
    runtime.list_containers(ListContainersRequest) -> ListContainersResponse within CALL;
    /// How a container is.
    runtime.container_status(ContainerStatusRequest) -> ContainerStatusResponse within CALL;
    /// Changes what a running container may use.
    runtime.update_container_resources(UpdateContainerResourcesRequest) -> UpdateContainerResourcesResponse within CALL;
    /// Has the runtime open a container's log anew, after it was moved.
    runtime.reopen_container_log(ReopenContainerLogRequest) -> ReopenContainerLogResponse within CALL;
    /// Where a command's streams can be had.
    runtime.exec(ExecRequest) -> ExecResponse within CALL;
    /// Where a container's streams can be had.
    runtime.attach(AttachRequest) -> AttachResponse within CALL;
    /// Where connections to a sandbox's ports can be had.
    runtime.port_forward(PortForwardRequest) -> PortForwardResponse within CALL;
    /// What a container uses.
    runtime.container_stats(ContainerStatsRequest) -> ContainerStatsResponse within CALL;
    /// What containers use.
    runtime.list_container_stats(ListContainerStatsRequest) -> ListContainerStatsResponse within CALL;
    /// What sandboxes use.
    runtime.list_pod_sandbox_stats(ListPodSandboxStatsRequest) -> ListPodSandboxStatsResponse within CALL;
    /// Tells the runtime which addresses pods get.
    runtime.update_runtime_config(UpdateRuntimeConfigRequest) -> UpdateRuntimeConfigResponse within CALL;
    /// The images there are.
    images.list_images(ListImagesRequest) -> ListImagesResponse within CALL;
    /// An image, if it is there.
    images.image_status(ImageStatusRequest) -> ImageStatusResponse within CALL;
    /// Removes an image. May be asked again.
    images.remove_image(RemoveImageRequest) -> RemoveImageResponse within CALL;
    /// Which file systems hold images.
    images.image_fs_info(ImageFsInfoRequest) -> ImageFsInfoResponse within CALL;
}

impl Cri {
    /// Stops a container: it is told to end, and has `grace` to do so. May be asked again.
    pub async fn stop_container(&self, id: &str, grace: Duration) -> Answer<()> {
        let request = v1::StopContainerRequest { container_id: id.to_owned(), timeout: seconds(grace) };
        let time = grace + CALL;
        let call = async { self.runtime.clone().stop_container(within(time, request)).await };
        match tokio::time::timeout(time, call).await {
            Ok(answer) => answer.map(|_| ()),
            Err(_) => Err(Status::deadline_exceeded("stop_container: the runtime did not answer in time")),
        }
    }

    /// Runs a command in a container until it ends, or until `limit`, if there is one. What it writes is cut by the runtime
    /// at 16 MiB.
    pub async fn exec_sync(
        &self,
        id: &str,
        command: Vec<String>,
        limit: Option<Duration>,
    ) -> Answer<v1::ExecSyncResponse> {
        let request =
            v1::ExecSyncRequest { container_id: id.to_owned(), cmd: command, timeout: limit.map_or(0, seconds) };
        let call = async { self.runtime.clone().exec_sync(request).await };
        let Some(limit) = limit else { return Ok(call.await?.into_inner()) };
        // The runtime ends the command itself; it is given up here only if the runtime does not.
        match tokio::time::timeout(limit + CALL, call).await {
            Ok(answer) => Ok(answer?.into_inner()),
            Err(_) => Err(Status::deadline_exceeded("exec_sync: the runtime did not answer in time")),
        }
    }

    /// What happens to containers from now on, for as long as the stream lasts. Older runtimes have no such stream, and say
    /// `Unimplemented`.
    pub async fn container_events(&self) -> Answer<Streaming<v1::ContainerEventResponse>> {
        Ok(self.runtime.clone().get_container_events(v1::GetEventsRequest {}).await?.into_inner())
    }

    /// Pulls an image. That takes as long as it takes: whoever asks gives up when it wants to.
    pub async fn pull_image(&self, request: v1::PullImageRequest) -> Answer<v1::PullImageResponse> {
        Ok(self.images.clone().pull_image(request).await?.into_inner())
    }
}

/// Whole seconds, rounded up: half a second to end in is not none.
fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis().div_ceil(1000)).unwrap_or(i64::MAX)
}
