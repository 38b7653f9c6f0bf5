//! Gets the node its certificates, and new ones in time.

use std::future::{Future, pending};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use client::clock::Clock;
use client::queue::Backoff;
use jiff::Timestamp;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use rand::Rng;
use serde_json::json;
use tokio::time::sleep;

use super::{Pair, PairError, Purpose, RequestError, Swap, Wish, obtain};

/// The waits after a certificate could not be had.
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(300) };
/// How often it is looked whether the node's addresses are still those of its certificate.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// The file of the current certificate, as upstream calls it.
const CLIENT_FILE: &str = "kubelet-client-current.pem";
const SERVING_FILE: &str = "kubelet-server-current.pem";

/// How a node comes to the API server.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// The node's name.
    pub node: String,
    /// The kubeconfig of the node. It is written if there is none and there is one to begin with.
    pub kubeconfig: PathBuf,
    /// The kubeconfig to begin with.
    pub bootstrap: Option<PathBuf>,
    /// Where certificates are kept.
    pub directory: PathBuf,
}

impl Bootstrap {
    /// The certificate by which the node is known already, if it has one that counts at this time.
    pub fn kept(&self, now: Timestamp) -> Result<Option<Pair>, PairError> {
        let kept = Pair::read(&self.certificate())?.filter(|pair| pair.is_valid(now));
        let kept = kept.filter(|pair| pair.common_name() == Some(format!("system:node:{}", self.node)));
        Ok(kept.filter(|_| self.kubeconfig.exists()))
    }

    fn certificate(&self) -> PathBuf {
        self.directory.join(CLIENT_FILE)
    }
}

/// Why a node does not come to the API server.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// A kubeconfig is of no use.
    #[error("{option} {path}: {message}")]
    Kubeconfig {
        /// The option that names it.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        message: String,
    },
    /// A certificate's file is of no use.
    #[error(transparent)]
    Pair(#[from] PairError),
    /// There is no certificate.
    #[error(transparent)]
    Request(#[from] RequestError),
}

/// A client with the node's identity, and what renews that until it is dropped.
pub async fn connect(
    bootstrap: Bootstrap,
    clock: Clock,
) -> Result<(Client, impl Future<Output = ()> + Send + use<>), BootstrapError> {
    let current = bootstrap.certificate();
    let Some(first) = bootstrap.bootstrap.clone() else {
        let client = client_of("--kubeconfig", &bootstrap.kubeconfig).await?;
        // Whoever made the kubeconfig renews what stands in it.
        return Ok((client, futures::future::Either::Left(pending())));
    };
    if bootstrap.kept(clock.now())?.is_none() {
        let client = client_of("--bootstrap-kubeconfig", &first).await?;
        let wish = Wish { node: bootstrap.node.clone(), purpose: Purpose::Client };
        obtain(&client, &wish).await?.write(&current)?;
        write_kubeconfig(&bootstrap, &first, &current)?;
    }
    let swap = Swap::new(client_of("--kubeconfig", &bootstrap.kubeconfig).await?);
    let client = swap.client();
    Ok((client, futures::future::Either::Right(renew(bootstrap, current, swap, clock))))
}

/// Asks for a new certificate whenever most of the time of the last one is over.
async fn renew(bootstrap: Bootstrap, current: PathBuf, swap: Swap, clock: Clock) {
    let wish = Wish { node: bootstrap.node.clone(), purpose: Purpose::Client };
    let mut failures = 0;
    loop {
        let due = Pair::read(&current).ok().flatten().map_or(Duration::ZERO, |pair| due(&pair, clock.now()));
        sleep(due.max(BACKOFF.after(failures))).await;
        let renewed = async {
            obtain(&swap.client(), &wish).await?.write(&current)?;
            swap.exchange(client_of("--kubeconfig", &bootstrap.kubeconfig).await?);
            Ok::<_, BootstrapError>(())
        };
        match renewed.await {
            Ok(()) => failures = 0,
            Err(error) => {
                failures += 1;
                tracing::warn!(%error, "the node's certificate is not renewed");
            }
        }
    }
}

/// When a certificate is to be renewed: when from seven to nine tenths of its time are over, so that not all nodes come at
/// once (upstream's rule).
fn due(pair: &Pair, now: Timestamp) -> Duration {
    let Some((from, until)) = pair.validity() else { return Duration::ZERO };
    let whole = until.duration_since(from).as_secs_f64();
    let at = whole * rand::rng().random_range(0.7..0.9);
    let passed = now.duration_since(from).as_secs_f64();
    Duration::from_secs_f64((at - passed).max(0.0))
}

async fn client_of(option: &'static str, path: &Path) -> Result<Client, BootstrapError> {
    let failed = |message: String| BootstrapError::Kubeconfig { option, path: path.to_owned(), message };
    let config = Kubeconfig::read_from(path).map_err(|error| failed(error.to_string()))?;
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await;
    let config = config.map_err(|error| failed(error.to_string()))?;
    client::connection::connect(config).map_err(|error| failed(error.to_string()))
}

/// Writes the node's kubeconfig: the cluster as the first one has it, and the node's own certificate.
fn write_kubeconfig(bootstrap: &Bootstrap, first: &Path, certificate: &Path) -> Result<(), BootstrapError> {
    let failed = |path: &Path, message: String| BootstrapError::Kubeconfig {
        option: "--kubeconfig",
        path: path.to_owned(),
        message,
    };
    let known = Kubeconfig::read_from(first).map_err(|error| failed(first, error.to_string()))?;
    let context = known.contexts.iter().find(|context| Some(&context.name) == known.current_context.as_ref());
    let name = context.and_then(|context| context.context.as_ref()).map(|context| context.cluster.clone());
    let cluster = known.clusters.iter().find(|cluster| Some(&cluster.name) == name.as_ref());
    let cluster = cluster.and_then(|cluster| cluster.cluster.as_ref());
    let cluster = cluster.ok_or_else(|| failed(first, "its current context names no cluster".to_owned()))?;
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "default", "cluster": cluster}],
        "users": [{
            "name": "default",
            "user": {"client-certificate": certificate, "client-key": certificate},
        }],
        "contexts": [{"name": "default", "context": {"cluster": "default", "user": "default"}}],
        "current-context": "default",
    });
    let path = &bootstrap.kubeconfig;
    let written = super::files::write_private(path, format!("{config:#}\n").as_bytes());
    written.map_err(|error| failed(path, error.to_string()))
}

