//! Looks at what the runtime has: of one pod in full, or of all of them in short.
//!
//! A container that has ended changes no more, and is asked for once. What it left to be said (its termination message) is
//! read then, too.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::Path;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::io::AsyncReadExt;

use super::last_words;
use crate::containers::labels;
use crate::cri::{Answer, Cri, is_absent, v1};
use crate::observed::{AppliedResources, ContainerState, LinuxUser, RuntimeContainer, RuntimePod, Sandbox};

/// The most bytes of a termination message (upstream's number).
const MESSAGE_BYTES: u64 = 4096;

/// Where a container of a pod stands: a word for each sandbox and container. If it is the same, nothing has changed.
pub(super) type Summary = BTreeMap<String, i32>;

/// What the runtime has of one pod, in short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Brief {
    /// Its namespace.
    pub(super) namespace: String,
    /// Its name.
    pub(super) name: String,
    /// The names of its containers.
    pub(super) containers: Vec<String>,
    /// How far each sandbox and container has come, by its ID.
    pub(super) summary: Summary,
}

/// Looks at the runtime.
pub(super) struct Observer {
    cri: Cri,
    /// Containers that have ended, by their IDs. What the runtime has no longer is dropped at the next list.
    ended: Mutex<HashMap<String, RuntimeContainer>>,
}

impl Observer {
    pub(super) fn new(cri: Cri) -> Observer {
        Observer { cri, ended: Mutex::default() }
    }

    /// Everything the runtime has, by the uids of pods.
    pub(super) async fn all(&self) -> Answer<BTreeMap<String, Brief>> {
        let sandboxes = self.cri.list_pod_sandbox(v1::ListPodSandboxRequest::default());
        let containers = self.cri.list_containers(v1::ListContainersRequest::default());
        let (sandboxes, containers) = futures::try_join!(sandboxes, containers)?;
        let mut pods: BTreeMap<String, Brief> = BTreeMap::new();
        for sandbox in sandboxes.items {
            let Some(pod) = entry(&mut pods, &sandbox.labels) else { continue };
            pod.summary.insert(sandbox.id, sandbox.state);
        }
        let mut known = std::collections::HashSet::new();
        for container in containers.containers {
            known.insert(container.id.clone());
            let Some(pod) = entry(&mut pods, &container.labels) else { continue };
            if let Some(name) = container.labels.get(labels::CONTAINER_NAME)
                && !pod.containers.contains(name)
            {
                pod.containers.push(name.clone());
            }
            // Sandboxes and containers have states of different meanings.
            pod.summary.insert(container.id, container.state | CONTAINER);
        }
        self.ended.lock().retain(|id, _| known.contains(id));
        Ok(pods)
    }

    /// Everything that the runtime has of a pod.
    pub(super) async fn pod(&self, uid: &str) -> Answer<RuntimePod> {
        let of_pod = BTreeMap::from([(labels::POD_UID.to_owned(), uid.to_owned())]);
        let filter =
            v1::PodSandboxFilter { label_selector: of_pod.clone().into_iter().collect(), ..Default::default() };
        let sandboxes = self.cri.list_pod_sandbox(v1::ListPodSandboxRequest { filter: Some(filter) });
        let filter = v1::ContainerFilter { label_selector: of_pod.into_iter().collect(), ..Default::default() };
        let containers = self.cri.list_containers(v1::ListContainersRequest { filter: Some(filter) });
        let (sandboxes, containers) = futures::try_join!(sandboxes, containers)?;
        let sandboxes = futures::future::try_join_all(sandboxes.items.into_iter().map(|it| self.sandbox(it))).await?;
        let containers =
            futures::future::try_join_all(containers.containers.into_iter().map(|it| self.container(it))).await?;
        let mut sandboxes: Vec<Sandbox> = sandboxes.into_iter().flatten().collect();
        sandboxes.sort_by(|one, other| (other.created, &other.id).cmp(&(one.created, &one.id)));
        let mut containers: Vec<RuntimeContainer> = containers.into_iter().flatten().collect();
        containers.sort_by_key(|container| std::cmp::Reverse((container.created, container.attempt)));
        Ok(RuntimePod { sandboxes, containers })
    }

    /// A sandbox in full, unless it is gone since it was listed.
    async fn sandbox(&self, listed: v1::PodSandbox) -> Answer<Option<Sandbox>> {
        let request = v1::PodSandboxStatusRequest { pod_sandbox_id: listed.id.clone(), verbose: false };
        let status = match self.cri.pod_sandbox_status(request).await {
            Err(status) if is_absent(&status) => return Ok(None),
            answer => answer?.status.unwrap_or_default(),
        };
        let ready = status.state == v1::PodSandboxState::SandboxReady as i32;
        let network = status.network.unwrap_or_default();
        let all = [&network.ip].into_iter().chain(network.additional_ips.iter().map(|address| &address.ip));
        let addresses: Vec<IpAddr> = all.filter_map(|address| address.parse().ok()).collect();
        let options = status.linux.and_then(|linux| linux.namespaces).and_then(|namespaces| namespaces.options);
        let host_network = options.is_some_and(|options| options.network == v1::NamespaceMode::Node as i32);
        Ok(Some(Sandbox {
            id: listed.id,
            attempt: status.metadata.map_or(0, |meta| meta.attempt),
            created: time(status.created_at).unwrap_or_default(),
            ready,
            addresses: if ready && !host_network { addresses } else { Vec::new() },
            host_network,
        }))
    }

