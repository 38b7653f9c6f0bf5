//! What any runtime does that agents rely on, asked of the one in memory and, where there is one, of containerd.
//!
//! A case fails for both or for neither: where containerd's answer is not what CRI's documentation would let one expect,
//! the runtime in memory answers as containerd does.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use client::clock::Clock;
use tonic::{Code, Status};

use super::super::{Exec, Fake, Offer, Options, Run, Script, Which};
use crate::cri::{Cri, v1};

/// A runtime, and what is the same for all that is made on it.
pub(crate) struct Stage {
    /// The runtime.
    pub(crate) cri: Cri,
    /// The name of an image with `/bin/busybox` in it that the runtime has.
    pub(crate) image: &'static str,
    /// Where cgroups are made, if that matters.
    pub(crate) cgroup_parent: Option<String>,
    /// Where logs are written.
    pub(crate) logs: String,
    /// How many pods there were.
    pub(crate) pods: AtomicU32,
}

/// What a container does: its name, as the scripts of the runtime in memory have it, and its command.
#[derive(Clone, Copy)]
pub(crate) struct Program {
    name: &'static str,
    command: &'static [&'static str],
}

pub(crate) const RUNS: Program = Program {
    name: "runs",
    command: &["/bin/busybox", "sh", "-c", "trap 'exit 0' TERM; : >/ready; while :; do sleep 0.1; done"],
};
const STUBBORN: Program = Program {
    name: "stubborn",
    command: &["/bin/busybox", "sh", "-c", "trap '' TERM; : >/ready; while :; do sleep 0.1; done"],
};
const COMPLETES: Program = Program { name: "completes", command: &["/bin/busybox", "true"] };
const FAILS: Program = Program { name: "fails", command: &["/bin/busybox", "sh", "-c", "exit 3"] };
const MISSING: Program = Program { name: "missing", command: &["/no/such/program"] };

/// The runtime in memory, which does what the programs above do.
#[tokio::test(start_paused = true)]
async fn the_runtime_in_memory_is_as_containerd_is() {
    let fake = Fake::new(Options {
        clock: Clock::simulated(jiff::Timestamp::from_second(1_772_366_400).unwrap()),
        images: vec![Offer::named("gantry.local/busybox:suite")],
        pulls_anything: None,
        ..Options::default()
    });
    let after = Duration::from_millis(1);
    fake.script(Which::Container("stubborn".into()), Script::stubborn().with_exec(exec));
    fake.script(Which::Container("runs".into()), Script::default().with_exec(exec));
    fake.script(Which::Container("completes".into()), Script::ends(after, 0));
    fake.script(Which::Container("fails".into()), Script::ends(after, 3));
    fake.script(Which::Container("missing".into()), Script::running([Run::fails("no such file or directory")]));
    let stage = Stage {
        cri: fake.cri(),
        image: "gantry.local/busybox:suite",
        cgroup_parent: None,
        logs: String::new(),
        pods: AtomicU32::new(0),
    };
    all(&stage).await;
}

/// What the commands do that the cases below run.
fn exec(command: &[String]) -> Exec {
    match command.last().map(String::as_str) {
        Some("echo out; echo err >&2; exit 4") => {
            Exec { exit_code: 4, stdout: b"out\n".to_vec(), stderr: b"err\n".to_vec(), ..Exec::default() }
        }
        Some("sleep 60") => Exec { takes: Duration::from_secs(60), ..Exec::default() },
        _ => Exec::default(),
    }
}

/// Every case, one after the other.
pub(crate) async fn all(stage: &Stage) {
    sandboxes_come_and_go(stage).await;
    sandboxes_are_filtered(stage).await;
    containers_come_and_go(stage).await;
    ends_are_told(stage).await;
    stopping_is_patient(stage).await;
    a_sandbox_takes_its_containers_along(stage).await;
    what_cannot_be_made_is_refused(stage).await;
    commands_are_run(stage).await;
    what_is_not_there_is_gone(stage).await;
    images_are_looked_up(stage).await;
}