/// What a node is called: DNS names and addresses.
pub type Names = (Vec<String>, Vec<IpAddr>);

/// The certificate that a node shows to those who call it.
pub struct Serving {
    /// The node's name.
    pub node: String,
    /// Where certificates are kept.
    pub directory: PathBuf,
    /// What the node is called by now: DNS names and addresses.
    pub names: Arc<dyn Fn() -> Names + Send + Sync>,
    /// Is told of each new certificate.
    pub show: Arc<dyn Fn(Pair) + Send + Sync>,
}

impl Serving {
    /// Shows the certificate that is kept, and asks for a new one whenever it is not there, most of its time is over, or
    /// the node is called something else. Goes on until it is dropped.
    pub async fn keep(self, client: Client, clock: Clock) {
        let path = self.directory.join(SERVING_FILE);
        let mut failures = 0;
        let mut shown: Option<(Pair, Names)> = None;
        if let Ok(Some(pair)) = Pair::read(&path)
            && pair.is_valid(clock.now())
        {
            let names = pair.names();
            (self.show)(pair.clone());
            shown = Some((pair, names));
        }
        loop {
            let names = (self.names)();
            let good = shown.as_ref().filter(|(pair, of)| pair.is_valid(clock.now()) && *of == names);
            if let Some((pair, _)) = good {
                let due = due(pair, clock.now());
                if !due.is_zero() {
                    sleep(due.min(LOOK_AGAIN)).await;
                    continue;
                }
            }
            let purpose = Purpose::Serving { names: names.0.clone(), addresses: names.1.clone() };
            let obtained = obtain(&client, &Wish { node: self.node.clone(), purpose }).await;
            match obtained
                .map_err(BootstrapError::from)
                .and_then(|pair| pair.write(&path).map(|()| pair).map_err(Into::into))
            {
                Ok(pair) => {
                    failures = 0;
                    (self.show)(pair.clone());
                    shown = Some((pair, names));
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, "there is no certificate for those who call the node");
                    sleep(BACKOFF.after(failures)).await;
                }
            }
        }
    }
}
