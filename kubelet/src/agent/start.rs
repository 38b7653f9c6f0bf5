//! Starts a container: its image, its environment, its mounts, the container itself, and its `postStart` hook.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};
use tokio::time::Instant;

use super::carry::{Carried, Done, Failed, Hands, Job, What, addresses, names};
use super::says::field_of;
use crate::containers::{self, Making, Sources};
use crate::cri::v1;
use crate::images::{Present, User};
use crate::lifecycle::hooks;
use crate::logs::{self, LogFile};
use crate::observed::ContainerState;
use crate::pod_plan::{Role, Says, hash_of};
use crate::volumes::Problem;

/// What is not as it should be, and what about: a reason of upstream's.
struct Refusal {
    reason: String,
    message: String,
    /// When trying again may help, if it is known.
    again: Option<Duration>,
}

impl Hands {
    pub(super) async fn start(&self, job: Job<'_>, name: &str, role: Role, attempt: u32) -> Carried {
        let Some((_, container)) = containers::find(job.pod, name) else { return Ok(Done::Other) };
        match self.try_to_start(job, &container, role, attempt).await {
            Ok(()) => Ok(Done::Started(name.to_owned())),
            Err(Refusal { reason, message, again }) => {
                let failed = self.failed(job, What::Container(name.to_owned()), &reason, message);
                Err(match again {
                    Some(again) => Failed { until: self.after(again), ..failed },
                    None => failed,
                })
            }
        }
    }

    async fn try_to_start(&self, job: Job<'_>, container: &Container, role: Role, attempt: u32) -> Result<(), Refusal> {
        let began = Instant::now();
        let stage = |stage: &str| {
            tracing::debug!(pod = %job.entry.uid, container = container.name, since = ?began.elapsed(), "{stage}");
        };
        let node = self.known.node();
        let sandbox = job.runtime.sandbox().filter(|sandbox| sandbox.ready);
        let Some(sandbox) = sandbox else { return Err(refusal("CreateContainerError", "there is no sandbox")) };
        let config = self.sandbox_config(job.pod, sandbox.attempt, &node);
        let config = config.map_err(|invalid| refusal(invalid.reason, invalid.message))?;
        let image = self.image(job, container, &config).await?;
        stage("the image is there");
        let made = self.container_config(job, container, role, attempt, &image, &node).await;
        stage("what the container is made from is known");
        let made = made.inspect_err(|refusal| self.warn(job.pod, &container.name, "Failed", &refusal.message))?;
        let request = v1::CreateContainerRequest {
            pod_sandbox_id: sandbox.id.clone(),
            config: Some(made.clone()),
            sandbox_config: Some(config),
        };
        let created = self.cri.create_container(request).await.map_err(|status| {
            let message = status.message().to_owned();
            self.warn(job.pod, &container.name, "Failed", &format!("Error: {message}"));
            refusal("CreateContainerError", message)
        })?;
        stage("the container is created");
        self.note(job.pod, &container.name, "Created", "Container created");
        let id = created.container_id;
        let started = self.cri.start_container(v1::StartContainerRequest { container_id: id.clone() }).await;
        started.map_err(|status| {
            let message = status.message().to_owned();
            self.warn(job.pod, &container.name, "Failed", &format!("Error: {message}"));
            refusal("RunContainerError", message)
        })?;
        stage("the container is started");
        self.note(job.pod, &container.name, "Started", "Container started");
        self.link_log(job.pod, &container.name, attempt, &id);
        self.post_start(job, container, &id).await
    }

    /// Sees to it that the container's image is there.
    async fn image(
        &self,
        job: Job<'_>,
        container: &Container,
        config: &v1::PodSandboxConfig,
    ) -> Result<Present, Refusal> {
        let pod = job.pod;
        let (name, policy) = (container.image.as_deref().unwrap_or_default(), container.image_pull_policy.as_deref());
        let pulling = parking_lot::Mutex::new(None);
        let says = |says: Says| {
            if says.reason == "Pulling" {
                *pulling.lock() = Some(Instant::now());
            }
            self.voice.say_all(pod, &[says]);
        };
        let image = self.images.ensure(pod, &container.name, name, policy, config, says).await;
        if let Some(began) = pulling.into_inner() {
            job.entry.startup.lock().pulled(began.elapsed());
        }
        image.map_err(|refused| Refusal {
            reason: refused.reason.to_owned(),
            message: refused.message,
            again: Some(refused.again),
        })
    }

    /// What the container is made from.
    async fn container_config(
        &self,
        job: Job<'_>,
        container: &Container,
        role: Role,
        attempt: u32,
        image: &Present,
        node: &containers::Node,
    ) -> Result<v1::ContainerConfig, Refusal> {
        let of_pod = addresses(job, &self.known.addresses());
        let environment = self.environment(job, container, node, &of_pod).await?;
        let misfit = |problem: Problem| refusal("CreateContainerConfigError", problem.message);
        let variable = |name: &str| environment.get(name).cloned();
        let mounts = self.volumes.container_mounts(job.pod, container, &variable).await.map_err(misfit)?;
        let devices = self.volumes.container_devices(job.pod, container).map_err(misfit)?;
        let hosts = self.write_hosts(job, node, &of_pod).await?;
        self.make_termination_log(job, container, attempt).await?;
        let target = self.target(job, &container.name);
        let hash = hash_of(container);
        let groups = self.volumes.groups(job.pod);
        let making = Making {
            pod: job.pod,
            container,
            role,
            attempt,
            hash: &hash,
            image: made_from(image),
            environment: &environment,
            mounts: &mounts,
            hosts,
            groups: &groups,
            target: target.as_deref(),
            node,
            paths: &self.paths,
        };
        let made = containers::container(&making).map_err(|invalid| refusal(invalid.reason, invalid.message))?;
        Ok(v1::ContainerConfig { devices: [made.devices, devices].concat(), ..made })
    }

