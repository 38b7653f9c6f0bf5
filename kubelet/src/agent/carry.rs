//! Carries out what is decided about a pod, one action at a time.
//!
//! Every action may be carried out again: whoever carries it out looks at what is there and does the rest.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use client::clock::Clock;
use client::queue::Backoff;
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client};

use super::known::Known;
use super::pods::{Entry, Origin};
use super::says::Voice;
use crate::cgroups::Cgroups;
use crate::containers::{self, Node};
use crate::cri::{Cri, is_absent, v1};
use crate::images::Images;
use crate::logs::{LogFile, links};
use crate::observed::RuntimePod;
use crate::paths::Paths;
use crate::pod_plan::{Action, Memory, Mounts, Resize, Setback, Verdict};
use crate::request::ask;
use crate::volumes::Volumes;
use crate::volumes::objects::Objects;

/// The waits after something failed that says nothing of when to try again.
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(60) };

/// What acts on the machine.
pub(super) struct Hands {
    pub(super) cri: Cri,
    pub(super) client: Client,
    pub(super) clock: Clock,
    pub(super) paths: Paths,
    pub(super) voice: Voice,
    pub(super) images: Arc<Images>,
    pub(super) volumes: Arc<Volumes>,
    pub(super) objects: Arc<Objects>,
    pub(super) cgroups: Arc<Cgroups>,
    pub(super) known: Arc<Known>,
}

/// What an action is about.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    pub(super) entry: &'a Entry,
    pub(super) pod: &'a Pod,
    pub(super) runtime: &'a RuntimePod,
    /// How often in a row something of this pod failed.
    pub(super) attempts: u32,
}

/// What came of an action.
pub(super) type Carried = Result<Done, Failed>;

/// What was done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Done {
    /// Directories and cgroup are there.
    Prepared,
    /// Volumes are mounted.
    Mounted,
    /// There is a sandbox.
    Sandbox,
    /// A container runs.
    Started(String),
    /// What the pod had on the node is gone.
    TornDown,
    /// Resources are as the pod says.
    Resized,
    /// The API was told to delete it.
    Deleted,
    /// What follows from the runtime alone.
    Other,
}

/// What was not done.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}: {}", why.reason, why.message)]
pub(super) struct Failed {
    /// What it was about.
    pub(super) what: What,
    /// Why not.
    pub(super) why: Verdict,
    /// When to try again.
    pub(super) until: Timestamp,
}

/// What an action that failed was about.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    /// The pod's volumes.
    Volumes,
    /// Its sandbox.
    Sandbox,
    /// A container.
    Container(String),
    /// Its resources.
    Resources,
    /// Something that no status tells of.
    Other,
}

impl Done {
    /// Takes what was done into account.
    pub(super) fn remember(self, memory: &mut Memory) {
        match self {
            Done::Prepared => memory.prepared = true,
            Done::Mounted => memory.volumes = Mounts::Done,
            Done::Sandbox => memory.sandbox = None,
            Done::Started(container) => {
                memory.containers.remove(&container);
            }
            Done::TornDown => memory.torn_down = true,
            Done::Resized => memory.resize = None,
            Done::Deleted => memory.deleted = true,
            Done::Other => {}
        }
    }
}

impl Failed {
    /// Takes what was not done into account. `false` if nothing of it says when to try again.
    pub(super) fn remember(self, memory: &mut Memory) -> bool {
        let setback = Setback { why: self.why, until: self.until };
        match self.what {
            What::Volumes => memory.volumes = Mounts::Failed(setback),
            What::Sandbox => memory.sandbox = Some(setback),
            What::Container(container) => {
                memory.containers.insert(container, setback);
            }
            What::Resources => memory.resize = Some(Resize::InProgress(Some(setback.why.message))),
            What::Other => return false,
        }
        true
    }
}

