//! A server without its listener: the store, the engine on it, and the pipeline that every request passes. Clients of the same
//! process, and simulations, come in here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use store::{Backend, Store, StoreOptions};
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::audit::Audit;
use crate::authn::{Authenticators, BootstrapTokens, Identity, Issuer, Oidc, ServiceAccountTokens, TokenFile};
use crate::authz::{Chain, NodeAuthorizer, Rbac};
use crate::discovery::Addresses;
use crate::encryption::Encryption;
use crate::engine::{Access, Engine, Location, Surroundings};
use crate::entry::Objects;
use crate::health::{Endpoint, Health};
use crate::metrics::{EncryptionFigures, Metrics};
use crate::proxy;
use crate::registry::Registry;
use crate::resources::service::Orphans;
use crate::resources::{self, Config};
use crate::router::Router;
use crate::serve::{Clock, Limits, Local, Pipeline, Random, StoredSizes};
use crate::server::RunError;
use crate::usage::Collector;

/// How long after the start claims of Services that nobody had then may be given back, on a store that several servers
/// share: longer than a request of another server may take to write the Service that it claimed for.
const CLAIMS_SETTLE: Duration = Duration::from_secs(120);

/// How often it is looked whether pods still find the server (upstream's interval for the same).
const KEEP_INTERVAL: Duration = Duration::from_secs(10);

/// How long a read waits for a version that has not been reached, before its client is told to try again (upstream's
/// time for the same).
const READ_TIMEOUT: Duration = Duration::from_secs(3);

/// What a server is put together of.
pub struct Parts {
    /// What makes writes durable.
    pub backend: Arc<dyn Backend>,
    /// What it is to store encrypted.
    pub encryption: Encryption,
    /// Whether no other server has the same store.
    pub alone: bool,
    /// What the kinds need to know.
    pub config: Config,
    /// Where others in the cluster find the server.
    pub location: Location,
    /// Where the server listens, which discovery tells clients.
    pub address: SocketAddr,
    /// The tokens of a file.
    pub tokens: Option<TokenFile>,
    /// The issuer whose tokens say who people are.
    pub oidc: Option<Oidc>,
    /// What signs the tokens of ServiceAccounts; without it there are none.
    pub issuer: Option<Issuer>,
    /// How kubelets, pods and Services are reached.
    pub proxy: proxy::Options,
    /// The plugins that decide about writes.
    pub admission: Admission,
    /// What clients may take of the server.
    pub limits: Limits,
    /// Where objects get times and names from.
    pub surroundings: Arc<dyn Surroundings>,
    /// Where it is written down who asked for what, if anywhere.
    pub audit: Option<Arc<Audit>>,
    /// What certificates and tokens are judged by.
    pub clock: Clock,
    /// Where the IDs of requests come from.
    pub random: Random,
}

/// A server without its listener.
pub struct Core {
    engine: Arc<Engine>,
    pipeline: Arc<Pipeline>,
    stopping: CancellationToken,
}

