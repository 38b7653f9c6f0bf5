//! Many agents of nodes in one process, each over a container runtime in memory, at a real API server: what they do
//! towards both, and what is left of it when they start again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use client::clock::Clock;
use client::events::Recorder;
use futures::StreamExt;
use futures::future::{BoxFuture, join_all};
use k8s_openapi::api::core::v1::{Event, Node, Pod, ServiceAccount};
use kube::api::{DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use kubelet::agent::{Agent, Means, Options};
use kubelet::cgroups::Cgroups;
use kubelet::containers;
use kubelet::cri::fake::{self, Call, End, Fake};
use kubelet::eviction;
use kubelet::images::{self, Images};
use kubelet::node::object::{About, Facts};
use kubelet::paths::Paths;
use kubelet::volumes::objects::Objects;
use kubelet::volumes::{NodeFacts, Volumes};
use serde_json::json;
use tempfile::TempDir;
use tests::in_process::Server;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How many nodes, and pods on each.
const NODES: usize = 20;
const PODS: usize = 5;
/// How long anything may take.
const WITHIN: Duration = Duration::from_secs(15);

/// A machine that an agent runs on, again and again.
struct Machine {
    name: String,
    runtime: Arc<Fake>,
    files: TempDir,
    client: Client,
}

/// An agent at work.
struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("an agent ends in an orderly way");
    }
}

impl Machine {
    fn new(server: &Server, number: usize) -> Machine {
        let name = format!("node-{number}");
        let local = server.local(&format!("system:node:{name}"), &["system:nodes"]);
        let runtime =
            Fake::new(fake::Options { ranges: vec![format!("10.1.{number}.0/24")], ..fake::Options::default() });
        let files = tempfile::tempdir().expect("a directory");
        Machine { name, runtime, files, client: Client::new(local, "default") }
    }

    /// Starts an agent. Resolves when it knows its pods.
    async fn start(&self) -> Running {
        let below = |name: &str| self.files.path().join(name);
        let paths = Paths { root: below("kubelet"), pod_logs: below("pods"), container_logs: below("containers") };
        let (client, cri, clock) = (self.client.clone(), self.runtime.cri(), Clock::Machine);
        let objects = Objects::new(client.clone());
        let volumes = Volumes::new(&paths, Arc::clone(&objects), client.clone(), clock, NodeFacts::default());
        let (recorder, recording) = Recorder::new(client.clone(), "kubelet", &self.name, clock);
        let amounts = [("cpu", "4"), ("memory", "8Gi"), ("pods", "110"), ("ephemeral-storage", "10Gi")];
        let quantities = |text: &str| k8s_openapi::apimachinery::pkg::api::resource::Quantity(text.to_owned());
        let capacity: BTreeMap<_, _> = amounts.map(|(name, text)| (name.to_owned(), quantities(text))).into();
        let allocatable = amounts.map(|(name, text)| (name.to_owned(), text.parse().expect("a quantity"))).into();
        let options = Options {
            about: About { name: self.name.clone(), port: 10250, ..About::default() },
            facts: Facts { capacity: capacity.clone(), allocatable: capacity, ..Facts::default() },
            node: containers::Node { allocatable, ..containers::Node::default() },
            paths,
            static_pods: None,
            // Nothing here uses what it is said to, and the machine's disk may be full.
            eviction: eviction::Settings { thresholds: Vec::new(), ..eviction::Settings::default() },
            unsafe_sysctls: Vec::new(),
            configuration: json!({}),
            shutdown: None,
        };
        let images = Arc::new(Images::new(cri.clone(), client.clone(), images::Options::default()));
        let cgroups = Arc::new(Cgroups::none());
        let means =
            Means { client, cri, runtime: "fake".to_owned(), clock, images, volumes, objects, cgroups, recorder };
        let agent = Agent::new(options, means);
        let (stop, (up, is_up)) = (CancellationToken::new(), tokio::sync::oneshot::channel());
        let stopping = stop.clone();
        let task = tokio::spawn(async move {
            let running = agent.run(stopping, || up.send(()).unwrap_or(()));
            let recording = async {
                recording.await;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = running => {}
                () = recording => {}
            }
        });
        is_up.await.expect("it comes up");
        Running { stop, task }
    }

    /// How often containers were started.
    fn starts(&self) -> usize {
        self.runtime.subjects(Call::StartContainer).len()
    }
}

fn pod(node: usize, number: usize, restart: &str) -> Pod {
    let pod = json!({
        "metadata": {"name": format!("pod-{node}-{number}")},
        "spec": {
            "nodeName": format!("node-{node}"), "restartPolicy": restart, "terminationGracePeriodSeconds": 1,
            // There is nobody who makes what is mounted with a token.
            "automountServiceAccountToken": false,
            "containers": [{"name": "c", "image": "example.org/c:1"}],
        },
    });
    serde_json::from_value(pod).expect("a pod")
}

/// Waits until all pods are as they should be.
async fn until(pods: &Api<Pod>, what: &str, is_so: impl Fn(&[Pod]) -> bool) {
    let all = async {
        loop {
            let listed = pods.list(&ListParams::default()).await.expect("pods are listed");
            if is_so(&listed.items) {
                return;
            }
            let version = listed.metadata.resource_version.expect("a version");
            let watch = pods.watch(&WatchParams::default(), &version).await.expect("pods are watched");
            // Whatever changes: all are looked at again.
            let _ = watch.boxed().next().await;
        }
    };
    let waited = tokio::time::timeout(WITHIN, all).await;
    if waited.is_err() {
        let listed = pods.list(&ListParams::default()).await.expect("pods are listed");
        let events: Api<Event> = Api::namespaced(pods.clone().into_client(), "default");
        let events = events.list(&ListParams::default()).await.expect("Events are listed");
        let said: BTreeSet<_> = events.items.into_iter().filter_map(|event| event.message).collect();
        panic!("{what}: {:?}; {said:?}", phases(&listed.items));
    }
}