    /// A container in full, unless it is gone since it was listed.
    async fn container(&self, listed: v1::Container) -> Answer<Option<RuntimeContainer>> {
        let known = self.ended.lock().get(&listed.id).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let request = v1::ContainerStatusRequest { container_id: listed.id.clone(), verbose: false };
        let status = match self.cri.container_status(request).await {
            Err(status) if is_absent(&status) => return Ok(None),
            answer => answer?.status.unwrap_or_default(),
        };
        let mut container = decoded(&status, listed.pod_sandbox_id);
        if container.state == ContainerState::Exited {
            if let Some(words) = self.last_words(&status).await {
                container.message = words;
            }
            self.ended.lock().insert(listed.id, container.clone());
        }
        Ok(Some(container))
    }

    /// What a container left to be said: in the file that it has for that, or at the end of its log if it failed and the
    /// pod says so.
    async fn last_words(&self, status: &v1::ContainerStatus) -> Option<String> {
        let path = status.annotations.get(labels::MESSAGE_PATH).filter(|path| !path.is_empty());
        let mount = path.and_then(|path| status.mounts.iter().find(|mount| mount.container_path == *path));
        if let Some(mount) = mount
            && let Some(words) = read_words(Path::new(&mount.host_path)).await
        {
            return Some(words);
        }
        let policy = status.annotations.get(labels::MESSAGE_POLICY);
        if status.exit_code != 0 && policy.is_some_and(|policy| policy == "FallbackToLogsOnError") {
            return last_words::of_log(Path::new(&status.log_path)).await;
        }
        None
    }
}

/// Tells states of containers from states of sandboxes.
const CONTAINER: i32 = 1 << 8;

/// The same of what a worker has seen in full.
pub(super) fn summary(pod: &RuntimePod) -> Summary {
    let sandbox = |sandbox: &Sandbox| {
        let ready =
            if sandbox.ready { v1::PodSandboxState::SandboxReady } else { v1::PodSandboxState::SandboxNotready };
        (sandbox.id.clone(), ready as i32)
    };
    let container = |container: &RuntimeContainer| {
        let state = match container.state {
            ContainerState::Created => v1::ContainerState::ContainerCreated,
            ContainerState::Running => v1::ContainerState::ContainerRunning,
            ContainerState::Exited => v1::ContainerState::ContainerExited,
            ContainerState::Unknown => v1::ContainerState::ContainerUnknown,
        };
        (container.id.clone(), state as i32 | CONTAINER)
    };
    pod.sandboxes.iter().map(sandbox).chain(pod.containers.iter().map(container)).collect()
}

fn entry<'a>(pods: &'a mut BTreeMap<String, Brief>, found: &HashMap<String, String>) -> Option<&'a mut Brief> {
    // Others may use the runtime, too.
    let uid = found.get(labels::POD_UID)?;
    let text = |label: &str| found.get(label).cloned().unwrap_or_default();
    Some(pods.entry(uid.clone()).or_insert_with(|| Brief {
        namespace: text(labels::POD_NAMESPACE),
        name: text(labels::POD_NAME),
        ..Brief::default()
    }))
}

async fn read_words(path: &Path) -> Option<String> {
    let file = tokio::fs::File::open(path).await.ok()?;
    let mut bytes = Vec::new();
    file.take(MESSAGE_BYTES).read_to_end(&mut bytes).await.ok()?;
    if bytes.is_empty() { None } else { Some(String::from_utf8_lossy(&bytes).into_owned()) }
}

fn time(nanoseconds: i64) -> Option<Timestamp> {
    if nanoseconds <= 0 { None } else { Timestamp::from_nanosecond(nanoseconds.into()).ok() }
}

fn decoded(status: &v1::ContainerStatus, sandbox: String) -> RuntimeContainer {
    let meta = status.metadata.clone().unwrap_or_default();
    let state = match v1::ContainerState::try_from(status.state) {
        Ok(v1::ContainerState::ContainerCreated) => ContainerState::Created,
        Ok(v1::ContainerState::ContainerRunning) => ContainerState::Running,
        Ok(v1::ContainerState::ContainerExited) => ContainerState::Exited,
        _ => ContainerState::Unknown,
    };
    let annotation = |name: &str| status.annotations.get(name).cloned().unwrap_or_default();
    // The attempt of a container that somebody else made is said by the runtime alone.
    let attempt = annotation(labels::RESTART_COUNT).parse().unwrap_or(meta.attempt);
    let image = status.image.clone().unwrap_or_default();
    RuntimeContainer {
        id: status.id.clone(),
        name: status.labels.get(labels::CONTAINER_NAME).cloned().unwrap_or(meta.name),
        sandbox,
        attempt,
        state,
        created: time(status.created_at).unwrap_or_default(),
        started: time(status.started_at),
        finished: time(status.finished_at),
        exit_code: status.exit_code,
        reason: status.reason.clone(),
        message: status.message.clone(),
        image: if image.user_specified_image.is_empty() { image.image } else { image.user_specified_image },
        image_id: if status.image_id.is_empty() { status.image_ref.clone() } else { status.image_id.clone() },
        hash: annotation(labels::HASH),
        log_path: status.log_path.clone(),
        user: status.user.as_ref().and_then(|user| user.linux.as_ref()).map(|user| LinuxUser {
            uid: user.uid,
            gid: user.gid,
            supplemental_groups: user.supplemental_groups.clone(),
        }),
        resources: status.resources.as_ref().and_then(|resources| resources.linux.as_ref()).map(applied),
    }
}

fn applied(resources: &v1::LinuxContainerResources) -> AppliedResources {
    let set = |value: i64| (value != 0).then_some(value);
    AppliedResources {
        cpu_shares: set(resources.cpu_shares),
        cpu_quota: set(resources.cpu_quota),
        cpu_period: set(resources.cpu_period),
        memory_limit: set(resources.memory_limit_in_bytes),
    }
}
