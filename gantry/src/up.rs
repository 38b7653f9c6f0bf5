//! `gantry up`: a whole cluster in one process. The roles reach the API server by function calls, under the names and with
//! the rights that they have elsewhere.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::scheduler::config::Configuration;
use ::scheduler::driver::watches;
use apiserver::Server;
use apiserver::authn::Identity;
use apiserver::authz::{CONTROLLER_MANAGER, NODES, PROXY, SCHEDULER};
use apiserver::core::Core;
use clap::Args;
use client::election::Timing;
use k8s_openapi::api::core::v1;
use kube::{Api, Client};
use kubelet::server::{ClientAuthority, ServingCertificate};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::background::{self, Teller};
use crate::controller_manager::{self, Controllers, Files, Options};
use crate::home::{Home, LOG, OfNode, State, name_holder};
use crate::leading::{Seat, lead};
use crate::node::{self, Node, Runtime, Setting};
use crate::progress::Progress;
use crate::{apiserver as serving, hollow, process, scheduler};

/// For what a start waits.
const RUNTIME: &str = "the container runtime";
const API: &str = "the store and the API";
const CONTROLLERS: &str = "the controllers and the scheduler";
const HOLLOW_NODES: &str = "the hollow nodes";
const NODE: &str = "the node";
/// How long a start may go on when the cluster was asked to end meanwhile, if it starts what would outlive it.
const PATIENCE: Duration = Duration::from_secs(20);
/// For how long, and how often, it is looked whether this machine's node is ready for pods.
const NODE_READY: Duration = Duration::from_secs(60);
const NODE_LOOK: Duration = Duration::from_millis(50);

/// The options of `gantry up`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Start the cluster in the background, and return when it is ready. What it says goes to gantry.log in the data
    /// directory. `gantry status` tells how it is, and `gantry down` ends it.
    #[arg(short, long)]
    detach: bool,
    /// This is the process in the background.
    #[arg(long = background::OPTION, hide = true)]
    in_background: bool,
    /// Where the cluster keeps its files [default: /var/lib/gantry, and for others than root ~/.local/share/gantry].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    serving: serving::Serving,
    /// How many nodes the cluster has that are there for the API only, and run nothing.
    #[arg(long, value_name = "N", default_value_t = 0)]
    hollow_nodes: u32,
    /// Make this machine no node of the cluster. Without this, only root can run it, and containerd, runc and the CNI plugins
    /// have to be installed.
    #[arg(long)]
    no_node: bool,
    /// Run no scheduler, so that another one can choose nodes for pods.
    #[arg(long)]
    no_scheduler: bool,
    /// A KubeSchedulerConfiguration of kubescheduler.config.k8s.io/v1, in YAML or JSON, for the scheduler.
    #[arg(long, value_name = "FILE", conflicts_with = "no_scheduler")]
    scheduler_config: Option<PathBuf>,
    #[command(flatten)]
    controllers: Options,
    #[command(flatten)]
    node: node::Options,
}

/// Runs until the process is asked to end, or has another one do so.
pub(crate) fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let data_dir = process::data_directory_or(arguments.data_dir.clone())?;
    if arguments.detach && !arguments.in_background {
        return background::run(&data_dir);
    }
    let teller = if arguments.in_background { Teller::in_background()? } else { Teller::default() };
    process::raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run_all(arguments, data_dir, teller, started))
}

