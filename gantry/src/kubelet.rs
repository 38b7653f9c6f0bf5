//! `gantry kubelet`: make this machine a node of the cluster that a kubeconfig names.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use client::clock::Clock;
use kubelet::credentials::{Bootstrap, Serving, connect};
use kubelet::server::{ClientAuthority, ServingCertificate};

use crate::node::{self, Node, Runtime, Setting};
use crate::process;

/// The options of `gantry kubelet`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The kubeconfig that says where the API server is and who the node is. With --bootstrap-kubeconfig it is written.
    #[arg(long, value_name = "FILE")]
    kubeconfig: PathBuf,
    /// A kubeconfig with which the node may ask for a certificate of its own, as long as it has none.
    #[arg(long, value_name = "FILE")]
    bootstrap_kubeconfig: Option<PathBuf>,
    /// Where the node keeps its files [default: /var/lib/gantry].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The authority, in PEM, by which those who call the node are trusted [default: the one of the kubeconfig]. The file is
    /// read again when it changes.
    #[arg(long, value_name = "FILE")]
    client_ca_file: Option<PathBuf>,
    #[command(flatten)]
    options: node::Options,
}

impl Arguments {
    /// Those of a machine that has joined, with its files in `data_dir`.
    pub(crate) fn of_joined(data_dir: PathBuf, (own, first): (PathBuf, PathBuf), options: node::Options) -> Arguments {
        Arguments {
            kubeconfig: own,
            bootstrap_kubeconfig: Some(first),
            data_dir: Some(data_dir),
            client_ca_file: None,
            options,
        }
    }
}

/// Runs until the process is asked to end.
pub(crate) fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    node::is_possible()?;
    arguments.options.check()?;
    process::raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run_node(arguments))
}

/// Makes this machine a node, until the process is asked to end.
pub(crate) async fn run_node(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let Arguments { kubeconfig, bootstrap_kubeconfig, data_dir, client_ca_file, options } = arguments;
    let name = options.name()?;
    let data_dir = process::data_directory_or(data_dir)?;
    let directory = data_dir.join("pki");
    let runtime = Runtime::ready(&options, &data_dir).await?;
    let bootstrap = Bootstrap {
        node: name.clone(),
        kubeconfig: kubeconfig.clone(),
        bootstrap: bootstrap_kubeconfig,
        directory: directory.clone(),
    };
    let (client, renewing) = connect(bootstrap, Clock::Machine).await?;
    let clients = authority(client_ca_file.as_deref(), &kubeconfig)?;
    let addresses = options.addresses(&data_dir)?;
    // Until the cluster has issued one, it is one that nobody trusts.
    let serving = ServingCertificate::self_signed(&name, &addresses)?;
    let shown = Arc::clone(&serving);
    let names = (vec![name.clone()], addresses);
    let keeping = Serving {
        node: name.clone(),
        directory,
        names: Arc::new(move || names.clone()),
        show: Arc::new(move |pair| {
            if let Err(error) = shown.replace(&pair.chain, &pair.key) {
                tracing::warn!(%error, "the certificate that was issued is of no use");
            }
        }),
    };
    let keeping = keeping.keep(client.clone(), Clock::Machine);
    let trusted = clients.clone();
    let following = async {
        match (&trusted, &client_ca_file) {
            (Some(trusted), Some(path)) => match trusted.follow(path).await {},
            _ => std::future::pending().await,
        }
    };
    let reviews = Arc::new(client.clone());
    // The node has no other identity, and may see what its proxy has to.
    let setting = Setting { name: name.clone(), data_dir, proxy: client.clone(), client, reviews, serving, clients };
    let work = async {
        let node = Node::start(&options, runtime, setting).await?;
        process::announce(&format!("gantry kubelet is ready as node {name}"));
        let asked = process::asked_to_end().await;
        node.stop().await;
        Ok::<_, Box<dyn Error>>(asked?)
    };
    tokio::select! {
        worked = work => worked,
        () = renewing => Ok(()),
        () = keeping => Ok(()),
        () = following => Ok(()),
    }
}

/// Who vouches for those who call the node.
fn authority(
    file: Option<&std::path::Path>,
    kubeconfig: &std::path::Path,
) -> Result<Option<ClientAuthority>, Box<dyn Error>> {
    let pem = match file {
        Some(path) => {
            std::fs::read_to_string(path).map_err(|error| format!("--client-ca-file {}: {error}", path.display()))?
        }
        None => match process::authority_of(kubeconfig)? {
            Some(pem) => pem,
            None => return Ok(None),
        },
    };
    Ok(Some(ClientAuthority::new(&pem)?))
}
