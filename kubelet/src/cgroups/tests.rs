//! Cgroups of the kernel's, where the machine lets us have them, and of files that stand for the kernel's.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::*;

fn pod(uid: &str, resources: Value) -> Pod {
    let container = json!({"name": "c", "resources": resources});
    serde_json::from_value(json!({"metadata": {"uid": uid}, "spec": {"containers": [container]}})).unwrap()
}

/// One tree of version 2 with files for `/`, `/r` and what is below it, as the kernel would make them.
fn unified(directory: &Path) -> Cgroups {
    for cgroup in ["", "r", "r/kubepods", "r/kubepods/burstable", "r/kubepods/besteffort", "r/kubepods/burstable/podu"]
    {
        let own = directory.join(cgroup);
        fs::create_dir_all(&own).unwrap();
        for file in ["cgroup.subtree_control", "cpu.weight", "cpu.max", "memory.max", "pids.max"] {
            fs::write(own.join(file), "").unwrap();
        }
    }
    let hierarchies = Hierarchies::unified(directory, &["cpu", "memory", "pids"]);
    let layout = Layout::new(Driver::Cgroupfs, "/r");
    Cgroups::over(hierarchies, Options { layout, pids: Some(64), ..Options::default() }).unwrap()
}

#[test]
fn version_2_gets_its_controllers_and_limits() {
    let directory = tempfile::tempdir().unwrap();
    let cgroups = unified(directory.path());
    let read = |file: &str| fs::read_to_string(directory.path().join(file)).unwrap();
    cgroups
        .prepare_node(&[("cpu".to_owned(), "2".parse().unwrap()), ("memory".to_owned(), "1Gi".parse().unwrap())].into())
        .unwrap();
    assert_eq!((read("r/kubepods/cpu.weight").as_str(), read("r/kubepods/memory.max").as_str()), ("79", "1073741824"));
    let pod = pod("u", json!({"requests": {"cpu": "1"}, "limits": {"cpu": "2", "memory": "1Mi"}}));
    cgroups.make(&pod).unwrap();
    for above in ["", "r", "r/kubepods", "r/kubepods/burstable"] {
        assert_eq!(read(format!("{above}/cgroup.subtree_control").trim_start_matches('/')), "+cpu +memory +pids");
    }
    let of_pod = "r/kubepods/burstable/podu";
    let files = ["cgroup.subtree_control", "cpu.weight", "cpu.max", "memory.max", "pids.max"];
    let found = files.map(|file| read(&format!("{of_pod}/{file}")));
    assert_eq!(found, ["", "39", "200000 100000", "1048576", "64"].map(str::to_owned));
    let limits = cgroups.limits(&cgroups.pod_parent(&pod)).unwrap();
    assert_eq!((limits.cpu_quota, limits.memory, limits.pids), (Some((200_000, 100_000)), Some(1 << 20), Some(64)));
    cgroups.update_classes([&pod]).unwrap();
    assert_eq!(
        (read("r/kubepods/burstable/cpu.weight").as_str(), read("r/kubepods/besteffort/cpu.weight").as_str()),
        ("39", "1")
    );
    assert_eq!(cgroups.pods(), ["u".to_owned()].into());
    assert!(cgroups.usage("/r/kubepods", Timestamp::UNIX_EPOCH).is_some());
    assert!(cgroups.usage("/r/none", Timestamp::UNIX_EPOCH).is_none() && cgroups.limits("/r/none").is_none());
}

#[test]
fn what_is_no_uid_never_becomes_a_path() {
    let directory = tempfile::tempdir().unwrap();
    let cgroups = unified(directory.path());
    for uid in ["", "..", "a/b", "a\0", "../../x"] {
        assert!(matches!(cgroups.make(&pod(uid, json!({}))), Err(CgroupError::Uid(_))), "{uid:?}");
    }
}

#[test]
fn controllers_that_cannot_be_done_without_are_named() {
    let hierarchies = Hierarchies::unified("/x", &["cpu", "pids"]);
    let error = Cgroups::over(hierarchies, Options::default()).unwrap_err();
    assert_eq!(error.to_string(), "the cgroup controllers memory are missing: enable them in the kernel");
}

/// Cgroups of the kernel's below one of this test's own, which goes with everything in it.
struct Own {
    cgroups: Cgroups,
    root: String,
}

