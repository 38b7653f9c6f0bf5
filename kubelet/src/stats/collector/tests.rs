//! What is collected, how often, and what happens when some of it cannot be had.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::*;
use crate::containers::labels;
use crate::cri::fake::{self, Call, Fake, Fault};
use crate::observed::{AppliedResources, Sandbox};

const UID: &str = "u1";

struct OnePod {
    pod: Arc<Pod>,
    runtime: Arc<RuntimePod>,
    /// How often somebody looked.
    looks: AtomicUsize,
}

impl View for OnePod {
    fn pods(&self) -> Vec<Arc<Pod>> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        vec![Arc::clone(&self.pod)]
    }

    fn runtime(&self, _: &str) -> Option<Arc<RuntimePod>> {
        Some(Arc::clone(&self.runtime))
    }
}

struct Stage {
    fake: Arc<Fake>,
    collector: Arc<Collector>,
    view: Arc<OnePod>,
    directory: tempfile::TempDir,
}

const START: i64 = 1_772_366_400;

/// A node with a pod whose only container uses half a CPU.
async fn stage() -> Stage {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::simulated(Timestamp::from_second(START).unwrap());
    let fake = Fake::new(fake::Options { clock, ..fake::Options::default() });
    let uses = fake::Uses { cpu: 500_000_000, memory: 1 << 20, disk: 4096 };
    fake.script(fake::Which::Every, fake::Script { uses, ..fake::Script::default() });
    let (sandbox, container) = start(&fake).await;
    let container = RuntimeContainer {
        id: container,
        name: "app".to_owned(),
        sandbox: sandbox.clone(),
        state: ContainerState::Running,
        started: Some(Timestamp::from_second(START).unwrap()),
        resources: Some(AppliedResources { memory_limit: Some(3 << 20), ..AppliedResources::default() }),
        ..RuntimeContainer::default()
    };
    let sandbox = Sandbox {
        id: sandbox,
        attempt: 0,
        created: Timestamp::UNIX_EPOCH,
        ready: true,
        addresses: Vec::new(),
        host_network: false,
    };
    let pod = json!({
        "metadata": {"name": "web", "namespace": "default", "uid": UID},
        "status": {"startTime": "2026-03-01T11:59:00Z"},
    });
    let view = Arc::new(OnePod {
        pod: Arc::new(serde_json::from_value(pod).unwrap()),
        runtime: Arc::new(RuntimePod { sandboxes: vec![sandbox], containers: vec![container] }),
        looks: AtomicUsize::new(0),
    });
    let paths = Paths { pod_logs: directory.path().join("logs"), ..Paths::new(directory.path().join("root")) };
    let logs = paths.logs_of("default", "web", UID).join("app");
    std::fs::create_dir_all(&logs).unwrap();
    std::fs::write(logs.join("0.log"), vec![b'x'; 50_000]).unwrap();
    let volume = |name: &str, used, ephemeral| VolumeFigures {
        name: name.to_owned(),
        filesystem: Filesystem { used, inodes_used: 1, ..Filesystem::default() },
        ephemeral,
        ..VolumeFigures::default()
    };
    let parts = Parts {
        node: "one".to_owned(),
        cri: fake.cri(),
        cgroups: None,
        volumes: Arc::new(move |_| vec![volume("kept", 1 << 40, false), volume("goes", 1 << 20, true)]),
        paths,
        view: Arc::<OnePod>::clone(&view),
        clock,
        root: directory.path().to_owned(),
    };
    Stage { fake, collector: Collector::new(parts), view, directory }
}

/// Starts a sandbox with a container, and gives their IDs.
async fn start(fake: &Arc<Fake>) -> (String, String) {
    let cri = fake.cri();
    let metadata =
        v1::PodSandboxMetadata { name: "web".into(), uid: UID.into(), namespace: "default".into(), attempt: 0 };
    let of_pod = [(labels::POD_UID.to_owned(), UID.to_owned())].into();
    let config = v1::PodSandboxConfig { metadata: Some(metadata), labels: of_pod, ..Default::default() };
    let request = v1::RunPodSandboxRequest { config: Some(config.clone()), ..Default::default() };
    let sandbox = cri.run_pod_sandbox(request).await.unwrap().pod_sandbox_id;
    let image = v1::ImageSpec { image: "img".into(), ..Default::default() };
    cri.pull_image(v1::PullImageRequest { image: Some(image.clone()), ..Default::default() }).await.unwrap();
    let container = v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: "app".into(), attempt: 0 }),
        image: Some(image),
        ..Default::default()
    };
    let request = v1::CreateContainerRequest {
        pod_sandbox_id: sandbox.clone(),
        config: Some(container),
        sandbox_config: Some(config),
    };
    let id = cri.create_container(request).await.unwrap().container_id;
    cri.start_container(v1::StartContainerRequest { container_id: id.clone() }).await.unwrap();
    (sandbox, id)
}