impl Stage {
    /// A pod that there was not before.
    pub(crate) fn pod(&self, attempt: u32) -> v1::PodSandboxConfig {
        let number = self.pods.fetch_add(1, Ordering::Relaxed);
        let name = format!("pod-{number}");
        let uid = format!("uid-{number}");
        let cgroup_parent = self.cgroup_parent.as_ref().map(|parent| format!("{parent}/pod{uid}")).unwrap_or_default();
        let log_directory = format!("{}/suite_{name}_{uid}", self.logs);
        v1::PodSandboxConfig {
            labels: [("suite".to_owned(), name.clone())].into(),
            annotations: [("note".to_owned(), "kept".to_owned())].into(),
            metadata: Some(v1::PodSandboxMetadata { name, uid, namespace: "suite".into(), attempt }),
            log_directory,
            linux: Some(v1::LinuxPodSandboxConfig { cgroup_parent, ..v1::LinuxPodSandboxConfig::default() }),
            ..v1::PodSandboxConfig::default()
        }
    }

    pub(crate) async fn run(&self, config: &v1::PodSandboxConfig) -> Result<String, Status> {
        let request = v1::RunPodSandboxRequest { config: Some(config.clone()), runtime_handler: String::new() };
        self.cri.run_pod_sandbox(request).await.map(|answer| answer.pod_sandbox_id)
    }

    async fn stop(&self, id: &str) -> Result<(), Status> {
        let request = v1::StopPodSandboxRequest { pod_sandbox_id: id.into() };
        self.cri.stop_pod_sandbox(request).await.map(|_| ())
    }

    async fn remove(&self, id: &str) -> Result<(), Status> {
        let request = v1::RemovePodSandboxRequest { pod_sandbox_id: id.into() };
        self.cri.remove_pod_sandbox(request).await.map(|_| ())
    }

    pub(crate) async fn sandbox(&self, id: &str) -> Result<v1::PodSandboxStatus, Status> {
        let request = v1::PodSandboxStatusRequest { pod_sandbox_id: id.into(), verbose: false };
        self.cri.pod_sandbox_status(request).await.map(|answer| answer.status.unwrap())
    }

    pub(crate) fn container(&self, program: Program, attempt: u32) -> v1::ContainerConfig {
        v1::ContainerConfig {
            metadata: Some(v1::ContainerMetadata { name: program.name.into(), attempt }),
            image: Some(v1::ImageSpec { image: self.image.into(), ..v1::ImageSpec::default() }),
            command: program.command.iter().map(ToString::to_string).collect(),
            labels: [("program".to_owned(), program.name.to_owned())].into(),
            annotations: [("note".to_owned(), "kept".to_owned())].into(),
            log_path: format!("{}-{attempt}.log", program.name),
            linux: Some(v1::LinuxContainerConfig::default()),
            ..v1::ContainerConfig::default()
        }
    }

    async fn create(
        &self,
        sandbox: &str,
        pod: &v1::PodSandboxConfig,
        config: v1::ContainerConfig,
    ) -> Result<String, Status> {
        let request = v1::CreateContainerRequest {
            pod_sandbox_id: sandbox.into(),
            config: Some(config),
            sandbox_config: Some(pod.clone()),
        };
        self.cri.create_container(request).await.map(|answer| answer.container_id)
    }

    async fn start(&self, id: &str) -> Result<(), Status> {
        self.cri.start_container(v1::StartContainerRequest { container_id: id.into() }).await.map(|_| ())
    }

    pub(crate) async fn created(
        &self,
        sandbox: &str,
        pod: &v1::PodSandboxConfig,
        program: Program,
        attempt: u32,
    ) -> String {
        self.create(sandbox, pod, self.container(program, attempt)).await.unwrap()
    }

