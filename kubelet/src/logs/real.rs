//! What only a real runtime can show: that following keeps up with what containerd writes while logs are rotated, and what
//! its answers to commands mean to probes. Skipped where there is no containerd, and without root.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use client::clock::Clock;
use futures::StreamExt;
use oci::{Image, Layer};
use tokio::process::{Child, Command};

use super::*;
use crate::cri::{Cri, v1};
use crate::images::{archive, pause};
use crate::paths::Paths;

/// How long things may take on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(120);
const IMAGE: &str = "gantry.local/busybox:1";

struct Node {
    process: Child,
    directory: tempfile::TempDir,
    cri: Cri,
    sandbox: v1::PodSandboxConfig,
    sandbox_id: String,
}

impl Node {
    /// A containerd with a sandbox, or none where there can be none.
    #[allow(clippy::print_stdout, reason = "whoever runs the tests should know what they did not do")]
    async fn start() -> Option<Node> {
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new).into_iter().find(|path| path.exists());
        let Some(busybox) = busybox.filter(|_| rustix::process::geteuid().is_root()) else {
            println!("skipped: only root can run containers, and busybox-static is what runs in them");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\n[grpc]\naddress = {:?}\n[ttrpc]\naddress = {:?}\n\
             [plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"registry.example/pause:3.9\"\n\
             disable_tcp_service = true\n\
             restrict_oom_score_adj = true\n[plugins.\"io.containerd.grpc.v1.cri\".containerd]\nsnapshotter = \"native\"\n",
            at("root"),
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
        tokio::time::timeout(PATIENCE, ready).await.expect("containerd should start");
        pause::ensure(&cri, &endpoint).await.unwrap();
        let mut layer = Layer::default();
        layer.file("bin/busybox", 0o755, &std::fs::read(busybox).unwrap()).unwrap();
        let image = Image { name: IMAGE.to_owned(), layers: vec![layer.finish().unwrap()], ..Image::default() };
        std::fs::write(at("image.tar"), oci::layout::write(&[image]).unwrap()).unwrap();
        archive::load(&endpoint, &archive::open(Path::new(&at("image.tar"))).await.unwrap()).await.unwrap();
        let sandbox = sandbox(directory.path());
        let request = v1::RunPodSandboxRequest { config: Some(sandbox.clone()), runtime_handler: String::new() };
        let sandbox_id = cri.run_pod_sandbox(request).await.unwrap().pod_sandbox_id;
        Some(Node { process, directory, cri, sandbox, sandbox_id })
    }

    /// Starts a container that runs a script, and says its ID.
    async fn run(&self, name: &str, script: &str) -> String {
        let words = ["/bin/busybox", "sh", "-c", script].map(str::to_owned).to_vec();
        let config = v1::ContainerConfig {
            metadata: Some(v1::ContainerMetadata { name: name.to_owned(), attempt: 0 }),
            image: Some(v1::ImageSpec { image: IMAGE.to_owned(), ..v1::ImageSpec::default() }),
            command: words,
            log_path: format!("{name}/0.log"),
            ..v1::ContainerConfig::default()
        };
        let request = v1::CreateContainerRequest {
            pod_sandbox_id: self.sandbox_id.clone(),
            config: Some(config),
            sandbox_config: Some(self.sandbox.clone()),
        };
        std::fs::create_dir_all(self.log(name).path().parent().unwrap()).unwrap();
        let id = self.cri.create_container(request).await.unwrap().container_id;
        self.cri.start_container(v1::StartContainerRequest { container_id: id.clone() }).await.unwrap();
        id
    }

    fn log(&self, name: &str) -> LogFile {
        let paths = Paths { pod_logs: logs(self.directory.path()), ..Paths::new(self.directory.path()) };
        LogFile::of(&paths, ("n", "p", "u"), name, 0).unwrap()
    }

    /// The files that there are of a container's log, and their sizes.
    fn files(&self, name: &str) -> Vec<(String, u64)> {
        let entries = std::fs::read_dir(self.log(name).path().parent().unwrap()).unwrap().map(Result::unwrap);
        let sized =
            entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.metadata().ok()?.len())));
        sized.collect()
    }

    async fn stop(mut self) {
        let id = self.sandbox_id.clone();
        self.cri.stop_pod_sandbox(v1::StopPodSandboxRequest { pod_sandbox_id: id.clone() }).await.unwrap();
        self.cri.remove_pod_sandbox(v1::RemovePodSandboxRequest { pod_sandbox_id: id }).await.unwrap();
        let id = self.process.id().and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).unwrap())).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        self.process.wait().await.unwrap();
    }
}

fn logs(directory: &Path) -> PathBuf {
    directory.join("pods")
}

