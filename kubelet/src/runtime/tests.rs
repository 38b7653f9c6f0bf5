//! What only a real containerd shows. Skipped without root or without the programs; whatever happens, nothing is left
//! behind.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use oci::{Image, Layer};
use rustix::process::{Pid, Signal, kill_process};

use super::*;
use crate::cri::fake::tests::suite::{self, RUNS, Stage};
use crate::cri::{Cri, v1};
use crate::images::{archive, pause};
use crate::paths::Paths;

/// The image that containers of these tests are made from.
const IMAGE: &str = "gantry.local/busybox:suite";

/// A node's directories, cgroup and network, of one test alone.
struct Machine {
    directory: tempfile::TempDir,
    data: PathBuf,
    found: Found,
    number: u32,
}

/// Gives this test's thread, and all that is started from it, a network of its own: pods' links and rules of the packet filter
/// go with it.
pub(crate) fn own_network() {
    // SAFETY: no file descriptors or memory are set apart, only the network that is used from now on.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }.unwrap();
    let up = std::process::Command::new("ip").args(["link", "set", "lo", "up"]).status();
    assert!(up.is_ok_and(|status| status.success()), "ip of iproute2 is there");
}

impl Machine {
    #[allow(clippy::print_stdout, reason = "whoever runs the tests should know what they did not do")]
    fn new() -> Option<Machine> {
        static MACHINES: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root can run containers");
            return None;
        }
        if !Path::new("/bin/busybox").exists() {
            println!("skipped: busybox-static is not installed");
            return None;
        }
        let found = Requirements::find().inspect_err(|missing| println!("skipped: {missing}")).ok()?;
        let number = MACHINES.fetch_add(1, Ordering::Relaxed);
        own_network();
        let directory = tempfile::tempdir().unwrap();
        Some(Machine { data: directory.path().to_owned(), directory, found, number })
    }

    /// With a data directory whose path is too long for sockets.
    fn with_long_path(mut self) -> Machine {
        self.data.push("long".repeat(25));
        self
    }

    /// What is this test's alone on the whole machine.
    fn name(&self) -> String {
        format!("gt{}x{}", std::process::id(), self.number)
    }

    fn layout(&self) -> Layout {
        Layout::of(&self.data)
    }

    fn options(&self) -> PrivateOptions {
        PrivateOptions::new(&self.data, self.found.clone(), pause::NAME)
    }

    fn cgroup_root(&self) -> String {
        format!("/{}", self.name())
    }

    fn reset_options(&self) -> ResetOptions {
        let at = |name: &str| self.directory.path().join(name);
        let paths = Paths { root: at("kubelet"), pod_logs: at("logs/pods"), container_logs: at("logs/containers") };
        ResetOptions {
            data_dir: self.data.clone(),
            paths,
            cgroup_root: self.cgroup_root(),
            found: Some(self.found.clone()),
        }
    }

    /// Configures the network and loads the images.
    async fn furnish(&self, private: &Private) -> Stage {
        let network = cni::Network::of(private.layout());
        let process = std::process::id();
        let mut ranges = vec![format!("10.{}.{}.0/24", 200 + process % 50, (process / 50 + self.number) % 256)];
        if has_ipv6() {
            ranges.push(format!("fd00:{:x}:{:x}::/64", process & 0xffff, self.number));
        }
        assert!(cni::write(&private.layout().networks(), &network, &ranges).unwrap());
        let endpoint = private.endpoint();
        archive::load_bytes(&endpoint, pause::archive(pause::NAME)).await.unwrap();
        let mut layer = Layer::default();
        layer.file("bin/busybox", 0o755, &std::fs::read("/bin/busybox").unwrap()).unwrap();
        layer.symbolic_link("bin/sh", "busybox").unwrap();
        layer.symbolic_link("bin/sleep", "busybox").unwrap();
        let layers = vec![layer.finish().unwrap()];
        let image = Image { name: IMAGE.to_owned(), layers, ..Image::default() };
        archive::load_bytes(&endpoint, oci::layout::write(&[image]).unwrap()).await.unwrap();
        let stage = Stage {
            cri: Cri::at(&endpoint).unwrap(),
            image: IMAGE,
            cgroup_parent: Some(format!("{}/kubepods", self.cgroup_root())),
            logs: self.directory.path().join("logs/pods").display().to_string(),
            pods: AtomicU32::new(0),
        };
        let mut look = tokio::time::interval(Duration::from_millis(20));
        loop {
            let status = stage.cri.status(v1::StatusRequest::default()).await.unwrap().status.unwrap();
            if status.conditions.iter().all(|condition| condition.status) {
                return stage;
            }
            look.tick().await;
        }
    }

    /// The cgroups that are there.
    fn cgroups(&self) -> Vec<PathBuf> {
        let all = leftovers::directories(Path::new("/sys/fs/cgroup"));
        all.into_iter().map(|hierarchy| hierarchy.join(self.name())).filter(|cgroup| cgroup.is_dir()).collect()
    }

    fn shims(&self) -> usize {
        processes::with_option("containerd-shim-runc-v2", "-address", &self.layout().socket()).len()
    }

    fn runtimes(&self) -> usize {
        processes::with_option("containerd", "--config", &self.layout().config()).len()
    }

    /// Whether nothing is left of it but files.
    fn is_clean(&self) -> bool {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        self.shims() == 0
            && self.runtimes() == 0
            && !mounts.contains(&self.directory.path().display().to_string())
            && links() == ["lo"]
            && self.cgroups().iter().all(|cgroup| !cgroup.join("kubepods").exists())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let options = self.reset_options();
        let reset = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(reset(options)).map(|_| ())
        });
        let outcome = reset.join();
        for cgroup in self.cgroups() {
            leftovers::remove_cgroup(&cgroup);
        }
        if !std::thread::panicking() {
            outcome.unwrap().unwrap();
        }
    }
}

