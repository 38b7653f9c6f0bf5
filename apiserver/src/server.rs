//! Puts the parts together: options in, a server that runs until it is told to stop.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api::status::Status;
use k8s_openapi::jiff::Timestamp;
use store::{
    Backend, Embedded, EmbeddedOptions, EtcdBackend, EtcdClientCertificate, EtcdOptions, EtcdTls, OpenError, Store,
    StoreOptions,
};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::authn::{
    Authenticators, CertificateError, ClientCertificates, DEFAULT_ISSUER, Issuer, KeyError, ServiceAccountTokens,
    TokenFile, TokenFileError,
};
use crate::authz::Chain;
use crate::discovery::Addresses;
use crate::engine::{Access, Engine, Location, Surroundings};
use crate::entry::Objects;
use crate::health::{Endpoint, Health};
use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::resources::service::Orphans;
use crate::resources::{self, Config};
use crate::router::Router;
use crate::serve::{
    Authority, AuthorityError, Limits, Listener, Pipeline, TlsError, advertised_address, server_config, server_url,
    serving_names, system_clock, system_random,
};

/// How an API server is to run.
#[derive(Debug)]
pub struct Options {
    /// Where its files are.
    pub data_dir: PathBuf,
    /// Where it listens; port 0 is any that is free.
    pub listen: SocketAddr,
    /// What it keeps objects in.
    pub store: StoreChoice,
    /// A file with bearer tokens.
    pub token_auth_file: Option<PathBuf>,
    /// What clients may take of it.
    pub limits: Limits,
    /// Is told when the server is ready.
    pub ready: Option<oneshot::Sender<Ready>>,
}

/// What an API server keeps objects in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreChoice {
    /// A file in the data directory.
    Embedded,
    /// etcd.
    Etcd(Etcd),
}

/// Where etcd is, and how to be trusted there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Etcd {
    /// URLs of its members.
    pub servers: Vec<String>,
    /// The authorities that its certificates are checked against, PEM.
    pub ca_file: Option<PathBuf>,
    /// Our certificate, PEM.
    pub cert_file: Option<PathBuf>,
    /// The key of it, PEM.
    pub key_file: Option<PathBuf>,
}

