//! What others may ask the node: logs, commands and connections into pods, figures, health. HTTPS, as upstream's kubelet
//! serves it on port 10250.
//!
//! A request passes one way: who asks is found out ([`authentication`]), then whether they may ([`authorization`]), and only
//! then it is looked at what they want ([`routes`]). Nothing is told to who is not known, not even health. What the node
//! runs and uses comes from outside, through [`View`] and [`stats::Source`](crate::stats::Source).

mod answer;
mod authentication;
mod authority_file;
mod authorization;
mod cadvisor;
mod connection;
mod container_logs;
mod exposition;
mod limits;
mod metrics;
mod node_logs;
mod pods;
mod query;
mod remembered;
mod resource;
mod reviews;
mod routes;
mod service;
mod splice;
mod streams;
mod summary;
mod tls;
mod view;

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use client::clock::Clock;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use authentication::Identity;
pub use container_logs::{Log, LogBytes, LogOptions, LogStreams, ReadLog, log_reader};
pub use limits::Limits;
pub use metrics::{Histogram, Metrics, Probe, Series};
pub use reviews::{ReviewError, Reviews};
pub use tls::{ClientAuthority, ServingCertificate, TlsError};
pub use view::View;

use crate::cri::Cri;
use crate::stats;
use service::Service;

/// What a server is made of.
pub struct Options {
    /// The node's name, which the API server is asked about.
    pub node: String,
    /// Where to listen; upstream's port is 10250, and 0 is any that is free.
    pub listen: SocketAddr,
    /// What is shown to clients. It may be replaced while the server runs.
    pub serving: Arc<ServingCertificate>,
    /// By whom clients' certificates may be issued, which may be replaced while the server runs; with `None` there are only
    /// tokens.
    pub clients: Option<ClientAuthority>,
    /// Who answers what the server must know about clients: a [`kube::Client`] will do.
    pub reviews: Arc<dyn Reviews>,
    /// The container runtime.
    pub cri: Cri,
    /// What the agent knows.
    pub view: Arc<dyn View>,
    /// What is used.
    pub figures: Arc<dyn stats::Source>,
    /// What the machine has.
    pub machine: stats::Machine,
    /// How containers' logs are read: by [`log_reader`].
    pub read_log: ReadLog,
    /// Where the agent's parts record what they do.
    pub metrics: Arc<Metrics>,
    /// Where the node's own logs are (`/var/log`).
    pub node_logs: PathBuf,
    /// What time it is.
    pub clock: Clock,
    /// What clients may take.
    pub limits: Limits,
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is not to be had.
    #[error("the node's server cannot listen at {address}: {source}")]
    Listen {
        /// Where it was to listen.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// The node's server.
#[derive(Debug)]
pub struct Server;

impl Server {
    /// Begins to serve.
    pub async fn start(options: Options) -> Result<Running, StartError> {
        let address = options.listen;
        let listen = |source| StartError::Listen { address, source };
        let handshakes = tls::Handshakes::new(Arc::clone(&options.serving), options.clients.clone())?;
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let shared = Arc::new(connection::Shared {
            handshakes,
            service: Service::new(options),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            killed: CancellationToken::new(),
        });
        shared.tasks.spawn(connection::accept(listener, Arc::clone(&shared)));
        tracing::info!(%address, "the node's server listens");
        Ok(Running { address, shared })
    }
}

/// A server that accepts connections. It goes on if this is dropped.
pub struct Running {
    address: SocketAddr,
    shared: Arc<connection::Shared>,
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many streams (exec, attach, port-forward) are open.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.shared.service.streams.len()
    }

    /// Takes no more connections and requests, cuts streams off, and waits for the requests under way, but no longer than
    /// the limits say.
    pub async fn stop(self) {
        let Running { shared, .. } = self;
        shared.stopping.cancel();
        shared.service.streams_end.cancel();
        shared.tasks.close();
        shared.service.streams.close();
        let all = async {
            shared.tasks.wait().await;
            shared.service.streams.wait().await;
        };
        if tokio::time::timeout(shared.service.limits.shutdown_time, all).await.is_err() {
            tracing::warn!(unfinished = shared.tasks.len(), "gave up on connections that did not end in time");
            shared.killed.cancel();
            shared.tasks.wait().await;
        }
    }
}