impl Hands {
    /// Carries out an action.
    pub(super) fn carry_out<'a>(&'a self, job: Job<'a>, action: &'a Action) -> BoxFuture<'a, Carried> {
        self.choose(job, action).boxed()
    }

    async fn choose(&self, job: Job<'_>, action: &Action) -> Carried {
        match action {
            Action::Prepare => self.prepare(job).await,
            Action::Mount => self.mount(job).await,
            Action::RunSandbox { attempt } => self.run_sandbox(job, *attempt).await,
            Action::StopSandbox { id } => self.stop_sandbox(id).await.map_err(|error| self.other(job, &error)),
            Action::Start { container, role, attempt } => self.start(job, container, *role, *attempt).await,
            Action::Stop(stops) => self.stop(job, stops).await,
            Action::Remove { id } => self.remove(job, id).await.map_err(|error| self.other(job, &error)),
            Action::RemoveSandbox { id } => self.remove_sandbox(id).await.map_err(|error| self.other(job, &error)),
            Action::Resize => self.resize(job).await,
            Action::TearDown => self.tear_down(job).await,
            Action::Delete => self.delete(job).await,
        }
    }

    /// The time after a wait.
    pub(super) fn after(&self, wait: Duration) -> Timestamp {
        let wait = jiff::SignedDuration::try_from(wait).unwrap_or_default();
        let now = self.clock.now();
        now.checked_add(wait).unwrap_or(now)
    }

    pub(super) fn failed(&self, job: Job<'_>, what: What, reason: &str, message: impl Into<String>) -> Failed {
        let why = Verdict { reason: reason.to_owned(), message: message.into() };
        Failed { what, why, until: self.after(BACKOFF.after(job.attempts.saturating_add(1))) }
    }

    fn other(&self, job: Job<'_>, error: &dyn std::fmt::Display) -> Failed {
        self.failed(job, What::Other, "Failed", error.to_string())
    }

    async fn prepare(&self, job: Job<'_>) -> Carried {
        let failed = |reason: &str, message: String| {
            self.voice.say(job.pod, None, true, reason, message.clone());
            self.failed(job, What::Other, reason, message)
        };
        let (namespace, name) = names(job.pod);
        let logs = self.paths.logs_of(namespace, name, &job.entry.uid);
        for directory in [self.paths.pod(&job.entry.uid), logs] {
            if let Err(error) = tokio::fs::create_dir_all(&directory).await {
                let message = format!("error making pod data directories: {}: {error}", directory.display());
                return Err(failed("FailedToMakePodDataDirectories", message));
            }
        }
        if let Err(error) = self.cgroups.make(job.pod) {
            let message = format!("unable to ensure pod container exists: {error}");
            return Err(failed("FailedCreatePodContainer", message));
        }
        Ok(Done::Prepared)
    }

    async fn mount(&self, job: Job<'_>) -> Carried {
        self.volumes.mount(&Arc::new(job.pod.clone())).await.map_err(|problem| {
            for problem in std::iter::once(&problem).chain(&problem.further) {
                self.voice.say(job.pod, None, true, problem.reason, problem.message.clone());
            }
            self.failed(job, What::Volumes, problem.reason, problem.message)
        })?;
        Ok(Done::Mounted)
    }

    async fn run_sandbox(&self, job: Job<'_>, attempt: u32) -> Carried {
        let failed = |message: String| {
            let message = format!("Failed to create pod sandbox: {message}");
            self.voice.say(job.pod, None, true, "FailedCreatePodSandBox", message.clone());
            self.failed(job, What::Sandbox, "FailedCreatePodSandBox", message)
        };
        let node = self.known.node();
        let config = self.sandbox_config(job.pod, attempt, &node).map_err(|invalid| failed(invalid.message))?;
        let handler = self.known.runtime_handler(job.pod).await.map_err(&failed)?;
        let says = containers::dns::config(job.pod, &node).1;
        self.voice.say_all(job.pod, &says);
        let request = v1::RunPodSandboxRequest { config: Some(config), runtime_handler: handler };
        match self.cri.run_pod_sandbox(request).await {
            Ok(_) => Ok(Done::Sandbox),
            Err(status) => Err(failed(format!("rpc error: code = {:?} desc = {}", status.code(), status.message()))),
        }
    }

    /// What the pod's sandbox is, or was, made from.
    pub(super) fn sandbox_config(
        &self,
        pod: &Pod,
        attempt: u32,
        node: &Node,
    ) -> Result<v1::PodSandboxConfig, containers::Invalid> {
        containers::sandbox(pod, attempt, node, &self.paths)
    }

    async fn stop_sandbox(&self, id: &str) -> Result<Done, tonic::Status> {
        let request = v1::StopPodSandboxRequest { pod_sandbox_id: id.to_owned() };
        match self.cri.stop_pod_sandbox(request).await {
            Err(status) if !is_absent(&status) => Err(status),
            _ => Ok(Done::Other),
        }
    }

    /// Removes a container that has ended, its log and its last words.
    async fn remove(&self, job: Job<'_>, id: &str) -> Result<Done, tonic::Status> {
        let request = v1::RemoveContainerRequest { container_id: id.to_owned() };
        match self.cri.remove_container(request).await {
            Err(status) if !is_absent(&status) => return Err(status),
            _ => {}
        }
        if let Some(container) = job.runtime.containers.iter().find(|container| container.id == id) {
            let log = LogFile::at(&self.paths, std::path::Path::new(&container.log_path));
            if let Err(error) = log.and_then(|log| log.remove()) {
                tracing::debug!(container = container.name, %error, "a log is not removed yet");
            }
            let words = containers::termination_log(&self.paths, &job.entry.uid, &container.name, container.attempt);
            let _ = tokio::fs::remove_file(words).await;
        }
        Ok(Done::Other)
    }

    async fn remove_sandbox(&self, id: &str) -> Result<Done, tonic::Status> {
        let request = v1::RemovePodSandboxRequest { pod_sandbox_id: id.to_owned() };
        match self.cri.remove_pod_sandbox(request).await {
            Err(status) if !is_absent(&status) => Err(status),
            _ => Ok(Done::Other),
        }
    }

    async fn tear_down(&self, job: Job<'_>) -> Carried {
        for sandbox in job.runtime.sandboxes.iter().filter(|sandbox| sandbox.ready) {
            self.stop_sandbox(&sandbox.id).await.map_err(|error| self.other(job, &error))?;
        }
        self.volumes.unmount(&job.entry.uid).await.map_err(|problem| {
            self.voice.say(job.pod, None, true, "FailedUnmount", problem.message.clone());
            self.other(job, &problem.message)
        })?;
        self.cgroups.remove(&job.entry.uid).await.map_err(|error| self.other(job, &error))?;
        Ok(Done::TornDown)
    }

    /// Deletes the pod from the API, when that has its last status.
    async fn delete(&self, job: Job<'_>) -> Carried {
        if job.entry.origin != Origin::Api {
            return Ok(Done::Deleted);
        }
        let (namespace, name) = names(job.pod);
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let preconditions = Preconditions { uid: Some(job.entry.uid.to_string()), resource_version: None };
        let params = DeleteParams::default().grace_period(0).preconditions(preconditions);
        match ask(pods.delete(name, &params)).await {
            // It is gone, or another one has its name.
            Err(failure) if failure.is(404) || failure.is(409) => Ok(Done::Deleted),
            Err(failure) => Err(self.other(job, &failure)),
            Ok(_) => Ok(Done::Deleted),
        }
    }

    /// Removes the last of a pod that nobody wants any more: what the runtime still has of it, its logs and its directory.
    pub(super) async fn bury(&self, pod: &Pod) {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let of_pod: HashMap<_, _> = [(containers::labels::POD_UID.to_owned(), uid.to_owned())].into();
        self.unlink_logs(pod, HashMap::clone(&of_pod)).await;
        let filter = v1::PodSandboxFilter { label_selector: of_pod, ..Default::default() };
        let listed = self.cri.list_pod_sandbox(v1::ListPodSandboxRequest { filter: Some(filter) }).await;
        for sandbox in listed.map(|listed| listed.items).unwrap_or_default() {
            let request = v1::RemovePodSandboxRequest { pod_sandbox_id: sandbox.id };
            if let Err(status) = self.cri.remove_pod_sandbox(request).await {
                // Whoever looks after the house finds it later.
                tracing::debug!(pod = uid, %status, "a sandbox is not removed yet");
            }
        }
        if let Err(problem) = self.volumes.remove(uid).await {
            tracing::warn!(pod = uid, problem = problem.message, "a pod's directory is not removed yet");
        }
        let (namespace, name) = names(pod);
        let _ = tokio::fs::remove_dir_all(self.paths.logs_of(namespace, name, uid)).await;
    }
}

