//! The sockets of the cluster's DNS.
//!
//! Each address has sockets of its own, UDP and TCP, so that an answer comes from the address that was asked. What can be
//! answered at once is, by the task that received it; what waits for other servers is counted, and beyond the bound refused.
//! Connections are counted as well, and those beyond the bound wait to be accepted; one on which nothing comes is closed.
//! The port is not shared between sockets (`SO_REUSEPORT`), for then nobody would see that another server has it already.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::forward::Forwarder;
use super::message::Transport;
use super::names::Zone;
use super::serving::{Now, Published, Serving};
use super::{DnsError, Options};

/// The longest question in a datagram that is read as a whole. A question has 300 bytes at most, besides options.
const LONGEST: usize = 4_096;
/// So many ports are tried if any will do.
const TRIES: usize = 8;
/// So many datagrams are answered before other tasks have a turn.
const TURN: usize = 64;
/// So many tasks receive at each address.
const RECEIVERS: usize = 2;

/// How much is served at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeLimits {
    /// So many questions that came in datagrams wait for other servers.
    pub waiting: usize,
    /// So many connections are open.
    pub connections: usize,
    /// A connection may have nothing to say for so long, and may take so long to say something.
    pub idle: Duration,
}

impl Default for ServeLimits {
    fn default() -> ServeLimits {
        ServeLimits { waiting: 4_096, connections: 512, idle: Duration::from_secs(10) }
    }
}

