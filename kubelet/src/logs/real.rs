//! What only a real runtime can show: that following keeps up with what containerd writes while logs are rotated, and what
//! its answers to commands mean to probes. Skipped where there is no containerd, and without root.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use client::clock::Clock;
use futures::StreamExt;
use oci::{Image, Layer};

use super::*;
use crate::cri::{Cri, v1};
use crate::images::{archive, pause};
use crate::paths::Paths;
use crate::runtime::{Found, Private, PrivateOptions, Requirements, ResetOptions, reset};

/// How long things may take on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(120);
const IMAGE: &str = "gantry.local/busybox:1";

/// A node of one test alone: directories, a containerd, a cgroup, and a pod's sandbox.
struct Node {
    directory: tempfile::TempDir,
    found: Found,
    paths: Paths,
    cgroup: String,
    private: Option<Private>,
    cri: Cri,
    sandbox: v1::PodSandboxConfig,
    sandbox_id: String,
}

impl Node {
    /// A node, or none where there can be none.
    #[allow(clippy::print_stdout, reason = "whoever runs the tests should know what they did not do")]
    async fn start() -> Option<Node> {
        static NODES: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() || !Path::new("/bin/busybox").exists() {
            println!("skipped: root and busybox-static are needed");
            return None;
        }
        let found = Requirements::find().inspect_err(|missing| println!("skipped: {missing}")).ok()?;
        let directory = tempfile::tempdir().unwrap();
        let cgroup = format!("/gantry-logs-{}-{}", std::process::id(), NODES.fetch_add(1, Ordering::Relaxed));
        let private = Private::start(PrivateOptions::new(directory.path(), found.clone(), pause::NAME)).await.unwrap();
        let at = |name: &str| directory.path().join(name);
        let paths = Paths { root: at("kubelet"), pod_logs: at("logs/pods"), container_logs: at("logs/containers") };
        let cri = Cri::at(&private.endpoint()).unwrap();
        let sandbox = sandbox(&paths, &cgroup);
        let private = Some(private);
        let mut node = Node { directory, found, paths, cgroup, private, cri, sandbox, sandbox_id: String::new() };
        node.prepare().await;
        Some(node)
    }

    async fn prepare(&mut self) {
        let endpoint = self.private.as_ref().unwrap().endpoint();
        archive::load_bytes(&endpoint, pause::archive(pause::NAME)).await.unwrap();
        let mut layer = Layer::default();
        layer.file("bin/busybox", 0o755, &std::fs::read("/bin/busybox").unwrap()).unwrap();
        let image = Image { name: IMAGE.to_owned(), layers: vec![layer.finish().unwrap()], ..Image::default() };
        archive::load_bytes(&endpoint, oci::layout::write(&[image]).unwrap()).await.unwrap();
        let config = Some(self.sandbox.clone());
        let request = v1::RunPodSandboxRequest { config, runtime_handler: String::new() };
        self.sandbox_id = self.cri.run_pod_sandbox(request).await.unwrap().pod_sandbox_id;
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
        LogFile::of(&self.paths, ("n", "p", "u"), name, 0).unwrap()
    }

    /// The files that there are of a container's log, and their sizes.
    fn files(&self, name: &str) -> Vec<(String, u64)> {
        let entries = std::fs::read_dir(self.log(name).path().parent().unwrap()).unwrap().map(Result::unwrap);
        let sized =
            entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.metadata().ok()?.len())));
        sized.collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Its lock has to be free.
        drop(self.private.take());
        let options = ResetOptions {
            data_dir: self.directory.path().to_owned(),
            paths: self.paths.clone(),
            cgroup_root: self.cgroup.clone(),
            found: Some(self.found.clone()),
        };
        let ended = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(reset(options)).map(drop)
        });
        let outcome = ended.join();
        for hierarchy in std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            remove_cgroups(&hierarchy.path().join(self.cgroup.trim_start_matches('/')));
        }
        if !std::thread::panicking() {
            outcome.unwrap().unwrap();
        }
    }
}

/// Removes cgroups in which nothing is left.
fn remove_cgroups(cgroup: &Path) {
    let entries = std::fs::read_dir(cgroup).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.for_each(|directory| remove_cgroups(&directory.path()));
    let _ = std::fs::remove_dir(cgroup);
}

/// A sandbox with the host's network, which needs no plugins.
fn sandbox(paths: &Paths, cgroup: &str) -> v1::PodSandboxConfig {
    let metadata =
        v1::PodSandboxMetadata { name: "p".to_owned(), uid: "u".to_owned(), namespace: "n".to_owned(), attempt: 0 };
    let namespaces = v1::NamespaceOption { network: v1::NamespaceMode::Node.into(), ..v1::NamespaceOption::default() };
    let security = v1::LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces),
        ..v1::LinuxSandboxSecurityContext::default()
    };
    let linux = v1::LinuxPodSandboxConfig {
        cgroup_parent: format!("{cgroup}/kubepods/podu"),
        security_context: Some(security),
        ..v1::LinuxPodSandboxConfig::default()
    };
    v1::PodSandboxConfig {
        metadata: Some(metadata),
        log_directory: paths.logs_of("n", "p", "u").display().to_string(),
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
}
