//! One request on its way to another server and its answer on the way back: as they come, in pieces, and no faster than
//! whoever is slower.
//!
//! Every exchange has a connection of its own, which ends with it. Redirects are not followed by anybody here. A connection
//! that becomes something else (SPDY, a WebSocket) is joined to the client's, which becomes the same: what they speak then
//! is their own affair.

use std::io;
use std::time::Duration;

use api::status::{Reason, Status};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::location::Location;
use super::transport::{DialError, Stream};
use crate::serve::{RequestBody, ResponseBody, TakenOver, full_body};

/// How much of what another server sends is in memory at most, per exchange.
const BUFFER: usize = 64 << 10;
/// How much of what it says of a failure is read.
const MOST_EXPLANATION: usize = 50_000;
/// How long what is left may take to be sent when one side of a joined connection has ended.
const LEAVE_TIME: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExchangeError {
    /// No connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// It broke, or what came over it is no HTTP.
    #[error("{0}")]
    Http(#[from] hyper::Error),
    /// The request cannot be said.
    #[error("{0}")]
    Request(#[from] http::Error),
}

/// An answer, and the connection over which it comes.
pub(super) struct Answered {
    pub(super) response: Response<Incoming>,
    connection: AbortOnDropHandle<()>,
}

/// What is asked of another server.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: RequestBody,
}

impl Asked {
    /// A GET without anything else.
    pub(super) fn get() -> Asked {
        Asked { method: Method::GET, headers: HeaderMap::new(), body: full_body(Bytes::new()) }
    }
}

/// Asks `location`, over `stream`, and waits until the answer begins.
pub(super) async fn ask(stream: Box<dyn Stream>, location: &Location, asked: Asked) -> Result<Answered, ExchangeError> {
    let Asked { method, headers, body } = asked;
    let mut request = Request::builder().method(method).uri(location.path_and_query()).body(body)?;
    *request.headers_mut() = headers;
    if !request.headers().contains_key(HOST) {
        let host = HeaderValue::from_str(&location.endpoint.authority()).map_err(http::Error::from)?;
        request.headers_mut().insert(HOST, host);
    }
    let mut builder = http1::Builder::new();
    builder.max_buf_size(BUFFER);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    let connection = AbortOnDropHandle::new(tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to another server ended");
        }
    }));
    let response = sender.send_request(request).await?;
    Ok(Answered { response, connection })
}

impl Answered {
    /// Passes the answer on, as it comes.
    pub(super) fn pass_on(self) -> Response<ResponseBody> {
        let Answered { response, connection } = self;
        let (mut parts, body) = response.into_parts();
        parts.version = Version::default();
        parts.extensions.clear();
        let body = body.map_err(move |error| {
            // The connection goes when the body does.
            let _ = &connection;
            error.into()
        });
        Response::from_parts(parts, body.boxed_unsync())
    }

    /// The text of an answer that explains a failure, as far as it is read.
    pub(super) async fn explanation(self) -> Result<String, Status> {
        let limited = http_body_util::Limited::new(self.response.into_body(), MOST_EXPLANATION);
        let mut limited = std::pin::pin!(limited);
        let mut text: Vec<u8> = Vec::new();
        while let Some(frame) = limited.frame().await {
            match frame.map(hyper::body::Frame::into_data) {
                Ok(Ok(data)) => text.extend_from_slice(&data),
                Ok(Err(_)) => {}
                Err(error) if error.is::<http_body_util::LengthLimitError>() => break,
                Err(error) => return Err(Status::internal_error(error)),
            }
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Joins the connection to the client's, if the other server agreed to what it is to become, until either ends or the
    /// server stops. What the other server refuses is passed on; anything else is a mistake of its.
    pub(super) fn join(self, client: OnUpgrade, stopping: CancellationToken) -> Result<Response<ResponseBody>, Status> {
        let status = self.response.status();
        if status.is_client_error() || status.is_server_error() {
            return Ok(self.pass_on());
        }
        if status != StatusCode::SWITCHING_PROTOCOLS {
            return Err(unexpected(format!("invalid upgrade response: status code {}", status.as_u16())));
        }
        let Answered { mut response, connection } = self;
        let backend = hyper::upgrade::on(&mut response);
        let mut answer = Response::new(Full::default().map_err(|never| match never {}).boxed_unsync());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        std::mem::swap(answer.headers_mut(), response.headers_mut());
        answer.headers_mut().remove(CONTENT_LENGTH);
        let (taken_over, held) = TakenOver::new();
        answer.extensions_mut().insert(taken_over);
        tokio::spawn(async move {
            let joined = async {
                let (client, backend) = tokio::try_join!(client, backend)?;
                // What the request occupies at the server is occupied as long as this goes on.
                let _held = held.await;
                shuttle(TokioIo::new(client), TokioIo::new(backend)).await;
                Ok::<_, hyper::Error>(())
            };
            tokio::select! {
                () = stopping.cancelled() => {}
                ended = joined => if let Err(error) = ended {
                    tracing::debug!(%error, "a connection could not be taken over");
                }
            }
            drop(connection);
        });
        Ok(answer)
    }
}

/// A failure that no reason is known for, as upstream reports errors that are no Status.
pub(super) fn unexpected(message: impl Into<String>) -> Status {
    let mut status = Status::of(Reason::Unknown, message);
    status.code = StatusCode::INTERNAL_SERVER_ERROR.as_u16();
    status
}

/// Carries bytes both ways until one side ends, and then both ends: what runs over these connections has no use for half of
/// one.
async fn shuttle(client: impl AsyncRead + AsyncWrite, backend: impl AsyncRead + AsyncWrite) {
    let (mut client_read, mut client_write) = tokio::io::split(client);
    let (mut backend_read, mut backend_write) = tokio::io::split(backend);
    let ended: io::Result<u64> = tokio::select! {
        ended = tokio::io::copy(&mut backend_read, &mut client_write) => ended,
        ended = tokio::io::copy(&mut client_read, &mut backend_write) => ended,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a joined connection broke");
    }
    let leave = async {
        // Whoever is gone already needs no farewell.
        let _ = tokio::join!(client_write.shutdown(), backend_write.shutdown());
    };
    let _ = tokio::time::timeout(LEAVE_TIME, leave).await;
}
