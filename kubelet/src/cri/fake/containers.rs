//! Containers of a runtime in memory: what containerd does with them, in its words.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tonic::Status;

use super::images::full_name;
use super::sandboxes::selects;
use super::script::{Script, Told};
use super::state::{Container, Ended, Ending, Moment, Packed, Phase, State, hash, nanoseconds};
use super::v1;

/// What a container ends with that was killed.
const KILLED: i32 = 137;
/// What containerd says that a container ended with that could not be started.
const NOT_STARTED: i32 = 128;

/// How stopping a container goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopping {
    /// It has ended.
    Done,
    /// It ends by itself at this time.
    Until(Instant),
    /// It runs on.
    RunsOn,
}

/// What the files of a container that was started get written into them.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Its log.
    pub(super) log: String,
    /// What it writes into its log.
    pub(super) says: Vec<String>,
    /// The file for its termination message, and the message.
    pub(super) termination: Option<(String, String)>,
}

impl State {
    /// Makes a container.
    pub(super) fn create_container(
        &mut self,
        request: v1::CreateContainerRequest,
        moment: Moment,
    ) -> Result<String, Status> {
        let config = request.config.unwrap_or_default();
        let (sandbox_number, sandbox) = self.sandbox(&request.pod_sandbox_id)?;
        let pod = sandbox.fixed.open().metadata.unwrap_or_default();
        let log_directory = sandbox.log_directory.clone();
        if !sandbox.ready {
            return Err(Status::unknown(format!(
                "failed to get sandbox container task: no running task found: task {} not found",
                request.pod_sandbox_id
            )));
        }
        let metadata =
            config.metadata.clone().ok_or_else(|| Status::unknown("container config must include metadata"))?;
        let name = hash(&[&metadata.name, &pod.name, &pod.namespace, &pod.uid, &metadata.attempt.to_string()]);
        if let Some((number, _)) = self.containers.iter().find(|(_, container)| container.name == name) {
            let written = format!("{}_{}_{}_{}_{}", metadata.name, pod.name, pod.namespace, pod.uid, metadata.attempt);
            return Err(Status::unknown(format!(
                "failed to reserve container name {written:?}: name {written:?} is reserved for {:?}",
                self.id(*number)
            )));
        }
        let reference = config.image.clone().unwrap_or_default().image;
        let image = self
            .images
            .find(&reference)
            .cloned()
            .ok_or_else(|| Status::not_found(format!("failed to resolve image {reference:?}: not found")))?;
        let script = self.script(&pod, &metadata.name, &reference, &image);
        if let Some(status) = &script.refuses {
            return Err(status.clone());
        }
        let number = self.number();
        let created = self.made(moment);
        let log =
            if config.log_path.is_empty() { String::new() } else { format!("{log_directory}/{}", config.log_path) };
        let fixed = v1::ContainerStatus {
            id: self.id(number),
            metadata: Some(metadata.clone()),
            created_at: created,
            image: config.image,
            image_ref: image.id.clone(),
            image_id: image.id,
            labels: config.labels,
            annotations: config.annotations,
            mounts: config.mounts,
            log_path: log,
            ..v1::ContainerStatus::default()
        };
        let container = Container {
            fixed: Packed::of(&fixed),
            name,
            sandbox: sandbox_number,
            attempt: metadata.attempt,
            created,
            phase: Phase::Created,
            script,
            resources: config.linux.and_then(|linux| linux.resources).map(Box::new),
        };
        self.containers.insert(number, container);
        Ok(fixed.id)
    }

    /// What a container does: what was written last of those that it is one of.
    fn script(&self, pod: &v1::PodSandboxMetadata, name: &str, reference: &str, image: &v1::Image) -> Arc<Script> {
        let mut names = vec![reference, image.id.as_str()];
        names.extend(image.repo_tags.iter().map(String::as_str));
        let full = full_name(reference);
        names.push(&full);
        // A test writes an image's name as short as a pod does.
        let shortened: Vec<&str> = names.iter().filter_map(|name| name.strip_prefix("docker.io/library/")).collect();
        names.extend(shortened);
        let found =
            self.scripts.iter().rev().find(|(which, _)| which.contains(&pod.namespace, &pod.name, name, &names));
        found.map_or_else(|| self.otherwise.clone(), |(_, script)| script.clone())
    }

