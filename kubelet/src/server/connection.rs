//! Connections: as many as are allowed, each with a handshake, a protocol, and an end if it does nothing.
//!
//! Which protocol is spoken is what was agreed on in the handshake (ALPN), not what the first bytes look like: waiting for
//! those would have no time limit.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Limits, Service, tls};

/// How long to wait when no connection can be accepted, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// When a peer that says nothing is asked whether it is there: after this time, in this interval, so often.
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(30);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEP_ALIVE_COUNT: u32 = 4;
/// How often an HTTP/2 client that says nothing is asked whether it is there, and how long it may take to answer.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIME: Duration = Duration::from_secs(20);

/// What the connections of a listener share.
pub(super) struct Shared {
    pub(super) handshakes: tls::Handshakes,
    pub(super) service: Service,
    /// Every connection's task.
    pub(super) tasks: TaskTracker,
    /// Cancelled when no more requests are to be taken.
    pub(super) stopping: CancellationToken,
    /// Cancelled when those under way are to be given up.
    pub(super) killed: CancellationToken,
}

/// Accepts connections until the server stops.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let room = shared.service.limits.connections.clamp(1, Semaphore::MAX_PERMITS);
    let room = Arc::new(Semaphore::new(room));
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
                let socket = Socket::new(socket, shared.service.limits.stream_idle_time, permit);
                shared.tasks.spawn(serve(Arc::clone(&shared), socket));
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
fn prepare(socket: &TcpStream) {
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

/// Serves a connection until it ends or becomes a stream.
async fn serve(shared: Arc<Shared>, socket: Socket) {
    let limits = &shared.service.limits;
    let handshake = tokio::time::timeout(limits.handshake_time, shared.handshakes.acceptor().accept(socket));
    let stream = tokio::select! {
        () = shared.stopping.cancelled() => return,
        stream = handshake => match stream {
            Ok(Ok(stream)) => stream,
            failed => {
                shared.service.metrics.handshake_errors.add(&[], 1.0);
                tracing::debug!(error = ?failed.err(), "a TLS handshake failed");
                return;
            }
        },
    };
    let (_, session) = stream.get_ref();
    let peer = Arc::new(shared.service.authentication.judge(session.peer_certificates().unwrap_or_default()));
    let http2 = session.alpn_protocol() == Some(tls::ALPN_H2);
    let activity = Activity::new();
    let service = {
        let (shared, activity) = (Arc::clone(&shared), Arc::clone(&activity));
        service_fn(move |request| {
            let (shared, peer, active) = (Arc::clone(&shared), Arc::clone(&peer), activity.begin());
            async move { Ok::<_, Infallible>(shared.service.respond(request, &peer, active).await) }
        })
    };
    let io = TokioIo::new(stream);
    if http2 {
        let connection = http2_builder(limits).serve_connection(io, service);
        drive(&shared, &activity, connection, http2::Connection::graceful_shutdown).await;
    } else {
        let connection = http1_builder(limits).serve_connection(io, service).with_upgrades();
        drive(&shared, &activity, connection, http1::UpgradeableConnection::graceful_shutdown).await;
    }
}

fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    let bytes = limits.header_bytes as usize;
    builder.timer(TokioTimer::new()).header_read_timeout(limits.header_time).max_headers(limits.headers);
    // The buffer must be able to hold what is allowed; 8 KiB is the least that it can have.
    builder.max_header_size(bytes).max_buf_size((bytes + 1024).max(8 << 10));
    builder
}

fn http2_builder(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).keep_alive_interval(PING_INTERVAL).keep_alive_timeout(PING_TIME);
    builder.max_concurrent_streams(limits.streams).max_header_list_size(limits.header_bytes);
    builder
}

/// Runs a connection: ends it gently when the server stops or when it has been idle for too long, and at once when the
/// server gives up.
async fn drive<C>(shared: &Shared, activity: &Activity, connection: C, end_gently: fn(Pin<&mut C>))
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut connection = pin!(connection);
    let idle_time = shared.service.limits.idle_time;
    let mut ending = false;
    let mut look_again = Instant::now() + idle_time;
    loop {
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a connection ended");
                }
                return;
            }
            () = shared.killed.cancelled() => return,
            () = shared.stopping.cancelled(), if !ending => {
                ending = true;
                end_gently(connection.as_mut());
            }
            () = tokio::time::sleep_until(look_again) => {
                match activity.idle_since() {
                    Some(since) if since + idle_time <= Instant::now() => {
                        // It was asked to end before, and had nothing to finish.
                        if ending {
                            return;
                        }
                        ending = true;
                        end_gently(connection.as_mut());
                        look_again = Instant::now() + idle_time;
                    }
                    Some(since) => look_again = since + idle_time,
                    None => look_again = Instant::now() + idle_time,
                }
            }
        }
    }
}

/// How many requests of a connection are under way, and since when there is none.
#[derive(Debug)]
pub(super) struct Activity {
    requests: AtomicU64,
    idle_since: Mutex<Instant>,
}

impl Activity {
    fn new() -> Arc<Activity> {
        Arc::new(Activity { requests: AtomicU64::new(0), idle_since: Mutex::new(Instant::now()) })
    }

    /// A request began. It is over when what this returns is dropped.
    fn begin(self: &Arc<Self>) -> ActiveRequest {
        self.requests.fetch_add(1, Ordering::AcqRel);
        ActiveRequest(Arc::clone(self))
    }

    fn idle_since(&self) -> Option<Instant> {
        let since = *self.idle_since.lock();
        (self.requests.load(Ordering::Acquire) == 0).then_some(since)
    }
}

/// A request that is under way on a connection.
#[derive(Debug)]
pub(super) struct ActiveRequest(Arc<Activity>);

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        *self.0.idle_since.lock() = Instant::now();
        self.0.requests.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A client's socket. It holds its place among the connections as long as it is open, as a stream too, and fails once the
/// client has not taken a byte for too long.
#[derive(Debug)]
struct Socket {
    socket: TcpStream,
    limit: Duration,
    /// Set while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    _permit: OwnedSemaphorePermit,
}

impl Socket {
    fn new(socket: TcpStream, limit: Duration, permit: OwnedSemaphorePermit) -> Socket {
        Socket { socket, limit, stalled: None, _permit: permit }
    }

    /// Passes a result on, and counts the time as long as there is none.
    fn limit<T>(&mut self, polled: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stalled = None;
            return polled;
        }
        let limit = self.limit;
        let sleep = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.limit(polled, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.limit(polled, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
