//! Streams to what runs in a pod, over a connection that was an HTTP request before.
//!
//! Two protocols carry them: WebSocket, which newer API servers speak, and SPDY/3.1, which runtimes have spoken from the
//! beginning and to which kubectl falls back, too. Neither is chosen by version: the one is tried, and then the other.
//!
//! Everything between the connection and the verb is bounded: who reads slowly makes the other side wait.

pub(crate) mod dialogue;
pub(crate) mod remote;
pub(crate) mod spdy;
mod websocket;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use serde_json::Value;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::Error;
use crate::session::unreachable;

/// A connection that was a request.
pub(crate) type Connection = TokioIo<Upgraded>;

/// Which version of the streams of a command the other side is asked for, as both protocols name them.
pub(crate) const V4: &str = "v4.channel.k8s.io";
/// The same with a way to end a stream, for WebSocket: SPDY has its own.
pub(crate) const V5: &str = "v5.channel.k8s.io";

/// Why a connection could not be had.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Another protocol may do.
    Protocol(Error),
    /// It would be no different with another one.
    Other(Error),
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Error {
        match refused {
            Refused::Protocol(error) | Refused::Other(error) => error,
        }
    }
}

/// Asks for a WebSocket that speaks one of these, and returns it with the one that it speaks.
pub(crate) async fn websocket(
    client: &Client,
    uri: &str,
    protocols: &[&str],
) -> Result<(WebSocketStream<Connection>, String), Refused> {
    let key = generate_key();
    let request = Request::builder()
        .method(Method::GET)
        .uri(uri)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, &key)
        // One header with all of them: servers look at no second one.
        .header(header::SEC_WEBSOCKET_PROTOCOL, protocols.join(", "));
    let response = switched(client, request).await?;
    let is = |name: header::HeaderName, expected: &str| {
        let value = response.headers().get(name).and_then(|value| value.to_str().ok());
        value.is_some_and(|value| value.eq_ignore_ascii_case(expected))
    };
    if !is(header::UPGRADE, "websocket") || !is(header::SEC_WEBSOCKET_ACCEPT, &derive_accept_key(key.as_bytes())) {
        return Err(Refused::Protocol(Error::said("unable to upgrade connection: what answered is no WebSocket")));
    }
    let chosen = response.headers().get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|value| value.to_str().ok());
    let chosen = chosen.unwrap_or_default().to_owned();
    if !protocols.contains(&chosen.as_str()) {
        let words = format!("unable to negotiate protocol: client supports {protocols:?}, server returned {chosen:?}");
        return Err(Refused::Protocol(Error::said(words)));
    }
    Ok((WebSocketStream::from_raw_socket(upgraded(response).await?, Role::Client, None).await, chosen))
}

/// Asks for SPDY/3.1 with one of these versions of the streams.
pub(crate) async fn spdy(client: &Client, uri: &str, versions: &[&str]) -> Result<Connection, Refused> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(uri)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "SPDY/3.1")
        .header(header::CONTENT_LENGTH, "0");
    for version in versions {
        request = request.header("x-stream-protocol-version", *version);
    }
    let response = switched(client, request).await?;
    let chosen = response.headers().get("x-stream-protocol-version").and_then(|value| value.to_str().ok());
    let chosen = chosen.unwrap_or_default().to_owned();
    if !versions.contains(&chosen.as_str()) {
        let words = format!("unable to negotiate protocol: client supports {versions:?}, server returned {chosen:?}");
        return Err(Refused::Other(Error::said(words)));
    }
    upgraded(response).await
}

/// The connection on which ports are forwarded, in a WebSocket or plain, whichever the server has.
pub(crate) async fn forwarding(client: &Client, uri: &str) -> Result<spdy::Connection, Error> {
    match websocket(client, uri, &["SPDY/3.1+portforward.k8s.io"]).await {
        Ok((socket, _)) => return Ok(spdy::Connection::start(websocket::Tunnel::new(socket))),
        Err(Refused::Protocol(_)) => {}
        Err(Refused::Other(error)) => return Err(error),
    }
    Ok(spdy::Connection::start(spdy(client, uri, &["portforward.k8s.io"]).await?))
}

async fn switched(client: &Client, request: http::request::Builder) -> Result<Response<Body>, Refused> {
    let request = request.body(Body::empty()).map_err(|error| Refused::Other(Error::said(error.to_string())))?;
    let response = client.send(request).await.map_err(|error| Refused::Other(unreachable(&error)))?;
    let status = response.status();
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(response);
    }
    let whole = response.into_body().collect().await.map(|whole| whole.to_bytes()).unwrap_or_default();
    Err(Refused::Protocol(refusal(&whole)))
}

/// Why a server does not switch, in kubectl's words.
fn refusal(body: &[u8]) -> Error {
    match serde_json::from_slice::<Value>(body) {
        // As kubectl has it, which has asked for the pod before: that is there, and only cannot be connected.
        Ok(status) if status["kind"] == "Status" && status["reason"] == "BadRequest" => {
            Error::said(format!("unable to upgrade connection: {}", status["message"].as_str().unwrap_or_default()))
        }
        Ok(status) if status["kind"] == "Status" => Error::Server(Box::new(status)),
        _ => Error::said(format!("unable to upgrade connection: {}", String::from_utf8_lossy(body).trim())),
    }
}

async fn upgraded(response: Response<Body>) -> Result<Connection, Refused> {
    let upgraded = hyper::upgrade::on(response).await;
    upgraded
        .map(TokioIo::new)
        .map_err(|error| Refused::Other(Error::said(format!("unable to upgrade connection: {error}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_in_kubectls_words() {
        let status = br#"{"kind": "Status", "reason": "NotFound", "message": "pods \"a\" not found"}"#;
        assert_eq!(refusal(status).to_string(), "Error from server (NotFound): pods \"a\" not found");
        let plain = refusal(b"container not found (\"c\")\n").to_string();
        assert_eq!(plain, "error: unable to upgrade connection: container not found (\"c\")");
    }
}
