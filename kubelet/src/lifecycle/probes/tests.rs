//! Probing over time, with commands that a runtime in memory answers as the test says.

use std::sync::atomic::{AtomicUsize, Ordering};

use client::events::{EventApi, WriteError};
use k8s_openapi::api::core::v1::{Event, ExecAction, PodSpec, PodStatus, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::Value;
use tonic::codegen::{BoxFuture, StdError};

use super::*;
use crate::cri::v1::{ExecSyncRequest, ExecSyncResponse};
use crate::observed::Sandbox;

/// A runtime that knows `ExecSync` alone, and answers it as its last word says.
#[derive(Clone, Default)]
struct Runtime {
    asked: Arc<AtomicUsize>,
    exit_code: Arc<Mutex<i32>>,
    hangs: Arc<Mutex<bool>>,
}

impl tonic::server::UnaryService<ExecSyncRequest> for Runtime {
    type Response = ExecSyncResponse;
    type Future = BoxFuture<tonic::Response<ExecSyncResponse>, tonic::Status>;

    fn call(&mut self, _: tonic::Request<ExecSyncRequest>) -> Self::Future {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let (exit_code, hangs) = (*self.exit_code.lock(), *self.hangs.lock());
        Box::pin(async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            let stdout = b"said".to_vec();
            Ok(tonic::Response::new(ExecSyncResponse { exit_code, stdout, stderr: b"!".to_vec() }))
        })
    }
}

impl Runtime {
    fn cri(&self) -> Cri {
        let runtime = self.clone();
        let service = tower::service_fn(move |request: http::Request<tonic::body::Body>| {
            let runtime = runtime.clone();
            async move {
                let codec = tonic_prost::ProstCodec::<ExecSyncResponse, ExecSyncRequest>::default();
                Ok::<_, StdError>(tonic::server::Grpc::new(codec).unary(runtime, request).await)
            }
        });
        Cri::over(crate::cri::in_process(service.clone()), crate::cri::in_process(service))
    }
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<(String, String, i32)>>>);

impl EventApi for Written {
    async fn create(&self, event: &Event) -> Result<(), WriteError> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        assert_eq!(event.involved_object.field_path.as_deref(), Some("spec.containers{web}"));
        self.0.lock().push((text(&event.reason), text(&event.message), 1));
        Ok(())
    }

    async fn patch(&self, _: &str, _: &str, patch: &Value) -> Result<(), WriteError> {
        let count = i32::try_from(patch["count"].as_i64().unwrap()).unwrap();
        self.0.lock().last_mut().unwrap().2 = count;
        Ok(())
    }
}

struct Rig {
    runtime: Runtime,
    probes: Probes,
    clock: Clock,
    changes: Arc<AtomicUsize>,
    written: Written,
    /// What looks came to, by kind: how many were good, and how many were not.
    looks: Arc<Mutex<BTreeMap<Kind, (u32, u32)>>>,
}

