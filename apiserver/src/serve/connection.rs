//! One connection: handshake, protocol, and an end for those that do nothing.
//!
//! Which protocol is spoken is what was agreed on in the handshake (ALPN), not what the first bytes look like: waiting for
//! those would have no time limit.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{ClientAddress, Limits, Patience, Pipeline, tls};
use crate::authn::{ClientCertificates, PeerCertificate};
use crate::metrics::InFlight;

/// How often an HTTP/2 client that says nothing is asked whether it is there, and how long it may take to answer.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIME: Duration = Duration::from_secs(20);
/// How much of a body an HTTP/2 client may send that nobody has read, per request and in all; upstream's sizes.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 25 * STREAM_WINDOW;

/// What every connection of a listener shares.
pub(super) struct Shared {
    pub(super) acceptor: TlsAcceptor,
    pub(super) clients: ClientCertificates,
    pub(super) pipeline: Arc<Pipeline>,
    /// Every connection's task and every HTTP/2 stream's.
    pub(super) tasks: TaskTracker,
    /// Cancelled when no more requests are to be taken.
    pub(super) stopping: CancellationToken,
    /// Cancelled when those under way are to be given up.
    pub(super) killed: CancellationToken,
}

/// What a connection occupies, as long as its socket is open, even if a handler took it over.
pub(super) struct Occupied {
    pub(super) _permit: tokio::sync::OwnedSemaphorePermit,
    pub(super) _counted: InFlight,
}

/// Serves a connection until it ends.
pub(super) async fn serve(shared: Arc<Shared>, socket: TcpStream, occupied: Occupied) {
    let limits = shared.pipeline.limits();
    let patience = Patience::new(limits.stall_time);
    let client = socket.peer_addr().ok().map(|address| ClientAddress(address.ip().to_canonical()));
    let socket = StallLimit::new(socket, patience.clone(), occupied);
    let handshake = tokio::time::timeout(limits.handshake_time, shared.acceptor.accept(socket));
    let stream = tokio::select! {
        () = shared.stopping.cancelled() => return,
        stream = handshake => match stream {
            Ok(Ok(stream)) => stream,
            failed => {
                shared.pipeline.metrics().handshake_error();
                tracing::debug!(error = ?failed.err(), "a TLS handshake failed");
                return;
            }
        },
    };
    let (_, session) = stream.get_ref();
    let shown = session.peer_certificates().unwrap_or_default();
    let peer = Arc::new(shared.clients.judge(shown, (shared.pipeline.clock())()));
    let http2 = session.alpn_protocol() == Some(tls::ALPN_H2);
    let activity = Activity::new();
    let service = {
        let (shared, activity) = (Arc::clone(&shared), Arc::clone(&activity));
        service_fn(move |mut request: http::Request<Incoming>| {
            let (shared, peer, active) = (Arc::clone(&shared), Arc::clone(&peer), activity.begin());
            patience.set(shared.pipeline.limits().stall_time);
            request.extensions_mut().insert(patience.clone());
            if let Some(client) = client {
                request.extensions_mut().insert(client);
            }
            async move { Ok::<_, Infallible>(respond(&shared, request, &peer, active).await) }
        })
    };
    let io = TokioIo::new(stream);
    if http2 {
        let builder = http2_builder(limits, Streams(shared.tasks.clone()));
        let connection = builder.serve_connection(io, service);
        drive(&shared, &activity, connection, http2::Connection::graceful_shutdown).await;
    } else {
        let connection = http1_builder(limits).serve_connection(io, service).with_upgrades();
        // There is one answer at a time, which the watchdog of the connection can watch.
        Watchdog::watch(drive(&shared, &activity, connection, http1::UpgradeableConnection::graceful_shutdown)).await;
    }
}

async fn respond(
    shared: &Shared,
    request: http::Request<Incoming>,
    peer: &PeerCertificate,
    active: ActiveRequest,
) -> http::Response<super::ResponseBody> {
    shared.pipeline.serve(request, peer, active, &shared.stopping).await
}

fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    let bytes = limits.header_bytes as usize;
    builder.timer(TokioTimer::new()).header_read_timeout(limits.header_time).max_headers(limits.headers);
    // The buffer must be able to hold what is allowed; 8 KiB is the least that it can have.
    builder.max_header_size(bytes).max_buf_size((bytes + 1024).max(8 << 10));
    builder
}

fn http2_builder(limits: &Limits, streams: Streams) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams);
    builder.timer(TokioTimer::new()).keep_alive_interval(PING_INTERVAL).keep_alive_timeout(PING_TIME);
    builder.max_concurrent_streams(limits.streams).max_header_list_size(limits.header_bytes);
    builder.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
    builder
}