async fn run_all(
    arguments: Arguments,
    data_dir: PathBuf,
    teller: Teller,
    started: Instant,
) -> Result<(), Box<dyn Error>> {
    let in_background = arguments.in_background;
    let plan = Plan::check(arguments, data_dir)?;
    let home = Home::claim(&plan.data_dir).await?;
    let log = in_background.then(|| home.directory().join(LOG));
    let state = State::new(log.clone(), plan.serving.store(), plan.of_node()?)?;
    let progress = Progress::new(home, state, teller);
    let patience = if plan.node.is_some() { PATIENCE } else { Duration::ZERO };
    let mut keeping = JoinSet::new();
    log.into_iter().for_each(|log| drop(keeping.spawn(background::keep_log(log))));

    let mut asked = tokio::spawn(process::asked_to_end());
    let mut starting = Box::pin(Cluster::start(plan, &progress));
    let cluster = tokio::select! {
        cluster = &mut starting => cluster?,
        end = &mut asked => {
            end??;
            progress.ending();
            // What has begun to be there ends in an orderly way only once it is all there.
            let started = tokio::time::timeout(patience, starting).await;
            started.map_err(|_| "asked to end before it was ready")??.stop().await;
            return Ok(());
        }
    };
    drop(starting);
    let ready = cluster.server.ready();
    let line = format!(
        "gantry is ready after {} ms at {}; KUBECONFIG={}",
        started.elapsed().as_millis(),
        ready.url,
        ready.kubeconfig.display()
    );
    let end = tokio::select! {
        told = cluster.ready(&progress, &line) => match told {
            Ok(()) => asked.await.map_err(BoxError::from),
            Err(error) => Err(error),
        },
        end = &mut asked => end.map_err(BoxError::from),
    };
    progress.ending();
    cluster.stop().await;
    Ok(end??)
}

/// What is to be started, which makes sense.
struct Plan {
    data_dir: PathBuf,
    serving: serving::Serving,
    services: apiserver::resources::service::Config,
    controllers: Options,
    configuration: Option<Configuration>,
    hollow: Option<kubelet::hollow::Valid>,
    node: Option<node::Options>,
}

impl Plan {
    /// Looks whether the options make sense, before anything is started or written.
    fn check(arguments: Arguments, data_dir: PathBuf) -> Result<Plan, Box<dyn Error>> {
        let Arguments { mut serving, controllers, hollow_nodes, no_node, no_scheduler, scheduler_config, node, .. } =
            arguments;
        controllers.check()?;
        let configuration = scheduler::configuration("--scheduler-config", scheduler_config.as_deref())?;
        let configuration = (!no_scheduler).then_some(configuration);
        let hollow = hollow::plain(hollow_nodes)?;
        let node = (!no_node).then_some(node);
        if let Some(options) = &node {
            node::is_possible()?;
            options.check()?;
        }
        let addresses = node.as_ref().map(|options| options.addresses(&data_dir)).transpose()?.unwrap_or_default();
        controllers.check_ranges(&addresses)?;
        let services = controllers.services()?;
        if node.is_some() {
            serving.on_node(&addresses);
        }
        Ok(Plan { data_dir, serving, services, controllers, configuration, hollow, node })
    }

    /// What ending this machine's pods will have to know.
    fn of_node(&self) -> Result<Option<OfNode>, Box<dyn Error>> {
        let Some(options) = &self.node else { return Ok(None) };
        Ok(Some(OfNode {
            name: options.name()?,
            root_dir: std::path::absolute(options.root(&self.data_dir))?,
            cgroup_root: options.cgroup_root.clone(),
            runtime_endpoint: options.container_runtime_endpoint.clone(),
        }))
    }
}

/// A cluster that runs in this process.
struct Cluster {
    stop: CancellationToken,
    node: Option<Node>,
    /// The node, and what to ask about it.
    own: Option<(String, Client)>,
    roles: JoinSet<()>,
    server: Server,
}