/// A sandbox with the host's network, which needs no plugins.
fn sandbox(directory: &Path) -> v1::PodSandboxConfig {
    let metadata =
        v1::PodSandboxMetadata { name: "p".to_owned(), uid: "u".to_owned(), namespace: "n".to_owned(), attempt: 0 };
    let namespaces = v1::NamespaceOption { network: v1::NamespaceMode::Node.into(), ..v1::NamespaceOption::default() };
    let security = v1::LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces),
        ..v1::LinuxSandboxSecurityContext::default()
    };
    let linux = v1::LinuxPodSandboxConfig {
        cgroup_parent: "/gantry-test-logs".to_owned(),
        security_context: Some(security),
        ..v1::LinuxPodSandboxConfig::default()
    };
    v1::PodSandboxConfig {
        metadata: Some(metadata),
        log_directory: logs(directory).join("n_p_u").display().to_string(),
        linux: Some(linux),
        ..v1::PodSandboxConfig::default()
    }
}

#[tokio::test]
async fn a_container_that_writes_fast_is_followed_through_rotations() {
    let Some(node) = Node::start().await else { return };
    // Some of it without an end for long, which the runtime writes down in parts.
    let script = "for part in 0 1 2; do /bin/busybox seq $((part * 50000 + 1)) $((part * 50000 + 50000)); \
         /bin/busybox sleep 1; done; /bin/busybox head -c 100000 /dev/zero | /bin/busybox tr '\\0' x; echo; echo end >&2";
    let id = node.run("fast", script).await;
    let written = Written { container_id: id.clone(), log: node.log("fast") };
    let policy = Policy { max_size: 1 << 20, max_files: 50, ..Policy::default() };
    let rotation = Rotation::new(node.cri.clone(), Clock::Machine, policy, Arc::new(move || vec![written.clone()]));
    let rotation = tokio::spawn(rotation.run());
    let options = Options { follow: true, stream: Selected::Stdout, ..Options::default() };
    let read = async {
        let mut stream = read(&node.cri, &id, &node.log("fast"), &options).await.unwrap();
        let mut text = Vec::new();
        while let Some(piece) = stream.next().await {
            text.extend_from_slice(&piece.unwrap());
        }
        String::from_utf8(text).unwrap()
    };
    let text = tokio::time::timeout(PATIENCE, read).await.expect("following should end with the container");
    rotation.abort();
    let mut lines = text.lines();
    let first_wrong = (1..=150_000_u32).find(|number| lines.next() != Some(number.to_string().as_str()));
    assert_eq!(first_wrong, None);
    assert_eq!(lines.map(str::len).collect::<Vec<_>>(), [100_000]);
    assert!(node.files("fast").len() > 1, "it was rotated: {:?}", node.files("fast"));
    node.stop().await;
}

#[tokio::test]
async fn a_container_that_writes_without_end_fills_no_disk() {
    let Some(node) = Node::start().await else { return };
    let id = node.run("flood", "/bin/busybox yes 0123456789012345678901234567890123456789").await;
    let written = Written { container_id: id, log: node.log("flood") };
    let policy = Policy { max_size: 1 << 20, max_files: 3, ..Policy::default() };
    let rotation = Rotation::new(node.cri.clone(), Clock::Machine, policy, Arc::new(move || vec![written.clone()]));
    let rotation = tokio::spawn(rotation.run());
    // As long as it takes to write many times what is kept.
    let (mut seen, mut most) = (std::collections::BTreeSet::new(), 0);
    let flood = async {
        while seen.len() < 20 {
            tokio::task::yield_now().await;
            let files = node.files("flood");
            most = most.max(files.iter().map(|(_, size)| size).sum());
            seen.extend(
                files.into_iter().map(|(name, _)| name).filter(|name| !name.contains(".tmp") && !name.ends_with(".gz")),
            );
        }
    };
    tokio::time::timeout(PATIENCE, flood).await.expect("it should be rotated again and again");
    rotation.abort();
    assert!(most < 512 << 20, "{most} bytes");
    node.stop().await;
}

#[tokio::test]
async fn commands_answer_as_probes_and_hooks_expect() {
    let Some(node) = Node::start().await else { return };
    let id = node.run("commands", "/bin/busybox sleep 1000").await;
    let run = |words: &str, limit: u64| {
        let words = words.split(' ').map(str::to_owned).collect();
        let (cri, id) = (node.cri.clone(), id.clone());
        async move { cri.exec_sync(&id, words, Some(Duration::from_secs(limit))).await }
    };
    let good = run("/bin/busybox echo fine", 60).await.unwrap();
    assert_eq!((good.exit_code, good.stdout.as_slice()), (0, &b"fine\n"[..]));
    let bad = run("/bin/busybox ls /nonexistent", 60).await.unwrap();
    assert!(bad.exit_code == 1 && !bad.stderr.is_empty());
    let late = run("/bin/busybox sleep 1000", 1).await.unwrap_err();
    assert_eq!(late.code(), tonic::Code::DeadlineExceeded, "{late}");
    let absent = run("/nonexistent", 60).await.unwrap_err();
    assert!(absent.message().contains("no such file or directory"), "{absent}");
    node.cri.stop_container(&id, Duration::ZERO).await.unwrap();
    let ended = run("/bin/busybox true", 60).await.unwrap_err();
    assert_ne!(ended.code(), tonic::Code::DeadlineExceeded, "{ended}");
    node.stop().await;
}
