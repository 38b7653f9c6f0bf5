//! `gantry up`: a whole cluster in one process. The roles reach the API server by function calls, under the names and with
//! the rights that they have elsewhere.

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use apiserver::Server;
use apiserver::authn::Identity;
use apiserver::authz::CONTROLLER_MANAGER;
use clap::Args;
use client::election::Timing;
use kube::Client;
use tokio::task::JoinSet;

use crate::controller_manager::{Controllers, Files, Options, lead};
use crate::{apiserver as serving, process};

/// The options of `gantry up`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where the cluster keeps its files [default: /var/lib/gantry, and for others than root ~/.local/share/gantry].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    serving: serving::Serving,
    #[command(flatten)]
    controllers: Options,
}

/// Runs until the process is asked to end.
pub(crate) fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    process::raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run_all(arguments, started))
}

async fn run_all(arguments: Arguments, started: Instant) -> Result<(), Box<dyn Error>> {
    let Arguments { data_dir, serving, controllers } = arguments;
    controllers.check()?;
    let data_dir = data_dir.map_or_else(process::data_directory, Ok)?;
    let is_shared = serving.is_shared();
    let pki = data_dir.join("pki");
    let server = Server::start(serving.options(data_dir, None)).await?;
    let (certificate, key) = (pki.join("ca.crt"), pki.join("ca.key"));
    let files = Files {
        root_ca_file: Some(certificate.clone()),
        cluster_signing_cert_file: Some(certificate),
        cluster_signing_key_file: Some(key),
    };
    let controllers = Controllers::new(&controllers, &files)?;
    let mut roles = JoinSet::new();
    let client = connect(&server, CONTROLLER_MANAGER, &[]);
    if is_shared {
        // Another process may run the controllers of this cluster, so that it is no part of being ready to do so.
        roles.spawn(async move {
            lead(client, Timing::default(), |client| controllers.manager(client)).await;
        });
    } else {
        let manager = controllers.manager(client);
        let synced = manager.synced();
        roles.spawn(manager.run());
        synced.await;
    }
    let ready = server.ready();
    process::announce(&format!(
        "gantry is ready after {} ms at {}; KUBECONFIG={}",
        started.elapsed().as_millis(),
        ready.url,
        ready.kubeconfig.display()
    ));
    process::asked_to_end().await?;
    roles.shutdown().await;
    server.stop().await;
    Ok(())
}

/// A client of this process, under a name of its own.
fn connect(server: &Server, user: &str, groups: &[&str]) -> Client {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    let identity = Identity { user: user.to_owned(), groups, ..Identity::default() };
    Client::new(server.core().local(identity), "default")
}