/// A server that is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where clients on this machine find it.
    pub url: String,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It cannot listen.
    #[error("cannot listen at {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// Its certificates cannot be used.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The tokens of ServiceAccounts cannot be signed.
    #[error(transparent)]
    TokenKey(#[from] KeyError),
    /// Its authority cannot judge clients.
    #[error("client certificates cannot be checked: {0}")]
    Certificates(#[from] CertificateError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The token file is no token file.
    #[error(transparent)]
    Tokens(#[from] TokenFileError),
    /// A file that the options name cannot be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The store does not open.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// What every cluster has cannot be made.
    #[error("the cluster cannot be set up: {0}")]
    Bootstrap(Status),
}

/// Runs an API server until `shutdown` resolves, and then until its requests are answered.
pub async fn run(options: Options, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
    let Options { data_dir, listen, limits, .. } = options;
    let (clock, random) = (system_clock(), system_random());
    let tokens = options.token_auth_file.as_deref().map(TokenFile::read).transpose()?;
    let listener = Listener::bind(listen).await.map_err(|source| RunError::Listen { address: listen, source })?;
    let address = listener.address();
    let host_name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let names = serving_names(address, &host_name);
    let authority = Authority::open(&data_dir, &names, clock.clone(), random.clone())?;
    let clients = ClientCertificates::new(authority.roots()?)?;
    let tls = server_config(authority.serving(), &clients)?;
    let url = server_url(address);
    let kubeconfig = data_dir.join("admin.kubeconfig");
    authority.write_kubeconfig(&kubeconfig, &url)?;

    let config = Config { seed: rand::random(), ..Config::default() };
    let ip = advertised_address(address.ip(), config.services.prefers_ipv4());
    let location = Location { ip, port: address.port() };
    let engine = open_engine(&data_dir, &options.store, &config, location).await?;
    let issuer = Issuer::new(DEFAULT_ISSUER, &authority.token_key()?)?;
    let service_accounts = ServiceAccountTokens::new(Arc::new(issuer), engine.store().clone());
    let authorizer = Arc::new(Chain::until_rbac(tokens.as_ref()));
    let authenticators = Authenticators::new(tokens).with_service_accounts(service_accounts.clone());
    let engine = Arc::new(engine.with_access(Access {
        authenticators: authenticators.clone(),
        authorizer: authorizer.clone(),
        service_accounts: Some(service_accounts),
    }));
    let (health, metrics) = (Health::new(), Metrics::new());
    let (store, observed) = (engine.store().clone(), engine.store().clone());
    metrics.observe_store(move || observed.stats());
    let addresses = Addresses { client_cidr: "0.0.0.0/0".to_owned(), server_address: address.to_string() };
    let router = Router::new(Arc::clone(&engine), addresses, limits.body_bytes);
    let pipeline =
        Pipeline::new(Arc::new(router), authenticators, authorizer, health.clone(), metrics, limits, (clock, random));
    let running = listener.start(tls, clients, Arc::new(pipeline));
    watch_over(&health, &store, running.stopping());
    let alone = matches!(options.store, StoreChoice::Embedded);
    keep_found(Engine::clone(&engine), config, location, alone, running.stopping().clone());
    if let Some(ready) = options.ready {
        // Whoever wanted to know may be gone.
        let _ = ready.send(Ready { address, url, kubeconfig });
    }
    shutdown.await;
    running.shutdown().await;
    store.close().await;
    Ok(())
}

/// The time and the random bits of this machine.
struct Machine;

impl Surroundings for Machine {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn random(&self) -> u64 {
        rand::random()
    }
}

/// How long after the start claims of Services that nobody had then may be given back, on a store that several servers
/// share: longer than a request of another server may take to write the Service that it claimed for.
const CLAIMS_SETTLE: Duration = Duration::from_secs(120);

/// How often it is looked whether pods still find the server (upstream's interval for the same).
const KEEP_INTERVAL: Duration = Duration::from_secs(10);

/// How long a read waits for a version that has not been reached, before its client is told to try again (upstream's
/// time for the same).
const READ_TIMEOUT: Duration = Duration::from_secs(3);

/// Opens the store and makes what every cluster has.
async fn open_engine(
    data_dir: &Path,
    choice: &StoreChoice,
    config: &Config,
    location: Location,
) -> Result<Engine, RunError> {
    let registry = Arc::new(Registry::new());
    resources::register_all(&registry, config.clone());
    let backend: Arc<dyn Backend> = match choice {
        StoreChoice::Embedded => Arc::new(Embedded::open(data_dir, EmbeddedOptions::default())?),
        StoreChoice::Etcd(etcd) => Arc::new(EtcdBackend::new(etcd_options(etcd)?)?),
    };
    let options = StoreOptions { read_timeout: READ_TIMEOUT, ..StoreOptions::default() };
    let store = Store::open(backend, Objects::new(Arc::clone(&registry)), options).await?;
    let engine = Engine::new(store, registry, Arc::new(Machine));
    engine.bootstrap().await.map_err(RunError::Bootstrap)?;
    engine.bootstrap_born().await.map_err(RunError::Bootstrap)?;
    engine.register_api_services().await.map_err(RunError::Bootstrap)?;
    let alone = matches!(choice, StoreChoice::Embedded);
    let orphans = if alone { Orphans::All } else { Orphans::SeenBefore(&[]) };
    let report = engine.repair_claims(orphans).await.map_err(RunError::Bootstrap)?;
    engine.bootstrap_kubernetes_service(&config.services, location).await.map_err(RunError::Bootstrap)?;
    for conflict in &report.conflicts {
        tracing::warn!(?conflict, "two Services have the same address or port: change one of them");
    }
    if !report.orphans.is_empty() {
        let engine = engine.clone();
        tokio::spawn(async move {
            tokio::time::sleep(CLAIMS_SETTLE).await;
            if let Err(error) = engine.repair_claims(Orphans::SeenBefore(&report.orphans)).await {
                tracing::warn!(%error, "claims that no Service has could not be given back");
            }
        });
    }
    Ok(engine)
}

/// Looks every now and then whether pods still find the server, until it stops.
fn keep_found(engine: Engine, config: Config, location: Location, alone: bool, stopping: CancellationToken) {
    tokio::spawn(async move {
        while stopping.run_until_cancelled(tokio::time::sleep(KEEP_INTERVAL)).await.is_some() {
            if let Err(error) = engine.keep_kubernetes_service(&config.services, location, alone).await {
                tracing::warn!(%error, "it is not known whether pods find this server");
            }
        }
    });
}

fn etcd_options(etcd: &Etcd) -> Result<EtcdOptions, RunError> {
    let read = |path: &PathBuf| std::fs::read(path).map_err(|source| RunError::File { path: path.clone(), source });
    let mut options = EtcdOptions::new(etcd.servers.clone());
    if let Some(ca_file) = &etcd.ca_file {
        let client = match (&etcd.cert_file, &etcd.key_file) {
            (Some(certificate), Some(key)) => {
                Some(EtcdClientCertificate { certificate: read(certificate)?, key: read(key)? })
            }
            _ => None,
        };
        options.tls = Some(EtcdTls { ca_certificates: read(ca_file)?, client });
    }
    Ok(options)
}

/// Registers the checks by which others see whether this server can serve.
fn watch_over(health: &Health, store: &Store<Objects>, stopping: &CancellationToken) {
    let stopping = stopping.clone();
    health.register("shutdown", &[Endpoint::Readyz], move || {
        let result = if stopping.is_cancelled() { Err("process is shutting down".to_owned()) } else { Ok(()) };
        async { result }
    });
    let store = store.clone();
    // By the name that upstream's operators look for, whatever the store is.
    health.register("etcd", &[Endpoint::Healthz, Endpoint::Livez, Endpoint::Readyz], move || {
        let store = store.clone();
        async move { store.check().await.map_err(|error| error.to_string()) }
    });
}