impl Hands {
    /// Removes the links to the logs of a pod's containers.
    async fn unlink_logs(&self, pod: &Pod, of_pod: HashMap<String, String>) {
        let filter = v1::ContainerFilter { label_selector: of_pod, ..Default::default() };
        let listed = self.cri.list_containers(v1::ListContainersRequest { filter: Some(filter) }).await;
        for container in listed.map(|listed| listed.containers).unwrap_or_default() {
            let name = containers::labels::container_of(&container.labels).unwrap_or_default();
            if let Err(error) = links::remove(&self.paths, names(pod), name, &container.id) {
                tracing::debug!(container = name, %error, "a link to a log is not removed yet");
            }
        }
    }
}

/// A pod's namespace and name.
pub(super) fn names(pod: &Pod) -> (&str, &str) {
    let meta = &pod.metadata;
    (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
}

/// The addresses of a pod, for those who look for it: its sandbox's, or the node's if it is on the host's network.
pub(super) fn addresses(job: Job<'_>, host: &[IpAddr]) -> Vec<IpAddr> {
    let on_host = job.pod.spec.as_ref().is_some_and(|spec| spec.host_network == Some(true));
    if on_host {
        return host.to_vec();
    }
    job.runtime.sandbox().map(|sandbox| sandbox.addresses.clone()).unwrap_or_default()
}