fn rig() -> Rig {
    let clock = Clock::simulated(Timestamp::from_second(1_772_366_400).unwrap());
    let (runtime, written, changes) = (Runtime::default(), Written::default(), Arc::new(AtomicUsize::new(0)));
    let (recorder, task) = Recorder::new(written.clone(), "kubelet", "node", clock);
    tokio::spawn(task);
    let counted = Arc::clone(&changes);
    let on_change: OnChange = Arc::new(move |uid| {
        assert_eq!(uid, "u");
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let probes = Probes::new(runtime.cri(), clock, on_change, recorder);
    let looks = Arc::new(Mutex::new(BTreeMap::<Kind, (u32, u32)>::new()));
    let counted = Arc::clone(&looks);
    probes.tell_looks(Box::new(move |look| {
        assert_eq!((look.container, look.pod.metadata.name.as_deref()), ("web", Some("p")));
        let mut counted = counted.lock();
        let (good, bad) = counted.entry(look.kind).or_default();
        *if look.good { good } else { bad } += 1;
    }));
    Rig { probes, runtime, clock, changes, written, looks }
}

fn every(seconds: i32, failures: i32) -> Option<Probe> {
    Some(Probe {
        exec: Some(ExecAction { command: Some(vec!["true".to_owned()]) }),
        period_seconds: Some(seconds),
        failure_threshold: Some(failures),
        ..Probe::default()
    })
}

fn pod(container: Container) -> Arc<Pod> {
    let container = Container { name: "web".to_owned(), ..container };
    let metadata = ObjectMeta {
        name: Some("p".to_owned()),
        namespace: Some("n".to_owned()),
        uid: Some("u".to_owned()),
        ..ObjectMeta::default()
    };
    let spec = Some(PodSpec { containers: vec![container], ..PodSpec::default() });
    Arc::new(Pod { metadata, spec, status: Some(PodStatus::default()) })
}

fn running(id: &str, since: Timestamp) -> RuntimePod {
    let container = RuntimeContainer {
        id: id.to_owned(),
        name: "web".to_owned(),
        state: ContainerState::Running,
        started: Some(since),
        ..RuntimeContainer::default()
    };
    let sandbox = Sandbox {
        id: "s".to_owned(),
        attempt: 0,
        created: since,
        ready: true,
        addresses: vec![[10, 0, 0, 1].into()],
        host_network: false,
    };
    RuntimePod { sandboxes: vec![sandbox], containers: vec![container] }
}

impl Rig {
    fn said(&self, id: &str) -> Probed {
        self.probes.results("u").get(id).copied().unwrap_or_default()
    }

    fn asked(&self) -> usize {
        self.runtime.asked.load(Ordering::SeqCst)
    }

    /// Lets time pass (the clock is paused), and everything happen that is due by then.
    async fn pass(&self, milliseconds: u64) {
        let forever = std::future::pending::<()>();
        assert!(tokio::time::timeout(Duration::from_millis(milliseconds), forever).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn the_startup_probe_comes_first_and_then_the_others_at_once() {
    let rig = rig();
    *rig.runtime.exit_code.lock() = 1;
    let container = Container {
        startup_probe: every(5, 10),
        liveness_probe: every(10, 3),
        readiness_probe: every(10, 1),
        ..Container::default()
    };
    let pod = pod(container);
    rig.probes.attend(&pod, &running("a", rig.clock.now()));
    assert_eq!(rig.said("a"), Probed { startup: None, liveness: Some(true), readiness: Some(false) });
    rig.pass(12_500).await;
    assert_eq!(rig.asked(), 3, "at 0, 5 and 10");
    assert_eq!(rig.said("a").startup, None);
    *rig.runtime.exit_code.lock() = 0;
    rig.pass(3_000).await;
    assert_eq!(rig.asked(), 6, "startup at 15, and the others right after it");
    assert_eq!(rig.said("a"), Probed { startup: Some(true), liveness: Some(true), readiness: Some(true) });
    assert_eq!(rig.changes.load(Ordering::SeqCst), 2);
    rig.pass(10_000).await;
    assert_eq!(rig.asked(), 8, "startup no more");
    let expected = ("Unhealthy".to_owned(), "Startup probe failed: said!".to_owned(), 3);
    assert_eq!(*rig.written.0.lock(), [expected]);
    let expected = [(Kind::Startup, (1, 3)), (Kind::Liveness, (2, 0)), (Kind::Readiness, (2, 0))];
    assert_eq!(*rig.looks.lock(), BTreeMap::from(expected));
}

#[tokio::test(start_paused = true)]
async fn a_container_that_does_not_live_is_left_alone_until_it_is_replaced() {
    let rig = rig();
    let pod = pod(Container { liveness_probe: every(1, 2), ..Container::default() });
    rig.probes.attend(&pod, &running("a", rig.clock.now()));
    rig.pass(3_500).await;
    assert_eq!((rig.asked(), rig.said("a").liveness), (4, Some(true)));
    *rig.runtime.exit_code.lock() = 3;
    rig.pass(10_000).await;
    assert_eq!((rig.asked(), rig.said("a").liveness), (6, Some(false)));
    assert_eq!(rig.changes.load(Ordering::SeqCst), 1);
    *rig.runtime.exit_code.lock() = 0;
    rig.probes.attend(&pod, &running("b", rig.clock.now()));
    assert_eq!(rig.probes.results("u").keys().collect::<Vec<_>>(), ["b"]);
    rig.pass(2_500).await;
    assert_eq!((rig.asked(), rig.said("b").liveness), (9, Some(true)));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_answer_fails_once_for_each_period() {
    let rig = rig();
    *rig.runtime.hangs.lock() = true;
    let pod = pod(Container { readiness_probe: every(10, 1), ..Container::default() });
    rig.probes.attend(&pod, &running("a", rig.clock.now()));
    rig.pass(200_000).await;
    let message = "Readiness probe failed: command timed out: \"true\" timed out after 1s".to_owned();
    let written = rig.written.0.lock().clone();
    assert_eq!((written[0].0.as_str(), &written[0].1), ("Unhealthy", &message));
    assert_eq!(rig.looks.lock()[&Kind::Readiness].1 as usize, rig.asked() - 1, "never two at a time");
    rig.probes.forget("u");
    assert!(rig.probes.results("u").is_empty());
    let asked = rig.asked();
    rig.pass(100_000).await;
    assert_eq!((rig.asked(), rig.probes.shared.state.lock().queue.len()), (asked, 0));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_ends_is_only_asked_whether_it_is_ready() {
    let rig = rig();
    let container = Container { liveness_probe: every(1, 1), readiness_probe: every(1, 1), ..Container::default() };
    let pod = pod(container);
    rig.probes.attend(&pod, &running("a", rig.clock.now()));
    rig.pass(500).await;
    assert_eq!(rig.asked(), 2);
    rig.probes.stop_liveness("u");
    *rig.runtime.exit_code.lock() = 1;
    rig.pass(2_000).await;
    assert_eq!(rig.asked(), 4);
    assert_eq!(rig.said("a"), Probed { startup: None, liveness: Some(true), readiness: Some(false) });
    let mut deleted = Pod::clone(&pod);
    deleted.metadata.deletion_timestamp = Some(Time(rig.clock.now()));
    let mut ended = running("a", rig.clock.now());
    ended.containers[0].state = ContainerState::Exited;
    rig.probes.attend(&Arc::new(deleted), &ended);
    rig.pass(5_000).await;
    assert_eq!((rig.asked(), rig.probes.shared.state.lock().queue.len()), (4, 0));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_starts_again_goes_on_with_what_it_said() {
    let rig = rig();
    let container = Container { startup_probe: every(1, 1), readiness_probe: every(60, 3), ..Container::default() };
    let mut known = Pod::clone(&pod(container));
    let status = ContainerStatus {
        name: "web".to_owned(),
        container_id: Some("containerd://a".to_owned()),
        started: Some(true),
        ready: true,
        ..ContainerStatus::default()
    };
    known.status = Some(PodStatus { container_statuses: Some(vec![status]), ..PodStatus::default() });
    let known = Arc::new(known);
    let long_ago = rig.clock.now() - SignedDuration::from_secs(3600);
    rig.probes.attend(&known, &running("a", long_ago));
    assert_eq!(rig.said("a"), Probed { startup: Some(true), liveness: None, readiness: Some(true) });
    rig.pass(60_000).await;
    assert_eq!(rig.asked(), 1, "at some time within the period");
    rig.probes.attend(&known, &running("b", rig.clock.now()));
    assert_eq!(rig.said("b"), Probed { startup: None, liveness: None, readiness: Some(false) });
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_of_a_pod_before_it_has_an_address() {
    let rig = rig();
    let probe = Probe { tcp_socket: Some(TCPSocketAction::default()), ..Probe::default() };
    let pod = pod(Container { readiness_probe: Some(probe), ..Container::default() });
    let mut found = running("a", rig.clock.now());
    found.sandboxes[0].addresses.clear();
    rig.probes.attend(&pod, &found);
    rig.pass(30_000).await;
    assert!(rig.written.0.lock().is_empty());
    rig.probes.attend(&pod, &running("a", rig.clock.now()));
    rig.pass(1).await;
    let message = "Readiness probe errored and resulted in unknown state: invalid port number: 0".to_owned();
    assert_eq!(*rig.written.0.lock(), [("Unhealthy".to_owned(), message, 1)]);
}

#[tokio::test(start_paused = true)]
async fn thousands_of_pods_keep_their_rhythm() {
    let rig = rig();
    let on_change: OnChange = Arc::new(|_| {});
    let (recorder, task) = Recorder::new(rig.written.clone(), "kubelet", "node", rig.clock);
    tokio::spawn(task);
    let probes = Probes::new(rig.runtime.cri(), rig.clock, on_change, recorder);
    let template = pod(Container { readiness_probe: every(10, 1), ..Container::default() });
    for number in 0..2_000 {
        let mut pod = Pod::clone(&template);
        pod.metadata.uid = Some(format!("u{number}"));
        probes.attend(&Arc::new(pod), &running("a", rig.clock.now()));
    }
    rig.pass(95_000).await;
    assert_eq!(rig.asked(), 20_000);
    drop(probes);
    rig.pass(50_000).await;
    assert_eq!(rig.asked(), 20_000, "probing ends with the last handle");
}
