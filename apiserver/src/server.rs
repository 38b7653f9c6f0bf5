//! Puts the parts together: options in, a server that runs until it is told to stop.

use std::fs::{DirBuilder, File, TryLockError};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api::status::Status;
use k8s_openapi::jiff::Timestamp;
use store::{Backend, Embedded, EmbeddedOptions, EtcdBackend, EtcdClientCertificate, EtcdOptions, EtcdTls, OpenError};
use tokio::sync::oneshot;

use crate::admission::Admission;
use crate::audit::{self, Audit, AuditError};
use crate::authn::{
    CertificateError, ClientCertificates, DEFAULT_ISSUER, Issuer, KeyError, Oidc, OidcError, OidcOptions, TokenFile,
    TokenFileError,
};
use crate::authz::{CONTROLLER_MANAGER, PROXY, SCHEDULER};
use crate::core::{Core, Parts};
use crate::encryption::{self, Encryption, EncryptionError};
use crate::engine::{Location, Surroundings};
use crate::proxy::{self, AddressType, Dialer, KubeletTlsError};
use crate::resources::{Config, service};
use crate::serve::{
    Authority, AuthorityError, Limits, Listener, PemPair, Renewal, Running, ServingCertificate, TlsError,
    advertised_address, server_url, serving_names, system_clock, system_random,
};

/// How an API server is to run.
#[derive(Debug)]
pub struct Options {
    /// Where its files are.
    pub data_dir: PathBuf,
    /// Where it listens; port 0 is any that is free.
    pub listen: SocketAddr,
    /// At which addresses others in the cluster find it: the first of the family of Services is the one. Without any, it is
    /// worked out from where it listens and from the machine's routes.
    pub advertise: Vec<IpAddr>,
    /// What it keeps objects in.
    pub store: StoreChoice,
    /// What is stored encrypted. Without, Secrets are, by a key that is made in the data directory at the first start; on a store
    /// that several servers may share, only if that key is there already.
    pub encryption: Option<EncryptionFile>,
    /// A file with bearer tokens.
    pub token_auth_file: Option<PathBuf>,
    /// What it writes down of requests.
    pub audit: audit::Options,
    /// Whose tokens say who people are.
    pub oidc: Option<OidcOptions>,
    /// How it knows kubelets, and is known to them.
    pub kubelets: Kubelets,
    /// Whether the tokens of ServiceAccounts that kubelets ask for are good for longer than they ask.
    pub extend_tokens: bool,
    /// The plugins that decide about writes.
    pub admission: Admission,
    /// What clients may take of it.
    pub limits: Limits,
    /// From which ranges Services get addresses and ports.
    pub services: service::Config,
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

/// A file that says what is stored encrypted, and by which keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptionFile {
    /// An EncryptionConfiguration of apiserver.config.k8s.io/v1.
    pub path: PathBuf,
    /// Whether it is read again when it changes.
    pub reload: bool,
}