impl Own {
    /// `None`, and a word about it, where there is no root or no version 1.
    #[allow(clippy::print_stdout)]
    fn make() -> Option<Own> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let root = format!("/gantry-test-{}-{number}", std::process::id());
        let hierarchies = Hierarchies::find().ok().filter(|found| found.version() == Version::V1);
        let writable = hierarchies.filter(|found| {
            let probe = found.directory("memory", &root);
            probe.is_some_and(|probe| fs::create_dir(&probe).and_then(|()| fs::remove_dir(probe)).is_ok())
        });
        let Some(hierarchies) = writable else {
            println!("skipped: cgroups of version 1 that may be written to are needed");
            return None;
        };
        let layout = Layout::new(Driver::Cgroupfs, &root);
        let options = Options { layout, pids: Some(32), ..Options::default() };
        Some(Own { cgroups: Cgroups::over(hierarchies, options).unwrap(), root })
    }

    fn file(&self, controller: &str, cgroup: &str, file: &str) -> String {
        let path = self.cgroups.hierarchies.directory(controller, cgroup).unwrap().join(file);
        fs::read_to_string(path).unwrap().trim().to_owned()
    }

    /// A process in a cgroup, which waits for a line before it becomes what it is to be.
    fn process(&self, cgroup: &str, command: &str) -> Child {
        let script = format!("read line; exec {command}");
        let mut child =
            Command::new("/bin/sh").args(["-c", &script]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        for directory in self.cgroups.hierarchies.controlled(cgroup) {
            fs::write(directory.join("cgroup.procs"), child.id().to_string()).unwrap();
        }
        io::Write::write_all(&mut child.stdin.take().unwrap(), b"go\n").unwrap();
        child
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let directories = self.cgroups.hierarchies.all(&self.root);
        // Killed processes take a while to go; this test's are few.
        for _ in 0..200 {
            if tree::remove(&directories).is_ok() {
                return;
            }
            std::thread::yield_now();
        }
    }
}

#[tokio::test]
async fn pods_are_held_and_removed_with_all_that_runs_there() {
    let Some(own) = Own::make() else { return };
    let cgroups = &own.cgroups;
    cgroups.prepare_node(&[("cpu".to_owned(), "2".parse().unwrap())].into()).unwrap();
    let pod = pod("1-2", json!({"requests": {"cpu": "500m"}, "limits": {"cpu": "1", "memory": "64Mi"}}));
    let parent = cgroups.pod_parent(&pod);
    cgroups.make(&pod).unwrap();
    cgroups.make(&pod).unwrap();
    let limits = cgroups.limits(&parent).unwrap();
    assert_eq!((limits.cpu_shares, limits.cpu_quota), (Some(512), Some((100_000, 100_000))));
    assert_eq!((limits.memory, limits.pids), (Some(64 << 20), Some(32)));
    cgroups.update_classes([&pod]).unwrap();
    assert_eq!(own.file("cpu", &cgroups.layout().class(Class::Burstable), "cpu.shares"), "512");
    assert_eq!(cgroups.pods(), ["1-2".to_owned()].into());
    // A container's cgroup is below the pod's, as the runtime makes it.
    let container = format!("{parent}/0123");
    tree::make(&cgroups.hierarchies, &container).unwrap();
    assert_eq!(cgroups.containers(&pod), [("0123".to_owned(), container.clone())].into());
    let mut child = own.process(&container, "sleep 1000");
    let usage = cgroups.usage(&parent, Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!((usage.processes, usage.oom_kills), (Some(1), Some(0)));
    assert!(usage.cpu.is_some() && usage.memory.is_some_and(|memory| memory.available.is_some()));
    cgroups.remove("1-2").await.unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()), Some(9));
    assert!(cgroups.pods().is_empty() && cgroups.usage(&parent, Timestamp::UNIX_EPOCH).is_none());
    cgroups.remove("1-2").await.unwrap();
}

