//! What a real runtime and the kernel make of what is asked for. Skipped without root or without the programs; whatever
//! happens, nothing is left behind.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use oci::{Image as Built, Layer};
use serde_json::{Value, json};

use super::*;
use crate::cgroups::{self, Cgroups, Driver};
use crate::cri::{Cri, v1};
use crate::images::{archive, pause};
use crate::paths::Paths;
use crate::pod_plan::Role;
use crate::runtime::tests::own_network;
use crate::runtime::{Found, Private, PrivateOptions, Requirements, ResetOptions, cni, reset};

/// The image that containers of these tests are made from: busybox, and nothing else.
const IMAGE: &str = "gantry.local/busybox:asked";

/// A node of one test alone: directories, a containerd, a network and cgroups.
struct Machine {
    directory: tempfile::TempDir,
    found: Found,
    name: String,
    paths: Paths,
    private: Option<Private>,
    cri: Cri,
    cgroups: Cgroups,
    node: Node,
}

impl Machine {
    #[allow(clippy::print_stdout, reason = "whoever runs the tests should know what they did not do")]
    async fn start() -> Option<Machine> {
        static MACHINES: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() || !Path::new("/bin/busybox").exists() {
            println!("skipped: root and busybox-static are needed");
            return None;
        }
        let found = Requirements::find().inspect_err(|missing| println!("skipped: {missing}")).ok()?;
        let number = MACHINES.fetch_add(1, Ordering::Relaxed);
        let name = format!("ga{}x{number}", std::process::id());
        own_network();
        let directory = tempfile::tempdir().unwrap();
        let private = Private::start(PrivateOptions::new(directory.path(), found.clone(), pause::NAME)).await.unwrap();
        let network = cni::Network::of(private.layout());
        let process = std::process::id();
        let range = format!("10.{}.{}.0/24", 150 + process % 50, (process / 50 + number) % 256);
        cni::write(&private.layout().networks(), &network, &[range]).unwrap();
        let options = cgroups::Options {
            layout: Layout::new(Driver::Cgroupfs, &format!("/{name}")),
            pids: Some(64),
            ..cgroups::Options::default()
        };
        let cgroups = Cgroups::open(options).unwrap();
        cgroups.prepare_node(&List::new()).unwrap();
        let at = |name: &str| directory.path().join(name);
        let paths = Paths { root: at("kubelet"), pod_logs: at("logs/pods"), container_logs: at("logs/containers") };
        let resolver = dns::Resolver::parse("search example.com\n");
        let node = Node {
            cluster_dns: vec!["10.96.0.10".parse().unwrap()],
            resolver: Some(resolver),
            memory_capacity: 1 << 30,
            ..cgroups.describe(Node::default())
        };
        let cri = Cri::at(&private.endpoint()).unwrap();
        let machine = Machine { directory, found, name, paths, private: Some(private), cri, cgroups, node };
        machine.load_images().await;
        Some(machine)
    }

    async fn load_images(&self) {
        let endpoint = self.private.as_ref().unwrap().endpoint();
        archive::load_bytes(&endpoint, pause::archive(pause::NAME)).await.unwrap();
        let mut layer = Layer::default();
        layer.file("bin/busybox", 0o755, &std::fs::read("/bin/busybox").unwrap()).unwrap();
        layer.symbolic_link("bin/sh", "busybox").unwrap();
        let layers = vec![layer.finish().unwrap()];
        let image = Built { name: IMAGE.to_owned(), layers, ..Built::default() };
        archive::load_bytes(&endpoint, oci::layout::write(&[image]).unwrap()).await.unwrap();
        let mut look = tokio::time::interval(Duration::from_millis(20));
        let is_ready = async || {
            let status = self.cri.status(v1::StatusRequest::default()).await.unwrap().status.unwrap();
            status.conditions.iter().all(|condition| condition.status)
        };
        while !is_ready().await {
            look.tick().await;
        }
    }

    /// Runs a pod's sandbox; returns its configuration and ID.
    async fn sandbox(&self, pod: &Pod) -> (v1::PodSandboxConfig, String) {
        self.cgroups.make(pod).unwrap();
        let config = sandbox(pod, 0, &self.node, &self.paths).unwrap();
        std::fs::create_dir_all(&config.log_directory).unwrap();
        let request = v1::RunPodSandboxRequest { config: Some(config.clone()), runtime_handler: String::new() };
        (config, self.cri.run_pod_sandbox(request).await.unwrap().pod_sandbox_id)
    }