fn phases(pods: &[Pod]) -> BTreeMap<String, usize> {
    let mut phases = BTreeMap::new();
    for pod in pods {
        *phases.entry(phase(pod)).or_default() += 1;
    }
    phases
}

fn phase(pod: &Pod) -> String {
    pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default()
}

fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    statuses.map(|status| status.restart_count).sum()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.clone().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_do_what_the_api_says_and_go_on_where_they_were() {
    let server = Server::start().await;
    let machines: Vec<Machine> = (0..NODES).map(|number| Machine::new(&server, number)).collect();
    let agents = join_all(machines.iter().map(Machine::start)).await;
    let admin = Client::new(server.local("admin", &["system:masters"]), "default");
    let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), "default");
    let account = serde_json::from_value(json!({"metadata": {"name": "default"}})).expect("an account");
    accounts.create(&PostParams::default(), &account).await.expect("an account is made");
    let pods: Api<Pod> = Api::namespaced(admin.clone(), "default");
    for (node, number) in (0..NODES).flat_map(|node| (0..PODS).map(move |number| (node, number))) {
        // The last pod of a node is not started again.
        let restart = if number == PODS - 1 { "Never" } else { "Always" };
        pods.create(&PostParams::default(), &pod(node, number, restart)).await.expect("a pod is made");
    }
    until(&pods, "ready", |all| all.len() == NODES * PODS && all.iter().all(is_ready)).await;
    for machine in &machines {
        machine.runtime.end("default/pod-0-0/c", &End { exit_code: 1, out_of_memory: false });
        machine.runtime.end("default/pod-0-4/c", &End { exit_code: 3, out_of_memory: false });
    }
    until(&pods, "restarted, failed", |all| {
        let one = |name: &str| all.iter().find(|pod| pod.metadata.name.as_deref() == Some(name));
        one("pod-0-0").is_some_and(|pod| restarts(pod) == 1 && is_ready(pod))
            && one("pod-0-4").is_some_and(|pod| phase(pod) == "Failed")
    })
    .await;
    let starts: Vec<usize> = machines.iter().map(Machine::starts).collect();
    join_all(agents.into_iter().map(Running::stop)).await;
    // What is deleted while nobody attends to it is ended by the next agent.
    let now = DeleteParams::default().grace_period(0);
    pods.delete("pod-1-0", &now).await.expect("a pod is deleted");
    let agents = join_all(machines.iter().map(Machine::start)).await;
    gone(&machines[1], PODS - 1).await;
    assert_eq!(starts, machines.iter().map(Machine::starts).collect::<Vec<_>>(), "an agent restarted a container");
    let all: Vec<BoxFuture<'_, ()>> = (0..NODES)
        .flat_map(|node| (0..PODS).map(move |number| format!("pod-{node}-{number}")))
        .filter(|name| name != "pod-1-0")
        .map(|name| {
            let pods = pods.clone();
            Box::pin(async move { drop(pods.delete(&name, &DeleteParams::default()).await.expect("it is deleted")) })
                as _
        })
        .collect();
    join_all(all).await;
    until(&pods, "gone", <[Pod]>::is_empty).await;
    join_all(machines.iter().map(|machine| gone(machine, 0))).await;
    join_all(agents.into_iter().map(Running::stop)).await;
    server.stop().await;
}

/// Waits until a machine's runtime has so many sandboxes.
async fn gone(machine: &Machine, left: usize) {
    let counted = async {
        while machine.runtime.counts().sandboxes != left {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(WITHIN, counted).await;
    assert!(waited.is_ok(), "{}: {:?}", machine.name, machine.runtime.counts());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runtime_that_is_away_makes_the_node_not_ready() {
    let server = Server::start().await;
    let machine = Machine::new(&server, 0);
    let agent = machine.start().await;
    let nodes: Api<Node> = Api::all(Client::new(server.local("admin", &["system:masters"]), "default"));
    ready(&nodes, "True").await;
    machine.runtime.take_away();
    ready(&nodes, "False").await;
    machine.runtime.heal();
    ready(&nodes, "True").await;
    agent.stop().await;
    server.stop().await;
}

/// Waits until the node's condition `Ready` is so.
async fn ready(nodes: &Api<Node>, status: &str) {
    let of = |node: &Node| {
        let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
        conditions.clone().any(|condition| condition.type_ == "Ready" && condition.status == status)
    };
    let waited = tokio::time::timeout(WITHIN, async {
        loop {
            let node = nodes.get("node-0").await.expect("the node is there");
            if of(&node) {
                return;
            }
            let version = node.metadata.resource_version.clone().expect("a version");
            let watch = nodes.watch(&WatchParams::default().fields("metadata.name=node-0"), &version).await;
            let mut events = watch.expect("the node is watched").boxed();
            while let Some(Ok(event)) = events.next().await {
                if let WatchEvent::Modified(node) = event
                    && of(&node)
                {
                    return;
                }
            }
        }
    });
    assert!(waited.await.is_ok(), "the node does not become Ready={status}");
}
