//! Accepts connections, as many as are allowed, until it is told to stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Pipeline;
use super::connection::{self, Occupied, Shared};
use crate::authn::ClientCertificates;

/// How long to wait when no connection can be accepted, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// When a peer that says nothing is asked whether it is there: after this time, in this interval, so often.
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(30);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEP_ALIVE_COUNT: u32 = 4;

/// A socket that is bound. Clients can connect, and wait until it is started.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds to `address`; port 0 is any that is free.
    pub async fn bind(address: SocketAddr) -> io::Result<Listener> {
        let socket = TcpListener::bind(address).await?;
        let address = socket.local_addr()?;
        Ok(Listener { socket, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins to serve, until [`Running::shutdown`], which cancels `stopping` first.
    #[must_use]
    pub fn start(
        self,
        tls: Arc<ServerConfig>,
        clients: ClientCertificates,
        pipeline: Arc<Pipeline>,
        stopping: CancellationToken,
    ) -> Running {
        let shared = Arc::new(Shared {
            acceptor: TlsAcceptor::from(tls),
            clients,
            pipeline,
            tasks: TaskTracker::new(),
            stopping,
            killed: CancellationToken::new(),
        });
        shared.tasks.spawn(accept(self.socket, Arc::clone(&shared)));
        Running { address: self.address, shared }
    }
}

/// A server that accepts connections. It goes on if this is dropped.
pub struct Running {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cancelled when the server begins to stop.
    #[must_use]
    pub fn stopping(&self) -> &CancellationToken {
        &self.shared.stopping
    }

    /// Takes no more connections and requests, ends streams, and waits for the requests under way, but no longer than
    /// the limits say. Returns whether all were finished.
    pub async fn shutdown(self) -> bool {
        let shared = &self.shared;
        shared.stopping.cancel();
        shared.tasks.close();
        let limit = shared.pipeline.limits().shutdown_time;
        if tokio::time::timeout(limit, shared.tasks.wait()).await.is_ok() {
            return true;
        }
        tracing::warn!(unfinished = shared.tasks.len(), "gave up on connections that did not end in time");
        shared.killed.cancel();
        shared.tasks.wait().await;
        false
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let room = Arc::new(Semaphore::new(shared.pipeline.limits().connections.clamp(1, Semaphore::MAX_PERMITS)));
    loop {
        let next = async {
            let permit = Arc::clone(&room).acquire_owned().await;
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            biased;
            () = shared.stopping.cancelled() => return,
            next = next => next,
        };
        // The semaphore is never closed.
        let Ok(permit) = permit else { return };
        match accepted {
            Ok((socket, _)) => {
                prepare(&socket);
                let occupied = Occupied { _permit: permit, _counted: shared.pipeline.metrics().connection() };
                shared.tasks.spawn(connection::serve(Arc::clone(&shared), socket, occupied));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Sends what there is at once, and notices when the peer is gone. A socket on which that fails works nevertheless.
pub(crate) fn prepare(socket: &TcpStream) {
    let _ = socket.set_nodelay(true);
    let _ = sockopt::set_socket_keepalive(socket, true);
    let _ = sockopt::set_tcp_keepidle(socket, KEEP_ALIVE_AFTER);
    let _ = sockopt::set_tcp_keepintvl(socket, KEEP_ALIVE_INTERVAL);
    let _ = sockopt::set_tcp_keepcnt(socket, KEEP_ALIVE_COUNT);
}

/// Whether it is the connection that failed, before it was accepted, and not the accepting.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset
    )
}