    async fn environment(
        &self,
        job: Job<'_>,
        container: &Container,
        node: &containers::Node,
        of_pod: &[std::net::IpAddr],
    ) -> Result<BTreeMap<String, String>, Refusal> {
        let objects = self.objects.fetch(job.pod, container).await;
        let objects = objects.map_err(|error| refusal("CreateContainerConfigError", error.to_string()))?;
        if job.entry.origin != super::pods::Origin::File {
            self.known.services_known().await;
        }
        let services = self.known.services();
        let sources = Sources {
            config_maps: &objects.config_maps,
            secrets: &objects.secrets,
            services: &services,
            allocatable: &node.allocatable,
            files: &self.files(job, container).await,
        };
        let host = self.known.addresses();
        let known = containers::fields::Addresses { pod: of_pod, host: &host };
        let environment = containers::environment(job.pod, container, &sources, known);
        let environment = environment.map_err(|invalid| refusal(invalid.reason, invalid.message))?;
        self.voice.say_all(job.pod, &environment.says);
        Ok(environment.variables)
    }

    /// Writes what the pod's containers see as `/etc/hosts`, and says whether there is such a file.
    async fn write_hosts(
        &self,
        job: Job<'_>,
        node: &containers::Node,
        of_pod: &[std::net::IpAddr],
    ) -> Result<bool, Refusal> {
        let of_node = tokio::fs::read_to_string("/etc/hosts").await.unwrap_or_default();
        let content = containers::hosts_file(job.pod, of_pod, node, &of_node);
        let content = content.map_err(|invalid| refusal(invalid.reason, invalid.message))?;
        let Some(content) = content else { return Ok(false) };
        let path = self.paths.etc_hosts(&job.entry.uid);
        // Containers may write to it, and what they wrote stays as long as the pod.
        if tokio::fs::metadata(&path).await.is_err() {
            let written = tokio::fs::write(&path, content).await;
            written.map_err(|error| refusal("CreateContainerConfigError", format!("{}: {error}", path.display())))?;
        }
        Ok(true)
    }

    /// Makes the file that the container writes its last words to.
    async fn make_termination_log(&self, job: Job<'_>, container: &Container, attempt: u32) -> Result<(), Refusal> {
        let path = containers::termination_log(&self.paths, &job.entry.uid, &container.name, attempt);
        let made = async {
            if let Some(directory) = path.parent() {
                tokio::fs::create_dir_all(directory).await?;
            }
            tokio::fs::File::create(&path).await?;
            // Whoever the container runs as may write to it, whatever the umask of the agent is.
            tokio::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).await
        };
        made.await.map_err(|error| refusal("CreateContainerConfigError", format!("{}: {error}", path.display())))
    }

    /// The container whose processes an ephemeral one is to see.
    fn target(&self, job: Job<'_>, name: &str) -> Option<String> {
        let ephemeral = job.pod.spec.as_ref()?.ephemeral_containers.iter().flatten().find(|it| it.name == name)?;
        let target = ephemeral.target_container_name.as_deref().filter(|target| !target.is_empty())?;
        let found = job.runtime.container(target).filter(|it| it.state == ContainerState::Running);
        found.map(|container| container.id.clone())
    }

    /// Runs the hook after a start. If it fails, the container is stopped.
    async fn post_start(&self, job: Job<'_>, container: &Container, id: &str) -> Result<(), Refusal> {
        let handler = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref());
        let Some(handler) = handler else { return Ok(()) };
        let address = addresses(job, &self.known.addresses()).first().copied();
        let Err(error) = hooks::run(&self.cri, job.pod, container, id, address, handler, None).await else {
            return Ok(());
        };
        tracing::warn!(pod = job.pod.metadata.name, container = container.name, %error, "a postStart hook failed");
        let (reason, message) = hooks::FAILED_POST_START;
        self.warn(job.pod, &container.name, reason, message);
        let grace = job.pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(30);
        self.note(job.pod, &container.name, "Killing", "FailedPostStartHook");
        let grace = Duration::from_secs(u64::try_from(grace).unwrap_or(0));
        if let Err(status) = self.cri.stop_container(id, grace).await {
            tracing::warn!(container = container.name, %status, "a container whose hook failed is not stopped");
        }
        Err(refusal("PostStartHookError", message))
    }

    fn link_log(&self, pod: &Pod, container: &str, attempt: u32, id: &str) {
        let (namespace, name) = names(pod);
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let log = LogFile::of(&self.paths, (namespace, name, uid), container, attempt);
        let linked = log
            .map_err(std::io::Error::other)
            .and_then(|log| logs::links::make(&self.paths, (namespace, name), container, id, &log));
        if let Err(error) = linked {
            tracing::warn!(container, %error, "log collectors do not find a container's log");
        }
    }

    pub(super) fn note(&self, pod: &Pod, container: &str, reason: &str, message: &str) {
        self.voice.say(pod, field_of(pod, container).as_deref(), false, reason, message);
    }

    pub(super) fn warn(&self, pod: &Pod, container: &str, reason: &str, message: &str) {
        self.voice.say(pod, field_of(pod, container).as_deref(), true, reason, message);
    }
}

fn refusal(reason: &str, message: impl Into<String>) -> Refusal {
    Refusal { reason: reason.to_owned(), message: message.into(), again: None }
}

/// An image, as what containers are made from.
fn made_from(image: &Present) -> containers::Image<'_> {
    let reference = image.image_ref.as_str();
    match &image.user {
        User::Uid(uid) => containers::Image { reference, uid: Some(*uid), username: "" },
        User::Name(name) => containers::Image { reference, uid: None, username: name },
    }
}
