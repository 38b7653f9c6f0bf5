//! What a runtime in memory can do beyond what a runtime does: follow scripts, fail, and be looked into.

use super::super::*;

/// A sandbox's config, for the pod `default/name`.
fn pod(name: &str) -> v1::PodSandboxConfig {
    let metadata = v1::PodSandboxMetadata {
        name: name.into(),
        uid: format!("uid-{name}"),
        namespace: "default".into(),
        attempt: 0,
    };
    v1::PodSandboxConfig { metadata: Some(metadata), ..v1::PodSandboxConfig::default() }
}

/// A container's config.
fn container(name: &str, attempt: u32) -> v1::ContainerConfig {
    v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: name.into(), attempt }),
        image: Some(v1::ImageSpec { image: "web".into(), ..v1::ImageSpec::default() }),
        ..v1::ContainerConfig::default()
    }
}

/// A runtime on tokio's clock, with the image `web`.
fn fake(options: Options) -> Arc<Fake> {
    let clock = Clock::simulated(jiff::Timestamp::from_second(1_772_366_400).unwrap());
    Fake::new(Options { clock, images: vec![Offer::named("web")], ..options })
}

/// Makes a sandbox, and gives its ID.
async fn sandbox(cri: &Cri, name: &str) -> Result<String, Status> {
    let request = v1::RunPodSandboxRequest { config: Some(pod(name)), runtime_handler: String::new() };
    cri.run_pod_sandbox(request).await.map(|answer| answer.pod_sandbox_id)
}

/// Makes a container of `default/pod` and starts it, and gives its ID.
async fn started(cri: &Cri, sandbox: &str, config: v1::ContainerConfig) -> Result<String, Status> {
    let request = v1::CreateContainerRequest {
        pod_sandbox_id: sandbox.into(),
        config: Some(config),
        sandbox_config: Some(pod("pod")),
    };
    let container_id = cri.create_container(request).await?.container_id;
    cri.start_container(v1::StartContainerRequest { container_id: container_id.clone() }).await?;
    Ok(container_id)
}

/// How a container is.
async fn status(cri: &Cri, id: &str) -> v1::ContainerStatus {
    let request = v1::ContainerStatusRequest { container_id: id.into(), verbose: false };
    cri.container_status(request).await.unwrap().status.unwrap()
}

#[tokio::test(start_paused = true)]
async fn containers_follow_their_scripts_attempt_by_attempt() {
    let fake = fake(Options::default());
    let cri = fake.cri();
    let second = Duration::from_secs(1);
    fake.script(
        Which::Container("job".into()),
        Script::running([Run::fails("no such file"), Run::runs_out_of_memory(second), Run::ends(second * 2, 3)]),
    );
    let sandbox = sandbox(&cri, "pod").await.unwrap();
    let refused = started(&cri, &sandbox, container("job", 0)).await.unwrap_err();
    assert_eq!(refused.message(), "failed to create containerd task: no such file");
    for (attempt, after, exit_code, reason) in [(1, 1, 137, "OOMKilled"), (2, 2, 3, "Error"), (9, 2, 3, "Error")] {
        let id = started(&cri, &sandbox, container("job", attempt)).await.unwrap();
        let before = status(&cri, &id).await;
        assert_eq!(before.state(), v1::ContainerState::ContainerRunning);
        // Nobody looks when it ends; it has ended all the same, and then.
        tokio::time::advance(Duration::from_secs(60)).await;
        let ended = status(&cri, &id).await;
        assert_eq!((ended.state(), ended.exit_code), (v1::ContainerState::ContainerExited, exit_code));
        assert_eq!(ended.reason, reason);
        assert_eq!(ended.finished_at - ended.started_at, after * 1_000_000_000);
    }
}

#[tokio::test(start_paused = true)]
async fn the_script_written_last_counts() {
    let fake = fake(Options::default());
    let cri = fake.cri();
    let ends = |exit_code| Script::ends(Duration::from_secs(1), exit_code);
    fake.script(Which::Every, ends(1));
    fake.script(Which::Image("web".into()), ends(2));
    fake.script(Which::Container("a".into()), ends(3));
    fake.script(Which::Of("default".into(), "two".into(), "a".into()), ends(4));
    let one = sandbox(&cri, "one").await.unwrap();
    let two = sandbox(&cri, "two").await.unwrap();
    let mut codes = Vec::new();
    for (sandbox, name) in [(&one, "a"), (&one, "b"), (&two, "a")] {
        let id = started(&cri, sandbox, container(name, 0)).await.unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        codes.push(status(&cri, &id).await.exit_code);
    }
    assert_eq!(codes, [3, 2, 4]);
}

