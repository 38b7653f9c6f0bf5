//! What only a real runtime can show: that containerd's streaming server takes what is replayed to it, and what its
//! containers use. Skipped where there is no containerd, and without root.

use std::panic::AssertUnwindSafe;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use client::clock::Clock;
use futures::FutureExt;
use http::{Method, Request, StatusCode};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use oci::{Image, Layer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::super::Limits;
use super::stage::{OnePod, Stage, UID};
use crate::cgroups::{Cgroups, Layout};
use crate::cri::{Cri, v1};
use crate::images::{archive, pause};
use crate::observed::{ContainerState, RuntimeContainer, RuntimePod, Sandbox};
use crate::paths::Paths;
use crate::stats::{Collector, Parts, of_machine};

/// How long containerd may take to start on a machine that has much else to do.
const START: Duration = Duration::from_secs(60);
const BUSYBOX: &str = "/bin/busybox";

struct Containerd {
    process: Child,
    endpoint: String,
    cri: Cri,
}

impl Containerd {
    #[allow(clippy::print_stdout, reason = "whoever runs the tests should know what they did not do")]
    async fn start(directory: &std::path::Path) -> Option<Containerd> {
        if !rustix::process::geteuid().is_root() || !std::path::Path::new(BUSYBOX).exists() {
            println!("skipped: only root can run containerd, and busybox-static must be installed");
            return None;
        }
        let at = |name: &str| directory.join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\n[grpc]\naddress = {:?}\n[ttrpc]\naddress = {:?}\n\
             [plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"registry.example/pause:3.9\"\n\
             restrict_oom_score_adj = true\nstream_server_address = \"127.0.0.1\"\nstream_server_port = \"0\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\".containerd]\nsnapshotter = \"native\"\n",
            at("croot"),
            at("state"),
            at("socket"),
            at("ttrpc"),
        );
        std::fs::write(at("config.toml"), config).unwrap();
        let mut command = Command::new("containerd");
        command.args(["--config", &at("config.toml"), "--log-level", "error"]).kill_on_drop(true);
        let Ok(process) = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
            println!("skipped: containerd is not installed");
            return None;
        };
        let endpoint = format!("unix://{}", at("socket"));
        let cri = Cri::at(&endpoint).unwrap();
        let ready = async {
            while cri.version(v1::VersionRequest::default()).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(START, ready).await.expect("containerd should start");
        Some(Containerd { process, endpoint, cri })
    }

    /// Loads what pods are made of.
    async fn load(&self, directory: &std::path::Path) {
        pause::ensure(&self.cri, &self.endpoint).await.unwrap();
        let mut layer = Layer::default();
        layer.file("busybox", 0o755, &std::fs::read(BUSYBOX).unwrap()).unwrap();
        let image = Image {
            name: "gantry.local/busybox:1".to_owned(),
            layers: vec![layer.finish().unwrap()],
            ..Image::default()
        };
        let path = directory.join("archive.tar");
        std::fs::write(&path, oci::layout::write(&[image]).unwrap()).unwrap();
        archive::load(&self.endpoint, &archive::open(&path).await.unwrap()).await.unwrap();
    }

    /// Removes every pod, and ends.
    async fn stop(mut self) {
        let sandboxes = self.cri.list_pod_sandbox(v1::ListPodSandboxRequest::default()).await.unwrap().items;
        for sandbox in sandboxes {
            let id = sandbox.id;
            self.cri.stop_pod_sandbox(v1::StopPodSandboxRequest { pod_sandbox_id: id.clone() }).await.unwrap();
            self.cri.remove_pod_sandbox(v1::RemovePodSandboxRequest { pod_sandbox_id: id }).await.unwrap();
        }
        let id = self.process.id().and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).unwrap())).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        self.process.wait().await.unwrap();
    }
}

/// Starts a pod that shares the machine's network, since that takes no plugins.
async fn pod(cri: &Cri, paths: &Paths, cgroup_parent: String) -> OnePod {
    let logs = paths.logs_of("default", "web", UID);
    let host = v1::NamespaceOption { network: v1::NamespaceMode::Node.into(), ..Default::default() };
    let security = v1::LinuxSandboxSecurityContext { namespace_options: Some(host.clone()), ..Default::default() };
    let config = v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            name: "web".into(),
            uid: UID.into(),
            namespace: "default".into(),
            attempt: 0,
        }),
        log_directory: logs.display().to_string(),
        linux: Some(v1::LinuxPodSandboxConfig {
            cgroup_parent,
            security_context: Some(security),
            ..Default::default()
        }),
        ..Default::default()
    };
    let request = v1::RunPodSandboxRequest { config: Some(config.clone()), ..Default::default() };
    let sandbox = cri.run_pod_sandbox(request).await.unwrap().pod_sandbox_id;
    let security = v1::LinuxContainerSecurityContext { namespace_options: Some(host), ..Default::default() };
    let script = "echo begun; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; exec /busybox sleep 600";
    let container = v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: "app".into(), attempt: 0 }),
        image: Some(v1::ImageSpec { image: "gantry.local/busybox:1".into(), ..Default::default() }),
        command: ["/busybox", "sh", "-c", script].map(str::to_owned).into(),
        log_path: "app/0.log".to_owned(),
        linux: Some(v1::LinuxContainerConfig { security_context: Some(security), ..Default::default() }),
        ..Default::default()
    };
    let request = v1::CreateContainerRequest {
        pod_sandbox_id: sandbox.clone(),
        config: Some(container),
        sandbox_config: Some(config),
    };
    let id = cri.create_container(request).await.unwrap().container_id;
    cri.start_container(v1::StartContainerRequest { container_id: id.clone() }).await.unwrap();
    seen(sandbox, id, &logs)
}

