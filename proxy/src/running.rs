//! All of it, at an API server: what is watched, who is answered, and the machine's own kernel.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use client::cache::{Cache, ListWatch};
use client::clock::Clock;
use client::events::{EventType, Recorder};
use client::resource::Resource;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{Namespace, Node, ObjectReference, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Client;
use nft::{KernelError, Table, Watch};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Duration, sleep};
use tokio_util::sync::CancellationToken;

use crate::conntrack::{self, Forgetting};
use crate::dns::address;
use crate::driver::{Disturbed, Driver, FAMILIES, HEADLESS, PROXY_NAME, Setting, Timing};
use crate::health::{Checks, Health};
use crate::http::{Answers, serve};
use crate::metrics::Metrics;
use crate::node::NodePorts;
use crate::{addresses, announce, driver, rules};

/// The name that Events are recorded under: upstream's.
const COMPONENT: &str = "kube-proxy";
/// When an address that was not to be had is tried again (upstream's time).
const RETRY: Duration = Duration::from_secs(5);

/// Answers names of the cluster, out of a cache of all Services, EndpointSlices and Namespaces, until it is stopped.
pub type Dns = Box<dyn FnOnce(Cache, CancellationToken) -> BoxFuture<'static, ()> + Send>;

/// How a proxy is to run.
pub struct Options {
    /// The name of the node that this is.
    pub node: String,
    /// At which of the machine's addresses node ports are.
    pub node_ports: NodePorts,
    /// Cluster IPs that the node answers itself.
    pub answered: BTreeSet<IpAddr>,
    /// Where it is told whether the proxy works, if anywhere.
    pub healthz: Option<SocketAddr>,
    /// Where it is told how well it works, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// What answers names, if it is to be done here.
    pub dns: Option<Dns>,
    /// What time it is.
    pub clock: Clock,
}

/// Makes Services reachable on this machine until it is stopped. Its rules stay then.
pub async fn run(client: Client, options: Options, stop: CancellationToken) {
    let Options { node, node_ports, answered, healthz, metrics: metrics_at, dns, clock } = options;
    let (cache, metrics, checks) = (Cache::new(), Metrics::new(), Checks::default());
    let health = Health::new(clock, metrics.clone());
    let (recorder, recording) = Recorder::new(client.clone(), COMPONENT, &node, clock);
    let mut tasks = JoinSet::new();
    tasks.spawn(recording);
    keep(&mut tasks, &client, &cache, &node, dns.is_some());
    tasks.spawn(checks.clone().run(health.clone(), recorder.clone(), node.clone()));
    if let Some(address) = healthz {
        let health = health.clone();
        tasks.spawn(answer_at("health", address, Arc::new(move |path| health.answer(path))));
    }
    if let Some(address) = metrics_at {
        let metrics = metrics.clone();
        tasks.spawn(answer_at("metrics", address, Arc::new(move |path| metrics.answer(path))));
    }
    say_that_it_starts(&recorder, &node);
    let names = dns.map(|dns| dns(cache.clone(), stop.clone()));
    let (announced, announcer) = (cache.clone(), node.clone());
    let timing = Timing::default();
    let setting = Setting { node, node_ports, answered, cache, health, checks, metrics, recorder, clock, timing };
    let mut machine = Machine::default();
    let watch = machine.filter.watch(FAMILIES.map(|family| (family, rules::TABLE.into())));
    let driver: Driver<Machine> = Driver::new(setting, machine);
    match watch {
        Ok(watch) => drop(tasks.spawn(listen(watch, driver.disturbed()))),
        Err(error) => tracing::warn!(%error, "what others change of the packet filter is repaired only now and then"),
    }
    tokio::join!(driver.run(stop.clone()), announce::run(&announced, &announcer, stop), async {
        if let Some(names) = names {
            names.await;
        }
    });
    tasks.shutdown().await;
}

