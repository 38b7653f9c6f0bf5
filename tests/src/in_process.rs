//! An API server of this process: no listener, and the embedded store on a real disk.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use apiserver::Admission;
use apiserver::authn::Identity;
use apiserver::core::{Core, Parts};
use apiserver::engine::{Location, Surroundings};
use apiserver::resources::Config;
use apiserver::serve::{Limits, Local, system_clock, system_random};
use k8s_openapi::jiff::Timestamp;
use store::{Embedded, EmbeddedOptions};
use tempfile::TempDir;

/// An API server, whose files go with it.
pub struct Server {
    core: Core,
    _files: TempDir,
}

/// The time and random bits of this machine.
struct Machine;

impl Surroundings for Machine {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn random(&self) -> u64 {
        rand::random()
    }
}

impl Server {
    /// Starts with nothing but what every cluster has.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start() -> Server {
        let files = tempfile::tempdir().expect("a directory for the server's files");
        let backend = Embedded::open(files.path(), EmbeddedOptions::default()).expect("a new store opens");
        let parts = Parts {
            backend: Arc::new(backend),
            encryption: apiserver::encryption::Encryption::default(),
            alone: true,
            config: Config { seed: rand::random(), ..Config::default() },
            location: Location { ip: None, port: 6443 },
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 6443)),
            tokens: None,
            oidc: None,
            issuer: None,
            proxy: apiserver::proxy::Options::default(),
            admission: Admission::default(),
            limits: Limits::default(),
            surroundings: Arc::new(Machine),
            audit: None,
            clock: system_clock(),
            random: system_random(),
        };
        let core = Core::open(parts).await.expect("a new server starts");
        Server { core, _files: files }
    }

    /// A way in as this user.
    #[must_use]
    pub fn local(&self, user: &str, groups: &[&str]) -> Local {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        self.core.local(Identity { user: user.to_owned(), groups, ..Identity::default() })
    }

    /// Ends streams, and closes the store.
    pub async fn stop(self) {
        self.core.close().await;
    }
}
