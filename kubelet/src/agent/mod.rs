//! Puts the parts of a node together: where pods come from, a worker for each, and what becomes of them.
//!
//! A node's agent is started once its runtime can be asked. It ends when it is told to, and leaves everything that runs as
//! it is: the next one goes on with it.

mod admit;
mod applied;
mod carry;
mod echo;
mod evict;
mod files;
mod granted;
mod house;
mod known;
mod last_words;
mod observe;
mod pods;
mod relist;
mod resize;
mod says;
mod serve;
mod shutdown;
mod start;
mod startup;
mod static_pods;
mod status;
mod stop;
#[cfg(test)]
mod tests;
mod view;
mod worker;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use client::cache::ListWatch;
use client::clock::Clock;
use client::events::Recorder;
use client::resource::Resource;
use client::told::Told;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Client;
use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cgroups::Cgroups;
use crate::cri::Cri;
use crate::eviction::Settings;
use crate::images::Images;
use crate::lifecycle::Probes;
use crate::node::keep::{Describes, Intervals, Keeper};
use crate::node::object::{self, About, Facts, Health};
use crate::paths::Paths;
use crate::pod_plan::Host;
use crate::server::Metrics;
use crate::stats::Collector;
use crate::volumes::Volumes;
use crate::volumes::objects::Objects;
use carry::Hands;
use known::Known;
use observe::Observer;
use pods::Pods;
use relist::Pulse;
use says::Voice;
pub use serve::Door;
pub use shutdown::Shutdown;
use status::Writer;
use worker::Worker;

/// Upstream's intervals.
const INTERVALS: Intervals = Intervals {
    lease: Duration::from_secs(40),
    renew: Duration::from_secs(10),
    report: Duration::from_secs(300),
    check: Some(Duration::from_secs(10)),
};

/// How long it is waited for what the runtime says of itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// What an agent is told.
pub struct Options {
    /// What is decided about the node.
    pub about: About,
    /// What the machine is.
    pub facts: Facts,
    /// What pods need to know of the machine.
    pub node: crate::containers::Node,
    /// Where things are.
    pub paths: Paths,
    /// The directory of static pods.
    pub static_pods: Option<PathBuf>,
    /// When pods have to go.
    pub eviction: Settings,
    /// Unsafe kernel parameters that pods may set.
    pub unsafe_sysctls: Vec<String>,
    /// All that was configured, as a `KubeletConfiguration`, for those who ask.
    pub configuration: Value,
    /// How pods end when the machine shuts down; at once, with all else, without it.
    pub shutdown: Option<Shutdown>,
}

/// What an agent works with.
pub struct Means {
    /// The API, as the node.
    pub client: Client,
    /// The runtime.
    pub cri: Cri,
    /// The runtime's name.
    pub runtime: String,
    /// The time.
    pub clock: Clock,
    /// Images.
    pub images: Arc<Images>,
    /// Volumes.
    pub volumes: Arc<Volumes>,
    /// The objects that pods refer to.
    pub objects: Arc<Objects>,
    /// Cgroups.
    pub cgroups: Arc<Cgroups>,
    /// What records Events.
    pub recorder: Recorder,
}

/// A node's agent.
pub struct Agent {
    node_name: String,
    client: Client,
    clock: Clock,
    runtime: String,
    static_pods: Option<PathBuf>,
    eviction: Settings,
    unsafe_sysctls: Vec<String>,
    /// Until somebody attends to it.
    shutdown: Mutex<Option<Shutdown>>,
    configuration: Value,
    figures: OnceLock<Arc<Collector>>,
    pods: Arc<Pods>,
    writer: Writer,
    observer: Observer,
    probes: Probes,
    /// What it did and does, for who asks the node.
    metrics: Arc<Metrics>,
    hands: Hands,
    recorder: Voice,
    known: Arc<Known>,
    keeper: Keeper<Described>,
    state: Arc<State>,
    pulse: Pulse,
    workers: TaskTracker,
    stopping: CancellationToken,
    /// Whether the files of static pods have been read.
    files_known: AtomicBool,
}

/// What there is to be said of the node.
struct Described {
    about: About,
    facts: Facts,
    state: Arc<State>,
}

/// How the agent is.
struct State {
    health: Mutex<Health>,
    /// Whether the runtime was asked how it is.
    asked: Told<bool>,
}

impl State {
    fn new() -> State {
        // Upstream's words.
        let unknown = "container runtime status check may not have completed yet".to_owned();
        let health = Health { problems: vec![unknown], ..Health::default() };
        State { health: Mutex::new(health), asked: Told::new(false) }
    }

    /// Waits until the runtime was asked how it is, and so what it can do; but not for long.
    async fn asked(&self) {
        let _ = tokio::time::timeout(PATIENCE, self.asked.wait(|asked| asked.then_some(()))).await;
    }
}

impl Describes for Described {
    fn node(&self, now: Timestamp) -> Node {
        object::node(&self.about, &self.facts, &self.state.health.lock(), now)
    }

    // Whoever makes pods' networks watches Nodes.
    fn learn(&self, _: &Node) {}
}

