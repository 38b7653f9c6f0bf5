//! What a container of a real runtime sees of its volumes. Skipped where there is no containerd, and without root.

use std::path::PathBuf;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::*;
use crate::cri::{Cri, v1};
use crate::images::{archive, pause};

/// How long containerd may take for anything on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(60);
/// The sandbox's image, and the container's.
const IMAGE: &str = "registry.example/pause:3.9";

/// A containerd in the test's own directory. When it goes, so does everything that it has started.
struct Runtime {
    process: Child,
    cri: Cri,
    endpoint: String,
    socket: PathBuf,
    /// Where the containers' resources are held.
    cgroup: String,
}

impl Runtime {
    #[allow(clippy::print_stdout, reason = "whoever runs the tests should know what they did not do")]
    async fn start(directory: &Path) -> Option<Runtime> {
        let at = |name: &str| directory.join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\n[grpc]\naddress = {:?}\n[ttrpc]\naddress = {:?}\n\
             [plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = {IMAGE:?}\ndisable_tcp_service = true\n\
             restrict_oom_score_adj = true\n\
             [plugins.\"io.containerd.grpc.v1.cri\".containerd]\nsnapshotter = \"native\"\n",
            at("root"),
            at("state"),
            at("socket"),
            at("ttrpc"),
        );
        fs::create_dir_all(directory).unwrap();
        fs::write(at("config.toml"), config).unwrap();
        let mut command = Command::new("containerd");
        command.args(["--config", &at("config.toml"), "--log-level", "error"]).kill_on_drop(true);
        let Ok(process) = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
            println!("skipped: containerd is not installed");
            return None;
        };
        let endpoint = format!("unix://{}", at("socket"));
        let cri = Cri::at(&endpoint).unwrap();
        let cgroup = format!("/gantry-test-{}", std::process::id());
        let runtime = Runtime { process, cri, endpoint, socket: directory.join("socket"), cgroup };
        let ready = async {
            while runtime.cri.version(v1::VersionRequest::default()).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, ready).await.expect("containerd should start");
        archive::load_bytes(&runtime.endpoint, pause::archive(IMAGE)).await.unwrap();
        Some(runtime)
    }

    /// Starts a container with these mounts, and returns its root directory as the node sees it.
    async fn run(&self, logs: &Path, mounts: Vec<v1::Mount>) -> PathBuf {
        let options = v1::NamespaceOption { network: v1::NamespaceMode::Node.into(), ..Default::default() };
        let context = v1::LinuxSandboxSecurityContext { namespace_options: Some(options), ..Default::default() };
        let linux = v1::LinuxPodSandboxConfig {
            cgroup_parent: self.cgroup.clone(),
            security_context: Some(context),
            ..Default::default()
        };
        let metadata =
            v1::PodSandboxMetadata { name: "web".into(), uid: "u1".into(), namespace: "a".into(), attempt: 0 };
        let sandbox = v1::PodSandboxConfig {
            metadata: Some(metadata),
            log_directory: logs.display().to_string(),
            linux: Some(linux),
            ..Default::default()
        };
        let request = v1::RunPodSandboxRequest { config: Some(sandbox.clone()), ..Default::default() };
        let id = self.cri.run_pod_sandbox(request).await.unwrap().pod_sandbox_id;
        let config = v1::ContainerConfig {
            metadata: Some(v1::ContainerMetadata { name: "c".into(), attempt: 0 }),
            image: Some(v1::ImageSpec { image: IMAGE.into(), ..Default::default() }),
            mounts,
            log_path: "c.log".into(),
            ..Default::default()
        };
        let request =
            v1::CreateContainerRequest { pod_sandbox_id: id, config: Some(config), sandbox_config: Some(sandbox) };
        let id = self.cri.create_container(request).await.unwrap().container_id;
        self.cri.start_container(v1::StartContainerRequest { container_id: id.clone() }).await.unwrap();
        let request = v1::ContainerStatusRequest { container_id: id, verbose: true };
        let status = self.cri.container_status(request).await.unwrap();
        let info: Value = serde_json::from_str(&status.info["info"]).unwrap();
        PathBuf::from(format!("/proc/{}/root", info["pid"]))
    }