    /// Starts a container, and says what is to be written into its files.
    pub(super) fn start_container(&mut self, id: &str, moment: Moment) -> Result<Files, Status> {
        let number = self.container(id, moment)?.0;
        let sandbox = self.containers[&number].sandbox;
        let ready = self.sandboxes.get(&sandbox).is_some_and(|sandbox| sandbox.ready);
        let sandbox_id = self.id(sandbox);
        let (_, container) = self.container(id, moment)?;
        if container.phase != Phase::Created {
            let state = container.state().as_str_name();
            return Err(Status::unknown(format!(
                "failed to set starting state for container {id:?}: container is in {state} state"
            )));
        }
        if !ready {
            return Err(Status::unknown(format!("sandbox container {sandbox_id:?} is not running")));
        }
        let script = container.script.clone();
        let run = script.run(container.attempt);
        if let Some(why) = run.and_then(|run| run.fails.as_ref()) {
            let message = format!("failed to create containerd task: {why}");
            let how = Ended { exit_code: NOT_STARTED, reason: "StartError", message: message.as_str().into() };
            // The beginning of time is when containerd says that such a container was started.
            container.phase = Phase::Exited { started: 0, finished: nanoseconds(moment.at), how };
            return Err(Status::unknown(message));
        }
        let end = run.and_then(|run| run.ends.as_ref()).map(|(after, how)| Ending {
            when: moment.instant + *after,
            at: later(moment.at, *after),
            exit_code: how.exit_code,
            out_of_memory: how.out_of_memory,
        });
        container.phase = Phase::Running { since: moment.at, end };
        Ok(run.map(|run| Files::of(run, &container.fixed)).unwrap_or_default())
    }

    /// Tells a container to end.
    pub(super) fn terminate(&mut self, id: &str, moment: Moment) -> Result<Stopping, Status> {
        let (_, container) = self.container(id, moment)?;
        if let (Phase::Running { end, .. }, Told::Ends(after, exit_code)) =
            (&mut container.phase, container.script.told)
        {
            let when = moment.instant + after;
            if end.is_none_or(|end| end.when > when) {
                *end = Some(Ending { when, at: later(moment.at, after), exit_code, out_of_memory: false });
            }
        }
        container.settle(moment);
        Ok(container.stopping())
    }

    /// How stopping a container goes on. One that is not there has ended.
    pub(super) fn stopping(&mut self, id: &str, moment: Moment) -> Stopping {
        self.container(id, moment).map_or(Stopping::Done, |(_, container)| container.stopping())
    }

    /// Kills a container.
    pub(super) fn kill(&mut self, id: &str, moment: Moment) -> Result<(), Status> {
        self.container(id, moment)?.1.end(moment, KILLED, false);
        Ok(())
    }

    /// Removes a container, whether it runs or not. One that is not there is removed already.
    pub(super) fn remove_container(&mut self, id: &str) {
        if let Some(number) = self.number_of(id) {
            self.containers.remove(&number);
        }
    }

    /// How a container is.
    pub(super) fn container_status(&mut self, id: &str, moment: Moment) -> Result<v1::ContainerStatus, Status> {
        let (number, _) = self.container(id, moment)?;
        let container = &self.containers[&number];
        let mut status = container.fixed.open();
        if let Some(image) = self.images.find(&status.image_ref) {
            if let Some(tag) = image.repo_tags.first() {
                status.image = Some(v1::ImageSpec { image: tag.clone(), ..status.image.unwrap_or_default() });
            }
            if let Some(digest) = image.repo_digests.first() {
                status.image_ref.clone_from(digest);
            }
        }
        status.state = container.state().into();
        status.resources = container
            .resources
            .as_ref()
            .map(|linux| v1::ContainerResources { linux: Some((**linux).clone()), windows: None });
        match &container.phase {
            Phase::Created => {}
            Phase::Running { since, .. } => status.started_at = nanoseconds(*since),
            Phase::Exited { started, finished, how } => {
                status.started_at = *started;
                status.finished_at = *finished;
                status.exit_code = how.exit_code;
                status.reason = how.reason.to_owned();
                status.message = how.message.to_string();
            }
        }
        Ok(status)
    }

