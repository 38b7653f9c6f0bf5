//! The parts of a simulated cluster, each of which may crash at any time and starts again a while later.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use api::quantity::{Format, Quantity};
use apiserver::Admission;
use apiserver::core::{Core, Parts};
use apiserver::engine::{Location, Surroundings};
use apiserver::resources::Config;
use apiserver::serve::Limits;
use client::cache::Cache;
use client::clock::Clock;
use controller_manager::controllers;
use controller_manager::driver::{Environment, Manager, Selection};
use jiff::Timestamp;
use kubelet::hollow::Capacity;
use scheduler::config::Configuration;
use scheduler::driver::Scheduler;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Outcome;
use super::crowd::{NODE_CPU, NODES};
use super::disk::{Disk, SimulatedBackend};
use super::faults::Faults;
use super::invariants::Invariants;
use super::network::Network;

/// When simulated time begins.
const BEGIN: i64 = 1_772_366_400;
/// How long a part runs at most before it is decided whether it crashes, and how long it is away then.
const BETWEEN_CRASHES: Duration = Duration::from_secs(90);
const AWAY: Duration = Duration::from_secs(10);

/// A cluster that runs.
pub struct Cluster {
    /// What goes wrong.
    pub faults: Faults,
    /// How its parts reach each other.
    pub network: Network,
    /// What it has written.
    pub disk: Disk,
    /// What time it is in it.
    pub clock: Clock,
    tasks: JoinSet<()>,
}

/// Where the API server gets the time and random bits from.
struct Simulated {
    clock: Clock,
    faults: Faults,
}

impl Surroundings for Simulated {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn random(&self) -> u64 {
        self.faults.bits()
    }
}

impl Cluster {
    /// Starts a cluster without a scheduler, whose faults follow from `seed`.
    #[must_use]
    pub fn start(seed: u64) -> Cluster {
        let faults = Faults::new(seed);
        let clock = Clock::simulated(Timestamp::from_second(BEGIN).expect("it is within the calendar"));
        let network = Network::new(faults.clone());
        let disk = Disk::new(Invariants::default());
        let mut tasks = JoinSet::new();
        let (server_faults, server_network, server_disk) = (faults.clone(), network.clone(), disk.clone());
        tasks.spawn(crashing(faults.clone(), move || {
            serve(server_disk.clone(), server_network.clone(), server_faults.clone(), clock)
        }));
        let controllers = network.clone();
        tasks.spawn(crashing(faults.clone(), move || control(controllers.clone(), clock)));
        let nodes = network.clone();
        tasks.spawn(crashing(faults.clone(), move || hollow(nodes.clone(), seed, clock)));
        Cluster { faults, network, disk, clock, tasks }
    }

    /// Starts the scheduler.
    pub fn schedule(&mut self, seed: u64) {
        let (network, disk, clock) = (self.network.clone(), self.disk.clone(), self.clock);
        self.tasks.spawn(crashing(self.faults.clone(), move || schedule(network.clone(), disk.clone(), seed, clock)));
    }

    /// Lets nothing go wrong any more.
    pub fn heal(&self) {
        self.faults.heal();
    }

    /// Ends everything.
    pub async fn end(mut self) -> Outcome {
        self.tasks.shutdown().await;
        let placed = self.disk.invariants(|invariants| invariants.placement.counts());
        Outcome { history: self.disk.history(), faults: self.faults.injected(), placed }
    }
}

/// Runs a part, and lets it crash now and then.
async fn crashing<W: Future<Output = ()> + Send + 'static>(faults: Faults, start: impl Fn() -> W) {
    loop {
        let life = async {
            loop {
                sleep(faults.up_to(BETWEEN_CRASHES)).await;
                if faults.strikes(3) {
                    return;
                }
            }
        };
        let mut part = JoinSet::new();
        part.spawn(start());
        tokio::select! {
            biased;
            ended = part.join_next() => {
                if let Some(Err(error)) = ended
                    && error.is_panic()
                {
                    std::panic::resume_unwind(error.into_panic());
                }
            }
            () = life => {}
        }
        part.shutdown().await;
        sleep(faults.up_to(AWAY)).await;
    }
}

