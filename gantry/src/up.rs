//! `gantry up`: a whole cluster in one process. The roles reach the API server by function calls, under the names and with
//! the rights that they have elsewhere.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use ::scheduler::config::Configuration;
use ::scheduler::driver::watches;
use apiserver::authn::Identity;
use apiserver::authz::{CONTROLLER_MANAGER, NODES, PROXY, SCHEDULER};
use apiserver::core::Core;
use apiserver::{RunError, Server};
use clap::Args;
use client::election::Timing;
use kube::Client;
use kubelet::server::{ClientAuthority, ServingCertificate};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::controller_manager::{self, Controllers, Files, Options};
use crate::leading::{Seat, lead};
use crate::node::{self, Node, Runtime, Setting};
use crate::{apiserver as serving, hollow, process, scheduler};

/// The options of `gantry up`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
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

/// Runs until the process is asked to end.
pub(crate) fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    process::raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run_all(arguments, started))
}

async fn run_all(arguments: Arguments, started: Instant) -> Result<(), Box<dyn Error>> {
    let Arguments { data_dir, mut serving, controllers, hollow_nodes, no_node, no_scheduler, scheduler_config, node } =
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
    let data_dir = data_dir.map_or_else(process::data_directory, Ok)?;
    let addresses = node.as_ref().map(|options| options.addresses(&data_dir)).transpose()?.unwrap_or_default();
    controllers.check_ranges(&addresses)?;
    let services = controllers.services()?;
    if node.is_some() {
        serving.on_node(&addresses);
    }
    let is_shared = serving.is_shared();
    let pki = data_dir.join("pki");
    let runtime = async {
        match &node {
            Some(options) => Runtime::ready(options, &data_dir).await.map(Some),
            None => Ok(None),
        }
    };
    let server = Server::start(serving.options(data_dir.clone(), services, None));
    let (runtime, server) = both(tokio::join!(runtime, server)).await?;
    let (certificate, key) = (pki.join("ca.crt"), pki.join("ca.key"));
    let files = Files {
        root_ca_file: Some(certificate.clone()),
        cluster_signing_cert_file: Some(certificate),
        cluster_signing_key_file: Some(key),
    };
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
        add_hollow_nodes(&mut roles, options, server.core(), &stop).await;
    }
    let node = match (&node, runtime) {
        (Some(options), Some(runtime)) => Some(start_node(options, runtime, &server, data_dir).await?),
        _ => None,
    };
    let ready = server.ready();
    process::announce(&format!(
        "gantry is ready after {} ms at {}; KUBECONFIG={}",
        started.elapsed().as_millis(),
        ready.url,
        ready.kubeconfig.display()
    ));
    process::asked_to_end().await?;
    stop.cancel();
    if let Some(node) = node {
        node.stop().await;
    }
    roles.shutdown().await;
    server.stop().await;
    Ok(())
}

type BoxError = Box<dyn Error>;

/// The runtime and the server, or neither: what was started ends if the other could not be.
async fn both(
    (runtime, server): (Result<Option<Runtime>, BoxError>, Result<Server, RunError>),
) -> Result<(Option<Runtime>, Server), BoxError> {
    match (runtime, server) {
        (Ok(runtime), Ok(server)) => Ok((runtime, server)),
        (Ok(runtime), Err(error)) => {
            if let Some(runtime) = runtime {
                runtime.stop().await;
            }
            Err(error.into())
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
    Ok(Setting {
        name,
        data_dir,
        reviews: Arc::new(client.clone()),
        client,
        proxy: as_user(server.core(), PROXY, &[]),
        serving: ServingCertificate::new(&pair.certificate, &pair.key)?,
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