    /// The containers that a filter lets through, in the order in which they were made.
    pub(super) fn list_containers(
        &mut self,
        filter: Option<v1::ContainerFilter>,
        moment: Moment,
    ) -> Vec<v1::Container> {
        self.settle(moment);
        let filter = filter.unwrap_or_default();
        let wanted = |number: u64, container: &Container| {
            (filter.id.is_empty() || self.id(number).starts_with(&filter.id))
                && filter.state.is_none_or(|value| value.state == i32::from(container.state()))
                && (filter.pod_sandbox_id.is_empty() || self.id(container.sandbox).starts_with(&filter.pod_sandbox_id))
        };
        let found = self.containers.iter().filter(|(number, container)| wanted(**number, container));
        let listed = found.map(|(_, container)| {
            let fixed = container.fixed.open();
            v1::Container {
                id: fixed.id,
                pod_sandbox_id: self.id(container.sandbox),
                metadata: fixed.metadata,
                image: fixed.image,
                image_ref: fixed.image_ref,
                state: container.state().into(),
                created_at: container.created,
                labels: fixed.labels,
                annotations: fixed.annotations,
                image_id: fixed.image_id,
            }
        });
        listed.filter(|container| selects(&filter.label_selector, &container.labels)).collect()
    }

    /// Changes what a container may use. What is zero or empty stays as it is.
    pub(super) fn update(
        &mut self,
        request: v1::UpdateContainerResourcesRequest,
        moment: Moment,
    ) -> Result<(), Status> {
        let (_, container) = self.container(&request.container_id, moment)?;
        if matches!(container.phase, Phase::Exited { .. }) {
            let state = container.state().as_str_name();
            return Err(Status::unknown(format!("failed to update resources: container is in {state} state")));
        }
        let Some(wanted) = request.linux else { return Ok(()) };
        let now = container.resources.get_or_insert_default();
        let numbers = [
            (&mut now.cpu_period, wanted.cpu_period),
            (&mut now.cpu_quota, wanted.cpu_quota),
            (&mut now.cpu_shares, wanted.cpu_shares),
            (&mut now.memory_limit_in_bytes, wanted.memory_limit_in_bytes),
            (&mut now.oom_score_adj, wanted.oom_score_adj),
        ];
        for (has, wanted) in numbers {
            if wanted != 0 {
                *has = wanted;
            }
        }
        for (has, wanted) in [(&mut now.cpuset_cpus, wanted.cpuset_cpus), (&mut now.cpuset_mems, wanted.cpuset_mems)] {
            if !wanted.is_empty() {
                *has = wanted;
            }
        }
        now.unified.extend(wanted.unified);
        Ok(())
    }

    /// A running container's script, for what is to be done in it.
    pub(super) fn running(&mut self, id: &str, moment: Moment) -> Result<Arc<Script>, Status> {
        let (_, container) = self.container(id, moment)?;
        if !container.runs() {
            let state = container.state().as_str_name();
            return Err(Status::unknown(format!("container is in {state} state")));
        }
        Ok(container.script.clone())
    }
}

impl Container {
    fn stopping(&self) -> Stopping {
        match &self.phase {
            Phase::Running { end: Some(end), .. } => Stopping::Until(end.when),
            Phase::Running { end: None, .. } => Stopping::RunsOn,
            Phase::Created | Phase::Exited { .. } => Stopping::Done,
        }
    }
}

impl Files {
    fn of(run: &super::script::Run, fixed: &Packed<v1::ContainerStatus>) -> Files {
        if run.says.is_empty() && run.termination_message.is_none() {
            return Files::default();
        }
        let fixed = fixed.open();
        let path = fixed.annotations.get("io.kubernetes.container.terminationMessagePath");
        let path = path.map_or("/dev/termination-log", String::as_str);
        let mount = fixed.mounts.iter().find(|mount| mount.container_path == path);
        let termination = mount.map(|mount| mount.host_path.clone()).zip(run.termination_message.clone());
        Files { log: fixed.log_path, says: run.says.clone(), termination }
    }
}

/// A time that is later by so much.
fn later(at: Timestamp, by: Duration) -> Timestamp {
    // Nothing runs until the end of time.
    SignedDuration::try_from(by).ok().and_then(|by| at.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

/// How long a container has run, or ran.
pub(super) fn running_nanoseconds(phase: &Phase, moment: Moment) -> u64 {
    let nanoseconds = match phase {
        Phase::Created => 0,
        Phase::Running { since, .. } => nanoseconds(moment.at) - nanoseconds(*since),
        Phase::Exited { started, finished, .. } => finished - started,
    };
    u64::try_from(nanoseconds).unwrap_or_default()
}