#[tokio::test(start_paused = true)]
async fn stopping_honours_the_grace() {
    let fake = fake(Options::default());
    let cri = fake.cri();
    fake.script(Which::Container("stubborn".into()), Script::stubborn());
    let slow = Script { told: Told::Ends(Duration::from_secs(5), 143), ..Script::default() };
    fake.script(Which::Container("slow".into()), slow);
    let sandbox = sandbox(&cri, "pod").await.unwrap();
    for (name, attempt, grace, took, exit_code) in [
        ("quick", 0, 30, 0, 0),
        ("stubborn", 0, 30, 30, 137),
        ("slow", 0, 30, 5, 143),
        ("slow", 1, 2, 2, 137),
        ("slow", 2, 0, 0, 137),
    ] {
        let id = started(&cri, &sandbox, container(name, attempt)).await.unwrap();
        let began = Instant::now();
        cri.stop_container(&id, Duration::from_secs(grace)).await.unwrap();
        assert_eq!(began.elapsed(), Duration::from_secs(took), "{name} with {grace}");
        assert_eq!(status(&cri, &id).await.exit_code, exit_code, "{name} with {grace}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_stops_a_container_sees_it_end_otherwise() {
    let fake = fake(Options::default());
    let cri = fake.cri();
    fake.script(Which::Every, Script::stubborn());
    let sandbox = sandbox(&cri, "pod").await.unwrap();
    let id = started(&cri, &sandbox, container("a", 0)).await.unwrap();
    let began = Instant::now();
    let ends = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(fake.end("default/pod/a", &End { exit_code: 7, out_of_memory: false }), 1);
    };
    let (stopped, ()) = tokio::join!(cri.stop_container(&id, Duration::from_secs(30)), ends);
    stopped.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(3));
    assert_eq!(status(&cri, &id).await.exit_code, 7);
}

#[tokio::test(start_paused = true)]
async fn calls_go_wrong_as_planned() {
    let fake = fake(Options::default());
    let cri = fake.cri();
    fake.fail(Call::RunPodSandbox, 1, Fault::Fails(Status::unknown("no room")));
    assert_eq!(sandbox(&cri, "pod").await.unwrap_err().message(), "no room");
    fake.fail(Call::RunPodSandbox, 1, Fault::Lost(Status::unavailable("broken pipe")));
    assert_eq!(sandbox(&cri, "pod").await.unwrap_err().message(), "broken pipe");
    // It was made all the same.
    assert!(sandbox(&cri, "pod").await.unwrap_err().message().contains("is reserved for"));
    fake.fail_about(Call::RunPodSandbox, "default/slow", 1, Fault::Waits(Duration::from_secs(9)));
    let began = Instant::now();
    sandbox(&cri, "other").await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
    sandbox(&cri, "slow").await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(9));
    fake.fail(Call::Version, 1, Fault::Hangs);
    let hung = cri.version(v1::VersionRequest::default()).await.unwrap_err();
    assert_eq!(hung.code(), tonic::Code::DeadlineExceeded);
    fake.take_away();
    assert_eq!(sandbox(&cri, "later").await.unwrap_err().code(), tonic::Code::Unavailable);
    fake.heal();
    sandbox(&cri, "later").await.unwrap();
    let subjects = fake.subjects(Call::RunPodSandbox);
    let expected = ["pod", "pod", "pod", "other", "slow", "later", "later"];
    assert_eq!(subjects, expected.map(|name| format!("default/{name}")));
}

#[tokio::test(start_paused = true)]
async fn the_record_is_bounded() {
    let fake = fake(Options { recorded: 2, ..Options::default() });
    let cri = fake.cri();
    for name in ["a", "b", "c"] {
        sandbox(&cri, name).await.unwrap();
    }
    assert_eq!(fake.subjects(Call::RunPodSandbox), ["default/b", "default/c"]);
    fake.forget_asked();
    assert_eq!(fake.asked(), []);
}