const AGE: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn a_pods_figures_are_put_together() {
    let stage = stage().await;
    tokio::time::advance(Duration::from_secs(20)).await;
    stage.collector.figures(AGE).await;
    tokio::time::advance(Duration::from_secs(20)).await;
    let figures = stage.collector.figures(AGE).await;
    let pod = &figures.pods[0];
    assert_eq!((&*pod.namespace, &*pod.name, &*pod.uid), ("default", "web", UID));
    assert_eq!(pod.started.as_second(), START - 60);
    let [container] = &pod.containers[..] else { panic!("{pod:?}") };
    let cpu = container.cpu.unwrap();
    assert_eq!((cpu.total_nanoseconds, cpu.rate), (20_000_000_000, Some(500_000_000)));
    let memory = container.memory.unwrap();
    assert_eq!((memory.working_set, memory.available), (1 << 20, Some(2 << 20)), "below the limit");
    assert_eq!(container.root.unwrap().used, 4096);
    let logs = container.logs.unwrap().used;
    assert!((50_000..100_000).contains(&logs), "{logs}");
    assert_eq!(pod.ephemeral.unwrap().used, 4096 + logs + (1 << 20), "without the volume that is kept");
    assert_eq!((pod.cpu, pod.memory), (container.cpu, container.memory), "without a cgroup, what its containers use");
    assert_eq!(figures.node.processes, None, "there is no /proc");
}

#[tokio::test(start_paused = true)]
async fn one_collection_serves_all_who_ask() {
    let stage = stage().await;
    let asked = futures::future::join_all((0..50).map(|_| stage.collector.figures(AGE))).await;
    assert!(asked.iter().all(|figures| Arc::ptr_eq(figures, &asked[0])));
    let collections = || stage.fake.asked().iter().filter(|asked| asked.call == Call::ListContainerStats).count();
    assert_eq!((collections(), stage.view.looks.load(Ordering::Relaxed)), (1, 1));
    tokio::time::advance(AGE).await;
    stage.collector.figures(AGE).await;
    assert_eq!(collections(), 1, "just young enough");
    stage.collector.figures(AGE / 2).await;
    assert_eq!(collections(), 2, "not for who wants younger ones");
    stage.collector.figures(AGE).await;
    assert_eq!(collections(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_had_is_left_out() {
    let stage = stage().await;
    for call in [Call::ListContainerStats, Call::ImageFsInfo, Call::PodSandboxStatus, Call::ListPodSandboxStats] {
        stage.fake.fail(call, 1, Fault::Fails(tonic::Status::unavailable("away")));
    }
    let figures = stage.collector.figures(AGE).await;
    let container = &figures.pods[0].containers[0];
    assert_eq!((container.cpu, container.memory, container.root), (None, None, None));
    assert!(container.logs.is_some() && figures.node.filesystem.is_some());
    assert_eq!(figures.node.images, figures.node.filesystem, "where images are likely to be");
    tokio::time::advance(AGE * 2).await;
    let figures = stage.collector.figures(AGE).await;
    assert!(figures.pods[0].containers[0].cpu.is_some(), "the next collection has it again");
}

#[tokio::test(start_paused = true)]
async fn a_network_is_read_where_its_process_is() {
    let line = "  eth0:1000 10 1 0 0 0 0 0 2000 20 2 0 0 0 0 0\n";
    let interfaces = |collector: &Collector, processes: &[(&str, Option<u32>)], host| {
        let asked = Asked {
            processes: processes.iter().map(|(id, process)| ((*id).to_owned(), *process)).collect(),
            networks: [("s".to_owned(), vec![Interface { name: "told".into(), ..Interface::default() }])].into(),
            ..Asked::default()
        };
        let sandbox = Sandbox {
            id: "s".to_owned(),
            attempt: 0,
            created: Timestamp::UNIX_EPOCH,
            ready: true,
            addresses: Vec::new(),
            host_network: host,
        };
        let runtime = RuntimePod { sandboxes: vec![sandbox], containers: Vec::new() };
        let (rates, mut next) = (Rates::default(), Rates::default());
        let at = Timestamp::UNIX_EPOCH;
        let reading = Reading { parts: &collector.parts, asked: &asked, at, rates: &rates, next: &mut next };
        reading.network(&runtime).into_iter().map(|interface| interface.name).collect::<Vec<_>>()
    };
    let stage = stage().await;
    let directory = stage.directory.path().join("proc/17/net");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("dev"), line).unwrap();
    assert_eq!(interfaces(&stage.collector, &[("s", Some(17))], false), ["eth0"]);
    assert_eq!(interfaces(&stage.collector, &[("s", None)], false), ["told"], "what the runtime says will do");
    assert!(interfaces(&stage.collector, &[("s", Some(18))], false).is_empty(), "the process is gone");
    assert!(interfaces(&stage.collector, &[("s", Some(17))], true).is_empty(), "the host's network is not the pod's");
}