fn has_ipv6() -> bool {
    std::fs::read_to_string("/proc/sys/net/ipv6/conf/all/disable_ipv6").is_ok_and(|disabled| disabled.trim() == "0")
}

/// The rules of the kernel's firewall, by which pods reach others and are reached.
fn rules() -> String {
    let output = std::process::Command::new("iptables-save").output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The names of the interfaces of this thread's network.
fn links() -> Vec<String> {
    let all = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    all.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim().to_owned()).collect()
}

/// Waits until the runtime answers.
async fn answers(cri: &Cri) {
    let mut look = tokio::time::interval(Duration::from_millis(20));
    while cri.version(v1::VersionRequest::default()).await.is_err() {
        look.tick().await;
    }
}

#[tokio::test]
async fn containers_survive_the_runtime_and_its_agent_and_no_reset() {
    let Some(machine) = Machine::new() else { return };
    let private = Private::start(machine.options()).await.unwrap();
    let second = Private::start(machine.options()).await.unwrap_err();
    assert!(matches!(second, StartError::Locked(_)), "{second}");
    let stage = machine.furnish(&private).await;
    let pod = stage.pod(0);
    let sandbox = stage.run(&pod).await.unwrap();
    let container = stage.started(&sandbox, &pod, RUNS, 0).await;
    let before = stage.status(&container).await.unwrap();

    let mut health = private.health();
    let pid = health.borrow_and_update().pid.unwrap();
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
    health.wait_for(|health| health.starts == 2 && health.pid.is_some()).await.unwrap();
    answers(&stage.cri).await;
    assert_eq!(stage.status(&container).await.unwrap(), before);

    private.abandon();
    assert_eq!(machine.runtimes(), 1);
    let private = Private::start(machine.options()).await.unwrap();
    assert_eq!(machine.runtimes(), 1);
    assert_eq!(stage.status(&container).await.unwrap(), before);
    let echo = ["/bin/busybox", "echo", "still here"].map(str::to_owned).to_vec();
    let answer = stage.cri.exec_sync(&container, echo, None).await.unwrap();
    assert_eq!(answer.stdout, b"still here\n");

    let in_use = reset(machine.reset_options()).await.unwrap_err();
    assert!(matches!(in_use, ResetError::InUse(_)), "{in_use}");
    private.stop().await;
    assert_eq!((machine.runtimes(), machine.shims()), (0, 1));

    let done = reset(machine.reset_options()).await.unwrap();
    assert_eq!(done.failed, Vec::<String>::new(), "{done:?}");
    for expected in ["sandboxes ended: 1", "pods whose cgroups were removed: 1", "pods whose logs were removed: 1"] {
        assert!(done.did.iter().any(|did| did == expected), "{expected}: {done:?}");
    }
    assert!(machine.is_clean(), "{done:?}");
    assert_eq!(reset(machine.reset_options()).await.unwrap(), Done::default());
}

#[tokio::test]
async fn the_real_runtime_is_as_the_one_in_memory_is() {
    let Some(machine) = Machine::new().map(Machine::with_long_path) else { return };
    let private = Private::start(machine.options()).await.unwrap();
    let stage = machine.furnish(&private).await;
    suite::all(&stage).await;
    private.stop().await;
}

#[tokio::test]
async fn a_runtime_that_cannot_start_says_why() {
    let Some(machine) = Machine::new() else { return };
    let options = PrivateOptions { log_level: "nonsense".to_owned(), ..machine.options() };
    let error = Private::start(options).await.unwrap_err();
    assert!(error.to_string().contains("nonsense"), "{error}");
    // The lock is free again.
    Private::start(machine.options()).await.unwrap().stop().await;
}

#[tokio::test]
async fn what_the_runtime_cannot_end_is_ended_by_force() {
    let Some(machine) = Machine::new() else { return };
    let private = Private::start(machine.options()).await.unwrap();
    let stage = machine.furnish(&private).await;
    let mut pod = stage.pod(0);
    let host_port = 20_000 + i32::try_from(std::process::id() % 10_000).unwrap();
    pod.port_mappings = vec![v1::PortMapping { container_port: 80, host_port, ..v1::PortMapping::default() }];
    let sandbox = stage.run(&pod).await.unwrap();
    assert!(rules().contains(&format!("--dport {host_port} ")), "the host's port leads to the pod");
    let network = stage.sandbox(&sandbox).await.unwrap().network.unwrap();
    assert_eq!(network.additional_ips.len(), usize::from(has_ipv6()));
    stage.started(&sandbox, &pod, RUNS, 0).await;
    std::fs::create_dir_all(machine.directory.path().join("kubelet/pods/uid-0")).unwrap();
    private.abandon();
    let broken = Found { containerd: "/bin/false".into(), ..machine.found.clone() };
    let options = ResetOptions { found: Some(broken), ..machine.reset_options() };
    let done = reset(options).await.unwrap();
    assert_eq!(done.failed.len(), 1, "{done:?}");
    assert!(!rules().contains(&sandbox), "rules of the sandbox are left");
    assert!(done.did.contains(&"containers ended by force: 2".to_owned()), "{done:?}");
    assert!(machine.is_clean(), "{done:?}");
}