    pub(crate) async fn started(
        &self,
        sandbox: &str,
        pod: &v1::PodSandboxConfig,
        program: Program,
        attempt: u32,
    ) -> String {
        let id = self.created(sandbox, pod, program, attempt).await;
        self.start(&id).await.unwrap();
        id
    }

    pub(crate) async fn status(&self, id: &str) -> Result<v1::ContainerStatus, Status> {
        let request = v1::ContainerStatusRequest { container_id: id.into(), verbose: false };
        self.cri.container_status(request).await.map(|answer| answer.status.unwrap())
    }

    async fn remove_container(&self, id: &str) -> Result<(), Status> {
        self.cri.remove_container(v1::RemoveContainerRequest { container_id: id.into() }).await.map(|_| ())
    }

    /// Waits until a container's program says that signals may come: until then the runtime's own program gets them.
    async fn ready(&self, id: &str) {
        let command = ["/bin/busybox", "test", "-e", "/ready"].map(str::to_owned).to_vec();
        let mut look = tokio::time::interval(Duration::from_millis(20));
        while self.cri.exec_sync(id, command.clone(), None).await.unwrap().exit_code != 0 {
            look.tick().await;
        }
    }

    /// How a container is as soon as it has ended, which it does by itself.
    async fn ended(&self, id: &str) -> v1::ContainerStatus {
        let mut look = tokio::time::interval(Duration::from_millis(20));
        loop {
            let status = self.status(id).await.unwrap();
            if status.state() == v1::ContainerState::ContainerExited {
                return status;
            }
            look.tick().await;
        }
    }
}

async fn sandboxes_come_and_go(stage: &Stage) {
    let pod = stage.pod(0);
    let id = stage.run(&pod).await.unwrap();
    assert_eq!(id.len(), 64);
    let status = stage.sandbox(&id).await.unwrap();
    assert_eq!(status.state(), v1::PodSandboxState::SandboxReady);
    assert_eq!((&status.id, &status.metadata), (&id, &pod.metadata));
    assert_eq!((&status.labels, &status.annotations), (&pod.labels, &pod.annotations));
    status.network.unwrap().ip.parse::<std::net::IpAddr>().unwrap();
    let again = stage.run(&pod).await.unwrap_err();
    assert_eq!(again.code(), Code::Unknown);
    assert!(again.message().contains("is reserved for"), "{again:?}");
    // The next attempt may come before the last one is gone.
    let mut next = pod.clone();
    next.metadata.as_mut().unwrap().attempt = 1;
    let second = stage.run(&next).await.unwrap();
    let created = stage.sandbox(&second).await.unwrap().created_at;
    assert!(created > status.created_at);
    for _ in 0..2 {
        stage.stop(&id).await.unwrap();
        let status = stage.sandbox(&id).await.unwrap();
        assert_eq!(status.state(), v1::PodSandboxState::SandboxNotready);
        assert_eq!(status.network.unwrap_or_default().ip, "");
    }
    // One that runs is removed as well.
    for id in [&id, &id, &second] {
        stage.remove(id).await.unwrap();
        assert_eq!(stage.sandbox(id).await.unwrap_err().code(), Code::NotFound);
    }
    let mut nameless = pod.clone();
    nameless.metadata = None;
    assert_eq!(stage.run(&nameless).await.unwrap_err().code(), Code::Unknown);
}

async fn sandboxes_are_filtered(stage: &Stage) {
    let (one, two) = (stage.pod(0), stage.pod(0));
    let ids = [stage.run(&one).await.unwrap(), stage.run(&two).await.unwrap()];
    stage.stop(&ids[1]).await.unwrap();
    let ready = v1::PodSandboxState::SandboxReady.into();
    let filter = v1::PodSandboxFilter::default;
    let cases = [
        (v1::PodSandboxFilter { id: ids[0].clone(), ..filter() }, vec![&ids[0]]),
        (v1::PodSandboxFilter { id: ids[0][..13].into(), ..filter() }, vec![&ids[0]]),
        (v1::PodSandboxFilter { id: "0".repeat(64), ..filter() }, vec![]),
        (v1::PodSandboxFilter { label_selector: two.labels.clone(), ..filter() }, vec![&ids[1]]),
        (
            v1::PodSandboxFilter {
                label_selector: two.labels.clone(),
                state: Some(v1::PodSandboxStateValue { state: ready }),
                ..filter()
            },
            vec![],
        ),
    ];
    for (filter, expected) in cases {
        let request = v1::ListPodSandboxRequest { filter: Some(filter.clone()) };
        let items = stage.cri.list_pod_sandbox(request).await.unwrap().items;
        assert_eq!(items.iter().map(|item| &item.id).collect::<Vec<_>>(), expected, "{filter:?}");
    }
    for id in &ids {
        stage.remove(id).await.unwrap();
    }
}