    /// Runs a container of a pod in its sandbox; returns its ID.
    async fn container(
        &self,
        pod: &Pod,
        in_sandbox: &(v1::PodSandboxConfig, String),
        name: &str,
        target: Option<&str>,
    ) -> String {
        let (role, container) = find(pod, name).unwrap();
        let uid = pod.metadata.uid.as_deref().unwrap();
        let address = ["10.9.9.9".parse().unwrap()];
        let hosts = hosts_file(pod, &address, &self.node, "127.0.0.1 node\n").unwrap().unwrap();
        let words = termination_log(&self.paths, uid, name, 0);
        std::fs::create_dir_all(words.parent().unwrap()).unwrap();
        std::fs::write(&words, "").unwrap();
        std::fs::set_permissions(&words, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        std::fs::write(self.paths.etc_hosts(uid), hosts).unwrap();
        let (maps, secrets, files) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let allocatable = &self.node.allocatable;
        let sources = Sources { config_maps: &maps, secrets: &secrets, services: &[], allocatable, files: &files };
        let addresses = fields::Addresses { pod: &address, host: &[] };
        let made = environment(pod, &container, &sources, addresses).unwrap();
        let config = super::container(&Making {
            pod,
            container: &container,
            role,
            attempt: 0,
            hash: "0",
            image: Image { reference: IMAGE, uid: None, username: "" },
            environment: &made.variables,
            mounts: &[],
            hosts: true,
            groups: &[],
            target,
            node: &self.node,
            paths: &self.paths,
        });
        let (sandbox_config, sandbox) = in_sandbox.clone();
        let request = v1::CreateContainerRequest {
            pod_sandbox_id: sandbox,
            config: Some(config.unwrap()),
            sandbox_config: Some(sandbox_config),
        };
        let id = self.cri.create_container(request).await.unwrap().container_id;
        self.cri.start_container(v1::StartContainerRequest { container_id: id.clone() }).await.unwrap();
        id
    }

    /// What a command in a container writes.
    async fn says(&self, container: &str, script: &str) -> String {
        let command = ["/bin/busybox", "sh", "-c", script].map(str::to_owned).to_vec();
        let answer = self.cri.exec_sync(container, command, None).await.unwrap();
        String::from_utf8_lossy(&[answer.stdout, answer.stderr].concat()).trim().to_owned()
    }

    async fn stop(mut self) {
        self.private.take().unwrap().stop().await;
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Its lock has to be free.
        drop(self.private.take());
        let options = ResetOptions {
            data_dir: self.directory.path().to_owned(),
            paths: self.paths.clone(),
            cgroup_root: format!("/{}", self.name),
            found: Some(self.found.clone()),
        };
        let cgroups = self.cgroups.clone();
        let ended = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let reset = runtime.block_on(reset(options));
            runtime.block_on(cgroups.remove_all()).unwrap();
            reset.map(|_| ())
        });
        let outcome = ended.join();
        if !std::thread::panicking() {
            outcome.unwrap().unwrap();
        }
    }
}

/// A pod of one container `c`, which waits, unless the spec says otherwise.
fn pod(uid: &str, container: Value, spec: Value) -> Pod {
    let mut object = json!({"name": "c", "image": IMAGE, "command": ["/bin/busybox", "sleep", "1000000"],
        "terminationMessagePath": "/dev/termination-log"});
    object.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
    let mut of_pod = json!({"containers": [object]});
    of_pod.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    serde_json::from_value(json!({"metadata": {"name": uid, "namespace": "ns", "uid": uid}, "spec": of_pod})).unwrap()
}