impl Core {
    /// Opens the store, makes what every cluster has, and is ready for requests.
    pub async fn open(parts: Parts) -> Result<Core, RunError> {
        let Parts { config, location, alone, limits, encryption, .. } = parts;
        let stopping = CancellationToken::new();
        let engine =
            open_engine((parts.backend, encryption.clone()), parts.surroundings, &config, location, alone, &stopping)
                .await?;
        let rbac = Rbac::follow(engine.store().clone(), stopping.clone()).await.map_err(RunError::Bootstrap)?;
        let nodes = NodeAuthorizer::follow(engine.store().clone(), stopping.clone()).await;
        let authorizer = Arc::new(Chain::of_cluster(nodes.map_err(RunError::Bootstrap)?, rbac.clone()));
        let tokens = |issuer| ServiceAccountTokens::new(Arc::new(issuer), engine.store().clone());
        let service_accounts = parts.issuer.map(tokens);
        let bootstrap = BootstrapTokens::new(engine.store().clone());
        let mut authenticators = Authenticators::new(parts.tokens).with_bootstrap_tokens(bootstrap);
        if let Some(service_accounts) = &service_accounts {
            authenticators = authenticators.with_service_accounts(service_accounts.clone());
        }
        if let Some(oidc) = parts.oidc {
            oidc.start(stopping.clone());
            authenticators = authenticators.with_oidc(oidc);
        }
        let access =
            Access { authenticators: authenticators.clone(), authorizer: authorizer.clone(), rbac, service_accounts };
        let engine = engine.with_access(access).with_admission(parts.admission);
        let usage = Collector::new(Arc::new(engine.clone()), parts.proxy.clone());
        let engine = Arc::new(engine.with_usage(Arc::new(usage)));
        let (health, metrics) = (Health::new(), Metrics::new());
        let observed = engine.store().clone();
        metrics.observe_store(move || observed.stats());
        let observed = engine.store().clone();
        metrics.observe_encryption(move || EncryptionFigures::of(&encryption, &observed, alone));
        watch_over(&health, engine.store(), &stopping);
        keep_found(Engine::clone(&engine), config, location, alone, stopping.clone());
        let addresses = Addresses { client_cidr: "0.0.0.0/0".to_owned(), server_address: parts.address.to_string() };
        let router = Arc::new(Router::new(Arc::clone(&engine), parts.proxy, addresses, limits.body_bytes));
        let surroundings = (parts.clock, parts.random);
        let pipeline = Pipeline::new(router, authenticators, authorizer, health, metrics, limits, surroundings);
        let pipeline = pipeline.with_audit(parts.audit);
        let flow_control = pipeline.flow_control();
        flow_control.measure(StoredSizes::new(engine.store().clone(), Arc::clone(&engine.registry)));
        flow_control.follow(engine.store().clone(), stopping.clone()).await.map_err(RunError::Bootstrap)?;
        Ok(Core { engine, pipeline: Arc::new(pipeline), stopping })
    }

    /// A way in for a part of this process. It passes the same authorization as everybody.
    #[must_use]
    pub fn local(&self, identity: Identity) -> Local {
        Local::new(Arc::clone(&self.pipeline), identity, self.stopping.clone())
    }

    /// How it finds out who asks, and whether they may.
    #[must_use]
    pub fn access(&self) -> &Access {
        self.engine.access()
    }

    /// What every request passes.
    pub(crate) fn pipeline(&self) -> &Arc<Pipeline> {
        &self.pipeline
    }

    /// Cancelled when the server begins to stop.
    #[must_use]
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Ends streams, and closes the store.
    pub async fn close(&self) {
        self.stopping.cancel();
        self.engine.store().close().await;
    }
}

/// Opens the store and makes what every cluster has.
async fn open_engine(
    (backend, encryption): (Arc<dyn Backend>, Encryption),
    surroundings: Arc<dyn Surroundings>,
    config: &Config,
    location: Location,
    alone: bool,
    stopping: &CancellationToken,
) -> Result<Engine, RunError> {
    let registry = Arc::new(Registry::new());
    resources::register_all(&registry, config.clone());
    resources::register_usage(&registry);
    let options = StoreOptions { read_timeout: READ_TIMEOUT, ..StoreOptions::default() };
    let objects = Objects::new(Arc::clone(&registry)).with_encryption(encryption.clone());
    let store = Store::open(backend, objects, options).await?;
    encryption.warn_of_loss(&store);
    encryption.follow(store.clone(), stopping.clone());
    let engine = Engine::new(store, registry, surroundings);
    engine.bootstrap().await.map_err(RunError::Bootstrap)?;
    engine.bootstrap_born().await.map_err(RunError::Bootstrap)?;
    engine.register_api_services().await.map_err(RunError::Bootstrap)?;
    let orphans = if alone { Orphans::All } else { Orphans::SeenBefore(&[]) };
    let report = engine.repair_claims(orphans).await.map_err(RunError::Bootstrap)?;
    engine.bootstrap_kubernetes_service(&config.services, location).await.map_err(RunError::Bootstrap)?;
    engine.bootstrap_cluster_dns(&config.services).await.map_err(RunError::Bootstrap)?;
    for conflict in &report.conflicts {
        tracing::warn!(?conflict, "two Services have the same address or port: change one of them");
    }
    if !report.orphans.is_empty() {
        let (engine, stopping) = (engine.clone(), stopping.clone());
        tokio::spawn(async move {
            if stopping.run_until_cancelled(tokio::time::sleep(CLAIMS_SETTLE)).await.is_none() {
                return;
            }
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
