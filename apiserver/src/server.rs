//! Puts the parts together: options in, a server that runs until it is told to stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use api::status::{GenericResponse, Status};
use futures::FutureExt;
use futures::future::BoxFuture;
use http::request::Parts;
use http::{Request, Response};
use tokio::sync::oneshot;

use crate::authn::{Authenticators, CertificateError, ClientCertificates, TokenFile, TokenFileError};
use crate::authz::Chain;
use crate::health::{Endpoint, Health};
use crate::metrics::Metrics;
use crate::serve::{
    Authority, AuthorityError, Handler, Limits, Listener, Pipeline, RequestBody, ResponseBody, TlsError, server_config,
    server_url, serving_names, status_response, system_clock, system_random,
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
    /// Its authority cannot judge clients.
    #[error("client certificates cannot be checked: {0}")]
    Certificates(#[from] CertificateError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The token file is no token file.
    #[error(transparent)]
    Tokens(#[from] TokenFileError),
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

    let (health, metrics) = (Health::new(), Metrics::new());
    let authorizer = Arc::new(Chain::until_rbac(tokens.as_ref()));
    let authenticators = Authenticators::new(tokens);
    let pipeline =
        Pipeline::new(Arc::new(NotFound), authenticators, authorizer, health.clone(), metrics, limits, (clock, random));
    let running = listener.start(tls, clients, Arc::new(pipeline));
    let stopping = running.stopping().clone();
    health.register("shutdown", &[Endpoint::Readyz], move || {
        let result = if stopping.is_cancelled() { Err("process is shutting down".to_owned()) } else { Ok(()) };
        async { result }
    });
    if let Some(ready) = options.ready {
        // Whoever wanted to know may be gone.
        let _ = ready.send(Ready { address, url, kubeconfig });
    }
    shutdown.await;
    running.shutdown().await;
    Ok(())
}

/// Serves no resource.
struct NotFound;

impl Handler for NotFound {
    fn handle(self: Arc<Self>, request: Request<RequestBody>) -> BoxFuture<'static, Response<ResponseBody>> {
        let response = GenericResponse { code: 404, verb: request.method().as_str(), ..GenericResponse::default() };
        let response = status_response(&Status::generic_server_response(&response));
        async move { response }.boxed()
    }

    fn is_long_running(&self, _: &Parts) -> bool {
        false
    }
}