/// The cluster's DNS. It ends when it is stopped, or dropped.
pub struct Server {
    names: Arc<Published>,
    addresses: Vec<SocketAddr>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Server {
    /// Listens, and answers from then on. Of the cluster's names it knows nothing until it is told ([`Server::names`]).
    ///
    /// # Errors
    ///
    /// If the zone is no domain, or an address cannot be had, which then is named.
    pub async fn start(options: Options) -> Result<Server, DnsError> {
        let zone = Zone {
            name: options.zone_name()?,
            ttl: options.ttl,
            addresses: options.listen.iter().map(SocketAddr::ip).collect(),
        };
        if options.listen.is_empty() {
            return Err(DnsError::NoAddress);
        }
        let mut sockets = Vec::new();
        for address in &options.listen {
            sockets.push(listen(*address).await?);
        }
        let addresses: Vec<SocketAddr> = sockets.iter().map(|(address, ..)| *address).collect();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let names = Arc::new(Published::new(zone));
        let forwarder = Forwarder::new(
            options.upstreams,
            addresses.clone(),
            (options.forward, options.cache),
            Arc::clone(&options.metrics),
            (tasks.clone(), stop.clone()),
        );
        let serving =
            Arc::new(Serving { names: Arc::clone(&names), forwarder: Arc::new(forwarder), metrics: options.metrics });
        let listening = Listening {
            serving,
            waiting: Arc::new(Semaphore::new(options.serve.waiting.min(Semaphore::MAX_PERMITS))),
            connections: Arc::new(Semaphore::new(options.serve.connections.min(Semaphore::MAX_PERMITS))),
            idle: options.serve.idle,
            tasks: tasks.clone(),
            stop: stop.clone(),
        };
        let listening = Arc::new(listening);
        for (_, tcp, udp) in sockets {
            let udp = Arc::new(udp);
            for _ in 0..RECEIVERS {
                tasks.spawn(Arc::clone(&listening).receive(Arc::clone(&udp)));
            }
            tasks.spawn(Arc::clone(&listening).accept(tcp));
        }
        Ok(Server { names, addresses, tasks, stop })
    }

    /// The names that it answers from.
    #[must_use]
    pub fn names(&self) -> &Arc<Published> {
        &self.names
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Stops, and returns when nothing is left of it.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// The sockets of an address. Port 0 stands for one that is free for both.
async fn listen(address: SocketAddr) -> Result<(SocketAddr, TcpListener, UdpSocket), DnsError> {
    // What is free for one may be in use for the other.
    for _ in 1..TRIES {
        match bind(address).await {
            Err(DnsError::InUse { .. }) if address.port() == 0 => {}
            bound => return bound,
        }
    }
    bind(address).await
}

async fn bind(address: SocketAddr) -> Result<(SocketAddr, TcpListener, UdpSocket), DnsError> {
    if address.ip().is_unspecified() {
        return Err(DnsError::AnyAddress { address });
    }
    let failed = |transport| {
        move |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => DnsError::InUse { address, transport },
            io::ErrorKind::AddrNotAvailable => DnsError::NotHere { address },
            _ => DnsError::Listen { address, transport, source },
        }
    };
    let tcp = TcpListener::bind(address).await.map_err(failed("TCP"))?;
    let bound = tcp.local_addr().map_err(failed("TCP"))?;
    let udp = UdpSocket::bind(bound).await.map_err(failed("UDP"))?;
    Ok((bound, tcp, udp))
}

/// What all sockets share.
struct Listening {
    serving: Arc<Serving>,
    waiting: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    idle: Duration,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Listening {
    /// Answers what comes in datagrams.
    async fn receive(self: Arc<Self>, socket: Arc<UdpSocket>) {
        let mut buffer = [0; LONGEST];
        loop {
            let ready = tokio::select! {
                ready = socket.readable() => ready,
                () = self.stop.cancelled() => return,
            };
            if let Err(error) = ready {
                tracing::error!(%error, "a socket of the cluster's DNS is broken");
                return;
            }
            for _ in 0..TURN {
                match socket.try_recv_from(&mut buffer) {
                    Ok((size, client)) => self.datagram(&socket, &buffer[..size], client).await,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // Such as word that an earlier answer did not reach its client.
                    Err(error) => tracing::debug!(%error, "a datagram could not be received"),
                }
            }
            tokio::task::yield_now().await;
        }
    }

    async fn datagram(self: &Arc<Self>, socket: &Arc<UdpSocket>, bytes: &[u8], client: SocketAddr) {
        let later = match self.serving.at_once(bytes, client, Transport::Udp) {
            Now::Reply(reply) => return send(socket, &reply, client).await,
            Now::Nothing => return,
            Now::Later(later) => later,
        };
        let Ok(permit) = Arc::clone(&self.waiting).try_acquire_owned() else {
            return send(socket, &self.serving.refuse(*later), client).await;
        };
        let (own, socket) = (Arc::clone(self), Arc::clone(socket));
        self.tasks.spawn(async move {
            let reply = own.serving.later(*later).await;
            send(&socket, &reply, client).await;
            drop(permit);
        });
    }

    /// Accepts connections, as many as may be open.
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            let permit = tokio::select! {
                permit = Arc::clone(&self.connections).acquire_owned() => permit,
                () = self.stop.cancelled() => return,
            };
            let Ok(permit) = permit else { return };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stop.cancelled() => return,
            };
            let (stream, client) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Often for want of file descriptors, which come back as connections end.
                    tracing::debug!(%error, "a connection could not be accepted");
                    tokio::select! {
                        () = tokio::time::sleep(Duration::from_millis(100)) => continue,
                        () = self.stop.cancelled() => return,
                    }
                }
            };
            let own = Arc::clone(&self);
            self.tasks.spawn(async move {
                tokio::select! {
                    ended = own.converse(stream, client) => {
                        if let Err(error) = ended {
                            tracing::debug!(%error, %client, "a connection ended");
                        }
                    }
                    () = own.stop.cancelled() => {}
                }
                drop(permit);
            });
        }
    }

    /// Answers one question after another on a connection.
    async fn converse(&self, mut stream: TcpStream, client: SocketAddr) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut buffer = Vec::new();
        while let Some(size) = timeout(self.idle, stream.read_u16()).await.ok().transpose()? {
            buffer.resize(size.into(), 0);
            timeout(self.idle, stream.read_exact(&mut buffer)).await.map_err(io::Error::from)??;
            let reply = match self.serving.at_once(&buffer, client, Transport::Tcp) {
                Now::Reply(reply) => reply,
                Now::Nothing => return Ok(()),
                Now::Later(later) => self.serving.later(*later).await,
            };
            let length = u16::try_from(reply.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
            let mut framed = length.to_be_bytes().to_vec();
            framed.extend_from_slice(&reply);
            timeout(self.idle, stream.write_all(&framed)).await.map_err(io::Error::from)??;
        }
        Ok(())
    }
}

async fn send(socket: &UdpSocket, reply: &[u8], client: SocketAddr) {
    if let Err(error) = socket.send_to(reply, client).await {
        tracing::debug!(%error, %client, "an answer could not be sent");
    }
}

#[cfg(test)]
mod tests;