impl Cluster {
    /// Starts all of it. What was started ends if something else could not be.
    async fn start(plan: Plan, progress: &Progress) -> Result<Cluster, Box<dyn Error>> {
        let Plan { data_dir, serving, services, controllers, configuration, hollow, node } = plan;
        let is_shared = serving.is_shared();
        let pki = data_dir.join("pki");
        progress.wait_for(if node.is_some() { &[RUNTIME, API] } else { &[API] })?;
        let serving = serving.options(data_dir.clone(), services, None)?;
        let runtime = async {
            let Some(options) = &node else { return Ok::<_, BoxError>(None) };
            let runtime = Runtime::ready(options, &data_dir).await?;
            progress.is_there(RUNTIME)?;
            Ok(Some(runtime))
        };
        let server = async {
            let server = Server::start(serving).await;
            if let Ok(server) = &server {
                progress.serves(server.ready());
                progress.is_there(API)?;
            }
            server.map_err(name_holder)
        };
        let (runtime, server) = both(tokio::join!(runtime, server)).await?;
        let (certificate, key) = (pki.join("ca.crt"), pki.join("ca.key"));
        let files = Files {
            root_ca_file: Some(certificate.clone()),
            cluster_signing_cert_file: Some(certificate),
            cluster_signing_key_file: Some(key),
        };
        progress.wait_for(&[CONTROLLERS])?;
        let controllers = Controllers::new(&controllers, &files)?;
        let mut roles = JoinSet::new();
        let clients = [CONTROLLER_MANAGER, SCHEDULER].map(|user| as_user(server.core(), user, &[]));
        if is_shared {
            stand_by(&mut roles, clients, controllers, configuration);
        } else {
            run_now(&mut roles, clients, &controllers, configuration.as_ref()).await?;
        }
        let stop = CancellationToken::new();
        if let Some(options) = hollow {
            progress.wait_for(&[HOLLOW_NODES])?;
            add_hollow_nodes(&mut roles, options, server.core(), &stop).await;
        }
        if node.is_some() {
            progress.wait_for(&[NODE])?;
        }
        let (node, own) = match (&node, runtime) {
            (Some(options), Some(runtime)) => {
                let setting =
                    (options.name()?, as_user(server.core(), &format!("system:node:{}", options.name()?), &[NODES]));
                (Some(start_node(options, runtime, &server, data_dir).await?), Some(setting))
            }
            _ => (None, None),
        };
        Ok(Cluster { stop, node, own, roles, server })
    }

    /// Says that it is ready; to who waits for it or asks, once this machine's node is ready for pods, or is not for long.
    async fn ready(&self, progress: &Progress, line: &str) -> Result<(), Box<dyn Error>> {
        let Some((name, client)) = &self.own else {
            progress.ready(line)?;
            process::announce(line);
            return Ok(());
        };
        process::announce(line);
        if tokio::time::timeout(NODE_READY, node_is_ready(client, name)).await.is_err() {
            tracing::warn!(node = %name, "the node is not ready after {NODE_READY:?}");
        }
        Ok(progress.ready(line)?)
    }

    /// Ends all of it. Pods go on.
    async fn stop(self) {
        let Cluster { stop, node, mut roles, server, .. } = self;
        stop.cancel();
        if let Some(node) = node {
            node.stop().await;
        }
        roles.shutdown().await;
        server.stop().await;
    }
}

/// Resolves when a node is ready for pods.
async fn node_is_ready(client: &Client, name: &str) {
    let nodes: Api<v1::Node> = Api::all(client.clone());
    while !nodes.get(name).await.is_ok_and(|node| node::is_ready(&node)) {
        tokio::time::sleep(NODE_LOOK).await;
    }
}

type BoxError = Box<dyn Error>;

/// The runtime and the server, or neither: what was started ends if the other could not be.
async fn both(
    (runtime, server): (Result<Option<Runtime>, BoxError>, Result<Server, BoxError>),
) -> Result<(Option<Runtime>, Server), BoxError> {
    match (runtime, server) {
        (Ok(runtime), Ok(server)) => Ok((runtime, server)),
        (Ok(runtime), Err(error)) => {
            if let Some(runtime) = runtime {
                runtime.stop().await;
            }
            Err(error)
        }
        (Err(error), server) => {
            if let Ok(server) = server {
                server.stop().await;
            }
            Err(error)
        }
    }
}

/// Adds nodes that run nothing, and waits until they are there.
async fn add_hollow_nodes(
    roles: &mut JoinSet<()>,
    options: kubelet::hollow::Valid,
    core: &Arc<Core>,
    stop: &CancellationToken,
) {
    let (core, stop) = (Arc::clone(core), stop.clone());
    let connect = move |name: &str| as_user(&core, &format!("system:node:{name}"), &[NODES]);
    let (up, is_up) = oneshot::channel();
    roles.spawn(async move { hollow::nodes(options, connect, stop, || up.send(()).unwrap_or(())).await });
    // Fails only if the nodes have ended, of which more is said elsewhere.
    let _ = is_up.await;
}

