//! A node whose machine shuts down, on paused time: a runtime in memory, an API in memory, and somebody who says so.

use std::collections::BTreeSet;
use std::time::Duration;

use client::events::Recorder;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::agent::{Means, Options};
use crate::cgroups::Cgroups;
use crate::containers;
use crate::cri::fake::{self, Fake, Script, Told, Which};
use crate::eviction::Settings;
use crate::hollow::tests::server::Server;
use crate::images::{self, Images};
use crate::node::object::{About, Facts};
use crate::paths::Paths;
use crate::volumes::objects::Objects;
use crate::volumes::{NodeFacts, Volumes};

const NODE: &str = "node-0";

/// A node at work, and what it is surrounded by.
struct Stage {
    server: Server,
    runtime: Arc<Fake>,
    tell: mpsc::Sender<News>,
    files: TempDir,
    agent: Arc<Agent>,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Stage {
    /// A node that ends pods within 20 seconds, and critical ones within 10 more.
    async fn new() -> Stage {
        let server = Server::new();
        let clock = server.clock();
        let runtime = Fake::new(fake::Options { clock, ..fake::Options::default() });
        let files = tempfile::tempdir().unwrap();
        let (tell, news) = mpsc::channel(1);
        let periods = Periods::new(Duration::from_secs(30), Duration::from_secs(10)).unwrap();
        let below = |name: &str| files.path().join(name);
        let paths = Paths { root: below("kubelet"), pod_logs: below("pods"), container_logs: below("containers") };
        std::fs::create_dir_all(&paths.root).unwrap();
        let (client, cri) = (server.client(NODE), runtime.cri());
        let objects = Objects::new(client.clone());
        let volumes = Volumes::new(&paths, Arc::clone(&objects), client.clone(), clock, NodeFacts::default());
        let (recorder, recording) = Recorder::new(client.clone(), "kubelet", NODE, clock);
        let amounts = [("cpu", "4"), ("memory", "8Gi"), ("pods", "110"), ("ephemeral-storage", "10Gi")];
        let capacity = amounts.map(|(name, text)| (name.to_owned(), Quantity(text.to_owned())));
        let allocatable = amounts.map(|(name, text)| (name.to_owned(), text.parse().unwrap())).into();
        let options = Options {
            about: About { name: NODE.to_owned(), ..About::default() },
            facts: Facts { capacity: capacity.clone().into(), allocatable: capacity.into(), ..Facts::default() },
            node: containers::Node { allocatable, ..containers::Node::default() },
            paths,
            static_pods: None,
            eviction: Settings { thresholds: Vec::new(), ..Settings::default() },
            configuration: json!({}),
            unsafe_sysctls: Vec::new(),
            shutdown: Some(Shutdown { periods, news }),
        };
        let images = Arc::new(Images::new(cri.clone(), client.clone(), images::Options::default()));
        let cgroups = Arc::new(Cgroups::none());
        let means =
            Means { client, cri, runtime: "fake".to_owned(), clock, images, volumes, objects, cgroups, recorder };
        let agent = Agent::new(options, means);
        let stop = CancellationToken::new();
        let (ran, stopping) = (Arc::clone(&agent), stop.clone());
        let running = tokio::spawn(async move {
            tokio::join!(ran.run(stopping.clone(), || {}), stopping.run_until_cancelled(recording));
        });
        Stage { server, runtime, tell, files, agent, stop, running }
    }

    /// Binds a pod that takes so long to end when it is told to, and may take `grace`.
    fn bind(&self, name: &str, priority: i32, takes: u64, grace: u64) {
        let told = Told::Ends(Duration::from_secs(takes), 0);
        self.runtime.script(Which::Container(name.to_owned()), Script { told, ..Script::default() });
        let spec = json!({
            "restartPolicy": "Always", "priority": priority, "terminationGracePeriodSeconds": grace,
            "containers": [{"name": name, "image": "example.org/c:1"}],
        });
        self.server.bind(name, NODE, spec);
    }

    /// Says that the machine is about to shut down. Gives what is dropped when the node lets it.
    async fn shut_down(&self) -> mpsc::Receiver<()> {
        let (held, released) = mpsc::channel(1);
        self.tell.send(News::ShutsDown(Hold::new(held))).await.unwrap();
        released
    }

    fn status(&self, pod: &str) -> Value {
        self.server.pod(pod).unwrap()["status"].clone()
    }

    fn phases(&self, pods: &[&str]) -> Vec<String> {
        pods.iter().map(|pod| self.status(pod)["phase"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// What the Node says of whether it is ready.
    fn ready(&self) -> [String; 3] {
        let node = self.server.get("/api/v1/nodes/node-0").unwrap();
        let conditions = node["status"]["conditions"].as_array().unwrap();
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready").unwrap();
        ["status", "reason", "message"].map(|field| ready[field].as_str().unwrap().to_owned())
    }

    /// When the machine was shut down last, as it is known after that.
    fn last(&self) -> Last {
        let text = std::fs::read(self.files.path().join("kubelet").join(STATE)).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    async fn stop(self) {
        self.stop.cancel();
        self.running.await.unwrap();
    }
}

const WELL: [&str; 3] = ["True", "KubeletReady", "kubelet is posting ready status"];
const ENDING: [&str; 3] = ["False", "KubeletNotReady", "node is shutting down"];

/// Lets so many seconds pass, on the clock that is paused.
async fn pass(seconds: u64) {
    let _ = timeout(Duration::from_secs(seconds), std::future::pending::<()>()).await;
}

#[tokio::test(start_paused = true)]
async fn pods_end_in_their_order_before_the_machine_is_let_go() {
    let stage = Stage::new().await;
    stage.bind("quick", 0, 2, 60);
    stage.bind("slow", 100, 15, 600);
    stage.bind("critical", 2_000_000_000, 5, 60);
    pass(30).await;
    let all = ["quick", "slow", "critical"];
    assert_eq!(stage.phases(&all), ["Running"; 3]);
    assert_eq!(stage.ready(), WELL);

    let began = Instant::now();
    let mut released = stage.shut_down().await;
    pass(1).await;
    assert_eq!(stage.ready(), ENDING, "it is said at once");
    stage.bind("late", 2_000_000_000, 0, 1);
    pass(4).await;
    let status = stage.status("late");
    assert_eq!([&status["phase"], &status["reason"]], ["Failed", "NodeShutdown"]);
    assert_eq!(status["message"], "Pod was rejected: Pod was rejected as the node is shutting down.");
    assert_eq!(stage.phases(&all), ["Failed", "Running", "Running"]);
    assert!(released.try_recv() == Err(mpsc::error::TryRecvError::Empty), "pods have not ended yet");
    // The critical one goes when the others have.
    pass(12).await;
    assert_eq!(stage.phases(&all), ["Failed", "Failed", "Running"]);
    released.recv().await;
    let took = began.elapsed().as_secs();
    assert!((20..25).contains(&took), "{took}");
    assert_eq!(stage.phases(&all), ["Failed"; 3], "what became of them is known before the machine goes");
    for pod in all {
        let status = stage.status(pod);
        assert_eq!(status["reason"], "Terminated", "{pod}");
        assert_eq!(status["message"], "Pod was terminated in response to imminent node shutdown.");
        let conditions = status["conditions"].as_array().unwrap();
        let target = conditions.iter().find(|condition| condition["type"] == "DisruptionTarget").unwrap();
        assert_eq!(target["reason"], "TerminationByKubelet");
    }
    let last = stage.last();
    let lasted = last.end_time.unwrap().duration_since(last.start_time.unwrap()).as_secs();
    assert!((20..25).contains(&lasted), "{lasted}");
    assert_eq!(stage.ready(), ENDING, "the machine is about to go");
    stage.stop().await;
}

#[tokio::test(start_paused = true)]
async fn no_pod_has_longer_than_its_turn() {
    let stage = Stage::new().await;
    stage.bind("stubborn", 0, 10_000, 10_000);
    stage.bind("critical", 2_000_000_000, 10_000, 10_000);
    pass(30).await;
    // It is being ended for another reason, which may take longer than there is time now.
    let entry = stage.agent.pods.named("default", "stubborn").unwrap();
    let why = crate::pod_plan::Verdict { reason: "Evicted".to_owned(), message: "for another reason".to_owned() };
    entry.condemn(Condemned { why, grace: None, disruption: None });
    pass(5).await;
    let began = Instant::now();
    let mut released = stage.shut_down().await;
    pass(19).await;
    assert_eq!(stage.phases(&["stubborn", "critical"]), ["Running"; 2]);
    released.recv().await;
    // What does not end is killed when its time is over.
    let took = began.elapsed().as_secs();
    assert!((29..35).contains(&took), "{took}");
    pass(5).await;
    assert_eq!(stage.phases(&["stubborn", "critical"]), ["Failed"; 2]);
    assert_eq!([&stage.status("stubborn")["reason"], &stage.status("critical")["reason"]], ["Evicted", "Terminated"]);
    stage.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_goes_on_has_a_node_that_does() {
    let stage = Stage::new().await;
    stage.bind("quick", 0, 15, 60);
    stage.bind("critical", 2_000_000_000, 0, 60);
    stage.tell.send(News::GoesOn).await.unwrap();
    pass(30).await;
    let mut released = stage.shut_down().await;
    pass(5).await;
    assert_eq!(stage.ready(), ENDING);
    stage.tell.send(News::GoesOn).await.unwrap();
    released.recv().await;
    pass(20).await;
    assert_eq!(stage.ready(), WELL);
    assert_eq!(stage.phases(&["quick", "critical"]), ["Failed", "Running"], "whose turn had not come stays");
    stage.bind("late", 0, 0, 1);
    pass(5).await;
    assert_eq!(stage.phases(&["late"]), ["Running"], "pods are taken again");
    let events = stage.server.list("/api/v1/namespaces/default/events");
    let said = events.iter().filter(|event| event["reason"] == REASON).map(|event| event["message"].as_str().unwrap());
    assert_eq!(said.collect::<BTreeSet<_>>(), BTreeSet::from([BEGINS, CALLED_OFF]));
    // The next time all of them end.
    stage.shut_down().await.recv().await;
    assert_eq!(stage.phases(&["critical", "late"]), ["Failed"; 2]);
    stage.stop().await;
}