async fn containers_come_and_go(stage: &Stage) {
    let pod = stage.pod(0);
    let sandbox = stage.run(&pod).await.unwrap();
    let id = stage.created(&sandbox, &pod, RUNS, 0).await;
    let created = stage.status(&id).await.unwrap();
    assert_eq!(created.state(), v1::ContainerState::ContainerCreated);
    assert_eq!((created.started_at, created.finished_at), (0, 0));
    let config = stage.container(RUNS, 0);
    assert_eq!((&created.metadata, &created.labels), (&config.metadata, &config.labels));
    assert_eq!(created.annotations, config.annotations);
    assert!(created.log_path.ends_with("/runs-0.log"), "{}", created.log_path);
    stage.start(&id).await.unwrap();
    let running = stage.status(&id).await.unwrap();
    assert_eq!(running.state(), v1::ContainerState::ContainerRunning);
    assert!(running.started_at >= running.created_at && running.finished_at == 0);
    let again = stage.start(&id).await.unwrap_err();
    assert_eq!(again.code(), Code::Unknown);
    assert!(again.message().contains("container is in CONTAINER_RUNNING state"), "{again:?}");
    let second = stage.create(&sandbox, &pod, stage.container(RUNS, 0)).await.unwrap_err();
    assert!(second.message().contains("is reserved for"), "{second:?}");
    let filter = v1::ContainerFilter { pod_sandbox_id: sandbox.clone(), ..v1::ContainerFilter::default() };
    let listed = stage.cri.list_containers(v1::ListContainersRequest { filter: Some(filter) }).await.unwrap();
    let [listed] = &listed.containers[..] else { panic!("{listed:?}") };
    assert_eq!((&listed.id, &listed.pod_sandbox_id), (&id, &sandbox));
    assert_eq!((listed.state(), listed.created_at), (v1::ContainerState::ContainerRunning, running.created_at));
    assert_eq!(listed.image.as_ref().unwrap().image, stage.image);
    stage.ready(&id).await;
    for _ in 0..2 {
        stage.cri.stop_container(&id, Duration::from_secs(30)).await.unwrap();
        let stopped = stage.status(&id).await.unwrap();
        assert_eq!((stopped.state(), stopped.exit_code), (v1::ContainerState::ContainerExited, 0));
        assert_eq!(stopped.reason, "Completed");
        assert!(stopped.finished_at >= stopped.started_at);
    }
    let again = stage.start(&id).await.unwrap_err();
    assert!(again.message().contains("container is in CONTAINER_EXITED state"), "{again:?}");
    // One that runs is removed as well.
    let other = stage.started(&sandbox, &pod, RUNS, 1).await;
    for id in [&id, &id, &other] {
        stage.remove_container(id).await.unwrap();
        assert_eq!(stage.status(id).await.unwrap_err().code(), Code::NotFound);
    }
    stage.remove(&sandbox).await.unwrap();
}

