//! An agent between an API and a runtime that are in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use client::clock::Clock;
use client::events::Recorder;
use client::testing::{Asked, FakeServer};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::agent::{Agent, Means, Options};
use crate::cgroups::Cgroups;
use crate::containers;
use crate::cri::fake::{self, Fake, Offer, Takes};
use crate::eviction;
use crate::images::{self, Images};
use crate::node::object::{About, Facts};
use crate::paths::Paths;
use crate::volumes::objects::Objects;
use crate::volumes::{NodeFacts, Volumes};

/// The node.
pub(super) const NODE: &str = "n";
/// How long things take: long enough that nothing is overtaken.
const TAKES: Takes = Takes {
    sandbox: Duration::from_millis(300),
    container: Duration::from_millis(100),
    start: Duration::from_millis(100),
    pull: Duration::from_secs(2),
};

/// What is set up otherwise than usual.
#[derive(Default)]
pub(super) struct Setup {
    /// Whether the runtime heeds which further groups users are to be in.
    pub(super) strict_groups: bool,
    /// Unsafe kernel parameters that pods may set.
    pub(super) unsafe_sysctls: Vec<String>,
}

/// An agent, and what it works between.
pub(super) struct Stage {
    pub(super) server: FakeServer,
    pub(super) runtime: Arc<Fake>,
    pub(super) agent: Arc<Agent>,
    pub(super) clock: Clock,
    stop: CancellationToken,
    task: JoinHandle<()>,
    files: TempDir,
}

impl Stage {
    /// With an agent that knows its pods.
    pub(super) async fn new() -> Stage {
        Stage::with(Setup::default()).await
    }

    /// The same, set up otherwise.
    pub(super) async fn with(setup: Setup) -> Stage {
        let clock = Clock::simulated(Timestamp::from_second(1_772_366_400).unwrap());
        let strict_groups = setup.strict_groups;
        let options = fake::Options { clock, takes: TAKES, strict_groups, ..fake::Options::default() };
        let (server, runtime, files) = (FakeServer::new(), Fake::new(options), tempfile::tempdir().unwrap());
        // Answers that take no time would have nothing happen while something is asked.
        server.take(Duration::from_millis(5));
        Stage::begin(server, runtime, files, (clock, setup)).await
    }

    async fn begin(server: FakeServer, runtime: Arc<Fake>, files: TempDir, (clock, setup): (Clock, Setup)) -> Stage {
        let (agent, recording) = agent(&server, &runtime, &files, (clock, setup));
        let (stop, (up, is_up)) = (CancellationToken::new(), tokio::sync::oneshot::channel());
        let (stopping, running) = (stop.clone(), Arc::clone(&agent));
        let task = tokio::spawn(async move {
            let recording = async {
                recording.await;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = running.run(stopping, || up.send(()).unwrap()) => {}
                () = recording => {}
            }
        });
        is_up.await.unwrap();
        Stage { server, runtime, agent, clock, stop, task, files }
    }