/// How kubelets are found, and trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kubelets {
    /// The authorities that their certificates are checked against, PEM; the cluster's own without.
    pub certificate_authority: Option<PathBuf>,
    /// The certificate that they are shown, PEM, and its key; one of the cluster's authority without.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// By which addresses of their Nodes they are called, most preferred first; in upstream's order without.
    pub address_types: Vec<AddressType>,
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
    /// Another process has its files.
    #[error("{data_dir} is in use by another process: stop it, or give this one a data directory of its own")]
    InUse {
        /// The data directory.
        data_dir: PathBuf,
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
    /// Kubelets cannot be reached.
    #[error(transparent)]
    Kubelets(#[from] KubeletTlsError),
    /// The issuer of tokens cannot be used.
    #[error(transparent)]
    Oidc(#[from] OidcError),
    /// The token file is no token file.
    #[error(transparent)]
    Tokens(#[from] TokenFileError),
    /// There can be no audit log.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The store does not open.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// It is not known what is to be stored encrypted.
    #[error(transparent)]
    Encryption(#[from] EncryptionError),
    /// What every cluster has cannot be made.
    #[error("the cluster cannot be set up: {0}")]
    Bootstrap(Status),
}

/// Runs an API server until `shutdown` resolves, and then until its requests are answered.
pub async fn run(mut options: Options, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
    let ready = options.ready.take();
    let server = Server::start(options).await?;
    if let Some(ready) = ready {
        // Whoever wanted to know may be gone.
        let _ = ready.send(server.ready().clone());
    }
    shutdown.await;
    server.stop().await;
    Ok(())
}

/// An API server that serves. It goes on if this is dropped.
pub struct Server {
    core: Arc<Core>,
    running: Running,
    ready: Ready,
    authority: Arc<Authority>,
    renewal: Renewal,
    /// Held as long as the server's files are its own.
    _lock: File,
}

impl Server {
    /// Starts to serve.
    pub async fn start(options: Options) -> Result<Server, RunError> {
        let Options { data_dir, listen, limits, .. } = options;
        let (clock, random) = (system_clock(), system_random());
        let tokens = options.token_auth_file.as_deref().map(TokenFile::read).transpose()?;
        let audit = Audit::open(&options.audit)?;
        let oidc = options.oidc.map(Oidc::new).transpose()?;
        let listener = Listener::bind(listen).await.map_err(|source| RunError::Listen { address: listen, source })?;
        let address = listener.address();
        let lock = lock(&data_dir)?;
        let host_name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let mut names = serving_names(address, &host_name, &options.advertise);
        // Where pods find it, if Services do not have the usual addresses.
        let among_services = options.services.first_address();
        if !names.contains(&among_services) {
            names.push(among_services);
        }
        let authority = Arc::new(Authority::open(&data_dir, &names, clock.clone(), random.clone())?);
        let clients = ClientCertificates::new(authority.roots()?)?;
        let serving = ServingCertificate::new(authority.serving())?;
        let tls = serving.server_config(&clients)?;
        let url = server_url(address);
        let kubeconfig = data_dir.join("admin.kubeconfig");
        let dialer = dialer(&options.kubelets, &authority)?;
        let renewal = Renewal::default();
        renewal.warn_of_end(Arc::clone(&authority));
        keep_shown(&renewal, &authority, serving, &options.kubelets, &dialer)?;
        keep_kubeconfigs(&renewal, &authority, &data_dir, &url)?;
        // Nothing is due yet, but the authority's end may be near.
        renewal.look();

        let issuer = Issuer::new(DEFAULT_ISSUER, &authority.token_key()?)?.extending(options.extend_tokens);
        let config = Config { seed: rand::random(), services: options.services };
        let ip = advertised_address(address.ip(), config.services.prefers_ipv4(), &options.advertise);
        let core = Core::open(Parts {
            backend: open_backend(&data_dir, &options.store)?,
            encryption: open_encryption(&data_dir, &options.store, options.encryption)?,
            alone: matches!(options.store, StoreChoice::Embedded),
            config,
            location: Location { ip, port: address.port() },
            address,
            tokens,
            oidc,
            issuer: Some(issuer),
            proxy: proxy_options(&options.kubelets, dialer),
            admission: options.admission,
            limits,
            surroundings: Arc::new(Machine),
            audit,
            clock,
            random: random.clone(),
        })
        .await?;
        let running = listener.start(tls, clients, Arc::clone(core.pipeline()), core.stopping().clone());
        tokio::spawn(renewal.clone().run(random, core.stopping().clone()));
        let ready = Ready { address, url, kubeconfig };
        Ok(Server { core: Arc::new(core), running, ready, authority, renewal, _lock: lock })
    }

    /// Where it is found.
    #[must_use]
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// The cluster's certificate authority, which issues what a node of this process needs: a certificate to be called by
    /// ([`Authority::kubelet_serving`]) and a kubeconfig ([`Authority::write_node_kubeconfig`]).
    #[must_use]
    pub fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    /// What looks at certificates while the server runs, for others of this process.
    #[must_use]
    pub fn renewal(&self) -> &Renewal {
        &self.renewal
    }

    /// The server without its listener, for other parts of this process.
    #[must_use]
    pub fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Takes no more requests, answers those under way, and closes the store.
    pub async fn stop(self) {
        self.running.shutdown().await;
        self.core.close().await;
    }
}

/// Makes the files in a data directory this process's own, before any of them is changed, and the directory for its owner
/// alone unless it is there. A process that ends, however it does, lets go of them.
fn lock(data_dir: &Path) -> Result<File, RunError> {
    let path = data_dir.join("lock");
    let failed = |source| RunError::File { path: path.clone(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(failed)?;
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(RunError::InUse { data_dir: data_dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
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

fn open_backend(data_dir: &Path, choice: &StoreChoice) -> Result<Arc<dyn Backend>, RunError> {
    Ok(match choice {
        StoreChoice::Embedded => Arc::new(Embedded::open(data_dir, EmbeddedOptions::default())?),
        StoreChoice::Etcd(etcd) => Arc::new(EtcdBackend::new(etcd_options(etcd)?)?),
    })
}

/// By what is encrypted what is stored.
fn open_encryption(
    data_dir: &Path,
    store: &StoreChoice,
    file: Option<EncryptionFile>,
) -> Result<Encryption, EncryptionError> {
    if let Some(EncryptionFile { path, reload }) = file {
        let rules = Arc::new(encryption::load(&path)?.rules);
        return Ok(Encryption::new(rules, reload.then_some(path)));
    }
    let own = data_dir.join(encryption::OWN_FILE);
    if matches!(store, StoreChoice::Etcd(_)) && !own.exists() {
        // Another server on the same etcd would not have a key that this one made.
        tracing::warn!(
            "Secrets are stored in etcd as they are: give all API servers on it the same keys, by \
             --encryption-provider-config or as {}",
            own.display()
        );
        return Ok(Encryption::default());
    }
    Ok(Encryption::new(encryption::open_own(data_dir)?, Some(own)))
}

/// Those who are known by certificates of the authority, and have kubeconfigs: by what names.
const COMPONENTS: [(&str, &str); 3] =
    [("controller-manager", CONTROLLER_MANAGER), ("scheduler", SCHEDULER), ("proxy", PROXY)];

/// Writes kubeconfigs, as far as they are not as they should be, and has them get new certificates in time.
fn keep_kubeconfigs(
    renewal: &Renewal,
    authority: &Arc<Authority>,
    data_dir: &Path,
    url: &str,
) -> Result<(), AuthorityError> {
    let admin = data_dir.join("admin.kubeconfig");
    authority.write_kubeconfig(&admin, url)?;
    let (by, at) = (Arc::clone(authority), url.to_owned());
    renewal.keep("admin", move || Ok(by.write_kubeconfig(&admin, &at)?));
    for (component, user) in COMPONENTS {
        let path = data_dir.join(format!("{component}.kubeconfig"));
        authority.write_component_kubeconfig(&path, url, component, user)?;
        let (by, at) = (Arc::clone(authority), url.to_owned());
        renewal.keep(component, move || Ok(by.write_component_kubeconfig(&path, &at, component, user)?));
    }
    Ok(())
}

/// Has new connections be shown what is in the files of the authority, renewed in time.
fn keep_shown(
    renewal: &Renewal,
    authority: &Arc<Authority>,
    serving: Arc<ServingCertificate>,
    kubelets: &Kubelets,
    dialer: &Arc<Dialer>,
) -> Result<(), RunError> {
    let by = Arc::clone(authority);
    let show = move |pair: &PemPair| serving.replace(pair);
    renewal.keep_pair("apiserver", authority.serving(), move || by.current_serving(), show);
    let first = kubelet_client(kubelets, authority)?;
    let (by, kubelets, dialer) = (Arc::clone(authority), kubelets.clone(), Arc::clone(dialer));
    let show = move |pair: &PemPair| dialer.replace(pair);
    renewal.keep_pair("apiserver-kubelet-client", &first, move || kubelet_client(&kubelets, &by), show);
    Ok(())
}

fn read(path: &PathBuf) -> Result<String, RunError> {
    std::fs::read_to_string(path).map_err(|source| RunError::File { path: path.clone(), source })
}

/// By what kubelets know the server.
fn kubelet_client(kubelets: &Kubelets, authority: &Authority) -> Result<PemPair, RunError> {
    Ok(match &kubelets.client_certificate {
        Some((certificate, key)) => PemPair { certificate: read(certificate)?, key: read(key)? },
        None => authority.kubelet_client()?,
    })
}

fn dialer(kubelets: &Kubelets, authority: &Authority) -> Result<Arc<Dialer>, RunError> {
    let roots = kubelets.certificate_authority.as_ref().map(read).transpose()?;
    let client = kubelet_client(kubelets, authority)?;
    Ok(Arc::new(Dialer::new(roots.as_deref().unwrap_or(authority.certificate()), &client)?))
}

fn proxy_options(kubelets: &Kubelets, dialer: Arc<Dialer>) -> proxy::Options {
    let mut options = proxy::Options { transport: dialer, ..proxy::Options::default() };
    if !kubelets.address_types.is_empty() {
        options.address_types.clone_from(&kubelets.address_types);
    }
    options
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
