//! Passing streams on: the client's upgrade is replayed at the runtime's streaming server, and from then on bytes go through
//! both ways as they come.
//!
//! What always holds:
//!
//! - only a streaming server of this machine is connected to, and no redirect is followed;
//! - no more than two buffers of bytes are under way, so that who reads slowly slows the writer down;
//! - one side's end is passed on, and the other may still speak; an error on either ends both;
//! - a stream without a byte for the idle time ends.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, HeaderValue, UPGRADE};
use http::{HeaderMap, Request, Response, StatusCode, Uri, Version};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Service;
use super::answer::{self, Answer};

/// How long the streaming server may take to be connected to and to answer the upgrade.
const ANSWER: Duration = Duration::from_secs(30);
/// How many bytes may be under way in one direction.
const BUFFER: usize = 32 << 10;
/// The most bytes of words with which the streaming server refuses.
const REFUSAL: usize = 64 << 10;

/// Why a stream cannot be had.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error("the runtime's streaming URL is not one of this machine: {0:?}")]
    Elsewhere(String),
    #[error("the runtime's streaming server cannot be reached: {0}")]
    Unreachable(#[from] io::Error),
    #[error("the runtime's streaming server did not take the request: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the runtime's streaming server did not answer within {} s", ANSWER.as_secs())]
    Late,
}

/// Whether a client wants a WebSocket.
pub(super) fn is_web_socket(headers: &HeaderMap) -> bool {
    headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Passes a request for streams on to the runtime's `url`, and the answer back.
pub(super) async fn pass_on(service: &Service, mut request: Request<Incoming>, url: &str) -> Answer {
    if request.version() != Version::HTTP_11 {
        return answer::refusal(StatusCode::BAD_REQUEST, "Upgrade request required: streams need HTTP/1.1");
    }
    let client = hyper::upgrade::on(&mut request);
    let mut answered = match tokio::time::timeout(ANSWER, ask(&request, url)).await {
        Ok(Ok(answered)) => answered,
        Ok(Err(error)) => return failed(&error),
        Err(_) => return failed(&StreamError::Late),
    };
    if answered.status() != StatusCode::SWITCHING_PROTOCOLS {
        return refused(answered).await;
    }
    let runtime = hyper::upgrade::on(&mut answered);
    let (idle, killed) = (service.limits.stream_idle_time, service.streams_end.clone());
    service.streams.spawn(async move {
        let both = async { tokio::try_join!(client, runtime) };
        match tokio::time::timeout(ANSWER, both).await {
            Ok(Ok((client, runtime))) => join(TokioIo::new(client), TokioIo::new(runtime), idle, &killed).await,
            Ok(Err(error)) => tracing::debug!(%error, "a stream did not begin"),
            Err(_) => tracing::debug!("a stream did not begin in time"),
        }
    });
    let (parts, _) = answered.into_parts();
    let mut answer = Response::new(answer::full(Bytes::new()));
    *answer.status_mut() = parts.status;
    *answer.headers_mut() = parts.headers;
    answer
}

fn failed(error: &StreamError) -> Answer {
    tracing::warn!(%error, "a stream cannot be had");
    answer::refusal(StatusCode::INTERNAL_SERVER_ERROR, error)
}

/// Replays the request at the streaming server.
async fn ask(request: &Request<Incoming>, url: &str) -> Result<Response<Incoming>, StreamError> {
    let (address, path, host) = target(url)?;
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    // The connection's task ends with the answer, with the upgrade, or when the sender is dropped.
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to the streaming server ended");
        }
    });
    let mut replayed = Request::new(Empty::<Bytes>::new());
    *replayed.method_mut() = request.method().clone();
    *replayed.uri_mut() = path;
    *replayed.headers_mut() = request.headers().clone();
    // Who asks is settled, and what proves it is nobody else's business.
    replayed.headers_mut().remove(AUTHORIZATION);
    replayed.headers_mut().remove(http::header::CONTENT_LENGTH);
    replayed.headers_mut().remove(http::header::TRANSFER_ENCODING);
    replayed.headers_mut().insert(HOST, host);
    Ok(sender.send_request(replayed).await?)
}

/// Where a streaming URL leads: an address of this machine, the path with its query, and the host's name.
fn target(url: &str) -> Result<(SocketAddr, Uri, HeaderValue), StreamError> {
    let elsewhere = || StreamError::Elsewhere(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| elsewhere())?;
    if uri.scheme_str() != Some("http") {
        return Err(elsewhere());
    }
    let authority = uri.authority().ok_or_else(elsewhere)?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let ip = match host {
        "localhost" => IpAddr::from([127, 0, 0, 1]),
        host => host.parse().map_err(|_| elsewhere())?,
    };
    if !ip.is_loopback() {
        return Err(elsewhere());
    }
    let address = SocketAddr::new(ip, authority.port_u16().unwrap_or(80));
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let path = path.parse().map_err(|_| elsewhere())?;
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| elsewhere())?;
    Ok((address, path, host))
}

/// Passes on in which words the streaming server refuses. Where it points elsewhere, that is not gone to, nor told.
async fn refused(answered: Response<Incoming>) -> Answer {
    let status = answered.status();
    if status.is_redirection() || status.is_informational() {
        let why = format!("the runtime's streaming server answered {status}, which is not followed");
        return answer::refusal(StatusCode::BAD_GATEWAY, why);
    }
    let mut body = answered.into_body();
    let mut words: Vec<u8> = Vec::new();
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else { continue };
            words.extend_from_slice(&data[..data.len().min(REFUSAL - words.len())]);
            if words.len() == REFUSAL {
                return;
            }
        }
    };
    // What was said by then must do.
    let _ = tokio::time::timeout(ANSWER, reading).await;
    let status = if status.is_success() { StatusCode::INTERNAL_SERVER_ERROR } else { status };
    answer::refusal(status, String::from_utf8_lossy(&words))
}

/// Carries bytes both ways until both sides have ended, one fails, nothing was said for the idle time, or the server stops.
async fn join<Client, Runtime>(client: Client, runtime: Runtime, idle: Duration, killed: &CancellationToken)
where
    Client: AsyncRead + AsyncWrite + Unpin,
    Runtime: AsyncRead + AsyncWrite + Unpin,
{
    let activity = Arc::new(Mutex::new(Instant::now()));
    let mut client = Noticed { io: client, activity: Arc::clone(&activity) };
    let mut runtime = Noticed { io: runtime, activity: Arc::clone(&activity) };
    let copying = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut runtime, BUFFER, BUFFER);
    tokio::select! {
        copied = copying => match copied {
            Ok((from_client, from_runtime)) => tracing::debug!(from_client, from_runtime, "a stream ended"),
            Err(error) => tracing::debug!(%error, "a stream broke off"),
        },
        () = idle_for(idle, &activity) => tracing::debug!("a stream was idle for too long"),
        () = killed.cancelled() => {}
    }
}

async fn idle_for(idle: Duration, activity: &Mutex<Instant>) {
    loop {
        let until = *activity.lock() + idle;
        if until <= Instant::now() {
            return;
        }
        tokio::time::sleep_until(until).await;
    }
}

/// One side of a stream, of which it is known when it was last heard.
struct Noticed<IO> {
    io: IO,
    activity: Arc<Mutex<Instant>>,
}

impl<IO: AsyncRead + Unpin> AsyncRead for Noticed<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            *self.activity.lock() = Instant::now();
        }
        polled
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Noticed<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