/// Takes a server off the network when it crashes, and lets it write nothing more.
struct Life {
    alive: Arc<AtomicBool>,
    network: Network,
    core: Option<Arc<Core>>,
}

impl Drop for Life {
    fn drop(&mut self) {
        self.alive.store(false, Ordering::Relaxed);
        self.network.connect(None);
        if let Some(core) = &self.core {
            core.stopping().cancel();
        }
    }
}

/// Runs an API server until it is dropped; or until it cannot start.
async fn serve(disk: Disk, network: Network, faults: Faults, clock: Clock) {
    let alive = Arc::new(AtomicBool::new(true));
    let mut life = Life { alive: Arc::clone(&alive), network: network.clone(), core: None };
    let random = faults.clone();
    let parts = Parts {
        backend: Arc::new(SimulatedBackend::new(disk, faults.clone(), alive)),
        encryption: apiserver::encryption::Encryption::default(),
        alone: true,
        config: Config { seed: faults.bits(), ..Config::default() },
        location: Location { ip: None, port: 6443 },
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 6443)),
        tokens: None,
        oidc: None,
        issuer: None,
        proxy: apiserver::proxy::Options::default(),
        admission: Admission::default(),
        limits: Limits::default(),
        surroundings: Arc::new(Simulated { clock, faults }),
        audit: None,
        clock: Arc::new(move || SystemTime::UNIX_EPOCH + since_epoch(clock)),
        random: Arc::new(move || u128::from(random.bits())),
    };
    // Its disk may fail it, as a client's requests.
    let Ok(core) = Core::open(parts).await else { return };
    let core = Arc::new(core);
    life.core = Some(Arc::clone(&core));
    network.connect(Some(core));
    std::future::pending::<()>().await;
}

fn since_epoch(clock: Clock) -> Duration {
    Duration::try_from(clock.now().duration_since(Timestamp::UNIX_EPOCH)).unwrap_or_default()
}

/// Runs the controllers until it is dropped.
async fn control(network: Network, clock: Clock) {
    let environment = Environment {
        client: network.client("system:kube-controller-manager", &[]),
        cache: Cache::new(),
        clock,
        instance: "simulated".to_owned(),
        authority: None,
    };
    let mut manager = Manager::new(environment, Selection::default());
    controllers::add_all(&mut manager, &controllers::Config::default());
    manager.run().await;
}

/// Runs the scheduler until it is dropped.
async fn schedule(network: Network, disk: Disk, seed: u64, clock: Clock) {
    let number = disk.invariants(|invariants| invariants.placement.begin());
    let sent = move |binding: &Value| {
        let (uid, node) = (&binding["metadata"]["uid"], &binding["target"]["name"]);
        let [uid, node] = [uid, node].map(|value| value.as_str().unwrap_or_default());
        disk.invariants(|invariants| invariants.placement.ask(number, uid, node));
    };
    let environment = scheduler::driver::Environment {
        client: network.binding_client("system:kube-scheduler", Arc::new(sent)),
        cache: Cache::new(),
        shared: false,
        clock,
        instance: "simulated".to_owned(),
        seed,
    };
    let scheduler = Scheduler::new(environment, &Configuration::default());
    scheduler.expect("the default configuration is good").run().await;
}

/// Runs the nodes until it is dropped.
async fn hollow(network: Network, seed: u64, clock: Clock) {
    let cpu = Quantity::from_milli(NODE_CPU, Format::DecimalSi);
    let capacity = Capacity { cpu, ..Capacity::default() };
    let options = kubelet::hollow::Options { nodes: NODES, capacity, seed, ..kubelet::hollow::Options::default() };
    let options = options.validated().expect("they are few, and otherwise as by default");
    let connect = |name: &str| network.client(&format!("system:node:{name}"), &["system:nodes"]);
    kubelet::hollow::run(options, connect, clock, CancellationToken::new(), || {}).await;
}