    /// Binds a pod to the node.
    pub(super) fn bind(&self, name: &str, mut spec: Value) {
        spec["nodeName"] = json!(NODE);
        let created = self.clock.now().to_string();
        let metadata = json!({
            "name": name, "namespace": "d", "uid": format!("uid-{name}"), "generation": 1, "creationTimestamp": created,
        });
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec,
            "status": {"phase": "Pending", "qosClass": "BestEffort"},
        });
        self.server.put(&path(name), pod);
    }

    /// Has an image be there, so that it needs no pull.
    pub(super) fn have_image(&self, name: &str) {
        self.runtime.add_image(&Offer::named(name));
    }

    /// Changes a pod, as somebody else.
    pub(super) fn overwrite(&self, name: &str, change: Value) {
        let pod = api::patch::merge::apply(&self.pod(name), change).unwrap();
        self.server.put(&path(name), pod);
    }

    /// The pod as the API has it.
    pub(super) fn pod(&self, name: &str) -> Value {
        self.server.get(&path(name)).unwrap_or_default()
    }

    /// Waits until the pod is as it is to be.
    pub(super) async fn until(&self, name: &str, what: impl Fn(&Value) -> bool) {
        let waited = timeout(Duration::from_secs(60), async {
            while !what(&self.pod(name)) {
                self.pass(Duration::from_millis(10)).await;
            }
        });
        assert!(waited.await.is_ok(), "{:#}", self.pod(name));
    }

    /// Has time pass.
    pub(super) async fn pass(&self, time: Duration) {
        assert!(timeout(time, std::future::pending::<()>()).await.is_err());
    }

    /// What was written of a pod's status, the oldest first.
    pub(super) fn writes(&self, name: &str) -> Vec<Value> {
        let of_status = |asked: &Asked| asked.method == "PATCH" && asked.path == format!("{}/status", path(name));
        self.server.asked().into_iter().filter(of_status).map(|asked| asked.body["status"].clone()).collect()
    }

    /// How often the runtime was asked what about a pod or its containers.
    pub(super) fn calls(&self, name: &str) -> BTreeMap<String, usize> {
        let mut calls = BTreeMap::new();
        let about = format!("d/{name}");
        for asked in self.runtime.asked().iter().filter(|asked| asked.subject.starts_with(&about)) {
            *calls.entry(format!("{:?}", asked.call)).or_default() += 1;
        }
        calls
    }

    /// With another agent, set up as usual, that goes on where this one was.
    pub(super) async fn restarted(self) -> Stage {
        let Stage { server, runtime, agent, clock, stop, task, files } = self;
        stop.cancel();
        drop(agent);
        task.await.unwrap();
        Stage::begin(server, runtime, files, (clock, Setup::default())).await
    }

    /// Ends the agent.
    pub(super) async fn end(self) {
        self.stop.cancel();
        drop(self.agent);
        self.task.await.unwrap();
        drop(self.files);
    }

    /// Removes a pod from the API at once, as somebody else.
    pub(super) fn delete(&self, name: &str) {
        self.server.remove(&path(name));
    }
}

impl Agent {
    /// What its server would say to who asks for metrics.
    pub(super) fn metrics_text(&self) -> String {
        self.metrics.written()
    }
}

fn path(name: &str) -> String {
    format!("/api/v1/namespaces/d/pods/{name}")
}

fn agent(
    server: &FakeServer,
    runtime: &Arc<Fake>,
    files: &TempDir,
    (clock, setup): (Clock, Setup),
) -> (Arc<Agent>, impl Future<Output = ()> + Send + 'static) {
    let below = |name: &str| files.path().join(name);
    let paths = Paths { root: below("kubelet"), pod_logs: below("pods"), container_logs: below("containers") };
    let (client, cri) = (server.client(), runtime.cri());
    let objects = Objects::new(client.clone());
    let volumes = Volumes::new(&paths, Arc::clone(&objects), client.clone(), clock, NodeFacts::default());
    let (recorder, recording) = Recorder::new(client.clone(), "kubelet", NODE, clock);
    let amounts = [("cpu", "4"), ("memory", "8Gi"), ("pods", "110")];
    let capacity: BTreeMap<_, _> =
        amounts.map(|(name, text)| (name.to_owned(), Quantity(text.to_owned()))).into_iter().collect();
    let allocatable = amounts.map(|(name, text)| (name.to_owned(), text.parse().unwrap())).into_iter().collect();
    let options = Options {
        about: About { name: NODE.to_owned(), port: 10250, ..About::default() },
        facts: Facts { capacity: capacity.clone(), allocatable: capacity, ..Facts::default() },
        node: containers::Node { allocatable, ..containers::Node::default() },
        paths,
        static_pods: None,
        // The machine's disk may be full.
        eviction: eviction::Settings { thresholds: Vec::new(), ..eviction::Settings::default() },
        unsafe_sysctls: setup.unsafe_sysctls,
        configuration: json!({}),
        shutdown: None,
    };
    let images = Arc::new(Images::new(cri.clone(), client.clone(), images::Options::default()));
    let cgroups = Arc::new(Cgroups::none());
    let means = Means { client, cri, runtime: "fake".to_owned(), clock, images, volumes, objects, cgroups, recorder };
    (Agent::new(options, means), recording)
}
