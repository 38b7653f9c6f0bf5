//! What clients may take of the server. Upstream's defaults where upstream has the limit.

use std::time::Duration;

/// The bounds of what clients may take. Every one is enforced by this module, whatever the handler does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest body of a request, in bytes; upstream's limit of a resource.
    pub body_bytes: usize,
    /// The largest request line and headers together, in bytes. More is `431`.
    pub header_bytes: u32,
    /// The most header fields of a request over HTTP/1.1. More is `431`.
    pub headers: usize,
    /// The longest path and query, in bytes. More is `414`.
    pub url_bytes: usize,
    /// How many requests that change nothing may be under way; more are `429`. 0 is no limit.
    pub read_only_in_flight: usize,
    /// How many requests that change something may be under way; more are `429`. 0 is no limit.
    pub mutating_in_flight: usize,
    /// How many long-running requests may be under way; more are `429`. 0 is no limit.
    pub long_running: usize,
    /// How long a request may take that is not long-running, from its first byte to the last byte of its answer.
    pub request_time: Duration,
    /// How many connections may be open. More wait to be accepted.
    pub connections: usize,
    /// How many requests one HTTP/2 connection may have under way.
    pub streams: u32,
    /// How long a TLS handshake may take.
    pub handshake_time: Duration,
    /// How long a client may take to send the head of a request over HTTP/1.1, and be idle before it.
    pub header_time: Duration,
    /// How long a connection may be without a request.
    pub idle_time: Duration,
    /// How long a client may refuse to take a single byte while there are some for it.
    pub stall_time: Duration,
    /// How long a check of health may take before it counts as failed.
    pub check_time: Duration,
    /// How long requests under way may go on once shutdown was asked for.
    pub shutdown_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body_bytes: 3 << 20,
            header_bytes: 128 << 10,
            headers: 256,
            url_bytes: 48 << 10,
            read_only_in_flight: 400,
            mutating_in_flight: 200,
            long_running: 131_072,
            request_time: Duration::from_secs(60),
            connections: 16_384,
            streams: 250,
            handshake_time: Duration::from_secs(10),
            header_time: Duration::from_secs(32),
            idle_time: Duration::from_secs(90),
            stall_time: Duration::from_secs(60),
            check_time: Duration::from_secs(2),
            shutdown_time: Duration::from_secs(60),
        }
    }
}