fn seen(sandbox: String, id: String, logs: &std::path::Path) -> OnePod {
    let pod = json!({
        "metadata": {"name": "web", "namespace": "default", "uid": UID},
        "spec": {"containers": [{"name": "app"}]},
        "status": {"containerStatuses": [
            {"name": "app", "state": {"running": {}}, "containerID": format!("containerd://{id}")},
        ]},
    });
    let container = RuntimeContainer {
        id,
        name: "app".to_owned(),
        sandbox: sandbox.clone(),
        state: ContainerState::Running,
        log_path: logs.join("app/0.log").display().to_string(),
        ..RuntimeContainer::default()
    };
    let sandbox = Sandbox {
        id: sandbox,
        attempt: 0,
        created: Timestamp::now(),
        ready: true,
        addresses: Vec::new(),
        host_network: true,
    };
    OnePod {
        pod: Arc::new(serde_json::from_value(pod).unwrap()),
        runtime: Arc::new(RuntimePod { sandboxes: vec![sandbox], containers: vec![container] }),
        ..OnePod::default()
    }
}

/// What a command writes, by channel, and what it ends with, by way of a WebSocket.
async fn exec(stage: &Stage, command: &str) -> (String, Value) {
    let path = format!(
        "/exec/default/web/app?input=1&output=1&error=1&command=/busybox&command=sh&command=-c&command={command}"
    );
    let request = Request::builder().method(Method::GET).uri(path).header("host", "one");
    let request = request.header("authorization", "Bearer admin").header("connection", "Upgrade");
    let request = request.header("upgrade", "websocket").header("sec-websocket-version", "13");
    let request = request.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let request = request.header("sec-websocket-protocol", "v4.channel.k8s.io").body(Empty::new()).unwrap();
    let answer = stage.wire().await.send(request).await;
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    let mut stream = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    // A masked binary frame (RFC 6455) of the channel for stdin, whose mask of zeros changes nothing.
    stream.write_all(b"\x82\x87\0\0\0\0\0hello\n").await.unwrap();
    let (mut text, mut ended) = (String::new(), Value::Null);
    while ended.is_null() {
        let (kind, length) = (stream.read_u8().await.unwrap() & 0x0f, stream.read_u8().await.unwrap());
        let length = if length == 126 { usize::from(stream.read_u16().await.unwrap()) } else { usize::from(length) };
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await.unwrap();
        match (kind, payload.first()) {
            (1 | 2, Some(1 | 2)) => text.push_str(std::str::from_utf8(&payload[1..]).unwrap()),
            (1 | 2, Some(3)) => ended = serde_json::from_slice(&payload[1..]).unwrap(),
            (8, _) => break,
            _ => {}
        }
    }
    (text, ended)
}

/// What other protocols are answered with: SPDY is taken, also in the forms of `kubectl`, and what this containerd does not
/// know is refused at once, so that clients try another.
async fn protocols(stage: &Stage) {
    let exec = "/exec/default/web/app?output=1&command=/busybox&command=true";
    let attach = "/attach/default/web/app?output=1";
    let cases = [
        (exec, "SPDY/3.1", "x-stream-protocol-version", "v4.channel.k8s.io", true),
        (attach, "SPDY/3.1", "x-stream-protocol-version", "v4.channel.k8s.io", true),
        ("/portForward/default/web", "SPDY/3.1", "x-stream-protocol-version", "portforward.k8s.io", true),
        ("/portForward/default/web?port=80", "websocket", "sec-websocket-protocol", "v4.channel.k8s.io", true),
        (exec, "websocket", "sec-websocket-protocol", "v5.channel.k8s.io", false),
        (exec, "SPDY/3.1", "x-stream-protocol-version", "v9.channel.k8s.io", false),
    ];
    for (path, upgrade, header, protocol, taken) in cases {
        let method = if upgrade == "websocket" { Method::GET } else { Method::POST };
        let request = Request::builder().method(method).uri(path).header("host", "one");
        let request = request.header("authorization", "Bearer admin").header("connection", "Upgrade");
        let request = request.header("upgrade", upgrade).header("sec-websocket-version", "13");
        let request = request.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==").header(header, protocol);
        let answer = stage.wire().await.send(request.body(Empty::new()).unwrap()).await;
        let status = answer.status();
        assert_eq!(status == StatusCode::SWITCHING_PROTOCOLS, taken, "{path} {protocol}: {status}");
        assert!(taken || status == StatusCode::FORBIDDEN, "{path} {protocol}: {status}");
    }
}

