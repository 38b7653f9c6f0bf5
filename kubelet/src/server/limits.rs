//! What clients may take of the server. Upstream's numbers where upstream has the limit.

use std::time::Duration;

/// The bounds of what clients may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many connections may be open, streams included. More wait to be accepted.
    pub connections: usize,
    /// How many requests one HTTP/2 connection may have under way (upstream's 250).
    pub streams: u32,
    /// The largest request line and headers together, in bytes. More is `431`.
    pub header_bytes: u32,
    /// The most header fields of a request over HTTP/1.1. More is `431`.
    pub headers: usize,
    /// The longest path and query, in bytes. More is `414`.
    pub url_bytes: usize,
    /// How long a TLS handshake may take.
    pub handshake_time: Duration,
    /// How long a client may take to send the head of a request over HTTP/1.1.
    pub header_time: Duration,
    /// How long a connection may be without a request (upstream's 90 s).
    pub idle_time: Duration,
    /// How long a stream (exec, attach, port-forward) may be without a byte, and how long a client may refuse to take one
    /// (upstream's `streamingConnectionIdleTimeout` and write timeout, both 4 h).
    pub stream_idle_time: Duration,
    /// How long requests under way may go on once the server is told to stop. Streams are cut off at once.
    pub shutdown_time: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 4096,
            streams: 250,
            header_bytes: 128 << 10,
            headers: 256,
            url_bytes: 48 << 10,
            handshake_time: Duration::from_secs(10),
            header_time: Duration::from_secs(32),
            idle_time: Duration::from_secs(90),
            stream_idle_time: Duration::from_secs(4 * 60 * 60),
            shutdown_time: Duration::from_secs(10),
        }
    }
}