#[tokio::test(start_paused = true)]
async fn the_network_waits_for_its_range() {
    let fake = fake(Options { ranges: Vec::new(), ..Options::default() });
    let cri = fake.cri();
    let ready = async || {
        let status = cri.status(v1::StatusRequest::default()).await.unwrap().status.unwrap();
        status.conditions.into_iter().map(|condition| condition.status).collect::<Vec<_>>()
    };
    assert_eq!(ready().await, [true, false]);
    assert!(sandbox(&cri, "a").await.unwrap_err().message().ends_with("cni plugin not initialized"));
    let network_config = Some(v1::NetworkConfig { pod_cidr: "10.1.2.0/24,fd00::/64".into() });
    let runtime_config = Some(v1::RuntimeConfig { network_config });
    cri.update_runtime_config(v1::UpdateRuntimeConfigRequest { runtime_config }).await.unwrap();
    assert_eq!(ready().await, [true, true]);
    let id = sandbox(&cri, "a").await.unwrap();
    let request = v1::PodSandboxStatusRequest { pod_sandbox_id: id, verbose: false };
    let network = cri.pod_sandbox_status(request).await.unwrap().status.unwrap().network.unwrap();
    assert_eq!((network.ip.as_str(), network.additional_ips[0].ip.as_str()), ("10.1.2.2", "fd00::2"));
}

#[tokio::test(start_paused = true)]
async fn logs_and_termination_messages_are_written() {
    let directory = tempfile::tempdir().unwrap();
    let fake = fake(Options { writes_files: true, ..Options::default() });
    let cri = fake.cri();
    let run = Run { says: vec!["hello".into()], termination_message: Some("bye".into()), ..Run::default() };
    fake.script(Which::Every, Script::running([run]));
    let log_directory = directory.path().join("logs").to_string_lossy().into_owned();
    let config = Some(v1::PodSandboxConfig { log_directory, ..pod("pod") });
    let request = v1::RunPodSandboxRequest { config, runtime_handler: String::new() };
    let sandbox = cri.run_pod_sandbox(request).await.unwrap().pod_sandbox_id;
    let message = directory.path().join("message");
    let mount = v1::Mount {
        container_path: "/dev/termination-log".into(),
        host_path: message.to_string_lossy().into_owned(),
        ..v1::Mount::default()
    };
    let config = v1::ContainerConfig { log_path: "a/0.log".into(), mounts: vec![mount], ..container("a", 0) };
    let id = started(&cri, &sandbox, config).await.unwrap();
    let log = std::fs::read_to_string(status(&cri, &id).await.log_path).unwrap();
    assert_eq!(log, "2026-03-01T12:00:00.000000000Z stdout F hello\n");
    assert_eq!(std::fs::read_to_string(message).unwrap(), "bye");
}

#[tokio::test(start_paused = true)]
async fn figures_follow_scripts() {
    let fake = fake(Options::default());
    let cri = fake.cri();
    let uses = Uses { cpu: 250_000_000, memory: 64 << 20, disk: 4096 };
    fake.script(Which::Every, Script { uses, ..Script::default() });
    let sandbox = sandbox(&cri, "pod").await.unwrap();
    for name in ["a", "b"] {
        started(&cri, &sandbox, container(name, 0)).await.unwrap();
    }
    tokio::time::advance(Duration::from_millis(4001)).await;
    let stats = cri.list_pod_sandbox_stats(v1::ListPodSandboxStatsRequest::default()).await.unwrap().stats;
    let linux = stats[0].linux.as_ref().unwrap();
    assert_eq!(linux.cpu.unwrap().usage_core_nano_seconds.unwrap().value / 1_000_000, 2_000);
    assert_eq!(linux.memory.unwrap().working_set_bytes.unwrap().value, 128 << 20);
    assert_eq!(linux.containers.len(), 2);
}

/// A node's worth of pods takes little: what is kept of each is not much more than its own labels and annotations.
#[tokio::test(start_paused = true)]
async fn what_is_kept_of_a_pod_is_small() {
    let fake = fake(Options { recorded: 0, ..Options::default() });
    let cri = fake.cri();
    let id = sandbox(&cri, "pod").await.unwrap();
    started(&cri, &id, container("a", 0)).await.unwrap();
    let state = fake.state.lock();
    let sandbox = state.sandboxes.values().next().unwrap();
    let container = state.containers.values().next().unwrap();
    let bytes = sandbox.fixed.bytes() + container.fixed.bytes() + size_of_val(sandbox) + size_of_val(container);
    assert!(bytes < 1024, "{bytes} bytes");
}