async fn play(containerd: &Containerd, cgroups: Cgroups) {
    let directory = tempfile::tempdir().unwrap();
    containerd.load(directory.path()).await;
    let paths = Paths { pod_logs: directory.path().join("pods"), ..Paths::new(directory.path().join("root")) };
    let parent: k8s_openapi::api::core::v1::Pod = serde_json::from_value(json!({"metadata": {"uid": UID}})).unwrap();
    cgroups.make(&parent).unwrap();
    let view = Arc::new(pod(&containerd.cri, &paths, cgroups.pod_parent(&parent)).await);
    let figures = Collector::new(Parts {
        node: "one".to_owned(),
        cri: containerd.cri.clone(),
        cgroups: Some(of_machine(Arc::new(cgroups), Clock::Machine)),
        volumes: Arc::new(|_| Vec::new()),
        paths: paths.clone(),
        view: Arc::<OnePod>::clone(&view),
        clock: Clock::Machine,
        root: "/".into(),
    });
    // By this a pod's network is found.
    let sandbox = view.runtime.sandboxes[0].id.clone();
    let request = v1::PodSandboxStatusRequest { pod_sandbox_id: sandbox, verbose: true };
    let status = containerd.cri.pod_sandbox_status(request).await.unwrap();
    let info: Value = serde_json::from_str(&status.info["info"]).unwrap();
    assert!(std::fs::metadata(format!("/proc/{}/net/dev", info["pid"])).is_ok(), "{}", info["pid"]);
    let stage = Stage::over(directory, paths, containerd.cri.clone(), view, figures, Limits::default()).await;
    let (text, ended) = exec(&stage, "read%20a%3B%20echo%20got%20%24a").await;
    assert_eq!((&*text, &ended["status"]), ("got hello\n", &"Success".into()), "{ended}");
    let (text, ended) = exec(&stage, "echo%20oh%20%3E%262%3B%20exit%203").await;
    assert_eq!((&*text, &ended["status"], &ended["reason"]), ("oh\n", &"Failure".into(), &"NonZeroExitCode".into()));

    protocols(&stage).await;
    let mut wire = stage.wire().await;
    let (code, log) = wire.ask(Method::GET, "/containerLogs/default/web/app", "admin").await;
    assert_eq!((code, &*log), (StatusCode::OK, "begun\n"));
    let (_, summary) = wire.ask(Method::GET, "/stats/summary", "admin").await;
    let summary: Value = serde_json::from_str(&summary).unwrap();
    let container = &summary["pods"][0]["containers"][0];
    assert!(container["cpu"]["usageCoreNanoSeconds"].as_u64().unwrap() > 0, "{container}");
    assert!(container["memory"]["workingSetBytes"].as_u64().unwrap() > 0, "{container}");
    assert!(summary["pods"][0]["process_stats"]["process_count"].as_u64().unwrap() >= 2, "{}", summary["pods"][0]);
    assert!(container["logs"]["usedBytes"].as_u64().unwrap() > 0, "{container}");
    assert!(summary["node"]["memory"]["workingSetBytes"].as_u64().unwrap() > 1 << 20, "{}", summary["node"]);
    assert!(summary["node"]["runtime"]["imageFs"]["capacityBytes"].as_u64().unwrap() > 1 << 20, "{}", summary["node"]);
    stage.stop().await;
}

/// Removes what is left of a test's cgroups in every hierarchy: directories that nothing is in.
fn forget(root: &str) {
    let top = std::path::Path::new("/sys/fs/cgroup");
    let hierarchies = std::fs::read_dir(top).unwrap().flatten().map(|entry| entry.path());
    for hierarchy in hierarchies.chain([top.to_owned()]) {
        let own = hierarchy.join(root.trim_start_matches('/'));
        for below in ["kubepods/burstable", "kubepods/besteffort", "kubepods", ""] {
            let _ = std::fs::remove_dir(own.join(below));
        }
    }
}

#[tokio::test]
async fn containerd_takes_what_is_replayed() {
    let directory = tempfile::tempdir().unwrap();
    let Some(containerd) = Containerd::start(directory.path()).await else { return };
    // Below a cgroup of its own, so that no other pods' are touched.
    let root = format!("/gantry-test-server-{}", std::process::id());
    let cgroups = || {
        let options = crate::cgroups::Options { layout: Layout::new(Default::default(), &root), ..Default::default() };
        Cgroups::open(options).unwrap()
    };
    let played = AssertUnwindSafe(play(&containerd, cgroups())).catch_unwind().await;
    containerd.stop().await;
    cgroups().remove(UID).await.unwrap();
    forget(&root);
    if let Err(panic) = played {
        std::panic::resume_unwind(panic);
    }
}