#[tokio::test]
async fn a_confined_container_is_what_its_pod_says() {
    let Some(machine) = Machine::start().await else { return };
    let container = json!({
        "env": [{"name": "A", "value": "a"}, {"name": "B", "value": "$(A)b"}],
        "command": ["/bin/busybox", "sh", "-c", "echo $(B) > /dev/termination-log; exec /bin/busybox sleep 1000000"],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "500m", "memory": "128Mi"}},
        "securityContext": {"readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false, "runAsNonRoot": true,
            "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}, "seccompProfile": {"type": "RuntimeDefault"}}});
    let pod = pod(
        "confined",
        container,
        json!({
        "hostname": "web", "subdomain": "sub", "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["alias"]}],
        "dnsConfig": {"options": [{"name": "ndots", "value": "2"}]},
        "securityContext": {"runAsUser": 1000, "runAsGroup": 2000, "fsGroup": 3000, "supplementalGroups": [4000],
            "sysctls": [{"name": "kernel/shm_rmid_forced", "value": "1"}, {"name": "net.ipv4.tcp_syncookies", "value": "0"}]}}),
    );
    let sandbox = machine.sandbox(&pod).await;
    let id = machine.container(&pod, &sandbox, "c", None).await;
    let cases = [
        ("busybox hostname", "web"),
        ("busybox id -u; busybox id -g; busybox id -G", "1000\n2000\n2000 3000 4000"),
        ("echo $A $B", "a ab"),
        ("busybox cat /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/tcp_syncookies", "1\n0"),
        (
            "busybox grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/1/status | busybox tr '\\t' ' '",
            "CapBnd: 0000000000000400\nNoNewPrivs: 1\nSeccomp: 2",
        ),
        ("busybox touch /file", "touch: /file: Read-only file system"),
        ("busybox grep -cE 'alias|10.9.9.9.web.sub.ns.svc.cluster.local' /etc/hosts", "2"),
        (
            "busybox cat /etc/resolv.conf",
            "search ns.svc.cluster.local svc.cluster.local cluster.local example.com\nnameserver 10.96.0.10\noptions ndots:2",
        ),
        // 64 MiB of 1 GiB.
        ("busybox cat /proc/1/oom_score_adj", "938"),
        ("busybox wc -c < /proc/interrupts; busybox ls /sys/firmware | busybox wc -l", "0\n0"),
        (
            "echo x 2>&1 > /proc/sys/kernel/hostname",
            "sh: can't create /proc/sys/kernel/hostname: Read-only file system",
        ),
    ];
    for (script, expected) in cases {
        let found = machine.says(&id, script).await;
        assert_eq!(found, expected, "{script}");
    }
    let words = std::fs::read_to_string(termination_log(&machine.paths, "confined", "c", 0)).unwrap();
    assert_eq!(words, "ab\n");
    machine.stop().await;
}

#[tokio::test]
async fn resources_are_the_kernels_and_follow() {
    let Some(machine) = Machine::start().await else { return };
    let of = |cpu: &str, memory: &str| {
        let resources = json!({"requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": cpu, "memory": memory}});
        pod("sized", json!({"resources": resources}), json!({}))
    };
    assert_eq!(Driver::of_runtime(&machine.cri).await.unwrap(), Driver::Cgroupfs);
    let pod = of("250m", "64Mi");
    let sandbox = machine.sandbox(&pod).await;
    let id = machine.container(&pod, &sandbox, "c", None).await;
    let cgroups = machine.cgroups.containers(&pod);
    assert_eq!(cgroups.len(), 2, "the sandbox and the container: {cgroups:?}");
    let limits = || machine.cgroups.limits(&cgroups[&id]).unwrap();
    let found = |limits: crate::cgroups::Limits| (limits.cpu_shares, limits.cpu_quota, limits.memory);
    assert_eq!(found(limits()), (Some(256), Some((25_000, 100_000)), Some(64 << 20)));
    let usage = machine.cgroups.usage(&cgroups[&id], Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!((usage.processes, usage.oom_kills), (Some(1), Some(0)));
    for (cpu, memory) in [("500m", "96Mi"), ("100m", "32Mi")] {
        let pod = of(cpu, memory);
        machine.cgroups.widen(&pod).unwrap();
        let request = resources::update(&pod, &find(&pod, "c").unwrap().1, &id, &machine.node);
        machine.cri.update_container_resources(request).await.unwrap();
        machine.cgroups.resize(&pod).unwrap();
        assert_eq!(found(limits()), found(machine.cgroups.limits_of(&pod)));
        assert_eq!(found(machine.cgroups.limits(&machine.cgroups.pod_parent(&pod)).unwrap()), found(limits()));
    }
    machine.stop().await;
}

#[tokio::test]
async fn namespaces_are_shared_as_the_pod_says() {
    let Some(machine) = Machine::start().await else { return };
    // The network is this thread's, from which the runtime was started.
    let own = |kind: &str| std::fs::read_link(format!("/proc/thread-self/ns/{kind}")).unwrap().display().to_string();
    let host = pod(
        "host",
        json!({"securityContext": {"privileged": true}}),
        json!({"hostNetwork": true, "hostPID": true, "hostIPC": true}),
    );
    let sandbox = machine.sandbox(&host).await;
    let id = machine.container(&host, &sandbox, "c", None).await;
    for kind in ["net", "pid", "ipc"] {
        assert_eq!(machine.says(&id, &format!("busybox readlink /proc/self/ns/{kind}")).await, own(kind));
    }
    assert_eq!(
        machine.says(&id, "busybox head -1 /etc/hosts").await,
        "# Kubernetes-managed hosts file (host network)."
    );
    let all = "busybox grep CapEff /proc/1/status >/dev/null; busybox ls /dev | busybox wc -l";
    assert!(machine.says(&id, all).await.parse::<u32>().unwrap() > 20, "a privileged container has the host's devices");

    let shared = pod("shared", json!({}), json!({"shareProcessNamespace": true}));
    let sandbox = machine.sandbox(&shared).await;
    let id = machine.container(&shared, &sandbox, "c", None).await;
    assert_eq!(machine.says(&id, "busybox cat /proc/1/comm").await, "pause");
    assert_ne!(machine.says(&id, "busybox readlink /proc/self/ns/net").await, own("net"));

    let looked_at = pod(
        "target",
        json!({}),
        json!({"ephemeralContainers": [
        {"name": "debug", "image": IMAGE, "targetContainerName": "c", "command": ["/bin/busybox", "sleep", "1000000"]}]}),
    );
    assert_eq!(find(&looked_at, "debug").unwrap().0, Role::Ephemeral);
    let sandbox = machine.sandbox(&looked_at).await;
    let target = machine.container(&looked_at, &sandbox, "c", None).await;
    let debug = machine.container(&looked_at, &sandbox, "debug", Some(&target)).await;
    let link = "busybox readlink /proc/self/ns/pid";
    assert_eq!(machine.says(&debug, link).await, machine.says(&target, link).await);
    assert_eq!(machine.says(&target, "busybox cat /proc/1/comm").await, "busybox");
    machine.stop().await;
}