async fn ends_are_told(stage: &Stage) {
    let pod = stage.pod(0);
    let sandbox = stage.run(&pod).await.unwrap();
    for (program, exit_code, reason) in [(COMPLETES, 0, "Completed"), (FAILS, 3, "Error")] {
        let id = stage.started(&sandbox, &pod, program, 0).await;
        let status = stage.ended(&id).await;
        assert_eq!((status.exit_code, status.reason.as_str()), (exit_code, reason));
        // Which of both is later is not said: containerd looks at its clock after the program was started, and the shim,
        // when it has ended, which may be before that.
        assert!(status.finished_at > 0 && status.started_at > 0);
    }
    let id = stage.created(&sandbox, &pod, MISSING, 0).await;
    let refused = stage.start(&id).await.unwrap_err();
    assert!(refused.message().contains("no such file or directory"), "{refused:?}");
    let status = stage.status(&id).await.unwrap();
    assert_eq!((status.state(), status.exit_code), (v1::ContainerState::ContainerExited, 128));
    assert_eq!((status.reason.as_str(), status.started_at), ("StartError", 0));
    assert!(status.finished_at > 0 && status.message.contains("no such file or directory"), "{status:?}");
    stage.remove(&sandbox).await.unwrap();
}

async fn stopping_is_patient(stage: &Stage) {
    let pod = stage.pod(0);
    let sandbox = stage.run(&pod).await.unwrap();
    for (attempt, grace) in [(0, 1), (1, 0)] {
        let id = stage.started(&sandbox, &pod, STUBBORN, attempt).await;
        stage.ready(&id).await;
        stage.cri.stop_container(&id, Duration::from_secs(grace)).await.unwrap();
        let status = stage.status(&id).await.unwrap();
        assert_eq!((status.state(), status.exit_code), (v1::ContainerState::ContainerExited, 137));
        assert_eq!(status.reason, "Error");
        let took = Duration::from_nanos(u64::try_from(status.finished_at - status.started_at).unwrap());
        assert!(took >= Duration::from_secs(grace), "{took:?}");
    }
    stage.remove(&sandbox).await.unwrap();
}

async fn a_sandbox_takes_its_containers_along(stage: &Stage) {
    let pod = stage.pod(0);
    let sandbox = stage.run(&pod).await.unwrap();
    let running = stage.started(&sandbox, &pod, RUNS, 0).await;
    let made = stage.created(&sandbox, &pod, RUNS, 1).await;
    stage.stop(&sandbox).await.unwrap();
    let status = stage.status(&running).await.unwrap();
    assert_eq!((status.state(), status.exit_code), (v1::ContainerState::ContainerExited, 137));
    assert_eq!(stage.status(&made).await.unwrap().state(), v1::ContainerState::ContainerCreated);
    assert!(stage.start(&made).await.is_err());
    assert!(stage.create(&sandbox, &pod, stage.container(RUNS, 2)).await.is_err());
    stage.remove(&sandbox).await.unwrap();
    for id in [&running, &made] {
        assert_eq!(stage.status(id).await.unwrap_err().code(), Code::NotFound);
    }
}

async fn what_cannot_be_made_is_refused(stage: &Stage) {
    let pod = stage.pod(0);
    let nowhere = stage.create(&"0".repeat(64), &pod, stage.container(RUNS, 0)).await.unwrap_err();
    assert_eq!(nowhere.code(), Code::NotFound);
    let sandbox = stage.run(&pod).await.unwrap();
    let absent = Some(v1::ImageSpec { image: "localhost/absent:1".into(), ..v1::ImageSpec::default() });
    let config = v1::ContainerConfig { image: absent, ..stage.container(RUNS, 0) };
    let refused = stage.create(&sandbox, &pod, config).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "{refused:?}");
    // The name is free.
    let id = stage.created(&sandbox, &pod, RUNS, 0).await;
    assert!(stage.start(&"0".repeat(64)).await.is_err_and(|status| status.code() == Code::NotFound));
    stage.remove_container(&id).await.unwrap();
    stage.remove(&sandbox).await.unwrap();
}