/// Runs a connection: ends it gently when the server stops or when it has been idle for too long, and at once when the
/// server gives up.
async fn drive<C>(shared: &Shared, activity: &Activity, connection: C, end_gently: fn(Pin<&mut C>))
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut connection = pin!(connection);
    let idle_time = shared.pipeline.limits().idle_time;
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
    pub(super) fn new() -> Arc<Activity> {
        Arc::new(Activity { requests: AtomicU64::new(0), idle_since: Mutex::new(Instant::now()) })
    }

    /// A request began. It is over when what this returns is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> ActiveRequest {
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

tokio::task_local! {
    static WATCHDOG: Arc<Watchdog>;
}

/// Ends whatever sends an answer if that takes too long: an HTTP/2 stream, or an HTTP/1.1 connection.
///
/// A body cannot do that by itself, because nobody polls it while the client does not take what was sent.
#[derive(Debug, Default)]
pub(super) struct Watchdog {
    until: Mutex<Option<Instant>>,
    changed: Notify,
}

impl Watchdog {
    /// Runs `task` to its end, or until its watchdog's time is up.
    async fn watch(task: impl Future<Output = ()>) {
        let watchdog = Arc::new(Watchdog::default());
        let watched = Arc::clone(&watchdog);
        WATCHDOG
            .scope(watchdog, async move {
                tokio::select! {
                    biased;
                    () = task => {}
                    () = watched.bite() => tracing::debug!("a client did not take its answer in time"),
                }
            })
            .await;
    }

    /// That of the task that this is called in; `None` outside a connection.
    pub(super) fn of_this_task() -> Option<Arc<Watchdog>> {
        WATCHDOG.try_with(Arc::clone).ok()
    }

    /// Gives the answer that is to be sent until `until`, unless what this returns is dropped before.
    pub(super) fn limit(self: Arc<Self>, until: Instant) -> Watched {
        *self.until.lock() = Some(until);
        self.changed.notify_one();
        Watched(self)
    }

    async fn bite(&self) {
        loop {
            let until = *self.until.lock();
            match until {
                None => self.changed.notified().await,
                Some(until) if until <= Instant::now() => return,
                Some(until) => tokio::select! {
                    () = tokio::time::sleep_until(until) => {}
                    () = self.changed.notified() => {}
                },
            }
        }
    }
}

/// An answer that is being sent.
#[derive(Debug)]
pub(super) struct Watched(Arc<Watchdog>);

impl Drop for Watched {
    fn drop(&mut self) {
        // Nobody is woken up for it: who sleeps looks again when the time has come.
        *self.0.until.lock() = None;
    }
}

/// Runs HTTP/2 streams, each under its own watchdog.
#[derive(Clone)]
struct Streams(TaskTracker);

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.0.spawn(Watchdog::watch(stream));
    }
}

pin_project_lite::pin_project! {
    /// A socket that fails once its peer has not taken a byte for too long.
    struct StallLimit<IO> {
        #[pin]
        io: IO,
        patience: Patience,
        // Set while the peer takes nothing.
        stalled: Option<Pin<Box<Sleep>>>,
        occupied: Occupied,
    }
}

impl<IO> StallLimit<IO> {
    fn new(io: IO, patience: Patience, occupied: Occupied) -> Self {
        StallLimit { io, patience, stalled: None, occupied }
    }
}

/// Passes a result on, and counts the time as long as there is none.
fn limit_stall<T>(
    polled: Poll<io::Result<T>>,
    stalled: &mut Option<Pin<Box<Sleep>>>,
    patience: &Patience,
    cx: &mut Context<'_>,
) -> Poll<io::Result<T>> {
    if polled.is_ready() {
        *stalled = None;
        return polled;
    }
    let sleep = stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience.time())));
    ready!(sleep.as_mut().poll(cx));
    Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
}

impl<IO: AsyncRead> AsyncRead for StallLimit<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_read(cx, buffer)
    }
}

impl<IO: AsyncWrite> AsyncWrite for StallLimit<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.project();
        limit_stall(this.io.poll_write(cx, bytes), this.stalled, this.patience, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        limit_stall(this.io.poll_write_vectored(cx, slices), this.stalled, this.patience, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        match this.io.poll_flush(cx) {
            // A socket has nothing to flush, which says nothing of what it took.
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => limit_stall(Poll::Pending, this.stalled, this.patience, cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_shutdown(cx)
    }
}