#[test]
fn limits_follow_the_pod() {
    let Some(own) = Own::make() else { return };
    let of = |cpu: &str, memory: &str| pod("u", json!({"limits": {"cpu": cpu, "memory": memory}}));
    let limits = || own.cgroups.limits(&own.cgroups.pod_parent(&of("1", "1"))).unwrap();
    own.cgroups.make(&of("1", "64Mi")).unwrap();
    // A container that may use all of what the pod may.
    let container = format!("{}/0123", own.cgroups.pod_parent(&of("1", "1")));
    let use_at_most = |quota: i64| {
        tree::make(&own.cgroups.hierarchies, &container).unwrap();
        let limits = Limits { cpu_quota: Some((quota, 100_000)), ..Limits::default() };
        tree::write(&own.cgroups.hierarchies, &container, &limits)
    };
    use_at_most(100_000).unwrap();
    own.cgroups.widen(&of("2", "128Mi")).unwrap();
    use_at_most(200_000).unwrap();
    own.cgroups.resize(&of("2", "128Mi")).unwrap();
    assert_eq!((limits().cpu_quota, limits().memory), (Some((200_000, 100_000)), Some(128 << 20)));
    // Nothing shrinks before the container has.
    own.cgroups.widen(&of("500m", "32Mi")).unwrap();
    assert_eq!((limits().cpu_quota, limits().memory), (Some((200_000, 100_000)), Some(128 << 20)));
    assert!(matches!(own.cgroups.resize(&of("500m", "32Mi")), Err(CgroupError::Io { .. })));
    use_at_most(50_000).unwrap();
    own.cgroups.resize(&of("500m", "32Mi")).unwrap();
    let now = limits();
    assert_eq!((now.cpu_shares, now.cpu_quota, now.memory), (Some(2), Some((50_000, 100_000)), Some(32 << 20)));
}

#[test]
fn memory_in_use_is_not_taken_away() {
    let directory = tempfile::tempdir().unwrap();
    let cgroups = unified(directory.path());
    let of_pod = directory.path().join("r/kubepods/burstable/podu");
    let container = of_pod.join("c1");
    fs::create_dir(&container).unwrap();
    for own in [&of_pod, &container] {
        fs::write(own.join("memory.stat"), "").unwrap();
        fs::write(own.join("memory.current"), "1025").unwrap();
    }
    let pod = pod("u", json!({"requests": {"cpu": "1"}, "limits": {"cpu": "1", "memory": "1Ki"}}));
    let error = cgroups.resize(&pod).unwrap_err();
    assert_eq!(error.to_string(), "attempting to set pod memory limit (1024) below current usage (1025)");
    let error = cgroups.check_container(&pod, "c", "c1", 1024).unwrap_err();
    assert_eq!(error.to_string(), "attempting to set container \"c\" memory limit (1024) below current usage (1025)");
    cgroups.check_container(&pod, "c", "c1", 0).unwrap();
    cgroups.check_container(&pod, "c", "gone", 1024).unwrap();
    fs::write(of_pod.join("memory.current"), "1024").unwrap();
    cgroups.resize(&pod).unwrap();
    assert_eq!(fs::read_to_string(of_pod.join("memory.max")).unwrap(), "1024");
    // What containers are in is not limited anew by an agent that starts again.
    fs::write(of_pod.join("memory.max"), "77").unwrap();
    cgroups.make(&pod).unwrap();
    assert_eq!(fs::read_to_string(of_pod.join("memory.max")).unwrap(), "77");
}

#[test]
fn the_node_is_described_by_its_cgroups() {
    let directory = tempfile::tempdir().unwrap();
    let cgroups = unified(directory.path());
    let described = cgroups.describe(Node::default());
    assert!(described.unified && described.swap == Swap::Unaccounted && described.hugepage_sizes.is_empty());
    assert_eq!((described.cgroups.root().as_str(), described.quota_period), ("/r", Some(100_000)));
    fs::write(directory.path().join("r/kubepods/memory.swap.max"), "max").unwrap();
    assert_eq!(cgroups.describe(Node::default()).swap, Swap::None);
}

#[test]
fn processes_that_were_killed_for_lack_of_memory_are_counted() {
    let Some(own) = Own::make() else { return };
    let pod = pod("u", json!({"requests": {"memory": "1Mi"}, "limits": {"memory": "8Mi", "cpu": "2"}}));
    own.cgroups.make(&pod).unwrap();
    let parent = own.cgroups.pod_parent(&pod);
    let mut child = own.process(&parent, "dd if=/dev/zero of=/dev/null bs=64M count=1");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()), Some(9));
    assert_eq!(own.cgroups.usage(&parent, Timestamp::UNIX_EPOCH).unwrap().oom_kills, Some(1));
}