    async fn stop(&self) {
        let sandboxes = self.cri.list_pod_sandbox(v1::ListPodSandboxRequest::default()).await.unwrap();
        for sandbox in sandboxes.items {
            let request = v1::StopPodSandboxRequest { pod_sandbox_id: sandbox.id.clone() };
            self.cri.stop_pod_sandbox(request).await.unwrap();
            let request = v1::RemovePodSandboxRequest { pod_sandbox_id: sandbox.id };
            self.cri.remove_pod_sandbox(request).await.unwrap();
        }
    }

    /// The shims of this containerd and what runs below them.
    fn left(&self) -> Vec<u32> {
        let socket = self.socket.display().to_string();
        let all = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let all: Vec<u32> = all.filter(|id| Some(*id) != self.process.id()).collect();
        let is_shim = |id: &u32| {
            fs::read(format!("/proc/{id}/cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(&socket))
        };
        let parent = |id: u32| {
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
            stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
        };
        let mut left: Vec<u32> = all.iter().copied().filter(is_shim).collect();
        let children = all.iter().filter(|id| parent(**id).is_some_and(|parent: u32| left.contains(&parent)));
        let children: Vec<u32> = children.copied().collect();
        left.extend(children);
        left
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // Shims outlive their containerd by design, so they are found first.
        for id in self.left().into_iter().chain(self.process.id()) {
            if let Some(id) = i32::try_from(id).ok().and_then(Pid::from_raw) {
                let _ = kill_process(id, Signal::KILL);
            }
        }
        for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            let _ = fs::remove_dir(hierarchy.path().join(self.cgroup.trim_start_matches('/')));
        }
    }
}

#[tokio::test]
async fn containers_see_their_volumes() {
    let Some(ground) = Ground::for_mounts() else { return };
    // Dropped before the ground is, whose directory it needs.
    let node = Node::new(ground);
    let Some(runtime) = Runtime::start(&node.ground.path().join("containerd")).await else { return };
    let at = "/api/v1/namespaces/a/configmaps/m";
    node.server.put(at, json!({"data": {"k": "1"}}));
    let volumes = json!([
        {"name": "map", "configMap": {"name": "m"}},
        {"name": "memory", "emptyDir": {"medium": "Memory"}},
        {"name": "disk", "emptyDir": {}},
    ]);
    let pod = with_mounts(
        volumes,
        vec![
            json!({"name": "map", "mountPath": "/config"}),
            json!({"name": "map", "mountPath": "/one/file", "subPath": "k"}),
            json!({"name": "memory", "mountPath": "/memory"}),
            json!({"name": "disk", "mountPath": "/part", "subPath": "deep/part"}),
            json!({"name": "disk", "mountPath": "/passing", "mountPropagation": "HostToContainer"}),
        ],
    );
    node.volumes.mount(&pod).await.unwrap();
    let keeping = tokio::spawn(Arc::clone(&node.volumes).keep_fresh(|_, problem| panic!("{problem}")));
    let container = &pod.spec.as_ref().unwrap().containers[0];
    let mounts = node.volumes.container_mounts(&pod, container, &nothing).await.unwrap();
    let root = runtime.run(&node.ground.path().join("logs"), mounts).await;
    node.says(&root.join("config/k"), "1").await;
    node.says(&root.join("one/file"), "1").await;
    assert!(fs::write(root.join("config/new"), "x").is_err(), "it is read-only");
    fs::write(root.join("part/file"), "x").unwrap();
    fs::write(root.join("memory/file"), "x").unwrap();
    let disk = node.path("kubernetes.io/empty-dir", "disk");
    assert!(disk.join("deep/part/file").exists());
    assert!(node.path("kubernetes.io/empty-dir", "memory").join("file").exists());
    fs::create_dir(disk.join("later")).unwrap();
    mounts::memory(&disk.join("later"), None).unwrap();
    fs::write(disk.join("later/file"), "x").unwrap();
    assert!(root.join("passing/later/file").exists(), "what is mounted later is passed on");
    node.server.put(at, json!({"data": {"k": "2"}}));
    node.says(&root.join("config/k"), "2").await;
    node.says(&root.join("one/file"), "1").await;
    keeping.abort();
    runtime.stop().await;
    node.volumes.remove("u1").await.unwrap();
    assert_eq!(node.volumes.pods_on_disk().await.unwrap(), Vec::<String>::new());
}