async fn commands_are_run(stage: &Stage) {
    let pod = stage.pod(0);
    let sandbox = stage.run(&pod).await.unwrap();
    let id = stage.started(&sandbox, &pod, RUNS, 0).await;
    let shell = |script: &str| ["/bin/busybox", "sh", "-c", script].map(str::to_owned).to_vec();
    let answer = stage.cri.exec_sync(&id, shell("echo out; echo err >&2; exit 4"), None).await.unwrap();
    assert_eq!((answer.exit_code, &answer.stdout[..], &answer.stderr[..]), (4, &b"out\n"[..], &b"err\n"[..]));
    let late = stage.cri.exec_sync(&id, shell("sleep 60"), Some(Duration::from_secs(1))).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    assert!(late.message().contains("timeout 1s exceeded"), "{late:?}");
    stage.cri.stop_container(&id, Duration::ZERO).await.unwrap();
    let ended = stage.cri.exec_sync(&id, shell("true"), None).await.unwrap_err();
    assert_eq!(ended.code(), Code::Unknown);
    assert!(ended.message().contains("container is in CONTAINER_EXITED state"), "{ended:?}");
    let absent = stage.cri.exec_sync(&"0".repeat(64), shell("true"), None).await.unwrap_err();
    assert_eq!(absent.code(), Code::NotFound, "{absent:?}");
    let reopened = v1::ReopenContainerLogRequest { container_id: id.clone() };
    let reopened = stage.cri.reopen_container_log(reopened).await.unwrap_err();
    assert!(reopened.message().contains("container is not running"), "{reopened:?}");
    stage.remove(&sandbox).await.unwrap();
}

async fn what_is_not_there_is_gone(stage: &Stage) {
    let absent = "0".repeat(64);
    // CRI says that what is not there can be stopped; containerd 1.6 says that it cannot.
    assert_eq!(stage.stop(&absent).await.unwrap_err().code(), Code::NotFound);
    for grace in [0, 1] {
        let stopped = stage.cri.stop_container(&absent, Duration::from_secs(grace)).await;
        assert_eq!(stopped.unwrap_err().code(), Code::NotFound);
    }
    stage.remove(&absent).await.unwrap();
    stage.remove_container(&absent).await.unwrap();
    let image = Some(v1::ImageSpec { image: "localhost/absent:1".into(), ..v1::ImageSpec::default() });
    stage.cri.remove_image(v1::RemoveImageRequest { image }).await.unwrap();
}

async fn images_are_looked_up(stage: &Stage) {
    let status = async |name: &str| {
        let image = Some(v1::ImageSpec { image: name.into(), ..v1::ImageSpec::default() });
        stage.cri.image_status(v1::ImageStatusRequest { image, verbose: false }).await.unwrap().image
    };
    let image = status(stage.image).await.unwrap();
    assert!(image.id.starts_with("sha256:") && image.size > 0, "{image:?}");
    assert_eq!(status(&image.id).await.unwrap(), image);
    assert_eq!(status(image.id.trim_start_matches("sha256:")).await.unwrap(), image);
    assert_eq!(status(&image.repo_tags[0]).await.unwrap(), image);
    assert_eq!(status("localhost/absent:1").await, None);
    let listed = stage.cri.list_images(v1::ListImagesRequest::default()).await.unwrap().images;
    assert!(listed.contains(&image), "{listed:?}");
    let pod = stage.pod(0);
    let sandbox = stage.run(&pod).await.unwrap();
    let id = stage.created(&sandbox, &pod, RUNS, 0).await;
    let made = stage.status(&id).await.unwrap();
    assert_eq!(made.image.unwrap().image, image.repo_tags[0]);
    let expected = image.repo_digests.first().unwrap_or(&image.id);
    assert_eq!(&made.image_ref, expected);
    let fs = stage.cri.image_fs_info(v1::ImageFsInfoRequest {}).await.unwrap().image_filesystems;
    assert!(fs[0].timestamp > 0 && fs[0].fs_id.as_ref().is_some_and(|id| id.mountpoint.starts_with('/')), "{fs:?}");
    stage.remove(&sandbox).await.unwrap();
}