/// Keeps what is watched. Who answers names has to know of all Services; otherwise those are left out that are another
/// proxy's, and endpoints of which only names are asked for.
fn keep(tasks: &mut JoinSet<()>, client: &Client, cache: &Cache, node: &str, names: bool) {
    let watch = |resource| ListWatch::new(client.clone(), cache.clone(), resource);
    let (mut services, mut slices) = (watch(Resource::of::<Service>()), watch(Resource::of::<EndpointSlice>()));
    if names {
        tasks.spawn(watch(Resource::of::<Namespace>()).run::<Namespace>());
    } else {
        services = services.labelled(format!("!{PROXY_NAME}")).selecting("spec.clusterIP!=None");
        slices = slices.labelled(format!("!{HEADLESS}"));
    }
    tasks.spawn(services.run::<Service>());
    tasks.spawn(slices.run::<EndpointSlice>());
    tasks.spawn(watch(Resource::of::<Node>()).selecting(format!("metadata.name={node}")).run::<Node>());
}

fn say_that_it_starts(recorder: &Recorder, node: &str) {
    let regarding = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Node".to_owned()),
        name: Some(node.to_owned()),
        // Upstream's proxy names its Node so, too, before it has seen it.
        uid: Some(node.to_owned()),
        ..ObjectReference::default()
    };
    recorder.event(regarding, EventType::Normal, "Starting", "");
}

/// Answers at an address, as soon as it is to be had.
async fn answer_at(what: &'static str, address: SocketAddr, answers: Answers) {
    let mut said = None;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                tracing::debug!(%address, what, "the proxy listens");
                return serve(listener, answers).await;
            }
            Err(error) => {
                let error = error.to_string();
                if said.as_ref() != Some(&error) {
                    tracing::warn!(%address, what, error, "the proxy cannot listen; it is tried again");
                    said = Some(error);
                }
                sleep(RETRY).await;
            }
        }
    }
}

/// Tells the driver whenever somebody else has changed our tables.
async fn listen(mut watch: Watch, disturbed: Disturbed) {
    loop {
        match watch.changed().await {
            Ok(_) => disturbed.tell(),
            Err(error) => {
                tracing::warn!(%error, "what others change of the packet filter is repaired only now and then");
                return;
            }
        }
    }
}

/// This machine's kernel.
#[derive(Default)]
struct Machine {
    filter: nft::Kernel,
}

impl driver::Kernel for Machine {
    fn apply(&mut self, table: &Table) -> Result<(), String> {
        self.filter.apply(table).map_err(|error| error.to_string())
    }

    fn look_anew(&mut self) {
        FAMILIES.into_iter().for_each(|family| self.filter.forget(family, rules::TABLE));
    }

    fn forget(&mut self, connections: &Forgetting) -> Result<usize, String> {
        conntrack::forget(connections).map_err(|error| error.to_string())
    }

    fn addresses(&mut self) -> Result<Vec<IpAddr>, String> {
        addresses::of_machine().map_err(|error| error.to_string())
    }
}

/// Removes from the machine what a proxy left there, and says what that was.
///
/// # Errors
/// The kernel refuses.
pub async fn cleanup() -> Result<Vec<String>, CleanupError> {
    let mut kernel = nft::Kernel::default();
    let mut removed = Vec::new();
    for (family, word) in FAMILIES.into_iter().zip(["ip", "ip6"]) {
        if kernel.remove(family, rules::TABLE)? {
            removed.push(format!("removed the table {word} {} of the packet filter", rules::TABLE));
        }
    }
    for (number, what) in
        [(announce::remove_all().await?, "load balancers"), (address::remove_all().await?, "the cluster's DNS")]
    {
        if number > 0 {
            removed.push(format!("removed {number} addresses of {what}"));
        }
    }
    Ok(removed)
}

/// Why something is left.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// The rules of Services.
    #[error("the rules of Services: {0}")]
    Rules(#[from] KernelError),
    /// Addresses of load balancers.
    #[error("addresses of load balancers: {0}")]
    Announced(#[from] announce::LinksError),
    /// Addresses of the cluster's DNS.
    #[error("addresses of the cluster's DNS: {0}")]
    Names(#[from] address::AddressError),
}
