//! `gantry scheduler`: choose nodes for pods, at the API server that a kubeconfig names.

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::Args;
use client::cache::Cache;
use client::clock::Clock;
use client::election::Timing;
use kube::Client;
use scheduler::config::{self, Configuration};
use scheduler::driver::{Environment, Scheduler};

use crate::leading::{Seat, lead};
use crate::process;

/// The options of `gantry scheduler`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The kubeconfig that says where the API server is and who this is [default: what `clientConnection.kubeconfig` of
    /// the configuration says].
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// A KubeSchedulerConfiguration of kubescheduler.config.k8s.io/v1, in YAML or JSON.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Work only while holding a Lease, so that several processes can stand by [default: what `leaderElection.leaderElect`
    /// of the configuration says, which is to do so].
    #[arg(long, value_name = "BOOL")]
    leader_elect: Option<bool>,
}

/// What a file says, or what is done if there is none. `option` is what named the file.
pub(crate) fn configuration(option: &str, file: Option<&Path>) -> Result<Configuration, String> {
    let Some(path) = file else { return Ok(Configuration::default()) };
    let problem = |error: &dyn Error| format!("{option} {}: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| problem(&error))?;
    let configuration = config::load(&text).map_err(|error| problem(&error))?;
    // Not all of what can be said can be done.
    scheduler::engine::Engine::new(&configuration, 0).map_err(|error| problem(&error))?;
    Ok(configuration)
}

/// A scheduler. Either somebody else keeps what it watches in the cache that is given, or it has one of its own.
pub(crate) fn make(configuration: &Configuration, client: Client, cache: Option<Cache>) -> Result<Scheduler, String> {
    let (instance, shared) = (process::host_name(), cache.is_some());
    let cache = cache.unwrap_or_default();
    let environment = Environment { client, cache, shared, clock: Clock::Machine, instance, seed: rand::random() };
    Scheduler::new(environment, configuration).map_err(|error| error.to_string())
}

/// Where schedulers agree which of them works.
pub(crate) fn seat(configuration: &Configuration) -> Seat {
    let election = &configuration.leader_election;
    let timing = Timing {
        lease: election.lease_duration.to_std(),
        renew: election.renew_deadline.to_std(),
        retry: election.retry_period.to_std(),
    };
    Seat { namespace: election.resource_namespace.clone(), name: election.resource_name.clone(), timing }
}

/// Runs until the process is asked to end.
pub(crate) fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let Arguments { kubeconfig, config, leader_elect } = arguments;
    let configuration = configuration("--config", config.as_deref())?;
    let said = &configuration.client_connection.kubeconfig;
    let kubeconfig = kubeconfig.or_else(|| (!said.is_empty()).then(|| said.into())).ok_or(
        "there is no kubeconfig: name one by --kubeconfig, or by clientConnection.kubeconfig of the file that --config names",
    )?;
    let elects = leader_elect.or(configuration.leader_election.leader_elect).unwrap_or(true);
    process::raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = process::connect(&kubeconfig).await?;
        let work = async |client: Client| {
            // It was made before, from the same configuration, when that was read.
            let Ok(scheduler) = make(&configuration, client, None) else { return };
            run_scheduler(scheduler, || process::announce("gantry scheduler is ready")).await;
        };
        let working =
            async { if elects { lead(client, seat(&configuration), work).await } else { work(client).await } };
        tokio::select! {
            () = working => {}
            asked = process::asked_to_end() => asked?,
        }
        Ok(())
    })
}

/// Runs a scheduler, and tells `ready` when it knows what it watches.
pub(crate) async fn run_scheduler(scheduler: Scheduler, ready: impl Fn()) {
    let synced = scheduler.synced();
    tokio::join!(scheduler.run(), async {
        synced.await;
        ready();
    });
}