/// Makes this machine a node. What it needs of the cluster's authority is at hand.
async fn start_node(
    options: &node::Options,
    runtime: Runtime,
    server: &Server,
    data_dir: PathBuf,
) -> Result<Node, Box<dyn Error>> {
    let setting = match setting(options, server, data_dir) {
        Ok(setting) => setting,
        Err(error) => {
            runtime.stop().await;
            return Err(error);
        }
    };
    Node::start(options, runtime, setting).await
}

fn setting(options: &node::Options, server: &Server, data_dir: PathBuf) -> Result<Setting, Box<dyn Error>> {
    let name = options.name()?;
    let names = [name.clone(), "localhost".to_owned(), "127.0.0.1".to_owned()];
    let addresses = options.addresses(&data_dir)?.into_iter().map(|address| address.to_string());
    let names: Vec<String> = names.into_iter().chain(addresses).collect();
    let pair = server.authority().kubelet_serving(&name, &names)?;
    let authority = data_dir.join("pki/ca.crt");
    let authority = std::fs::read_to_string(&authority).map_err(|error| format!("{}: {error}", authority.display()))?;
    let client = as_user(server.core(), &format!("system:node:{name}"), &[NODES]);
    let serving = ServingCertificate::new(&pair.certificate, &pair.key)?;
    let (by, of_node, shown) = (Arc::clone(server.authority()), name.clone(), Arc::clone(&serving));
    let current = move || by.kubelet_serving(&of_node, &names);
    server.renewal().keep_pair("kubelet", &pair, current, move |pair| shown.replace(&pair.certificate, &pair.key));
    Ok(Setting {
        name,
        data_dir,
        reviews: Arc::new(client.clone()),
        client,
        proxy: as_user(server.core(), PROXY, &[]),
        serving,
        clients: Some(ClientAuthority::new(&authority)?),
    })
}

/// Runs the controllers and the scheduler, which share what they know, and waits until they know it.
async fn run_now(
    roles: &mut JoinSet<()>,
    [of_controllers, of_scheduler]: [Client; 2],
    controllers: &Controllers,
    configuration: Option<&Configuration>,
) -> Result<(), Box<dyn Error>> {
    let mut manager = controllers.manager(of_controllers);
    let cache = manager.environment().cache.clone();
    let scheduler = configuration.map(|configuration| scheduler::make(configuration, of_scheduler, Some(cache)));
    let scheduler = scheduler.transpose()?;
    if scheduler.is_some() {
        watches().for_each(|(resource, run)| manager.keep(resource, run));
    }
    let synced = manager.synced();
    roles.spawn(manager.run());
    if let Some(scheduler) = scheduler {
        let synced = scheduler.synced();
        roles.spawn(scheduler.run());
        synced.await;
    }
    synced.await;
    Ok(())
}

/// Runs the controllers and the scheduler whenever this process leads. Another process may run them for this cluster, so
/// that it is no part of being ready to do so.
fn stand_by(
    roles: &mut JoinSet<()>,
    [of_controllers, of_scheduler]: [Client; 2],
    controllers: Controllers,
    configuration: Option<Configuration>,
) {
    roles.spawn(async move {
        let seat = Seat::new(controller_manager::LEASE, Timing::default());
        lead(of_controllers, seat, |client| controllers.manager(client).run()).await;
    });
    let Some(configuration) = configuration else { return };
    roles.spawn(async move {
        let work = async |client: Client| {
            // The configuration was checked when it was read.
            if let Ok(scheduler) = scheduler::make(&configuration, client, None) {
                scheduler.run().await;
            }
        };
        lead(of_scheduler, scheduler::seat(&configuration), work).await;
    });
}

/// A client of this process, under a name of its own.
fn as_user(core: &Core, user: &str, groups: &[&str]) -> Client {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    let identity = Identity { user: user.to_owned(), groups, ..Identity::default() };
    Client::new(core.local(identity), "default")
}