/// What tells the worker of a pod something, by the pod's uid.
fn telling(agent: &Weak<Agent>, tell: fn(&pods::Entry)) -> Arc<dyn Fn(&str) + Send + Sync> {
    let agent = agent.clone();
    Arc::new(move |uid| {
        if let Some(entry) = agent.upgrade().and_then(|agent| agent.pods.get(uid)) {
            tell(&entry);
        }
    })
}

impl Agent {
    /// An agent that has not begun.
    #[must_use]
    pub fn new(options: Options, means: Means) -> Arc<Agent> {
        let Options { about, facts, node, paths, static_pods, eviction, unsafe_sysctls, configuration, shutdown } =
            options;
        let Means { client, cri, runtime, clock, images, volumes, objects, cgroups, recorder } = means;
        let node_name = about.name.clone();
        let known = Arc::new(Known::new(client.clone(), &node_name));
        known.set_machine(node, object::first_addresses(&facts.addresses));
        let voice = Voice::new(recorder, &node_name);
        let metrics = Arc::new(Metrics::new(&node_name));
        let cri = metrics.counting(&cri);
        let hands = Hands {
            cri: cri.clone(),
            client: client.clone(),
            clock,
            paths,
            voice: voice.clone(),
            images,
            volumes,
            objects,
            cgroups,
            known: Arc::clone(&known),
        };
        let state = Arc::new(State::new());
        let described = Described { about, facts, state: Arc::clone(&state) };
        let random = StdRng::from_rng(&mut rand::rng());
        let keeper = Keeper::new(client.clone(), clock, &node_name, INTERVALS, described, random);
        Arc::new_cyclic(|agent: &Weak<Agent>| {
            let begin = agent.clone();
            let pods = Arc::new(Pods::new(move |entry| {
                if let Some(agent) = begin.upgrade() {
                    agent.begin(entry);
                }
            }));
            hands.objects.subscribe(telling(agent, |entry| entry.change(|want| want.chances += 1)));
            let on_change = telling(agent, pods::Entry::poke);
            let probes = Probes::new(cri.clone(), clock, on_change, voice.recorder().clone());
            probes.tell_looks(metrics.looks());
            Agent {
                node_name,
                client: client.clone(),
                clock,
                runtime,
                static_pods,
                eviction,
                unsafe_sysctls,
                shutdown: Mutex::new(shutdown),
                configuration,
                figures: OnceLock::new(),
                writer: Writer::new(client, Arc::clone(&pods), (Arc::clone(&metrics), clock)),
                pods,
                observer: Observer::new(cri),
                probes,
                metrics,
                hands,
                recorder: voice,
                known,
                keeper,
                state,
                pulse: Pulse::new(),
                workers: TaskTracker::new(),
                stopping: CancellationToken::new(),
                files_known: AtomicBool::new(false),
            }
        })
    }

    /// Works until `stop` is cancelled. `ready` is told when the node is registered and knows its pods.
    pub async fn run(self: &Arc<Self>, stop: CancellationToken, ready: impl FnOnce()) {
        let watch = ListWatch::telling(self.client.clone(), Arc::clone(&self.pods), Resource::of::<Pod>())
            .selecting(format!("spec.nodeName={}", self.node_name));
        let api = async {
            // So that the node says from the first whether it is ready, and what its runtime can do.
            self.state.asked().await;
            self.keeper.register().await;
            // Whether it takes a pod depends on its labels.
            self.known.node_known().await;
            tokio::join!(watch.tell::<Pod>(), self.keeper.keep_lease(), self.keeper.keep_reporting());
        };
        let come_up = async {
            self.pods.listed().await;
            ready();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = api => {}
            () = come_up => {}
            () = self.known.keep() => {}
            () = self.writer.run() => {}
            () = self.keep_relisting() => {}
            () = self.keep_static_pods(self.static_pods.as_deref()) => {}
            () = self.keep_house() => {}
            () = self.keep_volumes_fresh() => {}
            () = self.keep_logs_small() => {}
            () = self.keep_room() => {}
            () = self.keep_shutdown() => {}
        }
        self.stopping.cancel();
        self.workers.close();
        self.workers.wait().await;
    }

    /// Gives a pod a worker.
    fn begin(self: Arc<Self>, entry: Arc<pods::Entry>) {
        self.admit(&entry);
        let stopping = self.stopping.clone();
        let tasks = self.workers.clone();
        let worker = Worker::new(self, entry);
        tasks.spawn(async move {
            // What it was about to do is done by the next agent.
            stopping.run_until_cancelled(worker.live()).await;
        });
    }

    /// What decisions about pods need to know of the node.
    fn host(&self) -> Host {
        Host { runtime: self.runtime.clone(), addresses: self.known.addresses(), longest_back_off: None }
    }

    /// That the files of static pods have been read.
    fn know_files(&self) {
        self.files_known.store(true, Ordering::Relaxed);
    }

    /// Whether it is known which pods are wanted, so that others can be ended.
    fn knows_what_is_wanted(&self) -> bool {
        self.files_known.load(Ordering::Relaxed) && self.pods.is_listed()
    }
}
