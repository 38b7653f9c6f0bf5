//! An API server to test against: in this process, over a store of its own in a temporary directory, and over real TLS.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use apiserver::Admission;
use apiserver::serve::Limits;
use apiserver::{Options, Ready, RunError, StoreChoice};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::etcd::Etcd;
use crate::kubectl::Reachable;

/// What a server keeps its objects in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// The embedded store.
    Embedded,
    /// An etcd of its own.
    Etcd,
}

/// A running API server. Dropping it ends it and removes what it kept.
pub struct Server {
    /// Where it listens.
    pub url: String,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    directory: TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), RunError>>>,
    // Ends after the server that uses it.
    _etcd: Option<Etcd>,
}

impl Server {
    /// Starts a server over `backing` and waits until it is ready.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(backing: Backing) -> Server {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let etcd = (backing == Backing::Etcd)
            .then(|| Etcd::start(&directory.path().join("etcd")).expect("etcd starts: `make deps` installs it"));
        let store = etcd.as_ref().map_or(StoreChoice::Embedded, |etcd| {
            StoreChoice::Etcd(apiserver::Etcd {
                servers: vec![etcd.endpoint.clone()],
                ca_file: None,
                cert_file: None,
                key_file: None,
            })
        });
        let (ready, is_ready) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let options = Options {
            data_dir: directory.path().join("data"),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            advertise: Vec::new(),
            store,
            encryption: None,
            token_auth_file: None,
            audit: apiserver::audit::Options::default(),
            oidc: None,
            kubelets: apiserver::Kubelets::default(),
            extend_tokens: true,
            admission: Admission::default(),
            limits: Limits::default(),
            services: apiserver::resources::service::Config::default(),
            ready: Some(ready),
        };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            let runtime = runtime.expect("a runtime");
            // A server that was dropped is stopped as well as one that was asked to.
            runtime.block_on(apiserver::run(options, async {
                let _ = stopped.await;
            }))
        });
        let Ok(Ready { url, kubeconfig, .. }) = is_ready.blocking_recv() else {
            panic!("the server did not start: {:?}", thread.join());
        };
        Server { url, kubeconfig, directory, stop: Some(stop), thread: Some(thread), _etcd: etcd }
    }

    /// A file of the server's, such as `pki/ca.crt`.
    #[must_use]
    pub fn file(&self, path: &str) -> PathBuf {
        self.directory.path().join("data").join(path)
    }
}

impl Reachable for Server {
    fn url(&self) -> &str {
        &self.url
    }

    fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(matches!(ended, Some(Ok(Ok(())))), "the server failed: {ended:?}");
        }
    }
}
